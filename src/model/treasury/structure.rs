//! Structures: accounts below accounts, given as data, concentrated from the deepest level up.
//!
//! A level is finished before the one above it begins: first its accounts send up what they have too much, then their
//! superiors serve those that are short, by priority. It decides and tells; it must not move anything.

use std::collections::BTreeMap;

use super::RuleError;
use super::bounds::Bounds;
use super::flow::{Direction, FlowRule, flow};
use super::position::Position;
use super::several::{Claim, serve};
use crate::base::money::{Money, MoneyError};

/// An account of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What people call it; unique in the structure.
    pub name: String,
    /// The account above it; the top has none.
    pub superior: Option<String>,
    /// What is in it.
    pub position: Position,
    /// What it sends up and is sent.
    pub rule: FlowRule,
    /// Who is served first, the lowest number.
    pub priority: i64,
    /// Whether a part of what it is short of is better than nothing.
    pub partial: bool,
    /// What it never goes below when it serves others: zero if nothing is said, less than zero where an overdraft is
    /// meant to be used.
    pub floor: Option<Money>,
}

/// When what was moved can be used by who received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// At once: a booking between accounts of one bank.
    AtOnce,
    /// Later: it is counted on, and cannot be moved yet.
    Later,
}

/// What one account comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The account.
    pub account: String,
    /// The account above it.
    pub superior: String,
    /// How far below the top it stands, from 1.
    pub level: usize,
    /// Out to its superior, in from it, or nowhere.
    pub direction: Direction,
    /// How much; zero if nowhere, never less.
    pub amount: Money,
    /// Why that much, or why nothing, for people.
    pub reason: String,
}

/// What a structure comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One for each account that has a superior, in the order they are to be carried out.
    pub outcomes: Vec<Outcome>,
    /// The accounts as they will be, in written order.
    pub after: Vec<(String, Position)>,
}

/// Why accounts are no structure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    /// Two accounts of one name.
    #[error("two accounts are called `{0}`: give each its own name")]
    DuplicateName(String),
    /// A superior that is not among the accounts.
    #[error("`{account}` stands below `{superior}`, which is not among the accounts")]
    UnknownSuperior {
        /// The account.
        account: String,
        /// What stands above it.
        superior: String,
    },
    /// An account above itself.
    #[error("`{0}` stands below itself: one account has to be the top")]
    Circle(String),
    /// A rule that cannot be meant.
    #[error("account `{account}`: {source}")]
    Rule {
        /// The account.
        account: String,
        /// What is wrong.
        source: Box<RuleError>,
    },
    /// A rule for an account that has nobody to send to or be served by.
    #[error("`{0}` is the top of its structure, so its rule can move nothing: leave it out, or name a superior")]
    RuleAtTop(String),
}

/// How an account stands to others: its name, the one above it, its priority.
pub type Standing<'a> = (&'a str, Option<&'a str>, i64);

/// The accounts of one level, each with the one above it, by their places; in the order they are looked at.
pub type Level = Vec<(usize, usize)>;

/// The levels of a structure, the deepest first. The top stands in none.
///
/// # Errors
/// [`StructureError`] for accounts that are no structure.
pub fn levels_of(accounts: &[Standing<'_>]) -> Result<Vec<Level>, StructureError> {
    let mut places = BTreeMap::new();
    for (place, (name, ..)) in accounts.iter().enumerate() {
        if places.insert(*name, place).is_some() {
            return Err(StructureError::DuplicateName((*name).to_owned()));
        }
    }
    let mut levels: Vec<Vec<(i64, usize, usize)>> = Vec::new();
    for (place, (name, superior, priority)) in accounts.iter().enumerate() {
        let above = |at: usize| -> Result<Option<usize>, StructureError> {
            let (account, superior, _) = accounts[at];
            let Some(superior) = superior else { return Ok(None) };
            let unknown = || StructureError::UnknownSuperior {
                account: account.to_owned(),
                superior: superior.to_owned(),
            };
            places.get(superior).copied().map(Some).ok_or_else(unknown)
        };
        let (mut level, mut at) = (0, place);
        while let Some(superior) = above(at)? {
            at = superior;
            level += 1;
            if level >= accounts.len() {
                return Err(StructureError::Circle((*name).to_owned()));
            }
        }
        let superior = superior.and_then(|superior| places.get(superior).copied());
        if let (Some(superior), Some(below_the_top)) = (superior, level.checked_sub(1)) {
            levels.resize(levels.len().max(level), Vec::new());
            levels[below_the_top].push((*priority, place, superior));
        }
    }
    let in_order = levels.into_iter().rev().map(|mut level| {
        level.sort_unstable();
        level
            .into_iter()
            .map(|(_, place, superior)| (place, superior))
            .collect()
    });
    Ok(in_order.collect())
}

/// Decides a whole structure by what its accounts hold now.
///
/// # Errors
/// [`StructureError`] for accounts that are no structure or a rule that cannot be meant.
pub fn concentrate(accounts: &[Account], arrival: Arrival) -> Result<Plan, StructureError> {
    let standing = accounts
        .iter()
        .map(|account| (account.name.as_str(), account.superior.as_deref(), account.priority));
    let levels = levels_of(&standing.collect::<Vec<_>>())?;
    check(accounts)?;
    let mut state = State::of(accounts, arrival);
    for (above, members) in levels.iter().enumerate() {
        state.finish_level(levels.len() - above, members)?;
    }
    let after = accounts
        .iter()
        .zip(state.positions)
        .map(|(account, position)| (account.name.clone(), position));
    Ok(Plan {
        outcomes: state.outcomes,
        after: after.collect(),
    })
}

/// Decides one level by what its accounts and those above them hold now.
///
/// # Errors
/// [`StructureError`] for a rule that cannot be meant.
pub fn finish_level(
    accounts: &[Account],
    members: &[(usize, usize)],
    level: usize,
    arrival: Arrival,
) -> Result<Vec<Outcome>, StructureError> {
    check(accounts)?;
    let mut state = State::of(accounts, arrival);
    state.finish_level(level, members)?;
    Ok(state.outcomes)
}

/// Refuses a rule at the top, and amounts of another currency.
fn check(accounts: &[Account]) -> Result<(), StructureError> {
    for account in accounts {
        if account.superior.is_none() && account.rule != FlowRule::default() {
            return Err(StructureError::RuleAtTop(account.name.clone()));
        }
        let usable = account.position.usable().map_err(in_account(account))?;
        let currency = accounts[0].position.available;
        for amount in [Some(usable), account.floor].into_iter().flatten() {
            currency
                .compare(amount)
                .map_err(|source| in_account(account)(source.into()))?;
        }
    }
    Ok(())
}

fn in_account(account: &Account) -> impl Fn(RuleError) -> StructureError + '_ {
    |source| StructureError::Rule {
        account: account.name.clone(),
        source: Box::new(source),
    }
}

struct State<'a> {
    accounts: &'a [Account],
    positions: Vec<Position>,
    arrival: Arrival,
    outcomes: Vec<Outcome>,
}

impl<'a> State<'a> {
    fn of(accounts: &'a [Account], arrival: Arrival) -> Self {
        Self {
            accounts,
            positions: accounts.iter().map(|account| account.position).collect(),
            arrival,
            outcomes: Vec::new(),
        }
    }

    /// Everything goes up first; then each superior serves its own.
    fn finish_level(&mut self, level: usize, members: &[(usize, usize)]) -> Result<(), StructureError> {
        let mut short: BTreeMap<usize, Vec<(usize, Claim, String)>> = BTreeMap::new();
        for (place, superior) in members.iter().copied() {
            let account = &self.accounts[place];
            let decided = flow(&self.positions[place], &account.rule).map_err(in_account(account))?;
            if decided.direction == Direction::In {
                let claim = Claim {
                    name: account.name.clone(),
                    priority: account.priority,
                    amount: decided.amount,
                    bounds: account
                        .rule
                        .shortage
                        .map_or_else(Bounds::default, |shortage| shortage.bounds),
                    partial: account.partial,
                };
                short.entry(superior).or_default().push((place, claim, decided.reason));
                continue;
            }
            self.tell(
                level,
                (place, superior),
                decided.direction,
                (decided.amount, decided.reason),
            )?;
        }
        for (superior, claims) in short {
            let floor = self.accounts[superior].floor;
            let account = &self.accounts[superior];
            let usable = self.positions[superior].usable().map_err(in_account(account))?;
            let have = match floor {
                Some(floor) => usable
                    .checked_sub(floor)
                    .map_err(|source| in_account(account)(source.into()))?,
                None => usable,
            };
            let asked: Vec<Claim> = claims.iter().map(|(_, claim, _)| claim.clone()).collect();
            let shares = serve(have, &asked).map_err(in_account(account))?;
            // The members are in the order of priority already, and so are the shares.
            for (share, (place, claim, reason)) in shares.into_iter().zip(claims) {
                let (direction, why) = if share.amount == claim.amount {
                    (Direction::In, reason)
                } else if share.amount.is_zero() {
                    (Direction::Nowhere, format!("{reason}: {}", share.reason))
                } else {
                    (Direction::In, format!("{reason}: {}", share.reason))
                };
                self.tell(level, (place, superior), direction, (share.amount, why))?;
            }
        }
        Ok(())
    }

    /// Notes what an account comes to, and moves it in what is counted.
    fn tell(
        &mut self,
        level: usize,
        (place, superior): (usize, usize),
        direction: Direction,
        (amount, reason): (Money, String),
    ) -> Result<(), StructureError> {
        let (from, to) = match direction {
            Direction::In => (superior, place),
            Direction::Out | Direction::Nowhere => (place, superior),
        };
        let arrival = self.arrival;
        let moved = |positions: &[Position]| -> Result<(Position, Position), MoneyError> {
            let left = positions[from].less(amount)?;
            let got = match arrival {
                Arrival::AtOnce => positions[to].less(amount.negated())?,
                Arrival::Later => Position {
                    arriving: Some(match positions[to].arriving {
                        Some(arriving) => arriving.checked_add(amount)?,
                        None => amount,
                    }),
                    ..positions[to]
                },
            };
            Ok((left, got))
        };
        let account = &self.accounts[place];
        let (left, got) = moved(&self.positions).map_err(|source| in_account(account)(source.into()))?;
        self.positions[from] = left;
        self.positions[to] = got;
        self.outcomes.push(Outcome {
            account: account.name.clone(),
            superior: self.accounts[superior].name.clone(),
            level,
            direction,
            amount,
            reason,
        });
        Ok(())
    }
}

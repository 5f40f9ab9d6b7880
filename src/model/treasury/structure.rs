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

/// Decides a whole structure.
///
/// # Errors
/// [`StructureError`] for accounts that are no structure or a rule that cannot be meant.
pub fn concentrate(accounts: &[Account], arrival: Arrival) -> Result<Plan, StructureError> {
    let places = places(accounts)?;
    let levels = levels(accounts, &places)?;
    let mut state = State {
        accounts,
        positions: accounts.iter().map(|account| account.position).collect(),
        arrival,
        outcomes: Vec::new(),
    };
    let deepest = levels.iter().copied().max().unwrap_or(0);
    for level in (1..=deepest).rev() {
        let mut members: Vec<(i64, usize)> = (0..accounts.len())
            .filter(|place| levels[*place] == level)
            .map(|place| (accounts[place].priority, place))
            .collect();
        members.sort_unstable();
        let members: Vec<(usize, usize)> = members
            .into_iter()
            .filter_map(|(_, place)| Some((place, *places.get(accounts[place].superior.as_deref()?)?)))
            .collect();
        state.finish_level(level, &members)?;
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

fn places(accounts: &[Account]) -> Result<BTreeMap<&str, usize>, StructureError> {
    let mut places = BTreeMap::new();
    for (place, account) in accounts.iter().enumerate() {
        if places.insert(account.name.as_str(), place).is_some() {
            return Err(StructureError::DuplicateName(account.name.clone()));
        }
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
    Ok(places)
}

/// How far each account stands below the top.
fn levels(accounts: &[Account], places: &BTreeMap<&str, usize>) -> Result<Vec<usize>, StructureError> {
    let mut levels = Vec::with_capacity(accounts.len());
    for account in accounts {
        let (mut level, mut at) = (0, account);
        while let Some(superior) = &at.superior {
            let place = places.get(superior.as_str());
            at = &accounts[*place.ok_or_else(|| StructureError::UnknownSuperior {
                account: at.name.clone(),
                superior: superior.clone(),
            })?];
            level += 1;
            if level >= accounts.len() {
                return Err(StructureError::Circle(account.name.clone()));
            }
        }
        levels.push(level);
    }
    Ok(levels)
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

impl State<'_> {
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

//! The primitive that concentrates a structure: accounts below accounts, given as data, from the deepest level up.
//!
//! A level is finished before the one above it begins: what its accounts have too much goes up and has arrived, then
//! those that are short are served from above and that has arrived too. Each level is decided by what the accounts hold
//! then. The arithmetic is `model::treasury::structure`'s.

use std::sync::Arc;

use chrono::TimeDelta;

use super::args::{Args, invalid};
use super::events::settled;
use super::moves::Sent;
use super::positions::{Stand, stand, stand_to_fill};
use super::sweep::{Deficit, RULE, Route, position, priority, refused, reserved, rule, send_reserved};
use super::{Body, Kind, Module, Primitive};
use crate::base::money::Money;
use crate::connector::connection::Connection;
use crate::connector::table::Stage;
use crate::engine::reserve::Decided;
use crate::engine::turn::Turn;
use crate::model::journal::Failure;
use crate::model::treasury::flow::{Direction, Flow, FlowRule, flow};
use crate::model::treasury::position::Position;
use crate::model::treasury::structure::{self, Account, Arrival, Level, levels_of};
use crate::model::treasury::sweep::SweepRule;
use crate::model::value::Value;
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Connection,
    name: "concentrate",
    kind: Kind::Wait,
    params: &[
        ("#accounts", "list of maps, one for each account of ours"),
        ("accounts[].account", "the account's id"),
        (
            "accounts[].above?",
            "the id of the account above it; the top has none, and no rule",
        ),
        (
            "accounts[].priority?",
            "who is looked at first of one level, the lowest number",
        ),
        (
            "accounts[].floor?",
            "what it keeps when it serves accounts below it: zero if not given, less than zero to use an overdraft",
        ),
        (
            "accounts[].keep?",
            "as in `sweep`, and so are the next ones: what goes up",
        ),
        ("accounts[].target?", "bring the account down to this"),
        ("accounts[].threshold?", "below it nothing goes up"),
        ("accounts[].percent?", "send up this share"),
        ("accounts[].fixed?", "send up exactly this much, or nothing"),
        ("accounts[].minimum?", "not worth moving less"),
        ("accounts[].maximum?", "never move more at once"),
        ("accounts[].multiple?", "move only whole multiples of this"),
        ("accounts[].holds?", "what is spoken for"),
        ("accounts[].in_flight?", "what was sent already"),
        ("accounts[].buffer?", "never goes up, whatever the rule says"),
        (
            "accounts[].deficit?",
            "map: let money come from above when the account is short",
        ),
        ("accounts[].deficit.to?", "fill it up to this, zero if not given"),
        ("accounts[].deficit.below?", "it is short below this, `to` if not given"),
        ("accounts[].deficit.minimum?", "not worth filling less"),
        ("accounts[].deficit.maximum?", "never fill more at once"),
        ("accounts[].deficit.multiple?", "fill whole multiples of this"),
        (
            "accounts[].deficit.partial?",
            "take what there is if it is not enough; else nothing",
        ),
        ("reference", "what stands on both accounts"),
        (
            "timeout?",
            "how long a movement may take to arrive: \"2h\", days(2); 3 days if not given. After it the levels above are not begun",
        ),
        ("rail?", "a rail of the provider"),
        ("metadata?", "a map of texts kept with each movement"),
    ],
    result: "map: `moved` (money, up and down together), `complete`, `reason`, `failure`: `error` and `message` of why nothing \
             more was moved though something was, or (), `moves`: list of `account`, `above`, `level`, \
             `direction` (\"out\", \"in\", \"none\"), `moved`, `reason`, `status`, `payout`, `failure`, one for each account \
             that is below another, in the order they were looked at",
    doc: "Concentrates accounts below accounts, the deepest level first; each level has arrived before the one above it is \
          decided, by what the accounts hold then. First what is too much goes up, then who is short is served from above, by \
          priority.",
    example: "let done = bank::concentrate(#{ accounts: [#{ account: \"acc_top\" }, #{ account: \"acc_1\", above: \"acc_top\", keep: EUR(1_000) }], reference: \"POOL\" });",
    needs: &["balance", "payout.from|transfer"],
    body: Body::Connection(concentrate),
}];

const THREE_DAYS: TimeDelta = TimeDelta::days(3);

/// An account of the structure.
struct Member<'a> {
    account: &'a str,
    above: Option<&'a str>,
    priority: i64,
    floor: Option<Money>,
    /// What goes up; nothing of the top.
    out: Option<SweepRule>,
    deficit: Option<Deficit>,
    args: Args<'a>,
}

fn member(value: &Value) -> Result<Member<'_>, Thrown> {
    let own = ["account", "above", "priority", "floor", "deficit"];
    let known: Vec<&str> = own.into_iter().chain(RULE).collect();
    let args = Args::new("accounts", value, &known)?;
    let (account, above) = (args.required_text("account")?, args.text("above")?);
    if above.is_none()
        && let Some(word) = RULE
            .into_iter()
            .chain(["deficit"])
            .find(|word| args.get(word).is_some())
    {
        return Err(invalid(format!(
            "account {account} of `concentrate` has `{word}` and nothing above it: leave it out, or name the account `above`"
        )));
    }
    let out = above.map(|_| rule(&args)).transpose()?;
    Ok(Member {
        account,
        above,
        priority: priority(&args, "accounts")?,
        floor: args.money("floor")?,
        out,
        deficit: args.get("deficit").map(Deficit::read).transpose()?,
        args,
    })
}

impl Member<'_> {
    fn rule(&self, available: Money) -> FlowRule {
        FlowRule {
            out: self.out,
            shortage: self.deficit.as_ref().map(|deficit| deficit.shortage(available)),
        }
    }

    /// Reads the account, for a decision that may fill it up.
    fn stand(&self, turn: &Turn, connection: &Arc<Connection>) -> Result<Stand, Thrown> {
        if self.deficit.is_none() {
            return stand(turn, connection, self.account);
        }
        let is_short = |stand: &Stand| {
            let decided = flow(&self.position(stand)?, &self.rule(stand.available)).map_err(refused)?;
            Ok(decided.direction == Direction::In)
        };
        stand_to_fill(turn, connection, self.account, is_short)
    }

    fn position(&self, stand: &Stand) -> Result<Position, Thrown> {
        Ok(Position {
            arriving: stand.arriving,
            ..position(&self.args, stand)?
        })
    }
}

fn concentrate(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let known = ["accounts", "reference", "timeout", "rail", "metadata"];
    let args = Args::new("concentrate", given, &known)?;
    let members: Vec<Member<'_>> = args.list("accounts")?.iter().map(member).collect::<Result<_, _>>()?;
    let standing = members
        .iter()
        .map(|member| (member.account, member.above, member.priority));
    let levels = levels_of(&standing.collect::<Vec<_>>()).map_err(|error| invalid(error.to_string()))?;
    let pool = Pool {
        turn,
        connection,
        members: &members,
        route: Route::between(&args)?,
        timeout: args.duration("timeout")?.unwrap_or(THREE_DAYS),
    };
    if levels.is_empty() {
        return Err(invalid(
            "no account of `concentrate` is below another: say with `above` where its money goes",
        ));
    }
    turn.compound(&format!("{}.concentrate", connection.name), &given.typed_text(), || {
        let zero = pool.look()?;
        let mut told = Vec::with_capacity(members.len());
        let mut ended: Option<Ended> = None;
        for (above, level) in levels.iter().enumerate() {
            let number = levels.len() - above;
            if let Some(ended) = &ended {
                leave(number, level, &ended.not_begun(), zero, &mut told);
                continue;
            }
            match pool.finish(number, level, zero, &mut told) {
                Ok(true) => {}
                Ok(false) => ended = Some(Ended::NotArrived(number)),
                // From the first payment on what goes wrong is told together with what was moved.
                Err(Thrown::Failure(failure)) if told.iter().any(Told::was_sent) => {
                    let reason = format!("not decided: {}", failure.message);
                    leave(number, level, &reason, zero, &mut told);
                    ended = Some(Ended::NotDecided(number, failure));
                }
                Err(thrown) => return Err(thrown),
            }
        }
        pool.tell(told, ended, zero)
    })
}

/// Why the levels above one were not begun.
enum Ended {
    /// Something that this level moved has not arrived in time.
    NotArrived(usize),
    /// What this level was to move could not be decided, or not all of it.
    NotDecided(usize, Failure),
}

impl Ended {
    /// What is told of an account above.
    fn not_begun(&self) -> String {
        match self {
            Self::NotArrived(below) => format!("not begun: what level {below} below it moved has not arrived"),
            Self::NotDecided(below, _) => format!("not begun: level {below} below it was not decided to its end"),
        }
    }
}

/// Tells of the accounts of a level that nothing is told of yet why nothing of theirs was moved.
fn leave(number: usize, level: &Level, reason: &str, zero: Money, told: &mut Vec<Told>) {
    for (place, _) in level {
        if told.iter().all(|told| told.place != *place) {
            told.push(Told {
                reason: reason.to_owned(),
                ..Told::nothing(*place, number, zero)
            });
        }
    }
}

/// What became of one account.
struct Told {
    place: usize,
    level: usize,
    direction: Direction,
    amount: Money,
    reason: String,
    sent: Sent,
}

impl Told {
    fn nothing(place: usize, level: usize, zero: Money) -> Self {
        Self {
            place,
            level,
            direction: Direction::Nowhere,
            amount: zero,
            reason: String::new(),
            sent: Sent::nothing(),
        }
    }

    /// Whether the provider has taken something, whatever became of it.
    fn was_sent(&self) -> bool {
        self.amount.is_positive() || !self.sent.payout.is_null()
    }
}

/// A structure that is being concentrated.
struct Pool<'a> {
    turn: &'a Turn,
    connection: &'a Arc<Connection>,
    members: &'a [Member<'a>],
    route: Route<'a>,
    timeout: TimeDelta,
}

impl Pool<'_> {
    /// Looks at every account once: what cannot be meant is told before anything is moved. Nothing of the currency of
    /// all of them.
    fn look(&self) -> Result<Money, Thrown> {
        let mut first: Option<Money> = None;
        for member in self.members {
            let stand = stand(self.turn, self.connection, member.account)?;
            let zero = *first.get_or_insert(Money::zero(stand.available.currency()));
            for amount in [Some(stand.available), member.floor].into_iter().flatten() {
                zero.compare(amount).map_err(refused)?;
            }
            flow(&member.position(&stand)?, &member.rule(stand.available)).map_err(refused)?;
        }
        first.ok_or_else(|| invalid("`accounts` of `concentrate` is an empty list"))
    }

    /// Finishes one level. `false`: something of it has not arrived in time.
    fn finish(&self, number: usize, level: &Level, zero: Money, told: &mut Vec<Told>) -> Result<bool, Thrown> {
        let decided = self.turn.decide(self.connection, || self.up(level))?;
        let (mut short, mut moves) = (Vec::new(), Vec::new());
        for (place, decided) in decided {
            if decided.direction == Direction::In {
                short.push(place);
                continue;
            }
            moves.push(Told {
                direction: decided.direction,
                amount: decided.amount,
                reason: decided.reason,
                ..Told::nothing(place, number, zero)
            });
        }
        let mut finished = self.carry_out(&mut moves)?;
        told.append(&mut moves);
        if !short.is_empty() {
            let served = self.turn.decide(self.connection, || self.down(number, level, &short))?;
            for outcome in served {
                let place = self.members.iter().position(|member| member.account == outcome.account);
                moves.push(Told {
                    direction: outcome.direction,
                    amount: outcome.amount,
                    reason: outcome.reason,
                    ..Told::nothing(place.unwrap_or_default(), number, zero)
                });
            }
            finished &= self.carry_out(&mut moves)?;
            told.append(&mut moves);
        }
        Ok(finished)
    }

    /// What goes up from a level, and who is short there.
    fn up(&self, level: &Level) -> Result<Decided<Vec<(usize, Flow)>>, Thrown> {
        let (mut what, mut seen, mut moves) = (Vec::new(), Vec::new(), Vec::new());
        for (place, _) in level {
            let member = &self.members[*place];
            let stand = member.stand(self.turn, self.connection)?;
            let decided = flow(&member.position(&stand)?, &member.rule(stand.available)).map_err(refused)?;
            seen.push(stand.seen());
            if decided.direction == Direction::Out {
                moves.push(reserved(member.account, member.above, decided.amount));
            }
            what.push((*place, decided));
        }
        Ok(Decided { what, seen, moves })
    }

    /// What those that are short get from above, by priority, out of what there is.
    fn down(&self, number: usize, level: &Level, short: &[usize]) -> Result<Decided<Vec<structure::Outcome>>, Thrown> {
        let pairs = level.iter().filter(|(place, _)| short.contains(place));
        let mut places: Vec<usize> = pairs.clone().flat_map(|(place, above)| [*above, *place]).collect();
        places.sort_unstable();
        places.dedup();
        let (mut accounts, mut seen) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
        for place in &places {
            let member = &self.members[*place];
            let stand = match short.contains(place) {
                true => member.stand(self.turn, self.connection)?,
                false => stand(self.turn, self.connection, member.account)?,
            };
            seen.push(stand.seen());
            let shortage = member.rule(stand.available).shortage.filter(|_| short.contains(place));
            accounts.push(Account {
                name: member.account.to_owned(),
                superior: member.above.map(str::to_owned),
                position: member.position(&stand)?,
                // What is too much has gone up already.
                rule: FlowRule { out: None, shortage },
                priority: member.priority,
                partial: member.deficit.as_ref().is_some_and(Deficit::is_partial),
                floor: member.floor,
            });
        }
        let among = |place: &usize| places.iter().position(|known| known == place).unwrap_or_default();
        let pairs: Level = pairs.map(|(place, above)| (among(place), among(above))).collect();
        let what = structure::finish_level(&accounts, &pairs, number, Arrival::Later)
            .map_err(|error| invalid(error.to_string()))?;
        let served = what.iter().filter(|outcome| outcome.direction == Direction::In);
        let moves = served
            .map(|outcome| reserved(&outcome.superior, Some(&outcome.account), outcome.amount))
            .collect();
        Ok(Decided { what, seen, moves })
    }

    /// Sends what was decided, all of it, and waits until each has its end. One that fails stops no other.
    fn carry_out(&self, moves: &mut [Told]) -> Result<bool, Thrown> {
        for told in moves.iter_mut().filter(|told| told.amount.is_positive()) {
            let member = &self.members[told.place];
            let (account, above) = (member.account, member.above.unwrap_or_default());
            let (from, to) = match told.direction {
                Direction::In => (above, Value::text(account)),
                Direction::Out | Direction::Nowhere => (account, Value::text(above)),
            };
            told.sent = send_reserved(self.turn, self.connection, &self.route.pay(from, &to, told.amount))?;
        }
        let mut finished = true;
        for told in moves.iter_mut().filter(|told| told.amount.is_positive()) {
            finished &= self.arrives(told)?;
        }
        Ok(finished)
    }

    /// Waits until a movement has its end. `false`: it has none yet.
    fn arrives(&self, told: &mut Told) -> Result<bool, Thrown> {
        let zero = Money::zero(told.amount.currency());
        if told.sent.has_failed() {
            told.amount = zero;
            return Ok(true);
        }
        let kind = told.sent.payout.get("resource").and_then(Value::as_text);
        let Some(described) = kind.and_then(|kind| self.connection.connector.resource(kind)) else {
            // Booked at once: there is nothing to wait for.
            return Ok(true);
        };
        let asked = [told.sent.payout.clone(), Value::Duration(self.timeout)];
        match settled(self.turn, self.connection, &asked) {
            Ok(done) => {
                told.sent.status = done.get("status").cloned().unwrap_or_default();
                if described.stage_of(&done) == Stage::Failed {
                    told.amount = zero;
                    let message = format!("it came to nothing: {}", told.sent.status);
                    told.sent.failure = failure("not_settled", &message);
                }
                told.sent.payout = done;
                Ok(true)
            }
            Err(Thrown::Failure(failed)) => {
                told.sent.failure = failure(&failed.code, &failed.message);
                Ok(false)
            }
            Err(Thrown::Interrupt) => Err(Thrown::Interrupt),
        }
    }

    fn tell(&self, told: Vec<Told>, ended: Option<Ended>, zero: Money) -> Result<(Value, String), Thrown> {
        let (mut moved, mut count, mut failed) = (zero, 0_usize, 0_usize);
        let mut moves = Vec::with_capacity(told.len());
        for told in told {
            let member = &self.members[told.place];
            moved = moved.checked_add(told.amount).map_err(refused)?;
            count += usize::from(told.amount.is_positive());
            failed += usize::from(told.sent.has_failed());
            moves.push(Value::map([
                ("account", Value::text(member.account)),
                ("above", member.above.map_or(Value::Null, Value::text)),
                ("level", Value::Int(i64::try_from(told.level).unwrap_or(i64::MAX))),
                ("direction", Value::text(told.direction.as_str())),
                ("moved", Value::Money(told.amount)),
                ("reason", Value::text(told.reason)),
                ("status", told.sent.status),
                ("payout", told.sent.payout),
                ("failure", told.sent.failure),
            ]));
        }
        let mut reason = format!("{moved} in {count} movements over {} accounts", moves.len());
        if failed > 0 {
            reason = format!("{reason}, {failed} not made or not arrived");
        }
        let is_complete = failed == 0 && ended.is_none();
        let mut stopped = Value::Null;
        match ended {
            None | Some(Ended::NotArrived(..=1)) => {}
            Some(Ended::NotArrived(level)) => {
                reason = format!("{reason}; what level {level} moved has not arrived, so nothing above it was begun");
            }
            Some(Ended::NotDecided(_, why)) => {
                reason = format!("{reason}; nothing more was moved: {}", why.message);
                stopped = failure(&why.code, &why.message);
            }
        }
        let result = Value::map([
            ("moved", Value::Money(moved)),
            ("complete", Value::Bool(is_complete)),
            ("reason", Value::text(&reason)),
            ("failure", stopped),
            ("moves", Value::List(moves)),
        ]);
        Ok((result, reason))
    }
}

fn failure(code: &str, message: &str) -> Value {
    Value::map([("error", Value::text(code)), ("message", Value::text(message))])
}

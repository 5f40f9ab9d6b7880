//! Money of ours that is on its way already, and money a step is about to move.
//!
//! A balance does not say what another run has begun and nobody knows the end of, nor what two runs decide at the same
//! moment from the same balance. So what is open is read before a balance is, and what follows from both is reserved
//! before anything is sent: if something was begun on one of the accounts meanwhile, nothing is reserved, and whoever
//! decides reads again. Both are recorded, so that a replay decides the same. Sends nothing.

use chrono::TimeDelta;

use super::interrupt::Interrupt;
use super::turn::{Turn, fail};
use crate::base::guard::{Guard, holds};
use crate::base::ids::Digest;
use crate::base::money::Money;
use crate::connector::connection::Connection;
use crate::model::journal::Phase;
use crate::model::value::{Map, Value};
use crate::script::Thrown;
use crate::store::{OpenMovement, OpenMovements, Release, Reservation, ReservedMove, StoreError};

/// What of ours is on its way out of an account and to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InFlight {
    /// How often something was begun on the account before it was read.
    pub(super) times: u64,
    /// What leaves it; nothing where the request does not say how much.
    pub(super) leaving: Vec<Option<Money>>,
    /// What comes to it.
    pub(super) arriving: Vec<Money>,
    /// Whether there is something beside that the provider has taken and that may not have arrived. It is asked for only
    /// where an account is to be filled up.
    pub(super) has_accepted: bool,
}

impl Turn {
    /// Reads what is on its way, once: afterwards the record answers. `fills`: the account is to be filled up if it is
    /// short.
    pub(super) fn in_flight(&self, connection: &Connection, account: &str, fills: bool) -> Result<InFlight, Thrown> {
        let name = format!("{}.in_flight", connection.name);
        let recorded = self.local(&name, &Value::text(account).typed_text(), || {
            let open = self.read_open(connection, account)?;
            // After what is open: what ends in between is in one of the two.
            let accepted = if fills {
                !self.read_accepted(connection, account, &open)?.is_empty()
            } else {
                false
            };
            let others = open.movements.iter().filter(|open| self.is_anothers(open));
            let (mut leaving, mut arriving) = (Vec::new(), Vec::new());
            for open in others.filter(|_| holds(Guard::OpenCounts)) {
                if open.source == account {
                    leaving.push(open.amount.map_or(Value::Null, Value::Money));
                } else if let Some(amount) = open.amount {
                    arriving.push(Value::Money(amount));
                }
            }
            let summary = match leaving.len() + arriving.len() {
                0 => format!("{account}: nothing on its way"),
                count => format!("{account}: {count} on their way"),
            };
            let mut value = Map::from([
                (
                    "times".to_owned(),
                    Value::Int(i64::try_from(open.times).unwrap_or(i64::MAX)),
                ),
                ("leaving".to_owned(), Value::List(leaving)),
                ("arriving".to_owned(), Value::List(arriving)),
            ]);
            if accepted {
                value.insert("accepted".to_owned(), Value::Bool(true));
            }
            Ok((Value::Map(value), summary))
        })?;
        read_in_flight(&recorded)
            .ok_or_else(|| self.park("diverged", format!("`{name}` has another record: {recorded}")))
    }

    /// What is open on an account, as the store has it now.
    pub(super) fn read_open(&self, connection: &Connection, account: &str) -> Result<OpenMovements, Thrown> {
        let open = self.block_on(self.services.store.open_movements(&connection.name, account));
        open.map_err(|error| self.interrupt(Interrupt::StoreDown(error)))
    }

    /// Whether this is on its way beside what is about to be decided: not what this very step has reserved before, nor
    /// what has ended in this run and whose end is not durable yet.
    pub(super) fn is_anothers(&self, open: &OpenMovement) -> bool {
        if open.run != self.run.id {
            return true;
        }
        let (scope, _) = self.take_numbers(0);
        if !open.begun && open.step == scope {
            return false;
        }
        let pages = self.book.open();
        let known = pages.journal.step(&open.step);
        !known.is_some_and(|known| matches!(known.phase, Phase::Done(_)))
    }

    /// Reserves what the step the script is inside is about to move. `false`: something was begun on one of the
    /// accounts since they were read, so what was decided may not hold any more.
    pub(super) fn reserve(
        &self,
        connection: &Connection,
        seen: Vec<(String, u64)>,
        moves: Vec<ReservedMove>,
    ) -> Result<bool, Thrown> {
        let name = format!("{}.reserve", connection.name);
        let input = asked(&seen, &moves).typed_text();
        let (step, _) = self.take_numbers(0);
        let reserved = self.local(&name, &input, || {
            self.driven()?;
            let reservation = Reservation {
                step,
                connection: connection.name.clone(),
                seen,
                moves,
            };
            let answer = self.block_on(self.services.store.reserve(&self.lease, reservation));
            match self.written(answer)? {
                true => Ok((Value::Bool(true), String::new())),
                false => Ok((Value::Bool(false), "others moved money meanwhile".to_owned())),
            }
        })?;
        Ok(reserved == Value::Bool(true))
    }

    /// Gives back what was reserved for one payment of several, which has failed and never will be begun. If it had been,
    /// nothing of it is reserved any more. No two movements of one reservation have the same source and beneficiary.
    ///
    /// Recorded, and not done again by a replay: the same step may have reserved something else since.
    pub(super) fn release(&self, connection: &Connection, reserved: ReservedMove) -> Result<(), Thrown> {
        let name = format!("{}.release", connection.name);
        let input = asked_move(&reserved).typed_text();
        let (step, _) = self.take_numbers(0);
        self.local(&name, &input, || {
            // That it has failed first: whoever takes the run over must not come to another end.
            self.commit()?;
            let release = Release {
                step,
                connection: connection.name.clone(),
                reserved,
            };
            let answer = self.block_on(self.services.store.release_reserved(&self.lease, release));
            let summary = match self.written(answer)? {
                true => "what was reserved for it is free",
                false => "nothing was reserved for it any more",
            };
            Ok((Value::Null, summary.to_owned()))
        })?;
        Ok(())
    }

    fn written<T>(&self, answer: Result<T, StoreError>) -> Result<T, Thrown> {
        answer.map_err(|error| match error {
            StoreError::LeaseLost { .. } => self.interrupt(Interrupt::LeaseLost),
            error => self.interrupt(Interrupt::StoreDown(error)),
        })
    }
}

/// What is reserved, as the journal compares it.
fn asked(seen: &[(String, u64)], moves: &[ReservedMove]) -> Value {
    let seen = seen.iter().map(|(account, times)| {
        let times = Value::Int(i64::try_from(*times).unwrap_or(i64::MAX));
        Value::List(vec![Value::text(account), times])
    });
    let moves = moves.iter().map(asked_move);
    Value::List(vec![Value::List(seen.collect()), Value::List(moves.collect())])
}

fn asked_move(asked: &ReservedMove) -> Value {
    Value::List(vec![
        Value::text(&asked.source),
        asked.beneficiary.as_ref().map_or(Value::Null, Value::text),
        Value::Money(asked.amount),
    ])
}

fn read_in_flight(recorded: &Value) -> Option<InFlight> {
    let money = |value: &Value| match value {
        Value::Money(amount) => Some(*amount),
        _ => None,
    };
    let Some(Value::Int(times)) = recorded.get("times") else {
        return None;
    };
    Some(InFlight {
        times: u64::try_from(*times).ok()?,
        leaving: recorded.get("leaving")?.as_list()?.iter().map(money).collect(),
        arriving: recorded.get("arriving")?.as_list()?.iter().filter_map(money).collect(),
        has_accepted: recorded.get("accepted") == Some(&Value::Bool(true)),
    })
}

/// How often something is decided anew because others moved money meanwhile: each time one of them got on.
const DECISIONS_MAX: u32 = 64;

/// How often of these at once. After that it stands back first, longer each time, so that the others come to their end.
const AT_ONCE_MAX: u32 = 4;

/// How long it stands back the first time, in milliseconds, and at the most.
const STAND_BACK_MS: i64 = 50;
const STAND_BACK_MAX_MS: i64 = 10_000;

/// A decision that follows from what accounts hold: what it is, the accounts it was made from, what it moves.
pub(super) struct Decided<T> {
    pub(super) what: T,
    pub(super) seen: Vec<(String, u64)>,
    pub(super) moves: Vec<ReservedMove>,
}

impl Turn {
    /// Decides, and reserves what follows; decides anew as long as others move money of the same accounts meanwhile.
    pub(super) fn decide<T>(
        &self,
        connection: &Connection,
        mut decide: impl FnMut() -> Result<Decided<T>, Thrown>,
    ) -> Result<T, Thrown> {
        for tried in 0..DECISIONS_MAX {
            if let Some(times) = tried.checked_sub(AT_ONCE_MAX) {
                self.stand_back(times)?;
            }
            let Decided { what, seen, moves } = decide()?;
            if moves.is_empty() || self.reserve(connection, seen, moves)? {
                return Ok(what);
            }
        }
        let message = format!(
            "others moved money of the same accounts {DECISIONS_MAX} times while this was decided: nothing of this decision was moved"
        );
        Err(fail("position_changed", message))
    }

    /// Lets others get on, for a time that no two of them share and a replay has as well.
    fn stand_back(&self, times: u32) -> Result<(), Thrown> {
        let ceiling = STAND_BACK_MS.saturating_mul(1 << times.min(16)).min(STAND_BACK_MAX_MS);
        let (step, _) = self.take_numbers(0);
        let drawn = Digest::of([
            self.run.id.to_string().as_bytes(),
            step.to_string().as_bytes(),
            &times.to_be_bytes(),
        ]);
        let drawn = drawn
            .as_bytes()
            .iter()
            .take(4)
            .fold(0_i64, |drawn, byte| drawn << 8 | i64::from(*byte));
        let pause = ceiling / 2 + drawn % (ceiling / 2);
        self.sleep(TimeDelta::milliseconds(pause)).map(|_| ())
    }
}

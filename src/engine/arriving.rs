//! Money of ours that the provider has taken and that may not have arrived.
//!
//! A step that has paid is over; the account it pays is as short as before until the money is there. So whoever fills an
//! account up counts what was taken for it, until the provider itself says that it has arrived or came to nothing: asked
//! before the balance is, so that what arrives in between is counted twice and not left out. Every answer is recorded.
//! What is known to have its end is forgotten with the next write, and not asked for again. Sends nothing.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;

use super::interrupt::Interrupt;
use super::turn::Turn;
use super::wait::{asks_for, shown_in};
use crate::base::guard::{Guard, holds};
use crate::base::ids::RunId;
use crate::base::money::Money;
use crate::connector::connection::Connection;
use crate::connector::table::Stage;
use crate::model::journal::{Journal, Outcome, Phase, StepPath, StepRecord};
use crate::model::value::{Map, Value};
use crate::script::Thrown;
use crate::store::{ACCEPTED_DAYS_MAX, OpenMovements, StoreError};

/// So many are asked for at one decision, the oldest first; the others count as not arrived, and their turn comes.
const LOOKS_MAX: usize = 100;

/// A movement that the provider has taken.
pub(super) struct Taken {
    run: RunId,
    step: StepPath,
    amount: Money,
}

/// What the step of a movement says of what it made.
enum Made {
    /// This, and where it is asked for.
    Pending { kind: String, id: String, under: Map },
    /// Its end is known already: it was booked at once.
    Ended,
    /// Nobody can ask for it.
    Unknown,
}

impl Turn {
    /// What the provider has taken for an account and is not known to have its end. What this run has sent and whose
    /// outcome is not durable yet is still open in the store.
    pub(super) fn read_accepted(
        &self,
        connection: &Connection,
        account: &str,
        open: &OpenMovements,
    ) -> Result<Vec<Taken>, Thrown> {
        let since = self.now() - TimeDelta::days(ACCEPTED_DAYS_MAX);
        let accepted = self.block_on(self.services.store.accepted(&connection.name, account, since));
        let accepted = accepted.map_err(|error| self.interrupt(Interrupt::StoreDown(error)))?;
        let mut taken: Vec<Taken> = accepted
            .into_iter()
            .map(|known| Taken {
                run: known.run,
                step: known.step,
                amount: known.amount,
            })
            .collect();
        let pages = self.book.open();
        let own = open.movements.iter().filter(|open| {
            let paid = pages.journal.step(&open.step).map(|known| &known.phase);
            let is_paid = matches!(paid, Some(Phase::Done(Outcome::Value(_))));
            open.begun && open.run == self.run.id && open.beneficiary.as_deref() == Some(account) && is_paid
        });
        let own = own.filter_map(|open| {
            Some(Taken {
                run: open.run,
                step: open.step.clone(),
                amount: open.amount?,
            })
        });
        taken.extend(own);
        // What is open and another's is counted as that; what came in both lists is one movement.
        let mut seen = BTreeSet::new();
        taken
            .retain(|taken| !pages.has_arrived(taken.run, &taken.step) && seen.insert((taken.run, taken.step.clone())));
        drop(pages);
        taken.retain(|taken| {
            let mut same = open
                .movements
                .iter()
                .filter(|open| open.run == taken.run && open.step == taken.step);
            !same.any(|open| self.is_anothers(open))
        });
        Ok(taken.into_iter().filter(|_| holds(Guard::AcceptedCounts)).collect())
    }

    /// What comes to an account: what others have begun, and what the provider has taken and does not tell to have its end.
    pub(super) fn not_arrived(&self, connection: &Arc<Connection>, account: &str) -> Result<Vec<Money>, Thrown> {
        let name = format!("{}.arriving", connection.name);
        let recorded = self.local(&name, &Value::text(account).typed_text(), || {
            let open = self.read_open(connection, account)?;
            let taken = self.read_accepted(connection, account, &open)?;
            let mut journals = BTreeMap::new();
            let others = open.movements.iter().filter(|open| self.is_anothers(open));
            let others = others
                .filter(|open| open.source != account)
                .filter_map(|open| open.amount);
            let mut listed: Vec<Value> = others.map(|amount| Value::List(vec![Value::Money(amount)])).collect();
            for taken in taken {
                let made = self.made_by(connection, &taken, &mut journals)?;
                if matches!(made, Made::Ended) {
                    self.book.open().forget_arrived(taken.run, taken.step);
                    continue;
                }
                let mut line = vec![Value::Money(taken.amount)];
                if let Made::Pending { kind, id, under } = made {
                    let (run, step) = (taken.run.to_string(), taken.step.to_string());
                    line.extend([run, step, kind, id].map(Value::text));
                    line.push(Value::Map(under));
                }
                listed.push(Value::List(line));
            }
            let summary = format!("{account}: {} not known to have arrived", listed.len());
            Ok((Value::List(listed), summary))
        })?;
        let unreadable = || self.park("diverged", format!("`{name}` has another record: {recorded}"));
        let mut arriving = Vec::new();
        let mut looks = 0;
        for line in recorded.as_list().ok_or_else(unreadable)? {
            let line = line.as_list().ok_or_else(unreadable)?;
            let (amount, pending) = match line {
                [Value::Money(amount)] => (*amount, None),
                [
                    Value::Money(amount),
                    Value::Text(run),
                    Value::Text(step),
                    Value::Text(kind),
                    Value::Text(id),
                    Value::Map(under),
                ] => (*amount, Some((run, step, (kind.as_str(), id.as_str()), under))),
                _ => return Err(unreadable()),
            };
            if let Some((run, step, made, under)) = pending.filter(|_| looks < LOOKS_MAX) {
                looks += 1;
                if self.has_its_end(connection, made, under)? {
                    let run = run.parse().map_err(|_| unreadable())?;
                    let step = step.parse().map_err(|_| unreadable())?;
                    self.book.open().forget_arrived(run, step);
                    continue;
                }
            }
            arriving.push(amount);
        }
        Ok(arriving)
    }

    /// What a movement made, as the journal of its run has it.
    fn made_by(
        &self,
        connection: &Connection,
        taken: &Taken,
        journals: &mut BTreeMap<RunId, Journal>,
    ) -> Result<Made, Thrown> {
        if taken.run == self.run.id {
            let pages = self.book.open();
            return Ok(made(connection, pages.journal.step(&taken.step)));
        }
        let journal = match journals.entry(taken.run) {
            MapEntry::Occupied(known) => known.into_mut(),
            MapEntry::Vacant(unread) => {
                let records = match self.block_on(self.services.store.journal(taken.run)) {
                    Ok(records) => records,
                    // Another run's: nobody can ask for what it made.
                    Err(StoreError::Corrupt(_)) => Vec::new(),
                    Err(error) => return Err(self.interrupt(Interrupt::StoreDown(error))),
                };
                unread.insert(Journal::from_records(records).unwrap_or_default())
            }
        };
        Ok(made(connection, journal.step(&taken.step)))
    }

    /// Whether the provider shows that it has ended, well or not. What cannot be seen has not.
    fn has_its_end(&self, connection: &Arc<Connection>, (kind, id): (&str, &str), under: &Map) -> Result<bool, Thrown> {
        let Some(resource) = connection.connector.resource(kind) else {
            return Ok(false);
        };
        let Some(endpoint) = connection.connector.endpoint(&resource.retrieve) else {
            return Ok(false);
        };
        let Ok(args) = asks_for(endpoint, resource, id, under) else {
            return Ok(false);
        };
        match self.call(connection, endpoint, &args) {
            Ok(answer) => {
                let shown = shown_in(endpoint, resource, id, &answer);
                Ok(shown.is_some_and(|shown| resource.stage_of(shown) != Stage::Pending))
            }
            Err(Thrown::Failure(_)) => Ok(false),
            Err(Thrown::Interrupt) => Err(Thrown::Interrupt),
        }
    }
}

/// What a step made. Where the table names nothing that lives on after the call, the call has booked it.
fn made(connection: &Connection, step: Option<&StepRecord>) -> Made {
    let Some(StepRecord {
        phase: Phase::Done(Outcome::Value(shown)),
        effect: Some(intent),
        ..
    }) = step
    else {
        return Made::Unknown;
    };
    let connector = &connection.connector;
    let Some(endpoint) = connector.endpoint(&intent.endpoint) else {
        return Made::Unknown;
    };
    let mut maps = connector.primitives().map(|(_, map)| map);
    let by_map = maps.find_map(|map| map.resource.as_ref().filter(|_| map.endpoint == endpoint.name));
    let Some(kind) = endpoint.resource.as_ref().or(by_map) else {
        return Made::Ended;
    };
    let Some(resource) = connector.resource(kind) else {
        return Made::Unknown;
    };
    if resource.stage_of(shown) != Stage::Pending {
        return Made::Ended;
    }
    let Some(id) = shown.pointer(&resource.id).and_then(Value::as_text) else {
        return Made::Unknown;
    };
    let retrieve = connector.endpoint(&resource.retrieve);
    Made::Pending {
        kind: kind.clone(),
        id: id.to_owned(),
        under: retrieve.map(|retrieve| retrieve.shown_by(shown)).unwrap_or_default(),
    }
}

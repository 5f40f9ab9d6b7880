//! What processors of payments report and hand over, and the feed of transactions, which is behind by a while.
//!
//! Money is booked to accounts only when three things have come: the split, the processor's report and the funds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::items;
use super::wire::{Feed, code, found, text, time, units, word};
use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::contract::{Arrival, Call};
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Payment,
    Refund,
    Chargeback,
}

const KINDS: [&str; 3] = ["PAYMENT", "REFUND", "CHARGEBACK"];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Payment => "PAYMENT",
            Self::Refund => "REFUND",
            Self::Chargeback => "CHARGEBACK",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Funds without a split.
    PendingSplit,
    /// A split without funds.
    PendingSettlement,
    Reconciled,
    Cancelled,
}

const STATUSES: [&str; 4] = ["pending_split", "pending_settlement", "reconciled", "cancelled"];

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PendingSplit => "pending_split",
            Self::PendingSettlement => "pending_settlement",
            Self::Reconciled => "reconciled",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Transaction {
    id: Uuid,
    kind: Kind,
    psp_reference: String,
    mutation_reference: Option<String>,
    /// The split or refund it belongs to.
    resource: Option<Uuid>,
    amount: Money,
    /// It stands in a report of the processor.
    reported: bool,
    /// The processor has the payer's money.
    captured: bool,
    /// The processor has handed it over.
    funded: bool,
    /// Where it stood since when (elapsed time).
    history: Vec<(Duration, Instant, Status)>,
    created_at: Instant,
}

impl Transaction {
    fn status(&self) -> Option<Status> {
        self.history.last().map(|(_, _, status)| *status)
    }

    /// What the feed shows of it: where it stood a while ago.
    fn seen(&self, world: &World) -> Option<(Instant, Status)> {
        let lag = Duration::from_millis(world.core.config.payaut.transactions_lag_ms);
        let mut seen = self.history.iter().rev();
        let seen = seen.find(|(since, _, _)| since.saturating_add(lag) <= world.core.elapsed)?;
        Some((seen.1, seen.2))
    }

    /// The fields are not documented, but for type, status and the two references.
    fn to_json(&self, world: &World, (updated_at, status): (Instant, Status)) -> Json {
        json!({
            "code": code(self.id),
            "type": self.kind.name(),
            "status": status.name(),
            "pspExtRef": self.psp_reference,
            "pspMutationExtRef": self.mutation_reference,
            "extRef": self.reference(world),
            "amount": units(self.amount),
            "currency": self.amount.currency(),
            "createdAt": time(self.created_at),
            "updatedAt": time(updated_at),
        })
    }

    fn reference<'a>(&self, world: &'a World) -> Option<&'a str> {
        let split = self.resource.and_then(|id| world.payaut.splits.get(id));
        let refund = self.resource.and_then(|id| world.payaut.refunds.get(id));
        split
            .map(|split| split.reference.as_str())
            .or_else(|| refund.map(|refund| refund.reference.as_str()))
    }
}

/// Where one stands, seen without delay.
pub(crate) fn status(world: &World, id: Uuid) -> Option<Status> {
    world.payaut.transactions.get(id).and_then(Transaction::status)
}

/// Whether the processor has the payer's money.
pub(crate) fn is_captured(world: &World, id: Uuid) -> bool {
    let transaction = world.payaut.transactions.get(id);
    transaction.is_some_and(|transaction| transaction.captured)
}

/// What was handed over and belongs to no split, by currency.
pub(crate) fn unallocated(world: &World) -> Vec<Money> {
    let waiting = world.payaut.transactions.iter();
    let waiting = waiting.filter(|transaction| transaction.status() == Some(Status::PendingSplit));
    let mut sums: BTreeMap<_, Money> = BTreeMap::new();
    for transaction in waiting {
        let currency = transaction.amount.currency();
        let there = world.core.ledger.balance(Place::Pending(transaction.id), currency);
        let sum = sums.entry(currency).or_insert_with(|| Money::zero(currency));
        *sum = sum.checked_add(there).unwrap_or(*sum);
    }
    sums.into_values().collect()
}

/// Who a transaction is about.
struct New<'a> {
    kind: Kind,
    psp_reference: &'a str,
    mutation_reference: Option<&'a str>,
    resource: Option<Uuid>,
    amount: Money,
    status: Status,
}

fn add(world: &mut World, new: &New<'_>) -> Uuid {
    let id = world.core.new_id();
    let (now, elapsed) = (world.core.now, world.core.elapsed);
    let transaction = Transaction {
        id,
        kind: new.kind,
        psp_reference: new.psp_reference.to_owned(),
        mutation_reference: new.mutation_reference.map(str::to_owned),
        resource: new.resource,
        amount: new.amount,
        reported: false,
        captured: false,
        funded: false,
        history: vec![(elapsed, now, new.status)],
        created_at: now,
    };
    world.payaut.transactions.insert(id, now, elapsed, transaction);
    id
}

fn to(world: &mut World, id: Uuid, status: Status) {
    let (now, elapsed) = (world.core.now, world.core.elapsed);
    if let Some(transaction) = world.payaut.transactions.get_mut(id) {
        transaction.history.push((elapsed, now, status));
    }
}

/// The payment of a new split: one that came before its split, or a new one.
pub(super) fn of_split(world: &mut World, split: Uuid, psp_reference: &str, total: Money) -> Uuid {
    let waits = |known: &&Transaction| {
        known.status() == Some(Status::PendingSplit) && known.psp_reference == psp_reference && known.amount == total
    };
    let came = world.payaut.transactions.iter().find(waits).map(|known| known.id);
    if let Some(id) = came {
        if let Some(transaction) = world.payaut.transactions.get_mut(id) {
            transaction.resource = Some(split);
        }
        to(world, id, Status::PendingSettlement);
        return id;
    }
    let new = New {
        kind: Kind::Payment,
        psp_reference,
        mutation_reference: None,
        resource: Some(split),
        amount: total,
        status: Status::PendingSettlement,
    };
    add(world, &new)
}

/// The mutation of a new refund.
pub(super) fn of_refund(world: &mut World, refund: Uuid, references: [&str; 2], total: Money) -> Uuid {
    let [psp_reference, mutation_reference] = references;
    let new = New {
        kind: Kind::Refund,
        psp_reference,
        mutation_reference: Some(mutation_reference),
        resource: Some(refund),
        amount: total,
        status: Status::PendingSettlement,
    };
    add(world, &new)
}

pub(super) fn cancel(world: &mut World, id: Uuid) {
    to(world, id, Status::Cancelled);
}

/// A refund that the processor has reported.
pub(super) fn refunded(world: &mut World, id: Uuid) {
    to(world, id, Status::Reconciled);
}

// --- what the processor does ----------------------------------------------------------------------

fn under_way(world: &World, id: Uuid) -> Result<&Transaction, StepError> {
    let transaction = world.payaut.transactions.get(id).ok_or(StepError::NotFound)?;
    match transaction.status() {
        Some(Status::PendingSplit | Status::PendingSettlement) => Ok(transaction),
        status => Err(StepError::Illegal(status.map_or("", Status::name))),
    }
}

/// It stands in the settlement report: the payer's money is with the processor.
pub(super) fn reported(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if under_way(world, id)?.reported {
        return Err(StepError::Illegal("reported"));
    }
    capture(world, id)?;
    if let Some(transaction) = world.payaut.transactions.get_mut(id) {
        transaction.reported = true;
    }
    settle(world, id)
}

/// The processor hands the money over.
pub(super) fn funded(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if under_way(world, id)?.funded {
        return Err(StepError::Illegal("funded"));
    }
    capture(world, id)?;
    hand_over(world, id, Place::Psp, "psp.funds")
}

/// Report and funds, as far as they have not come.
pub(super) fn reconciled(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let transaction = under_way(world, id)?;
    if transaction.resource.is_none() {
        return Err(StepError::Illegal("pending_split"));
    }
    let (is_reported, is_funded) = (transaction.reported, transaction.funded);
    if !is_reported {
        reported(world, id)?;
    }
    if !is_funded {
        funded(world, id)?;
    }
    Ok(())
}

fn capture(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let transaction = under_way(world, id)?;
    let amount = transaction.amount;
    if !transaction.captured {
        let (now, route) = (world.core.now, (Place::Payer, Place::Psp));
        world.core.ledger.post(now, route, amount, "psp.captured", id)?;
    }
    if let Some(transaction) = world.payaut.transactions.get_mut(id) {
        transaction.captured = true;
    }
    Ok(())
}

fn hand_over(world: &mut World, id: Uuid, from: Place, step: &'static str) -> Result<(), StepError> {
    let amount = under_way(world, id)?.amount;
    let (now, route) = (world.core.now, (from, Place::Pending(id)));
    world.core.ledger.post(now, route, amount, step, id)?;
    if let Some(transaction) = world.payaut.transactions.get_mut(id) {
        transaction.captured = true;
        transaction.funded = true;
    }
    settle(world, id)
}

/// Books a payment to its accounts once everything has come.
pub(super) fn settle(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let transaction = world.payaut.transactions.get(id).ok_or(StepError::NotFound)?;
    let split = transaction.resource.and_then(|split| world.payaut.splits.get(split));
    let Some(split) = split.filter(|_| transaction.reported && transaction.funded) else {
        return Ok(());
    };
    let shares = items::net(world, &split.items).ok_or(StepError::NoSuchStep)?;
    for (account, amount) in shares.into_iter().filter(|(_, amount)| amount.is_positive()) {
        let place = world.payaut.accounts.get(account).map(super::accounts::Account::place);
        let route = (Place::Pending(id), place.ok_or(StepError::NotFound)?);
        let now = world.core.now;
        world.core.ledger.post(now, route, amount, "split.reconciled", id)?;
    }
    to(world, id, Status::Reconciled);
    Ok(())
}

/// The payer gets a settled payment back by way of the card scheme: the marketplace is liable for it.
pub(super) fn charged_back(world: &mut World, split: Uuid) -> Result<(), StepError> {
    let split = world.payaut.splits.get(split).ok_or(StepError::NotFound)?;
    let (id, reference, total) = (split.id, split.psp_reference.clone(), split.total);
    if status(world, split.transaction) != Some(Status::Reconciled) {
        return Err(StepError::Illegal("not reconciled"));
    }
    let new = New {
        kind: Kind::Chargeback,
        psp_reference: &reference,
        mutation_reference: None,
        resource: Some(id),
        amount: total,
        status: Status::Reconciled,
    };
    let back = add(world, &new);
    give_back(world, Place::Marketplace, total, ("psp.chargeback", back))
}

/// Money withheld by the processor, which gives it to the payer.
pub(super) fn give_back(
    world: &mut World,
    from: Place,
    amount: Money,
    (step, cause): (&'static str, Uuid),
) -> Result<(), StepError> {
    let now = world.core.now;
    world.core.ledger.post(now, (from, Place::Psp), amount, step, cause)?;
    world
        .core
        .ledger
        .post(now, (Place::Psp, Place::Payer), amount, step, cause)?;
    Ok(())
}

/// Money that arrives. What the control lets arrive at the collection account is what a processor hands over and
/// reports, for the payment that the reference names; what another provider sends there is without a report. On
/// any other account it is there at once.
pub(super) fn arrive(
    world: &mut World,
    from: Place,
    (step, _cause): (&'static str, Option<Uuid>),
    arrival: Arrival,
) -> Result<Uuid, StepError> {
    let account = world.payaut.accounts.get(arrival.account).ok_or(StepError::NotFound)?;
    if !account.liable {
        let (id, route, now) = (account.id, (from, account.place()), world.core.now);
        world.core.ledger.post(now, route, arrival.amount, step, id)?;
        return Ok(id);
    }
    let reference = arrival.reference.unwrap_or_default();
    let waits = |known: &&Transaction| {
        known.kind == Kind::Payment
            && known.status() == Some(Status::PendingSettlement)
            && !known.funded
            && known.psp_reference == reference
            && known.amount == arrival.amount
    };
    let known = world.payaut.transactions.iter().find(waits).map(|known| known.id);
    let id = known.unwrap_or_else(|| {
        let new = New {
            kind: Kind::Payment,
            psp_reference: &reference,
            mutation_reference: None,
            resource: None,
            amount: arrival.amount,
            status: Status::PendingSplit,
        };
        add(world, &new)
    });
    if from == Place::Outside {
        if !under_way(world, id)?.reported {
            reported(world, id)?;
        }
        funded(world, id)?;
    } else {
        hand_over(world, id, from, step)?;
    }
    Ok(id)
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let feed = Feed::read(world, call)?;
    let wanted = text(call, "query")?;
    let kind = word(call, "type", &KINDS)?;
    let wanted_status = word(call, "status", &STATUSES)?;
    let rows = world.payaut.transactions.iter().filter_map(|transaction| {
        let (at, status) = transaction.seen(world)?;
        let texts = [
            Some(transaction.psp_reference.as_str()),
            transaction.mutation_reference.as_deref(),
            transaction.reference(world),
        ];
        let is_meant = feed.covers(transaction.created_at)
            && kind.is_none_or(|kind| kind == transaction.kind.name())
            && wanted_status.is_none_or(|wanted| wanted == status.name())
            && found(wanted, &texts);
        is_meant.then(|| transaction.to_json(world, (at, status)))
    });
    Ok(feed.page(rows.collect()))
}

/// As the feed will show it, for the control.
pub(super) fn show(world: &World, id: Uuid) -> Option<Json> {
    let transaction = world.payaut.transactions.get(id)?;
    let (_, at, status) = transaction.history.last()?;
    Some(transaction.to_json(world, (*at, *status)))
}

//! Payouts: the provider makes them, on its own schedule. Nobody can ask for one over this API.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::accounts::business_id;
use super::books::{self, Line};
use super::events::tell;
use super::wire::{Cents, Entity, list, listed_from, named, tagged, time, time_or_null, usd};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::address::{Address, Number};
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::{Leaving, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Created,
    Pending,
    Held,
    Completed,
    Failed,
    Returned,
    Cancelled,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }

    fn is_under_way(self) -> bool {
        matches!(self, Self::Created | Self::Pending | Self::Held)
    }
}

/// Everything settled of one merchant, on its way to the bank.
#[derive(Debug)]
pub(crate) struct Payout {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
    number: usize,
    status: Status,
    lines: Vec<Uuid>,
    /// By source: how many lines, and their sum.
    summary: Vec<(&'static str, u64, Cents)>,
    amount: Cents,
    fee: Cents,
    reject_fee: Cents,
    attempts: Vec<(Instant, &'static str)>,
    rejects: u64,
    created_at: Instant,
    updated_at: Instant,
    completed_at: Option<Instant>,
    returned_at: Option<Instant>,
}

impl Entity for Payout {
    const PREFIX: &'static str = "po";
    const WHAT: &'static str = "the payout";

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account
    }
}

impl Payout {
    fn net(&self) -> Cents {
        self.amount - self.fee - self.reject_fee
    }

    pub(crate) fn to_json(&self, world: &World) -> Json {
        let account = world.payments.accounts.get(self.account);
        let summary = self.summary.iter();
        let summary: Vec<Json> = summary
            .map(|(kind, count, amount)| json!({ "source_type": kind, "count": count, "amount": amount }))
            .collect();
        let attempts = self.attempts.iter();
        let attempts: Vec<Json> = attempts
            .map(|(at, status)| json!({ "created_at": time(*at), "status": status, "amount": self.net() }))
            .collect();
        let settled = self.completed_at.filter(|_| self.status == Status::Completed);
        json!({
            "id": self.shown_id(),
            "entity": "payout",
            "status": self.status.name(),
            "payout_number": self.number,
            "transaction_count": self.lines.len(),
            "transaction_summary": summary,
            "amount": self.amount,
            "net_amount": self.net(),
            "fee_amount": self.fee + self.reject_fee,
            "batch_fee": world.core.config.payments.batch_fee,
            "reject_fee": self.reject_fee,
            "latest_payment_data": attempts.last(),
            "payment_data": attempts,
            "payment_attempt_count": self.attempts.len(),
            "payment_reject_count": self.rejects,
            "owner_type": "account",
            "owner_id": tagged("acct", self.account),
            "business_id": account.map(|account| business_id(account.business)),
            "settlement_status": if settled.is_some() { "settled" } else { "unsettled" },
            "settled_at": time_or_null(settled),
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
            "completed_at": time_or_null(self.completed_at),
            "returned_at": time_or_null(self.returned_at),
        })
    }
}

// --- operations ---------------------------------------------------------------------------------

/// Of the account, or of the business: whichever the caller named.
pub(super) fn list_all(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    list(
        world,
        call,
        &world.payments.payouts,
        |_| true,
        |payout| payout.to_json(world),
    )
}

pub(super) fn fetch(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    named(world, &world.payments.payouts, call).map(|payout| payout.to_json(world))
}

// --- steps --------------------------------------------------------------------------------------

/// The provider's schedule: pays out, and comes again.
pub(crate) fn scheduled(world: &mut World, account: Uuid) -> Result<(), StepError> {
    if let Some(every_ms) = world.core.config.payments.lifecycle.payout_every_ms {
        world.core.plan_step(every_ms, account, scheduled);
    }
    makes(world, account)
}

/// Pays out everything that is settled and in no payout yet, if something is left of it after fees.
pub(crate) fn makes(world: &mut World, account: Uuid) -> Result<(), StepError> {
    let settled = |line: &&Line| line.account == account && line.settled_at.is_some() && line.payout.is_none();
    let lines: Vec<&Line> = world.payments.lines.iter().filter(settled).collect();
    let mut summary: Vec<(&'static str, u64, Cents)> = Vec::new();
    for line in &lines {
        match summary.iter_mut().find(|(kind, _, _)| *kind == line.source.kind) {
            Some((_, count, sum)) => {
                *count += 1;
                *sum += line.amount;
            }
            None => summary.push((line.source.kind, 1, line.amount)),
        }
    }
    let settings = &world.core.config.payments;
    let points = i64::from(settings.fee_basis_points);
    let of_payments = lines.iter().filter(|line| line.source.kind == "payment");
    // Rounded up, each by itself.
    let processing: Cents = of_payments.map(|line| (line.amount * points + 9_999) / 10_000).sum();
    let fee = processing + Cents::from(settings.batch_fee);
    let amount: Cents = lines.iter().map(|line| line.amount).sum();
    let lines: Vec<Uuid> = lines.iter().map(|line| line.id).collect();
    if amount <= fee {
        return Err(StepError::Illegal("without anything to pay out"));
    }
    let (id, now) = (world.core.new_id(), world.core.now);
    let route = (Place::Settled(account), Place::Reserved(id));
    world.core.ledger.post(now, route, usd(amount), "payout.created", id)?;
    let before = world.payments.payouts.iter().filter(|payout| payout.account == account);
    let payout = Payout {
        id,
        account,
        number: before.count() + 1,
        status: Status::Created,
        summary,
        amount,
        fee,
        reject_fee: 0,
        attempts: Vec::new(),
        rejects: 0,
        created_at: now,
        updated_at: now,
        completed_at: None,
        returned_at: None,
        lines,
    };
    books::assign(world, &payout.lines, Some(id));
    let from = listed_from(world, 0);
    world.payments.payouts.insert(id, now, from, payout);
    told(world, id, "v2.payout.created");
    let delay_ms = world.core.config.payments.lifecycle.payout_pended_ms;
    world.core.plan_step(delay_ms, id, pends);
    Ok(())
}

fn told(world: &mut World, id: Uuid, event: &'static str) {
    if let Some(shown) = world.payments.payouts.get(id).map(|payout| payout.to_json(world)) {
        tell(world, event, shown);
    }
}

fn change(world: &mut World, id: Uuid, event: &'static str, change: impl FnOnce(&mut Payout)) {
    let now = world.core.now;
    if let Some(payout) = world.payments.payouts.get_mut(id) {
        change(payout);
        payout.updated_at = now;
    }
    told(world, id, event);
}

fn under_way(world: &World, id: Uuid) -> Result<&Payout, StepError> {
    let payout = world.payments.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status.is_under_way() {
        return Ok(payout);
    }
    Err(StepError::Illegal(payout.status.name()))
}

fn goes_out(world: &mut World, id: Uuid, event: &'static str) {
    let now = world.core.now;
    change(world, id, event, |payout| {
        payout.status = Status::Pending;
        payout.attempts.push((now, "pending"));
    });
    let delay_ms = world.core.config.payments.lifecycle.payout_completed_ms;
    world.core.plan_step(delay_ms, id, completes);
}

fn pends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if under_way(world, id)?.status == Status::Pending {
        return Err(StepError::Illegal("pending"));
    }
    goes_out(world, id, "v2.payout.pended");
    Ok(())
}

fn holds(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if under_way(world, id)?.status == Status::Held {
        return Err(StepError::Illegal("held"));
    }
    change(world, id, "v2.payout.held", |payout| payout.status = Status::Held);
    Ok(())
}

/// Where the provider's money comes from, as the receiving bank sees it.
fn source() -> Address {
    Address {
        holder: Some("Payments".to_owned()),
        number: Number::Aba {
            routing: "122105278".to_owned(),
            account: "0000000016".to_owned(),
        },
        bic: None,
    }
}

/// The bank has it. A payout that is held waits; it is not overtaken by the step that was planned before.
fn completes(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = under_way(world, id)?;
    if payout.status != Status::Pending {
        return Err(StepError::Illegal(payout.status.name()));
    }
    let (account, net, fees) = (payout.account, payout.net(), payout.amount - payout.net());
    let reference = format!("PAYOUT {}", payout.number);
    let bank = world
        .payments
        .accounts
        .get(account)
        .ok_or(StepError::NotFound)?
        .bank
        .clone();
    let (place, now) = (Place::Reserved(id), world.core.now);
    let left = match bank {
        None => {
            let route = (place, Place::Outside);
            let posted = world.core.ledger.post(now, route, usd(net), "payout.completed", id);
            posted.map_err(StepError::from)
        }
        Some(to) => {
            let leaving = Leaving {
                amount: usd(net),
                to,
                source: source(),
                reference: Some(reference),
                rail: Some("ach".to_owned()),
                account,
            };
            world.leave(place, ("payout.completed", id), leaving)
        }
    };
    match left {
        Ok(()) => {}
        // The account cannot receive anything.
        Err(StepError::Illegal(_)) => return fails(world, id),
        Err(error) => return Err(error),
    }
    if fees > 0 {
        let route = (place, Place::Psp);
        world.core.ledger.post(now, route, usd(fees), "payout.fee", id)?;
    }
    change(world, id, "v2.payout.completed", |payout| {
        payout.status = Status::Completed;
        payout.completed_at = Some(now);
        if let Some((_, status)) = payout.attempts.last_mut() {
            *status = "completed";
        }
    });
    Ok(())
}

/// Gives back what was set aside.
fn free(world: &mut World, id: Uuid, step: &'static str) -> Result<(), StepError> {
    let payout = under_way(world, id)?;
    let (route, amount) = (
        (Place::Reserved(id), Place::Settled(payout.account)),
        usd(payout.amount),
    );
    let now = world.core.now;
    Ok(world.core.ledger.post(now, route, amount, step, id)?)
}

/// It did not arrive. Its lines stay its own: it may be tried again.
fn fails(world: &mut World, id: Uuid) -> Result<(), StepError> {
    free(world, id, "payout.failed")?;
    change(world, id, "v2.payout.failed", |payout| {
        payout.status = Status::Failed;
        payout.rejects += 1;
        if let Some((_, status)) = payout.attempts.last_mut() {
            *status = "failed";
        }
    });
    Ok(())
}

/// It arrived, and the bank sent it back.
fn comes_back(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = world.payments.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status != Status::Completed {
        return Err(StepError::Illegal(payout.status.name()));
    }
    let (settled, net, fees) = (
        Place::Settled(payout.account),
        payout.net(),
        payout.amount - payout.net(),
    );
    let now = world.core.now;
    let ledger = &mut world.core.ledger;
    ledger.post(now, (Place::Outside, settled), usd(net), "payout.returned", id)?;
    if fees > 0 {
        ledger.post(now, (Place::Psp, settled), usd(fees), "payout.returned", id)?;
    }
    change(world, id, "v2.payout.returned", |payout| {
        payout.status = Status::Returned;
        payout.returned_at = Some(now);
        payout.rejects += 1;
        if let Some((_, status)) = payout.attempts.last_mut() {
            *status = "returned";
        }
    });
    Ok(())
}

/// What did not arrive is tried again, and costs more.
fn retries(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = world.payments.payouts.get(id).ok_or(StepError::NotFound)?;
    let reject_fee = Cents::from(world.core.config.payments.reject_fee);
    let possible = matches!(payout.status, Status::Failed | Status::Returned) && payout.net() > reject_fee;
    if !possible {
        return Err(StepError::Illegal(payout.status.name()));
    }
    let route = (Place::Settled(payout.account), Place::Reserved(id));
    let (now, amount) = (world.core.now, usd(payout.amount));
    world.core.ledger.post(now, route, amount, "payout.retried", id)?;
    if let Some(payout) = world.payments.payouts.get_mut(id) {
        payout.reject_fee += reject_fee;
        payout.completed_at = None;
    }
    goes_out(world, id, "v2.payout.retried");
    Ok(())
}

/// It is given up: the next payout has its lines.
fn cancels(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = world.payments.payouts.get(id).ok_or(StepError::NotFound)?;
    match payout.status {
        Status::Failed | Status::Returned => {}
        _ => free(world, id, "payout.cancelled")?,
    }
    let lines = world.payments.payouts.get(id).map(|payout| payout.lines.clone());
    books::assign(world, &lines.unwrap_or_default(), None);
    change(world, id, "v2.payout.cancelled", |payout| {
        payout.status = Status::Cancelled;
    });
    Ok(())
}

/// Moves a payout to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "pending" => pends(world, id),
        "held" => holds(world, id),
        "completed" => completes(world, id),
        "failed" => fails(world, id),
        "returned" => comes_back(world, id),
        "retried" => retries(world, id),
        "cancelled" => cancels(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}

//! Payout requests: to a selected external account of a holder that passed KYC. No key of any kind: the same
//! request again is another payout.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::accounts::{self, Account};
use super::config::{Kyc, PayoutRefused};
use super::error::unprocessable;
use super::externals::External;
use super::holders::listed_from;
use super::splits::{description, required};
use super::wire::{
    Feed, Numbered, Span, amount, code, found, nothing, of_code, path_code, sent_time, text, time, units, word,
};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::failure::{Ending, Failure};
use crate::simulator::core::fields::Fields;
use crate::simulator::core::ledger::{LedgerError, Place};
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::{Leaving, World};

/// The event of every change.
pub(crate) const UPDATE: &str = "WEBHOOK_PAYOUT_UPDATE";

const STATUSES: [&str; 4] = ["PENDING", "IN_PROGRESS", "PROCESSED", "FAILED"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Pending,
    InProgress,
    Processed,
    Failed,
    /// Taken back before anything began: no answer shows it any more.
    Deleted,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Processed => "PROCESSED",
            Self::Failed => "FAILED",
            Self::Deleted => "DELETED",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Payout {
    id: Uuid,
    account: Uuid,
    external: Uuid,
    amount: Money,
    description: Option<String>,
    process_at: Instant,
    status: Status,
    failure: Option<String>,
    ending: Ending,
    created_at: Instant,
    updated_at: Instant,
}

impl Payout {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "code": code(self.id),
            "accountCode": code(self.account),
            "externalAccountCode": code(self.external),
            "amount": units(self.amount),
            "sourceCurrency": self.amount.currency(),
            "targetCurrency": self.amount.currency(),
            "description": self.description,
            "processAt": time(self.process_at),
            "status": self.status.name(),
            "failureReason": self.failure,
            "createdAt": time(self.created_at),
            "updatedAt": time(self.updated_at),
        })
    }

    pub(crate) fn effect(&self) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: "payout",
            id: self.id,
            status: self.status.name(),
            amount: self.amount,
            source_account_id: self.account,
            destination: Json::String(code(self.external)),
            reference: self.description.clone(),
            metadata: BTreeMap::new(),
            idempotency_key: None,
            created_at: self.created_at,
        }
    }
}

/// What a payout is asked of.
pub(super) struct Asked {
    pub(super) account: Uuid,
    pub(super) external: Uuid,
    pub(super) amount: Money,
    pub(super) description: Option<String>,
    pub(super) process_at: Instant,
}

/// Whether it may be made now: KYC of both, and the payout balance.
pub(super) fn check(world: &World, asked: &Asked) -> Result<(), String> {
    let settings = &world.core.config.payaut;
    let payaut = &world.payaut;
    let account = payaut.accounts.get(asked.account).ok_or("there is no such account")?;
    let holder = payaut
        .holders
        .get(account.holder)
        .ok_or("there is no such account holder")?;
    if holder.kyc.status != Kyc::Active {
        return Err(format!("KYC of the account holder is {}", holder.kyc.status.name()));
    }
    let external = payaut.externals.get(asked.external);
    let external = external.filter(|known| known.holder == account.holder);
    let external = external.ok_or("the account holder has no such external account")?;
    if external.kyc.status != Kyc::Active {
        return Err(format!("KYC of the external account is {}", external.kyc.status.name()));
    }
    if !external.selected && !settings.payout_to_unselected {
        return Err("the external account is not the selected one".to_owned());
    }
    if !external.takes(asked.amount.currency()) {
        return Err(format!("the external account takes {}", external.currency));
    }
    let available = accounts::available(world, account, asked.amount.currency());
    let available = available.ok_or("the balance is not known")?;
    match available.checked_sub(asked.amount) {
        Ok(rest) if !rest.is_negative() => Ok(()),
        _ => Err(format!("the payout balance is {available}")),
    }
}

/// Reserves its amount and plans its way.
pub(super) fn make(
    world: &mut World,
    asked: Asked,
    (unlisted_from, failure): (std::time::Duration, Option<Failure>),
) -> Result<Json, LedgerError> {
    let id = world.core.new_id();
    let now = world.core.now;
    let place = world.payaut.accounts.get(asked.account).map(Account::place);
    let route = (place.unwrap_or(Place::Account(asked.account)), Place::Reserved(id));
    world.core.ledger.post(now, route, asked.amount, "payout.created", id)?;
    let payout = Payout {
        id,
        account: asked.account,
        external: asked.external,
        amount: asked.amount,
        description: asked.description,
        process_at: asked.process_at,
        status: Status::Pending,
        failure: None,
        ending: Ending::of(failure),
        created_at: now,
        updated_at: now,
    };
    let shown = payout.to_json();
    world.payaut.payouts.insert(id, now, unlisted_from, payout);
    let until_due = (asked.process_at - now).num_milliseconds();
    let delay_ms = u64::try_from(until_due).unwrap_or_default();
    let delay_ms = delay_ms.saturating_add(world.core.config.payaut.lifecycle.payout_in_progress_ms);
    world.core.plan_step(delay_ms, id, in_progress);
    Ok(shown)
}

/// One that the API still shows, by the code in the path.
fn named(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let id = path_code(call, 0, "the payout request")?;
    let payout = world.payaut.payouts.get(id);
    let payout = payout.filter(|payout| payout.status != Status::Deleted);
    payout
        .map(|payout| payout.id)
        .ok_or_else(|| Refusal::not_found("the payout request"))
}

fn any_currency(fields: &mut Fields<'_>, field: &'static str) -> Result<Currency, Refusal> {
    let currency = Currency::from_code(fields.text(field)?);
    currency.map_err(|_| fields.invalid(field, "is the code of a currency"))
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let account = fields.text("accountCode")?;
    let source = any_currency(&mut fields, "sourceCurrency")?;
    let target = any_currency(&mut fields, "targetCurrency")?;
    let amount = amount(&mut fields, "amount", source)?;
    let description = description(&mut fields)?;
    let external = required(&mut fields, "externalAccountCode")?;
    let process_at = sent_time(&mut fields, "processAt")?;
    let (_, process_at) = process_at.ok_or_else(|| Refusal::parameter_missing("processAt"))?;
    fields.finish(world.core.config.payaut.unknown_parameters)?;
    if source != target {
        return Err(fields.invalid("targetCurrency", "is the sourceCurrency: nothing is converted"));
    }
    let account = accounts::find(world, account).ok_or_else(|| Refusal::not_found("the account"))?;
    let external = of_code(&external).and_then(|id| world.payaut.externals.get(id));
    let external = external.ok_or_else(|| Refusal::not_found("the external account"))?;
    let asked = Asked {
        account: account.id,
        external: external.id,
        amount,
        description,
        process_at,
    };
    check(world, &asked).map_err(|why| match world.core.config.payaut.payout_refused {
        PayoutRefused::Unprocessable => unprocessable(why),
        PayoutRefused::Forbidden => Refusal::permission_denied(why),
    })?;
    let listed_from = listed_from(world, call);
    let made = make(world, asked, (listed_from, call.fail_later.clone()));
    made.map_err(|error| unprocessable(error.to_string()))
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let payout = world.payaut.payouts.get(id).map(Payout::to_json);
    payout.ok_or_else(Refusal::internal)
}

/// Only as long as nothing has begun. The money is free again, and the request is gone.
pub(super) fn delete(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let status = world.payaut.payouts.get(id).map(|payout| payout.status);
    if status != Some(Status::Pending) {
        let name = status.map_or("", Status::name);
        return Err(Refusal::conflict(format!("the payout request is {name}")));
    }
    free(world, id, "payout.deleted").map_err(|_| Refusal::internal())?;
    change(world, id, |payout| payout.status = Status::Deleted);
    Ok(nothing(world))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let page = Numbered::read(world, call)?;
    let rows = Span::read(world, call)?.of(world, &world.payaut.payouts);
    let rows = rows.into_iter().filter(|payout| payout.status != Status::Deleted);
    Ok(page.page(rows.map(Payout::to_json).collect()))
}

pub(super) fn feed(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let feed = Feed::read(world, call)?;
    let wanted = text(call, "query")?;
    let status = word(call, "status", &STATUSES)?;
    let rows = world.payaut.payouts.rows().iter();
    let rows = rows
        .filter(|row| row.listed_from <= world.core.elapsed)
        .map(|row| &row.item);
    let rows = rows.filter(|payout| {
        let (own, account) = (code(payout.id), code(payout.account));
        let texts = [
            Some(own.as_str()),
            Some(account.as_str()),
            payout.description.as_deref(),
        ];
        payout.status != Status::Deleted
            && feed.covers(payout.created_at)
            && status.is_none_or(|status| status == payout.status.name())
            && found(wanted, &texts)
    });
    Ok(feed.page(rows.map(Payout::to_json).collect()))
}

// --- steps --------------------------------------------------------------------------------------

fn is(world: &World, id: Uuid, expected: &[Status]) -> Result<(), StepError> {
    let payout = world.payaut.payouts.get(id).ok_or(StepError::NotFound)?;
    if expected.contains(&payout.status) {
        return Ok(());
    }
    Err(StepError::Illegal(payout.status.name()))
}

fn in_progress(world: &mut World, id: Uuid) -> Result<(), StepError> {
    is(world, id, &[Status::Pending])?;
    change(world, id, |payout| payout.status = Status::InProgress);
    tell(world, id, "PENDING");
    let delay_ms = world.core.config.payaut.lifecycle.payout_processed_ms;
    world.core.plan_step(delay_ms, id, ends);
    Ok(())
}

/// The money leaves, unless something else was decided at its creation.
fn ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    is(world, id, &[Status::Pending, Status::InProgress])?;
    let payout = world.payaut.payouts.get(id).ok_or(StepError::NotFound)?;
    if let Ending::Bad(failure) = payout.ending.clone() {
        return fails(world, id, failure);
    }
    let before = payout.status.name();
    let external = world.payaut.externals.get(payout.external);
    let leaving = Leaving {
        amount: payout.amount,
        to: external.map(External::address).ok_or(StepError::NotFound)?,
        source: world.payaut.collection.clone(),
        reference: payout.description.clone(),
        rail: None,
        account: payout.account,
    };
    match world.leave(Place::Reserved(id), ("payout.processed", id), leaving) {
        Ok(()) => {}
        Err(StepError::Illegal(_)) => {
            let failure = Failure::new("account_blocked", "the account cannot receive money", false);
            return fails(world, id, failure);
        }
        Err(error) => return Err(error),
    }
    change(world, id, |payout| payout.status = Status::Processed);
    tell(world, id, before);
    Ok(())
}

/// It does not arrive, or comes back after it had: the balance is as it was.
fn fails(world: &mut World, id: Uuid, failure: Failure) -> Result<(), StepError> {
    is(world, id, &[Status::Pending, Status::InProgress, Status::Processed])?;
    let before = world.payaut.payouts.get(id).map_or("", |payout| payout.status.name());
    if before == Status::Processed.name() {
        back(world, id, Place::Outside, "payout.returned")?;
    } else {
        free(world, id, "payout.failed")?;
    }
    change(world, id, |payout| {
        payout.status = Status::Failed;
        payout.failure = Some(failure.message);
    });
    tell(world, id, before);
    Ok(())
}

fn free(world: &mut World, id: Uuid, step: &'static str) -> Result<(), StepError> {
    back(world, id, Place::Reserved(id), step)
}

fn back(world: &mut World, id: Uuid, from: Place, step: &'static str) -> Result<(), StepError> {
    let payout = world.payaut.payouts.get(id).ok_or(StepError::NotFound)?;
    let account = world.payaut.accounts.get(payout.account).ok_or(StepError::NotFound)?;
    let (route, amount, now) = ((from, account.place()), payout.amount, world.core.now);
    Ok(world.core.ledger.post(now, route, amount, step, id)?)
}

fn change(world: &mut World, id: Uuid, change: impl FnOnce(&mut Payout)) {
    let now = world.core.now;
    if let Some(payout) = world.payaut.payouts.get_mut(id) {
        change(payout);
        payout.updated_at = now;
    }
}

fn tell(world: &mut World, id: Uuid, before: &str) {
    let Some(payout) = world.payaut.payouts.get(id) else {
        return;
    };
    let told = json!({
        "code": code(id),
        "accountCode": code(payout.account),
        "oldStatus": before,
        "newStatus": payout.status.name(),
    });
    world.core.emit(&CONTRACT, UPDATE, told);
}

/// Moves one to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str, failure: Option<Failure>) -> Result<(), StepError> {
    let failure = failure.unwrap_or_else(|| Failure::new("failed", "failed as asked for", false));
    match status {
        "IN_PROGRESS" => in_progress(world, id),
        "PROCESSED" => ends(world, id),
        "FAILED" => fails(world, id, failure),
        _ => Err(StepError::NoSuchStep),
    }
}

//! Refund splits: which accounts bear a refund that the processor makes. Their `extRef` is the payment's; what
//! tells one from another is `pspMutationExtRef`.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::accounts::Account;
use super::config::{Duplicate, OverRefund};
use super::error::unprocessable;
use super::holders::listed_from;
use super::items::{self, Item};
use super::splits::{description, required};
use super::transactions::{self, Status};
use super::wire::{Numbered, Span, code, optional_amount, path_code, sent_time, units};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

#[derive(Debug)]
pub(crate) struct Refund {
    pub(crate) id: Uuid,
    pub(crate) reference: String,
    mutation_reference: String,
    split: Uuid,
    /// The whole payment, by the items of its split.
    pub(crate) whole: bool,
    pub(crate) items: Vec<Item>,
    total: Money,
    description: Option<String>,
    processed_at: Option<String>,
    transaction: Uuid,
    created_at: Instant,
}

impl Refund {
    /// Without a status, a currency or a time.
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "code": code(self.id),
            "description": self.description,
            "extProcessedAt": self.processed_at,
            "extRef": self.reference,
            "items": items::show(&self.items),
            "pspMutationExtRef": self.mutation_reference,
            "totalAmount": units(self.total),
        })
    }

    pub(crate) fn effect(&self, world: &World) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: "refund_split",
            id: self.id,
            status: transactions::status(world, self.transaction).map_or("", Status::name),
            amount: self.total,
            source_account_id: world.payaut.liable,
            destination: items::show(&self.items),
            reference: Some(self.mutation_reference.clone()),
            metadata: BTreeMap::new(),
            idempotency_key: None,
            created_at: self.created_at,
        }
    }

    fn is_pending(&self, world: &World) -> bool {
        transactions::status(world, self.transaction) == Some(Status::PendingSettlement)
    }
}

/// What is being charged to an account.
pub(crate) fn pending(world: &World, account: &Account, currency: Currency) -> Option<Money> {
    let mut sum = Money::zero(currency);
    let all = world.payaut.refunds.iter();
    for refund in all.filter(|refund| refund.total.currency() == currency && refund.is_pending(world)) {
        for (bearer, amount) in items::net(world, &refund.items)? {
            if bearer == account.id {
                sum = sum.checked_add(amount).ok()?;
            }
        }
    }
    Some(sum)
}

/// What refunds have left of a split.
fn left(world: &World, split: Uuid) -> Result<Money, Refusal> {
    let found = world.payaut.splits.get(split).ok_or_else(Refusal::internal)?;
    let mut left = found.total;
    for refund in world.payaut.refunds.iter().filter(|refund| refund.split == split) {
        left = left.checked_sub(refund.total).map_err(|_| Refusal::internal())?;
    }
    Ok(left)
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let page = Numbered::read(world, call)?;
    let rows = Span::read(world, call)?.of(world, &world.payaut.refunds);
    Ok(page.page(rows.into_iter().map(Refund::to_json).collect()))
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = path_code(call, 0, "the refund")?;
    let refund = world.payaut.refunds.get(id).map(Refund::to_json);
    refund.ok_or_else(|| Refusal::not_found("the refund"))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut refund = read(world, call)?;
    let is_same = |known: &Refund| known.mutation_reference == refund.mutation_reference;
    let is_known = world.payaut.refunds.iter().any(is_same);
    if is_known && world.core.config.payaut.duplicate_refund == Duplicate::Conflict {
        return Err(Refusal::conflict("the pspMutationExtRef is in use already"));
    }
    let left = left(world, refund.split)?;
    let is_over = left.checked_sub(refund.total).is_ok_and(Money::is_negative);
    if is_over && world.core.config.payaut.over_refund == OverRefund::Refuse {
        return Err(unprocessable(format!(
            "{} is more than {left}, which is left of the payment",
            refund.total
        )));
    }
    let split = world.payaut.splits.get(refund.split).ok_or_else(Refusal::internal)?;
    let psp_reference = split.psp_reference.clone();
    let references = [psp_reference.as_str(), refund.mutation_reference.as_str()];
    refund.transaction = transactions::of_refund(world, refund.id, references, refund.total);
    let shown = refund.to_json();
    let listed_from = listed_from(world, call);
    world
        .payaut
        .refunds
        .insert(refund.id, world.core.now, listed_from, refund);
    Ok(shown)
}

fn read(world: &mut World, call: &Call) -> Result<Refund, Refusal> {
    let mut fields = call.fields();
    let reference = required(&mut fields, "extRef")?;
    let mutation_reference = required(&mut fields, "pspMutationExtRef")?;
    let split = world.payaut.splits.iter().find(|split| split.reference == reference);
    let split = split.ok_or_else(|| Refusal::not_found("the payment of this extRef"))?;
    if transactions::status(world, split.transaction) == Some(Status::Cancelled) {
        return Err(unprocessable("the payment was cancelled"));
    }
    let (split, whole, of_split) = (split.id, split.total, split.items.clone());
    let total = optional_amount(&mut fields, "totalAmount", whole.currency())?;
    let named = items::read(world, &mut fields, total.unwrap_or(whole))?;
    let is_whole = named.is_none();
    if is_whole && total.is_some_and(|total| total != whole) {
        return Err(fields.invalid("items", "are needed for a part of the payment"));
    }
    let net = named
        .as_deref()
        .map(|named| items::net(world, named).ok_or_else(Refusal::internal));
    if net
        .transpose()?
        .is_some_and(|net| net.iter().any(|(_, amount)| amount.is_negative()))
    {
        return Err(unprocessable("a discount is more than its account bears"));
    }
    let refund = Refund {
        id: world.core.new_id(),
        reference,
        mutation_reference,
        split,
        whole: is_whole,
        items: named.unwrap_or(of_split),
        total: total.unwrap_or(whole),
        description: description(&mut fields)?,
        processed_at: sent_time(&mut fields, "extProcessedAt")?.map(|(text, _)| text.to_owned()),
        transaction: Uuid::nil(),
        created_at: world.core.now,
    };
    fields.finish(world.core.config.payaut.unknown_parameters)?;
    Ok(refund)
}

// --- steps --------------------------------------------------------------------------------------

/// Its mutation stands in the processor's report. What an account has too little of, the marketplace bears.
pub(super) fn reconciled(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let refund = world.payaut.refunds.get(id).ok_or(StepError::NotFound)?;
    if !refund.is_pending(world) {
        return Err(StepError::Illegal("not pending"));
    }
    let split = world.payaut.splits.get(refund.split).ok_or(StepError::NotFound)?;
    if transactions::status(world, split.transaction) != Some(Status::Reconciled) {
        return Err(StepError::Illegal("a refund of what has not come"));
    }
    let transaction = refund.transaction;
    let bearers = items::net(world, &refund.items).ok_or(StepError::NoSuchStep)?;
    for (account, amount) in bearers.into_iter().filter(|(_, amount)| amount.is_positive()) {
        let account = world.payaut.accounts.get(account).ok_or(StepError::NotFound)?;
        let (place, step) = (account.place(), ("refund.reconciled", id));
        let there = world.core.ledger.balance(place, amount.currency());
        let rest = amount.checked_sub(there).map_err(|_| StepError::NoSuchStep)?;
        let (own, rest) = match () {
            () if account.liable || !rest.is_positive() => (amount, Money::zero(amount.currency())),
            () => (there, rest),
        };
        if own.is_positive() {
            transactions::give_back(world, place, own, step)?;
        }
        if rest.is_positive() {
            transactions::give_back(world, Place::Marketplace, rest, step)?;
        }
    }
    transactions::refunded(world, transaction);
    Ok(())
}

//! Split payments: how a captured payment is divided over virtual accounts. Known for good by their `extRef`: a
//! second one is the first, whatever else it says.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::config::Duplicate;
use super::error::unprocessable;
use super::holders::listed_from;
use super::items::{self, Item};
use super::transactions::{self, Status};
use super::wire::{Numbered, Span, amount, code, nothing, owned, path_code, sent_time, units};
use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::answer::Form;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

const PROCESSORS: [&str; 6] = ["ADYEN", "CHECKOUT", "CLEARHAUS", "MOLLIE", "PAYPAL", "STRIPE"];

#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) id: Uuid,
    pub(crate) reference: String,
    pub(crate) psp_reference: String,
    processor: String,
    payment_method: Option<String>,
    description: Option<String>,
    processed_at: Option<String>,
    pub(crate) total: Money,
    pub(crate) items: Vec<Item>,
    /// The payment as the feed of transactions shows it.
    pub(crate) transaction: Uuid,
    created_at: Instant,
}

impl Split {
    /// Without a status: only transactions have one.
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "code": code(self.id),
            "currency": self.total.currency(),
            "description": self.description,
            "extProcessedAt": self.processed_at,
            "extRef": self.reference,
            "items": items::show(&self.items),
            "paymentMethod": self.payment_method,
            "paymentProcessor": self.processor,
            "pspExtRef": self.psp_reference,
            "totalAmount": units(self.total),
        })
    }

    pub(crate) fn effect(&self, world: &World) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: "split",
            id: self.id,
            status: transactions::status(world, self.transaction).map_or("", Status::name),
            amount: self.total,
            source_account_id: world.payaut.liable,
            destination: items::show(&self.items),
            reference: Some(self.psp_reference.clone()),
            metadata: BTreeMap::new(),
            idempotency_key: Some(self.reference.clone()),
            created_at: self.created_at,
        }
    }
}

/// What is split to an account and has not come yet, by currency.
pub(crate) fn pending(world: &World, account: Uuid) -> Option<Vec<Money>> {
    let waits = |split: &&Split| transactions::status(world, split.transaction) == Some(Status::PendingSettlement);
    let mut sums: BTreeMap<_, Money> = BTreeMap::new();
    for split in world.payaut.splits.iter().filter(waits) {
        for (_, amount) in items::net(world, &split.items)?
            .into_iter()
            .filter(|(to, _)| *to == account)
        {
            let sum = sums
                .entry(amount.currency())
                .or_insert_with(|| Money::zero(amount.currency()));
            *sum = sum.checked_add(amount).ok()?;
        }
    }
    Some(sums.into_values().collect())
}

/// A text of a request that has to be there and not be empty.
pub(super) fn required(fields: &mut Fields<'_>, field: &'static str) -> Result<String, Refusal> {
    Ok(fields.bounded(field, 1, 255)?.to_owned())
}

/// A description of a request, if there is one: 255 characters at most.
pub(super) fn description(fields: &mut Fields<'_>) -> Result<Option<String>, Refusal> {
    let text = owned(fields, "description")?;
    if text.as_ref().is_some_and(|text| text.chars().count() > 255) {
        return Err(fields.invalid("description", "has at most 255 characters"));
    }
    Ok(text)
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let page = Numbered::read(world, call)?;
    let rows = Span::read(world, call)?.of(world, &world.payaut.splits);
    Ok(page.page(rows.into_iter().map(Split::to_json).collect()))
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = path_code(call, 0, "the split")?;
    let split = world.payaut.splits.get(id).map(Split::to_json);
    split.ok_or_else(|| Refusal::not_found("the split"))
}

/// The reference is looked at before anything else: where it is known, nothing else of the request matters.
pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let reference = fields.bounded("extRef", 4, 64)?.to_owned();
    let known = world.payaut.splits.iter().find(|split| split.reference == reference);
    if let Some(known) = known {
        return Ok(known.to_json());
    }
    let split = read(world, &mut fields, reference)?;
    let (id, psp_reference, total) = (split.id, split.psp_reference.clone(), split.total);
    let shown = split.to_json();
    let listed_from = listed_from(world, call);
    world.payaut.splits.insert(id, world.core.now, listed_from, split);
    let transaction = transactions::of_split(world, id, &psp_reference, total);
    if let Some(split) = world.payaut.splits.get_mut(id) {
        split.transaction = transaction;
    }
    transactions::settle(world, transaction).map_err(|error| unprocessable(error.to_string()))?;
    world.core.form = Form::Status(world.core.config.payaut.split_created_status);
    Ok(shown)
}

fn read(world: &mut World, fields: &mut Fields<'_>, reference: String) -> Result<Split, Refusal> {
    let known = world.core.config.payaut.currencies.clone();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let currency = fields.currency("currency", &known)?;
    let total = amount(fields, "totalAmount", currency)?;
    let psp_reference = required(fields, "pspExtRef")?;
    let processor = fields.one_of("paymentProcessor", &PROCESSORS)?.to_owned();
    let payment_method = owned(fields, "paymentMethod")?;
    let description = description(fields)?;
    let processed_at = sent_time(fields, "extProcessedAt")?.map(|(text, _)| text.to_owned());
    let items = items::read(world, fields, total)?;
    let items = items.ok_or_else(|| Refusal::parameter_missing("items"))?;
    fields.finish(world.core.config.payaut.unknown_parameters)?;
    let net = items::net(world, &items).ok_or_else(Refusal::internal)?;
    if net.iter().any(|(_, amount)| amount.is_negative()) {
        return Err(unprocessable("a discount is more than its account gets"));
    }
    Ok(Split {
        id: world.core.new_id(),
        reference,
        psp_reference,
        processor,
        payment_method,
        description,
        processed_at,
        total,
        items,
        transaction: Uuid::nil(),
        created_at: world.core.now,
    })
}

/// As long as the processor has not captured the payment.
pub(super) fn cancel(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let text = call.path.first().map_or("", String::as_str);
    if text.chars().count() != 36 {
        return Err(Refusal::validation("the code has 36 characters"));
    }
    let id = path_code(call, 0, "the split")?;
    let split = world.payaut.splits.get(id);
    let transaction = split.map(|split| split.transaction);
    let transaction = transaction.ok_or_else(|| Refusal::not_found("the split"))?;
    let again = world.core.config.payaut.repeated_cancel;
    match transactions::status(world, transaction) {
        Some(Status::Cancelled) if again == Duplicate::Accept => {}
        Some(Status::PendingSettlement) if !transactions::is_captured(world, transaction) => {
            transactions::cancel(world, transaction);
        }
        status => {
            let name = status.map_or("", Status::name);
            return Err(Refusal::conflict(format!(
                "the split is {name} and cannot be cancelled"
            )));
        }
    }
    Ok(nothing(world))
}

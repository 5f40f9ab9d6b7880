//! Transfers of balance between virtual accounts: the one write with a key of its own, in the body.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::accounts;
use super::config::TransferReplay;
use super::error::unprocessable;
use super::splits::{description, required};
use super::wire::{amount, code, time, units};
use crate::base::clock::Instant;
use crate::base::ids::Digest;
use crate::base::money::{Currency, Money};
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

const CURRENCIES: [&str; 8] = ["EUR", "USD", "AUD", "GBP", "JPY", "SGD", "CAD", "NZD"];
const TYPES: [&str; 6] = ["INVOICE", "USAGE_FEE", "CORRECTION", "CHARGEBACK", "VAT", "WALLET"];

#[derive(Debug)]
pub(crate) struct Transfer {
    id: Uuid,
    from: Uuid,
    to: Uuid,
    amount: Money,
    kind: String,
    description: Option<String>,
    key: String,
    /// Of what it was asked by.
    body: Digest,
    created_at: Instant,
}

impl Transfer {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "code": code(self.id),
            "fromAccountCode": code(self.from),
            "toAccountCode": code(self.to),
            "amount": units(self.amount),
            "currency": self.amount.currency(),
            "type": self.kind,
            "description": self.description,
            "idempotencyKey": self.key,
            "createdAt": time(self.created_at),
        })
    }

    pub(crate) fn effect(&self) -> Effect {
        Effect {
            provider: CONTRACT.name,
            kind: "transfer",
            id: self.id,
            status: "done",
            amount: self.amount,
            source_account_id: self.from,
            destination: Json::String(code(self.to)),
            reference: self.description.clone(),
            metadata: BTreeMap::new(),
            idempotency_key: Some(self.key.clone()),
            created_at: self.created_at,
        }
    }
}

/// What a known key stands for: a transfer to be shown again, or a refusal.
fn replay(world: &World, key: &str, body: &Digest) -> Result<Option<Json>, Refusal> {
    let known = world.payaut.transfers.iter().find(|transfer| transfer.key == key);
    let Some(known) = known else { return Ok(None) };
    match world.core.config.payaut.transfer_replay {
        TransferReplay::Ignore => Ok(None),
        TransferReplay::ReplayAnything => Ok(Some(known.to_json())),
        TransferReplay::Replay if known.body == *body => Ok(Some(known.to_json())),
        TransferReplay::Replay | TransferReplay::Conflict => {
            Err(Refusal::conflict("the idempotencyKey is in use already"))
        }
    }
}

fn account(world: &World, text: &str, field: &str) -> Result<Uuid, Refusal> {
    let account = accounts::find(world, text).map(|account| account.id);
    account.ok_or_else(|| Refusal::not_found(&format!("the account of {field}")))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let key = required(&mut fields, "idempotencyKey")?;
    let body = Digest::of([Json::Object(call.body.clone()).to_string().as_bytes()]);
    if let Some(known) = replay(world, &key, &body)? {
        return Ok(known);
    }
    let currency = fields.optional_currency("currency", &CURRENCIES)?;
    let currency = currency.or_else(|| Currency::from_code("EUR").ok());
    let currency = currency.ok_or_else(Refusal::internal)?;
    let amount = amount(&mut fields, "amount", currency)?;
    let kind = fields.one_of("type", &TYPES)?.to_owned();
    let description = description(&mut fields)?;
    let from = fields.text("fromAccountCode")?;
    let to = fields.text("toAccountCode")?;
    fields.finish(world.core.config.payaut.unknown_parameters)?;
    let from = account(world, from, "fromAccountCode")?;
    let to = account(world, to, "toAccountCode")?;
    if from == to {
        return Err(fields.invalid("toAccountCode", "is another than fromAccountCode"));
    }
    let id = world.core.new_id();
    post(world, (from, to), amount, id)?;
    let transfer = Transfer {
        id,
        from,
        to,
        amount,
        kind,
        description,
        key,
        body,
        created_at: world.core.now,
    };
    let shown = transfer.to_json();
    let (now, elapsed) = (world.core.now, world.core.elapsed);
    world.payaut.transfers.insert(id, now, elapsed, transfer);
    Ok(shown)
}

/// As far as the payout balance reaches.
fn post(world: &mut World, (from, to): (Uuid, Uuid), amount: Money, id: Uuid) -> Result<(), Refusal> {
    let find = |id| world.payaut.accounts.get(id).ok_or_else(Refusal::internal);
    let (source, target) = (find(from)?, find(to)?);
    let available = accounts::available(world, source, amount.currency()).ok_or_else(Refusal::internal)?;
    if !available.checked_sub(amount).is_ok_and(|rest| !rest.is_negative()) {
        return Err(unprocessable(format!("the balance is {available}")));
    }
    let (now, route) = (world.core.now, (source.place(), target.place()));
    let posted = world.core.ledger.post(now, route, amount, "transfer.created", id);
    posted.map_err(|error| unprocessable(error.to_string()))
}

//! Conversions between accounts: an indicative rate, then an amount sold at whatever the market gives.

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::books::{self, Reason};
use super::wire::{metadata, present};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::failure::Ending;
use crate::simulator::core::fields::{Fields, amount};
use crate::simulator::core::ledger::Place;
use crate::simulator::core::market;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

const CURRENCIES: [&str; 3] = ["EUR", "GBP", "USDC"];

/// The least that is sold, in units of the source currency.
const MINIMUM: Decimal = Decimal::TEN;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Initiated,
    Succeeded,
    Failed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Fx {
    id: Uuid,
    status: Status,
    from: Uuid,
    to: Uuid,
    sold: Money,
    bought: Money,
    rate: Decimal,
    metadata: Option<Map<String, Json>>,
    reserved: bool,
    ending: Ending,
    created_at: Instant,
    key: Option<String>,
}

impl Fx {
    pub(crate) fn to_json(&self) -> Json {
        // What is bought is told once it is.
        let done = self.status == Status::Succeeded;
        present(json!({
            "id": self.id,
            "rate": self.rate.to_string(),
            "sourceCurrency": self.sold.currency(),
            "targetCurrency": self.bought.currency(),
            "status": self.status.name(),
            "sourceAmount": self.sold.amount().to_string(),
            "targetAmount": done.then(|| self.bought.amount().to_string()),
            "metadata": self.metadata,
        }))
    }

    pub(crate) fn effect(&self) -> Effect {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let metadata = self.metadata.iter().flatten();
        Effect {
            provider: CONTRACT.name,
            kind: "conversion",
            id: self.id,
            status: self.status.name(),
            amount: self.sold,
            source_account_id: self.from,
            destination: Json::String(self.to.to_string()),
            reference: None,
            metadata: metadata.map(|(key, value)| (key.clone(), text(value))).collect(),
            idempotency_key: self.key.clone(),
            created_at: self.created_at,
        }
    }

    fn reason(&self, step: &'static str) -> Reason {
        Reason {
            process: "fxQuote",
            id: self.id,
            shown_id: self.id.to_string(),
            step,
            other: None,
            reference: None,
        }
    }
}

// --- operations ---------------------------------------------------------------------------------

/// An amount of a request: a decimal text, no finer than its currency.
fn sold(fields: &mut Fields<'_>, text: &str, currency: Currency) -> Result<Money, Refusal> {
    let amount = amount("sourceAmount", text)?;
    Money::from_decimal(amount, currency)
        .map_err(|error| fields.invalid("sourceAmount", &format!("cannot be taken: {error}")))
}

pub(super) fn retrieve_rate(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let source = fields.currency("sourceCurrency", &CURRENCIES)?;
    let target = fields.currency("targetCurrency", &CURRENCIES)?;
    let asked = fields.optional_text("sourceAmount")?;
    let amount = asked.map(|text| sold(&mut fields, text, source)).transpose()?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let unknown = || Refusal::parameter_invalid("targetCurrency", format!("{source} is not sold for {target}"));
    let settings = &world.core.config.conversions;
    let rate = market::rate(settings, source, target).ok_or_else(unknown)?;
    let bought = match amount {
        Some(amount) => Some(market::buy(amount, rate, target).ok_or_else(unknown)?),
        None => None,
    };
    Ok(present(json!({
        "rate": rate.to_string(),
        "sourceAmount": amount.map(|amount| amount.amount().to_string()),
        "targetAmount": bought.map(|amount| amount.amount().to_string()),
    })))
}

pub(super) fn execute(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let from = fields.uuid("sourceAccountId")?;
    let to = fields.uuid("targetAccountId")?;
    let text = fields.text("sourceAmount")?;
    let metadata = metadata(&mut fields)?;
    // Deprecated; the header is what counts here.
    let in_body = fields.optional_text("idempotencyKey")?.map(str::to_owned);
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let currency = |id: Uuid, field: &str| {
        let account = world.ivy.accounts.get(id);
        let account = account.ok_or_else(|| Refusal::not_found(&format!("the account of {field}")))?;
        if CURRENCIES.contains(&account.currency.code()) {
            return Ok(account.currency);
        }
        Err(Refusal::parameter_invalid(
            field,
            format!("{} is not converted", account.currency),
        ))
    };
    let (source, target) = (currency(from, "sourceAccountId")?, currency(to, "targetAccountId")?);
    let sold = sold(&mut fields, text, source)?;
    if sold.amount() < MINIMUM {
        return Err(fields.invalid("sourceAmount", &format!("is {MINIMUM} or more")));
    }
    let unknown = || Refusal::parameter_invalid("targetAccountId", format!("{source} is not sold for {target}"));
    let rate = market::rate(&world.core.config.conversions, source, target).ok_or_else(unknown)?;
    let bought = market::buy(sold, rate, target).ok_or_else(unknown)?;
    let id = world.core.new_id();
    let mut fx = Fx {
        id,
        status: Status::Initiated,
        from,
        to,
        sold,
        bought,
        rate,
        metadata,
        reserved: false,
        ending: Ending::Good,
        created_at: world.core.now,
        key: call.idempotency_key.clone().or(in_body),
    };
    let reserved = books::reserve(world, from, sold, fx.reason("fx.initiated"))?;
    fx.reserved = reserved.is_ok();
    fx.ending = Ending::of(reserved.err().or_else(|| call.fail_later.clone()));
    let shown = fx.to_json();
    world.ivy.conversions.insert(id, world.core.now, world.core.elapsed, fx);
    world.core.emit(&CONTRACT, "fx.initiated", shown.clone());
    let delay_ms = world.core.config.ivy.lifecycle.fx_succeeded_ms;
    world.core.plan_step(delay_ms, id, ends);
    Ok(shown)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = fields.uuid("fxId")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let fx = world.ivy.conversions.get(id).map(Fx::to_json);
    fx.ok_or_else(|| Refusal::not_found("the conversion"))
}

// --- steps --------------------------------------------------------------------------------------

fn under_way(world: &World, id: Uuid) -> Result<&Fx, StepError> {
    let fx = world.ivy.conversions.get(id).ok_or(StepError::NotFound)?;
    match fx.status {
        Status::Initiated => Ok(fx),
        status => Err(StepError::Illegal(status.name())),
    }
}

fn ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let fx = under_way(world, id)?;
    if fx.ending != Ending::Good {
        return fails(world, id);
    }
    let (sold, bought, to, reason) = (fx.sold, fx.bought, fx.to, fx.reason("fx.succeeded"));
    let (now, route) = (world.core.now, (Place::Reserved(id), Place::Market));
    world.core.ledger.post(now, route, sold, "fx.succeeded", id)?;
    books::credit(world, to, Place::Market, bought, reason)?;
    close(world, id, Status::Succeeded, "fx.succeeded");
    Ok(())
}

fn fails(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let fx = under_way(world, id)?;
    if fx.reserved {
        let (account, amount, reason) = (fx.from, fx.sold, fx.reason("fx.failed"));
        books::give_back(world, account, amount, reason)?;
    }
    close(world, id, Status::Failed, "fx.failed");
    Ok(())
}

fn close(world: &mut World, id: Uuid, status: Status, event: &'static str) {
    let Some(fx) = world.ivy.conversions.get_mut(id) else {
        return;
    };
    fx.status = status;
    fx.reserved = false;
    let shown = fx.to_json();
    world.core.emit(&CONTRACT, event, shown);
}

/// Moves a conversion to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "succeeded" => ends(world, id),
        "failed" => fails(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}

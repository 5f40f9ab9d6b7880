//! Payouts: to an own or foreign account, from the default account of the currency.

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::address;
use super::books::{self, Reason};
use super::orders;
use super::wire::{Window, amount, listed, metadata, number, plain, plain_id, present, time};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::config::UnknownParameters;
use crate::simulator::contract::Call;
use crate::simulator::control::Effect;
use crate::simulator::core::address::Address;
use crate::simulator::core::failure::{Ending, Failure};
use crate::simulator::core::fields::Fields;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::{Leaving, World};

/// The currencies payouts go out in.
const CURRENCIES: [&str; 4] = ["EUR", "GBP", "USDC", "USD"];

const RAILS: [&str; 17] = [
    "SEPA_INSTANT",
    "FASTER_PAYMENTS",
    "SEPA",
    "ELIXIR",
    "EXPRESS_ELIXIR",
    "SEK_ACCOUNT_TO_ACCOUNT",
    "SUMCLEARING",
    "STRAKSCLEARING",
    "SWIFT",
    "INTERNAL",
    "TARGET",
    "ETH",
    "ETH-SEPOLIA",
    "SOL",
    "SOL-DEVNET",
    "MATIC",
    "MATIC-AMOY",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Pending,
    InTransit,
    Paid,
    Failed,
    Canceled,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InTransit => "in_transit",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    fn is_under_way(self) -> bool {
        matches!(self, Self::Pending | Self::InTransit)
    }
}

#[derive(Debug)]
pub(crate) struct Payout {
    id: Uuid,
    /// To an account of the merchant, not to somebody else's.
    own: bool,
    destination: Address,
    status: Status,
    amount: Money,
    account: Uuid,
    created_at: Instant,
    updated_at: Instant,
    metadata: Option<Map<String, Json>>,
    reference: Option<String>,
    rail: Option<String>,
    transaction: Option<Uuid>,
    failure: Option<Failure>,
    /// Whether money is set aside for it.
    reserved: bool,
    initiated: bool,
    ending: Ending,
    key: Option<String>,
}

impl Payout {
    pub(crate) fn to_json(&self, world: &World) -> Json {
        present(json!({
            "id": plain(self.id),
            "type": if self.own { "beneficiary" } else { "customer" },
            "destination": address::write(&self.destination),
            "status": self.status.name(),
            "amount": number(self.amount, world.core.config.ivy.numbers),
            "currency": self.amount.currency(),
            "createdAt": time(self.created_at),
            "updatedAt": time(self.updated_at),
            "metadata": self.metadata,
            "paymentReference": self.reference,
            "transactionId": self.transaction,
            "failure": self.failure,
        }))
    }

    pub(crate) fn effect(&self) -> Effect {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let metadata = self.metadata.iter().flatten();
        Effect {
            provider: CONTRACT.name,
            kind: "payout",
            id: self.id,
            status: self.status.name(),
            amount: self.amount,
            source_account_id: self.account,
            destination: address::write(&self.destination),
            reference: self.reference.clone(),
            metadata: metadata.map(|(key, value)| (key.clone(), text(value))).collect(),
            idempotency_key: self.key.clone(),
            created_at: self.created_at,
        }
    }

    fn reason(&self, step: &'static str) -> Reason {
        Reason {
            process: "payoutv2",
            id: self.id,
            shown_id: plain(self.id),
            step,
            other: Some(self.destination.clone()),
            reference: self.reference.clone(),
        }
    }
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let unknown = world.core.config.ivy.unknown_parameters;
    let mut fields = call.fields();
    let currency = fields.currency("currency", &CURRENCIES)?;
    let amount = amount(&mut fields, "amount", currency, Decimal::new(1, 2))?;
    let (destination, kind) = destination(world, &mut fields, currency, unknown)?;
    let reference = fields.optional_text("paymentReference")?.map(str::to_owned);
    let metadata = metadata(&mut fields)?;
    let rail = fields.optional_one_of("rail", &RAILS)?.map(str::to_owned);
    fields.finish(unknown)?;
    let account = world
        .ivy
        .default_account(currency)
        .ok_or_else(|| fields.invalid("currency", "has no account"))?;

    let id = world.core.new_id();
    let mut payout = Payout {
        id,
        own: kind == Some("beneficiary"),
        destination,
        status: Status::Pending,
        amount,
        account,
        created_at: world.core.now,
        updated_at: world.core.now,
        metadata,
        reference,
        rail,
        transaction: None,
        failure: None,
        reserved: false,
        initiated: false,
        ending: Ending::Good,
        key: call.idempotency_key.clone(),
    };
    let reserved = books::reserve(world, account, amount, payout.reason("payout.created"))?;
    payout.reserved = reserved.is_ok();
    payout.transaction = reserved.as_ref().ok().copied();
    payout.ending = Ending::of(reserved.err().or_else(|| call.fail_later.clone()));
    Ok(keep(world, payout, call.unlisted_ms))
}

/// Lists it and plans its way.
fn keep(world: &mut World, payout: Payout, unlisted_ms: u64) -> Json {
    let (id, shown) = (payout.id, payout.to_json(world));
    let settings = &world.core.config.ivy;
    let delay_ms = settings.lifecycle.payout_initiated_ms;
    let listed_from = world
        .core
        .listed_after(settings.visibility_lag_ms.saturating_add(unlisted_ms));
    world.ivy.payouts.insert(id, world.core.now, listed_from, payout);
    world.core.plan_step(delay_ms, id, initiated);
    shown
}

/// Exactly one of a previous pay-in and an address. What neither or both would do is not documented.
fn destination<'a>(
    world: &World,
    fields: &mut Fields<'a>,
    currency: Currency,
    unknown: UnknownParameters,
) -> Result<(Address, Option<&'a str>), Refusal> {
    let mut destination = fields.object("destination")?;
    let kind = destination.optional_one_of("type", &["beneficiary", "customer"])?;
    let order = destination.optional_text("orderId")?;
    let open = destination.optional_object("financialAddress")?;
    destination.finish(unknown)?;
    let address = match (order, open) {
        (None, Some(open)) => address::read(open, unknown)?,
        (Some(order), None) => orders::payer(world, order)?,
        _ => return Err(fields.invalid("destination", "has either an orderId or a financialAddress")),
    };
    if !address::takes(&address, currency) {
        return Err(fields.invalid("destination", &format!("cannot receive {currency}")));
    }
    Ok((address, kind))
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = plain_id(&mut fields, "the payout")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let payout = world.ivy.payouts.get(id).map(|payout| payout.to_json(world));
    payout.ok_or_else(|| Refusal::not_found("the payout"))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let kind = fields.optional_one_of("type", &["customer-payout", "beneficiary-payout"])?;
    let window = Window::read(&world.core, &mut fields)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let rows = listed(&world.core, &world.ivy.payouts);
    let wanted = |payout: &&Payout| kind.is_none_or(|kind| (kind == "beneficiary-payout") == payout.own);
    let rows = rows.into_iter().filter(wanted).map(|payout| payout.to_json(world));
    Ok(window.page("items", rows.collect()))
}

// --- steps --------------------------------------------------------------------------------------

fn under_way(world: &World, id: Uuid) -> Result<&Payout, StepError> {
    let payout = world.ivy.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status.is_under_way() {
        return Ok(payout);
    }
    Err(StepError::Illegal(payout.status.name()))
}

/// It is being processed: the status says so from the start, the event only now.
pub(super) fn initiated(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if under_way(world, id)?.initiated {
        return Err(StepError::Illegal("initiated"));
    }
    change(world, id, |payout| payout.initiated = true);
    tell(world, id, ["payout.initiated", "user_payout.initiated"]);
    let delay_ms = world.core.config.ivy.lifecycle.payout_paid_ms;
    world.core.plan_step(delay_ms, id, ends);
    Ok(())
}

/// The reference names the status and nothing that leads to it, so there is no event.
fn in_transit(world: &mut World, id: Uuid) -> Result<(), StepError> {
    under_way(world, id)?;
    change(world, id, |payout| payout.status = Status::InTransit);
    Ok(())
}

/// The money leaves the account, unless something else was decided at its creation.
fn ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = under_way(world, id)?;
    if let Ending::Bad(failure) = payout.ending.clone() {
        return fails(world, id, failure);
    }
    let source = world.ivy.accounts.get(payout.account).ok_or(StepError::NotFound)?;
    let leaving = Leaving {
        amount: payout.amount,
        to: payout.destination.clone(),
        source: source.address.clone(),
        reference: payout.reference.clone(),
        rail: payout.rail.as_ref().map(|rail| rail.to_lowercase()),
        account: payout.account,
    };
    match world.leave(Place::Reserved(id), ("payout.paid", id), leaving) {
        Ok(()) => {}
        Err(StepError::Illegal(_)) => {
            let failure = Failure::new("account_blocked", "the account cannot receive money", false);
            return fails(world, id, failure);
        }
        Err(error) => return Err(error),
    }
    change(world, id, |payout| {
        payout.status = Status::Paid;
        payout.reserved = false;
    });
    tell(world, id, ["payout.paid", "user_payout.paid"]);
    Ok(())
}

fn fails(world: &mut World, id: Uuid, failure: Failure) -> Result<(), StepError> {
    free(world, id, "payout.failed")?;
    change(world, id, |payout| {
        payout.status = Status::Failed;
        payout.failure = Some(failure);
    });
    tell(world, id, ["payout.failed", "user_payout.failed"]);
    Ok(())
}

/// Before any attempt, and without an event: whoever waits for one waits for ever.
fn canceled(world: &mut World, id: Uuid) -> Result<(), StepError> {
    if under_way(world, id)?.initiated {
        return Err(StepError::Illegal("initiated"));
    }
    free(world, id, "payout.canceled")?;
    change(world, id, |payout| payout.status = Status::Canceled);
    Ok(())
}

/// Gives back what was set aside.
fn free(world: &mut World, id: Uuid, step: &'static str) -> Result<(), StepError> {
    let payout = under_way(world, id)?;
    if !payout.reserved {
        return Ok(());
    }
    let (account, amount, reason) = (payout.account, payout.amount, payout.reason(step));
    books::give_back(world, account, amount, reason)?;
    change(world, id, |payout| payout.reserved = false);
    Ok(())
}

fn change(world: &mut World, id: Uuid, change: impl FnOnce(&mut Payout)) {
    let now = world.core.now;
    if let Some(payout) = world.ivy.payouts.get_mut(id) {
        change(payout);
        payout.updated_at = now;
    }
}

/// Emits an event and, where the settings say so, its older name beside it for payouts to customers.
fn tell(world: &mut World, id: Uuid, [name, older]: [&'static str; 2]) {
    let Some(payout) = world.ivy.payouts.get(id) else {
        return;
    };
    let (shown, own) = (payout.to_json(world), payout.own);
    if world.core.config.ivy.user_payout_events && !own {
        world.core.emit(&CONTRACT, older, shown.clone());
    }
    world.core.emit(&CONTRACT, name, shown);
}

/// Moves a payout to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str, failure: Failure) -> Result<(), StepError> {
    match status {
        "initiated" => initiated(world, id),
        "in_transit" => in_transit(world, id),
        "paid" => ends(world, id),
        "failed" => fails(world, id, failure),
        "canceled" => canceled(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}

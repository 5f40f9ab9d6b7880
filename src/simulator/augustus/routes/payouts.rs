//! Payouts, and the rule all outgoing money shares: an account that may send, with enough on it.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::base::money::{Currency, Money};
use crate::simulator::augustus::CONTRACT;
use crate::simulator::augustus::destination;
use crate::simulator::augustus::lifecycle::payout_initiated;
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::resources::{
    Account, AccountStatus, CURRENCIES, FinancialAddress, Payout, TransferStatus,
};
use crate::simulator::config::{AmountEcho, InsufficientFunds};
use crate::simulator::contract::Call;
use crate::simulator::core::failure::{Ending, Failure};
use crate::simulator::core::fields;
use crate::simulator::core::ledger::{LedgerError, Place};
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let status = call.query.one_of("status", &["pending", "paid", "failed"])?;
    let currencies = call.query.many("currencies");
    if currencies.iter().any(|code| !CURRENCIES.contains(code)) {
        let message = format!("currencies are of {}", CURRENCIES.join(", "));
        return Err(Refusal::parameter_invalid("currencies", message));
    }
    let keep = |payout: &Payout| {
        status.is_none_or(|status| payout.status.name() == status)
            && (currencies.is_empty() || currencies.contains(&payout.amount.currency().code()))
    };
    page(world, call, &world.augustus.payouts, keep, Payout::to_json)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let payout = world.augustus.payouts.get(call.id()?).map(Payout::to_json);
    payout.ok_or_else(|| Refusal::not_found("the payout"))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let unknown = world.core.config.unknown_parameters;
    let mut fields = call.fields();
    let source_account_id = fields.uuid("source_account_id")?;
    let amount_text = fields.text("amount")?;
    let currency = fields.currency("currency", &CURRENCIES)?;
    let amount = exact("amount", amount_text, currency)?;
    let destination = fields.object("destination")?;
    let destination = destination::read(destination, currency, world.core.config.payouts.check_iban, unknown)?;
    let reference = fields.bounded("reference", 0, 140)?.to_owned();
    let rail = fields.optional_one_of("rail", &["sepa_instant", "sepa", "faster_payments"])?;
    check_rail(rail, &destination, currency)?;
    let metadata = fields.metadata()?;
    fields.finish(unknown)?;

    let source = sender(world, source_account_id, "source_account_id")?;
    if source.currency != currency {
        let message = format!("the source account holds {}, not {currency}", source.currency);
        return Err(Refusal::parameter_invalid("currency", message));
    }
    let own_account = world
        .augustus
        .account_at(&destination, currency)
        .map(|account| account.id);
    if own_account == Some(source_account_id) {
        let message = "the destination is the source account itself";
        return Err(Refusal::parameter_invalid("destination", message));
    }
    let allowed = &world.core.config.payouts.beneficiary_allow_list;
    let listed = allowed.is_empty() || allowed.iter().any(|number| number == destination.number());
    if own_account.is_none() && !listed {
        return Err(Refusal::permission_denied("the beneficiary is not on the allow list"));
    }

    let id = world.core.new_id();
    let funds = reserve(world, id, source_account_id, amount, "payout.created")?;
    let late_refusal = match &destination {
        FinancialAddress::Iban { iban, .. } if !crate::simulator::core::iban::is_valid(iban) => {
            Some(Failure::new("invalid_account_format", "the IBAN is not valid", false))
        }
        _ => None,
    };
    let payout = Payout {
        id,
        status: TransferStatus::Pending,
        source_account_id,
        amount,
        amount_text: echo(world, amount, amount_text),
        destination,
        reference,
        failure: None,
        metadata,
        created_at: world.core.now,
        updated_at: world.core.now,
        own_account,
        reserved: funds.is_none(),
        initiated: false,
        ending: ending(call, funds.or(late_refusal)),
        key: call.idempotency_key.clone(),
    };
    let shown = payout.to_json();
    let listed_from = world.core.listed_from(call.unlisted_ms);
    world.augustus.payouts.insert(id, world.core.now, listed_from, payout);
    world.core.emit(&CONTRACT, "payout.created", shown.clone());
    world
        .core
        .plan_step(world.core.config.lifecycle.payout_initiated_ms, id, payout_initiated);
    Ok(shown)
}

fn check_rail(rail: Option<&str>, destination: &FinancialAddress, currency: Currency) -> Result<(), Refusal> {
    let fits = match rail {
        None => true,
        Some("faster_payments") => currency.code() == "GBP",
        Some(_) => currency.code() == "EUR" && matches!(destination, FinancialAddress::Iban { .. }),
    };
    if fits {
        return Ok(());
    }
    let message = format!("this rail cannot carry {currency} to this destination");
    Err(Refusal::parameter_invalid("rail", message))
}

/// An amount that has no more decimals than its currency.
pub(super) fn exact(name: &str, text: &str, currency: Currency) -> Result<Money, Refusal> {
    let amount = fields::amount(name, text)?;
    Money::from_decimal(amount, currency).map_err(|error| Refusal::parameter_invalid(name, error.to_string()))
}

/// The amount as answers show it.
pub(super) fn echo(world: &World, amount: Money, sent: &str) -> String {
    match world.core.config.amount_echo {
        AmountEcho::Canonical => amount.amount().to_string(),
        AmountEcho::AsSent => sent.to_owned(),
    }
}

/// The account money is to leave from.
pub(super) fn sender<'a>(world: &'a World, id: Uuid, param: &str) -> Result<&'a Account, Refusal> {
    let account = world
        .augustus
        .accounts
        .get(id)
        .ok_or_else(|| Refusal::not_found(&format!("the account of {param}")))?;
    match account.status {
        AccountStatus::Active => Ok(account),
        status => Err(Refusal::conflict(format!("the account is {}", status.name()))),
    }
}

/// Sets money aside. Too little is refused now or, as the settings say, becomes a later failure.
pub(super) fn reserve(
    world: &mut World,
    id: Uuid,
    account: Uuid,
    amount: Money,
    step: &'static str,
) -> Result<Option<Failure>, Refusal> {
    let route = (Place::Account(account), Place::Reserved(id));
    match world.core.ledger.post(world.core.now, route, amount, step, id) {
        Ok(()) => Ok(None),
        Err(LedgerError::Short { .. }) => match world.core.config.payouts.insufficient_funds {
            InsufficientFunds::Refuse => Err(Refusal::conflict("the account has insufficient funds")),
            InsufficientFunds::FailLater => Ok(Some(Failure::new(
                "insufficient_funds",
                "the account has insufficient funds",
                true,
            ))),
        },
        Err(LedgerError::NotPositive(_) | LedgerError::Money(_)) => Err(Refusal::internal()),
    }
}

/// How what is created now is to end.
pub(super) fn ending(call: &Call, failure: Option<Failure>) -> Ending {
    Ending::of(failure.or_else(|| call.fail_later.clone()))
}

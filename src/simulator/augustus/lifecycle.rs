//! The steps of payouts, conversions, returns, deposits and accounts: what each does to the books and
//! which event it leaves.

use uuid::Uuid;

use super::CONTRACT;
use super::resources::{AccountStatus, ConversionStatus, Deposit, FAILURE_CODES, FinancialAddress, TransferStatus};
use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::config::QuoteId;
use crate::simulator::contract::Arrival;
use crate::simulator::core::address::Address;
use crate::simulator::core::failure::{Ending, Failure};
use crate::simulator::core::ledger::Place;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::{Leaving, World};

/// Moves a resource to a status by name, as the control asks.
pub(crate) fn advance(world: &mut World, id: Uuid, status: &str, failure: Option<Failure>) -> Result<(), StepError> {
    StepError::unless_known(failure.as_ref(), &FAILURE_CODES)?;
    let failure = failure.unwrap_or_else(|| Failure::new("unknown", "failed as asked for", false));
    let augustus = &world.augustus;
    if augustus.payouts.get(id).is_some() {
        match status {
            "initiated" => payout_initiated(world, id),
            "paid" => payout_ends(world, id),
            "returned" => payout_returned(world, id),
            "failed" => payout_failed(world, id, failure),
            _ => Err(StepError::NoSuchStep),
        }
    } else if augustus.conversions.get(id).is_some() {
        match status {
            "completed" => conversion_ends(world, id),
            "failed" => conversion_failed(world, id, failure.message),
            _ => Err(StepError::NoSuchStep),
        }
    } else if augustus.returns.get(id).is_some() {
        match status {
            "paid" => return_ends(world, id),
            "returned" => return_returned(world, id),
            "failed" => return_failed(world, id, failure),
            _ => Err(StepError::NoSuchStep),
        }
    } else if augustus.accounts.get(id).is_some() {
        match status {
            "active" => account_active(world, id),
            _ => Err(StepError::NoSuchStep),
        }
    } else {
        Err(StepError::NotFound)
    }
}

pub(crate) fn account_active(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let now = world.core.now;
    let account = world.augustus.accounts.get_mut(id).ok_or(StepError::NotFound)?;
    if account.status != AccountStatus::Pending {
        return Err(StepError::Illegal(account.status.name()));
    }
    account.status = AccountStatus::Active;
    account.updated_at = now;
    Ok(())
}

/// Money that arrives on an account: the books, the deposit and its event.
pub(crate) fn arrive(
    world: &mut World,
    from: Place,
    step: (&'static str, Option<Uuid>),
    arrival: Arrival,
) -> Result<Uuid, StepError> {
    let id = world.core.new_id();
    let account = world
        .augustus
        .accounts
        .get(arrival.account)
        .ok_or(StepError::NotFound)?;
    if matches!(account.status, AccountStatus::Closed | AccountStatus::Pending) {
        return Err(StepError::Illegal(account.status.name()));
    }
    let source = FinancialAddress::of(arrival.source).ok_or(StepError::NoSuchStep)?;
    let (name, cause) = step;
    let route = (from, Place::Account(arrival.account));
    world
        .core
        .ledger
        .post(world.core.now, route, arrival.amount, name, cause.unwrap_or(id))?;
    let deposit = Deposit {
        id,
        status: "received",
        amount: arrival.amount,
        source,
        destination_account_id: arrival.account,
        bank_statement_reference: arrival.reference,
        rail: arrival.rail,
        tx_hash: arrival.tx_hash,
        returns: Vec::new(),
        created_at: world.core.now,
        updated_at: world.core.now,
        own_source: arrival.own_source,
    };
    let shown = deposit.to_json();
    let listed_from = world.core.listed_from(0);
    world.augustus.deposits.insert(id, world.core.now, listed_from, deposit);
    world.core.emit(&CONTRACT, "deposit.received", shown);
    Ok(id)
}

/// A book transfer from one own account to another.
fn internal(world: &World, from: Uuid, to: Uuid, amount: Money, reference: Option<String>) -> Option<Arrival> {
    Some(Arrival {
        account: to,
        amount,
        source: own_address(world, from)?,
        reference,
        rail: Some("internal".to_owned()),
        tx_hash: None,
        own_source: Some(from),
    })
}

/// The address money of an account is sent from.
fn own_address(world: &World, account: Uuid) -> Option<Address> {
    let account = world.augustus.accounts.get(account)?;
    account.financial_addresses.first().map(FinancialAddress::address)
}

// --- payouts ------------------------------------------------------------------------------------

pub(crate) fn payout_initiated(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let now = world.core.now;
    let payout = world.augustus.payouts.get_mut(id).ok_or(StepError::NotFound)?;
    if payout.status != TransferStatus::Pending || payout.initiated {
        return Err(StepError::Illegal(payout.status.name()));
    }
    payout.initiated = true;
    payout.updated_at = now;
    let shown = payout.to_json();
    world.core.emit(&CONTRACT, "payout.initiated", shown);
    world
        .core
        .plan_step(world.core.config.lifecycle.payout_paid_ms, id, payout_ends);
    Ok(())
}

pub(crate) fn payout_ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = world.augustus.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status != TransferStatus::Pending {
        return Err(StepError::Illegal(payout.status.name()));
    }
    if let Ending::Bad(failure) = payout.ending.clone() {
        return payout_failed(world, id, failure);
    }
    let (amount, own_account) = (payout.amount, payout.own_account);
    match own_account {
        None => {
            let leaving = Leaving {
                amount,
                to: payout.destination.address(),
                source: own_address(world, payout.source_account_id).ok_or(StepError::NotFound)?,
                reference: Some(payout.reference.clone()),
                rail: None,
                account: payout.source_account_id,
            };
            let left = world.leave(Place::Reserved(id), ("payout.paid", id), leaving);
            if let Err(StepError::Illegal(_)) = left {
                let failure = Failure::new("account_closed", "the account cannot receive money", false);
                return payout_failed(world, id, failure);
            }
            left?;
        }
        Some(target) => {
            let blocked = world
                .augustus
                .accounts
                .get(target)
                .and_then(|account| match account.status {
                    AccountStatus::Active => None,
                    AccountStatus::Closed => Some(Failure::new("account_closed", "the account is closed", false)),
                    AccountStatus::Pending | AccountStatus::Frozen => Some(Failure::new(
                        "account_blocked",
                        "the account cannot receive money",
                        false,
                    )),
                });
            if let Some(failure) = blocked {
                return payout_failed(world, id, failure);
            }
            let reference = Some(payout.reference.clone());
            let arrival = internal(world, payout.source_account_id, target, amount, reference);
            let arrival = arrival.ok_or(StepError::NotFound)?;
            arrive(world, Place::Reserved(id), ("payout.paid", Some(id)), arrival)?;
        }
    }
    close_payout(world, id, TransferStatus::Paid, None);
    if let (Some(delay_ms), None) = (world.core.config.lifecycle.payout_returned_ms, own_account) {
        world.core.plan_step(delay_ms, id, payout_returned);
    }
    Ok(())
}

fn payout_failed(world: &mut World, id: Uuid, failure: Failure) -> Result<(), StepError> {
    let payout = world.augustus.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status != TransferStatus::Pending {
        return Err(StepError::Illegal(payout.status.name()));
    }
    if payout.reserved {
        let route = (Place::Reserved(id), Place::Account(payout.source_account_id));
        world
            .core
            .ledger
            .post(world.core.now, route, payout.amount, "payout.failed", id)?;
    }
    close_payout(world, id, TransferStatus::Failed, Some(failure));
    Ok(())
}

/// The beneficiary's bank sends the money back: the provider has no event for it.
fn payout_returned(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = world.augustus.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status != TransferStatus::Paid {
        return Err(StepError::Illegal(payout.status.name()));
    }
    if payout.own_account.is_some() {
        return Err(StepError::Illegal("paid to an own account"));
    }
    let route = (Place::Outside, Place::Account(payout.source_account_id));
    world
        .core
        .ledger
        .post(world.core.now, route, payout.amount, "payout.returned", id)?;
    close_payout(world, id, TransferStatus::Returned, None);
    Ok(())
}

fn close_payout(world: &mut World, id: Uuid, status: TransferStatus, failure: Option<Failure>) {
    let now = world.core.now;
    let Some(payout) = world.augustus.payouts.get_mut(id) else {
        return;
    };
    payout.status = status;
    payout.reserved = false;
    payout.failure = failure;
    payout.updated_at = now;
    let shown = payout.to_json();
    match status {
        TransferStatus::Paid => world.core.emit(&CONTRACT, "payout.paid", shown),
        TransferStatus::Failed => world.core.emit(&CONTRACT, "payout.failed", shown),
        TransferStatus::Pending | TransferStatus::Returned => return,
    };
}

// --- conversions --------------------------------------------------------------------------------

pub(crate) fn conversion_ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let conversion = world.augustus.conversions.get(id).ok_or(StepError::NotFound)?;
    if conversion.status != ConversionStatus::Pending {
        return Err(StepError::Illegal(conversion.status.name()));
    }
    if let Ending::Bad(failure) = conversion.ending.clone() {
        return conversion_failed(world, id, failure.message);
    }
    let target_account = conversion.target_account_id;
    if world
        .augustus
        .accounts
        .get(target_account)
        .is_none_or(|account| account.status == AccountStatus::Closed)
    {
        return conversion_failed(world, id, "the target account is closed".to_owned());
    }
    let (sold, bought) = (conversion.source, conversion.target);
    let name = "conversion.completed";
    world
        .core
        .ledger
        .post(world.core.now, (Place::Reserved(id), Place::Market), sold, name, id)?;
    let route = (Place::Market, Place::Account(target_account));
    world.core.ledger.post(world.core.now, route, bought, name, id)?;
    close_conversion(world, id, ConversionStatus::Completed, None);
    Ok(())
}

fn conversion_failed(world: &mut World, id: Uuid, message: String) -> Result<(), StepError> {
    let conversion = world.augustus.conversions.get(id).ok_or(StepError::NotFound)?;
    if conversion.status != ConversionStatus::Pending {
        return Err(StepError::Illegal(conversion.status.name()));
    }
    if conversion.reserved {
        let route = (Place::Reserved(id), Place::Account(conversion.source_account_id));
        world
            .core
            .ledger
            .post(world.core.now, route, conversion.source, "conversion.failed", id)?;
    }
    close_conversion(world, id, ConversionStatus::Failed, Some(message));
    Ok(())
}

fn close_conversion(world: &mut World, id: Uuid, status: ConversionStatus, failure: Option<String>) {
    let now = world.core.now;
    let show_quote = world.core.config.conversions.quote_id != QuoteId::Never;
    let Some(conversion) = world.augustus.conversions.get_mut(id) else {
        return;
    };
    let completed = status == ConversionStatus::Completed;
    conversion.status = status;
    conversion.reserved = false;
    conversion.failure = failure;
    conversion.updated_at = now;
    conversion.completed_at = completed.then_some(now);
    if completed && show_quote {
        conversion.quote_id = Some(conversion.quote);
    }
    let (shown, quote) = (conversion.to_json(), conversion.quote);
    if let Some(quote) = world.augustus.quotes.get_mut(quote) {
        (quote.status, quote.funding_status) = if completed {
            ("completed", "completed")
        } else {
            ("failed", "failed")
        };
        quote.updated_at = now;
    }
    world.core.emit(
        &CONTRACT,
        if completed {
            "conversion.completed"
        } else {
            "conversion.failed"
        },
        shown,
    );
}

// --- returns ------------------------------------------------------------------------------------

pub(crate) fn return_ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let given_back = world.augustus.returns.get(id).ok_or(StepError::NotFound)?;
    if given_back.status != TransferStatus::Pending {
        return Err(StepError::Illegal(given_back.status.name()));
    }
    if let Ending::Bad(failure) = given_back.ending.clone() {
        return return_failed(world, id, failure);
    }
    let (amount, account) = (given_back.amount, given_back.account_id);
    let deposit = world.augustus.deposits.get(given_back.deposit_id);
    let deposit = deposit.ok_or(StepError::NotFound)?;
    let (origin, to) = (deposit.own_source, deposit.source.address());
    match origin.filter(|origin| world.augustus.accounts.get(*origin).is_some()) {
        None => {
            let leaving = Leaving {
                amount,
                to,
                source: own_address(world, account).ok_or(StepError::NotFound)?,
                reference: None,
                rail: None,
                account,
            };
            world.leave(Place::Reserved(id), ("return.paid", id), leaving)?;
        }
        Some(origin) => {
            let arrival = internal(world, account, origin, amount, None).ok_or(StepError::NotFound)?;
            let arrived = arrive(world, Place::Reserved(id), ("return.paid", Some(id)), arrival);
            if arrived.is_err() {
                let failure = Failure::new("account_closed", "the account the money came from is closed", false);
                return return_failed(world, id, failure);
            }
        }
    }
    close_return(world, id, TransferStatus::Paid, None, "returned");
    if let (Some(delay_ms), None) = (world.core.config.lifecycle.return_returned_ms, origin) {
        world.core.plan_step(delay_ms, id, return_returned);
    }
    Ok(())
}

fn return_failed(world: &mut World, id: Uuid, failure: Failure) -> Result<(), StepError> {
    let given_back = world.augustus.returns.get(id).ok_or(StepError::NotFound)?;
    if given_back.status != TransferStatus::Pending {
        return Err(StepError::Illegal(given_back.status.name()));
    }
    if given_back.reserved {
        let route = (Place::Reserved(id), Place::Account(given_back.account_id));
        world
            .core
            .ledger
            .post(world.core.now, route, given_back.amount, "return.failed", id)?;
    }
    close_return(world, id, TransferStatus::Failed, Some(failure), "return_failed");
    Ok(())
}

/// What was given back comes to the merchant's account again.
fn return_returned(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let given_back = world.augustus.returns.get(id).ok_or(StepError::NotFound)?;
    if given_back.status != TransferStatus::Paid {
        return Err(StepError::Illegal(given_back.status.name()));
    }
    let internal = world
        .augustus
        .deposits
        .get(given_back.deposit_id)
        .is_some_and(|deposit| deposit.own_source.is_some());
    if internal {
        return Err(StepError::Illegal("paid to an own account"));
    }
    let route = (Place::Outside, Place::Account(given_back.account_id));
    world
        .core
        .ledger
        .post(world.core.now, route, given_back.amount, "return.returned", id)?;
    close_return(world, id, TransferStatus::Returned, None, "return_returned");
    Ok(())
}

fn close_return(
    world: &mut World,
    id: Uuid,
    status: TransferStatus,
    failure: Option<Failure>,
    deposit_status: &'static str,
) {
    let now = world.core.now;
    let Some(given_back) = world.augustus.returns.get_mut(id) else {
        return;
    };
    given_back.status = status;
    given_back.reserved = false;
    given_back.failure = failure;
    given_back.updated_at = now;
    let (shown, deposit_id) = (given_back.to_json(), given_back.deposit_id);
    mark_deposit(world, deposit_id, deposit_status, now);
    match status {
        TransferStatus::Paid => world.core.emit(&CONTRACT, "return.paid", shown),
        TransferStatus::Failed => world.core.emit(&CONTRACT, "return.failed", shown),
        TransferStatus::Returned => world.core.emit(&CONTRACT, "return.returned", shown),
        TransferStatus::Pending => return,
    };
}

/// A deposit follows its returns; it has no event of its own for that.
pub(crate) fn mark_deposit(world: &mut World, id: Uuid, status: &'static str, now: Instant) {
    if let Some(deposit) = world.augustus.deposits.get_mut(id) {
        deposit.status = status;
        deposit.updated_at = now;
    }
}

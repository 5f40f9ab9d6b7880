//! The steps of payouts, conversions, returns, deposits and accounts: what each does to the books and
//! which event it leaves.

use uuid::Uuid;

use crate::simulator::config::QuoteId;
use crate::simulator::core::ledger::{LedgerError, Place};
use crate::simulator::augustus::resources::{AccountStatus, ConversionStatus, Deposit, Ending, Failure, FinancialAddress, TransferStatus};
use crate::simulator::state::World;
use crate::base::clock::Instant;
use crate::base::money::Money;

/// A step of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// An account becomes usable.
    AccountActive,
    /// A payout is being processed.
    PayoutInitiated,
    /// A payout ends as was decided at its creation.
    PayoutEnds,
    /// A payout comes back.
    PayoutReturned,
    /// A conversion ends as was decided at its creation.
    ConversionEnds,
    /// A return ends as was decided at its creation.
    ReturnEnds,
    /// A return comes back.
    ReturnReturned,
    /// Whatever is under way fails.
    Fails(Failure),
}

/// Why a step cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StepError {
    #[error("there is no such resource")]
    NotFound,
    #[error("there is no way for this resource to get there")]
    NoSuchStep,
    #[error("not possible while it is {0}")]
    Illegal(&'static str),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Makes a step, or says why it does not fit.
pub(crate) fn step(world: &mut World, id: Uuid, step: Step) -> Result<(), StepError> {
    match step {
        Step::AccountActive => account_active(world, id),
        Step::PayoutInitiated => payout_initiated(world, id),
        Step::PayoutEnds => payout_ends(world, id),
        Step::PayoutReturned => payout_returned(world, id),
        Step::ConversionEnds => conversion_ends(world, id),
        Step::ReturnEnds => return_ends(world, id),
        Step::ReturnReturned => return_returned(world, id),
        Step::Fails(failure) if world.payouts.get(id).is_some() => payout_failed(world, id, failure),
        Step::Fails(failure) if world.conversions.get(id).is_some() => conversion_failed(world, id, failure.message),
        Step::Fails(failure) if world.returns.get(id).is_some() => return_failed(world, id, failure),
        Step::Fails(_) => Err(StepError::NotFound),
    }
}

/// Moves a resource to a status by name, as the control asks.
pub(crate) fn advance(world: &mut World, id: Uuid, status: &str, failure: Option<Failure>) -> Result<(), StepError> {
    let failure = failure.unwrap_or_else(|| Failure::new("unknown", "failed as asked for", false));
    let wanted = if world.payouts.get(id).is_some() {
        match status {
            "initiated" => Some(Step::PayoutInitiated),
            "paid" => Some(Step::PayoutEnds),
            "returned" => Some(Step::PayoutReturned),
            "failed" => Some(Step::Fails(failure)),
            _ => None,
        }
    } else if world.conversions.get(id).is_some() {
        match status {
            "completed" => Some(Step::ConversionEnds),
            "failed" => Some(Step::Fails(failure)),
            _ => None,
        }
    } else if world.returns.get(id).is_some() {
        match status {
            "paid" => Some(Step::ReturnEnds),
            "returned" => Some(Step::ReturnReturned),
            "failed" => Some(Step::Fails(failure)),
            _ => None,
        }
    } else if world.accounts.get(id).is_some() {
        (status == "active").then_some(Step::AccountActive)
    } else {
        return Err(StepError::NotFound);
    };
    step(world, id, wanted.ok_or(StepError::NoSuchStep)?)
}

fn account_active(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let now = world.now;
    let account = world.accounts.get_mut(id).ok_or(StepError::NotFound)?;
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
    let id = world.new_id();
    let account = world.accounts.get(arrival.account).ok_or(StepError::NotFound)?;
    if matches!(account.status, AccountStatus::Closed | AccountStatus::Pending) {
        return Err(StepError::Illegal(account.status.name()));
    }
    let (name, cause) = step;
    let route = (from, Place::Account(arrival.account));
    world
        .ledger
        .post(world.now, route, arrival.amount, name, cause.unwrap_or(id))?;
    let deposit = Deposit {
        id,
        status: "received",
        amount: arrival.amount,
        source: arrival.source,
        destination_account_id: arrival.account,
        bank_statement_reference: arrival.reference,
        rail: arrival.rail,
        tx_hash: arrival.tx_hash,
        returns: Vec::new(),
        created_at: world.now,
        updated_at: world.now,
        own_source: arrival.own_source,
    };
    let shown = deposit.to_json();
    let listed_from = world.listed_from(0);
    world.deposits.insert(id, world.now, listed_from, deposit);
    world.emit("deposit.received", shown);
    Ok(id)
}

/// What is known of money that arrives.
pub(crate) struct Arrival {
    pub(crate) account: Uuid,
    pub(crate) amount: Money,
    pub(crate) source: FinancialAddress,
    pub(crate) reference: Option<String>,
    pub(crate) rail: Option<String>,
    pub(crate) tx_hash: Option<String>,
    pub(crate) own_source: Option<Uuid>,
}

impl Arrival {
    /// A book transfer from one own account to another.
    fn internal(world: &World, from: Uuid, to: Uuid, amount: Money, reference: Option<String>) -> Option<Self> {
        let source = world.accounts.get(from)?.financial_addresses.first()?.clone();
        Some(Self {
            account: to,
            amount,
            source,
            reference,
            rail: Some("internal".to_owned()),
            tx_hash: None,
            own_source: Some(from),
        })
    }
}

// --- payouts ------------------------------------------------------------------------------------

fn payout_initiated(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let now = world.now;
    let payout = world.payouts.get_mut(id).ok_or(StepError::NotFound)?;
    if payout.status != TransferStatus::Pending || payout.initiated {
        return Err(StepError::Illegal(payout.status.name()));
    }
    payout.initiated = true;
    payout.updated_at = now;
    let shown = payout.to_json();
    world.emit("payout.initiated", shown);
    world.plan_step(world.config.lifecycle.payout_paid_ms, id, Step::PayoutEnds);
    Ok(())
}

fn payout_ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = world.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status != TransferStatus::Pending {
        return Err(StepError::Illegal(payout.status.name()));
    }
    if let Ending::Bad(failure) = payout.ending.clone() {
        return payout_failed(world, id, failure);
    }
    let (amount, own_account) = (payout.amount, payout.own_account);
    match own_account {
        None => {
            let route = (Place::Reserved(id), Place::Outside);
            world.ledger.post(world.now, route, amount, "payout.paid", id)?;
        }
        Some(target) => {
            let blocked = world.accounts.get(target).and_then(|account| match account.status {
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
            let arrival = Arrival::internal(world, payout.source_account_id, target, amount, reference);
            let arrival = arrival.ok_or(StepError::NotFound)?;
            arrive(world, Place::Reserved(id), ("payout.paid", Some(id)), arrival)?;
        }
    }
    close_payout(world, id, TransferStatus::Paid, None);
    if let (Some(delay_ms), None) = (world.config.lifecycle.payout_returned_ms, own_account) {
        world.plan_step(delay_ms, id, Step::PayoutReturned);
    }
    Ok(())
}

fn payout_failed(world: &mut World, id: Uuid, failure: Failure) -> Result<(), StepError> {
    let payout = world.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status != TransferStatus::Pending {
        return Err(StepError::Illegal(payout.status.name()));
    }
    if payout.reserved {
        let route = (Place::Reserved(id), Place::Account(payout.source_account_id));
        world
            .ledger
            .post(world.now, route, payout.amount, "payout.failed", id)?;
    }
    close_payout(world, id, TransferStatus::Failed, Some(failure));
    Ok(())
}

/// The beneficiary's bank sends the money back: the provider has no event for it.
fn payout_returned(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let payout = world.payouts.get(id).ok_or(StepError::NotFound)?;
    if payout.status != TransferStatus::Paid {
        return Err(StepError::Illegal(payout.status.name()));
    }
    if payout.own_account.is_some() {
        return Err(StepError::Illegal("paid to an own account"));
    }
    let route = (Place::Outside, Place::Account(payout.source_account_id));
    world
        .ledger
        .post(world.now, route, payout.amount, "payout.returned", id)?;
    close_payout(world, id, TransferStatus::Returned, None);
    Ok(())
}

fn close_payout(world: &mut World, id: Uuid, status: TransferStatus, failure: Option<Failure>) {
    let now = world.now;
    let Some(payout) = world.payouts.get_mut(id) else {
        return;
    };
    payout.status = status;
    payout.reserved = false;
    payout.failure = failure;
    payout.updated_at = now;
    let shown = payout.to_json();
    match status {
        TransferStatus::Paid => world.emit("payout.paid", shown),
        TransferStatus::Failed => world.emit("payout.failed", shown),
        TransferStatus::Pending | TransferStatus::Returned => return,
    };
}

// --- conversions --------------------------------------------------------------------------------

fn conversion_ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let conversion = world.conversions.get(id).ok_or(StepError::NotFound)?;
    if conversion.status != ConversionStatus::Pending {
        return Err(StepError::Illegal(conversion.status.name()));
    }
    if let Ending::Bad(failure) = conversion.ending.clone() {
        return conversion_failed(world, id, failure.message);
    }
    let target_account = conversion.target_account_id;
    if world
        .accounts
        .get(target_account)
        .is_none_or(|account| account.status == AccountStatus::Closed)
    {
        return conversion_failed(world, id, "the target account is closed".to_owned());
    }
    let (sold, bought) = (conversion.source, conversion.target);
    let name = "conversion.completed";
    world
        .ledger
        .post(world.now, (Place::Reserved(id), Place::Market), sold, name, id)?;
    let route = (Place::Market, Place::Account(target_account));
    world.ledger.post(world.now, route, bought, name, id)?;
    close_conversion(world, id, ConversionStatus::Completed, None);
    Ok(())
}

fn conversion_failed(world: &mut World, id: Uuid, message: String) -> Result<(), StepError> {
    let conversion = world.conversions.get(id).ok_or(StepError::NotFound)?;
    if conversion.status != ConversionStatus::Pending {
        return Err(StepError::Illegal(conversion.status.name()));
    }
    if conversion.reserved {
        let route = (Place::Reserved(id), Place::Account(conversion.source_account_id));
        world
            .ledger
            .post(world.now, route, conversion.source, "conversion.failed", id)?;
    }
    close_conversion(world, id, ConversionStatus::Failed, Some(message));
    Ok(())
}

fn close_conversion(world: &mut World, id: Uuid, status: ConversionStatus, failure: Option<String>) {
    let now = world.now;
    let show_quote = world.config.conversions.quote_id != QuoteId::Never;
    let Some(conversion) = world.conversions.get_mut(id) else {
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
    if let Some(quote) = world.quotes.get_mut(quote) {
        (quote.status, quote.funding_status) = if completed {
            ("completed", "completed")
        } else {
            ("failed", "failed")
        };
        quote.updated_at = now;
    }
    world.emit(
        if completed {
            "conversion.completed"
        } else {
            "conversion.failed"
        },
        shown,
    );
}

// --- returns ------------------------------------------------------------------------------------

fn return_ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let given_back = world.returns.get(id).ok_or(StepError::NotFound)?;
    if given_back.status != TransferStatus::Pending {
        return Err(StepError::Illegal(given_back.status.name()));
    }
    if let Ending::Bad(failure) = given_back.ending.clone() {
        return return_failed(world, id, failure);
    }
    let (amount, account) = (given_back.amount, given_back.account_id);
    let origin = world
        .deposits
        .get(given_back.deposit_id)
        .and_then(|deposit| deposit.own_source);
    match origin {
        None => {
            let route = (Place::Reserved(id), Place::Outside);
            world.ledger.post(world.now, route, amount, "return.paid", id)?;
        }
        Some(origin) => {
            let arrival = Arrival::internal(world, account, origin, amount, None).ok_or(StepError::NotFound)?;
            let arrived = arrive(world, Place::Reserved(id), ("return.paid", Some(id)), arrival);
            if arrived.is_err() {
                let failure = Failure::new("account_closed", "the account the money came from is closed", false);
                return return_failed(world, id, failure);
            }
        }
    }
    close_return(world, id, TransferStatus::Paid, None, "returned");
    if let (Some(delay_ms), None) = (world.config.lifecycle.return_returned_ms, origin) {
        world.plan_step(delay_ms, id, Step::ReturnReturned);
    }
    Ok(())
}

fn return_failed(world: &mut World, id: Uuid, failure: Failure) -> Result<(), StepError> {
    let given_back = world.returns.get(id).ok_or(StepError::NotFound)?;
    if given_back.status != TransferStatus::Pending {
        return Err(StepError::Illegal(given_back.status.name()));
    }
    if given_back.reserved {
        let route = (Place::Reserved(id), Place::Account(given_back.account_id));
        world
            .ledger
            .post(world.now, route, given_back.amount, "return.failed", id)?;
    }
    close_return(world, id, TransferStatus::Failed, Some(failure), "return_failed");
    Ok(())
}

/// What was given back comes to the merchant's account again.
fn return_returned(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let given_back = world.returns.get(id).ok_or(StepError::NotFound)?;
    if given_back.status != TransferStatus::Paid {
        return Err(StepError::Illegal(given_back.status.name()));
    }
    let internal = world
        .deposits
        .get(given_back.deposit_id)
        .is_some_and(|deposit| deposit.own_source.is_some());
    if internal {
        return Err(StepError::Illegal("paid to an own account"));
    }
    let route = (Place::Outside, Place::Account(given_back.account_id));
    world
        .ledger
        .post(world.now, route, given_back.amount, "return.returned", id)?;
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
    let now = world.now;
    let Some(given_back) = world.returns.get_mut(id) else {
        return;
    };
    given_back.status = status;
    given_back.reserved = false;
    given_back.failure = failure;
    given_back.updated_at = now;
    let (shown, deposit_id) = (given_back.to_json(), given_back.deposit_id);
    mark_deposit(world, deposit_id, deposit_status, now);
    match status {
        TransferStatus::Paid => world.emit("return.paid", shown),
        TransferStatus::Failed => world.emit("return.failed", shown),
        TransferStatus::Returned => world.emit("return.returned", shown),
        TransferStatus::Pending => return,
    };
}

/// A deposit follows its returns; it has no event of its own for that.
pub(crate) fn mark_deposit(world: &mut World, id: Uuid, status: &'static str, now: Instant) {
    if let Some(deposit) = world.deposits.get_mut(id) {
        deposit.status = status;
        deposit.updated_at = now;
    }
}

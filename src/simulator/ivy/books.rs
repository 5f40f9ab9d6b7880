//! Accounts and what moves on them: every movement leaves the line that the list of transactions shows.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::address;
use super::config::Insufficient;
use super::state::CURRENCIES;
use super::wire::{number, of_plain, plain, present, unix};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::contract::Call;
use crate::simulator::core::address::Address;
use crate::simulator::core::failure::Failure;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::ledger::{LedgerError, Place};
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

/// An account of the merchant: one currency, known by the address that money arrives at.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) label: String,
    pub(crate) currency: Currency,
    pub(crate) address: Address,
}

/// Which way a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Credit,
    Debit,
}

/// One line of an account.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: Uuid,
    account: Uuid,
    amount: Money,
    before: Money,
    after: Money,
    side: Side,
    at: Instant,
    /// Who is on the other side.
    other: Option<Address>,
    reference: Option<String>,
    /// The kind and id of what caused it.
    process: (&'static str, String),
}

/// Why a line is written.
pub(crate) struct Reason {
    /// `payoutv2`, `deposit_return`.
    pub(crate) process: &'static str,
    pub(crate) id: Uuid,
    /// The same id as the API shows it.
    pub(crate) shown_id: String,
    pub(crate) step: &'static str,
    pub(crate) other: Option<Address>,
    pub(crate) reference: Option<String>,
}

/// Takes money off an account to `to`. Gives the id of the line.
pub(crate) fn debit(
    world: &mut World,
    account: Uuid,
    to: Place,
    amount: Money,
    reason: Reason,
) -> Result<Uuid, LedgerError> {
    let (now, step, cause) = (world.core.now, reason.step, reason.id);
    world
        .core
        .ledger
        .post(now, (Place::Account(account), to), amount, step, cause)?;
    Ok(write_line(world, account, Side::Debit, amount, reason))
}

/// Brings money onto an account from `from`. Gives the id of the line.
pub(crate) fn credit(
    world: &mut World,
    account: Uuid,
    from: Place,
    amount: Money,
    reason: Reason,
) -> Result<Uuid, LedgerError> {
    let (now, step, cause) = (world.core.now, reason.step, reason.id);
    world
        .core
        .ledger
        .post(now, (from, Place::Account(account)), amount, step, cause)?;
    Ok(write_line(world, account, Side::Credit, amount, reason))
}

/// The line of a movement that has just been posted.
fn write_line(world: &mut World, account: Uuid, side: Side, amount: Money, reason: Reason) -> Uuid {
    let after = world.core.ledger.balance(Place::Account(account), amount.currency());
    let before = match side {
        Side::Credit => after.checked_sub(amount),
        Side::Debit => after.checked_add(amount),
    };
    let id = world.core.new_id();
    let line = Line {
        id,
        account,
        amount,
        before: before.unwrap_or(after),
        after,
        side,
        at: world.core.now,
        other: reason.other,
        reference: reason.reference,
        process: (reason.process, reason.shown_id),
    };
    let lag = world.core.config.ivy.visibility_lag_ms;
    let (now, listed_from) = (world.core.now, world.core.listed_after(lag));
    world.ivy.lines.insert(id, now, listed_from, line);
    id
}

/// Sets money aside on the default account of its currency. Too little is refused now or, as the settings
/// say, becomes a later failure.
pub(crate) fn reserve(
    world: &mut World,
    account: Uuid,
    amount: Money,
    reason: Reason,
) -> Result<Result<Uuid, Failure>, Refusal> {
    let id = reason.id;
    match debit(world, account, Place::Reserved(id), amount, reason) {
        Ok(line) => Ok(Ok(line)),
        Err(LedgerError::Short { .. }) => match world.core.config.ivy.insufficient_funds {
            Insufficient::Refuse => Err(Refusal::validation("the available balance is too low")),
            Insufficient::FailLater => Ok(Err(Failure::new(
                "insufficient_funds",
                "the available balance is too low",
                true,
            ))),
        },
        Err(LedgerError::NotPositive(_) | LedgerError::Money(_)) => Err(Refusal::internal()),
    }
}

/// Gives what was set aside back to its account.
pub(crate) fn give_back(world: &mut World, account: Uuid, amount: Money, reason: Reason) -> Result<(), StepError> {
    let from = Place::Reserved(reason.id);
    credit(world, account, from, amount, reason)?;
    Ok(())
}

impl Line {
    fn to_json(&self, world: &World) -> Json {
        let own = world
            .ivy
            .accounts
            .get(self.account)
            .map(|account| address::write(&account.address));
        let other = self.other.as_ref().map(address::write);
        let (creditor, debtor, side) = match self.side {
            Side::Credit => (own, other, "credit"),
            Side::Debit => (other, own, "debit"),
        };
        let (process, id) = &self.process;
        present(json!({
            "id": self.id,
            "amount": self.amount.amount().to_string(),
            "balance": {
                "before": self.before.amount().to_string(),
                "after": self.after.amount().to_string(),
            },
            "bankStatementReference": self.reference.clone().unwrap_or_default(),
            "creditor": creditor,
            "debtor": debtor,
            "currency": self.amount.currency(),
            "side": side,
            "transactionDate": unix(self.at, world.core.config.ivy.unix_times),
            "paymentProcessId": id,
            "paymentProcessType": process,
        }))
    }
}

// --- operations ---------------------------------------------------------------------------------

/// What is available: by account, or on the default account of a currency; everything where neither is named.
pub(super) fn balance(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let account = fields.optional_uuid("accountId")?;
    let currency = fields.optional_currency("currency", &CURRENCIES)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let meant = match (account, currency) {
        (Some(account), _) => {
            // With both, one is ignored, and nobody says which: here it is the currency.
            let known = world.ivy.accounts.get(account);
            vec![known.ok_or_else(|| Refusal::not_found("the account"))?]
        }
        (None, Some(currency)) => {
            let account = world.ivy.default_account(currency);
            let account = account.and_then(|account| world.ivy.accounts.get(account));
            vec![account.ok_or_else(|| Refusal::not_found("an account of this currency"))?]
        }
        (None, None) => world.ivy.accounts.iter().collect(),
    };
    let balances: Vec<Json> = meant
        .into_iter()
        .map(|account| {
            let available = available(world, account);
            json!({
                "available": number(available, world.core.config.ivy.numbers),
                "currency": account.currency,
            })
        })
        .collect();
    Ok(json!({ "balances": balances }))
}

/// What can be moved off an account.
pub(crate) fn available(world: &World, account: &Account) -> Money {
    world.core.ledger.balance(Place::Account(account.id), account.currency)
}

/// The lines of an account, or of the default accounts, of a span of time; oldest first.
pub(super) fn transactions(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let from = moment(&mut fields, "from")?;
    let until = moment(&mut fields, "to")?;
    let account = fields.optional_uuid("accountId")?;
    let cursor = fields.optional_text("afterCursor")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    if from > until {
        return Err(fields.invalid("from", "is not after to"));
    }
    if account.is_some_and(|account| world.ivy.accounts.get(account).is_none()) {
        return Err(Refusal::not_found("the account"));
    }
    let meant = |line: &Line| match account {
        Some(account) => line.account == account,
        None => world.ivy.default_account(line.amount.currency()) == Some(line.account),
    };
    let unit = world.core.config.ivy.unix_times;
    let after = match cursor {
        None => None,
        Some(text) => {
            let id = of_plain(text).filter(|id| world.ivy.lines.get(*id).is_some());
            Some(id.ok_or_else(|| fields.invalid("afterCursor", "is no cursor of this list"))?)
        }
    };
    let rows = world.ivy.lines.rows().iter();
    let mut found: Vec<&Line> = rows
        .filter(|row| row.listed_from <= world.core.elapsed)
        .map(|row| &row.item)
        .skip_while(|line| after.is_some_and(|after| line.id != after))
        .skip(usize::from(after.is_some()))
        .filter(|line| (from..until).contains(&unix(line.at, unit)) && meant(line))
        .collect();
    let size = world.core.config.ivy.transaction_page;
    let has_next = found.len() > size;
    found.truncate(size);
    let next = found.last().filter(|_| has_next).map(|line| plain(line.id));
    let data: Vec<Json> = found.into_iter().map(|line| line.to_json(world)).collect();
    Ok(json!({ "data": data, "paging": present(json!({ "hasNext": has_next, "nextCursor": next })) }))
}

/// A Unix time of a request, in whatever unit the settings have.
fn moment(fields: &mut Fields<'_>, field: &'static str) -> Result<i64, Refusal> {
    let number = fields.optional_number(field)?;
    let number = number.ok_or_else(|| Refusal::parameter_missing(fields.name(field)))?;
    let whole = number.trunc() == number && !number.is_sign_negative();
    let time = i64::try_from(number.trunc()).ok().filter(|_| whole);
    time.ok_or_else(|| fields.invalid(field, "is a Unix time"))
}

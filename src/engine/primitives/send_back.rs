//! Sending a deposit back by a payment of its own: where the provider has no return of it, or of a part of it, or none any
//! more. Once for each deposit, whoever asks: the payment names the deposit, and the deposit's name is held until the
//! provider shows the payment, so that a second run sees it. A return of the whole holds the same name: a deposit goes
//! back by one of the two.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::args::{Args, invalid};
use super::calls::{self, Reads};
use super::moves::{Pay, send};
use super::positions::{amount_in, mapping};
use super::{Body, Kind, Module, Primitive};
use crate::base::clock::Instant;
use crate::base::guard::{Guard, holds};
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::request::{as_argument, prepare};
use crate::connector::table::{BackMap, DepositMap, PrimitiveMap, SentMap};
use crate::engine::alone::Again;
use crate::engine::apart::Apart;
use crate::engine::turn::{Turn, fail};
use crate::model::journal::Failure;
use crate::model::treasury::give_back::{Original, give_back};
use crate::model::value::Value;
use crate::script::Thrown;

/// By how much the time of a payment may be before that of its deposit, by two clocks of one provider.
const BEFORE: TimeDelta = TimeDelta::days(1);

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Connection,
    name: "send_back",
    kind: Kind::Wait,
    params: &[
        ("#deposit", "the deposit's id"),
        ("amount?", "money: this much of it; all of it if not given"),
        ("to?", "where to, as an address, if not to the one it came from"),
        ("reference?", "what the sender reads; most providers want one"),
        ("rail?", "a rail of the provider"),
        ("metadata?", "a map of texts kept with the payment"),
    ],
    result: "the payment as the provider tells it, with `resource`, `existed`, `sent_back` (money), `left` (what stays with us)",
    doc: "Pays a deposit back to where it came from, whole or in part, once: a payment that names the deposit is found first. \
          For what `return_deposit` does not do (a part, or a deposit that cannot be returned any more); never for both.",
    example: "let back = bank::send_back(#{ deposit: \"dep_1\", amount: EUR(10), reference: \"overpaid\" });",
    needs: &["send_back"],
    body: Body::Connection(send_back),
}];

/// A deposit as the provider shows it.
struct Deposit {
    id: String,
    amount: Money,
    account: String,
    sender: Value,
    at: Instant,
}

fn send_back(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let known = ["deposit", "amount", "to", "reference", "rail", "metadata"];
    let args = Args::new("send_back", given, &known)?;
    let map = mapping(connection, "send_back")?;
    let Some(back) = &map.back else {
        return Err(fail("unsupported", "the table does not say what is sent back"));
    };
    let BackMap { deposit: table, sent } = back;
    let (named, asked) = (args.required_text("deposit")?, args.money("amount")?);
    if let Some(to) = args.get("to").filter(|to| to.as_map().is_none()) {
        return Err(invalid(format!(
            "`to` of `send_back` has to be an address, not {}",
            to.kind()
        )));
    }
    let mut metadata = args.map("metadata")?.cloned().unwrap_or_default();
    if metadata.contains_key(&sent.mark) {
        let mark = &sent.mark;
        return Err(invalid(format!(
            "`metadata.{mark}` is where the deposit is named: leave it out"
        )));
    }
    turn.compound(&format!("{}.send_back", connection.name), &given.typed_text(), || {
        let is_old = turn.was_further();
        let apart = keep_apart(turn, connection, back, named)?;
        let reads = Reads::Steps(turn);
        let shown = show(reads, connection, table, named)?;
        let gone = |shown: &Value| {
            let word = goes_back(table, shown)?;
            let message =
                format!("nothing was sent: deposit {named} is `{word}`, its money goes back or went back already");
            Some(Failure::new("not_possible", message))
        };
        if let Some(failure) = gone(&shown) {
            return Err(Thrown::Failure(failure));
        }
        let deposit = read(connection, (map, table), named, &shown)?;
        if let Some(known) = earlier(reads, connection, sent, &deposit)? {
            return existing(connection, map, &deposit, (asked, known));
        }
        let still = |again: &Again<'_>| {
            again.after_restore(lag(sent))?;
            let reads = Reads::Again(again);
            if let Some(failure) = gone(&show(reads, connection, table, named)?) {
                return Ok(Some(failure));
            }
            let known = earlier(reads, connection, sent, &deposit)?;
            Ok(known.map(|_| {
                let message = format!("nothing was sent: deposit {named} was sent back meanwhile");
                Failure::new("sent_back_before", message)
            }))
        };
        let goes = give_back(&Original::new(deposit.amount), asked).map_err(|error| invalid(error.to_string()))?;
        metadata.insert(sent.mark.clone(), Value::text(&deposit.id));
        let to = match args.get("to") {
            Some(to) => to.clone(),
            None => sender(connection, map, &deposit)?,
        };
        let pay = Pay {
            from: map.args.contains_key("from").then_some(deposit.account.as_str()),
            to: &to,
            amount: goes.amount,
            reference: args.text("reference")?,
            rail: args.text("rail")?,
            metadata: Some(&metadata),
        };
        let made = send(turn, connection, "send_back", &pay, is_old.then_some(&still))?;
        // What failed at once is shown, too.
        turn.until_shown(&apart, || {
            Ok(payment_of(reads, connection, sent, &deposit, |_| true)?.is_some())
        })?;
        let summary = format!("deposit {}: {}", deposit.id, goes.reason);
        Ok((told(made, (goes.amount, goes.left), false), summary))
    })
}

fn told(payment: Value, (sent_back, left): (Money, Money), existed: bool) -> Value {
    match payment {
        Value::Map(mut entries) => {
            entries.insert("sent_back".to_owned(), Value::Money(sent_back));
            entries.insert("left".to_owned(), Value::Money(left));
            entries.insert("existed".to_owned(), Value::Bool(existed));
            Value::Map(entries)
        }
        other => other,
    }
}

/// The payment that is there. Another amount than is asked for now is not sent as well.
fn existing(
    connection: &Connection,
    map: &PrimitiveMap,
    deposit: &Deposit,
    (asked, known): (Option<Money>, Value),
) -> Result<(Value, String), Thrown> {
    let unreadable = || {
        let message = format!(
            "nothing was sent: a payment that sends deposit {} back is there, and its amount is not readable: {known}",
            deposit.id
        );
        fail("not_possible", message)
    };
    let endpoint = calls::find(connection, &map.endpoint)?;
    let amount = endpoint.echo.amount.as_ref().and_then(|at| known.pointer(at));
    let amount = amount.and_then(|amount| amount_in(connection, map, amount, deposit.amount.currency()));
    let amount = amount.ok_or_else(unreadable)?;
    if asked.is_some_and(|asked| asked != amount) {
        let message = format!(
            "nothing was sent: {amount} of deposit {} was sent back before",
            deposit.id
        );
        return Err(fail("sent_back_before", message));
    }
    let left = deposit.amount.checked_sub(amount).map_err(|_| unreadable())?;
    let summary = format!("deposit {}: {amount} was sent back before", deposit.id);
    let shown = super::moves::with_resource(connection, map, known);
    Ok((told(shown, (amount, left), true), summary))
}

/// What a return of the whole finds of a deposit.
pub(super) enum Found<'a> {
    /// It is here, whole, and stays so until the step ends. Nothing where no payment could have sent it back.
    Here(Option<Here<'a>>),
    /// The provider says that it goes back, or did: in this word.
    GoesBack(String, Apart),
}

/// A deposit that is here, whole.
pub(super) struct Here<'a> {
    connection: &'a Arc<Connection>,
    back: &'a BackMap,
    deposit: Deposit,
    named: &'a str,
    apart: Apart,
    /// Whether that was read in an earlier turn.
    pub(super) is_old: bool,
}

/// Looks, before a deposit is returned as a whole, whether a payment sent it back, and keeps whoever would send one away
/// until the step ends. Inside a step made of others. An error: it was sent back.
pub(super) fn before_return<'a>(
    turn: &Turn,
    connection: &'a Arc<Connection>,
    named: &'a str,
) -> Result<Found<'a>, Thrown> {
    let map = connection.connector.primitive("send_back");
    let Some((map, back)) = map.and_then(|map| Some((map, map.back.as_ref()?))) else {
        return Ok(Found::Here(None));
    };
    let table = &back.deposit;
    let is_old = turn.was_further();
    let apart = keep_apart(turn, connection, back, named)?;
    let reads = Reads::Steps(turn);
    let shown = show(reads, connection, table, named)?;
    if let Some(word) = goes_back(table, &shown) {
        return Ok(Found::GoesBack(word, apart));
    }
    let here = Here {
        connection,
        back,
        deposit: read(connection, (map, table), named, &shown)?,
        named,
        apart,
        is_old,
    };
    match here.sent_back(reads)? {
        None => Ok(Found::Here(Some(here))),
        Some(failure) => Err(Thrown::Failure(failure)),
    }
}

impl Here<'_> {
    /// Why it is not returned, if a payment sent it back.
    fn sent_back(&self, reads: Reads<'_>) -> Result<Option<Failure>, Thrown> {
        let payment = earlier(reads, self.connection, &self.back.sent, &self.deposit)?;
        let payment = payment.filter(|_| holds(Guard::ReturnOrSendBack));
        Ok(payment.map(|payment| {
            let id = payment.pointer("/id").and_then(Value::as_text).unwrap_or("unnamed");
            let message = format!(
                "nothing was returned: deposit {} was sent back before, whole or in part, by payment {id}; what is left of it, \
                 if any, goes by a `payout`",
                self.named
            );
            Failure::new("sent_back_before", message)
        }))
    }

    /// Looks once more, just before it is returned.
    pub(super) fn still(&self, again: &Again<'_>) -> Result<Option<Failure>, Thrown> {
        let BackMap { deposit: table, sent } = self.back;
        again.after_restore(lag(sent))?;
        let reads = Reads::Again(again);
        match goes_back(table, &show(reads, self.connection, table, self.named)?) {
            None => self.sent_back(reads),
            Some(word) => {
                let message = format!("nothing was returned: deposit {} is `{word}` by now", self.named);
                Ok(Some(Failure::new("not_possible", message)))
            }
        }
    }

    /// Waits, after it was returned as a whole, until the provider shows that it goes back.
    pub(super) fn returned(&self, turn: &Turn) -> Result<(), Thrown> {
        let table = &self.back.deposit;
        turn.until_shown(&self.apart, || {
            let shown = show(Reads::Steps(turn), self.connection, table, self.named)?;
            Ok(goes_back(table, &shown).is_some())
        })
    }
}

/// Waits for a return that the provider's word for the deposit tells of, and its list of returns may not show yet.
pub(super) fn awaited(
    turn: &Turn,
    apart: &Apart,
    there: impl Fn() -> Result<Option<Value>, Thrown>,
) -> Result<Option<Value>, Thrown> {
    if let Some(known) = there()? {
        return Ok(Some(known));
    }
    turn.until_shown(apart, || Ok(there()?.is_some()))?;
    there()
}

/// Waits until nobody else gives the deposit back. Every way to write one id asks the provider for the same.
fn keep_apart(
    turn: &Turn,
    connection: &Connection,
    BackMap { deposit, sent }: &BackMap,
    named: &str,
) -> Result<Apart, Thrown> {
    let endpoint = calls::find(connection, &deposit.endpoint)?;
    let args = [(deposit.param.clone(), Value::text(named))].into();
    let asked = prepare(connection, endpoint, &args, None).map_err(Thrown::Failure)?;
    let name = format!("send_back {}", asked.request.path.to_lowercase());
    turn.apart(connection, &name, lag(sent))
}

/// For how long the list may not show a payment.
fn lag(sent: &SentMap) -> Duration {
    Duration::from_secs(sent.visibility_lag_secs)
}

fn show(reads: Reads<'_>, connection: &Arc<Connection>, table: &DepositMap, named: &str) -> Result<Value, Thrown> {
    let endpoint = calls::find(connection, &table.endpoint)?;
    reads.call(
        connection,
        endpoint,
        &[(table.param.clone(), Value::text(named))].into(),
    )
}

/// The provider's word for a deposit that goes back, or went back, by a return.
fn goes_back(table: &DepositMap, shown: &Value) -> Option<String> {
    let held = table.unless.iter().find(|held| held.is_said_by(shown))?;
    Some(shown.pointer(&held.at).unwrap_or(&Value::Null).to_string())
}

fn read(
    connection: &Connection,
    (map, table): (&PrimitiveMap, &DepositMap),
    named: &str,
    shown: &Value,
) -> Result<Deposit, Thrown> {
    let said = |at: &str| shown.pointer(at).and_then(Value::as_text);
    let unreadable = || fail("unreadable_answer", format!("deposit {named} is not readable: {shown}"));
    let currency = match &table.currency {
        Some(at) => said(at).and_then(|code| code.parse::<Currency>().ok()),
        None => connection.connector.money.currency,
    };
    let amount = currency.and_then(|currency| amount_in(connection, map, shown.pointer(&table.amount)?, currency));
    let at = said(&table.at).and_then(crate::model::value::parse_time);
    Ok(Deposit {
        id: said(&table.id).ok_or_else(unreadable)?.to_owned(),
        amount: amount.ok_or_else(unreadable)?,
        account: said(&table.account).ok_or_else(unreadable)?.to_owned(),
        sender: shown.pointer(&table.sender).cloned().unwrap_or_default(),
        at: at.ok_or_else(unreadable)?,
    })
}

/// Where it came from, as an address to pay to.
fn sender(connection: &Connection, map: &PrimitiveMap, deposit: &Deposit) -> Result<Value, Thrown> {
    let Value::Map(_) = &deposit.sender else {
        let message = format!(
            "nothing was sent: who sent deposit {} is not told; say it as `to`",
            deposit.id
        );
        return Err(fail("no_address", message));
    };
    let endpoint = calls::find(connection, &map.endpoint)?;
    let param = map.args.get("to").map_or("to", String::as_str);
    Ok(as_argument(connection, endpoint, param, &deposit.sender))
}

/// The payment that sends it back, if the list shows one that did not come to nothing.
fn earlier(
    reads: Reads<'_>,
    connection: &Arc<Connection>,
    sent: &SentMap,
    deposit: &Deposit,
) -> Result<Option<Value>, Thrown> {
    let is_alive = |status: &str| !sent.dead.iter().any(|dead| dead == status);
    let found = payment_of(reads, connection, sent, deposit, is_alive)?;
    Ok(found.filter(|_| holds(Guard::SentBackOnce)))
}

/// The first payment of the deposit that the list shows and whose status is one that counts.
fn payment_of(
    reads: Reads<'_>,
    connection: &Arc<Connection>,
    sent: &SentMap,
    deposit: &Deposit,
    counts: impl Fn(&str) -> bool,
) -> Result<Option<Value>, Thrown> {
    let list = calls::find(connection, &sent.endpoint)?;
    let since = sent
        .since
        .as_ref()
        .map(|param| (param.clone(), Value::Time(deposit.at - BEFORE)));
    let is_it = |payment: &Value| {
        let said = |at: &str| payment.pointer(at).and_then(Value::as_text);
        said(&sent.at) == Some(deposit.id.as_str()) && said(&sent.status).is_none_or(&counts)
    };
    reads.first(connection, list, since.into_iter().collect(), is_it)
}

//! A refund of a payment that was divided: each part gives back its share of what it still has, as the provider shows
//! the division and what went back of it before. One at a time for each payment, whoever asks: the payment's name is held
//! until the provider shows the refund, so that the next one counts it.
//!
//! It must not guess: a division or a refund that cannot be read to the cent is for a person.

use std::sync::Arc;
use std::time::Duration;

use super::args::{Args, invalid};
use super::calls::{self, Reads};
use super::moves::{say_now, with_resource};
use super::positions::{amount_in, in_words_of};
use super::split_call::Item;
use crate::base::guard::{Guard, holds};
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::table::{DividedMap, Endpoint, PartsMap, PrimitiveMap};
use crate::engine::alone::Again;
use crate::engine::turn::{Turn, fail};
use crate::model::journal::Failure;
use crate::model::treasury::give_back::{Original, give_back, reverse};
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// How this provider divides, and where it tells.
struct Reading<'a> {
    connection: &'a Arc<Connection>,
    map: &'a PrimitiveMap,
    divided: &'a DividedMap,
    currency: Currency,
}

/// A payment as it was divided.
#[derive(Clone)]
struct Division {
    number: String,
    amount: Money,
    parts: Vec<Part>,
}

/// One part, and what it gave back before.
#[derive(Clone)]
struct Part {
    number: String,
    to: Value,
    label: Option<Value>,
    amount: Money,
    earlier: Money,
}

/// What went back before.
struct Earlier<'v> {
    amounts: Vec<Money>,
    /// The refund of the number that is asked for, if it is there.
    same: Option<(Money, &'v Value)>,
}

/// Gives money of a divided payment back. Inside a step made of others.
pub(super) fn refund(
    turn: &Turn,
    connection: &Arc<Connection>,
    (map, divided): (&PrimitiveMap, &DividedMap),
    args: &Args<'_>,
) -> Result<(Value, String), Thrown> {
    let endpoint = calls::find(connection, &map.endpoint)?;
    let (Some(parts), Some(currency)) = (&map.parts, connection.connector.money.currency) else {
        return Err(fail("unsupported", "the table does not say how parts go back"));
    };
    let reading = Reading {
        connection,
        map,
        divided,
        currency,
    };
    let payment = args.required_text("payment")?;
    let number = args.required_text("refund")?;
    let (asked, given) = (args.money("amount")?, args.get("split"));
    let since: Map = match (args.time("since")?, &divided.since) {
        (Some(since), Some(param)) => [(param.clone(), Value::Time(since))].into(),
        (Some(_), None) => return Err(reading.untold("since")),
        (None, _) => Map::new(),
    };
    let lag = lag(endpoint);
    let is_old = turn.was_further();
    let apart = turn.apart(connection, &format!("refund {payment}"), lag)?;
    // Only what is read from here on is what this refund may give back of.
    let mut division = match given {
        Some(split) => reading.given(split, payment)?,
        None => {
            let list = calls::find(connection, &divided.endpoint)?;
            let listed = calls::list(turn, connection, list, since.clone())?;
            reading.found(&listed, payment)?
        }
    };
    let list = calls::find(connection, &divided.refunds.endpoint)?;
    let listed = calls::list(turn, connection, list, since.clone())?;
    let earlier = reading.earlier(&listed, &mut division, number)?;
    let original = Original {
        earlier: earlier.amounts,
        ..Original::new(division.amount)
    };
    if let Some((amount, refund)) = earlier.same {
        return existing(&reading, &original, number, (amount, asked), refund);
    }
    let back = give_back(&original, asked).map_err(|error| invalid(error.to_string()))?;
    let (items, shares) = division.borne(back.amount, (connection, parts), number)?;
    let told = [
        ("payment", Some(Value::text(&division.number))),
        ("refund", Some(Value::text(number))),
        ("amount", Some(Value::Money(back.amount))),
        ("reference", args.text("reference")?.map(Value::text)),
        ("metadata", args.map("metadata")?.cloned().map(Value::Map)),
    ];
    let mut request = in_words_of(connection, map, "refund", told)?;
    request.insert(parts.list.clone(), Value::List(items));
    say_now(turn, map, &mut request)?;
    let still = |again: &Again<'_>| {
        again.after_restore(lag)?;
        let listed = Reads::Again(again).list(connection, list, since.clone())?;
        let earlier_now = reading.earlier(&listed, &mut division.clone(), number)?;
        // A list has no order to rely on.
        let sorted = |amounts: &[Money]| {
            let mut amounts: Vec<_> = amounts.iter().map(|amount| amount.minor()).collect();
            amounts.sort_unstable();
            amounts
        };
        let same = earlier_now.same.is_none() && sorted(&earlier_now.amounts) == sorted(&original.earlier);
        Ok((!same).then(|| {
            let message =
                format!("nothing was sent: payment {payment} was refunded meanwhile, by this number or another");
            Failure::new("refunded_meanwhile", message)
        }))
    };
    let made = turn.call_while(connection, endpoint, &request, is_old.then_some(&still))?;
    turn.until_shown(&apart, || {
        let refunds = &divided.refunds;
        let is_it = |refund: &Value| {
            Reading::text(refund, &refunds.number) == Some(number)
                && Reading::text(refund, &refunds.of) == Some(division.number.as_str())
        };
        let found = Reads::Steps(turn).first(connection, list, since.clone(), is_it)?;
        Ok(found.is_some())
    })?;
    let summary = format!("refund {number} of payment {payment}: {}", back.reason);
    let made = shown(&reading, made, (back.amount, back.left), (shares, false));
    Ok((made, summary))
}

/// For how long the list may not show a refund.
fn lag(endpoint: &Endpoint) -> Duration {
    let lag = endpoint.lookup.as_ref().map_or(0, |lookup| lookup.visibility_lag_secs);
    Duration::from_secs(lag.into())
}

/// The refund of this number is there: another one under it would be another refund of the same money.
fn existing(
    reading: &Reading<'_>,
    original: &Original,
    number: &str,
    (amount, asked): (Money, Option<Money>),
    refund: &Value,
) -> Result<(Value, String), Thrown> {
    if asked.is_some_and(|asked| asked != amount) {
        return Err(fail(
            "number_in_use",
            format!("nothing was sent: refund {number} is there already, over {amount}"),
        ));
    }
    let mut left = original.amount;
    for earlier in &original.earlier {
        left = left.checked_sub(*earlier).map_err(|error| invalid(error.to_string()))?;
    }
    let known = shown(reading, refund.clone(), (amount, left), (Vec::new(), true));
    Ok((known, format!("refund {number} is there already, over {amount}")))
}

fn shown(
    reading: &Reading<'_>,
    refund: Value,
    (refunded, left): (Money, Money),
    (parts, existed): (Vec<Value>, bool),
) -> Value {
    match with_resource(reading.connection, reading.map, refund) {
        Value::Map(mut entries) => {
            entries.insert("refunded".to_owned(), Value::Money(refunded));
            entries.insert("left".to_owned(), Value::Money(left));
            entries.insert("existed".to_owned(), Value::Bool(existed));
            entries.insert("parts".to_owned(), Value::List(parts));
            Value::Map(entries)
        }
        other => other,
    }
}

impl Division {
    /// What each part bears, as items and for people.
    fn borne(
        &self,
        amount: Money,
        (connection, parts): (&Connection, &PartsMap),
        number: &str,
    ) -> Result<(Vec<Value>, Vec<Value>), Thrown> {
        let had: Vec<(Money, Money)> = self.parts.iter().map(|part| (part.amount, part.earlier)).collect();
        let shares = reverse(&had, amount).map_err(|error| invalid(error.to_string()))?;
        let (mut items, mut told) = (Vec::new(), Vec::new());
        for (part, share) in self.parts.iter().zip(shares).filter(|(_, share)| !share.is_zero()) {
            told.push(Value::map([
                ("of", Value::text(&part.number)),
                ("to", part.to.clone()),
                ("amount", Value::Money(share)),
            ]));
            let item = Item {
                to: part.to.clone(),
                amount: share,
                name: self.name_of(part),
                whole: number,
                label: part.label.clone(),
                of: Some(&part.number),
            };
            items.push(item.written(connection, parts)?);
        }
        Ok((items, told))
    }

    /// What a part is called behind the number of the whole.
    fn name_of<'p>(&self, part: &'p Part) -> &'p str {
        let behind = part.number.strip_prefix(&self.number);
        let behind = behind.map(|rest| rest.trim_start_matches(['/', '-']));
        behind.filter(|rest| !rest.is_empty()).unwrap_or(&part.number)
    }
}

impl Reading<'_> {
    fn untold(&self, word: &str) -> Thrown {
        invalid(format!(
            "`refund` of connection `{}` cannot be told `{word}`: {} has nothing like it",
            self.connection.name, self.connection.connector.title
        ))
    }

    fn money(&self, shown: &Value, at: &str) -> Option<Money> {
        amount_in(self.connection, self.map, shown.pointer(at)?, self.currency)
    }

    fn text<'v>(shown: &'v Value, at: &str) -> Option<&'v str> {
        shown.pointer(at).and_then(Value::as_text)
    }

    /// The division that a script kept.
    fn given(&self, split: &Value, payment: &str) -> Result<Division, Thrown> {
        if Self::text(split, &self.divided.payment) != Some(payment) {
            return Err(invalid(format!(
                "`split` of `refund` is not the one of payment {payment}: give what `split` returned as `split`, or leave it out"
            )));
        }
        self.division(split)
    }

    /// The one division of the payment.
    fn found(&self, listed: &[Value], payment: &str) -> Result<Division, Thrown> {
        let mut of_it = listed
            .iter()
            .filter(|split| Self::text(split, &self.divided.payment) == Some(payment));
        match (of_it.next(), of_it.next()) {
            (Some(split), None) => self.division(split),
            (None, _) => Err(fail(
                "not_found",
                format!("nothing was sent: no split of payment {payment} is shown"),
            )),
            (Some(_), Some(_)) => Err(fail(
                "not_possible",
                format!("nothing was sent: payment {payment} was split more than once; give the `split` that is meant"),
            )),
        }
    }

    fn division(&self, split: &Value) -> Result<Division, Thrown> {
        let unreadable = || {
            fail(
                "not_possible",
                format!(
                    "nothing was sent: how it was split is not readable to the cent, say yourself who bears it: {split}"
                ),
            )
        };
        let item = &self.divided.item;
        let number = Self::text(split, &self.divided.number).ok_or_else(unreadable)?;
        let amount = self.money(split, &self.divided.amount).ok_or_else(unreadable)?;
        let items = split.pointer(&self.divided.items).and_then(Value::as_list);
        let mut parts: Vec<Part> = Vec::new();
        let mut sum = Money::zero(self.currency);
        for shown in items.ok_or_else(unreadable)? {
            let inner = item.inner.as_ref().and_then(|at| shown.pointer(at));
            if inner.and_then(Value::as_list).is_some_and(|inner| !inner.is_empty()) {
                return Err(unreadable());
            }
            let part = Part {
                number: Self::text(shown, &item.number).ok_or_else(unreadable)?.to_owned(),
                to: shown
                    .pointer(&item.to)
                    .filter(|to| !to.is_null())
                    .cloned()
                    .ok_or_else(unreadable)?,
                label: item
                    .label
                    .as_ref()
                    .and_then(|at| shown.pointer(at))
                    .filter(|label| !label.is_null())
                    .cloned(),
                amount: self.money(shown, &item.amount).ok_or_else(unreadable)?,
                earlier: Money::zero(self.currency),
            };
            if parts.iter().any(|known| known.number == part.number) {
                return Err(unreadable());
            }
            sum = sum.checked_add(part.amount).map_err(|_| unreadable())?;
            parts.push(part);
        }
        if sum != amount {
            return Err(unreadable());
        }
        Ok(Division {
            number: number.to_owned(),
            amount,
            parts,
        })
    }

    /// What went back of it before, told part by part.
    fn earlier<'v>(&self, listed: &'v [Value], division: &mut Division, number: &str) -> Result<Earlier<'v>, Thrown> {
        let refunds = &self.divided.refunds;
        let mut earlier = Earlier {
            amounts: Vec::new(),
            same: None,
        };
        for refund in listed {
            let is_same = Self::text(refund, &refunds.number) == Some(number);
            if Self::text(refund, &refunds.of) != Some(division.number.as_str()) {
                if is_same {
                    let message = format!("nothing was sent: refund {number} is there already, of another payment");
                    return Err(fail("number_in_use", message));
                }
                continue;
            }
            let unreadable = || {
                let message = format!(
                    "nothing was sent: whose parts went back before is not readable to the cent, say yourself who bears the rest: {refund}"
                );
                fail("not_possible", message)
            };
            let amount = self.money(refund, &refunds.amount).ok_or_else(unreadable)?;
            if is_same {
                earlier.same = Some((amount, refund));
            }
            earlier.amounts.push(amount);
            let mut sum = Money::zero(self.currency);
            let items = refund.pointer(&refunds.items).and_then(Value::as_list);
            for item in items.ok_or_else(unreadable)? {
                let own = Self::text(item, &refunds.item_of).or_else(|| Self::text(item, &self.divided.item.number));
                let part = division.parts.iter_mut().find(|part| Some(part.number.as_str()) == own);
                let part = part.ok_or_else(unreadable)?;
                let share = self.money(item, &self.divided.item.amount).ok_or_else(unreadable)?;
                sum = sum.checked_add(share).map_err(|_| unreadable())?;
                if holds(Guard::RefundParts) {
                    part.earlier = part.earlier.checked_add(share).map_err(|_| unreadable())?;
                }
            }
            if sum != amount {
                return Err(unreadable());
            }
        }
        Ok(earlier)
    }
}

//! Primitives that wait for the outside: a resource that settles, an event.

use std::sync::Arc;

use super::args::{Args, duration, invalid};
use super::convert::decimal_at;
use super::moves::is_final;
use super::positions::{amount_in, mapping};
use super::{Body, Kind, Module, Primitive, calls};
use crate::base::money::{Currency, Money};
use crate::connector::connection::Connection;
use crate::connector::request::arguments;
use crate::connector::table::{Endpoint, WebhookTable};
use crate::engine::turn::{Turn, fail};
use crate::model::event::{EventFilter, Matching};
use crate::model::run::EventMark;
use crate::model::treasury::exchange::Exchange;
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[
    Primitive {
        module: Module::Connection,
        name: "settled",
        kind: Kind::Wait,
        params: &[
            (
                "resource",
                "a payout, transfer, conversion or return, as the call that made it returned it; or (), as `sweep` tells that nothing moved",
            ),
            ("timeout?", "\"2h\", days(3); 7 days if not given"),
        ],
        result: "the resource as it is then, () for (), and as it was given what the provider shows no more once it is made, which counts as \
                 done; for a conversion also `sold`, `bought`, `rate`, `rate_from` (\"provider\", or \"amounts\" \
                 where it is computed), `fee`; () where the provider does not tell",
        doc: "Waits until a resource has succeeded or failed: by webhook, or by looking if none comes. Past the time-out \
              a failure `timeout`. The run waits without a thread.",
        example: "let done = bank::settled(bank::return_deposit(\"dep_1\"), \"3d\");",
        needs: &["resource|payout|transfer"],
        body: Body::Connection(settled),
    },
    Primitive {
        module: Module::Connection,
        name: "wait_event",
        kind: Kind::Wait,
        params: &[
            ("#type", "the event's type, or a list of types"),
            ("subject?", "the id of the resource it has to be about"),
            (
                "matching?",
                "map of JSON pointers and the values they must have, such as #{ \"/payload/currency\": \"EUR\" }",
            ),
            (
                "since?",
                "events received before this do not count; the start of the run if not given",
            ),
            ("timeout?", "\"2h\", days(3); 7 days if not given"),
        ],
        result: "the event: `id`, `type`, `payload`",
        doc: "Waits for an event of the connection. One that arrived since the run began is found, also if it came before the wait.",
        example: "let told = bank::wait_event(#{ type: \"payout.paid\", subject: \"po_1\", timeout: \"2h\" });",
        needs: &["webhook"],
        body: Body::Connection(wait_event),
    },
];

const SEVEN_DAYS: chrono::TimeDelta = chrono::TimeDelta::days(7);

pub(super) fn settled(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let resource = args.first().unwrap_or(&Value::Null);
    let timeout = match args.get(1) {
        None | Some(Value::Null) => SEVEN_DAYS,
        Some(value) => duration("settled", value)?,
    };
    // Nothing was made, or nothing of it will ever be shown.
    if resource.is_null() || is_final(connection, resource) {
        return Ok(resource.clone());
    }
    let text = |key: &str| resource.get(key).and_then(Value::as_text);
    let kind = text("resource").or_else(|| text("type"));
    let (Some(kind), Some(id)) = (kind, text("id")) else {
        return Err(invalid(format!(
            "`settled` takes a payout, transfer, conversion or return as it was returned, not {}",
            resource.kind()
        )));
    };
    let Some(described) = connection.connector.resource(kind) else {
        return Err(invalid(format!(
            "connection `{}` knows no resource `{kind}` that settles",
            connection.name
        )));
    };
    // What shows that it was done may be another thing than what was made: asked for by its id, nothing would ever end.
    let shows_another = |endpoint: &Endpoint| {
        let lookup = endpoint.lookup.as_ref().filter(|lookup| !lookup.finds_what_was_made());
        endpoint.resource.as_deref() == Some(kind) && lookup.is_some_and(|lookup| lookup.endpoint != described.retrieve)
    };
    if resource.get("adopted") == Some(&Value::Bool(true)) && connection.connector.endpoints().any(shows_another) {
        let message = format!(
            "the answer of the {kind} was lost: it was done, as {id} shows, and {} does not tell how it ends",
            connection.connector.title
        );
        return Err(fail("unsupported", message));
    }
    let done = turn.settled(connection, (kind, described), resource, id, timeout)?;
    let Value::Map(mut entries) = done else { return Ok(done) };
    entries.insert("resource".to_owned(), Value::text(kind));
    let of_convert = connection
        .connector
        .primitive("convert")
        .and_then(|map| map.resource.as_deref());
    if of_convert == Some(kind) {
        let told = achieved(turn, connection, &Value::Map(entries.clone()))?;
        entries.extend(told);
        // A fee that the conversion itself tells stays as it is told.
        entries.entry("fee".to_owned()).or_default();
    }
    Ok(Value::Map(entries))
}

/// What a conversion really sold and bought, where the provider tells; a rate it does not tell is what the amounts
/// come to, and marked so.
fn achieved(turn: &Turn, connection: &Arc<Connection>, conversion: &Value) -> Result<Map, Thrown> {
    let mut told: Map = ["sold", "bought", "rate", "rate_from"]
        .map(|key| (key.to_owned(), Value::Null))
        .into();
    let map = mapping(connection, "convert")?;
    let Some(achieved) = &map.achieved else { return Ok(told) };
    let shown = match (&achieved.endpoint, &achieved.id) {
        (Some(endpoint), Some(id)) => {
            let Some(id) = conversion.pointer(id).and_then(Value::as_text) else {
                return Ok(told);
            };
            let endpoint = calls::find(connection, endpoint)?;
            let args = arguments(endpoint, &[Value::text(id)]).map_err(Thrown::Failure)?;
            turn.call(connection, endpoint, &args)?
        }
        _ => conversion.clone(),
    };
    let money = |amount: &str, currency: &str| -> Option<Money> {
        let currency: Currency = shown.pointer(currency)?.as_text()?.parse().ok()?;
        amount_in(connection, map, shown.pointer(amount)?, currency)
    };
    let sold = money(&achieved.sold, &achieved.sold_currency);
    let bought = money(&achieved.bought, &achieved.bought_currency);
    let rate = decimal_at(&shown, &achieved.rate);
    let fee = achieved.fee.as_deref().zip(achieved.fee_currency.as_deref());
    let fee = fee.and_then(|(amount, currency)| money(amount, currency));
    // What cannot be is passed on as it was told: the script sees it, and nothing is computed from it.
    let exchange = sold.and_then(|sold| Exchange::of(sold, bought, rate, fee).ok());
    let known = exchange.and_then(|exchange| exchange.rate);
    let mut tell = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            told.insert(key.to_owned(), value);
        }
    };
    tell("sold", sold.map(Value::Money));
    tell("bought", bought.map(Value::Money));
    tell("rate", known.map(|(rate, _)| rate).or(rate).map(Value::Decimal));
    tell("fee", fee.map(Value::Money));
    tell("rate_from", known.map(|(_, from)| Value::text(from.as_str())));
    Ok(told)
}

fn wait_event(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new(
        "wait_event",
        given,
        &["type", "subject", "matching", "since", "timeout"],
    )?;
    let types = match args.required("type")? {
        Value::Text(kind) => vec![kind.clone()],
        Value::List(kinds) => kinds.iter().filter_map(Value::as_text).map(str::to_owned).collect(),
        other => {
            return Err(invalid(format!(
                "`type` of `wait_event` has to be text or a list of texts, not {}",
                other.kind()
            )));
        }
    };
    let known = Vec::from_iter(
        connection
            .connector
            .webhook()
            .into_iter()
            .flat_map(WebhookTable::event_names),
    );
    if let Some(unknown) = types.iter().find(|kind| !known.contains(&kind.as_str())) {
        let (name, known) = (&connection.name, known.join(", "));
        return Err(invalid(format!(
            "connection `{name}` has no event `{unknown}`; it has {known}"
        )));
    }
    // Whoever waits for what the provider calls an event is told of it whatever it is called here.
    let webhook = connection.connector.webhook();
    let types = types
        .iter()
        .flat_map(|kind| webhook.into_iter().flat_map(|table| table.heard_as(kind)));
    let types: Vec<String> = types.map(str::to_owned).collect();
    let matching = args.map("matching")?.map_or_else(Matching::default, |map| {
        Matching(
            map.iter()
                .map(|(pointer, value)| (pointer.clone(), value.to_plain()))
                .collect(),
        )
    });
    let (subject, since) = (args.text("subject")?.map(str::to_owned), args.time("since")?);
    let timeout = args.duration("timeout")?.unwrap_or(SEVEN_DAYS);
    let name = connection.name.clone();
    let filter = |since_mark| EventFilter {
        connection: name,
        types,
        subject,
        matching,
        // A time that was asked for may lie before the run.
        after: if since.is_some() {
            EventMark::default()
        } else {
            since_mark
        },
        since,
        except: Vec::new(),
    };
    turn.wait_event(filter, timeout, given)
}

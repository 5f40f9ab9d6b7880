//! Building a request: what a script passed becomes the exact bytes to send, or a failure that says why not.
//!
//! Pure and deterministic: equal arguments give equal bytes, so that a replay can be compared and a repeat is
//! the same request. It must not know credentials or keys; those are added when it is sent.

mod amount;
mod argument;
mod encode;
mod identity;
mod object;
mod sent;
mod sum;

use serde_json::{Map as JsonMap, Value as Json};

use super::connection::Connection;
use super::lookup::Known;
use super::redact::Redactor;
use super::table::{Effect, Endpoint, Kind, OurReference, PageSize, Param, Place, ReferenceForm, WHOLE_BODY};
use crate::base::guard::{Guard, holds};
use crate::base::ids::Digest;
use crate::base::suggest::nearest;
use crate::model::journal::{Failure, StoredRequest};
use crate::model::policy::Movement;
use crate::model::value::{Map, Value};

use amount::Amount;
pub(super) use encode::{with_body_param, with_query_param};
pub(super) use identity::{identity, key_of};
pub(super) use sent::sent;

/// A request with what has to be known about it before it may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What is sent.
    pub request: StoredRequest,
    /// What it moves, if it moves money.
    pub movement: Option<Movement>,
    /// The name of exactly this request on this connection.
    pub fingerprint: Digest,
    /// One line for people: `EUR 47,200.00 to …7f10`.
    pub summary: String,
}

/// The code of every failure of this file.
pub const INVALID_ARGUMENT: &str = "invalid_argument";

/// The arguments of a call as a map: nothing, one map, or one text for the only path parameter, which a
/// map may follow.
///
/// # Errors
/// `invalid_argument`.
pub fn arguments(endpoint: &Endpoint, given: &[Value]) -> Result<Map, Failure> {
    let usage = || invalid(endpoint, &format!("call it as {}", endpoint.usage()));
    let in_path = |text: &str| {
        let mut path_params = endpoint.params_in(Place::Path);
        match (path_params.next(), path_params.next()) {
            (Some(only), None) => Ok((only.name.clone(), Value::text(text))),
            _ => Err(usage()),
        }
    };
    match given {
        [] => Ok(Map::new()),
        [Value::Map(args)] => Ok(args.clone()),
        [Value::Text(text)] => Ok(Map::from([in_path(text)?])),
        [Value::Text(text), Value::Map(args)] => {
            let (name, value) = in_path(text)?;
            let mut args = args.clone();
            if args.insert(name.clone(), value).is_some() {
                return Err(invalid(endpoint, &format!("`{name}` is given twice")));
            }
            Ok(args)
        }
        _ => Err(usage()),
    }
}

/// What bursar itself writes into a request.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Our reference, where the endpoint has room for it.
    pub reference: Option<&'a str>,
    /// The key, where it stands in the body.
    pub key: Option<&'a str>,
    /// What was read before it is sent. Where that is nothing, nothing was read yet.
    pub before: &'a Known,
}

/// Builds the request of one call that bears no key in its body.
///
/// # Errors
/// As [`prepare_own`].
pub fn prepare(
    connection: &Connection,
    endpoint: &Endpoint,
    args: &Map,
    reference: Option<&str>,
) -> Result<Prepared, Failure> {
    let own = Own {
        reference,
        key: None,
        before: &Known::new(),
    };
    prepare_own(connection, endpoint, args, own)
}

/// Builds the request of one call.
///
/// Nothing (`()`) counts as not given. For the amount, money fills the amount and its currency.
///
/// # Errors
/// `invalid_argument`, with a sentence that names the argument and what it takes.
pub fn prepare_own(
    connection: &Connection,
    endpoint: &Endpoint,
    args: &Map,
    own: Own<'_>,
) -> Result<Prepared, Failure> {
    let built = build(connection, endpoint, args, own);
    let names = &connection.connector.redact;
    if names.is_empty() {
        return built;
    }
    // What is wrong is told, and what it is about; neither says what nobody is to read.
    let redactor = Redactor::new(names.clone()).with(&Value::Map(args.clone()).to_plain());
    match built {
        Ok(mut prepared) => {
            prepared.summary = redactor.text(&prepared.summary);
            Ok(prepared)
        }
        Err(mut failure) => {
            failure.message = redactor.text(&failure.message);
            Err(failure)
        }
    }
}

fn build(connection: &Connection, endpoint: &Endpoint, args: &Map, own: Own<'_>) -> Result<Prepared, Failure> {
    let fail = |message: String| invalid(endpoint, &message);
    let mut args: Map = args
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(unknown) = args
        .keys()
        .find(|name| !endpoint.taken().any(|param| param.name == **name))
    {
        return Err(fail(unknown_argument(unknown, &endpoint.params)));
    }
    for param in &endpoint.params {
        if let Some(always) = &param.set {
            args.insert(param.name.clone(), Value::text(always));
        }
        let told = param.setting.as_deref().and_then(|name| connection.setting(name));
        if let Some(told) = told {
            args.entry(param.name.clone()).or_insert_with(|| Value::text(told));
        }
    }
    one_of_each(endpoint, &args).map_err(fail)?;
    let amount = amount::take(endpoint, &mut args).map_err(fail)?;
    let main = endpoint.amount_place().map(|place| place.field.as_str());
    amount::leave_currencies(&endpoint.money, &endpoint.params, main, &mut args).map_err(fail)?;
    if let Some(paging) = &endpoint.paging
        && let (Some(position), Some(start)) = (paging.position(), paging.start())
    {
        // Where a list begins is said, not left to the provider.
        args.entry(position.param.clone()).or_insert(Value::Int(start));
    }
    if let Some(limit) = page_size(endpoint) {
        args.entry(limit.asked.param.clone())
            .or_insert_with(|| Value::Int(limit.size.into()));
    }
    let missing = endpoint
        .params
        .iter()
        .find(|param| param.required && !args.contains_key(&param.name));
    if let Some(param) = missing {
        let or = param.setting.as_ref().map_or_else(String::new, |setting| {
            let name = &connection.name;
            format!(" (for all calls it can be said as `{setting}` under [connection.{name}.settings])")
        });
        return Err(fail(format!("`{}` is missing: {}{or}", param.name, param.doc)));
    }

    let Written {
        path,
        query,
        headers: said,
        mut body,
    } = write(connection, endpoint, &args, amount.as_ref()).map_err(fail)?;
    sum::check(connection, endpoint, &body, amount.as_ref()).map_err(fail)?;
    if let (Some(reference), Some(place)) = (own.reference, &endpoint.our_reference) {
        write_reference(endpoint, &mut body, place, reference).map_err(fail)?;
    }
    if let (Some(key), Some(field)) = (own.key, endpoint.key.field()) {
        match encode::place_in(&mut body, field) {
            Some(place) if place.is_null() => *place = Json::String(key.to_owned()),
            Some(_) | None => return Err(fail(format!("`{field}` is where bursar writes its key: leave it out"))),
        }
    }

    let has_params = endpoint.params_in(Place::Body).next().is_some();
    let takes_body = has_params || endpoint.empty_body || endpoint.key.field().is_some();
    let request = StoredRequest {
        method: endpoint.method.as_str().to_owned(),
        path: encode::with_query(path, &query),
        headers: headers(connection, takes_body).into_iter().chain(said).collect(),
        body: takes_body.then(|| Json::Object(body).to_string()),
    };
    let moved = match amount::of_before(endpoint, own.before).map_err(fail)? {
        None => amount.as_ref().and_then(|amount| amount.money),
        read => read,
    };
    let movement = (endpoint.effect == Effect::MovesMoney).then(|| Movement {
        amount: moved,
        source: endpoint.source.as_ref().and_then(|field| text_of(&args, field)),
        beneficiary: identity::of_request(endpoint, &request),
    });
    Ok(Prepared {
        fingerprint: fingerprint(connection, endpoint, &request, movement.as_ref()),
        summary: summary(endpoint, &args, movement.as_ref()),
        request,
        movement,
    })
}

/// Of each group exactly one has to be given.
fn one_of_each(endpoint: &Endpoint, args: &Map) -> Result<(), String> {
    for group in &endpoint.one_of {
        let given: Vec<&str> = group
            .iter()
            .filter(|name| args.contains_key(*name))
            .map(String::as_str)
            .collect();
        match given.as_slice() {
            [_] => {}
            [] => return Err(format!("exactly one of {} is needed", group.join(", "))),
            given if holds(Guard::OneOf) => return Err(format!("{} cannot both be given", given.join(" and "))),
            _ => {}
        }
    }
    Ok(())
}

/// The places of a request that arguments go to.
struct Written {
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: JsonMap<String, Json>,
}

fn write(connection: &Connection, endpoint: &Endpoint, args: &Map, amount: Option<&Amount>) -> Result<Written, String> {
    let mut path = endpoint.path.clone();
    let mut query = Vec::new();
    let mut headers = Vec::new();
    let mut body = JsonMap::new();
    for param in &endpoint.params {
        let Some(value) = args.get(&param.name) else { continue };
        let written = match (amount, endpoint.amount_place()) {
            (Some(amount), Some(place)) if place.field == param.name => {
                let name = &param.name;
                amount
                    .written(&endpoint.money)
                    .map_err(|reason| format!("`{name}`: {reason}"))?
            }
            _ => argument::write(connection, param, value)?,
        };
        argument::check_bounds(param, &written)?;
        match param.place {
            Place::Path => {
                let segment = encode::in_path(&written)
                    .ok_or_else(|| format!("`{}` cannot be `{value}`: it names nothing", param.name))?;
                path = path.replace(&format!("{{{}}}", param.name), &segment);
            }
            Place::Query => encode::push_query(&mut query, param.wire_name(), &written),
            Place::Header => {
                let text = encode::in_header(&written).ok_or_else(|| {
                    let name = &param.name;
                    format!("`{name}` cannot be `{value}`: it is sent as a header, which takes visible ASCII alone")
                })?;
                headers.push((param.wire_name().to_lowercase(), text));
            }
            Place::Body => put(&mut body, param.wire_name(), written)
                .ok_or_else(|| format!("`{}` has no place: another argument stands there", param.name))?,
        }
    }
    Ok(Written {
        path,
        query,
        headers,
        body,
    })
}

/// Puts a value where its name on the wire leads.
fn put(body: &mut JsonMap<String, Json>, wire: &str, value: Json) -> Option<()> {
    match value {
        Json::Object(members) if wire == WHOLE_BODY => body.extend(members),
        value => *encode::place_in(body, wire)? = value,
    }
    Some(())
}

/// Something an answer showed, as an argument: in the words of scripts, and without the members the parameter does not
/// know, which a provider may add on any day. For one of our own accounts as a destination.
pub fn as_argument(connection: &Connection, endpoint: &Endpoint, param: &str, shown: &Value) -> Value {
    let shape = endpoint.param(param).and_then(|param| param.shape.as_deref());
    match (shape.and_then(|shape| connection.connector.shape(shape)), shown) {
        (Some(shape), Value::Map(map)) => Value::Map(object::read_back(&connection.connector, shape, map)),
        _ => shown.clone(),
    }
}

/// The name of exactly this request: connection, endpoint, method, path, body, what it moves, and the headers that
/// arguments or the connection's own settings make: two requests that differ in one alone may be for two accounts.
pub fn fingerprint(
    connection: &Connection,
    endpoint: &Endpoint,
    request: &StoredRequest,
    movement: Option<&Movement>,
) -> Digest {
    let amount = movement
        .and_then(|movement| movement.amount)
        .map(|money| (money.minor().to_string(), money.currency().code()));
    let (minor, currency) = amount
        .as_ref()
        .map_or(("", ""), |(minor, code)| (minor.as_str(), *code));
    let beneficiary = movement.and_then(|movement| movement.beneficiary.as_deref());
    let parts = [
        "request/1",
        &connection.name,
        &endpoint.name,
        &request.method,
        &request.path,
        request.body.as_deref().unwrap_or(""),
        minor,
        currency,
        beneficiary.unwrap_or(""),
    ];
    let names = endpoint.params_in(Place::Header).map(Param::wire_name);
    let names = names.chain(connection.headers.keys().map(String::as_str));
    let said = names.filter_map(|name| Some(format!("{}: {}", name.to_lowercase(), sent::header(request, name)?)));
    let said: Vec<String> = said.filter(|_| holds(Guard::HeaderNamed)).collect();
    let parts = parts.into_iter().chain(said.iter().map(String::as_str));
    Digest::of(parts.map(str::as_bytes))
}

fn headers(connection: &Connection, has_body: bool) -> Vec<(String, String)> {
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    if has_body {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let own = connection.connector.headers.iter();
    headers.extend(
        own.chain(&connection.headers)
            .map(|(name, value)| (name.to_lowercase(), value.clone())),
    );
    headers
}

fn invalid(endpoint: &Endpoint, message: &str) -> Failure {
    Failure::new(INVALID_ARGUMENT, format!("{}: {message}", endpoint.name))
}

fn unknown_argument(name: &str, params: &[Param]) -> String {
    let taken = params.iter().filter(|param| param.set.is_none());
    let known = || taken.clone().map(|param| param.name.as_str());
    match nearest(name, known()) {
        Some(near) => format!("there is no argument `{name}`: did you mean `{near}`?"),
        None if known().next().is_none() => format!("there is no argument `{name}`: it takes none"),
        None => {
            let known: Vec<&str> = known().collect();
            format!("there is no argument `{name}`: it takes {}", known.join(", "))
        }
    }
}

/// Writes our reference to `field` or `map.member` of the body. What the script put there stays its own: where ours
/// stands alone it is refused, else ours stands behind it.
fn write_reference(
    endpoint: &Endpoint,
    body: &mut JsonMap<String, Json>,
    OurReference { field, form }: &OurReference,
    reference: &str,
) -> Result<(), String> {
    let taken = || format!("`{field}` is where bursar writes its own reference: leave it out");
    let on_the_wire = |param: &str| endpoint.param(param).map_or(param, Param::wire_name).to_owned();
    let wire = match field.split_once('.') {
        None => on_the_wire(field),
        Some((outer, member)) if on_the_wire(outer) == WHOLE_BODY => member.to_owned(),
        Some((outer, member)) => format!("{}.{member}", on_the_wire(outer)),
    };
    let Some(place) = encode::place_in(body, &wire) else {
        return Err(taken());
    };
    let written = match (&*place, form) {
        (Json::Null, _) => reference.to_owned(),
        (Json::String(text), ReferenceForm::End) => format!("{text} {reference}"),
        _ => return Err(taken()),
    };
    let most = endpoint.param(field).and_then(|param| param.max_length);
    let length = written.chars().count();
    if let Some(most) = most.filter(|most| length > *most) {
        return Err(format!(
            "`{field}` is {length} characters long with the reference of bursar at its end, {most} at most"
        ));
    }
    *place = Json::String(written);
    Ok(())
}

fn text_of(args: &Map, field: &str) -> Option<String> {
    args.get(field)?.as_text().map(str::to_owned)
}

/// One line for people. Nothing of the body but amount and beneficiary: the rest may be personal.
fn summary(endpoint: &Endpoint, args: &Map, movement: Option<&Movement>) -> String {
    if let Some(Movement {
        amount: Some(amount),
        beneficiary,
        ..
    }) = movement
    {
        return match beneficiary {
            Some(beneficiary) => format!("{amount} to {}", tail(beneficiary)),
            None => amount.to_string(),
        };
    }
    let shown = endpoint.params.iter().filter(|param| {
        let paging = page_size(endpoint).is_some_and(|limit| limit.asked.param == param.name);
        let whole = movement.is_some() && param.required;
        (param.place != Place::Body || whole) && !paging
    });
    let words: Vec<String> = shown
        .filter_map(|param| {
            let value = args.get(&param.name)?;
            Some(match (param.kind, value) {
                (Kind::Uuid, Value::Text(text)) if param.place == Place::Path => tail(text),
                (Kind::Uuid, Value::Text(text)) => format!("{}={}", param.name, tail(text)),
                _ => format!("{}={value}", param.name),
            })
        })
        .collect();
    words.join(" ")
}

fn page_size(endpoint: &Endpoint) -> Option<&PageSize> {
    endpoint.paging.as_ref()?.limit.as_ref()
}

/// The end of an identifier, which is what people compare.
fn tail(text: &str) -> String {
    let length = text.chars().count();
    if length <= 8 {
        return text.to_owned();
    }
    format!("…{}", text.chars().skip(length - 4).collect::<String>())
}

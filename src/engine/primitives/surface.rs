//! What scripts may call, told to the checker: the same list that the functions are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::moves::TO;
use super::sweep::{ALONE, INSTEAD, RULES};
use super::{Body, Destinations, Module, PASSED, Primitive, all, calls, destinations, offered};
use crate::connector::connection::Connection;
use crate::connector::registry::Registry;
use crate::connector::table::{Connector, Effect, Endpoint, Place as ParamPlace, PrimitiveMap};
use crate::script::{Apart, Form, ModuleSurface, Place, Signature, Surface, Takes};

/// What a script with these `uses` may call. That a connection is not configured is said by the manifest's own
/// check; what can be called through it is known only if it has the name of a connector.
pub fn surface(connections: &BTreeMap<String, Arc<Connection>>, registry: &Registry, uses: &[String]) -> Surface {
    let mut modules: BTreeMap<String, ModuleSurface> = [Module::Log, Module::State]
        .into_iter()
        .filter_map(|module| Some((module.common_name()?.to_owned(), common(module))))
        .collect();
    let mut unknown_modules = Vec::new();
    for name in uses {
        let configured = connections.get(name).map(|connection| &connection.connector);
        match configured.or_else(|| registry.get(name)) {
            Some(connector) => {
                modules.insert(name.clone(), of_connector(connector));
            }
            None => unknown_modules.push(name.clone()),
        }
    }
    Surface {
        functions: signatures(Module::Plain),
        modules,
        unknown_modules,
        params: None,
        calendars: None,
    }
}

fn signatures(module: Module) -> Vec<Signature> {
    all()
        .filter(|primitive| primitive.module == module)
        .map(|primitive| Signature {
            name: primitive.name.to_owned(),
            arity: primitive.arity(),
            pure: false,
            takes_function: matches!(primitive.body, Body::Closure(_)),
            arguments: arguments(primitive),
            keys: keys(primitive),
            apart: apart(primitive),
            lacking: Vec::new(),
            takes: Vec::new(),
            makes: None,
            calendar: calendar(primitive),
        })
        .collect()
}

/// The names of its arguments, if it does not take one map of them.
fn arguments(primitive: &Primitive) -> Vec<String> {
    if primitive.takes_map() {
        return Vec::new();
    }
    let bare = |name: &str| name.trim_end_matches('?').to_owned();
    primitive.arguments().into_iter().map(bare).collect()
}

/// The keys of its map or of a map among its arguments, and of the maps in it, each with whether it has to be there.
fn keys(primitive: &Primitive) -> Vec<(String, bool)> {
    let keys = primitive.params.iter().map(|(name, _)| *name);
    let keys = keys.filter(|name| primitive.takes_map() || name.contains('.'));
    keys.map(|name| (name.trim_matches(['#', '?']).to_owned(), !name.ends_with('?')))
        .collect()
}

/// The words of its rules that exclude each other.
fn apart(primitive: &Primitive) -> Vec<Apart> {
    let rules = RULES.iter().filter(|(name, _)| *name == primitive.name);
    let pairs = || {
        ALONE
            .iter()
            .flat_map(|(alone, others)| others.iter().map(move |other| [*alone, *other]))
    };
    let of_rule = |(_, place): &(&str, &str)| {
        let place = (*place).to_owned();
        pairs().map(move |keys| Apart {
            place: place.clone(),
            keys: keys.map(str::to_owned),
            instead: INSTEAD.to_owned(),
        })
    };
    rules.flat_map(of_rule).collect()
}

/// A primitive as this connector does it: what its endpoint has no word for it does not take, and what that cannot do
/// without has to be said.
fn on(connector: &Connector, primitive: &Primitive) -> Signature {
    let passed = |key: &str| {
        let (_, mapping, _) = PASSED
            .iter()
            .find(|(name, _, keys)| *name == primitive.name && keys.contains(&key))?;
        mapping.split('|').find_map(|mapping| connector.primitive(mapping))
    };
    let is_lacking = |key: &str| passed(key).is_some_and(|map| !map.takes(word_of(key)));
    let is_needed = |key: &str| {
        let Some(map) = passed(key).filter(|map| !fills_in(primitive, map, key)) else {
            return false;
        };
        let Some(endpoint) = connector.endpoint(&map.endpoint) else {
            return false;
        };
        let param = map.args.get(word_of(key)).and_then(|param| endpoint.param(param));
        // Which account pays is never left to the provider where it can be told.
        let is_payer = key == "from" && endpoint.effect == Effect::MovesMoney;
        param.is_some_and(|param| param.required || is_payer)
    };
    let (lacking, keys): (Vec<_>, Vec<_>) = keys(primitive).into_iter().partition(|(key, _)| is_lacking(key));
    let needed = keys.into_iter().map(|(key, required)| {
        let required = required || is_needed(&key);
        (key, required)
    });
    Signature {
        name: primitive.name.to_owned(),
        arity: primitive.arity(),
        pure: false,
        takes_function: matches!(primitive.body, Body::Closure(_)),
        arguments: arguments(primitive),
        keys: needed.collect(),
        apart: apart(primitive),
        lacking: lacking.into_iter().map(|(key, _)| key).collect(),
        takes: takes(connector, primitive),
        makes: makes(connector, primitive),
        calendar: calendar(primitive),
    }
}

/// What a mapping calls the argument under this key.
fn word_of(key: &str) -> &str {
    key.strip_prefix("options.").unwrap_or(key)
}

/// Whether the primitive itself says what a script leaves out there.
fn fills_in(primitive: &Primitive, map: &PrimitiveMap, key: &str) -> bool {
    match (primitive.name, key) {
        ("transactions", "from" | "before") => true,
        // What is left of the payment that is read before.
        ("capture" | "refund", "amount") => map.original.is_some() || map.divided.is_some(),
        _ => false,
    }
}

/// The kind of what it returns.
fn makes(connector: &Connector, primitive: &Primitive) -> Option<String> {
    let returned = [
        "payout",
        "transfer",
        "send_back",
        "return_deposit",
        "order",
        "capture",
        "cancel",
    ];
    let name = returned.into_iter().find(|name| *name == primitive.name)?;
    connector.primitive(name)?.resource.clone()
}

/// Where it takes less than at other connectors.
fn takes(connector: &Connector, primitive: &Primitive) -> Vec<Takes> {
    match primitive.name {
        "convert" if connector.primitive("accounts").is_none() => vec![Takes {
            at: "via".to_owned(),
            forms: vec![Form::TextButCurrency],
            why: connector
                .lacks
                .get("accounts")
                .cloned()
                .unwrap_or_else(|| "no call lists the accounts".to_owned()),
            help: "give the id of the account to go through".to_owned(),
        }],
        "cancel" => {
            let kind = connector.primitive("cancel").and_then(|map| map.resource.clone());
            let takes = kind.map(|kind| Takes {
                at: "resource".to_owned(),
                why: format!("what is called off here is of the kind `{kind}`"),
                help: "give what the call that made it returned: a map with `resource` and `id`".to_owned(),
                forms: vec![Form::Resource(kind)],
            });
            takes.into_iter().collect()
        }
        name => destinations(connector, name)
            .map(|pays| paid(if name == "split" { "parts[].to" } else { "to" }, pays))
            .into_iter()
            .collect(),
    }
}

/// Who can be paid, as a place that takes it.
fn paid(at: &str, pays: Destinations) -> Takes {
    const ADDRESS: &str = "an address such as #{ type: \"iban\", iban: …, account_holder_name: … }";
    let forms = [(pays.account, Form::Text), (pays.address, Form::Map)];
    let (why, help) = match (pays.account, pays.address) {
        (true, false) => ("it goes to an account, by its id", "the id of the account"),
        (false, _) => ("it goes to an address, not to an account by its id", ADDRESS),
        (true, true) => ("it goes to an account or an address", TO),
    };
    Takes {
        at: at.to_owned(),
        forms: forms
            .into_iter()
            .filter(|(taken, _)| *taken)
            .map(|(_, form)| form)
            .collect(),
        why: why.to_owned(),
        help: format!("here it takes {help}"),
    }
}

/// What the function of an endpoint takes: a map, or the id in its path if there is one.
fn of_endpoint(endpoint: &Endpoint) -> Takes {
    let ids = endpoint.params_in(ParamPlace::Path).count();
    let (forms, why) = match ids {
        0 => (vec![Form::Map], "no id stands in its path"),
        1 => (vec![Form::Map, Form::Text], "it takes the id in its path, or a map"),
        _ => (vec![Form::Map], "several ids stand in its path"),
    };
    Takes {
        at: String::new(),
        forms,
        why: why.to_owned(),
        help: format!("call it as {}", endpoint.usage()),
    }
}

/// Where it takes the name of a calendar.
fn calendar(primitive: &Primitive) -> Option<Place> {
    let bare = |name: &str| name.trim_matches(['#', '?']) == "calendar";
    let number = primitive.params.iter().position(|(name, _)| bare(name))?;
    Some(if primitive.takes_map() {
        Place::Key("calendar".to_owned())
    } else {
        Place::Argument(number)
    })
}

fn common(module: Module) -> ModuleSurface {
    ModuleSurface {
        connector: String::new(),
        functions: signatures(module),
        ..ModuleSurface::default()
    }
}

fn of_connector(connector: &Connector) -> ModuleSurface {
    let mut functions: Vec<Signature> = offered(connector).map(|primitive| on(connector, primitive)).collect();
    for endpoint in connector.endpoints() {
        if !functions.iter().any(|known| known.name == endpoint.name) {
            functions.push(Signature {
                name: endpoint.name.clone(),
                arity: calls::arity(endpoint),
                pure: false,
                takes_function: false,
                arguments: Vec::new(),
                // Its one map may also be the id in its path.
                keys: Vec::new(),
                apart: Vec::new(),
                lacking: Vec::new(),
                takes: vec![of_endpoint(endpoint)],
                makes: None,
                calendar: None,
            });
        }
    }
    let known = all()
        .filter(|primitive| primitive.module == Module::Connection)
        .map(|primitive| primitive.name.to_owned());
    ModuleSurface {
        connector: connector.name.clone(),
        functions,
        known: known.collect(),
        lacks: connector.lacks.clone(),
    }
}

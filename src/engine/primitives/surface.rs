//! What scripts may call, told to the checker: the same list that the functions are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sweep::{ALONE, INSTEAD, RULES};
use super::{Body, Module, PASSED, Primitive, all, calls, offered};
use crate::connector::connection::Connection;
use crate::connector::registry::Registry;
use crate::connector::table::{Connector, Effect};
use crate::script::{Apart, ModuleSurface, Place, Signature, Surface};

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
            keys: keys(primitive),
            apart: apart(primitive),
            lacking: Vec::new(),
            calendar: calendar(primitive),
        })
        .collect()
}

/// The keys of its map, and of the maps in it, each with whether it has to be there.
fn keys(primitive: &Primitive) -> Vec<(String, bool)> {
    if !primitive.takes_map() {
        return Vec::new();
    }
    let key = |(name, _): &(&str, &str)| (name.trim_matches(['#', '?']).to_owned(), !name.ends_with('?'));
    primitive.params.iter().map(key).collect()
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
    let is_lacking = |key: &str| passed(key).is_some_and(|map| !map.takes(key));
    let is_needed = |key: &str| {
        let Some(map) = passed(key) else { return false };
        let Some(endpoint) = connector.endpoint(&map.endpoint) else {
            return false;
        };
        let param = map.args.get(key).and_then(|param| endpoint.param(param));
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
        keys: needed.collect(),
        apart: apart(primitive),
        lacking: lacking.into_iter().map(|(key, _)| key).collect(),
        calendar: calendar(primitive),
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
                // Its one map may also be the id in its path.
                keys: Vec::new(),
                apart: Vec::new(),
                lacking: Vec::new(),
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

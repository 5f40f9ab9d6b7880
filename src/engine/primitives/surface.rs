//! What scripts may call, told to the checker: the same list that the functions are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Module, all, calls, offered};
use crate::connector::connection::Connection;
use crate::script::{ModuleSurface, Signature, Surface};

/// What a script with these `uses` may call. A connection that is not configured is left out: the manifest's
/// own check says so.
pub fn surface(connections: &BTreeMap<String, Arc<Connection>>, uses: &[String]) -> Surface {
    let mut modules: BTreeMap<String, ModuleSurface> = [Module::Log, Module::State]
        .into_iter()
        .filter_map(|module| Some((module.common_name()?.to_owned(), common(module))))
        .collect();
    for name in uses {
        if let Some(connection) = connections.get(name) {
            modules.insert(name.clone(), of_connection(connection));
        }
    }
    Surface {
        functions: signatures(Module::Plain),
        modules,
        params: None,
    }
}

fn signatures(module: Module) -> Vec<Signature> {
    all()
        .filter(|primitive| primitive.module == module)
        .map(|primitive| Signature {
            name: primitive.name.to_owned(),
            arity: primitive.arity(),
            pure: false,
        })
        .collect()
}

fn common(module: Module) -> ModuleSurface {
    ModuleSurface {
        connector: String::new(),
        functions: signatures(module),
        known: Vec::new(),
    }
}

fn of_connection(connection: &Connection) -> ModuleSurface {
    let mut functions: Vec<Signature> = offered(&connection.connector)
        .map(|primitive| Signature {
            name: primitive.name.to_owned(),
            arity: primitive.arity(),
            pure: false,
        })
        .collect();
    for endpoint in connection.connector.endpoints() {
        if !functions.iter().any(|known| known.name == endpoint.name) {
            functions.push(Signature {
                name: endpoint.name.clone(),
                arity: calls::arity(endpoint),
                pure: false,
            });
        }
    }
    let known = all()
        .filter(|primitive| primitive.module == Module::Connection)
        .map(|primitive| primitive.name.to_owned());
    ModuleSurface {
        connector: connection.connector.name.clone(),
        functions,
        known: known.collect(),
    }
}

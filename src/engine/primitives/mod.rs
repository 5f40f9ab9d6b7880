//! What scripts can call: the one list of primitives, and the endpoints of each connection by name.
//!
//! An entry holds everything: name, arguments, result, an example that a test compiles, and the function.
//! The reference page, the checker's knowledge and the script modules are made from it. This room must not
//! know a provider: what a connection offers is read from its table.

mod approvals;
mod args;
mod branches;
mod calendar;
mod calls;
mod concentrate;
mod convert;
mod data;
mod destinations;
mod events;
mod inquiries;
mod moves;
mod orders;
mod positions;
mod refund_parts;
mod reversal;
mod send_back;
mod split;
mod split_call;
mod surface;
mod sweep;

pub use destinations::{Destinations, destinations};
pub use surface::surface;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::turn::Turn;
use crate::connector::connection::Connection;
use crate::connector::table::Connector;
use crate::model::value::Value;
use crate::script::{self, Function, Given, Site, Thrown};

/// Where a primitive is found in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// By its bare name.
    Plain,
    /// In `log`.
    Log,
    /// In `state`.
    State,
    /// In the module of each connection that offers it.
    Connection,
}

impl Module {
    /// The name of the module that every script sees, if it is one of those.
    pub fn common_name(self) -> Option<&'static str> {
        match self {
            Self::Log => Some("log"),
            Self::State => Some("state"),
            Self::Plain | Self::Connection => None,
        }
    }
}

/// What calling it means for the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Recorded once; may read or move money.
    Step,
    /// May end the turn until a time or an event.
    Wait,
}

/// A primitive that needs no connection: the turn, the arguments.
pub type PlainBody = fn(&Turn, &[Value]) -> Result<Value, Thrown>;

/// A primitive that acts on the connection it is called through.
pub type ConnectionBody = fn(&Turn, &Arc<Connection>, &[Value]) -> Result<Value, Thrown>;

/// A primitive whose last argument is a closure: the turn, the arguments before it, the closure.
pub type ClosureBody = fn(&Arc<Turn>, &[Value], &Given<'_, Turn>) -> Result<Value, Thrown>;

/// The function of a primitive.
#[derive(Clone, Copy)]
pub enum Body {
    /// Needs no connection.
    Plain(PlainBody),
    /// Acts on a connection.
    Connection(ConnectionBody),
    /// Needs no connection, and takes a closure as its last argument.
    Closure(ClosureBody),
}

/// One function offered to scripts.
pub struct Primitive {
    /// Where it is found.
    pub module: Module,
    /// Its name.
    pub name: &'static str,
    /// What calling it means for the journal.
    pub kind: Kind,
    /// Its arguments in order, or the keys of its one map when the first begins with `#`. A key of a map in that map has
    /// a point before it (`deficit.to`), of each map of a list brackets as well (`from[].account`).
    pub params: &'static [(&'static str, &'static str)],
    /// What it returns.
    pub result: &'static str,
    /// One or two sentences.
    pub doc: &'static str,
    /// A line that compiles.
    pub example: &'static str,
    /// Entries a connector's table must have under `[primitive.…]`, with a point the argument one must know
    /// (`payout.from`), with a line one of several (`payout|transfer`); or `resource` for any `[resource.…]`, `webhook`
    /// for the webhooks.
    pub needs: &'static [&'static str],
    /// What it does.
    pub body: Body,
}

impl Primitive {
    /// How many arguments it takes.
    pub fn arity(&self) -> std::ops::RangeInclusive<usize> {
        if self.takes_map() {
            // `accounts()` is `accounts(#{})`.
            let is_needed = |(name, _): &(&str, &str)| !name.ends_with('?') && !name.contains('.');
            let fewest = usize::from(self.params.iter().any(is_needed));
            return fewest..=1;
        }
        let names = self.arguments();
        let optional = names.iter().filter(|name| name.ends_with('?')).count();
        names.len() - optional..=names.len()
    }

    /// The names of its arguments as they are written in `params`, without the keys of maps among them.
    fn arguments(&self) -> Vec<&'static str> {
        let names = self.params.iter().map(|(name, _)| *name);
        names.filter(|name| !name.contains('.')).collect()
    }

    /// Whether it takes one map of named arguments.
    pub fn takes_map(&self) -> bool {
        self.params.first().is_some_and(|(name, _)| name.starts_with('#'))
    }

    /// Whether this connector has what it needs.
    pub fn offered_by(&self, connector: &Connector) -> bool {
        let has = |need: &str| match need {
            "resource" => connector.resources().next().is_some(),
            "webhook" => connector.webhook().is_some(),
            mapping => {
                let (mapping, argument) = mapping.split_once('.').unwrap_or((mapping, ""));
                let map = connector.primitive(mapping);
                map.is_some_and(|map| argument.is_empty() || map.args.contains_key(argument))
            }
        };
        self.needs.iter().all(|need| need.split('|').any(has))
    }

    /// The full name in a script; `connection` stands for any connection's own name.
    pub fn path(&self) -> String {
        match self.module {
            Module::Plain => self.name.to_owned(),
            Module::Log => format!("log::{}", self.name),
            Module::State => format!("state::{}", self.name),
            Module::Connection => format!("connection::{}", self.name),
        }
    }
}

/// Arguments that a primitive passes on as they are: the primitive, the mapping whose endpoint takes them (of several the
/// first that there is), which. Where the mapping has no word for one, the primitive does not take it there. That of a map
/// is told by its key there, that of a part as a part's.
const PASSED: &[(&str, &str, &[&str])] = &[
    ("payout", "payout", &["from", "reference", "rail", "metadata"]),
    ("sweep", "payout", &["reference", "rail", "metadata"]),
    ("concentrate", "payout", &["reference", "rail", "metadata"]),
    (
        "split",
        "split|payout",
        &[
            "from",
            "reference",
            "rail",
            "payment",
            "processor",
            "fee_to",
            "parts[].label",
        ],
    ),
    ("return_deposit", "return_deposit", &["options.rail"]),
    ("transfer", "transfer", &["reference", "rail", "metadata"]),
    ("send_back", "send_back", &["reference", "rail"]),
    ("convert", "convert", &["metadata"]),
    ("quote", "quote", &["amount"]),
    ("transactions", "transactions", &["account", "from", "before"]),
    ("verify_payee", "verify_payee", &["iban", "bic"]),
    ("order", "order", &["expires_at", "metadata"]),
    ("capture", "capture", &["amount"]),
    (
        "refund",
        "refund",
        &["amount", "reference", "metadata", "refund", "split", "since"],
    ),
];

/// Every primitive, in the order of the reference page.
pub fn all() -> impl Iterator<Item = &'static Primitive> {
    [
        positions::ALL,
        moves::ALL,
        send_back::ALL,
        sweep::ALL,
        concentrate::ALL,
        split::ALL,
        reversal::ALL,
        convert::ALL,
        inquiries::ALL,
        orders::ALL,
        events::ALL,
        approvals::ALL,
        branches::ALL,
        calendar::ALL,
        data::ALL,
    ]
    .into_iter()
    .flatten()
}

/// The functions for a script thread: the plain primitives, and a module for each connection with what it
/// offers and every endpoint of its table. A primitive outranks an endpoint of the same name.
pub fn functions(connections: &BTreeMap<String, Arc<Connection>>) -> Vec<Function<Turn>> {
    let mut functions = Vec::new();
    for primitive in all() {
        if primitive.module == Module::Connection {
            continue;
        }
        let body = match primitive.body {
            Body::Plain(body) => told(body),
            Body::Closure(body) => script::Body::Closure(Arc::new(move |turn, site, args, given| {
                tells(turn, &site, body(turn, args, given))
            })),
            Body::Connection(_) => continue,
        };
        functions.push(Function {
            module: primitive.module.common_name().map(str::to_owned),
            name: primitive.name.to_owned(),
            arity: primitive.arity(),
            body,
        });
    }
    for connection in connections.values() {
        functions.extend(of_connection(connection));
    }
    functions
}

/// A body that tells the turn from where it was called, if the turn ends in it.
fn told(body: impl Fn(&Turn, &[Value]) -> Result<Value, Thrown> + Send + Sync + 'static) -> script::Body<Turn> {
    script::Body::Plain(Arc::new(move |turn, site, args| tells(turn, &site, body(turn, args))))
}

fn tells(turn: &Turn, site: &Site, answer: Result<Value, Thrown>) -> Result<Value, Thrown> {
    if answer == Err(Thrown::Interrupt) {
        turn.ended_at(site);
    }
    answer
}

fn of_connection(connection: &Arc<Connection>) -> Vec<Function<Turn>> {
    let mut functions = Vec::new();
    for primitive in offered(&connection.connector) {
        let Body::Connection(body) = primitive.body else {
            continue;
        };
        let connection = connection.clone();
        functions.push(Function {
            module: Some(connection.name.clone()),
            name: primitive.name.to_owned(),
            arity: primitive.arity(),
            body: told(move |turn, args| body(turn, &connection, args)),
        });
    }
    for endpoint in connection.connector.endpoints() {
        if functions.iter().any(|function| function.name == endpoint.name) {
            continue;
        }
        let (connection, name) = (connection.clone(), endpoint.name.clone());
        functions.push(Function {
            module: Some(connection.name.clone()),
            name: name.clone(),
            arity: calls::arity(endpoint),
            body: told(move |turn, args| calls::endpoint(turn, &connection, &name, args)),
        });
    }
    functions
}

/// The primitives a connector offers.
pub fn offered(connector: &Connector) -> impl Iterator<Item = &'static Primitive> {
    all().filter(|primitive| primitive.module == Module::Connection && primitive.offered_by(connector))
}

//! What a provider takes of the treasury's words: the least and the most of amounts, how long texts may be, which words,
//! and whom it can be told to pay.

use serde::Serialize;

use crate::connector::table::{Connector, Effect, Endpoint, Kind, Param, PrimitiveMap, Unit};
use crate::engine::primitives::{destinations, offered};

/// What an argument of a primitive may be here.
#[derive(Debug, Serialize)]
pub(super) struct Limit<'a> {
    pub(super) primitive: &'a str,
    pub(super) argument: &'a str,
    /// Bounds of a number. Of an amount in major units, unless `minor_units`.
    pub(super) minimum: Option<&'a str>,
    pub(super) above: Option<&'a str>,
    pub(super) maximum: Option<&'a str>,
    /// Whether those count in the currency's smallest unit.
    pub(super) minor_units: bool,
    /// Bounds of a text's length, in characters.
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    /// The only characters of a text.
    pub(super) characters: Option<&'static str>,
    /// The texts it may be, if only some.
    pub(super) values: Vec<&'a str>,
}

/// Whom a primitive can be told to pay.
#[derive(Debug, Serialize)]
pub(super) struct Pays {
    pub(super) primitive: &'static str,
    /// An account, by its id.
    pub(super) account: bool,
    /// An address, such as an IBAN with its holder.
    pub(super) address: bool,
}

/// Every limit that the table knows, by primitive.
pub(super) fn limits(connector: &Connector) -> Vec<Limit<'_>> {
    let mut found = Vec::new();
    for (primitive, map) in connector.primitives() {
        let Some(endpoint) = connector.endpoint(&map.endpoint) else {
            continue;
        };
        for (argument, param) in &map.args {
            let Some(param) = endpoint.param(param) else { continue };
            found.push(limit(primitive, argument, (map, endpoint), param));
        }
    }
    found.retain(Limit::is_one);
    found
}

fn limit<'a>(
    primitive: &'a str,
    argument: &'a str,
    (map, endpoint): (&'a PrimitiveMap, &Endpoint),
    param: &'a Param,
) -> Limit<'a> {
    let is_amount = argument == "amount";
    // What is said of a primitive is in major units; what is said of a parameter is as it stands on the wire.
    let of_primitive = map.minimum.as_deref().filter(|_| is_amount);
    let is_amount = is_amount && endpoint.effect != Effect::Read;
    let minor_units = of_primitive.is_none()
        && is_amount
        && param.kind == Kind::Decimal
        && endpoint.unit() == Unit::MinorNumber
        && [&param.minimum, &param.maximum, &param.above]
            .iter()
            .any(|bound| bound.is_some());
    Limit {
        primitive,
        argument,
        minimum: of_primitive.or(param.minimum.as_deref()),
        above: param.above.as_deref(),
        maximum: param.maximum.as_deref(),
        minor_units,
        min_length: param.min_length,
        max_length: param.max_length,
        characters: param.chars.map(|chars| chars.describe()),
        values: param
            .values
            .iter()
            .chain(param.words.keys())
            .map(String::as_str)
            .collect(),
    }
}

impl Limit<'_> {
    /// Whether it limits anything.
    fn is_one(&self) -> bool {
        let numbers = self.minimum.or(self.above).or(self.maximum).is_some();
        let lengths = self.min_length.or(self.max_length).is_some();
        numbers || lengths || self.characters.is_some() || !self.values.is_empty()
    }

    /// For people: `amount 10 at least`.
    fn text(&self) -> String {
        let mut told = Vec::new();
        let unit = if self.minor_units { " in the smallest unit" } else { "" };
        let bounds = [
            (self.minimum, "", " at least"),
            (self.above, "more than ", ""),
            (self.maximum, "", " at most"),
        ];
        for (bound, before, after) in bounds {
            told.extend(bound.map(|bound| format!("{before}{bound}{unit}{after}")));
        }
        told.extend(match (self.min_length, self.max_length) {
            (None, None) => None,
            (None, Some(max)) => Some(format!("up to {max} characters")),
            (Some(min), None) => Some(format!("{min} characters at least")),
            (Some(min), Some(max)) => Some(format!("{min} to {max} characters")),
        });
        told.extend(self.characters.map(|characters| format!("{characters} only")));
        if !self.values.is_empty() {
            told.push(format!("one of {}", self.values.join(", ")));
        }
        format!("{} {}", self.argument, told.join(", "))
    }
}

/// The limits of each primitive in one line: its name, and what is said of its arguments.
pub(super) fn texts(limits: &[Limit<'_>]) -> Vec<String> {
    let by_primitive = limits.chunk_by(|one, other| one.primitive == other.primitive);
    let texts = by_primitive.filter_map(|limits| {
        let told: Vec<String> = limits.iter().map(Limit::text).collect();
        Some(format!("{}: {}", limits.first()?.primitive, told.join("; ")))
    });
    texts.collect()
}

/// Whom the primitives that are offered can be told to pay.
pub(super) fn pays(connector: &Connector) -> Vec<Pays> {
    let told = offered(connector).filter_map(|primitive| {
        let pays = destinations(connector, primitive.name)?;
        Some(Pays {
            primitive: primitive.name,
            account: pays.account,
            address: pays.address,
        })
    });
    told.collect()
}

impl Pays {
    /// For people.
    pub(super) fn text(&self) -> String {
        let whom = match (self.account, self.address) {
            (true, true) => "an account by its id, or an address",
            (true, false) => "an account by its id",
            (false, true) => "an address",
            (false, false) => "nobody",
        };
        format!("{}: `to` is {whom}", self.primitive)
    }
}

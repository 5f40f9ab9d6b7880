//! Lists of parts: that what they are said by is there, and that nothing of an amount can be lost in them.

use super::{known_endpoint, known_param, pointer};
use crate::connector::table::{Connector, DividedMap, Effect, Endpoint, Kind, Param, PartsMap, PrimitiveMap, SumRule};
use crate::model::document::Document;

/// Generic members of a part.
const MEMBERS: &[&str] = &["to", "amount", "number", "name", "label", "of"];

/// The members of a list of maps, if it is one.
fn members<'a>(connector: &'a Connector, endpoint: &'a Endpoint, list: &str) -> Option<&'a [Param]> {
    let param = endpoint.param(list).filter(|param| param.kind == Kind::Objects)?;
    let shape = connector.shape(param.shape.as_deref()?)?;
    (!shape.fields.is_empty()).then_some(shape.fields.as_slice())
}

fn member<'a>(members: &'a [Param], path: &[&str], name: &str, source: &mut Document<'_>) -> Option<&'a Param> {
    let found = members.iter().find(|member| member.name == name);
    if found.is_none() {
        let known = members.iter().map(|member| member.name.as_str());
        source.unknown(path, "member", name, known);
    }
    found
}

/// What the items of a list come to.
pub(super) fn sum(connector: &Connector, endpoint: &Endpoint, source: &mut Document<'_>) {
    let Some(SumRule {
        list,
        of,
        total,
        unless,
        ..
    }) = &endpoint.sum
    else {
        return;
    };
    let at = ["endpoint", endpoint.name.as_str(), "sum"];
    known_param(endpoint, &at, list, source);
    known_param(endpoint, &at, total, source);
    if endpoint.param(total).is_some_and(|total| total.kind != Kind::Decimal) {
        source.wrong(&at, format!("`{total}` is no amount"));
    }
    let Some(members) = members(connector, endpoint, list) else {
        if endpoint.param(list).is_some() {
            source.wrong(&at, format!("`{list}` is no list of maps whose members are described"));
        }
        return;
    };
    if member(members, &at, of, source).is_some_and(|member| member.kind != Kind::Decimal) {
        source.wrong(&at, format!("`{of}` is no amount"));
    }
    if let Some(unless) = unless {
        member(members, &at, &unless.member, source);
        if unless.is.is_empty() {
            source.wrong(&at, "`unless` says nothing: `is` has to");
        }
    }
}

/// How a primitive's one call says the parts.
pub(super) fn parts(
    connector: &Connector,
    name: &str,
    map: &PrimitiveMap,
    endpoint: &Endpoint,
    source: &mut Document<'_>,
) {
    let at = ["primitive", name, "parts"];
    let Some(PartsMap {
        list,
        args,
        set,
        remainder,
    }) = &map.parts
    else {
        if name == "split" || map.divided.is_some() {
            source.wrong(
                &["primitive", name],
                "`parts` is missing: how the call says who gets what",
            );
        }
        return;
    };
    if name != "split" && map.divided.is_none() {
        source.wrong(&at, "only `split`, and a `refund` of what was divided, have parts");
    }
    known_param(endpoint, &at, list, source);
    if endpoint.sum.as_ref().is_none_or(|sum| sum.list != *list) {
        let message = format!(
            "nobody sees what is missing: `{}` has no `sum` of `{list}`",
            endpoint.name
        );
        source.wrong(&at, message);
    }
    if let Some(setting) = remainder
        .as_ref()
        .filter(|setting| connector.setting(setting).is_none())
    {
        source.unknown(&at, "setting", setting, connector.settings().map(|(known, _)| known));
    }
    let has_rest = endpoint.sum.as_ref().is_some_and(|sum| sum.at_most);
    if has_rest != remainder.is_some() {
        source.wrong(
            &at,
            "what items leave over has somebody (`remainder`) where they may leave it (`at_most`), and only there",
        );
    }
    let Some(members) = members(connector, endpoint, list) else {
        source.wrong(&at, format!("`{list}` is no list of maps whose members are described"));
        return;
    };
    for (generic, own) in args {
        if !MEMBERS.contains(&generic.as_str()) {
            source.unknown(&at, "word of a part", generic, MEMBERS.iter().copied());
        }
        member(members, &at, own, source);
    }
    for own in set.keys() {
        member(members, &at, own, source);
    }
    for needed in ["to", "amount"].iter().filter(|needed| !args.contains_key(**needed)) {
        source.wrong(
            &at,
            format!("`args` has no member for `{needed}`, which a part always says"),
        );
    }
    let numbered_by = if name == "split" { "reference" } else { "refund" };
    if args.contains_key("number") && !map.args.contains_key(numbered_by) {
        let message = format!("a part is numbered by `{numbered_by}`, for which `args` has no parameter");
        source.wrong(&at, message);
    }
    for required in members.iter().filter(|member| member.required && member.set.is_none()) {
        if args.values().all(|own| *own != required.name) && !set.contains_key(&required.name) {
            source.wrong(&at, format!("`{}` is needed and nobody says it", required.name));
        }
    }
}

/// How it is seen what was divided and what went back of it.
pub(super) fn divided(connector: &Connector, name: &str, map: &PrimitiveMap, source: &mut Document<'_>) {
    let at = ["primitive", name, "divided"];
    let Some(divided) = &map.divided else { return };
    if name != "refund" || map.original.is_some() {
        source.wrong(&at, "only `refund` has it, and in place of `original`");
    }
    let DividedMap { item, refunds, .. } = divided;
    for list in [&divided.endpoint, &refunds.endpoint] {
        let Some(endpoint) = known_endpoint(connector, &at, list, source) else {
            continue;
        };
        if !endpoint.lists() {
            source.wrong(&at, format!("`{list}` is no list"));
        }
        let since = divided.since.as_deref();
        if let Some(since) = since
            && endpoint.param(since).is_none_or(|param| param.kind != Kind::Time)
        {
            source.wrong(&at, format!("`{list}` has no time `{since}`"));
        }
        if endpoint.effect != Effect::Read || endpoint.taken().any(|param| param.required) {
            source.wrong(&at, format!("`{list}` is not read without an argument"));
        }
    }
    let places = [
        Some(&divided.payment),
        Some(&divided.number),
        Some(&divided.amount),
        Some(&divided.items),
        Some(&item.number),
        Some(&item.to),
        Some(&item.amount),
        item.label.as_ref(),
        item.inner.as_ref(),
        Some(&refunds.of),
        Some(&refunds.number),
        Some(&refunds.amount),
        Some(&refunds.items),
        Some(&refunds.item_of),
    ];
    places.into_iter().for_each(|place| pointer(&at, place, source));
    for needed in ["number", "of"] {
        if map.parts.as_ref().is_some_and(|parts| !parts.args.contains_key(needed)) {
            let message = format!("`parts` has no `{needed}`: nobody would see later whose part went back");
            source.wrong(&["primitive", name, "parts"], message);
        }
    }
    let endpoint = connector.endpoint(&map.endpoint);
    if endpoint.is_some_and(|endpoint| endpoint.lookup.is_none()) {
        let message = format!(
            "`{}` has no `lookup`, which says for how long the refund before may not be shown",
            map.endpoint
        );
        source.wrong(&at, message);
    }
    if connector.money.currency.is_none() {
        source.wrong(&at, "a division names no currency: [money] has to say the one there is");
    }
}

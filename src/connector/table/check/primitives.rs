//! How the treasury's words map onto the provider: primitives, and the resources that live on.

use std::collections::BTreeSet;

use super::{known_endpoint, known_param, parts, pointer};
use crate::base::money::parse_plain;
use crate::connector::table::{
    Always, BackMap, Connector, Effect, Endpoint, Kind, Param, Place, PrimitiveMap, Stage, WebhookTable,
};
use crate::model::document::Document;

/// The treasury primitives a table may map, with what their endpoint does and what they always say to it.
const PRIMITIVES: &[(&str, &[Effect], &[&str])] = &[
    ("accounts", &[Effect::Read], &[]),
    ("balance", &[Effect::Read], &["account"]),
    ("transactions", &[Effect::Read], &[]),
    ("quote", &[Effect::Read], &["from", "to"]),
    ("verify_payee", &[Effect::Read], &["name"]),
    ("dispute", &[Effect::Read], &["dispute"]),
    ("payout", &[Effect::MovesMoney], &["to", "amount"]),
    ("transfer", &[Effect::MovesMoney], &["from", "to", "amount"]),
    ("convert", &[Effect::MovesMoney], &["from", "to", "amount"]),
    ("order", &[Effect::Write], &["amount", "reference"]),
    ("capture", &[Effect::MovesMoney], &["payment"]),
    ("split", &[Effect::MovesMoney], &["payment", "total"]),
    ("refund", &[Effect::MovesMoney], &["payment", "amount"]),
    ("return_deposit", &[Effect::MovesMoney], &["deposit"]),
    ("send_back", &[Effect::MovesMoney], &["to", "amount", "metadata"]),
    ("cancel", &[Effect::Write, Effect::MovesMoney], &["resource"]),
];

/// Primitives that no table maps: made of others, or of resources and webhooks.
const DERIVED: &[&str] = &["balances", "position", "sweep", "concentrate", "settled", "wait_event"];

pub(super) fn primitives(connector: &Connector, source: &mut Document<'_>) {
    for (name, map) in connector.primitives() {
        let at = |key: &'static str| ["primitive", name, key];
        let Some((_, effects, said)) = PRIMITIVES.iter().find(|(known, ..)| *known == name) else {
            let known = PRIMITIVES.iter().map(|(known, ..)| *known);
            source.unknown(&["primitive", name], "primitive", name, known);
            continue;
        };
        if let Some(endpoint) = known_endpoint(connector, &at("endpoint"), &map.endpoint, source) {
            if !effects.contains(&endpoint.effect) {
                let message = format!("`{}` has the effect {}", endpoint.name, endpoint.effect.as_str());
                source.wrong(&at("endpoint"), message);
            }
            for param in map.args.values() {
                known_param(endpoint, &at("args"), param, source);
            }
            for said in said.iter().filter(|said| !map.args.contains_key(**said)) {
                let message = format!("`args` has no parameter for `{said}`, which `{name}` always says");
                source.wrong(&["primitive", name], message);
            }
            set(connector, name, map, endpoint, source);
            parts::parts(connector, name, map, endpoint, source);
        }
        parts::divided(connector, name, map, source);
        back(connector, name, map, source);
        if map.each.is_some() || !map.always.is_empty() {
            if name != "accounts" {
                source.wrong(&["primitive", name], "only `accounts` has `each` and `always`");
            }
            pointer(&at("each"), map.each.as_ref(), source);
        }
        for value in map.fields.values() {
            pointer(&at("fields"), Some(value), source);
        }
        if let Some(kind) = map.resource.as_ref().filter(|kind| connector.resource(kind).is_none()) {
            let known = connector.resources.keys().map(String::as_str);
            source.unknown(&at("resource"), "resource", kind, known);
        }
        if let Some(own) = &map.own_account {
            if let Some(endpoint) = known_endpoint(connector, &at("own_account"), &own.endpoint, source) {
                known_param(endpoint, &at("own_account"), &own.id, source);
            }
            pointer(&at("own_account"), Some(&own.address), source);
            pointer(&at("own_account"), own.currency.as_ref(), source);
        }
        if let Some(quote) = &map.quote {
            if let Some(endpoint) = known_endpoint(connector, &at("quote"), &quote.endpoint, source) {
                quote
                    .args
                    .values()
                    .for_each(|param| known_param(endpoint, &at("quote"), param, source));
            }
            pointer(&at("quote"), Some(&quote.rate), source);
        }
        if let Some(minimum) = &map.minimum
            && let Err(error) = parse_plain(minimum)
        {
            source.wrong(&at("minimum"), error.to_string());
        }
        if let Some(achieved) = &map.achieved {
            if let Some(endpoint) = &achieved.endpoint {
                known_endpoint(connector, &at("achieved"), endpoint, source);
            }
            if achieved.endpoint.is_some() != achieved.id.is_some() {
                source.wrong(&at("achieved"), "`endpoint` and `id` say together what shows it");
            }
            pointer(&at("achieved"), achieved.id.as_ref(), source);
            let told = [
                Some(&achieved.sold),
                Some(&achieved.sold_currency),
                Some(&achieved.bought),
                Some(&achieved.bought_currency),
                Some(&achieved.rate),
                achieved.fee.as_ref(),
                achieved.fee_currency.as_ref(),
            ];
            told.into_iter()
                .for_each(|value| pointer(&at("achieved"), value, source));
            if achieved.fee.is_some() != achieved.fee_currency.is_some() {
                source.wrong(&at("achieved"), "`fee` and `fee_currency` say together what it cost");
            }
        }
        if let Some(original) = &map.original {
            if let Some(endpoint) = known_endpoint(connector, &at("original"), &original.endpoint, source) {
                known_param(endpoint, &at("original"), &original.id, source);
            }
            let places = [
                Some(&original.amount),
                original.currency.as_ref(),
                original.given_back.as_ref(),
            ];
            places
                .into_iter()
                .for_each(|place| pointer(&at("original"), place, source));
        }
        if name == "refund" && map.original.is_none() && map.divided.is_none() {
            source.wrong(
                &["primitive", name],
                "`original` is missing: nobody would see how much is left to give back",
            );
        }
        if name == "cancel" && map.resource.is_none() {
            source.wrong(&["primitive", name], "`resource` is missing: what it calls off");
        }
        if let Some(existing) = &map.existing
            && let Some(endpoint) = known_endpoint(connector, &at("existing"), &existing.endpoint, source)
        {
            existing
                .args
                .values()
                .for_each(|param| known_param(endpoint, &at("existing"), param, source));
        }
    }
}

/// What is sent back, and how it is seen that it was.
fn back(connector: &Connector, name: &str, map: &PrimitiveMap, source: &mut Document<'_>) {
    let at = ["primitive", name, "back"];
    let Some(BackMap { deposit, sent }) = &map.back else {
        if name == "send_back" {
            source.wrong(
                &["primitive", name],
                "`back` is missing: what is sent back, and how it is seen that it was",
            );
        }
        return;
    };
    if name != "send_back" {
        source.wrong(&at, "only `send_back` has it");
    }
    if let Some(shows) = known_endpoint(connector, &at, &deposit.endpoint, source) {
        known_param(shows, &at, &deposit.param, source);
    }
    if let Some(list) = known_endpoint(connector, &at, &sent.endpoint, source) {
        if !list.lists() {
            source.wrong(&at, format!("`{}` is no list", list.name));
        }
        if let Some(since) = &sent.since {
            known_param(list, &at, since, source);
        }
    }
    let resource = map.resource.as_deref().and_then(|kind| connector.resource(kind));
    for status in resource.into_iter().flat_map(|resource| &resource.failed) {
        if !sent.dead.contains(status) {
            let message = format!("a payment that is `{status}` has not gone: `dead` has to name it");
            source.wrong(&at, message);
        }
    }
    let endpoint = connector.endpoint(&map.endpoint);
    let param = map.args.get("metadata").and_then(|param| endpoint?.param(param));
    if param.is_some_and(|param| param.kind != Kind::TextMap) {
        source.wrong(
            &at,
            "what names the deposit is one of several texts: `metadata` leads to no text_map",
        );
    }
    if endpoint.is_some_and(|endpoint| endpoint.echo.amount.is_none()) {
        source.wrong(
            &at,
            "how much was sent back before is not seen: its `echo` has no amount",
        );
    }
    let places = [
        Some(&deposit.id),
        Some(&deposit.amount),
        deposit.currency.as_ref(),
        Some(&deposit.account),
        Some(&deposit.sender),
        Some(&deposit.at),
        Some(&sent.at),
        Some(&sent.status),
    ];
    places.into_iter().for_each(|place| pointer(&at, place, source));
    if deposit.currency.is_none() && connector.money.currency.is_none() {
        source.wrong(&at, "it does not say in which currency the deposit is");
    }
}

/// What a primitive always says is something its endpoint takes, and nothing a script says.
fn set(connector: &Connector, name: &str, map: &PrimitiveMap, endpoint: &Endpoint, source: &mut Document<'_>) {
    let at = ["primitive", name, "set"];
    for (param, written) in &map.set {
        known_param(endpoint, &at, param, source);
        let Some(known) = endpoint.param(param) else { continue };
        if map.args.values().any(|said| said == param) {
            source.wrong(&at, format!("`{param}` is what a script says, by `args`"));
        }
        match Always::of(written) {
            Always::Now if known.kind != Kind::Time || endpoint.effect != Effect::MovesMoney => {
                source.wrong(&at, format!("`{param}` is no time of what moves money"));
            }
            Always::Setting(setting) if connector.setting(setting).is_none() => {
                source.unknown(&at, "setting", setting, connector.settings().map(|(known, _)| known));
            }
            Always::Text(_) | Always::Setting(_) if known.kind != Kind::Text => {
                source.wrong(&at, format!("`{param}` is no text"));
            }
            Always::Text(text) if !known.values.is_empty() && known.values.iter().all(|value| value != text) => {
                source.wrong(&at, format!("`{param}` cannot be `{text}`"));
            }
            _ => {}
        }
    }
}

/// A primitive that is told to be lacking is not offered as well, and is one.
pub(super) fn lacks(connector: &Connector, source: &mut Document<'_>) {
    let known = || {
        PRIMITIVES
            .iter()
            .map(|(known, ..)| *known)
            .chain(DERIVED.iter().copied())
    };
    for (name, reason) in &connector.lacks {
        let at = ["lacks", name.as_str()];
        if known().all(|known| known != name) {
            source.unknown(&at, "primitive", name, known());
        } else if connector.primitive(name).is_some() {
            source.wrong(&at, format!("`{name}` is offered: there is [primitive.{name}]"));
        } else if reason.trim().is_empty() {
            source.wrong(&at, "there is no reason: say why, in a few words");
        }
    }
}

pub(super) fn resources(connector: &Connector, source: &mut Document<'_>) {
    for (kind, resource) in connector.resources() {
        let at = |key: &'static str| ["resource", kind, key];
        if let Some(endpoint) = known_endpoint(connector, &at("retrieve"), &resource.retrieve, source) {
            let named = match &resource.param {
                Some(param) => {
                    known_param(endpoint, &at("param"), param, source);
                    endpoint.param(param)
                }
                None => endpoint.params_in(Place::Path).next(),
            };
            let is_named = |param: &Param| named.is_some_and(|named| named.name == param.name);
            let needs_more = endpoint.taken().any(|param| param.required && !is_named(param));
            let ids = endpoint.params_in(Place::Path).count();
            let is_of_one = named.is_some_and(|param| ids == usize::from(param.place == Place::Path));
            if !endpoint.lists() && !resource.when.is_empty() {
                source.wrong(&at("when"), "only of a list the one that is meant has to be told");
            }
            if endpoint.effect != Effect::Read || needs_more || !is_of_one || !endpoint.one_of.is_empty() {
                let finding = source.wrong(&at("retrieve"), format!("`{}` is not a read of one id", endpoint.name));
                finding.help = Some("an id that is not in the path is named by `param`".to_owned());
            }
        }
        pointer(&at("id"), Some(&resource.id), source);
        pointer(&at("status"), Some(&resource.status), source);
        pointer(&at("failure"), resource.failure.as_ref(), source);
        for held in &resource.when {
            pointer(&at("when"), Some(&held.at), source);
        }
        for row in &resource.stages {
            pointer(&at("stages"), Some(&row.at), source);
        }
        let ends_well = resource.stages.iter().any(|row| row.stage == Stage::Succeeded);
        if resource.succeeded.is_empty() && !ends_well {
            source.wrong(
                &["resource", kind],
                "nothing is a good end: write `succeeded`, or `stages`",
            );
        }
        let mut seen = BTreeSet::new();
        for status in [&resource.pending, &resource.succeeded, &resource.failed]
            .into_iter()
            .flatten()
        {
            if !seen.insert(status) {
                source.wrong(&["resource", kind], format!("the status `{status}` is named twice"));
            }
        }
        let mut placed = BTreeSet::new();
        for status in resource.rank.iter().flatten() {
            if !resource.statuses().any(|known| known == status) {
                source.unknown(&at("rank"), "status", status, resource.statuses());
            }
            if !placed.insert(status) {
                source.wrong(&at("rank"), format!("`{status}` has two places"));
            }
        }
        let webhook = connector.webhook();
        for event in &resource.events {
            let Some(names) = webhook.filter(|table| table.event(event).is_some()) else {
                let known = webhook.into_iter().flat_map(WebhookTable::event_names);
                source.unknown(&at("events"), "event", event, known);
                continue;
            };
            let others: Vec<&str> = names.heard_as(event).skip(1).collect();
            if !others.is_empty() {
                let message = format!("`{event}` tells of an end under other names: {}", others.join(", "));
                source.wrong(&at("events"), message);
            }
        }
    }
}

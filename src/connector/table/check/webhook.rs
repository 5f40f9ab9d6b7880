//! Webhooks: their envelope, the calls that subscribe to them, and the list that shows missed ones.

use std::collections::BTreeSet;

use super::{known_endpoint, known_param, pointer};
use crate::connector::table::{Connector, Effect, EventType, Subscriptions, WebhookTable};
use crate::model::document::Document;

fn subscription_calls(connector: &Connector, calls: &Subscriptions, source: &mut Document<'_>) {
    let optional = |key, name: &'_ Option<String>, params| name.clone().map(|name| (key, name, params));
    let all = [
        Some(("list", calls.list.clone(), &[][..])),
        Some(("create", calls.create.clone(), &["url", "events"][..])),
        optional("update", &calls.update, &["id", "events"][..]),
        optional("delete", &calls.delete, &["id"][..]),
        optional("test", &calls.test, &["id"][..]),
    ];
    for (key, name, params) in all.into_iter().flatten() {
        let at = ["webhook", "subscriptions", key];
        let Some(endpoint) = known_endpoint(connector, &at, &name, source) else {
            continue;
        };
        let is_read = key == "list";
        if (endpoint.effect == Effect::Read) != is_read || endpoint.effect == Effect::MovesMoney {
            let wanted = if is_read { "a read" } else { "a write" };
            source.wrong(&at, format!("`{name}` is not {wanted}"));
        }
        for param in params {
            known_param(endpoint, &at, param, source);
        }
    }
}

/// What a type is made of, and what it says of its resource.
fn event_type(
    connector: &Connector,
    webhook: &WebhookTable,
    event: &EventType,
    at: &[&str],
    source: &mut Document<'_>,
) {
    if let Some(of) = &event.of {
        match webhook.event(of) {
            None => source.unknown(at, "event", of, webhook.event_names()),
            Some(sent) if sent.of.is_some() || !sent.status.is_empty() => {
                source.wrong(at, format!("`{of}` is not what the provider calls an event"));
            }
            Some(_) => {}
        }
        if event.status.is_empty() {
            source.wrong(at, format!("`status` has to tell it from the other events `{of}`"));
        }
    }
    let about = webhook.about(event);
    let resource = about.and_then(|kind| connector.resource(kind));
    if let (Some(kind), None) = (about, resource) {
        source.unknown(at, "resource", kind, connector.resources().map(|(known, _)| known));
    }
    if about.is_none() && !event.status.is_empty() {
        source.wrong(
            at,
            "`status` of what? `resource` has to say it, here or at the event it is made of",
        );
    }
    let Some(resource) = resource else { return };
    for status in &event.status {
        if !resource.statuses().any(|known| known == status) {
            source.unknown(at, "status", status, resource.statuses());
        }
        let also_told = |other: &&EventType| other.of.is_some() && other.of == event.of && other.name != event.name;
        let mut others = webhook.events.iter().filter(also_told);
        if let Some(other) = others.find(|other| other.status.contains(status)) {
            source.wrong(at, format!("`{status}` is told by `{}` too", other.name));
        }
    }
    if event
        .status
        .iter()
        .any(|status| resource.rank_of(status) != event.rank(resource))
    {
        source.wrong(at, "its statuses stand at different places of `rank`");
    }
}

pub(super) fn webhook(connector: &Connector, source: &mut Document<'_>) {
    let mut envelopes = Vec::new();
    if let Some(webhook) = connector.webhook() {
        let each = webhook.envelopes.iter();
        envelopes.extend(each.map(|envelope| ("webhook", envelope)));
        if webhook.envelopes.is_empty() {
            source.wrong(&["webhook", "envelope"], "nothing says where a delivery says what");
        }
        if let Some(wrong) = webhook.signature.contradiction() {
            source.wrong(&["webhook", "signature"], wrong.to_owned());
        }
        if let Some(subscriptions) = &webhook.subscriptions {
            subscription_calls(connector, subscriptions, source);
        }
        let mut seen = BTreeSet::new();
        for (index, event) in webhook.events.iter().enumerate() {
            let index = index.to_string();
            let at = ["webhook", "event", index.as_str()];
            if !seen.insert(&event.name) {
                source.wrong(&at, format!("`{}` is described twice", event.name));
            }
            event_type(connector, webhook, event, &at, source);
        }
    }
    if let Some(backfill) = connector.backfill() {
        envelopes.push(("backfill", &backfill.envelope));
        if envelopes.iter().any(|(_, envelope)| envelope.id.is_none()) {
            let message = "an event in the list is known again by its `id`: every envelope has to name it".to_owned();
            source.wrong(&["backfill"], message);
        }
        if let Some(list) = known_endpoint(connector, &["backfill", "endpoint"], &backfill.endpoint, source) {
            if !list.lists() {
                let message = format!("`{}` is not a read that lists", list.name);
                source.wrong(&["backfill", "endpoint"], message);
            }
            known_param(list, &["backfill", "since"], &backfill.since, source);
        }
    }
    for (section, envelope) in envelopes {
        let places = [
            ("id", envelope.id.as_ref()),
            ("type", Some(&envelope.kind)),
            // Nothing at all leads to the whole body.
            ("payload", Some(&envelope.payload).filter(|payload| !payload.is_empty())),
            ("date", envelope.date.as_ref()),
            ("subject", envelope.subject.as_ref()),
        ];
        for (key, value) in places {
            pointer(&[section, "envelope", key], value, source);
        }
    }
}

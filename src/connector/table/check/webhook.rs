//! Webhooks: their envelope, the calls that subscribe to them, and the list that shows missed ones.

use std::collections::BTreeSet;

use super::{known_endpoint, known_param, pointer};
use crate::connector::table::{Connector, Effect, Subscriptions};
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

pub(super) fn webhook(connector: &Connector, source: &mut Document<'_>) {
    let mut envelopes = Vec::new();
    if let Some(webhook) = connector.webhook() {
        envelopes.push(("webhook", &webhook.envelope));
        if let Some(wrong) = webhook.signature.contradiction() {
            source.wrong(&["webhook", "signature"], wrong.to_owned());
        }
        if let Some(subscriptions) = &webhook.subscriptions {
            subscription_calls(connector, subscriptions, source);
        }
        let mut seen = BTreeSet::new();
        for (index, event) in webhook.events.iter().enumerate() {
            if !seen.insert(&event.name) {
                let at = ["webhook", "event", &index.to_string()];
                source.wrong(&at, format!("`{}` is described twice", event.name));
            }
        }
    }
    if let Some(backfill) = connector.backfill() {
        envelopes.push(("backfill", &backfill.envelope));
        let ids = [
            Some(&backfill.envelope),
            connector.webhook().map(|webhook| &webhook.envelope),
        ];
        if ids.into_iter().flatten().any(|envelope| envelope.id.is_none()) {
            let message = "an event in the list is known again by its `id`: both envelopes have to name it".to_owned();
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
            ("payload", Some(&envelope.payload)),
            ("date", envelope.date.as_ref()),
            ("subject", envelope.subject.as_ref()),
        ];
        for (key, value) in places {
            pointer(&[section, "envelope", key], value, source);
        }
    }
}

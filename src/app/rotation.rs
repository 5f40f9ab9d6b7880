//! Webhook secrets that run out: told before deliveries are refused for it.
//!
//! What is good when is `connector::connection`'s; this only looks at a set of connections and says what is to be done.

use chrono::TimeDelta;

use super::settings::Settings;
use crate::base::clock::Instant;
use crate::connector::connection::{Connection, WebhookSecret};
use crate::model::diagnostic::Diagnostic;
use crate::model::value::time_text;

/// So long before a secret ends it is told: a week has a working day in it.
const TOLD_BEFORE: TimeDelta = TimeDelta::days(7);

/// Connections whose webhooks are refused for want of a good secret, now or soon.
pub fn findings(settings: &Settings, now: Instant) -> Vec<Diagnostic> {
    let file = settings
        .file
        .as_ref()
        .map_or_else(|| "bursar.toml".to_owned(), |file| file.display().to_string());
    let connections = settings.connections.values();
    connections
        .flat_map(|connection| of_connection(connection, now))
        .map(|(message, help)| Diagnostic::warning("settings", &file, message).help(help))
        .collect()
}

fn of_connection(connection: &Connection, now: Instant) -> Vec<(String, String)> {
    let (name, secrets) = (&connection.name, &connection.webhook_secrets);
    let valid: Vec<&WebhookSecret> = secrets.iter().filter(|secret| secret.is_valid(now)).collect();
    if valid.is_empty() && !secrets.is_empty() {
        let next = secrets
            .iter()
            .filter_map(|secret| secret.not_before.filter(|begin| *begin > now));
        let (state, until) = match next.min() {
            Some(begin) => ("is good yet", format!("; the next begins at {}", time_text(begin))),
            None => ("is good any more", String::new()),
        };
        let message =
            format!("connection `{name}`: none of its `webhook_secrets` {state}{until}: its webhooks are refused");
        return vec![(
            message,
            "add the secret the provider signs with now, or move its end".to_owned(),
        )];
    }
    let ending = valid
        .iter()
        .filter_map(|secret| secret.not_after.map(|end| (*secret, end)));
    ending
        .filter(|(_, end)| *end - now <= TOLD_BEFORE)
        .map(|(ending, end)| {
            let message = format!(
                "connection `{name}`: one of its `webhook_secrets` ends at {}",
                time_text(end)
            );
            let outlasts = |other: &&WebhookSecret| {
                let lasts = other.not_after.is_none_or(|later| later > end);
                !std::ptr::eq(*other, ending) && lasts && other.not_before.is_none_or(|begin| begin <= end)
            };
            let help = if secrets.iter().any(|other| outlasts(&other)) {
                "see to it that the provider signs with the other one by then"
            } else {
                "no other one is good then: add the next one, and have the provider sign with it"
            };
            (message, help.to_owned())
        })
        .collect()
}

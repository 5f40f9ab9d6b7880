//! How far "once" goes at a provider, over all of its calls that change something: what its keys are, and which calls
//! have none.

use serde::Serialize;

use crate::cli::text::count;
use crate::connector::table::{Connector, Effect, Endpoint, Idempotency, InFlight, Kept, KeyPlace};

/// The key in a header, and where each call that changes something bears what tells it from another.
#[derive(Debug, Serialize)]
pub(super) struct Keys<'a> {
    pub(super) header: Option<HeaderKey<'a>>,
    pub(super) places: Places,
    /// Calls by which the same is done twice if they are sent twice: nothing tells a repeated one.
    pub(super) unprotected: Vec<&'a str>,
}

/// The key that stands in a header.
#[derive(Debug, Serialize)]
pub(super) struct HeaderKey<'a> {
    pub(super) name: &'a str,
    pub(super) min_length: usize,
    pub(super) max_length: usize,
    pub(super) window_secs: u64,
    /// What a connection's `key_window_secs` may say at the most.
    pub(super) window_max_secs: Option<u64>,
    /// Whether the window is a guess, the provider being silent.
    pub(super) window_assumed: bool,
    /// "all" or "successes".
    pub(super) kept: &'static str,
    /// "refused" or "unknown".
    pub(super) in_flight: &'static str,
}

/// How many calls that change something bear what tells them from another in each place.
#[derive(Debug, Default, Serialize)]
pub(super) struct Places {
    pub(super) header: usize,
    pub(super) body: usize,
    pub(super) natural: usize,
    /// With none: of these, doing it twice is doing it once.
    pub(super) same_twice: usize,
    /// With none, and a second one is a second one.
    pub(super) none: usize,
}

impl<'a> Keys<'a> {
    pub(super) fn of(connector: &'a Connector) -> Self {
        let mut places = Places::default();
        let mut unprotected = Vec::new();
        for endpoint in connector.endpoints().filter(|endpoint| endpoint.effect != Effect::Read) {
            match (place(connector, endpoint), endpoint.same_twice) {
                ("header", _) => places.header += 1,
                ("body", _) => places.body += 1,
                ("natural", _) => places.natural += 1,
                (_, true) => places.same_twice += 1,
                (_, false) => {
                    places.none += 1;
                    unprotected.push(endpoint.name.as_str());
                }
            }
        }
        Self {
            header: connector.idempotency.as_ref().map(HeaderKey::of),
            places,
            unprotected,
        }
    }

    /// A line for the key in a header.
    pub(super) fn header_text(&self) -> String {
        let Some(header) = &self.header else {
            return "no header takes one".to_owned();
        };
        let HeaderKey {
            name,
            min_length,
            max_length,
            ..
        } = header;
        let length = match min_length {
            0 => format!("up to {max_length} characters"),
            min => format!("{min} to {max_length} characters"),
        };
        let assumed = if header.window_assumed { " (assumed)" } else { "" };
        let longest = header.window_max_secs.map_or_else(String::new, |secs| {
            format!(", {} min at the most by `key_window_secs`", secs / 60)
        });
        let minutes = header.window_secs / 60;
        let (kept, in_flight) = (kept_text(header.kept), in_flight_text(header.in_flight));
        format!("{name}, {length}; trusted for {minutes} min{assumed}{longest}; {kept}; {in_flight}")
    }

    /// A line for the calls that change something.
    pub(super) fn places_text(&self) -> String {
        let Places {
            header,
            body,
            natural,
            same_twice,
            none,
        } = self.places;
        let kinds = [
            (header, "with a key in a header"),
            (body, "with a key in the body"),
            (natural, "by a number that is taken once"),
            (same_twice, "that may be done twice"),
        ];
        let told: Vec<String> = kinds
            .into_iter()
            .filter(|(calls, _)| *calls > 0)
            .map(|(calls, how)| format!("{calls} {how}"))
            .collect();
        let all = header + body + natural + same_twice + none;
        let mut text = format!("{} that change something", count(all, "call"));
        if !told.is_empty() {
            text.push_str(&format!(": {}", told.join(", ")));
        }
        if none > 0 {
            let named = self.unprotected.join(", ");
            text.push_str(&format!("; {none} unprotected, never sent twice by bursar: {named}"));
        }
        text
    }
}

impl<'a> HeaderKey<'a> {
    fn of(table: &'a Idempotency) -> Self {
        Self {
            name: &table.header,
            min_length: table.min_length,
            max_length: table.max_length,
            window_secs: table.window_secs,
            window_max_secs: table.window_max_secs,
            window_assumed: table.window_assumed,
            kept: kept(table.kept),
            in_flight: in_flight(table.in_flight),
        }
    }
}

/// Where a call bears what tells it from another.
pub(super) fn place(connector: &Connector, endpoint: &Endpoint) -> &'static str {
    match (&endpoint.key, &connector.idempotency) {
        (KeyPlace::Header, Some(_)) => "header",
        (KeyPlace::Field(_), _) => "body",
        (KeyPlace::Natural(_), _) => "natural",
        (KeyPlace::Header, None) | (KeyPlace::None, _) => "none",
    }
}

/// With which answers a key is kept, in a word.
pub(super) fn kept(kept: Kept) -> &'static str {
    match kept {
        Kept::All => "all",
        Kept::Successes => "successes",
    }
}

/// What becomes of a call that meets the first one, in a word.
pub(super) fn in_flight(in_flight: InFlight) -> &'static str {
    match in_flight {
        InFlight::Refused => "refused",
        InFlight::Unknown => "unknown",
    }
}

fn kept_text(kept: &str) -> &'static str {
    match kept {
        "successes" => "kept with successes alone",
        _ => "kept with every answer",
    }
}

fn in_flight_text(in_flight: &str) -> &'static str {
    match in_flight {
        "unknown" => "what a second call does while the first is under way is unknown",
        _ => "a second call is refused while the first is under way",
    }
}

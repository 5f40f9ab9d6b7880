//! Concurrency keys: runs of one workflow that must not overlap, so that two never move money of one account at a time.
//!
//! Plain data. Which key a run has is said by its trigger; who goes first is decided by the store, in the write that
//! makes the run.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How many runs of a workflow with one key may be open at once, and what becomes of one too many.
///
/// A run is open until it has ended: one that waits is, and so is one that is parked, because it is not known what it
/// has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// What runs that must not overlap have in common.
    pub key: String,
    /// How many may be open at once; at least one.
    pub max: u32,
    /// What becomes of one more.
    pub policy: Overlap,
}

/// What becomes of a run that would overlap with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is not made, and a record says why.
    #[default]
    Skip,
    /// It waits for its turn, in the order of the causes.
    Queue,
    /// The open ones are asked to end; it begins when they have. What they have sent is not undone.
    CancelRunning,
}

impl Overlap {
    /// Every choice with its name in manifests.
    pub const ALL: [(&'static str, Self); 3] = [
        ("skip", Self::Skip),
        ("queue", Self::Queue),
        ("cancel_running", Self::CancelRunning),
    ];
}

/// What a manifest says of runs that must not overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConcurrencySpec {
    /// What tells one key from another; all runs of the workflow have one key where there is none.
    pub key: Option<KeyPath>,
    /// How many runs of one key may be open at once.
    pub max: u32,
    /// What becomes of one more.
    pub policy: Overlap,
}

impl ConcurrencySpec {
    /// What holds for a run with this event and these params.
    pub fn of(&self, event: &Json, params: &Json) -> Concurrency {
        let key = match &self.key {
            None => "the workflow".to_owned(),
            Some(path) => format!("{} = {}", path.written, path.find(event, params)),
        };
        Concurrency {
            key,
            max: self.max,
            policy: self.policy,
        }
    }
}

/// Where in the event or the params of a run its key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath {
    /// As in the manifest: `event.payload.account_id`.
    written: String,
}

/// A text that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no way into an event or the params: expected such as event.payload.account_id or params.account")]
pub struct BadKeyPath(pub String);

impl KeyPath {
    /// Reads a path with points.
    ///
    /// # Errors
    /// [`BadKeyPath`].
    pub fn parse(text: &str) -> Result<Self, BadKeyPath> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        };
        let (root, rest) = text.split_once('.').ok_or_else(|| BadKeyPath(text.to_owned()))?;
        if !matches!(root, "event" | "params") || !rest.split('.').all(is_word) {
            return Err(BadKeyPath(text.to_owned()));
        }
        Ok(Self {
            written: text.to_owned(),
        })
    }

    /// What stands there, as text. Runs without it have one key together: they might be about the same thing.
    fn find(&self, event: &Json, params: &Json) -> String {
        let mut words = self.written.split('.');
        let root = if words.next() == Some("event") { event } else { params };
        let found = words.try_fold(root, |place, word| match place {
            Json::Array(items) => items.get(word.parse::<usize>().ok()?),
            place => place.get(word),
        });
        match found {
            None | Some(Json::Null) => "(nothing)".to_owned(),
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_key_of_a_run_is_what_stands_where_the_manifest_points() {
        let event =
            json!({"type": "deposit.received", "payload": {"account_id": "acc_1", "lines": [{"n": 7}], "none": null}});
        let params = json!({"account": "acc_2"});
        let check = |path: Option<&str>, expected: &str| {
            let key = path.map(|path| KeyPath::parse(path).expect("a path"));
            let spec = ConcurrencySpec {
                key,
                max: 2,
                policy: Overlap::Queue,
            };
            let of = spec.of(&event, &params);
            assert_eq!((of.key.as_str(), of.max, of.policy), (expected, 2, Overlap::Queue));
        };
        check(None, "the workflow");
        check(Some("event.payload.account_id"), "event.payload.account_id = acc_1");
        check(Some("event.payload.lines.0.n"), "event.payload.lines.0.n = 7");
        check(Some("params.account"), "params.account = acc_2");
        for absent in [
            "event.payload.none",
            "event.payload.absent",
            "event.type.more",
            "params.absent",
        ] {
            check(Some(absent), &format!("{absent} = (nothing)"));
        }
        for wrong in [
            "",
            "event",
            "event.",
            "payload.id",
            "/payload/id",
            "event..id",
            "event.a b",
            "run.id",
        ] {
            assert_eq!(KeyPath::parse(wrong), Err(BadKeyPath(wrong.to_owned())), "{wrong}");
        }
    }
}

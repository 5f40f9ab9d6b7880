//! Idempotency keys: what was answered under which key, for how long. Pure.
//!
//! The provider does not say how long keys live, what counts as the same request or whether errors are
//! kept: all of that are settings.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;

use crate::simulator::config::{BodyComparison, Idempotency, KeyScope};
use crate::base::ids::Digest;

/// An answer kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// What to do with a request that carries a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The first of its kind: run it, then [`Keys::finish`] the slot.
    Run(String),
    /// Answered before.
    Replay(Stored),
    /// Answered before for another request.
    OtherRequest,
    /// Not answered yet.
    StillRunning,
}

#[derive(Debug)]
struct Record {
    fingerprint: Digest,
    began: Duration,
    answer: Option<Stored>,
}

/// Every key in use.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, Record>);

impl Keys {
    /// Takes a key into use for a request, or says why not.
    pub(crate) fn begin(
        &mut self,
        settings: &Idempotency,
        key: &str,
        target: &str,
        body: &[u8],
        elapsed: Duration,
    ) -> Begin {
        let slot = match settings.key_scope {
            KeyScope::Merchant => key.to_owned(),
            KeyScope::MerchantAndPath => format!("{key}\n{target}"),
        };
        let fingerprint = fingerprint(settings.body_comparison, target, body);
        let window = Duration::from_millis(settings.window_ms);
        if let Some(record) = self.0.get(&slot)
            && elapsed.saturating_sub(record.began) < window
        {
            return match &record.answer {
                _ if record.fingerprint != fingerprint => Begin::OtherRequest,
                Some(answer) => Begin::Replay(answer.clone()),
                None => Begin::StillRunning,
            };
        }
        let record = Record {
            fingerprint,
            began: elapsed,
            answer: None,
        };
        self.0.insert(slot.clone(), record);
        Begin::Run(slot)
    }

    /// Keeps the answer, or forgets the key when there is none to keep.
    pub(crate) fn finish(&mut self, slot: &str, answer: Option<Stored>) {
        match answer {
            Some(answer) => {
                if let Some(record) = self.0.get_mut(slot) {
                    record.answer = Some(answer);
                }
            }
            None => {
                self.0.remove(slot);
            }
        }
    }
}

fn fingerprint(comparison: BodyComparison, target: &str, body: &[u8]) -> Digest {
    let canonical = match comparison {
        BodyComparison::Bytes => None,
        // Objects are sorted by key on parsing, so writing the value again is canonical.
        BodyComparison::Canonical => serde_json::from_slice::<Json>(body).ok().map(|json| json.to_string()),
    };
    let body = canonical.as_ref().map_or(body, |text| text.as_bytes());
    Digest::of([target.as_bytes(), body])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        Stored {
            status: 200,
            body: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn a_key_runs_once_then_replays_until_its_window_closes() {
        let settings = Idempotency {
            window_ms: 1_000,
            ..Idempotency::default()
        };
        let mut keys = Keys::default();
        let begin = |keys: &mut Keys, body: &[u8], at| {
            keys.begin(&settings, "k", "POST /v1/payouts", body, Duration::from_millis(at))
        };
        assert_eq!(begin(&mut keys, b"{}", 0), Begin::Run("k".to_owned()));
        assert_eq!(begin(&mut keys, b"{}", 1), Begin::StillRunning);
        assert_eq!(begin(&mut keys, b"{ }", 2), Begin::OtherRequest);
        keys.finish("k", Some(stored()));
        assert_eq!(begin(&mut keys, b"{}", 999), Begin::Replay(stored()));
        assert_eq!(begin(&mut keys, b"{}", 1_000), Begin::Run("k".to_owned()));
        keys.finish("k", None);
        assert_eq!(begin(&mut keys, b"{ }", 1_001), Begin::Run("k".to_owned()));
    }

    #[test]
    fn the_settings_decide_what_the_same_request_is() {
        let check = |comparison, scope, target: &str, body: &[u8], expected: fn(&Begin) -> bool| {
            let settings = Idempotency {
                body_comparison: comparison,
                key_scope: scope,
                ..Idempotency::default()
            };
            let mut keys = Keys::default();
            keys.begin(&settings, "k", "POST /a", br#"{"a":1,"b":2}"#, Duration::ZERO);
            let second = keys.begin(&settings, "k", target, body, Duration::ZERO);
            assert!(expected(&second), "{comparison:?} {scope:?} {target}: {second:?}");
        };
        let other: fn(&Begin) -> bool = |begin| *begin == Begin::OtherRequest;
        let same: fn(&Begin) -> bool = |begin| *begin == Begin::StillRunning;
        let new: fn(&Begin) -> bool = |begin| matches!(begin, Begin::Run(_));
        let turned = br#"{"b":2, "a":1}"#;
        check(BodyComparison::Bytes, KeyScope::Merchant, "POST /a", turned, other);
        check(BodyComparison::Canonical, KeyScope::Merchant, "POST /a", turned, same);
        check(BodyComparison::Canonical, KeyScope::Merchant, "POST /b", turned, other);
        check(BodyComparison::Bytes, KeyScope::MerchantAndPath, "POST /b", turned, new);
    }
}

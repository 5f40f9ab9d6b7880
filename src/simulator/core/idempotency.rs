//! Idempotency keys: what was answered under which key, for how long. Pure.
//!
//! The provider does not say how long keys live, what counts as the same request or whether errors are
//! kept: all of that are settings.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;

use crate::base::ids::Digest;
use crate::simulator::config::{BodyComparison, Idempotency, InFlight, KeyScope, OtherRequest, WindowFrom};

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
    /// The answer, and when it was given.
    answer: Option<(Stored, Duration)>,
}

impl Record {
    fn is_over(&self, settings: &Idempotency, elapsed: Duration) -> bool {
        let from = match (settings.window_from, &self.answer) {
            (WindowFrom::Request, _) => self.began,
            (WindowFrom::Answer, Some((_, answered))) => *answered,
            (WindowFrom::Answer, None) => return false,
        };
        elapsed.saturating_sub(from) >= Duration::from_millis(settings.window_ms)
    }
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
        let known = self.0.get(&slot).filter(|record| !record.is_over(settings, elapsed));
        if let Some(record) = known {
            let same = record.fingerprint == fingerprint;
            return match &record.answer {
                _ if !same && settings.other_request == OtherRequest::Refuse => Begin::OtherRequest,
                Some((answer, _)) => Begin::Replay(answer.clone()),
                None if settings.in_flight == InFlight::RunBoth => Begin::Run(slot),
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
    pub(crate) fn finish(&mut self, slot: &str, answer: Option<Stored>, elapsed: Duration) {
        match answer {
            Some(answer) => {
                if let Some(record) = self.0.get_mut(slot) {
                    record.answer = Some((answer, elapsed));
                }
            }
            None => {
                self.0.remove(slot);
            }
        }
    }
}

/// What each key came with, as long as the world lasts and whatever was answered: a key that came with two requests was used
/// for something it does not stand for.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    first: HashMap<String, Digest>,
    several: BTreeSet<String>,
}

impl Carried {
    /// Notes that a key came with this request.
    pub(crate) fn note(&mut self, key: String, target: &str, body: &[u8]) {
        let request = fingerprint(BodyComparison::Bytes, target, body);
        match self.first.entry(key) {
            Entry::Vacant(place) => {
                place.insert(request);
            }
            Entry::Occupied(known) if *known.get() != request => {
                self.several.insert(known.key().clone());
            }
            Entry::Occupied(_) => {}
        }
    }

    /// The keys that came with several requests.
    pub(crate) fn several(&self) -> impl Iterator<Item = &str> {
        self.several.iter().map(String::as_str)
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
        keys.finish("k", Some(stored()), Duration::from_millis(5));
        assert_eq!(begin(&mut keys, b"{}", 999), Begin::Replay(stored()));
        assert_eq!(begin(&mut keys, b"{}", 1_000), Begin::Run("k".to_owned()));
        keys.finish("k", None, Duration::from_millis(1_000));
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

    #[test]
    fn the_worst_a_provider_could_do_is_a_setting_too() {
        let worst = Idempotency {
            window_ms: 1_000,
            window_from: WindowFrom::Answer,
            other_request: OtherRequest::Replay,
            in_flight: InFlight::RunBoth,
            ..Idempotency::default()
        };
        let mut keys = Keys::default();
        let begin = |keys: &mut Keys, body: &[u8], at| {
            keys.begin(&worst, "k", "POST /v1/payments", body, Duration::from_millis(at))
        };
        let run = || Begin::Run("k".to_owned());
        assert_eq!(begin(&mut keys, b"{}", 0), run());
        assert_eq!(
            begin(&mut keys, b"{}", 5_000),
            run(),
            "beside the first, however long that takes"
        );
        keys.finish("k", Some(stored()), Duration::from_millis(6_000));
        assert_eq!(
            begin(&mut keys, b"{ }", 6_999),
            Begin::Replay(stored()),
            "for another body"
        );
        assert_eq!(begin(&mut keys, b"{}", 7_000), run());
    }
}

//! How entries and times are written in the store, whichever database it is.
//!
//! An entry is one JSON text; values inside it have the typed form, so that nothing is lost. This file must
//! not know SQL. A text that cannot be read is an error with a reason, never a panic.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use crate::base::clock::Instant;
use crate::base::ids::{Digest, RunId};
use crate::model::journal::{Doubt, Entry, Failure, Intent, Outcome, Record, Resolution, Retry, Step, StepPath, Wait};
use crate::model::run::EventMark;
use crate::model::value::Value;

/// A value in the typed form.
struct Typed<'a>(Cow<'a, Value>);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::model::value::Typed(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Typed<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let value = Value::from_typed(&json).map_err(serde::de::Error::custom)?;
        Ok(Self(Cow::Owned(value)))
    }
}

/// [`Outcome`] as written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeForm<'a> {
    Value(Typed<'a>),
    Failure {
        code: Cow<'a, str>,
        message: Cow<'a, str>,
        details: Typed<'a>,
    },
}

impl<'a> From<&'a Outcome> for OutcomeForm<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Value(value) => Self::Value(Typed(Cow::Borrowed(value))),
            Outcome::Failure(failure) => Self::Failure {
                code: Cow::Borrowed(&failure.code),
                message: Cow::Borrowed(&failure.message),
                details: Typed(Cow::Borrowed(&failure.details)),
            },
        }
    }
}

impl From<OutcomeForm<'_>> for Outcome {
    fn from(form: OutcomeForm<'_>) -> Self {
        match form {
            OutcomeForm::Value(value) => Self::Value(value.0.into_owned()),
            OutcomeForm::Failure { code, message, details } => Self::Failure(Failure {
                code: code.into_owned(),
                message: message.into_owned(),
                details: details.0.into_owned(),
            }),
        }
    }
}

/// [`Entry`] as written: `{"done": {"path": "3", …}}`. Tagged from outside, because only so numbers keep
/// their digits on the way in.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EntryForm<'a> {
    Done {
        path: Cow<'a, StepPath>,
        step: Cow<'a, Step>,
        outcome: OutcomeForm<'a>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        began: Option<Instant>,
    },
    Intent {
        path: Cow<'a, StepPath>,
        step: Cow<'a, Step>,
        intent: Cow<'a, Intent>,
    },
    Retry {
        path: Cow<'a, StepPath>,
        step: Cow<'a, Step>,
        retry: Cow<'a, Retry>,
    },
    Sending {
        path: Cow<'a, StepPath>,
    },
    Waiting {
        path: Cow<'a, StepPath>,
        step: Cow<'a, Step>,
        wait: Cow<'a, Wait>,
    },
    Outcome {
        path: Cow<'a, StepPath>,
        outcome: OutcomeForm<'a>,
    },
    InDoubt {
        path: Cow<'a, StepPath>,
        step: Cow<'a, Step>,
        doubt: Cow<'a, Doubt>,
    },
    Resolved {
        path: Cow<'a, StepPath>,
        resolution: Cow<'a, Resolution>,
        actor: Cow<'a, str>,
        reason: Cow<'a, str>,
    },
    Decided {
        path: Cow<'a, StepPath>,
        asked: Digest,
        approved: bool,
        actor: Cow<'a, str>,
        reason: Cow<'a, str>,
    },
}

impl<'a> From<&'a Entry> for EntryForm<'a> {
    fn from(entry: &'a Entry) -> Self {
        let path = Cow::Borrowed(entry.path());
        match entry {
            Entry::Done {
                step, outcome, began, ..
            } => Self::Done {
                path,
                step: Cow::Borrowed(step),
                outcome: outcome.into(),
                began: *began,
            },
            Entry::Intent { step, intent, .. } => Self::Intent {
                path,
                step: Cow::Borrowed(step),
                intent: Cow::Borrowed(intent),
            },
            Entry::Retry { step, retry, .. } => Self::Retry {
                path,
                step: Cow::Borrowed(step),
                retry: Cow::Borrowed(retry),
            },
            Entry::Sending { .. } => Self::Sending { path },
            Entry::Waiting { step, wait, .. } => Self::Waiting {
                path,
                step: Cow::Borrowed(step),
                wait: Cow::Borrowed(wait),
            },
            Entry::Outcome { outcome, .. } => Self::Outcome {
                path,
                outcome: outcome.into(),
            },
            Entry::InDoubt { step, doubt, .. } => Self::InDoubt {
                path,
                step: Cow::Borrowed(step),
                doubt: Cow::Borrowed(doubt),
            },
            Entry::Resolved {
                resolution,
                actor,
                reason,
                ..
            } => Self::Resolved {
                path,
                resolution: Cow::Borrowed(resolution),
                actor: Cow::Borrowed(actor),
                reason: Cow::Borrowed(reason),
            },
            Entry::Decided {
                asked,
                approved,
                actor,
                reason,
                ..
            } => Self::Decided {
                path,
                asked: *asked,
                approved: *approved,
                actor: Cow::Borrowed(actor),
                reason: Cow::Borrowed(reason),
            },
        }
    }
}

impl From<EntryForm<'_>> for Entry {
    fn from(form: EntryForm<'_>) -> Self {
        match form {
            EntryForm::Done {
                path,
                step,
                outcome,
                began,
            } => Self::Done {
                path: path.into_owned(),
                step: step.into_owned(),
                outcome: outcome.into(),
                began,
            },
            EntryForm::Intent { path, step, intent } => Self::Intent {
                path: path.into_owned(),
                step: step.into_owned(),
                intent: Box::new(intent.into_owned()),
            },
            EntryForm::Retry { path, step, retry } => Self::Retry {
                path: path.into_owned(),
                step: step.into_owned(),
                retry: retry.into_owned(),
            },
            EntryForm::Sending { path } => Self::Sending {
                path: path.into_owned(),
            },
            EntryForm::Waiting { path, step, wait } => Self::Waiting {
                path: path.into_owned(),
                step: step.into_owned(),
                wait: wait.into_owned(),
            },
            EntryForm::Outcome { path, outcome } => Self::Outcome {
                path: path.into_owned(),
                outcome: outcome.into(),
            },
            EntryForm::InDoubt { path, step, doubt } => Self::InDoubt {
                path: path.into_owned(),
                step: step.into_owned(),
                doubt: doubt.into_owned(),
            },
            EntryForm::Resolved {
                path,
                resolution,
                actor,
                reason,
            } => Self::Resolved {
                path: path.into_owned(),
                resolution: resolution.into_owned(),
                actor: actor.into_owned(),
                reason: reason.into_owned(),
            },
            EntryForm::Decided {
                path,
                asked,
                approved,
                actor,
                reason,
            } => Self::Decided {
                path: path.into_owned(),
                asked,
                approved,
                actor: actor.into_owned(),
                reason: reason.into_owned(),
            },
        }
    }
}

/// The text of the entry of a record. Its checksum covers its place and time too, which stand beside it.
pub(super) fn entry_text(run: RunId, record: &Record) -> String {
    let place = place(run, record.seq, nanos(record.at));
    seal(text_of(&EntryForm::from(&record.entry)), &place)
}

/// The record of a text at this place.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn read_record(run: RunId, seq: u32, at: i64, text: &str) -> Result<Record, String> {
    let json = open_seal(text, &place(run, seq, at))?;
    let form: EntryForm<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    Ok(Record {
        seq,
        at: instant(at),
        entry: form.into(),
    })
}

fn place(run: RunId, seq: u32, at: i64) -> [u8; 28] {
    let mut place = [0; 28];
    let parts = run.as_uuid().into_bytes().into_iter();
    let parts = parts.chain(seq.to_be_bytes()).chain(at.to_be_bytes());
    for (byte, part) in place.iter_mut().zip(parts) {
        *byte = part;
    }
    place
}

/// The text of a value in the typed form.
pub(super) fn value_text(value: &Value) -> String {
    sealed_text_of(&Typed(Cow::Borrowed(value)))
}

/// The value of a text in the typed form.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn read_value(text: &str) -> Result<Value, String> {
    let typed: Typed<'_> = serde_json::from_str(unsealed(text)?).map_err(|error| error.to_string())?;
    Ok(typed.0.into_owned())
}

/// The JSON text of our own data.
pub(super) fn text_of<T: Serialize>(data: &T) -> String {
    serde_json::to_string(data).expect("our own data has text keys and nothing that refuses to be written")
}

/// The JSON text of something that money follows from, with a checksum behind it. The database notices a page that
/// makes no sense to it, but not a digit that became another one.
pub(super) fn sealed_text_of<T: Serialize>(data: &T) -> String {
    seal(text_of(data), &[])
}

/// A JSON text with a checksum behind it.
pub(super) fn sealed(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + SEAL_BYTES);
    text.push_str(json);
    seal(text, &[])
}

fn seal(mut text: String, place: &[u8]) -> String {
    let sum = checksum(place, &text);
    write!(text, "{SEAL}{sum:016x}").expect("text takes text");
    text
}

/// What stands before the checksum.
const SEAL: char = '#';
/// Its length, with the checksum in hexadecimal digits.
const SEAL_BYTES: usize = 17;

/// The JSON text of a sealed one.
///
/// # Errors
/// That it is not the text that was sealed.
pub(super) fn unsealed(text: &str) -> Result<&str, String> {
    open_seal(text, &[])
}

/// The params of a run, sealed for this run, made of this text and this event: its row is no other's.
pub(super) fn sealed_params(
    params: &Json,
    run: RunId,
    workflow: &str,
    version: Digest,
    event: Option<EventMark>,
) -> String {
    seal(text_of(params), &run_place(run, workflow, version, event))
}

/// The JSON text of the params of a run.
///
/// # Errors
/// That they, or what the run is, are not what they were.
pub(super) fn unsealed_params<'t>(
    text: &'t str,
    run: RunId,
    workflow: &str,
    version: Digest,
    event: Option<EventMark>,
) -> Result<&'t str, String> {
    open_seal(text, &run_place(run, workflow, version, event))
}

fn run_place(run: RunId, workflow: &str, version: Digest, event: Option<EventMark>) -> Vec<u8> {
    let event = event.map_or([0; 8], |mark| mark.0.to_be_bytes());
    [
        run.as_uuid().as_bytes().as_slice(),
        version.as_bytes(),
        event.as_slice(),
        workflow.as_bytes(),
    ]
    .concat()
}

/// A text with a checksum behind it that holds only under this name.
pub(super) fn sealed_as(name: &str, text: &str) -> String {
    seal(text.to_owned(), name.as_bytes())
}

/// The text of one sealed under this name.
///
/// # Errors
/// That it is not the text that was sealed, or not under this name.
pub(super) fn unsealed_as<'t>(name: &str, text: &'t str) -> Result<&'t str, String> {
    open_seal(text, name.as_bytes())
}

fn open_seal<'t>(text: &'t str, place: &[u8]) -> Result<&'t str, String> {
    let intact = text.rsplit_once(SEAL).filter(|(json, sum)| {
        let written = u64::from_str_radix(sum, 16).ok().filter(|_| sum.len() == 16);
        written == Some(checksum(place, json))
    });
    intact
        .map(|(json, _)| json)
        .ok_or_else(|| "its checksum is wrong".to_owned())
}

/// Against accidents, not against people. FNV-1a, but eight bytes at a time: each step can be undone, so a change
/// within one of them always changes the sum.
fn checksum(place: &[u8], text: &str) -> u64 {
    let step = |sum: u64, word: u64| {
        let sum = (sum ^ word).wrapping_mul(0x0100_0000_01b3);
        sum ^ (sum >> 32)
    };
    let (words, rest) = text.as_bytes().as_chunks();
    let place = place.iter().map(|byte| u64::from(*byte));
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|byte| u64::from(*byte));
    place.chain(words).chain(rest).fold(0xcbf2_9ce4_8422_2325, step)
}

/// A time as whole nanoseconds since 1970. What lies outside the years 1677 to 2262 is cut to them: only a
/// time to wake at can be so far away, and a run woken then looks at its journal, which holds the exact time.
pub(super) fn nanos(at: Instant) -> i64 {
    at.timestamp_nanos_opt()
        .unwrap_or(if at < DateTime::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}

/// The time of whole nanoseconds since 1970.
pub(super) fn instant(nanos: i64) -> Instant {
    DateTime::from_timestamp_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_with_another_bit_is_refused() {
        let text = sealed_text_of(&"pay EUR 12.30 to DE89370400440532013000 # 7");
        assert_eq!(unsealed(&text), Ok("\"pay EUR 12.30 to DE89370400440532013000 # 7\""));
        for place in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                let other = String::from_utf8(bytes).expect("still one byte a letter");
                let same = other.eq_ignore_ascii_case(&text) && place >= text.len() - 16;
                assert!(unsealed(&other).is_err() || same, "byte {place}, bit {bit}: {other}");
            }
        }
        assert!(unsealed("").is_err());
        assert!(unsealed("\"unsealed\"").is_err());
    }
}

//! The faults: what goes wrong, and how it is brought about at an operation. Data: nothing is run here.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::facts::Operation;
use crate::simulator::faults::{FaultAction, When};

/// What goes wrong, once.
#[derive(Debug)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    pub(super) kind: Kind,
}

/// How it is brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody listens at the address.
    Nobody,
    /// The name of the provider leads nowhere.
    NoSuchName,
    /// What listens there speaks no TLS.
    NoTls,
    /// The connection ends before anything happens.
    ResetBefore,
    /// The connection ends afterwards.
    ResetAfter,
    /// An error is answered afterwards, and the connection ends before anything of it has arrived.
    ErrorLost(u16),
    /// The answer comes later than anybody waits.
    Late(When),
    /// A status, with `Retry-After` if it has one.
    Status(u16, When, Option<u64>),
    /// A code of the provider's; nothing happens.
    Refusal(u16, &'static str),
    /// The answer comes byte by byte, for longer than anybody waits.
    Drip,
    Truncated,
    Cut,
    WrongSchema,
    WrongAmount,
    WrongBeneficiary,
    /// The answer is about something else.
    Another,
    /// The connection ends afterwards, and the lists do not show it at once.
    StaleList,
}

const fn fault(name: &'static str, kind: Kind) -> Fault {
    Fault { name, kind }
}

const fn status(name: &'static str, status: u16, when: When) -> Fault {
    fault(name, Kind::Status(status, when, None))
}

/// Every fault.
pub const FAULTS: [Fault; 34] = [
    fault("connection refused", Kind::Nobody),
    fault("name not found", Kind::NoSuchName),
    fault("TLS fails", Kind::NoTls),
    fault("time-out before the effect", Kind::Late(When::Before)),
    fault("time-out after the effect", Kind::Late(When::After)),
    fault("reset before the effect", Kind::ResetBefore),
    fault("reset after the effect", Kind::ResetAfter),
    fault("500 after the effect, lost", Kind::ErrorLost(500)),
    status("500 before the effect", 500, When::Before),
    status("500 after the effect", 500, When::After),
    status("502 before the effect", 502, When::Before),
    status("502 after the effect", 502, When::After),
    status("503 before the effect", 503, When::Before),
    status("503 after the effect", 503, When::After),
    status("504 before the effect", 504, When::Before),
    status("504 after the effect", 504, When::After),
    status("408 before the effect", 408, When::Before),
    status("408 after the effect", 408, When::After),
    status("a redirect", 307, When::Before),
    fault("409 conflict", Kind::Refusal(409, "conflict")),
    fault("409 in progress", Kind::Refusal(409, "request_in_progress")),
    fault(
        "409 key already used",
        Kind::Refusal(409, "idempotency_key_already_used"),
    ),
    fault("422", Kind::Refusal(422, "unprocessable")),
    status("425", 425, When::Before),
    status("429", 429, When::Before),
    fault("429 with Retry-After", Kind::Status(429, When::Before, Some(20))),
    fault("an answer byte by byte", Kind::Drip),
    fault("an answer that is cut off", Kind::Cut),
    fault("JSON that breaks off", Kind::Truncated),
    fault("another JSON", Kind::WrongSchema),
    fault("another amount", Kind::WrongAmount),
    fault("another beneficiary", Kind::WrongBeneficiary),
    fault("another resource", Kind::Another),
    fault("a list that lags", Kind::StaleList),
];

impl Kind {
    /// Whether nobody waits for the end of the answer.
    pub(super) fn is_slow(self) -> bool {
        matches!(self, Self::Late(_) | Self::Drip)
    }

    /// Whether it was done and answered with an error, read or not.
    pub(super) fn is_error_after(self) -> bool {
        matches!(self, Self::ErrorLost(_) | Self::Status(_, When::After, _))
    }

    /// What the bank does to this operation, if it is the bank. What an answer does not repeat cannot be wrong in it:
    /// there nothing goes wrong.
    pub(super) fn action(self, operation: &Operation, late: Duration) -> Option<FaultAction> {
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        let facts = &operation.facts;
        Some(match self {
            Self::Nobody | Self::NoSuchName | Self::NoTls => return None,
            Self::ResetBefore => FaultAction::Refuse,
            Self::ResetAfter | Self::StaleList => FaultAction::DropAfterEffect,
            Self::ErrorLost(status) => FaultAction::ErrorLost { status },
            Self::Late(when) => FaultAction::Delay { ms: late_ms, when },
            Self::Status(status, when, retry_after_secs) => FaultAction::Status {
                status,
                when,
                retry_after_secs,
            },
            Self::Refusal(status, code) => FaultAction::Refusal {
                status,
                code: code.to_owned(),
            },
            Self::Drip => FaultAction::SlowDrip {
                bytes: 1,
                interval_ms: late_ms,
            },
            Self::Truncated => FaultAction::TruncatedBody,
            Self::Cut => FaultAction::CutBody,
            Self::WrongSchema => FaultAction::WrongSchema,
            Self::WrongAmount => {
                let (at, is_text) = facts.amount.as_ref()?;
                replace(at, if *is_text { json!("99.00") } else { json!(99) })
            }
            Self::WrongBeneficiary => replace(facts.beneficiary.as_ref()?, json!("DE02120300000000202051")),
            Self::Another => replace(facts.own.as_ref()?, json!("00000000-0000-4000-8000-000000000000")),
        })
    }
}

fn replace(pointer: &str, value: Json) -> FaultAction {
    FaultAction::Replace {
        pointer: pointer.to_owned(),
        value,
    }
}

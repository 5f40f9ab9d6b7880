//! The faults, the operations they meet, and how each has to end. Data and one pure function: nothing is run here.

use super::Circumstances;
use crate::simulator::faults::{FaultAction, When};

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
    /// A person has to decide.
    Parked,
}

impl Ending {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "succeeded",
            Self::Failed => "failed",
            Self::Parked => "parked",
        }
    }
}

/// An operation that changes something at the provider.
#[derive(Debug)]
pub struct Operation {
    /// Its name in the table.
    pub name: &'static str,
    /// Whether a key protects it.
    keyed: bool,
    /// Whether a look-up finds out what became of it.
    found: bool,
    /// Whether its answer is a resource that is known by its id.
    told_by_id: bool,
    /// Whether its answer repeats the amount.
    repeats_amount: bool,
    /// Where its answer repeats who gets it, and what tells it from others.
    beneficiary: Option<&'static str>,
    own: Option<&'static str>,
}

const WRITE: Operation = Operation {
    name: "",
    keyed: true,
    found: false,
    told_by_id: false,
    repeats_amount: false,
    beneficiary: None,
    own: None,
};

const fn write(name: &'static str) -> Operation {
    Operation { name, ..WRITE }
}

/// Every operation of the provider that changes something.
pub const OPERATIONS: [Operation; 12] = [
    Operation {
        found: true,
        told_by_id: true,
        repeats_amount: true,
        beneficiary: Some("/destination/iban"),
        own: Some("/metadata/bursar"),
        ..write("create_payout")
    },
    Operation {
        found: true,
        told_by_id: true,
        repeats_amount: true,
        beneficiary: Some("/target_account_id"),
        own: Some("/metadata/bursar"),
        ..write("create_conversion")
    },
    Operation {
        found: true,
        told_by_id: true,
        own: Some("/deposit_id"),
        ..write("create_return")
    },
    write("create_account"),
    write("freeze_account"),
    write("unfreeze_account"),
    write("close_account"),
    write("redeliver_webhook_delivery"),
    write("create_webhook_subscription"),
    write("update_webhook_subscription"),
    Operation {
        keyed: false,
        ..write("delete_webhook_subscription")
    },
    write("send_test_event"),
];

/// What goes wrong, once, and what it leaves.
#[derive(Debug)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    pub(super) kind: Kind,
    class: Class,
}

/// How it is brought about.
#[derive(Debug, Clone, Copy)]
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
    /// The answer comes later than anybody waits.
    Late(When),
    /// A status, with `Retry-After` if it has one.
    Status(u16, When, Option<u64>),
    /// A code of the provider's.
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

/// What is true at the provider, and what can be known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// No request leaves, for as long as it lasts.
    NotSent,
    /// Nobody knows; it was done or not.
    Unknown { done: bool },
    /// The same, and repeating does not help.
    UnknownForGood { done: bool },
    /// Not done, later perhaps.
    Later,
    /// Not done.
    Refused,
    /// The key belongs to another request.
    KeyTaken,
    /// Done, and the answer is not JSON of the right kind for what has an id.
    Shapeless,
    /// Done, and the answer says something else where the operation repeats this.
    Contradicts(Told),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Amount,
    Beneficiary,
    Another,
}

impl Told {
    fn by(self, operation: &Operation) -> bool {
        match self {
            Self::Amount => operation.repeats_amount,
            Self::Beneficiary => operation.beneficiary.is_some(),
            Self::Another => operation.own.is_some(),
        }
    }
}

const fn fault(name: &'static str, kind: Kind, class: Class) -> Fault {
    Fault { name, kind, class }
}

const fn status(name: &'static str, status: u16, when: When) -> Fault {
    let done = matches!(when, When::After);
    fault(name, Kind::Status(status, when, None), Class::Unknown { done })
}

const DONE: Class = Class::Unknown { done: true };
const NOT_DONE: Class = Class::Unknown { done: false };

/// Every fault.
pub const FAULTS: [Fault; 33] = [
    fault("connection refused", Kind::Nobody, Class::NotSent),
    fault("name not found", Kind::NoSuchName, Class::NotSent),
    fault("TLS fails", Kind::NoTls, Class::NotSent),
    // It is done when nobody waits any more.
    fault("time-out before the effect", Kind::Late(When::Before), DONE),
    fault("time-out after the effect", Kind::Late(When::After), DONE),
    fault("reset before the effect", Kind::ResetBefore, NOT_DONE),
    fault("reset after the effect", Kind::ResetAfter, DONE),
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
    fault(
        "a redirect",
        Kind::Status(307, When::Before, None),
        Class::UnknownForGood { done: false },
    ),
    fault("409 conflict", Kind::Refusal(409, "conflict"), Class::Refused),
    fault("409 in progress", Kind::Refusal(409, "request_in_progress"), NOT_DONE),
    fault(
        "409 key already used",
        Kind::Refusal(409, "idempotency_key_already_used"),
        Class::KeyTaken,
    ),
    fault("422", Kind::Refusal(422, "unprocessable"), NOT_DONE),
    fault("425", Kind::Status(425, When::Before, None), Class::Later),
    fault("429", Kind::Status(429, When::Before, None), Class::Later),
    fault(
        "429 with Retry-After",
        Kind::Status(429, When::Before, Some(20)),
        Class::Later,
    ),
    fault("an answer byte by byte", Kind::Drip, DONE),
    fault("an answer that is cut off", Kind::Cut, DONE),
    fault("JSON that breaks off", Kind::Truncated, DONE),
    fault("another JSON", Kind::WrongSchema, Class::Shapeless),
    fault("another amount", Kind::WrongAmount, Class::Contradicts(Told::Amount)),
    fault(
        "another beneficiary",
        Kind::WrongBeneficiary,
        Class::Contradicts(Told::Beneficiary),
    ),
    fault("another resource", Kind::Another, Class::Contradicts(Told::Another)),
    fault("a list that lags", Kind::StaleList, DONE),
];

impl Kind {
    /// Whether it lies before the provider: the operator or the network has to heal it.
    pub(super) fn is_on_the_way(self) -> bool {
        matches!(self, Self::Nobody | Self::NoSuchName | Self::NoTls)
    }

    /// What the bank does to this operation, if it is the bank.
    pub(super) fn action(self, operation: &Operation, late: std::time::Duration) -> Option<FaultAction> {
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        Some(match self {
            Self::Nobody | Self::NoSuchName | Self::NoTls => return None,
            Self::ResetBefore => FaultAction::Refuse,
            Self::ResetAfter | Self::StaleList => FaultAction::DropAfterEffect,
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
            Self::WrongAmount => FaultAction::WrongAmount {
                amount: "99.00".to_owned(),
            },
            Self::WrongBeneficiary => replace(operation.beneficiary?, "DE02120300000000202051"),
            Self::Another => replace(operation.own?, "00000000-0000-4000-8000-000000000000"),
        })
    }
}

fn replace(pointer: &str, text: &str) -> FaultAction {
    FaultAction::Replace {
        pointer: pointer.to_owned(),
        value: text.into(),
    }
}

/// How a fault at an operation has to end, and how often it is then done.
pub(super) fn expected(fault: &Fault, operation: &Operation, circumstances: Circumstances) -> (Ending, u64) {
    let Circumstances { key_holds, dies } = circumstances;
    // Nobody knows whether it was done: the key, else a look-up, else a person.
    let unknown = |done: bool, repeat: bool| match operation {
        operation if operation.keyed && key_holds && repeat => (Ending::Done, 1),
        operation if operation.found => (Ending::Done, 1),
        _ => (Ending::Parked, u64::from(done)),
    };
    match fault.class {
        // A process that died knows nothing of the answer, and asks again.
        Class::NotSent | Class::Later | Class::Refused | Class::KeyTaken if dies => unknown(false, true),
        Class::UnknownForGood { done } if dies => unknown(done, true),
        Class::Shapeless if dies => unknown(true, true),
        Class::Contradicts(_) if dies => unknown(true, true),
        Class::Unknown { done } => unknown(done, true),
        Class::UnknownForGood { done } => unknown(done, false),
        Class::NotSent | Class::Refused => (Ending::Failed, 0),
        Class::Later => (Ending::Done, 1),
        Class::KeyTaken => (Ending::Parked, 0),
        Class::Shapeless if operation.told_by_id => unknown(true, true),
        Class::Contradicts(told) if told.by(operation) => (Ending::Parked, 1),
        Class::Shapeless | Class::Contradicts(_) => (Ending::Done, 1),
    }
}

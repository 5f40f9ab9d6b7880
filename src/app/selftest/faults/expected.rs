//! How a fault at an operation has to end: a pure function of the fault, of what the table says of the operation, and of
//! what surrounds it. Each line has its reason; nothing here is known of any provider.

use super::Circumstances;
use super::facts::{Facts, Operation, class};
use super::kinds::{Fault, Kind};
use crate::connector::table::ErrorClass;
use crate::simulator::faults::When;

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

/// Whether it was done at the provider when the fault was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    No,
    Yes,
    /// It is done when nobody waits for it any more.
    Later,
}

/// What we heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// That no byte of it went out, for as long as the fault lasts.
    NotSent,
    /// Nothing.
    Nothing,
    /// An error.
    Error(u16, Option<&'static str>),
    /// A success that cannot be read.
    Unreadable,
    /// A success that is something else than what the operation answers.
    Shapeless,
    /// A success that shows another amount, another beneficiary, another thing.
    Another(Told),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Amount,
    Beneficiary,
    Own,
}

impl Told {
    fn by(self, facts: &Facts) -> bool {
        match self {
            Self::Amount => facts.amount.is_some(),
            Self::Beneficiary => facts.beneficiary.is_some(),
            Self::Own => facts.own.is_some(),
        }
    }
}

fn what_happens(kind: Kind) -> (Done, Heard) {
    match kind {
        Kind::Nobody | Kind::NoSuchName | Kind::NoTls => (Done::No, Heard::NotSent),
        Kind::ResetBefore => (Done::No, Heard::Nothing),
        Kind::ResetAfter | Kind::ErrorLost(_) | Kind::StaleList | Kind::Drip | Kind::Cut => (Done::Yes, Heard::Nothing),
        Kind::Late(When::Before) => (Done::Later, Heard::Nothing),
        Kind::Late(When::After) => (Done::Yes, Heard::Nothing),
        Kind::Status(status, When::Before, _) => (Done::No, Heard::Error(status, None)),
        Kind::Status(status, When::After, _) => (Done::Yes, Heard::Error(status, None)),
        Kind::Refusal(status, code) => (Done::No, Heard::Error(status, Some(code))),
        Kind::Truncated => (Done::Yes, Heard::Unreadable),
        Kind::WrongSchema => (Done::Yes, Heard::Shapeless),
        Kind::WrongAmount => (Done::Yes, Heard::Another(Told::Amount)),
        Kind::WrongBeneficiary => (Done::Yes, Heard::Another(Told::Beneficiary)),
        Kind::Another => (Done::Yes, Heard::Another(Told::Own)),
    }
}

/// What is left to find out, and by what.
struct Doubt<'a> {
    facts: &'a Facts,
    kind: Kind,
    done: Done,
    /// Whether what tells a repeated call from a new one is still trusted.
    trusted: bool,
}

/// How a fault at an operation has to end, and how often it is then done.
pub(super) fn expected(fault: &Fault, operation: &Operation, circumstances: Circumstances) -> (Ending, u64) {
    let (kind, facts) = (fault.kind, &operation.facts);
    let (done, heard) = what_happens(kind);
    let doubt = Doubt {
        facts,
        kind,
        done,
        // An error that nobody heard may have left it free, also one behind which the call was done.
        trusted: facts.repeats && !facts.frees && (circumstances.key_holds || facts.for_good),
    };
    if circumstances.dies {
        return match heard {
            // What is read before could not be read either: nothing was ever sent, and the next process begins anew.
            Heard::NotSent if facts.reads_first => (Ending::Done, 1),
            _ => doubt.settled(),
        };
    }
    match heard {
        // It is tried as often as a step may be, then the script is told: nothing was done.
        Heard::NotSent => (Ending::Failed, 0),
        Heard::Nothing | Heard::Unreadable => doubt.settled(),
        // A redirect is there the next time, too.
        Heard::Error(300..=399, _) => doubt.looked_up(),
        Heard::Error(status, code) => match class(operation.provider, status, code) {
            ErrorClass::Failed => (Ending::Failed, 0),
            ErrorClass::Retry => (Ending::Done, 1),
            ErrorClass::Unknown => doubt.settled(),
            // Our credentials, or a key that stands for something else: a person.
            ErrorClass::Refused | ErrorClass::Contradiction => (Ending::Parked, 0),
        },
        // It names no thing, so it is no answer.
        Heard::Shapeless if facts.has_id => doubt.settled(),
        // It does not show what it has to.
        Heard::Shapeless if facts.shows_sent => (Ending::Parked, 1),
        Heard::Another(told) if told.by(facts) => (Ending::Parked, 1),
        // Nothing in the table tells it from what was asked for.
        Heard::Shapeless | Heard::Another(_) => (Ending::Done, 1),
    }
}

impl Doubt<'_> {
    /// Nobody knows what became of it: it is sent again while that is safe, else looked for.
    fn settled(&self) -> (Ending, u64) {
        match self.trusted {
            true => (Ending::Done, 1),
            false => self.looked_up(),
        }
    }

    fn looked_up(&self) -> (Ending, u64) {
        let times = u64::from(self.done != Done::No);
        let Some(look_up) = self.facts.look_up else {
            return (Ending::Parked, times);
        };
        let is_hidden = self.done == Done::Later || self.kind == Kind::StaleList && look_up.is_list;
        let is_right = match self.done {
            Done::No => look_up.proves_absence,
            // It is there when it is looked for once more.
            Done::Yes | Done::Later => look_up.looks_again || !is_hidden,
        };
        match is_right {
            true => (Ending::Done, 1),
            false => (Ending::Parked, times),
        }
    }
}

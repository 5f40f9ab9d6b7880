//! Named places at which the process can be made to die, so that recovery is tested where it matters and not only
//! where chance hits.
//!
//! A build for use has none of it: without the feature `fault-points` (a debug build has it too) [`reach`] is empty.
//! With it, the variable [`VARIABLE`] names one point and how often it has to be reached: `intent-durable:3`. It must
//! decide nothing: a point that is not armed changes nothing.

/// The variable that arms one point: `NAME` or `NAME:NTH`.
pub const VARIABLE: &str = "BURSAR_FAULT_POINT";

/// Whether this build has fault points at all.
pub const COMPILED_IN: bool = cfg!(any(feature = "fault-points", debug_assertions));

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A place at which everything may end. The order is that of a payment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultPoint {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl FaultPoint {
            /// Every point.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name, as the variable takes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

points! {
    /// A delivery is verified and nothing of it is stored: the sender repeats it.
    DeliveryVerified = "delivery-verified",
    /// The event is durable and the sender does not know it: it repeats what is there already.
    EventDurable = "event-durable",
    /// Events are durable and their runs are not made.
    EventsUnrouted = "events-unrouted",
    /// Runs are made and nobody drives them.
    RunsMade = "runs-made",
    /// A run is taken and its script has not begun.
    RunTaken = "run-taken",
    /// The script has reached an effect whose intent is not written.
    EffectReached = "effect-reached",
    /// A transaction is written, or about to be, and not committed.
    CommitBegun = "commit-begun",
    /// A transaction is committed and nobody knows it.
    CommitDone = "commit-done",
    /// The intent is durable and nothing was sent.
    IntentDurable = "intent-durable",
    /// The request is on its way: some of it, or all, may have arrived.
    RequestLeaving = "request-leaving",
    /// The provider has answered and the answer is not read.
    ReplyArriving = "reply-arriving",
    /// The answer is read and not written.
    ReplyRead = "reply-read",
    /// The outcome is handed to the store, durable or not.
    OutcomeQueued = "outcome-queued",
    /// That a request goes out again is durable, and it has not gone out.
    ResendDurable = "resend-durable",
    /// A person's decision is durable, and nobody has taken up the run that waited for it.
    DecisionDurable = "decision-durable",
    /// A turn is over and its end is not written.
    TurnOver = "turn-over",
    /// The process has come back and has not taken up what it left.
    RecoveryBegun = "recovery-begun",
    /// It has taken it up, and nothing is driven yet.
    RecoveryDone = "recovery-done",
}

/// The process is at this point. If it is armed and this is the time, the process ends here, without a word to
/// anybody.
#[inline]
pub fn reach(point: FaultPoint) {
    #[cfg(any(feature = "fault-points", debug_assertions))]
    armed::reach(point);
    #[cfg(not(any(feature = "fault-points", debug_assertions)))]
    let _ = point;
}

#[cfg(any(feature = "fault-points", debug_assertions))]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{FaultPoint, VARIABLE};

    struct Armed {
        point: FaultPoint,
        left: AtomicU32,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    #[expect(
        clippy::disallowed_methods,
        reason = "only a test of recovery sets it, and only for its own child process"
    )]
    fn from_environment() -> Option<Armed> {
        let text = std::env::var(VARIABLE).ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        let point = FaultPoint::ALL.iter().copied().find(|point| point.name() == name)?;
        let left = AtomicU32::new(nth.parse().ok()?);
        Some(Armed { point, left })
    }

    pub(super) fn reach(point: FaultPoint) {
        let Some(armed) = ARMED.get_or_init(from_environment) else {
            return;
        };
        if armed.point == point && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // No destructor, no flush, no answer: as a kill does.
            std::process::abort();
        }
    }
}

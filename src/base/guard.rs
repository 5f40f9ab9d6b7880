//! The guards of the product by name, so that a test can break one at a time and see that the suite finds it out.
//!
//! A build for use has none of it: without the feature `broken-guards` (a debug build has it too) [`holds`] is the
//! constant `true`. With it, the variable [`VARIABLE`] names the one guard that does not hold. It must decide nothing
//! else: a place asks whether its guard holds, and what it does then is its own.

/// The variable that breaks one guard, by its name.
pub const VARIABLE: &str = "BURSAR_BROKEN_GUARD";

/// Whether guards can be broken in this build at all.
pub const COMPILED_IN: bool = cfg!(any(feature = "broken-guards", debug_assertions));

macro_rules! guards {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Something that keeps money from moving twice, wrongly, or not at all.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Guard {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Guard {
            /// Every guard.
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

guards! {
    // --- effects
    /// An intent is durable before anything is sent.
    IntentDurable = "intent-durable",
    /// The same step of the same run has the same key, whoever computes it.
    KeyDerived = "key-derived",
    /// That a request goes out again is durable before it does.
    ResendDurable = "resend-durable",
    /// Nothing goes out again under a key past the end of our trust, by the wall clock.
    KeyWindow = "key-window",
    /// Nor by the clock that never goes back.
    KeyAge = "key-age",
    /// A key is as old as the provider's clock says, not ours, which may have been ahead.
    KeyTheirTime = "key-their-time",
    /// Also of a key that this process sent: both its clocks may have stood still with the machine.
    KeyAskedAgain = "key-asked-again",
    /// Our trust in a key ends before the provider's window does.
    KeyMargin = "key-margin",
    /// No connection says that a key protects for longer than its table has it at the most.
    KeyWindowMost = "key-window-most",
    /// Nothing of unknown outcome is sent again under a key that is kept for successes alone: the answer may have been an
    /// error after the effect, which left it free.
    KeyKept = "key-kept",
    /// Nothing is sent again while the first may still be on its way, where the provider does not say what it makes of
    /// two.
    InFlight = "in-flight",
    /// A second thing that bears our mark is for a person, where the table has it that there may be one.
    FoundOnce = "found-once",
    /// An item that does not say whose it is proves no absence of ours.
    NaturalShown = "natural-shown",
    /// Something new that does not show what was sent may be ours all the same.
    FreshUnlike = "fresh-unlike",
    /// A state that says neither that it was done nor that it was not proves nothing.
    StateKnown = "state-known",
    /// What reads before it is sent does so alone.
    Exclusive = "exclusive",
    /// What a step has alone is given back when it ends, not before.
    Released = "released",
    /// What a step had alone is another's only when what it did can be seen.
    ExclusiveRests = "exclusive-rests",
    /// How long that takes is measured by the clock that never goes back too.
    RestsElapsed = "rests-elapsed",
    /// What may have been forgotten is looked for before anything is read.
    ForgottenFirst = "forgotten-first",
    /// What goes out anew is looked for after what there is was read anew.
    AnewAfterRead = "anew-after-read",
    /// What was known before is not compared with after an older state was put back.
    BeforeForgotten = "before-forgotten",
    /// What another may have done is looked for before it is sent.
    LookedFirst = "looked-first",
    /// An answer that does not show what was sent is not believed where another's may stand under the same number.
    EchoSame = "echo-same",
    /// A key is judged once more after that its request goes out is durable.
    KeyAfterCommit = "key-after-commit",
    /// What its table says must not be repeated is not.
    RepeatAllowed = "repeat-allowed",
    /// A request that was on its way when the process ended may have arrived.
    OnItsWay = "on-its-way",
    /// A request may have gone out as late as its answer, or the end of its process.
    SentLate = "sent-late",
    /// A refusal is not believed while an earlier attempt may have got through.
    RefusalLookedUp = "refusal-looked-up",
    /// A failure of the provider is no answer.
    ErrorUnknown = "error-unknown",
    /// An answer about something else than was asked for is not believed.
    Contradiction = "contradiction",
    /// What is sent again is what was sent.
    SameRequest = "same-request",
    /// An outcome is handed to the store before the script goes on.
    OutcomeQueued = "outcome-queued",
    /// The provider's `Retry-After` outranks our own pauses.
    RetryAfter = "retry-after",
    /// There is a pause between two attempts.
    Backoff = "backoff",
    /// Attempts come to an end.
    AttemptsMax = "attempts-max",
    /// Nothing is asked with a key that is known to be refused.
    RefusedKeyHolds = "refused-key-holds",

    /// A header that says for whom a request is is part of what it is.
    HeaderNamed = "header-named",
    /// Of two ways to say who gets it, one is sent.
    OneOf = "one-of",
    /// The parts that are sent come to the total that is sent.
    PartsSum = "parts-sum",

    // --- look-ups
    /// A list that was not read whole proves nothing.
    ListWhole = "list-whole",
    /// What was sent for one account is looked up under it.
    Carried = "carried",
    /// What a list does not show yet may be there.
    VisibilityLag = "visibility-lag",
    /// A list that does not cover the whole window proves nothing.
    WindowCovered = "window-covered",
    /// Every page of a list is read.
    EveryPage = "every-page",
    /// What bears our mark has to be what was asked for.
    FoundFits = "found-fits",
    /// A list is as old as the provider's own clock says.
    ListAge = "list-age",
    /// What goes out anew is looked for once more.
    AnewLookedUp = "anew-looked-up",
    /// It is looked for since it may first have gone out.
    SoughtSinceFirst = "sought-since-first",
    /// What a person says of an effect is held against what the provider shows.
    DecisionFits = "decision-fits",
    /// So is that it failed.
    FailureFits = "failure-fits",
    /// What says nothing of the amount or of who got it is not adopted without a word.
    AdoptionSays = "adoption-says",
    /// Nor what another step of the run has.
    AdoptedOnce = "adopted-once",
    /// A decision is about the doubt that was looked at, not about a later one.
    DecisionAfter = "decision-after",

    // --- an older state of the store
    /// That the database is older than what was sent is noticed.
    RestoreNoticed = "restore-noticed",
    /// That nothing was sent is said of one database, not of another that was put in its place.
    WitnessOwn = "witness-own",
    /// What a restore replaces has all that its log holds before that is taken away.
    LogFolded = "log-folded",
    /// Nothing is sent before a person has accepted it.
    RestoreHeld = "restore-held",
    /// What may have been forgotten is looked for before it is sent.
    RestoreForgotten = "restore-forgotten",
    /// So is what was open in it.
    RestoreOpen = "restore-open",
    /// What the run did at a step that it does not have any more is a person's to explain.
    RestoreStrays = "restore-strays",
    /// What may have been sent under a reference that nobody knows any more is not proved absent.
    RestoreUntraceable = "restore-untraceable",
    /// A journal beside which an entry of nobody stands may have lost its end.
    JournalNeighbours = "journal-neighbours",
    /// What a forgotten run of the same request paid bears its name.
    KeyNamesRun = "key-names-run",
    /// What a run of the same key made before anything can have been forgotten is another request's.
    KeyUsedBefore = "key-used-before",
    /// What contradicts the word of a person after a restore is told.
    RestoreContradicts = "restore-contradicts",

    // --- turns and journals
    /// What a script asks for has to be what its journal has.
    SameStep = "same-step",
    /// A script reaches every step its journal has.
    EveryStepReached = "every-step-reached",
    /// After an interrupt no function of the host does anything.
    InterruptSticks = "interrupt-sticks",
    /// Entries are written in the order in which they were made.
    RidingOrder = "riding-order",
    /// No run ends while it is not known what one of its steps did.
    NothingOpen = "nothing-open",
    /// Nothing begins in a run that is to end.
    CancelBegins = "cancel-begins",
    /// The entries of a journal have no gap.
    JournalOrder = "journal-order",
    /// A new intent is of the epoch that was cleared.
    JournalEpoch = "journal-epoch",
    /// Attempts are counted one by one.
    JournalAttempts = "journal-attempts",
    /// Nothing follows below a step that has ended.
    JournalEnded = "journal-ended",
    /// The deadline of a wait is fixed by its first entry.
    WaitDeadline = "wait-deadline",
    /// Two waits of a run are given two events.
    EventTakenOnce = "event-taken-once",
    /// An approval is decided once.
    DecidedOnce = "decided-once",
    /// A decision is about what was shown.
    DecisionBound = "decision-bound",
    /// A decision comes in time.
    DecidedInTime = "decided-in-time",
    /// Nobody but a person approves.
    ApprovalByPerson = "approval-by-person",

    // --- the store
    /// Nothing is reserved on the strength of a balance from before something else was begun.
    SeenHolds = "seen-holds",
    /// What was reserved for a payment that failed before it was begun is not left to the next one of the same amount.
    ReservedReleased = "reserved-released",
    /// What has an end is not on its way any more.
    OpenEnds = "open-ends",
    /// What is forgotten after a time is not forgotten by a clock that is ahead.
    ForgottenBySeen = "forgotten-by-seen",
    /// Nobody hears of a write that is not committed.
    AnswerAfterCommit = "answer-after-commit",
    /// What was answered survives a loss of power.
    Synchronous = "synchronous",
    /// An event of one provider's id is admitted once.
    EventOnce = "event-once",
    /// An event that may have been pruned is not new.
    PrunedStays = "pruned-stays",
    /// One without a date is known for ever: nothing else would tell that it is old.
    UndatedKept = "undated-kept",
    /// By what was pruned of a thing, what is told of it later is still old news.
    RanksKept = "ranks-kept",
    /// One cause makes one run.
    CauseOnce = "cause-once",
    /// A run that would overlap with an open one of its concurrency key is not made, or waits for its turn.
    Overlap = "overlap",
    /// How far a provider's list of events was read is said only once it was read to its end.
    BackfillWhole = "backfill-whole",
    /// A mark in the future was made by a wrong clock: the provider's list of events is read from its beginning.
    BackfillClock = "backfill-clock",
    /// A slot keeps its name when a calendar is corrected.
    SlotName = "slot-name",
    /// Events are routed from where the last routing ended.
    RoutingCursor = "routing-cursor",
    /// What comes while a workflow does not load is its own when it does.
    BrokenWaits = "broken-waits",
    /// Unless it was taken away meanwhile: another one of its name begins anew.
    GoneForgotten = "gone-forgotten",
    /// Nothing is routed while nobody knows what workflows there are.
    UnknownWaits = "unknown-waits",
    /// Nor is what never loaded forgotten when nobody knows any more.
    BrokenStays = "broken-stays",
    /// A run that waits is woken by the events of its own resource.
    WakeSubject = "wake-subject",
    /// And by those of the types it waits for.
    WakeType = "wake-type",
    /// A run waits for what comes after the last event there is, not after one that was refused.
    MarkStored = "mark-stored",
    /// An event between looking and waiting is not lost.
    EventBetween = "event-between",
    /// Only who holds the lease writes.
    LeaseFence = "lease-fence",
    /// Each claim has a number of its own.
    FenceRises = "fence-rises",
    /// A run is not taken from its driver while the lease holds.
    LeaseHolds = "lease-holds",
    /// A journal is continued where it ends.
    JournalPosition = "journal-position",
    /// No intent is taken for a run whose end was asked for.
    CancelRefusesIntent = "cancel-refuses-intent",
    /// A run whose effect is open is not ended from outside.
    CancelOpenEffect = "cancel-open-effect",
    /// What a worker writes stands behind the answer that was given meanwhile.
    DecidedDriven = "decided-driven",
    /// What a turn may be ending for want of an answer is not answered any more.
    DecidedBeforeClaim = "decided-before-claim",
    /// Nothing is approved in a run that has ended, or is to.
    DecidedAlive = "decided-alive",
    /// A parked run in doubt is not ended by the way.
    DoubtStays = "doubt-stays",
    /// What was driven when the process ended is driven again.
    Reclaimed = "reclaimed",

    // --- webhooks
    /// What is told of a resource after something later in its life starts nothing, nor what is told a second time.
    OldNews = "old-news",
    /// A delivery is signed by the provider.
    Signature = "signature",
    /// And lately.
    SignatureAge = "signature-age",
    /// With a secret in its time.
    SecretValid = "secret-valid",
    /// From where its connection takes deliveries.
    SenderListed = "sender-listed",
    /// A body has a largest size.
    BodySize = "body-size",

    // --- policy, money, scripts
    /// Money moves only on connections the manifest names.
    PolicyUses = "policy-uses",
    /// Only more than nothing is moved.
    PolicyPositive = "policy-positive",
    /// A clearance is for exactly one request.
    ClearanceCovers = "clearance-covers",
    /// Two currencies never meet.
    OneCurrency = "one-currency",
    /// A half is rounded as named.
    RoundingMode = "rounding-mode",
    /// A division into parts keeps every unit.
    AllocateWhole = "allocate-whole",
    /// A sweep below the minimum does not happen.
    SweepMinimum = "sweep-minimum",
    /// What other runs have begun and nobody knows the end of is not moved again.
    OpenCounts = "open-counts",
    /// What the provider has taken and not said to have arrived is not filled up a second time.
    AcceptedCounts = "accepted-counts",
    /// A sweep moves whole multiples.
    SweepMultiple = "sweep-multiple",
    /// What is spoken for is not moved.
    SweepUsable = "sweep-usable",
    /// Nobody is served with what is not there.
    SweepFunded = "sweep-funded",
    /// No more is given back than is left.
    GiveBackLeft = "give-back-left",
    /// A part goes to an account that is there.
    SplitAccount = "split-account",
    /// What is sent back by a payment of its own is looked for first.
    SentBackOnce = "sent-back-once",
    /// What was sent back so is not returned as well.
    ReturnOrSendBack = "return-or-send-back",
    /// What has gone is not said to have failed because it cannot be looked at.
    PaidIsPaid = "paid-is-paid",
    /// And by one run at a time.
    Apart = "apart",
    /// Nor before what another one did and the store has forgotten can be shown.
    ApartRestored = "apart-restored",
    /// Nor because the wall clock was set ahead.
    ApartElapsed = "apart-elapsed",
    /// What was read in an earlier turn is looked at again before money goes out because of it.
    HoldsStill = "holds-still",
    /// What went back of a part before is no part of it any more.
    RefundParts = "refund-parts",
    /// Nothing is converted at a price that has lapsed.
    QuoteExpiry = "quote-expiry",
    /// Nothing is sold at a rate that slipped too far.
    ConvertSlippage = "convert-slippage",
    /// Nothing is sold that is not there.
    ConvertBalance = "convert-balance",
    /// A calendar is not asked about days it does not cover.
    CalendarCovers = "calendar-covers",
    /// Nothing runs after the cut-off of its day.
    CutOff = "cut-off",
    /// A fixed time that comes twice happens once.
    FirstPassOnly = "first-pass-only",
    /// A wall clock that jumped too far stops the schedules.
    ClockAstray = "clock-astray",
    /// So does one that shows hours less at the start than an earlier process has seen.
    ClockBehind = "clock-behind",
    /// And what comes to be known before it is known which time is right is new only then.
    ClockUnknown = "clock-unknown",
    /// Nor does a wait end by such a clock.
    WaitsForClock = "waits-for-clock",
    /// And nothing is sent while our clock is half a day from the provider's.
    ClocksTogether = "clocks-together",
    /// Runs that fail one after another stop theirs.
    FailuresPause = "failures-pause",
    /// Up to when slots are dealt with is kept beside their runs.
    SlotsSettled = "slots-settled",
    /// What a calendar does not know yet is not taken for dealt with.
    CalendarAwaited = "calendar-awaited",
    /// What may have moved into the first days of a calendar is not taken for nothing.
    MovedUnknown = "moved-unknown",
    /// Jitter does not reach the next slot.
    JitterBound = "jitter-bound",
    /// Operations of a script are counted.
    OperationsBudget = "operations-budget",
    /// Memory of a script is counted.
    MemoryBudget = "memory-budget",
    /// Computing time of a script is counted.
    ComputeBudget = "compute-budget",
}

/// Whether a guard holds: always, but for the one that a test has broken.
#[inline]
pub fn holds(guard: Guard) -> bool {
    #[cfg(any(feature = "broken-guards", debug_assertions))]
    return broken::guard() != Some(guard);
    #[cfg(not(any(feature = "broken-guards", debug_assertions)))]
    {
        let _ = guard;
        true
    }
}

#[cfg(any(feature = "broken-guards", debug_assertions))]
mod broken {
    use std::sync::OnceLock;

    use super::{Guard, VARIABLE};

    static BROKEN: OnceLock<Option<Guard>> = OnceLock::new();

    #[expect(
        clippy::disallowed_methods,
        reason = "only a test of the tests sets it, and only for its own child process"
    )]
    fn from_environment() -> Option<Guard> {
        let name = std::env::var(VARIABLE).ok()?;
        Guard::ALL.iter().copied().find(|guard| guard.name() == name)
    }

    pub(super) fn guard() -> Option<Guard> {
        *BROKEN.get_or_init(from_environment)
    }
}

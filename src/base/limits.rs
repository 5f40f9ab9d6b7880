//! Every hard limit of the product, in one place, each with its reason. Units are last in the name.
//!
//! A limit that a user may change is a setting and stands in `app::settings` with its default here.

use std::time::Duration;

use chrono::TimeDelta;

// --- webhooks -----------------------------------------------------------------------------------

/// A webhook body. Standard Webhooks advises senders to stay under 20 kB; ten times that is generous.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a sender may take for its header, and again for its body.
pub const WEBHOOK_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Webhook connections open at once; further ones wait in the kernel's queue.
pub const WEBHOOK_CONNECTIONS_MAX: usize = 1_024;

/// How long a whole request may take to arrive, however its parts are spread.
pub const WEBHOOK_TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one address at once.
pub const WEBHOOK_CONNECTIONS_PER_ADDRESS: u16 = 64;
/// Unsigned requests of one address in a minute, after which nothing large is read from it.
pub const WEBHOOK_UNSIGNED_PER_MINUTE: u32 = 20;
/// What is large then: hashing less costs no more than answering. Standard Webhooks advises senders to stay below.
pub const WEBHOOK_SMALL_BODY_BYTES: usize = 20_000;
/// Addresses whose refusals are counted at once.
pub const WEBHOOK_REFUSED_ADDRESSES_MAX: usize = 4_096;

// --- events -------------------------------------------------------------------------------------

/// Admitted events from which runs are made in one write.
pub const ROUTED_EVENTS_MAX: u32 = 256;
/// Their payloads together: a few of the largest webhooks.
pub const ROUTED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// With so many runs queued, making more at once helps nobody: what the store can do goes to acknowledgements first.
pub const QUEUED_RUNS_ENOUGH: u32 = 1_024;
/// How long events then wait before a batch of runs is made of them. Workers that end 20,000 runs in a second still find
/// work.
pub const ROUTING_PAUSE: Duration = Duration::from_millis(50);

// --- provider calls -----------------------------------------------------------------------------

/// Establishing a connection to a provider.
pub const PROVIDER_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One whole request to a provider. The client library has no limit of its own by default.
pub const PROVIDER_TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer of a provider; one hundred resources of a page stay far below.
pub const PROVIDER_REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Attempts of one step before it is parked or fails: with the default pauses, an outage of some minutes passes
/// unnoticed.
pub const STEP_ATTEMPTS_MAX: u32 = 16;
/// How long a step is tried in all: a payment of yesterday may not be wanted any more.
pub const STEP_TRIED_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The least pause a provider is taken at its word for.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// The longest a provider's `Retry-After` is believed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Pages of one list a script may walk in one call.
pub const PAGES_MAX: usize = 1_000;

/// How old a missed slot of a schedule may be to be made up for, in hours, unless its manifest says otherwise.
pub const CATCH_UP_HOURS: u16 = 24;
/// Missed slots of one schedule that are made up for at once, where each is to be.
pub const CATCH_UP_SLOTS_MAX: usize = 100;
/// The most a slot may be made to begin later than its time: longer would not be the same slot to whoever waits for it.
pub const JITTER_SECS_MAX: u16 = 3_600;
/// After how many runs in a row that failed the schedules of a workflow are paused that uses a connection.
pub const PAUSE_AFTER_FAILURES: u32 = 3;
/// The most a manifest may say: so many runs are looked at before each slot.
pub const PAUSE_AFTER_FAILURES_MAX: u32 = 50;
/// How far a reading of the provider's list of events goes back behind the beginning of the one before: no list shows
/// an event later than that.
pub const BACKFILL_OVERLAP: TimeDelta = TimeDelta::hours(1);
/// Pages after which a list of events is taken for endless, however many readings they took.
pub const LISTED_PAGES_MAX: usize = 100_000;
/// Events of one list held in memory until the oldest is known.
pub const BACKFILLED_EVENTS_MAX: usize = 20_000;

// --- scripts ------------------------------------------------------------------------------------

/// Interpreter operations in one turn: a second or two of pure computing.
pub const SCRIPT_OPERATIONS_MAX: u64 = 10_000_000;
/// Computing time of one turn, not counting the time its steps wait for the outside.
pub const SCRIPT_COMPUTE_MAX: Duration = Duration::from_secs(2);
/// Memory one turn may hold at once.
pub const SCRIPT_MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Nested calls; with the expression depth it decides how much stack a script can use.
pub const SCRIPT_CALL_LEVELS_MAX: usize = 32;
/// Nesting of expressions, for the main text and inside functions.
pub const SCRIPT_EXPRESSION_DEPTH_MAX: usize = 48;
/// Length of one text in a script, and the sum of the texts in one value.
pub const SCRIPT_TEXT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Items of one list.
pub const SCRIPT_LIST_ITEMS_MAX: usize = 20_000;
/// Keys of one map.
pub const SCRIPT_MAP_KEYS_MAX: usize = 10_000;
/// Stack of a script thread: virtual, only what is touched costs memory. A chain of 400,000 captured
/// closures, the longest the memory limit allows, is dropped recursively and must fit.
pub const SCRIPT_STACK_BYTES: usize = 256 * 1024 * 1024;
/// Arguments of one call. To find that a function does not exist, the interpreter tries what each argument could be.
pub const SCRIPT_ARGUMENTS_MAX: usize = 32;
/// The message of an error, in bytes: it goes to logs and terminals, and may quote what a script was given.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 2_000;
/// Branches of one `parallel` at once, if its script does not say.
pub const PARALLEL_BRANCHES: usize = 8;
/// The most it may say: a provider that is asked for more at once answers that it is too much.
pub const PARALLEL_BRANCHES_MAX: usize = 32;
/// `parallel` inside `parallel`: what is deeper is a loop that was meant otherwise.
pub const PARALLEL_DEPTH_MAX: usize = 3;
/// Threads of the process that help with branches. When all are busy, branches run on the thread of their run.
pub const BRANCH_THREADS_MAX: usize = 64;
/// How long such a thread is kept when it has nothing to do: its interpreter is some hundred kilobytes.
pub const BRANCH_THREAD_IDLE: Duration = Duration::from_secs(10);
/// Operations of one condition over an event: it has no loop.
pub const CONDITION_OPERATIONS_MAX: u64 = 10_000;
/// Its computing time.
pub const CONDITION_COMPUTE_MAX: Duration = Duration::from_millis(50);
/// Memory it may hold at once, beside the event itself.
pub const CONDITION_MEMORY_BYTES_MAX: usize = 1024 * 1024;
/// Its text.
pub const CONDITION_BYTES_MAX: usize = 8 * 1024;
/// Modules one workflow may import, directly and indirectly.
pub const SCRIPT_MODULES_MAX: usize = 64;
/// One script file.
pub const SCRIPT_SOURCE_BYTES_MAX: usize = 1024 * 1024;

// --- catalog ------------------------------------------------------------------------------------

/// One manifest. The longest sensible one stays under a tenth of this.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// A calendar from a file; twenty years of holidays stay far below.
pub const CALENDAR_BYTES_MAX: usize = 1024 * 1024;
/// Files in one folder of the catalog; more is a folder that is not meant for it.
pub const CATALOG_FILES_MAX: usize = 10_000;

// --- journal ------------------------------------------------------------------------------------

/// Steps of one run. A run replays from the top, so its journal has to stay readable in milliseconds.
pub const RUN_STEPS_MAX: usize = 100_000;
/// What one run may record in all: it is held in memory while the run is driven, and read whenever it goes on.
pub const RUN_JOURNAL_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The line about one step that people read; also a line that a script logs.
pub const STEP_SUMMARY_BYTES_MAX: usize = 16 * 1024;
/// The name of a value that a workflow keeps between runs.
pub const STATE_KEY_BYTES_MAX: usize = 256;
/// One recorded value, as JSON.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Nesting of a value that crosses between script, journal and provider.
pub const VALUE_DEPTH_MAX: usize = 64;

// --- store --------------------------------------------------------------------------------------

/// Writes that share one commit at most.
pub const GROUP_COMMIT_WRITES_MAX: usize = 512;
/// A lease that is not renewed for this long may be taken over.
pub const LEASE_DURATION: Duration = Duration::from_secs(30);

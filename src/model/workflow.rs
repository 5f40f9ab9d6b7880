//! Workflows: a manifest and its scripts, checked; and the versions that runs are pinned to.
//!
//! Plain data. Reading files and reporting what is wrong with them is `catalog`'s.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::calendar::{Business, Calendar, Calendars, Dated, Format, UnknownCalendar};
use super::concurrency::{ConcurrencySpec, Overlap};
use super::event::{Condition, Event};
use crate::base::ids::Digest;

/// The version of what this program offers scripts; part of every version's digest, raised when the
/// meaning of a primitive changes so that journals written before would not replay.
pub const HOST_VERSION: &str = "1";

/// A workflow as loaded: what new runs use.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Its name, unique in the catalog.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// What starts it.
    pub triggers: Vec<Trigger>,
    /// Which of its runs must not overlap.
    pub concurrency: Option<ConcurrencySpec>,
    /// Connections its script may name.
    pub uses: Vec<String>,
    /// Constants of the script, in plain JSON: a map.
    pub params: Json,
    /// What its runs will be pinned to.
    pub version: Version,
}

/// What starts runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// A verified event of a connection.
    Webhook {
        /// The connection.
        connection: String,
        /// Types that count.
        events: Vec<String>,
        /// Further conditions.
        when: Condition,
    },
    /// A schedule.
    Cron(CronSpec),
}

/// A schedule as a manifest has it. Expression and zone name it: two of one workflow differ in one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronSpec {
    /// The expression as written in the manifest.
    pub schedule: String,
    /// An IANA zone.
    pub timezone: String,
    /// What to do about slots that passed while nothing was running.
    pub catch_up: CatchUp,
    /// How old such a slot may be at most, in hours.
    pub catch_up_hours: u16,
    /// What becomes of a slot while the run of an earlier one is open.
    pub overlap: Overlap,
    /// What business days have to do with it, if anything.
    pub business: Option<Business>,
    /// How much later than its time a slot may begin, if not at once.
    pub jitter: Option<Jitter>,
    /// After how many runs in a row that failed the schedules of the workflow are paused; never if it is zero.
    pub pause_after_failures: u32,
}

/// Spreads the slots of schedules that name the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jitter {
    /// The most a slot begins later, in seconds.
    pub most_secs: u16,
    /// Whose slots: another workflow with the same schedule begins at another time.
    pub workflow: String,
}

impl Trigger {
    /// The condition under which an event starts a run by this trigger; nothing if it is none of its events.
    pub fn condition_for(&self, event: &Event) -> Option<&Condition> {
        match self {
            Self::Webhook {
                connection,
                events,
                when,
            } => (*connection == event.connection && events.contains(&event.kind)).then_some(when),
            Self::Cron(_) => None,
        }
    }
}

/// What to do about missed slots of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// Nothing.
    None,
    /// Run the latest one that is not too old.
    #[default]
    Latest,
    /// Run each that is not too old, unless there are too many.
    All,
}

impl CatchUp {
    /// Every choice with its name in manifests.
    pub const ALL: [(&'static str, Self); 3] = [("none", Self::None), ("latest", Self::Latest), ("all", Self::All)];
}

/// One script file of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// How imports and error messages name it: `nightly_sweep.rhai`, `lib/sellers.rhai`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Where the calendars among the sources of a version stand.
pub const CALENDARS: &str = "calendars/";

impl Source {
    /// Whether it is a calendar: no script is called `.toml` or `.ics`.
    pub fn is_calendar(&self) -> bool {
        self.path.strip_prefix(CALENDARS).and_then(Format::of_file).is_some()
    }
}

/// One exact pair of manifest and scripts, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The name of all that follows.
    pub digest: Digest,
    /// The workflow's name.
    pub workflow: String,
    /// The manifest's text.
    pub manifest: String,
    /// Connections its script may name.
    pub uses: Vec<String>,
    /// The main script first, then its imports in order of path, then the calendars from files that it names.
    pub sources: Vec<Source>,
}

impl Version {
    /// The version of these texts; the first source is the main script.
    pub fn new(workflow: String, manifest: String, uses: Vec<String>, sources: Vec<Source>) -> Self {
        let mut parts: Vec<&[u8]> = vec![HOST_VERSION.as_bytes(), workflow.as_bytes(), manifest.as_bytes()];
        for source in &sources {
            parts.push(source.path.as_bytes());
            parts.push(source.text.as_bytes());
        }
        let digest = Digest::of(parts);
        Self {
            digest,
            workflow,
            manifest,
            uses,
            sources,
        }
    }

    /// The main script.
    pub fn main(&self) -> Option<&Source> {
        self.sources.first()
    }

    /// The main script and its imports.
    pub fn scripts(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| !source.is_calendar())
    }

    /// The calendar of a name, or of several joined, as this version has it: built in, or from a file as it was
    /// when the version was made.
    ///
    /// # Errors
    /// There is none of that name among them.
    pub fn calendar(&self, name: &str) -> Result<Calendar, UnknownCalendar> {
        let mut calendars = Calendars::default();
        for source in self.sources.iter().filter(|source| source.is_calendar()) {
            let Some((format, stem)) = source.path.strip_prefix(CALENDARS).and_then(Format::of_file) else {
                continue;
            };
            // Only what was read without a finding became part of the version.
            if name.contains(stem)
                && let Ok(dated) = Dated::parse(format, &source.path, stem, &source.text)
            {
                calendars.add(dated);
            }
        }
        calendars.find(name)
    }
}

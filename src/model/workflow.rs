//! Workflows: a manifest and its scripts, checked; and the versions that runs are pinned to.
//!
//! Plain data. Reading files and reporting what is wrong with them is `catalog`'s.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::event::{Event, Matching};
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
    /// Connections its script may name.
    pub uses: Vec<String>,
    /// Constants of the script, in plain JSON: a map.
    pub params: Json,
    /// What its runs will be pinned to.
    pub version: Version,
}

/// What starts runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Trigger {
    /// A verified event of a connection.
    Webhook {
        /// The connection.
        connection: String,
        /// Types that count.
        events: Vec<String>,
        /// Further conditions.
        when: Matching,
    },
    /// A schedule.
    Cron {
        /// The expression as written in the manifest.
        schedule: String,
        /// An IANA zone.
        timezone: String,
        /// What to do about slots that passed while nothing was running.
        catch_up: CatchUp,
    },
}

impl Trigger {
    /// Whether this event starts a run by this trigger.
    pub fn accepts(&self, event: &Event) -> bool {
        match self {
            Self::Webhook {
                connection,
                events,
                when,
            } => *connection == event.connection && events.contains(&event.kind) && when.accepts(event),
            Self::Cron { .. } => false,
        }
    }
}

/// What to do about missed slots of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// Nothing.
    None,
    /// Run the latest one, if it is less than 24 hours old.
    #[default]
    Latest,
}

impl CatchUp {
    /// Every choice with its name in manifests.
    pub const ALL: [(&'static str, Self); 2] = [("none", Self::None), ("latest", Self::Latest)];
}

/// One script file of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// How imports and error messages name it: `nightly_sweep.rhai`, `lib/sellers.rhai`.
    pub path: String,
    /// Its text.
    pub text: String,
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
    /// The main script first, then its imports in order of path.
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
}

//! The set of workflows that new runs use, and how the next one is made from it.
//!
//! Plain data. It must not read files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::load::Loaded;
use crate::base::guard::{Guard, holds};
use crate::model::diagnostic::Diagnostic;
use crate::model::workflow::Workflow;

/// The loaded workflows, and what is wrong with the files at this moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Workflows by name.
    pub workflows: BTreeMap<String, Arc<Workflow>>,
    /// Workflows above whose files are broken now: they stand as they last loaded.
    pub outdated: BTreeSet<String>,
    /// Workflows that are there, but whose files are broken and never loaded; or were when that was last known.
    pub broken: BTreeSet<String>,
    /// Whether the folder of manifests cannot be listed now: there may be others than these.
    pub unknown: bool,
    /// Findings by file, in the order of the file; warnings too.
    pub problems: BTreeMap<String, Vec<Diagnostic>>,
    /// Rises with every snapshot that differs from the one before.
    pub generation: u64,
}

impl Snapshot {
    /// The snapshot that follows: what loaded is taken, what did not keeps its last good version, and what
    /// is no longer there is gone. The generation rises if anything differs.
    #[must_use]
    pub fn next(previous: &Self, loaded: Loaded) -> Self {
        let mut workflows = loaded.workflows;
        let mut outdated = BTreeSet::new();
        for (name, before) in &previous.workflows {
            let broken = loaded.all_unknown || loaded.broken.contains(name);
            if broken && !workflows.contains_key(name) {
                workflows.insert(name.clone(), Arc::clone(before));
                outdated.insert(name.clone());
            }
        }
        let mut broken = loaded.broken;
        if loaded.all_unknown && holds(Guard::BrokenStays) {
            broken.extend(previous.broken.iter().cloned());
        }
        broken.retain(|name| !workflows.contains_key(name));
        let mut problems: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
        for diagnostic in loaded.diagnostics {
            problems.entry(diagnostic.file.clone()).or_default().push(diagnostic);
        }
        let mut next = Self {
            workflows,
            outdated,
            broken,
            unknown: loaded.all_unknown,
            problems,
            generation: previous.generation,
        };
        if next != *previous {
            next.generation += 1;
        }
        next
    }

    /// The workflow of this name.
    pub fn workflow(&self, name: &str) -> Option<&Arc<Workflow>> {
        self.workflows.get(name)
    }

    /// Whether any file has an error, not only warnings.
    pub fn has_errors(&self) -> bool {
        self.diagnostics().any(Diagnostic::is_error)
    }

    /// Every finding, file by file.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.problems.values().flatten()
    }
}

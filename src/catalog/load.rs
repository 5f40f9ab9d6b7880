//! Loading: both folders become workflows and findings, every file judged by itself.
//!
//! It must not keep anything between two loads; what an earlier load found good is `snapshot`'s to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fields::did_you_mean;
use super::files::{Files, Folders};
use super::manifest::{CheckSchedule, ConnectionFacts, Facts, Manifest, declared_name, read_manifest};
use crate::base::limits::SCRIPT_STACK_BYTES;
use crate::model::calendar::{Calendars, Dated, Format};
use crate::model::diagnostic::{Diagnostic, Span};
use crate::model::workflow::{CALENDARS, Source, Trigger, Version, Workflow};
use crate::script::{Surface, check, snapshot};

/// What a script may call, given the connections its manifest uses. The names of its parameters are added here.
pub type SurfaceOf = dyn Fn(&[String]) -> Surface + Send + Sync;

/// What files are checked against: settled when the program starts.
pub struct Context {
    /// The configured connections by name.
    pub connections: BTreeMap<String, ConnectionFacts>,
    /// Whether a schedule in a zone is one.
    pub check_schedule: Box<CheckSchedule>,
    /// What scripts may call.
    pub surface_of: Box<SurfaceOf>,
}

/// What stands in the folders, judged.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The workflows without an error.
    pub workflows: BTreeMap<String, Arc<Workflow>>,
    /// The names of manifests that are there and have an error, in themselves or in a script.
    pub broken: BTreeSet<String>,
    /// Whether the folder of manifests could not even be listed.
    pub all_unknown: bool,
    /// Everything found, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The calendars there are.
    pub calendars: Calendars,
}

/// Reads and judges both folders. Blocks until that is done.
pub fn load(folders: &Folders, context: &Context) -> Loaded {
    judge(&folders.read(), folders, context)
}

/// Judges files that were read.
///
/// On a thread of its own: whoever calls this has a stack of ordinary size, and parsing a hostile script may
/// need more.
pub(super) fn judge(files: &Files, folders: &Folders, context: &Context) -> Loaded {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("catalog-check".to_owned())
            .stack_size(SCRIPT_STACK_BYTES)
            .spawn_scoped(scope, || judge_here(files, folders, context));
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(problem) => Loaded {
                all_unknown: true,
                diagnostics: vec![Diagnostic::error(
                    "file",
                    folders.shown_script(""),
                    format!("cannot be checked: no thread for it: {problem}"),
                )],
                ..Loaded::default()
            },
        }
    })
}

fn judge_here(files: &Files, folders: &Folders, context: &Context) -> Loaded {
    let mut loading = Loading {
        files,
        folders,
        context,
        calendars: Calendars::default(),
        used: BTreeSet::new(),
        loaded: Loaded {
            all_unknown: files.manifests_unknown,
            diagnostics: files.findings.clone(),
            ..Loaded::default()
        },
    };
    for path in files.calendars.keys() {
        loading.calendar(path);
    }
    for path in files.manifests.keys() {
        loading.manifest(path);
    }
    loading.warn_of_duplicate_names();
    loading.warn_of_orphans();
    let mut loaded = loading.loaded;
    loaded.calendars = loading.calendars;
    loaded
        .diagnostics
        .sort_by(|left, right| (&left.file, left.span, left.severity).cmp(&(&right.file, right.span, right.severity)));
    // A module that several workflows import is judged with each of them.
    loaded.diagnostics.dedup();
    loaded
}

struct Loading<'a> {
    files: &'a Files,
    folders: &'a Folders,
    context: &'a Context,
    calendars: Calendars,
    /// Scripts that some manifest names or that were imported.
    used: BTreeSet<String>,
    loaded: Loaded,
}

impl Loading<'_> {
    fn calendar(&mut self, path: &str) {
        let (Some(file), Some((format, stem))) = (self.files.calendars.get(path), Format::of_file(path)) else {
            return;
        };
        let read = match &file.text {
            Ok(_) if self.calendars.has_file(stem) => {
                let message = format!("there are two files for the calendar `{stem}`");
                Err(vec![
                    Diagnostic::error("calendar", &file.shown, message).at(Span::START),
                ])
            }
            Ok(text) => Dated::parse(format, &file.shown, stem, text),
            Err(problem) => Err(vec![(**problem).clone()]),
        };
        match read {
            Ok(dated) => self.calendars.add(dated),
            Err(found) => {
                self.loaded.diagnostics.extend(found);
                self.calendars.add_broken(stem.to_owned());
            }
        }
    }

    fn manifest(&mut self, path: &str) {
        let name = path.trim_end_matches(".toml").to_owned();
        match self.workflow(path, &name) {
            Some(workflow) => {
                self.loaded.workflows.insert(name, Arc::new(workflow));
            }
            None => {
                self.loaded.broken.insert(name);
            }
        }
    }

    /// The workflow of a manifest, if nothing is wrong with it or its scripts; else what is, is reported.
    fn workflow(&mut self, path: &str, stem: &str) -> Option<Workflow> {
        let file = self.files.manifests.get(path)?;
        let text = match &file.text {
            Ok(text) => text,
            Err(problem) => {
                self.loaded.diagnostics.push((**problem).clone());
                return None;
            }
        };
        let facts = Facts {
            connections: &self.context.connections,
            check_schedule: &*self.context.check_schedule,
            calendars: &self.calendars,
        };
        let (manifest, found) = read_manifest(&file.shown, stem, text, &facts);
        let sound = !found.iter().any(Diagnostic::is_error);
        self.loaded.diagnostics.extend(found);
        let manifest = manifest?;
        // Checked even if the manifest is wrong elsewhere: all that is wrong is told at once.
        let mut sources = self.sources(&file.shown, &manifest).filter(|_| sound)?;
        sources.extend(self.calendars_of(text, &manifest, &sources));
        let Manifest {
            name,
            summary,
            uses,
            triggers,
            concurrency,
            params,
            ..
        } = manifest;
        let version = Version::new(name.clone(), text.clone(), uses.clone(), sources);
        Some(Workflow {
            name,
            summary,
            triggers,
            concurrency,
            uses,
            params,
            version,
        })
    }

    /// The calendars from files that its runs may ask: those its triggers have, and those whose name stands as a
    /// text in the manifest or in a script. Runs are pinned to them as they are to the scripts.
    fn calendars_of(&self, text: &str, manifest: &Manifest, sources: &[Source]) -> Vec<Source> {
        let scheduled = manifest.triggers.iter().filter_map(|trigger| match trigger {
            Trigger::Cron(spec) => Some(&spec.business.as_ref()?.calendar),
            Trigger::Webhook { .. } => None,
        });
        let scheduled: BTreeSet<&str> = scheduled
            .flat_map(|calendar| calendar.files().map(Dated::name))
            .collect();
        let is_named = |stem: &str| {
            let texts = sources.iter().map(|source| source.text.as_str());
            scheduled.contains(stem) || texts.chain([text]).any(|text| text.contains(stem))
        };
        let files = self.files.calendars.iter();
        files
            .filter_map(|(path, file)| {
                let (_, stem) = Format::of_file(path)?;
                let usable = self.calendars.names().any(|name| name == stem);
                (usable && is_named(stem)).then_some(Source {
                    path: format!("{CALENDARS}{path}"),
                    text: file.text.as_ref().ok()?.clone(),
                })
            })
            .collect()
    }

    /// The main script with all it imports, if nothing is wrong with any of them.
    fn sources(&mut self, manifest_file: &str, manifest: &Manifest) -> Option<Vec<Source>> {
        let Some(file) = self.files.scripts.get(&manifest.script) else {
            let message = format!("there is no script `{}`", manifest.script);
            let mut finding = Diagnostic::error("manifest", manifest_file, message).at(manifest.script_span);
            finding.help = did_you_mean(&manifest.script, self.files.scripts.keys());
            self.loaded.diagnostics.push(finding);
            return None;
        };
        self.used.insert(manifest.script.clone());
        let text = match &file.text {
            Ok(text) => text.clone(),
            Err(problem) => {
                self.loaded.diagnostics.push((**problem).clone());
                return None;
            }
        };
        let main = Source {
            path: manifest.script.clone(),
            text,
        };
        let mut refused = Refused::default();
        let (files, used) = (self.files, &mut self.used);
        let imports = snapshot(main, &mut |path| {
            // Only what was listed can be imported: no path leads out of the folder.
            match files.scripts.get(path).map(|file| &file.text) {
                Some(Ok(text)) => {
                    used.insert(path.to_owned());
                    Some(text.clone())
                }
                Some(Err(problem)) => {
                    refused.unreadable.push((path.to_owned(), (**problem).clone()));
                    None
                }
                None => {
                    refused.missing.push(path.to_owned());
                    None
                }
            }
        });
        let (sources, found) = match imports {
            Ok(sources) => {
                let mut surface = (self.context.surface_of)(&manifest.uses);
                surface.params = manifest
                    .params
                    .as_object()
                    .map(|params| params.keys().cloned().collect());
                surface.calendars = Some(self.calendars.names().map(str::to_owned).collect());
                let found = check(&sources, &surface);
                (Some(sources), found)
            }
            Err(found) => (None, refused.explain(found, files)),
        };
        let sound = !found.iter().any(Diagnostic::is_error);
        for mut finding in found {
            finding.file = self.folders.shown_script(&finding.file);
            self.loaded.diagnostics.push(finding);
        }
        let unreadable = refused.unreadable.into_iter().map(|(_, problem)| problem);
        self.loaded.diagnostics.extend(unreadable);
        sources.filter(|_| sound)
    }

    /// Two manifests that give themselves one name: one of them was copied and not renamed.
    fn warn_of_duplicate_names(&mut self) {
        let mut first: BTreeMap<String, &str> = BTreeMap::new();
        for file in self.files.manifests.values() {
            let Some((name, place)) = file.text.as_ref().ok().and_then(|text| declared_name(text)) else {
                continue;
            };
            if let Some(earlier) = first.insert(name.clone(), &file.shown) {
                let message = format!("`{name}` is the name of two manifests");
                let finding = Diagnostic::warning("duplicate-name", &file.shown, message).at(place);
                self.loaded
                    .diagnostics
                    .push(finding.help(format!("the other one is {earlier}")));
            }
        }
    }

    /// Scripts nothing uses. Silent while a workflow is broken: its imports may not be known.
    fn warn_of_orphans(&mut self) {
        if !self.loaded.broken.is_empty() || self.loaded.all_unknown {
            return;
        }
        for (path, file) in &self.files.scripts {
            if !self.used.contains(path) {
                let finding = Diagnostic::warning("orphan-script", &file.shown, "no workflow uses this script");
                self.loaded.diagnostics.push(
                    finding
                        .at(Span::START)
                        .help("name it in a manifest or import it, or remove it"),
                );
            }
        }
    }
}

/// Imports for which there is no text.
#[derive(Default)]
struct Refused {
    missing: Vec<String>,
    unreadable: Vec<(String, Diagnostic)>,
}

impl Refused {
    /// Names the script that was probably meant, and leaves to the file itself what is wrong with it.
    fn explain(&self, found: Vec<Diagnostic>, files: &Files) -> Vec<Diagnostic> {
        let names = |finding: &Diagnostic, path: &str| finding.message.contains(&format!("`{path}`"));
        found
            .into_iter()
            .filter(|finding| !self.unreadable.iter().any(|(path, _)| names(finding, path)))
            .map(|mut finding| {
                if let Some(path) = self.missing.iter().find(|path| names(&finding, path)) {
                    // As an import writes it.
                    let bare = |path: &str| path.trim_end_matches(".rhai").to_owned();
                    let known = files.scripts.keys().map(|known| bare(known));
                    finding.help = finding.help.or_else(|| did_you_mean(&bare(path), known));
                }
                finding
            })
            .collect()
    }
}

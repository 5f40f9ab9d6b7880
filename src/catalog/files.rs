//! The folders of the user as they stand on disk at one moment.
//!
//! Each file is read once for each load, so that all checks see the same text. It must not know what stands
//! in the files; whatever cannot be read is a finding, never a failure of the whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::base::ids::Digest;
use crate::base::limits::{CALENDAR_BYTES_MAX, CATALOG_FILES_MAX, MANIFEST_BYTES_MAX, SCRIPT_SOURCE_BYTES_MAX};
use crate::model::calendar::Format;
use crate::model::diagnostic::{Diagnostic, Span};

/// Levels of folders below the folder of scripts; more is a loop of links.
const FOLDER_DEPTH_MAX: usize = 8;

/// Where the user keeps workflows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Manifests, one TOML file each, directly in it.
    pub workflows: PathBuf,
    /// Scripts, also in folders below it.
    pub scripts: PathBuf,
    /// Calendars, one TOML or iCalendar file each, directly in it. It need not exist.
    pub calendars: PathBuf,
}

/// One file, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Its name in messages: `workflows/nightly-sweep.toml`.
    pub(super) shown: String,
    /// Its text, or why there is none.
    pub(super) text: Result<String, Box<Diagnostic>>,
}

/// What stands in the folders, by path below each.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) manifests: BTreeMap<String, File>,
    pub(super) scripts: BTreeMap<String, File>,
    pub(super) calendars: BTreeMap<String, File>,
    /// Whether the folder of manifests could not be listed: then nothing is known, not even what was removed.
    pub(super) manifests_unknown: bool,
    pub(super) findings: Vec<Diagnostic>,
}

impl Folders {
    /// Reads everything that looks like a manifest or a script.
    pub(super) fn read(&self) -> Files {
        let mut files = Files::default();
        let (workflows, scripts) = (shown_name(&self.workflows), shown_name(&self.scripts));

        match list(&self.workflows, 0) {
            Ok(paths) => {
                for path in paths {
                    if path.ends_with(".toml") {
                        let file = read_file(&self.workflows, &workflows, &path, MANIFEST_BYTES_MAX);
                        files.manifests.insert(path, file);
                    } else if path.ends_with(".rhai") {
                        files.findings.push(misplaced(&workflows, &path, "a script", &scripts));
                    }
                }
            }
            Err(problem) => {
                files.manifests_unknown = true;
                files.findings.push(unlisted(&self.workflows, &workflows, &problem));
            }
        }
        match list(&self.scripts, FOLDER_DEPTH_MAX) {
            Ok(paths) => {
                for path in paths {
                    if path.ends_with(".rhai") {
                        let file = read_file(&self.scripts, &scripts, &path, SCRIPT_SOURCE_BYTES_MAX);
                        files.scripts.insert(path, file);
                    } else if path.ends_with(".toml") {
                        files
                            .findings
                            .push(misplaced(&scripts, &path, "a manifest", &workflows));
                    }
                }
            }
            Err(problem) => files.findings.push(unlisted(&self.scripts, &scripts, &problem)),
        }
        self.read_calendars(&mut files);
        files
    }

    fn read_calendars(&self, files: &mut Files) {
        let calendars = shown_name(&self.calendars);
        match list(&self.calendars, 0) {
            Ok(paths) => {
                for path in paths.into_iter().filter(|path| Format::of_file(path).is_some()) {
                    let file = read_file(&self.calendars, &calendars, &path, CALENDAR_BYTES_MAX);
                    files.calendars.insert(path, file);
                }
            }
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => {}
            Err(problem) => files.findings.push(unlisted(&self.calendars, &calendars, &problem)),
        }
    }

    /// How messages name a script of this path.
    pub(super) fn shown_script(&self, path: &str) -> String {
        format!("{}/{path}", shown_name(&self.scripts))
    }
}

impl Files {
    /// The digest of everything that was read or could not be.
    pub(super) fn digest(&self) -> Digest {
        let mut parts: Vec<&[u8]> = Vec::new();
        let all = self.manifests.values().chain(self.scripts.values());
        for file in all.chain(self.calendars.values()) {
            parts.push(file.shown.as_bytes());
            match &file.text {
                Ok(text) => parts.extend([b"text".as_slice(), text.as_bytes()]),
                Err(problem) => parts.extend([b"none".as_slice(), problem.message.as_bytes()]),
            }
        }
        for finding in &self.findings {
            parts.extend([finding.file.as_bytes(), finding.message.as_bytes()]);
        }
        Digest::of(parts)
    }
}

fn shown_name(folder: &Path) -> String {
    folder.file_name().map_or_else(
        || folder.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn misplaced(folder: &str, path: &str, what: &str, home: &str) -> Diagnostic {
    Diagnostic::warning(
        "misplaced-file",
        format!("{folder}/{path}"),
        format!("{what} in the folder `{folder}` is not used"),
    )
    .at(Span::START)
    .help(format!("move it to `{home}`"))
}

fn unlisted(folder: &Path, shown: &str, problem: &io::Error) -> Diagnostic {
    Diagnostic::error("file", shown, format!("the folder cannot be read: {}", told(problem)))
        .help(format!("looked for {}", folder.display()))
}

/// The paths of the visible files in a folder and, to this depth, below it; sorted, with `/` between.
fn list(folder: &Path, depth: usize) -> io::Result<Vec<String>> {
    let mut paths = Vec::new();
    list_into(folder, "", depth, &mut paths)?;
    paths.sort();
    Ok(paths)
}

fn list_into(folder: &Path, prefix: &str, depth: usize, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A name that is no text cannot be written in a manifest either.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Hidden files are an editor's or a mounted volume's own.
        if name.starts_with('.') {
            continue;
        }
        // Refused as a whole: a list cut short would look as if workflows had been removed.
        if paths.len() >= CATALOG_FILES_MAX {
            return Err(io::Error::other(format!(
                "it holds more than {CATALOG_FILES_MAX} files"
            )));
        }
        let path = format!("{prefix}{name}");
        // Links are followed: mounted configuration is made of them.
        if entry.path().is_dir() {
            if depth > 0 {
                list_into(&entry.path(), &format!("{path}/"), depth - 1, paths)?;
            }
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn read_file(folder: &Path, shown_folder: &str, path: &str, bytes_max: usize) -> File {
    let shown = format!("{shown_folder}/{path}");
    let text = read_text(&folder.join(path), &shown, bytes_max);
    File { shown, text }
}

fn read_text(path: &Path, shown: &str, bytes_max: usize) -> Result<String, Box<Diagnostic>> {
    let finding = |message: &str| Box::new(Diagnostic::error("file", shown, message));
    let unread = |problem: io::Error| finding(&format!("cannot be read: {}", told(&problem)));
    // Asked before opening: a pipe would keep the reader waiting for ever.
    if !fs::metadata(path).map_err(unread)?.is_file() {
        return Err(finding("is not a regular file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let file = fs::File::open(path).map_err(unread)?;
    file.take(limit).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() > bytes_max {
        return Err(finding(&format!("is longer than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|problem| {
        let valid = problem.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(problem.as_bytes());
        Box::new(finding("the file is not UTF-8 text").at(Span::of_bytes(&text, &(valid..valid))))
    })
}

/// What went wrong, without the number of the system's error.
fn told(problem: &io::Error) -> String {
    let text = problem.to_string().to_lowercase();
    text.split_once(" (os error")
        .map_or(text.clone(), |(told, _)| told.to_owned())
}

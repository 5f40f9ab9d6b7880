//! Every connector there is: those that come with this program, and the user's own.
//!
//! The built-in tables are part of the program and were checked by its tests; a local one is a way to move
//! money that no one else reviewed, and says so wherever it is shown.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::table::Connector;
use crate::model::diagnostic::Diagnostic;

/// The built-in tables: file and text. One line for each provider.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("augustus.toml", include_str!("providers/augustus.toml")),
    ("ivy.toml", include_str!("providers/ivy.toml")),
    ("payments.toml", include_str!("providers/payments.toml")),
    ("payaut.toml", include_str!("providers/payaut.toml")),
];

static BUILT_IN: LazyLock<BTreeMap<String, Arc<Connector>>> = LazyLock::new(|| {
    EMBEDDED
        .iter()
        .map(|(file, text)| {
            let connector = Connector::parse(file, text).expect("the built-in tables are checked by the tests");
            (connector.name.clone(), Arc::new(connector))
        })
        .collect()
});

/// Connectors by name.
#[derive(Debug, Clone)]
pub struct Registry {
    connectors: BTreeMap<String, Arc<Connector>>,
}

impl Registry {
    /// The built-in connectors alone.
    pub fn built_in() -> Self {
        Self {
            connectors: BUILT_IN.clone(),
        }
    }

    /// The built-in connectors and those of this folder, with everything wrong with the latter. A wrong
    /// table is left out; the others are there.
    pub fn with_local(folder: &Path) -> (Self, Vec<Diagnostic>) {
        let mut registry = Self::built_in();
        let (connectors, mut wrong) = local(folder);
        for connector in connectors {
            let name = connector.name.clone();
            match registry.connectors.entry(name) {
                Entry::Vacant(free) => {
                    free.insert(Arc::new(connector));
                }
                Entry::Occupied(taken) => {
                    let name = taken.key();
                    let message = format!("there is a connector `{name}` already");
                    let finding = Diagnostic::error("connector", format!("connectors/{name}.toml"), message);
                    wrong.push(finding.help("give the file and its `name` another name"));
                }
            }
        }
        (registry, wrong)
    }

    /// A connector by name.
    pub fn get(&self, name: &str) -> Option<&Arc<Connector>> {
        self.connectors.get(name)
    }

    /// Every connector, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Connector>> {
        self.connectors.values()
    }

    /// Every name, for "did you mean".
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.connectors.keys().map(String::as_str)
    }
}

/// The tables `*.toml` of a folder, in order of name, and everything that is wrong with the others. A folder
/// that is not there holds none.
pub fn local(folder: &Path) -> (Vec<Connector>, Vec<Diagnostic>) {
    let mut connectors = Vec::new();
    let mut wrong = Vec::new();
    let listed = fs::read_dir(folder).and_then(|entries| {
        let paths = entries.map(|entry| Ok(entry?.path()));
        paths.collect::<Result<Vec<_>, std::io::Error>>()
    });
    let mut paths = match listed {
        Ok(paths) => paths,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let message = format!("cannot read the folder: {error}");
            wrong.push(Diagnostic::error("connector", folder.display().to_string(), message));
            Vec::new()
        }
    };
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    for path in paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = format!("connectors/{stem}.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                wrong.push(Diagnostic::error("connector", file, format!("cannot be read: {error}")));
                continue;
            }
        };
        match Connector::parse(&file, &text) {
            Ok(connector) if connector.name != stem => {
                let message = format!("the file is named `{stem}`, its connector `{}`", connector.name);
                wrong.push(Diagnostic::error("connector", file, message).help("give both the same name"));
            }
            Ok(mut connector) => {
                connector.local = true;
                connectors.push(connector);
            }
            Err(findings) => wrong.extend(findings),
        }
    }
    (connectors, wrong)
}

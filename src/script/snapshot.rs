//! Snapshots: a main script together with everything it imports, collected before anything runs.
//!
//! Only literal imports can be collected, so only those exist. A file with a syntax error is taken in as it
//! is: `check` reports it together with all else. This file reads no folder; it asks for texts.

use std::collections::BTreeMap;

use rhai::{ASTNode, Expr, Stmt};

use super::program::file_of;
use super::sandbox;
use crate::base::limits::{SCRIPT_MODULES_MAX, SCRIPT_SOURCE_BYTES_MAX};
use crate::model::diagnostic::{Diagnostic, Span};
use crate::model::workflow::Source;

/// The literal imports of one script, in written order: what stands between the quotes, and where.
///
/// # Errors
/// A syntax error, or imports that are not literal.
pub fn literal_imports(source: &Source) -> Result<Vec<(String, Span)>, Vec<Diagnostic>> {
    let ast = sandbox::parser()
        .compile(&source.text)
        .map_err(|error| vec![super::check::syntax_error(source, &error)])?;
    let mut imports = Vec::new();
    let mut findings = Vec::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, at))) = path.last() {
            match &import.0 {
                Expr::StringConstant(name, at) => {
                    imports.push((name.to_string(), super::check::span(*at, name.chars().count() + 2)));
                }
                _ => findings.push(
                    Diagnostic::error(
                        "import-not-literal",
                        source.path.as_str(),
                        "an import names its file literally",
                    )
                    .at(super::check::span(*at, "import".len()))
                    .help("write the path as plain text: import \"lib/sellers\" as sellers;"),
                ),
            }
        }
        true
    });
    if findings.is_empty() {
        Ok(imports)
    } else {
        Err(findings)
    }
}

/// Why this cannot be the path of an import, if it cannot.
fn improper(import: &str) -> Option<&'static str> {
    if import.starts_with('/') || import.contains(['\\', ':', '\0']) {
        Some("paths start at the folder of the scripts: \"lib/sellers\"")
    } else if import.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        Some("a path cannot leave the folder of the scripts or name hidden files")
    } else if import.ends_with(".rhai") {
        Some("leave out the ending `.rhai`")
    } else {
        None
    }
}

struct Collecting<'a> {
    load: &'a mut dyn FnMut(&str) -> Option<String>,
    sources: BTreeMap<String, Source>,
    /// The files between the main script and the one at hand.
    chain: Vec<String>,
    findings: Vec<Diagnostic>,
}

impl Collecting<'_> {
    fn follow(&mut self, source: &Source) {
        if source.text.len() > SCRIPT_SOURCE_BYTES_MAX {
            self.findings.push(Diagnostic::error(
                "script-too-large",
                source.path.as_str(),
                format!("the script is larger than {SCRIPT_SOURCE_BYTES_MAX} bytes"),
            ));
            return;
        }
        let imports = match literal_imports(source) {
            Ok(imports) => imports,
            Err(findings) => {
                let kept = findings.into_iter().filter(|finding| finding.code != "syntax");
                self.findings.extend(kept);
                return;
            }
        };
        self.chain.push(source.path.clone());
        for (import, span) in imports {
            if let Err(finding) = self.take(&import) {
                self.findings.push(Diagnostic {
                    file: source.path.clone(),
                    ..finding.at(span)
                });
            }
        }
        self.chain.pop();
    }

    fn take(&mut self, import: &str) -> Result<(), Box<Diagnostic>> {
        let refuse = |code, message: String| Diagnostic::error(code, "", message);
        if let Some(help) = improper(import) {
            let finding = refuse("import-path", format!("`{import}` is not the path of an import"));
            return Err(finding.help(help).into());
        }
        let file = file_of(import);
        if let Some(start) = self.chain.iter().position(|above| *above == file) {
            let mut circle: Vec<&str> = self.chain.iter().skip(start).map(String::as_str).collect();
            circle.push(&file);
            let finding = refuse(
                "import-cycle",
                format!("imports go in a circle: {}", circle.join(" → ")),
            );
            return Err(finding.help("move what both need into a third file").into());
        }
        if self.sources.contains_key(&file) {
            return Ok(());
        }
        if self.sources.len() >= SCRIPT_MODULES_MAX {
            let message = format!("a workflow imports at most {SCRIPT_MODULES_MAX} files");
            return Err(refuse("too-many-imports", message).into());
        }
        let text = (self.load)(&file).ok_or_else(|| refuse("missing-import", format!("no script `{file}`")))?;
        let source = Source {
            path: file.clone(),
            text,
        };
        self.sources.insert(file, source.clone());
        self.follow(&source);
        Ok(())
    }
}

/// A main script and all it imports: main first, then by path. `load` gives the text of a file.
///
/// # Errors
/// Every import that is missing, leaves the folder, goes in a circle or is not literal.
pub fn snapshot(main: Source, load: &mut dyn FnMut(&str) -> Option<String>) -> Result<Vec<Source>, Vec<Diagnostic>> {
    let mut collecting = Collecting {
        load,
        sources: BTreeMap::new(),
        chain: Vec::new(),
        findings: Vec::new(),
    };
    collecting.follow(&main);
    let Collecting { sources, findings, .. } = collecting;
    if findings.is_empty() {
        Ok(std::iter::once(main).chain(sources.into_values()).collect())
    } else {
        Err(findings)
    }
}

//! Stands in for the checker of scripts.

use crate::model::diagnostic::Diagnostic;
use crate::model::workflow::Source;

/// What scripts may call.
#[derive(Debug, Clone, Default)]
pub struct Surface;

/// The main script and its imports.
pub fn snapshot(main: Source, load: &mut dyn FnMut(&str) -> Option<String>) -> Result<Vec<Source>, Vec<Diagnostic>> {
    let mut sources = vec![main];
    let mut next = 0;
    while next < sources.len() {
        let text = sources[next].text.clone();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("import \"")
                && let Some((name, _)) = rest.split_once('"')
            {
                let path = format!("{name}.rhai");
                if let Some(text) = load(&path)
                    && !sources.iter().any(|known| known.path == path)
                {
                    sources.push(Source { path, text });
                }
            }
        }
        next += 1;
    }
    Ok(sources)
}

/// What is wrong with them.
pub fn check(_sources: &[Source], _surface: &Surface) -> Vec<Diagnostic> {
    Vec::new()
}

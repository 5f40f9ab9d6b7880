//! What a connection says in words of its own, beyond its address and its secrets: settings, headers, paths, and for how long
//! a key protects. What its table has no room for is told with what to write instead. Reads no secret.

use std::sync::Arc;

use super::{RawConnection, Reader};
use crate::connector::connection::{wrong_headers, wrong_paths, wrong_settings};
use crate::connector::table::Connector;
use crate::model::diagnostic::Diagnostic;

impl Reader<'_> {
    /// What a connection says that its table has no room for is told; what it says of paths is taken into the table it goes by.
    pub(super) fn own_words(&mut self, name: &str, raw: &RawConnection, connector: &Arc<Connector>) -> Arc<Connector> {
        for wrong in wrong_settings(connector, &raw.settings) {
            let at = ["connection", name, "settings", wrong.key.as_str()];
            self.wrong(&at, format!("connection `{name}`: {}", wrong.message), wrong.help);
        }
        for (setting, table) in connector.settings() {
            let is_said = table.default.is_some() || raw.settings.contains_key(setting);
            if is_said {
                continue;
            }
            let message = format!("connection `{name}` does not say `{setting}`: {}", table.doc);
            let help = format!("write {setting} = \"…\" under [connection.{name}.settings]");
            let mut finding = Diagnostic::warning("settings", self.file, message).help(help);
            finding.span = self.document.span(&["connection", name]);
            self.warnings.push(finding);
        }
        for wrong in wrong_headers(connector, &raw.headers) {
            let at = ["connection", name, "headers", wrong.key.as_str()];
            self.wrong(&at, format!("connection `{name}`: {}", wrong.message), wrong.help);
        }
        let wrong = wrong_paths(connector, &raw.paths);
        if wrong.is_empty() && !raw.paths.is_empty() {
            return Arc::new(connector.with_paths(&raw.paths));
        }
        for wrong in wrong {
            let at = ["connection", name, "paths", wrong.key.as_str()];
            self.wrong(&at, format!("connection `{name}`: {}", wrong.message), wrong.help);
        }
        Arc::clone(connector)
    }

    /// A window that the provider does not promise would have a payment made twice.
    pub(super) fn key_window(&mut self, name: &str, raw: &RawConnection, connector: &Connector) {
        let most = connector.idempotency.as_ref().and_then(|table| table.window_max_secs);
        if let (Some(said), Some(most)) = (raw.key_window_secs, most)
            && said > most
        {
            self.wrong(
                &["connection", name],
                format!(
                    "connection `{name}`: `key_window_secs` is {said}, and {} promises less",
                    connector.title
                ),
                format!("write {most} at the most"),
            );
        }
    }
}

//! What a connection may say about itself in `bursar.toml`, beyond its address and its keys.

use serde::Deserialize;

/// One setting: `[setting.NAME]` of a table, written in `[connection.X.settings]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingTable {
    /// One sentence for people.
    pub doc: String,
    /// What it is where a connection does not say.
    pub default: Option<String>,
    /// What it may be, if only some.
    #[serde(default)]
    pub values: Vec<String>,
}

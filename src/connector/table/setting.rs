//! What a connection may say about itself in `bursar.toml`, beyond its address and its keys; and the parameters that many
//! endpoints have, which may be said once for all of them.

use serde::Deserialize;

use super::{Kind, Param, Place};

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

/// A parameter that many endpoints have: `[common.NAME]`. An endpoint that has it says so under `common`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommonTable {
    /// Where it stands.
    #[serde(rename = "in")]
    pub place: Place,
    /// Its name on the wire, where that is another.
    pub wire: Option<String>,
    /// What it takes.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// The texts it may be, if only some.
    #[serde(default)]
    pub values: Vec<String>,
    /// The setting of the connection that says it where a call does not.
    pub setting: Option<String>,
    /// Where what was made under it shows it: what is asked about that is asked under the same.
    pub shown: Option<String>,
    /// One sentence for people.
    pub doc: String,
}

impl CommonTable {
    /// As a parameter of an endpoint.
    pub fn param(&self, name: &str, need: Need) -> Param {
        Param {
            name: name.to_owned(),
            wire: self.wire.clone(),
            place: self.place,
            kind: self.kind,
            values: self.values.clone(),
            setting: self.setting.clone(),
            shown: self.shown.clone(),
            doc: self.doc.clone(),
            required: need == Need::Required,
            common: true,
            ..Param::default()
        }
    }
}

/// Whether an endpoint can do without a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// It cannot.
    Required,
    /// It can.
    Optional,
}

//! The workflows that come with the program, as files: for a new folder, for the demo and for tests.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Path below the folder and text of each shipped file.
pub const FILES: &[(&str, &str)] = &[
    (
        "workflows/nightly-sweep.toml",
        include_str!("../../workflows/nightly-sweep.toml"),
    ),
    (
        "workflows/convert-stablecoin-deposits.toml",
        include_str!("../../workflows/convert-stablecoin-deposits.toml"),
    ),
    (
        "workflows/split-settlement.toml",
        include_str!("../../workflows/split-settlement.toml"),
    ),
    (
        "workflows/return-unmatched-deposits.toml",
        include_str!("../../workflows/return-unmatched-deposits.toml"),
    ),
    (
        "scripts/nightly_sweep.rhai",
        include_str!("../../scripts/nightly_sweep.rhai"),
    ),
    (
        "scripts/convert_stablecoin_deposits.rhai",
        include_str!("../../scripts/convert_stablecoin_deposits.rhai"),
    ),
    (
        "scripts/split_settlement.rhai",
        include_str!("../../scripts/split_settlement.rhai"),
    ),
    (
        "scripts/return_unmatched_deposits.rhai",
        include_str!("../../scripts/return_unmatched_deposits.rhai"),
    ),
    (
        "scripts/lib/sellers.rhai",
        include_str!("../../scripts/lib/sellers.rhai"),
    ),
    (
        "scripts/lib/invoices.rhai",
        include_str!("../../scripts/lib/invoices.rhai"),
    ),
];

/// A provider on this machine, for the connection `bank`.
#[derive(Debug, Clone)]
pub struct LocalBank {
    /// Where it listens.
    pub url: String,
    /// Its API key.
    pub api_key: String,
    /// What it signs webhooks with.
    pub webhook_secret: String,
}

/// Writes a folder that a daemon can serve at once: the shipped workflows on a local provider. `daemon` stands in
/// the section `[daemon]` of the settings.
///
/// # Errors
/// What the file system says.
pub fn write_folder(folder: &Path, bank: &LocalBank, daemon: &str) -> io::Result<()> {
    for (path, text) in FILES {
        write(folder, path, text)?;
    }
    for (path, secret) in [
        ("secrets/bank.key", &bank.api_key),
        ("secrets/bank-webhook.key", &bank.webhook_secret),
    ] {
        write(folder, path, secret)?;
        fs::set_permissions(folder.join(path), fs::Permissions::from_mode(0o600))?;
    }
    let settings = format!(
        "[daemon]\n{daemon}\n[connection.bank]\nconnector = \"augustus\"\nbase_url = \"{}\"\n\
         api_key = {{ file = \"secrets/bank.key\" }}\nwebhook_secrets = [{{ file = \"secrets/bank-webhook.key\" }}]\n",
        bank.url
    );
    write(folder, "bursar.toml", &settings)
}

fn write(folder: &Path, path: &str, text: &str) -> io::Result<()> {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    fs::write(path, text)
}

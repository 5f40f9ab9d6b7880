//! The workflows that come with the program, as files: for a new folder, for the demo and for tests.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::simulator::config::{ivy, payaut, payments};

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

/// Path and text of each shipped file that is about other providers than the first.
pub const OTHERS: &[(&str, &str)] = &[
    (
        "workflows/pay-out-paid-orders.toml",
        include_str!("../../workflows/pay-out-paid-orders.toml"),
    ),
    (
        "workflows/hold-disputed-payments.toml",
        include_str!("../../workflows/hold-disputed-payments.toml"),
    ),
    (
        "workflows/settle-supplier.toml",
        include_str!("../../workflows/settle-supplier.toml"),
    ),
    (
        "workflows/split-captured-payments.toml",
        include_str!("../../workflows/split-captured-payments.toml"),
    ),
    (
        "scripts/pay_out_paid_orders.rhai",
        include_str!("../../scripts/pay_out_paid_orders.rhai"),
    ),
    (
        "scripts/hold_disputed_payments.rhai",
        include_str!("../../scripts/hold_disputed_payments.rhai"),
    ),
    (
        "scripts/settle_supplier.rhai",
        include_str!("../../scripts/settle_supplier.rhai"),
    ),
    (
        "scripts/split_captured_payments.rhai",
        include_str!("../../scripts/split_captured_payments.rhai"),
    ),
    // Of no use to anybody but the simulator: `settings` refuses them for a provider.
    ("secrets/shop.key", ivy::DEMO_API_KEY),
    ("secrets/shop-webhook.key", ivy::DEMO_WEBHOOK_SECRET),
    ("secrets/cards.key", payments::DEMO_API_KEY),
    ("secrets/cards-webhook.key", payments::DEMO_WEBHOOK_SECRET),
    ("secrets/hub.key", payaut::DEMO_TOKEN),
];

/// The connections of those, as they stand in the settings.
pub const OTHER_CONNECTIONS: &str = include_str!("others.toml");
/// Where the simulator listens in them.
const SIMULATOR: &str = "http://127.0.0.1:4010";

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
    write(folder, "secrets/bank.key", &bank.api_key)?;
    write(folder, "secrets/bank-webhook.key", &bank.webhook_secret)?;
    let settings = format!(
        "[daemon]\n{daemon}\n[connection.bank]\nconnector = \"augustus\"\nbase_url = \"{}\"\n\
         api_key = {{ file = \"secrets/bank.key\" }}\nwebhook_secrets = [{{ file = \"secrets/bank-webhook.key\" }}]\n",
        bank.url
    );
    write(folder, "bursar.toml", &settings)
}

/// Adds to such a folder the workflows at other providers, and their connections to the simulator that listens there.
///
/// # Errors
/// What the file system says.
pub fn write_others(folder: &Path, simulator: &str) -> io::Result<()> {
    for (path, text) in OTHERS {
        write(folder, path, text)?;
    }
    let settings = fs::read_to_string(folder.join("bursar.toml"))?;
    let connections = OTHER_CONNECTIONS.replace(SIMULATOR, simulator);
    write(folder, "bursar.toml", &format!("{settings}{connections}"))
}

fn write(folder: &Path, path: &str, text: &str) -> io::Result<()> {
    let file = folder.join(path);
    fs::create_dir_all(file.parent().unwrap_or(folder))?;
    fs::write(&file, text)?;
    if path.starts_with("secrets/") {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

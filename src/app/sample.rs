//! The workflows that come with the program, as files: for a new folder, and for the demo.

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

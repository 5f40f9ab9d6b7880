//! The shipped workflows, as tests run them on an engine of their own.

use bursar::model::workflow::{Source, Version};
use bursar::simulator::control::NewDeposit;
use serde_json::{Value as Json, json};

use super::World;

/// The texts of a shipped workflow and what happened before it runs.
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
    pub(crate) sources: &'static [(&'static str, &'static str)],
    pub(crate) manifest: &'static str,
    /// A deposit, and the event about it.
    pub(crate) deposit: Option<(&'static str, &'static str, &'static str)>,
    /// How many movements a run makes.
    pub(crate) movements: usize,
}

/// Every shipped workflow.
pub(crate) const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "nightly-sweep",
        sources: &[(
            "nightly_sweep.rhai",
            include_str!("../../../scripts/nightly_sweep.rhai"),
        )],
        manifest: include_str!("../../../workflows/nightly-sweep.toml"),
        deposit: None,
        movements: 2,
    },
    Shipped {
        name: "convert-stablecoin-deposits",
        sources: &[(
            "convert_stablecoin_deposits.rhai",
            include_str!("../../../scripts/convert_stablecoin_deposits.rhai"),
        )],
        manifest: include_str!("../../../workflows/convert-stablecoin-deposits.toml"),
        deposit: Some(("USDC wallet", "2500.00", "")),
        movements: 1,
    },
    Shipped {
        name: "split-settlement",
        sources: &[
            (
                "split_settlement.rhai",
                include_str!("../../../scripts/split_settlement.rhai"),
            ),
            ("lib/sellers.rhai", include_str!("../../../scripts/lib/sellers.rhai")),
        ],
        manifest: include_str!("../../../workflows/split-settlement.toml"),
        deposit: Some(("Marketplace EUR", "199.99", "SELLER-042 order 17")),
        movements: 2,
    },
    Shipped {
        name: "return-unmatched-deposits",
        sources: &[
            (
                "return_unmatched_deposits.rhai",
                include_str!("../../../scripts/return_unmatched_deposits.rhai"),
            ),
            ("lib/invoices.rhai", include_str!("../../../scripts/lib/invoices.rhai")),
        ],
        manifest: include_str!("../../../workflows/return-unmatched-deposits.toml"),
        deposit: Some(("Collections EUR", "75.20", "HELLO")),
        movements: 1,
    },
];

impl Shipped {
    pub(crate) fn version(&self) -> Version {
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let sources = self.sources.iter().map(source).collect();
        Version::new(
            self.name.to_owned(),
            self.manifest.to_owned(),
            vec!["bank".to_owned()],
            sources,
        )
    }

    /// The manifest's params, by the same rule as the loader's: texts.
    pub(crate) fn params(&self) -> Json {
        let (_, table) = self.manifest.split_once("[params]").unwrap_or(("", ""));
        let mut params = serde_json::Map::new();
        for line in table.lines() {
            if let Some((key, value)) = line.split_once('=')
                && let Some(text) = value.split('"').nth(1)
            {
                params.insert(key.trim().to_owned(), json!(text));
            }
        }
        Json::Object(params)
    }

    pub(crate) fn event(&self, world: &World) -> Json {
        let Some((account, amount, reference)) = self.deposit else {
            return json!({"type": "cron"});
        };
        let deposit = NewDeposit::new(account, amount, reference);
        let id = world
            .simulator
            .control
            .create_deposit(&deposit)
            .expect("the deposit arrives");
        json!({"type": "deposit.received", "payload": world.simulator.control.resource(id)})
    }
}

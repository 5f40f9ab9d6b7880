//! A ready scenario: a marketplace with two sellers, one of which has not passed KYC. Data only.

use uuid::Uuid;

use super::config::{HolderSeed, Kyc, PayautConfig};
use crate::simulator::core::iban;
use crate::simulator::resources::FinancialAddress;

/// In whose name the marketplace is.
const MARKETPLACE: &str = "Nordlicht Handels GmbH";

/// Its own account, which the shipped workflow names.
const MARKETPLACE_ACCOUNT: &str = "7d3a9c14-52e8-4b6f-9a01-c4e2b87f5d36";

/// The national number of its treasury account at the first provider.
const TREASURY_NUMBER: &str = "370400440532013000";

impl PayautConfig {
    /// The demo: the marketplace of the same company, which is paid out to its treasury account.
    pub fn demo() -> Self {
        let bank = |holder: &str, national: &str| FinancialAddress::Iban {
            iban: iban::make("DE", national),
            account_holder_name: holder.to_owned(),
            bic: None,
        };
        let seller = |label: &str, reference: &str, opening: &str, national: &str| HolderSeed {
            reference: Some(reference.to_owned()),
            bank: Some(bank(label, national)),
            ..HolderSeed::new(label, opening)
        };
        Self {
            marketplace: Some(HolderSeed {
                bank: Some(bank(MARKETPLACE, TREASURY_NUMBER)),
                account_id: Uuid::parse_str(MARKETPLACE_ACCOUNT).ok(),
                ..HolderSeed::new("Payaut marketplace", "1000.00")
            }),
            holders: vec![
                seller("Payaut Atelier Blum", "seller-blum", "480.00", "120300000000202051"),
                HolderSeed {
                    kyc: Kyc::MissingData,
                    ..seller("Payaut Kontor Weiss", "seller-weiss", "75.00", "120300000000202052")
                },
            ],
            ..Self::default()
        }
    }
}

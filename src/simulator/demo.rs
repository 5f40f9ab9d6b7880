//! A ready scenario: a small company with a treasury account, three operating accounts, dollars, a wallet
//! and a program of virtual accounts. Data only.

use super::config::{AccountSeed, ProgramSeed, SimulatorConfig};
use super::iban;
use super::resources::FinancialAddress;
use crate::base::money::Currency;

/// In whose name the demo accounts are.
const HOLDER: &str = "Nordlicht Handels GmbH";

impl SimulatorConfig {
    /// The demo: ids follow from the seed and the labels, IBANs have right checksums.
    pub fn demo() -> Self {
        let program = "Marketplace sellers";
        let accounts = [
            ("Treasury EUR", "EUR", "250000.00", "370400440532013000", None),
            ("Operating DE", "EUR", "48250.00", "100500000190012345", None),
            ("Operating FR", "EUR", "12480.55", "100500000190012346", None),
            ("Operating NL", "EUR", "730.10", "100500000190012347", None),
            (
                "Seller Atelier Blum",
                "EUR",
                "1940.00",
                "100500000190034561",
                Some(program),
            ),
            (
                "Seller Kontor Weiss",
                "EUR",
                "0.00",
                "100500000190034562",
                Some(program),
            ),
            ("Dollar account", "USD", "85000.00", "", None),
            ("USDC wallet", "USDC", "40000.000000", "", None),
        ];
        Self {
            programs: vec![ProgramSeed {
                label: program.to_owned(),
                currency: known("EUR"),
                account_program_type: "fbo_program".to_owned(),
                id: None,
            }],
            accounts: accounts
                .into_iter()
                .map(|(label, currency, opening_balance, national, program)| AccountSeed {
                    holder: Some(HOLDER.to_owned()),
                    financial_addresses: address(currency, national),
                    program: program.map(str::to_owned),
                    ..AccountSeed::new(label, known(currency), opening_balance)
                })
                .collect(),
            ..Self::default()
        }
    }
}

fn address(currency: &str, national: &str) -> Vec<FinancialAddress> {
    let holder = HOLDER.to_owned();
    vec![match currency {
        "EUR" => FinancialAddress::Iban {
            iban: iban::make("DE", national),
            account_holder_name: holder,
            bic: Some("COBADEFFXXX".to_owned()),
        },
        "USD" => FinancialAddress::Aba {
            routing_number: "021000021".to_owned(),
            account_number: "483920175".to_owned(),
            account_holder_name: holder,
        },
        _ => FinancialAddress::CryptoWallet {
            address: "0x52908400098527886E0F7030069857D2E4169EE7".to_owned(),
            blockchain: "ethereum".to_owned(),
        },
    }]
}

fn known(code: &str) -> Currency {
    Currency::from_code(code).expect("the currencies of the demo exist")
}

//! A ready scenario: a small company with a treasury account, three operating accounts, dollars, a wallet
//! and a program of virtual accounts, and a shop that collects at a second provider. Data only.

use uuid::Uuid;

use super::config::ivy::IvyConfig;
use super::config::{AccountSeed, ProgramSeed, SimulatorConfig};
use super::core::iban;
use super::resources::FinancialAddress;
use crate::base::money::Currency;

/// The accounts that the shipped workflows name.
const TREASURY: &str = "3c90c3cc-0d44-4b50-8888-8dd25736052a";
const MARKETPLACE: &str = "5f0c1a52-7a0e-4d57-9c1b-6f3d2b8e4a10";
const COLLECTIONS: &str = "9b7d3f60-2c4e-4f0b-8d55-0c9e1a7b2f31";
const SHOP: &str = "8d0f6c1e-5b27-4c3a-9e4d-2f7a1b60c835";

/// The treasury account's national number.
const TREASURY_NUMBER: &str = "370400440532013000";

/// In whose name the demo accounts are.
const HOLDER: &str = "Nordlicht Handels GmbH";

impl SimulatorConfig {
    /// The demo: the shipped workflows' accounts have the ids these name, the other ids follow from the seed and the labels, IBANs have right checksums.
    pub fn demo() -> Self {
        let program = "Marketplace sellers";
        let accounts = [
            ("Treasury EUR", "EUR", "250000.00", TREASURY_NUMBER, None, TREASURY),
            (
                "Marketplace EUR",
                "EUR",
                "0.00",
                "100500000190012340",
                None,
                MARKETPLACE,
            ),
            (
                "Collections EUR",
                "EUR",
                "5000.00",
                "100500000190012341",
                None,
                COLLECTIONS,
            ),
            ("Operating DE", "EUR", "48250.00", "100500000190012345", None, ""),
            ("Operating FR", "EUR", "12480.55", "100500000190012346", None, ""),
            ("Operating NL", "EUR", "730.10", "100500000190012347", None, ""),
            (
                "Seller Atelier Blum",
                "EUR",
                "1940.00",
                "100500000190034561",
                Some(program),
                "",
            ),
            (
                "Seller Kontor Weiss",
                "EUR",
                "0.00",
                "100500000190034562",
                Some(program),
                "",
            ),
            ("Dollar account", "USD", "85000.00", "", None, ""),
            ("USDC wallet", "USDC", "40000.000000", "", None, ""),
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
                .map(
                    |(label, currency, opening_balance, national, program, id)| AccountSeed {
                        id: Uuid::parse_str(id).ok(),
                        holder: Some(HOLDER.to_owned()),
                        financial_addresses: address(currency, national),
                        program: program.map(str::to_owned),
                        ..AccountSeed::new(label, known(currency), opening_balance)
                    },
                )
                .collect(),
            ..Self::default()
        }
    }
}

impl IvyConfig {
    /// The demo: the same company's shop, which settles to its treasury account at the first provider.
    pub fn demo() -> Self {
        let account = |label: &str, currency: &str, opening: &str, address: FinancialAddress| AccountSeed {
            holder: Some(HOLDER.to_owned()),
            financial_addresses: vec![address],
            ..AccountSeed::new(label, known(currency), opening)
        };
        let pounds = FinancialAddress::SortCode {
            sort_code: "040004".to_owned(),
            account_number: "31926819".to_owned(),
            account_holder_name: HOLDER.to_owned(),
        };
        let coins = FinancialAddress::CryptoWallet {
            address: "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359".to_owned(),
            blockchain: "ethereum".to_owned(),
        };
        Self {
            accounts: vec![
                AccountSeed {
                    id: Uuid::parse_str(SHOP).ok(),
                    ..account("Ivy EUR", "EUR", "20000.00", iban_of("100110012600000001"))
                },
                account("Ivy GBP", "GBP", "5000.00", pounds),
                account("Ivy USDC", "USDC", "1000.000000", coins),
            ],
            settlement_destination: Some(iban_of(TREASURY_NUMBER)),
            ..Self::default()
        }
    }
}

fn iban_of(national: &str) -> FinancialAddress {
    FinancialAddress::Iban {
        iban: iban::make("DE", national),
        account_holder_name: HOLDER.to_owned(),
        bic: Some("COBADEFFXXX".to_owned()),
    }
}

fn address(currency: &str, national: &str) -> Vec<FinancialAddress> {
    vec![match currency {
        "EUR" => iban_of(national),
        "USD" => FinancialAddress::Aba {
            routing_number: "021000021".to_owned(),
            account_number: "483920175".to_owned(),
            account_holder_name: HOLDER.to_owned(),
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

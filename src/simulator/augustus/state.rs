//! What exists at this provider: keys, accounts and everything made over the API.

use std::time::Duration;

use uuid::Uuid;

use super::CONTRACT;
use super::auth::{Key, Rates, VERSIONS};
use super::resources::{
    Account, AccountStatus, Conversion, Deposit, FinancialAddress, Payout, Program, Quote, Return, is_fiat,
};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::config::AccountSeed;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::table::Table;
use crate::simulator::core::{Core, iban, named_id};

/// This provider's part of the world.
pub(crate) struct Augustus {
    pub(crate) merchant_id: Uuid,
    pub(crate) keys: Vec<Key>,
    pub(crate) rates: Rates,
    pub(crate) programs: Table<Program>,
    pub(crate) accounts: Table<Account>,
    pub(crate) payouts: Table<Payout>,
    pub(crate) conversions: Table<Conversion>,
    pub(crate) quotes: Table<Quote>,
    pub(crate) deposits: Table<Deposit>,
    pub(crate) returns: Table<Return>,
}

impl Augustus {
    /// As the settings describe its beginning.
    pub(crate) fn new(core: &mut Core) -> Result<Self, String> {
        let config = std::sync::Arc::clone(&core.config);
        let seed = config.seed;
        let mut augustus = Self {
            merchant_id: named_id(seed, "merchant", ""),
            keys: Vec::new(),
            rates: Rates::default(),
            programs: Table::default(),
            accounts: Table::default(),
            payouts: Table::default(),
            conversions: Table::default(),
            quotes: Table::default(),
            deposits: Table::default(),
            returns: Table::default(),
        };
        (CONTRACT.webhook.check_secret)(&config.webhook_secret).map_err(|error| format!("webhook_secret: {error}"))?;
        for settings in &config.api_keys {
            if !VERSIONS.contains(&settings.api_version.as_str()) {
                return Err(format!("there is no API version `{}`", settings.api_version));
            }
            augustus.keys.push(Key {
                id: named_id(seed, "api_key", &settings.key),
                settings: settings.clone(),
                created_at: core.now,
            });
        }
        for seed_program in &config.programs {
            let id = seed_program
                .id
                .unwrap_or_else(|| named_id(seed, "program", &seed_program.label));
            let program = Program {
                id,
                label: seed_program.label.clone(),
                currency: seed_program.currency,
                account_program_type: seed_program.account_program_type.clone(),
                created_at: core.now,
            };
            augustus.programs.insert(id, core.now, Duration::ZERO, program);
        }
        for account in &config.accounts {
            augustus.open_account(core, account)?;
        }
        for subscription in &config.subscriptions {
            core.subscribe(&CONTRACT, subscription)?;
        }
        Ok(augustus)
    }

    /// Opens an active account with its opening balance.
    pub(crate) fn open_account(&mut self, core: &mut Core, seed: &AccountSeed) -> Result<Uuid, String> {
        let id = seed
            .id
            .unwrap_or_else(|| named_id(core.config.seed, "account", &seed.label));
        if self.accounts.get(id).is_some() {
            return Err(format!("there is an account `{}` already", seed.label));
        }
        let program = match &seed.program {
            None => None,
            Some(label) => Some(
                self.programs
                    .iter()
                    .find(|program| program.label == *label)
                    .ok_or_else(|| format!("account `{}`: there is no program `{label}`", seed.label))?
                    .id,
            ),
        };
        let opening = match &seed.opening_balance {
            None => Money::zero(seed.currency),
            Some(text) => {
                Money::parse(text, seed.currency).map_err(|error| format!("account `{}`: {error}", seed.label))?
            }
        };
        let holder = seed.holder.as_ref().unwrap_or(&seed.label);
        let financial_addresses = if seed.financial_addresses.is_empty() {
            vec![new_address(core, seed.currency, holder)]
        } else {
            seed.financial_addresses.clone()
        };
        let account = Account {
            id,
            program,
            currency: seed.currency,
            label: seed.label.clone(),
            status: AccountStatus::Active,
            financial_addresses,
            created_at: core.now,
            updated_at: core.now,
        };
        self.accounts.insert(id, core.now, Duration::ZERO, account);
        if !opening.is_zero() {
            core.ledger
                .post(core.now, (Place::Outside, Place::Account(id)), opening, "opening", id)
                .map_err(|error| format!("account `{}`: {error}", seed.label))?;
        }
        Ok(id)
    }

    /// The own account that can be reached at an address.
    pub(crate) fn account_at(&self, address: &FinancialAddress, currency: Currency) -> Option<&Account> {
        self.accounts.iter().find(|account| {
            account.currency == currency
                && account
                    .financial_addresses
                    .iter()
                    .any(|known| known.same_account(address))
        })
    }
}

/// What is available on an account.
pub(crate) fn available(core: &Core, account: &Account) -> Money {
    core.ledger.balance(Place::Account(account.id), account.currency)
}

/// The oldest time of events that are still kept.
pub(crate) fn kept_since(core: &Core) -> Instant {
    core.now - chrono::TimeDelta::days(core.config.event_retention_days)
}

/// A fresh address that fits the currency.
pub(crate) fn new_address(core: &mut Core, currency: Currency, holder: &str) -> FinancialAddress {
    let account_holder_name = holder.to_owned();
    match currency.code() {
        "GBP" => FinancialAddress::SortCode {
            sort_code: core.new_digits(6),
            account_number: core.new_digits(8),
            account_holder_name,
        },
        "USD" => FinancialAddress::Aba {
            routing_number: "021000021".to_owned(),
            account_number: core.new_digits(10),
            account_holder_name,
        },
        _ if is_fiat(currency) => FinancialAddress::Iban {
            iban: iban::make("DE", &format!("37040044{}", core.new_digits(10))),
            account_holder_name,
            bic: Some("COBADEFFXXX".to_owned()),
        },
        code => FinancialAddress::CryptoWallet {
            address: format!("0x{:032x}{:08x}", core.ids.u128(..), core.ids.u32(..)),
            blockchain: match code {
                "BTC" => "bitcoin",
                "SOL" => "solana",
                "POL" => "polygon",
                _ => "ethereum",
            }
            .to_owned(),
        },
    }
}

//! What exists at this provider: accounts, the lines on them and everything made over the API.

use std::time::Duration;

use uuid::Uuid;

use super::CONTRACT;
use super::books::{Account, Line};
use super::checkout::Session;
use super::customers::{Customer, Subaccount};
use super::deposits::{Deposit, Return};
use super::fx::Fx;
use super::orders::Order;
use super::payouts::Payout;
use super::refunds::Refund;
use super::settlements::Settlement;
use crate::base::money::{Currency, Money};
use crate::simulator::augustus::state::new_address;
use crate::simulator::config::AccountSeed;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::table::Table;
use crate::simulator::core::{Core, named_id};

/// This provider's part of the world.
pub(crate) struct Ivy {
    pub(crate) merchant_id: Uuid,
    pub(crate) shop_id: Uuid,
    pub(crate) accounts: Table<Account>,
    pub(crate) lines: Table<Line>,
    pub(crate) payouts: Table<Payout>,
    pub(crate) deposits: Table<Deposit>,
    pub(crate) returns: Table<Return>,
    pub(crate) orders: Table<Order>,
    pub(crate) refunds: Table<Refund>,
    pub(crate) sessions: Table<Session>,
    pub(crate) conversions: Table<Fx>,
    pub(crate) settlements: Table<Settlement>,
    pub(crate) customers: Table<Customer>,
    pub(crate) subaccounts: Table<Subaccount>,
}

impl Ivy {
    /// As the settings describe its beginning.
    pub(crate) fn new(core: &mut Core) -> Result<Self, String> {
        let config = std::sync::Arc::clone(&core.config);
        let mut ivy = Self {
            merchant_id: named_id(config.seed, "ivy merchant", ""),
            shop_id: named_id(config.seed, "ivy shop", ""),
            accounts: Table::default(),
            lines: Table::default(),
            payouts: Table::default(),
            deposits: Table::default(),
            returns: Table::default(),
            orders: Table::default(),
            refunds: Table::default(),
            sessions: Table::default(),
            conversions: Table::default(),
            settlements: Table::default(),
            customers: Table::default(),
            subaccounts: Table::default(),
        };
        (CONTRACT.webhook.check_secret)(&config.ivy.webhook_secret)
            .map_err(|error| format!("ivy.webhook_secret: {error}"))?;
        for account in &config.ivy.accounts {
            ivy.open_account(core, account)?;
        }
        for subscription in &config.ivy.subscriptions {
            core.subscribe(&CONTRACT, subscription)?;
        }
        Ok(ivy)
    }

    /// Opens an account with its opening balance.
    pub(crate) fn open_account(&mut self, core: &mut Core, seed: &AccountSeed) -> Result<Uuid, String> {
        let id = seed
            .id
            .unwrap_or_else(|| named_id(core.config.seed, "ivy account", &seed.label));
        if self.accounts.get(id).is_some() {
            return Err(format!("there is an account `{}` already", seed.label));
        }
        if !CURRENCIES.contains(&seed.currency.code()) || seed.program.is_some() {
            let known = CURRENCIES.join(", ");
            return Err(format!("account `{}` has one of {known}, and no program", seed.label));
        }
        let opening = seed.opening_balance.as_deref().unwrap_or("0");
        let opening =
            Money::parse(opening, seed.currency).map_err(|error| format!("account `{}`: {error}", seed.label))?;
        let holder = seed.holder.as_ref().unwrap_or(&core.config.ivy.legal_name).clone();
        let address = match seed.financial_addresses.first() {
            Some(address) => address.address(),
            None => new_address(core, seed.currency, &holder).address(),
        };
        let account = Account {
            id,
            label: seed.label.clone(),
            currency: seed.currency,
            address,
        };
        self.accounts.insert(id, core.now, Duration::ZERO, account);
        if opening.is_positive() {
            core.ledger
                .post(core.now, (Place::Outside, Place::Account(id)), opening, "opening", id)
                .map_err(|error| format!("account `{}`: {error}", seed.label))?;
        }
        Ok(id)
    }

    /// The account that is meant where a request can name none.
    pub(crate) fn default_account(&self, currency: Currency) -> Option<Uuid> {
        let account = self.accounts.iter().find(|account| account.currency == currency);
        account.map(|account| account.id)
    }
}

/// The currencies of accounts.
pub(crate) const CURRENCIES: [&str; 4] = ["EUR", "GBP", "USD", "USDC"];

//! What exists at this provider: holders with their accounts, and everything made over the API.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::CONTRACT;
use super::accounts::Account;
use super::config::HolderSeed;
use super::externals::External;
use super::holders::Holder;
use super::notifications::Notification;
use super::payouts::Payout;
use super::refunds::Refund;
use super::reports::Report;
use super::schedules::Schedules;
use super::splits::Split;
use super::transactions::Transaction;
use super::transfers::Transfer;
use super::ubos::Ubo;
use super::wire;
use crate::base::money::Money;
use crate::simulator::core::address::{Address, Number};
use crate::simulator::core::ledger::Place;
use crate::simulator::core::table::Table;
use crate::simulator::core::{Core, iban, named_id};

/// This provider's part of the world.
pub(crate) struct Payaut {
    pub(crate) merchant: Uuid,
    pub(crate) division: Uuid,
    /// The division as a holder, whose account is liable for everything.
    pub(crate) marketplace: Uuid,
    pub(crate) liable: Uuid,
    /// Where processors of payments hand money over to.
    pub(crate) collection: Address,
    pub(crate) holders: Table<Holder>,
    pub(crate) accounts: Table<Account>,
    pub(crate) externals: Table<External>,
    pub(crate) ubos: Table<Ubo>,
    pub(crate) splits: Table<Split>,
    pub(crate) refunds: Table<Refund>,
    pub(crate) transactions: Table<Transaction>,
    pub(crate) payouts: Table<Payout>,
    pub(crate) transfers: Table<Transfer>,
    pub(crate) reports: Table<Report>,
    pub(crate) notifications: Table<Notification>,
    pub(crate) schedules: Schedules,
}

impl Payaut {
    /// As the settings describe its beginning.
    pub(crate) fn new(core: &mut Core) -> Result<Self, String> {
        let config = Arc::clone(&core.config);
        let (settings, seed) = (&config.payaut, config.seed);
        let collection = settings.collection_address.as_ref();
        let marketplace = settings.marketplace.clone();
        let marketplace = marketplace.unwrap_or_else(|| HolderSeed::new("Payaut marketplace", "0"));
        let mut payaut = Self {
            merchant: named_id(seed, "payaut merchant", ""),
            division: named_id(seed, "payaut division", ""),
            marketplace: named_id(seed, "payaut holder", &marketplace.label),
            liable: Uuid::nil(),
            collection: collection.map_or_else(|| made_up(seed), |address| address.address()),
            holders: Table::default(),
            accounts: Table::default(),
            externals: Table::default(),
            ubos: Table::default(),
            splits: Table::default(),
            refunds: Table::default(),
            transactions: Table::default(),
            payouts: Table::default(),
            transfers: Table::default(),
            reports: Table::default(),
            notifications: Table::default(),
            schedules: Schedules::default(),
        };
        payaut.liable = payaut.open(core, &marketplace, true)?;
        for holder in &settings.holders {
            payaut.open(core, holder, false)?;
        }
        for subscription in &settings.subscriptions {
            core.subscribe(&CONTRACT, subscription)?;
        }
        Ok(payaut)
    }

    /// A holder with its account, and what is on that. Gives the account.
    fn open(&mut self, core: &mut Core, seed: &HolderSeed, liable: bool) -> Result<Uuid, String> {
        let (label, number) = (&seed.label, core.config.seed);
        let id = named_id(number, "payaut holder", label);
        let account = seed
            .account_id
            .unwrap_or_else(|| named_id(number, "payaut account", label));
        if self.holders.get(id).is_some() || self.accounts.get(account).is_some() {
            return Err(format!("there is a holder `{label}` already"));
        }
        let opening = Money::parse(&seed.opening_balance, seed.currency);
        let opening = opening.map_err(|error| format!("holder `{label}`: {error}"))?;
        if wire::places(seed.currency) < opening.amount().normalize().scale() {
            return Err(format!(
                "holder `{label}`: {opening} is finer than this provider counts"
            ));
        }
        let mut holder = Holder::seeded(id, seed, core.now);
        holder.accounts.push(account);
        if let Some(bank) = &seed.bank {
            let external = External::seeded(named_id(number, "payaut external", label), id, bank);
            holder.externals.push(external.id);
            self.externals.insert(external.id, core.now, Duration::ZERO, external);
        }
        self.holders.insert(id, core.now, Duration::ZERO, holder);
        let opened = Account {
            id: account,
            holder: id,
            display_name: label.clone(),
            liable,
        };
        let place = opened.place();
        self.accounts.insert(account, core.now, Duration::ZERO, opened);
        if opening.is_positive() {
            core.ledger
                .post(core.now, (Place::Outside, place), opening, "opening", account)
                .map_err(|error| format!("holder `{label}`: {error}"))?;
        }
        Ok(account)
    }
}

/// An address that follows from the seed, so that no other id depends on it.
fn made_up(seed: u64) -> Address {
    let digits = named_id(seed, "payaut collection", "").as_u128() % 10_000_000_000;
    Address {
        holder: Some("Payaut B.V.".to_owned()),
        number: Number::Iban(iban::make("DE", &format!("37040044{digits:010}"))),
        bic: None,
    }
}

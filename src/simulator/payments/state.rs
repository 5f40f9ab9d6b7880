//! What exists at this provider: merchants, payment methods and everything made over the API.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::CONTRACT;
use super::accounts::{self, Account, Payee};
use super::books::Line;
use super::charges::Payment;
use super::config::MerchantSeed;
use super::disputes::Dispute;
use super::intents::Intent;
use super::methods::{self, Method};
use super::payouts::{self, Payout};
use super::refunds::Refund;
use super::sessions::Session;
use super::wire::dollar;
use crate::base::money::Money;
use crate::simulator::config::Advance;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::table::Table;
use crate::simulator::core::timeline::Due;
use crate::simulator::core::{Core, named_id};
use crate::simulator::resources::FinancialAddress;

/// This provider's part of the world.
pub(crate) struct Payments {
    pub(crate) partner: Uuid,
    pub(crate) accounts: Table<Account>,
    pub(crate) payees: Vec<Payee>,
    pub(crate) methods: Table<Method>,
    pub(crate) sessions: Table<Session>,
    pub(crate) intents: Table<Intent>,
    pub(crate) payments: Table<Payment>,
    pub(crate) refunds: Table<Refund>,
    pub(crate) disputes: Table<Dispute>,
    pub(crate) lines: Table<Line>,
    pub(crate) payouts: Table<Payout>,
}

impl Payments {
    /// As the settings describe its beginning.
    pub(crate) fn new(core: &mut Core) -> Result<Self, String> {
        let config = Arc::clone(&core.config);
        let settings = &config.payments;
        let mut payments = Self {
            partner: named_id(config.seed, "payments partner", ""),
            accounts: Table::default(),
            payees: Vec::new(),
            methods: Table::default(),
            sessions: Table::default(),
            intents: Table::default(),
            payments: Table::default(),
            refunds: Table::default(),
            disputes: Table::default(),
            lines: Table::default(),
            payouts: Table::default(),
        };
        (CONTRACT.webhook.check_secret)(&settings.webhook_secret)
            .map_err(|error| format!("payments.webhook_secret: {error}"))?;
        for seed in &settings.payees {
            payments.payees.push(Payee {
                place: named_id(config.seed, "payments payee", &seed.id),
                id: seed.id.clone(),
                active: seed.active,
            });
        }
        for seed in &settings.payment_methods {
            let method = methods::of_seed(core, seed)?;
            payments.methods.insert(method.id, core.now, Duration::ZERO, method);
        }
        for seed in &settings.accounts {
            payments.open_account(core, seed)?;
        }
        for subscription in &settings.subscriptions {
            core.subscribe(&CONTRACT, subscription)?;
        }
        Ok(payments)
    }

    /// Boards a merchant, with what is settled for it, and plans its payouts.
    fn open_account(&mut self, core: &mut Core, seed: &MerchantSeed) -> Result<(), String> {
        let id = seed
            .id
            .unwrap_or_else(|| named_id(core.config.seed, "payments account", &seed.label));
        if self.accounts.get(id).is_some() {
            return Err(format!("there is an account `{}` already", seed.label));
        }
        let account = Account {
            id,
            label: seed.label.clone(),
            business: named_id(core.config.seed, "payments business", &seed.business),
            ledger: named_id(core.config.seed, "payments ledger", &id.to_string()),
            bank: seed.bank_account.as_ref().map(FinancialAddress::address),
        };
        let wrong = |error: &dyn std::fmt::Display| format!("account `{}`: {error}", seed.label);
        let opening = seed.opening_balance.as_deref().unwrap_or("0");
        let opening = Money::parse(opening, dollar()).map_err(|error| wrong(&error))?;
        self.accounts.insert(id, core.now, Duration::ZERO, account);
        if opening.is_positive() {
            let places = (Place::Outside, Place::Settled(id));
            core.ledger
                .post(core.now, places, opening, "opening", id)
                .map_err(|error| wrong(&error))?;
            let line = Line::funding(core, id, opening, "Opening balance");
            self.lines.insert(line.id, core.now, Duration::ZERO, line);
        }
        let every_ms = core.config.payments.lifecycle.payout_every_ms;
        if let Some(every_ms) = every_ms.filter(|_| core.config.lifecycle.advance == Advance::Automatic) {
            core.plan(every_ms, Due::Step(id, payouts::scheduled));
        }
        Ok(())
    }

    /// Who money can be split to, by the words of a split: their place in the books.
    pub(crate) fn recipient(&self, kind: &str, id: &str) -> Option<Uuid> {
        match kind {
            "partner" => Some(self.partner).filter(|partner| accounts::partner_id(*partner) == id),
            _ => {
                let mut payees = self.payees.iter();
                let payee = payees.find(|payee| payee.active && payee.id == id);
                payee.map(|payee| payee.place)
            }
        }
    }
}

//! Virtual accounts and what is on them; the division's own is liable for all the others.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::holders;
use super::refunds;
use super::schedules;
use super::splits;
use super::transactions;
use super::wire::{Numbered, Span, amounts, code, of_code, path_code};
use crate::base::money::{Currency, Money};
use crate::simulator::contract::Call;
use crate::simulator::core::ledger::Place;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) holder: Uuid,
    pub(crate) display_name: String,
    pub(crate) liable: bool,
}

impl Account {
    /// Where its money is in the books.
    pub(crate) fn place(&self) -> Place {
        if self.liable {
            Place::Marketplace
        } else {
            Place::Account(self.id)
        }
    }

    pub(crate) fn to_json(&self, world: &World) -> Json {
        let holder = world.payaut.holders.get(self.holder);
        let reference = holder.and_then(|holder| holder.reference.as_ref());
        json!({
            "accountType": "DEFAULT",
            "code": code(self.id),
            "displayName": self.display_name,
            "extRef": reference.map(|reference| format!("{reference}_virtual_account")),
        })
    }

    /// What is there, by currency: confirmed, with what is being charged still in it.
    pub(crate) fn balances(&self, world: &World) -> Vec<Money> {
        let place = self.place();
        let held = world.core.ledger.balances();
        held.filter(|(known, _)| *known == place)
            .map(|(_, amount)| amount)
            .collect()
    }
}

/// The account that a text names.
pub(super) fn find<'a>(world: &'a World, text: &str) -> Option<&'a Account> {
    of_code(text).and_then(|id| world.payaut.accounts.get(id))
}

/// What can be moved off an account: what is confirmed, less what is being refunded. It may be less than nothing.
pub(crate) fn available(world: &World, account: &Account, currency: Currency) -> Option<Money> {
    let confirmed = world.core.ledger.balance(account.place(), currency);
    confirmed.checked_sub(refunds::pending(world, account, currency)?).ok()
}

/// The currencies an account has or had, the euro at any rate.
fn currencies(world: &World, account: &Account) -> BTreeSet<Currency> {
    let held = account.balances(world).into_iter().map(Money::currency);
    held.chain(Currency::from_code("EUR").ok()).collect()
}

fn all_available(world: &World, account: &Account) -> Result<Vec<Money>, Refusal> {
    currencies(world, account)
        .into_iter()
        .map(|currency| available(world, account, currency).ok_or_else(Refusal::internal))
        .collect()
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let holder = holders::named(world, call)?;
    let page = Numbered::read(world, call)?;
    let rows = Span::all(world).of(world, &world.payaut.accounts);
    let rows = rows.into_iter().filter(|account| account.holder == holder);
    Ok(page.page(rows.map(|account| account.to_json(world)).collect()))
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let holder = holders::named(world, call)?;
    let id = path_code(call, 1, "the account")?;
    let account = world.payaut.accounts.get(id).filter(|account| account.holder == holder);
    let shown = account.map(|account| account.to_json(world));
    shown.ok_or_else(|| Refusal::not_found("the account"))
}

/// The payout balance. By the settings, all of it is on its way as soon as it was seen.
pub(super) fn balance(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = path_code(call, 0, "the account")?;
    let account = world.payaut.accounts.get(id);
    let account = account.ok_or_else(|| Refusal::not_found("the account"))?;
    let shown = json!({ "amounts": amounts(all_available(world, account)?), "code": code(id) });
    if world.core.config.payaut.schedule_races {
        schedules::pay_out(world, id);
    }
    Ok(shown)
}

/// The divisions of the merchant: the one there is, with its own account.
pub(super) fn divisions(world: &mut World, _call: &Call) -> Result<Json, Refusal> {
    let payaut = &world.payaut;
    let account = payaut.accounts.get(payaut.liable).ok_or_else(Refusal::internal)?;
    let external = payaut
        .externals
        .iter()
        .find(|known| known.holder == payaut.marketplace && known.selected);
    let pending = splits::pending(world, payaut.liable).ok_or_else(Refusal::internal)?;
    Ok(json!([{
        "merchantCode": code(payaut.merchant),
        "divisionCode": code(payaut.division),
        "accountCode": code(account.id),
        "externalAccountCode": external.map(|known| code(known.id)),
        "payoutBalance": amounts(all_available(world, account)?),
        "confirmedBalance": amounts(account.balances(world)),
        "pendingBalance": amounts(pending),
        "unallocatedBalance": amounts(transactions::unallocated(world)),
    }]))
}

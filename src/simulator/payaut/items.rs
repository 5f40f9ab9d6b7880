//! The trees of split items: groups of groups of items, whose amounts add up, and whose money each of them is.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::accounts;
use super::config::{Discounts, InnerItems, ItemReferences, UnknownAccount};
use super::error::unprocessable;
use super::wire::{amount, code, owned, units};
use crate::base::money::{Currency, Money};
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

/// The label of what goes from a holder back to the marketplace.
const DISCOUNT: &str = "DISCOUNT";

/// How deep groups may hold groups.
const DEPTH_MAX: usize = 8;

#[derive(Debug, Clone)]
pub(crate) struct Item {
    id: Uuid,
    is_group: bool,
    pub(crate) reference: String,
    amount: Money,
    /// As it was sent.
    account_code: Option<String>,
    /// Whose it is.
    account: Uuid,
    label: Option<String>,
    description: Option<String>,
    original: Option<String>,
    items: Vec<Self>,
}

impl Item {
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "code": code(self.id),
            "type": if self.is_group { "GROUP" } else { "ITEM" },
            "extRef": self.reference,
            "amount": units(self.amount),
            "accountCode": self.account_code,
            "label": self.label,
            "description": self.description,
            "originalExtRef": self.original,
            "items": show(&self.items),
        })
    }

    fn is_discount(&self) -> bool {
        self.label.as_deref() == Some(DISCOUNT)
    }
}

/// A tree as answers show it.
pub(crate) fn show(items: &[Item]) -> Json {
    items.iter().map(Item::to_json).collect()
}

/// What is to be known while a tree is read.
struct Reading<'w> {
    world: &'w mut World,
    currency: Currency,
    references: BTreeSet<String>,
}

/// Reads the items of a request, of which each is looked at before anything is made.
pub(super) fn read(world: &mut World, fields: &mut Fields<'_>, total: Money) -> Result<Option<Vec<Item>>, Refusal> {
    let Some(list) = fields.optional_objects("items")? else {
        return Ok(None);
    };
    let mut reading = Reading {
        currency: total.currency(),
        references: BTreeSet::new(),
        world,
    };
    let items = reading.level(list, None, 0)?;
    adds_up(world, &items, total, "totalAmount")?;
    Ok(Some(items))
}

impl Reading<'_> {
    fn level(&mut self, list: Vec<Fields<'_>>, group: Option<Uuid>, depth: usize) -> Result<Vec<Item>, Refusal> {
        if depth > DEPTH_MAX {
            return Err(unprocessable("the items are nested too deep"));
        }
        let mut items = Vec::new();
        for mut fields in list {
            items.push(self.item(&mut fields, group, depth)?);
        }
        Ok(items)
    }

    fn item(&mut self, fields: &mut Fields<'_>, group: Option<Uuid>, depth: usize) -> Result<Item, Refusal> {
        let settings = &self.world.core.config.payaut;
        let unknown = settings.unknown_parameters;
        let is_group = fields.one_of("type", &["GROUP", "ITEM"])? == "GROUP";
        let reference = fields.bounded("extRef", 1, 255)?.to_owned();
        let amount = amount(fields, "amount", self.currency)?;
        let account_code = owned(fields, "accountCode")?;
        let account = self.account(account_code.as_deref(), group)?;
        let (label, description) = (owned(fields, "label")?, owned(fields, "description")?);
        let original = owned(fields, "originalExtRef")?;
        let inner = fields.optional_objects("items")?.unwrap_or_default();
        fields.finish(unknown)?;
        if is_group == inner.is_empty() {
            return Err(fields.invalid("items", "are what a GROUP has and an ITEM has not"));
        }
        if self.is_used(&reference) {
            return Err(Refusal::conflict(format!(
                "the extRef {reference} of an item is in use already"
            )));
        }
        self.references.insert(reference.clone());
        let around = account_code.as_ref().map(|_| account).or(group);
        let items = self.level(inner, around, depth + 1)?;
        if is_group {
            adds_up(self.world, &items, amount, &fields.name("amount"))?;
        }
        Ok(Item {
            id: self.world.core.new_id(),
            is_group,
            reference,
            amount,
            account_code,
            account,
            label,
            description,
            original,
            items,
        })
    }

    /// Whose an item is: without a code, or with a wrong one, the marketplace's, and nobody is told.
    fn account(&self, code: Option<&str>, group: Option<Uuid>) -> Result<Uuid, Refusal> {
        let settings = &self.world.core.config.payaut;
        let liable = self.world.payaut.liable;
        let Some(code) = code else {
            let inherited = group.filter(|_| settings.inner_items == InnerItems::Inherit);
            return Ok(inherited.unwrap_or(liable));
        };
        match accounts::find(self.world, code) {
            Some(account) => Ok(account.id),
            None if settings.unknown_account == UnknownAccount::Refuse => {
                Err(unprocessable(format!("there is no account {code}")))
            }
            None => Ok(liable),
        }
    }

    fn is_used(&self, reference: &str) -> bool {
        let everywhere = self.world.core.config.payaut.item_references == ItemReferences::Division;
        self.references.contains(reference) || everywhere && is_known(self.world, reference)
    }
}

/// Whether any split or refund has an item of this reference. What a full refund took over does not count.
fn is_known(world: &World, reference: &str) -> bool {
    fn has(items: &[Item], reference: &str) -> bool {
        let named = |item: &Item| item.reference == reference || has(&item.items, reference);
        items.iter().any(named)
    }
    let payaut = &world.payaut;
    let in_splits = payaut.splits.iter().any(|split| has(&split.items, reference));
    in_splits
        || payaut
            .refunds
            .iter()
            .any(|refund| !refund.whole && has(&refund.items, reference))
}

/// The amounts of a level are what is above them. Discounts are outside of that sum, or take from it.
fn adds_up(world: &World, items: &[Item], total: Money, name: &str) -> Result<(), Refusal> {
    let discounts = world.core.config.payaut.discounts;
    let mut sum = Money::zero(total.currency());
    for item in items {
        let added = match (item.is_discount(), discounts) {
            (false, _) => sum.checked_add(item.amount),
            (true, Discounts::Negative) => sum.checked_sub(item.amount),
            (true, Discounts::Excluded) => Ok(sum),
        };
        sum = added.map_err(|error| unprocessable(error.to_string()))?;
    }
    if sum == total {
        return Ok(());
    }
    Err(unprocessable(format!(
        "the amounts of the items are {sum} together, {name} is {total}"
    )))
}

/// The innermost items.
fn leaves(items: &[Item]) -> Vec<&Item> {
    let below = |item| -> Vec<&Item> {
        let item: &Item = item;
        if item.is_group { leaves(&item.items) } else { vec![item] }
    };
    items.iter().flat_map(below).collect()
}

/// What each account gets of a tree, discounts taken off; none where that is too much to be held.
pub(crate) fn net(world: &World, items: &[Item]) -> Option<Vec<(Uuid, Money)>> {
    let liable = world.payaut.liable;
    let moves = world.core.config.payaut.discounts == Discounts::Excluded;
    let mut accounts: Vec<(Uuid, Money)> = Vec::new();
    let mut add = |account: Uuid, amount: Money| {
        match accounts.iter_mut().find(|(known, _)| *known == account) {
            Some((_, sum)) => *sum = sum.checked_add(amount).ok()?,
            None => accounts.push((account, amount)),
        }
        Some(())
    };
    for item in leaves(items) {
        if item.is_discount() {
            add(item.account, item.amount.negated())?;
            if moves {
                add(liable, item.amount)?;
            }
        } else {
            add(item.account, item.amount)?;
        }
    }
    Some(accounts)
}

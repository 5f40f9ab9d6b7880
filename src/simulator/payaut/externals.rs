//! External accounts: where holders are paid out to. One of a holder's is selected; each has a KYC of its own.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::config::Kyc;
use super::holders;
use super::kyc::{self, Review};
use super::wire::{Numbered, Span, code, fragments, nothing, owned, path_code};
use crate::base::money::Currency;
use crate::simulator::contract::Call;
use crate::simulator::core::address::{Address, Number};
use crate::simulator::core::failure::Failure;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::resources::FinancialAddress;
use crate::simulator::world::World;

#[derive(Debug)]
pub(crate) struct External {
    pub(crate) id: Uuid,
    pub(crate) holder: Uuid,
    reference: Option<String>,
    display_name: Option<String>,
    pub(crate) currency: String,
    pub(crate) statement: Option<Json>,
    pub(crate) kind: Option<String>,
    pub(crate) number: Option<String>,
    /// A seeded one may be of a form that no request has.
    seeded: Option<Address>,
    pub(crate) kyc: Review,
    pub(crate) selected: bool,
}

impl External {
    /// One of the beginning: selected, with KYC done.
    pub(crate) fn seeded(id: Uuid, holder: Uuid, bank: &FinancialAddress) -> Self {
        let address = bank.address();
        let (kind, number) = match &address.number {
            Number::Iban(iban) => ("IBAN", iban.clone()),
            Number::SortCode { sort_code, account } => ("SORT_CODE", format!("{sort_code}{account}")),
            Number::BankCode { code, account } => ("BANK_CODE", format!("{code}{account}")),
            Number::Bban(bban) => ("BBAN", bban.clone()),
            Number::Aba { routing, account } => ("ABA", format!("{routing}{account}")),
            Number::Wallet { address, .. } => ("WALLET", address.clone()),
        };
        Self {
            id,
            holder,
            reference: None,
            display_name: address.holder.clone(),
            currency: "EUR".to_owned(),
            statement: Some(json!({ "type": "BANK_STATEMENT" })),
            kind: Some(kind.to_owned()),
            number: Some(number),
            seeded: Some(address),
            kyc: Review::at(Kyc::Active),
            selected: true,
        }
    }

    pub(crate) fn to_json(&self, with_documents: bool) -> Json {
        let mut shown = json!({
            "code": code(self.id),
            "extRef": self.reference,
            "displayName": self.display_name,
            "description": null,
            "currency": self.currency,
            "kycStatus": self.kyc.status.name(),
            "kycMessage": self.kyc.message,
            "selected": self.selected,
            "acceptOtherCurrencies": false,
            "allowedOtherCurrencyCodes": [],
            "accountNumber": self.number,
            "accountType": self.kind,
        });
        if with_documents {
            shown["statement"] = self.statement.clone().unwrap_or_default();
        }
        shown
    }

    /// Where money sent to it goes.
    pub(crate) fn address(&self) -> Address {
        let number = self.number.clone().unwrap_or_default();
        self.seeded.clone().unwrap_or_else(|| Address {
            holder: self.display_name.clone(),
            number: match self.kind.as_deref() {
                Some("IBAN") => Number::Iban(number),
                _ => Number::Bban(number),
            },
            bic: None,
        })
    }

    pub(crate) fn takes(&self, currency: Currency) -> bool {
        self.currency == currency.code()
    }
}

/// What a request says of one.
pub(super) struct Said {
    reference: Option<String>,
    display_name: Option<String>,
    currency: Option<String>,
    statement: Option<Json>,
    kind: Option<String>,
    number: Option<String>,
}

pub(super) fn read(world: &World, fields: &mut Fields<'_>) -> Result<Said, Refusal> {
    let settings = &world.core.config.payaut;
    let known: Vec<&str> = settings.currencies.iter().map(String::as_str).collect();
    let statement = fields.get("statement").cloned();
    if !statement.as_ref().is_none_or(Json::is_object) {
        return Err(fields.invalid("statement", "is an object"));
    }
    let said = Said {
        reference: holders::reference(fields)?,
        display_name: owned(fields, "displayName")?,
        currency: fields
            .optional_currency("currency", &known)?
            .map(|currency| currency.code().to_owned()),
        statement,
        kind: owned(fields, "accountType")?,
        number: owned(fields, "accountNumber")?,
    };
    fields.finish(settings.unknown_parameters)?;
    Ok(said)
}

pub(super) fn unless_used(world: &World, said: &Said, but: Option<Uuid>) -> Result<(), Refusal> {
    let others = world.payaut.externals.iter().filter(|known| Some(known.id) != but);
    let used = others.map(|known| known.reference.as_deref());
    holders::unless_used(world, said.reference.as_deref(), used)
}

/// A new one of a holder.
pub(super) fn add(world: &mut World, holder: Uuid, said: Said, failure: Option<Failure>) -> Uuid {
    let id = world.core.new_id();
    let siblings = world
        .payaut
        .holders
        .get(holder)
        .map_or(0, |found| found.externals.len());
    let external = External {
        id,
        holder,
        reference: said.reference,
        display_name: said.display_name,
        currency: said.currency.unwrap_or_else(|| "EUR".to_owned()),
        statement: said.statement,
        kind: said.kind,
        number: said.number,
        seeded: None,
        kyc: Review::at(Kyc::MissingData),
        selected: siblings == 0 && world.core.config.payaut.first_external_selected,
    };
    let (now, elapsed) = (world.core.now, world.core.elapsed);
    world.payaut.externals.insert(id, now, elapsed, external);
    if let Some(holder) = world.payaut.holders.get_mut(holder) {
        holder.externals.push(id);
    }
    kyc::consider(world, id, true, failure);
    id
}

/// One that comes with its holder: changed where its reference is known, else added.
pub(super) fn put(world: &mut World, holder: Uuid, said: Said) -> Result<(), Refusal> {
    let is_meant =
        |known: &&External| known.holder == holder && said.reference.is_some() && known.reference == said.reference;
    let known = world.payaut.externals.iter().find(is_meant).map(|known| known.id);
    match known {
        Some(id) => change(world, id, said, None),
        None => {
            unless_used(world, &said, None)?;
            add(world, holder, said, None);
        }
    }
    Ok(())
}

/// What is absent stays.
fn change(world: &mut World, id: Uuid, said: Said, failure: Option<Failure>) {
    let Some(known) = world.payaut.externals.get_mut(id) else {
        return;
    };
    let matters = said.statement.is_some() || said.number.is_some() || said.kind.is_some();
    known.reference = said.reference.or(known.reference.take());
    known.display_name = said.display_name.or(known.display_name.take());
    known.statement = said.statement.or(known.statement.take());
    known.kind = said.kind.or(known.kind.take());
    if said.number.is_some() {
        known.number = said.number;
        known.seeded = None;
    }
    if let Some(currency) = said.currency {
        known.currency = currency;
    }
    kyc::consider(world, id, matters, failure);
}

/// The one that the path names, under its holder.
fn named(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let holder = holders::named(world, call)?;
    let id = path_code(call, 1, "the external account")?;
    let external = world.payaut.externals.get(id).filter(|known| known.holder == holder);
    external
        .map(|known| known.id)
        .ok_or_else(|| Refusal::not_found("the external account"))
}

fn show(world: &World, id: Uuid, with_documents: bool) -> Result<Json, Refusal> {
    let external = world.payaut.externals.get(id);
    let shown = external.map(|known| known.to_json(with_documents));
    shown.ok_or_else(Refusal::internal)
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let documents = !fragments(call, &["docs"])?.is_empty();
    let holder = holders::named(world, call)?;
    let page = Numbered::read(world, call)?;
    let rows = Span::sorted(world, call)?.of(world, &world.payaut.externals);
    let rows = rows.into_iter().filter(|known| known.holder == holder);
    Ok(page.page(rows.map(|known| known.to_json(documents)).collect()))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let holder = holders::named(world, call)?;
    let said = read(world, &mut call.fields())?;
    unless_used(world, &said, None)?;
    let id = add(world, holder, said, call.fail_later.clone());
    show(world, id, true)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let documents = !fragments(call, &["docs"])?.is_empty();
    let id = named(world, call)?;
    show(world, id, documents)
}

pub(super) fn update(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let said = read(world, &mut call.fields())?;
    unless_used(world, &said, Some(id))?;
    change(world, id, said, call.fail_later.clone());
    show(world, id, true)
}

/// This one is paid from now on, and no other.
pub(super) fn select(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let holder = holders::named(world, call)?;
    let siblings = world.payaut.holders.get(holder).map(|found| found.externals.clone());
    for sibling in siblings.unwrap_or_default() {
        if let Some(known) = world.payaut.externals.get_mut(sibling) {
            known.selected = sibling == id;
        }
    }
    Ok(nothing(world))
}

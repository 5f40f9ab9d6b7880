//! The banks payers can be at, what can be done in a market, and who an account belongs to.

use serde_json::{Value as Json, json};

use super::address;
use super::wire::{Window, present};
use crate::simulator::contract::Call;
use crate::simulator::core::address::{Address, Number};
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

/// Rows of a page of banks, when none is asked for and at most.
const PAGE: u64 = 1_000;

struct Bank {
    id: &'static str,
    name: &'static str,
    group: &'static str,
    market: &'static str,
    currency: &'static str,
    is_default: bool,
    capabilities: &'static [&'static str],
}

const fn bank(
    id: &'static str,
    name: &'static str,
    group: &'static str,
    market: &'static str,
    currency: &'static str,
    is_default: bool,
    capabilities: &'static [&'static str],
) -> Bank {
    Bank {
        id,
        name,
        group,
        market,
        currency,
        is_default,
        capabilities,
    }
}

const BOTH: &[&str] = &["ais", "pis"];

#[rustfmt::skip]
static BANKS: [Bank; 6] = [
    bank("de-nordlicht-bank", "Nordlicht Bank", "Nordlicht", "DE", "EUR", true, BOTH),
    bank("de-sparkasse-musterstadt", "Sparkasse Musterstadt", "Sparkassen", "DE", "EUR", true, BOTH),
    bank("de-test-bank", "Test Bank", "Test", "DE", "EUR", false, &["pis"]),
    bank("fr-banque-exemple", "Banque Exemple", "Exemple", "FR", "EUR", true, BOTH),
    bank("gb-example-bank", "Example Bank", "Example", "GB", "GBP", true, BOTH),
    bank("nl-voorbeeld-bank", "Voorbeeld Bank", "Voorbeeld", "NL", "EUR", false, &["pis"]),
];

impl Bank {
    fn to_json(&self) -> Json {
        let schemes: &[&str] = match self.currency {
            "GBP" => &["faster_payments"],
            _ => &["sepa", "sepa_instant"],
        };
        json!({
            "id": self.id,
            "name": self.name,
            "currencies": [self.currency],
            "default": self.is_default,
            "test": self.group == "Test",
            "market": [self.market],
            "supportedPaymentSchemes": schemes,
            "capabilities": self.capabilities,
            "group": self.group,
        })
    }
}

fn market<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a str>, Refusal> {
    match fields.optional_text("market")? {
        Some(code) if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            Err(fields.invalid("market", "is a country code of two capitals"))
        }
        market => Ok(market),
    }
}

/// The filters that lists and searches share.
fn filtered<'a>(fields: &mut Fields<'a>) -> Result<impl Fn(&&Bank) -> bool + use<'a>, Refusal> {
    let capability = fields.optional_one_of("capability", BOTH)?;
    let currency = fields.optional_text("currency")?;
    let group = fields.optional_text("group")?;
    let market = market(fields)?;
    // Of a session of the provider's own pages: it narrows nothing here.
    fields.optional_text("sessionId")?;
    Ok(move |bank: &&Bank| {
        capability.is_none_or(|asked| bank.capabilities.contains(&asked))
            && currency.is_none_or(|asked| bank.currency == asked)
            && group.is_none_or(|asked| bank.group == asked)
            && market.is_none_or(|asked| bank.market == asked)
    })
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let wanted = filtered(&mut fields)?;
    let window = Window::bounded(&mut fields, PAGE, PAGE)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let found = BANKS.iter().filter(wanted).map(Bank::to_json);
    Ok(window.page("banks", found.collect()))
}

/// By a part of the name; without one, the default banks.
pub(super) fn search(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let wanted = filtered(&mut fields)?;
    let window = Window::bounded(&mut fields, PAGE, PAGE)?;
    let phrase = fields.optional_text("search")?.unwrap_or("").to_lowercase();
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let named = |bank: &&Bank| match phrase.as_str() {
        "" => bank.is_default,
        phrase => bank.name.to_lowercase().contains(phrase),
    };
    let found = BANKS.iter().filter(wanted).filter(named).map(Bank::to_json);
    Ok(window.page("banks", found.collect()))
}

pub(super) fn details(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = fields.text("id")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let bank = BANKS.iter().find(|bank| bank.id == id).map(Bank::to_json);
    bank.ok_or_else(|| Refusal::not_found("the bank"))
}

pub(super) fn capabilities(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let market = market(&mut fields)?.ok_or_else(|| Refusal::parameter_missing("market"))?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let served = BANKS.iter().any(|bank| bank.market == market);
    Ok(present(json!({ "capabilities": served.then_some(BOTH) })))
}

// --- whose an account is --------------------------------------------------------------------------

/// Compares a name with whom the account belongs to, as far as anybody here knows.
pub(super) fn verify_payee(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let unknown = world.core.config.ivy.unknown_parameters;
    let mut fields = call.fields();
    let payee = fields.object("payee")?;
    let asked = address::read(payee, unknown)?;
    fields.finish(unknown)?;
    let Number::Iban(iban) = &asked.number else {
        return Err(fields.invalid("payee", "is of the type iban"));
    };
    let name = asked.holder.clone().unwrap_or_default();
    let Some(known) = holder(world, &asked, iban) else {
        return Ok(json!({ "status": "not_available" }));
    };
    let (status, suggested) = match compare(&name, &known) {
        Alike::Same => ("match", None),
        Alike::Partly => ("partial_match", Some(known)),
        Alike::Not => ("no_match", None),
    };
    Ok(present(
        json!({ "status": status, "suggestedAccountHolderName": suggested }),
    ))
}

/// In whose name an account is: told by the settings, or an account of this world.
fn holder(world: &World, asked: &Address, iban: &str) -> Option<String> {
    let told = world.core.config.ivy.payees.get(iban).cloned();
    let own = || {
        let mut accounts = world.ivy.accounts.iter().map(|account| account.address.clone());
        accounts.find(|address| address.same_account(asked))?.holder
    };
    let elsewhere = || {
        let accounts = world.augustus.accounts.iter();
        let mut addresses = accounts.flat_map(|account| &account.financial_addresses);
        let found = addresses.find(|address| address.address().same_account(asked))?;
        found.holder().map(str::to_owned)
    };
    told.or_else(own).or_else(elsewhere)
}

#[derive(Debug, PartialEq, Eq)]
enum Alike {
    Same,
    Partly,
    Not,
}

/// Case and order of the words aside; partly where all words of one are in the other.
fn compare(asked: &str, known: &str) -> Alike {
    let words = |name: &str| -> std::collections::BTreeSet<String> {
        name.to_lowercase().split_whitespace().map(str::to_owned).collect()
    };
    let (asked, known) = (words(asked), words(known));
    if asked == known {
        Alike::Same
    } else if asked.is_subset(&known) || known.is_subset(&asked) {
        Alike::Partly
    } else {
        Alike::Not
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_their_words() {
        assert_eq!(compare("erika MUSTERMANN", "Erika Mustermann"), Alike::Same);
        assert_eq!(compare("Mustermann Erika", "Erika Mustermann"), Alike::Same);
        assert_eq!(compare("E Mustermann", "Erika Mustermann"), Alike::Not);
        assert_eq!(compare("Mustermann", "Erika Mustermann"), Alike::Partly);
        assert_eq!(compare("Max Mustermann", "Erika Mustermann"), Alike::Not);
    }
}

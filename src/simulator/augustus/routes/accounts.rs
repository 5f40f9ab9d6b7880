//! Accounts and account programs.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::augustus::lifecycle::account_active;
use crate::simulator::augustus::page::page;
use crate::simulator::augustus::resources::{Account, AccountStatus, FinancialAddress, Program, is_fiat, stamp};
use crate::simulator::augustus::state::{available, new_address};
use crate::simulator::config::UnknownParameters;
use crate::simulator::contract::Call;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

fn find(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let id = call.id()?;
    match world.augustus.accounts.get(id) {
        Some(_) => Ok(id),
        None => Err(Refusal::not_found("the account")),
    }
}

fn find_program<'a>(world: &'a World, call: &Call) -> Result<&'a Program, Refusal> {
    let program = world.augustus.programs.get(call.id()?);
    program.ok_or_else(|| Refusal::not_found("the account program"))
}

pub(super) fn list_programs(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    page(world, call, &world.augustus.programs, |_| true, Program::to_json)
}

pub(super) fn retrieve_program(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    Ok(find_program(world, call)?.to_json())
}

pub(super) fn program_balance(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let program = find_program(world, call)?;
    let amount = world
        .augustus
        .accounts
        .iter()
        .filter(|account| account.program == Some(program.id))
        .filter(|account| matches!(account.status, AccountStatus::Active | AccountStatus::Frozen))
        .try_fold(Money::zero(program.currency), |sum, account| {
            sum.checked_add(available(&world.core, account))
        })
        .map_err(|_| Refusal::internal())?;
    Ok(json!({
        "id": program.id,
        "type": "account_program_balance",
        "amount": amount.amount().to_string(),
        "currency": program.currency,
        "as_of": stamp(world.core.now),
    }))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let query = &call.query;
    let status = query.one_of("status", &["pending", "active", "frozen"])?;
    let parent = query.uuid("parent_id")?;
    let number = query.one("account_number")?;
    let holder = query.one("account_holder_name")?.map(str::to_lowercase);
    let has_number = |account: &Account, number: &str| {
        is_fiat(account.currency)
            && account
                .financial_addresses
                .iter()
                .any(|address| address.number() == number)
    };
    let has_holder = |account: &Account, phrase: &str| {
        account
            .financial_addresses
            .iter()
            .filter_map(FinancialAddress::holder)
            .any(|name| name.to_lowercase().contains(phrase))
    };
    let keep = |account: &Account| {
        status.is_none_or(|status| account.status.name() == status)
            && parent.is_none_or(|parent| account.program == Some(parent))
            && number.is_none_or(|number| has_number(account, number))
            && holder.as_ref().is_none_or(|phrase| has_holder(account, phrase))
    };
    page(world, call, &world.augustus.accounts, keep, Account::to_json)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = find(world, call)?;
    shown(world, id)
}

fn shown(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let account = world.augustus.accounts.get(id).map(Account::to_json);
    account.ok_or_else(|| Refusal::not_found("the account"))
}

pub(super) fn balance(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = find(world, call)?;
    let account = world
        .augustus
        .accounts
        .get(id)
        .ok_or_else(|| Refusal::not_found("the account"))?;
    Ok(json!({
        "type": "account_balance",
        "account_id": account.id,
        "amount": available(&world.core, account).amount().to_string(),
        "currency": account.currency,
        "as_of": stamp(world.core.now),
    }))
}

fn change(world: &mut World, call: &Call, from: AccountStatus, to: AccountStatus) -> Result<Json, Refusal> {
    let id = find(world, call)?;
    let now: Instant = world.core.now;
    if let Some(account) = world.augustus.accounts.get_mut(id) {
        if account.status != from {
            let message = format!("the account is {}, not {}", account.status.name(), from.name());
            return Err(Refusal::conflict(message));
        }
        account.status = to;
        account.updated_at = now;
    }
    shown(world, id)
}

pub(super) fn freeze(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    change(world, call, AccountStatus::Active, AccountStatus::Frozen)
}

pub(super) fn unfreeze(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    change(world, call, AccountStatus::Frozen, AccountStatus::Active)
}

/// Terminal, and only from frozen.
pub(super) fn close(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    fields.one_of("reason", &["aml_risk_fraud", "client_request"])?;
    fields.finish(world.core.config.unknown_parameters)?;
    change(world, call, AccountStatus::Frozen, AccountStatus::Closed)
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let program = fields.uuid("account_program_id")?;
    fields.one_of("account_type", &["virtual_account"])?;
    let legal_name = beneficiary(fields.object("beneficiary_data")?)?;
    // The one request whose schema closes itself against unknown fields.
    fields.finish(UnknownParameters::Refuse)?;
    let currency = world
        .augustus
        .programs
        .get(program)
        .ok_or_else(|| Refusal::not_found("the account program"))?
        .currency;
    let id = world.core.new_id();
    let account = Account {
        id,
        program: Some(program),
        currency,
        label: legal_name.clone(),
        status: AccountStatus::Pending,
        financial_addresses: vec![new_address(&mut world.core, currency, &legal_name)],
        created_at: world.core.now,
        updated_at: world.core.now,
    };
    let listed_from = world.core.listed_from(call.unlisted_ms);
    world.augustus.accounts.insert(id, world.core.now, listed_from, account);
    world
        .core
        .plan_step(world.core.config.lifecycle.account_active_ms, id, account_active);
    shown(world, id)
}

/// The person behind a virtual account; gives the legal name.
fn beneficiary(mut fields: Fields<'_>) -> Result<String, Refusal> {
    let legal_name = fields.bounded("legal_name", 1, 255)?.to_owned();
    let born = fields.text("date_of_birth")?;
    if chrono::NaiveDate::parse_from_str(born, "%Y-%m-%d").is_err() || born.len() != 10 {
        return Err(fields.invalid("date_of_birth", "is a date such as 1990-01-31"));
    }
    let citizenship = country(&mut fields, "country_of_citizenship")?;
    let mut papers = fields.object("identification")?;
    let kinds: &[&str] = if citizenship == "US" { &["ssn", "itin"] } else { &["id"] };
    let kind = papers.one_of("type", kinds)?;
    let value = papers.bounded("value", 1, 255)?;
    let fits = match kind {
        "ssn" => is_tax_number(value),
        "itin" => is_tax_number(value) && value.starts_with('9'),
        _ => true,
    };
    if !fits {
        return Err(papers.invalid("value", "is three, two and four digits with hyphens"));
    }
    papers.finish(UnknownParameters::Refuse)?;
    let mut address = fields.object("residential_address")?;
    address.bounded("street_line_1", 1, 255)?;
    if address.optional_text("street_line_2")?.is_some() {
        address.bounded("street_line_2", 0, 255)?;
    }
    address.bounded("city", 1, 255)?;
    address.bounded("postal_code", 1, 30)?;
    if country(&mut address, "country")? == "US" {
        address.bounded("state", 2, 2)?;
    }
    address.finish(UnknownParameters::Refuse)?;
    fields.finish(UnknownParameters::Refuse)?;
    Ok(legal_name)
}

fn country<'a>(fields: &mut Fields<'a>, field: &'static str) -> Result<&'a str, Refusal> {
    let code = fields.text(field)?;
    if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(code);
    }
    Err(fields.invalid(field, "is a country code of two capitals"))
}

fn is_tax_number(text: &str) -> bool {
    let pattern = "###-##-####";
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).all(|(letter, wanted)| match wanted {
            '#' => letter.is_ascii_digit(),
            other => letter == other,
        })
}

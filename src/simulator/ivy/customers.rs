//! Customers and subaccounts: what the shop remembers of others. No money is in them.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::wire::{Window, listed, metadata, plain, plain_id, present, time};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

/// A person; what is known stands under the names the API gives it.
#[derive(Debug)]
pub(crate) struct Customer {
    id: Uuid,
    known: Map<String, Json>,
    deleted_at: Option<Instant>,
}

impl Customer {
    fn to_json(&self) -> Json {
        let mut shown = self.known.clone();
        shown.insert("id".to_owned(), json!(plain(self.id)));
        shown.insert("bankAccounts".to_owned(), json!([]));
        if let Some(at) = self.deleted_at {
            shown.insert("deleted".to_owned(), json!(true));
            shown.insert("deletedAt".to_owned(), time(at));
        }
        Json::Object(shown)
    }
}

/// What can be said of a customer, each only if it is given.
const TEXTS: [&str; 4] = ["dateOfBirth", "email", "fullName", "phone"];
const ADDRESS: [&str; 6] = ["country", "city", "line1", "line2", "region", "zipCode"];

fn read(fields: &mut Fields<'_>, world: &World) -> Result<Map<String, Json>, Refusal> {
    let mut known = Map::new();
    for field in TEXTS {
        let Some(text) = fields.optional_text(field)? else {
            continue;
        };
        if !is_well_formed(field, text) {
            return Err(fields.invalid(field, "is not of the form it should have"));
        }
        known.insert(field.to_owned(), json!(text));
    }
    if let Some(mut address) = fields.optional_object("address")? {
        let country = address.text("country")?;
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(address.invalid("country", "is a country code of two capitals"));
        }
        let mut written = Map::new();
        for field in ADDRESS {
            if let Some(text) = address.optional_text(field)? {
                written.insert(field.to_owned(), json!(text));
            }
        }
        address.finish(world.core.config.ivy.unknown_parameters)?;
        known.insert("address".to_owned(), Json::Object(written));
    }
    if let Some(metadata) = metadata(fields)? {
        known.insert("metadata".to_owned(), Json::Object(metadata));
    }
    Ok(known)
}

fn is_well_formed(field: &str, text: &str) -> bool {
    match field {
        "dateOfBirth" => chrono::NaiveDate::parse_from_str(text.get(..10).unwrap_or(""), "%Y-%m-%d").is_ok(),
        "email" => text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.')),
        "phone" => text
            .strip_prefix('+')
            .is_some_and(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())),
        _ => !text.is_empty(),
    }
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let known = read(&mut fields, world)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let id = world.core.new_id();
    let customer = Customer {
        id,
        known,
        deleted_at: None,
    };
    let shown = customer.to_json();
    let lag = world.core.config.ivy.visibility_lag_ms.saturating_add(call.unlisted_ms);
    let listed_from = world.core.listed_after(lag);
    world.ivy.customers.insert(id, world.core.now, listed_from, customer);
    Ok(shown)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = plain_id(&mut fields, "the customer")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let customer = world.ivy.customers.get(id).map(Customer::to_json);
    customer.ok_or_else(|| Refusal::not_found("the customer"))
}

/// What is given is changed, `null` empties; an address that lacks a member the old one had is ignored.
pub(super) fn update(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = plain_id(&mut fields, "the customer")?;
    let mut changed = read(&mut fields, world)?;
    let nullable = TEXTS.into_iter().chain(["address"]);
    let emptied: Vec<&str> = nullable.filter(|field| fields.is_null(field)).collect();
    if fields.is_null("metadata") {
        return Err(fields.invalid("metadata", "is an object"));
    }
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let customer = world.ivy.customers.get_mut(id);
    let customer = customer
        .filter(|customer| customer.deleted_at.is_none())
        .ok_or_else(|| Refusal::not_found("the customer"))?;
    let members = |map: &Map<String, Json>| -> Vec<String> {
        let address = map.get("address").and_then(Json::as_object);
        address.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let (old, new) = (members(&customer.known), members(&changed));
    if !new.is_empty() && !old.iter().all(|name| new.contains(name)) {
        changed.remove("address");
    }
    customer.known.extend(changed);
    for field in emptied {
        customer.known.remove(field);
    }
    Ok(customer.to_json())
}

/// Wipes what is personal; what is left says that there was somebody.
pub(super) fn delete(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = plain_id(&mut fields, "the customer")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let now = world.core.now;
    let customer = world.ivy.customers.get_mut(id);
    let customer = customer
        .filter(|customer| customer.deleted_at.is_none())
        .ok_or_else(|| Refusal::not_found("the customer"))?;
    customer.known.clear();
    customer.deleted_at = Some(now);
    Ok(json!({ "success": true }))
}

pub(super) fn search(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let email = fields.optional_text("email")?;
    let phone = fields.optional_text("phone")?;
    let window = Window::read(&world.core, &mut fields)?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let is = |customer: &Customer, field: &str, asked: Option<&str>| {
        asked.is_none_or(|asked| customer.known.get(field).and_then(Json::as_str) == Some(asked))
    };
    let found = listed(&world.core, &world.ivy.customers)
        .into_iter()
        .filter(|customer| customer.deleted_at.is_none())
        .filter(|customer| is(customer, "email", email) && is(customer, "phone", phone))
        .map(Customer::to_json);
    Ok(window.page("items", found.collect()))
}

// --- subaccounts ----------------------------------------------------------------------------------

/// A company on whose behalf the shop collects.
#[derive(Debug)]
pub(crate) struct Subaccount {
    id: Uuid,
    legal_name: String,
    mcc: String,
    website: Option<String>,
    created_at: Instant,
}

impl Subaccount {
    fn to_json(&self, world: &World) -> Json {
        present(json!({
            "id": self.id,
            "legalName": self.legal_name,
            "mcc": self.mcc,
            "ownerId": world.ivy.merchant_id,
            "status": "active",
            "createdAt": time(self.created_at),
            "updatedAt": time(self.created_at),
            "websiteUrl": self.website,
        }))
    }
}

/// Which symbols a name may not have is not told; these are in no company's.
const FORBIDDEN: &str = "<>{}[]|\\^~`";

pub(super) fn create_subaccount(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let legal_name = fields.bounded("legalName", 1, 120)?.to_owned();
    if legal_name.chars().any(|letter| FORBIDDEN.contains(letter)) {
        return Err(fields.invalid("legalName", "has a symbol that is not allowed"));
    }
    let mcc = fields.bounded("mcc", 4, 4)?.to_owned();
    if !mcc.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fields.invalid("mcc", "has four digits"));
    }
    let website = fields.optional_text("websiteUrl")?.map(str::to_owned);
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let id = world.core.new_id();
    let subaccount = Subaccount {
        id,
        legal_name,
        mcc,
        website,
        created_at: world.core.now,
    };
    let shown = subaccount.to_json(world);
    world
        .ivy
        .subaccounts
        .insert(id, world.core.now, world.core.elapsed, subaccount);
    Ok(shown)
}

pub(super) fn retrieve_subaccount(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let id = fields.uuid("id")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    let subaccount = world
        .ivy
        .subaccounts
        .get(id)
        .map(|subaccount| subaccount.to_json(world));
    subaccount.ok_or_else(|| Refusal::not_found("the subaccount"))
}

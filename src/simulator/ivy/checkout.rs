//! Checkout sessions: open until the payer finishes, which makes an order, or until their time is over.

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::address;
use super::config::DuplicateReference;
use super::orders::{self, CURRENCIES, NewOrder};
use super::wire::{amount, metadata, number, plain, plain_id, present, time};
use crate::base::clock::Instant;
use crate::base::money::{Currency, Money};
use crate::simulator::config::UnknownParameters;
use crate::simulator::contract::Call;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

/// How long a session is open when nothing is said, and the bounds of what can be said.
const OPEN_SECS: i64 = 60 * 60;
const OPEN_SECS_MIN: i64 = 5 * 60;
const OPEN_SECS_MAX: i64 = 6 * 24 * 60 * 60;

const LOCALES: [&str; 12] = ["de", "nl", "en", "fr", "es", "fi", "it", "pt", "sv", "pl", "sk", "lt"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Open,
    Closed,
    Expired,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    id: Uuid,
    total: Money,
    reference: String,
    direct: bool,
    customer: Map<String, Json>,
    subaccount: Option<String>,
    metadata: Option<Map<String, Json>>,
    /// What was asked for beside that and is shown as it was sent.
    given: Map<String, Json>,
    status: Status,
    created_at: Instant,
    updated_at: Instant,
    expires_at: Instant,
}

impl Session {
    pub(crate) fn to_json(&self, world: &World) -> Json {
        let settings = &world.core.config.ivy;
        let (id, shop) = (plain(self.id), world.ivy.shop_id.to_string());
        let mut shown = json!({
            "id": id,
            "appId": shop,
            "merchantAppId": shop,
            "created": self.created_at.timestamp(),
            "expiresAt": self.expires_at.timestamp(),
            "displayId": self.reference,
            "errorCallbackUrl": "",
            "successCallbackUrl": "",
            "lineItems": [],
            "merchant": { "id": world.ivy.merchant_id, "appId": shop, "legalName": settings.legal_name },
            "redirectUrl": format!("https://checkout.example/{id}"),
            "referenceId": self.reference,
            "status": self.status.name(),
            "price": { "total": number(self.total, settings.numbers), "currency": self.total.currency() },
            "createdAt": time(self.created_at),
            "updatedAt": time(self.updated_at),
            "customer": self.customer.get("id").map(|id| json!({ "id": id })),
            "metadata": self.metadata,
            "subaccountId": self.subaccount,
        });
        for (name, value) in &self.given {
            shown[name.as_str()] = value.clone();
        }
        present(shown)
    }
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let unknown = world.core.config.ivy.unknown_parameters;
    let mut fields = call.fields();
    let mut given = Map::new();
    let (total, price) = price(&mut fields, unknown)?;
    given.insert("price".to_owned(), price);
    let reference = fields.bounded("referenceId", 1, 200)?.to_owned();
    let direct = direct(&mut fields, unknown)?;
    let customer = orders::customer(&mut fields, world)?;
    let expires_at = expires_at(&mut fields, world)?;
    let metadata = metadata(&mut fields)?;
    let subaccount = fields.optional_text("subaccountId")?.map(str::to_owned);
    words(&mut fields, &mut given)?;
    parts(&mut fields, &mut given, unknown)?;
    fields.finish(unknown)?;
    let taken = world.ivy.sessions.iter().any(|session| session.reference == reference);
    if taken && world.core.config.ivy.duplicate_reference == DuplicateReference::Conflict {
        return Err(Refusal::conflict("the referenceId was used before"));
    }
    if direct {
        given.insert("paymentMode".to_owned(), json!("direct"));
    }
    let (id, now) = (world.core.new_id(), world.core.now);
    let session = Session {
        id,
        total,
        reference,
        direct,
        customer,
        subaccount,
        metadata,
        given,
        status: Status::Open,
        created_at: now,
        updated_at: now,
        expires_at,
    };
    let shown = session.to_json(world);
    world.ivy.sessions.insert(id, now, world.core.elapsed, session);
    world.core.emit(&CONTRACT, "checkout_session_created", shown.clone());
    let open_ms = expires_at.signed_duration_since(now).num_milliseconds();
    let open_ms = u64::try_from(open_ms).unwrap_or_default();
    world.core.plan_step(open_ms, id, expires);
    Ok(shown)
}

/// The total, and the price as it was sent.
fn price(fields: &mut Fields<'_>, unknown: UnknownParameters) -> Result<(Money, Json), Refusal> {
    let mut price = fields.object("price")?;
    let currency = price.currency("currency", &CURRENCIES)?;
    let total = amount(&mut price, "total", currency, Decimal::new(1, 2))?;
    for part in ["subTotal", "shipping", "totalNet", "vat"] {
        part_of(&mut price, part, currency)?;
    }
    price.finish(unknown)?;
    let sent = fields.get("price").cloned().unwrap_or_default();
    Ok((total, sent))
}

/// A part of a price, which may be nothing.
fn part_of(fields: &mut Fields<'_>, field: &'static str, currency: Currency) -> Result<(), Refusal> {
    match fields.optional_number(field)? {
        Some(number) if Money::from_decimal(number, currency).is_err() => {
            Err(fields.invalid(field, "has more decimals than its currency"))
        }
        Some(number) if number.is_sign_negative() => Err(fields.invalid(field, "is not below zero")),
        _ => Ok(()),
    }
}

/// Whether the money goes straight to another account, which then has to be named.
fn direct(fields: &mut Fields<'_>, unknown: UnknownParameters) -> Result<bool, Refusal> {
    let direct = fields.optional_one_of("paymentMode", &["direct", "settlement"])? == Some("direct");
    let Some(mut destination) = fields.optional_object("settlementDestination")? else {
        return match direct {
            true => Err(Refusal::parameter_missing("settlementDestination")),
            false => Ok(false),
        };
    };
    destination.bounded("reference", 1, usize::MAX)?;
    for field in ["bankAddress", "financialAddress"] {
        if let Some(at) = destination.optional_object(field)? {
            address::read(at, unknown)?;
        }
    }
    destination.finish(unknown)?;
    Ok(direct)
}

fn expires_at(fields: &mut Fields<'_>, world: &World) -> Result<Instant, Refusal> {
    fields.optional_count("created", 0, u64::from(u32::MAX))?;
    let now = world.core.now.timestamp();
    let asked = fields.optional_count("expiresAt", 0, u64::from(u32::MAX))?;
    let at = asked
        .and_then(|secs| i64::try_from(secs).ok())
        .unwrap_or(now + OPEN_SECS);
    if !(now + OPEN_SECS_MIN..=now + OPEN_SECS_MAX).contains(&at) {
        return Err(fields.invalid("expiresAt", "is 5 minutes to 6 days ahead, in Unix seconds"));
    }
    Instant::from_timestamp(at, 0).ok_or_else(Refusal::internal)
}

/// The single words and texts, shown as they were sent.
fn words<'a>(fields: &mut Fields<'a>, given: &mut Map<String, Json>) -> Result<(), Refusal> {
    let mut keep = |field: &str, text: Option<&'a str>| {
        if let Some(text) = text {
            given.insert(field.to_owned(), json!(text));
        }
    };
    for field in [
        "successCallbackUrl",
        "errorCallbackUrl",
        "completeCallbackUrl",
        "quoteCallbackUrl",
    ] {
        let url = fields.optional_text(field)?;
        if url.is_some_and(|url| !(url.starts_with("https://") || url.starts_with("http://"))) {
            return Err(fields.invalid(field, "is an address"));
        }
        keep(field, url);
    }
    if fields.get("displayId").is_some() {
        keep("displayId", Some(fields.bounded("displayId", 1, 200)?));
    }

    keep("locale", fields.optional_one_of("locale", &LOCALES)?);
    let market = fields.optional_text("market")?;
    if market.is_some_and(|code| code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase())) {
        return Err(fields.invalid("market", "is a country code of two capitals"));
    }
    keep("market", market);
    let schemes = ["instant_preferred", "standard", "instant_only"];
    keep(
        "paymentSchemeSelection",
        fields.optional_one_of("paymentSchemeSelection", &schemes)?,
    );
    fields.optional_one_of("themeVariant", &["light", "dark"])?;
    for field in ["disableBankSelection", "express"] {
        if let Some(value) = fields.optional_bool(field)? {
            given.insert(field.to_owned(), json!(value));
        }
    }
    Ok(())
}

/// Addresses and items: read for their form, shown as they were sent.
fn parts(fields: &mut Fields<'_>, given: &mut Map<String, Json>, unknown: UnknownParameters) -> Result<(), Refusal> {
    if let Some(mut prefill) = fields.optional_object("prefill")? {
        let bank = prefill.optional_text("bankId")?;
        if !bank.is_none_or(is_bank_id) {
            return Err(prefill.invalid("bankId", "is the id of a bank"));
        }
        prefill.finish(unknown)?;
    }
    if let Some(mut billing) = fields.optional_object("billingAddress")? {
        for field in ["line1", "city", "zipCode", "country"] {
            billing.bounded(field, 1, usize::MAX)?;
        }
        for field in ["line2", "region", "firstName", "lastName"] {
            billing.optional_text(field)?;
        }
        billing.finish(unknown)?;
    }
    for mut item in fields.optional_objects("lineItems")?.unwrap_or_default() {
        item.bounded("name", 1, usize::MAX)?;
        for field in ["amount", "singleNet", "singleVat"] {
            if item.optional_number(field)?.is_none() {
                return Err(Refusal::parameter_missing(item.name(field)));
            }
        }
        item.optional_number("quantity")?;
        for field in ["image", "EAN", "referenceId", "category"] {
            item.optional_text(field)?;
        }
        item.finish(unknown)?;
    }
    for field in ["prefill", "billingAddress", "lineItems"] {
        if let Some(value) = fields.get(field) {
            given.insert(field.to_owned(), value.clone());
        }
    }
    Ok(())
}

/// Two letters, a hyphen, and letters of a few kinds.
fn is_bank_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(country, rest)| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+/-".contains(&byte);
        country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_lowercase())
            && !rest.is_empty()
            && rest.bytes().all(allowed)
    })
}

fn named(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let mut fields = call.fields();
    let id = plain_id(&mut fields, "the checkout session")?;
    fields.finish(world.core.config.ivy.unknown_parameters)?;
    Ok(id)
}

fn shown(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let session = world.ivy.sessions.get(id).map(|session| session.to_json(world));
    session.ok_or_else(|| Refusal::not_found("the checkout session"))
}

pub(super) fn details(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    shown(world, id)
}

pub(super) fn expire(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    match expires(world, id) {
        Ok(()) => shown(world, id),
        Err(StepError::NotFound) => Err(Refusal::not_found("the checkout session")),
        Err(_) => Err(Refusal::conflict("the checkout session is not open")),
    }
}

// --- steps --------------------------------------------------------------------------------------

fn to(world: &mut World, id: Uuid, next: Status, event: &'static str) -> Result<(), StepError> {
    let now = world.core.now;
    let session = world.ivy.sessions.get_mut(id).ok_or(StepError::NotFound)?;
    if session.status != Status::Open {
        return Err(StepError::Illegal(session.status.name()));
    }
    session.status = next;
    session.updated_at = now;
    if let Some(shown) = world.ivy.sessions.get(id).map(|session| session.to_json(world)) {
        world.core.emit(&CONTRACT, "checkout_session_updated", shown.clone());
        world.core.emit(&CONTRACT, event, shown);
    }
    Ok(())
}

fn expires(world: &mut World, id: Uuid) -> Result<(), StepError> {
    to(world, id, Status::Expired, "checkout_session_expired")
}

/// The payer has finished: there is an order now, with the metadata of the session.
fn completes(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let session = world.ivy.sessions.get(id).ok_or(StepError::NotFound)?;
    let account = world.ivy.default_account(session.total.currency());
    let order = NewOrder {
        amount: session.total,
        reference: session.reference.clone(),
        account: account.ok_or(StepError::Illegal("without an account to pay to"))?,
        manual: false,
        direct: session.direct,
        customer: session.customer.clone(),
        subaccount: session.subaccount.clone(),
        metadata: session.metadata.clone(),
    };
    to(world, id, Status::Closed, "checkout_session_completed")?;
    orders::open(world, order, "CHECKOUT_COMPLETED");
    Ok(())
}

/// Moves a session to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "closed" => completes(world, id),
        "expired" => expires(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}

//! Account holders: sellers, what is known of them, and their way to hosted onboarding.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::accounts::Account;
use super::config::{Duplicate, HolderSeed, Kyc};
use super::error::bad_request;
use super::externals;
use super::kyc::{self, Review};
use super::wire::{self, Numbered, Span, code, fragments, nothing, owned, path_code};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::answer::Form;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

/// What reads of holders can show besides.
const FRAGMENTS: [&str; 4] = ["extacc", "docs", "accounts", "ubo"];

/// The longest that an address of hosted onboarding lives, in minutes.
const EXPIRATION_MAX: u64 = 20_160;
/// How long it lives when a request does not say.
const EXPIRATION_DEFAULT: u64 = 2_880;

#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) id: Uuid,
    pub(crate) reference: Option<String>,
    pub(crate) display_name: Option<String>,
    description: Option<String>,
    pub(crate) legal_entity: Map<String, Json>,
    pub(crate) kyc: Review,
    pub(crate) accounts: Vec<Uuid>,
    pub(crate) externals: Vec<Uuid>,
    pub(crate) ubos: Vec<Uuid>,
    created_at: Instant,
    deleted: bool,
}

impl Holder {
    /// One of the beginning.
    pub(crate) fn seeded(id: Uuid, seed: &HolderSeed, at: Instant) -> Self {
        let mut legal_entity = Map::new();
        legal_entity.insert("legalName".to_owned(), json!(seed.label));
        legal_entity.insert("address".to_owned(), json!({ "country": "DEU" }));
        legal_entity.insert("documents".to_owned(), json!([{ "type": "PASSPORT" }]));
        Self {
            id,
            reference: seed.reference.clone(),
            display_name: Some(seed.label.clone()),
            description: None,
            legal_entity,
            kyc: Review::at(seed.kyc),
            accounts: Vec::new(),
            externals: Vec::new(),
            ubos: Vec::new(),
            created_at: at,
            deleted: false,
        }
    }

    /// What `docs` adds stays away without it.
    fn legal_entity(&self, with_documents: bool) -> Json {
        let shown = self.legal_entity.iter();
        let shown = shown.filter(|(name, _)| with_documents || *name != "documents");
        shown.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    pub(crate) fn to_json(&self, world: &World, fragments: &[String]) -> Json {
        let has = |name: &str| fragments.iter().any(|asked| asked == name);
        let payaut = &world.payaut;
        let mut shown = json!({
            "code": code(self.id),
            "createdAt": self.created_at.date_naive().to_string(),
            "description": self.description,
            "displayName": self.display_name,
            "extRef": self.reference,
            "legalEntity": self.legal_entity(has("docs")),
            "status": { "kycStatus": self.kyc.status.name(), "message": self.kyc.message },
            "tier": "LIGHT_KYC",
        });
        if has("accounts") {
            let accounts = self.accounts.iter().filter_map(|id| payaut.accounts.get(*id));
            shown["accounts"] = accounts.map(|account| account.to_json(world)).collect();
        }
        if has("extacc") {
            let externals = self.externals.iter().filter_map(|id| payaut.externals.get(*id));
            shown["externalAccounts"] = externals.map(|external| external.to_json(has("docs"))).collect();
        }
        if has("ubo") {
            let ubos = self.ubos.iter().filter_map(|id| payaut.ubos.get(*id));
            shown["ubos"] = ubos.map(|ubo| ubo.to_json(has("docs"))).collect();
        }
        shown
    }
}

/// Whether the API knows this holder.
fn is_shown(world: &World, holder: &Holder) -> bool {
    !holder.deleted && (holder.id != world.payaut.marketplace || world.core.config.payaut.marketplace_listed)
}

/// The holder that the path names.
pub(super) fn named(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let id = path_code(call, 0, "the account holder")?;
    let holder = world.payaut.holders.get(id);
    let holder = holder.filter(|holder| is_shown(world, holder));
    holder
        .map(|holder| holder.id)
        .ok_or_else(|| Refusal::not_found("the account holder"))
}

fn show(world: &World, id: Uuid, fragments: &[String]) -> Result<Json, Refusal> {
    let holder = world.payaut.holders.get(id);
    let shown = holder.map(|holder| holder.to_json(world, fragments));
    shown.ok_or_else(Refusal::internal)
}

/// Everything a change answers with.
fn show_all(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let with = ["accounts".to_owned(), "extacc".to_owned(), "docs".to_owned()];
    show(world, id, &with)
}

/// What a request says of a holder.
struct Said {
    description: Option<String>,
    display_name: Option<String>,
    reference: Option<String>,
    externals: Vec<externals::Said>,
    legal_entity: Map<String, Json>,
}

fn read(world: &World, call: &Call) -> Result<Said, Refusal> {
    let unknown = world.core.config.payaut.unknown_parameters;
    let mut fields = call.fields();
    let legal_entity = match fields.get("legalEntity") {
        None => return Err(Refusal::parameter_missing("legalEntity")),
        Some(Json::Object(map)) => map.clone(),
        Some(_) => return Err(fields.invalid("legalEntity", "is an object")),
    };
    let externals = fields.optional_objects("externalAccounts")?.unwrap_or_default();
    let mut read = Vec::new();
    for mut external in externals {
        read.push(externals::read(world, &mut external)?);
    }
    let said = Said {
        description: owned(&mut fields, "description")?,
        display_name: owned(&mut fields, "displayName")?,
        reference: reference(&mut fields)?,
        externals: read,
        legal_entity,
    };
    fields.finish(unknown)?;
    Ok(said)
}

/// A client's own reference: some text.
pub(super) fn reference(fields: &mut Fields<'_>) -> Result<Option<String>, Refusal> {
    match fields.optional_text("extRef")? {
        Some("") => Err(fields.invalid("extRef", "is not empty")),
        text => Ok(text.map(str::to_owned)),
    }
}

/// Refuses a second one of the same reference, where the settings say so.
pub(super) fn unless_used<'a>(
    world: &World,
    reference: Option<&str>,
    mut used: impl Iterator<Item = Option<&'a str>>,
) -> Result<(), Refusal> {
    let refuses = world.core.config.payaut.duplicate_reference == Duplicate::Conflict;
    let is_used = reference.is_some() && used.any(|known| known == reference);
    if refuses && is_used {
        return Err(Refusal::conflict("the extRef is in use already"));
    }
    Ok(())
}

fn references(world: &World, but: Option<Uuid>) -> impl Iterator<Item = Option<&str>> {
    let others = world.payaut.holders.iter().filter(move |holder| Some(holder.id) != but);
    others
        .filter(|holder| !holder.deleted)
        .map(|holder| holder.reference.as_deref())
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let asked = fragments(call, &FRAGMENTS)?;
    let page = Numbered::read(world, call)?;
    let rows = Span::sorted(world, call)?.of(world, &world.payaut.holders);
    let rows = rows.into_iter().filter(|holder| is_shown(world, holder));
    Ok(page.page(rows.map(|holder| holder.to_json(world, &asked)).collect()))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let said = read(world, call)?;
    unless_used(world, said.reference.as_deref(), references(world, None))?;
    for external in &said.externals {
        externals::unless_used(world, external, None)?;
    }
    let id = world.core.new_id();
    let holder = Holder {
        id,
        reference: said.reference,
        display_name: said.display_name.clone(),
        description: said.description,
        legal_entity: said.legal_entity,
        kyc: Review::at(Kyc::MissingData),
        accounts: Vec::new(),
        externals: Vec::new(),
        ubos: Vec::new(),
        created_at: world.core.now,
        deleted: false,
    };
    let listed_from = listed_from(world, call);
    world.payaut.holders.insert(id, world.core.now, listed_from, holder);
    if world.core.config.payaut.account_by_default {
        open_account(world, id);
    }
    for external in said.externals {
        externals::add(world, id, external, None);
    }
    kyc::consider(world, id, true, call.fail_later.clone());
    show_all(world, id)
}

/// From when lists show what a call makes.
pub(super) fn listed_from(world: &World, call: &Call) -> std::time::Duration {
    let lag = world.core.config.payaut.visibility_lag_ms;
    world.core.listed_after(lag.saturating_add(call.unlisted_ms))
}

/// A virtual account for a holder.
pub(super) fn open_account(world: &mut World, holder: Uuid) {
    let id = world.core.new_id();
    let Some(found) = world.payaut.holders.get_mut(holder) else {
        return;
    };
    found.accounts.push(id);
    let account = Account {
        id,
        holder,
        display_name: found.display_name.clone().unwrap_or_default(),
        liable: false,
    };
    let (now, elapsed) = (world.core.now, world.core.elapsed);
    world.payaut.accounts.insert(id, now, elapsed, account);
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let asked = fragments(call, &FRAGMENTS)?;
    let id = named(world, call)?;
    show(world, id, &asked)
}

/// What is absent stays. What matters to KYC sends it back, though it be the same as before.
pub(super) fn update(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let said = read(world, call)?;
    unless_used(world, said.reference.as_deref(), references(world, Some(id)))?;
    let restart = world.core.config.payaut.kyc_restart;
    let holder = world.payaut.holders.get(id).ok_or_else(Refusal::internal)?;
    let forms = [&said.legal_entity, &holder.legal_entity].map(|entity| entity.get("legalForm"));
    if matches!(forms, [Some(sent), Some(known)] if sent != known) {
        let message = "legalEntity.legalForm cannot be changed";
        return Err(Refusal::parameter_invalid("legalEntity.legalForm", message));
    }
    let matters = kyc::restarts(restart, &holder.legal_entity, &said.legal_entity);
    if let Some(holder) = world.payaut.holders.get_mut(id) {
        holder.description = said.description.or(holder.description.take());
        holder.display_name = said.display_name.or(holder.display_name.take());
        holder.reference = said.reference.or(holder.reference.take());
        holder.legal_entity.extend(said.legal_entity);
    }
    for external in said.externals {
        externals::put(world, id, external)?;
    }
    kyc::consider(world, id, matters, call.fail_later.clone());
    show_all(world, id)
}

/// Not while money is there: what would become of it is not documented.
pub(super) fn delete(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let holder = world.payaut.holders.get(id).ok_or_else(Refusal::internal)?;
    let accounts = holder.accounts.iter().filter_map(|id| world.payaut.accounts.get(*id));
    let mut holds = accounts.flat_map(|account| account.balances(world));
    if holds.any(|amount| !amount.is_zero()) {
        return Err(Refusal::conflict("there is money on an account of the holder"));
    }
    if let Some(holder) = world.payaut.holders.get_mut(id) {
        holder.deleted = true;
    }
    Ok(nothing(world))
}

/// The address of hosted onboarding, as text.
pub(super) fn onboarding(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let redirect = call.query.one("redirectUrl").map_err(bad_request)?;
    let lives = wire::minutes(call, "expirationTime", EXPIRATION_MAX, EXPIRATION_DEFAULT)?;
    let expires = (world.core.now + lives).timestamp();
    let mut url = format!("{}?expires={expires}", kyc::onboarding_url(id));
    if let Some(redirect) = redirect {
        let escaped: String = redirect.bytes().map(|byte| format!("%{byte:02X}")).collect();
        url.push_str(&format!("&redirectUrl={escaped}"));
    }
    if !world.core.config.payaut.onboarding_url_as_json {
        world.core.form = Form::Text;
    }
    Ok(Json::String(url))
}

//! Ultimate beneficial owners of account holders. A change of one begins the holder's KYC anew.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::holders;
use super::kyc;
use super::wire::{Numbered, Span, code, fragments, owned, path_code, sent_time, time};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

const TYPES: [&str; 4] = ["CEO", "CFO", "COO", "SHARE_HOLDER"];

/// What is known of an owner, and what a request says of one.
#[derive(Debug, Default)]
struct Said {
    legal_name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    date_of_birth: Option<String>,
    nationality: Option<String>,
    kind: Option<String>,
    reference: Option<String>,
    address: Option<Json>,
    documents: Option<Json>,
}

#[derive(Debug)]
pub(crate) struct Ubo {
    id: Uuid,
    holder: Uuid,
    said: Said,
    created_at: Instant,
}

impl Ubo {
    pub(crate) fn to_json(&self, with_documents: bool) -> Json {
        let said = &self.said;
        let mut shown = json!({
            "code": code(self.id),
            "legalName": said.legal_name,
            "firstName": said.first_name,
            "lastName": said.last_name,
            "dateOfBirth": said.date_of_birth,
            "nationality": said.nationality,
            "type": said.kind,
            "extRef": said.reference,
            "createdAt": time(self.created_at),
            "address": said.address,
        });
        if with_documents {
            shown["documents"] = said.documents.clone().unwrap_or_else(|| json!([]));
        }
        shown
    }
}

fn read(world: &World, call: &Call) -> Result<Said, Refusal> {
    let mut fields = call.fields();
    let nationality = fields.optional_text("nationality")?.map(str::to_owned);
    let is_alpha_3 = |text: &String| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if !nationality.as_ref().is_none_or(is_alpha_3) {
        return Err(fields.invalid("nationality", "is three letters of ISO 3166"));
    }
    let address = fields.get("address").cloned();
    if !address.as_ref().is_none_or(Json::is_object) {
        return Err(fields.invalid("address", "is an object"));
    }
    let documents = fields.get("documents").cloned();
    if !documents.as_ref().is_none_or(Json::is_array) {
        return Err(fields.invalid("documents", "is an array"));
    }
    let said = Said {
        legal_name: owned(&mut fields, "legalName")?,
        first_name: owned(&mut fields, "firstName")?,
        last_name: owned(&mut fields, "lastName")?,
        date_of_birth: sent_time(&mut fields, "dateOfBirth")?.map(|(text, _)| text.to_owned()),
        nationality,
        kind: fields.optional_one_of("type", &TYPES)?.map(str::to_owned),
        reference: holders::reference(&mut fields)?,
        address,
        documents,
    };
    fields.finish(world.core.config.payaut.unknown_parameters)?;
    Ok(said)
}

fn unless_used(world: &World, said: &Said, but: Option<Uuid>) -> Result<(), Refusal> {
    let others = world.payaut.ubos.iter().filter(|ubo| Some(ubo.id) != but);
    let used = others.map(|ubo| ubo.said.reference.as_deref());
    holders::unless_used(world, said.reference.as_deref(), used)
}

/// The owner that the path names, under its holder.
fn named(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let holder = holders::named(world, call)?;
    let id = path_code(call, 1, "the UBO")?;
    let ubo = world.payaut.ubos.get(id).filter(|ubo| ubo.holder == holder);
    ubo.map(|ubo| ubo.id).ok_or_else(|| Refusal::not_found("the UBO"))
}

fn show(world: &World, id: Uuid, with_documents: bool) -> Result<Json, Refusal> {
    let ubo = world.payaut.ubos.get(id).map(|ubo| ubo.to_json(with_documents));
    ubo.ok_or_else(Refusal::internal)
}

/// This list writes its parameters without the underscore.
pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let documents = !fragments(call, &["docs"])?.is_empty();
    let holder = holders::named(world, call)?;
    let page = Numbered::named(world, call, ["pageNumber", "pageSize"])?;
    let rows = Span::all(world).of(world, &world.payaut.ubos);
    let rows = rows.into_iter().filter(|ubo| ubo.holder == holder);
    Ok(page.page(rows.map(|ubo| ubo.to_json(documents)).collect()))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let holder = holders::named(world, call)?;
    let said = read(world, call)?;
    unless_used(world, &said, None)?;
    let id = world.core.new_id();
    let ubo = Ubo {
        id,
        holder,
        said,
        created_at: world.core.now,
    };
    let listed_from = holders::listed_from(world, call);
    world.payaut.ubos.insert(id, world.core.now, listed_from, ubo);
    if let Some(holder) = world.payaut.holders.get_mut(holder) {
        holder.ubos.push(id);
    }
    kyc::consider(world, holder, true, call.fail_later.clone());
    show(world, id, true)
}

pub(super) fn retrieve(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let documents = !fragments(call, &["docs"])?.is_empty();
    let id = named(world, call)?;
    show(world, id, documents)
}

pub(super) fn update(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let said = read(world, call)?;
    unless_used(world, &said, Some(id))?;
    let ubo = world.payaut.ubos.get_mut(id).ok_or_else(Refusal::internal)?;
    let holder = ubo.holder;
    let before = std::mem::take(&mut ubo.said);
    ubo.said = Said {
        legal_name: said.legal_name.or(before.legal_name),
        first_name: said.first_name.or(before.first_name),
        last_name: said.last_name.or(before.last_name),
        date_of_birth: said.date_of_birth.or(before.date_of_birth),
        nationality: said.nationality.or(before.nationality),
        kind: said.kind.or(before.kind),
        reference: said.reference.or(before.reference),
        address: said.address.or(before.address),
        documents: said.documents.or(before.documents),
    };
    kyc::consider(world, holder, true, call.fail_later.clone());
    show(world, id, true)
}

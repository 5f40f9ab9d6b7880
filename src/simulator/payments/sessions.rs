//! Checkout sessions: an intent, with a page of the provider's to pay it on.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::accounts::owners;
use super::charges;
use super::config::RepeatedChange;
use super::events::tell;
use super::intents::{self, Intent, Status as Stage};
use super::wire::{Cents, Entity, account, amount, any_object, list, listed_from, named, owned, tagged, time};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Open,
    Completed,
    Expired,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Expired => "expired",
        }
    }
}

/// A page to pay on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    account: Uuid,
    cancel_url: String,
    success_url: String,
    customer_email: String,
    reference: Option<String>,
    user_fields: Json,
    method_types: Vec<String>,
    intent_data: Json,
    intent: Uuid,
    subtotal: Cents,
    discount: Cents,
    status: Status,
    created_at: Instant,
    updated_at: Instant,
    expires_at: Instant,
}

impl Entity for Session {
    const PREFIX: &'static str = "cs";
    const WHAT: &'static str = "the checkout session";

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account
    }
}

impl Session {
    pub(crate) fn to_json(&self, world: &World) -> Json {
        let (account_id, partner_id, business_id) = owners(world, self.account);
        json!({
            "id": self.shown_id(),
            "entity": "checkout_session",
            "url": format!("https://checkout.example/{}", self.shown_id()),
            "cancel_url": self.cancel_url,
            "success_url": self.success_url,
            "customer_email": self.customer_email,
            "reference_id": self.reference,
            "user_fields": self.user_fields,
            "payment_method_types": self.method_types,
            "payment_intent_data": self.intent_data,
            "payment_intent_id": tagged(Intent::PREFIX, self.intent),
            "subtotal": self.subtotal,
            "discount_amount": self.discount,
            "status": self.status.name(),
            "account_id": account_id,
            "partner_id": partner_id,
            "business_id": business_id,
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
            "expires_at": time(self.expires_at),
        })
    }
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let account = account(call)?;
    let mut fields = call.fields();
    let (cancel_url, success_url) = (
        fields.text("cancel_url")?.to_owned(),
        fields.text("success_url")?.to_owned(),
    );
    let customer_email = fields.text("customer_email")?.to_owned();
    let reference = owned(fields.optional_text("reference_id")?);
    let user_fields = any_object(&mut fields, "user_fields")?;
    let types = intents::method_types(&mut fields)?;
    let intent_data = any_object(&mut fields, "payment_intent_data")?;
    let wanted = intents::read(world, &mut fields.object("payment_intent_data")?)?;
    let (subtotal, discount) = (
        amount(&mut fields, "subtotal")?,
        amount(&mut fields, "discount_amount")?,
    );
    fields.finish(world.core.config.payments.unknown_parameters)?;
    let intent = intents::open(world, account, wanted, (false, call.unlisted_ms));
    let (id, now) = (world.core.new_id(), world.core.now);
    let open_ms = world.core.config.payments.lifecycle.session_ms;
    let open = chrono::TimeDelta::try_milliseconds(i64::try_from(open_ms).unwrap_or(i64::MAX)).unwrap_or_default();
    let session = Session {
        id,
        account,
        cancel_url,
        success_url,
        customer_email,
        reference,
        user_fields,
        method_types: types.unwrap_or_else(|| vec!["card".to_owned(), "bank".to_owned()]),
        intent_data,
        intent,
        subtotal,
        discount,
        status: Status::Open,
        created_at: now,
        updated_at: now,
        expires_at: now.checked_add_signed(open).unwrap_or(now),
    };
    let from = listed_from(world, call.unlisted_ms);
    world.payments.sessions.insert(id, now, from, session);
    told(world, id, "v2.checkout_session.created");
    world.core.plan_step(open_ms, id, expires);
    shown(world, id)
}

fn shown(world: &World, id: Uuid) -> Result<Json, Refusal> {
    let session = world.payments.sessions.get(id).map(|session| session.to_json(world));
    session.ok_or_else(Refusal::internal)
}

fn told(world: &mut World, id: Uuid, event: &'static str) {
    if let Some(shown) = world.payments.sessions.get(id).map(|session| session.to_json(world)) {
        tell(world, event, shown);
    }
}

pub(super) fn list_all(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let show = |session: &Session| session.to_json(world);
    list(world, call, &world.payments.sessions, |_| true, show)
}

pub(super) fn fetch(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    named(world, &world.payments.sessions, call).map(|session| session.to_json(world))
}

/// With what the page looks like, which is described nowhere.
pub(super) fn details(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let session = fetch(world, call)?;
    Ok(json!({ "checkout_session": session, "branding": {} }))
}

/// Ends an open session. Whether its payment does so too is a setting.
pub(super) fn complete(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let session = named(world, &world.payments.sessions, call)?;
    let (id, intent) = (session.id, world.payments.intents.get(session.intent));
    let paid =
        intent.is_some_and(|intent| matches!(intent.status, Stage::Pending | Stage::Uncaptured | Stage::Captured));
    if session.status == Status::Open && !paid {
        return Err(Refusal::conflict("the checkout session is not paid"));
    }
    end(world, id, Status::Completed)
}

pub(super) fn expire(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, &world.payments.sessions, call)?.id;
    end(world, id, Status::Expired)
}

fn end(world: &mut World, id: Uuid, status: Status) -> Result<Json, Refusal> {
    let session = world.payments.sessions.get(id).ok_or_else(Refusal::internal)?;
    let now_is = session.status;
    let same = now_is == status && world.core.config.payments.repeated_change == RepeatedChange::Same;
    if now_is != Status::Open && !same {
        return Err(Refusal::conflict(format!("the checkout session is {}", now_is.name())));
    }
    if !same {
        to(world, id, status).map_err(|_| Refusal::internal())?;
    }
    shown(world, id)
}

/// Charges the session's intent.
pub(super) fn pay(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let session = named(world, &world.payments.sessions, call)?;
    let (id, intent, status) = (session.id, session.intent, session.status);
    if status != Status::Open {
        return Err(Refusal::conflict(format!("the checkout session is {}", status.name())));
    }
    let payment = charges::charge(world, call, intent)?;
    let failed = payment["status"] == charges::Status::Failed.name();
    if world.core.config.payments.payment_completes_session && !failed {
        to(world, id, Status::Completed).map_err(|_| Refusal::internal())?;
    }
    Ok(payment)
}

// --- steps --------------------------------------------------------------------------------------

fn to(world: &mut World, id: Uuid, status: Status) -> Result<(), StepError> {
    let now = world.core.now;
    let session = world.payments.sessions.get_mut(id).ok_or(StepError::NotFound)?;
    if session.status != Status::Open {
        return Err(StepError::Illegal(session.status.name()));
    }
    session.status = status;
    session.updated_at = now;
    let event = match status {
        Status::Completed => "v2.checkout_session.completed",
        _ => "v2.checkout_session.updated",
    };
    told(world, id, event);
    Ok(())
}

fn expires(world: &mut World, id: Uuid) -> Result<(), StepError> {
    to(world, id, Status::Expired)
}

/// Moves a session to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "completed" => to(world, id, Status::Completed),
        "expired" => to(world, id, Status::Expired),
        _ => Err(StepError::NoSuchStep),
    }
}

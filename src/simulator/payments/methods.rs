//! What is paid with. A browser makes them; over this API they are read and their billing details changed.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::config::{MethodKind, MethodSeed, Outcome};
use super::wire::{any_object, of_tagged, tagged, time, unknown};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::Core;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::world::World;

const PREFIX: &str = "pm";

/// A card or a bank account of a payer.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) id: Uuid,
    pub(crate) kind: MethodKind,
    pub(crate) outcome: Outcome,
    pub(crate) single_use: bool,
    pub(crate) used: bool,
    pub(crate) billing_details: Json,
    created_at: Instant,
    updated_at: Instant,
}

impl MethodKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Bank => "bank",
        }
    }
}

/// A method as the settings describe it.
pub(crate) fn of_seed(core: &Core, seed: &MethodSeed) -> Result<Method, String> {
    let id = of_tagged(PREFIX, &seed.id);
    Ok(Method {
        id: id.ok_or_else(|| format!("payment method `{}`: an id is pm_ and 32 hexadecimal digits", seed.id))?,
        kind: seed.kind,
        outcome: seed.outcome,
        single_use: seed.single_use,
        used: false,
        billing_details: json!({
            "name": "Erika Mustermann",
            "email": "erika@example.com",
            "phone": "+15555550100",
            "address": { "country": "US", "postal_code": "94107" },
        }),
        created_at: core.now,
        updated_at: core.now,
    })
}

impl Method {
    pub(crate) fn shown_id(&self) -> String {
        tagged(PREFIX, self.id)
    }

    pub(crate) fn to_json(&self) -> Json {
        let mut shown = json!({
            "id": self.shown_id(),
            "entity": "payment_method",
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
            "payment_method_type": self.kind.name(),
            "source_type": "cardpointe",
            "billing_details": self.billing_details,
            "single_use_token": self.single_use,
            "signature": null,
        });
        shown[self.kind.name()] = match self.kind {
            MethodKind::Card => json!({ "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030 }),
            MethodKind::Bank => json!({ "last4": "6789", "account_type": "checking" }),
        };
        shown
    }
}

/// The method of this id.
pub(crate) fn find<'a>(world: &'a World, text: &str) -> Option<&'a Method> {
    world.payments.methods.get(of_tagged(PREFIX, text)?)
}

fn named(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let found = call.path.first().and_then(|text| find(world, text));
    let found = found.map(|method| method.id);
    found.ok_or_else(|| unknown(world, "the payment method"))
}

pub(super) fn fetch(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let method = world.payments.methods.get(id).map(Method::to_json);
    method.ok_or_else(Refusal::internal)
}

/// Replaces the billing details.
pub(super) fn update(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let id = named(world, call)?;
    let unknown = world.core.config.payments.unknown_parameters;
    let mut fields = call.fields();
    let mut details = fields.object("billing_details")?;
    any_object(&mut details, "address")?;
    for name in ["email", "name", "phone"] {
        details.optional_text(name)?;
    }
    details.finish(unknown)?;
    let details = fields.get("billing_details").cloned().unwrap_or_default();
    fields.finish(unknown)?;
    let now = world.core.now;
    if let Some(method) = world.payments.methods.get_mut(id) {
        method.billing_details = details;
        method.updated_at = now;
    }
    fetch(world, call)
}

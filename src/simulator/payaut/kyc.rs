//! KYC: the look into holders and their external accounts, without which nobody is paid out.
//!
//! It begins by itself when nothing is missing, and anew when something that matters is sent again.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::CONTRACT;
use super::config::{Kyc, KycRestart};
use super::wire::code;
use crate::simulator::core::failure::Failure;
use crate::simulator::core::iban;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

/// The event of every change.
pub(crate) const UPDATE: &str = "WEBHOOK_KYC_UPDATE";

impl Kyc {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MissingData => "MISSING_DATA",
            Self::InProgress => "IN_PROGRESS",
            Self::Active => "ACTIVE",
            Self::Failed => "FAILED",
            Self::Rejected => "REJECTED",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        let all = [
            Self::MissingData,
            Self::InProgress,
            Self::Active,
            Self::Failed,
            Self::Rejected,
        ];
        all.into_iter().find(|status| status.name() == name)
    }
}

/// Where the look into one of them stands.
#[derive(Debug, Clone)]
pub(crate) struct Review {
    pub(crate) status: Kyc,
    pub(crate) message: Option<String>,
    /// When the last one that began is to end (elapsed time); the end of an earlier one is none.
    pub(crate) due: Duration,
    /// How it is to end, when not well.
    pub(crate) failure: Option<String>,
}

impl Review {
    /// One that stands there, with nothing under way.
    pub(crate) fn at(status: Kyc) -> Self {
        Self {
            status,
            message: None,
            due: Duration::ZERO,
            failure: None,
        }
    }
}

/// Members of `legalEntity` a change of which matters.
const MATTERS: [&str; 5] = ["legalName", "firstName", "lastName", "address", "documents"];

/// Whether a change of the legal entity sends an active holder back.
pub(crate) fn restarts(setting: KycRestart, before: &Map<String, Json>, sent: &Map<String, Json>) -> bool {
    MATTERS
        .into_iter()
        .filter_map(|name| sent.get_key_value(name))
        .any(|(name, value)| setting == KycRestart::Presence || before.get(name) != Some(value))
}

/// What a holder's data lack.
fn missing_of_holder(world: &World, id: Uuid) -> Option<String> {
    let holder = world.payaut.holders.get(id)?;
    let entity = &holder.legal_entity;
    let is_person = entity.get("legalForm").and_then(Json::as_str) == Some("individual");
    let names: &[&str] = if is_person {
        &["firstName", "lastName"]
    } else {
        &["legalName"]
    };
    let needs = world.core.config.payaut.kyc_needs.iter().map(String::as_str);
    let is_empty = |value: &Json| match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    };
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .chain(needs)
        .filter(|name| entity.get(*name).is_none_or(is_empty))
        .collect();
    if missing.is_empty() {
        return None;
    }
    if missing == ["documents"] {
        return Some("[KYC_MISSING_DATA_1001] an id document is missing".to_owned());
    }
    Some(format!("missing: {}", missing.join(", ")))
}

/// What an external account's data lack.
fn missing_of_external(world: &World, id: Uuid) -> Option<String> {
    let external = world.payaut.externals.get(id)?;
    if external.number.is_none() {
        return Some("missing: accountNumber".to_owned());
    }
    let missing = external.statement.is_none();
    missing.then(|| "[KYC_MISSING_DATA_1002] a bank document is missing".to_owned())
}

fn review_mut(world: &mut World, id: Uuid) -> Option<&mut Review> {
    let payaut = &mut world.payaut;
    if let Some(holder) = payaut.holders.get_mut(id) {
        return Some(&mut holder.kyc);
    }
    payaut.externals.get_mut(id).map(|external| &mut external.kyc)
}

fn status(world: &World, id: Uuid) -> Option<Kyc> {
    let payaut = &world.payaut;
    let holder = payaut.holders.get(id).map(|holder| holder.kyc.status);
    holder.or_else(|| payaut.externals.get(id).map(|external| external.kyc.status))
}

/// Looks at what is known of a holder or external account after a change; `matters` sends one that is done back.
pub(crate) fn consider(world: &mut World, id: Uuid, matters: bool, failure: Option<Failure>) {
    let missing = missing_of_holder(world, id).or_else(|| missing_of_external(world, id));
    let Some(review) = review_mut(world, id) else { return };
    let next = match (review.status, &missing) {
        (Kyc::Rejected, _) => return,
        // What was active before anybody knew of a field stays so until something is sent.
        (Kyc::Active | Kyc::Failed, _) if !matters => return,
        (Kyc::InProgress, None) if !matters => return,
        (_, Some(_)) => Kyc::MissingData,
        (_, None) => Kyc::InProgress,
    };
    review.failure = failure.map(|failure| failure.message);
    change(world, id, next, missing.as_deref());
    if next == Kyc::InProgress {
        let delay_ms = world.core.config.payaut.lifecycle.kyc_ms;
        let due = world.core.listed_after(delay_ms);
        if let Some(review) = review_mut(world, id) {
            review.due = due;
        }
        world.core.plan_step(delay_ms, id, ends);
    }
}

/// The look is over, unless another began since.
fn ends(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let elapsed = world.core.elapsed;
    let review = review_mut(world, id).ok_or(StepError::NotFound)?;
    if review.status != Kyc::InProgress || elapsed < review.due {
        return Err(StepError::Illegal(review.status.name()));
    }
    let failure = review.failure.clone().or_else(|| wrong(world, id));
    match failure {
        Some(message) => change(world, id, Kyc::Failed, Some(message.as_str())),
        None => change(world, id, Kyc::Active, None),
    }
    Ok(())
}

/// What is wrong with the data themselves.
fn wrong(world: &World, id: Uuid) -> Option<String> {
    let external = world.payaut.externals.get(id)?;
    let number = external.number.as_deref().unwrap_or_default();
    let is_iban = external.kind.as_deref() == Some("IBAN");
    (is_iban && !iban::is_valid(number)).then(|| "the accountNumber is no IBAN".to_owned())
}

/// Takes note of a status and tells of it where it is another.
fn change(world: &mut World, id: Uuid, to: Kyc, message: Option<&str>) {
    let Some(review) = review_mut(world, id) else { return };
    let from = review.status;
    review.status = to;
    review.message = message.map(str::to_owned);
    if from == to {
        return;
    }
    let external = world.payaut.externals.get(id);
    let holder = external.map_or(id, |external| external.holder);
    let told = json!({
        "accountHolderCode": code(holder),
        "externalAccountCode": external.map(|external| code(external.id)),
        "oldStatus": from.name(),
        "newStatus": to.name(),
        "missingData": to == Kyc::MissingData,
        "message": message,
        "onboardingUrl": onboarding_url(holder),
    });
    world.core.emit(&CONTRACT, UPDATE, told);
}

/// Where a seller completes what is missing.
pub(crate) fn onboarding_url(holder: Uuid) -> String {
    format!("https://onboarding.payaut.example/{}", holder.simple())
}

/// Moves it to a status by name, as the control asks: what people at the provider or the seller do.
pub(crate) fn advance(world: &mut World, id: Uuid, name: &str, failure: Option<&Failure>) -> Result<(), StepError> {
    let to = Kyc::of_name(name).ok_or(StepError::NoSuchStep)?;
    if status(world, id) == Some(Kyc::Rejected) {
        return Err(StepError::Illegal("REJECTED"));
    }
    change(world, id, to, failure.map(|failure| failure.message.as_str()));
    Ok(())
}

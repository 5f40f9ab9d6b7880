//! The control over HTTP, for demos and other processes. JSON in, JSON out; no key, so loopback only.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `GET /_sim/ledger` | | effects, balances, places, movements, invariant_ok |
//! | `GET /_sim/movements` | | every movement |
//! | `GET /_sim/effects` | | every payout, conversion, return and refund |
//! | `GET /_sim/requests` | | counts by operation |
//! | `GET /_sim/events` | | every event |
//! | `GET /_sim/accounts` | | every account |
//! | `POST /_sim/accounts` | `AccountSeed` | the account |
//! | `POST /_sim/deposits` | `NewDeposit` | the deposit |
//! | `POST /_sim/advance` | `{id, status, failure?}` | the resource |
//! | `GET /_sim/faults` | | the rules with their counts |
//! | `POST /_sim/faults` | `{requests?: [...], webhooks?: [...]}` | the rules; these are added |
//! | `DELETE /_sim/faults` | | no rules |
//! | `POST /_sim/subscriptions` | `{url, events?, secret?, provider?}` | `{id}` |
//! | `GET`, `POST /_sim/settings` | some settings, merged | the settings in force |
//! | `POST /_sim/reset` | | `{}` |

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Shared;
use super::config::{AccountSeed, SimulatorConfig, SubscriptionSeed};
use super::control::{Control, ControlError, NewDeposit};
use super::faults::{FaultRule, WebhookFaultRule};
use super::resources::Failure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceRequest {
    id: Uuid,
    status: String,
    #[serde(default)]
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct FaultsRequest {
    requests: Vec<FaultRule>,
    webhooks: Vec<WebhookFaultRule>,
}

/// The routes under `/_sim/`.
pub(super) fn router() -> Router<Arc<Shared>> {
    let read = |act: fn(&Control) -> Json| {
        get(move |State(shared): State<Arc<Shared>>| async move { answer(Ok(act(&Control::new(shared)))) })
    };
    let write = |act: fn(&Control, &[u8]) -> Result<Json, ControlError>| {
        post(
            move |State(shared): State<Arc<Shared>>, body: Bytes| async move { answer(act(&Control::new(shared), &body)) },
        )
    };
    let clear_faults = |State(shared): State<Arc<Shared>>| async move {
        let control = Control::new(shared);
        control.clear_faults();
        answer(Ok(control.faults()))
    };
    Router::new()
        .route("/_sim/ledger", read(|control| json!(control.ledger())))
        .route("/_sim/movements", read(|control| json!(control.movements())))
        .route("/_sim/effects", read(|control| json!(control.effects())))
        .route("/_sim/requests", read(|control| json!(control.requests())))
        .route("/_sim/events", read(|control| json!(control.events())))
        .route(
            "/_sim/accounts",
            read(|control| json!(control.accounts())).merge(write(create_account)),
        )
        .route("/_sim/deposits", write(create_deposit))
        .route("/_sim/advance", write(advance))
        .route(
            "/_sim/faults",
            read(Control::faults).merge(write(add_faults)).delete(clear_faults),
        )
        .route("/_sim/subscriptions", write(add_subscription))
        .route(
            "/_sim/settings",
            read(|control| json!(control.config())).merge(write(change_settings)),
        )
        .route("/_sim/reset", write(|control, _| control.reset().map(|()| json!({}))))
}

fn answer(result: Result<Json, ControlError>) -> Response {
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            let status = match &error {
                ControlError::NotFound(_) => StatusCode::NOT_FOUND,
                ControlError::Invalid(_) => StatusCode::BAD_REQUEST,
                ControlError::Conflict(_) => StatusCode::CONFLICT,
            };
            (status, json!({ "error": error.to_string() }))
        }
    };
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError::Invalid(error.to_string()))
}

fn shown(control: &Control, id: Uuid) -> Result<Json, ControlError> {
    let resource = control.resource(id);
    resource.ok_or_else(|| ControlError::NotFound("such resource".to_owned()))
}

fn create_account(control: &Control, body: &[u8]) -> Result<Json, ControlError> {
    let id = control.create_account(&parse::<AccountSeed>(body)?)?;
    shown(control, id)
}

fn create_deposit(control: &Control, body: &[u8]) -> Result<Json, ControlError> {
    let id = control.create_deposit(&parse::<NewDeposit>(body)?)?;
    shown(control, id)
}

fn advance(control: &Control, body: &[u8]) -> Result<Json, ControlError> {
    let request: AdvanceRequest = parse(body)?;
    control.advance(request.id, &request.status, request.failure)
}

fn add_faults(control: &Control, body: &[u8]) -> Result<Json, ControlError> {
    let request: FaultsRequest = parse(body)?;
    request.requests.into_iter().for_each(|rule| control.add_fault(rule));
    request
        .webhooks
        .into_iter()
        .for_each(|rule| control.add_webhook_fault(rule));
    Ok(control.faults())
}

fn add_subscription(control: &Control, body: &[u8]) -> Result<Json, ControlError> {
    let mut request: Json = parse(body)?;
    let provider = request.as_object_mut().and_then(|request| request.remove("provider"));
    let seed: SubscriptionSeed =
        serde_json::from_value(request).map_err(|error| ControlError::Invalid(error.to_string()))?;
    let provider = provider.as_ref().and_then(Json::as_str).unwrap_or("augustus");
    let id = control.add_subscription_at(provider, &seed)?;
    Ok(json!({ "id": id }))
}

/// Lays the given settings over those in force.
fn change_settings(control: &Control, body: &[u8]) -> Result<Json, ControlError> {
    let mut settings = json!(control.config());
    merge(&mut settings, parse(body)?);
    let changed: SimulatorConfig =
        serde_json::from_value(settings).map_err(|error| ControlError::Invalid(error.to_string()))?;
    control.configure(|config| *config = changed);
    Ok(json!(control.config()))
}

/// JSON merge, objects field by field.
fn merge(into: &mut Json, from: Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Json::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

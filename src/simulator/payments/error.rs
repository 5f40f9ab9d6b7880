//! The errors, in the one shape that was seen: a type, a code, a message, and what is wrong with which argument.
//!
//! The reference has one code; the others here are plain words for what it names by status only.

use serde_json::{Map, Value as Json, json};

use crate::simulator::core::refusal::{Kind, Refusal};

/// Status, type and code.
fn words(kind: Kind) -> (u16, &'static str, &'static str) {
    let request = "invalid_request";
    match kind {
        Kind::ParameterInvalid
        | Kind::ParameterMissing
        | Kind::Validation
        | Kind::ApiVersion
        | Kind::InvalidCursor
        | Kind::CursorMismatch
        // What the state of a resource does not allow is an argument like any other.
        | Kind::Conflict
        | Kind::Locked => (400, request, "WRONG_ARGUMENTS"),
        Kind::AuthenticationRequired => (401, "authentication", "UNAUTHORIZED"),
        Kind::Declined => (402, "payment", "PAYMENT_DECLINED"),
        Kind::PermissionDenied | Kind::InsufficientScope(_) => (403, "authentication", "FORBIDDEN"),
        Kind::NotFound | Kind::NoRoute | Kind::MethodNotAllowed => (404, request, "NOT_FOUND"),
        Kind::KeyAlreadyUsed => (409, "idempotency", "IDEMPOTENCY_KEY_REUSED"),
        Kind::RequestInProgress => (409, "idempotency", "IDEMPOTENCY_IN_PROGRESS"),
        Kind::PayloadTooLarge => (413, request, "PAYLOAD_TOO_LARGE"),
        Kind::RateLimited => (429, request, "TOO_MANY_REQUESTS"),
        Kind::Internal => (500, "api", "INTERNAL_SERVER_ERROR"),
    }
}

/// The answer. Where nothing is served the gateway answers, which knows nothing of that shape.
pub(crate) fn refuse(refusal: &Refusal, _correlation_id: &str) -> (u16, Json) {
    if matches!(refusal.kind, Kind::NoRoute | Kind::MethodNotAllowed) {
        return (404, json!({ "message": "Not Found" }));
    }
    let (status, kind, code) = words(refusal.kind);
    let mut arguments = Map::new();
    if let Some(param) = &refusal.param {
        arguments.insert(param.clone(), json!(refusal.message));
    }
    let body = json!({
        "type": kind,
        "code": code,
        "message": refusal.message,
        "argument_errors": arguments,
    });
    (status, body)
}

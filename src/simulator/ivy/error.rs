//! The documented errors: a flat body with a category and a code.
//!
//! The reference has two ages of codes and no table of statuses: capitals for what the older list has, the
//! newer words where only those are told.

use serde_json::{Value as Json, json};

use crate::simulator::core::refusal::{Kind, Refusal};

/// Status, category and code.
fn words(kind: Kind) -> (u16, &'static str, &'static str) {
    let request = "invalid_request_error";
    match kind {
        Kind::ParameterInvalid
        | Kind::ParameterMissing
        | Kind::Validation
        | Kind::ApiVersion
        | Kind::InvalidCursor
        | Kind::CursorMismatch => (400, request, "VALIDATION"),
        Kind::AuthenticationRequired => (401, request, "UNAUTHENTICATED"),
        Kind::PermissionDenied | Kind::InsufficientScope(_) => (403, request, "AUTHORIZATION"),
        // Everything is a POST; what else is asked for is not there.
        Kind::NotFound | Kind::NoRoute | Kind::MethodNotAllowed => (404, request, "NOT_FOUND"),
        // Not one of its own: it takes no cards.
        Kind::Declined => (402, request, "REQUEST_FAILED"),
        Kind::Conflict => (409, request, "CONFLICT"),
        Kind::KeyAlreadyUsed => (409, "idempotency_error", "idempotency_key_already_used"),
        Kind::RequestInProgress => (409, "idempotency_error", "request_in_progress"),
        Kind::Locked => (423, request, "LOCKED"),
        Kind::PayloadTooLarge => (413, request, "REQUEST_FAILED"),
        Kind::RateLimited => (429, "rate_limiting", "TOO_MANY_REQUESTS"),
        Kind::Internal => (500, "api_error", "INTERNAL_SERVER_ERROR"),
    }
}

/// The answer as documented; `param` stands only where one is meant.
pub(crate) fn refuse(refusal: &Refusal, _correlation_id: &str) -> (u16, Json) {
    let (status, category, code) = words(refusal.kind);
    let mut body = json!({
        "message": refusal.message,
        "category": category,
        "code": code,
        "docUrl": "https://docs.augustus.com/reference/errors",
    });
    if let Some(param) = &refusal.param {
        body["param"] = json!(param);
    }
    (status, body)
}

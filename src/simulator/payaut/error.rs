//! Refusals: only their statuses are documented. The body is a proposal that the reference makes.

use serde_json::{Value as Json, json};

use crate::simulator::core::refusal::{Kind, Refusal};

/// Status and its name.
fn words(kind: Kind) -> (u16, &'static str) {
    match kind {
        Kind::Validation | Kind::ApiVersion | Kind::InvalidCursor | Kind::CursorMismatch => (400, "Bad Request"),
        Kind::AuthenticationRequired => (401, "Unauthorized"),
        Kind::PermissionDenied | Kind::InsufficientScope(_) => (403, "Forbidden"),
        Kind::NotFound | Kind::NoRoute => (404, "Not Found"),
        Kind::Declined => (402, "Payment Required"),
        Kind::MethodNotAllowed => (405, "Method Not Allowed"),
        Kind::Conflict | Kind::KeyAlreadyUsed | Kind::RequestInProgress => (409, "Conflict"),
        Kind::PayloadTooLarge => (413, "Payload Too Large"),
        Kind::ParameterInvalid | Kind::ParameterMissing => (422, "Unprocessable Entity"),
        Kind::Locked => (423, "Locked"),
        Kind::RateLimited => (429, "Too Many Requests"),
        Kind::Internal => (500, "Internal Server Error"),
    }
}

/// The answer as proposed.
pub(crate) fn refuse(refusal: &Refusal, _correlation_id: &str) -> (u16, Json) {
    let (status, error) = words(refusal.kind);
    let body = json!({ "status": status, "error": error, "message": refusal.message });
    (status, body)
}

/// What is wrong with a query is a bad request; what is wrong with a body cannot be processed.
pub(crate) fn bad_request(refusal: Refusal) -> Refusal {
    Refusal {
        kind: Kind::Validation,
        ..refusal
    }
}

/// What was read and cannot be done.
pub(crate) fn unprocessable(message: impl Into<String>) -> Refusal {
    Refusal {
        param: None,
        ..Refusal::parameter_invalid("", message)
    }
}

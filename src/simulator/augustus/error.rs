//! The documented errors: one flat body, one code of the catalogue for each kind of refusal.

use serde_json::{Value as Json, json};

use crate::simulator::core::refusal::{Kind, Refusal};

/// Where the provider documents its errors; part of every error body.
const DOC_URL: &str = "https://docs.augustus.com/v1/errors";

/// Status, category and code.
fn words(kind: Kind) -> (u16, &'static str, &'static str) {
    let request = "invalid_request_error";
    match kind {
        Kind::ParameterInvalid => (400, request, "parameter_invalid"),
        Kind::ParameterMissing => (400, request, "parameter_missing"),
        Kind::Validation => (400, request, "validation_error"),
        Kind::ApiVersion => (400, request, "api_version_error"),
        Kind::InvalidCursor => (400, request, "invalid_cursor"),
        Kind::CursorMismatch => (400, request, "cursor_mismatch"),
        Kind::AuthenticationRequired => (401, "authentication_error", "authentication_required"),
        Kind::PermissionDenied => (403, request, "permission_denied"),
        Kind::InsufficientScope(_) => (403, request, "insufficient_scope"),
        Kind::NotFound | Kind::NoRoute => (404, request, "resource_not_found"),
        Kind::MethodNotAllowed => (405, request, "method_not_allowed"),
        // Not one of its own: it takes no cards.
        Kind::Declined => (402, request, "payment_required"),
        // It documents no lock of a resource: that is a conflict like any other.
        Kind::Conflict | Kind::Locked => (409, request, "conflict"),
        Kind::KeyAlreadyUsed => (409, "idempotency_error", "idempotency_key_already_used"),
        Kind::RequestInProgress => (409, "idempotency_error", "request_in_progress"),
        Kind::PayloadTooLarge => (413, request, "payload_too_large"),
        Kind::RateLimited => (429, "rate_limit_error", "rate_limit_exceeded"),
        Kind::Internal => (500, "api_error", "internal_error"),
    }
}

/// The answer as documented. `required_scopes` stands only where scopes were missing.
pub(crate) fn refuse(refusal: &Refusal, correlation_id: &str) -> (u16, Json) {
    let (status, category, code) = words(refusal.kind);
    let mut body = json!({
        "category": category,
        "code": code,
        "message": refusal.message,
        "param": refusal.param,
        "doc_url": DOC_URL,
        "correlation_id": correlation_id,
    });
    if let Kind::InsufficientScope(scope) = refusal.kind {
        body["required_scopes"] = json!([scope]);
    }
    (status, body)
}

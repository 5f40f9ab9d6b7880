//! The documented errors: one flat body, one constructor per code of the catalogue.
//!
//! It knows codes and shapes, not when they apply.

use serde_json::{Value as Json, json};

/// Where the provider documents its errors; part of every error body.
const DOC_URL: &str = "https://docs.augustus.com/v1/errors";

/// A refused request, before it becomes an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    category: &'static str,
    pub(crate) code: &'static str,
    message: String,
    param: Option<String>,
    required_scope: Option<&'static str>,
    pub(crate) retry_after_secs: Option<u64>,
}

impl ApiError {
    fn new(status: u16, category: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            category,
            code,
            message: message.into(),
            param: None,
            required_scope: None,
            retry_after_secs: None,
        }
    }

    fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn parameter_invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", "parameter_invalid", message).about(param)
    }

    pub(crate) fn parameter_missing(param: impl Into<String>) -> Self {
        let param = param.into();
        let message = format!("{param} is required");
        Self::new(400, "invalid_request_error", "parameter_missing", message).about(param)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", "validation_error", message)
    }

    pub(crate) fn unknown_field(param: impl Into<String>) -> Self {
        let param = param.into();
        let message = format!("{param} is not a known parameter");
        Self::new(400, "invalid_request_error", "validation_error", message).about(param)
    }

    pub(crate) fn api_version(version: &str) -> Self {
        let message = format!("{version} is not a known API version");
        Self::new(400, "invalid_request_error", "api_version_error", message).about("api-version")
    }

    pub(crate) fn invalid_cursor() -> Self {
        let message = "the cursor cannot be read or has expired";
        Self::new(400, "invalid_request_error", "invalid_cursor", message).about("cursor")
    }

    pub(crate) fn cursor_mismatch() -> Self {
        let message = "the cursor was issued for other filters";
        Self::new(400, "invalid_request_error", "cursor_mismatch", message).about("cursor")
    }

    pub(crate) fn authentication_required() -> Self {
        let message = "a valid API key is required";
        Self::new(401, "authentication_error", "authentication_required", message)
    }

    pub(crate) fn permission_denied(message: impl Into<String>) -> Self {
        Self::new(403, "invalid_request_error", "permission_denied", message)
    }

    pub(crate) fn insufficient_scope(required: &'static str) -> Self {
        let message = format!("the API key lacks the scope {required}");
        let mut error = Self::new(403, "invalid_request_error", "insufficient_scope", message);
        error.required_scope = Some(required);
        error
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let message = format!("{what} was not found");
        Self::new(404, "invalid_request_error", "resource_not_found", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the method is not allowed here";
        Self::new(405, "invalid_request_error", "method_not_allowed", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "invalid_request_error", "conflict", message)
    }

    pub(crate) fn key_already_used() -> Self {
        let message = "the idempotency key was already used with different parameters";
        Self::new(409, "idempotency_error", "idempotency_key_already_used", message)
    }

    pub(crate) fn request_in_progress() -> Self {
        let message = "a request with this idempotency key is still being executed";
        Self::new(409, "idempotency_error", "request_in_progress", message)
    }

    pub(crate) fn payload_too_large() -> Self {
        let message = "the request body is too large";
        Self::new(413, "invalid_request_error", "payload_too_large", message)
    }

    pub(crate) fn rate_limited(retry_after_secs: Option<u64>) -> Self {
        let mut error = Self::new(429, "rate_limit_error", "rate_limit_exceeded", "too many requests");
        error.retry_after_secs = retry_after_secs;
        error
    }

    pub(crate) fn internal() -> Self {
        Self::new(500, "api_error", "internal_error", "an internal error occurred")
    }

    /// The body as documented. `required_scopes` stands only where scopes were missing.
    pub(crate) fn body(&self, correlation_id: &str) -> Json {
        let mut body = json!({
            "category": self.category,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "doc_url": DOC_URL,
            "correlation_id": correlation_id,
        });
        if let Some(scope) = self.required_scope {
            body["required_scopes"] = json!([scope]);
        }
        body
    }
}

//! A refused request, before a provider's contract gives it a status, a code and a body.
//!
//! It knows why, not how that is said.

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ParameterInvalid,
    ParameterMissing,
    Validation,
    ApiVersion,
    InvalidCursor,
    CursorMismatch,
    AuthenticationRequired,
    PermissionDenied,
    InsufficientScope(&'static str),
    NotFound,
    /// Nothing is served there at all.
    NoRoute,
    MethodNotAllowed,
    Conflict,
    KeyAlreadyUsed,
    RequestInProgress,
    Locked,
    /// The payer's bank said no.
    Declined,
    PayloadTooLarge,
    RateLimited,
    Internal,
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// The parameter it is about.
    pub(crate) param: Option<String>,
    pub(crate) retry_after_secs: Option<u64>,
}

impl Refusal {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            retry_after_secs: None,
        }
    }

    fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn parameter_invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::ParameterInvalid, message).about(param)
    }

    pub(crate) fn parameter_missing(param: impl Into<String>) -> Self {
        let param = param.into();
        Self::new(Kind::ParameterMissing, format!("{param} is required")).about(param)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(Kind::Validation, message)
    }

    pub(crate) fn unknown_field(param: impl Into<String>) -> Self {
        let param = param.into();
        Self::new(Kind::Validation, format!("{param} is not a known parameter")).about(param)
    }

    pub(crate) fn api_version(header: &str, version: &str) -> Self {
        Self::new(Kind::ApiVersion, format!("{version} is not a known API version")).about(header)
    }

    pub(crate) fn invalid_cursor() -> Self {
        Self::new(Kind::InvalidCursor, "the cursor cannot be read or has expired").about("cursor")
    }

    pub(crate) fn cursor_mismatch() -> Self {
        Self::new(Kind::CursorMismatch, "the cursor was issued for other filters").about("cursor")
    }

    pub(crate) fn authentication_required() -> Self {
        Self::new(Kind::AuthenticationRequired, "a valid API key is required")
    }

    pub(crate) fn permission_denied(message: impl Into<String>) -> Self {
        Self::new(Kind::PermissionDenied, message)
    }

    pub(crate) fn insufficient_scope(required: &'static str) -> Self {
        let message = format!("the API key lacks the scope {required}");
        Self::new(Kind::InsufficientScope(required), message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("{what} was not found"))
    }

    pub(crate) fn no_route() -> Self {
        Self::new(Kind::NoRoute, "the path was not found")
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(Kind::MethodNotAllowed, "the method is not allowed here")
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    pub(crate) fn key_already_used() -> Self {
        let message = "the idempotency key was already used with different parameters";
        Self::new(Kind::KeyAlreadyUsed, message)
    }

    pub(crate) fn request_in_progress() -> Self {
        let message = "a request with this idempotency key is still being executed";
        Self::new(Kind::RequestInProgress, message)
    }

    pub(crate) fn locked() -> Self {
        let message = "the resource is busy with another operation; wait and try again";
        Self::new(Kind::Locked, message)
    }

    pub(crate) fn declined(message: impl Into<String>) -> Self {
        Self::new(Kind::Declined, message)
    }

    pub(crate) fn payload_too_large() -> Self {
        Self::new(Kind::PayloadTooLarge, "the request body is too large")
    }

    pub(crate) fn rate_limited(retry_after_secs: Option<u64>) -> Self {
        let mut refusal = Self::new(Kind::RateLimited, "too many requests");
        refusal.retry_after_secs = retry_after_secs;
        refusal
    }

    pub(crate) fn internal() -> Self {
        Self::new(Kind::Internal, "an internal error occurred")
    }
}

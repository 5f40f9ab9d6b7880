//! An answer and how it goes over the wire: whole, half, in drops, or not at all.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::http::{StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value as Json;

use super::idempotency::Stored;
use super::refusal::Refusal;
use crate::simulator::Shared;
use crate::simulator::contract::Contract;

/// Marks an answer that is not to be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hangup;

/// How an answer goes over the wire.
#[derive(Debug)]
pub(crate) enum Manner {
    Whole,
    Hangup,
    /// Half of it, then the connection ends.
    Cut,
    Drip {
        bytes: usize,
        interval: Duration,
    },
}

/// How a success goes out; an operation says so where that is not JSON with its usual status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    #[default]
    Json,
    /// JSON with another status.
    Status(u16),
    /// The text alone, without quotes.
    Text,
    /// Nothing.
    Empty,
}

/// An answer before it goes over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    content_type: &'static str,
    replayed: bool,
    retry_after_secs: Option<u64>,
    pub(crate) manner: Manner,
}

impl Answer {
    fn new(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            body,
            content_type: "application/json",
            replayed: false,
            retry_after_secs: None,
            manner: Manner::Whole,
        }
    }

    pub(crate) fn success(status: u16, body: &Json) -> Self {
        Self::new(status, body.to_string().into_bytes())
    }

    /// A success in the form that its operation asked for.
    pub(crate) fn in_form(mut self, form: Form, body: &Json) -> Self {
        match form {
            Form::Json => {}
            Form::Status(status) => self.status = status,
            Form::Text => {
                self.body = body.as_str().unwrap_or_default().as_bytes().to_vec();
                self.content_type = "text/plain;charset=UTF-8";
            }
            Form::Empty => self.body = Vec::new(),
        }
        self
    }

    pub(crate) fn refused(contract: &Contract, refusal: &Refusal, correlation_id: &str) -> Self {
        let (status, body) = (contract.refuse)(refusal, correlation_id);
        let mut answer = Self::new(status, body.to_string().into_bytes());
        answer.retry_after_secs = refusal.retry_after_secs;
        answer
    }

    /// A scripted error: the provider's own where it documents one, a gateway's page otherwise.
    pub(crate) fn broken(
        contract: &Contract,
        status: u16,
        retry_after_secs: Option<u64>,
        correlation_id: &str,
    ) -> Self {
        let own = match status {
            423 => Some(Refusal::locked()),
            429 => Some(Refusal::rate_limited(retry_after_secs)),
            500 => Some(Refusal::internal()),
            _ => None,
        };
        let own = own.map(|refusal| Self::refused(contract, &refusal, correlation_id));
        let mut answer = own.filter(|answer| answer.status == status).unwrap_or_else(|| {
            let mut page = Self::new(status, format!("<html><body>{status}</body></html>").into_bytes());
            page.content_type = "text/html";
            page
        });
        answer.retry_after_secs = retry_after_secs;
        answer
    }

    pub(crate) fn replay(stored: &Stored) -> Self {
        let mut answer = Self::new(stored.status, stored.body.to_vec());
        answer.replayed = true;
        answer
    }

    pub(crate) fn stored(&self) -> Stored {
        Stored {
            status: self.status,
            body: Bytes::copy_from_slice(&self.body),
        }
    }

    /// Puts another value where the body has one.
    pub(crate) fn replace(&mut self, pointer: &str, value: Json) {
        let Ok(mut body) = serde_json::from_slice::<Json>(&self.body) else {
            return;
        };
        if let Some(place) = body.pointer_mut(pointer) {
            *place = value;
            self.body = body.to_string().into_bytes();
        }
    }

    /// Puts another amount where the body has one: a number where that is a number, text where it is text.
    pub(crate) fn replace_amount(&mut self, pointer: &str, amount: &str) {
        let Ok(body) = serde_json::from_slice::<Json>(&self.body) else {
            return;
        };
        let number = match body.pointer(pointer) {
            Some(Json::Number(_)) => serde_json::from_str(amount).ok(),
            _ => None,
        };
        self.replace(pointer, number.unwrap_or_else(|| Json::String(amount.to_owned())));
    }

    /// With the contract's headers.
    pub(crate) fn into_response(
        self,
        shared: &Shared,
        contract: &Contract,
        headers: Vec<(&'static str, String)>,
    ) -> Response {
        let length = self.body.len();
        let body = match self.manner {
            Manner::Hangup => return hangup(),
            Manner::Whole => HttpBody::from(self.body),
            Manner::Cut => cut(self.body),
            Manner::Drip { bytes, interval } => drip(shared, self.body, bytes, interval),
        };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let date = shared.clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut response = Response::builder()
            .status(status)
            .header(header::DATE, date)
            .header(header::CONTENT_TYPE, self.content_type)
            .header(header::CONTENT_LENGTH, length);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        if let Some(name) = contract.key.replayed.filter(|_| self.replayed) {
            response = response.header(name, "true");
        }
        if let Some(secs) = self.retry_after_secs {
            response = response.header(header::RETRY_AFTER, secs);
        }
        response.body(body).unwrap_or_else(|_| hangup())
    }
}

/// The marker that closes the connection without an answer.
pub(crate) fn hangup() -> Response {
    let mut response = Response::new(HttpBody::empty());
    response.extensions_mut().insert(Hangup);
    response
}

/// Half a body, then the connection breaks.
fn cut(mut body: Vec<u8>) -> HttpBody {
    body.truncate(body.len() / 2);
    let half = futures_util::stream::iter([Ok(Bytes::from(body))]);
    let broken = futures_util::stream::once(async {
        // What was written so far goes out while the body is waited for.
        tokio::task::yield_now().await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    HttpBody::from_stream(half.chain(broken))
}

/// A few bytes at a time.
fn drip(shared: &Shared, body: Vec<u8>, bytes: usize, interval: Duration) -> HttpBody {
    let clock = Arc::clone(&shared.clock);
    let parts = futures_util::stream::unfold((Bytes::from(body), clock), move |(mut rest, clock)| async move {
        if rest.is_empty() {
            return None;
        }
        clock.sleep(interval).await;
        let part = rest.split_to(bytes.min(rest.len()));
        Some((Ok::<Bytes, Infallible>(part), (rest, clock)))
    });
    HttpBody::from_stream(parts)
}

//! The network: one client for all providers, which says of every call whether it may have arrived.
//!
//! It follows no redirect, repeats nothing, reads no proxy from the environment, and waits for nothing without
//! a limit. What moves money goes through [`Client::send_money`], which demands a [`Clearance`] for exactly
//! these bytes. It must not decide what an answer means; that is [`super::reply`].

use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::poll_immediate;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect;

use super::auth;
use super::connection::{Connection, check_base_url};
use super::reply::RawAnswer;
use super::request::fingerprint;
use super::table::{Effect, Endpoint, KeyPlace};
use crate::base::fault_point::{FaultPoint, reach};
use crate::base::ids::RunId;
use crate::base::limits::{PROVIDER_CONNECT_TIMEOUT, PROVIDER_REPLY_BYTES_MAX, PROVIDER_TOTAL_TIMEOUT};
use crate::model::journal::{Intent, StepPath, StoredRequest};
use crate::model::policy::Clearance;

/// Idle connections are given up before a provider's front end would: most keep them for a minute or more.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare calls to providers: {0}")]
pub struct ClientError(String);

/// A call without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No byte of the request left this machine.
    #[error("not sent: {0}")]
    NotSent(String),
    /// Neither did any, and none will: there is nothing to authorise it with.
    #[error("connection `{0}` has no api_key")]
    NoCredential(String),
    /// It may have arrived.
    #[error("sent, but no answer: {0}")]
    Unknown(String),
}

impl Client {
    /// Makes the client, and `ring` the cryptography of the process unless another is chosen already.
    ///
    /// # Errors
    /// [`ClientError`], when the machine's certificates cannot be used.
    pub fn new() -> Result<Self, ClientError> {
        Self::patient_for(PROVIDER_TOTAL_TIMEOUT)
    }

    /// The same with another limit for a whole exchange, where many are to run out in little time.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn patient_for(total: Duration) -> Result<Self, ClientError> {
        // An error means that the process has a provider already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        // A request on a pooled connection that the server had closed is sent again by hyper only if it was
        // handed back unwritten; everything else surfaces here.
        let http = reqwest::Client::builder()
            .user_agent(concat!("bursar/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(PROVIDER_CONNECT_TIMEOUT)
            .timeout(total)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .build()
            .map_err(|error| ClientError(chain(&error)))?;
        Ok(Self { http })
    }

    /// Sends what moves no money.
    ///
    /// # Errors
    /// [`SendError`], which says whether it may have arrived.
    ///
    /// # Panics
    /// When the endpoint moves money: the caller has gone around the policy.
    pub async fn send(
        &self,
        connection: &Connection,
        endpoint: &Endpoint,
        request: &StoredRequest,
        key: Option<&str>,
    ) -> Result<RawAnswer, SendError> {
        assert!(
            endpoint.effect != Effect::MovesMoney,
            "{} moves money and needs a clearance",
            endpoint.name
        );
        self.exchange(connection, endpoint, request, key).await
    }

    /// Sends what moves money, as its durable intent has it.
    ///
    /// # Errors
    /// [`SendError`], which says whether it may have arrived.
    ///
    /// # Panics
    /// When the clearance is for another step, or the intent is not what was cleared: a bug, and better the
    /// end of the process than a payment nobody allowed.
    pub async fn send_money(
        &self,
        connection: &Connection,
        endpoint: &Endpoint,
        intent: &Intent,
        clearance: &Clearance,
        run: RunId,
        path: &StepPath,
    ) -> Result<RawAnswer, SendError> {
        let actual = fingerprint(connection, endpoint, &intent.request, intent.movement.as_ref());
        assert!(
            actual == intent.fingerprint && clearance.covers(run, path, actual),
            "step {path} of {run} has no clearance for what it would send"
        );
        self.exchange(connection, endpoint, &intent.request, intent.key.as_deref())
            .await
    }

    /// Sends what changes something and moves no money, as its durable intent has it.
    ///
    /// # Errors
    /// [`SendError`], which says whether it may have arrived.
    ///
    /// # Panics
    /// When the intent is not for what would be sent, so that its key would stand for another request; and as
    /// [`Client::send`].
    pub async fn send_write(
        &self,
        connection: &Connection,
        endpoint: &Endpoint,
        intent: &Intent,
    ) -> Result<RawAnswer, SendError> {
        let actual = fingerprint(connection, endpoint, &intent.request, intent.movement.as_ref());
        assert!(
            actual == intent.fingerprint,
            "the intent of {} is for another request than it holds",
            endpoint.name
        );
        self.send(connection, endpoint, &intent.request, intent.key.as_deref())
            .await
    }

    async fn exchange(
        &self,
        connection: &Connection,
        endpoint: &Endpoint,
        request: &StoredRequest,
        key: Option<&str>,
    ) -> Result<RawAnswer, SendError> {
        let request = self.build(connection, endpoint, request, key)?;
        let mut sending = pin!(self.http.execute(request));
        // The first poll hands the request over; what it meets on its way is the rest.
        let at_once = poll_immediate(&mut sending).await;
        reach(FaultPoint::RequestLeaving);
        let answered = match at_once {
            Some(answered) => answered,
            None => sending.await,
        };
        let response = answered.map_err(|error| of_reqwest(&error, &connection.base_url))?;
        reach(FaultPoint::ReplyArriving);
        read(response).await
    }

    /// Posts a delivery to a door, as a provider does: no credential goes with it.
    ///
    /// # Errors
    /// [`SendError`], which says whether it may have arrived.
    pub async fn deliver(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: Vec<u8>,
    ) -> Result<RawAnswer, SendError> {
        check_base_url(url).map_err(|error| SendError::NotSent(error.to_string()))?;
        let mut request = self.http.post(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answered = request.body(body).send().await;
        read(answered.map_err(|error| of_reqwest(&error, url))?).await
    }

    fn build(
        &self,
        connection: &Connection,
        endpoint: &Endpoint,
        request: &StoredRequest,
        key: Option<&str>,
    ) -> Result<reqwest::Request, SendError> {
        let not_sent = |reason: String| SendError::NotSent(reason);
        check_base_url(&connection.base_url).map_err(|error| not_sent(error.to_string()))?;
        let url = format!("{}{}", connection.base_url.trim_end_matches('/'), request.path);
        let url = reqwest::Url::parse(&url).map_err(|error| not_sent(format!("not an address: {error}")))?;
        let method = reqwest::Method::from_bytes(request.method.as_bytes())
            .map_err(|_| not_sent(format!("not a method: {}", request.method)))?;
        let mut built = self.http.request(method, url);
        for (name, value) in &request.headers {
            built = built.header(name, value);
        }
        if !endpoint.public {
            let credential = connection
                .credential
                .as_ref()
                .ok_or_else(|| SendError::NoCredential(connection.name.clone()))?;
            let (name, value) = auth::header(&connection.connector.auth, credential);
            let bad = |what: &str| {
                not_sent(format!(
                    "the credential of `{}` cannot be sent: {what}",
                    connection.name
                ))
            };
            let name = HeaderName::try_from(name).map_err(|_| bad("the table names no header"))?;
            let mut value =
                HeaderValue::try_from(value.expose()).map_err(|_| bad("it holds characters no header takes"))?;
            value.set_sensitive(true);
            built = built.header(name, value);
        }
        let table = connection.connector.idempotency.as_ref();
        if let (Some(key), Some(table), KeyPlace::Header) = (key, table, &endpoint.key) {
            if key.len() > table.max_length {
                return Err(not_sent(format!("the key is longer than {} bytes", table.max_length)));
            }
            if key.len() < table.min_length {
                return Err(not_sent(format!("the key is shorter than {} bytes", table.min_length)));
            }
            built = built.header(&table.header, key);
        }
        if let Some(body) = &request.body {
            built = built.body(body.clone());
        }
        built.build().map_err(|error| not_sent(chain(&error)))
    }
}

/// Reads an answer, as long as it is no longer than a provider's may be.
async fn read(mut response: reqwest::Response) -> Result<RawAnswer, SendError> {
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let status = response.status().as_u16();
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(None) => break,
            Ok(Some(chunk)) if body.len() + chunk.len() <= PROVIDER_REPLY_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                return Err(SendError::Unknown(format!(
                    "the answer ({status}) is longer than {PROVIDER_REPLY_BYTES_MAX} bytes"
                )));
            }
            Err(error) => {
                let reason = chain(&error);
                return Err(SendError::Unknown(format!("the answer ({status}) broke off: {reason}")));
            }
        }
    }
    Ok(RawAnswer {
        status,
        headers,
        body: body.freeze(),
    })
}

/// Only what certainly happened before the first byte counts as not sent: building, resolving, connecting and
/// the handshake. A time-out of the whole, a reset, an early end: nobody knows.
fn of_reqwest(error: &reqwest::Error, base_url: &str) -> SendError {
    if error.is_connect() {
        SendError::NotSent(format!("{base_url}: {}", chain(error)))
    } else if error.is_builder() {
        SendError::NotSent(chain(error))
    } else {
        SendError::Unknown(chain(error))
    }
}

/// An error with its causes, without the address: a query may name accounts.
fn chain(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() && error.is_connect() => "timed out while connecting".to_owned(),
        error if error.is_timeout() => "timed out".to_owned(),
        error if error.is_connect() => "cannot connect".to_owned(),
        error if error.is_builder() => "cannot be built".to_owned(),
        _ => "the exchange failed".to_owned(),
    };
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Layers of the client that only say that something below them failed.
        let says_nothing = inner_text.starts_with("client error (") || inner_text == "tcp connect error";
        if !says_nothing && !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

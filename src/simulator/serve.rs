//! One request from socket to answer: version, key, scope, fault, idempotency, handler, answer.
//!
//! The order is the provider's as far as it is known. What goes wrong by script goes wrong here.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::simulator::Shared;
use crate::simulator::augustus::auth::{Key, LATEST_VERSION, VERSIONS};
use crate::simulator::config::{AfterServerError, UnknownParameters};
use crate::simulator::augustus::error::ApiError;
use crate::simulator::core::faults::{FaultAction, When};
use crate::simulator::core::idempotency::{Begin, Stored};
use crate::simulator::augustus::routes::{Access, Body, Call, OPERATIONS, Operation};
use crate::simulator::state::World;
use crate::simulator::validate::{self, Query};

/// The address a request came from; put in by the accept loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// How much of a body that is too long is read on.
const OVERLONG_BYTES_READ: usize = 16 * 1024 * 1024;

/// Marks an answer that is not to be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hangup;

/// The routes of the API.
pub(super) fn router() -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for operation in &OPERATIONS {
        let filter = match operation.method {
            "GET" => MethodFilter::GET,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::POST,
        };
        let handler = move |State(shared), request| receive(shared, operation, request);
        router = router.route(operation.path, on(filter, handler));
    }
    router
        .fallback(|State(shared): State<Arc<Shared>>, headers: HeaderMap| async move {
            refusal(&shared, &headers, &ApiError::not_found("the path"))
        })
        .method_not_allowed_fallback(|State(shared): State<Arc<Shared>>, headers: HeaderMap| async move {
            refusal(&shared, &headers, &ApiError::method_not_allowed())
        })
}

fn refusal(shared: &Shared, headers: &HeaderMap, error: &ApiError) -> Response {
    let (version, correlation_id) = shared.with(|world| (version(world, headers).0, world.correlation_id()));
    Answer::refused(error, &correlation_id).into_response(shared, version, &correlation_id)
}

/// A request with its body read.
struct Inbound {
    headers: HeaderMap,
    path: String,
    query: String,
    body: Result<Bytes, ApiError>,
    peer: IpAddr,
}

impl Inbound {
    fn header(&self, name: &str) -> Option<String> {
        header_of(&self.headers, name)
    }

    fn bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// The body as JSON, as far as it is: only to match faults by it.
    fn peek(&self) -> Json {
        serde_json::from_slice(self.bytes()).unwrap_or_default()
    }
}

/// A header byte by byte: one that is not ASCII is there all the same, and two that differ stay different.
fn header_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(value.as_bytes().iter().copied().map(char::from).collect())
}

/// Reads a body to its end. Of one that is too long the rest is read too, for a while: a client that is still
/// sending when the connection closes would never see the answer.
async fn read_to_end(body: HttpBody, bytes_max: usize) -> Result<Bytes, ApiError> {
    let (mut read, mut bytes) = (BytesMut::new(), 0);
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| ApiError::validation("the body does not come to its end"))?;
        bytes += chunk.len();
        if bytes <= bytes_max {
            read.extend_from_slice(&chunk);
        } else if bytes > bytes_max.saturating_add(OVERLONG_BYTES_READ) {
            break;
        }
    }
    if bytes > bytes_max {
        return Err(ApiError::payload_too_large());
    }
    Ok(read.freeze())
}

async fn receive(shared: Arc<Shared>, operation: &'static Operation, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let limit = shared.with(|world| world.config.body_bytes_max);
    let inbound = Inbound {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        peer: parts
            .extensions
            .get::<Peer>()
            .map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0),
        headers: parts.headers.clone(),
        body: read_to_end(body, limit).await,
    };
    // A task of its own: a client that hangs up does not stop what it asked for.
    let running = tokio::spawn(answer(Arc::clone(&shared), operation, inbound));
    match running.await {
        Ok(response) => response,
        Err(_) => refusal(&shared, &parts.headers, &ApiError::internal()),
    }
}

/// What was found out about a request before it runs.
struct Admitted {
    call: Call,
    /// The idempotency slot to finish.
    slot: Option<String>,
    /// The answer kept under its key.
    replay: Option<Stored>,
}

async fn answer(shared: Arc<Shared>, operation: &'static Operation, inbound: Inbound) -> Response {
    let (correlation_id, fault) = shared.with(|world| {
        let fault = world
            .faults
            .for_request(operation.name, operation.method, &inbound.peek());
        let count = world.requests.entry(operation.name).or_default();
        count.total += 1;
        count.faulted += u64::from(fault.is_some());
        (world.correlation_id(), fault)
    });
    if fault == Some(FaultAction::Refuse) {
        return hangup();
    }
    let (version, admitted) = shared.with(|world| {
        let (version, known) = version(world, &inbound.headers);
        let admitted = known.and_then(|()| admit(world, operation, &inbound, version, fault.as_ref()));
        (version, admitted)
    });
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            return Answer::refused(&error, &correlation_id).into_response(&shared, version, &correlation_id);
        }
    };
    let answer = match before_effect(&shared, &admitted, fault.as_ref(), &correlation_id).await {
        Some(answer) => answer,
        None => {
            let answer = act(&shared, &admitted, fault.as_ref(), &correlation_id).await;
            after_effect(&shared, &admitted, fault.as_ref(), answer, &correlation_id)
        }
    };
    answer.into_response(&shared, version, &correlation_id)
}

/// The version to answer in, and whether the one asked for is known.
fn version(world: &World, headers: &HeaderMap) -> (&'static str, Result<(), ApiError>) {
    let known = |name: &str| VERSIONS.iter().find(|version| **version == name).copied();
    let pinned = key_of(world, headers).and_then(|key| known(&key.settings.api_version));
    let pinned = pinned.unwrap_or(LATEST_VERSION);
    match header_of(headers, "api-version") {
        None => (pinned, Ok(())),
        Some(asked) => match known(&asked) {
            Some(version) => (version, Ok(())),
            None => (pinned, Err(ApiError::api_version(&asked))),
        },
    }
}

fn key_of<'a>(world: &'a World, headers: &HeaderMap) -> Option<&'a Key> {
    let header = header_of(headers, "authorization")?;
    let (scheme, token) = header.split_once(' ')?;
    let bearer = scheme.eq_ignore_ascii_case("bearer");
    world.keys.iter().find(|key| bearer && key.settings.key == token.trim())
}

/// Everything that can refuse a request before it runs.
fn admit(
    world: &mut World,
    operation: &'static Operation,
    inbound: &Inbound,
    api_version: &'static str,
    fault: Option<&FaultAction>,
) -> Result<Admitted, ApiError> {
    let api_key = match (operation.access, key_of(world, &inbound.headers)) {
        (Access::Public, _) => None,
        (_, None) => return Err(ApiError::authentication_required()),
        (access, Some(key)) => {
            let scope = match access {
                Access::Scope(scope) => Some(scope),
                Access::AnyKey | Access::Public => None,
            };
            key.admits(world.now, inbound.peer, scope)?;
            Some(key.id)
        }
    };
    if let Some(api_key) = api_key {
        world.rates.count(world.config.rate_limit, api_key, world.elapsed)?;
    }
    let id = path_id(operation, inbound)?;
    let query = Query::parse(&inbound.query)?;
    if world.config.unknown_parameters == UnknownParameters::Refuse {
        query.check_known(operation.query)?;
    }
    let body = read_body(operation, inbound)?;
    let idempotency_key = idempotency_key(operation, inbound)?;
    let (slot, replay) = match &idempotency_key {
        None => (None, None),
        Some(key) => begin(world, operation, inbound, key)?,
    };
    let call = Call {
        operation,
        id,
        query,
        body,
        idempotency_key,
        api_version,
        api_key,
        unlisted_ms: match fault {
            Some(FaultAction::Unlisted { ms }) => *ms,
            _ => 0,
        },
        fail_later: match fault {
            Some(FaultAction::FailLater { failure }) => Some(failure.clone()),
            _ => None,
        },
    };
    Ok(Admitted { call, slot, replay })
}

/// The id in the path: always its third part.
fn path_id(operation: &Operation, inbound: &Inbound) -> Result<Option<Uuid>, ApiError> {
    if !operation.path.contains("{id}") {
        return Ok(None);
    }
    let text = inbound.path.split('/').nth(3).unwrap_or_default();
    validate::uuid("id", text).map(Some)
}

/// The body as far as the operation has one.
fn read_body(operation: &Operation, inbound: &Inbound) -> Result<Map<String, Json>, ApiError> {
    let bytes = inbound.body.as_ref().map_err(Clone::clone)?;
    let body = if operation.method == "GET" || bytes.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(bytes) {
            Ok(Json::Object(body)) => body,
            Ok(_) => return Err(ApiError::validation("the body is a JSON object")),
            Err(_) => return Err(ApiError::validation("the body is not valid JSON")),
        }
    };
    if operation.body == Body::Object {
        let json_sent = inbound
            .header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        if !json_sent {
            return Err(ApiError::validation("the body is sent as application/json"));
        }
    } else if let Some(stray) = body.keys().next() {
        return Err(ApiError::unknown_field(stray));
    }
    Ok(body)
}

/// The idempotency key, on the methods that have one; silently ignored on the others.
fn idempotency_key(operation: &Operation, inbound: &Inbound) -> Result<Option<String>, ApiError> {
    let name = "Idempotency-Key";
    match inbound.header(name).filter(|_| operation.method == "POST") {
        Some(key) if key.is_empty() || key.chars().count() > 255 => Err(ApiError::parameter_invalid(
            name,
            "an idempotency key has 1 to 255 characters",
        )),
        key => Ok(key),
    }
}

fn begin(
    world: &mut World,
    operation: &Operation,
    inbound: &Inbound,
    key: &str,
) -> Result<(Option<String>, Option<Stored>), ApiError> {
    let settings = world.config.idempotency.clone();
    let target = format!("{} {}?{}", operation.method, inbound.path, inbound.query);
    match world
        .idempotency
        .begin(&settings, key, &target, inbound.bytes(), world.elapsed)
    {
        Begin::Run(slot) => Ok((Some(slot), None)),
        Begin::Replay(stored) => {
            world.requests.entry(operation.name).or_default().replayed += 1;
            Ok((None, Some(stored)))
        }
        Begin::OtherRequest => Err(ApiError::key_already_used()),
        Begin::StillRunning => Err(ApiError::request_in_progress()),
    }
}

/// Faults that come before anything happens; an answer ends the request.
async fn before_effect(
    shared: &Shared,
    admitted: &Admitted,
    fault: Option<&FaultAction>,
    correlation_id: &str,
) -> Option<Answer> {
    match fault? {
        FaultAction::Delay { ms, when: When::Before } => {
            shared.clock.sleep(Duration::from_millis(*ms)).await;
            None
        }
        FaultAction::Status {
            status,
            when: When::Before,
            retry_after_secs,
        } => {
            let answer = Answer::broken(*status, *retry_after_secs, correlation_id);
            nothing_happened(shared, admitted, &answer);
            Some(answer)
        }
        FaultAction::Refusal { status, code } => {
            let mut answer = Answer::refused(&ApiError::conflict("refused as asked for"), correlation_id);
            answer.status = *status;
            answer.replace("/code", code.as_str().into());
            nothing_happened(shared, admitted, &answer);
            Some(answer)
        }
        _ => None,
    }
}

/// The key is free again, unless the provider keeps such answers under it.
fn nothing_happened(shared: &Shared, admitted: &Admitted, answer: &Answer) {
    shared.with(|world| {
        let settings = &world.config.idempotency;
        let keep = if answer.status >= 500 {
            settings.keep_server_errors
        } else {
            settings.keep_client_errors
        };
        if let Some(slot) = &admitted.slot {
            world.idempotency.finish(slot, keep.then(|| answer.stored()));
        }
    });
}

/// Runs the handler, or repeats what it once answered. Effect and key are kept together, unless the answer is
/// slow by script: until then the key is in use.
async fn act(shared: &Shared, admitted: &Admitted, fault: Option<&FaultAction>, correlation_id: &str) -> Answer {
    if let Some(stored) = &admitted.replay {
        return Answer::replay(stored);
    }
    let slow_ms = match fault {
        Some(FaultAction::Delay { ms, when: When::After }) => Some(*ms),
        _ => None,
    };
    let answer = shared.with(|world| {
        let call = &admitted.call;
        let answer = match (call.operation.run)(world, call) {
            Ok(body) => {
                world.requests.entry(call.operation.name).or_default().done += 1;
                Answer::ok(&body)
            }
            Err(error) => Answer::refused(&error, correlation_id),
        };
        if slow_ms.is_none() {
            keep(world, admitted, &answer);
        }
        answer
    });
    if let Some(ms) = slow_ms {
        shared.clock.sleep(Duration::from_millis(ms)).await;
        shared.with(|world| keep(world, admitted, &answer));
    }
    answer
}

fn keep(world: &mut World, admitted: &Admitted, answer: &Answer) {
    if let Some(slot) = &admitted.slot {
        let keep = answer.status < 400 || world.config.idempotency.keep_client_errors;
        world.idempotency.finish(slot, keep.then(|| answer.stored()));
    }
}

/// Faults that come when everything has happened.
fn after_effect(
    shared: &Shared,
    admitted: &Admitted,
    fault: Option<&FaultAction>,
    mut answer: Answer,
    correlation_id: &str,
) -> Answer {
    let Some(fault) = fault else { return answer };
    let success = answer.status < 300;
    match fault {
        FaultAction::DropAfterEffect => answer.manner = Manner::Hangup,
        FaultAction::Status {
            status,
            when: When::After,
            retry_after_secs,
        } => {
            let broken = Answer::broken(*status, *retry_after_secs, correlation_id);
            shared.with(|world| {
                let Some(slot) = &admitted.slot else { return };
                match world.config.idempotency.after_server_error {
                    AfterServerError::Success => {}
                    AfterServerError::Error => world.idempotency.finish(slot, Some(broken.stored())),
                    AfterServerError::RunAgain => world.idempotency.finish(slot, None),
                }
            });
            return broken;
        }
        FaultAction::TruncatedBody if success => answer.body.truncate(answer.body.len() / 2),
        FaultAction::CutBody if success => answer.manner = Manner::Cut,
        FaultAction::WrongSchema if success => answer.body = br#"{"ok":true}"#.to_vec(),
        FaultAction::WrongAmount { amount } if success => {
            answer.replace("/amount", amount.as_str().into());
            answer.replace("/source_amount", amount.as_str().into());
        }
        FaultAction::Replace { pointer, value } if success => answer.replace(pointer, value.clone()),
        FaultAction::SlowDrip { bytes, interval_ms } => {
            answer.manner = Manner::Drip {
                bytes: (*bytes).max(1),
                interval: Duration::from_millis(*interval_ms),
            };
        }
        _ => {}
    }
    answer
}

/// How an answer goes over the wire.
#[derive(Debug)]
enum Manner {
    Whole,
    Hangup,
    /// Half of it, then the connection ends.
    Cut,
    Drip {
        bytes: usize,
        interval: Duration,
    },
}

/// An answer before it goes over the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Vec<u8>,
    content_type: &'static str,
    replayed: bool,
    retry_after_secs: Option<u64>,
    manner: Manner,
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

    fn ok(body: &Json) -> Self {
        Self::new(200, body.to_string().into_bytes())
    }

    fn refused(error: &ApiError, correlation_id: &str) -> Self {
        let mut answer = Self::new(error.status, error.body(correlation_id).to_string().into_bytes());
        answer.retry_after_secs = error.retry_after_secs;
        answer
    }

    /// A scripted error: the provider's own where it documents one, a gateway's page otherwise.
    fn broken(status: u16, retry_after_secs: Option<u64>, correlation_id: &str) -> Self {
        let mut answer = match status {
            429 => Self::refused(&ApiError::rate_limited(retry_after_secs), correlation_id),
            500 => Self::refused(&ApiError::internal(), correlation_id),
            _ => Self::new(status, format!("<html><body>{status}</body></html>").into_bytes()),
        };
        if !matches!(status, 429 | 500) {
            answer.content_type = "text/html";
        }
        answer.status = status;
        answer.retry_after_secs = retry_after_secs;
        answer
    }

    fn replay(stored: &Stored) -> Self {
        let mut answer = Self::new(stored.status, stored.body.to_vec());
        answer.replayed = true;
        answer
    }

    fn stored(&self) -> Stored {
        Stored {
            status: self.status,
            body: Bytes::copy_from_slice(&self.body),
        }
    }

    fn replace(&mut self, pointer: &str, value: Json) {
        let Ok(mut body) = serde_json::from_slice::<Json>(&self.body) else {
            return;
        };
        if let Some(place) = body.pointer_mut(pointer) {
            *place = value;
            self.body = body.to_string().into_bytes();
        }
    }

    fn into_response(self, shared: &Shared, version: &str, correlation_id: &str) -> Response {
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
            .header(header::CONTENT_LENGTH, length)
            .header("api-version", version)
            .header("Correlation-Id", correlation_id);
        if self.replayed {
            response = response.header("Idempotent-Replayed", "true");
        }
        if let Some(secs) = self.retry_after_secs {
            response = response.header(header::RETRY_AFTER, secs);
        }
        response.body(body).unwrap_or_else(|_| hangup())
    }
}

/// The marker that closes the connection without an answer.
fn hangup() -> Response {
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

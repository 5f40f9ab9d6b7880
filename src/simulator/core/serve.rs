//! One request from socket to answer: key, scope, fault, idempotency, handler, answer.
//!
//! The order is the providers' as far as it is known; what differs between them is asked of the contract.
//! What goes wrong by script goes wrong here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::{Map, Value as Json};

use super::answer::{Answer, Manner, hangup};
use super::faults::{FaultAction, When};
use super::fields::Query;
use super::idempotency::{Begin, Stored};
use super::refusal::Refusal;
use crate::simulator::Shared;
use crate::simulator::config::{AfterServerError, KeyScope, UnknownParameters};
use crate::simulator::contract::{Body, CONTRACTS, Call, Caller, Contract, Operation};
use crate::simulator::world::World;

/// The address a request came from; put in by the accept loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How much of a body that is too long is read on.
const OVERLONG_BYTES_READ: usize = 16 * 1024 * 1024;

/// The routes of every API.
pub(crate) fn router() -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for contract in CONTRACTS {
        for operation in contract.operations {
            let filter = match operation.method {
                "GET" => MethodFilter::GET,
                "DELETE" => MethodFilter::DELETE,
                "PATCH" => MethodFilter::PATCH,
                "PUT" => MethodFilter::PUT,
                _ => MethodFilter::POST,
            };
            let handler = move |State(shared), request| receive(shared, (contract, operation), request);
            let path = format!("{}{}", contract.prefix, operation.path);
            router = router.route(&path, on(filter, handler));
        }
    }
    router
        .fallback(
            |State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap| async move {
                refusal(&shared, Contract::of_path(uri.path()), &headers, &Refusal::no_route())
            },
        )
        .method_not_allowed_fallback(
            |State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap| async move {
                refusal(
                    &shared,
                    Contract::of_path(uri.path()),
                    &headers,
                    &Refusal::method_not_allowed(),
                )
            },
        )
}

fn refusal(shared: &Shared, contract: &Contract, headers: &HeaderMap, refusal: &Refusal) -> Response {
    let (correlation_id, headers) = shared.with(|world| {
        let correlation_id = world.core.correlation_id();
        let headers = (contract.headers)(world, headers, &correlation_id);
        (correlation_id, headers)
    });
    Answer::refused(contract, refusal, &correlation_id).into_response(shared, contract, headers)
}

/// A request with its body read.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) headers: HeaderMap,
    path: String,
    query: String,
    body: Result<Bytes, Refusal>,
    pub(crate) peer: IpAddr,
}

impl Inbound {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header_of(&self.headers, name)
    }

    fn bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// The body as JSON, as far as it is: only to match faults by it, and to note keys.
    fn peek(&self) -> Json {
        serde_json::from_slice(self.bytes()).unwrap_or_default()
    }
}

/// A header byte by byte: one that is not ASCII is there all the same, and two that differ stay different.
pub(crate) fn header_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(value.as_bytes().iter().copied().map(char::from).collect())
}

/// Reads a body to its end. Of one that is too long the rest is read too, for a while: a client that is still
/// sending when the connection closes would never see the answer.
async fn read_to_end(body: HttpBody, bytes_max: usize) -> Result<Bytes, Refusal> {
    let (mut read, mut bytes) = (BytesMut::new(), 0);
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Refusal::validation("the body does not come to its end"))?;
        bytes += chunk.len();
        if bytes <= bytes_max {
            read.extend_from_slice(&chunk);
        } else if bytes > bytes_max.saturating_add(OVERLONG_BYTES_READ) {
            break;
        }
    }
    if bytes > bytes_max {
        return Err(Refusal::payload_too_large());
    }
    Ok(read.freeze())
}

/// What a request is for.
type Target = (&'static Contract, &'static Operation);

async fn receive(shared: Arc<Shared>, target: Target, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let limit = shared.with(|world| world.core.config.body_bytes_max);
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
    let doing = Arc::clone(&shared);
    let running = tokio::spawn(async move {
        let response = answer(Arc::clone(&doing), target, inbound).await;
        doing.with(|world| world.core.requests.entry(target.1.name).or_default().over += 1);
        response
    });
    match running.await {
        Ok(response) => response,
        Err(_) => refusal(&shared, target.0, &parts.headers, &Refusal::internal()),
    }
}

/// What was found out about a request before it runs.
struct Admitted {
    contract: &'static Contract,
    call: Call,
    /// The idempotency slot to finish.
    slot: Option<String>,
    /// The answer kept under its key.
    replay: Option<Stored>,
    correlation_id: String,
}

async fn answer(shared: Arc<Shared>, (contract, operation): Target, inbound: Inbound) -> Response {
    let (correlation_id, fault) = shared.with(|world| {
        let core = &mut world.core;
        let fault = core
            .faults
            .for_request(operation.name, operation.method, &inbound.peek());
        let count = core.requests.entry(operation.name).or_default();
        count.total += 1;
        count.faulted += u64::from(fault.is_some());
        if let Some(key) = key_of((contract, operation), &inbound) {
            core.carried.note(
                format!("{} {key}", contract.name),
                &target(operation, &inbound),
                inbound.bytes(),
            );
        }
        (core.correlation_id(), fault)
    });
    if fault == Some(FaultAction::Refuse) {
        return hangup();
    }
    let (headers, admitted) = shared.with(|world| {
        let headers = (contract.headers)(world, &inbound.headers, &correlation_id);
        let admitted = admit(world, (contract, operation), &inbound, &correlation_id, fault.as_ref());
        (headers, admitted)
    });
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            return Answer::refused(contract, &refusal, &correlation_id).into_response(&shared, contract, headers);
        }
    };
    let answer = match before_effect(&shared, &admitted, fault.as_ref()).await {
        Some(answer) => answer,
        None => {
            let answer = act(&shared, &admitted, fault.as_ref()).await;
            after_effect(&shared, &admitted, fault.as_ref(), answer)
        }
    };
    answer.into_response(&shared, contract, headers)
}

/// Everything that can refuse a request before it runs.
fn admit(
    world: &mut World,
    (contract, operation): Target,
    inbound: &Inbound,
    correlation_id: &str,
    fault: Option<&FaultAction>,
) -> Result<Admitted, Refusal> {
    let caller = (contract.authenticate)(world, operation, inbound)?;
    let path = varying_parts(contract, operation, inbound)?;
    let query = Query::parse(&inbound.query)?;
    if (contract.unknown_parameters)(&world.core.config) == UnknownParameters::Refuse {
        query.check_known(operation.query)?;
    }
    let body = read_body(operation, inbound)?;
    let idempotency_key = idempotency_key(world, (contract, operation), inbound)?;
    let (slot, replay) = match &idempotency_key {
        None => (None, None),
        Some(key) => begin(world, (contract, operation), inbound, (&caller, key))?,
    };
    let call = Call {
        operation,
        caller,
        path,
        query,
        body,
        idempotency_key,
        unlisted_ms: match fault {
            Some(FaultAction::Unlisted { ms }) => *ms,
            _ => 0,
        },
        fail_later: match fault {
            Some(FaultAction::FailLater { failure }) => Some(failure.clone()),
            _ => None,
        },
    };
    Ok(Admitted {
        contract,
        call,
        slot,
        replay,
        correlation_id: correlation_id.to_owned(),
    })
}

/// What stands where the operation's path has braces, in written order.
fn varying_parts(contract: &Contract, operation: &Operation, inbound: &Inbound) -> Result<Vec<String>, Refusal> {
    let path = inbound.path.strip_prefix(contract.prefix).unwrap_or_default();
    let parts = operation.path.split('/').zip(path.split('/'));
    parts
        .filter(|(known, _)| known.starts_with('{'))
        .map(|(_, part)| (contract.check_path)(part).map(|()| part.to_owned()))
        .collect()
}

/// The body as far as the operation has one.
fn read_body(operation: &Operation, inbound: &Inbound) -> Result<Map<String, Json>, Refusal> {
    let bytes = inbound.body.as_ref().map_err(Clone::clone)?;
    let body = if operation.method == "GET" || bytes.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(bytes) {
            Ok(Json::Object(body)) => body,
            Ok(_) => return Err(Refusal::validation("the body is a JSON object")),
            Err(_) => return Err(Refusal::validation("the body is not valid JSON")),
        }
    };
    if operation.body == Body::Object {
        let json_sent = inbound
            .header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        if !json_sent {
            return Err(Refusal::validation("the body is sent as application/json"));
        }
    } else if let Some(stray) = body.keys().next() {
        return Err(Refusal::unknown_field(stray));
    }
    Ok(body)
}

/// The idempotency key, on the operations that heed one; silently ignored on the others.
fn idempotency_key(world: &World, (contract, operation): Target, inbound: &Inbound) -> Result<Option<String>, Refusal> {
    let rule = &contract.key;
    if !(rule.covers)(&world.core.config, operation) {
        return Ok(None);
    }
    match inbound.header(rule.header) {
        Some(key) if key.is_empty() || key.chars().count() > 255 => Err(Refusal::parameter_invalid(
            rule.header,
            "an idempotency key has 1 to 255 characters",
        )),
        key => Ok(key),
    }
}

/// What a request says it is, heeded or not: the key in its header or its body.
fn key_of((contract, operation): Target, inbound: &Inbound) -> Option<String> {
    let rule = &contract.key;
    if operation.method == "GET" {
        return None;
    }
    inbound.header(rule.header).or_else(|| {
        let body = inbound.peek();
        Some(body.get(rule.member?)?.as_str()?.to_owned())
    })
}

/// What a request is to do, and to what.
fn target(operation: &Operation, inbound: &Inbound) -> String {
    format!("{} {}?{}", operation.method, inbound.path, inbound.query)
}

fn begin(
    world: &mut World,
    (contract, operation): Target,
    inbound: &Inbound,
    (caller, key): (&Caller, &str),
) -> Result<(Option<String>, Option<Stored>), Refusal> {
    let core = &mut world.core;
    let settings = (contract.key.settings)(&core.config);
    // Where a key is one at a path only, it is one for an account only, too.
    let account = caller
        .account
        .filter(|_| settings.key_scope == KeyScope::MerchantAndPath);
    let whose = account.map(|account| format!("{account} {:?}\n", caller.api_key));
    let key = format!("{}\n{}{key}", contract.name, whose.unwrap_or_default());
    let target = target(operation, inbound);
    match core
        .idempotency
        .begin(settings, &key, &target, inbound.bytes(), core.elapsed)
    {
        Begin::Run(slot) => Ok((Some(slot), None)),
        Begin::Replay(stored) => {
            core.requests.entry(operation.name).or_default().replayed += 1;
            Ok((None, Some(stored)))
        }
        Begin::OtherRequest => Err(Refusal::key_already_used()),
        Begin::StillRunning => Err(Refusal::request_in_progress()),
    }
}

/// Faults that come before anything happens; an answer ends the request.
async fn before_effect(shared: &Shared, admitted: &Admitted, fault: Option<&FaultAction>) -> Option<Answer> {
    let contract = admitted.contract;
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
            let answer = Answer::broken(contract, *status, *retry_after_secs, &admitted.correlation_id);
            nothing_happened(shared, admitted, &answer);
            Some(answer)
        }
        FaultAction::Refusal { status, code } => {
            let refusal = Refusal::conflict("refused as asked for");
            let mut answer = Answer::refused(contract, &refusal, &admitted.correlation_id);
            answer.status = *status;
            answer.replace(contract.code_at, code.as_str().into());
            nothing_happened(shared, admitted, &answer);
            Some(answer)
        }
        _ => None,
    }
}

/// The key is free again, unless the provider keeps such answers under it.
fn nothing_happened(shared: &Shared, admitted: &Admitted, answer: &Answer) {
    shared.with(|world| {
        let settings = (admitted.contract.key.settings)(&world.core.config);
        let keep = if answer.status >= 500 {
            settings.keep_server_errors
        } else {
            settings.keep_client_errors
        };
        if let Some(slot) = &admitted.slot {
            finish(world, slot, keep.then(|| answer.stored()));
        }
    });
}

/// Runs the handler, or repeats what it once answered. Effect and key are kept together, unless the answer is
/// slow by script: until then the key is in use.
async fn act(shared: &Shared, admitted: &Admitted, fault: Option<&FaultAction>) -> Answer {
    if let Some(stored) = &admitted.replay {
        return Answer::replay(stored);
    }
    let slow_ms = match fault {
        Some(FaultAction::Delay { ms, when: When::After }) => Some(*ms),
        _ => None,
    };
    let mut outgoing = None;
    let mut answer = shared.with(|world| {
        let call = &admitted.call;
        let done = (call.operation.run)(world, call);
        let form = std::mem::take(&mut world.core.form);
        let answer = match done {
            Ok(body) => {
                world.core.requests.entry(call.operation.name).or_default().done += 1;
                if let Some(complete) = call.operation.posts_first {
                    outgoing = world
                        .core
                        .outbox
                        .pop()
                        .map(|outgoing| (outgoing, complete, body.clone()));
                }
                Answer::success(call.operation.success, &body).in_form(form, &body)
            }
            Err(refusal) => Answer::refused(admitted.contract, &refusal, &admitted.correlation_id),
        };
        if slow_ms.is_none() {
            keep(world, admitted, &answer);
        }
        answer
    });
    if let Some((outgoing, complete, body)) = outgoing {
        let body = complete(body, shared.post(&outgoing).await);
        answer = Answer::success(answer.status, &body);
    }
    if let Some(ms) = slow_ms {
        shared.clock.sleep(Duration::from_millis(ms)).await;
        shared.with(|world| keep(world, admitted, &answer));
    }
    answer
}

fn keep(world: &mut World, admitted: &Admitted, answer: &Answer) {
    if let Some(slot) = &admitted.slot {
        let settings = (admitted.contract.key.settings)(&world.core.config);
        let keep = answer.status < 400 || settings.keep_client_errors;
        finish(world, slot, keep.then(|| answer.stored()));
    }
}

fn finish(world: &mut World, slot: &str, answer: Option<Stored>) {
    let elapsed = world.core.elapsed;
    world.core.idempotency.finish(slot, answer, elapsed);
}

/// An error though everything has happened, kept under its key as the settings have it.
fn failed_after(shared: &Shared, admitted: &Admitted, status: u16, retry_after_secs: Option<u64>) -> Answer {
    let contract = admitted.contract;
    let broken = Answer::broken(contract, status, retry_after_secs, &admitted.correlation_id);
    shared.with(|world| {
        let Some(slot) = &admitted.slot else { return };
        match (contract.key.settings)(&world.core.config).after_server_error {
            AfterServerError::Success => {}
            AfterServerError::Error => finish(world, slot, Some(broken.stored())),
            AfterServerError::RunAgain => finish(world, slot, None),
        }
    });
    broken
}

/// Faults that come when everything has happened.
fn after_effect(shared: &Shared, admitted: &Admitted, fault: Option<&FaultAction>, mut answer: Answer) -> Answer {
    let Some(fault) = fault else { return answer };
    let contract = admitted.contract;
    let success = answer.status < 300;
    match fault {
        FaultAction::DropAfterEffect => answer.manner = Manner::Hangup,
        FaultAction::Status {
            status,
            when: When::After,
            retry_after_secs,
        } => answer = failed_after(shared, admitted, *status, *retry_after_secs),
        FaultAction::ErrorLost { status } => {
            answer = failed_after(shared, admitted, *status, None);
            answer.manner = Manner::Hangup;
        }
        FaultAction::TruncatedBody if success => answer.body.truncate(answer.body.len() / 2),
        FaultAction::CutBody if success => answer.manner = Manner::Cut,
        FaultAction::WrongSchema if success => answer.body = br#"{"ok":true}"#.to_vec(),
        FaultAction::WrongAmount { amount } if success => {
            for pointer in contract.amounts_at {
                answer.replace_amount(pointer, amount);
            }
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

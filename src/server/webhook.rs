//! The public listener: signed webhooks, and nothing else.
//!
//! Its work is to receive, have verified and stored, and answer; it parses nothing and decides nothing.
//! Everything a stranger can make it do is bounded: connections, header, body, time. The answer is 200 only
//! when the event is durable.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::counters::{DoorCounters, Outcome};
use super::senders::{Senders, Visit, is_among, sender};
use crate::base::guard::{Guard, holds};
use crate::base::limits::{
    WEBHOOK_BODY_BYTES_MAX, WEBHOOK_CONNECTIONS_MAX, WEBHOOK_CONNECTIONS_PER_ADDRESS, WEBHOOK_READ_TIMEOUT,
    WEBHOOK_SMALL_BODY_BYTES, WEBHOOK_TOTAL_TIMEOUT, WEBHOOK_UNSIGNED_PER_MINUTE,
};
use crate::base::network::Network;
use crate::base::shutdown::Shutdown;
use crate::model::event::Delivery;
use crate::store::Admitted;
use crate::trigger::webhook::{Behind, Refused, Unsigned};

/// Where webhooks are received; the name of the connection follows.
const PATH: &str = "/hooks/";
/// Header fields of one request. Providers send about twenty.
const HEADER_FIELDS_MAX: usize = 64;
/// All header fields of one request together.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// What a sender is told when the store cannot take its event.
const RETRY_AFTER_SECS: &str = "10";
/// What a sender is told whose address is held back.
const HELD_BACK_SECS: &str = "60";
/// After a failed `accept`, usually for want of file descriptors: time for some to be given back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a stranger may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorLimits {
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// Time for a header, from the opening of the connection or the answer before.
    pub header_timeout: Duration,
    /// Time for a body, from the end of the header.
    pub body_timeout: Duration,
    /// Time for all of a connection's first request.
    pub total_timeout: Duration,
    /// Connections open at once.
    pub connections_max: usize,
    /// Those of one address among them.
    pub connections_per_address: usize,
    /// Unsigned requests of one address in a minute, after which a large body of it is refused unread.
    pub unsigned_per_minute: u32,
    /// Time for requests in hand when the door closes.
    pub close_timeout: Duration,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: WEBHOOK_BODY_BYTES_MAX,
            header_timeout: WEBHOOK_READ_TIMEOUT,
            body_timeout: WEBHOOK_READ_TIMEOUT,
            total_timeout: WEBHOOK_TOTAL_TIMEOUT,
            connections_max: WEBHOOK_CONNECTIONS_MAX,
            connections_per_address: WEBHOOK_CONNECTIONS_PER_ADDRESS.into(),
            unsigned_per_minute: WEBHOOK_UNSIGNED_PER_MINUTE,
            close_timeout: WEBHOOK_READ_TIMEOUT,
        }
    }
}

/// The door.
pub struct WebhookDoor {
    behind: Behind,
    counters: Arc<DoorCounters>,
    limits: DoorLimits,
    proxies: Vec<Network>,
    senders: Arc<Senders>,
}

/// Receives webhooks until it is told to stop, then finishes what it has in hand.
pub async fn serve(door: Arc<WebhookDoor>, listener: TcpListener, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(door.limits.connections_max));
    let mut connections = JoinSet::new();
    let mut stop = shutdown.clone();
    loop {
        let next = async {
            // A place first: without one, further connections stay in the kernel's queue.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = stop.requested() => None,
        };
        match accepted {
            None => break,
            Some((Ok((stream, peer)), place)) => {
                let peer = peer.ip().to_canonical();
                // Through a proxy come many; how many of each is its own matter.
                let visit = (!is_among(&door.proxies, peer)).then(|| door.senders.enter(peer));
                if let Some(None) = visit {
                    door.counters.count_turned_away();
                } else {
                    let places = Places(place, visit.flatten());
                    connections.spawn(drive(Arc::clone(&door), stream, peer, places, shutdown.clone()));
                }
            }
            Some((Err(error), _)) => {
                tracing::warn!(%error, "a webhook connection could not be accepted");
                door.behind.clock().sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let finished = tokio::time::timeout(door.limits.close_timeout, async {
        while connections.join_next().await.is_some() {}
    });
    if finished.await.is_err() {
        tracing::warn!(open = connections.len(), "webhook connections are cut off");
        connections.shutdown().await;
    }
}

/// What a connection holds as long as it is open: its place among all, and among those of its address.
struct Places(
    #[expect(dead_code, reason = "it is given back when it is dropped")] OwnedSemaphorePermit,
    #[expect(dead_code, reason = "it is given back when it is dropped")] Option<Visit>,
);

/// Serves one connection to its end.
async fn drive(door: Arc<WebhookDoor>, stream: TcpStream, peer: IpAddr, _places: Places, mut shutdown: Shutdown) {
    let limits = door.limits;
    // From the end of the first body on, time is ours; and only who signed that one may send another.
    let arrived = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&arrived);
    // An answer is one small packet: nothing follows that it could wait for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a webhook connection keeps its delay");
    }
    let service = service_fn(move |request| {
        let (door, arrived) = (Arc::clone(&door), Arc::clone(&arrived));
        async move { Ok::<_, Infallible>(door.answer(request, peer, &arrived).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let overdue = async {
        let never = tokio::time::timeout(limits.total_timeout, pending::<()>());
        if never.await.is_ok() || seen.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = overdue => {
            tracing::debug!(%peer, "a webhook connection took too long and is cut off");
            return;
        }
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a webhook connection broke off");
    }
}

impl WebhookDoor {
    /// A door behind these proxies, of which `X-Forwarded-For` is believed.
    pub fn new(
        behind: impl Into<Behind>,
        counters: Arc<DoorCounters>,
        limits: DoorLimits,
        proxies: Vec<Network>,
    ) -> Self {
        let senders = Senders::new(limits.connections_per_address, limits.unsigned_per_minute);
        Self {
            behind: behind.into(),
            counters,
            limits,
            proxies,
            senders: Arc::new(senders),
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr, arrived: &AtomicBool) -> Response<String> {
        // A bug that one delivery meets harms nobody else.
        let received = AssertUnwindSafe(self.receive(request, peer, arrived))
            .catch_unwind()
            .await;
        let outcome = match received {
            Ok(outcome) => outcome.unwrap_or_else(|refused| refused),
            Err(_) => {
                tracing::error!(
                    "the program itself failed over a webhook; this is a bug, and its sender will try again"
                );
                Outcome::Failed
            }
        };
        self.counters.count(outcome);
        respond(outcome)
    }

    /// The checks, cheapest first: nothing is read for a request that is refused anyway.
    async fn receive(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        arrived: &AtomicBool,
    ) -> Result<Outcome, Outcome> {
        let connection = connection_name(request.uri().path())
            .ok_or(Outcome::NotFound)?
            .to_owned();
        if request.method() != Method::POST {
            return Err(Outcome::WrongMethod);
        }
        let (head, body) = request.into_parts();
        let sender = sender(peer, &head.headers, &self.proxies);
        let bound = self.bound(sender);
        bound.check(body.size_hint().lower())?;
        if head.headers.contains_key(CONTENT_ENCODING) {
            return Err(Outcome::Encoded);
        }
        let body = tokio::time::timeout(self.limits.body_timeout, read_body(body, bound))
            .await
            .map_err(|_| Outcome::Incomplete)??;
        arrived.store(true, Ordering::Relaxed);
        let delivery = Delivery {
            connection,
            sender,
            headers: plain_headers(&head.headers),
            body,
            received_at: self.behind.clock().now(),
        };
        // A sender that hangs up stops no write half-way: the store has taken the event whole by then, or not at all.
        let admitted = self.behind.take(&delivery).await;
        Ok(self.outcome(admitted, &delivery))
    }

    /// How much is read from this address. What it sends is hashed before it is believed, so from one that has sent
    /// much that was unsigned nothing large is even read.
    fn bound(&self, sender: IpAddr) -> BodyBound {
        let ever_max = self.limits.body_bytes_max;
        let now_max = if self.senders.is_held_back(sender, self.behind.clock().elapsed()) {
            ever_max.min(WEBHOOK_SMALL_BODY_BYTES)
        } else {
            ever_max
        };
        BodyBound { now_max, ever_max }
    }

    fn refused(&self, reason: Unsigned, delivery: &Delivery) {
        let (connection, sender) = (&delivery.connection, delivery.sender);
        self.counters.count_reason(reason);
        // Anybody can cause this line, so it comes ever more rarely: at 1, 2, 4, 8 …
        let before = self.counters.of(Outcome::Unsigned);
        if (before + 1).is_power_of_two() {
            tracing::warn!(connection, %sender, %reason, before, "an unsigned webhook was refused");
        }
        if self.senders.refuse(sender, self.behind.clock().elapsed()) {
            tracing::debug!(%sender, "so many unsigned webhooks came from one address that its large ones are not read for a minute");
        }
    }

    fn outcome(&self, admitted: Result<Admitted, Refused>, delivery: &Delivery) -> Outcome {
        let connection = &delivery.connection;
        match admitted {
            Ok(Admitted::New { mark, .. }) => {
                tracing::info!(connection, mark = mark.0, "a webhook was accepted");
                Outcome::Accepted
            }
            Ok(Admitted::Duplicate { event }) => {
                tracing::debug!(connection, %event, "a webhook came again");
                Outcome::Duplicate
            }
            Ok(Admitted::TooOld { pruned_before }) => {
                tracing::warn!(
                    connection,
                    %pruned_before,
                    "a signed webhook is older than what was pruned and starts nothing: if nobody has booked it, start its run by hand"
                );
                Outcome::TooOld
            }
            Err(Refused::Unsigned(reason)) => {
                self.refused(reason, delivery);
                Outcome::Unsigned
            }
            Err(Refused::BadPayload(reason)) => {
                tracing::warn!(connection, reason, "a signed webhook could not be read");
                Outcome::BadPayload
            }
            Err(Refused::Store(error)) => {
                tracing::error!(connection, %error, "a webhook could not be stored; the sender will try again");
                Outcome::Unavailable
            }
        }
    }
}

/// The connection named by a path, if the path is one of a webhook.
fn connection_name(path: &str) -> Option<&str> {
    path.strip_prefix(PATH)
        .filter(|name| !name.is_empty() && !name.contains('/'))
}

/// How much of a body is read.
#[derive(Clone, Copy)]
struct BodyBound {
    /// Of this address, at this time.
    now_max: usize,
    /// Of anybody, ever.
    ever_max: usize,
}

impl BodyBound {
    fn check(self, bytes: u64) -> Result<(), Outcome> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > self.ever_max {
            Err(Outcome::TooLarge)
        } else if bytes > self.now_max {
            Err(Outcome::HeldBack)
        } else {
            Ok(())
        }
    }
}

async fn read_body(mut body: Incoming, bound: BodyBound) -> Result<Bytes, Outcome> {
    let mut read = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| Outcome::Incomplete)?.into_data() else {
            continue; // trailers mean nothing here
        };
        if holds(Guard::BodySize) {
            bound.check(u64::try_from(read.len() + data.len()).unwrap_or(u64::MAX))?;
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

fn plain_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect()
}

fn respond(outcome: Outcome) -> Response<String> {
    let mut response = Response::new(outcome.text().to_owned());
    *response.status_mut() = outcome.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if !outcome.is_taken() {
        // Only senders that proved who they are keep a connection.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    match outcome {
        Outcome::WrongMethod => headers.insert(ALLOW, HeaderValue::from_static("POST")),
        Outcome::HeldBack => headers.insert(RETRY_AFTER, HeaderValue::from_static(HELD_BACK_SECS)),
        Outcome::Unavailable | Outcome::Failed => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS))
        }
        _ => None,
    };
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_segment_after_hooks_names_a_connection() {
        let check = |path: &str, expected: Option<&str>| assert_eq!(connection_name(path), expected, "{path}");
        check("/hooks/bank", Some("bank"));
        check("/hooks/", None);
        check("/hooks", None);
        check("/hooks/bank/", None);
        check("/hooks/a/b", None);
        check("/v1/status", None);
        check("/", None);
    }
}

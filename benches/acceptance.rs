//! Webhooks accepted in a second: verified, stored, and only then acknowledged; and how long until each had its run.
//!
//! The router works beside the door as in the daemon: it makes runs until enough stand queued, and the others as
//! they are taken, here once the last webhook was acknowledged.
//! The same senders, with the same signed bodies, first against a server that only verifies. Senders and servers
//! share the processors, so both halves of the ratio pay for the senders.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock, SystemClock};
use bursar::base::ids::WorkerId;
use bursar::base::secret::Secret;
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::connector::signature::{Encoding, HmacScheme, Scheme, sign};
use bursar::server::counters::DoorCounters;
use bursar::server::webhook::{self, DoorLimits, WebhookDoor};
use bursar::store::Store;
use bursar::store::sqlite::Durability;
use bursar::trigger::router::Router;
use bursar::trigger::versions::KnownVersions;
use bursar::trigger::webhook::WebhookTrigger;
use chrono::TimeDelta;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::report::{Figure, median, millis, per_second, percentile};
use super::{Options, limits, rig, stub};

/// How many send at once, and how many webhooks in all: far more than the runs that may stand queued, so that the
/// router works while they come and after, and for one sender, who waits for each commit, fewer.
const LOADS: [Load; 3] = [Load::new(1, 6_000), Load::new(16, 24_000), Load::new(64, 24_000)];
const ROUNDS: usize = 3;
/// Bytes of a body, about.
const BODY_BYTES: usize = 1_024;

#[derive(Clone, Copy)]
struct Load {
    senders: usize,
    webhooks: usize,
}

impl Load {
    const fn new(senders: usize, webhooks: usize) -> Self {
        Self { senders, webhooks }
    }

    /// The numbers of the webhooks, each sender's by itself.
    fn shares<T>(self, make: impl Fn(usize) -> T) -> Vec<Vec<T>> {
        let of = |sender| (sender..self.webhooks).step_by(self.senders);
        (0..self.senders)
            .map(|sender| of(sender).map(&make).collect())
            .collect()
    }
}

/// What one round of senders saw.
struct Seen {
    rate: f64,
    /// Processor time a webhook took, in microseconds, its sender's share included.
    cpu_micros: f64,
    p50: Duration,
    p99: Duration,
    /// Runs made in a second, from the first webhook sent until the last one had its run.
    routed: f64,
}

pub(crate) fn measure(_options: &Options) -> Vec<Figure> {
    let mut figures = Vec::new();
    for load in LOADS {
        let (mut bare_cpu, mut normal_cpu) = (Vec::new(), Vec::new());
        let (mut bare, mut normal, mut full, mut disk) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut alone, mut acks) = (Vec::new(), Vec::new());
        let (mut normal_runs, mut full_runs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let seen = rig::runtime().block_on(bare_round(load));
            bare.push(seen.rate);
            bare_cpu.push(seen.cpu_micros);
            alone.push(rig::runtime().block_on(store_round(load)));
            let seen = rig::runtime().block_on(door_round(load, Durability::Normal));
            normal.push(seen.rate);
            normal_cpu.push(seen.cpu_micros);
            normal_runs.push(seen.routed);
            disk.push(limits::group_commits_per_second(rig::folder().path()));
            let seen = rig::runtime().block_on(door_round(load, Durability::Full));
            full.push(seen.rate);
            full_runs.push(seen.routed);
            acks.push((seen.p50, seen.p99));
        }
        acks.sort();
        let (p50, p99) = acks.get(ROUNDS / 2).copied().unwrap_or_default();
        let (bare, normal, full, disk) = (median(bare), median(normal), median(full), median(disk));
        let alone = median(alone);
        let width = per_second(load.senders, Duration::from_secs(1));
        let senders = match load.senders {
            1 => "1 sender".to_owned(),
            senders => format!("{senders} senders"),
        };
        let what = |what: &str| format!("{senders}, {what}");
        figures.extend([
            Figure::ratio(what("NORMAL, of a bare server that verifies"), normal, bare),
            Figure::ratio(what("NORMAL, of the store without a network"), normal, alone),
            Figure::new(
                what("NORMAL, processor time a webhook, sender included"),
                format!("{:.0} us", median(normal_cpu)),
            )
            .note(format!("{:.0} us at the bare server", median(bare_cpu))),
            Figure::ratio(
                what("NORMAL, runs made, of webhooks accepted"),
                median(normal_runs),
                normal,
            ),
            Figure::ratio(what("FULL, of a bare server that verifies"), full, bare),
            Figure::ratio(what("FULL, of what the disk's commits allow"), full, disk * width),
            Figure::ratio(what("FULL, runs made, of webhooks accepted"), median(full_runs), full),
            Figure::new(
                what("FULL, acknowledged in (p50, p99)"),
                format!("{}, {}", millis(p50), millis(p99)),
            ),
        ]);
    }
    figures
}

async fn bare_round(load: Load) -> Seen {
    let address = stub::verifier(
        scheme(),
        Secret::new(rig::WEBHOOK_SECRET.to_owned()),
        SystemClock::new().now(),
    )
    .await;
    send_all(address, load).await
}

/// Admissions in a second when nothing is received, verified or read: the same events, straight to the store.
async fn store_round(load: Load) -> f64 {
    let folder = rig::folder();
    let store = rig::store(folder.path(), Durability::Normal).await;
    let shares = load.shares(rig::event);
    let clock = SystemClock::new();
    let started = clock.elapsed();
    let admitting: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let store = store.clone();
            tokio::spawn(async move {
                for event in share {
                    store.admit(event).await.expect("the store takes it");
                }
            })
        })
        .collect();
    for caller in admitting {
        caller.await.expect("a caller");
    }
    let rate = per_second(load.webhooks, clock.elapsed().saturating_sub(started));
    store.close().await.expect("the store closes");
    rate
}

async fn door_round(load: Load, durability: Durability) -> Seen {
    let folder = rig::folder();
    rig::write_files(folder.path(), SocketAddr::from(([127, 0, 0, 1], 9)));
    let settings = rig::settings(folder.path());
    let store = rig::store(folder.path(), durability).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let arrived = Wake::new();
    let trigger = WebhookTrigger {
        store: store.clone(),
        connections: Arc::new(settings.connections.clone()),
        clock: clock.clone(),
        arrived: arrived.clone(),
        wake: Wake::new(),
    };
    let router = Router {
        store: store.clone(),
        catalog: rig::catalog(&settings),
        connections: Arc::new(settings.connections.clone()),
        clock: clock.clone(),
        arrived,
        wake: Wake::new(),
        versions: Arc::new(KnownVersions::new()),
        behind: Default::default(),
    };
    // All senders are on this machine.
    let limits = DoorLimits {
        connections_per_address: usize::MAX,
        ..DoorLimits::default()
    };
    let door = WebhookDoor::new(Arc::new(trigger), Arc::new(DoorCounters::new()), limits, Vec::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stopper, shutdown) = Stopper::new();
    let door = tokio::spawn(webhook::serve(Arc::new(door), listener, shutdown.clone()));
    let router = tokio::spawn(router.run(shutdown));
    let started = clock.elapsed();
    let mut seen = send_all(address, load).await;
    take_all(store.as_ref(), clock.as_ref(), load.webhooks).await;
    seen.routed = per_second(load.webhooks, clock.elapsed().saturating_sub(started));
    stopper.stop();
    door.await.expect("the door closes");
    router.await.expect("the router ends");
    let counts = rig::counts(store.as_ref()).await;
    let runs: u64 = counts.values().sum();
    assert_eq!(runs, load.webhooks as u64, "an accepted webhook made no run");
    store.close().await.expect("the store closes");
    seen
}

/// Takes queued runs as workers do that have nothing else to do, until every webhook has had its run.
async fn take_all(store: &dyn Store, clock: &dyn Clock, webhooks: usize) {
    let worker = WorkerId::generate(clock.now());
    let mut left = webhooks;
    while left > 0 {
        let now = clock.now();
        let claims = store.claim(worker, now, now + TimeDelta::hours(1), 256).await;
        let taken = claims.expect("the store answers").len();
        left -= taken;
        if taken == 0 {
            clock.sleep(Duration::from_millis(1)).await;
        }
    }
}

fn scheme() -> Scheme {
    Scheme::HmacSha256(HmacScheme::over_body("x-signature", Encoding::Hex))
}

/// The bytes of one signed request.
fn request(number: usize) -> Vec<u8> {
    let id = format!("evt-{number:08}");
    let note = "x".repeat(BODY_BYTES - 160);
    let body = format!(
        r#"{{"id":"{id}","type":"payment.requested","payload":{{"id":"{id}","amount":"129.90","currency":"EUR","customer":"cus_7Q2m","note":"{note}"}}}}"#
    );
    let secret = Secret::new(rig::WEBHOOK_SECRET.to_owned());
    let headers = sign(&scheme(), &secret, &id, 0, body.as_bytes()).expect("a usable secret");
    let mut request =
        String::from("POST /hooks/stub HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    request.into_bytes()
}

/// Sends every webhook once, each sender one after another on a connection of its own.
async fn send_all(address: SocketAddr, load: Load) -> Seen {
    let shares = load.shares(request);
    let clock = Arc::new(SystemClock::new());
    let (started, cpu_before) = (clock.elapsed(), limits::cpu_time());
    let sending: Vec<_> = shares
        .into_iter()
        .map(|share| tokio::spawn(send(address, share, clock.clone())))
        .collect();
    let mut took = Vec::new();
    for sender in sending {
        took.extend(sender.await.expect("a sender"));
    }
    let rate = per_second(load.webhooks, clock.elapsed().saturating_sub(started));
    let cpu_micros = 1_000_000.0 / per_second(load.webhooks, limits::cpu_time().saturating_sub(cpu_before));
    took.sort();
    Seen {
        rate,
        cpu_micros,
        p50: percentile(&took, 50),
        p99: percentile(&took, 99),
        routed: 0.0,
    }
}

async fn send(address: SocketAddr, requests: Vec<Vec<u8>>, clock: Arc<SystemClock>) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let mut took = Vec::with_capacity(requests.len());
    let mut answer = Vec::new();
    for request in requests {
        let started = clock.elapsed();
        stream.write_all(&request).await.expect("the server reads");
        read_answer(&mut stream, &mut answer).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        took.push(clock.elapsed().saturating_sub(started));
    }
    took
}

/// Reads one answer, whose length its header says.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    loop {
        let read = stream.read_buf(answer).await.expect("the server answers");
        assert!(read > 0, "the server hung up");
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(answer.get(..head).unwrap_or_default()).to_lowercase();
        let length = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.trim().parse().ok());
        if answer.len() >= head + 4 + length.unwrap_or(0) {
            return;
        }
    }
}

//! What the tests share: a demo simulator on a clock moved by hand, with a client and a webhook receiver.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock, SystemClock};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::Control;
use bursar::simulator::{Running, Simulator};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::http::{Reply, send};

pub(crate) const KEY: &str = "sandbox.demo-key";

/// An IBAN of somebody else.
pub(crate) const BENEFICIARY: &str = "DE02120300000000202051";

/// A simulator and what belongs to a test of it.
pub(crate) struct Bench {
    pub(crate) running: Running,
    pub(crate) clock: ManualClock,
}

impl Bench {
    /// The demo on a clock that stands at the start of 2026.
    pub(crate) async fn demo() -> Self {
        Self::with(|_| {}).await
    }

    /// The demo with changed settings.
    pub(crate) async fn with(change: impl FnOnce(&mut SimulatorConfig)) -> Self {
        let start: Instant = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = ManualClock::new(start);
        let mut config = SimulatorConfig::demo();
        change(&mut config);
        let running = Simulator::start(config, Arc::new(clock.clone())).await.unwrap();
        Self { running, clock }
    }

    pub(crate) fn control(&self) -> &Control {
        &self.running.control
    }

    pub(crate) fn account(&self, label: &str) -> Uuid {
        self.control().account(label).unwrap()
    }

    /// What is available, as text.
    pub(crate) fn balance(&self, label: &str) -> String {
        let balance = self.control().balance(self.account(label)).unwrap();
        balance.amount().to_string()
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Sends a request with the demo key.
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Option<Reply> {
        let authorization = format!("Bearer {KEY}");
        let mut all = vec![("authorization", authorization.as_str())];
        if body.is_some() {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        send(self.running.address, method, target, &all, body.map(str::as_bytes)).await
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], None).await.expect("an answer")
    }

    pub(crate) async fn post(&self, target: &str, body: &Json) -> Reply {
        self.try_post(target, body, None).await.expect("an answer")
    }

    pub(crate) async fn post_as(&self, key: &str, target: &str, body: &Json) -> Reply {
        self.try_post(target, body, Some(key)).await.expect("an answer")
    }

    /// A POST that may get no answer.
    pub(crate) async fn try_post(&self, target: &str, body: &Json, key: Option<&str>) -> Option<Reply> {
        let key: Vec<(&str, &str)> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
        self.send("POST", target, &key, Some(&body.to_string())).await
    }

    /// A payout from the treasury to somebody else.
    pub(crate) fn payout(&self, amount: &str, reference: &str) -> Json {
        json!({
            "source_account_id": self.account("Treasury EUR"),
            "amount": amount,
            "currency": "EUR",
            "destination": { "type": "iban", "iban": BENEFICIARY, "account_holder_name": "Example GmbH" },
            "reference": reference,
        })
    }

    pub(crate) async fn pay(&self, amount: &str, reference: &str) -> Uuid {
        id_of(&self.post("/v1/payouts", &self.payout(amount, reference)).await.ok())
    }

    /// The books balance and every account's balance is what it says.
    pub(crate) fn assert_balanced(&self) {
        let ledger = self.control().ledger();
        assert!(ledger.invariant_ok, "{:?}", ledger.invariant_error);
    }
}

pub(crate) fn id_of(resource: &Json) -> Uuid {
    resource["id"].as_str().and_then(|id| id.parse().ok()).unwrap()
}

/// Waits, in real time, until something is so.
pub(crate) async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    while clock.elapsed() < Duration::from_secs(10) {
        if let Some(found) = check() {
            return found;
        }
        clock.sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

/// One webhook as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn envelope(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.envelope()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str()).unwrap()
    }
}

/// Takes webhooks and answers with scripted statuses, 200 once those are used up.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let statuses = statuses.to_vec();
        let mut statuses = statuses.into_iter();
        let sink = Arc::clone(&received);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                let status = statuses.next().unwrap_or(200);
                if let Some(request) = request {
                    sink.lock().unwrap().push(request);
                }
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self {
            address,
            received,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks/bank", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.received().iter().map(Received::kind).collect()
    }

    /// Waits for so many webhooks.
    pub(crate) async fn count(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} webhooks");
        eventually(&what, || Some(self.received()).filter(|all| all.len() >= count)).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let (head, body) = bytes.split_at(end);
            let head = std::str::from_utf8(head).ok()?;
            let mut lines = head.split("\r\n");
            let path = lines.next()?.split(' ').nth(1)?.to_owned();
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
                .collect();
            let length = headers.iter().find(|(name, _)| name == "content-length")?;
            if body.len() - 4 == length.1.parse::<usize>().ok()? {
                let body = body.iter().skip(4).copied().collect();
                return Some(Received { path, headers, body });
            }
        }
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend(chunk.iter().take(count));
    }
}

//! A door on a free port in front of a real store, and a provider that signs and sends.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock};
use bursar::base::network::Network;
use bursar::base::secret::Secret;
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::catalog::files::Folders;
use bursar::catalog::load::Context;
use bursar::catalog::manifest::ConnectionFacts;
use bursar::catalog::watch::Catalog;
use bursar::connector::connection::{Connection, WebhookSecret};
use bursar::connector::registry::Registry;
use bursar::model::event::Event;
use bursar::model::run::{Run, RunState};
use bursar::server::counters::{DoorCounters, Outcome};
use bursar::server::webhook::{self, DoorLimits, WebhookDoor};
use bursar::store::sqlite::{OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{EventQuery, RunQuery, Store};
use bursar::trigger::router::{Next, Router};
use bursar::trigger::versions::KnownVersions;
use bursar::trigger::webhook::{Connections, WebhookTrigger};
use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longer than anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// The time of every test here.
pub(crate) fn start_of_test() -> Instant {
    bursar::model::value::parse_time("2026-05-04T09:00:00Z").expect("an instant")
}

/// Workflows in files, as a user keeps them.
pub(crate) struct Shelf {
    pub(crate) catalog: Catalog,
    folder: TempDir,
}

impl Shelf {
    /// Just these workflows: name and triggers.
    pub(crate) fn of(workflows: &[(&str, &[String])]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for place in ["workflows", "scripts"] {
            fs::create_dir(folder.path().join(place)).expect("a folder");
        }
        fs::write(folder.path().join("scripts/work.rhai"), "1").expect("a script");
        let shelf = Self {
            catalog: catalog_in(&folder),
            folder,
        };
        shelf.put(workflows);
        shelf
    }

    /// The catalog as the next process has it: it knows the files, and nothing of what they were.
    pub(crate) fn restart(&mut self) {
        self.catalog = catalog_in(&self.folder);
    }

    /// Takes the folder of the manifests away, or puts it back, and has it read.
    pub(crate) fn hide(&self, is_hidden: bool) {
        let (place, away) = (self.folder.path().join("workflows"), self.folder.path().join("away"));
        let (from, to) = if is_hidden { (place, away) } else { (away, place) };
        fs::rename(from, to).expect("renamed");
        assert_eq!(self.catalog.reload_now().unknown, is_hidden);
    }

    /// Replaces all workflows by these.
    pub(crate) fn put(&self, workflows: &[(&str, &[String])]) {
        let place = self.folder.path().join("workflows");
        for file in fs::read_dir(&place).expect("the folder") {
            fs::remove_file(file.expect("a file").path()).expect("removed");
        }
        for (name, triggers) in workflows {
            let manifest = format!(
                "name = \"{name}\"\nsummary = \"What {name} does.\"\nscript = \"work.rhai\"\nuses = [\"bank\"]\n\
                 [params]\nbuffer = \"1000.00\"\n{}",
                triggers.concat()
            );
            fs::write(place.join(format!("{name}.toml")), manifest).expect("a manifest");
        }
        let snapshot = self.catalog.reload_now();
        assert!(!snapshot.has_errors(), "{:?}", snapshot.problems);
        assert_eq!(snapshot.workflows.len(), workflows.len());
    }

    /// Writes a calendar, in place of the one of this name.
    pub(crate) fn put_calendar(&self, name: &str, text: &str) {
        let place = self.folder.path().join("calendars");
        fs::create_dir_all(&place).expect("a folder");
        fs::write(place.join(format!("{name}.toml")), text).expect("a calendar");
        assert!(!self.catalog.reload_now().has_errors());
    }

    /// Breaks the manifest of one, and leaves the reload to others.
    pub(crate) fn spoil(&self, name: &str) {
        let path = self.folder.path().join(format!("workflows/{name}.toml"));
        fs::write(path, format!("name = \"{name}\"\nscript = 5\n")).expect("a manifest");
    }
}

fn catalog_in(folder: &TempDir) -> Catalog {
    let folders = Folders {
        workflows: folder.path().join("workflows"),
        scripts: folder.path().join("scripts"),
        calendars: folder.path().join("calendars"),
    };
    let bank = ConnectionFacts {
        connector: "augustus".to_owned(),
        events: None,
        made_of: BTreeMap::new(),
    };
    let context = Context {
        connections: BTreeMap::from([("bank".to_owned(), bank)]),
        // Anything goes, so that a wrong schedule reaches those who have to cope with one.
        check_schedule: Box::new(|_| Ok(Vec::new())),
        surface_of: Box::new(|_| Default::default()),
    };
    Catalog::open(folders, context)
}

/// A trigger for deposits that arrive at the bank, in one currency if one is given.
pub(crate) fn on_deposit(currency: Option<&str>) -> String {
    let when = currency.map_or(String::new(), |code| {
        format!("when = {{ \"/payload/currency\" = \"{code}\" }}\n")
    });
    format!("[[trigger]]\ntype = \"webhook\"\nconnection = \"bank\"\nevents = [\"deposit.received\"]\n{when}")
}

/// A trigger by schedule, in Berlin. Nobody drives its runs here, so each would stand in the way of the next.
pub(crate) fn on_schedule(schedule: &str, catch_up: &str) -> String {
    format!(
        "[[trigger]]\ntype = \"cron\"\nschedule = \"{schedule}\"\ntimezone = \"Europe/Berlin\"\ncatch_up = \"{catch_up}\"\noverlap = \"queue\"\n"
    )
}

fn connections() -> Arc<Connections> {
    let always = |text: &&str| WebhookSecret::always(Secret::new((*text).to_owned()));
    let bank = |name: &str, webhook_secrets: Vec<WebhookSecret>| {
        let connection = Connection {
            name: name.to_owned(),
            connector: Registry::built_in()
                .get("augustus")
                .expect("a built-in connector")
                .clone(),
            base_url: "http://127.0.0.1:9".to_owned(),
            credential: None,
            webhook_secrets,
            webhook_senders: Vec::new(),
            settings: std::collections::BTreeMap::new(),
            headers: std::collections::BTreeMap::new(),
            key_window_secs: None,
            pace: bursar::connector::connection::Pace::default(),
        };
        (name.to_owned(), Arc::new(connection))
    };
    let (listed, mut of_one) = bank("listed", vec![always(&SECRET)]);
    let networks = ["203.0.113.0/24", "127.0.0.7"].map(|text| text.parse().expect("a network"));
    Arc::get_mut(&mut of_one).expect("nobody else has it").webhook_senders = networks.to_vec();
    Arc::new(BTreeMap::from([
        (listed, of_one),
        bank("bank", vec![always(&SECRET)]),
        bank("rotating", [OTHER_SECRET, SECRET].iter().map(always).collect()),
        bank("silent", Vec::new()),
        bank(
            "dated",
            vec![
                WebhookSecret {
                    not_after: Some(start_of_test() + TimeDelta::hours(2)),
                    ..always(&OTHER_SECRET)
                },
                WebhookSecret {
                    not_before: Some(start_of_test() + TimeDelta::hours(1)),
                    ..always(&SECRET)
                },
            ],
        ),
    ]))
}

/// A new store in its own folder.
pub(crate) async fn new_store(folder: &TempDir) -> Arc<SqliteStore> {
    let options = SqliteOptions {
        on_failure: OnFailure::Poison,
        ..SqliteOptions::default()
    };
    SqliteStore::open(folder.path(), options).await.expect("a new store")
}

/// A door and everything behind it.
pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<dyn Store>,
    /// Routes when a test asks for runs.
    pub(crate) router: Router,
    pub(crate) counters: Arc<DoorCounters>,
    pub(crate) clock: ManualClock,
    stopper: Stopper,
    door: JoinHandle<()>,
    /// Removed with the harness.
    folder: Option<TempDir>,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with_limits(DoorLimits::default()).await
    }

    pub(crate) async fn with_limits(limits: DoorLimits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut harness = Self::over(new_store(&folder).await, limits).await;
        harness.folder = Some(folder);
        harness
    }

    /// A door over a store that somebody else made.
    pub(crate) async fn over(store: Arc<dyn Store>, limits: DoorLimits) -> Self {
        Self::behind(store, limits, &[]).await
    }

    /// The same behind proxies.
    pub(crate) async fn behind(store: Arc<dyn Store>, limits: DoorLimits, behind: &[Network]) -> Self {
        let clock = ManualClock::new(start_of_test());
        let counters = Arc::new(DoorCounters::new());
        let shelf = Shelf::of(&[
            ("book-deposits", &[on_deposit(None), on_deposit(Some("EUR"))]),
            ("convert-usd", &[on_deposit(Some("USD"))]),
        ]);
        let (arrived, wake) = (Wake::new(), Wake::new());
        let trigger = WebhookTrigger {
            store: store.clone(),
            connections: connections(),
            clock: Arc::new(clock.clone()),
            arrived: arrived.clone(),
            wake: wake.clone(),
        };
        let door = WebhookDoor::new(Arc::new(trigger), counters.clone(), limits, behind.to_vec());
        let door = Arc::new(door);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stopper, shutdown) = Stopper::new();
        Self {
            address,
            router: Router {
                store: store.clone(),
                catalog: shelf.catalog.clone(),
                connections: connections(),
                clock: Arc::new(clock.clone()),
                arrived,
                wake,
                versions: Arc::new(KnownVersions::new()),
                behind: Default::default(),
            },
            store,
            counters,
            clock,
            stopper,
            door: tokio::spawn(webhook::serve(door, listener, shutdown)),
            folder: None,
        }
    }

    /// Sends a delivery and waits for the answer.
    pub(crate) async fn send(&self, delivery: &Signed) -> Reply {
        self.exchange(&delivery.request()).await
    }

    /// Sends bytes and waits until the door closes the connection.
    pub(crate) async fn exchange(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(request).await.expect("the request is sent");
        Reply::read(&mut stream).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the door is open")
    }

    /// The runs there are once everything was routed.
    pub(crate) async fn runs(&self) -> Vec<Run> {
        while self.router.route_some().await.expect("events can be routed") != Next::Listen {}
        let query = RunQuery {
            limit: 1_000,
            ..RunQuery::default()
        };
        self.store.runs(query).await.expect("runs can be read")
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        let query = EventQuery {
            limit: 1_000,
            ..EventQuery::default()
        };
        self.store.events(query).await.expect("events can be read")
    }

    /// How many runs wait for a worker.
    pub(crate) async fn queued(&self) -> u64 {
        let counts = self.store.counts().await.expect("counted");
        counts
            .into_iter()
            .filter(|(state, _)| *state == RunState::Queued)
            .map(|(_, runs)| runs)
            .sum()
    }

    pub(crate) fn counted(&self, outcome: Outcome) -> u64 {
        self.counters.of(outcome)
    }

    /// Tells the door to close.
    pub(crate) fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits until the door has closed.
    pub(crate) async fn closed(&mut self) {
        let closed = tokio::time::timeout(PATIENCE, &mut self.door).await;
        closed.expect("the door closes in time").expect("without a panic");
    }

    /// A deposit event, signed now by the bank.
    pub(crate) fn deposit(&self, id: &str) -> Signed {
        Signed {
            path: "/hooks/bank".to_owned(),
            secret: SECRET,
            signed_at: self.clock.now(),
            extra_headers: String::new(),
            body: deposit_body(id, "EUR").to_string().into_bytes(),
        }
    }
}

/// What the bank sends about a deposit.
pub(crate) fn deposit_body(id: &str, currency: &str) -> Json {
    json!({
        "id": id,
        "type": "deposit.received",
        "date": "2026-05-04T08:59:58Z",
        "payload": {"id": format!("dep_{id}"), "type": "deposit", "amount": "100.10", "currency": currency},
    })
}

/// A delivery to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) path: String,
    pub(crate) secret: &'static str,
    pub(crate) signed_at: Instant,
    pub(crate) extra_headers: String,
    pub(crate) body: Vec<u8>,
}

impl Signed {
    /// The request, signed by an implementation that is not ours.
    pub(crate) fn request(&self) -> Vec<u8> {
        let signer = standardwebhooks::Webhook::new(self.secret).expect("a secret");
        let timestamp = self.signed_at.timestamp();
        let signature = signer.sign("msg_1", timestamp, &self.body).expect("a signature");
        let mut request = format!(
            "POST {} HTTP/1.1\r\nhost: door\r\nconnection: close\r\ncontent-type: application/json\r\n\
             webhook-id: msg_1\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {signature}\r\n\
             content-length: {}\r\n{}\r\n",
            self.path,
            self.body.len(),
            self.extra_headers,
        )
        .into_bytes();
        request.extend_from_slice(&self.body);
        request
    }
}

/// An answer of the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// Reads until the door closes the connection; status 0 if it says nothing.
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .expect("the door closes the connection")
            .expect("the answer can be read");
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or(0),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }
}

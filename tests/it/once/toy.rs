//! A provider of a test's own: it answers as the test says, and remembers what it was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::RunId;
use bursar::connector::table::Connector;
use bursar::model::journal::Resolution;
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::store::{Decision, Store};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{World, decided, until};

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<String>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.split('?').next() == Some(path)
    }
}

/// What it says.
pub(super) enum Said {
    Answer(u16, Json),
    /// The answer is lost on its way.
    Lost,
}

pub(super) struct Toy {
    pub(super) world: World,
    pub(super) clock: ManualClock,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Toy {
    /// A world whose clock stands still, with a provider of this table that answers so.
    pub(super) async fn new(table: &str, answer: impl FnMut(&Asked) -> Said + Send + 'static) -> Self {
        let clock = ManualClock::new(SystemClock::new().now());
        let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
        let connector = Connector::parse("toy.toml", table).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
        let asked = Arc::default();
        let url = serve(Arc::clone(&asked), clock.clone(), answer).await;
        world.reconnect(|bank| {
            bank.connector = Arc::new(connector);
            bank.base_url = url;
        });
        Self { world, clock, asked }
    }

    /// What it was asked, but for reads of its time.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let asked = lock(&self.asked);
        asked
            .iter()
            .filter(|asked| !asked.is("GET", "/time"))
            .cloned()
            .collect()
    }

    /// How often.
    pub(super) fn count(&self, method: &str, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.is(method, path)).count()
    }

    /// Runs a script until it waits, has ended or needs a person; then the process ends.
    pub(super) async fn begin(&self, script: &str) -> Run {
        let store = self.world.store().await;
        let engine = self.world.engine(store.clone()).await;
        let id = self.world.start(store.as_ref(), script, json!({}), json!({})).await;
        let run = until(store.as_ref(), id, |run| self.rests(run)).await;
        engine.stop().await;
        store.close().await.expect("closed");
        run
    }

    /// How a run stands.
    pub(super) async fn read(&self, id: RunId) -> Run {
        let store = self.world.store().await;
        let run = store.run(id).await.expect("read").expect("there");
        store.close().await.expect("closed");
        run
    }

    /// A person says how the first step of a run goes on.
    pub(super) async fn decide(&self, run: &Run, resolution: Resolution) {
        let store = self.world.store().await;
        let path = "1".parse().expect("a path");
        let after = decided(store.as_ref(), run.id, &path).await;
        let decision = Decision {
            run: run.id,
            path: Some(path),
            resolution,
            actor: "tess".to_owned(),
            reason: "asked the provider".to_owned(),
            after,
            at: self.clock.now(),
        };
        store.resolve(decision).await.expect("decided");
        store.close().await.expect("closed");
    }

    /// Whether nothing happens to a run before the clock is moved: one that wakes at once does not rest.
    fn rests(&self, run: &Run) -> bool {
        match run.state {
            RunState::Waiting => run.wake_at.is_none_or(|at| at > self.clock.now()),
            state => state == RunState::Parked || state.is_final(),
        }
    }

    /// A new process goes on with a run that waits.
    pub(super) async fn go_on(&self, id: RunId) -> Run {
        let store = self.world.store().await;
        store.reclaim_all(self.clock.now()).await.expect("reclaimed");
        let turns = turns(store.as_ref(), id).await;
        let engine = self.world.engine(store.clone()).await;
        let run = until(store.as_ref(), id, |run| self.rests(run) && run.turns > turns).await;
        engine.stop().await;
        store.close().await.expect("closed");
        run
    }
}

async fn turns(store: &dyn Store, id: RunId) -> u32 {
    store.run(id).await.expect("read").expect("there").turns
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    asked: Arc<Mutex<Vec<Asked>>>,
    clock: ManualClock,
    mut answer: impl FnMut(&Asked) -> Said + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let Some(heard) = read(&mut socket).await else { continue };
            lock(&asked).push(heard.clone());
            let said = match heard.is("GET", "/time") {
                true => Said::Answer(200, json!({})),
                false => answer(&heard),
            };
            if let Said::Answer(status, body) = said {
                let body = body.to_string();
                let date = clock.now().to_rfc2822();
                let text = format!(
                    "HTTP/1.1 {status} So\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                drop(socket.write_all(text.as_bytes()).await);
            }
            drop(socket.shutdown().await);
        }
    });
    url
}

async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let headers: Vec<String> = lines.map(str::to_lowercase).collect();
            let length = headers
                .iter()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(Asked {
                    method: first.next()?.to_owned(),
                    path: first.next()?.to_owned(),
                    headers,
                    body: body.to_owned(),
                });
            }
        }
        match socket.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(buffer.get(..count)?),
            _ => return None,
        }
    }
}

//! A faithful stand-in of the Augustus Banking API on a local socket, with a ledger that knows every cent.
//!
//! It serves the 37 operations of the version 2026-05-01 with strict checks, idempotency keys, cursors,
//! signed webhooks and lifecycles, and lets a test script what goes wrong. It keeps everything in memory,
//! takes its time from a [`Clock`] and its ids from a seed, and must not see the store, the engine or the
//! triggers: what it counts has to be independent of what it judges.
//!
//! [`Simulator::start`] serves; [`Control`] opens accounts, lets money arrive, moves resources on, scripts
//! faults and reads the books, in process or under `/_sim/` (see `control_http`).

mod augustus;
pub mod config;
pub mod control;
mod control_http;
mod core;
mod demo;
mod serve;
mod state;
mod validate;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use self::config::{SimulatorConfig, SimulatorError};
use self::control::Control;
use self::core::webhook;
use self::serve::{Hangup, Peer};
use self::state::World;
use crate::base::clock::Clock;

pub use self::augustus::resources;
pub use self::core::{faults, ledger};
pub use self::state::RequestCount;

/// What requests, the driver and the control share.
pub(crate) struct Shared {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    /// The timeline or the outbox changed.
    changed: Notify,
}

impl Shared {
    /// Holds the world, caught up with the present, for the length of a closure.
    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let due = world.next_due();
        world.tick(self.clock.now(), self.clock.elapsed());
        let result = act(&mut world);
        if world.next_due() != due || !world.outbox.is_empty() {
            self.changed.notify_one();
        }
        result
    }
}

/// The simulator.
#[derive(Debug)]
pub struct Simulator;

/// A simulator that is being served.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What tests and demos do to it from outside the API.
    pub control: Control,
    tasks: Vec<JoinHandle<()>>,
}

impl Simulator {
    /// Begins to serve. The clock decides all times: lifecycles, windows, webhook retries.
    ///
    /// # Errors
    /// [`SimulatorError`] when the address cannot be listened on or the settings make no sense.
    pub async fn start(config: SimulatorConfig, clock: Arc<dyn Clock>) -> Result<Running, SimulatorError> {
        let asked = config.listen;
        let world = World::new(Arc::new(config), clock.now(), clock.elapsed())?;
        let failed = |source| SimulatorError::Listen { address: asked, source };
        let listener = TcpListener::bind(asked).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            clock,
            world: Mutex::new(world),
            changed: Notify::new(),
        });
        let tasks = vec![
            tokio::spawn(accept(listener, Arc::clone(&shared))),
            tokio::spawn(drive(Arc::clone(&shared))),
        ];
        Ok(Running {
            address,
            control: Control::new(shared),
            tasks,
        })
    }
}

impl Running {
    /// The base URL of the API: `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it: the port is free, open connections are closed, nothing more is delivered.
    pub async fn stop(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            // An aborted task ends as cancelled; there is nothing else to learn from it.
            drop(task.await);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Takes connections until it is aborted, which also ends the connections.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let router = serve::router()
        .merge(control_http::router())
        .with_state(Arc::clone(&shared));
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => drop(connections.spawn(connection(stream, peer, router.clone()))),
            // Out of file handles, most likely: others must end first.
            Err(_) => shared.clock.sleep(std::time::Duration::from_millis(20)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// The one way to end a connection without an answer is an error of its service.
#[derive(Debug, thiserror::Error)]
#[error("hung up as scripted")]
struct HungUp;

async fn connection(stream: TcpStream, peer: SocketAddr, router: axum::Router) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        let router = TowerToHyperService::new(router.clone());
        async move {
            let response = hyper::service::Service::call(&router, request)
                .await
                .map_err(|never: std::convert::Infallible| match never {})?;
            match response.extensions().get::<Hangup>() {
                Some(_) => Err(HungUp),
                None => Ok(response),
            }
        }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that hangs up and a scripted hang-up end the same way; neither is news.
    drop(served.await);
}

/// Lets time pass: makes steps when they are due and sends what is in the outbox.
async fn drive(shared: Arc<Shared>) {
    let mut sending = JoinSet::new();
    loop {
        let (outbox, next_due, elapsed, timeout_ms) = shared.with(|world| {
            let outbox = std::mem::take(&mut world.outbox);
            (
                outbox,
                world.next_due(),
                world.elapsed,
                world.config.webhooks.timeout_ms,
            )
        });
        for outgoing in outbox {
            let shared = Arc::clone(&shared);
            sending.spawn(async move {
                let status = tokio::select! {
                    status = webhook::post(&outgoing, shared.clock.now()) => status,
                    () = shared.clock.sleep(webhook::timeout(timeout_ms)) => None,
                };
                shared.with(|world| world.attempted(&outgoing, status));
            });
        }
        while sending.try_join_next().is_some() {}
        let pause = async {
            match next_due {
                Some(due) => shared.clock.sleep(due.saturating_sub(elapsed)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.changed.notified() => {}
            () = pause => {}
        }
    }
}

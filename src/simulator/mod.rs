//! Faithful stand-ins of payment providers on one local socket, with one ledger that knows every cent.
//!
//! The Augustus Banking API (37 operations, at the root), Ivy (38, under `/ivy`), the Payments API (35, under
//! `/payments`) and Payaut (46, under `/payaut`), with strict checks, idempotency keys as each of them has them,
//! webhooks and lifecycles; a test scripts what goes wrong.
//! What they share is in `core`, what differs is a `contract` each. It keeps everything in memory,
//! takes its time from a [`Clock`] and its ids from a seed, and must not see the store, the engine or the
//! triggers: what it counts has to be independent of what it judges.
//!
//! [`Simulator::start`] serves; [`Control`] opens accounts, lets money arrive, moves resources on, scripts
//! faults and reads the books, in process or under `/_sim/` (see `control_http`).

mod augustus;
pub mod config;
mod contract;
pub mod control;
mod control_http;
mod core;
mod demo;
mod ivy;
mod payaut;
mod payments;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use self::config::{SimulatorConfig, SimulatorError};
use self::control::Control;
use self::core::answer::Hangup;
use self::core::serve::{self, Peer};
use self::core::webhook::{self, Outgoing};
use self::world::World;
use crate::base::clock::Clock;

pub use self::augustus::resources;
pub use self::core::{RequestCount, faults, ledger};

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
        let due = world.core.timeline.next();
        world.tick(self.clock.now(), self.clock.elapsed());
        let result = act(&mut world);
        if world.core.timeline.next() != due || !world.core.outbox.is_empty() {
            self.changed.notify_one();
        }
        result
    }

    /// Tries a delivery once and takes note of how that went.
    async fn post(&self, outgoing: &Outgoing) -> Option<u16> {
        let timeout = self.with(|world| outgoing.timeout(&world.core.config));
        let status = tokio::select! {
            status = webhook::post(outgoing, self.clock.now()) => status,
            () = self.clock.sleep(timeout) => None,
        };
        self.with(|world| world.core.attempted(outgoing, status));
        status
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
        let (outbox, next_due, elapsed) = shared.with(|world| {
            let core = &mut world.core;
            let outbox = std::mem::take(&mut core.outbox);
            (outbox, core.timeline.next(), core.elapsed)
        });
        for outgoing in outbox {
            let shared = Arc::clone(&shared);
            sending.spawn(async move { shared.post(&outgoing).await });
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

//! Webhooks become events: verify, read; then one row in the store.
//!
//! Nothing of a delivery is believed, parsed or stored before its signature is verified. What goes over the
//! socket is `server`'s; which runs an event starts is [`super::router`]'s, afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::clock::{Clock, Instant};
use crate::base::fault_point::{FaultPoint, reach};
use crate::base::guard::{Guard, holds};
use crate::base::ids::EventId;
use crate::base::network::Network;
use crate::base::wake::Wake;
use crate::connector::connection::Connection;
use crate::connector::event::read_event;
use crate::connector::signature::{Rejected, Scheme, verify};
use crate::model::event::{Delivery, Event};
use crate::model::run::EventMark;
use crate::store::{Admitted, Store, StoreError};

/// Configured connections by name.
pub type Connections = BTreeMap<String, Arc<Connection>>;

/// Why nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not proved that the provider sent it. The reason is for the log of this process alone.
    #[error("the signature was not accepted: {0}")]
    Unsigned(#[from] Unsigned),
    /// The provider did send it, but it is not an event.
    #[error("the body cannot be read: {0}")]
    BadPayload(String),
    /// It is an event, but it could not be made durable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why it is not proved that the provider sent a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// Nobody is there to take it.
    #[error("there is no connection of this name that takes webhooks")]
    NoConnection,
    /// Its address is not one of the connection's.
    #[error("its sender is not in `webhook_senders`")]
    Sender,
    /// Its signature.
    #[error(transparent)]
    Signature(#[from] Rejected),
}

impl Unsigned {
    /// Every reason, with its name in figures.
    pub const ALL: [(Self, &str); 7] = [
        (Self::NoConnection, "no_connection"),
        (Self::Sender, "sender"),
        (Self::Signature(Rejected::NoSecret), "no_secret"),
        (Self::Signature(Rejected::Missing), "missing"),
        (Self::Signature(Rejected::Malformed), "malformed"),
        (Self::Signature(Rejected::Stale), "stale"),
        (Self::Signature(Rejected::Mismatch), "mismatch"),
    ];
}

/// Verifies a delivery and reads its event. Pure but for the id.
///
/// A connection that does not exist, or takes no webhooks, costs the same work and gives the same answer as
/// a wrong signature, so that nobody learns from outside which connections there are.
///
/// # Errors
/// [`Refused::Unsigned`] or [`Refused::BadPayload`].
pub fn accept(connection: Option<&Connection>, delivery: &Delivery, now: Instant) -> Result<Event, Refused> {
    let connection = authenticate(connection, delivery, now)?;
    read_event(&connection.connector, delivery, EventId::generate(now))
        .map_err(|error| Refused::BadPayload(error.to_string()))
}

fn authenticate<'a>(
    connection: Option<&'a Connection>,
    delivery: &Delivery,
    now: Instant,
) -> Result<&'a Connection, Refused> {
    let scheme = connection.and_then(|connection| connection.connector.webhook().map(|table| &table.signature));
    let (Some(connection), Some(scheme)) = (connection, scheme) else {
        return Err(decoy(delivery, now, Unsigned::NoConnection));
    };
    let listed = |network: &Network| network.contains(delivery.sender);
    let senders = &connection.webhook_senders;
    if !senders.is_empty() && !senders.iter().any(listed) && holds(Guard::SenderListed) {
        return Err(decoy(delivery, now, Unsigned::Sender));
    }
    verify(scheme, connection.valid_secrets(now), delivery, now).map_err(Unsigned::from)?;
    Ok(connection)
}

/// Does the work of a verification for a connection that cannot have one.
fn decoy(delivery: &Delivery, now: Instant, reason: Unsigned) -> Refused {
    // Without a secret, whatever it comes to is a refusal.
    let _outcome: Result<(), Rejected> = verify(&Scheme::standard(), [], delivery, now);
    Refused::Unsigned(reason)
}

/// Takes deliveries into the store.
pub struct WebhookTrigger {
    /// Where events go.
    pub store: Arc<dyn Store>,
    /// Who may send.
    pub connections: Arc<Connections>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells the router of new events.
    pub arrived: Wake,
    /// Tells the workers of runs that waited for them.
    pub wake: Wake,
}

impl WebhookTrigger {
    /// Accepts a delivery and makes it durable. When this returns, a crash loses nothing of it.
    ///
    /// # Errors
    /// [`Refused`]; nothing was stored.
    pub async fn admit(&self, delivery: &Delivery) -> Result<Admitted, Refused> {
        let connection = self.connections.get(&delivery.connection).map(Arc::as_ref);
        let event = accept(connection, delivery, self.clock.now())?;
        reach(FaultPoint::DeliveryVerified);
        let admitted = self.store.admit(event).await?;
        reach(FaultPoint::EventDurable);
        if let Admitted::New { wakes, .. } = admitted {
            self.arrived.nudge();
            if wakes {
                self.wake.nudge();
            }
        }
        Ok(admitted)
    }
}

/// Takes deliveries and keeps none: for whoever wants to see what a provider sends.
pub struct Listener {
    /// Who may send.
    pub connections: Arc<Connections>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Told of each, with its event or why it is none.
    pub heard: Box<Heard>,
}

/// Hears of a delivery, with its event or why it is none.
pub type Heard = dyn Fn(&Delivery, Result<&Event, &Refused>) + Send + Sync;

impl Listener {
    /// Verifies a delivery and tells of it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn hear(&self, delivery: &Delivery) -> Result<Admitted, Refused> {
        let connection = self.connections.get(&delivery.connection).map(Arc::as_ref);
        let event = accept(connection, delivery, self.clock.now());
        (self.heard)(delivery, event.as_ref());
        event.map(|_| Admitted::New {
            mark: EventMark::default(),
            wakes: false,
        })
    }
}

/// What stands behind a door.
pub enum Behind {
    /// The store.
    Trigger(Arc<WebhookTrigger>),
    /// A person who watches.
    Listener(Arc<Listener>),
}

impl Behind {
    /// Takes a delivery.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn take(&self, delivery: &Delivery) -> Result<Admitted, Refused> {
        match self {
            Self::Trigger(trigger) => trigger.admit(delivery).await,
            Self::Listener(listener) => listener.hear(delivery),
        }
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        match self {
            Self::Trigger(trigger) => &trigger.clock,
            Self::Listener(listener) => &listener.clock,
        }
    }
}

impl From<Arc<WebhookTrigger>> for Behind {
    fn from(trigger: Arc<WebhookTrigger>) -> Self {
        Self::Trigger(trigger)
    }
}

impl From<Arc<Listener>> for Behind {
    fn from(listener: Arc<Listener>) -> Self {
        Self::Listener(listener)
    }
}

//! Webhook subscriptions: where a provider sends what happens, listed and changed by the calls its table names.
//!
//! A call of unknown outcome is sent again under its key, where that is safe, so that there are never two subscriptions
//! for one wish. Must not print a secret, and must not know how one provider differs from another.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::base::ids::random_uuid;
use crate::base::limits::PAGES_MAX;
use crate::base::secret::Secret;
use crate::connector::client::Client;
use crate::connector::connection::Connection;
use crate::connector::page::{self, Next, Walk};
use crate::connector::reply::{Verdict, classify, classify_error};
use crate::connector::request;
use crate::connector::table::{Endpoint, Subscriptions, WebhookTable};
use crate::model::value::{Map, Value};

/// How often a call of unknown outcome is sent at most.
const ATTEMPTS: u32 = 3;
/// How long a list may lag behind what its provider took.
const SEEN_WITHIN: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// One address that a provider sends webhooks to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subscription {
    /// The provider's id.
    pub id: String,
    /// The address.
    pub url: String,
    /// The types it is sent.
    pub events: Vec<String>,
    /// When it was made, as the provider writes it.
    pub created_at: Option<String>,
}

impl Subscription {
    fn of(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_text).map(str::to_owned);
        let events = value.get("events").and_then(Value::as_list).unwrap_or_default();
        Some(Self {
            id: text("id")?,
            url: text("url")?,
            events: events
                .iter()
                .filter_map(|event| event.as_text().map(str::to_owned))
                .collect(),
            created_at: text("created_at"),
        })
    }
}

/// What a registration came to.
#[derive(Debug)]
pub struct Registered {
    /// The subscription, as it was asked for: [`Desk::seen`] says whether that is how it stands. Nothing, if the provider
    /// took it and its answer names none.
    pub subscription: Option<Subscription>,
    /// What was done for it.
    pub done: Done,
    /// What its webhooks are signed with, if the provider says so. It is not said again: keep it before anything else.
    pub secret: Option<Secret>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It is new.
    Made,
    /// It was there, and is sent other types now.
    Changed,
    /// It was there just so.
    Nothing,
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// There is no call for it.
    #[error("{0}")]
    NotOffered(String),
    /// The provider refuses it, or it cannot be asked so.
    #[error("{0}")]
    Refused(String),
    /// It is not there.
    #[error("there is no subscription {0}")]
    NotThere(String),
    /// The provider took it, and it cannot be seen to stand so.
    #[error("{0}; `bursar webhooks ls` shows what there is")]
    Unseen(String),
    /// No usable answer came.
    #[error("no usable answer: {0}; `bursar webhooks ls` shows what there is")]
    Unknown(String),
}

/// Asks a provider about the subscriptions of one connection.
pub struct Desk<'a> {
    client: Client,
    connection: &'a Connection,
    webhook: &'a WebhookTable,
    calls: &'a Subscriptions,
}

impl<'a> Desk<'a> {
    /// For a connection whose provider has calls for it.
    ///
    /// # Errors
    /// [`SubscriptionError::NotOffered`], with what to do instead.
    pub fn of(client: Client, connection: &'a Connection) -> Result<Self, SubscriptionError> {
        let title = &connection.connector.title;
        let webhook = connection
            .connector
            .webhook()
            .ok_or_else(|| SubscriptionError::NotOffered(format!("the table of {title} describes no webhooks")))?;
        let calls = webhook.subscriptions.as_ref().ok_or_else(|| {
            SubscriptionError::NotOffered(format!(
                "the table of {title} names no calls for subscriptions: make them in the provider's own console"
            ))
        })?;
        Ok(Self {
            client,
            connection,
            webhook,
            calls,
        })
    }

    /// Whether the provider says once, when it makes a subscription, what its webhooks are signed with.
    pub fn gives_secret(&self) -> bool {
        self.calls.secret.is_some()
    }

    /// Where a person finds a secret that no call gives.
    pub fn secret_shown(&self) -> &str {
        &self.calls.secret_shown
    }

    /// The type of the event that [`Self::test`] has sent.
    pub fn test_event(&self) -> Option<&str> {
        self.calls.test_event.as_deref()
    }

    /// Types nobody knows, of those that are asked for.
    pub fn unknown_events<'e>(&self, events: &'e [String]) -> Vec<&'e str> {
        let known: BTreeSet<&str> = self.subscribable().chain(self.calls.all.as_deref()).collect();
        events
            .iter()
            .map(String::as_str)
            .filter(|event| !known.contains(event))
            .collect()
    }

    /// The types that can be asked for, as the provider calls them.
    pub fn subscribable(&self) -> impl Iterator<Item = &str> {
        let of_provider = self.webhook.events.iter().filter(|event| event.of.is_none());
        let names = of_provider.map(|event| event.name.as_str());
        names.filter(|name| Some(*name) != self.test_event())
    }

    /// What the provider calls these types: several of ours may be one of its own.
    pub fn as_sent(&self, events: &[String]) -> Vec<String> {
        let sent: BTreeSet<&str> = events.iter().map(|event| self.webhook.sent_as(event)).collect();
        sent.into_iter().map(str::to_owned).collect()
    }

    /// Every subscription there is.
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub async fn list(&self) -> Result<Vec<Subscription>, SubscriptionError> {
        let endpoint = self.endpoint(&self.calls.list)?;
        let connector = &self.connection.connector;
        let prepared = request::prepare(self.connection, endpoint, &Map::new(), None)
            .map_err(|failure| SubscriptionError::Refused(failure.message))?;
        let mut request = prepared.request;
        let mut walk = Walk::of_request(endpoint, &request);
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = self.client.send(self.connection, endpoint, &request, None).await;
            let verdict = match &answer {
                Ok(answer) => classify(connector, endpoint, &request, None, answer),
                Err(error) => classify_error(endpoint, error),
            };
            let value = applied(verdict)?;
            let (shown, next) = walk.take(&value);
            found.extend(shown.into_iter().filter_map(Subscription::of));
            match next {
                Next::At(position) => request = page::turn_to(endpoint, &request, &position),
                Next::End => return Ok(found),
                Next::Lost(reason) => return Err(SubscriptionError::Unknown(format!("the list of them: {reason}"))),
            }
        }
        let reason = format!("the list of them has more than {PAGES_MAX} pages");
        Err(SubscriptionError::Unknown(reason))
    }

    /// Has webhooks of these types sent to an address: one subscription for it, changed if it has other types. A secret
    /// that comes with it is to be kept before anything else is asked: it does not come again.
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub async fn register(&self, url: &str, events: &[String]) -> Result<Registered, SubscriptionError> {
        let there = self.list().await?;
        let Some(known) = there.iter().find(|known| known.url == url) else {
            return self.make(url, events).await;
        };
        if self.says_the_same(&known.events, events) {
            return Ok(Registered {
                subscription: Some(known.clone()),
                done: Done::Nothing,
                secret: None,
            });
        }
        let update = self.calls.update.as_deref().ok_or_else(|| {
            SubscriptionError::NotOffered(format!(
                "{} is sent {} and the provider has no call to change that: end it first, `bursar webhooks unregister`",
                known.id,
                known.events.join(", ")
            ))
        })?;
        let args = Map::from([
            ("id".to_owned(), Value::text(&known.id)),
            ("events".to_owned(), texts(events)),
        ]);
        self.call(update, args).await?;
        Ok(Registered {
            subscription: Some(Subscription {
                events: events.to_vec(),
                ..known.clone()
            }),
            done: Done::Changed,
            secret: None,
        })
    }

    /// Makes another subscription for the address of one that is there, with a secret of its own.
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub async fn renew(&self, known: &Subscription) -> Result<Registered, SubscriptionError> {
        let events = if self.says_the_same(&known.events, &self.everything()) {
            self.everything()
        } else {
            known.events.clone()
        };
        self.make(&known.url, &events).await
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub async fn end(&self, id: &str) -> Result<(), SubscriptionError> {
        let delete = self.calls.delete.as_deref().ok_or_else(|| {
            SubscriptionError::NotOffered("the provider has no call to end one: use its own console".to_owned())
        })?;
        if !self.list().await?.iter().any(|known| known.id == id) {
            return Err(SubscriptionError::NotThere(id.to_owned()));
        }
        let args = Map::from([("id".to_owned(), Value::text(id))]);
        match self.call(delete, args).await {
            Ok(_) => Ok(()),
            // To end one twice does no harm: whether it is gone is what counts.
            Err(SubscriptionError::Unknown(_)) if !self.list().await?.iter().any(|known| known.id == id) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Has a test event sent; its id, as it will arrive.
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub async fn test(&self, id: &str) -> Result<String, SubscriptionError> {
        let test = self.calls.test.as_deref().ok_or_else(|| {
            SubscriptionError::NotOffered(
                "the provider has no call for a test event: `bursar webhooks send` signs one here".to_owned(),
            )
        })?;
        let args = Map::from([("id".to_owned(), Value::text(id))]);
        let value = self.call(test, args).await?;
        let event = value.get("id").and_then(Value::as_text);
        event
            .map(str::to_owned)
            .ok_or_else(|| SubscriptionError::Unknown("the answer names no event".to_owned()))
    }

    async fn make(&self, url: &str, events: &[String]) -> Result<Registered, SubscriptionError> {
        let args = Map::from([
            ("url".to_owned(), Value::text(url)),
            ("events".to_owned(), texts(events)),
        ]);
        let value = self.call(&self.calls.create, args).await?;
        let secret = self
            .calls
            .secret
            .as_ref()
            .and_then(|pointer| value.pointer(pointer)?.as_text());
        Ok(Registered {
            subscription: Subscription::of(&value).map(|made| Subscription {
                events: events.to_vec(),
                ..made
            }),
            done: Done::Made,
            secret: secret.map(|secret| Secret::new(secret.to_owned())),
        })
    }

    /// What was registered, as the provider lists it afterwards: an answer alone does not prove that it is there. A list
    /// that lags, or cannot be had just then, is looked at again for a while.
    ///
    /// # Errors
    /// [`SubscriptionError::Unseen`]: the write was taken all the same.
    pub async fn seen(&self, registered: &Registered, clock: &dyn Clock) -> Result<Subscription, SubscriptionError> {
        let Some(written) = &registered.subscription else {
            return Err(SubscriptionError::Unseen(
                "it was made, but the answer names no subscription".to_owned(),
            ));
        };
        let began = clock.elapsed();
        loop {
            match self.listed(written, registered.done).await {
                Ok(seen) => return Ok(seen),
                Err(_) if clock.elapsed().saturating_sub(began) < SEEN_WITHIN => clock.sleep(LOOK_EVERY).await,
                Err(why) => return Err(SubscriptionError::Unseen(why)),
            }
        }
    }

    /// The subscription as it stands, or why it does not stand as it was written.
    async fn listed(&self, written: &Subscription, done: Done) -> Result<Subscription, String> {
        let id = &written.id;
        let done = if done == Done::Made { "made" } else { "changed" };
        let listed = self.list().await.map_err(|error| match error {
            SubscriptionError::Refused(why) => format!("{id} was {done}, but the list is refused: {why}"),
            error => format!("{id} was {done}, but cannot be looked at: {error}"),
        })?;
        let known = listed.into_iter().find(|known| known.id == *id);
        let known = known.ok_or_else(|| format!("{id} was {done}, but is not listed"))?;
        if self.says_the_same(&known.events, &written.events) {
            return Ok(known);
        }
        Err(format!(
            "{id} was {done}, but is still sent {}",
            known.events.join(", ")
        ))
    }

    fn everything(&self) -> Vec<String> {
        match &self.calls.all {
            Some(all) => vec![all.clone()],
            None => self.subscribable().map(str::to_owned).collect(),
        }
    }

    /// Whether a subscription has these types, all of them being as good as their sign.
    fn says_the_same(&self, has: &[String], wanted: &[String]) -> bool {
        let spelt_out = |events: &[String]| -> BTreeSet<String> {
            if self.calls.all.as_ref().is_some_and(|all| events.contains(all)) {
                return self.subscribable().map(str::to_owned).collect();
            }
            events.iter().cloned().collect()
        };
        spelt_out(has) == spelt_out(wanted)
    }

    fn endpoint(&self, name: &str) -> Result<&Endpoint, SubscriptionError> {
        let endpoint = self.connection.connector.endpoint(name);
        endpoint.ok_or_else(|| SubscriptionError::NotOffered(format!("the table has no call `{name}`")))
    }

    /// A write, sent again under its key while its outcome is unknown and the table allows it.
    ///
    /// The key is for these attempts alone: what was once so and is to be so again is another wish, and under a key
    /// that it had before the provider would only repeat an old answer.
    async fn call(&self, name: &str, args: Map) -> Result<Value, SubscriptionError> {
        let endpoint = self.endpoint(name)?;
        let prepared = request::prepare(self.connection, endpoint, &args, None)
            .map_err(|failure| SubscriptionError::Refused(failure.message))?;
        let key = random_uuid().to_string();
        let mut attempt = 1;
        loop {
            let answer = self
                .client
                .send(self.connection, endpoint, &prepared.request, Some(&key))
                .await;
            let verdict = match &answer {
                Ok(answer) => classify(&self.connection.connector, endpoint, &prepared.request, None, answer),
                Err(error) => classify_error(endpoint, error),
            };
            let goes_again = matches!(&verdict, Verdict::Unknown { retry: Some(_), .. });
            if !goes_again || !self.connection.connector.repeats(endpoint) || attempt >= ATTEMPTS {
                return applied(verdict);
            }
            attempt += 1;
        }
    }
}

fn texts(events: &[String]) -> Value {
    Value::List(events.iter().map(Value::text).collect())
}

fn applied(verdict: Verdict) -> Result<Value, SubscriptionError> {
    match verdict {
        Verdict::Applied { value, .. } => Ok(value),
        Verdict::NotApplied { failure, .. } => Err(SubscriptionError::Refused(failure.message)),
        Verdict::Unknown { reason, .. } | Verdict::Contradiction { reason } => Err(SubscriptionError::Unknown(reason)),
    }
}

//! Events on their way to those who are subscribed: when each is tried, with whatever is scripted to go
//! wrong. It fills an outbox; the posting itself is done outside the lock.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use uuid::Uuid;

use super::Core;
use super::faults::WebhookFault;
use super::notices::{Attempt, Delivery, DeliveryStatus, Event, Subscription};
use super::timeline::Due;
use super::webhook::Outgoing;
use crate::base::secret::Secret;
use crate::simulator::config::{SubscriptionSeed, WebhookSuccess, Webhooks};
use crate::simulator::contract::Contract;

/// How long a delivery is held back for another to go first.
const HOLD_MS_MAX: u64 = 2_000;

impl Core {
    /// Adds a subscription to a provider's events.
    pub(crate) fn subscribe(&mut self, provider: &'static Contract, seed: &SubscriptionSeed) -> Result<Uuid, String> {
        let common = (provider.webhook.secret)(&self.config);
        let secret = seed.secret.as_deref().unwrap_or(common).to_owned();
        (provider.webhook.check_secret)(&secret).map_err(|error| format!("subscription `{}`: {error}", seed.url))?;
        let id = self.new_id();
        let subscription = Subscription {
            id,
            provider,
            url: seed.url.clone(),
            events: (!seed.events.iter().any(|name| name == "*")).then(|| seed.events.clone()),
            secret: Secret::new(secret),
            created_at: self.now,
            updated_at: self.now,
            deleted: false,
            failures_in_a_row: 0,
            failing_since: None,
        };
        self.subscriptions.insert(id, self.now, self.elapsed, subscription);
        Ok(id)
    }

    /// Records an event and plans its deliveries.
    pub(crate) fn emit(&mut self, provider: &'static Contract, event_type: &'static str, data: Json) -> Uuid {
        let id = self.record_event(provider, event_type, data);
        let wanting: Vec<Uuid> = self
            .subscriptions
            .iter()
            .filter(|subscription| subscription.provider.is(provider) && subscription.wants(event_type))
            .map(|subscription| subscription.id)
            .collect();
        for subscription in wanting {
            self.deliver(provider, (id, event_type), subscription);
        }
        id
    }

    /// Records an event that is not delivered by itself.
    pub(crate) fn record_event(&mut self, provider: &'static Contract, event_type: &'static str, data: Json) -> Uuid {
        let id = self.new_id();
        let event = Event {
            id,
            provider,
            event_type,
            data,
            created_at: self.now,
        };
        let listed_from = self.listed_from(0);
        self.events.insert(id, self.now, listed_from, event);
        id
    }

    /// Plans the delivery of an event to one subscription, with whatever is scripted to go wrong.
    fn deliver(&mut self, provider: &'static Contract, (event_id, event_type): (Uuid, &str), subscription_id: Uuid) {
        let config = Arc::clone(&self.config);
        let settings = (provider.webhook.settings)(&config);
        let fault = self.faults.for_event(event_type);
        if fault == Some(WebhookFault::Drop) {
            return;
        }
        let disabled = self.is_disabled(settings, subscription_id);
        let status = if disabled {
            DeliveryStatus::Ignored
        } else {
            DeliveryStatus::Pending
        };
        let id = self.new_delivery(provider, event_id, subscription_id, status);
        if disabled {
            return;
        }
        let mut delay_ms = settings.delay_ms;
        if settings.jitter_ms > 0 {
            delay_ms += self.noise.u64(0..=settings.jitter_ms);
        }
        let mut copies = u32::from(self.noise.u8(0..100) < settings.duplicate_percent);
        match fault {
            Some(WebhookFault::Duplicate { count }) => copies += count,
            Some(WebhookFault::Delay { ms }) => delay_ms += ms,
            Some(WebhookFault::Reorder) => {
                self.held.push((id, subscription_id));
                self.plan(HOLD_MS_MAX, Due::Release(id));
                return;
            }
            Some(WebhookFault::Drop) | None => {}
        }
        self.plan(delay_ms, Due::Deliver(id));
        for _ in 0..copies {
            self.plan(delay_ms, Due::Copy(id));
        }
        self.release_held(subscription_id, delay_ms);
    }

    /// Whether a subscription has failed so often, or for so long, that it gets nothing more.
    fn is_disabled(&self, settings: &Webhooks, subscription_id: Uuid) -> bool {
        let Some(subscription) = self.subscriptions.get(subscription_id) else {
            return false;
        };
        let too_often = settings.disable_after_failures;
        let too_long = settings.disable_after_ms.zip(subscription.failing_since);
        too_often.is_some_and(|limit| subscription.failures_in_a_row >= limit)
            || too_long.is_some_and(|(ms, since)| self.elapsed.saturating_sub(since) >= Duration::from_millis(ms))
    }

    /// Lets what was held back follow the delivery just planned.
    fn release_held(&mut self, subscription_id: Uuid, delay_ms: u64) {
        let (held, others) = std::mem::take(&mut self.held)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, subscription)| *subscription == subscription_id);
        self.held = others;
        for (id, _) in held {
            // Far enough behind that the two do not race on the network.
            self.plan(delay_ms + 100, Due::Deliver(id));
        }
    }

    /// Tries a delivery still held back.
    pub(crate) fn release(&mut self, id: Uuid) {
        if let Some(place) = self.held.iter().position(|(held, _)| *held == id) {
            self.held.remove(place);
            self.send(id, false);
        }
    }

    /// A new delivery of an event to a subscription.
    pub(crate) fn new_delivery(
        &mut self,
        provider: &'static Contract,
        event_id: Uuid,
        subscription_id: Uuid,
        status: DeliveryStatus,
    ) -> Uuid {
        let id = self.new_id();
        let delivery = Delivery {
            id,
            provider,
            event_id,
            subscription_id,
            status,
            attempts: Vec::new(),
            created_at: self.now,
            updated_at: self.now,
            retries: 0,
        };
        self.deliveries.insert(id, self.now, self.elapsed, delivery);
        id
    }

    /// Plans a new delivery of an event at once.
    pub(crate) fn deliver_again(&mut self, provider: &'static Contract, event: Uuid, subscription: Uuid) -> Uuid {
        let id = self.new_delivery(provider, event, subscription, DeliveryStatus::Pending);
        self.plan(0, Due::Deliver(id));
        id
    }

    /// Puts a delivery into the outbox.
    pub(crate) fn send(&mut self, id: Uuid, copy: bool) {
        let now = self.now;
        let Some(delivery) = self.deliveries.get_mut(id) else {
            return;
        };
        let subscription = self.subscriptions.get(delivery.subscription_id);
        let Some(subscription) = subscription.filter(|subscription| !subscription.deleted) else {
            delivery.status = DeliveryStatus::Ignored;
            return;
        };
        let Some(event) = self.events.get(delivery.event_id) else {
            return;
        };
        if !copy {
            delivery.status = DeliveryStatus::Processing;
            delivery.updated_at = now;
        }
        self.outbox.push(Outgoing {
            delivery: id,
            copy,
            rule: &delivery.provider.webhook,
            url: subscription.url.clone(),
            secret: subscription.secret.clone(),
            event_id: event.id,
            body: (delivery.provider.webhook.envelope)(event).to_string(),
        });
    }

    /// Takes note of how an attempt ended, and plans the next one if there is to be one.
    pub(crate) fn attempted(&mut self, outgoing: &Outgoing, status: Option<u16>) {
        let (id, now, config) = (outgoing.delivery, self.now, Arc::clone(&self.config));
        let settings = (outgoing.rule.settings)(&config);
        let delivered = match settings.success {
            WebhookSuccess::Any2xx => status.is_some_and(|status| (200..300).contains(&status)),
            WebhookSuccess::Only200 => status == Some(200),
        };
        let Some(delivery) = self.deliveries.get_mut(id) else {
            return;
        };
        delivery.attempts.push(Attempt {
            attempted_at: now,
            delivered,
            status_code: status.unwrap_or_default(),
        });
        delivery.updated_at = now;
        if outgoing.copy {
            return;
        }
        let is_ping = self
            .events
            .get(delivery.event_id)
            .is_some_and(|event| event.event_type == outgoing.rule.ping);
        let retry = settings.retry_delays_ms.get(delivery.retries).copied();
        let retry = retry.filter(|_| !delivered);
        delivery.status = match (delivered, retry) {
            (true, _) => DeliveryStatus::Delivered,
            (false, Some(_)) => DeliveryStatus::Pending,
            (false, None) => DeliveryStatus::Failed,
        };
        delivery.retries += 1;
        let (status, subscription_id, elapsed) = (delivery.status, delivery.subscription_id, self.elapsed);
        if let Some(subscription) = self.subscriptions.get_mut(subscription_id) {
            let failing_since = subscription.failing_since.unwrap_or(elapsed);
            subscription.failing_since = (!delivered).then_some(failing_since);
            match status {
                DeliveryStatus::Delivered => subscription.failures_in_a_row = 0,
                DeliveryStatus::Failed if !is_ping => subscription.failures_in_a_row += 1,
                _ => {}
            }
        }
        if let Some(delay_ms) = retry {
            self.plan(delay_ms, Due::Deliver(id));
        }
    }
}

//! What is told of one thing more than once, too late, or in the wrong order: statuses that come once have a rank, and an
//! event that says the same as an earlier one of the same thing, or less, starts nothing.

use std::sync::Arc;

use bursar::app::subscriptions;
use bursar::base::ids::{EventId, WorkerId};
use bursar::catalog::manifest::{ConnectionFacts, Facts, read_manifest};
use bursar::connector::client::Client;
use bursar::connector::connection::Connection;
use bursar::connector::event::read_event;
use bursar::connector::registry::Registry;
use bursar::model::calendar::Calendars;
use bursar::model::event::Delivery;
use bursar::model::run::Settlement;
use bursar::model::value::time_text;
use bursar::model::workflow::Trigger;
use bursar::store::sqlite::care::retain::prune;
use bursar::store::{Admitted, Append, Store as _};
use chrono::TimeDelta;
use serde_json::json;

use super::Desk;
use crate::webhooks::harness::new_store;

/// A trigger for events of these types.
fn on(events: &str) -> String {
    format!("[[trigger]]\ntype = \"webhook\"\nconnection = \"bank\"\nevents = [{events}]\n")
}

impl Desk {
    /// The same with the connection `bank` at another provider.
    fn at(mut self, connector: &str) -> Self {
        let connection = Connection {
            name: "bank".to_owned(),
            connector: Registry::built_in().get(connector).expect("built in").clone(),
            base_url: "http://127.0.0.1:9".to_owned(),
            credential: None,
            webhook_secrets: Vec::new(),
            webhook_senders: Vec::new(),
            settings: Default::default(),
            headers: Default::default(),
            key_window_secs: None,
            pace: Default::default(),
        };
        self.connections = [("bank".to_owned(), Arc::new(connection))].into();
        self
    }

    /// An update of an order, as its provider sends it: by this id, telling this status.
    async fn hears(&self, id: &str, order: &str, status: &str) -> EventId {
        let body = json!({
            "id": id, "type": "order_updated", "date": time_text(self.now() - TimeDelta::seconds(2)),
            "payload": { "id": order, "status": status },
        });
        let delivery = Delivery {
            connection: "bank".to_owned(),
            headers: Vec::new(),
            body: body.to_string().into(),
            sender: std::net::Ipv4Addr::LOCALHOST.into(),
            received_at: self.now(),
        };
        let connector = &self.connections["bank"].connector;
        let event = read_event(connector, &delivery, EventId::generate(self.now())).expect("an event");
        let id = event.id;
        let admitted = self.store.admit(event).await;
        assert!(matches!(admitted, Ok(Admitted::New { .. })), "{admitted:?}");
        id
    }
}

/// What is told, and what becomes of it: the workflow that takes it, or by what it is old news.
const TOLD: &[(&str, &str, &str)] = &[
    // The money was there before the bank had said that it would come.
    ("one", "paid", "pay"),
    ("one", "waiting_for_payment", "order.paid"),
    ("one", "finalizing", "order.paid"),
    ("one", "paid", "order.paid"),
    ("one", "canceled", "order.paid"),
    // Refunds come as often as they come; one that does not go through leaves it paid, which is no second payment.
    ("one", "in_refund", "watch"),
    ("one", "partially_refunded", "watch"),
    ("one", "in_refund", "watch"),
    ("one", "paid", "order.paid"),
    ("one", "refunded", "watch"),
    ("one", "in_refund", "watch"),
    // In order.
    ("two", "waiting_for_payment", "watch"),
    ("two", "waiting_for_bank_confirmation", "order.waiting_for_payment"),
    ("two", "paid", "pay"),
    // Opened again by hand.
    ("three", "canceled", "watch"),
    ("three", "paid", "pay"),
    ("three", "failed", "order.canceled"),
    // A word that nobody knows keeps the provider's name, and is told each time.
    ("three", "pending_review", "watch"),
    ("three", "pending_review", "watch"),
];

#[tokio::test]
async fn what_is_told_again_or_too_late_of_an_order_starts_nothing() {
    for at_once in [false, true] {
        let others = "\"order_updated\", \"order.waiting_for_payment\", \"order.finalizing\", \"order.canceled\", \
                      \"order.failed\", \"order.in_refund\", \"order.partially_refunded\", \"order.refunded\"";
        let desk = Desk::of(&[("pay", &[on("\"order.paid\"")]), ("watch", &[on(others)])])
            .await
            .at("ivy");
        let mut heard = Vec::new();
        for (number, (order, status, _)) in TOLD.iter().enumerate() {
            heard.push(desk.hears(&format!("evt_{number}"), order, status).await);
            if !at_once {
                desk.route(desk.store.clone()).await.expect("routed");
            }
        }
        for (number, (event, (order, status, expected))) in heard.into_iter().zip(TOLD).enumerate() {
            let fate = desk.fate(event).await;
            let took: Vec<&str> = fate.runs.iter().map(|run| run.workflow.as_str()).collect();
            let declined: Vec<String> = fate.declined.iter().map(|declined| declined.why.to_string()).collect();
            let what = format!(
                "{number}: {order} {status}, {}",
                if at_once { "at once" } else { "one by one" }
            );
            match *expected {
                workflow @ ("pay" | "watch") => {
                    assert_eq!(
                        (took.as_slice(), declined.len()),
                        (&[workflow][..], 0),
                        "{what}: {declined:?}"
                    );
                }
                by => {
                    assert!(took.is_empty(), "{what}: {took:?}");
                    let why = format!("old news: {by} was told before, by event evt_");
                    assert!(
                        declined.len() == 1 && declined[0].starts_with(&why),
                        "{what}: {declined:?}"
                    );
                }
            }
        }
    }
}

/// An order that is refunded and then is not says `paid` once more, months later under an id of its own. Its run and what
/// it was first told by are pruned by then.
#[tokio::test]
async fn what_was_told_of_an_order_before_it_was_pruned_is_told_again_in_vain() {
    let mut desk = Desk::of(&[("pay", &[on("\"order.paid\"")])]).await.at("ivy");
    let first = desk.hears("evt_1", "one", "paid").await;
    assert_eq!(desk.fate(first).await.runs.len(), 1);
    let now = desk.now();
    let claims = desk
        .store
        .claim(WorkerId::generate(now), now, now + TimeDelta::seconds(30), 9);
    for claim in claims.await.expect("claimed") {
        let paid = Append {
            settlement: Some(Settlement::Succeeded { result: json!("paid") }),
            ..Append::default()
        };
        desk.store.append(&claim.lease, paid, now).await.expect("ended");
    }
    desk.clock.jump_to(now + TimeDelta::days(60));
    desk.store.close().await.expect("closed");
    let before = now + TimeDelta::days(20);
    let pruned = prune(desk.folder.path(), before, desk.now(), false)
        .await
        .expect("pruned");
    assert_eq!((pruned.runs, pruned.events), (1, 1));
    desk.store = new_store(&desk.folder).await;
    let again = desk.hears("evt_2", "one", "paid").await;
    let late = desk.hears("evt_3", "one", "waiting_for_payment").await;
    let another = desk.hears("evt_4", "two", "paid").await;
    let declined = desk.declined(again).await;
    assert_eq!(declined, ["pay: old news: order.paid was told before, by event evt_1"]);
    assert_eq!(desk.fate(again).await.runs.len(), 0);
    assert_eq!(desk.fate(late).await.runs.len(), 0);
    assert_eq!(desk.fate(another).await.runs.len(), 1, "another order");
}

/// The money came while the workflow did not load; that it is told again makes its run the second time at the latest, and
/// never two.
#[tokio::test]
async fn what_a_broken_workflow_has_not_heard_is_no_old_news_to_it() {
    for is_mended_first in [false, true] {
        let mut desk = Desk::of(&[]).await.at("ivy");
        desk.shelf.spoil("pay");
        desk.shelf.restart();
        let first = desk.hears("evt_1", "one", "paid").await;
        desk.route(desk.store.clone()).await.expect("routed");
        let mend = |desk: &Desk| desk.shelf.put(&[("pay", &[on("\"order.paid\"")])]);
        if is_mended_first {
            mend(&desk);
        }
        let again = desk.hears("evt_2", "one", "paid").await;
        desk.route(desk.store.clone()).await.expect("routed");
        mend(&desk);
        assert_eq!(desk.fate(first).await.runs.len(), 1, "{is_mended_first}");
        assert_eq!(desk.fate(again).await.runs.len(), 0, "{is_mended_first}");
        let why = desk.declined(again).await;
        assert_eq!(why, ["pay: old news: order.paid was told before, by event evt_1"]);
    }
}

/// Subscriptions are made for what the provider calls an event.
#[tokio::test]
async fn a_subscription_names_what_the_provider_knows() {
    let shop = Desk::of(&[]).await.at("ivy").connections["bank"].clone();
    let desk = subscriptions::Desk::of(Client::new().expect("a client"), &shop).expect("it has calls for it");
    let wanted = ["order.paid", "payout.paid", "order.failed", "order_updated"].map(str::to_owned);
    let sent = desk.as_sent(&wanted);
    assert_eq!(sent, ["order_updated", "payout.paid"]);
    assert_eq!(desk.unknown_events(&sent), Vec::<&str>::new());
    assert!(!desk.subscribable().any(|name| name.starts_with("order.")));
}

/// Whoever listens to what the provider calls an event hears it under every name that it has here.
#[test]
fn a_trigger_for_the_providers_own_type_hears_what_is_made_of_it() {
    let shop = ConnectionFacts {
        connector: "ivy".to_owned(),
        events: None,
        made_of: [("order.paid", "order_updated"), ("order.failed", "order_updated")]
            .map(|(name, of)| (name.to_owned(), of.to_owned()))
            .into(),
    };
    let facts = Facts {
        connections: &[("bank".to_owned(), shop)].into(),
        check_schedule: &|_| Ok(Vec::new()),
        calendars: &Calendars::default(),
    };
    let heard = |events: &str| {
        let text = format!(
            "name = \"work\"\nsummary = \"Works.\"\nscript = \"work.rhai\"\n{}",
            on(events)
        );
        let (manifest, findings) = read_manifest("work.toml", "work", &text, &facts);
        assert!(findings.is_empty(), "{findings:?}");
        match manifest.expect("a manifest").triggers.remove(0) {
            Trigger::Webhook { events, .. } => events,
            Trigger::Cron(spec) => panic!("{spec:?}"),
        }
    };
    assert_eq!(heard("\"order.paid\""), ["order.paid"]);
    assert_eq!(
        heard("\"order_updated\", \"order.paid\""),
        ["order_updated", "order.paid", "order.failed"]
    );
}

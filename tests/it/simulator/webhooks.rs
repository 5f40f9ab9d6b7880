//! Webhooks: signed, retried, repeated, out of order, lost, and sent again on request.

use bursar::base::clock::Clock as _;
use bursar::base::secret::Secret;
use bursar::connector::signature::{Rejected, Scheme, verify};
use bursar::model::event::Delivery;
use bursar::simulator::config::{SubscriptionSeed, WebhookSuccess};
use bursar::simulator::faults::{WebhookFault, WebhookFaultRule};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::bench::{Bench, Received, Receiver, eventually, id_of};
use super::shapes::{ENVELOPE, PAYOUT, assert_shape};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn subscribe(bench: &Bench, receiver: &Receiver) -> Uuid {
    let subscription = SubscriptionSeed {
        url: receiver.url(),
        events: vec!["*".to_owned()],
        secret: Some(SECRET.to_owned()),
    };
    bench.control().add_subscription(&subscription).unwrap()
}

fn verdict(bench: &Bench, received: &Received, secret: &str) -> Result<(), Rejected> {
    let scheme = Scheme::StandardWebhooks {
        header_prefix: "webhook".to_owned(),
        tolerance_secs: 300,
    };
    let delivery = Delivery {
        connection: "bank".to_owned(),
        headers: received.headers.clone(),
        body: received.body.clone().into(),
        sender: std::net::Ipv4Addr::LOCALHOST.into(),
        received_at: bench.clock.now(),
    };
    verify(&scheme, &[Secret::new(secret.to_owned())], &delivery, bench.clock.now())
}

#[tokio::test]
async fn an_address_with_a_query_and_no_path_is_posted_to() {
    let bench = Bench::demo().await;
    let receiver = Receiver::start(&[]).await;
    let url = format!("http://{}?tenant=1", receiver.address);
    let body = json!({ "url": url, "events": ["payout.created"] });
    bench.post("/v1/webhook_subscriptions", &body).await.ok();
    bench.pay("10.00", "INV-1").await;
    assert_eq!(receiver.count(1).await[0].path, "/?tenant=1");
}

async fn deliveries(bench: &Bench, query: &str) -> Vec<Json> {
    let page = bench.get(&format!("/v1/webhook_deliveries?{query}")).await.ok();
    page["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn each_step_is_delivered_signed_with_a_snapshot() {
    let bench = Bench::demo().await;
    let receiver = Receiver::start(&[]).await;
    subscribe(&bench, &receiver);
    let id = bench.pay("10.00", "INV-1").await;
    receiver.count(1).await;
    bench.pass(50);
    receiver.count(2).await;
    bench.pass(200);
    let received = receiver.count(3).await;
    assert_eq!(receiver.kinds(), ["payout.created", "payout.initiated", "payout.paid"]);
    for webhook in &received {
        assert_eq!(verdict(&bench, webhook, SECRET), Ok(()));
        let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        assert_eq!(verdict(&bench, webhook, other), Err(Rejected::Mismatch));
        assert_eq!(webhook.path, "/hooks/bank");
        let envelope = webhook.envelope();
        assert_shape(&envelope, ENVELOPE);
        assert_shape(&envelope["payload"], PAYOUT);
        assert_eq!(envelope["payload"]["id"], id.to_string());
        assert_eq!(webhook.header("webhook-id"), envelope["id"]);
        let event = bench.get(&format!("/v1/events/{}", id_of(&envelope))).await.ok();
        assert_eq!(event["event_type"], envelope["type"]);
        assert_eq!(event["data"], envelope["payload"]);
        assert_eq!(event["created_at"], envelope["date"]);
    }
    assert_eq!(received[0].envelope()["payload"]["status"], "pending");
    assert_eq!(received[2].envelope()["payload"]["status"], "paid");
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_with_a_fresh_signature_until_it_is_given_up() {
    let bench = Bench::with(|config| config.webhooks.retry_delays_ms = vec![1_000, 400_000]).await;
    let receiver = Receiver::start(&[500, 404, 500]).await;
    let subscription = subscribe(&bench, &receiver);
    let attempts = async |count: usize| {
        eventually("the attempt is recorded", || {
            let events = bench.control().events();
            Some(events).filter(|_| receiver.received().len() == count)
        })
        .await;
        // The answer of the receiver may still be on its way to the simulator.
        for _ in 0..500 {
            let delivery = deliveries(&bench, "").await.remove(0);
            if delivery["attempts"].as_array().unwrap().len() == count {
                return delivery;
            }
        }
        panic!("the attempt was not recorded");
    };
    bench
        .post(
            &format!("/v1/webhook_subscriptions/{subscription}"),
            &json!({ "events": ["payout.created"] }),
        )
        .await
        .ok();
    bench.pay("10.00", "INV-1").await;
    assert_eq!(attempts(1).await["status"], "pending");
    bench.pass(1_000);
    assert_eq!(attempts(2).await["status"], "pending");
    bench.pass(400_000);
    let delivery = attempts(3).await;
    assert_eq!(delivery["status"], "failed");
    let codes: Vec<&Json> = delivery["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["status_code"])
        .collect();
    assert_eq!(codes, [500, 404, 500]);
    let received = receiver.received();
    let last = received.last().unwrap();
    assert_eq!(
        verdict(&bench, last, SECRET),
        Ok(()),
        "a retry after the tolerance is signed anew"
    );
    assert_eq!(verdict(&bench, &received[0], SECRET), Err(Rejected::Stale));
    assert_eq!(last.body, received[0].body, "the same bytes");

    let redeliver = format!("/v1/webhook_deliveries/{}/redeliver", id_of(&delivery));
    let again = bench.send("POST", &redeliver, &[], None).await.unwrap().ok();
    assert_ne!(again["id"], delivery["id"]);
    assert_eq!(again["event_id"], delivery["event_id"]);
    let received = receiver.count(4).await;
    assert_eq!(received[3].envelope()["id"], received[0].envelope()["id"]);
}

#[tokio::test]
async fn what_counts_as_delivered_is_a_setting() {
    let check = async |success, expected: &str| {
        let bench = Bench::with(|config| {
            config.webhooks.success = success;
            config.webhooks.retry_delays_ms = Vec::new();
        })
        .await;
        let receiver = Receiver::start(&[202]).await;
        subscribe(&bench, &receiver);
        bench.pay("10.00", "INV-1").await;
        receiver.count(1).await;
        for _ in 0..500 {
            let found = deliveries(&bench, &format!("status={expected}")).await;
            if found.len() == 1 {
                return;
            }
        }
        panic!("never {expected}");
    };
    check(WebhookSuccess::Any2xx, "delivered").await;
    check(WebhookSuccess::Only200, "failed").await;
}

#[tokio::test]
async fn deliveries_can_be_repeated_lost_and_overtaken() {
    let bench = Bench::demo().await;
    let receiver = Receiver::start(&[]).await;
    subscribe(&bench, &receiver);
    let control = bench.control();
    let fault = |event: &str, action| control.add_webhook_fault(WebhookFaultRule::on(event, action).times(1));
    fault("payout.created", WebhookFault::Duplicate { count: 2 });
    fault("payout.initiated", WebhookFault::Drop);
    bench.pay("10.00", "INV-1").await;
    receiver.count(3).await;
    bench.pass(50);
    bench.pass(200);
    receiver.count(4).await;
    let kinds = ["payout.created", "payout.created", "payout.created", "payout.paid"];
    assert_eq!(receiver.kinds(), kinds);
    let ids: Vec<Json> = receiver
        .received()
        .iter()
        .map(|webhook| webhook.envelope()["id"].clone())
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[1], ids[2]);
    assert_eq!(control.events().len(), 3, "a lost one is still an event");

    fault("payout.created", WebhookFault::Reorder);
    bench.pay("20.00", "INV-2").await;
    bench.pass(50);
    receiver.count(5).await;
    bench.pass(100);
    receiver.count(6).await;
    assert_eq!(receiver.kinds()[4..], ["payout.initiated", "payout.created"]);
}

#[tokio::test]
async fn a_silent_receiver_times_out_and_a_dead_subscription_is_given_up() {
    let bench = Bench::with(|config| {
        config.webhooks.retry_delays_ms = Vec::new();
        config.webhooks.disable_after_failures = Some(1);
    })
    .await;
    // It listens and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let subscription = SubscriptionSeed {
        url: format!("http://{}/", silent.local_addr().unwrap()),
        events: vec!["payout.created".to_owned()],
        secret: None,
    };
    bench.control().add_subscription(&subscription).unwrap();
    bench.pay("10.00", "INV-1").await;
    let (_held, _) = silent.accept().await.unwrap();
    assert_eq!(deliveries(&bench, "status=processing").await.len(), 1);
    let mut failed = Vec::new();
    for _ in 0..500 {
        bench.pass(10_000);
        failed = deliveries(&bench, "status=failed").await;
        if !failed.is_empty() {
            break;
        }
    }
    assert_eq!(failed[0]["attempts"][0]["status_code"], 0);
    bench.pay("10.00", "INV-2").await;
    assert_eq!(deliveries(&bench, "status=ignored").await.len(), 1);
}

#[tokio::test]
async fn subscriptions_are_managed_over_the_api() {
    let bench = Bench::demo().await;
    let receiver = Receiver::start(&[]).await;
    let path = "/v1/webhook_subscriptions";
    let check = async |body: Json, param: &str| {
        let reply = bench.post(path, &body).await;
        assert_eq!((reply.status, &reply.json()["param"]), (400, &json!(param)), "{body}");
    };
    check(json!({ "url": "ftp://a.example/", "events": ["*"] }), "url").await;
    check(json!({ "url": "https://", "events": ["*"] }), "url").await;
    for url in [
        "http://u:p@127.0.0.1:1/",
        "http://127.0.0.1:99999/",
        "https://:443/x",
        "https://a.example/x#part",
        "https://a.example/\u{0}",
    ] {
        check(json!({ "url": url, "events": ["*"] }), "url").await;
    }
    check(json!({ "events": ["*"] }), "url").await;
    check(json!({ "url": "https://a.example/" }), "events").await;
    check(json!({ "url": "https://a.example/", "events": [] }), "events").await;
    check(
        json!({ "url": "https://a.example/", "events": ["ping.test"] }),
        "events",
    )
    .await;
    check(
        json!({ "url": "https://a.example/", "events": ["*", "payout.paid"] }),
        "events",
    )
    .await;
    let all = bench
        .post(path, &json!({ "url": "https://a.example/", "events": ["*"] }))
        .await
        .ok();
    assert_eq!(all["events"].as_array().unwrap().len(), 12);
    let own = format!("{path}/{}", id_of(&all));
    let changed = json!({ "url": receiver.url(), "events": ["payout.paid"] });
    let changed = bench.post(&own, &changed).await.ok();
    assert_eq!(changed["events"], json!(["payout.paid"]));
    let ping = bench
        .send("POST", &format!("{own}/send_test_event"), &[], None)
        .await
        .unwrap()
        .ok();
    assert_eq!(ping["event_type"], "ping.test");
    assert_eq!(ping["data"]["type"], "ping");
    assert_eq!(receiver.count(1).await[0].envelope()["id"], ping["id"]);
    assert_eq!(deliveries(&bench, &format!("event_id={}", id_of(&ping))).await.len(), 1);
    bench.pay("10.00", "INV-1").await;
    bench.pass(50);
    bench.pass(200);
    receiver.count(2).await;
    assert_eq!(
        receiver.kinds(),
        ["ping.test", "payout.paid"],
        "only what was subscribed to"
    );
    let deleted = bench.send("DELETE", &own, &[], None).await.unwrap().ok();
    assert_eq!(deleted["id"], all["id"]);
    bench.get(&own).await.refused(404, "resource_not_found");
    assert_eq!(bench.get(path).await.ok()["data"], json!([]));
    let strict = Bench::with(|config| config.webhooks.allow_http_subscriptions = false).await;
    let plain = json!({ "url": receiver.url(), "events": ["*"] });
    strict.post(path, &plain).await.refused(400, "parameter_invalid");
}

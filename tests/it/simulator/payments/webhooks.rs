//! Webhooks: Svix's signature, its ladder, its fifteen seconds, and three forms of an event.

use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::simulator::config::payments::EventForm;
use bursar::simulator::faults::{WebhookFault, WebhookFaultRule};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::shapes::{INTENT, PAYMENT, REFUND, assert_shape};
use super::{Pay, SECRET, made};
use crate::simulator::bench::{Received, Receiver, eventually};

/// What another implementation of the scheme, under Svix's own headers, says of a webhook.
fn is_right(received: &Received, secret: &str) -> bool {
    let message = [
        format!("{}.{}.", received.header("svix-id"), received.header("svix-timestamp")).as_bytes(),
        &received.body,
    ]
    .concat();
    let text = String::from_utf8(message).unwrap();
    let mut parts = text.splitn(3, '.');
    let (id, at, body) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let signer = standardwebhooks::Webhook::new(secret).unwrap();
    let expected = signer.sign(id, at.parse().unwrap(), body.as_bytes()).unwrap();
    received.header("svix-signature") == expected
}

#[tokio::test]
async fn each_step_is_told_with_a_snapshot_and_signed() {
    let pay = Pay::start().await;
    let receiver = Receiver::start(&[]).await;
    pay.subscribe(&receiver, &["*"]);
    let intent = pay.paid(100).await;
    receiver.count(4).await;
    made(
        &pay.post(&format!("/payment_intents/{intent}/refunds"), &json!({}))
            .await,
    );
    receiver.count(5).await;
    pay.bench.pass(250);
    let received = receiver.count(6).await;
    let mut kinds = receiver.kinds();
    kinds.sort();
    let mut expected = [
        "v2.payment_intent.created",
        "v2.payment.created",
        "v2.payment.captured",
        "v2.payment_intent.captured",
        "v2.refund.created",
        "v2.payment.refunded",
    ];
    expected.sort_unstable();
    assert_eq!(kinds, expected);
    for webhook in &received {
        assert!(is_right(webhook, SECRET) && !is_right(webhook, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));
        assert!(webhook.header("svix-id").starts_with("msg_"));
        let envelope = webhook.envelope();
        assert_eq!(envelope.as_object().unwrap().len(), 2, "{envelope}");
        let shape = match webhook.kind().as_str() {
            "v2.refund.created" => REFUND,
            kind if kind.starts_with("v2.payment_intent.") => INTENT,
            _ => PAYMENT,
        };
        assert_shape(&envelope["data"], shape);
    }
}

#[tokio::test]
async fn an_event_has_one_of_three_forms_and_two_generations() {
    let pay = Pay::with(|config| config.older_events = true).await;
    let receiver = Receiver::start(&[]).await;
    pay.subscribe(&receiver, &["v2.payment_intent.created", "payment_intent.created"]);
    let intent = pay.intent(&json!({ "amount": 1 })).await;
    receiver.count(2).await;
    let mut told: Vec<_> = receiver.received().iter().map(Received::envelope).collect();
    told.sort_by_key(|envelope| envelope["data"].is_null());
    assert_eq!(
        (&told[0]["type"], &told[0]["data"]["id"]),
        (&json!("v2.payment_intent.created"), &json!(intent))
    );
    assert_eq!(
        (&told[1]["event_type"], &told[1]["id"]),
        (&json!("payment_intent.created"), &json!(intent))
    );
    let control = pay.bench.control();
    control.configure(|config| {
        config.payments.older_events = false;
        config.payments.event_form = EventForm::EventType;
    });
    pay.intent(&json!({ "amount": 2 })).await;
    let third = receiver.count(3).await[2].envelope();
    assert_eq!(
        (&third["event_type"], &third["data"]["amount"]),
        (&json!("v2.payment_intent.created"), &json!(2))
    );
    control.configure(|config| config.payments.event_form = EventForm::Flat);
    pay.intent(&json!({ "amount": 3 })).await;
    let fourth = receiver.count(4).await[3].envelope();
    assert_eq!(
        (&fourth["event_type"], &fourth["amount"]),
        (&json!("payment_intent.created"), &json!(3))
    );
}

#[tokio::test]
async fn a_refused_event_is_sent_eight_times_under_one_id() {
    let pay = Pay::start().await;
    let receiver = Receiver::start(&[500; 8]).await;
    pay.subscribe(&receiver, &["v2.payment_intent.created"]);
    pay.intent(&json!({ "amount": 1 })).await;
    receiver.count(1).await;
    let ladder = pay.bench.control().config().payments.webhooks.retry_delays_ms;
    let told = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
    assert_eq!(ladder, told.map(|secs| secs * 1_000));
    for (sent, delay_ms) in ladder.iter().enumerate() {
        // The answer may still be on its way to the simulator, which waits from then on.
        let mut waited = 0;
        while receiver.received().len() < sent + 2 && waited < 500 {
            pay.bench.pass(*delay_ms);
            SystemClock::new().sleep(Duration::from_millis(5)).await;
            waited += 1;
        }
        receiver.count(sent + 2).await;
    }
    let received = receiver.received();
    let first = &received[0];
    assert!(
        received
            .iter()
            .all(|webhook| webhook.header("svix-id") == first.header("svix-id"))
    );
    assert!(
        received
            .iter()
            .all(|webhook| webhook.body == first.body && is_right(webhook, SECRET))
    );
    assert_ne!(
        received[7].header("svix-timestamp"),
        first.header("svix-timestamp"),
        "signed anew"
    );
    pay.bench.pass(1_000_000_000);
    SystemClock::new().sleep(Duration::from_millis(50)).await;
    assert_eq!(receiver.received().len(), 8);
}

#[tokio::test]
async fn any_2xx_will_do() {
    let pay = Pay::start().await;
    let receiver = Receiver::start(&[204]).await;
    pay.subscribe(&receiver, &["v2.payment_intent.created"]);
    pay.intent(&json!({ "amount": 1 })).await;
    receiver.count(1).await;
    SystemClock::new().sleep(Duration::from_millis(50)).await;
    pay.bench.pass(100_000_000);
    SystemClock::new().sleep(Duration::from_millis(50)).await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn fifteen_seconds_without_an_answer_are_a_failure() {
    let pay = Pay::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let subscription = bursar::simulator::config::SubscriptionSeed {
        url,
        events: vec!["v2.payment_intent.created".to_owned()],
        secret: None,
    };
    let control = pay.bench.control();
    control.add_subscription_at("payments", &subscription).unwrap();
    pay.intent(&json!({ "amount": 1 })).await;
    let (mut first, _) = listener.accept().await.unwrap();
    let mut head = [0; 64];
    assert!(first.read(&mut head).await.unwrap() > 0);
    pay.bench.pass(14_999);
    SystemClock::new().sleep(Duration::from_millis(50)).await;
    let early = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(early.is_err(), "it still waits");
    pay.bench.pass(1);
    // The simulator hangs up; what it takes for that it takes in its own time.
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.unwrap();
    SystemClock::new().sleep(Duration::from_millis(50)).await;
    pay.bench.pass(5_000);
    let again = tokio::time::timeout(Duration::from_secs(10), listener.accept()).await;
    assert!(again.is_ok(), "and comes again after five seconds");
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_for_five_days_gets_nothing_more() {
    let pay = Pay::start().await;
    let receiver = Receiver::start(&[500; 200]).await;
    pay.subscribe(&receiver, &["v2.payment_intent.created"]);
    let deliver = async |count: usize| {
        pay.intent(&json!({ "amount": 1 })).await;
        receiver.count(count).await;
        SystemClock::new().sleep(Duration::from_millis(50)).await;
    };
    deliver(1).await;
    pay.bench.pass(5 * 24 * 60 * 60 * 1_000 - 1);
    eventually("the retries are over", || {
        (receiver.received().len() >= 2).then_some(())
    })
    .await;
    SystemClock::new().sleep(Duration::from_millis(100)).await;
    let before = receiver.received().len();
    deliver(before + 1).await;
    // The last attempts of what was told before are over too.
    pay.bench.pass(100_000_000);
    SystemClock::new().sleep(Duration::from_millis(100)).await;
    for _ in 0..20 {
        pay.bench.pass(100_000_000);
        SystemClock::new().sleep(Duration::from_millis(20)).await;
    }
    let before = receiver.received().len();
    pay.intent(&json!({ "amount": 1 })).await;
    pay.bench.pass(100_000_000);
    SystemClock::new().sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), before);
}

#[tokio::test]
async fn events_can_be_lost_repeated_and_out_of_order() {
    let pay = Pay::start().await;
    let receiver = Receiver::start(&[]).await;
    pay.subscribe(
        &receiver,
        &[
            "v2.payment_intent.created",
            "v2.payment_intent.captured",
            "v2.payment.captured",
        ],
    );
    let control = pay.bench.control();
    let fault = |event: &str, action| control.add_webhook_fault(WebhookFaultRule::on(event, action).times(1));
    fault("v2.payment_intent.created", WebhookFault::Reorder);
    fault("v2.payment.captured", WebhookFault::Drop);
    fault("v2.payment_intent.captured", WebhookFault::Duplicate { count: 1 });
    pay.paid(100).await;
    receiver.count(2).await;
    pay.bench.pass(100);
    let received = receiver.count(3).await;
    let captured = "v2.payment_intent.captured";
    assert_eq!(receiver.kinds(), [captured, captured, "v2.payment_intent.created"]);
    assert_eq!(received[0].header("svix-id"), received[1].header("svix-id"));
}

//! Webhooks: signed over the raw body, sent again until exactly 200, told in the provider's mixed spelling.

use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::secret::Secret;
use bursar::connector::signature::{Encoding, HmacScheme, Rejected, Scheme, Signed, verify};
use bursar::model::event::Delivery;
use bursar::simulator::faults::{WebhookFault, WebhookFaultRule};
use serde_json::json;
use uuid::Uuid;

use super::shapes::{PAYOUT, assert_shape};
use super::{Ivy, SECRET, payout};
use crate::simulator::bench::{Received, Receiver};

/// What the product's own reading of the signature says.
fn verdict(ivy: &Ivy, received: &Received, secret: &str) -> Result<(), Rejected> {
    let scheme = Scheme::HmacSha256(HmacScheme {
        header: "X-Ivy-Signature".to_owned(),
        prefix: String::new(),
        encoding: Encoding::Hex,
        separator: None,
        signed: Signed::Body,
        timestamp_header: None,
        tolerance_secs: None,
    });
    let delivery = Delivery {
        connection: "ivy".to_owned(),
        headers: received.headers.clone(),
        body: received.body.clone().into(),
        sender: std::net::Ipv4Addr::LOCALHOST.into(),
        received_at: ivy.bench.clock.now(),
    };
    let now = ivy.bench.clock.now();
    verify(&scheme, &[Secret::new(secret.to_owned())], &delivery, now)
}

#[tokio::test]
async fn each_step_is_told_once_with_a_snapshot() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["*"]);
    let id = ivy.pay("10").await;
    ivy.bench.pass(50);
    receiver.count(1).await;
    ivy.bench.pass(200);
    let received = receiver.count(2).await;
    assert_eq!(receiver.kinds(), ["payout.initiated", "payout.paid"]);
    for (webhook, status) in received.iter().zip(["pending", "paid"]) {
        assert_eq!(verdict(&ivy, webhook, SECRET), Ok(()));
        assert_eq!(verdict(&ivy, webhook, "ivy_whs_other"), Err(Rejected::Mismatch));
        let envelope = webhook.envelope();
        assert_eq!(envelope.as_object().unwrap().len(), 4, "{envelope}");
        assert!(envelope["date"].is_string() && envelope["id"].is_string());
        assert_shape(&envelope["payload"], PAYOUT);
        assert_eq!(envelope["payload"]["id"], json!(id));
        assert_eq!(envelope["payload"]["status"], status);
    }
}

#[tokio::test]
async fn payouts_to_customers_may_be_told_under_two_names() {
    let ivy = Ivy::with(|config| config.user_payout_events = true).await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["payout.paid", "user_payout.paid"]);
    ivy.pay("10").await;
    let mut own = payout("20");
    own["destination"]["type"] = json!("beneficiary");
    ivy.call("payout/create", &own).await.ok();
    ivy.bench.pass(50);
    ivy.bench.pass(200);
    receiver.count(3).await;
    let mut kinds = receiver.kinds();
    kinds.sort();
    assert_eq!(kinds, ["payout.paid", "payout.paid", "user_payout.paid"]);
}

#[tokio::test]
async fn a_canceled_payout_is_not_told() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["*"]);
    let canceled = Uuid::parse_str(&ivy.pay("10").await).unwrap();
    ivy.bench.control().advance(canceled, "canceled", None).unwrap();
    ivy.bench.pass(1_000);
    ivy.pay("20").await;
    ivy.bench.pass(50);
    assert_eq!(receiver.count(1).await[0].envelope()["payload"]["amount"], 20);
}

#[tokio::test]
async fn only_a_200_ends_the_ladder_of_fifteen_retries() {
    let ivy = Ivy::start().await;
    let mut statuses = vec![201, 204, 500];
    statuses.resize(15, 503);
    let receiver = Receiver::start(&statuses).await;
    ivy.subscribe(&receiver, &["payout.initiated"]);
    ivy.pay("10").await;
    ivy.bench.pass(50);
    receiver.count(1).await;
    let ladder = ivy.bench.control().config().ivy.webhooks.retry_delays_ms;
    assert_eq!(ladder[..6], [30_000, 22_000, 140_000, 541_000, 1_426_000, 3_200_000]);
    assert_eq!((ladder.len(), ladder.last()), (15, Some(&194_400_000)));
    for (sent, delay_ms) in ladder.iter().enumerate() {
        // The answer may still be on its way to the simulator, which waits from then on.
        let mut waited = 0;
        while receiver.received().len() < sent + 2 && waited < 500 {
            ivy.bench.pass(*delay_ms);
            SystemClock::new().sleep(Duration::from_millis(5)).await;
            waited += 1;
        }
        receiver.count(sent + 2).await;
    }
    let received = receiver.received();
    assert_eq!(received.len(), 16);
    assert!(
        received.iter().all(|webhook| webhook.body == received[0].body),
        "the same bytes"
    );
    ivy.bench.pass(1_000_000_000);
    assert_eq!(receiver.received().len(), 16, "the sixteenth was taken");
}

#[tokio::test]
async fn events_can_be_lost_repeated_and_out_of_order() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["*"]);
    let control = ivy.bench.control();
    let fault = |event: &str, action| control.add_webhook_fault(WebhookFaultRule::on(event, action).times(1));
    fault("payout.initiated", WebhookFault::Reorder);
    fault("payout.paid", WebhookFault::Duplicate { count: 1 });
    ivy.pay("10").await;
    ivy.bench.pass(50);
    ivy.bench.pass(200);
    receiver.count(2).await;
    ivy.bench.pass(100);
    let received = receiver.count(3).await;
    assert_eq!(receiver.kinds(), ["payout.paid", "payout.paid", "payout.initiated"]);
    assert_eq!(received[0].envelope()["id"], received[1].envelope()["id"]);
}

#[tokio::test]
async fn each_provider_tells_its_own_subscribers() {
    let ivy = Ivy::start().await;
    let receiver = Receiver::start(&[]).await;
    ivy.subscribe(&receiver, &["*"]);
    ivy.bench.pay("10.00", "INV-1").await;
    ivy.bench.pass(1_000);
    ivy.pay("10").await;
    ivy.bench.pass(50);
    receiver.count(1).await;
    assert_eq!(receiver.kinds(), ["payout.initiated"]);
    let subscriptions = ivy.bench.get("/v1/webhook_subscriptions").await.ok();
    assert_eq!(subscriptions["data"], json!([]));
    let events = ivy.bench.get("/v1/events").await.ok();
    let events = events["data"].as_array().unwrap();
    assert!(
        events
            .iter()
            .all(|event| event["event_type"] != "payout.initiated" || event["data"]["type"] == "payout")
    );
    assert_eq!(events.len(), 3);
}

//! `pay-out-paid-orders`: a paid order is paid on to its seller once, whatever is told of it, how often, and in what order.

use std::time::Duration;

use bursar::model::run::RunState;
use bursar::simulator::faults::{FaultAction, FaultRule, WebhookFault, WebhookFaultRule};
use bursar::simulator::resources::Failure;
use bursar::store::Store;
use serde_json::json;

use super::town::{self, Town, ended, events, runs};
use crate::support::settled;

const WORKFLOW: &str = "pay-out-paid-orders";
const REFERENCE: &str = "SELLER-042-1001";

/// Each told thing, and the workflows that did not take it.
async fn told(store: &dyn Store, count: usize) -> Vec<String> {
    let events = events(store, "order.", count).await;
    let told = events.iter().map(|(event, fate)| {
        let declined = fate.declined.iter().map(|declined| declined.why.to_string());
        // The ids of providers are other ones each time.
        let declined = declined.map(|why| why.split(", by").next().unwrap_or_default().to_owned());
        let became = std::iter::once(fate.word().to_owned()).chain(declined);
        format!("{}: {}", event.kind, became.collect::<Vec<_>>().join("; "))
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_is_paid_on_once_though_it_is_told_again_and_too_late() {
    let mut town = Town::of(WORKFLOW).await;
    town.hears_webhooks_alone();
    let store = town.world.store().await;
    let process = town.opens(store.clone()).await;
    let control = town.world.simulator.control.clone();
    // That it waits is told when all is over, and everything else three times.
    let late = WebhookFault::Delay { ms: 3_600_000 };
    control.add_webhook_fault(WebhookFaultRule::on("order_updated", late).times(1));
    control.add_webhook_fault(WebhookFaultRule::on(
        "order_updated",
        WebhookFault::Duplicate { count: 2 },
    ));
    let order = town.order(100, REFERENCE).await;
    for status in ["waiting_for_payment", "paid"] {
        control.advance(order, status, None).expect("it goes on");
    }
    let run = ended(store.as_ref(), 0).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(town.effects("payout"), ["EUR 95.00 paid"]);
    let paid = control.effects().remove(0);
    assert_eq!(paid.destination["iban"]["iban"], "FR1420041010050500013M02606");
    assert_eq!(paid.reference.as_deref(), Some(REFERENCE));
    assert_eq!(told(store.as_ref(), 1).await, ["order.paid: ran"]);

    // Everything again, and what was late.
    control.redeliver_all();
    let all = told(store.as_ref(), 2).await;
    assert_eq!(all[1], "order.waiting_for_payment: no workflow");
    // A refund that does not go through leaves the order where it was: paid, told by another event.
    control.clear_faults();
    let refund = json!({ "amount": 10, "orderId": order.simple().to_string() });
    let refund = town.asks_shop("refund/create", &refund).await;
    let refund = refund["id"].as_str().expect("an id").parse().expect("an id");
    assert_eq!(told(store.as_ref(), 3).await[2], "order.in_refund: no workflow");
    control.advance(refund, "pending", None).expect("it goes on");
    control.advance(refund, "failed", None).expect("it fails");
    let all = told(store.as_ref(), 4).await;
    assert_eq!(all[3], "order.paid: filtered; old news: order.paid was told before");
    assert_eq!(runs(store.as_ref()).await.len(), 1);

    // A person has it run again all the same: it knows what it has paid.
    let event = events(store.as_ref(), "order.paid", 2).await.remove(0).0;
    town.replays(store.as_ref(), event.id).await;
    assert_eq!(ended(store.as_ref(), 1).await.state, RunState::Succeeded);
    assert_eq!(town.effects("payout"), ["EUR 95.00 paid"]);
    process.ends().await;
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_and_is_in_refund_by_now_is_not_paid_on() {
    let town = Town::of(WORKFLOW).await;
    let store = town.world.store().await;
    let control = town.world.simulator.control.clone();
    let order = town.order(100, REFERENCE).await;
    control.advance(order, "paid", None).expect("it is paid");
    let refund = json!({ "amount": 100, "orderId": order.simple().to_string() });
    town.asks_shop("refund/create", &refund).await;
    // Nobody was there when it was paid.
    let process = town.opens(store.clone()).await;
    control.redeliver_all();
    let run = ended(store.as_ref(), 0).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(town.effects("payout"), Vec::<String>::new());
    process.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_failed_is_forgotten_and_paid_when_it_is_replayed() {
    let town = Town::of(WORKFLOW).await;
    let store = town.world.store().await;
    let process = town.opens(store.clone()).await;
    let control = town.world.simulator.control.clone();
    let closed = FaultAction::FailLater {
        failure: Failure::new("account_closed", "the account is closed", false),
    };
    control.add_fault(FaultRule::on("ivy.create_payout", closed).times(1));
    let order = town.order(100, REFERENCE).await;
    control.advance(order, "paid", None).expect("it is paid");
    let failed = ended(store.as_ref(), 0).await;
    let error = failed.error.expect("a reason");
    assert_eq!(failed.state, RunState::Failed);
    assert!(error.message.contains("is failed"), "{error:?}");
    let event = events(store.as_ref(), "order.paid", 1).await.remove(0).0;
    town.replays(store.as_ref(), event.id).await;
    let run = ended(store.as_ref(), 1).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(town.effects("payout"), ["EUR 95.00 failed", "EUR 95.00 paid"]);
    process.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_that_no_webhook_told_of_is_found_by_the_safety_net() {
    let (town, clock) = Town::in_haste(WORKFLOW).await;
    let store = town.world.store().await;
    let process = town.opens(store.clone()).await;
    let control = town.world.simulator.control.clone();
    control.add_webhook_fault(WebhookFaultRule::on("order_updated", WebhookFault::Drop));
    let order = town.order(100, REFERENCE).await;
    control.advance(order, "paid", None).expect("it is paid");
    let by_schedule = async || {
        let id = town.starts(store.as_ref(), json!({ "type": "cron" })).await;
        settled(store.as_ref(), id).await
    };
    assert_eq!(by_schedule().await.state, RunState::Succeeded, "it may still come");
    clock.advance(Duration::from_secs(2 * 3_600));
    let error = by_schedule().await.error.expect("it tells");
    assert!(error.message.contains(REFERENCE), "{error:?}");
    assert_eq!(town.effects("payout"), Vec::<String>::new(), "it moves nothing");
    let by_hand = json!({ "type": "manual", "payload": { "id": order.simple().to_string() } });
    let id = town.starts(store.as_ref(), by_hand).await;
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(town.effects("payout"), ["EUR 95.00 paid"]);
    assert_eq!(by_schedule().await.state, RunState::Succeeded);
    process.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payout_of_an_order_survives_a_crash_at_every_write() {
    let begin = async |town: &Town, _: &dyn Store| {
        let order = town.order(100, REFERENCE).await;
        let control = &town.world.simulator.control;
        control.advance(order, "paid", None).expect("it is paid");
    };
    let once = "1 run succeeded; 1 intended, 1 paid, 0 twice, 0 missing; ledger EUR 95.00 = journal EUR 95.00";
    town::survives_a_crash_at_every_write(WORKFLOW, begin, once).await;
}

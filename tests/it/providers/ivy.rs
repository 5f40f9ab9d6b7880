//! Scripts at Ivy: a payout is made once whatever is lost, and its end is heard of by a signed webhook.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::money::Currency;
use bursar::base::shutdown::Stopper;
use bursar::base::wake::Wake;
use bursar::model::run::{Run, RunState};
use bursar::server::counters::DoorCounters;
use bursar::server::webhook::{self, DoorLimits, WebhookDoor};
use bursar::simulator::config::ivy::{DEMO_API_KEY, DEMO_WEBHOOK_SECRET, ListOrder};
use bursar::simulator::config::{AccountSeed, AfterServerError, SimulatorConfig, SubscriptionSeed};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::Store;
use bursar::store::faulty::{Fault, Faulty};
use bursar::trigger::webhook::WebhookTrigger;
use serde_json::json;
use tokio::net::TcpListener;

use super::lead_to;
use crate::simulator::http::send;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, open, passing, report, settled};

const PAY: &str = r#"
    let to = #{ type: "iban", iban: "DE02120300000000202051", account_holder_name: "Example GmbH" };
    bank::payout(#{ to: to, amount: EUR(10.50), reference: "INV-1", rail: "sepa_instant" }).status
"#;

const SETTLE: &str = r#"
    let to = #{ type: "iban", iban: "DE02120300000000202051", account_holder_name: "Example GmbH" };
    let paid = bank::payout(#{ to: to, amount: EUR(10.50), reference: "INV-1" });
    bank::settled(paid, "1d").status
"#;

const ONCE: &str = "1 intended, 1 paid, 0 twice, 0 missing; ledger EUR 10.50 = journal EUR 10.50";

const CREATE: &str = "ivy.create_payout";
const LIST: &str = "ivy.list_payouts";

/// How much time passes at once while a run waits.
const STEP: Duration = Duration::from_secs(10);

pub(super) async fn ivy(order: ListOrder) -> (World, ManualClock) {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut config = SimulatorConfig::demo();
    let euro = Currency::from_code("EUR").expect("a currency");
    config.ivy.accounts = vec![AccountSeed::new("Ivy EUR", euro, "1000.00")];
    config.ivy.list_order = order;
    let mut world = World::with_clock(config, Arc::new(clock.clone())).await;
    lead_to(&mut world, "ivy", DEMO_API_KEY, DEMO_WEBHOOK_SECRET);
    (world, clock)
}

/// Payouts of somebody else, so that ours is one of many: more than two pages.
async fn others(world: &World) {
    for number in 0..210 {
        let body = json!({
            "amount": 0.01,
            "currency": "EUR",
            "destination": { "financialAddress": { "type": "iban", "iban": {
                "accountHolderName": "Example GmbH", "iban": "DE02120300000000202051",
            } } },
            "metadata": { "bursar": format!("another/{number}") },
        });
        let headers = [("x-ivy-api-key", DEMO_API_KEY), ("content-type", "application/json")];
        let body = body.to_string();
        let answer = send(
            world.simulator.address,
            "POST",
            "/ivy/api/service/payout/create",
            &headers,
            Some(body.as_bytes()),
        );
        assert_eq!(answer.await.expect("an answer").status, 200);
    }
}

pub(super) async fn run(world: &World, clock: &ManualClock, script: &str) -> Run {
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    let run = passing(store.as_ref(), clock, id, RunState::Waiting, STEP).await;
    engine.stop().await;
    store.close().await.expect("closed");
    run
}

fn asked(world: &World, operation: &str) -> u64 {
    let requests = world.simulator.control.requests();
    requests.get(operation).map_or(0, |count| count.total)
}

/// What the ledger says of the payouts that are not somebody else's.
async fn ours(world: &World, run: &Run) -> String {
    let store = world.store().await;
    let effects = world.simulator.control.effects();
    let reference = |metadata: &std::collections::BTreeMap<String, String>| metadata.get("bursar").cloned();
    let of_run: Vec<String> = effects
        .iter()
        .filter_map(|effect| reference(&effect.metadata))
        .filter(|reference| reference.starts_with(&run.id.to_string()))
        .collect();
    let kinds: Vec<&str> = store
        .journal(run.id)
        .await
        .expect("the journal")
        .iter()
        .map(|record| record.entry.kind())
        .filter(|kind| *kind != "done")
        .collect();
    store.close().await.expect("closed");
    assert!(world.simulator.control.ledger().invariant_ok);
    format!("{} paid: {}", of_run.len(), kinds.join(" "))
}

/// Whether an error leaves the key free is not documented, and any lost answer may have been one.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_whose_answer_is_lost_is_paid_once() {
    for lost in [FaultAction::DropAfterEffect, FaultAction::ErrorLost { status: 500 }] {
        let (world, clock) = ivy(ListOrder::NewestFirst).await;
        let control = &world.simulator.control;
        control.configure(|config| config.ivy.idempotency.after_server_error = AfterServerError::RunAgain);
        control.add_fault(FaultRule::on(CREATE, lost.clone()).times(2));
        let run = run(&world, &clock, PAY).await;
        assert_eq!(run.state, RunState::Succeeded, "{lost:?}: {:?}", run.error);
        assert_eq!(run.result, Some(json!("pending")), "{lost:?}");
        let store = world.store().await;
        assert_eq!(
            audit_store(store.as_ref(), &world.simulator).await.to_string(),
            ONCE,
            "{lost:?}"
        );
        store.close().await.expect("closed");
        assert_eq!(asked(&world, CREATE), 1, "{lost:?}: it is looked for");
        let effect = world.simulator.control.effects().remove(0);
        assert_eq!(effect.destination["iban"]["iban"], "DE02120300000000202051");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_resource_is_waited_for() {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let locked = FaultAction::Status {
        status: 423,
        when: When::Before,
        retry_after_secs: None,
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on(CREATE, locked).times(2));
    let run = run(&world, &clock, PAY).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(asked(&world, CREATE), 3);
    assert_eq!(world.simulator.control.effects().len(), 1);
}

/// Where no key protects any more, only the list of payouts tells; its order is not documented.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_keys_window_a_payout_is_found_through_several_pages() {
    for (order, pages) in [(ListOrder::OldestFirst, 3), (ListOrder::NewestFirst, 1)] {
        let (mut world, clock) = ivy(order).await;
        world.reconnect(|bank| bank.key_window_secs = Some(0));
        others(&world).await;
        world
            .simulator
            .control
            .add_fault(FaultRule::on(CREATE, FaultAction::DropAfterEffect).times(1));
        let run = run(&world, &clock, PAY).await;
        assert_eq!(run.state, RunState::Succeeded, "{order:?}: {:?}", run.error);
        assert_eq!(ours(&world, &run).await, "1 paid: intent retry outcome", "{order:?}");
        assert_eq!(asked(&world, CREATE), 211, "{order:?}: nothing was sent again");
        assert_eq!(asked(&world, LIST), pages, "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_page_shows_is_for_a_person_and_is_not_sent_again() {
    for order in [ListOrder::OldestFirst, ListOrder::NewestFirst] {
        let (mut world, clock) = ivy(order).await;
        world.reconnect(|bank| bank.key_window_secs = Some(0));
        others(&world).await;
        let failed = FaultAction::Status {
            status: 500,
            when: When::Before,
            retry_after_secs: None,
        };
        world
            .simulator
            .control
            .add_fault(FaultRule::on(CREATE, failed).times(1));
        let run = run(&world, &clock, PAY).await;
        assert_eq!(run.state, RunState::Parked, "{order:?}: {:?}", run.error);
        assert_eq!(
            ours(&world, &run).await,
            "0 paid: intent retry retry in_doubt",
            "{order:?}"
        );
        assert!(asked(&world, LIST) >= 3, "{order:?}: every page");
    }
}

/// What a payout leaves behind, when the process dies at one of its writes.
async fn dies_at(fault: Fault) -> (u64, RunState, String) {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let store = world.store().await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let faulty = Faulty::new(store.clone(), fault);
    let engine = world.engine(faulty.clone()).await;
    if fault == Fault::Never {
        settled(store.as_ref(), id).await;
    } else {
        let patience = Patience::new(Duration::from_secs(20));
        while !faulty.is_dead() {
            assert!(!patience.is_over(), "write {fault:?} is never made");
            pause(Duration::from_millis(2)).await;
        }
    }
    engine.stop().await;
    store.close().await.expect("closed");
    let store = open(world.folder.path()).await;
    store.reclaim_all(clock.now()).await.expect("taken up again");
    let engine = world.engine(store.clone()).await;
    let run = passing(store.as_ref(), &clock, id, RunState::Waiting, STEP).await;
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await.to_string();
    store.close().await.expect("closed");
    (faulty.writes(), run.state, audit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_survives_a_crash_at_every_write() {
    let (writes, state, clean) = dies_at(Fault::Never).await;
    assert_eq!((state, clean.as_str()), (RunState::Succeeded, ONCE));
    let mut parked = 0;
    for number in 1..=writes {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let (_, state, crashed) = dies_at(fault).await;
            match state {
                RunState::Succeeded => assert_eq!(crashed, ONCE, "{fault:?}"),
                RunState::Parked => {
                    assert!(
                        crashed.contains("0 paid, 0 twice, 1 missing, 1 in doubt"),
                        "{fault:?}: {crashed}"
                    );
                    parked += 1;
                }
                other => panic!("{fault:?}: {other:?}"),
            }
        }
    }
    // It died between the intent and the request: nobody can know that, and what no list shows proves nothing.
    assert_eq!(parked, 1, "of {} crash points", writes * 2);
    report(&format!(
        "a payout at Ivy: {} crash points, each leaves: {ONCE}; but one that is left to a person",
        writes * 2
    ));
}

/// A door for the webhooks of this world.
pub(super) async fn door(world: &World, store: Arc<dyn Store>) -> (SocketAddr, Stopper, tokio::task::JoinHandle<()>) {
    let trigger = WebhookTrigger {
        store,
        connections: Arc::new(world.connections.clone()),
        clock: world.clock.clone(),
        arrived: Wake::new(),
        wake: world.wake.clone(),
    };
    let counters = Arc::new(DoorCounters::new());
    let door = WebhookDoor::new(Arc::new(trigger), counters, DoorLimits::default(), Vec::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stopper, shutdown) = Stopper::new();
    (
        address,
        stopper,
        tokio::spawn(webhook::serve(Arc::new(door), listener, shutdown)),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_tells_how_a_payout_ended() {
    for (secret, told) in [(DEMO_WEBHOOK_SECRET, true), ("ivy_whs_of_somebody_else", false)] {
        let (mut world, clock) = ivy(ListOrder::NewestFirst).await;
        // Nobody looks by itself as long as the test lasts.
        world.settings.poll_first = Duration::from_secs(7_200);
        world.settings.poll_ceiling = Duration::from_secs(7_200);
        let store = world.store().await;
        let (address, stopper, door) = door(&world, store.clone()).await;
        let subscription = SubscriptionSeed {
            url: format!("http://{address}/hooks/bank"),
            events: vec!["payout.paid".to_owned(), "payout.failed".to_owned()],
            secret: Some(secret.to_owned()),
        };
        let control = world.simulator.control.clone();
        control.add_subscription_at("ivy", &subscription).expect("subscribed");
        let engine = world.engine(store.clone()).await;
        let id = world.start(store.as_ref(), SETTLE, json!({}), json!({})).await;
        let patience = Patience::new(Duration::from_secs(20));
        let begun = clock.now();
        let run = loop {
            let run = store.run(id).await.expect("the store answers").expect("it is there");
            let passed = clock.now() - begun;
            if run.state.is_final() || run.state == RunState::Parked || passed > chrono::TimeDelta::seconds(60) {
                break run;
            }
            assert!(!patience.is_over(), "{run:?}");
            if run.state == RunState::Waiting {
                clock.advance(Duration::from_millis(100));
            }
            pause(Duration::from_millis(5)).await;
        };
        engine.stop().await;
        stopper.stop();
        door.await.expect("the door closes");
        store.close().await.expect("closed");
        if told {
            assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
            assert_eq!(run.result, Some(json!("paid")));
            assert_eq!(
                asked(&world, "ivy.retrieve_payout"),
                1,
                "it is read once, when it is told"
            );
        } else {
            assert_eq!(run.state, RunState::Waiting, "somebody else's word is not taken");
            assert_eq!(asked(&world, "ivy.retrieve_payout"), 0);
        }
        assert_eq!(control.effects().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_chooses_the_account_and_no_script_does() {
    let (world, clock) = ivy(ListOrder::NewestFirst).await;
    let script = PAY.replace("to: to,", "from: \"acc_1\", to: to,");
    let run = run(&world, &clock, &script).await;
    assert_eq!(run.state, RunState::Failed);
    let message = run.error.expect("a reason").message;
    assert!(message.contains("cannot be told `from`"), "{message}");
    assert!(world.simulator.control.effects().is_empty());
}

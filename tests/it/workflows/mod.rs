//! The shipped workflows beyond the sunny day, and the list of primitives they are written in.

mod disputes;
mod offered;
mod orders;
mod payaut;
mod settle;
mod town;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::RunId;
use bursar::connector::registry::Registry;
use bursar::engine::primitives::{Module, all, surface};
use bursar::model::journal::Journal;
use bursar::model::run::{Run, RunState};
use bursar::model::value::Value;
use bursar::model::workflow::Source;
use bursar::script::check;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::NewDeposit;
use bursar::store::Store;
use chrono::TimeDelta;
use serde_json::{Value as Json, json};

use crate::approvals::answer;
use crate::support::shipped::{SHIPPED, Shipped};
use crate::support::{World, settled, until};

fn shipped(name: &str) -> &'static Shipped {
    SHIPPED
        .iter()
        .find(|shipped| shipped.name == name)
        .expect("a shipped workflow")
}

/// Runs a shipped workflow once, on this event.
async fn run(world: &World, shipped: &Shipped, event: Json) -> Run {
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world
        .start_version(store.as_ref(), shipped.version(), event, shipped.params())
        .await;
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    store.close().await.expect("closed");
    run
}

fn deposit(world: &World, account: &str, amount: &str, reference: &str) -> Json {
    let id = world
        .simulator
        .control
        .create_deposit(&NewDeposit::new(account, amount, reference))
        .expect("it arrives");
    json!({"type": "deposit.received", "payload": world.simulator.control.resource(id)})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_a_known_seller_stays_where_it_is() {
    let world = World::demo().await;
    for reference in ["SELLER-999 order 1", "", "order of SELLER-042"] {
        let event = deposit(&world, "Marketplace EUR", "50.00", reference);
        let run = run(&world, shipped("split-settlement"), event).await;
        assert_eq!(run.state, RunState::Succeeded, "{reference}: {:?}", run.error);
    }
    assert!(world.simulator.control.effects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fee_of_a_split_has_a_floor_and_a_ceiling() {
    for (amount, fee, rest) in [
        ("2.00", "0.50", "1.50"),
        ("1000.00", "25.00", "975.00"),
        ("5000.00", "25.00", "4975.00"),
    ] {
        let world = World::demo().await;
        let event = deposit(&world, "Marketplace EUR", amount, "SELLER-108 order 1");
        let run = run(&world, shipped("split-settlement"), event).await;
        assert_eq!(run.state, RunState::Succeeded, "{amount}: {:?}", run.error);
        let mut paid: Vec<String> = world
            .simulator
            .control
            .effects()
            .iter()
            .map(|effect| effect.amount.amount().to_string())
            .collect();
        paid.sort();
        let mut expected = vec![fee.to_owned(), rest.to_owned()];
        expected.sort();
        assert_eq!(paid, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_safety_net_returns_what_the_webhooks_missed_and_nothing_else() {
    let world = World::demo().await;
    deposit(&world, "Collections EUR", "10.00", "who knows");
    deposit(&world, "Collections EUR", "20.00", "INV-77");
    deposit(&world, "Collections EUR", "30.00", "INV-7a");
    deposit(&world, "Marketplace EUR", "40.00", "who knows");
    let slot = json!({"type": "cron", "slot": "2026-11-20T06:30:00Z"});
    for _ in 0..2 {
        let run = run(&world, shipped("return-unmatched-deposits"), slot.clone()).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    }
    let mut returned: Vec<String> = world
        .simulator
        .control
        .effects()
        .iter()
        .map(|effect| effect.amount.to_string())
        .collect();
    returned.sort();
    assert_eq!(returned, ["EUR 10.00", "EUR 30.00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_and_the_safety_net_return_a_deposit_once() {
    let world = World::demo().await;
    let event = deposit(&world, "Collections EUR", "10.00", "who knows");
    for event in [event.clone(), json!({"type": "cron"}), event] {
        let run = run(&world, shipped("return-unmatched-deposits"), event).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    }
    assert_eq!(world.simulator.control.effects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_deposit_goes_back_when_a_person_has_approved_it() {
    for approved in [true, false] {
        let world = World::demo().await;
        let event = deposit(&world, "Collections EUR", "10000.01", "who knows");
        let workflow = shipped("return-unmatched-deposits");
        let store = world.store().await;
        let engine = world.engine(store.clone()).await;
        let id = world
            .start_version(store.as_ref(), workflow.version(), event, workflow.params())
            .await;
        until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
        assert!(world.simulator.control.effects().is_empty());
        let journal = Journal::from_records(store.journal(id).await.expect("read")).expect("legal");
        let (path, record) = journal.approvals().next().expect("it asks");
        let (asked, _) = record.asked().expect("it asks");
        assert!(asked.reason.starts_with("return 10000.01 EUR to "), "{}", asked.reason);
        let answer = answer(store.as_ref(), id, &path.to_string(), approved, world.clock.now()).await;
        store.decide(answer).await.expect("decided");
        world.wake.nudge();
        let run = settled(store.as_ref(), id).await;
        engine.stop().await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        assert_eq!(world.simulator.control.effects().len(), usize::from(approved));
        store.close().await.expect("closed");
    }
}

/// The reasons of the questions that are open, with the steps that ask.
async fn questions(store: &dyn Store, id: RunId) -> Vec<(String, String)> {
    let journal = Journal::from_records(store.journal(id).await.expect("read")).expect("legal");
    let asked = journal.approvals().filter_map(|(path, record)| {
        let (asked, _) = record.asked()?;
        Some((path.to_string(), asked.reason.clone()))
    });
    asked.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_deposit_that_waits_or_is_rejected_stops_no_other_and_a_no_is_remembered() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    for amount in ["20000.00", "30000.00", "10.00"] {
        deposit(&world, "Collections EUR", amount, "who knows");
    }
    let returned = || {
        let effects = world.simulator.control.effects();
        let amounts = effects.iter().map(|effect| effect.amount.to_string());
        amounts.collect::<Vec<_>>()
    };
    let workflow = shipped("return-unmatched-deposits");
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let start = || {
        world.start_version(
            store.as_ref(),
            workflow.version(),
            json!({"type": "cron"}),
            workflow.params(),
        )
    };
    let id = start().await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    assert_eq!(returned(), ["EUR 10.00"], "the small one waits for nobody");
    let asked = questions(store.as_ref(), id).await;
    assert_eq!(asked.len(), 2, "{asked:?}");
    let (step, _) = asked
        .iter()
        .find(|(_, reason)| reason.contains("20000"))
        .expect("it asks");
    let no = answer(store.as_ref(), id, step, false, clock.now()).await;
    store.decide(no).await.expect("decided");
    clock.advance(Duration::from_secs(60));
    until(store.as_ref(), id, |run| {
        run.turns > 1 && run.state == RunState::Waiting
    })
    .await;
    clock.advance(Duration::from_secs(73 * 3_600));
    world.wake.nudge();
    let run = settled(store.as_ref(), id).await;
    let error = run.error.expect("one had no answer");
    assert!(error.message.contains("1 of 3 deposits"), "{error:?}");

    // The next run asks about the one that had no answer, and not about the other.
    let id = start().await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let asked = questions(store.as_ref(), id).await;
    assert!(asked.len() == 1 && asked[0].1.contains("30000"), "{asked:?}");
    let yes = answer(store.as_ref(), id, &asked[0].0, true, clock.now()).await;
    store.decide(yes).await.expect("decided");
    clock.advance(Duration::from_secs(60));
    until(store.as_ref(), id, |run| {
        run.state.is_final() || (run.turns > 1 && run.state == RunState::Waiting)
    })
    .await;
    clock.advance(Duration::from_secs(73 * 3_600));
    world.wake.nudge();
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(returned(), ["EUR 10.00", "EUR 30,000.00"]);
    engine.stop().await;
    store.close().await.expect("closed");
}

/// Nobody answered in time, and then all went well with other deposits: the one nobody decided about is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_nobody_decided_about_is_asked_about_again_whatever_else_succeeds() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    world.settings.budget.compute = Duration::from_secs(864_000);
    world.settings.lease = Duration::from_secs(864_000);
    let workflow = shipped("return-unmatched-deposits");
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let start = async |event: &Json| {
        let id = world
            .start_version(store.as_ref(), workflow.version(), event.clone(), workflow.params())
            .await;
        until(store.as_ref(), id, |run| {
            run.state.is_final() || run.state == RunState::Waiting
        })
        .await
    };
    let hours = |count: u64| {
        clock.advance(Duration::from_secs(count * 3_600));
        world.wake.nudge();
    };
    let slot = json!({"type": "cron"});
    assert_eq!(start(&slot).await.state, RunState::Succeeded, "nothing to do");
    hours(30);
    // By its webhook, and by a safety net before its time is over.
    let large = deposit(&world, "Collections EUR", "20000.00", "who knows");
    let asked = start(&large).await;
    hours(12);
    let asked_again = start(&slot).await;
    for run in [&asked, &asked_again] {
        assert_eq!(questions(store.as_ref(), run.id).await.len(), 1);
    }
    for run in [asked, asked_again] {
        hours(73);
        assert_eq!(settled(store.as_ref(), run.id).await.state, RunState::Failed);
    }
    for _ in 0..2 {
        let small = deposit(&world, "Collections EUR", "10.00", "who knows");
        let run = start(&small).await;
        hours(73);
        assert_eq!(settled(store.as_ref(), run.id).await.state, RunState::Succeeded);
    }
    // It is far out of what any run that succeeded has looked at.
    hours(24 * 9);
    let run = start(&slot).await;
    let asked = questions(store.as_ref(), run.id).await;
    assert!(asked.len() == 1 && asked[0].1.contains("20000"), "{asked:?}");
    let no = answer(store.as_ref(), run.id, &asked[0].0, false, clock.now()).await;
    store.decide(no).await.expect("decided");
    world.wake.nudge();
    let run = settled(store.as_ref(), run.id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    // Decided: the next run looks no further back than it has to.
    let since = store
        .state(&workflow.version().workflow, "open since")
        .await
        .expect("read");
    let Some(Value::Time(since)) = since else {
        panic!("{since:?}")
    };
    assert_eq!(since, run.created_at - TimeDelta::days(1));
    assert_eq!(world.simulator.control.effects().len(), 2);
    engine.stop().await;
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_below_the_float_or_at_a_bad_rate() {
    let world = World::demo().await;
    let workflow = shipped("convert-stablecoin-deposits");
    let event = deposit(&world, "USDC wallet", "1.00", "");
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let mut params = workflow.params();
    params["float"] = json!("1000000.00");
    let id = world
        .start_version(store.as_ref(), workflow.version(), event, params)
        .await;
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert!(world.simulator.control.effects().is_empty());
    engine.stop().await;
}

#[test]
fn every_primitive_has_its_own_name_a_doc_and_an_example_that_passes_the_check() {
    let world = connections();
    let uses = ["bank".to_owned()];
    let mut names = BTreeSet::new();
    for primitive in all() {
        let path = primitive.path();
        assert!(names.insert(path.clone()), "{path} stands twice in the list");
        assert!(
            primitive.doc.ends_with('.') && !primitive.result.is_empty(),
            "{path} is not described"
        );
        assert!(
            primitive
                .name
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_'),
            "{path} is not snake_case"
        );
        let called = match primitive.module {
            Module::Connection => path.replace("connection::", "bank::"),
            Module::Plain | Module::Log | Module::State => path.clone(),
        };
        assert!(
            primitive.example.contains(&called),
            "{path}: its example shows something else"
        );
        let source = Source {
            path: "example.rhai".to_owned(),
            text: primitive.example.to_owned(),
        };
        let mut findings = check(&[source], &surface(&world, &Registry::built_in(), &uses));
        // What this bank lacks is told with its reason; everything else about the example holds.
        findings.retain(|finding| finding.code != "unsupported" || finding.label.is_none());
        assert!(findings.is_empty(), "{path}: {findings:?}");
    }
}

/// No word that the language keeps for itself: `#{ until: … }` would not even parse.
#[test]
fn every_argument_can_be_written_as_it_is_called() {
    let built_in = Registry::built_in();
    let of_primitives = all().flat_map(|primitive| primitive.params.iter().map(|(name, _)| *name));
    let endpoints = ["augustus", "ivy", "payments", "payaut"].map(|name| built_in.get(name).expect("built in"));
    let params = endpoints
        .iter()
        .flat_map(|table| table.endpoints())
        .flat_map(|endpoint| &endpoint.params);
    let of_endpoints = params.map(|param| param.name.as_str());
    let names: BTreeSet<&str> = of_primitives
        // A map in a map: each key is written in its own.
        .flat_map(|name| name.trim_matches(['#', '?']).split(['.', '[', ']']))
        .filter(|name| !name.is_empty())
        .chain(of_endpoints)
        .collect();
    assert!(names.len() > 100, "{names:?}");
    for name in names {
        let source = Source {
            path: "argument.rhai".to_owned(),
            text: format!("log::info(`${{#{{ {name}: 1 }}}}`);"),
        };
        let findings = check(&[source], &surface(&connections(), &built_in, &["bank".to_owned()]));
        assert!(findings.is_empty(), "{name}: {findings:?}");
    }
}

#[test]
fn what_a_connection_offers_is_what_the_checker_knows() {
    let world = connections();
    let offered = surface(&world, &Registry::built_in(), &["bank".to_owned()]);
    let bank = &offered.modules["bank"];
    let functions = bursar::engine::primitives::functions(&world);
    let registered: BTreeSet<&str> = functions
        .iter()
        .filter(|function| function.module.as_deref() == Some("bank"))
        .map(|function| function.name.as_str())
        .collect();
    let known: BTreeSet<&str> = bank.functions.iter().map(|signature| signature.name.as_str()).collect();
    assert_eq!(registered, known);
    // 37 endpoints and the treasury primitives.
    assert!(known.len() > 37, "{known:?}");
}

/// One script, four providers: it runs where it can, and where it cannot the check says what lacks and why.
#[test]
fn the_same_sweep_passes_the_check_where_it_can_be_done_and_is_told_why_where_not() {
    let told = |connector: &str| -> Vec<String> {
        let mut connection = connections().remove("bank").expect("there");
        let built_in = Registry::built_in();
        let table = built_in.get(connector).expect("built in").clone();
        Arc::get_mut(&mut connection).expect("its own").connector = table;
        let world = [("bank".to_owned(), connection)].into();
        let source = Source {
            path: "nightly_sweep.rhai".to_owned(),
            text: include_str!("../../../scripts/nightly_sweep.rhai").to_owned(),
        };
        let findings = check(&[source], &surface(&world, &built_in, &["bank".to_owned()]));
        let told = findings.into_iter().map(|finding| {
            let label = finding.label.unwrap_or_default();
            format!("{}: {} ({label})", finding.code, finding.message)
        });
        told.collect()
    };
    for connector in ["augustus", "payaut"] {
        assert_eq!(told(connector), Vec::<String>::new(), "{connector}");
    }
    assert_eq!(
        told("ivy"),
        [
            "unsupported: `accounts` is not offered by connection `bank` (ivy) (no call lists the accounts: their ids stand in the Dashboard)",
            "unsupported: `sweep` is not offered by connection `bank` (ivy) (a payout names no account to take from; `payout_available_balances` pays out everything there is)",
        ]
    );
    assert_eq!(
        told("payments"),
        [
            "unsupported: `accounts` is not offered by connection `bank` (payments) (accounts live in the provider's Boarding API: a connection says whose it is (`account_id`))",
            "unsupported: `sweep` is not offered by connection `bank` (payments) (no call starts a payout: the provider sweeps on its own schedule)",
        ]
    );
}

fn connections() -> BTreeMap<String, Arc<bursar::connector::connection::Connection>> {
    let connection = bursar::connector::connection::Connection {
        name: "bank".to_owned(),
        connector: bursar::connector::registry::Registry::built_in()
            .get("augustus")
            .expect("built in")
            .clone(),
        base_url: "http://127.0.0.1:1".to_owned(),
        credential: None,
        webhook_secrets: Vec::new(),
        webhook_senders: Vec::new(),
        settings: std::collections::BTreeMap::new(),
        headers: std::collections::BTreeMap::new(),
        key_window_secs: None,
        pace: bursar::connector::connection::Pace::default(),
    };
    [("bank".to_owned(), Arc::new(connection))].into()
}

//! Journals replayed: a stored journal answers every step without the provider, any beginning of it is enough to go
//! on from, and an edited script is found out at the step where it differs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::{RunId, WorkerId};
use bursar::model::journal::{Entry, Outcome, Record};
use bursar::model::run::{Run, RunState, Settlement};
use bursar::model::value::Value;
use bursar::model::workflow::Version;
use bursar::simulator::config::ivy::{self, IvyConfig};
use bursar::simulator::config::payaut::{self, PayautConfig};
use bursar::simulator::config::payments::{self, CARD, MerchantSeed, PaymentsConfig};
use bursar::simulator::config::{Advance, SimulatorConfig};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::{Append, Store};
use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::providers::lead_to;
use crate::support::{World, open, report, settled, until, version};

const SCRIPT: &str = r#"
    let accounts = bank::accounts(#{ label: "Operating DE" });
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    state::set("seen", uuid());
    let swept = bank::sweep(#{ from: accounts[0].id, to: to, keep: EUR(1_000), reference: `SWEEP ${today("Europe/Berlin")}` });
    let paid = bank::payout(#{ from: accounts[0].id, to: to, amount: EUR(1.25), reference: "FEE" });
    log::info(swept.reason);
    let settled = bank::settled(paid, "1m");
    [`${swept.moved}`, settled.status, now()]
"#;

/// Runs the script once and gives back what was recorded and what came of it.
async fn recorded(world: &World) -> (Vec<Record>, Run) {
    recorded_of(world, SCRIPT).await
}

async fn recorded_of(world: &World, script: &str) -> (Vec<Record>, Run) {
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world
        .start(store.as_ref(), script, json!({"type": "manual"}), json!({}))
        .await;
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let records = store.journal(id).await.expect("the journal");
    engine.stop().await;
    store.close().await.expect("closed");
    (records, run)
}

/// A new store in which the run, of this version, has exactly these records, and is queued.
async fn given(world: &World, folder: &TempDir, id: RunId, version: Version, records: Vec<Record>) -> Arc<dyn Store> {
    given_with(world, (folder, json!({})), id, version, records).await
}

/// The same with these params.
async fn given_with(
    world: &World,
    (folder, params): (&TempDir, Json),
    id: RunId,
    version: Version,
    records: Vec<Record>,
) -> Arc<dyn Store> {
    let store = open(folder.path()).await;
    world
        .start_run(store.as_ref(), id, version, json!({"type": "manual"}), params)
        .await;
    let now = world.clock.now();
    let claims = store
        .claim(WorkerId::generate(now), now, now + TimeDelta::minutes(1), 1)
        .await
        .expect("claimed");
    let append = Append {
        records,
        settlement: Some(Settlement::Queued),
        ..Append::default()
    };
    store.append(&claims[0].lease, append, now).await.expect("written");
    store
}

fn requests(world: &World) -> u64 {
    world
        .simulator
        .control
        .requests()
        .values()
        .map(|count| count.total)
        .sum()
}

async fn replayed(world: &World, id: RunId, script: &str, records: Vec<Record>) -> Run {
    let folder = TempDir::new().expect("a folder");
    let store = given(world, &folder, id, version(&[("main.rhai", script)]), records).await;
    let engine = world.engine(store.clone()).await;
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    store.close().await.expect("closed");
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_journal_answers_every_step_without_the_provider() {
    let world = World::demo().await;
    let (records, run) = recorded(&world).await;
    let asked = requests(&world);
    for _ in 0..3 {
        let again = replayed(&world, run.id, SCRIPT, records.clone()).await;
        assert_eq!(again.state, RunState::Succeeded, "{:?}", again.error);
        assert_eq!(
            again.result, run.result,
            "the same journal gives the same result, times and ids included"
        );
    }
    assert_eq!(requests(&world), asked, "a replay asks the provider nothing");
    report(&format!("{} records replayed 3 times with 0 requests", records.len()));
}

/// What was asked about money that had not arrived then is not asked again now that it has.
#[tokio::test(flavor = "multi_thread")]
async fn what_had_not_arrived_when_it_was_decided_is_answered_by_the_journal() {
    let script = r#"
        let nl = bank::accounts(#{ label: "Operating NL" })[0].id;
        let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
        let done = bank::sweep(#{ from: nl, to: treasury, target: EUR(1_000), deficit: #{ to: EUR(1_000) }, reference: "F" });
        [`${done.moved}`, done.reason]"#;
    let mut config = SimulatorConfig::demo();
    config.lifecycle.advance = Advance::Manual;
    let world = World::new(config).await;
    recorded_of(&world, script).await;
    let (records, run) = recorded_of(&world, script).await;
    let names = records.iter().filter_map(|record| record.entry.step());
    let names: Vec<&str> = names.map(|step| step.name.trim_start_matches("bank.")).collect();
    assert_eq!(
        names[2..],
        [
            "in_flight",
            "retrieve_account_balance",
            "arriving",
            "retrieve_payout",
            "in_flight",
            "retrieve_account_balance",
            "sweep"
        ],
        "what may arrive is asked for before the balance is"
    );
    let payout = world.simulator.control.effects().last().expect("a payout").id;
    world.simulator.control.advance(payout, "paid", None).expect("paid");
    let asked = requests(&world);
    for kept in [5, 7, records.len()] {
        let again = replayed(&world, run.id, script, records[..kept].to_vec()).await;
        assert_eq!(again.state, RunState::Succeeded, "{:?}", again.error);
        let moved = |run: &Run| run.result.as_ref().map(|result| result[0].clone());
        assert_eq!(moved(&again), moved(&run), "{kept}");
        if kept == records.len() {
            assert_eq!(again.result, run.result);
        }
    }
    // Both that were cut read the balance anew, one of them the payout as well.
    assert_eq!(requests(&world), asked + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_script_is_found_out_at_the_step_where_it_differs() {
    let world = World::demo().await;
    let (records, recorded_run) = recorded(&world).await;
    for (from, to, step) in [
        ("EUR(1.25)", "EUR(1.26)", "step 7.2"),
        ("keep: EUR(1_000)", "keep: EUR(2_000)", "step 6"),
        ("state::set(\"seen\", uuid());", "", "step 3"),
        ("log::info(swept.reason);", "log::warn(swept.reason);", "step 8"),
        (
            "let settled = bank::settled(paid, \"1m\");\n    [`${swept.moved}`, settled.status, now()]",
            "1",
            "step 9",
        ),
    ] {
        let edited = SCRIPT.replace(from, to);
        assert_ne!(edited, SCRIPT, "the edit {from} does something");
        let effects = world.simulator.control.effects().len();
        let run = replayed(&world, recorded_run.id, &edited, records.clone()).await;
        assert_eq!(run.state, RunState::Parked, "{from}: {:?}", run.error);
        let error = run.error.expect("a reason");
        assert_eq!(error.code, "diverged");
        assert!(error.message.contains(step), "{from}: {}", error.message);
        assert_eq!(
            world.simulator.control.effects().len(),
            effects,
            "a diverged run sends nothing"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_beginning_of_a_journal_is_enough_to_go_on_from() {
    let world = World::demo().await;
    let (records, run) = recorded(&world).await;
    let effects = world.simulator.control.effects().len();
    let first = |run: &Run| run.result.as_ref().and_then(|result| result.get(0).cloned());
    // A shorter one has forgotten a payment, as a restored backup would; that is another matter.
    let intents = |records: &[Record]| records.iter().filter(|record| record.entry.kind() == "intent").count();
    for length in (1..=records.len()).filter(|length| intents(&records[..*length]) == intents(&records)) {
        let again = replayed(&world, run.id, SCRIPT, records[..length].to_vec()).await;
        assert_eq!(again.state, RunState::Succeeded, "{length} records: {:?}", again.error);
        assert_eq!(first(&again), first(&run), "{length} records");
    }
    assert_eq!(
        world.simulator.control.effects().len(),
        effects,
        "no beginning pays again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_journal_says_outranks_what_the_provider_would_say_now() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = r#"let b = `${bank::balance(bank::accounts(#{ label: "Operating DE" })[0].id)}`; sleep("1s"); b"#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    crate::support::until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let deposit = bursar::simulator::control::NewDeposit::new("Operating DE", "1.00", "INV-1");
    world.simulator.control.create_deposit(&deposit).expect("it arrives");
    let run = settled(store.as_ref(), id).await;
    assert_eq!(run.result, Some(Json::from("EUR 48,250.00")));
    engine.stop().await;
}

/// At each provider, something that moves 5.25 and is sent under a key.
const KEYED: [(&str, &str, &str, &str); 4] = [
    (
        "augustus",
        "sandbox.demo-key",
        "create_payout",
        r#"let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
        let from = bank::accounts(#{ label: "Operating DE" })[0].id;
        bank::payout(#{ from: from, to: to, amount: EUR(5.25), reference: "INV-1" });"#,
    ),
    (
        "ivy",
        ivy::DEMO_API_KEY,
        "ivy.create_payout",
        r#"let to = #{ type: "iban", iban: "DE02120300000000202051", account_holder_name: "Example GmbH" };
        bank::payout(#{ to: to, amount: EUR(5.25), reference: "INV-1" });"#,
    ),
    (
        "payments",
        payments::DEMO_API_KEY,
        "payments.create_refund",
        r#"let intent = bank::create_payment_intent(#{ amount: USD(40), capture: true });
        bank::create_payment(#{ id: intent.id, payment_method_id: params.card });
        bank::refund(#{ payment: intent.id, amount: USD(5.25) });"#,
    ),
    (
        "payaut",
        payaut::DEMO_TOKEN,
        "payaut.transfer_balance",
        r#"bank::transfer(#{ from: params.seller, to: params.other, amount: EUR(5.25), reference: "INV-1" });"#,
    ),
];

/// A step has one key: once it went out, another amount under it is refused before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_never_goes_out_with_another_body_at_any_provider() {
    for (connector, credential, operation, script) in KEYED {
        let clock = ManualClock::new(SystemClock::new().now());
        let config = SimulatorConfig {
            ivy: IvyConfig::demo(),
            payments: PaymentsConfig::demo(),
            payaut: PayautConfig::demo(),
            ..SimulatorConfig::demo()
        };
        let mut world = World::with_clock(config, Arc::new(clock.clone())).await;
        let control = world.simulator.control.clone();
        let account = |label: &str| control.account(label).expect("an account");
        if connector != "augustus" {
            lead_to(
                &mut world,
                connector,
                credential,
                "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            );
        }
        world.reconnect(|bank| {
            if bank.connector.setting("account_id").is_some() {
                let merchant = MerchantSeed::shown_id(account("Payments USD"));
                bank.settings.insert("account_id".to_owned(), merchant);
            }
        });
        let code = |label: &str| account(label).to_string().to_uppercase();
        let params = json!({
            "card": CARD, "seller": code("Payaut Atelier Blum"), "other": code("Payaut Kontor Weiss"),
        });
        let asked = || control.requests().get(operation).map_or(0, |count| count.total);
        // It went out, and is to go out again under its key.
        let too_many = FaultAction::Status {
            status: 429,
            when: When::Before,
            retry_after_secs: Some(60),
        };
        control.add_fault(FaultRule::on(operation, too_many).times(1));
        let store = world.store().await;
        let engine = world.engine(store.clone()).await;
        let id = world.start(store.as_ref(), script, json!({}), params.clone()).await;
        let waiting = until(store.as_ref(), id, |run| {
            if run.state == RunState::Waiting && asked() == 0 {
                clock.advance(Duration::from_secs(20));
            }
            run.state.is_final() || asked() > 0 && run.state == RunState::Waiting
        })
        .await;
        assert_eq!(waiting.state, RunState::Waiting, "{connector}: {:?}", waiting.error);
        engine.stop().await;
        let records = store.journal(id).await.expect("the journal");
        store.close().await.expect("closed");

        // Its process has died, and somebody has put other texts in the place of those that the run began with.
        let folder = TempDir::new().expect("a folder");
        let edited = script.replace("(5.25)", "(5.26)");
        let edited = version(&[("main.rhai", &edited)]);
        let store = given_with(&world, (&folder, params), id, edited, records).await;
        let engine = world.engine(store.clone()).await;
        let run = settled(store.as_ref(), id).await;
        engine.stop().await;
        store.close().await.expect("closed");
        let error = run.error.expect("a reason");
        assert_eq!(
            (run.state, error.code.as_str()),
            (RunState::Parked, "diverged"),
            "{connector}"
        );
        assert_eq!(asked(), 1, "{connector}: {}", error.message);
        assert_eq!(control.keys_of_several_requests(), Vec::<String>::new(), "{connector}");
    }
}

/// A step made of others keeps the place of what is below it: nothing else may begin there, and none may be left out.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_below_a_step_is_not_passed_over() {
    let world = World::demo().await;
    let (records, recorded_run) = recorded(&world).await;
    // The sweep is step 6: its children were recorded, its own end was not.
    let end = records
        .iter()
        .position(|record| record.entry.path().to_string() == "6")
        .expect("its end");
    for (from, to) in [
        (
            "let swept = bank::sweep(",
            "let swept = #{ moved: uuid(), reason: \"\" }; let unused = (#{ it: ",
        ),
        ("keep: EUR(1_000)", "keep: EUR(1_000_000)"),
    ] {
        let edited = SCRIPT.replace(from, to);
        let edited = if to.starts_with("let swept") {
            edited.replace("Berlin\")}` });", "Berlin\")}` } });")
        } else {
            edited
        };
        let effects = world.simulator.control.effects().len();
        let run = replayed(&world, recorded_run.id, &edited, records[..end].to_vec()).await;
        assert_eq!(run.state, RunState::Parked, "{to}: {:?}", run.error);
        assert_eq!(run.error.map(|error| error.code).as_deref(), Some("diverged"), "{to}");
        assert_eq!(world.simulator.control.effects().len(), effects);
    }
}

/// Only a script that came to an end of its own can have changed. One that was stopped on its way to what its journal
/// has, or never begun, is not said to differ from it, and it has not failed: a person may have it tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_before_the_steps_of_its_journal_says_what_stopped_it() {
    let mut world = World::demo().await;
    let (records, run) = recorded(&world).await;
    let asked = requests(&world);
    world.settings.budget.operations = 1_000;
    let busy = replayed(&world, run.id, "for i in 0..100_000 {}", records.clone()).await;
    let error = busy.error.expect("a reason");
    assert_eq!(
        (busy.state, error.code.as_str()),
        (RunState::Parked, "script_exhausted")
    );
    assert!(error.message.contains("operations"), "{}", error.message);
    assert!(!error.trace.is_empty());
    // What was all reached before is over.
    let first = "log::info(\"one\"); for i in 0..100_000 {}";
    let fresh = world.run(first).await;
    let code = fresh.error.map(|error| error.code);
    assert_eq!(
        (fresh.state, code.as_deref()),
        (RunState::Failed, Some("script_exhausted"))
    );

    // A payment of unknown outcome is found out about when it is tried again.
    let begun = |record: &Record| matches!(&record.entry, Entry::Intent { .. });
    let place = records.iter().position(begun).expect("it pays");
    let open = replayed(&world, run.id, "for i in 0..100_000 {}", records[..=place].to_vec()).await;
    let code = open.error.map(|error| error.code);
    assert_eq!(
        (open.state, code.as_deref()),
        (RunState::Parked, Some("script_exhausted"))
    );

    world.connections.clear();
    let gone = replayed(&world, run.id, SCRIPT, records).await;
    let code = gone.error.map(|error| error.code);
    assert_eq!(
        (gone.state, code.as_deref()),
        (RunState::Parked, Some("missing_connection"))
    );
    assert_eq!(requests(&world), asked, "none of them asks the provider anything");
}

/// A journal that was damaged in the store but reads well: nothing of it may bring the program down, and no payment
/// may be made by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_record_makes_no_sense_parks_its_run_and_pays_nothing() {
    let world = World::demo().await;
    let (records, run) = recorded(&world).await;
    let paid = world.simulator.control.effects().len();
    let nonsense = [
        Value::Null,
        Value::text("x"),
        Value::List(vec![Value::Int(1)]),
        Value::map([("data", Value::Int(1))]),
    ];
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        let Entry::Done { step, .. } = &record.entry else {
            continue;
        };
        let is_read = step.name.starts_with("bank.list_") || step.name.starts_with("bank.retrieve_");
        for value in nonsense.iter().filter(|_| is_read) {
            let mut damaged = records.clone();
            if let Entry::Done { outcome, .. } = &mut damaged[place].entry {
                *outcome = Outcome::Value(value.clone());
            }
            let left = replayed(&world, run.id, SCRIPT, damaged).await;
            let code = left.error.map_or_else(String::new, |error| error.code);
            // What a step made of others has recorded answers for its parts, damaged or not.
            let fit = [("parked", "diverged"), ("succeeded", "")].contains(&(left.state.name(), &code));
            assert!(fit, "{} as {value}: {} {code}", step.name, left.state);
            *ends.entry(format!("{} {code}", left.state)).or_default() += 1;
        }
    }
    assert_eq!(world.simulator.control.effects().len(), paid, "{ends:?}");
    report(&format!("runs over damaged reads: {ends:?}"));
}

//! Deposits that go back by a payment of their own: once for each, whole or in part, whoever asks and whatever is lost.

use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::control::{Effect, NewDeposit};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::simulator::resources::Failure;
use serde_json::{Value as Json, json};

use crate::support::{World, audit_store, settled};

/// How long the list of payouts is behind.
const LAG_MS: u64 = 60_000;

fn arrived(world: &World, amount: &str) -> String {
    let deposit = NewDeposit::new("Collections EUR", amount, "who knows");
    let id = world.simulator.control.create_deposit(&deposit).expect("it arrives");
    id.to_string()
}

fn told(run: Run) -> Json {
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    run.result.unwrap_or_default()
}

fn payouts(world: &World) -> Vec<Effect> {
    let mut effects = world.simulator.control.effects();
    effects.retain(|effect| effect.kind == "payout");
    effects
}

async fn audited(world: &World) -> String {
    let store = world.store().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await.to_string();
    store.close().await.expect("closed");
    audit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_is_sent_back_once_whoever_asks() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let id = arrived(&world, "75.20");
    let lost = FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1);
    world.simulator.control.add_fault(lost);
    let script = format!(
        r#"let told = [];
        try {{ bank::send_back(#{{ deposit: "{id}", amount: EUR(75.21), reference: "too much" }}); }} catch (e) {{ told.push(e.message); }}
        let back = bank::send_back(#{{ deposit: "{id}", amount: EUR(20), reference: "overpaid", metadata: #{{ why: "overpaid" }} }});
        told.push([back.resource, back.existed, back.sent_back, back.left, back.metadata.why]);
        told"#
    );
    let first = told(world.run(&script).await);
    assert!(
        first[0]
            .as_str()
            .unwrap_or_default()
            .contains("EUR 75.21 is more than the EUR 75.20"),
        "{first}"
    );
    let money = |amount: &str| json!({ "$money": format!("EUR {amount}") });
    assert_eq!(
        first[1],
        json!(["payout", false, money("20.00"), money("55.20"), "overpaid"])
    );
    // Another run, which knows nothing of the first; the id written otherwise is the same deposit.
    let again = format!(
        r#"let told = [];
        let back = bank::send_back(#{{ deposit: "{}", amount: EUR(20), reference: "overpaid" }});
        told.push([back.existed, back.sent_back]);
        let back = bank::send_back(#{{ deposit: "{id}", reference: "all of it" }});
        told.push([back.existed, back.sent_back]);
        try {{ bank::send_back(#{{ deposit: "{id}", amount: EUR(55.20), reference: "the rest" }}); }} catch (e) {{ told.push(e.message); }}
        told"#,
        id.to_uppercase()
    );
    let again = told(world.run(&again).await);
    assert_eq!(
        (&again[0], &again[1]),
        (&json!([true, money("20.00")]), &json!([true, money("20.00")]))
    );
    assert_eq!(
        again[2],
        format!("nothing was sent: EUR 20.00 of deposit {id} was sent back before")
    );
    let paid = payouts(&world);
    assert_eq!(paid.len(), 1);
    assert_eq!(paid[0].metadata.get("send_back_of"), Some(&id));
    assert!(
        audited(&world)
            .await
            .starts_with("1 intended, 1 paid, 0 twice, 0 missing")
    );
}

/// What the first has paid is in no list when the second looks: it waits until it is.
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_send_back_once_though_the_list_lags() {
    let mut config = SimulatorConfig::demo();
    config.lists.visibility_lag_ms = LAG_MS;
    let world = World::in_haste(config).await;
    let id = arrived(&world, "30.00");
    let script = format!(
        r#"let back = bank::send_back(#{{ deposit: "{id}", reference: "not ours" }}); [back.existed, back.id]"#
    );
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let start = || world.start(store.as_ref(), &script, json!({}), json!({}));
    let runs = [start().await, start().await];
    let mut existed = Vec::new();
    let mut payments = Vec::new();
    for run in runs {
        let result = told(settled(store.as_ref(), run).await);
        existed.push(result[0].clone());
        payments.push(result[1].clone());
    }
    engine.stop().await;
    store.close().await.expect("closed");
    assert_eq!(payouts(&world).len(), 1);
    assert_eq!(payments[0], payments[1]);
    existed.sort_by_key(Json::to_string);
    assert_eq!(existed, [false, true]);
}

fn returns(world: &World) -> usize {
    let effects = world.simulator.control.effects();
    effects.iter().filter(|effect| effect.kind == "return").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_back_is_not_returned_as_well() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let id = arrived(&world, "75.20");
    let script = format!(r#"bank::send_back(#{{ deposit: "{id}", amount: EUR(20), reference: "overpaid" }}).id"#);
    let payment = told(world.run(&script).await);
    let payment = payment.as_str().expect("an id");
    // Another run, which writes the id otherwise.
    let script = format!(
        r#"let told = []; try {{ bank::return_deposit("{}"); }} catch (e) {{ told = [e.error, e.message]; }} told"#,
        id.to_uppercase()
    );
    let said = told(world.run(&script).await);
    assert_eq!((payouts(&world).len(), returns(&world)), (1, 0), "{said}");
    assert_eq!(said[0], "sent_back_before");
    assert!(said[1].as_str().unwrap_or_default().contains(payment), "{said}");

    // A payment that failed left the money with us: it may be returned.
    let id = arrived(&world, "9.00");
    let failure = Failure::new("account_closed", "the account is closed", false);
    let fails = FaultAction::FailLater { failure };
    let fails = FaultRule::on("create_payout", fails).times(1);
    world.simulator.control.add_fault(fails);
    let script = format!(
        r#"let back = bank::send_back(#{{ deposit: "{id}", reference: "not ours" }});
        let ended = bank::settled(back, "1d").status;
        let returned = bank::return_deposit("{id}");
        let again = bank::return_deposit("{id}");
        [ended, returned.existed, again.existed]"#
    );
    assert_eq!(told(world.run(&script).await), json!(["failed", false, true]));
    assert_eq!(returns(&world), 1);
}

/// A payment that came back left the money with us, as one that failed does.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_back_may_be_returned() {
    let mut config = SimulatorConfig::demo();
    config.lifecycle.payout_returned_ms = Some(60_000);
    let world = World::in_haste(config).await;
    let id = arrived(&world, "9.00");
    let script = format!(
        r#"let back = bank::send_back(#{{ deposit: "{id}", reference: "not ours" }});
        let paid = bank::settled(back, "1d").status;
        sleep(minutes(5));
        let came = bank::retrieve_payout(back.id).status;
        [paid, came, bank::return_deposit("{id}").existed]"#
    );
    assert_eq!(told(world.run(&script).await), json!(["paid", "returned", false]));
    assert_eq!(returns(&world), 1);
}

/// Whether a deposit was sent back is looked for among all payouts, and only what is found is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_through_is_not_recorded() {
    const OTHERS: usize = 150;
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let id = arrived(&world, "9.00");
    let from = world.simulator.control.account("Operating DE").expect("an account");
    let pays = format!(
        r#"let to = #{{ type: "iban", iban: "DE89370400440532013000", account_holder_name: "A" }};
        for i in 0..{OTHERS} {{ bank::payout(#{{ from: "{from}", to: to, amount: EUR(1), reference: "OTHER" }}); }}"#
    );
    told(world.run(&pays).await);
    let run = world.run(&format!(r#"bank::return_deposit("{id}").existed"#)).await;
    let store = world.store().await;
    let journal = store.journal(run.id).await.expect("the journal");
    store.close().await.expect("closed");
    assert_eq!(told(run), json!(false));
    let recorded = format!("{journal:?}");
    assert!(recorded.contains("bank.list_payouts"), "they were looked through");
    assert!(!recorded.contains("OTHER"), "{} bytes", recorded.len());
}

/// The payment has gone; that the provider answers nothing else for a while, or loses a page, changes nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_is_no_failure_because_the_list_cannot_be_read() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let id = arrived(&world, "9.00");
    let script = format!(
        r#"let back = bank::send_back(#{{ deposit: "{id}", reference: "not ours" }});
        [back.resource, back.existed]"#
    );
    // The first look, before it pays, is answered.
    let breaks = FaultAction::Status {
        status: 503,
        when: When::Before,
        retry_after_secs: None,
    };
    let breaks = FaultRule {
        nth: Some(2),
        ..FaultRule::on("list_payouts", breaks).times(12)
    };
    world.simulator.control.add_fault(breaks);
    assert_eq!(told(world.run(&script).await), json!(["payout", false]));
    assert_eq!(payouts(&world).len(), 1);
    let asked = world.simulator.control.requests()["list_payouts"].total;
    assert!(asked > 12, "{asked}: it looked until it was shown");
}

/// A second return waits until the list shows the first, however the ids are written, and returns nothing.
#[tokio::test(flavor = "multi_thread")]
async fn two_returns_at_once_return_once_though_the_list_lags() {
    let mut config = SimulatorConfig::demo();
    config.lists.visibility_lag_ms = LAG_MS;
    let world = World::in_haste(config).await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = arrived(&world, "30.00");
    let bare = id.replace('-', "");
    let give = |id: &str| format!(r#"bank::return_deposit("{id}").existed"#);
    let mut runs = Vec::new();
    for id in [&id, &bare] {
        runs.push(world.start(store.as_ref(), &give(id), json!({}), json!({})).await);
    }
    let mut existed = Vec::new();
    for run in runs {
        existed.push(told(settled(store.as_ref(), run).await));
    }
    engine.stop().await;
    store.close().await.expect("closed");
    existed.sort_by_key(Json::to_string);
    assert_eq!(existed, [false, true]);
    assert_eq!(returns(&world), 1);
}

/// Whichever comes first: the other waits for it, and sees it although the lists lag.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_and_a_payment_at_once_give_a_deposit_back_once() {
    let mut config = SimulatorConfig::demo();
    config.lists.visibility_lag_ms = LAG_MS;
    let world = World::in_haste(config).await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let mut goes_back = 0;
    for round in 0..4 {
        let id = arrived(&world, "30.00");
        let send = format!(
            r#"let told = "sent"; try {{ bank::send_back(#{{ deposit: "{id}", reference: "not ours" }}); }} catch (e) {{ told = e.error; }} told"#
        );
        let give = format!(
            r#"let told = "returned"; try {{ bank::return_deposit("{id}"); }} catch (e) {{ told = e.error; }} told"#
        );
        // Another way to write the id is the same deposit.
        let give = give.replace(&id, &id.replace('-', ""));
        let scripts = if round % 2 == 0 { [send, give] } else { [give, send] };
        let mut runs = Vec::new();
        for script in &scripts {
            runs.push(world.start(store.as_ref(), script, json!({}), json!({})).await);
        }
        let mut said = Vec::new();
        for run in runs {
            said.push(told(settled(store.as_ref(), run).await));
        }
        goes_back += 1;
        assert_eq!(payouts(&world).len() + returns(&world), goes_back, "{said:?}");
        let refused = said
            .iter()
            .any(|said| said == "sent_back_before" || said == "not_possible");
        assert!(refused, "{said:?}");
    }
    engine.stop().await;
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_back_otherwise_is_not_sent_back_and_what_failed_may_be() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let id = arrived(&world, "12.00");
    let script = format!(
        r#"bank::return_deposit("{id}");
        let told = "";
        try {{ bank::send_back(#{{ deposit: "{id}", reference: "twice" }}); }} catch (e) {{ told = e.message; }}
        told"#
    );
    let said = told(world.run(&script).await);
    assert!(
        said.as_str()
            .unwrap_or_default()
            .contains("its money goes back or went back already"),
        "{said}"
    );
    assert!(payouts(&world).is_empty());

    // A payment that failed left the money with us.
    let id = arrived(&world, "9.00");
    let failure = Failure::new("account_closed", "the account is closed", false);
    let fails = FaultAction::FailLater { failure };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", fails).times(1));
    let script = format!(
        r#"let back = bank::send_back(#{{ deposit: "{id}", reference: "not ours" }});
        let ended = bank::settled(back, "1d");
        let again = bank::send_back(#{{ deposit: "{id}", reference: "not ours" }});
        [ended.status, again.existed, bank::settled(again, "1d").status]"#
    );
    assert_eq!(told(world.run(&script).await), json!(["failed", false, "paid"]));
}

//! Money that is on its way already is not moved again: not by another run, not at the same moment, not after a death.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::model::run::{Run, RunState};
use bursar::model::value::Value;
use bursar::simulator::config::{Advance, SimulatorConfig};
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::simulator::resources::Failure;
use bursar::store::Store;
use bursar::store::faulty::{Fault, Faulty};
use chrono::TimeDelta;
use serde_json::json;

use crate::accidents::dies;
use crate::support::{World, audit_store, open, passing, report, settled, until};

const ACCOUNTS: &str = r#"
    let de = bank::accounts(#{ label: "Operating DE" })[0].id;
    let nl = bank::accounts(#{ label: "Operating NL" })[0].id;
    let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    let wallet = bank::accounts(#{ label: "USDC wallet" })[0].id;
"#;

/// Opening balances: DE 48,250.00, NL 730.10, the wallet 40,000 USDC.
const PAY: &str = r#"bank::payout(#{ from: de, to: treasury, amount: EUR(40_000), reference: "INV-1" }).status"#;

fn texts(run: &Run) -> Vec<String> {
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let result = Value::from_typed(run.result.as_ref().expect("a result")).expect("a value");
    let list = result.as_list().expect("a list");
    list.iter().map(Value::to_string).collect()
}

fn never_arrives(reference: &str) -> FaultRule {
    let action = FaultAction::Status {
        status: 500,
        when: When::Before,
        retry_after_secs: Some(60),
    };
    FaultRule::on("create_payout", action).body("/reference", reference)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_what_another_run_is_about_to_pay() {
    let (world, clock) = World::standing_still().await;
    world.simulator.control.add_fault(never_arrives("INV-1"));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let pay = format!("{ACCOUNTS} {PAY}");
    let paying = world.start(store.as_ref(), &pay, json!({}), json!({})).await;
    until(store.as_ref(), paying, |run| run.state == RunState::Waiting).await;
    // Nobody knows what became of the payout, and the balance still shows all of it.
    let sweep = format!(
        r#"{ACCOUNTS}
        let swept = bank::sweep(#{{ from: de, to: treasury, keep: EUR(250), reference: "S" }});
        let several = bank::sweep(#{{ from: [#{{ account: de }}], to: treasury, reference: "S" }});
        [swept.moved, swept.in_flight, swept.usable, swept.reason, several.moved, several.moves[0].reason]"#
    );
    let id = world.start(store.as_ref(), &sweep, json!({}), json!({})).await;
    let told = texts(&settled(store.as_ref(), id).await);
    assert_eq!(told[..3], ["EUR 8,000.00", "EUR 40,000.00", "EUR 8,250.00"]);
    assert!(
        told[3].contains("less the amount already leaving of EUR 40,000.00"),
        "{}",
        told[3]
    );
    assert_eq!(told[4], "EUR 250.00");
    assert!(told[5].contains("already leaving of EUR 40,000.00"), "{}", told[5]);
    // What was held back for it is there when it goes out.
    world.simulator.control.clear_faults();
    let paid = passing(
        store.as_ref(),
        &clock,
        paying,
        RunState::Waiting,
        Duration::from_secs(10),
    )
    .await;
    assert_eq!(paid.state, RunState::Succeeded, "{:?}", paid.error);
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 3, "{audit}");
    let de = world.simulator.control.account("Operating DE").expect("there");
    let left = world.simulator.control.balance(de).expect("a balance");
    assert!(left.is_zero(), "{left}");
}

/// What a person has to decide about may have been paid: it is not there to be moved.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_doubt_counts_as_on_its_way() {
    let (mut world, clock) = World::standing_still().await;
    world.reconnect(|bank| bank.key_window_secs = Some(60));
    world.simulator.control.add_fault(never_arrives("INV-1"));
    world.simulator.control.add_fault(FaultRule::on(
        "list_payouts",
        FaultAction::Status {
            status: 500,
            when: When::Before,
            retry_after_secs: None,
        },
    ));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let pay = format!("{ACCOUNTS} {PAY}");
    let paying = world.start(store.as_ref(), &pay, json!({}), json!({})).await;
    let parked = passing(
        store.as_ref(),
        &clock,
        paying,
        RunState::Waiting,
        Duration::from_secs(3_600),
    )
    .await;
    assert_eq!(parked.state, RunState::Parked, "{:?}", parked.error);
    let script = format!(
        r#"{ACCOUNTS}
        let swept = bank::sweep(#{{ from: de, to: treasury, reference: "S" }});
        [swept.moved, swept.in_flight]"#
    );
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    let told = texts(&settled(store.as_ref(), id).await);
    assert_eq!(told, ["EUR 8,250.00", "EUR 40,000.00"]);
    engine.stop().await;
}

/// Every run reads the same balance before any of them has begun to move it.
async fn at_the_same_moment(script: &str, runs: usize) -> (World, Vec<Vec<String>>) {
    let world = World::new(SimulatorConfig::demo()).await;
    let slow = FaultAction::Delay {
        ms: 200,
        when: When::After,
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("retrieve_account_balance", slow).times(u64::try_from(runs).expect("few")));
    let store = world.store().await;
    let script = format!("{ACCOUNTS} {script}");
    let mut ids = Vec::new();
    for _ in 0..runs {
        ids.push(world.start(store.as_ref(), &script, json!({}), json!({})).await);
    }
    let engine = world.engine(store.clone()).await;
    let mut told = Vec::new();
    for id in ids {
        told.push(texts(&settled(store.as_ref(), id).await));
    }
    engine.stop().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{audit}: {told:?}");
    assert!(world.simulator.control.ledger().invariant_ok);
    store.close().await.expect("closed");
    (world, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_of_one_account_at_the_same_moment_move_its_money_once() {
    let script = r#"
        let swept = bank::sweep(#{ from: de, to: treasury, reference: "S" });
        [swept.moved]"#;
    let (world, mut told) = at_the_same_moment(script, 4).await;
    told.sort();
    assert_eq!(told, [["EUR 0.00"], ["EUR 0.00"], ["EUR 0.00"], ["EUR 48,250.00"]]);
    let de = world.simulator.control.account("Operating DE").expect("there");
    let left = world.simulator.control.balance(de).expect("a balance");
    assert!(left.is_zero(), "{left}");
}

/// Who is overtaken again and again stands back, so that the others come to their end, and is not given up.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_again_and_again_stands_back() {
    const TIMES: u64 = 40;
    let (world, clock) = World::standing_still().await;
    let store: Arc<dyn Store> = Faulty::new(world.store().await, Fault::Overtaken { after: 0, times: TIMES });
    let engine = world.engine(store.clone()).await;
    let script =
        format!(r#"{ACCOUNTS} let swept = bank::sweep(#{{ from: de, to: treasury, reference: "S" }}); [swept.moved]"#);
    let began = clock.now();
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    let run = passing(
        store.as_ref(),
        &clock,
        id,
        RunState::Waiting,
        Duration::from_millis(400),
    )
    .await;
    engine.stop().await;
    assert_eq!(texts(&run), ["EUR 48,250.00"]);
    // Longer each time, and never so long that nobody would wait for it.
    let took = clock.now() - began;
    assert!(
        (TimeDelta::minutes(2)..TimeDelta::minutes(6)).contains(&took),
        "it stood back for {took}"
    );
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 1, "{audit}");
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn conversions_at_the_same_moment_sell_the_money_once() {
    let script = r#"
        let sale = bank::convert(#{ from: wallet, to: treasury, above: USDC(100) });
        [sale.moved]"#;
    let (_, mut told) = at_the_same_moment(script, 3).await;
    told.sort();
    assert_eq!(told, [["USDC 0.000000"], ["USDC 0.000000"], ["USDC 39,900.000000"]]);
}

/// Each of them finds the account short, and one of them fills it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_short_is_filled_once_by_runs_at_the_same_moment() {
    let script = r#"
        let funded = bank::sweep(#{ from: nl, to: treasury, target: EUR(1_000), deficit: #{ to: EUR(1_000) }, reference: "S" });
        let waited = if funded.payout == () { () } else { bank::settled(funded.payout) };
        [funded.moved, funded.direction]"#;
    let (world, mut told) = at_the_same_moment(script, 4).await;
    told.sort();
    assert_eq!(told[3], ["EUR 269.90", "in"]);
    assert!(told[..3].iter().all(|told| *told == ["EUR 0.00", "none"]), "{told:?}");
    assert_eq!(balance(&world, "Operating NL"), "EUR 1,000.00");
}

fn balance(world: &World, label: &str) -> String {
    let account = world.simulator.control.account(label).expect("there");
    world.simulator.control.balance(account).expect("a balance").to_string()
}

/// A bank at which a payout arrives when somebody says so.
async fn by_hand() -> World {
    let mut config = SimulatorConfig::demo();
    config.lifecycle.advance = Advance::Manual;
    World::new(config).await
}

/// Fills NL up to 1,000.00 by one account, by several, or in a structure, and does not wait.
const FILLS: [&str; 3] = [
    r#"let done = bank::sweep(#{ from: nl, to: treasury, target: EUR(1_000), deficit: #{ to: EUR(1_000) }, reference: "S" });
       [done.moved, done.reason]"#,
    r#"let done = bank::sweep(#{ from: [#{ account: treasury }], to: nl, up_to: EUR(1_000), reference: "S" });
       [done.moved, done.reason]"#,
    r#"let done = bank::concentrate(#{ reference: "S", timeout: "1s", accounts: [#{ account: treasury },
           #{ account: nl, above: treasury, target: EUR(1_000), deficit: #{ to: EUR(1_000) } }] });
       [done.moves[0].moved, done.moves[0].reason]"#,
];

/// What a run of the script tells, and how often it has asked for a payout and for a balance.
async fn told_by(world: &World, store: &Arc<dyn Store>, script: &str) -> (Vec<String>, u64, u64) {
    let asked = |endpoint: &str| {
        world
            .simulator
            .control
            .requests()
            .get(endpoint)
            .map_or(0, |count| count.total)
    };
    let before = (asked("retrieve_payout"), asked("retrieve_account_balance"));
    let engine = world.engine(store.clone()).await;
    let script = format!("{ACCOUNTS} {script}");
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    let told = texts(&settled(store.as_ref(), id).await);
    engine.stop().await;
    let payouts = asked("retrieve_payout") - before.0;
    (told, payouts, asked("retrieve_account_balance") - before.1)
}

/// The payout that was made last.
fn last_payout(world: &World) -> uuid::Uuid {
    let effects = world.simulator.control.effects();
    effects.last().expect("a payout").id
}

/// A run fills the account and ends without waiting; the next one, days later, finds it as short as before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_and_has_not_arrived_is_not_filled_up_a_second_time() {
    for fill in FILLS {
        let world = by_hand().await;
        let store = world.store().await;
        let told = |script| told_by(&world, &store, script);
        assert_eq!(told(fill).await.0[0], "EUR 269.90", "{fill}");
        for _ in 0..2 {
            let ((again, looks, _), paid) = (told(fill).await, audit_store(store.as_ref(), &world.simulator).await);
            assert_eq!(again[0], "EUR 0.00", "{fill}");
            assert!(
                fill.contains("up_to") || again[1].contains("EUR 269.90 on its way to it"),
                "{again:?}"
            );
            assert!(looks == 1 && paid.is_exact() && paid.paid() == 1, "{looks}: {paid}");
        }
        let (swept, looks, _) =
            told(r#"[bank::sweep(#{ from: nl, to: treasury, keep: EUR(730.10), reference: "O" }).moved]"#).await;
        assert_eq!(
            (swept[0].as_str(), looks),
            ("EUR 0.00", 0),
            "an ordinary sweep does not ask"
        );
        let payout = last_payout(&world);
        world.simulator.control.advance(payout, "paid", None).expect("paid");
        assert_eq!(told(fill).await.0[0], "EUR 0.00", "{fill}");
        assert_eq!(balance(&world, "Operating NL"), "EUR 1,000.00");
        // It is spent, and filled up by what is missing then.
        let spent = r#"[bank::payout(#{ from: nl, to: treasury, amount: EUR(100), reference: "X" }).amount]"#;
        told(spent).await;
        assert_eq!(told(fill).await.0[0], "EUR 100.00", "{fill}");
        // What has arrived was asked for once.
        let (again, looks, _) = told(fill).await;
        assert_eq!((again[0].as_str(), looks), ("EUR 0.00", 1));
        store.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_to_nothing_is_filled_up_anew() {
    for fill in FILLS {
        let world = by_hand().await;
        let store = world.store().await;
        assert_eq!(told_by(&world, &store, fill).await.0[0], "EUR 269.90");
        let failure = Failure::new("account_blocked", "the account cannot receive money", false);
        let payout = last_payout(&world);
        world
            .simulator
            .control
            .advance(payout, "failed", Some(failure))
            .expect("failed");
        let (told, looks, balances) = told_by(&world, &store, fill).await;
        assert_eq!(
            (told[0].as_str(), looks > 0, balances > 1),
            ("EUR 269.90", true, true),
            "{fill}"
        );
        store.close().await.expect("closed");
    }
}

/// A provider that does not show what became of it has not said that it has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_counts_as_arriving_and_not_for_ever() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut config = SimulatorConfig::demo();
    config.lifecycle.advance = Advance::Manual;
    let world = World::with_clock(config, Arc::new(clock.clone())).await;
    let store = world.store().await;
    assert_eq!(told_by(&world, &store, FILLS[0]).await.0[0], "EUR 269.90");
    let gone = FaultAction::Status {
        status: 404,
        when: When::Before,
        retry_after_secs: None,
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("retrieve_payout", gone));
    clock.advance(Duration::from_secs(10 * 86_400));
    let (told, looks, _) = told_by(&world, &store, FILLS[0]).await;
    assert_eq!((told[0].as_str(), looks), ("EUR 0.00", 1));
    clock.advance(Duration::from_secs(5 * 86_400));
    let (told, looks, _) = told_by(&world, &store, FILLS[0]).await;
    assert_eq!((told[0].as_str(), looks), ("EUR 269.90", 0));
}

/// What this very run has sent is on its way as well, whether it is durable yet or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_fill_up_twice_either() {
    let world = by_hand().await;
    let store = world.store().await;
    let twice = r#"
        let fill = || bank::sweep(#{ from: nl, to: treasury, target: EUR(1_000), deficit: #{ to: EUR(1_000) }, reference: "S" }).moved;
        [fill.call(), fill.call(), fill.call()]"#;
    assert_eq!(
        told_by(&world, &store, twice).await.0,
        ["EUR 269.90", "EUR 0.00", "EUR 0.00"]
    );
}

/// Two runs fill one account up, one after the other, and the process dies at each write there is.
#[tokio::test(flavor = "multi_thread")]
async fn two_fillings_of_one_account_survive_a_crash_at_every_write() {
    let script = format!("{ACCOUNTS} {}", FILLS[0]);
    let mut points = 0;
    for number in 1..=12 {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let world = by_hand().await;
            let store = world.store().await;
            let mut ids = Vec::new();
            for _ in 0..2 {
                ids.push(world.start(store.as_ref(), &script, json!({}), json!({})).await);
            }
            store.close().await.expect("closed");
            dies(&world, fault).await;
            points += 1;
            let store = open(world.folder.path()).await;
            store.reclaim_all(world.clock.now()).await.expect("reclaimed");
            let engine = world.engine(store.clone()).await;
            let mut moved = Vec::new();
            for id in ids {
                moved.push(texts(&settled(store.as_ref(), id).await)[0].clone());
            }
            engine.stop().await;
            let audit = audit_store(store.as_ref(), &world.simulator).await;
            assert!(audit.is_exact() && audit.paid() == 1, "{fault:?} {moved:?}: {audit}");
            moved.sort();
            assert_eq!(moved, ["EUR 0.00", "EUR 269.90"], "{fault:?}");
            store.close().await.expect("closed");
        }
    }
    report(&format!(
        "two fillings of one account: {points} crash points, each moves the money once"
    ));
}

/// Two runs sweep one account, and the process dies at each write there is.
#[tokio::test(flavor = "multi_thread")]
async fn two_sweeps_of_one_account_survive_a_crash_at_every_write() {
    let script = format!(
        r#"{ACCOUNTS}
        let swept = bank::sweep(#{{ from: [#{{ account: de }}, #{{ account: nl, keep: EUR(30.10) }}], to: treasury, reference: "S" }});
        [swept.moved]"#
    );
    let mut points = 0;
    for number in 1..=12 {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let world = World::demo().await;
            let store = world.store().await;
            let mut ids = Vec::new();
            for _ in 0..2 {
                ids.push(world.start(store.as_ref(), &script, json!({}), json!({})).await);
            }
            store.close().await.expect("closed");
            // From the twelfth write on the order of the two decides how many there are.
            dies(&world, fault).await;
            points += 1;
            let store = open(world.folder.path()).await;
            store.reclaim_all(world.clock.now()).await.expect("reclaimed");
            let engine = world.engine(store.clone()).await;
            let mut moved = Vec::new();
            for id in ids {
                moved.extend(texts(&settled(store.as_ref(), id).await));
            }
            engine.stop().await;
            let audit = audit_store(store.as_ref(), &world.simulator).await;
            assert!(audit.is_exact() && audit.paid() == 2, "{fault:?} {moved:?}: {audit}");
            moved.sort();
            assert_eq!(moved, ["EUR 0.00", "EUR 48,950.00"], "{fault:?}");
            store.close().await.expect("closed");
        }
    }
    report(&format!(
        "two sweeps of one account: {points} crash points, each moves the money once"
    ));
}

/// What is open on an account, and what was taken for it.
async fn on_its_way(world: &World, store: &dyn Store, label: &str) -> (Vec<String>, Vec<String>) {
    let account = world.simulator.control.account(label).expect("there").to_string();
    let open = store.open_movements("bank", &account).await.expect("read").movements;
    let open = open.iter().map(|open| match open.begun {
        true => format!("begun {}", open.amount.expect("an amount")),
        false => format!("reserved {}", open.amount.expect("an amount")),
    });
    let since = world.clock.now() - TimeDelta::days(1);
    let taken = store.accepted("bank", &account, since).await.expect("read");
    (
        open.collect(),
        taken.iter().map(|taken| taken.amount.to_string()).collect(),
    )
}

/// The treasury serves FR and NL with the same amount, FR first, and FR's payment fails before it is begun.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_reserved_for_a_payment_that_failed_is_not_the_next_ones() {
    let world = by_hand().await;
    let gone = FaultAction::Status {
        status: 404,
        when: When::Before,
        retry_after_secs: None,
    };
    // Where FR would be paid to is asked first.
    world
        .simulator
        .control
        .add_fault(FaultRule::on("retrieve_account", gone).nth(1));
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = format!(
        r#"{ACCOUNTS}
        let fr = bank::accounts(#{{ label: "Operating FR" }})[0].id;
        let done = bank::concentrate(#{{ reference: "S", accounts: [#{{ account: treasury }},
            #{{ account: fr, above: treasury, priority: 1, target: EUR(12_750.45), deficit: #{{ to: EUR(12_750.45) }} }},
            #{{ account: nl, above: treasury, priority: 2, target: EUR(1_000), deficit: #{{ to: EUR(1_000) }} }}] }});
        let told = [done.moved, done.complete];
        for part in done.moves {{ told.push(`${{part.moved}} ${{part.status}}`); }}
        told"#
    );
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    // It waits until what NL was given has arrived, for days if need be; others decide meanwhile.
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let none = Vec::<String>::new;
    assert_eq!(
        on_its_way(&world, store.as_ref(), "Operating NL").await,
        (none(), vec!["EUR 269.90".to_owned()])
    );
    assert_eq!(
        on_its_way(&world, store.as_ref(), "Operating FR").await,
        (none(), none())
    );
    assert_eq!(
        on_its_way(&world, store.as_ref(), "Treasury EUR").await,
        (none(), none())
    );
    engine.stop().await;
    // So NL is not filled a second time, and FR is, as long as the first run lasts.
    assert_eq!(told_by(&world, &store, FILLS[0]).await.0[0], "EUR 0.00");
    let fills_fr = r#"
        let fr = bank::accounts(#{ label: "Operating FR" })[0].id;
        let done = bank::sweep(#{ from: [#{ account: treasury }], to: fr, up_to: EUR(12_750.45), reference: "F" });
        [done.moved]"#;
    assert_eq!(told_by(&world, &store, fills_fr).await.0, ["EUR 269.90"]);
    for payout in world.simulator.control.effects() {
        world.simulator.control.advance(payout.id, "paid", None).expect("paid");
    }
    // Who takes the run over comes to the same end, and gives nothing back again.
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    let told = texts(&settled(store.as_ref(), id).await);
    engine.stop().await;
    assert_eq!(told, ["EUR 269.90", "false", "EUR 0.00 failed", "EUR 269.90 paid"]);
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 2, "{audit}");
    store.close().await.expect("closed");
}

/// The treasury serves three with the same amount, the payment to one of them fails before it is begun, and the process
/// dies at each write there is: what is taken for an account is what was paid to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_survives_a_crash_at_every_write() {
    const CLAIMS: [(&str, &str, &str); 3] = [
        ("Operating DE", "EUR 48,250.00", "EUR 48,519.90"),
        ("Operating FR", "EUR 12,480.55", "EUR 12,750.45"),
        ("Operating NL", "EUR 730.10", "EUR 1,000.00"),
    ];
    let script = format!(
        r#"{ACCOUNTS}
        let fr = bank::accounts(#{{ label: "Operating FR" }})[0].id;
        let short = |account, priority, to| #{{ account: account, above: treasury, priority: priority, target: to, deficit: #{{ to: to }} }};
        bank::concentrate(#{{ reference: "S", accounts: [#{{ account: treasury }}, short.call(de, 1, EUR(48_519.90)),
            short.call(fr, 2, EUR(12_750.45)), short.call(nl, 3, EUR(1_000))] }});"#
    );
    let mut points = 0;
    for number in 1..=12 {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let world = by_hand().await;
            let gone = FaultAction::Status {
                status: 404,
                when: When::Before,
                retry_after_secs: None,
            };
            let control = &world.simulator.control;
            control.add_fault(FaultRule::on("retrieve_account", gone).nth(2));
            let store = world.store().await;
            let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
            let faulty = Faulty::new(store.clone(), fault);
            let engine = world.engine(faulty.clone()).await;
            until(store.as_ref(), id, |run| {
                faulty.is_dead() || run.state == RunState::Waiting
            })
            .await;
            engine.stop().await;
            points += usize::from(faulty.is_dead());
            store.close().await.expect("closed");
            let store = open(world.folder.path()).await;
            store.reclaim_all(world.clock.now()).await.expect("reclaimed");
            let engine = world.engine(store.clone()).await;
            until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
            engine.stop().await;
            let made = control.effects();
            for payout in &made {
                control.advance(payout.id, "paid", None).expect("paid");
            }
            let (mut taken_of_all, none) = (0, Vec::<String>::new());
            for (label, before, filled) in CLAIMS {
                let (open, taken) = on_its_way(&world, store.as_ref(), label).await;
                assert_eq!(open, none, "{fault:?}: {label}");
                let is = if taken == none { before } else { filled };
                assert_eq!(balance(&world, label), is, "{fault:?}: {label} {taken:?}");
                taken_of_all += taken.len();
            }
            assert_eq!(taken_of_all, made.len(), "{fault:?}");
            assert!((2..=3).contains(&made.len()), "{fault:?}");
            let audit = audit_store(store.as_ref(), &world.simulator).await;
            assert!(audit.is_exact(), "{fault:?}: {audit}");
            store.close().await.expect("closed");
        }
    }
    assert!(points > 12, "{points}");
    report(&format!(
        "a payment among equal ones that fails: {points} crash points, what is taken is what was paid"
    ));
}

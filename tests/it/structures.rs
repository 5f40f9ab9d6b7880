//! Structures of accounts: concentrated from the deepest level up, each level arrived before the next begins, every
//! movement once by the ledger, whatever dies in between.

use std::sync::Arc;
use std::time::Duration;

use bursar::model::run::{Run, RunState};
use bursar::model::value::Value;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule};
use bursar::store::Store;
use bursar::store::faulty::{Fault, Faulty};
use serde_json::json;

use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, open, report, settled};

/// Opening balances: treasury 250,000.00, DE 48,250.00, FR 12,480.55, NL 730.10. FR and NL stand below DE.
const POOL: &str = r#"
    let de = bank::accounts(#{ label: "Operating DE" })[0].id;
    let fr = bank::accounts(#{ label: "Operating FR" })[0].id;
    let nl = bank::accounts(#{ label: "Operating NL" })[0].id;
    let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    let names = #{};
    names[de] = "DE"; names[fr] = "FR"; names[nl] = "NL"; names[treasury] = "treasury";
    let pool = |timeout| bank::concentrate(#{
        accounts: [
            #{ account: treasury },
            #{ account: de, above: treasury, keep: EUR(10_000) },
            #{ account: nl, above: de, priority: 2, target: EUR(1_000), deficit: #{ to: EUR(1_000) } },
            #{ account: fr, above: de, priority: 1, keep: EUR(480.55) },
        ],
        reference: "POOL",
        timeout: timeout,
    });
    let told = |done| {
        let lines = [`${done.moved} ${done.complete}: ${done.reason}`];
        for part in done.moves {
            lines.push(`${part.level} ${names[part.account]} ${part.direction} ${part.moved} ${part.status}: ${part.reason}`);
        }
        lines
    };
"#;

fn texts(run: &Run) -> Vec<String> {
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    let result = Value::from_typed(run.result.as_ref().expect("a result")).expect("a value");
    let list = result.as_list().expect("a list");
    list.iter().map(Value::to_string).collect()
}

fn balance(world: &World, label: &str) -> String {
    let account = world.simulator.control.account(label).expect("there");
    world.simulator.control.balance(account).expect("a balance").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deepest_level_comes_first_and_has_arrived_before_the_next() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let script = format!("{POOL} told.call(pool.call(\"2d\"))");
    let told = texts(&world.run(&script).await);
    assert_eq!(
        told,
        [
            "EUR 62,250.00 true: EUR 62,250.00 in 3 movements over 3 accounts",
            "2 FR out EUR 12,000.00 paid: EUR 12,000.00 above the buffer of EUR 480.55",
            "2 NL in EUR 269.90 paid: the EUR 269.90 that the balance of EUR 730.10 is short of EUR 1,000.00",
            // 48,250.00 and what FR sent up, less what NL was given.
            "1 DE out EUR 49,980.10 paid: EUR 49,980.10 above the buffer of EUR 10,000.00",
        ]
    );
    let balances = ["Treasury EUR", "Operating DE", "Operating FR", "Operating NL"].map(|label| balance(&world, label));
    assert_eq!(
        balances,
        ["EUR 299,980.10", "EUR 10,000.00", "EUR 480.55", "EUR 1,000.00"]
    );
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 3, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movement_that_fails_is_told_and_one_that_does_not_arrive_stops_the_levels_above() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let refused = FaultAction::Refusal {
        status: 409,
        code: "conflict".to_owned(),
    };
    let fr = world.simulator.control.account("Operating FR").expect("there");
    let rule = FaultRule::on("create_payout", refused).body("/source_account_id", fr.to_string());
    world.simulator.control.add_fault(rule);
    let told = texts(&world.run(&format!("{POOL} told.call(pool.call(\"2d\"))")).await);
    assert!(told[0].starts_with("EUR 38,250.00 false: "), "{told:?}");
    assert!(
        told[0].ends_with("in 2 movements over 3 accounts, 1 not made or not arrived"),
        "{told:?}"
    );
    assert!(told[1].starts_with("2 FR out EUR 0.00 failed"), "{told:?}");
    assert!(told[3].starts_with("1 DE out EUR 37,980.10 paid"), "{told:?}");

    world.simulator.control.clear_faults();
    world
        .simulator
        .control
        .configure(|config| config.lifecycle.payout_paid_ms = 30 * 86_400_000);
    let told = texts(&world.run(&format!("{POOL} told.call(pool.call(\"5m\"))")).await);
    assert!(
        told[0].contains("what level 2 moved has not arrived, so nothing above it was begun"),
        "{told:?}"
    );
    assert!(told[1].starts_with("2 FR out EUR 12,000.00 "), "{told:?}");
    assert_eq!(
        told[3],
        "1 DE none EUR 0.00 nothing: not begun: what level 2 below it moved has not arrived"
    );
    let audit = world.audit(world.store().await.as_ref()).await;
    assert!(audit.is_exact() && audit.paid() == 3, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_structure_is_refused_before_anything_moves() {
    let world = World::demo().await;
    for (accounts, says) in [
        ("#{ account: de }", "no account of `concentrate` is below another"),
        (
            "#{ account: de, above: fr }, #{ account: fr, above: de }",
            "stands below itself",
        ),
        ("#{ account: de, above: fr }", "is not among the accounts"),
        (
            "#{ account: de }, #{ account: de, above: de }",
            "give each its own name",
        ),
        (
            "#{ account: de, keep: EUR(1) }, #{ account: fr, above: de }",
            "nothing above it",
        ),
        (
            "#{ account: de }, #{ account: fr, above: de, keep: USD(1) }",
            "`keep` is USD 1.00, and account",
        ),
        (
            "#{ account: de }, #{ account: fr, above: de, keep: EUR(1), deficit: #{ to: EUR(2) } }",
            "goes out again",
        ),
        (
            "#{ account: de }, #{ account: fr, above: de, superior: de }",
            "does not take `superior`",
        ),
    ] {
        let script = format!(
            "{POOL} let told = \"\"; \
             try {{ bank::concentrate(#{{ accounts: [{accounts}], reference: \"POOL\" }}); }} catch (e) {{ told = e.message; }} [told]"
        );
        let told = texts(&world.run(&script).await);
        assert!(told[0].contains(says), "{accounts}: {told:?}");
    }
    assert!(world.simulator.control.effects().is_empty());
}

/// Whoever decides a level is overtaken by others again and again: what was paid before that is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_before_a_level_could_not_be_decided_is_told() {
    let overtaken = "others moved money of the same accounts 64 times while this was decided: \
                     nothing of this decision was moved";
    // Nothing of level 2, what goes up of it, all of it.
    for (after, moved) in [
        (0, None),
        (1, Some("EUR 12,000.00 false: EUR 12,000.00 in 1")),
        (2, Some("EUR 12,269.90 false: EUR 12,269.90 in 2")),
    ] {
        let world = World::in_haste(SimulatorConfig::demo()).await;
        let store: Arc<dyn Store> = Faulty::new(world.store().await, Fault::Overtaken { after, times: u64::MAX });
        let engine = world.engine(store.clone()).await;
        let script = format!(
            "{POOL} let done = pool.call(\"2d\"); let lines = told.call(done); \
             lines.push(`${{done.failure.error}} ${{done.failure.message}}`); lines"
        );
        let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
        let run = settled(store.as_ref(), id).await;
        engine.stop().await;
        let audit = audit_store(store.as_ref(), &world.simulator).await;
        assert!(
            audit.is_exact() && u64::try_from(audit.paid()) == Ok(after),
            "{after}: {audit}"
        );
        let Some(moved) = moved else {
            // Nothing was moved: it is a failure.
            let error = run.error.as_ref().expect("an error");
            assert!(
                run.state == RunState::Failed && error.message.contains(overtaken),
                "{run:?}"
            );
            continue;
        };
        let told = texts(&run);
        let not_decided = format!("none EUR 0.00 nothing: not decided: {overtaken}");
        let movements = format!("{moved} movements over 3 accounts; nothing more was moved: {overtaken}");
        let fr = "2 FR out EUR 12,000.00 paid: EUR 12,000.00 above the buffer of EUR 480.55".to_owned();
        let (nl, de) = match after {
            1 => (
                format!("2 NL {not_decided}"),
                "1 DE none EUR 0.00 nothing: not begun: level 2 below it was not decided to its end".to_owned(),
            ),
            _ => (
                "2 NL in EUR 269.90 paid: the EUR 269.90 that the balance of EUR 730.10 is short of EUR 1,000.00"
                    .to_owned(),
                format!("1 DE {not_decided}"),
            ),
        };
        assert_eq!(told, [movements, fr, nl, de, format!("position_changed {overtaken}")]);
        store.close().await.expect("closed");
    }
}

/// Drives the run until the store has failed, or the run has ended before that. How many writes there were.
async fn driven(world: &World, fault: Fault) -> u64 {
    let store = world.store().await;
    let script = format!("{POOL} told.call(pool.call(\"2d\"))");
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    let faulty = Faulty::new(store.clone(), fault);
    let engine = world.engine(faulty.clone()).await;
    let patience = Patience::new(Duration::from_secs(20));
    loop {
        let run = store.run(id).await.expect("read").expect("there");
        if faulty.is_dead() || run.state.is_final() {
            break;
        }
        assert!(!patience.is_over(), "{fault:?}: {run:?}");
        pause(Duration::from_millis(2)).await;
    }
    engine.stop().await;
    store.close().await.expect("closed");
    drop(store);
    let store = open(world.folder.path()).await;
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    let told = texts(&settled(store.as_ref(), id).await);
    engine.stop().await;
    assert!(told[0].starts_with("EUR 62,250.00 true"), "{fault:?}: {told:?}");
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == 3, "{fault:?}: {audit}");
    assert_eq!(balance(world, "Treasury EUR"), "EUR 299,980.10", "{fault:?}");
    store.close().await.expect("closed");
    faulty.writes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concentration_survives_a_crash_at_every_write() {
    let writes = driven(&World::in_haste(SimulatorConfig::demo()).await, Fault::Never).await;
    for number in 1..=writes {
        let fault = if number.is_multiple_of(2) {
            Fault::Before(number)
        } else {
            Fault::After(number)
        };
        driven(&World::in_haste(SimulatorConfig::demo()).await, fault).await;
    }
    report(&format!(
        "a structure of three levels: {writes} crash points, each moves every amount once"
    ));
}

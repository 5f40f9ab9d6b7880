//! Divisions, refunds of them and deposits that are sent back, with the process dying at each write: whatever the point,
//! the ledger shows what a run without a crash leaves there.

use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock};
use bursar::model::run::RunState;
use bursar::simulator::control::NewDeposit;
use bursar::store::faulty::{Fault, Faulty};
use serde_json::json;

use super::payaut::{SELLER, TREASURY, code, payaut};
use crate::support::real_time::{Patience, pause};
use crate::support::{World, open, passing, report, settled};

/// How much time passes at once while a run waits.
const STEP: Duration = Duration::from_secs(30);

/// What is done.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// A payment is divided, and a part of it goes back.
    Divided,
    /// A part of a deposit is sent back.
    SentBack,
}

impl Case {
    async fn prepared(self) -> (World, ManualClock, String) {
        match self {
            Self::Divided => {
                let (world, clock) = payaut(|_| {}).await;
                let (seller, treasury) = (code(&world, SELLER), code(&world, TREASURY));
                let script = format!(
                    r#"let done = bank::split(#{{
                        total: EUR(100), payment: "psp-1", processor: "ADYEN", reference: "order-1",
                        parts: [#{{ name: "fee", to: "{treasury}", percent: 10 }}, #{{ name: "seller", to: "{seller}", rest: true }}],
                    }});
                    bank::refund(#{{ payment: "psp-1", refund: "back-1", amount: EUR(30), split: done.split }}).left"#
                );
                (world, clock, script)
            }
            Self::SentBack => {
                let (world, clock) = World::standing_still().await;
                let deposit = NewDeposit::new("Collections EUR", "50.00", "who knows");
                let id = world.simulator.control.create_deposit(&deposit).expect("it arrives");
                let script =
                    format!(r#"bank::send_back(#{{ deposit: "{id}", amount: EUR(20), reference: "overpaid" }}).left"#);
                (world, clock, script)
            }
        }
    }
}

/// How many writes there are, and what the ledger shows in the end.
async fn dies_at(case: Case, fault: Fault) -> (u64, Vec<String>) {
    let (world, clock, script) = case.prepared().await;
    let store = world.store().await;
    let id = world.start(store.as_ref(), &script, json!({}), json!({})).await;
    let faulty = Faulty::new(store.clone(), fault);
    let engine = world.engine(faulty.clone()).await;
    if fault == Fault::Never {
        settled(store.as_ref(), id).await;
    } else {
        let patience = Patience::new(Duration::from_secs(20));
        while !faulty.is_dead() {
            assert!(!patience.is_over(), "{case:?}: write {fault:?} is never made");
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
    store.close().await.expect("closed");
    assert_eq!(run.state, RunState::Succeeded, "{case:?} {fault:?}: {:?}", run.error);
    let control = &world.simulator.control;
    assert!(control.ledger().invariant_ok, "{:?}", control.ledger().invariant_error);
    let effects = control.effects().into_iter();
    let mut made: Vec<String> = effects
        .map(|effect| format!("{} {}", effect.kind, effect.amount))
        .collect();
    made.sort();
    (faulty.writes(), made)
}

async fn survives(case: Case, expected: &[&str]) {
    let (writes, clean) = dies_at(case, Fault::Never).await;
    assert_eq!(clean, expected);
    for number in 1..=writes {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let (_, crashed) = dies_at(case, fault).await;
            assert_eq!(crashed, clean, "{case:?} {fault:?}");
        }
    }
    report(&format!(
        "{case:?}: {} crash points, each leaves: {expected:?}",
        writes * 2
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_division_and_its_refund_survive_a_crash_at_every_write() {
    survives(Case::Divided, &["refund_split EUR 30.00", "split EUR 100.00"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_is_sent_back_survives_a_crash_at_every_write() {
    survives(Case::SentBack, &["payout EUR 20.00"]).await;
}

//! `parallel`: several branches at once, as exact as one after the other.

mod accidents;
mod language;
mod time;

use std::sync::Arc;

use bursar::base::ids::RunId;
use bursar::model::run::{Run, RunState};
use bursar::store::Store;
use serde_json::{Value as Json, json};

use crate::support::{World, settled};

/// Three branches that pay twice each. `$REST` is what a branch does between its payments.
const PAY_SIX: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    let paid = parallel([1, 2, 3], |number| {
        let first = bank::payout(#{ from: from, to: to, amount: EUR(1) * number, reference: `A-${number}` });
        $REST
        let second = bank::payout(#{ from: from, to: to, amount: EUR(10) * number, reference: `B-${number}` });
        [first.status, second.status]
    });
    paid
"#;

fn pay_six(rest: &str) -> String {
    PAY_SIX.replace("$REST", rest)
}

const SIX_PAID: &str = "6 intended, 6 paid, 0 twice, 0 missing; ledger EUR 66.00 = journal EUR 66.00";

/// A run of a script that has settled, with the store it is in.
async fn ran(world: &World, script: &str) -> (Run, Arc<dyn Store>) {
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world
        .start(store.as_ref(), script, json!({"type": "manual"}), json!({}))
        .await;
    let run = settled(store.as_ref(), id).await;
    engine.stop().await;
    (run, store)
}

/// What a script that succeeds comes to.
async fn check(script: &str, expected: Json) {
    let world = World::demo().await;
    let (run, store) = ran(&world, script).await;
    assert_eq!(run.state, RunState::Succeeded, "{script}: {:?}", run.error);
    assert_eq!(run.result, Some(expected), "{script}");
    store.close().await.expect("closed");
}

/// The steps of a run as text: path and name, in order.
async fn steps(store: &dyn Store, id: RunId) -> Vec<String> {
    let records = store.journal(id).await.expect("the journal");
    let journal = bursar::model::journal::Journal::from_records(records).expect("legal");
    journal
        .steps()
        .map(|(path, record)| format!("{path} {}", record.step.name))
        .collect()
}

//! `approval`: a run waits for a person, whose one answer makes it go on.

mod accidents;
mod commands;
mod decisions;
mod language;
mod states;

use bursar::base::clock::Instant;
use bursar::base::ids::RunId;
use bursar::model::journal::{Journal, StepPath};
use bursar::store::{ApprovalDecision, Store};

/// Pays once it was approved.
const PAY: &str = r#"
    let told = approval(#{ reason: "pay ACME", group: "treasury", details: #{ amount: EUR(10.50), to: "ACME" } });
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    let paid = bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" });
    [told.approved, told.by, told.reason, paid.status]
"#;

fn path(text: &str) -> StepPath {
    text.parse().expect("a path")
}

async fn journal(store: &dyn Store, run: RunId) -> Journal {
    let records = store.journal(run).await.expect("the journal");
    Journal::from_records(records).expect("legal")
}

/// How many entries of a kind a run has.
async fn count(store: &dyn Store, run: RunId, kind: &str) -> usize {
    let records = store.journal(run).await.expect("the journal");
    records.iter().filter(|record| record.entry.kind() == kind).count()
}

/// The answer of a person who has read what the step asks.
pub(crate) async fn answer(store: &dyn Store, run: RunId, step: &str, approved: bool, at: Instant) -> ApprovalDecision {
    let path = path(step);
    let journal = journal(store, run).await;
    let asked = journal.step(&path).expect("the step").step.fingerprint;
    ApprovalDecision {
        run,
        path,
        asked,
        approved,
        actor: "maria".to_owned(),
        reason: "seen the invoice".to_owned(),
        at,
    }
}

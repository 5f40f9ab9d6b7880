//! `hold-disputed-payments`: one question for each dispute, held over a restart until the provider has closed it.

use std::time::Duration;

use bursar::model::journal::{APPROVAL, Journal};
use bursar::model::run::{Run, RunState};
use bursar::simulator::config::payments::EventForm;
use bursar::simulator::faults::{WebhookFault, WebhookFaultRule};
use bursar::store::Store;
use serde_json::json;
use uuid::Uuid;

use super::town::{self, Stores, Town, bare_id, ended, events, run, runs};
use crate::approvals::answer;
use crate::support::{settled, until};

const WORKFLOW: &str = "hold-disputed-payments";

/// A payment by card over 80 dollars that its payer disputes; the dispute.
async fn disputed(town: &Town) -> Uuid {
    let payment = town.card_payment(8_000).await;
    let control = &town.world.simulator.control;
    let shown = control.advance(payment, "disputed", None).expect("it is disputed");
    bare_id(&shown["dispute_id"])
}

/// What is asked of people, and the steps that ask, of one run.
async fn asked(store: &dyn Store, run: &Run) -> Vec<(String, String)> {
    let journal = Journal::from_records(store.journal(run.id).await.expect("read")).expect("legal");
    let asked = journal.approvals().filter_map(|(path, record)| {
        let (asked, _) = record.asked()?;
        Some((path.to_string(), asked.reason.clone()))
    });
    asked.collect()
}

/// Whether a run has written such a line.
async fn has_said(store: &dyn Store, run: &Run, line: &str) -> bool {
    let records = store.journal(run.id).await.expect("read");
    records
        .iter()
        .any(|record| format!("{:?}", record.entry).contains(line))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_told_once_and_held_over_a_restart_until_it_is_closed() {
    // In both forms of the newer generation of webhooks; the older one beside them starts nothing.
    for (form, approved, end) in [
        (EventForm::Type, true, "won"),
        (EventForm::EventType, false, "accepted"),
    ] {
        let mut town = Town::of(WORKFLOW).await;
        town.hears_webhooks_alone();
        let control = town.world.simulator.control.clone();
        control.configure(|config| {
            config.payments.event_form = form;
            config.payments.older_events = true;
        });
        control.add_webhook_fault(WebhookFaultRule::on(
            "v2.dispute.created",
            WebhookFault::Duplicate { count: 2 },
        ));
        let store = town.world.store().await;
        let process = town.opens(store.clone()).await;
        let dispute = disputed(&town).await;
        let held = run(store.as_ref(), 0).await;
        let held = until(store.as_ref(), held.id, |run| run.state == RunState::Waiting).await;
        assert!(has_said(store.as_ref(), &held, "disputed: USD 80.00 of payment pi_").await);
        process.ends().await;

        // Another process, and everything is told again.
        let process = town.opens(store.clone()).await;
        control.redeliver_all();
        let told = events(store.as_ref(), "dispute.", 1).await;
        assert_eq!(
            told[0].0.kind, "dispute.created",
            "the older generation, under its own name"
        );
        let questions = asked(store.as_ref(), &held).await;
        assert_eq!(questions.len(), 1, "{questions:?}");
        assert!(
            questions[0].1.starts_with("contest the dispute over USD 80.00"),
            "{questions:?}"
        );
        let now = town.world.clock.now();
        let answer = answer(store.as_ref(), held.id, &questions[0].0, approved, now).await;
        store.decide(answer).await.expect("decided");
        town.world.wake.nudge();
        until(store.as_ref(), held.id, |run| {
            run.turns > held.turns && run.state == RunState::Waiting
        })
        .await;
        control.advance(dispute, end, None).expect("it is closed");
        let run = ended(store.as_ref(), 0).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        assert_eq!(run.result, Some(json!(end)));
        assert_eq!(runs(store.as_ref()).await.len(), 1, "{form:?}");
        assert_eq!(town.effects("refund"), Vec::<String>::new());
        process.ends().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_nobody_decides_about_stays_held_and_is_told_again() {
    let (mut town, clock) = Town::in_haste(WORKFLOW).await;
    town.hears_webhooks_alone();
    town.world.settings.lease = Duration::from_secs(864_000);
    town.world.settings.budget.compute = Duration::from_secs(864_000);
    let store = town.world.store().await;
    let process = town.opens(store.clone()).await;
    let dispute = disputed(&town).await;
    let held = run(store.as_ref(), 0).await;
    let held = until(store.as_ref(), held.id, |run| run.state == RunState::Waiting).await;
    clock.advance(Duration::from_secs(6 * 86_400));
    town.world.wake.nudge();
    let held = until(store.as_ref(), held.id, |run| {
        run.turns > held.turns && run.state == RunState::Waiting
    })
    .await;
    assert!(
        has_said(
            store.as_ref(),
            &held,
            "nobody has decided about the dispute over USD 80.00"
        )
        .await
    );
    let control = &town.world.simulator.control;
    control.advance(dispute, "lost", None).expect("it is closed");
    let run = ended(store.as_ref(), 0).await;
    assert_eq!(run.result, Some(json!("lost")), "{:?}", run.error);
    process.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_that_no_webhook_told_of_is_found_by_the_safety_net() {
    let (mut town, clock) = Town::in_haste(WORKFLOW).await;
    town.world.settings.lease = Duration::from_secs(864_000);
    let store = town.world.store().await;
    let process = town.opens(store.clone()).await;
    let control = town.world.simulator.control.clone();
    control.add_webhook_fault(WebhookFaultRule::on("v2.dispute.created", WebhookFault::Drop));
    let dispute = disputed(&town).await;
    clock.advance(Duration::from_secs(2 * 3_600));
    let by_schedule = async || {
        let id = town.starts(store.as_ref(), json!({ "type": "cron" })).await;
        settled(store.as_ref(), id).await
    };
    let error = by_schedule().await.error.expect("it tells");
    let shown = format!("dp_{}", dispute.simple());
    assert!(error.message.contains(&shown), "{error:?}");
    let by_hand = json!({ "type": "manual", "payload": { "id": shown } });
    let id = town.starts(store.as_ref(), by_hand).await;
    let held = until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    assert_eq!(asked(store.as_ref(), &held).await.len(), 1);
    assert_eq!(by_schedule().await.state, RunState::Succeeded, "somebody is asked");
    process.ends().await;
}

/// A person decides and the provider closes the dispute, each once, whoever dies meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_held_over_a_crash_at_every_write() {
    let begin = async |town: &Town, _: &dyn Store| {
        disputed(town).await;
    };
    let outside = async |town: &Town, stores: &Stores<'_>, held: &Run| {
        if held.state != RunState::Waiting {
            return true;
        }
        let records = stores.sound.journal(held.id).await.expect("read");
        let journal = Journal::from_records(records).expect("legal");
        if let Some((path, _)) = journal.approvals().next() {
            let now = town.world.clock.now();
            let answer = answer(stores.sound, held.id, &path.to_string(), true, now).await;
            // What a process did not take before it died is said again to the next one.
            if stores.of_process.decide(answer).await.is_ok() {
                town.world.wake.nudge();
            }
        } else if journal.steps().any(|(_, record)| record.step.name == APPROVAL) {
            let dispute = bare_id(&held.event["payload"]["id"]);
            // Closed once: it is refused where it was closed before.
            let closed = town.world.simulator.control.advance(dispute, "won", None);
            if closed.is_ok() {
                town.world.wake.nudge();
            }
        }
        true
    };
    // The payer's payment is not ours: the run moves nothing.
    let once = "1 run succeeded with won; 0 intended, 0 paid, 0 twice, 0 missing, 1 unexplained; \
                ledger USD 80.00 ≠ journal USD 0.00";
    town::survives_with(WORKFLOW, begin, outside, once).await;
}

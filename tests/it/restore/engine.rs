//! What the engine does with steps that the store may have forgotten.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock, SystemClock};
use bursar::base::ids::{EventId, RunId};
use bursar::engine::services::EngineSettings;
use bursar::engine::worker::Engine;
use bursar::model::event::Event;
use bursar::model::journal::{Journal, Resolution};
use bursar::model::run::{Cause, NewRun, Run, RunEvent, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::restore::restore;
use bursar::store::{Acceptance, Admitted, Decision, Made, Routing, Sign, Store};
use chrono::TimeDelta;
use serde_json::json;

use crate::approvals::answer;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, decided, hurry, settings, settled, until, version};

pub(super) fn pay(amount: &str) -> String {
    format!(
        r#"
        let from = bank::accounts(#{{ label: "Operating DE" }})[0].id;
        let to = bank::accounts(#{{ label: "Treasury EUR" }})[0].id;
        bank::payout(#{{ from: from, to: to, amount: EUR({amount}), reference: "INV-1" }}).status
        "#
    )
}

const ONCE: &str = "1 intended, 1 paid, 0 twice, 0 missing; ledger EUR 10.50 = journal EUR 10.50";

/// By a clock that lets minutes pass in moments, every script takes long.
fn patient() -> EngineSettings {
    let mut settings = settings();
    settings.budget.compute = Duration::from_secs(3_600);
    settings
}

/// A world with a store and an engine that come and go, and a backup.
pub(super) struct Bank {
    pub(super) world: World,
    pub(super) clock: ManualClock,
    pub(super) store: Arc<dyn Store>,
    engine: Option<Engine>,
}

impl Bank {
    pub(super) async fn new() -> Self {
        Self::since(SystemClock::new().now()).await
    }

    /// One whose time begins at this instant.
    pub(super) async fn since(begin: Instant) -> Self {
        let clock = ManualClock::new(begin);
        hurry(clock.clone());
        let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
        let store = world.store().await;
        let engine = Some(world.engine_with(store.clone(), patient()).await);
        Self {
            world,
            clock,
            store,
            engine,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.world.clock.now()
    }

    pub(super) fn file(&self) -> PathBuf {
        self.world.folder.path().join("backup.db")
    }

    pub(super) async fn back_up(&self) {
        let folder = self.world.folder.path();
        backup(folder, &self.file(), self.now()).await.expect("backed up");
    }

    /// Ends, puts the backup back, and begins again.
    pub(super) async fn go_back(&mut self) {
        self.stop().await;
        self.store.close().await.expect("closed");
        restore(self.world.folder.path(), &self.file(), self.now())
            .await
            .expect("restored");
        self.store = self.world.store().await;
        self.go_on().await;
        let restored = self.store.restored(self.now()).await.expect("read").expect("noticed");
        assert_eq!((restored.sign, restored.holds()), (Sign::Backup, true));
    }

    /// Ends the engine, if one works.
    pub(super) async fn stop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
    }

    /// Has an engine work on the store as it stands.
    pub(super) async fn go_on(&mut self) {
        self.engine = Some(self.world.engine_with(self.store.clone(), patient()).await);
        self.store.reclaim_all(self.now()).await.expect("reclaimed");
    }

    pub(super) async fn accept(&self) {
        let acceptance = Acceptance {
            actor: "tess".to_owned(),
            reason: "looked".to_owned(),
            at: self.now(),
        };
        self.store.accept_restore(acceptance).await.expect("accepted");
    }

    /// A run of a slot: the same one whenever the slot comes again.
    pub(super) async fn slot(&self, id: RunId, slot: Instant, script: &str) {
        let version = version(&[("main.rhai", script)]);
        let run = NewRun {
            id,
            workflow: version.workflow.clone(),
            version: version.digest,
            cause: Cause::Cron {
                schedule: "0 18 * * *".to_owned(),
                timezone: "UTC".to_owned(),
                slot,
                due: None,
            },
            event: json!({"type": "cron"}).into(),
            params: json!({}),
            created_at: self.now(),
            concurrency: None,
        };
        self.store.save_version(version).await.expect("kept");
        assert_eq!(self.store.create_run(run).await, Ok(Made::New));
        self.world.wake.nudge();
    }

    pub(super) async fn settled(&self, id: RunId) -> Run {
        settled(self.store.as_ref(), id).await
    }

    /// A person says how a step goes on.
    pub(super) async fn resolve(&self, run: RunId, path: &str, resolution: Resolution) {
        let path = path.parse().expect("a path");
        let after = decided(self.store.as_ref(), run, &path).await;
        let decision = Decision {
            run,
            path: Some(path),
            resolution,
            actor: "tess".to_owned(),
            reason: "looked at the bank".to_owned(),
            after,
            at: self.now(),
        };
        self.store.resolve(decision).await.expect("resolved");
        self.world.wake.nudge();
    }

    /// The step about which a person has to decide.
    pub(super) async fn doubt(&self, run: RunId) -> String {
        let journal = Journal::from_records(self.store.journal(run).await.expect("read")).expect("legal");
        let (path, _) = journal.doubts().next().expect("a step in doubt");
        path.to_string()
    }

    pub(super) fn sent(&self) -> u64 {
        let requests = self.world.simulator.control.requests();
        requests.get("create_payout").map_or(0, |count| count.total)
    }

    pub(super) async fn audit(&self) -> String {
        audit_store(self.store.as_ref(), &self.world.simulator)
            .await
            .to_string()
    }

    pub(super) async fn end(mut self) {
        self.engine.take().expect("an engine").stop().await;
        self.store.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_forgotten_and_comes_again_adopts_what_it_paid() {
    let mut bank = Bank::new().await;
    bank.back_up().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.slot(id, slot, &pay("10.50")).await;
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!((bank.sent(), bank.audit().await.as_str()), (1, ONCE));
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_a_person_accepts_and_then_it_is() {
    let mut bank = Bank::new().await;
    bank.back_up().await;
    bank.go_back().await;
    let (forgettable, new) = (RunId::generate(bank.now()), RunId::generate(bank.now()));
    bank.slot(forgettable, bank.now(), &pay("10.50")).await;
    let version = version(&[("main.rhai", &pay("7.00"))]);
    bank.world
        .start_run(bank.store.as_ref(), new, version, json!({}), json!({}))
        .await;
    for id in [forgettable, new] {
        until(bank.store.as_ref(), id, |run| {
            run.state == RunState::Waiting && run.turns >= 3
        })
        .await;
    }
    // Minutes by the engine's clock: longer than any list may lag.
    pause(Duration::from_secs(2)).await;
    assert_eq!(bank.sent(), 0);
    bank.accept().await;
    for id in [forgettable, new] {
        assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    }
    let expected = "2 intended, 2 paid, 0 twice, 0 missing; ledger EUR 17.50 = journal EUR 17.50";
    assert_eq!((bank.sent(), bank.audit().await.as_str()), (2, expected));
    assert!(
        !bank
            .store
            .restored(bank.now())
            .await
            .expect("read")
            .expect("kept")
            .holds()
    );
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_was_open_in_the_backup_is_looked_up_and_not_sent_again() {
    // Nothing is sent before a person accepts anyway, and what was open then is not sent again afterwards either.
    for accepts in [false, true] {
        let (mut bank, id) = tried_once_or_twice().await;
        bank.back_up().await;
        bank.world.simulator.control.clear_faults();
        bank.go_on().await;
        assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
        let sent = bank.sent();
        bank.go_back().await;
        if accepts {
            bank.accept().await;
        }
        let run = bank.settled(id).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        assert_eq!((bank.sent(), bank.audit().await.as_str()), (sent, ONCE));
        bank.end().await;
    }
}

/// A payment that was refused without a word, at a moment when the same key would go out again: no engine goes on with
/// it. How often it is tried before somebody looks is the machine's to say, so it may take some banks.
async fn tried_once_or_twice() -> (Bank, RunId) {
    for _ in 0..50 {
        let mut bank = Bank::new().await;
        let refused = FaultAction::Status {
            status: 500,
            when: When::Before,
            retry_after_secs: None,
        };
        let control = bank.world.simulator.control.clone();
        control.add_fault(FaultRule::on("create_payout", refused));
        let (id, slot) = (RunId::generate(bank.now()), bank.now());
        bank.slot(id, slot, &pay("10.50")).await;
        until(bank.store.as_ref(), id, |run| run.state == RunState::Waiting).await;
        bank.engine.take().expect("an engine").stop().await;
        if bank.sent() <= 2 {
            return (bank, id);
        }
        bank.store.close().await.expect("closed");
    }
    panic!("the machine is too slow: fifty payments were tried three times before their engine was stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_was_open_in_the_backup_and_never_arrived_is_sent_once_after_acceptance() {
    let mut bank = Bank::new().await;
    let control = bank.world.simulator.control.clone();
    let refused = FaultAction::Status {
        status: 500,
        when: When::Before,
        retry_after_secs: None,
    };
    control.add_fault(FaultRule::on("create_payout", refused));
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    until(bank.store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    bank.back_up().await;
    bank.go_back().await;
    control.clear_faults();
    let sent = bank.sent();
    pause(Duration::from_secs(2)).await;
    assert_eq!(bank.sent(), sent, "held");
    bank.accept().await;
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!(bank.audit().await, ONCE);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_was_cleared_in_the_backup_to_go_out_anew_is_adopted_if_it_is_there() {
    let status = |when| FaultAction::Status {
        status: 500,
        when,
        retry_after_secs: None,
    };
    // It went out anew after the backup, or its first attempt had arrived days before.
    for (went_anew, when) in [(true, When::Before), (false, When::After)] {
        let mut bank = Bank::new().await;
        let control = bank.world.simulator.control.clone();
        control.add_fault(FaultRule::on("create_payout", status(when)));
        control.add_fault(FaultRule::on("list_payouts", status(When::Before)));
        let (id, slot) = (RunId::generate(bank.now()), bank.now());
        bank.slot(id, slot, &pay("10.50")).await;
        assert_eq!(bank.settled(id).await.state, RunState::Parked);
        bank.engine.take().expect("an engine").stop().await;
        let path = bank.doubt(id).await;
        bank.resolve(id, &path, Resolution::Resend).await;
        bank.clock.advance(Duration::from_secs(3 * 86_400));
        bank.back_up().await;
        control.clear_faults();
        bank.engine = Some(bank.world.engine_with(bank.store.clone(), patient()).await);
        let run = bank.settled(id).await;
        assert_eq!(run.state == RunState::Succeeded, went_anew, "{:?}", run.error);
        let sent = bank.sent();
        bank.go_back().await;
        bank.accept().await;
        let run = bank.settled(id).await;
        assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
        assert_eq!((bank.sent(), bank.audit().await.as_str()), (sent, ONCE));
        bank.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_otherwise_than_the_script_would_pay_now_asks_a_person() {
    let mut bank = Bank::new().await;
    bank.back_up().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    bank.slot(id, slot, &pay("11.50")).await;
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Parked);
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "contradiction");
    assert!(error.message.contains("before an older state"), "{}", error.message);
    assert_eq!(bank.sent(), 1);

    // Looked for once more, days later, it is still there: no word sends another one.
    bank.clock.advance(Duration::from_secs(3 * 86_400));
    let path = bank.doubt(id).await;
    for resolution in [Resolution::Retry, Resolution::Resend] {
        bank.resolve(id, &path, resolution).await;
        let run = bank.settled(id).await;
        assert_eq!((run.state, bank.sent()), (RunState::Parked, 1), "{:?}", run.error);
    }
    bank.resolve(id, &path, Resolution::Fail).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Failed, 1), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_the_word_of_a_person_is_told_and_not_overridden() {
    let mut bank = Bank::new().await;
    bank.back_up().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    bank.slot(id, slot, &pay("10.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;
    bank.accept().await;
    bank.slot(id, slot, &pay("11.50")).await;
    assert_eq!(bank.settled(id).await.state, RunState::Parked);
    // The first look after the word of a person fails, so that only the second one shows it.
    let failure = FaultAction::Status {
        status: 500,
        when: When::Before,
        retry_after_secs: None,
    };
    let control = &bank.world.simulator.control;
    control.add_fault(FaultRule::on("list_payouts", failure).times(1));
    let path = bank.doubt(id).await;
    for _ in 0..2 {
        bank.resolve(id, &path, Resolution::Resend).await;
        let run = bank.settled(id).await;
        assert_eq!((run.state, bank.sent()), (RunState::Parked, 1), "{:?}", run.error);
        let error = run.error.expect("a reason");
        assert_eq!(error.code, "contradiction");
        assert!(error.message.contains("10.5"), "{}", error.message);
    }
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_says_not_when_it_happened_asks_a_person() {
    let mut bank = Bank::new().await;
    bank.back_up().await;
    bank.go_back().await;
    bank.accept().await;
    let (id, now) = (RunId::generate(bank.now()), bank.now());
    let event = Event {
        id: EventId::generate(now),
        connection: "bank".to_owned(),
        provider_id: "evt_1".to_owned(),
        kind: "deposit.received".to_owned(),
        subject: None,
        occurred_at: None,
        received_at: now,
        payload: json!({}).into(),
    };
    let version = version(&[("main.rhai", &pay("10.50"))]);
    let (workflow, digest) = (version.workflow.clone(), version.digest);
    bank.store.save_version(version).await.expect("kept");
    let admitted = bank.store.admit(event.clone()).await.expect("admitted");
    let Admitted::New { mark, .. } = admitted else {
        panic!("{admitted:?}")
    };
    let run = NewRun {
        id,
        workflow,
        version: digest,
        cause: Cause::Webhook { event: event.id },
        event: RunEvent::Admitted(mark),
        params: json!({}),
        created_at: now,
        concurrency: None,
    };
    let after = bank.store.unrouted(1, 1).await.expect("read").after;
    let routing = Routing {
        after,
        up_to: mark,
        runs: vec![run],
        ..Routing::default()
    };
    bank.store.route(routing).await.expect("routed");
    bank.world.wake.nudge();
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Parked);
    assert_eq!(run.error.expect("a reason").code, "in_doubt");
    assert_eq!(bank.sent(), 0);
    let path = bank.doubt(id).await;
    bank.resolve(id, &path, Resolution::Resend).await;
    let run = bank.settled(id).await;
    assert_eq!((run.state, bank.sent()), (RunState::Succeeded, 1), "{:?}", run.error);
    bank.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_whose_answer_may_be_forgotten_is_not_said_to_have_had_none() {
    let mut bank = Bank::new().await;
    let (id, slot) = (RunId::generate(bank.now()), bank.now());
    let script = format!(
        "approval(#{{ reason: \"pay ACME\", timeout: minutes(3) }}); {}",
        pay("10.50")
    );
    bank.slot(id, slot, &script).await;
    until(bank.store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    bank.back_up().await;
    let yes = answer(bank.store.as_ref(), id, "1", true, slot).await;
    bank.store.decide(yes).await.expect("decided");
    bank.world.wake.nudge();
    assert_eq!(bank.settled(id).await.state, RunState::Succeeded);
    bank.go_back().await;

    // Its time ends while the restore holds.
    let patience = Patience::new(Duration::from_secs(60));
    while bank.now() < slot + TimeDelta::minutes(4) {
        assert!(!patience.is_over(), "time passes");
        pause(Duration::from_millis(20)).await;
    }
    let turns = until(bank.store.as_ref(), id, |run| run.state == RunState::Waiting)
        .await
        .turns;
    let run = until(bank.store.as_ref(), id, |run| run.turns > turns + 1).await;
    assert!(!run.state.is_final(), "no time-out is recorded: {run:?}");
    bank.accept().await;
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Parked, "{:?}", run.error);
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "in_doubt");
    assert!(
        error.message.contains("may have been given and forgotten"),
        "{}",
        error.message
    );

    // It is asked again, with its whole time, and what was paid is adopted.
    let decision = Decision {
        run: id,
        path: Some("1".parse().expect("a path")),
        resolution: Resolution::Retry,
        actor: "tess".to_owned(),
        reason: "ask maria".to_owned(),
        after: 0,
        at: bank.now(),
    };
    bank.store.resolve(decision).await.expect("resolved");
    bank.world.wake.nudge();
    until(bank.store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let journal = Journal::from_records(bank.store.journal(id).await.expect("read")).expect("legal");
    assert_eq!(journal.approvals().count(), 1);
    let yes = answer(bank.store.as_ref(), id, "1", true, bank.now()).await;
    bank.store.decide(yes).await.expect("decided");
    bank.world.wake.nudge();
    let run = bank.settled(id).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    assert_eq!((bank.sent(), bank.audit().await.as_str()), (1, ONCE));
    bank.end().await;
}

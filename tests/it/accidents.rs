//! Accidents of clocks, leases and deaths in a row: each of these once paid twice, forgot a payment, or hung.

use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::connector::table::Connector;
use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::faulty::{Fault, Faulty};
use bursar::store::{Store, StoreError};
use futures_util::FutureExt as _;
use serde_json::json;

use crate::support::real_time::{Patience, pause};
use crate::support::{NO_RUN_CAN_BE_TAKEN, World, audit_store, hurry, meddle, open, passing, settled, until};

const PAY: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
    bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" }).status
"#;

/// Lets an engine run until its store fails at the chosen write.
pub(crate) async fn dies(world: &World, fault: Fault) {
    let store = open(world.folder.path()).await;
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    let faulty = Faulty::new(store.clone(), fault);
    // A nudge that is left from before would be one more look at the store, and the fault would meet another write.
    let _left: Option<()> = world.wake.nudged().now_or_never();
    let engine = world.engine(faulty.clone()).await;
    let patience = Patience::new(Duration::from_secs(20));
    while !faulty.is_dead() {
        assert!(!patience.is_over(), "{fault:?} is never met");
        pause(Duration::from_millis(2)).await;
    }
    engine.stop().await;
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deaths_around_the_end_of_the_key_window_pay_once() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    // Less than the 120 seconds the table allows for.
    world
        .simulator
        .control
        .configure(|config| config.lists.visibility_lag_ms = 100_000);
    let store = open(world.folder.path()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    world.wake.nudged().await;
    store.close().await.expect("closed");

    // 1: wake_due, 2: claim, 3: the intent. Nothing is sent.
    dies(&world, Fault::After(3)).await;
    assert_eq!(world.simulator.control.effects().len(), 0);
    // The key still holds: sent, applied, and the process dies before the outcome is durable.
    clock.advance(Duration::from_secs(49 * 60 + 30));
    // 1: wake_due, 2: claim, 3: that it goes out, 4: the outcome.
    dies(&world, Fault::Before(4)).await;
    assert_eq!(world.simulator.control.effects().len(), 1);
    // 45 seconds later the key does not hold any more, and the list does not show it yet.
    clock.advance(Duration::from_secs(45));
    let store = open(world.folder.path()).await;
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    let engine = world.engine(store.clone()).await;
    hurry(clock.clone());
    until(store.as_ref(), id, |run| {
        run.state.is_final() || run.state == RunState::Parked
    })
    .await;
    engine.stop().await;
    let kinds: Vec<_> = store
        .journal(id)
        .await
        .expect("the journal")
        .iter()
        .map(|record| record.entry.kind())
        .filter(|kind| *kind != "done")
        .collect();
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert_eq!(world.simulator.control.effects().len(), 1, "{kinds:?} {audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_that_is_ended_first_learns_what_its_payout_did() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    world.simulator.control.add_fault(
        FaultRule::on(
            "create_payout",
            FaultAction::Status {
                status: 500,
                when: When::After,
                retry_after_secs: Some(3_600),
            },
        )
        .times(1),
    );
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    // Nothing goes out again, so nothing is waited for: no time passes.
    let left = store.cancel(id, "treasurer", "a mistake", clock.now()).await;
    assert_eq!(left, Ok(RunState::Queued), "it looks at once");
    world.wake.nudge();
    until(store.as_ref(), id, |run| run.state.is_final()).await;
    engine.stop().await;
    let kinds: Vec<_> = store
        .journal(id)
        .await
        .expect("the journal")
        .iter()
        .map(|record| record.entry.kind())
        .filter(|kind| *kind != "done")
        .collect();
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert_eq!(kinds, ["intent", "retry", "outcome"], "{audit}");
}

/// A refusal after an unknown outcome: the look-up must be given its lag, not be moved on by sending again.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_ten_minutes_parks_nobody() {
    let (world, clock) = World::standing_still().await;
    // Nothing happens at the provider; it answers 500 for the first twelve attempts.
    world.simulator.control.add_fault(
        FaultRule::on(
            "create_payout",
            FaultAction::Status {
                status: 500,
                when: When::Before,
                retry_after_secs: None,
            },
        )
        .times(12),
    );
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let run = passing(store.as_ref(), &clock, id, RunState::Waiting, Duration::from_secs(2)).await;
    engine.stop().await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
}

/// A panic or an error of a turn leaves its run to be taken again when the lease is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_cannot_be_settled_is_taken_again() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let store = world.store().await;
    let error = StoreError::Unavailable("pool timed out".to_owned());
    let engine = world.engine(Arc::new(once::FailsOnce::new(store.clone(), error))).await;
    let script = r#"bank::wait_event(#{ type: "payout.paid", timeout: 1 })"#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    // 20 seconds of patience are some 40 minutes of this world, and a lease is 30 seconds.
    let patience = Patience::new(Duration::from_secs(10));
    let run = loop {
        let run = store.run(id).await.expect("read").expect("there");
        if run.state.is_final() || patience.is_over() {
            break run;
        }
        pause(Duration::from_millis(5)).await;
    };
    engine.stop().await;
    assert!(run.state.is_final(), "still {} after {} turns", run.state, run.turns);
}

/// What cannot be read now may be read in a moment; what is damaged will not be.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_reads_something_damaged_is_parked_and_harms_no_other() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let store = world.store().await;
    let error = StoreError::Corrupt("events: row 1, column payload: expected value".to_owned());
    let engine = world.engine(Arc::new(once::FailsOnce::new(store.clone(), error))).await;
    let script = r#"try { bank::wait_event(#{ type: "payout.paid", timeout: 1 }); } catch { 1 }"#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    let damaged = settled(store.as_ref(), id).await;
    let other = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let other = settled(store.as_ref(), other).await;
    engine.stop().await;
    assert_eq!(damaged.state, RunState::Parked, "{:?}", damaged.error);
    let error = damaged.error.expect("a reason");
    assert_eq!(error.code, "damaged");
    assert!(error.message.contains("column payload"), "{}", error.message);
    assert_eq!(other.state, RunState::Succeeded, "{:?}", other.error);
}

mod once {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bursar::base::clock::Instant;
    use bursar::base::ids::{Digest, EventId, RunId, WorkerId};
    use bursar::model::event::{Event, EventFilter};
    use bursar::model::fate::Fate;
    use bursar::model::journal::Record;
    use bursar::model::run::{EventMark, NewRun, Run, RunError};
    use bursar::model::unmade::{ClockDoubt, Pause, Resumption, Unmade};
    use bursar::model::value::Value;
    use bursar::model::workflow::Version;
    use bursar::store::*;
    use bursar::store::{Acceptance, Restored};

    /// The first look for an event fails with this error.
    pub(super) struct FailsOnce {
        inner: Arc<dyn Store>,
        error: StoreError,
        failed: AtomicBool,
    }

    impl FailsOnce {
        pub(super) fn new(inner: Arc<dyn Store>, error: StoreError) -> Self {
            Self {
                inner,
                error,
                failed: AtomicBool::new(false),
            }
        }
    }

    impl Store for FailsOnce {
        fn admit(&self, event: Event) -> Answer<'_, Admitted> {
            self.inner.admit(event)
        }
        fn unrouted(&self, limit: u32, bytes_max: usize) -> Answer<'_, Unrouted> {
            self.inner.unrouted(limit, bytes_max)
        }
        fn behind(&self) -> Answer<'_, BTreeSet<String>> {
            self.inner.behind()
        }
        fn unrouted_by<'a>(&'a self, workflow: &'a str, limit: u32, bytes_max: usize) -> Answer<'a, Unrouted> {
            self.inner.unrouted_by(workflow, limit, bytes_max)
        }
        fn route(&self, routing: Routing) -> Answer<'_, Routed> {
            self.inner.route(routing)
        }
        fn create_run(&self, run: NewRun) -> Answer<'_, Made> {
            self.inner.create_run(run)
        }

        fn pass_over(&self, unmade: Unmade) -> Answer<'_, ()> {
            self.inner.pass_over(unmade)
        }

        fn unmade<'a>(&'a self, workflow: Option<&'a str>, limit: u32) -> Answer<'a, Vec<Unmade>> {
            self.inner.unmade(workflow, limit)
        }
        fn save_version(&self, version: Version) -> Answer<'_, ()> {
            self.inner.save_version(version)
        }
        fn settled_until<'a>(&'a self, w: &'a str, s: &'a str, t: &'a str, n: Instant) -> Answer<'a, Option<Instant>> {
            self.inner.settled_until(w, s, t, n)
        }
        fn settle_slots(&self, key: SlotKey, until: Instant) -> Answer<'_, ()> {
            self.inner.settle_slots(key, until)
        }
        fn slot_runs(&self, query: SlotQuery) -> Answer<'_, Vec<SlotRun>> {
            self.inner.slot_runs(query)
        }
        fn claim(&self, w: WorkerId, now: Instant, until: Instant, limit: u32) -> Answer<'_, Vec<Claim>> {
            self.inner.claim(w, now, until, limit)
        }
        fn renew(&self, w: WorkerId, runs: Vec<RunId>, until: Instant) -> Answer<'_, ()> {
            self.inner.renew(w, runs, until)
        }
        fn append(&self, lease: &Lease, append: Append, now: Instant) -> Written {
            self.inner.append(lease, append, now)
        }
        fn wake_due(&self, now: Instant) -> Answer<'_, (u64, Option<Instant>)> {
            self.inner.wake_due(now)
        }
        fn reclaim_all(&self, now: Instant) -> Answer<'_, u64> {
            self.inner.reclaim_all(now)
        }
        fn examined(&self, run: RunId, found: Option<RunError>) -> Answer<'_, ()> {
            self.inner.examined(run, found)
        }
        fn durable(&self) -> Answer<'_, ()> {
            self.inner.durable()
        }
        fn resolve(&self, decision: Decision) -> Answer<'_, ()> {
            self.inner.resolve(decision)
        }
        fn decide(&self, decision: ApprovalDecision) -> Answer<'_, ()> {
            self.inner.decide(decision)
        }
        fn cancel<'a>(&'a self, run: RunId, a: &'a str, r: &'a str, now: Instant) -> Answer<'a, RunState> {
            self.inner.cancel(run, a, r, now)
        }
        fn run(&self, id: RunId) -> Answer<'_, Option<Run>> {
            self.inner.run(id)
        }
        fn journal(&self, run: RunId) -> Answer<'_, Vec<Record>> {
            self.inner.journal(run)
        }
        fn runs(&self, query: RunQuery) -> Answer<'_, Vec<Run>> {
            self.inner.runs(query)
        }
        fn version(&self, digest: Digest) -> Answer<'_, Option<Version>> {
            self.inner.version(digest)
        }
        fn event(&self, id: EventId) -> Answer<'_, Option<Event>> {
            self.inner.event(id)
        }
        fn events(&self, query: EventQuery) -> Answer<'_, Vec<Event>> {
            self.inner.events(query)
        }
        fn fates(&self, events: Vec<EventId>) -> Answer<'_, Vec<Fate>> {
            self.inner.fates(events)
        }

        fn find_event(&self, filter: EventFilter) -> Answer<'_, (Option<Event>, EventMark)> {
            if !self.failed.swap(true, Ordering::SeqCst) {
                return Box::pin(std::future::ready(Err(self.error.clone())));
            }
            self.inner.find_event(filter)
        }
        fn state<'a>(&'a self, w: &'a str, k: &'a str) -> Answer<'a, Option<Value>> {
            self.inner.state(w, k)
        }
        fn backfill_from<'a>(&'a self, connection: &'a str) -> Answer<'a, Option<BackfillMark>> {
            self.inner.backfill_from(connection)
        }

        fn set_backfill_from(&self, connection: &str, from: Instant) -> Answer<'_, ()> {
            self.inner.set_backfill_from(connection, from)
        }

        fn pauses(&self) -> Answer<'_, Vec<Pause>> {
            self.inner.pauses()
        }

        fn pause(&self, pause: Pause) -> Answer<'_, ()> {
            self.inner.pause(pause)
        }

        fn resume(&self, workflow: &str, resumption: Resumption) -> Answer<'_, bool> {
            self.inner.resume(workflow, resumption)
        }

        fn resumed<'a>(&'a self, workflow: &'a str) -> Answer<'a, Option<Resumption>> {
            self.inner.resumed(workflow)
        }

        fn clock_doubt(&self) -> Answer<'_, Option<ClockDoubt>> {
            self.inner.clock_doubt()
        }

        fn doubt_clock(&self, since: Instant, reason: String) -> Answer<'_, ()> {
            self.inner.doubt_clock(since, reason)
        }

        fn trust_clock(&self, now: Instant) -> Answer<'_, bool> {
            self.inner.trust_clock(now)
        }

        fn clock_seen(&self) -> Answer<'_, Option<Instant>> {
            self.inner.clock_seen()
        }

        fn see_clock(&self, now: Instant) -> Answer<'_, ()> {
            self.inner.see_clock(now)
        }

        fn exclude(
            &self,
            lease: &Lease,
            exclusion: bursar::store::Exclusion,
        ) -> Answer<'_, Option<bursar::store::Holder>> {
            self.inner.exclude(lease, exclusion)
        }
        fn reserve(&self, lease: &Lease, reservation: bursar::store::Reservation) -> Answer<'_, bool> {
            self.inner.reserve(lease, reservation)
        }
        fn release_reserved(&self, lease: &Lease, release: bursar::store::Release) -> Answer<'_, bool> {
            self.inner.release_reserved(lease, release)
        }
        fn open_movements<'a>(
            &'a self,
            connection: &'a str,
            account: &'a str,
        ) -> Answer<'a, bursar::store::OpenMovements> {
            self.inner.open_movements(connection, account)
        }
        fn accepted<'a>(
            &'a self,
            connection: &'a str,
            account: &'a str,
            since: Instant,
        ) -> Answer<'a, Vec<bursar::store::Accepted>> {
            self.inner.accepted(connection, account, since)
        }
        fn set_breaker(&self, connection: String, tripped: Option<bursar::model::breaker::Tripped>) -> Answer<'_, ()> {
            self.inner.set_breaker(connection, tripped)
        }
        fn breakers(&self) -> Answer<'_, Vec<bursar::model::breaker::Tripped>> {
            self.inner.breakers()
        }
        fn counts(&self) -> Answer<'_, Vec<(RunState, u64)>> {
            self.inner.counts()
        }
        fn installation_secret(&self) -> Answer<'_, [u8; 32]> {
            self.inner.installation_secret()
        }
        fn restored(&self, now: Instant) -> Answer<'_, Option<Restored>> {
            self.inner.restored(now)
        }
        fn accept_restore(&self, acceptance: Acceptance) -> Answer<'_, ()> {
            self.inner.accept_restore(acceptance)
        }
        fn close(&self) -> Answer<'_, ()> {
            self.inner.close()
        }
    }
}

/// The machine's clock is set right by two hours while a request is out.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_while_a_request_is_out_pays_once() {
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    world.simulator.control.add_fault(
        FaultRule::on(
            "create_payout",
            FaultAction::Delay {
                ms: 2_500,
                when: When::Before,
            },
        )
        .times(1),
    );
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let patience = Patience::new(Duration::from_secs(10));
    while world
        .simulator
        .control
        .requests()
        .get("create_payout")
        .is_none_or(|count| count.total == 0)
    {
        assert!(!patience.is_over());
        pause(Duration::from_millis(2)).await;
    }
    clock.jump_to(clock.now() + chrono::TimeDelta::hours(2));
    let run = passing(store.as_ref(), &clock, id, RunState::Running, Duration::from_millis(20)).await;
    engine.stop().await;
    assert_eq!((run.state, run.turns), (RunState::Succeeded, 1));
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert_eq!(world.simulator.control.effects().len(), 1, "{audit}");
}

/// Our clock is ten minutes ahead of the provider's.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_of_the_provider_pays_once() {
    let theirs = ManualClock::new(SystemClock::new().now());
    let ours = ManualClock::new(theirs.now() + chrono::TimeDelta::minutes(10));
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(theirs.clone())).await;
    world.clock = Arc::new(ours.clone());
    world.reconnect(|bank| bank.key_window_secs = Some(0));
    hurry(theirs);
    hurry(ours);
    world
        .simulator
        .control
        .add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1));
    assert_eq!(world.run(PAY).await.state, RunState::Succeeded);
    let store = world.store().await;
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert_eq!(world.simulator.control.effects().len(), 1, "{audit}");
}

/// A table may say that an endpoint must not be repeated, whatever its method.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_must_not_be_repeated_is_not() {
    let freeze = r#"bank::freeze_account(bank::accounts(#{ label: "Operating NL" })[0].id).status"#;
    for (endpoint, word, script, left) in [
        ("create_payout", "lookup", PAY, RunState::Succeeded),
        ("freeze_account", "park", freeze, RunState::Parked),
    ] {
        let mut world = World::in_haste(SimulatorConfig::demo()).await;
        let connector = Connector::parse("augustus.toml", &with_in_doubt(endpoint, word)).expect("the table is right");
        world.reconnect(|bank| bank.connector = Arc::new(connector));
        world
            .simulator
            .control
            .add_fault(FaultRule::on(endpoint, FaultAction::DropAfterEffect).times(1));
        let run = world.run(script).await;
        assert_eq!(run.state, left, "{word}: {:?}", run.error);
        assert_eq!(
            world.simulator.control.requests()[endpoint].total,
            1,
            "{word}: nothing is sent again"
        );
    }
}

/// The built-in table with another word for one endpoint.
fn with_in_doubt(endpoint: &str, word: &str) -> String {
    let table = include_str!("../../src/connector/providers/augustus.toml");
    let (before, rest) = table
        .split_once(&format!("[endpoint.{endpoint}]"))
        .expect("the endpoint");
    let rest = rest.replacen("in_doubt = \"repeat\"", &format!("in_doubt = \"{word}\""), 1);
    format!("{before}[endpoint.{endpoint}]{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_could_not_look_does_not_say_that_time_is_over() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    // Every look fails until long after the wait's time is over.
    let down = FaultAction::Status {
        status: 503,
        when: When::Before,
        retry_after_secs: None,
    };
    world
        .simulator
        .control
        .add_fault(FaultRule::on("retrieve_payout", down).times(6));
    let script = r#"
        let from = bank::accounts(#{ label: "Operating DE" })[0].id;
        let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
        let paid = bank::payout(#{ from: from, to: to, amount: EUR(1), reference: "A" });
        let done = "";
        try { done = bank::settled(paid, "1s").status; } catch (e) { done = e.error; }
        done
    "#;
    let run = world.run(script).await;
    assert_eq!(
        (run.state, run.result),
        (RunState::Succeeded, Some(json!("paid"))),
        "{:?}",
        run.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_waits_for_an_event_are_given_two_events() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let script = r#"
        let first = bank::wait_event(#{ type: "deposit.received", timeout: "1m" });
        let second = bank::wait_event(#{ type: "deposit.received", timeout: "1m" });
        [first.id, second.id]
    "#;
    let id = world.start(store.as_ref(), script, json!({}), json!({})).await;
    for number in ["one", "two"] {
        let now = world.clock.now();
        let event = bursar::model::event::Event {
            id: bursar::base::ids::EventId::generate(now),
            connection: "bank".to_owned(),
            provider_id: number.to_owned(),
            kind: "deposit.received".to_owned(),
            subject: None,
            occurred_at: None,
            received_at: now,
            payload: json!({}).into(),
        };
        world.arrives(store.as_ref(), event).await;
    }
    let run = until(store.as_ref(), id, |run| run.state.is_final()).await;
    engine.stop().await;
    assert_eq!(run.result, Some(json!(["one", "two"])), "{:?}", run.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_a_wait_is_recorded_before_a_script_may_catch_it() {
    let world = World::in_haste(SimulatorConfig::demo()).await;
    let script = r#"
        let caught = "";
        try { bank::settled(#{ resource: "payout", id: "not a uuid" }, "1s"); } catch (e) { caught = e.error; }
        caught
    "#;
    let run = world.run(script).await;
    assert_eq!(
        (run.state, run.result),
        (RunState::Succeeded, Some(json!("invalid_argument"))),
        "{:?}",
        run.error
    );
    let store = world.store().await;
    let records = store.journal(run.id).await.expect("the journal");
    assert!(
        records.iter().any(|record| record.entry.kind() == "outcome"),
        "{records:?}"
    );
}

/// A turn begins before the claim of its run is durable, once the engine is no longer careful. Its first effect stands
/// behind the claim.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_for_a_run_whose_claim_could_not_be_committed() {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    // A first run of the same text takes the only place until the second one is made, and nobody can be taken any more.
    world.settings.runs_max = 1;
    let slow = FaultAction::Delay {
        ms: 15_500,
        when: When::Before,
    };
    let fault = FaultRule::on("list_accounts", slow).times(1);
    world.simulator.control.add_fault(fault);
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let asked = |operation: &str| {
        let requests = world.simulator.control.requests();
        requests.get(operation).map_or(0, |count| count.total)
    };
    world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    let patience = Patience::new(Duration::from_secs(20));
    while asked("list_accounts") == 0 {
        assert!(!patience.is_over(), "the first run never begins");
        pause(Duration::from_millis(2)).await;
    }
    world.start(store.as_ref(), PAY, json!({}), json!({})).await;
    // Past the engine's careful time, and within the lease of the first run, which is renewed now and not again.
    clock.advance(Duration::from_secs(15));
    pause(Duration::from_millis(200)).await;
    for statement in NO_RUN_CAN_BE_TAKEN {
        meddle(world.folder.path(), statement).await;
    }
    // The first run goes on: it asks for two lists and pays. So would the second.
    clock.advance(Duration::from_millis(900));
    let patience = Patience::new(Duration::from_secs(20));
    while asked("list_accounts") < 4 || store.counts().await.is_ok() {
        assert!(!patience.is_over(), "the claim was committed, or its turn never began");
        pause(Duration::from_millis(2)).await;
    }
    // Time for the turn to pay.
    pause(Duration::from_millis(300)).await;
    engine.stop().await;
    assert_eq!(
        asked("create_payout"),
        1,
        "the second turn went as far as its payment, and no further"
    );
    assert_eq!(world.simulator.control.effects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_connection_is_gone_is_parked_and_pays_by_no_other() {
    let mut world = World::demo().await;
    world.connections.clear();
    let run = world.run(r#"try { bank::balance("x") } catch { 1 }"#).await;
    assert_eq!(run.state, RunState::Parked);
    assert_eq!(run.error.map(|error| error.code).as_deref(), Some("missing_connection"));
}

/// Entries that ride are written when there are 256 of them. An intent that is the 256th has to go with the word that
/// it begins an effect, or the end of the run, asked for meanwhile, would come too late for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_fills_the_last_place_among_the_riding_ones_is_still_refused_when_the_run_is_to_end() {
    let script = |lines: usize| {
        let (reads, pays) = PAY.trim().split_once("bank::payout").expect("it pays");
        format!("{reads} for line in 0..{lines} {{ log::info(\"x\"); }} bank::payout{pays}")
    };
    let (world, clock) = World::standing_still().await;
    let intents = async |store: &dyn Store, id| {
        let records = store.journal(id).await.expect("the journal");
        let intents = records.iter().filter(|record| record.entry.kind() == "intent");
        intents.map(|record| record.seq).collect::<Vec<_>>()
    };
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let id = world.start(store.as_ref(), &script(0), json!({}), json!({})).await;
    settled(store.as_ref(), id).await;
    let place = usize::try_from(intents(store.as_ref(), id).await[0]).expect("small");

    for lines in [256 - place - 1, 256 - place, 256 - place + 1] {
        // The end is asked for while the read is out.
        let slow = FaultAction::Delay {
            ms: 300,
            when: When::Before,
        };
        let reads = |world: &World| world.simulator.control.requests()["list_accounts"].total;
        let before = reads(&world);
        let fault = FaultRule::on("list_accounts", slow).times(1);
        world.simulator.control.add_fault(fault);
        let id = world.start(store.as_ref(), &script(lines), json!({}), json!({})).await;
        let patience = Patience::new(Duration::from_secs(10));
        while reads(&world) == before {
            assert!(!patience.is_over());
            pause(Duration::from_millis(2)).await;
        }
        let asked = store.cancel(id, "treasurer", "a mistake", world.clock.now()).await;
        assert_eq!(asked, Ok(RunState::Running), "only a note is left");
        let run = passing(
            store.as_ref(),
            &clock,
            id,
            RunState::Running,
            Duration::from_millis(100),
        )
        .await;
        assert_eq!(run.state, RunState::Cancelled, "{lines}: {:?}", run.error);
        assert_eq!(
            intents(store.as_ref(), id).await,
            Vec::<u32>::new(),
            "{lines} lines before it"
        );
    }
    engine.stop().await;
    assert_eq!(world.simulator.control.effects().len(), 1, "only the first run paid");
}

//! What changes at the provider between what a step reads and what it sends because of that: a step that waits in between
//! looks again. And what one run does alone with a deposit, while others wait for it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bursar::base::clock::{Clock as _, ManualClock};
use bursar::base::ids::RunId;
use bursar::base::wake::Wake;
use bursar::model::journal::Entry;
use bursar::model::run::{Run, RunState};
use bursar::simulator::control::NewDeposit;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::restore::restore;
use bursar::store::{Acceptance, Store};
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::payaut::asked;
use crate::support::{World, open, passing, settled, until};

/// How long the list of payouts is behind.
const LAG: Duration = Duration::from_secs(100);

/// Time passes by so much while a run waits.
const STEP: Duration = Duration::from_secs(1);

struct Bank {
    world: World,
    clock: ManualClock,
    deposit: String,
}

impl Bank {
    /// A bank that answers once in a second: a step that asks more than once waits in between.
    async fn slow() -> Self {
        let (mut world, clock) = World::standing_still().await;
        let deposit = NewDeposit::new("Collections EUR", "75.20", "who knows");
        let deposit = world.simulator.control.create_deposit(&deposit).expect("it arrives");
        world.reconnect(|bank| bank.pace.requests_per_second = Some(1));
        Self {
            world,
            clock,
            deposit: deposit.to_string(),
        }
    }

    fn made(&self) -> (usize, usize) {
        let effects = self.world.simulator.control.effects();
        let of = |kind: &str| effects.iter().filter(|effect| effect.kind == kind).count();
        (of("payout"), of("return"))
    }

    fn sends_back(&self) -> String {
        format!(
            r#"let told = "sent"; try {{ bank::send_back(#{{ deposit: "{}", reference: "not ours" }}); }} catch (e) {{ told = e.error; }} told"#,
            self.deposit
        )
    }

    fn returns(&self) -> String {
        format!(
            r#"let told = "returned"; try {{ bank::return_deposit("{}"); }} catch (e) {{ told = e.error; }} told"#,
            self.deposit
        )
    }

    async fn start(&self, store: &dyn Store, script: &str) -> RunId {
        self.world.start(store, script, json!({}), json!({})).await
    }

    /// Lets time pass until the run waits after the bank was asked for this so often.
    async fn waits_after(&self, store: &dyn Store, run: RunId, operation: &str, times: u64) {
        waits_after((store, run), &self.clock, || asked(&self.world, operation) >= times).await;
    }

    /// The same, until it has paid and waits.
    async fn waits_after_it_paid(&self, store: &dyn Store, run: RunId) {
        waits_after((store, run), &self.clock, || self.made().0 == 1).await;
    }

    async fn ends(&self, store: &dyn Store, run: RunId) -> Run {
        passing(store, &self.clock, run, RunState::Waiting, STEP).await
    }

    /// The same of one that was told to come again later.
    async fn ends_later(&self, store: &dyn Store, run: RunId) -> Run {
        passing(store, &self.clock, run, RunState::Waiting, STEP * 30).await
    }
}

/// Somebody else does this at the bank, at once, who knows nothing of the store.
pub(super) async fn elsewhere(world: &mut World, script: &str) {
    let folder = TempDir::new().expect("a folder");
    world.reconnect(|bank| bank.pace.requests_per_second = None);
    // A nudge wakes one engine, and the clock that would wake the other stands still.
    let ours = std::mem::replace(&mut world.wake, Wake::new());
    let store = open(folder.path()).await;
    let engine = world.engine(store.clone()).await;
    let run = world.start(store.as_ref(), script, json!({}), json!({})).await;
    let run = settled(store.as_ref(), run).await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    engine.stop().await;
    store.close().await.expect("closed");
    world.wake = ours;
}

/// Lets time pass until this has come and the run waits after it.
pub(super) async fn waits_after((store, run): (&dyn Store, RunId), clock: &ManualClock, has_come: impl Fn() -> bool) {
    // A run that was seen to wait before it came may have done so for something else.
    let came = Cell::new(false);
    until(store, run, |run| {
        assert!(!run.state.is_final(), "{run:?}");
        let waits = run.state == RunState::Waiting;
        if waits && came.get() {
            return true;
        }
        came.set(has_come());
        // Never further than it waits: else it goes on past what is waited for.
        let left = run.wake_at.and_then(|at| (at - clock.now()).to_std().ok());
        if let Some(left) = left.filter(|_| waits && !came.get()) {
            clock.advance(left);
        }
        false
    })
    .await;
}

fn told(run: &Run) -> &Json {
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    run.result.as_ref().expect("a result")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_was_returned_while_a_payment_waited_is_not_sent_back() {
    let mut bank = Bank::slow().await;
    let store = bank.world.store().await;
    let engine = bank.world.engine(store.clone()).await;
    let sends = bank.start(store.as_ref(), &bank.sends_back()).await;
    bank.waits_after(store.as_ref(), sends, "list_payouts", 1).await;
    let returns = bank.returns();
    elsewhere(&mut bank.world, &returns).await;
    let run = bank.ends(store.as_ref(), sends).await;
    engine.stop().await;
    assert_eq!(bank.made(), (0, 1), "{:?}", run.result);
    assert_eq!(told(&run), "not_possible");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_was_sent_back_while_a_return_waited_is_not_returned() {
    let mut bank = Bank::slow().await;
    let store = bank.world.store().await;
    let engine = bank.world.engine(store.clone()).await;
    let returns = bank.start(store.as_ref(), &bank.returns()).await;
    bank.waits_after(store.as_ref(), returns, "list_payouts", 1).await;
    let sends = bank.sends_back();
    elsewhere(&mut bank.world, &sends).await;
    let run = bank.ends(store.as_ref(), returns).await;
    engine.stop().await;
    assert_eq!(bank.made(), (1, 0), "{:?}", run.result);
    assert_eq!(told(&run), "sent_back_before");
}

/// The one that had looked is cancelled, the one that waited for it pays; then an older backup brings the first one back,
/// and the list does not show the payment yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_looked_at_before_a_backup_is_looked_at_again() {
    let bank = Bank::slow().await;
    let control = bank.world.simulator.control.clone();
    control.configure(|config| config.lists.visibility_lag_ms = u64::try_from(LAG.as_millis()).expect("small"));
    let (folder, file) = (bank.world.folder.path(), bank.world.folder.path().join("backup.db"));
    let store = bank.world.store().await;
    let engine = bank.world.engine(store.clone()).await;
    let first = bank.start(store.as_ref(), &bank.sends_back()).await;
    bank.waits_after(store.as_ref(), first, "list_payouts", 1).await;
    let second = bank.start(store.as_ref(), &bank.sends_back()).await;
    until(store.as_ref(), second, |run| run.state == RunState::Waiting).await;
    backup(folder, &file, bank.world.clock.now()).await.expect("backed up");
    let now = bank.world.clock.now();
    store.cancel(first, "tess", "not wanted", now).await.expect("cancelled");
    bank.waits_after_it_paid(store.as_ref(), second).await;
    engine.stop().await;
    store.close().await.expect("closed");

    restore(folder, &file, bank.world.clock.now()).await.expect("restored");
    let store: Arc<dyn Store> = bank.world.store().await;
    let acceptance = Acceptance {
        actor: "tess".to_owned(),
        reason: "looked".to_owned(),
        at: bank.world.clock.now(),
    };
    store.accept_restore(acceptance).await.expect("accepted");
    let engine = bank.world.engine(store.clone()).await;
    let runs = [
        bank.ends(store.as_ref(), first).await,
        bank.ends(store.as_ref(), second).await,
    ];
    engine.stop().await;
    assert_eq!(bank.made(), (1, 0), "{runs:?}");
    assert_eq!(told(&runs[0]), "sent_back_before");
    assert_eq!(told(&runs[1]), "sent");
}

/// It has paid and is cancelled before the list shows that; then somebody sets the wall clock ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_ahead_does_not_show_a_payment_earlier() {
    let bank = Bank::slow().await;
    let control = bank.world.simulator.control.clone();
    control.configure(|config| config.lists.visibility_lag_ms = u64::try_from(LAG.as_millis()).expect("small"));
    let store = bank.world.store().await;
    let engine = bank.world.engine(store.clone()).await;
    let first = bank.start(store.as_ref(), &bank.sends_back()).await;
    bank.waits_after_it_paid(store.as_ref(), first).await;
    let now = bank.world.clock.now();
    store.cancel(first, "tess", "not wanted", now).await.expect("cancelled");
    until(store.as_ref(), first, |run| run.state == RunState::Cancelled).await;
    bank.clock.jump_to(now + Duration::from_secs(600));
    let second = bank.start(store.as_ref(), &bank.returns()).await;
    let run = bank.ends(store.as_ref(), second).await;
    engine.stop().await;
    assert_eq!(bank.made(), (1, 0), "{:?}", run.result);
    assert_eq!(told(&run), "sent_back_before");
}

/// Who waits for a run that needs a person says for whom in its history, and does not wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_run_that_needs_a_person_says_so_and_gives_up_after_a_day() {
    let mut bank = Bank::slow().await;
    bank.world.reconnect(|bank| {
        bank.pace.requests_per_second = None;
        bank.pace.breaker.failures = 0;
        bank.key_window_secs = Some(0);
    });
    let lost = FaultRule::on("create_payout", FaultAction::DropAfterEffect).times(1);
    bank.world.simulator.control.add_fault(lost);
    let store = bank.world.store().await;
    let engine = bank.world.engine(store.clone()).await;
    // Whether it was paid cannot be looked up.
    let breaks = FaultAction::Status {
        status: 503,
        when: When::Before,
        retry_after_secs: None,
    };
    let breaks = FaultRule {
        nth: Some(2),
        ..FaultRule::on("list_payouts", breaks).times(1_000)
    };
    bank.world.simulator.control.add_fault(breaks);
    let first = bank.start(store.as_ref(), &bank.sends_back()).await;
    let parked = passing(
        store.as_ref(),
        &bank.clock,
        first,
        RunState::Waiting,
        Duration::from_secs(60),
    )
    .await;
    assert_eq!(parked.state, RunState::Parked, "{parked:?}");
    bank.world.simulator.control.clear_faults();

    let second = bank.start(store.as_ref(), &bank.returns()).await;
    until(store.as_ref(), second, |run| run.state == RunState::Waiting).await;
    let records = store.journal(second).await.expect("the journal");
    let reasons = records.iter().filter_map(|record| match &record.entry {
        Entry::Retry { retry, .. } => Some(retry.reason.clone()),
        _ => None,
    });
    let does_the_same = format!("step 1 of {first} does the same now, and one waits for the other");
    assert_eq!(reasons.collect::<Vec<_>>(), [does_the_same]);
    let hour = Duration::from_secs(3_600);
    let run = passing(store.as_ref(), &bank.clock, second, RunState::Waiting, hour).await;
    engine.stop().await;
    assert_eq!(bank.made(), (1, 0), "{:?}", run.result);
    assert_eq!(told(&run), "given_up");
}

/// The market moves while a conversion waits for its place, or for the bank that was asked too often: `max_slippage` is
/// held when it goes out.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_fell_while_a_conversion_waited_is_not_sold_at() {
    for (falls, refused_first, sold) in [(false, false, 1), (true, false, 0), (false, true, 1), (true, true, 0)] {
        let bank = Bank::slow().await;
        let control = bank.world.simulator.control.clone();
        if refused_first {
            let refusal = FaultAction::Status {
                status: 429,
                when: When::Before,
                retry_after_secs: Some(600),
            };
            control.add_fault(FaultRule::on("create_conversion", refusal).times(1));
        }
        let script = r#"
            let wallet = bank::accounts(#{ label: "Dollar account" })[0].id;
            let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
            let told = "sold";
            try { bank::convert(#{ from: wallet, to: treasury, amount: USD(1_000), max_slippage: 0.01 }); } catch (e) { told = e.error; }
            told"#;
        let store = bank.world.store().await;
        let engine = bank.world.engine(store.clone()).await;
        let run = bank.start(store.as_ref(), script).await;
        // One of one unit, one of the whole amount.
        let (operation, times) = match refused_first {
            false => ("retrieve_indicative_quote", 2),
            true => ("create_conversion", 1),
        };
        bank.waits_after(store.as_ref(), run, operation, times).await;
        if falls {
            control.configure(|config| {
                let rate = config.conversions.rates.get_mut("EUR/USD").expect("a rate");
                *rate *= Decimal::new(105, 2);
            });
        }
        let run = bank.ends_later(store.as_ref(), run).await;
        engine.stop().await;
        let made = control
            .effects()
            .iter()
            .filter(|effect| effect.kind == "conversion")
            .count();
        assert_eq!(made, sold, "{falls}, {refused_first}: {run:?}");
        assert_eq!(told(&run), if falls { "rate_moved" } else { "sold" }, "{refused_first}");
    }
}

/// The bank says no, for now: when it goes out again, somebody has returned the deposit.
#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_was_returned_before_a_payment_goes_out_again_is_not_sent_back() {
    let mut bank = Bank::slow().await;
    let refusal = FaultAction::Status {
        status: 429,
        when: When::Before,
        retry_after_secs: Some(600),
    };
    let control = bank.world.simulator.control.clone();
    control.add_fault(FaultRule::on("create_payout", refusal).times(1));
    let store = bank.world.store().await;
    let engine = bank.world.engine(store.clone()).await;
    let sends = bank.start(store.as_ref(), &bank.sends_back()).await;
    bank.waits_after(store.as_ref(), sends, "create_payout", 1).await;
    let returns = bank.returns();
    elsewhere(&mut bank.world, &returns).await;
    let run = bank.ends_later(store.as_ref(), sends).await;
    engine.stop().await;
    assert_eq!(bank.made(), (0, 1), "{:?}", run.result);
    assert_eq!(told(&run), "not_possible");
}

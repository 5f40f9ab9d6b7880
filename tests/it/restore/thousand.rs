//! Restores by the thousand, in one process: store, engine and bank, ended and begun again on a backup that is older
//! than what was paid. The bank's ledger is the judge.
//!
//! The real daemon does the same twenty times in `daemon`; here a restore takes milliseconds, because time passes
//! only while everybody waits for it. `BURSAR_RESTORES_WITHIN` sets how many restores (1,000 if not set),
//! `BURSAR_SEED` replays them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::base::clock::{Clock as _, Instant, ManualClock, SystemClock};
use bursar::base::ids::{EventId, RunId};
use bursar::engine::worker::Engine;
use bursar::model::event::Event;
use bursar::model::journal::Journal;
use bursar::model::run::{Cause, NewRun, Run, RunEvent, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::faulty::{Fault, Faulty};
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::restore::restore;
use bursar::store::sqlite::{Durability, OnFailure, SqliteOptions, SqliteStore};
use bursar::store::{Acceptance, Admitted, Routing, RunQuery, Store};
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use serde_json::json;

use crate::approvals::answer;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, number, report, version};

/// At once: enough that one works while another waits for a thread.
const WORLDS: usize = 6;
/// How long one restore may take before something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Steps in which time passes.
const A_MOMENT: Duration = Duration::from_secs(1);
const A_WHILE: Duration = Duration::from_secs(60);

/// Something that starts a run, whenever it comes: the run has the same id each time.
struct Task {
    run: RunId,
    script: String,
    payouts: usize,
    /// What a person says to it, each time it asks, if it does.
    answer: Option<bool>,
    /// When the slot was, or the event happened.
    at: Instant,
    /// Its event; a slot without one.
    event: Option<String>,
}

impl Task {
    fn new(random: &mut fastrand::Rng, name: usize, at: Instant) -> Self {
        let answer = (random.u8(..4) == 0).then(|| random.u8(..3) > 0);
        let payouts = if answer.is_some() { 1 } else { random.usize(1..=2) };
        let mut script = String::new();
        if answer.is_some() {
            script.push_str("approval(#{ reason: \"pay\", timeout: days(30) });\n");
        }
        script.push_str(
            "let from = bank::accounts(#{ label: \"Operating DE\" })[0].id;\n\
             let to = bank::accounts(#{ label: \"Treasury EUR\" })[0].id;\n",
        );
        for payout in 0..payouts {
            let cents = random.u32(100..10_000);
            script.push_str(&format!(
                "bank::payout(#{{ from: from, to: to, amount: EUR({}.{:02}), reference: \"T{name}-{payout}\" }});\n",
                cents / 100,
                cents % 100
            ));
        }
        Self {
            run: RunId::generate(at),
            script,
            payouts: if answer == Some(false) { 0 } else { payouts },
            answer,
            at,
            event: random.bool().then(|| format!("evt-{name}")),
        }
    }

    /// It happens, for the first time or once more.
    async fn comes(&self, bank: &Bank) {
        let version = version(&[("main.rhai", &self.script)]);
        let run = |cause, event| NewRun {
            id: self.run,
            workflow: version.workflow.clone(),
            version: version.digest,
            cause,
            event,
            params: json!({}),
            created_at: self.at,
            concurrency: None,
        };
        bank.store.save_version(version.clone()).await.expect("kept");
        let Some(provider_id) = &self.event else {
            let cause = Cause::Cron {
                schedule: format!("slots of {}", self.run),
                timezone: "UTC".to_owned(),
                slot: self.at,
                due: None,
            };
            let made = bank.store.create_run(run(cause, json!({}).into())).await;
            made.expect("made, or there already");
            return;
        };
        let event = Event {
            id: EventId::generate(self.at),
            connection: "bank".to_owned(),
            provider_id: provider_id.clone(),
            kind: "deposit.received".to_owned(),
            subject: None,
            occurred_at: Some(self.at),
            received_at: bank.clock.now(),
            payload: json!({}).into(),
        };
        if let Admitted::New { mark, .. } = bank.store.admit(event.clone()).await.expect("admitted") {
            let cause = Cause::Webhook { event: event.id };
            let after = bank.store.unrouted(1, 1).await.expect("read").after;
            let routing = Routing {
                after,
                up_to: mark,
                runs: vec![run(cause, RunEvent::Admitted(mark))],
                ..Routing::default()
            };
            bank.store.route(routing).await.expect("routed");
        }
    }
}

/// A bank, and a store with its engine that come and go.
struct Bank {
    world: World,
    clock: ManualClock,
    store: Arc<dyn Store>,
    /// What the engine sees of the store.
    seen: Arc<Faulty>,
    engine: Option<Engine>,
    tasks: Vec<Task>,
    /// How often each run was answered: more than once after its answer was forgotten.
    answers: Mutex<BTreeMap<RunId, usize>>,
    /// Nobody answers anything.
    person_away: bool,
}

impl Bank {
    async fn new(random: &mut fastrand::Rng, fault: Fault) -> Self {
        let clock = ManualClock::new(SystemClock::new().now());
        let mut config = SimulatorConfig::demo();
        config.seed = random.u64(..);
        // Half of the banks forget a key at once: then nothing but the look-up stands between a forgotten payment
        // and a second one.
        let forgets = random.bool();
        if forgets {
            config.idempotency.window_ms = 1;
        }
        config.lists.visibility_lag_ms = [0, 30_000, 100_000][random.usize(..3)];
        let mut world = World::with_clock(config, Arc::new(clock.clone())).await;
        if forgets {
            world.reconnect(|bank| bank.key_window_secs = Some(0));
        }
        world.settings.runs_max = [1, 1, 1, 2][random.usize(..4)];
        world.settings.backoff.attempts_max = 12;
        let (store, seen, engine) = begun(&world, fault).await;
        Self {
            world,
            clock,
            store,
            seen,
            engine: Some(engine),
            tasks: Vec::new(),
            answers: Mutex::default(),
            person_away: false,
        }
    }

    fn effects(&self) -> usize {
        self.world.simulator.control.effects().len()
    }

    fn file(&self) -> PathBuf {
        self.world.folder.path().join("backup.db")
    }

    async fn end(&mut self) {
        self.engine.take().expect("an engine").stop().await;
        self.store.close().await.expect("closed");
    }

    /// Another process.
    async fn begin(&mut self, fault: Fault) {
        let (store, seen, engine) = begun(&self.world, fault).await;
        (self.store, self.seen, self.engine) = (store, seen, Some(engine));
    }

    /// All tasks happen, from one on.
    async fn come(&self, first: usize) {
        for task in self.tasks.iter().skip(first) {
            task.comes(self).await;
        }
        self.world.wake.nudge();
    }

    /// Later, new ones happen. How many payments that makes in all.
    async fn more(&mut self, random: &mut fastrand::Rng, count: usize) -> usize {
        self.clock.advance(Duration::from_secs(random.u64(1..600)));
        let first = self.tasks.len();
        for number in first..first + count {
            self.tasks.push(Task::new(random, number, self.clock.now()));
        }
        self.come(first).await;
        self.asked()
    }

    /// How many payments all tasks make in all.
    fn asked(&self) -> usize {
        self.tasks.iter().map(|task| task.payouts).sum()
    }

    /// How many of them nobody has to be asked about who is not there.
    fn free(&self) -> usize {
        let free = self
            .tasks
            .iter()
            .filter(|task| !self.person_away || task.answer.is_none());
        free.map(|task| task.payouts).sum()
    }

    /// The runs that have not come to their end, if all of them wait for the time.
    async fn waiting(&self) -> Option<Vec<Run>> {
        let query = RunQuery {
            limit: 100,
            ..RunQuery::default()
        };
        let runs = self.store.runs(query).await.expect("listed");
        let open: Vec<Run> = runs
            .into_iter()
            .filter(|run| !run.state.is_final() && run.state != RunState::Parked)
            .collect();
        open.iter().all(|run| run.state == RunState::Waiting).then_some(open)
    }

    /// Lets time pass whenever nobody does anything else, at least so much at once, until it is enough, the process died,
    /// or nothing is open.
    async fn work(&self, step: Duration, enough: impl Fn(&Self) -> bool) {
        let patience = Patience::new(PATIENCE);
        while !enough(self) && !self.seen.is_dead() {
            assert!(!patience.is_over(), "it never comes to that");
            match self.waiting().await {
                Some(open) if open.is_empty() => return,
                Some(open) if !self.person_away && self.answered(&open).await => self.world.wake.nudge(),
                Some(open) => {
                    let mut open = open;
                    if self.person_away {
                        let asks = |run: &Run| {
                            self.tasks
                                .iter()
                                .any(|task| task.run == run.id && task.answer.is_some())
                        };
                        open.retain(|run| !asks(run));
                        // They may wait for days.
                        if open.is_empty() && !self.holds().await {
                            return;
                        }
                    }
                    let next = open.iter().filter_map(|run| run.wake_at).min();
                    let left = next.map_or(TimeDelta::zero(), |next| next - self.clock.now());
                    self.clock.advance(left.to_std().unwrap_or_default());
                    self.clock.advance(step);
                }
                None => {}
            }
            pause(Duration::from_millis(2)).await;
        }
    }
}

impl Bank {
    /// Whether nothing is sent before somebody accepts the state.
    async fn holds(&self) -> bool {
        let restored = self.store.restored(self.clock.now()).await.expect("read");
        restored.is_some_and(|restored| restored.holds())
    }

    /// A person answers whatever is asked, the same each time. Whether something was.
    async fn answered(&self, open: &[Run]) -> bool {
        let mut any = false;
        for run in open {
            let task = self.tasks.iter().find(|task| task.run == run.id);
            let Some(approved) = task.and_then(|task| task.answer) else {
                continue;
            };
            let journal = Journal::from_records(self.store.journal(run.id).await.expect("read")).expect("legal");
            if journal.approvals().next().is_some() {
                let answer = answer(self.store.as_ref(), run.id, "1", approved, self.clock.now()).await;
                self.store.decide(answer).await.expect("decided");
                *self
                    .answers
                    .lock()
                    .expect("nobody panics here")
                    .entry(run.id)
                    .or_default() += 1;
                any = true;
            }
        }
        any
    }
}

/// Power is not lost here, so no write has to wait for the disk.
async fn begun(world: &World, fault: Fault) -> (Arc<dyn Store>, Arc<Faulty>, Engine) {
    let options = SqliteOptions {
        durability: Durability::Normal,
        on_failure: OnFailure::Poison,
    };
    let store: Arc<dyn Store> = SqliteStore::open(world.folder.path(), options).await.expect("opened");
    store.reclaim_all(world.clock.now()).await.expect("reclaimed");
    // An engine whose store is dead from the first moment on does not start.
    let seen = Faulty::new(store.clone(), fault);
    let engine = world.engine(seen.clone()).await;
    (store, seen, engine)
}

/// Where the process dies, if it does.
fn any_death(random: &mut fastrand::Rng) -> Fault {
    match random.u8(..4) {
        0 => Fault::Before(random.u64(3..40)),
        1 => Fault::After(random.u64(3..40)),
        _ => Fault::Never,
    }
}

/// What became of one restore.
struct Came {
    /// Payments that the backup did not know.
    forgotten: usize,
    paid: usize,
    /// Answers that were given, and how many of them once more.
    answers: usize,
    again: usize,
    /// Whether it went back once more.
    twice: bool,
    /// Whether the scripts were edited meanwhile, and how many runs that left to a person.
    edited: bool,
    parked: usize,
    /// Whether nobody answered until it was accepted.
    away: bool,
}

/// What somebody did to the scripts while nobody ran them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Edit {
    None,
    /// They do the same, in other words.
    Words,
    /// They pay other amounts.
    Amounts,
}

impl Bank {
    /// Ends, goes back to the backup, and begins again: whatever came before comes again, and more. Nothing is sent
    /// until somebody accepts it. How many payments the backup did not know.
    async fn goes_back(&mut self, random: &mut fastrand::Rng, known: usize, edit: Edit, accepts: bool) -> usize {
        self.end().await;
        let forgotten = self.effects() - known;
        let folder = self.world.folder.path().to_owned();
        restore(&folder, &self.file(), self.clock.now())
            .await
            .expect("restored");
        for task in &mut self.tasks {
            match edit {
                Edit::None => {}
                Edit::Words => task.script.insert_str(0, "let nothing = \"of importance\";\n"),
                Edit::Amounts => task.script = task.script.replace("EUR(", "EUR(1"),
            }
        }
        self.begin(Fault::Never).await;
        self.come(0).await;
        let count = random.usize(0..=1);
        self.more(random, count).await;
        let before = self.effects();
        let until = self.clock.now() + TimeDelta::minutes(5);
        self.work(A_WHILE, |bank| bank.clock.now() >= until).await;
        assert_eq!(self.effects(), before, "nothing is sent before it is accepted");
        if accepts {
            let acceptance = Acceptance {
                actor: "tess".to_owned(),
                reason: "looked".to_owned(),
                at: self.clock.now(),
            };
            self.store.accept_restore(acceptance).await.expect("accepted");
        }
        forgotten
    }

    /// Holds the ledger against what was asked for. How many runs were left to a person.
    async fn judge(&self, edit: Edit) -> usize {
        let asked = self.asked();
        let audit = audit_store(self.store.as_ref(), &self.world.simulator).await;
        assert_eq!((audit.twice(), audit.missing()), (0, 0), "{asked} asked for: {audit}");
        assert!(self.world.simulator.control.ledger().invariant_ok);
        if edit != Edit::Amounts {
            let query = RunQuery {
                states: vec![RunState::Parked],
                limit: 9,
                ..RunQuery::default()
            };
            let parked = self.store.runs(query).await.expect("listed");
            let why: Vec<_> = parked.iter().map(|run| &run.error).collect();
            assert!(
                audit.is_exact() && audit.paid() == asked,
                "{asked} asked for, {edit:?}: {audit}; parked: {why:?}"
            );
            assert_eq!(self.effects(), asked);
            return 0;
        }
        // What was paid before the edit and is forgotten is no longer what the script says: a person decides.
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for effect in self.world.simulator.control.effects() {
            *times.entry(effect.reference.unwrap_or_default()).or_default() += 1;
        }
        assert!(times.values().all(|times| *times == 1), "{times:?}");
        let mut parked = 0;
        for (name, task) in self.tasks.iter().enumerate() {
            let paid = (0..task.payouts).filter(|payout| times.contains_key(&format!("T{name}-{payout}")));
            let paid = paid.count();
            let run = self.store.run(task.run).await.expect("read").expect("there");
            if run.state == RunState::Parked {
                assert!(paid > 0, "T{name} is parked and was never paid: {:?}", run.error);
                parked += 1;
            } else {
                assert_eq!(paid, task.payouts, "T{name}: {:?}", run.error);
            }
        }
        parked
    }
}

async fn restore_once(seed: u64) -> Came {
    let mut random = fastrand::Rng::with_seed(seed);
    let fault = any_death(&mut random);
    let mut bank = Bank::new(&mut random, fault).await;
    if random.u8(..4) == 0 {
        let lost = [
            FaultAction::DropAfterEffect,
            FaultAction::Status {
                status: 500,
                when: [When::Before, When::After][random.usize(..2)],
                retry_after_secs: None,
            },
        ];
        let fault = FaultRule::on("create_payout", lost[random.usize(..2)].clone());
        bank.world.simulator.control.add_fault(fault.times(random.u64(1..3)));
    }
    let edit = [Edit::None, Edit::None, Edit::Words, Edit::Amounts][random.usize(..4)];
    // Runs then wait for somebody while the store goes back under them.
    bank.person_away = random.u8(..4) == 0;
    let away = bank.person_away;
    let count = random.usize(0..=2);
    bank.more(&mut random, count).await;
    // The backup is made somewhere on the way.
    let wanted = random.usize(0..=bank.free());
    bank.work(A_MOMENT, |bank| bank.effects() >= wanted).await;
    let (folder, file) = (bank.world.folder.path().to_owned(), bank.file());
    backup(&folder, &file, bank.clock.now()).await.expect("backed up");
    let known = bank.effects();
    if !bank.seen.is_dead() {
        let count = random.usize(1..=2);
        bank.more(&mut random, count).await;
        let wanted = random.usize(known..=bank.free().max(known));
        bank.work(A_MOMENT, |bank| bank.effects() >= wanted).await;
    }
    // Some go back twice, to the same backup, whether the first time was accepted or not.
    let twice = random.u8(..4) == 0;
    let accepts = !twice || random.bool();
    let mut forgotten = bank.goes_back(&mut random, known, edit, accepts).await;
    if twice {
        if accepts {
            let wanted = random.usize(bank.effects()..=bank.free().max(bank.effects()));
            bank.work(A_MOMENT, |bank| bank.effects() >= wanted).await;
        }
        forgotten += bank.goes_back(&mut random, known, Edit::None, true).await;
    }
    bank.person_away = false;
    if random.bool() {
        bank.end().await;
        bank.begin(any_death(&mut random)).await;
    }
    bank.work(A_MOMENT, |_| false).await;
    if bank.seen.is_dead() {
        bank.end().await;
        bank.begin(Fault::Never).await;
        bank.work(A_MOMENT, |_| false).await;
    }
    bank.engine.take().expect("an engine").stop().await;
    let parked = bank.judge(edit).await;
    bank.store.close().await.expect("closed");
    let paid = bank.effects();
    let times = bank.answers.into_inner().expect("nobody panics here");
    Came {
        forgotten,
        paid,
        answers: times.values().sum(),
        again: times.values().map(|times| times - 1).sum(),
        twice,
        edited: edit != Edit::None,
        away,
        parked,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_older_backups_pay_nothing_twice_and_forget_nothing() {
    let seed = number("BURSAR_SEED", fastrand::u64(..));
    let restores = number("BURSAR_RESTORES_WITHIN", 1_000);
    let mut random = fastrand::Rng::with_seed(seed);
    let seeds: Vec<u64> = (0..restores).map(|_| random.u64(..)).collect();
    let came: Vec<Came> = futures_util::stream::iter(seeds)
        .map(|case| async move { (case, tokio::spawn(restore_once(case)).await) })
        .buffer_unordered(WORLDS)
        .map(|(case, ended)| {
            ended.unwrap_or_else(|error| panic!("BURSAR_SEED={seed:#x}, the restore of seed {case:#x}: {error}"))
        })
        .collect()
        .await;
    let older = came.iter().filter(|came| came.forgotten > 0).count();
    let forgotten: usize = came.iter().map(|came| came.forgotten).sum();
    let paid: usize = came.iter().map(|came| came.paid).sum();
    let answers: usize = came.iter().map(|came| came.answers).sum();
    let again: usize = came.iter().map(|came| came.again).sum();
    let which = |is: fn(&Came) -> bool| came.iter().filter(|came| is(came)).count();
    let (twice, edited, away) = (
        which(|came| came.twice),
        which(|came| came.edited),
        which(|came| came.away),
    );
    let parked: usize = came.iter().map(|came| came.parked).sum();
    report(&format!(
        "{restores} stores restored, {twice} of them twice, {edited} with scripts edited meanwhile ({parked} runs left to a person), \
         {away} with approvals nobody gave before; {older} of them older than a payment, {forgotten} payments forgotten of {paid}: 0 twice, 0 \
         missing; {answers} answers of a person, {again} asked for again (BURSAR_SEED={seed:#x})"
    ));
    // Otherwise nothing was tested. A few may by chance forget nothing.
    let enough = older * 3 > came.len() || came.len() < 100;
    assert!(enough, "seed {seed:#x}: only {older} forgot anything");
}

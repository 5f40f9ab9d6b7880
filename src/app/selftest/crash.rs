//! Kills: at a named point, or at a random time, also while the daemon recovers from the kill before.
//!
//! A site lives for some hundreds of kills with workflows of its own; then the daemon is left alone until all is
//! quiet, and every journal is held against the bank's ledger and against what the workflows were drawn to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::person::Person;

use super::workflows::{self, Form, RandomWorkflow};
use crate::app::AppError;
use crate::app::site::{self, Site};
use crate::base::clock::{Clock, SystemClock};
use crate::base::fault_point::{COMPILED_IN, FaultPoint};
use crate::base::ids::RunId;
use crate::base::money::{Currency, Money};
use crate::model::run::{Run, RunState};
use crate::simulator::config::SimulatorConfig;
use crate::simulator::control::NewDeposit;
use crate::simulator::faults::{FaultAction, FaultRule, WebhookFault, WebhookFaultRule, When};

/// Kills before a site is judged: few enough that a wrong one is found near its cause.
const KILLS_OF_A_SITE: u64 = 250;
/// Random workflows of a site.
const WORKFLOWS: usize = 12;
/// The longest a daemon lives before it is killed at a random time.
const LIFE_MAX: Duration = Duration::from_millis(120);
/// How long an armed daemon is given to reach its point; then it is killed all the same.
const POINT_PATIENCE: Duration = Duration::from_millis(250);
/// How often a point may have to be reached before it fires.
const NTH_MAX: u32 = 6;
/// The daemon of a site: it repeats quickly, and several runs are under way at once.
const DAEMON: &str = "runs_max = 4\nretry_base_ms = 20\nretry_ceiling_secs = 1\npoll_first_secs = 1\n";

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many kills in all.
    pub kills: u64,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// Sites at the same time.
    pub streams: usize,
    /// The daemon's executable.
    pub program: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Kills made.
    pub kills: u64,
    /// Of these, during the recovery from the kill before.
    pub in_recovery: u64,
    /// Runs that ended.
    pub runs: usize,
    /// Movements in the ledgers.
    pub effects: usize,
    /// Intended movements that happened more than once.
    pub twice: usize,
    /// Intended movements that did not happen.
    pub missing: usize,
    /// Movements that no journal explains.
    pub unexplained: usize,
    /// What else is not as it should be, with the seed of its site.
    pub wrong: Vec<String>,
    /// Runs that a person let out of quarantine: killed ten times in a row before they got any further.
    pub released: u64,
    /// How often each form was come by.
    pub forms: BTreeMap<Form, usize>,
    /// How often each named point was the end.
    pub points: BTreeMap<&'static str, u64>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Whether nothing is wrong.
    pub fn is_exact(&self) -> bool {
        self.twice + self.missing + self.unexplained == 0 && self.wrong.is_empty()
    }

    /// Whether enough was done for the result to mean something: an effect for three kills, and every point reached if
    /// this build has points.
    pub fn is_telling(&self) -> bool {
        let effects = u64::try_from(self.effects).unwrap_or(u64::MAX);
        effects * 3 >= self.kills && (!COMPILED_IN || self.unreached().is_empty())
    }

    /// `340 branches, 72 events waited for`, for a line of its own.
    pub fn contents(&self) -> String {
        let parts = Form::ALL.map(|form| {
            let times = self.forms.get(&form).copied().unwrap_or(0);
            format!("{times} {}", form.plural())
        });
        format!("{}, {} let out of quarantine", parts.join(", "), self.released)
    }

    /// The named points nothing ended at.
    pub fn unreached(&self) -> Vec<&'static str> {
        let names = FaultPoint::ALL.iter().map(|point| point.name());
        names.filter(|name| !self.points.contains_key(name)).collect()
    }

    fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.in_recovery += other.in_recovery;
        self.runs += other.runs;
        self.effects += other.effects;
        self.twice += other.twice;
        self.missing += other.missing;
        self.unexplained += other.unexplained;
        self.wrong.extend(other.wrong);
        self.released += other.released;
        for (form, times) in other.forms {
            *self.forms.entry(form).or_default() += times;
        }
        for (point, times) in other.points {
            *self.points.entry(point).or_default() += times;
        }
    }
}

/// The closing line.
impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kills,
            twice,
            missing,
            effects,
            runs,
            in_recovery,
            ..
        } = self;
        write!(f, "{kills} kills: {twice} twice, {missing} missing; ")?;
        if self.unexplained > 0 {
            write!(f, "{} unexplained; ", self.unexplained)?;
        }
        let (reached, all) = (self.points.len(), FaultPoint::ALL.len());
        let millis = self.took.as_millis().max(1);
        let tenths = u128::from(*kills) * 10_000 / millis;
        write!(
            f,
            "{effects} effects of {runs} runs, {in_recovery} kills in recovery, {reached} of {all} named points, {}.{} kills/s",
            tenths / 10,
            tenths % 10,
        )
    }
}

/// Kills as planned. `tell` hears of every site as it is judged.
///
/// # Errors
/// When it could not be done; a wrong result is no error.
pub async fn crash(plan: &Plan, tell: &mut (dyn FnMut(&Outcome) + Send)) -> Result<Outcome, AppError> {
    let clock = SystemClock::new();
    let started = clock.elapsed();
    let mut seeds = Rng::with_seed(plan.seed);
    let mut left = plan.kills;
    let mut total = Outcome::default();
    while left > 0 {
        let mut sites = tokio::task::JoinSet::new();
        for _ in 0..plan.streams {
            let kills = left.min(KILLS_OF_A_SITE);
            if kills == 0 {
                break;
            }
            left -= kills;
            sites.spawn(one_site(plan.program.clone(), kills, seeds.u64(..)));
        }
        while let Some(judged) = sites.join_next().await {
            let judged = judged.map_err(|error| AppError::Other(format!("a self-test ended badly: {error}")))??;
            total.add(judged);
        }
        total.took = clock.elapsed().saturating_sub(started);
        tell(&total);
    }
    Ok(total)
}

/// One site, from its first start to its judgement.
async fn one_site(program: PathBuf, kills: u64, seed: u64) -> Result<Outcome, AppError> {
    let folder = std::env::temp_dir().join(format!("bursar-selftest-{}", RunId::generate(SystemClock::new().now())));
    let mut life = Life::begin(folder.clone(), program, seed).await?;
    let person = Person::at(&life.site);
    let mut outcome = life.kill_all(kills).await?;
    life.judge(&mut outcome).await?;
    outcome.released = person.released();
    drop(person);
    let keep = !outcome.is_exact();
    life.site.take_down().await;
    if keep {
        outcome
            .wrong
            .push(format!("the site of seed {seed:#x} is kept in {}", folder.display()));
    } else {
        site::remove(&folder);
    }
    Ok(outcome)
}

struct Life {
    site: Site,
    clock: Arc<dyn Clock>,
    random: Rng,
    seed: u64,
    workflows: Vec<RandomWorkflow>,
    /// What the deposits brought, by the workflow they start.
    deposits: BTreeMap<String, Vec<Money>>,
    /// References of deposits that runs wait for, or will.
    calls: Vec<String>,
}

impl Life {
    async fn begin(folder: PathBuf, program: PathBuf, seed: u64) -> Result<Self, AppError> {
        let mut random = Rng::with_seed(seed);
        let workflows: Vec<_> = (0..WORKFLOWS)
            .map(|number| workflows::draw(&mut random, number))
            .collect();
        let site = Site::new(folder, program, bank(seed), DAEMON).await?;
        // What the shipped workflows would do to the same deposits is not what this is about.
        for folder in ["workflows", "scripts"] {
            let folder = site.path(folder);
            let emptied = fs::remove_dir_all(&folder).and_then(|()| fs::create_dir(&folder));
            emptied.map_err(AppError::io(format!("{} cannot be emptied", folder.display())))?;
        }
        for workflow in &workflows {
            for (path, text) in [
                (format!("workflows/{}.toml", workflow.name), &workflow.manifest),
                (format!("scripts/{}.rhai", workflow.name), &workflow.script),
            ] {
                let path = site.path(&path);
                fs::write(&path, text).map_err(AppError::io(format!("{} cannot be written", path.display())))?;
            }
        }
        Ok(Self {
            site,
            clock: Arc::new(SystemClock::new()),
            random,
            seed,
            workflows,
            deposits: BTreeMap::new(),
            calls: Vec::new(),
        })
    }

    async fn kill_all(&mut self, kills: u64) -> Result<Outcome, AppError> {
        let mut outcome = Outcome::default();
        // The bank has to know the door before anything can be delivered to it.
        let status = self.site.start().await?;
        if status.workflows != WORKFLOWS {
            return Err(AppError::Other(format!(
                "seed {:#x}: {} of {WORKFLOWS} random workflows can be used; see {}",
                self.seed,
                status.workflows,
                self.site.path("workflows").display()
            )));
        }
        self.site.kill().await?;
        for _ in 0..kills {
            self.accidents();
            self.pay_in()?;
            self.call(false)?;
            // Points, times, and times so short that the daemon is still busy with what the last kill left.
            match self.random.u8(..10) {
                0..=4 if COMPILED_IN => self.kill_at_point(&mut outcome).await?,
                0..=7 => {
                    self.site.start().await?;
                    self.live(LIFE_MAX).await;
                    self.site.kill().await?;
                }
                _ => {
                    self.site.launch_only()?;
                    self.live(LIFE_MAX / 3).await;
                    self.site.kill().await?;
                    outcome.in_recovery += 1;
                }
            }
            outcome.kills += 1;
        }
        Ok(outcome)
    }

    async fn kill_at_point(&mut self, outcome: &mut Outcome) -> Result<(), AppError> {
        let point = self.rarest(&outcome.points);
        let nth = match point {
            FaultPoint::RecoveryBegun | FaultPoint::RecoveryDone | FaultPoint::DecisionDurable => 1,
            _ => self.random.u32(1..=NTH_MAX),
        };
        let came_up = self
            .site
            .start_armed(&format!("{}:{nth}", point.name()))
            .await?
            .is_some();
        let reached = !came_up || self.site.ends_within(POINT_PATIENCE).await?;
        if reached {
            *outcome.points.entry(point.name()).or_default() += 1;
            outcome.in_recovery += u64::from(!came_up);
        }
        self.site.kill().await
    }

    /// One of the points that were the end least often, so that none is left to chance.
    fn rarest(&mut self, reached: &BTreeMap<&'static str, u64>) -> FaultPoint {
        let times = |point: &FaultPoint| reached.get(point.name()).copied().unwrap_or(0);
        let least = FaultPoint::ALL.iter().map(times).min().unwrap_or(0);
        let rarest: Vec<FaultPoint> = FaultPoint::ALL
            .iter()
            .copied()
            .filter(|point| times(point) == least)
            .collect();
        rarest[self.random.usize(..rarest.len())]
    }

    async fn live(&mut self, at_most: Duration) {
        let micros = u64::try_from(at_most.as_micros()).unwrap_or(u64::MAX);
        self.clock.sleep(Duration::from_micros(self.random.u64(..micros))).await;
    }

    /// What else goes wrong at the bank while the daemon comes and goes.
    fn accidents(&mut self) {
        let bank = self.site.bank.control.clone();
        if self.random.u8(..3) == 0 {
            bank.add_fault(accident(&mut self.random));
        }
        if self.random.u8(..6) == 0 {
            let twice = WebhookFault::Duplicate { count: 2 };
            bank.add_webhook_fault(WebhookFaultRule::on("deposit.received", twice).times(1));
        }
    }

    /// Somebody pays, for one or two workflows.
    fn pay_in(&mut self) -> Result<(), AppError> {
        for _ in 0..self.random.u8(1..=2) {
            let cents = self.random.u32(100..200_000);
            let amount = Money::from_minor(i128::from(cents), euro()).expect("it is little");
            let workflow = self.workflows[self.random.usize(..self.workflows.len())].clone();
            let deposit = self.deposit(&amount.amount().to_string(), &workflow.name)?;
            self.calls.extend(workflow.calls(&deposit));
            self.deposits.entry(workflow.name).or_default().push(amount);
        }
        Ok(())
    }

    /// Sends some of what is waited for, or all: soon or many kills later, and in any order.
    fn call(&mut self, all: bool) -> Result<(), AppError> {
        self.random.shuffle(&mut self.calls);
        let count = if all {
            self.calls.len()
        } else {
            self.random.usize(..=self.calls.len().min(2))
        };
        for reference in self.calls.split_off(self.calls.len() - count) {
            self.deposit("1.00", &reference)?;
        }
        Ok(())
    }

    fn deposit(&self, amount: &str, reference: &str) -> Result<String, AppError> {
        let deposit = NewDeposit::new("Collections EUR", amount, reference);
        let taken = self.site.bank.control.create_deposit(&deposit);
        let id = taken.map_err(|error| AppError::Other(format!("the bank takes no deposit: {error}")))?;
        Ok(id.to_string())
    }

    /// Leaves the daemon alone until all is quiet, then holds what it did against what it should have done.
    async fn judge(&mut self, outcome: &mut Outcome) -> Result<(), AppError> {
        self.site.bank.control.clear_faults();
        self.call(true)?;
        self.site.start().await?;
        let runs = self.site.quiet().await?;
        if !self.site.stop().await?.success() {
            self.wrong(outcome, "the daemon did not end in good order");
        }
        let audit = self.site.audit(&runs).await?;
        outcome.runs = runs.len();
        outcome.effects = self.site.bank.control.effects().len();
        outcome.twice = audit.twice();
        outcome.missing = audit.missing();
        outcome.unexplained = audit.unexplained;
        if !audit.is_exact() {
            self.wrong(outcome, &audit.to_string());
        }
        if !self.site.bank.control.ledger().invariant_ok {
            self.wrong(outcome, "the bank's own ledger does not add up");
        }
        if !self.site.bank.control.keys_of_several_requests().is_empty() {
            self.wrong(outcome, "a key came with several requests");
        }
        self.judge_runs(&runs, outcome);
        for workflow in &self.workflows {
            let of_workflow: BTreeSet<RunId> = runs_of(&runs, &workflow.name).map(|run| run.id).collect();
            let moved = audit
                .intended
                .iter()
                .filter(|one| of_workflow.contains(&one.run))
                .count();
            let expected = of_workflow.len() * workflow.movements.len();
            if moved != expected {
                let message = format!("{}: {moved} movements instead of {expected}", workflow.name);
                self.wrong(outcome, &message);
            }
            for (form, times) in &workflow.forms {
                *outcome.forms.entry(*form).or_default() += times * of_workflow.len();
            }
        }
        self.judge_movements(outcome);
        Ok(())
    }

    /// What the bank has, held against what was drawn, by kind and amount: no journal has a say in it.
    fn judge_movements(&self, outcome: &mut Outcome) {
        let mut balance: BTreeMap<(&str, Currency, i128), i64> = BTreeMap::new();
        for workflow in &self.workflows {
            for deposited in self.deposits.get(&workflow.name).into_iter().flatten() {
                for movement in &workflow.movements {
                    let amount = movement.amount.unwrap_or(*deposited);
                    *balance
                        .entry((movement.kind, amount.currency(), amount.minor()))
                        .or_default() -= 1;
                }
            }
        }
        for effect in self.site.bank.control.effects() {
            let amount = effect.amount;
            *balance
                .entry((effect.kind, amount.currency(), amount.minor()))
                .or_default() += 1;
        }
        for ((kind, currency, minor), surplus) in balance.into_iter().filter(|(_, surplus)| *surplus != 0) {
            let amount =
                Money::from_minor(minor, currency).map_or_else(|_| minor.to_string(), |money| money.to_string());
            self.wrong(
                outcome,
                &format!("{kind} of {amount}: {surplus:+} against what was drawn"),
            );
        }
    }

    /// One run for each deposit, and each of them succeeded.
    fn judge_runs(&self, runs: &[Run], outcome: &mut Outcome) {
        for workflow in &self.workflows {
            let made = runs_of(runs, &workflow.name).count();
            let paid_in = self.deposits.get(&workflow.name).map_or(0, Vec::len);
            if made != paid_in {
                self.wrong(
                    outcome,
                    &format!("{}: {made} runs for {paid_in} deposits", workflow.name),
                );
            }
        }
        for run in runs.iter().filter(|run| run.state != RunState::Succeeded) {
            let why = run
                .error
                .as_ref()
                .map(|error| error.message.clone())
                .unwrap_or_default();
            self.wrong(
                outcome,
                &format!("run {} of {} is {}: {why}", run.id, run.workflow, run.state),
            );
        }
    }

    fn wrong(&self, outcome: &mut Outcome, what: &str) {
        outcome.wrong.push(format!("seed {:#x}: {what}", self.seed));
    }
}

fn runs_of<'a>(runs: &'a [Run], workflow: &'a str) -> impl Iterator<Item = &'a Run> {
    runs.iter().filter(move |run| run.workflow == workflow)
}

fn euro() -> Currency {
    Currency::from_code("EUR").expect("it exists")
}

/// Something that goes wrong with a request, once.
fn accident(random: &mut Rng) -> FaultRule {
    let endpoints = ["create_payout", "create_return", "create_conversion", "retrieve_payout"];
    let endpoint = endpoints[random.usize(..endpoints.len())];
    let status = |status, when| FaultAction::Status {
        status,
        when,
        retry_after_secs: None,
    };
    let action = match random.u8(..7) {
        0 => FaultAction::DropAfterEffect,
        1 => status(500, When::After),
        2 => status(503, When::Before),
        3 => status(429, When::Before),
        4 => FaultAction::Refuse,
        5 => FaultAction::Delay {
            ms: random.u64(20..200),
            when: When::After,
        },
        _ => FaultAction::CutBody,
    };
    FaultRule::on(endpoint, action).times(1)
}

/// The demo's company with deep pockets, at a bank that works quickly and has patience with a receiver that is gone
/// every other moment.
fn bank(seed: u64) -> SimulatorConfig {
    let mut config = SimulatorConfig::demo();
    config.seed = seed;
    config.webhooks.retry_delays_ms = vec![100; 1_000];
    config.lifecycle.payout_initiated_ms = 5;
    config.lifecycle.payout_paid_ms = 20;
    config.lifecycle.return_paid_ms = 30;
    config.lifecycle.conversion_completed_ms = 30;
    for account in &mut config.accounts {
        if account.label == "Dollar account" {
            account.id = workflows::DOLLARS.parse().ok();
        }
        if account.label == "Treasury EUR" {
            account.opening_balance = Some("900000000.00".to_owned());
        }
    }
    config
}

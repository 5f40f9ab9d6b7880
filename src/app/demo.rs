//! The demo: the whole path on this machine, with the accidents that lose or double money elsewhere.
//!
//! A simulated bank with a ledger, the real daemon as a child process on a real store, the shipped workflows,
//! signed webhooks over real sockets. A request is applied and its answer lost; a 429; a webhook comes twice; and
//! the daemon is killed in the middle of a payment. Then the journal is held against the bank's ledger. Nothing
//! leaves 127.0.0.1. This file must not print: it tells its caller what happens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use super::audit::Audit;
use super::site::{self, Site};
use crate::base::clock::{BoxFuture, Clock, SystemClock};
use crate::base::ids::RunId;
use crate::base::money::Money;
use crate::model::run::{Run, RunState};
use crate::simulator::config::SimulatorConfig;
use crate::simulator::control::NewDeposit;
use crate::simulator::faults::{FaultAction, FaultRule, WebhookFault, WebhookFaultRule, When};

/// How long one phase of the demo may take before it is called failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a payment hangs at the bank, so that the kill surely falls into it.
const HANGING_MS: u64 = 1_500;
const TICK: Duration = Duration::from_millis(10);

/// Movements the demo sets out to make, by workflow. Known before anything runs: the journal must agree.
const EXPECTED: &[(&str, usize)] = &[
    ("convert-stablecoin-deposits", 1),
    ("nightly-sweep", 2),
    ("return-unmatched-deposits", 3),
    ("split-settlement", 6),
];

/// What happens, as it happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// The demo turns to this.
    Step(String),
    /// Something went wrong on purpose.
    Accident(String),
    /// What came of it.
    Result(String),
}

/// One row of the closing table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The workflow.
    pub workflow: String,
    /// Its runs.
    pub runs: usize,
    /// Movements intended.
    pub intended: usize,
    /// Movements in the bank's ledger.
    pub paid: usize,
    /// What they sum to, by currency.
    pub moved: Vec<Money>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// By workflow.
    pub rows: Vec<Row>,
    /// Journal against ledger.
    pub audit: Audit,
    /// Whether all is as it was set out, to the last cent.
    pub exact: bool,
    /// How long it took.
    pub took: Duration,
    /// The folder with the store, if it was kept.
    pub kept: Option<PathBuf>,
}

/// How the demo is played.
pub struct Audience<'a> {
    /// Keep the folder with the store.
    pub keep: bool,
    /// Hears what happens.
    pub tell: &'a mut (dyn FnMut(Progress) + Send),
    /// Hears the verdict, with the settings file of the daemon that is still there to be asked.
    pub verdict: &'a mut (dyn FnMut(&Report, &Path) + Send),
    /// How long bank and daemon stay after the verdict.
    pub stay: BoxFuture<'a, ()>,
}

/// Plays the demo.
///
/// # Errors
/// [`AppError`] when it could not be played; a wrong result is no error but a report that is not exact.
pub async fn play(audience: Audience<'_>) -> Result<Report, AppError> {
    let Audience {
        keep,
        tell,
        verdict,
        stay,
    } = audience;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let started = clock.elapsed();
    let folder = std::env::temp_dir().join(format!("bursar-demo-{}", RunId::generate(clock.now())));
    let mut demo = Demo::set_up(folder.clone(), clock.clone(), tell).await?;
    let mut report = demo.run(tell).await;
    if let Ok(report) = &mut report {
        report.took = clock.elapsed().saturating_sub(started);
        report.kept = keep.then(|| folder.clone());
        verdict(report, &folder.join("bursar.toml"));
        stay.await;
    }
    demo.site.take_down().await;
    if !keep {
        site::remove(&folder);
    }
    report
}

struct Demo {
    site: Site,
    clock: Arc<dyn Clock>,
}

impl Demo {
    async fn set_up(
        folder: PathBuf,
        clock: Arc<dyn Clock>,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Self, AppError> {
        let mut site = Site::new(folder, site::this_program()?, SimulatorConfig::demo(), DAEMON).await?;
        tell(Progress::Step(format!(
            "a simulated bank with a ledger listens on {}",
            site.bank.address
        )));
        let status = site.start().await?;
        let (pid, workflows) = (status.pid, status.workflows);
        let door = status.listeners.get("webhooks").cloned().unwrap_or_default();
        tell(Progress::Step(format!(
            "the daemon (process {pid}) has {workflows} workflows and takes webhooks on {door}"
        )));
        Ok(Self { site, clock })
    }

    async fn run(&mut self, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, AppError> {
        let bank = self.site.bank.control.clone();
        tell(Progress::Step(
            "a person starts the nightly sweep; two customers pay; an invoice is paid; two payments nobody can place; stablecoins arrive".to_owned(),
        ));
        bank.add_fault(FaultRule::on("create_payout", FaultAction::DropAfterEffect).nth(1));
        tell(Progress::Accident(
            "the first payment is applied and its answer is lost".to_owned(),
        ));
        let busy = FaultAction::Status {
            status: 429,
            when: When::Before,
            retry_after_secs: Some(1),
        };
        bank.add_fault(FaultRule::on("create_payout", busy).nth(3));
        tell(Progress::Accident(
            "the third is refused: too many requests, come back in a second".to_owned(),
        ));
        bank.add_webhook_fault(WebhookFaultRule::on("deposit.received", WebhookFault::Duplicate { count: 2 }).times(2));
        tell(Progress::Accident(
            "two webhooks are delivered three times each".to_owned(),
        ));
        self.site.run("nightly-sweep", "demo").await?;
        for (account, amount, reference) in [
            ("Marketplace EUR", "1249.90", "SELLER-007 order 1001"),
            ("Marketplace EUR", "199.99", "SELLER-042 order 1002"),
            ("Collections EUR", "310.00", "no idea"),
            ("Collections EUR", "75.20", "HELLO"),
            ("Collections EUR", "980.00", "INV-20261"),
            ("USDC wallet", "2500.00", ""),
        ] {
            self.deposit(account, amount, reference)?;
        }
        self.quiet(tell).await?;

        tell(Progress::Step(
            "one more customer pays, and one more stranger".to_owned(),
        ));
        let hang = FaultAction::Delay {
            ms: HANGING_MS,
            when: When::After,
        };
        bank.add_fault(FaultRule::on("create_payout", hang).times(1));
        let payouts = || bank.effects().iter().filter(|effect| effect.kind == "payout").count();
        let before = payouts();
        self.deposit("Marketplace EUR", "840.00", "SELLER-108 order 1003")?;
        self.deposit("Collections EUR", "42.00", "who are you")?;
        self.until("the bank to take the payment", || payouts() > before)
            .await?;
        let pid = self.site.pid().unwrap_or_default();
        self.site.kill().await?;
        tell(Progress::Accident(format!(
            "the daemon (process {pid}) is killed while the bank has the payment and has not answered"
        )));
        let status = self.site.start().await?;
        tell(Progress::Result(format!(
            "started again as process {}; it asks the bank under the same key and goes on",
            status.pid
        )));
        self.quiet(tell).await?;
        self.report().await
    }

    fn deposit(&self, account: &str, amount: &str, reference: &str) -> Result<(), AppError> {
        let made = self
            .site
            .bank
            .control
            .create_deposit(&NewDeposit::new(account, amount, reference));
        made.map(drop)
            .map_err(|error| AppError::Other(format!("the bank takes no deposit: {error}")))
    }

    async fn until(&self, what: &str, done: impl Fn() -> bool) -> Result<(), AppError> {
        let started = self.clock.elapsed();
        while !done() {
            if self.clock.elapsed().saturating_sub(started) > PATIENCE {
                return Err(AppError::Other(format!(
                    "waited too long for {what}; the daemon says:\n{}",
                    self.site.log()
                )));
            }
            self.clock.sleep(TICK).await;
        }
        Ok(())
    }

    async fn quiet(&self, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<(), AppError> {
        let runs = self.site.quiet().await?;
        tell(Progress::Result(format!("{} runs have ended", runs.len())));
        Ok(())
    }

    async fn report(&self) -> Result<Report, AppError> {
        let runs = self.site.quiet().await?;
        let audit = self.site.audit(&runs).await?;
        let rows = rows(&runs, &audit);
        let as_set_out = rows
            .iter()
            .map(|row| (row.workflow.as_str(), row.intended))
            .eq(EXPECTED.iter().copied());
        let succeeded = runs.iter().all(|run| run.state == RunState::Succeeded);
        let exact = audit.is_exact() && as_set_out && succeeded && self.site.bank.control.ledger().invariant_ok;
        Ok(Report {
            rows,
            audit,
            exact,
            took: Duration::ZERO,
            kept: None,
        })
    }
}

fn rows(runs: &[Run], audit: &Audit) -> Vec<Row> {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for run in runs {
        let row = rows.entry(&run.workflow).or_insert_with(|| Row {
            workflow: run.workflow.clone(),
            runs: 0,
            intended: 0,
            paid: 0,
            moved: Vec::new(),
        });
        row.runs += 1;
    }
    for intended in &audit.intended {
        let Some(row) = rows.get_mut(intended.workflow.as_str()) else {
            continue;
        };
        row.intended += 1;
        row.paid += intended.times;
        let Some(amount) = intended.amount else { continue };
        match row.moved.iter_mut().find(|sum| sum.currency() == amount.currency()) {
            Some(sum) => *sum = sum.checked_add(amount).unwrap_or(*sum),
            None => row.moved.push(amount),
        }
    }
    rows.into_values().collect()
}

/// How the demo's daemon is set: it repeats quickly, because nobody wants to watch a pause.
const DAEMON: &str = "retry_base_ms = 100\nretry_ceiling_secs = 2\npoll_first_secs = 2\n";

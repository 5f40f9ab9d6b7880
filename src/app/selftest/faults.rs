//! Faults: every way a provider can fail us, at every operation that moves money at any of them, and the ledger as judge.
//!
//! In one process, with a clock moved by hand: the engine, the store and the requests are the real ones, the bank is the
//! simulated one on a real socket, with all its providers. Each fault meets all operations at once, with keys that hold and
//! with keys that do not, and each of these once more with a process that dies after the fault and before anything of it is
//! durable. How each has to end follows from the provider's table.

mod bench;
mod expected;
mod facts;
mod kinds;
mod known;
mod scenes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use self::bench::{Bench, Clients};
pub use self::expected::Ending;
pub use self::facts::{Operation, operations};
pub use self::kinds::{FAULTS, Fault};
use crate::app::AppError;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::RunId;
use crate::connector::registry::Registry;
use crate::model::run::{Run, RunState};

/// What surrounds a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Circumstances {
    /// Whether the provider still honours the key when the answer is missing; else only a look-up can tell.
    pub key_holds: bool,
    /// Whether the process dies after the fault, and another one goes on.
    pub dies: bool,
}

impl Circumstances {
    /// All there are, in the order they are shown in.
    pub const ALL: [Self; 4] = [
        Self::new(true, false),
        Self::new(true, true),
        Self::new(false, false),
        Self::new(false, true),
    ];

    const fn new(key_holds: bool, dies: bool) -> Self {
        Self { key_holds, dies }
    }
}

/// Which part of the matrix is met, and how.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// How many faults are met at the same time.
    pub at_once: usize,
    /// In how many of its four circumstances each fault is met, and the seed these are drawn by; none: in all.
    pub drawn: Option<(usize, u64)>,
}

/// One fault at one operation in some circumstances, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The fault.
    pub fault: &'static str,
    /// The provider.
    pub provider: &'static str,
    /// The operation of the provider's table.
    pub operation: &'static str,
    /// Whether it moves money.
    pub moves_money: bool,
    /// What surrounded it.
    pub circumstances: Circumstances,
    /// How it ended.
    pub ending: Ending,
    /// How often the bank did it.
    pub times: u64,
    /// What is not as it should be.
    pub wrong: Option<String>,
    /// Why it is not as it should be, where that is known.
    pub known: Option<&'static str>,
}

impl Cell {
    /// Whether it was done more than once.
    pub fn is_twice(&self) -> bool {
        self.times > 1
    }

    /// Whether the run says that it was done, and the bank does not have it.
    pub fn is_missing(&self) -> bool {
        self.ending == Ending::Done && self.times == 0
    }

    /// Whether the run says that it was not done, and the bank has it.
    pub fn is_unexplained(&self) -> bool {
        self.ending == Ending::Failed && self.times > 0
    }
}

/// What came of all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Every cell, fault by fault.
    pub cells: Vec<Cell>,
    /// How many there have to be.
    pub due: usize,
    /// How long it took.
    pub took: Duration,
}

impl Matrix {
    /// The cells that are not as they should be.
    pub fn wrong(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.wrong.is_some())
    }

    /// Why cells are not as they should be where that is known, and how many are so.
    pub fn known(&self) -> BTreeMap<&'static str, usize> {
        let mut known = BTreeMap::new();
        for why in self.cells.iter().filter_map(|cell| cell.known) {
            *known.entry(why).or_default() += 1;
        }
        known
    }

    /// Whether every cell is there, and right but for what is known.
    pub fn is_right(&self) -> bool {
        self.cells.len() == self.due && self.wrong().next().is_none()
    }

    /// What came of the cells of each provider, in a line each.
    pub fn by_provider(&self) -> Vec<(&'static str, String)> {
        let mut providers: Vec<&'static str> = Vec::new();
        for cell in &self.cells {
            if !providers.contains(&cell.provider) {
                providers.push(cell.provider);
            }
        }
        let of = |provider| {
            let cells = self.cells.iter().filter(|cell| cell.provider == provider);
            verdict(&cells.collect::<Vec<_>>())
        };
        providers.into_iter().map(|provider| (provider, of(provider))).collect()
    }
}

/// The closing line.
impl std::fmt::Display for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} cells ({} faults, {} circumstances): {} wrong, {} known to be; {}; {}.{} s",
            self.cells.len(),
            FAULTS.len(),
            Circumstances::ALL.len(),
            self.wrong().count(),
            self.known().values().sum::<usize>(),
            verdict(&self.cells.iter().collect::<Vec<_>>()),
            self.took.as_secs(),
            self.took.subsec_millis() / 100,
        )
    }
}

fn verdict(cells: &[&Cell]) -> String {
    let count = |is: &dyn Fn(&Cell) -> bool| cells.iter().filter(|cell| is(cell)).count();
    let mut operations: Vec<_> = cells
        .iter()
        .map(|cell| (cell.provider, cell.operation, cell.moves_money))
        .collect();
    operations.sort_unstable();
    operations.dedup();
    format!(
        "{} operations, {} of them moving money: {} twice, {} missing, {} unexplained; {} done once, {} failed with \
         nothing done, {} left to a person",
        operations.len(),
        operations.iter().filter(|(_, _, moves_money)| *moves_money).count(),
        count(&Cell::is_twice),
        count(&Cell::is_missing),
        count(&Cell::is_unexplained),
        count(&|cell| cell.ending == Ending::Done && cell.times == 1),
        count(&|cell| cell.ending == Ending::Failed && cell.times == 0),
        count(&|cell| cell.ending == Ending::Parked),
    )
}

/// Meets the faults. `tell` hears of each that is through in some circumstances.
///
/// # Errors
/// When it could not be done; a wrong result is no error.
pub async fn faults(part: Part, tell: &mut (dyn FnMut(&Matrix) + Send)) -> Result<Matrix, AppError> {
    let clock = SystemClock::new();
    let began = clock.elapsed();
    let operations = Arc::new(operations(&Registry::built_in())?);
    let clients = Clients::new()?;
    let meetings = meetings(part.drawn);
    let mut matrix = Matrix {
        due: meetings.len() * operations.len(),
        ..Matrix::default()
    };
    let mut left = meetings.into_iter();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < part.at_once.max(1)
            && let Some((fault, circumstances)) = left.next()
        {
            under_way.spawn(met(fault, circumstances, Arc::clone(&operations), clients.clone()));
        }
        let Some(ended) = under_way.join_next().await else {
            break;
        };
        let cells = ended.map_err(|error| AppError::Other(format!("a self-test ended badly: {error}")))??;
        matrix.cells.extend(cells);
        matrix.took = clock.elapsed().saturating_sub(began);
        tell(&matrix);
    }
    let place = |cell: &Cell| FAULTS.iter().position(|fault| fault.name == cell.fault);
    matrix
        .cells
        .sort_by_key(|cell| (place(cell), cell.circumstances.dies, !cell.circumstances.key_holds));
    Ok(matrix)
}

/// Which faults are met in what circumstances.
fn meetings(drawn: Option<(usize, u64)>) -> Vec<(&'static Fault, Circumstances)> {
    let mut random = fastrand::Rng::with_seed(drawn.map_or(0, |(_, seed)| seed));
    let of_each = drawn.map_or(Circumstances::ALL.len(), |(number, _)| number);
    let mut meetings = Vec::new();
    for fault in &FAULTS {
        let mut circumstances = Circumstances::ALL;
        if drawn.is_some() {
            random.shuffle(&mut circumstances);
        }
        meetings.extend(
            circumstances
                .into_iter()
                .take(of_each)
                .map(|circumstances| (fault, circumstances)),
        );
    }
    meetings
}

/// One fault in some circumstances, at all operations.
async fn met(
    fault: &'static Fault,
    circumstances: Circumstances,
    operations: Arc<Vec<Operation>>,
    clients: Clients,
) -> Result<Vec<Cell>, AppError> {
    let mut bench = Bench::set_up(fault, circumstances, &operations, clients).await?;
    let runs = bench.runs().await?;
    let cells = runs
        .iter()
        .zip(operations.iter())
        .map(|(run, operation)| judged(&bench, fault, circumstances, operation, run))
        .collect();
    bench.take_down().await;
    Ok(cells)
}

fn judged(
    bench: &Bench<'_>,
    fault: &'static Fault,
    circumstances: Circumstances,
    operation: &Operation,
    run: &Run,
) -> Cell {
    let times = bench.times(operation);
    let ending = match run.state {
        RunState::Succeeded => Ending::Done,
        RunState::Parked => Ending::Parked,
        _ => Ending::Failed,
    };
    let expected = expected::expected(fault, operation, circumstances);
    let known = known::known(fault, operation, circumstances);
    let found = (ending, times);
    let why = |error: &crate::model::run::RunError| format!(": {}: {}", error.code, error.message);
    let as_known = known.filter(|(instead, _)| *instead == found).map(|(_, why)| why);
    let unexpected = match known {
        _ if as_known.is_some() => None,
        Some((_, why)) => Some(format!(
            "it is not so any more that {why}: take that out of what is known"
        )),
        None if found == expected => None,
        None => Some(format!(
            "{}, done {times} times, instead of {}, {} times{}",
            ending.as_str(),
            expected.0.as_str(),
            expected.1,
            run.error.as_ref().map_or_else(String::new, why)
        )),
    };
    Cell {
        fault: fault.name,
        provider: operation.provider,
        operation: operation.name,
        moves_money: operation.moves_money,
        circumstances,
        ending,
        times,
        wrong: unexpected.or_else(|| bench.books_are_wrong()),
        known: as_known,
    }
}

/// A name for a folder nobody else has.
fn fresh_name() -> String {
    RunId::generate(SystemClock::new().now()).to_string()
}

//! Faults: every way a provider can fail us, at every operation that changes something there, and the ledger as judge.
//!
//! In one process, with a clock in haste: the engine, the store and the requests are the real ones, the bank is the
//! simulated one on a real socket. Each fault meets all operations at once, with keys that hold and with keys that do
//! not, and each of these once more with a process that dies after the fault and before anything of it is durable.

mod bench;
mod kinds;

use std::time::Duration;

use tokio::task::JoinSet;

use self::bench::Bench;
pub use self::kinds::{Ending, FAULTS, Fault, OPERATIONS, Operation};
use crate::app::AppError;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::ids::RunId;
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

/// One fault at one operation in some circumstances, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The fault.
    pub fault: &'static str,
    /// The operation of the connector's table.
    pub operation: &'static str,
    /// What surrounded it.
    pub circumstances: Circumstances,
    /// How it ended.
    pub ending: Ending,
    /// How often the bank did it.
    pub times: u64,
    /// What is not as it should be.
    pub wrong: Option<String>,
}

/// What came of all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// Every cell, fault by fault.
    pub cells: Vec<Cell>,
    /// How long it took.
    pub took: Duration,
}

impl Matrix {
    /// The cells that are not as they should be.
    pub fn wrong(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.wrong.is_some())
    }

    /// Whether every cell is there and right.
    pub fn is_right(&self) -> bool {
        self.cells.len() == FAULTS.len() * OPERATIONS.len() * Circumstances::ALL.len() && self.wrong().next().is_none()
    }

    fn ended(&self, ending: Ending) -> usize {
        self.cells.iter().filter(|cell| cell.ending == ending).count()
    }
}

/// The closing line.
impl std::fmt::Display for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let twice = self.cells.iter().filter(|cell| cell.times > 1).count();
        write!(
            f,
            "{} cells ({} faults x {} operations x {} circumstances): {} wrong, {twice} done twice; {} done once, {} \
             failed with nothing done, {} left to a person; {}.{} s",
            self.cells.len(),
            FAULTS.len(),
            OPERATIONS.len(),
            Circumstances::ALL.len(),
            self.wrong().count(),
            self.ended(Ending::Done),
            self.ended(Ending::Failed),
            self.ended(Ending::Parked),
            self.took.as_secs(),
            self.took.subsec_millis() / 100,
        )
    }
}

/// Meets every fault in all circumstances, so many at a time. `tell` hears of each fault that is through.
///
/// # Errors
/// When it could not be done; a wrong result is no error.
pub async fn faults(at_once: usize, tell: &mut (dyn FnMut(&Matrix) + Send)) -> Result<Matrix, AppError> {
    let clock = SystemClock::new();
    let began = clock.elapsed();
    let mut left = FAULTS
        .iter()
        .flat_map(|fault| Circumstances::ALL.map(|circumstances| (fault, circumstances)));
    let mut matrix = Matrix::default();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < at_once.max(1)
            && let Some((fault, circumstances)) = left.next()
        {
            under_way.spawn(met(fault, circumstances));
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

/// One fault in some circumstances, at all operations.
async fn met(fault: &'static Fault, circumstances: Circumstances) -> Result<Vec<Cell>, AppError> {
    let bench = Bench::set_up(fault, circumstances).await?;
    let runs = bench.runs().await?;
    let cells = runs
        .iter()
        .zip(&OPERATIONS)
        .map(|(run, operation)| judged(&bench, fault, circumstances, operation, run))
        .collect();
    bench.take_down().await;
    Ok(cells)
}

fn judged(
    bench: &Bench,
    fault: &'static Fault,
    circumstances: Circumstances,
    operation: &'static Operation,
    run: &Run,
) -> Cell {
    let times = bench.times(operation);
    let ending = match run.state {
        RunState::Succeeded => Ending::Done,
        RunState::Parked => Ending::Parked,
        _ => Ending::Failed,
    };
    let expected = kinds::expected(fault, operation, circumstances);
    let found = (ending, times);
    let why = |error: &crate::model::run::RunError| format!(": {}: {}", error.code, error.message);
    let unexpected = (found != expected).then(|| {
        format!(
            "{}, done {times} times, instead of {}, {} times{}",
            ending.as_str(),
            expected.0.as_str(),
            expected.1,
            run.error.as_ref().map_or_else(String::new, why)
        )
    });
    Cell {
        fault: fault.name,
        operation: operation.name,
        circumstances,
        ending,
        times,
        wrong: unexpected.or_else(|| bench.books_are_wrong()),
    }
}

/// A name for a folder nobody else has.
fn fresh_name() -> String {
    RunId::generate(SystemClock::new().now()).to_string()
}

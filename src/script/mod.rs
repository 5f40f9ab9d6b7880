//! The interpreter: Rhai, made fit for money.
//!
//! This room turns script texts into runs of a turn. It is generic over its host: it knows that functions
//! exist and how to call them with plain values, never what they do. It must not do I/O, read a clock or
//! know a connection, a journal or a run. No Rhai type leaves it.
//!
//! [`snapshot`] collects a script and its imports, [`check`](check()) tells what is wrong with them, and an
//! [`Interpreter`], one on each script thread, runs them turn by turn under a [`Budget`]. What scripts can do at
//! all is decided in `sandbox`; [`Conditions`] asks expressions over one event; their money, numbers, time, JSON, text and collections each have a file.

mod callback;
mod chain;
pub mod check;
mod collections;
mod condition;
mod convert;
mod detached;
mod fault;
mod host;
mod json;
mod meter;
mod money;
mod number;
mod program;
mod register;
mod run;
mod sandbox;
mod snapshot;
mod sorting;
mod text;
mod thread;
mod time;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::model::journal::Failure;
use crate::model::value::Value;

pub use check::{Apart, Form, ModuleSurface, Place, Signature, Surface, Takes, check, check_condition};
pub use condition::Conditions;
pub use detached::Detached;
pub use fault::ScriptError;
pub use host::Given;
pub use meter::{Budget, Limit};
pub use run::{Globals, Interpreter, Ran};
pub use snapshot::{literal_imports, snapshot};
pub use thread::{spawn_script_thread, spawn_script_thread_with};

/// A module as engines share it, its index built.
fn frozen(mut module: rhai::Module) -> rhai::Shared<rhai::Module> {
    module.build_index();
    module.into()
}

/// Where in the scripts something stands. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Site {
    /// The file, as imports name it.
    pub file: String,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// The two ways a host function does not return.
#[derive(Debug, Clone, PartialEq)]
pub enum Thrown {
    /// The script may catch this: `catch (e)` sees a map with `error`, `message` and `details`.
    Failure(Failure),
    /// The turn ends here. No script code runs on, whatever it tries to catch; the host knows why.
    Interrupt,
}

/// What the interpreter needs to know of its host while a script runs.
pub trait Host: Send + Sync + 'static {
    /// Whether the turn was interrupted. Once true, true for the rest of the turn: every function and
    /// every operation ends the script while it is set.
    fn interrupted(&self) -> bool;

    /// For how long functions of the host have waited for the outside in this turn. All their other time is
    /// computing, and counts like the script's own.
    fn waited(&self) -> Duration;
}

/// A function of plain values: the host, the place of the call, the arguments.
pub type PlainBody<H> = Arc<dyn Fn(&Arc<H>, Site, &[Value]) -> Result<Value, Thrown> + Send + Sync>;

/// A function whose last argument is a closure: the host, the place of the call, the arguments before it, and what
/// can be done with the closure.
pub type ClosureBody<H> = Arc<dyn Fn(&Arc<H>, Site, &[Value], &Given<'_, H>) -> Result<Value, Thrown> + Send + Sync>;

/// The body of a host function.
pub enum Body<H: Host> {
    /// Takes plain values.
    Plain(PlainBody<H>),
    /// Takes a closure as its last argument.
    Closure(ClosureBody<H>),
}

impl<H: Host> Clone for Body<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Plain(body) => Self::Plain(Arc::clone(body)),
            Self::Closure(body) => Self::Closure(Arc::clone(body)),
        }
    }
}

/// A function offered to scripts.
pub struct Function<H: Host> {
    /// The module it is called through (`bank` in `bank::payout`), or none for a plain function.
    pub module: Option<String>,
    /// Its name.
    pub name: String,
    /// How many arguments it takes.
    pub arity: RangeInclusive<usize>,
    /// What it does.
    pub body: Body<H>,
}

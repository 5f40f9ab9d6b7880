//! Tests of the interpreter room: values, money, budgets, hosts, snapshots and the checker.
#![expect(clippy::unwrap_used, reason = "a test says what it needs by stopping")]
#![expect(clippy::panic, reason = "a test says what is wrong by stopping")]

mod budgets;
mod checking;
mod hosting;
mod language;
pub(crate) mod rig;

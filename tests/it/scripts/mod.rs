//! Tests of the interpreter room: values, money, budgets, hosts, snapshots and the checker.

mod budgets;
mod checking;
mod hosting;
mod language;
pub(crate) mod rig;

//! Tests of schedules: which instants an expression names, and which of them make runs.

mod business;
mod calls;
mod fires;
mod jumps;
mod million;
pub(crate) mod rig;
mod slots;
mod troubles;
mod watchdog;

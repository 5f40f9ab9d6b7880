//! Tests of the doors, over real sockets: what is taken, what is refused, and what is durable when it is
//! answered.

mod backfill;
mod control;
mod door;
mod flood;
pub(crate) mod harness;
mod reordered;
mod senders;

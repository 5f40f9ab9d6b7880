//! The simulator over real sockets: does it keep the contract it stands in for?

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests: a panic is the verdict, and what was covered is printed"
)]

mod bench;
mod control;
mod errors;
mod faults;
pub(crate) mod http;
mod idempotency;
mod ivy;
mod ledger;
mod lifecycle;
mod lists;
mod operations;
mod payaut;
mod payments;
mod served;
mod shapes;
mod webhooks;

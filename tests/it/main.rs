//! The one integration binary. Each module tests one boundary of the product.

#![allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "tests report what they did, and stop where they fail"
)]

mod accidents;
mod admission;
mod approvals;
mod catalog;
mod cli;
mod connectors;
mod conversions;
mod crash;
mod damaged;
mod disk;
mod doubt;
mod engine;
mod events;
mod faults;
mod golden_journals;
mod held;
mod hostile;
mod in_flight;
mod key_age;
mod kills;
mod model;
mod mutants;
mod once;
mod pace;
mod parallel;
mod paused;
mod pinned;
mod properties;
mod providers;
mod quarantine;
mod reconcile;
mod refused_key;
mod reload;
mod replay;
mod restore;
mod rhai_contract;
mod schedules;
mod scripts;
mod simulator;
mod store;
mod structures;
mod support;
mod tidy;
mod versions;
mod webhooks;
mod workflows;
mod wrong_clock;

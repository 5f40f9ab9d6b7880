//! The plain data of the product and its pure rules.
//!
//! Workflows, events, runs, the journal and its legal transitions, policy, treasury arithmetic. Nothing
//! here is async, reads a clock, logs or does I/O; everything can be tested with a table of cases.

pub mod breaker;
pub mod calendar;
pub mod concurrency;
pub mod diagnostic;
pub mod document;
pub mod event;
pub mod fate;
pub mod journal;
pub mod payload;
pub mod policy;
pub mod quarantine;
pub mod run;
pub mod treasury;
pub mod unmade;
pub mod value;
pub mod workflow;

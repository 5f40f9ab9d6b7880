//! Events become runs: signed webhooks, schedules, and people who ask.
//!
//! A trigger writes to the store and nudges; it never runs a script and never meets the engine. One cause
//! makes one run, because the cause is unique in the store.

pub mod schedule;

mod expression;

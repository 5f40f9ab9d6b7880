//! The program against itself: the real daemon, a simulated bank, accidents by the thousand, and the bank's ledger as
//! the judge.
//!
//! Anybody can repeat the product's claim with it, on their own machine and with their own seed. It must not know how
//! the daemon does its work: it sees a process, a store and a ledger.

pub mod crash;
pub mod faults;
mod person;
mod workflows;

pub use workflows::Form;

//! The command line as people and scripts meet it: the real binary, its output, its exit codes.

mod bad_input;
mod check;
mod commands;
mod daemon;
mod db;
mod events;
mod harness;
mod help;
mod interrupted;
mod rendering;
mod runs;
mod schedule;
mod subscriptions;
mod webhooks;

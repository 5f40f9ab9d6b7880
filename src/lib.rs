//! Bursar moves money by script, exactly once.
//!
//! This file is the map of the house. Arrows point down only; `tests/it/tidy.rs` holds the table.
//!
//! | floor | rooms |
//! |---|---|
//! | 6 | [`cli`]: one file per command |
//! | 5 | [`app`]: settings, wiring, telemetry, shutdown |
//! | 4 | [`server`]: webhooks and the control socket; [`simulator`]: a provider to test against |
//! | 3 | [`trigger`]: events become runs; [`engine`]: runs become steps |
//! | 2 | [`catalog`]: manifests and scripts, loaded, checked, watched |
//! | 1 | [`script`], [`store`], [`connector`]: the interpreter, the database, the providers |
//! | 0 | [`model`], [`base`]: plain data and pure rules; ids, clock, money, secrets, limits |
//!
//! # Invariants
//!
//! - An intent is durable before a byte is sent; nothing is sent again but the same bytes under the same key.
//! - An unknown outcome is a state, not a failure. Nothing that may have happened is tried blindly again.
//! - What a script may catch is recorded; what is not recorded cannot be caught.
//! - [`trigger`] and [`engine`] meet only in the store, so a crash between "event accepted" and "run started"
//!   loses nothing.
//! - Money is minor units of one currency. No float exists anywhere in the crate.
//! - Each heavy dependency has one home: rhai in [`script`], sqlx in [`store`], reqwest in [`connector`],
//!   axum in [`server`] and [`simulator`], cron in [`trigger`], notify in [`catalog`], clap in [`cli`].
//!
//! # Where to start
//!
//! [`model::journal`] for what a run remembers, then `engine::turn` for how a script meets it.

pub mod base;
pub mod model;

pub mod connector;
pub mod script;
pub mod store;

pub mod catalog;

pub mod engine;
pub mod trigger;

pub mod server;
pub mod simulator;

pub mod app;

pub mod cli;

#[global_allocator]
static ALLOCATOR: base::memory::CountingAllocator = base::memory::CountingAllocator;

//! The one integration binary. Each module tests one boundary of the product.

mod catalog;
mod cli;
mod connectors;
mod crash;
mod engine;
mod model;
mod rhai_contract;
mod schedules;
mod scripts;
mod simulator;
mod store;
mod support;
mod tidy;
mod webhooks;
mod workflows;

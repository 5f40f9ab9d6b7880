//! The Augustus Banking API, version 2026-05-01: its 37 operations, its words and its lifecycles.

pub(crate) mod auth;
pub(crate) mod error;
pub(crate) mod lifecycle;
pub(crate) mod page;
pub mod resources;
pub(crate) mod routes;

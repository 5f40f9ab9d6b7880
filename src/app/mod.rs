//! Settings and wiring.

pub mod settings;
pub mod telemetry;

//! Puts the rooms together.
pub mod audit;

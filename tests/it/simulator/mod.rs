//! Tests of: simulator.

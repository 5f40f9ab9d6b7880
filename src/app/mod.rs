//! Settings and wiring.

//! Tests of: crash.

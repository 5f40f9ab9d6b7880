//! Tests of: scripts.

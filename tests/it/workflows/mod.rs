//! Tests of: workflows.

//! Runs become steps.

//! The catalog of workflows.

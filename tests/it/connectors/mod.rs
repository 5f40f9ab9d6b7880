//! Tests of: connectors.

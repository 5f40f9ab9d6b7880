//! Tests of: catalog.

//! Tests of: rhai_contract.

//! Tests of: model.

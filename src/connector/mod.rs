//! Connectors: providers described as data.

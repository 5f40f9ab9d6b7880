//! Tests of: webhooks.

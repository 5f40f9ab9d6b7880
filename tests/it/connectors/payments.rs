//! The table of the Payments API: whole, and every call that moves money can be looked up.

use bursar::connector::table::{Effect, InDoubt};

use super::{connection_of, endpoint};

/// Every operation the provider documents.
const OPERATIONS: [&str; 35] = [
    "list_checkout_sessions",
    "create_checkout_session",
    "retrieve_checkout_session",
    "retrieve_checkout_session_details",
    "complete_checkout_session",
    "expire_checkout_session",
    "create_checkout_session_payment",
    "create_payment_intent",
    "list_payment_intents",
    "search_payment_intents",
    "retrieve_payment_intent",
    "update_payment_intent",
    "cancel_payment_intent",
    "capture_payment_intent",
    "list_payments",
    "create_payment",
    "create_refund",
    "retrieve_refund",
    "retrieve_payment_method",
    "update_payment_method",
    "create_external_payment",
    "cancel_external_payment",
    "capture_external_payment",
    "create_external_refund",
    "list_disputes",
    "retrieve_dispute",
    "retrieve_balance",
    "list_transactions",
    "retrieve_transaction",
    "search_transactions",
    "download_transactions",
    "list_payouts",
    "retrieve_payout",
    "list_business_payouts",
    "retrieve_processing_plan",
];

#[test]
fn the_table_has_every_operation() {
    let bank = connection_of("payments");
    let mut known = OPERATIONS;
    known.sort_unstable();
    let endpoints = bank.connector.endpoints();
    let names: Vec<&str> = endpoints.map(|endpoint| endpoint.name.as_str()).collect();
    assert_eq!(names, known);
    assert_eq!(bank.connector.webhook().expect("it has webhooks").events.len(), 69);
}

#[test]
fn four_operations_move_money_and_each_can_be_looked_up_and_sent_again() {
    let bank = connection_of("payments");
    let moving = bank.connector.endpoints();
    let moving = moving.filter(|endpoint| endpoint.effect == Effect::MovesMoney);
    let moving: Vec<&str> = moving.map(|endpoint| endpoint.name.as_str()).collect();
    assert_eq!(
        moving,
        [
            "capture_payment_intent",
            "create_checkout_session_payment",
            "create_payment",
            "create_refund"
        ]
    );
    for name in moving {
        let endpoint = endpoint(&bank, name);
        assert_eq!(endpoint.in_doubt, InDoubt::Repeat, "{name}");
        assert!(endpoint.key.is_made() && endpoint.lookup.is_some(), "{name}");
    }
    // PATCH takes the header and keeps to no key.
    for name in ["update_payment_intent", "update_payment_method"] {
        let endpoint = endpoint(&bank, name);
        assert!(!endpoint.key.is_made(), "{name}");
        assert_eq!(endpoint.in_doubt, InDoubt::Lookup, "{name}");
    }
}

/// The documented hour is the most: no connection may trust a key for longer than 55 minutes.
#[test]
fn a_key_is_trusted_for_a_part_of_its_hour() {
    let bank = connection_of("payments");
    let window = bank.key_window(endpoint(&bank, "create_refund"));
    assert_eq!(window.map(|window| window.as_secs()), Some(1_500));
}

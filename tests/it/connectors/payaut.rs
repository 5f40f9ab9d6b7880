//! The table of Payaut: whole, and cautious where the provider says nothing.

use bursar::connector::table::{Connector, Effect, InDoubt, KeyPlace, Stage};
use bursar::model::value::Value;

use super::{connection_of, endpoint};

/// Every operation of the reference.
const OPERATIONS: [&str; 46] = [
    "cancel_split",
    "create_account_holder",
    "create_external_account",
    "create_payout_request",
    "create_refund_split",
    "create_report",
    "create_split",
    "create_ubo",
    "create_webhook",
    "delete_account_holder",
    "delete_account_schedule",
    "delete_payout_request",
    "generate_onboarding_url",
    "list_account_holders",
    "list_divisions",
    "list_external_accounts",
    "list_payout_requests",
    "list_payouts",
    "list_refund_splits",
    "list_reports",
    "list_splits",
    "list_transactions",
    "list_ubos",
    "list_virtual_accounts",
    "list_webhooks",
    "retrieve_account_holder",
    "retrieve_account_schedule",
    "retrieve_balance",
    "retrieve_default_schedule",
    "retrieve_division_schedule",
    "retrieve_external_account",
    "retrieve_payout_request",
    "retrieve_refund_split",
    "retrieve_split",
    "retrieve_ubo",
    "retrieve_virtual_account",
    "retrieve_webhook",
    "select_external_account",
    "transfer_balance",
    "update_account_holder",
    "update_account_schedule",
    "update_default_schedule",
    "update_division_schedule",
    "update_external_account",
    "update_ubo",
    "update_webhook",
];

#[test]
fn every_operation_is_there_and_none_else() {
    let bank = connection_of("payaut");
    let names: Vec<&str> = bank
        .connector
        .endpoints()
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    assert_eq!(names, OPERATIONS);
    let primitives: Vec<&str> = bank.connector.primitives().map(|(name, _)| name).collect();
    assert_eq!(
        primitives,
        [
            "accounts",
            "balance",
            "cancel",
            "payout",
            "refund",
            "split",
            "transactions",
            "transfer"
        ]
    );
    assert!(bank.connector.webhook().is_none(), "nothing is signed");
    assert!(bank.connector.gaps.iter().any(|gap| gap.doc.contains("not signed")));
}

#[test]
fn what_moves_money_is_protected_by_what_the_provider_has() {
    let bank = connection_of("payaut");
    let moving: Vec<&str> = bank
        .connector
        .endpoints()
        .filter(|endpoint| endpoint.effect == Effect::MovesMoney)
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    let (payout, refund, split, transfer) = (
        "create_payout_request",
        "create_refund_split",
        "create_split",
        "transfer_balance",
    );
    assert_eq!(moving, [payout, refund, split, transfer]);
    // No key: looked for, one at a time, and never sent again blindly.
    for name in [payout, refund] {
        let endpoint = endpoint(&bank, name);
        assert_eq!(
            (&endpoint.key, endpoint.in_doubt),
            (&KeyPlace::None, InDoubt::Lookup),
            "{name}"
        );
        assert!(endpoint.exclusive.is_some(), "{name}");
        // What the list of payouts shows is in no document: a miss there proves nothing.
        assert_eq!(
            endpoint.lookup.as_ref().unwrap().covers_window,
            name == refund,
            "{name}"
        );
    }
    assert!(endpoint(&bank, refund).look_first);
    assert!(endpoint(&bank, transfer).key.is_made());
    assert_eq!(endpoint(&bank, transfer).in_doubt, InDoubt::Repeat);
    let echo = &endpoint(&bank, split).echo;
    assert_eq!(
        echo.same.keys().collect::<Vec<_>>(),
        ["ext_ref", "items", "psp_ext_ref"]
    );
}

#[test]
fn a_status_nobody_knows_is_no_end() {
    let bank = connection_of("payaut");
    let payout = bank.connector.resource("payout").unwrap();
    assert_eq!(payout.stage("PROCESSED"), Stage::Succeeded);
    assert_eq!(payout.stage("FAILED"), Stage::Failed);
    assert_eq!(payout.stage("Partially Failed"), Stage::Pending);
    // A split shows none: its payment among the transactions does, not a refund of it.
    let split = bank.connector.resource("split").unwrap();
    let row = |kind: &str, status: &str| {
        Value::map([
            ("type", Value::text(kind)),
            ("status", Value::text(status)),
            ("pspExtRef", Value::text("psp-1")),
        ])
    };
    let rows = [row("REFUND", "pending_settlement"), row("PAYMENT", "reconciled")];
    let found = split.one_of(&rows, "psp-1").unwrap();
    assert_eq!(split.stage_of(found), Stage::Succeeded);
}

/// The findings of the table after a change.
fn broken(from: &str, to: &str) -> String {
    let (file, text) = bursar::connector::registry::EMBEDDED
        .iter()
        .find(|(file, _)| *file == "payaut.toml")
        .unwrap();
    assert!(text.contains(from), "the table has no `{from}`");
    let findings = Connector::parse(file, &text.replacen(from, to, 1))
        .err()
        .unwrap_or_default();
    findings
        .iter()
        .map(|finding| finding.message.clone())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn what_a_primitive_always_says_is_held_against_the_endpoint() {
    let set = r#"set      = { target_currency = "EUR", process_at = "{now}" }"#;
    let cases = [
        (
            set,
            r#"set = { target = "EUR" }"#,
            "there is no parameter of `create_payout_request` named `target`",
        ),
        (
            set,
            r#"set = { amount = "EUR" }"#,
            "`amount` is what a script says, by `args`",
        ),
        (
            set,
            r#"set = { target_currency = "{now}" }"#,
            "`target_currency` is no time of what moves money",
        ),
        (set, r#"set = { process_at = "today" }"#, "`process_at` is no text"),
        (
            set,
            r#"set = { target_currency = "{setting.target}" }"#,
            "there is no setting `target`",
        ),
        (
            r#"set      = { type = "{setting.transfer_type}" }"#,
            r#"set = { type = "GIFT" }"#,
            "`type` cannot be `GIFT`",
        ),
        (
            r#"args     = { account = "code" }"#,
            "args = { account = \"code\" }\neach = \"/amounts\"",
            "only `accounts` has `each` and `always`",
        ),
        (
            r#"each     = "/accounts""#,
            r#"each = "accounts""#,
            "`accounts` is not a pointer",
        ),
    ];
    for (from, to, told) in cases {
        let findings = broken(from, to);
        assert!(findings.contains(told), "{to}: {findings}");
    }
}

//! Lists of parts: what they come to is seen before anything is sent, and a table that could lose some of it is refused.

use bursar::connector::registry::EMBEDDED;
use bursar::connector::request::prepare;
use bursar::connector::table::Connector;
use bursar::model::value::Value;
use serde_json::{Value as Json, json};

use super::{connection_of, endpoint};

/// What a request is refused with; nothing if it is not.
fn refused(connector: &str, name: &str, args: &Json) -> String {
    let bank = connection_of(connector);
    let args = Value::from_typed(args).unwrap();
    let prepared = prepare(&bank, endpoint(&bank, name), args.as_map().unwrap(), None);
    prepared.err().map(|failure| failure.message).unwrap_or_default()
}

fn eur(amount: &str) -> Json {
    json!({ "$money": format!("EUR {amount}") })
}

fn item(amount: &str) -> Json {
    json!({ "type": "ITEM", "ext_ref": format!("i-{amount}"), "amount": eur(amount), "account_code": "A" })
}

/// A split of 100.00 into these items.
fn split(items: &Json) -> Json {
    json!({
        "ext_ref": "order-1", "psp_ext_ref": "psp-1", "payment_processor": "ADYEN",
        "total_amount": eur("100.00"), "items": items,
    })
}

#[test]
fn items_come_to_the_total_or_nothing_is_sent() {
    let refuse = |items: &Json| refused("payaut", "create_split", &split(items));
    assert_eq!(refuse(&json!([item("90.00"), item("10.00")])), "");
    for (items, sum) in [
        (json!([item("90.00"), item("9.99")]), "EUR 99.99"),
        (json!([item("90.00"), item("10.01")]), "EUR 100.01"),
        (json!([]), "EUR 0.00"),
    ] {
        assert_eq!(
            refuse(&items),
            format!(
                "create_split: `items` come to {sum} together, and `total_amount` is EUR 100.00: they have to be exactly that"
            )
        );
    }
    // A group counts what it says itself; what is in it is the provider's to add up.
    let mut group = item("100.00");
    group["type"] = json!("GROUP");
    group["items"] = json!([item("60.00"), item("40.00")]);
    assert_eq!(refuse(&json!([group])), "");
    // What a discount counts is in no document.
    let mut discount = item("5.00");
    discount["label"] = json!("DISCOUNT");
    assert_eq!(refuse(&json!([item("100.00"), discount])), "");
    // A plain number is one of the provider's own units.
    let mut plain = item("90.00");
    plain["amount"] = json!({ "$decimal": "9000" });
    assert_eq!(refuse(&json!([plain, item("10.00")])), "");
}

#[test]
fn what_goes_back_is_added_up_as_well_where_it_is_said() {
    let refund = |items: Option<Json>| {
        let mut args = json!({ "ext_ref": "order-1", "psp_mutation_ext_ref": "back-1", "total_amount": eur("10.00") });
        if let Some(items) = items {
            args["items"] = items;
        }
        refused("payaut", "create_refund_split", &args)
    };
    assert_eq!(refund(None), "");
    assert_eq!(refund(Some(json!([item("7.50"), item("2.50")]))), "");
    assert!(refund(Some(json!([item("7.50")]))).contains("come to EUR 7.50 together"));
}

#[test]
fn parts_may_leave_a_rest_where_somebody_has_it_and_never_more_than_there_is() {
    let capture = |parts: &[&str]| {
        let usd = |amount: &str| json!({ "$money": format!("USD {amount}") });
        let parts: Vec<Json> = parts
            .iter()
            .map(|part| json!({ "recipient_id": "payee", "recipient_type": "payee", "amount": usd(part) }))
            .collect();
        let args = json!({ "id": "pi_1", "account": "acct_1", "amount": usd("100.00"), "payment_splits": parts });
        refused("payments", "capture_payment_intent", &args)
    };
    for fits in [&["60.00"][..], &["60.00", "40.00"], &[]] {
        assert_eq!(capture(fits), "", "{fits:?}");
    }
    assert_eq!(
        capture(&["60.00", "40.01"]),
        "capture_payment_intent: `payment_splits` come to USD 100.01 together, and `amount` is USD 100.00: they have to be at most that"
    );
}

/// The findings of Payaut's table after a change.
fn broken(from: &str, to: &str) -> String {
    broken_in("payaut.toml", from, to)
}

fn broken_in(table: &str, from: &str, to: &str) -> String {
    let (file, text) = EMBEDDED.iter().find(|(file, _)| *file == table).unwrap();
    assert!(text.contains(from), "the table has no `{from}`");
    let findings = Connector::parse(file, &text.replacen(from, to, 1))
        .err()
        .unwrap_or_default();
    let messages = findings.iter().map(|finding| finding.message.clone());
    messages.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_table_whose_parts_could_lose_money_is_refused() {
    let sum = r#"sum    = { list = "items", of = "amount", total = "total_amount", unless"#;
    let parts = r#"parts       = { list = "items", args = { to = "account_code", amount = "amount", number = "ext_ref", name = "description", label = "label" }, set = { type = "ITEM" } }"#;
    for (from, to, told) in [
        (
            sum,
            r#"sum = { list = "item", of = "amount", total = "total_amount", unless"#,
            "named `item`",
        ),
        (
            sum,
            r#"sum = { list = "items", of = "label", total = "total_amount", unless"#,
            "`label` is no amount",
        ),
        (
            sum,
            r#"sum = { list = "items", of = "amount", total = "currency", unless"#,
            "`currency` is no amount",
        ),
        (
            sum,
            r#"sum = { list = "currency", of = "amount", total = "total_amount", unless"#,
            "`currency` is no list of maps",
        ),
        (
            sum,
            r#"sum = { list = "items", of = "amount", total = "total_amount", at_most = true, unless"#,
            "what items leave over has somebody",
        ),
        (parts, "", "`parts` is missing: how the call says who gets what"),
        (
            parts,
            r#"parts = { list = "items", args = { to = "account_code", number = "ext_ref" }, set = { type = "ITEM" } }"#,
            "no member for `amount`, which a part always says",
        ),
        (
            parts,
            r#"parts = { list = "items", args = { to = "account_code", amount = "amount", number = "ext_ref" } }"#,
            "`type` is needed and nobody says it",
        ),
        (
            parts,
            r#"parts = { list = "items", args = { to = "account", amount = "amount", number = "ext_ref" }, set = { type = "ITEM" } }"#,
            "there is no member `account`",
        ),
        (
            parts,
            r#"parts = { list = "items", args = { to = "account_code", amount = "amount", number = "ext_ref" }, set = { type = "ITEM" }, remainder = "nobody" }"#,
            "there is no setting `nobody`",
        ),
    ] {
        let findings = broken(from, to);
        assert!(findings.contains(told), "{to}: {findings}");
    }
}

#[test]
fn a_table_that_would_not_see_what_went_back_is_refused() {
    let of = r#"number = "ext_ref", of = "original_ext_ref", label"#;
    let divided = r#"[primitive.refund.divided]                # no list can be asked for one payment: they are walked, from `since` on
endpoint = "list_splits""#;
    for (from, to, told) in [
        (
            of,
            r#"number = "ext_ref", label"#,
            "`parts` has no `of`: nobody would see later whose part went back",
        ),
        (
            divided,
            "[primitive.refund.divided]\nendpoint = \"retrieve_split\"",
            "`retrieve_split` is no list",
        ),
        (
            r#"since    = "created_after""#,
            r#"since = "asc""#,
            "`list_splits` has no time `asc`",
        ),
        (
            r#"payment  = "/pspExtRef""#,
            r#"payment = "pspExtRef""#,
            "`pspExtRef` is not a pointer",
        ),
        (
            "[endpoint.create_refund_split.lookup]",
            "[endpoint.retrieve_refund_split.lookup]",
            "`create_refund_split` has no `lookup`, which says for how long the refund before may not be shown",
        ),
    ] {
        let findings = broken(from, to);
        assert!(findings.contains(told), "{to}: {findings}");
    }
    let back = r#"sent    = { endpoint = "list_payouts", since = "created_after","#;
    let metadata = r#"args     = { from = "source_account_id", to = "destination", amount = "amount", reference = "reference", rail = "rail", metadata = "metadata" }
resource = "payout"

[primitive.send_back.back]"#;
    for (from, to, told) in [
        (
            back,
            r#"sent = { endpoint = "retrieve_payout", since = "id","#,
            "`retrieve_payout` is no list",
        ),
        (
            back,
            r#"sent = { endpoint = "list_payouts", since = "after","#,
            "named `after`",
        ),
        (
            metadata,
            "args = { to = \"destination\", amount = \"amount\", metadata = \"reference\" }\n[primitive.send_back.back]",
            "`metadata` leads to no text_map",
        ),
        (
            r#"dead = ["failed", "returned"], visibility"#,
            r#"dead = ["failed"], visibility"#,
            "a payment that is `returned` has not gone",
        ),
    ] {
        let findings = broken_in("augustus.toml", from, to);
        assert!(findings.contains(told), "{to}: {findings}");
    }
}

//! Events: what a delivery and an item of the provider's list say, and bodies that say nothing.

use bursar::base::ids::EventId;
use bursar::connector::event::{BadPayload, read_event, read_listed};
use bursar::connector::registry::Registry;
use bursar::model::event::Delivery;
use bursar::model::value::Value;
use serde_json::{Value as Json, json};

use super::signature::BODY;
use super::{bank, time};

/// What an event is called, and what it is about.
fn called(connector: &str, body: &Json) -> (String, Option<String>) {
    let table = Registry::built_in().get(connector).expect("built in").clone();
    let mut delivery = delivery(&body.to_string());
    delivery.headers.push(("svix-id".to_owned(), "msg_1".to_owned()));
    let event = read_event(&table, &delivery, EventId::generate(time("2026-01-01T00:00:05Z"))).unwrap();
    (event.kind, event.subject)
}

#[test]
fn one_type_of_the_provider_is_several_here_where_the_status_tells_them_apart() {
    for (status, kind) in [
        (json!("paid"), "order.paid"),
        (json!("waiting_for_bank_confirmation"), "order.waiting_for_payment"),
        (json!("canceled"), "order.canceled"),
        (json!("processing"), "order_updated"),
        (json!("PAID"), "order_updated"),
        (json!(7), "order_updated"),
        (json!(null), "order_updated"),
    ] {
        let order = json!({ "id": "o1", "status": status });
        let told = |kind: &str| json!({ "id": "e1", "type": kind, "date": "", "payload": order });
        assert_eq!(called("ivy", &told("order_updated")).0, kind, "{status}");
        assert_eq!(called("ivy", &told("order_created")).0, "order_created", "{status}");
    }
}

#[test]
fn two_generations_of_webhooks_are_read_in_three_forms() {
    let dispute = json!({ "id": "dp_1", "status": "new", "updated_at": "2026-01-01T00:00:00Z" });
    let mut flat = dispute.clone();
    flat["event_type"] = json!("dispute.created");
    for (body, kind) in [
        (
            json!({ "type": "v2.dispute.created", "data": dispute }),
            "v2.dispute.created",
        ),
        (
            json!({ "event_type": "v2.dispute.created", "data": dispute }),
            "v2.dispute.created",
        ),
        (flat.clone(), "dispute.created"),
    ] {
        let expected = (kind.to_owned(), Some("dp_1".to_owned()));
        assert_eq!(called("payments", &body), expected, "{body}");
    }
    // What fits no form is told by the first.
    let table = Registry::built_in().get("payments").expect("built in").clone();
    let id = EventId::generate(time("2026-01-01T00:00:05Z"));
    let error = read_event(&table, &delivery("{\"id\":\"dp_1\"}"), id).unwrap_err();
    assert_eq!(error, BadPayload::Missing("/data".to_owned()));
}

fn delivery(body: &str) -> Delivery {
    Delivery {
        connection: "bank".to_owned(),
        headers: Vec::new(),
        body: body.to_owned().into(),
        sender: std::net::Ipv4Addr::LOCALHOST.into(),
        received_at: time("2026-01-01T00:00:05Z"),
    }
}

#[test]
fn a_delivery_says_what_happened_to_what_and_when() {
    let id = EventId::generate(time("2026-01-01T00:00:05Z"));
    let event = read_event(&bank().connector, &delivery(BODY), id).unwrap();
    assert_eq!(event.id, id);
    assert_eq!(event.connection, "bank");
    assert_eq!(event.provider_id, "6f1d2c3b-4a59-4e68-9f70-8192a3b4c5d6");
    assert_eq!(event.kind, "payout.paid");
    assert_eq!(event.subject.as_deref(), Some("0b9e3c1a-7d24-4f58-8a6b-1c2d3e4f5a6b"));
    assert_eq!(event.occurred_at, Some(time("2026-01-01T00:00:00Z")));
    assert_eq!(event.payload.json()["amount"], json!("100.50"));
}

#[test]
fn the_same_event_from_the_list_is_the_same_event() {
    let bank = bank();
    let id = EventId::generate(time("2026-01-01T00:00:05Z"));
    let pushed = read_event(&bank.connector, &delivery(BODY), id).unwrap();
    let listed = json!({
        "id": pushed.provider_id, "type": "event", "event_type": pushed.kind, "api_version": "2026-05-01",
        "created_at": "2026-01-01T00:00:00Z", "data": pushed.payload,
    });
    let item = Value::from_plain(&listed).unwrap();
    let backfill = bank.connector.backfill().unwrap();
    let read = read_listed(&bank.connector, backfill, &item, "bank", id, pushed.received_at).unwrap();
    assert_eq!(read, pushed);
}

#[test]
fn a_body_that_is_no_event_is_refused() {
    let deep = format!(
        r#"{{"id":"a","type":"b","payload":{}1{}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    let cases = [
        ("", "the body is not JSON"),
        ("<html>", "the body is not JSON"),
        ("[]", "the body has no text at /payload"),
        (r#"{"type":"b","payload":{}}"#, "the body has no text at /id"),
        (r#"{"id":"","type":"b","payload":{}}"#, "the body has no text at /id"),
        (r#"{"id":7,"type":"b","payload":{}}"#, "the body has no text at /id"),
        (r#"{"id":"a","payload":{}}"#, "the body has no text at /type"),
        (deep.as_str(), "the payload cannot be taken: nested deeper"),
        (
            r#"{"id":"a","type":"b","payload":{"amount":1.00000000000000000000000000000001}}"#,
            "the payload cannot be taken: the number",
        ),
    ];
    for (body, expected) in cases {
        let id = EventId::generate(time("2026-01-01T00:00:05Z"));
        let error = read_event(&bank().connector, &delivery(body), id).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{body}: {error}");
    }
    assert_eq!(BadPayload::NotJson.to_string(), "the body is not JSON");
}

#[test]
fn an_event_of_a_later_kind_is_read_all_the_same() {
    let body = r#"{"id":"e1","type":"card.ordered","payload":{"size":1},"more":true}"#;
    let id = EventId::generate(time("2026-01-01T00:00:05Z"));
    let event = read_event(&bank().connector, &delivery(body), id).unwrap();
    assert_eq!(
        (event.kind.as_str(), event.subject, event.occurred_at),
        ("card.ordered", None, None)
    );
}

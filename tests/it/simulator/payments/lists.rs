//! Lists by cursor, searches by page, and when they show what was made.

use bursar::simulator::config::payments::{ListOrder, Meta};
use bursar::simulator::faults::{FaultAction, FaultRule};
use serde_json::{Value as Json, json};

use super::{Pay, made, number, rows};

/// Seven intents of 1 to 7 cents, by their ids.
async fn seven(pay: &Pay) -> Vec<String> {
    let mut made = Vec::new();
    for amount in 1..=7 {
        made.push(
            pay.intent(&json!({ "amount": amount, "reference_id": format!("R{}", amount % 2) }))
                .await,
        );
        pay.bench.pass(1_000);
    }
    made
}

fn amounts(page: &Json) -> Vec<i64> {
    rows(page).iter().map(|row| number(&row["amount"])).collect()
}

#[tokio::test]
async fn a_list_goes_on_after_the_last_id_and_back_before_one() {
    let pay = Pay::start().await;
    let ids = seven(&pay).await;
    let of = async |query: String| amounts(&pay.get(&format!("/payment_intents?{query}")).await.ok());
    assert_eq!(of(String::new()).await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(of("limit=3".to_owned()).await, [7, 6, 5]);
    assert_eq!(of(format!("limit=3&starting_after={}", ids[4])).await, [4, 3, 2]);
    assert_eq!(of(format!("limit=3&starting_after={}", ids[1])).await, [1]);
    assert_eq!(of(format!("starting_after={}", ids[0])).await, Vec::<i64>::new());
    assert_eq!(
        of(format!("limit=2&ending_before={}", ids[1])).await,
        [3, 4],
        "the other way round"
    );
    assert_eq!(of(format!("ending_before={}", ids[6])).await, Vec::<i64>::new());
    for wrong in [
        "limit=0".to_owned(),
        "limit=51".to_owned(),
        "limit=ten".to_owned(),
        "limit=1&limit=2".to_owned(),
        "page=2".to_owned(),
        "starting_after=pi_1".to_owned(),
        format!("starting_after={0}&ending_before={0}", ids[0]),
    ] {
        pay.get(&format!("/payment_intents?{wrong}"))
            .await
            .refused(400, "WRONG_ARGUMENTS");
    }
}

#[tokio::test]
async fn ten_rows_are_a_page_where_nobody_says_how_many() {
    let pay = Pay::with(|config| config.meta = Meta::Counts).await;
    for _ in 0..11 {
        pay.intent(&json!({ "amount": 1 })).await;
    }
    let page = pay.get("/payment_intents").await.ok();
    assert_eq!(rows(&page).len(), 10);
    assert_eq!(page["meta"], json!({ "page": 1, "size": 10, "total_count": 11 }));
    let second = pay.post("/payment_intents/search", &json!({ "page": 2 })).await.ok();
    assert_eq!(rows(&second).len(), 1);
    assert_eq!(second["meta"], json!({ "page": 2, "size": 10, "total_count": 11 }));
    let past = pay.post("/payment_intents/search", &json!({ "page": 3 })).await.ok();
    assert!(rows(&past).is_empty());
}

#[tokio::test]
async fn which_end_comes_first_is_a_setting() {
    let pay = Pay::with(|config| config.list_order = ListOrder::OldestFirst).await;
    let ids = seven(&pay).await;
    let after = pay
        .get(&format!("/payment_intents?limit=2&starting_after={}", ids[1]))
        .await
        .ok();
    assert_eq!(amounts(&after), [3, 4]);
    let before = pay
        .get(&format!("/payment_intents?limit=2&ending_before={}", ids[4]))
        .await
        .ok();
    assert_eq!(amounts(&before), [4, 3]);
}

#[tokio::test]
async fn a_search_filters_sorts_and_pages() {
    let pay = Pay::start().await;
    let ids = seven(&pay).await;
    pay.charge(&ids[2], bursar::simulator::config::payments::CARD).await;
    made(
        &pay.post(&format!("/payment_intents/{}/refunds", ids[2]), &json!({ "amount": 1 }))
            .await,
    );
    pay.bench.pass(500);
    let of = async |body: Json| amounts(&pay.post("/payment_intents/search", &body).await.ok());
    assert_eq!(of(json!({ "reference_id": "R1" })).await, [7, 5, 3, 1], "not unique");
    assert_eq!(of(json!({ "reference_id": "R" })).await, Vec::<i64>::new());
    assert_eq!(of(json!({ "amount_min": 3, "amount_max": 4 })).await, [4, 3]);
    assert_eq!(
        of(json!({ "amount_min": -3, "sort_column": "amount", "sort_direction": "asc", "limit": 2 })).await,
        [1, 2]
    );
    assert_eq!(
        of(json!({ "sort_direction": "asc", "limit": 3, "page": 2 })).await,
        [4, 5, 6]
    );
    assert_eq!(of(json!({ "status": "captured" })).await, [3]);
    assert_eq!(
        of(json!({ "payment_status": "captured", "settlement_status": "settled" })).await,
        [3]
    );
    assert_eq!(of(json!({ "has_refund": true })).await, [3]);
    assert_eq!(of(json!({ "has_refund": false })).await.len(), 6);
    let window = json!({ "start_date": "2026-01-01T00:00:02Z", "end_date": "2026-01-01T00:00:04Z" });
    assert_eq!(of(window).await, [5, 4, 3]);
}

#[tokio::test]
async fn lines_are_searched_without_their_source() {
    let pay = Pay::start().await;
    for amount in [300, 100, 200] {
        pay.paid(amount).await;
        pay.bench.pass(1_000);
    }
    let of = async |body: Json| amounts(&pay.post("/transactions/search", &body).await.ok());
    assert_eq!(of(json!({})).await, [200, 100, 300]);
    assert_eq!(of(json!({ "sort_column": "amount" })).await, [300, 200, 100]);
    assert_eq!(of(json!({ "source_type": "payment", "amount_max": 150 })).await, [100]);
    assert_eq!(of(json!({ "settlement_status": "unsettled" })).await, Vec::<i64>::new());
    assert_eq!(of(json!({ "source_type": "refund" })).await, Vec::<i64>::new());
}

#[tokio::test]
async fn what_was_made_may_be_missing_from_lists_and_longer_from_searches() {
    let pay = Pay::with(|config| {
        config.visibility_lag_ms = 1_000;
        config.search_lag_ms = 5_000;
    })
    .await;
    let intent = pay.intent(&json!({ "amount": 1 })).await;
    pay.fetch(&intent).await;
    let seen = async || {
        let listed = rows(&pay.get("/payment_intents").await.ok()).len();
        let found = rows(&pay.post("/payment_intents/search", &json!({})).await.ok()).len();
        (listed, found)
    };
    assert_eq!(seen().await, (0, 0));
    pay.bench.pass(1_000);
    assert_eq!(seen().await, (1, 0));
    pay.bench.pass(5_000);
    assert_eq!(seen().await, (1, 1));
}

#[tokio::test]
async fn one_thing_can_be_kept_out_of_sight() {
    let pay = Pay::start().await;
    let intent = pay.paid(100).await;
    let control = pay.bench.control();
    control.add_fault(FaultRule::on("payments.create_refund", FaultAction::Unlisted { ms: 60_000 }).nth(1));
    made(
        &pay.post(&format!("/payment_intents/{intent}/refunds"), &json!({ "amount": 1 }))
            .await,
    );
    let lines = async || rows(&pay.get("/transactions").await.ok()).len();
    assert_eq!(lines().await, 1);
    pay.bench.pass(60_000);
    assert_eq!(lines().await, 2);
}

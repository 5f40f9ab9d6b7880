//! Three ways of paging: names with an underscore, without one, and a feed; all of them from a page of the settings.

use bursar::simulator::config::payaut::ListOrder;
use serde_json::Value as Json;

use super::{Payaut, SELLER, SPLITS, refused};

async fn references(payaut: &Payaut, query: &str) -> Vec<String> {
    let page = payaut.get(&format!("{SPLITS}?{query}")).await.ok();
    let rows = page["elements"].as_array().unwrap();
    rows.iter()
        .map(|row| row["extRef"].as_str().unwrap().to_owned())
        .collect()
}

async fn three() -> Payaut {
    let payaut = Payaut::start().await;
    for number in 1..=3 {
        payaut.made(&format!("order-{number}")).await;
        payaut.bench.pass(1_000);
    }
    payaut
}

#[tokio::test]
async fn pages_are_numbered_from_nought_and_come_newest_first() {
    let payaut = three().await;
    assert_eq!(references(&payaut, "").await, ["order-3", "order-2", "order-1"]);
    assert_eq!(references(&payaut, "_pageSize=2").await, ["order-3", "order-2"]);
    assert_eq!(
        references(&payaut, "_pageSize=2&_pageNumber=0").await,
        ["order-3", "order-2"]
    );
    assert_eq!(references(&payaut, "_pageSize=2&_pageNumber=1").await, ["order-1"]);
    assert!(references(&payaut, "_pageSize=2&_pageNumber=2").await.is_empty());
    assert_eq!(
        references(&payaut, "_asc=true&_orderBy=createdAt").await,
        ["order-1", "order-2", "order-3"]
    );
    let page = payaut.get(&format!("{SPLITS}?_pageSize=2&_pageNumber=1")).await.ok();
    assert_eq!(
        (&page["pageNumber"], &page["pageSize"], &page["totalElementCount"]),
        (&1.into(), &2.into(), &3.into())
    );
    let usual = payaut.get(SPLITS).await.ok();
    assert_eq!(usual["pageSize"], 100);
    payaut.bench.control().configure(|config| {
        config.payaut.first_page = 1;
        config.payaut.list_order = ListOrder::OldestFirst;
    });
    assert_eq!(
        references(&payaut, "_pageSize=2&_pageNumber=1").await,
        ["order-1", "order-2"]
    );
    refused(&payaut.get(&format!("{SPLITS}?_pageNumber=0")).await, 400);
}

#[tokio::test]
async fn a_span_of_time_has_one_form() {
    let payaut = three().await;
    let span = "_from=2026-01-01T00:00:01.000Z&_to=2026-01-01T01:00:01.000%2B01:00";
    assert_eq!(references(&payaut, span).await, ["order-2"]);
    assert_eq!(references(&payaut, "_from=2026-01-01T00:00:01.001Z").await, ["order-3"]);
    for wrong in [
        "_from=2026-01-01",
        "_from=2026-01-01T00:00:01Z",
        "_from=2026-01-01T00:00:01.000",
        // A plus that is not escaped is a space.
        "_to=2026-01-01T01:00:01.000+01:00",
        "_pageSize=501",
        "_pageSize=0",
        "_pageNumber=-1",
        "_pageNumber=x",
        "_orderBy=colour",
        "_asc=yes",
        "pageNumber=0",
        "_pageSize=1&_pageSize=2",
    ] {
        refused(&payaut.get(&format!("{SPLITS}?{wrong}")).await, 400);
    }
}

#[tokio::test]
async fn owners_are_paged_without_the_underscore() {
    let payaut = Payaut::start().await;
    let path = format!("v1/accountholders/{}/ubos", payaut.holder(SELLER).await);
    for number in 0..3 {
        let owner = serde_json::json!({ "extRef": format!("ubo-{number}") });
        payaut.post(&path, &owner).await.ok();
    }
    let page = payaut.get(&format!("{path}?pageNumber=1&pageSize=2")).await.ok();
    assert_eq!(page["elements"].as_array().unwrap().len(), 1);
    assert_eq!(page["totalElementCount"], 3);
    refused(&payaut.get(&format!("{path}?_pageNumber=1")).await, 400);
}

#[tokio::test]
async fn a_feed_is_paged_by_page_and_limit() {
    let payaut = three().await;
    payaut.bench.pass(60_000);
    let rows = async |query: &str| -> Vec<Json> {
        let page = payaut.get(&format!("v2/transactions?{query}")).await.ok();
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["extRef"].clone())
            .collect()
    };
    assert_eq!(rows("limit=2&page=0").await, ["order-3", "order-2"]);
    assert_eq!(rows("limit=2&page=1").await, ["order-1"]);
    assert_eq!(
        rows("direction=asc&sort=createdAt").await,
        ["order-1", "order-2", "order-3"]
    );
    refused(&payaut.get("v2/transactions?direction=up").await, 400);
    refused(&payaut.get("v2/transactions?from=yesterday").await, 400);
    refused(&payaut.get("v2/transactions?limit=501").await, 400);
    payaut
        .bench
        .control()
        .configure(|config| config.payaut.feed_first_page = 1);
    assert_eq!(rows("limit=2&page=1").await, ["order-3", "order-2"]);
}

#[tokio::test]
async fn a_page_shifts_when_something_is_made_while_it_is_read() {
    let payaut = three().await;
    assert_eq!(references(&payaut, "_pageSize=2").await, ["order-3", "order-2"]);
    payaut.made("order-4").await;
    assert_eq!(
        references(&payaut, "_pageSize=2&_pageNumber=1").await,
        ["order-2", "order-1"],
        "one is seen twice"
    );
}

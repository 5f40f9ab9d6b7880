//! Lists: order, cursors, filters, dates in every spelling, and what is not listed yet.

use std::collections::BTreeSet;

use bursar::simulator::control::NewDeposit;
use serde_json::Value as Json;

use super::bench::{Bench, id_of};

fn ids(page: &Json) -> Vec<String> {
    let data = page["data"].as_array().unwrap();
    data.iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_are_newest_first_and_miss_nothing() {
    let bench = Bench::demo().await;
    let mut made = Vec::new();
    for number in 0..25 {
        // Some share their time with the one before.
        bench.pass(u64::from(number % 3 != 0));
        made.push(bench.pay("1.00", &format!("INV-{number}")).await.to_string());
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut target = "/v1/payouts?limit=7".to_owned();
    loop {
        let page = bench.get(&target).await.ok();
        seen.extend(ids(&page));
        // New ones arriving in between do not shift the pages.
        bench.pay("1.00", "later").await;
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(page["has_more"], false);
            break;
        };
        assert_eq!(page["has_more"], true);
        target = format!("/v1/payouts?limit=7&cursor={cursor}");
    }
    assert_eq!(seen, made);
    assert_eq!(ids(&bench.get("/v1/payouts").await.ok()).len(), 10, "the default limit");
}

#[tokio::test]
async fn a_cursor_is_bound_to_its_list_its_filters_and_its_time() {
    let bench = Bench::with(|config| config.lists.cursor_lifetime_ms = 60_000).await;
    for number in 0..3 {
        bench.pay("1.00", &format!("INV-{number}")).await;
    }
    let page = bench.get("/v1/payouts?limit=1&status=pending").await.ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    bench
        .get(&format!("/v1/payouts?limit=2&status=pending&cursor={cursor}"))
        .await
        .ok();
    let other = bench.get(&format!("/v1/payouts?status=paid&cursor={cursor}")).await;
    other.refused(400, "cursor_mismatch");
    let other = bench
        .get(&format!("/v1/deposits?status=received&cursor={cursor}"))
        .await;
    other.refused(400, "cursor_mismatch");
    bench
        .get("/v1/payouts?cursor=nonsense")
        .await
        .refused(400, "invalid_cursor");
    let swapped: String = cursor.chars().rev().collect();
    bench
        .get(&format!("/v1/payouts?status=pending&cursor={swapped}"))
        .await
        .refused(400, "invalid_cursor");
    bench.pass(60_001);
    let late = bench.get(&format!("/v1/payouts?status=pending&cursor={cursor}")).await;
    late.refused(400, "invalid_cursor");
}

#[tokio::test]
async fn dates_filter_inclusively_in_every_spelling() {
    let bench = Bench::demo().await;
    let mut made = Vec::new();
    for number in 0..3 {
        made.push(bench.pay("1.00", &format!("INV-{number}")).await.to_string());
        bench.pass(1_000);
    }
    let check = async |query: &str, expected: &[usize]| {
        let found: BTreeSet<String> = ids(&bench.get(&format!("/v1/payouts?{query}")).await.ok())
            .into_iter()
            .collect();
        let expected = expected.iter().map(|place| made[*place].clone()).collect();
        assert_eq!(found, expected, "{query}");
    };
    check("created_at.gte=2026-01-01T00:00:01Z", &[1, 2]).await;
    check("created_at.lte=2026-01-01T00:00:01Z", &[0, 1]).await;
    check(
        "created_at[gte]=2026-01-01T00:00:01Z&created_at[lte]=2026-01-01T00:00:01Z",
        &[1],
    )
    .await;
    check("created_at%5Bgte%5D=2026-01-01T00%3A00%3A01.001Z", &[2]).await;
}

#[tokio::test]
async fn lists_filter_by_what_they_document() {
    let bench = Bench::demo().await;
    let control = bench.control();
    let euro = bench.pay("1.00", "INV-1").await.to_string();
    let mut dollars = bench.payout("1.00", "INV-2");
    dollars["source_account_id"] = bench.account("Dollar account").to_string().into();
    dollars["currency"] = "USD".into();
    dollars["destination"] = serde_json::json!({
        "type": "aba", "routing_number": "026009593", "account_number": "1234567", "account_holder_name": "Example Inc",
    });
    let dollar = id_of(&bench.post("/v1/payouts", &dollars).await.ok()).to_string();
    let deposit = control
        .create_deposit(&NewDeposit::new("Operating DE", "5.00", "x"))
        .unwrap();
    let given_back = bench
        .post("/v1/returns", &serde_json::json!({ "deposit_id": deposit }))
        .await
        .ok();
    let check = async |target: &str, expected: &[&String]| {
        let found = ids(&bench.get(target).await.ok());
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{target}");
    };
    check("/v1/payouts?currencies=EUR", &[&euro]).await;
    check("/v1/payouts?currencies=EUR&currencies=USD", &[&dollar, &euro]).await;
    check("/v1/payouts?currencies=EUR%2CUSD", &[&dollar, &euro]).await;
    check("/v1/payouts?currencies=GBP", &[]).await;
    let (deposit, given_back) = (deposit.to_string(), id_of(&given_back).to_string());
    check(
        &format!("/v1/returns?deposit_id={deposit}&status=pending"),
        &[&given_back],
    )
    .await;
    check(&format!("/v1/returns?deposit_id={euro}"), &[]).await;
    check("/v1/deposits?status=in_return", &[&deposit]).await;
    check("/v1/deposits?status=received", &[]).await;
    let events = bench.get("/v1/events?event_type=payout.created").await.ok();
    assert_eq!(ids(&events).len(), 2);
}

#[tokio::test]
async fn a_lagging_list_shows_a_new_payout_later_though_it_can_be_read() {
    let bench = Bench::with(|config| config.lists.visibility_lag_ms = 3_000).await;
    let id = bench.pay("1.00", "INV-1").await;
    bench.get(&format!("/v1/payouts/{id}")).await.ok();
    assert!(ids(&bench.get("/v1/payouts").await.ok()).is_empty());
    bench.pass(2_999);
    assert!(ids(&bench.get("/v1/payouts").await.ok()).is_empty());
    bench.pass(1);
    assert_eq!(ids(&bench.get("/v1/payouts").await.ok()), [id.to_string()]);
}

#[tokio::test]
async fn events_are_kept_for_thirty_days() {
    let bench = Bench::demo().await;
    bench.pay("1.00", "INV-1").await;
    bench.pass(1_000);
    let events = ids(&bench.get("/v1/events").await.ok());
    assert_eq!(events.len(), 3);
    bench.pass(30 * 24 * 60 * 60 * 1_000);
    assert!(ids(&bench.get("/v1/events").await.ok()).is_empty());
    bench
        .get(&format!("/v1/events/{}", events[0]))
        .await
        .refused(404, "resource_not_found");
}

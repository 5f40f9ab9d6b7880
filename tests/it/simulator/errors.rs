//! Refusals: status, code, category, parameter, and that nothing happened.

use bursar::simulator::config::{ApiKey, RateLimit};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::bench::{Bench, KEY, id_of};
use super::http::send;
use super::operations::person;
use super::shapes::{ERROR, assert_shape};

/// Lays changes over a JSON value by pointer; `null` takes a field away.
fn changed(mut value: Json, changes: &[(&str, Json)]) -> Json {
    for (pointer, change) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match change {
            Json::Null => drop(parent.remove(name)),
            change => drop(parent.insert(name.to_owned(), change.clone())),
        }
    }
    value
}

#[tokio::test]
async fn a_wrong_payout_is_refused_with_the_parameter_named() {
    let bench = Bench::demo().await;
    let good = bench.payout("10.00", "INV-1");
    let long = "x".repeat(141);
    let usd = bench.account("Dollar account");
    let cases: Vec<(&str, Json, &str, &str)> = vec![
        (
            "/source_account_id",
            Json::Null,
            "parameter_missing",
            "source_account_id",
        ),
        (
            "/source_account_id",
            json!("nope"),
            "parameter_invalid",
            "source_account_id",
        ),
        ("/amount", Json::Null, "parameter_missing", "amount"),
        ("/amount", json!(10), "parameter_invalid", "amount"),
        ("/amount", json!("-1.00"), "parameter_invalid", "amount"),
        ("/amount", json!("0.00"), "parameter_invalid", "amount"),
        ("/amount", json!("1e3"), "parameter_invalid", "amount"),
        ("/amount", json!("1.001"), "parameter_invalid", "amount"),
        ("/amount", json!("1,000.00"), "parameter_invalid", "amount"),
        ("/currency", json!("JPY"), "parameter_invalid", "currency"),
        ("/currency", json!("eur"), "parameter_invalid", "currency"),
        ("/destination", Json::Null, "parameter_missing", "destination"),
        ("/destination", json!("DE0212"), "parameter_invalid", "destination"),
        (
            "/destination/type",
            json!("card"),
            "parameter_invalid",
            "destination.type",
        ),
        (
            "/destination/type",
            json!("aba"),
            "parameter_invalid",
            "destination.type",
        ),
        ("/destination/iban", Json::Null, "parameter_missing", "destination.iban"),
        (
            "/destination/iban",
            json!("DE02120300000000202052"),
            "parameter_invalid",
            "destination.iban",
        ),
        (
            "/destination/account_holder_name",
            Json::Null,
            "parameter_missing",
            "destination.account_holder_name",
        ),
        ("/destination/note", json!("x"), "validation_error", "destination.note"),
        ("/reference", Json::Null, "parameter_missing", "reference"),
        ("/reference", json!(long), "parameter_invalid", "reference"),
        ("/rail", json!("pigeon"), "parameter_invalid", "rail"),
        ("/rail", json!("faster_payments"), "parameter_invalid", "rail"),
        ("/metadata", json!([]), "parameter_invalid", "metadata"),
        ("/metadata", json!({ "n": 1 }), "parameter_invalid", "metadata.n"),
        ("/ammount", json!("1"), "validation_error", "ammount"),
        ("/source_account_id", json!(usd), "parameter_invalid", "currency"),
    ];
    for (pointer, change, code, param) in &cases {
        let body = changed(good.clone(), &[(pointer, change.clone())]);
        let error = bench.post("/v1/payouts", &body).await.refused(400, code);
        assert_eq!(error["param"], *param, "{pointer} = {change}");
        assert_shape(&error, ERROR);
    }
    println!("{} wrong payouts", cases.len());
    let unknown = changed(good.clone(), &[("/source_account_id", json!(Uuid::nil()))]);
    bench
        .post("/v1/payouts", &unknown)
        .await
        .refused(404, "resource_not_found");
    assert!(bench.control().effects().is_empty());
    assert!(bench.control().events().is_empty());
    bench.post("/v1/payouts", &good).await.ok();
}

#[tokio::test]
async fn a_wrong_account_holder_is_refused_with_the_parameter_named() {
    let bench = Bench::demo().await;
    let program = id_of(&bench.get("/v1/account_programs").await.ok()["data"][0]).to_string();
    let us = [
        ("/beneficiary_data/country_of_citizenship", json!("US")),
        (
            "/beneficiary_data/identification",
            json!({ "type": "ssn", "value": "123-45-6789" }),
        ),
    ];
    bench.post("/v1/accounts", &changed(person(&program), &us)).await.ok();
    let cases: &[(&[(&str, Json)], &str)] = &[
        (&[("/account_type", json!("payment_account"))], "account_type"),
        (&[("/label", json!("x"))], "label"),
        (
            &[("/beneficiary_data/legal_name", json!(""))],
            "beneficiary_data.legal_name",
        ),
        (
            &[("/beneficiary_data/date_of_birth", json!("1981-02-29"))],
            "beneficiary_data.date_of_birth",
        ),
        (
            &[("/beneficiary_data/country_of_citizenship", json!("US"))],
            "beneficiary_data.identification.type",
        ),
        (
            &[
                us[0].clone(),
                (
                    "/beneficiary_data/identification",
                    json!({ "type": "itin", "value": "123-45-6789" }),
                ),
            ],
            "beneficiary_data.identification.value",
        ),
        (
            &[("/beneficiary_data/residential_address/state", json!("HB"))],
            "beneficiary_data.residential_address.state",
        ),
        (
            &[("/beneficiary_data/residential_address/country", json!("US"))],
            "beneficiary_data.residential_address.state",
        ),
    ];
    for (changes, param) in cases {
        let reply = bench.post("/v1/accounts", &changed(person(&program), changes)).await;
        assert_eq!(
            (reply.status, &reply.json()["param"]),
            (400, &json!(param)),
            "{changes:?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_query_or_path_is_refused() {
    let bench = Bench::demo().await;
    let check = async |target: &str, status: u16, code: &str| {
        let error = bench.get(target).await.refused(status, code);
        assert_shape(&error, ERROR);
    };
    check("/v1/payouts?limit=0", 400, "parameter_invalid").await;
    check("/v1/payouts?limit=101", 400, "parameter_invalid").await;
    check("/v1/payouts?limit=ten", 400, "parameter_invalid").await;
    check("/v1/payouts?status=returned", 400, "parameter_invalid").await;
    check("/v1/payouts?currencies=EUR,JPY", 400, "parameter_invalid").await;
    check("/v1/payouts?created_at.gte=2026-01-01", 400, "parameter_invalid").await;
    check(
        "/v1/payouts?created_at.gte=2026-01-01T00:00:00%2B01:00",
        400,
        "parameter_invalid",
    )
    .await;
    check("/v1/payouts?account_id=1", 400, "validation_error").await;
    check("/v1/payouts?limit=1&limit=2", 400, "parameter_invalid").await;
    check("/v1/payouts?reference=%ff", 400, "validation_error").await;
    check(
        "/v1/conversions?created_at.gte=2026-01-01T00:00:00Z",
        400,
        "validation_error",
    )
    .await;
    check("/v1/quotes/indicative?source_currency=EUR", 400, "parameter_missing").await;
    check(
        "/v1/quotes/indicative?source_currency=EUR&target_currency=EUR",
        400,
        "parameter_invalid",
    )
    .await;
    check("/v1/payouts/nope", 400, "parameter_invalid").await;
    for what in [
        "accounts",
        "payouts",
        "deposits",
        "returns",
        "conversions",
        "quotes",
        "events",
        "webhook_deliveries",
    ] {
        check(&format!("/v1/{what}/{}", Uuid::nil()), 404, "resource_not_found").await;
    }
    check("/v1/transactions", 404, "resource_not_found").await;
    let reply = bench.send("DELETE", "/v1/payouts", &[], None).await.unwrap();
    reply.refused(405, "method_not_allowed");
    assert_eq!(reply.header("api-version"), Some("2026-05-01"));
}

#[tokio::test]
async fn a_body_must_be_a_json_object_of_a_bearable_size() {
    let bench = Bench::with(|config| config.body_bytes_max = 2_000).await;
    let check = async |headers: &[(&str, &str)], body: &str, status: u16, code: &str| {
        let reply = bench.send("POST", "/v1/payouts", headers, Some(body)).await.unwrap();
        reply.refused(status, code);
    };
    check(&[], "{", 400, "validation_error").await;
    check(&[], "[]", 400, "validation_error").await;
    check(&[], &" ".repeat(2_001), 413, "payload_too_large").await;
    // Read to its end all the same: a client that still sends when the connection closes sees no answer.
    check(&[], &" ".repeat(8_000_000), 413, "payload_too_large").await;
    let cut = format!(
        "POST /v1/payouts HTTP/1.1\r\nhost: bank\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\nZZ\r\n"
    );
    let mut stream = TcpStream::connect(bench.running.address).await.unwrap();
    stream.write_all(cut.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("validation_error"),
        "{answer}"
    );
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
    let body = bench.payout("1.00", "x").to_string();
    let reply = send(
        bench.running.address,
        "POST",
        "/v1/payouts",
        &headers,
        Some(body.as_bytes()),
    )
    .await;
    reply.unwrap().refused(400, "validation_error");
    let freeze = format!("/v1/accounts/{}/freeze", bench.account("Operating NL"));
    bench
        .post(&freeze, &json!({ "why": "x" }))
        .await
        .refused(400, "validation_error");
    bench.post(&freeze, &json!({})).await.ok();
    bench.post(&freeze, &json!({})).await.refused(409, "conflict");
}

#[tokio::test]
async fn keys_scopes_addresses_and_versions_are_checked() {
    let key = |key: &str, scopes: &[&str]| ApiKey {
        key: key.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..ApiKey::default()
    };
    let bench = Bench::with(|config| {
        config.api_keys = vec![
            key("reader", &["read_only"]),
            key("payer", &["payouts:*"]),
            ApiKey {
                ip_allow_list: vec!["10.0.0.0/8".to_owned()],
                ..key("elsewhere", &["full_access"])
            },
            ApiKey {
                expires_at: Some("2026-01-01T00:00:01Z".parse().unwrap()),
                ..key("short", &["full_access"])
            },
            ApiKey {
                api_version: "2023-01-01".to_owned(),
                ..key("old", &["full_access"])
            },
        ];
    })
    .await;
    let ask = async |key: &str, method: &str, target: &str, version: Option<&str>| {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        headers.extend(version.map(|version| ("api-version", version)));
        let body = (method == "POST").then_some(b"{}".as_slice());
        send(bench.running.address, method, target, &headers, body)
            .await
            .unwrap()
    };
    ask("nobody", "GET", "/v1/payouts", None)
        .await
        .refused(401, "authentication_required");
    ask("reader", "GET", "/v1/payouts", None).await.ok();
    let refused = ask("reader", "POST", "/v1/payouts", None)
        .await
        .refused(403, "insufficient_scope");
    assert_eq!(refused["required_scopes"], json!(["payouts:write"]));
    ask("payer", "POST", "/v1/payouts", None)
        .await
        .refused(400, "parameter_missing");
    ask("payer", "GET", "/v1/deposits", None)
        .await
        .refused(403, "insufficient_scope");
    let own = ask("payer", "GET", "/v1/api_key", None).await.ok();
    assert_eq!(own["scopes"], json!(["payouts:read", "payouts:write"]));
    ask("elsewhere", "GET", "/v1/payouts", None)
        .await
        .refused(403, "permission_denied");
    ask("short", "GET", "/v1/payouts", None).await.ok();
    bench.pass(1_000);
    ask("short", "GET", "/v1/payouts", None)
        .await
        .refused(401, "authentication_required");
    let old = ask("old", "GET", "/v1/payouts", None).await;
    assert_eq!(old.header("api-version"), Some("2023-01-01"));
    let newer = ask("old", "GET", "/v1/payouts", Some("2026-05-01")).await;
    assert_eq!(newer.header("api-version"), Some("2026-05-01"));
    let unknown = ask("reader", "GET", "/v1/payouts", Some("2030-01-01")).await;
    unknown.refused(400, "api_version_error");
    ask("reader", "GET", "/v1/payouts", Some("ÿ"))
        .await
        .refused(400, "api_version_error");
    for (method, target, status) in [("GET", "/v1/nope", 404), ("DELETE", "/v1/payouts", 405)] {
        let nowhere = ask("old", method, target, None).await;
        assert_eq!(
            (nowhere.status, nowhere.header("api-version")),
            (status, Some("2023-01-01"))
        );
    }
    assert_eq!(unknown.header("api-version"), Some("2026-05-01"));
    let public = send(bench.running.address, "GET", "/v1/scopes", &[], None)
        .await
        .unwrap();
    assert_eq!(public.ok()["data"].as_array().unwrap().len(), 16);
}

#[tokio::test]
async fn the_rate_limit_refuses_and_recovers() {
    let bench = Bench::with(|config| {
        config.rate_limit = Some(RateLimit {
            requests: 2,
            window_ms: 1_500,
            retry_after: true,
        });
    })
    .await;
    bench.get("/v1/payouts").await.ok();
    bench.get("/v1/payouts").await.ok();
    let refused = bench.get("/v1/payouts").await;
    refused.refused(429, "rate_limit_exceeded");
    assert_eq!(refused.header("retry-after"), Some("2"));
    bench.pass(1_500);
    bench.get("/v1/payouts").await.ok();
}

#[tokio::test]
async fn beneficiaries_can_be_restricted_but_own_accounts_never_are() {
    let bench = Bench::with(|config| {
        config.payouts.beneficiary_allow_list = vec!["DE75512108001245126199".to_owned()];
    })
    .await;
    let stranger = bench.payout("1.00", "x");
    bench
        .post("/v1/payouts", &stranger)
        .await
        .refused(403, "permission_denied");
    let listed = changed(
        stranger.clone(),
        &[("/destination/iban", json!("DE75512108001245126199"))],
    );
    bench.post("/v1/payouts", &listed).await.ok();
    let own = bench
        .get(&format!("/v1/accounts/{}", bench.account("Operating DE")))
        .await
        .ok();
    let own = changed(stranger, &[("/destination", own["financial_addresses"][0].clone())]);
    bench.post("/v1/payouts", &own).await.ok();
}

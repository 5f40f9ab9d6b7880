//! Looking up what nobody heard the outcome of: found, not there, or not to be known.

mod alone;
mod matches;
mod shown;

use std::sync::Arc;

use bursar::base::clock::Instant;
use bursar::base::ids::RunId;
use bursar::connector::connection::Connection;
use bursar::connector::lookup::{Progress, Search};
use bursar::connector::page::{Next, Walk, turn_to};
use bursar::connector::registry::EMBEDDED;
use bursar::connector::reply::{RawAnswer, Verdict, classify};
use bursar::connector::request::prepare;
use bursar::connector::table::Connector;
use bursar::model::journal::{Forgotten, Intent, StoredRequest};
use bursar::model::value::{Map, Value};
use chrono::TimeDelta;
use serde_json::{Value as Json, json};

use super::{ACCOUNT, DEPOSIT, OTHER_ACCOUNT, bank, endpoint, money, payout_args, time};

const SENT: &str = "2026-05-01T09:30:00Z";
const REFERENCE: &str = "run_1/3";

fn args_of(name: &str) -> Map {
    match name {
        "create_payout" => payout_args(),
        "create_conversion" => Map::from([
            ("source_account_id".to_owned(), Value::text(ACCOUNT)),
            ("target_account_id".to_owned(), Value::text(OTHER_ACCOUNT)),
            ("source_amount".to_owned(), money("250", "USDC")),
        ]),
        _ => Map::from([("deposit_id".to_owned(), Value::text(DEPOSIT))]),
    }
}

fn search(name: &str) -> Search {
    search_at(&bank(), name)
}

fn search_at(bank: &Connection, name: &str) -> Search {
    search_for(bank, name, REFERENCE, None)
}

fn search_for(bank: &Connection, name: &str, reference: &str, forgotten: Option<Forgotten>) -> Search {
    let intent = Intent {
        forgotten,
        ..intent_of(bank, name, reference)
    };
    let last_sent = time(SENT) + TimeDelta::minutes(10);
    Search::begin(bank, endpoint(bank, name), &intent, time(SENT), last_sent).unwrap()
}

fn intent_of(bank: &Connection, name: &str, reference: &str) -> Intent {
    let prepared = prepare(bank, endpoint(bank, name), &args_of(name), Some(reference)).unwrap();
    Intent {
        connection: "bank".to_owned(),
        endpoint: name.to_owned(),
        epoch: 0,
        key: Some("key".to_owned()),
        key_safe_until: None,
        reference: reference.to_owned(),
        fingerprint: prepared.fingerprint,
        request: prepared.request,
        movement: prepared.movement,
        forgotten: None,
        before: std::collections::BTreeMap::new(),
        exclusive: None,
    }
}

/// Long after the last attempt: everything that was taken shows.
fn later() -> Instant {
    time("2026-05-01T12:00:00Z")
}

fn page(items: &[Json], cursor: Option<&str>) -> Value {
    let page = json!({"data": items, "has_more": cursor.is_some(), "next_cursor": cursor});
    Value::from_plain(&page).unwrap()
}

fn made(created_at: &str, reference: &str) -> Json {
    json!({
        "id": "x", "created_at": created_at, "metadata": {"bursar": reference}, "amount": "100.5", "currency": "EUR",
        "source_amount": "250", "source_currency": "USDC", "target_account_id": OTHER_ACCOUNT, "deposit_id": DEPOSIT,
        "destination": {"type": "iban", "iban": "DE89370400440532013000"},
    })
}

fn next(progress: Progress) -> Search {
    match progress {
        Progress::Next(search) => *search,
        other => panic!("expected to be sent to the next page: {other:?}"),
    }
}

#[test]
fn a_search_asks_for_what_was_made_since_the_first_attempt() {
    let cases = [
        (
            "create_payout",
            "/v1/payouts?created_at.gte=2026-04-30T09%3A30%3A00Z&limit=100".to_owned(),
        ),
        ("create_conversion", "/v1/conversions?limit=100".to_owned()),
        ("create_return", format!("/v1/returns?deposit_id={DEPOSIT}&limit=100")),
    ];
    for (name, expected) in cases {
        let search = search(name);
        let (path, query) = search.request().path.split_once('?').unwrap();
        let mut parts: Vec<&str> = query.split('&').collect();
        parts.sort_unstable();
        assert_eq!(format!("{path}?{}", parts.join("&")), expected, "{name}");
        assert!(search.list().lists());
    }
}

#[test]
fn what_bears_our_mark_is_found_on_a_later_page() {
    for name in ["create_payout", "create_conversion"] {
        let first = page(&[made("2026-05-01T09:40:00Z", "run_2/1")], Some("c 2"));
        let second = next(search(name).take(&first, later()));
        assert!(
            second.request().path.ends_with("&cursor=c%202"),
            "{}",
            second.request().path
        );
        let third = next(second.take(&page(&[], Some("c3")), later()));
        assert!(third.request().path.ends_with("&cursor=c3"), "{}", third.request().path);
        let found = third.take(&page(&[made("2026-05-01T09:30:01Z", REFERENCE)], None), later());
        assert!(matches!(found, Progress::Found(_)), "{name}: {found:?}");
    }
}

#[test]
fn a_return_is_known_by_its_deposit_if_it_was_made_since() {
    let ours = search("create_return").take(&page(&[made("2026-05-01T09:29:00Z", "")], None), later());
    assert!(matches!(ours, Progress::Found(_)), "{ours:?}");
    // There can be one live return of a deposit, so an old one stands in the way too; one that failed does not.
    let mut of_last_week = made("2026-04-24T09:30:00Z", "");
    let older = search("create_return").take(&page(std::slice::from_ref(&of_last_week), None), later());
    assert!(matches!(older, Progress::Found(_)), "{older:?}");
    of_last_week["status"] = json!("failed");
    let failed = search("create_return").take(&page(&[of_last_week], None), later());
    assert!(matches!(failed, Progress::Absent), "{failed:?}");
    let mut just_now = made("2026-05-01T09:30:01Z", "");
    just_now["status"] = json!("failed");
    let ours = search("create_return").take(&page(&[just_now], None), later());
    assert!(matches!(ours, Progress::Found(_)), "ours may have failed: {ours:?}");
}

#[test]
fn what_bears_our_mark_is_ours_however_old_the_providers_clock_makes_it() {
    for name in ["create_payout", "create_conversion"] {
        let found = search(name).take(&page(&[made("2026-04-01T00:00:00Z", REFERENCE)], None), later());
        assert!(matches!(found, Progress::Found(_)), "{name}: {found:?}");
    }
}

#[test]
fn our_mark_on_another_amount_is_never_sent_again() {
    let mut other = made("2026-05-01T09:30:01Z", REFERENCE);
    other["amount"] = json!("100.51");
    let shown = search("create_payout").take(&page(&[other], None), later());
    assert!(matches!(shown, Progress::Contradiction(_)), "{shown:?}");
}

#[test]
fn a_clean_miss_is_absence_only_after_the_lists_delay() {
    let empty = page(&[], None);
    let last_sent = time(SENT) + TimeDelta::minutes(10);
    // The request may be under way for 30 seconds, and the list lag by 120.
    let visible_from = last_sent + TimeDelta::seconds(30 + 120);
    let early = search("create_payout").take(&empty, visible_from - TimeDelta::seconds(1));
    assert!(
        matches!(early, Progress::Unproved { again_at: Some(at) } if at == visible_from),
        "{early:?}"
    );
    let late = search("create_payout").take(&empty, visible_from);
    assert!(matches!(late, Progress::Absent), "{late:?}");
    // A first page read too early proves nothing, however late the last one is read.
    let second = next(search("create_payout").take(&page(&[], Some("c2")), last_sent));
    let both = second.take(&empty, later());
    assert!(matches!(both, Progress::Unproved { again_at: Some(_) }), "{both:?}");
}

#[test]
fn a_list_that_covers_only_a_part_proves_no_absence() {
    let mut bank = bank();
    let table = EMBEDDED[0].1;
    let table = table.replace("covers_window       = true", "covers_window       = false");
    bank.connector = Arc::new(Connector::parse("augustus.toml", &table).unwrap());
    let ended = search_at(&bank, "create_payout").take(&page(&[], None), later());
    assert!(matches!(ended, Progress::Unproved { again_at: None }), "{ended:?}");
    // But what it does not show yet it may show in a moment.
    let last_sent = time(SENT) + TimeDelta::minutes(10);
    let early = search_at(&bank, "create_payout").take(&page(&[], None), last_sent);
    let visible_from = last_sent + TimeDelta::seconds(30 + 120);
    assert!(
        matches!(early, Progress::Unproved { again_at: Some(at) } if at == visible_from),
        "{early:?}"
    );
}

#[test]
fn a_list_without_dates_is_walked_until_something_older() {
    let before = made("2026-04-30T09:29:59Z", "run_0/1");
    let ended = search("create_conversion").take(&page(&[before], Some("more")), later());
    assert!(matches!(ended, Progress::Absent), "{ended:?}");
}

#[test]
fn a_list_ends_when_it_says_so_and_is_not_whole_when_it_goes_in_circles() {
    let bank = bank();
    let list = endpoint(&bank, "list_payouts");
    let request = prepare(&bank, list, &Map::new(), None).unwrap().request;
    let after = |request: &StoredRequest, more: Json, cursor: Json| {
        let answer = json!({"data": [1, 2], "has_more": more, "next_cursor": cursor});
        let answer = Value::from_plain(&answer).unwrap();
        let (shown, next) = Walk::of_request(list, request).take(&answer);
        assert_eq!(shown.len(), 2);
        match next {
            Next::At(page) => Ok(turn_to(list, request, &page)),
            other => Err(other),
        }
    };
    let second = after(&request, json!(true), json!("a b")).unwrap();
    assert_eq!(second.path, "/v1/payouts?limit=100&cursor=a%20b");
    let third = after(&second, json!(true), json!("c")).unwrap();
    assert_eq!(third.path, "/v1/payouts?limit=100&cursor=c");
    assert_eq!(after(&request, json!(false), json!("c")), Err(Next::End));
    assert_eq!(after(&request, json!(false), json!(null)), Err(Next::End));
    assert_eq!(after(&request, json!(null), json!(null)), Err(Next::End));
    for (request, cursor) in [(&third, json!("c")), (&request, json!(null)), (&request, json!(["c"]))] {
        let told = after(request, json!(true), cursor);
        assert!(matches!(told, Err(Next::Lost(_))), "{told:?}");
    }
    let scopes = endpoint(&bank, "list_scopes");
    let answer = Value::from_plain(&json!({"data": [], "has_more": true, "next_cursor": "c"})).unwrap();
    let (_, next) = Walk::of_request(scopes, &request).take(&answer);
    assert_eq!(next, Next::End, "it has one page");
}

#[test]
fn a_list_that_breaks_off_proves_no_absence() {
    for answer in [
        json!({"data": [], "has_more": true, "next_cursor": null}),
        json!({"data": [], "has_more": true, "next_cursor": 1.5}),
    ] {
        let ended = search("create_payout").take(&Value::from_plain(&answer).unwrap(), later());
        assert!(matches!(ended, Progress::Lost(_)), "{ended:?}");
    }
    let again = next(search("create_payout").take(&page(&[], Some("c")), later()));
    let ended = again.take(&page(&[], Some("c")), later());
    assert!(matches!(ended, Progress::Lost(_)), "{ended:?}");
}

#[test]
fn an_answer_that_is_no_list_is_not_taken_for_an_empty_one() {
    let bank = bank();
    let list = endpoint(&bank, "list_payouts");
    let prepared = prepare(&bank, list, &Map::new(), None).unwrap();
    let answer = RawAnswer {
        status: 200,
        headers: Vec::new(),
        body: r#"{"data": null}"#.into(),
    };
    let verdict = classify(&bank.connector, list, &prepared.request, None, &answer);
    assert!(
        matches!(verdict, Verdict::NotApplied { retry: Some(_), .. }),
        "{verdict:?}"
    );
}

/// A provider that spells on the wire what scripts name as before.
fn spelt_otherwise() -> Connection {
    let (file, text) = EMBEDDED[0];
    let mut text = text.to_owned();
    for (named, spelt) in [
        (
            r#"{ name = "deposit_id", type = "uuid", required = true"#,
            r#"{ name = "deposit_id", wire = "depositId", type = "uuid", required = true"#,
        ),
        (
            r#"{ name = "metadata", type = "text_map", doc = "Texts of your own, given back with the payout." }"#,
            r#"{ name = "metadata", wire = "metaData", type = "text_map", doc = "Texts." }"#,
        ),
    ] {
        assert!(text.contains(named), "{named}");
        text = text.replace(named, spelt);
    }
    let connector = Connector::parse(file, &text).expect("a right table");
    Connection {
        connector: Arc::new(connector),
        ..bank()
    }
}

#[test]
fn what_the_wire_spells_otherwise_than_scripts_is_found_all_the_same() {
    let bank = spelt_otherwise();
    let item = made("2026-05-01T09:31:00Z", REFERENCE);
    for name in ["create_return", "create_payout"] {
        let found = search_at(&bank, name).take(&page(std::slice::from_ref(&item), None), later());
        assert!(matches!(found, Progress::Found(_)), "{name}: {found:?}");
    }
    let payout = prepare(&bank, endpoint(&bank, "create_payout"), &payout_args(), Some(REFERENCE));
    let body = payout.expect("a right request").request.body.expect("a body");
    let body: Json = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["metaData"], json!({"bursar": REFERENCE}));
    assert_eq!(body.get("metadata"), None);
}

#[test]
fn a_request_without_what_would_tell_ours_is_left_to_a_person() {
    let bank = bank();
    let effect = endpoint(&bank, "create_return");
    let prepared = prepare(&bank, effect, &args_of("create_return"), Some(REFERENCE)).unwrap();
    let mut intent = intent_of(&bank, "create_return", REFERENCE);
    intent.request = StoredRequest {
        body: Some(r#"{"rail":"sepa"}"#.to_owned()),
        ..prepared.request
    };
    let begun = Search::begin(&bank, effect, &intent, time(SENT), time(SENT));
    assert!(begun.unwrap_err().message.contains("has no `deposit_id`"));
}

#[test]
fn what_a_forgotten_run_of_the_same_request_made_is_found_and_only_where_something_was_forgotten() {
    let run = |at: &str, key: &str| RunId::derived(time(at), &[7; 32], &["run", "sweep", "manual", key, ""]);
    let ours = format!("{}/3", run(SENT, "invoice 1"));
    let forgotten = |traceable| {
        Some(Forgotten {
            from: time("2026-04-30T00:00:00Z"),
            until: time(SENT),
            traceable,
            keyed: true,
        })
    };
    let check = |theirs: &str, forgotten: Option<Forgotten>, amount: &str, expected: &str| {
        let mut item = made("2026-04-30T09:40:00Z", theirs);
        item["amount"] = amount.into();
        let search = search_for(&bank(), "create_payout", &ours, forgotten);
        let found = match search.take(&page(&[item], None), later()) {
            Progress::Found(_) => "found",
            Progress::Contradiction(_) => "another",
            Progress::Absent => "absent",
            Progress::Unproved { again_at: None } => "unproved",
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{theirs} {forgotten:?} {amount}");
    };
    let before = |key: &str, step: u32| format!("{}/{step}", run("2026-04-30T09:39:59Z", key));
    check(&before("invoice 1", 3), forgotten(true), "100.5", "found");
    check(&before("invoice 1", 3), forgotten(true), "90", "another");
    // Nothing was forgotten: then it is another request, whose run was pruned.
    check(&before("invoice 1", 3), None, "100.5", "absent");
    check(&before("invoice 1", 4), forgotten(true), "100.5", "absent");
    check(&before("invoice 2", 3), forgotten(true), "100.5", "absent");
    check(&before("invoice 2", 3), forgotten(false), "100.5", "unproved");
    // No key made the run: then its cause would have given it the same name.
    let by_cause = forgotten(true).map(|forgotten| Forgotten {
        keyed: false,
        ..forgotten
    });
    check(&before("invoice 1", 3), by_cause, "100.5", "absent");
    check(&ours, None, "100.5", "found");
}

#[test]
fn a_list_that_is_asked_for_what_only_this_run_has_written_shows_nothing_of_another() {
    let bank = bank();
    let effect = endpoint(&bank, "create_payout");
    let intent = intent_of(&bank, "create_payout", REFERENCE);
    let check = |template: &str, expected: bool| {
        let mut lookup = effect.lookup.clone().unwrap();
        lookup.query = [("q".to_owned(), serde_json::from_value(template.into()).unwrap())].into();
        assert_eq!(lookup.asks_by_reference(effect, &intent), expected, "{template}");
    };
    check("{reference}", true);
    check("{body.metadata.bursar}", true);
    check("{body.metadata}", true);
    check("{body.source_account_id}", false);
    check("{body.nothing}", false);
    check("{window_start}", false);
    check("paid", false);
}

#[test]
fn what_a_run_of_the_same_key_made_before_the_backup_is_not_taken_for_ours() {
    let run = |at: &str| RunId::derived(time(at), &[7; 32], &["run", "sweep", "manual", "invoice 1", ""]);
    let (ours, theirs) = (format!("{}/3", run(SENT)), format!("{}/3", run("2026-01-30T09:39:59Z")));
    let forgotten = Forgotten {
        from: time("2026-04-30T00:00:00Z"),
        until: time(SENT),
        traceable: true,
        keyed: true,
    };
    let check = |reference: &str, created_at: Json, is_ours: bool| {
        let mut item = made("", reference);
        item["created_at"] = created_at.clone();
        let search = search_for(&bank(), "create_payout", &ours, Some(forgotten));
        match search.take(&page(&[item], None), later()) {
            Progress::Found(_) => assert!(is_ours, "{reference} {created_at}"),
            Progress::Contradiction(reason) => {
                assert!(!is_ours && reason.contains("the key was used before"), "{reason}");
            }
            other => panic!("{reference} {created_at}: {other:?}"),
        }
    };
    // The clocks may be a day apart.
    check(&theirs, json!("2026-04-29T00:00:00Z"), true);
    check(&theirs, json!("2026-04-28T23:59:59Z"), false);
    check(&theirs, json!("2026-01-30T09:40:00Z"), false);
    check(&theirs, Json::Null, false);
    // What bears the very reference was made by this step, whenever.
    check(&ours, json!("2026-01-30T09:40:00Z"), true);
}

#[test]
fn what_another_run_of_the_same_key_made_has_to_show_all_that_it_moves() {
    let run = |at: &str| RunId::derived(time(at), &[7; 32], &["run", "sweep", "manual", "invoice 1", ""]);
    let (ours, theirs) = (format!("{}/3", run(SENT)), format!("{}/3", run("2026-04-30T09:39:59Z")));
    let forgotten = Forgotten {
        from: time("2026-04-30T00:00:00Z"),
        until: time(SENT),
        traceable: true,
        keyed: true,
    };
    let check = |name: &str, reference: &str, field: &str, value: Json, expected: &str| {
        let mut item = made("2026-04-30T09:40:00Z", reference);
        item[field] = value;
        let progress = search_for(&bank(), name, &ours, Some(forgotten)).take(&page(&[item], None), later());
        let came = match &progress {
            Progress::Found(_) => "found",
            Progress::Contradiction(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert!(came.ends_with(expected), "{name} {field}: {came}");
    };
    let silent = |what: &str| format!("does not say its {what}");
    check("create_payout", &theirs, "status", json!("paid"), "found");
    for field in ["amount", "currency"] {
        check("create_payout", &theirs, field, Json::Null, &silent("amount"));
    }
    for value in [Json::Null, json!({}), json!({"type": "iban"})] {
        check("create_payout", &theirs, "destination", value, &silent("beneficiary"));
    }
    check("create_conversion", &theirs, "status", json!("paid"), "found");
    check(
        "create_conversion",
        &theirs,
        "source_amount",
        Json::Null,
        &silent("amount"),
    );
    check(
        "create_conversion",
        &theirs,
        "target_account_id",
        Json::Null,
        &silent("beneficiary"),
    );
    // What bears the very reference was made by this step, whatever it leaves out.
    for field in ["amount", "destination"] {
        check("create_payout", &ours, field, Json::Null, "found");
    }
}

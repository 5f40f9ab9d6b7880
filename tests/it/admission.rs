//! What a script could not hold: refused where a person can correct it, told with the limit where nobody asks.

use std::collections::BTreeMap;

use bursar::base::limits::{SCRIPT_LIST_ITEMS_MAX, SCRIPT_MAP_KEYS_MAX, SCRIPT_TEXT_BYTES_MAX, VALUE_DEPTH_MAX};
use bursar::model::run::RunState;
use bursar::model::value::ValueError;
use bursar::model::workflow::Workflow;
use bursar::store::RunQuery;
use bursar::trigger::manual::{Request, StartError, start};
use bursar::trigger::versions::KnownVersions;
use serde_json::{Value as Json, json};

use crate::support::{World, settled, version};

fn nested(levels: usize) -> Json {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

fn all() -> RunQuery {
    RunQuery {
        limit: 100,
        ..RunQuery::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nested_deeper_than_a_script_can_hold_starts_no_run() {
    let world = World::demo().await;
    let store = world.store().await;
    let workflow = Workflow {
        name: "test".to_owned(),
        summary: String::new(),
        triggers: Vec::new(),
        concurrency: None,
        uses: vec!["bank".to_owned()],
        params: json!({ "list": [] }),
        version: version(&[("main.rhai", "1")]),
    };
    let check = async |payload: Json, list: Json, expected: bool| {
        let request = Request {
            payload,
            params: [("list".to_owned(), list)].into_iter().collect(),
            actor: "test".to_owned(),
            reason: None,
            idempotency_key: None,
        };
        let before = store.runs(all()).await.expect("runs").len();
        let started = start(
            store.as_ref(),
            &KnownVersions::new(),
            &workflow,
            request,
            world.clock.now(),
        )
        .await;
        let made = store.runs(all()).await.expect("runs").len() - before;
        match started {
            Ok(_) => assert!(expected && made == 1, "{made} made"),
            Err(error) => {
                assert_eq!(error, StartError::Value(ValueError::TooDeep));
                assert!(!expected && made == 0, "{made} made");
            }
        }
    };
    let deepest = VALUE_DEPTH_MAX - 1;
    check(json!(null), nested(deepest), true).await;
    check(json!(null), nested(deepest + 1), false).await;
    check(nested(deepest), json!([]), true).await;
    check(nested(deepest + 1), json!([]), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_no_script_can_hold_fails_its_run_with_the_limit_and_what_to_do() {
    let world = World::demo().await;
    let store = world.store().await;
    let engine = world.engine(store.clone()).await;
    let check = async |event: Json, params: Json, sentences: &[&str]| {
        let id = world.start(store.as_ref(), "1", event, params).await;
        let run = settled(store.as_ref(), id).await;
        assert_eq!(run.state, RunState::Failed);
        let error = run.error.expect("a reason");
        assert_eq!(error.code, "too_large");
        for sentence in sentences {
            assert!(error.message.contains(sentence), "{}", error.message);
        }
    };
    let items = vec![1; SCRIPT_LIST_ITEMS_MAX + 1];
    check(
        json!({ "payload": { "lines": items } }),
        json!({}),
        &[
            "`event` holds 20001 list items",
            "20000 in one value",
            "`when`",
            "schedule",
        ],
    )
    .await;
    let text = "x".repeat(SCRIPT_TEXT_BYTES_MAX + 1);
    check(
        json!({ "payload": text }),
        json!({}),
        &["`event` holds 2097153 bytes of text", "2097152"],
    )
    .await;
    let keys: BTreeMap<String, u8> = (0..=SCRIPT_MAP_KEYS_MAX).map(|key| (key.to_string(), 0)).collect();
    check(
        json!({}),
        json!({ "rates": keys }),
        &["`params` holds 10002 map entries", "10000", "in its manifest"],
    )
    .await;
    engine.stop().await;
}

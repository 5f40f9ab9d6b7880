//! What another may have done is looked for before it is sent for the first time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::model::run::{Run, RunState};
use serde_json::{Value as Json, json};

use super::toy::{Asked, Said, Toy};

const TABLE: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[endpoint.give_back]
doc = "Gives a deposit back."
method = "POST"
path = "/returns"
effect = "moves_money"
amount = "whole"
in_doubt = "lookup"
look_first = true
params = [{ name = "deposit", wire = "depositId", required = true, doc = "Which." }]
[endpoint.give_back.lookup]
endpoint = "show"
query = { id = "{sent.deposit}" }
items = "/returns"
match = { natural = { field = "deposit", pointer = "/depositId", dead = { pointer = "/status", values = ["failed"] } } }
several = "contradiction"
created_at = "/made"
visibility_lag_secs = 120
covers_window = true
[endpoint.show]
doc = "Shows a deposit."
method = "GET"
path = "/deposits/{id}"
effect = "read"
params = [{ name = "id", in = "path", doc = "Which." }]
[endpoint.tell_time]
doc = "Says what time it is."
method = "GET"
path = "/time"
effect = "read"
shows_key = true
"#;

const GIVE_BACK: &str = r#"bank::give_back(#{ deposit: "d1" }).id"#;

/// A provider that has these returns of the deposit, and takes others.
async fn with(returns: Json, mut answer: impl FnMut(&Asked, &mut Vec<Json>) -> Option<Said> + Send + 'static) -> Toy {
    let returns = Arc::new(Mutex::new(returns.as_array().cloned().unwrap_or_default()));
    let said = move |asked: &Asked| {
        let mut returns = returns.lock().expect("one at a time");
        if let Some(said) = answer(asked, &mut returns) {
            return said;
        }
        if asked.method == "POST" {
            let made = json!({"id": format!("r{}", returns.len() + 1), "depositId": "d1", "status": "initiated"});
            returns.push(made.clone());
            return Said::Answer(201, made);
        }
        Said::Answer(200, json!({"id": "d1", "returns": *returns}))
    };
    Toy::new(TABLE, said).await
}

/// How a run left it: its state, its result, and how often the return was asked for.
fn left(toy: &Toy, run: &Run) -> (RunState, Option<Json>, usize) {
    (run.state, run.result.clone(), toy.count("POST", "/returns"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_has_done_is_adopted_and_not_sent() {
    let theirs = json!([{"id": "r0", "depositId": "d1", "status": "succeeded", "made": "2020-01-01T00:00:00Z"}]);
    let toy = with(theirs, |_, _| None).await;
    let run = toy.begin(GIVE_BACK).await;
    assert_eq!(
        left(&toy, &run),
        (RunState::Succeeded, Some(json!("r0")), 0),
        "{:?}",
        run.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_sent_once() {
    let failed = json!([{"id": "r0", "depositId": "d1", "status": "failed", "made": "2020-01-01T00:00:00Z"}]);
    for before in [json!([]), failed] {
        let others = before.as_array().map_or(0, Vec::len);
        let toy = with(before, |_, _| None).await;
        let run = toy.begin(GIVE_BACK).await;
        let made = Some(json!(format!("r{}", others + 1)));
        assert_eq!(left(&toy, &run), (RunState::Succeeded, made, 1), "{:?}", run.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_answer_was_lost_is_found_and_not_sent_again() {
    let toy = with(json!([]), |asked, returns| {
        if asked.method != "POST" {
            return None;
        }
        returns.push(json!({"id": "r1", "depositId": "d1", "status": "initiated"}));
        Some(Said::Lost)
    })
    .await;
    let run = toy.begin(GIVE_BACK).await;
    assert_eq!(
        left(&toy, &run),
        (RunState::Succeeded, Some(json!("r1")), 1),
        "{:?}",
        run.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_fails_sends_nothing_and_is_given_up_like_a_read() {
    for (status, code) in [(500, "provider_unavailable"), (401, "refused")] {
        let toy = with(json!([]), move |_, _| Some(Said::Answer(status, json!({})))).await;
        let mut run = toy.begin(GIVE_BACK).await;
        for _ in 0..8 {
            if run.state != RunState::Waiting {
                break;
            }
            toy.clock.advance(Duration::from_secs(600));
            run = toy.go_on(run.id).await;
        }
        let error = run.error.clone().expect("a reason");
        assert_eq!(
            (error.code.as_str(), toy.count("POST", "/returns")),
            (code, 0),
            "{}",
            error.message
        );
    }
}

//! Keys in the body, numbers that are taken once, calls that are the same twice, and what a key is not trusted with.

use std::time::Duration;

use bursar::base::clock::Clock as _;
use bursar::model::journal::Resolution;
use bursar::model::run::RunState;
use serde_json::{Value as Json, json};

use super::toy::{Asked, Said, Toy};

const TABLE: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[idempotency]
header = "x-key"
max_length = 64
methods = ["POST"]
window_secs = 3600
[endpoint.transfer]
doc = "Moves."
method = "POST"
path = "/transfers"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_text" }
key = { field = "meta.key", window_secs = 3600 }
in_doubt = "repeat"
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
]
[endpoint.share]
doc = "Splits."
method = "POST"
path = "/shares"
effect = "moves_money"
amount = { field = "total", currency = "currency", unit = "decimal_text" }
key = { natural = "number" }
echo = { same = { number = "/extRef", total = "/sum" } }
in_doubt = "repeat"
params = [
  { name = "number", wire = "extRef", required = true, doc = "Your own." },
  { name = "total", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
]
[endpoint.poke]
doc = "Pokes."
method = "POST"
path = "/pokes"
effect = "write"
key = "none"
same_twice = true
in_doubt = "repeat"
params = [{ name = "what", required = true, doc = "What." }]
[endpoint.pay]
doc = "Pays."
method = "POST"
path = "/payments"
effect = "moves_money"
amount = { field = "amount", currency = "currency", unit = "decimal_text" }
in_doubt = "repeat"
params = [
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "currency", required = true, doc = "Of what." },
]
[endpoint.tell_time]
doc = "Says what time it is."
method = "GET"
path = "/time"
effect = "read"
shows_key = true
"#;

const TRANSFER: &str = "bank::transfer(#{ amount: EUR(1.50) }).id";
const SHARE: &str = r#"bank::share(#{ number: "A-1", total: EUR(1.50) }).id"#;
const POKE: &str = r#"bank::poke(#{ what: "it" }).id"#;
const PAY: &str = "bank::pay(#{ amount: EUR(1.50) }).id";

/// Says this the first time and that it is done afterwards.
fn first(said: impl Fn() -> Said + Send + 'static, done: Json) -> impl FnMut(&Asked) -> Said + Send + 'static {
    let mut is_first = true;
    move |_| match std::mem::take(&mut is_first) {
        true => said(),
        false => Said::Answer(200, done.clone()),
    }
}

fn lost() -> Said {
    Said::Lost
}

fn failed() -> Said {
    Said::Answer(500, json!({}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_body_is_the_same_when_a_new_process_goes_on() {
    let toy = Toy::new(TABLE, first(failed, json!({"id": "t"}))).await;
    let run = toy.begin(TRANSFER).await;
    assert_eq!(run.state, RunState::Waiting, "{:?}", run.error);
    toy.clock.advance(Duration::from_secs(5));
    let run = toy.go_on(run.id).await;
    assert_eq!(
        (run.state, run.result),
        (RunState::Succeeded, Some(json!("t"))),
        "{:?}",
        run.error
    );
    let asked = toy.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, asked[1].body);
    assert_eq!(asked[0].json()["meta"]["key"].as_str().map(str::len), Some(36));
    assert!(
        !asked
            .iter()
            .any(|asked| asked.headers.iter().any(|line| line.starts_with("x-key")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_body_is_not_trusted_past_its_window() {
    let toy = Toy::new(TABLE, first(failed, json!({"id": "t"}))).await;
    let run = toy.begin(TRANSFER).await;
    toy.clock.advance(Duration::from_secs(3000));
    let run = toy.go_on(run.id).await;
    assert_eq!(run.state, RunState::Parked);
    assert_eq!(toy.asked().len(), 1, "it went out once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_taken_once_for_good_is_sent_again_after_a_year() {
    let mut toy = Toy::new(TABLE, first(lost, json!({"id": "s", "extRef": "A-1", "sum": 1.50}))).await;
    toy.world.settings.backoff.total = Duration::from_secs(10 * 366 * 86_400);
    let run = toy.begin(SHARE).await;
    assert_eq!(run.state, RunState::Waiting, "{:?}", run.error);
    toy.clock.advance(Duration::from_secs(366 * 86_400));
    let run = toy.go_on(run.id).await;
    assert_eq!(
        (run.state, run.result),
        (RunState::Succeeded, Some(json!("s"))),
        "{:?}",
        run.error
    );
    let asked = toy.asked();
    assert_eq!((asked.len(), &asked[0].body), (2, &asked[1].body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_stands_for_another_amount_is_for_a_person() {
    let other = json!({"id": "s", "extRef": "A-1", "sum": 2.50});
    let toy = Toy::new(TABLE, move |_: &Asked| Said::Answer(200, other.clone())).await;
    let run = toy.begin(SHARE).await;
    assert_eq!(run.state, RunState::Parked);
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "contradiction", "{}", error.message);
    assert_eq!(toy.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_same_twice_is_sent_again_without_a_key() {
    let toy = Toy::new(TABLE, first(lost, json!({"id": "p"}))).await;
    let run = toy.begin(POKE).await;
    toy.clock.advance(Duration::from_secs(7200));
    let run = toy.go_on(run.id).await;
    assert_eq!(
        (run.state, run.result),
        (RunState::Succeeded, Some(json!("p"))),
        "{:?}",
        run.error
    );
    let asked = toy.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        !asked
            .iter()
            .any(|asked| asked.headers.iter().any(|line| line.starts_with("x-key")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_trusted_after_an_answer_that_is_not_kept_with_it() {
    let table = TABLE.replacen("window_secs = 3600\n", "window_secs = 3600\nkept = \"successes\"\n", 1);
    // A failure after the effect, and an answer that may have been one.
    for answer in [failed, lost] {
        let toy = Toy::new(&table, first(answer, json!({"id": "p"}))).await;
        let mut run = toy.begin(PAY).await;
        if run.state == RunState::Waiting {
            toy.clock.advance(Duration::from_secs(31));
            run = toy.go_on(run.id).await;
        }
        assert_eq!(
            (run.state, toy.count("POST", "/payments")),
            (RunState::Parked, 1),
            "{:?}",
            run.error
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_left_is_sent_whatever_its_key_is_good_for() {
    let table = TABLE.replacen("window_secs = 3600\n", "window_secs = 3600\nkept = \"successes\"\n", 1);
    let mut toy = Toy::new(&table, |_: &Asked| Said::Answer(200, json!({"id": "p"}))).await;
    let mut url = "http://127.0.0.1:1".to_owned();
    toy.world.reconnect(|bank| std::mem::swap(&mut bank.base_url, &mut url));
    let run = toy.begin(PAY).await;
    assert_eq!(
        (run.state, toy.asked().len()),
        (RunState::Waiting, 0),
        "{:?}",
        run.error
    );
    toy.world.reconnect(|bank| std::mem::swap(&mut bank.base_url, &mut url));
    toy.clock.advance(Duration::from_secs(60));
    let run = toy.go_on(run.id).await;
    assert_eq!(
        (run.state, toy.count("POST", "/payments")),
        (RunState::Succeeded, 1),
        "{:?}",
        run.error
    );
}

/// A key in the body is another than the one in the header: what the table says of that says nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_body_says_itself_what_it_is_good_for() {
    for (of_header, of_body, sent) in [
        ("", "", 2),
        ("kept = \"successes\"\nin_flight = \"unknown\"\n", "", 2),
        ("", ", kept = \"successes\"", 1),
    ] {
        let header = format!("methods = [\"POST\"]\nwindow_secs = 3600\n{of_header}");
        let table = TABLE.replacen("methods = [\"POST\"]\nwindow_secs = 3600\n", &header, 1);
        let table = table.replacen("window_secs = 3600 }", &format!("window_secs = 3600{of_body} }}"), 1);
        let toy = Toy::new(&table, first(failed, json!({"id": "t"}))).await;
        let mut run = toy.begin(TRANSFER).await;
        if run.state == RunState::Waiting {
            toy.clock.advance(Duration::from_secs(5));
            run = toy.go_on(run.id).await;
        }
        let told = format!("{of_header}{of_body}: {:?}", run.error);
        assert_eq!(toy.count("POST", "/transfers"), sent, "{told}");
        let expected = if sent == 1 {
            RunState::Parked
        } else {
            RunState::Succeeded
        };
        assert_eq!(run.state, expected, "{told}");
    }
    let table = TABLE.replacen(
        "window_secs = 3600 }",
        "window_secs = 3600, in_flight = \"unknown\" }",
        1,
    );
    let toy = Toy::new(&table, first(lost, json!({"id": "t"}))).await;
    let began = toy.clock.now();
    let wake_at = toy.begin(TRANSFER).await.wake_at.expect("it waits");
    assert!(
        wake_at - began >= chrono::TimeDelta::seconds(30),
        "{wake_at} is too early"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_tried_again_is_looked_for_where_its_key_may_be_free() {
    let table = TABLE.replacen("window_secs = 3600\n", "window_secs = 3600\nkept = \"successes\"\n", 1);
    let toy = Toy::new(&table, first(failed, json!({"id": "p"}))).await;
    let run = toy.begin(PAY).await;
    assert_eq!(run.state, RunState::Parked, "{:?}", run.error);
    toy.decide(&run, Resolution::Retry).await;
    let run = toy.go_on(run.id).await;
    assert_eq!(
        (run.state, toy.count("POST", "/payments")),
        (RunState::Parked, 1),
        "{run:?}"
    );
    // What a person says is absent goes out under another key.
    toy.decide(&run, Resolution::Resend).await;
    let run = toy.go_on(run.id).await;
    assert_eq!(
        (run.state, toy.count("POST", "/payments")),
        (RunState::Succeeded, 2),
        "{:?}",
        run.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_beside_what_may_still_be_on_its_way() {
    let table = TABLE.replacen(
        "window_secs = 3600\n",
        "window_secs = 3600\nin_flight = \"unknown\"\n",
        1,
    );
    let toy = Toy::new(&table, first(lost, json!({"id": "p"}))).await;
    let began = toy.clock.now();
    let run = toy.begin(PAY).await;
    let wake_at = run.wake_at.expect("it waits");
    assert!(
        wake_at - began >= chrono::TimeDelta::seconds(30),
        "{wake_at} is too early"
    );
    toy.clock.advance(Duration::from_secs(31));
    let run = toy.go_on(run.id).await;
    assert_eq!(
        (run.state, toy.asked().len()),
        (RunState::Succeeded, 2),
        "{:?}",
        run.error
    );
}

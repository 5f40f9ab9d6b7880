//! What is told by what there was before: read alone, one at a time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::base::clock::Clock as _;
use bursar::base::ids::RunId;
use bursar::model::journal::{Entry, Journal, Resolution};
use bursar::model::run::{Run, RunState};
use bursar::store::faulty::Fault;
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::restore::restore;
use serde_json::{Value as Json, json};

use super::toy::{Asked, Said, Toy};
use crate::accidents::dies;
use crate::support::{settled, until};

const TABLE: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[money]
unit = "minor_number"
currency = "EUR"
[errors]
class = [{ status = 503, class = "retry", doc = "Later." }]
[endpoint.give_back]
doc = "Gives a payment back, in part."
method = "POST"
path = "/payments/{payment}/refunds"
effect = "moves_money"
amount = { field = "amount" }
in_doubt = "lookup"
exclusive = "{sent.payment}"
params = [
  { name = "payment", in = "path", doc = "Which." },
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "why", required = true, doc = "Why." },
]
[endpoint.give_back.before]
endpoint = "show"
query = { id = "{sent.payment}" }
keep = { refunds = "/refunds/*/id" }
require = [{ at = "/status", is = ["paid"], else = "only what was paid can be given back" }]
[endpoint.give_back.lookup]
endpoint = "show"
query = { id = "{sent.payment}" }
items = "/refunds"
match = { fresh = { ids = "{before.refunds}", at = "/id", same = [{ at = "/amount", is = ["{sent.amount}"] }] } }
visibility_lag_secs = 120
covers_window = true
[endpoint.park_back]
doc = "The same, told by nothing."
method = "POST"
path = "/payments/{payment}/refunds"
effect = "moves_money"
amount = { field = "amount" }
in_doubt = "park"
exclusive = "{sent.payment}"
params = [
  { name = "payment", in = "path", doc = "Which." },
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "why", required = true, doc = "Why." },
]
[endpoint.park_back.before]
endpoint = "show"
query = { id = "{sent.payment}" }
keep = { refunds = "/refunds/*/id" }
[endpoint.take_back]
doc = "The same, told by the sum alone."
method = "POST"
path = "/payments/{payment}/refunds"
effect = "moves_money"
amount = { field = "amount" }
in_doubt = "lookup"
exclusive = "{before.payment}"
params = [
  { name = "payment", in = "path", doc = "Which." },
  { name = "amount", type = "decimal", required = true, doc = "How much." },
  { name = "why", required = true, doc = "Why." },
]
[endpoint.take_back.before]
endpoint = "show"
query = { id = "{sent.payment}" }
keep = { refunded = "/refunded", payment = "/id" }
[endpoint.take_back.lookup]
endpoint = "show"
query = { id = "{before.payment}" }
match = { state = { done = [{ at = "/refunded", is_sum = ["{before.refunded}", "{sent.amount}"] }], open = [{ at = "/refunded", is = ["{before.refunded}"] }] } }
visibility_lag_secs = 120
[endpoint.charge]
doc = "Charges what the payment says."
method = "POST"
path = "/payments/{payment}/charge"
effect = "moves_money"
amount = { before = "amount", currency = "currency" }
in_doubt = "park"
params = [{ name = "payment", in = "path", doc = "Which." }]
[endpoint.charge.before]
endpoint = "show"
query = { id = "{sent.payment}" }
keep = { amount = "/amount", currency = "/currency" }
[endpoint.show]
doc = "Shows a payment."
method = "GET"
path = "/payments/{id}"
effect = "read"
params = [{ name = "id", in = "path", doc = "Which." }]
[endpoint.tell_time]
doc = "Says what time it is."
method = "GET"
path = "/time"
effect = "read"
shows_key = true
"#;

fn refund(why: &str) -> String {
    format!(r#"bank::give_back(#{{ payment: "p1", amount: EUR(5), why: "{why}" }}).id"#)
}

/// What the provider has: the status of the payment, and its refunds.
#[derive(Debug, Default)]
struct Book {
    status: &'static str,
    refunds: Vec<Json>,
}

impl Book {
    fn refund(&mut self, asked: &Json) -> Json {
        let made =
            json!({"id": format!("r{}", self.refunds.len() + 1), "amount": asked["amount"], "why": asked["why"]});
        self.refunds.push(made.clone());
        made
    }

    fn show(&self) -> Json {
        let refunded: i64 = self.refunds.iter().filter_map(|refund| refund["amount"].as_i64()).sum();
        json!({
            "id": "p1", "status": self.status, "refunds": self.refunds, "refunded": refunded, "amount": 2000, "currency": "EUR",
        })
    }
}

/// A provider with this book. What it says to a refund, it is told by who asks and how often that one did.
async fn with(mut says: impl FnMut(&str, usize) -> First + Send + 'static) -> (Toy, Arc<Mutex<Book>>) {
    let book = Arc::new(Mutex::new(Book {
        status: "paid",
        refunds: Vec::new(),
    }));
    let theirs = Arc::clone(&book);
    let mut times: Vec<String> = Vec::new();
    let answer = move |asked: &Asked| {
        let mut book = theirs.lock().expect("one at a time");
        if asked.method == "GET" {
            return Said::Answer(200, book.show());
        }
        if asked.path.ends_with("/charge") {
            return Said::Answer(201, json!({"id": "c1"}));
        }
        let body = asked.json();
        let why = body["why"].as_str().unwrap_or_default().to_owned();
        times.push(why.clone());
        match says(&why, times.iter().filter(|earlier| **earlier == why).count()) {
            First::Done => Said::Answer(201, book.refund(&body)),
            First::DoneAndLost => {
                book.refund(&body);
                Said::Lost
            }
            First::Lost => Said::Lost,
            First::Later => Said::Answer(503, json!({})),
        }
    };
    (Toy::new(TABLE, answer).await, book)
}

enum First {
    Done,
    DoneAndLost,
    Lost,
    Later,
}

/// Lets time pass until each of these runs has ended or needs a person.
async fn to_the_end(toy: &Toy, runs: &[RunId]) -> Vec<Run> {
    let mut ended = Vec::new();
    for id in runs {
        let mut run = toy.read(*id).await;
        for _ in 0..40 {
            if run.state != RunState::Waiting {
                break;
            }
            toy.clock.advance(Duration::from_secs(400));
            run = toy.go_on(*id).await;
        }
        ended.push(run);
    }
    ended
}

fn whys(book: &Mutex<Book>) -> Vec<String> {
    let book = book.lock().expect("nobody panics");
    let whys = book.refunds.iter().filter_map(|refund| refund["why"].as_str());
    whys.map(str::to_owned).collect()
}

/// Red without the lock: both know of no refund, and the second takes the first one's for its own: one is missing.
#[tokio::test(flavor = "multi_thread")]
async fn two_refunds_of_one_payment_do_not_take_each_other_for_their_own() {
    let (toy, book) = with(|why, times| match (why, times) {
        ("A", 1) => First::Later,
        ("B", 1) => First::Lost,
        _ => First::Done,
    })
    .await;
    let a = toy.begin(&refund("A")).await;
    let b = toy.begin(&refund("B")).await;
    assert_eq!((a.state, b.state), (RunState::Waiting, RunState::Waiting));
    let ended = to_the_end(&toy, &[a.id, b.id]).await;
    let came: Vec<_> = ended.iter().map(|run| (run.state, run.result.clone())).collect();
    let done = |id: &str| (RunState::Succeeded, Some(json!(id)));
    assert_eq!(whys(&book), ["A", "B"], "{ended:?}");
    assert_eq!(came, [done("r1"), done("r2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_made_and_lost_is_told_from_those_that_were_there() {
    for script in [
        refund("A"),
        refund("A").replace("give_back", "take_back").replace(".id", ""),
    ] {
        let (toy, book) = with(|_, _| First::DoneAndLost).await;
        book.lock()
            .expect("free")
            .refund(&json!({"amount": 500, "why": "before"}));
        let run = toy.begin(&script).await;
        let ended = to_the_end(&toy, &[run.id]).await;
        assert_eq!(ended[0].state, RunState::Succeeded, "{:?}", ended[0].error);
        assert_eq!(whys(&book), ["before", "A"]);
        assert_eq!(toy.count("POST", "/payments/p1/refunds"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_as_before_nor_as_it_would_be_is_for_a_person() {
    let (toy, book) = with(|_, _| First::DoneAndLost).await;
    let run = toy.begin(&refund("A").replace("give_back", "take_back")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
    // Somebody else gives as much back before it is looked for.
    let (toy, theirs) = with(|_, _| First::Lost).await;
    drop(book);
    let run = toy.begin(&refund("A").replace("give_back", "take_back")).await;
    assert_eq!(run.state, RunState::Waiting);
    theirs
        .lock()
        .expect("free")
        .refund(&json!({"amount": 300, "why": "by hand"}));
    let ended = to_the_end(&toy, &[run.id]).await;
    assert_eq!(ended[0].state, RunState::Parked, "{ended:?}");
    assert_eq!(toy.count("POST", "/payments/p1/refunds"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_be_so_and_is_not_fails_before_anything_is_sent() {
    let (toy, book) = with(|_, _| First::Done).await;
    book.lock().expect("free").status = "open";
    let caught = format!(
        "let told = \"\"; try {{ {} }} catch (e) {{ told = e.error; }} told",
        refund("A")
    );
    let run = toy.begin(&caught).await;
    assert_eq!(
        (run.state, run.result),
        (RunState::Succeeded, Some(json!("not_possible"))),
        "{:?}",
        run.error
    );
    assert_eq!(toy.count("POST", "/payments/p1/refunds"), 0);
    // What it had alone is free.
    book.lock().expect("free").status = "paid";
    let run = toy.begin(&refund("B")).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}", run.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_that_only_the_provider_says_is_read_before_and_kept() {
    let (toy, _book) = with(|_, _| First::Done).await;
    let run = toy.begin(r#"bank::charge("p1").id"#).await;
    assert_eq!(
        (run.state, &run.result),
        (RunState::Succeeded, &Some(json!("c1"))),
        "{:?}",
        run.error
    );
    let store = toy.world.store().await;
    let records = store.journal(run.id).await.expect("read");
    let intents = records.iter().filter_map(|record| match &record.entry {
        Entry::Intent { intent, .. } => Some(intent.clone()),
        _ => None,
    });
    let intents: Vec<_> = intents.collect();
    let moved = intents[0].movement.as_ref().and_then(|movement| movement.amount);
    assert_eq!(moved.map(|money| money.to_string()).as_deref(), Some("EUR 20.00"));
    assert_eq!(intents[0].before["amount"], json!(2000));
    assert!(Journal::from_records(records).is_ok());
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_what_was_known_before_proves_nothing() {
    let (toy, book) = with(|_, _| First::Lost).await;
    let run = toy.begin(&refund("A")).await;
    assert_eq!(run.state, RunState::Waiting);
    let (folder, file) = (toy.world.folder.path(), toy.world.folder.path().join("backup.db"));
    backup(folder, &file, toy.clock.now()).await.expect("backed up");
    // What is forgotten is whose this is.
    book.lock().expect("free").refund(&json!({"amount": 500, "why": "B"}));
    restore(folder, &file, toy.clock.now()).await.expect("restored");
    let ended = to_the_end(&toy, &[run.id]).await;
    assert_eq!(ended[0].state, RunState::Parked, "{ended:?}");
    assert!(
        ended[0]
            .error
            .as_ref()
            .is_some_and(|error| error.message.contains("proves nothing now")),
        "{ended:?}"
    );
    assert_eq!(toy.count("POST", "/payments/p1/refunds"), 1);
}

/// The process may die before or after each write: the name is taken, the intent made, the outcome kept.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_a_process_dies_at_it_is_done_once_and_lets_the_next_one_go() {
    // 1: wake_due, 2: claim, 3: the name, 4: the intent, 5: the outcome.
    for write in 1..=5 {
        for fault in [Fault::Before(write), Fault::After(write)] {
            let (toy, book) = with(|_, _| First::Done).await;
            let store = toy.world.store().await;
            let id = toy
                .world
                .start(store.as_ref(), &refund("A"), json!({}), json!({}))
                .await;
            store.close().await.expect("closed");
            dies(&toy.world, fault).await;
            let run = toy.read(id).await;
            let run = if run.state.is_final() { run } else { toy.go_on(id).await };
            let ended = to_the_end(&toy, &[run.id]).await;
            assert_eq!(ended[0].state, RunState::Succeeded, "{fault:?} {:?}", ended[0].error);
            assert_eq!(whys(&book), ["A"], "{fault:?}");
            let next = toy.begin(&refund("B")).await;
            let next = to_the_end(&toy, &[next.id]).await;
            assert_eq!(
                next[0].state,
                RunState::Succeeded,
                "{fault:?}: what it had alone is free"
            );
        }
    }
}

/// A provider that says what it shows at each read, by its number from 1; none: it cannot be read. Nothing that is sent
/// comes back.
async fn reading(mut shows: impl FnMut(usize) -> Option<Vec<&'static str>> + Send + 'static) -> Toy {
    let mut reads = 0;
    let answer = move |asked: &Asked| {
        if asked.method != "GET" {
            return Said::Lost;
        }
        reads += 1;
        let Some(refunds) = shows(reads) else {
            return Said::Answer(503, json!({}));
        };
        let refunds: Vec<Json> = refunds.iter().map(|id| json!({"id": id, "amount": 500})).collect();
        Said::Answer(200, json!({"id": "p1", "status": "paid", "refunds": refunds}))
    };
    Toy::new(TABLE, answer).await
}

/// 1: before, 2: looked for, 3: not there. It goes out anew, and at the fourth read what the first one did shows, late.
/// Red without the last look: it counted as there before, and a second one was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_effect_is_not_taken_for_what_was_there_before() {
    for fails in [false, true] {
        let toy = reading(move |read| match read {
            1..=3 => Some(Vec::new()),
            4 if fails => None,
            4 => Some(Vec::new()),
            _ => Some(vec!["r1"]),
        })
        .await;
        let run = toy.begin(&refund("A")).await;
        let ended = to_the_end(&toy, &[run.id]).await;
        assert_eq!(toy.count("POST", "/payments/p1/refunds"), 1, "{ended:?}");
        assert_eq!(ended[0].state, RunState::Parked, "{ended:?}");
        let told = ended[0].error.as_ref().expect("parked");
        assert_eq!(told.code, "contradiction", "{told:?}");
        assert!(told.message.contains("shows it now"), "{told:?}");
    }
}

/// What was proved absent and is not so clear any more is for a person; who has seen it may have it sent all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_go_out_anew_beside_something_new_is_for_a_person() {
    let toy = reading(|read| match read {
        1..=3 => Some(Vec::new()),
        _ => Some(vec!["other"]),
    })
    .await;
    let script = refund("A").replace("EUR(5)", "EUR(7)");
    let run = toy.begin(&script).await;
    let ended = to_the_end(&toy, &[run.id]).await;
    assert_eq!(
        (ended[0].state, toy.count("POST", "/payments/p1/refunds")),
        (RunState::Parked, 1)
    );
    assert_eq!(
        ended[0].error.as_ref().map(|error| error.code.as_str()),
        Some("in_doubt")
    );
    toy.decide(&ended[0], Resolution::Resend).await;
    toy.go_on(run.id).await;
    assert_eq!(toy.count("POST", "/payments/p1/refunds"), 2);
}

/// What a person has sent again is sent when what there is can be read; when it never can, they are told within a day.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_go_out_anew_and_cannot_be_read_before_ends_with_a_person() {
    for can_be_read_again in [true, false] {
        let readable = Arc::new(Mutex::new(true));
        let theirs = Arc::clone(&readable);
        let toy = reading(move |_| theirs.lock().expect("free").then(Vec::new)).await;
        let script = refund("A").replace("give_back", "park_back");
        let run = toy.begin(&script).await;
        let parked = to_the_end(&toy, &[run.id]).await;
        assert_eq!(parked[0].state, RunState::Parked, "{parked:?}");
        *readable.lock().expect("free") = false;
        toy.decide(&parked[0], Resolution::Resend).await;
        let mut seen = toy.go_on(run.id).await;
        assert_eq!(seen.state, RunState::Waiting, "{seen:?}");
        for hour in 0..30 {
            if seen.state != RunState::Waiting {
                break;
            }
            *readable.lock().expect("free") = can_be_read_again && hour > 3;
            toy.clock.advance(Duration::from_secs(3_600));
            seen = toy.go_on(run.id).await;
        }
        assert_eq!(seen.state, RunState::Parked, "{seen:?}");
        let told = seen.error.expect("parked").message;
        assert_eq!(told.contains("was to go out anew"), !can_be_read_again, "{told}");
        assert_eq!(
            toy.count("POST", "/payments/p1/refunds"),
            1 + usize::from(can_be_read_again)
        );
    }
}

/// Waiting for another step is no attempt: after hours of it, one read that fails is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn to_wait_for_another_is_no_attempt_and_ends_after_a_day() {
    let (toy, _book) = with(|why, _| if why == "A" { First::Lost } else { First::Done }).await;
    // In doubt, it keeps what it has alone.
    let a = toy.begin(&refund("A").replace("give_back", "park_back")).await;
    let b = toy.begin(&refund("B")).await;
    assert_eq!((a.state, b.state), (RunState::Parked, RunState::Waiting));
    let records = async || {
        let store = toy.world.store().await;
        let records = store.journal(b.id).await.expect("read");
        store.close().await.expect("closed");
        records.len()
    };
    for _ in 0..20 {
        toy.clock.advance(Duration::from_secs(600));
        assert_eq!(toy.go_on(b.id).await.state, RunState::Waiting);
    }
    assert_eq!(records().await, 1, "it is said once");
    toy.clock.advance(Duration::from_secs(86_400));
    let ended = toy.go_on(b.id).await;
    assert_eq!(ended.state, RunState::Failed, "{ended:?}");
    assert_eq!(ended.error.as_ref().map(|error| error.code.as_str()), Some("given_up"));
    assert!(
        ended
            .error
            .is_some_and(|error| error.message.contains("one waits for the other"))
    );
}

/// A's refund is done and shows late. Red without the rest: B knew of none, and took A's for its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_alone_is_seen_before_the_next_one_reads() {
    let shown = Arc::new(Mutex::new(false));
    let theirs = Arc::clone(&shown);
    let mut sent = 0;
    let answer = move |asked: &Asked| {
        if asked.method == "GET" {
            let shown = *theirs.lock().expect("free");
            let refunds = [json!({"id": "r1", "amount": 500}), json!({"id": "r2", "amount": 500})];
            let refunds = if shown { &refunds[..sent.min(2)] } else { &[] };
            return Said::Answer(200, json!({"id": "p1", "status": "paid", "refunds": refunds}));
        }
        if asked.json()["why"] == "B" && sent == 1 {
            // Not done, and nobody hears so.
            return Said::Lost;
        }
        sent += 1;
        Said::Answer(201, json!({"id": format!("r{sent}")}))
    };
    let toy = Toy::new(TABLE, answer).await;
    let a = toy.begin(&refund("A")).await;
    assert_eq!(a.result, Some(json!("r1")));
    let b = toy.begin(&refund("B")).await;
    assert_eq!(
        (b.state, toy.count("POST", "/payments/p1/refunds")),
        (RunState::Waiting, 1)
    );
    assert_eq!(b.wake_at, Some(toy.clock.now() + Duration::from_secs(120)));
    *shown.lock().expect("free") = true;
    let ended = to_the_end(&toy, &[b.id]).await;
    // It was not done, and it did not take A's for its own: it is tried again, and again.
    assert_ne!(ended[0].result, Some(json!("r1")), "{ended:?}");
    assert!(toy.count("POST", "/payments/p1/refunds") > 2, "{ended:?}");
}

/// By the wall clock two minutes are over at once; the provider's list is no faster for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_ahead_shows_nothing_earlier() {
    let (toy, book) = with(|_, _| First::Done).await;
    let store = toy.world.store().await;
    let engine = toy.world.engine(store.clone()).await;
    let begin = async |why: &str| {
        toy.world
            .start(store.as_ref(), &refund(why), json!({}), json!({}))
            .await
    };
    let a = begin("A").await;
    settled(store.as_ref(), a).await;
    toy.clock.jump_to(toy.clock.now() + Duration::from_secs(600));
    let b = begin("B").await;
    let waiting = until(store.as_ref(), b, |run| {
        run.state.is_final() || run.state == RunState::Waiting
    })
    .await;
    assert_eq!(waiting.state, RunState::Waiting, "{waiting:?}");
    assert_eq!(waiting.wake_at, Some(toy.clock.now() + Duration::from_secs(120)));
    assert_eq!(whys(&book), ["A"]);
    toy.clock.advance(Duration::from_secs(121));
    settled(store.as_ref(), b).await;
    assert_eq!(whys(&book), ["A", "B"]);
    engine.stop().await;
}

/// A whole refund was made and forgotten: the payment is not `paid` any more. Red before: the step failed as impossible,
/// and a script that caught that could pay another way.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_a_restore_is_not_told_as_impossible() {
    let (toy, book) = with(|_, _| First::Done).await;
    let store = toy.world.store().await;
    let caught = format!("try {{ {} }} catch (e) {{ e.error }}", refund("A"));
    let id = toy.world.start(store.as_ref(), &caught, json!({}), json!({})).await;
    store.close().await.expect("closed");
    let (folder, file) = (toy.world.folder.path(), toy.world.folder.path().join("backup.db"));
    backup(folder, &file, toy.clock.now()).await.expect("backed up");
    assert_eq!(toy.go_on(id).await.result, Some(json!("r1")));
    book.lock().expect("free").status = "refunded";
    restore(folder, &file, toy.clock.now()).await.expect("restored");
    toy.go_on(id).await;
    let ended = to_the_end(&toy, &[id]).await;
    assert_eq!(ended[0].state, RunState::Parked, "{ended:?}");
    let told = &ended[0].error.as_ref().expect("parked").message;
    assert!(told.contains("what there was before that is forgotten"), "{told}");
    assert_eq!(whys(&book), ["A"]);
    // A person who finds nothing has it sent anew: what is required then speaks.
    toy.decide(&ended[0], Resolution::Retry).await;
    let again = toy.go_on(id).await;
    assert_eq!(again.state, RunState::Parked, "{again:?}");
    assert_eq!(toy.count("POST", "/payments/p1/refunds"), 1);
}

/// While a person decides about what an older backup may have forgotten, nobody else does the same; and who reads next
/// reads when what was forgotten can be seen.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_may_have_forgotten_is_still_done_alone() {
    let (toy, _book) = with(|_, _| First::Done).await;
    let store = toy.world.store().await;
    let a = toy
        .world
        .start(store.as_ref(), &refund("A"), json!({}), json!({}))
        .await;
    store.close().await.expect("closed");
    let (folder, file) = (toy.world.folder.path(), toy.world.folder.path().join("backup.db"));
    backup(folder, &file, toy.clock.now()).await.expect("backed up");
    assert_eq!(toy.go_on(a).await.result, Some(json!("r1")));
    restore(folder, &file, toy.clock.now()).await.expect("restored");
    let waiting = toy.go_on(a).await;
    // Nothing is read before what was forgotten can be seen.
    assert_eq!(
        (waiting.state, toy.asked().len()),
        (RunState::Waiting, 2),
        "{waiting:?}"
    );
    let parked = to_the_end(&toy, &[a]).await;
    assert_eq!(parked[0].state, RunState::Parked, "{parked:?}");
    let b = toy.begin(&refund("B")).await;
    assert_eq!(b.state, RunState::Waiting, "{b:?}");
    let b = to_the_end(&toy, &[b.id]).await;
    assert_eq!(b[0].state, RunState::Waiting, "{b:?}");
    assert_eq!(toy.count("POST", "/payments/p1/refunds"), 1);
    toy.decide(&parked[0], Resolution::Fail).await;
}

/// What a step is asked for by is read first, so what was forgotten is found by its own reference, and its amount is held
/// against what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_charge_is_found_by_what_is_read_before() {
    for (amount, state) in [(2000, RunState::Succeeded), (1999, RunState::Parked)] {
        let made: Arc<Mutex<Vec<Json>>> = Arc::default();
        let theirs = Arc::clone(&made);
        let answer = move |asked: &Asked| {
            let mut made = theirs.lock().expect("free");
            if asked.method == "GET" && asked.path.contains("/charges") {
                return Said::Answer(200, json!({"charges": *made}));
            }
            if asked.method == "GET" {
                let status = if made.is_empty() { "open" } else { "charged" };
                return Said::Answer(
                    200,
                    json!({"id": "p1", "status": status, "amount": 2000, "currency": "EUR"}),
                );
            }
            let charge = json!({"id": "c1", "reference": asked.json()["reference"], "amount": amount});
            made.push(charge);
            Said::Answer(201, json!({"id": "c1", "amount": 2000}))
        };
        let toy = Toy::new(CHARGES, answer).await;
        let store = toy.world.store().await;
        let id = toy
            .world
            .start(store.as_ref(), r#"bank::charge("s1").id"#, json!({}), json!({}))
            .await;
        store.close().await.expect("closed");
        let (folder, file) = (toy.world.folder.path(), toy.world.folder.path().join("backup.db"));
        backup(folder, &file, toy.clock.now()).await.expect("backed up");
        assert_eq!(toy.go_on(id).await.result, Some(json!("c1")));
        restore(folder, &file, toy.clock.now()).await.expect("restored");
        toy.go_on(id).await;
        let ended = to_the_end(&toy, &[id]).await;
        assert_eq!(ended[0].state, state, "{ended:?}");
        assert_eq!(toy.count("POST", "/sessions/s1/charge"), 1);
    }
}

const CHARGES: &str = r#"name  = "toy"
title = "Toy"
doc   = "A provider of our own."
base_url = { live = "https://api.example.com" }
auth = { scheme = "bearer" }
[money]
unit = "minor_number"
currency = "EUR"
[errors]
[endpoint.charge]
doc = "Charges what the payment of a session says."
method = "POST"
path = "/sessions/{session}/charge"
effect = "moves_money"
amount = { before = "amount", currency = "currency" }
our_reference = "reference"
echo = { amount = "/amount" }
in_doubt = "lookup"
exclusive = "{before.payment}"
params = [
  { name = "session", in = "path", doc = "Which." },
  { name = "reference", doc = "Ours." },
]
[endpoint.charge.before]
endpoint = "show"
query = { id = "{sent.session}" }
keep = { payment = "/id", amount = "/amount", currency = "/currency" }
require = [{ at = "/status", is = ["open"], else = "it is charged" }]
[endpoint.charge.lookup]
endpoint = "list"
query = { id = "{before.payment}" }
match = { reference = "/reference" }
visibility_lag_secs = 120
covers_window = true
created_at = "/at"
margin_secs = 86400
[pagination.whole]
style = "whole"
items = "/charges"
[endpoint.list]
doc = "Lists charges."
method = "GET"
path = "/payments/{id}/charges"
effect = "read"
list = "whole"
params = [{ name = "id", in = "path", doc = "Of which." }]
[endpoint.show]
doc = "Shows a session."
method = "GET"
path = "/sessions/{id}"
effect = "read"
params = [{ name = "id", in = "path", doc = "Which." }]
[endpoint.tell_time]
doc = "Says what time it is."
method = "GET"
path = "/time"
effect = "read"
shows_key = true
"#;

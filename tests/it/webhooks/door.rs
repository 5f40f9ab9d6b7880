//! The webhook door: every way a sender can behave, over a real socket.

use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::ids::WorkerId;
use bursar::base::limits::{QUEUED_RUNS_ENOUGH, ROUTED_EVENTS_MAX};
use bursar::model::run::Cause;
use bursar::server::counters::Outcome;
use bursar::server::webhook::DoorLimits;
use bursar::store::faulty::{Fault, Faulty};
use bursar::trigger::router::Next;
use chrono::TimeDelta;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::meddle;

use super::harness::{Harness, OTHER_SECRET, Reply, SECRET, Signed, deposit_body, new_store};

/// Limits at which a test of slowness takes no time itself.
fn short() -> DoorLimits {
    DoorLimits {
        body_bytes_max: 4_096,
        header_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        connections_max: 2,
        close_timeout: Duration::from_secs(2),
        ..DoorLimits::default()
    }
}

#[tokio::test]
async fn a_signed_webhook_is_durable_when_it_is_answered_and_becomes_a_run_with_its_version() {
    let harness = Harness::new().await;
    let reply = harness.send(&harness.deposit("e1")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "accepted\n"));
    assert_eq!(harness.events().await.len(), 1);

    let runs = harness.runs().await;
    let [run] = runs.as_slice() else {
        panic!("one run, not {runs:?}")
    };
    assert_eq!(
        run.workflow, "book-deposits",
        "two of its triggers match, and it is not the other workflow"
    );
    assert_eq!(run.params, json!({"buffer": "1000.00"}));
    assert_eq!(run.event["type"], "deposit.received");
    assert_eq!(run.event["payload"]["amount"], "100.10");
    let Cause::Webhook { event } = run.cause else {
        panic!("{:?}", run.cause)
    };
    let event = harness
        .store
        .event(event)
        .await
        .expect("readable")
        .expect("the event is there");
    assert_eq!(event.provider_id, "e1");
    assert_eq!(run.event, event.as_document());
    let version = harness
        .store
        .version(run.version)
        .await
        .expect("readable")
        .expect("the version is there");
    assert_eq!(version.workflow, "book-deposits");
    assert_eq!(harness.counted(Outcome::Accepted), 1);
}

#[tokio::test]
async fn every_workflow_that_listens_gets_a_run_and_an_event_nobody_listens_to_is_kept() {
    let harness = Harness::new().await;
    let mut dollars = harness.deposit("e1");
    dollars.body = deposit_body("e1", "USD").to_string().into_bytes();
    assert_eq!(harness.send(&dollars).await.status, 200);
    let mut names: Vec<String> = harness.runs().await.into_iter().map(|run| run.workflow).collect();
    names.sort();
    assert_eq!(names, ["book-deposits", "convert-usd"]);

    let mut other = harness.deposit("e2");
    other.body = json!({"id": "e2", "type": "payout.paid", "date": "2026-05-04T08:59:58Z", "payload": {"id": "po_1"}})
        .to_string()
        .into_bytes();
    assert_eq!(harness.send(&other).await.status, 200);
    assert_eq!(harness.events().await.len(), 2);
    assert_eq!(harness.runs().await.len(), 2);
}

#[tokio::test]
async fn sixty_four_senders_of_one_event_make_one_run_and_are_all_told_yes() {
    let harness = Harness::new().await;
    let delivery = harness.deposit("e1");
    let replies = futures_util::future::join_all((0..64).map(|_| harness.send(&delivery))).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    assert_eq!(harness.runs().await.len(), 1);
    assert_eq!(harness.events().await.len(), 1);
    assert_eq!(harness.counted(Outcome::Accepted), 1);
    assert_eq!(harness.counted(Outcome::Duplicate), 63);
}

#[tokio::test]
async fn with_runs_enough_in_the_queue_events_gather_and_none_is_forgotten() {
    let harness = Harness::with_limits(DoorLimits {
        connections_per_address: 1_000,
        ..DoorLimits::default()
    })
    .await;
    let flood: Vec<Signed> = (0..=QUEUED_RUNS_ENOUGH)
        .map(|number| harness.deposit(&format!("e{number}")))
        .collect();
    let mut next = Next::Listen;
    for batch in flood.chunks(100) {
        let replies = futures_util::future::join_all(batch.iter().map(|delivery| harness.send(delivery))).await;
        assert!(replies.iter().all(|reply| reply.status == 200));
        next = harness.router.route_some().await.expect("routed");
        let queued = harness.queued().await;
        let expected = if queued < QUEUED_RUNS_ENOUGH.into() {
            Next::Again
        } else {
            Next::Gather
        };
        assert_eq!(next, expected, "{queued} runs are queued");
    }
    assert_eq!(next, Next::Gather);
    // More than a batch comes: a batch becomes runs, the others keep as events.
    let more: Vec<Signed> = (0..ROUTED_EVENTS_MAX + 10)
        .map(|number| harness.deposit(&format!("more{number}")))
        .collect();
    let replies = futures_util::future::join_all(more.iter().map(|delivery| harness.send(delivery))).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(harness.router.route_some().await, Ok(Next::Gather));
    assert_eq!(
        harness.queued().await,
        u64::from(QUEUED_RUNS_ENOUGH + 1 + ROUTED_EVENTS_MAX)
    );
    // Workers take some: what is left and what comes next become runs at once.
    let now = harness.clock.now();
    let claims = harness
        .store
        .claim(WorkerId::generate(now), now, now + TimeDelta::seconds(30), 512);
    assert_eq!(claims.await.expect("claimed").len(), 512);
    assert_eq!(harness.send(&harness.deposit("after")).await.status, 200);
    assert_eq!(harness.router.route_some().await, Ok(Next::Again));
    assert_eq!(harness.router.route_some().await, Ok(Next::Listen));
    assert_eq!(
        harness.queued().await,
        u64::from(QUEUED_RUNS_ENOUGH + 1 + ROUTED_EVENTS_MAX + 10 + 1 - 512)
    );
}

#[tokio::test]
async fn a_sender_that_hangs_up_leaves_a_whole_event_or_none() {
    let harness = Harness::new().await;
    for number in 0..40_u64 {
        let delivery = harness.deposit(&format!("e{number}"));
        let mut stream = harness.connect().await;
        stream.write_all(&delivery.request()).await.expect("sent");
        SystemClock::new().sleep(Duration::from_micros(number * 50)).await;
        drop(stream);
    }
    // It sends each again, as senders do that got no answer.
    for number in 0..40 {
        assert_eq!(harness.send(&harness.deposit(&format!("e{number}"))).await.status, 200);
    }
    assert_eq!(harness.runs().await.len(), 40);
    assert_eq!(harness.events().await.len(), 40);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_signature_the_answer_is_the_same_and_nothing_is_stored() {
    let harness = Harness::new().await;
    let good = harness.deposit("e1");
    let with = |change: fn(&mut Signed)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.request()
    };
    let tampered = String::from_utf8(good.request())
        .expect("text")
        .replace("100.10", "900.10")
        .into_bytes();
    let bare = format!(
        "POST /hooks/bank HTTP/1.1\r\nhost: door\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{}",
        good.body.len(),
        String::from_utf8(good.body.clone()).expect("text"),
    );
    let cases: [(&str, Vec<u8>); 8] = [
        ("another body", tampered),
        ("no headers of a signature", bare.into_bytes()),
        ("another secret", with(|signed| signed.secret = OTHER_SECRET)),
        (
            "an unknown connection",
            with(|signed| signed.path = "/hooks/bnak".to_owned()),
        ),
        (
            "a connection without secrets",
            with(|signed| signed.path = "/hooks/silent".to_owned()),
        ),
        ("too old", with(|signed| signed.signed_at -= TimeDelta::seconds(301))),
        (
            "too far ahead",
            with(|signed| signed.signed_at += TimeDelta::seconds(301)),
        ),
        (
            "no JSON, and another secret",
            with(|signed| {
                signed.secret = OTHER_SECRET;
                signed.body = b"{".to_vec();
            }),
        ),
    ];
    let mut answers = Vec::new();
    for (case, request) in &cases {
        let reply = harness.exchange(request).await;
        assert_eq!(reply.status, 401, "{case}");
        answers.push((
            reply.body,
            reply.head.lines().filter(|line| !line.starts_with("date")).count(),
        ));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "an answer tells something: {answers:?}");
    assert!(harness.events().await.is_empty());
    assert!(harness.runs().await.is_empty());
    assert_eq!(harness.counted(Outcome::Unsigned), 8);
    // And the same delivery untouched is taken.
    assert_eq!(harness.send(&good).await.status, 200);
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_are_good() {
    let harness = Harness::new().await;
    for (id, secret) in [("e1", SECRET), ("e2", OTHER_SECRET)] {
        let mut delivery = harness.deposit(id);
        delivery.path = "/hooks/rotating".to_owned();
        delivery.secret = secret;
        assert_eq!(harness.send(&delivery).await.status, 200, "{id}");
    }
    assert_eq!(harness.events().await.len(), 2);
}

/// The old one is good for two hours, the new one from the first hour on.
#[tokio::test]
async fn a_secret_outside_its_time_is_not_there() {
    let harness = Harness::new().await;
    let seconds = |hours: i64, seconds: i64| hours * 3_600 + seconds;
    let mut elapsed = 0;
    for (at, old, new) in [
        (0, 200, 401),
        (seconds(1, -1), 200, 401),
        (seconds(1, 0), 200, 200),
        (seconds(2, 0), 200, 200),
        (seconds(2, 1), 401, 200),
        (seconds(1_000, 0), 401, 200),
    ] {
        harness
            .clock
            .advance(Duration::from_secs((at - elapsed).try_into().expect("forward")));
        elapsed = at;
        for (secret, expected) in [(OTHER_SECRET, old), (SECRET, new)] {
            let mut delivery = harness.deposit("e1");
            delivery.path = "/hooks/dated".to_owned();
            delivery.secret = secret;
            assert_eq!(harness.send(&delivery).await.status, expected, "after {at} s");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_a_webhook_is_refused_before_its_body_is_read() {
    let harness = Harness::with_limits(short()).await;
    let check = async |request: &str, status: u16, header: &str| {
        // Only the head is sent: an answer proves that the body was not waited for.
        let reply = harness
            .exchange(format!("{request}host: door\r\n\r\n").as_bytes())
            .await;
        assert_eq!(reply.status, status, "{request}");
        assert!(reply.head.contains("connection: close"), "{request}: {}", reply.head);
        assert!(reply.head.contains(header), "{request}: {}", reply.head);
    };
    check("POST /hooks/bank HTTP/1.1\r\ncontent-length: 4097\r\n", 413, "").await;
    check(
        "POST /hooks/bank HTTP/1.1\r\ncontent-length: 10\r\ncontent-encoding: gzip\r\n",
        415,
        "",
    )
    .await;
    check(
        "POST /hooks/bank HTTP/1.1\r\ncontent-length: 10\r\ncontent-encoding: identity\r\n",
        415,
        "",
    )
    .await;
    check("GET /hooks/bank HTTP/1.1\r\n", 405, "allow: post").await;
    check("POST /hooks/bank/more HTTP/1.1\r\ncontent-length: 10\r\n", 404, "").await;
    check("GET / HTTP/1.1\r\n", 404, "").await;
    assert_eq!(harness.counted(Outcome::TooLarge), 1);
    assert_eq!(harness.counted(Outcome::Encoded), 2);
    assert_eq!(harness.counted(Outcome::WrongMethod), 1);
    assert_eq!(harness.counted(Outcome::NotFound), 2);
}

#[tokio::test]
async fn a_body_in_pieces_is_counted_as_it_comes() {
    let harness = Harness::with_limits(short()).await;
    let piece = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let request = format!(
        "POST /hooks/bank HTTP/1.1\r\nhost: door\r\ntransfer-encoding: chunked\r\n\r\n{}",
        piece.repeat(5)
    );
    assert_eq!(harness.exchange(request.as_bytes()).await.status, 413);
}

#[tokio::test]
async fn a_signed_body_that_is_no_event_is_a_bad_request() {
    let harness = Harness::new().await;
    for body in ["{\"id\": ", "[]", "{\"id\": \"e1\"}", ""] {
        let mut delivery = harness.deposit("e1");
        delivery.body = body.as_bytes().to_vec();
        assert_eq!(harness.send(&delivery).await.status, 400, "{body}");
    }
    assert!(harness.events().await.is_empty());
    assert_eq!(harness.counted(Outcome::BadPayload), 4);
}

#[tokio::test]
async fn a_sender_that_is_slow_or_silent_is_sent_away_in_time() {
    let harness = Harness::with_limits(short()).await;
    let check = async |sent: &str, status: u16| {
        let mut stream = harness.connect().await;
        stream.write_all(sent.as_bytes()).await.expect("sent");
        // The peer closes, or this read never ends and the patience of the harness does.
        assert_eq!(Reply::read(&mut stream).await.status, status, "{sent:?}");
    };
    check("", 0).await;
    check("POST /hooks/bank HTTP/1.1\r\nhost:", 0).await;
    check(
        "POST /hooks/bank HTTP/1.1\r\nhost: door\r\ncontent-length: 10\r\n\r\n{\"id\"",
        408,
    )
    .await;
    assert_eq!(harness.counted(Outcome::Incomplete), 1);
}

#[tokio::test]
async fn a_header_that_drips_is_cut_off_at_the_deadline() {
    let harness = Harness::with_limits(short()).await;
    let mut stream = harness.connect().await;
    let drip = async {
        for byte in "POST /hooks/bank HTTP/1.1\r\nhost: door\r\nx-slow: yes".bytes().cycle() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
            let mut answer = [0; 1];
            let step = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut answer));
            if matches!(step.await, Ok(Ok(0) | Err(_))) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3), drip)
        .await
        .expect("the door hangs up");
}

#[tokio::test]
async fn a_header_without_end_is_refused() {
    let harness = Harness::new().await;
    let many: String = (0..100).map(|number| format!("x-{number}: 1\r\n")).collect();
    let reply = harness
        .exchange(format!("POST /hooks/bank HTTP/1.1\r\n{many}\r\n").as_bytes())
        .await;
    assert_eq!(reply.status, 431);
}

#[tokio::test]
async fn wherever_the_store_fails_the_sender_comes_back_and_one_run_is_made() {
    for fault in [Fault::Before(1), Fault::After(1)] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let failing = Harness::over(Faulty::new(store.clone(), fault), DoorLimits::default()).await;
        let delivery = failing.deposit("e1");
        for _ in 0..2 {
            let reply = failing.send(&delivery).await;
            assert_eq!(reply.status, 503, "{fault:?}");
            assert!(reply.head.contains("retry-after: 10"), "{fault:?}: {}", reply.head);
        }
        assert_eq!(failing.counted(Outcome::Unavailable), 2, "{fault:?}");
        assert_eq!(failing.counted(Outcome::Accepted), 0, "{fault:?}");

        let restarted = Harness::over(store, DoorLimits::default()).await;
        let committed = fault == Fault::After(1);
        assert_eq!(restarted.events().await.len(), usize::from(committed), "{fault:?}");
        assert_eq!(restarted.send(&delivery).await.status, 200, "{fault:?}");
        assert_eq!(restarted.counted(Outcome::Duplicate), u64::from(committed), "{fault:?}");
        assert_eq!(restarted.events().await.len(), 1, "{fault:?}");
        assert_eq!(restarted.runs().await.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn wherever_the_router_dies_an_accepted_webhook_becomes_one_run() {
    // The first write is the admission, the second keeps the version, the third routes.
    for fault in [Fault::Before(2), Fault::After(2), Fault::Before(3), Fault::After(3)] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder).await;
        let failing = Harness::over(Faulty::new(store.clone(), fault), DoorLimits::default()).await;
        let delivery = failing.deposit("e1");
        assert_eq!(failing.send(&delivery).await.status, 200, "{fault:?}");
        assert!(failing.router.route_some().await.is_err(), "{fault:?}");

        let restarted = Harness::over(store, DoorLimits::default()).await;
        assert_eq!(restarted.runs().await.len(), 1, "{fault:?}");
        // The sender comes again, before the run and after it.
        assert_eq!(restarted.send(&delivery).await.body, "known already\n", "{fault:?}");
        assert_eq!(restarted.runs().await.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_back_is_passed_over_and_the_others_become_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Harness::over(new_store(&folder).await, DoorLimits::default()).await;
    for id in ["e1", "e2", "e3"] {
        assert_eq!(first.send(&first.deposit(id)).await.status, 200, "{id}");
    }
    first.store.close().await.expect("closed");
    meddle(folder.path(), "UPDATE event SET payload = '{' WHERE provider_id = 'e2'").await;
    let again = Harness::over(new_store(&folder).await, DoorLimits::default()).await;
    let mut started: Vec<_> = again
        .runs()
        .await
        .into_iter()
        .map(|run| run.event["id"].to_string())
        .collect();
    started.sort();
    assert_eq!(started, ["\"e1\"", "\"e3\""]);
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_its_turn() {
    let harness = Harness::with_limits(DoorLimits {
        header_timeout: Duration::from_secs(1),
        connections_max: 1,
        ..short()
    })
    .await;
    let silent = harness.connect().await;
    // Give the door time to take the silent one first.
    let mut waiting = harness.connect().await;
    waiting.write_all(&harness.deposit("e1").request()).await.expect("sent");
    let early = tokio::time::timeout(Duration::from_millis(100), waiting.readable()).await;
    assert!(early.is_err(), "answered although the only place is taken");
    drop(silent);
    assert_eq!(Reply::read(&mut waiting).await.status, 200);
}

#[tokio::test]
async fn a_sender_that_proved_itself_keeps_its_connection() {
    let harness = Harness::new().await;
    let mut stream = harness.connect().await;
    for id in ["e1", "e2"] {
        let request = String::from_utf8(harness.deposit(id).request()).expect("text");
        stream
            .write_all(request.replace("connection: close\r\n", "").as_bytes())
            .await
            .expect("sent");
        assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 200"), "{id}");
    }
    assert_eq!(harness.runs().await.len(), 2);
}

#[tokio::test]
async fn a_door_that_closes_finishes_what_it_has_in_hand_and_takes_nothing_new() {
    let mut harness = Harness::new().await;
    let request = harness.deposit("e1").request();
    let (first, rest) = request.split_at(request.len() - 10);
    let mut in_hand = harness.connect().await;
    in_hand.write_all(first).await.expect("sent");
    let mut idle = harness.connect().await;
    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(100)).await;
    harness.stop();
    assert_eq!(
        Reply::read(&mut idle).await.status,
        0,
        "an idle connection is closed at once"
    );
    in_hand.write_all(rest).await.expect("sent");
    assert_eq!(Reply::read(&mut in_hand).await.status, 200);
    harness.closed().await;
    assert!(TcpStream::connect(harness.address).await.is_err());
    assert_eq!(harness.runs().await.len(), 1);
}

#[tokio::test]
async fn a_door_that_closes_does_not_wait_for_ever() {
    let mut harness = Harness::with_limits(DoorLimits {
        body_timeout: Duration::from_secs(60),
        close_timeout: Duration::from_millis(200),
        ..short()
    })
    .await;
    let request = harness.deposit("e1").request();
    let mut stuck = harness.connect().await;
    stuck.write_all(&request[..request.len() - 10]).await.expect("sent");
    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(100)).await;
    harness.stop();
    harness.closed().await;
    assert!(harness.runs().await.is_empty());
}

async fn read_some(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 1_024];
    let count = stream.read(&mut bytes).await.expect("an answer");
    bytes.truncate(count);
    String::from_utf8(bytes).expect("text")
}

/// A bug that one delivery meets is its own: its sender hears of it and tries again, everybody else is served.
#[tokio::test]
async fn a_panic_over_one_delivery_is_answered_and_harms_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Faulty::new(new_store(&folder).await, Fault::Panic(1));
    let harness = Harness::over(store, DoorLimits::default()).await;
    let mut other = harness.connect().await;
    let reply = harness.send(&harness.deposit("e1")).await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (500, "it failed here: try again later\n")
    );
    assert_eq!(harness.counters.of(Outcome::Failed), 1, "it is told");
    other
        .write_all(&harness.deposit("e2").request())
        .await
        .expect("the door is open");
    assert_eq!(Reply::read(&mut other).await.status, 200, "one that was open before");
    let again = harness.send(&harness.deposit("e1")).await;
    assert_eq!((again.status, again.body.as_str()), (200, "accepted\n"));
    assert_eq!(harness.events().await.len(), 2);
}

//! `bursar webhooks send`: what the door of a real daemon says to what is signed here.

use std::fs;

use super::daemon::{Daemon, world};
use super::harness::bursar;

const DEPOSIT: &str = r#"{"id":"evt_1","type":"deposit.received","date":"2026-05-04T08:59:58Z","payload":{"id":"dep_1","type":"deposit"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_signed_as_the_provider_would_and_the_answer_decides_the_exit_code() {
    let (folder, _bank) = world().await;
    fs::write(folder.path().join("deposit.json"), DEPOSIT).expect("written");
    fs::write(folder.path().join("broken.json"), "{\"id\": ").expect("written");
    let send = |more: &[&str]| {
        let fixed = ["webhooks", "send", "--connection", "bank"];
        bursar(folder.path(), &[&fixed, more].concat())
    };
    // Nobody listens yet.
    let nobody = send(&["deposit.json", "--to", "http://127.0.0.1:9/hooks/bank"]).expect(7);
    assert!(nobody.stderr.contains("bursar serve"), "{}", nobody.stderr);

    let daemon = Daemon::start(folder.path());
    assert_eq!(send(&["deposit.json"]).expect(0).stdout, "200 accepted\n");
    assert_eq!(send(&["deposit.json"]).expect(0).stdout, "200 known already\n");
    let json = send(&["deposit.json", "--event-id", "evt_2", "--json"])
        .expect(0)
        .json();
    let to = format!("http://{}/hooks/bank", daemon.door);
    assert_eq!(
        json,
        [serde_json::json!({
            "schema": "bursar.webhook.sent/1", "connection": "bank", "to": to, "event": "evt_2", "status": 200,
            "answer": "accepted",
        })]
    );
    assert_eq!(
        send(&["broken.json"]).expect(2).stdout,
        "400 the body is not an event\n"
    );
    let elsewhere = format!("http://{}/hooks/nobody", daemon.door);
    assert_eq!(
        send(&["deposit.json", "--to", &elsewhere]).expect(5).stdout,
        "401 the signature was not accepted\n"
    );
    let astray = format!("http://{}/", daemon.door);
    assert_eq!(
        send(&["deposit.json", "--to", &astray]).expect(4).stdout,
        "404 not found\n"
    );

    for (more, code, told) in [
        (
            &["deposit.json", "--to", "http://example.com/hooks/bank"][..],
            7,
            "use https",
        ),
        (&["absent.json"], 2, "absent.json cannot be read"),
        (&["broken.json", "--event-id", "x"], 2, "the payload is not JSON"),
    ] {
        let refused = send(more).expect(code);
        assert!(refused.stderr.contains(told), "{more:?}: {}", refused.stderr);
    }
    let unknown = bursar(
        folder.path(),
        &["webhooks", "send", "--connection", "bnk", "deposit.json"],
    )
    .expect(4);
    assert!(unknown.stderr.contains("did you mean `bank`?"), "{}", unknown.stderr);

    let events = bursar(folder.path(), &["events", "ls", "--json"]).expect(0).json();
    let mut ids: Vec<&str> = events
        .iter()
        .filter_map(|event| event["provider_id"].as_str())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["evt_1", "evt_2"]);
}

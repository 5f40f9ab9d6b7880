//! `bursar approvals`, beside a daemon and without one, as a person meets it.

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::base::ids::WorkerId;
use bursar::model::run::{RunError, RunState, Settlement};
use bursar::simulator::config::SimulatorConfig;
use bursar::store::{Append, RunQuery, Sign};
use serde_json::Value as Json;

use super::PAY;
use crate::support::daemon::{Said, Site};
use crate::support::{open, until};

const TWO: &str = r#"
    let told = parallel(["a", "b"], |name| approval(#{ reason: `pay ${name}`, group: "board" }).by);
    told.map(|t| if t.ok { t.value } else { t.error.error })
"#;

async fn site() -> Site {
    let site = Site::new(SimulatorConfig::demo()).await;
    for (name, script) in [("pay", PAY), ("two", TWO)] {
        std::fs::write(site.path(&format!("scripts/{name}.rhai")), script).expect("written");
        let manifest = format!("name = \"{name}\"\nsummary = \"Pays.\"\nscript = \"{name}.rhai\"\nuses = [\"bank\"]\n");
        std::fs::write(site.path(&format!("workflows/{name}.toml")), manifest).expect("written");
    }
    site
}

fn lines(said: &Said) -> Vec<Json> {
    let lines = said.stdout.lines();
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[track_caller]
fn expect(said: Said, code: i32, told: &str) -> Said {
    assert_eq!(said.code, Some(code), "{said:?}");
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!(text.contains(told), "{told} is not in: {text}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_is_asked_and_answers_through_the_daemon() {
    let mut site = site().await;
    site.start().await;
    let id = site.run("two").await.run;
    let store = site.store().await;
    until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
    let run = id.to_string();
    let mut listed = lines(&expect(
        site.command(&["approvals", "ls", "--json"]).await,
        0,
        "bursar.approval/1",
    ));
    // The branches ask at the same time: either may be the older question.
    listed.sort_by_key(|open| open["step"].as_str().map(str::to_owned));
    let told: Vec<_> = listed
        .iter()
        .map(|open| (open["step"].as_str(), open["reason"].as_str()))
        .collect();
    assert_eq!(told, [(Some("1.1.1"), Some("pay a")), (Some("1.2.1"), Some("pay b"))]);
    assert_eq!(
        (listed[0]["group"].as_str(), listed[0]["run"].as_str()),
        (Some("board"), Some(run.as_str()))
    );
    let page = expect(site.command(&["approvals", "ls"]).await, 0, "pay b");
    assert!(
        page.stdout.contains("board") && page.stdout.contains("1.2.1"),
        "{}",
        page.stdout
    );
    expect(
        site.command(&["runs", "show", &run]).await,
        0,
        "to be approved by board until",
    );
    expect(
        site.command(&["runs", "show", &run]).await,
        0,
        &format!("bursar approvals show {run} 1.2.1"),
    );

    expect(
        site.command(&["approvals", "approve", &run, "1.1.1", "--reason", " "])
            .await,
        2,
        "the reason is empty",
    );
    expect(
        site.command(&["approvals", "approve", &run, "9", "--reason", "x"])
            .await,
        4,
        "has no step 9",
    );
    expect(
        site.command(&["approvals", "approve", &run, "x", "--reason", "x"])
            .await,
        2,
        "is not a step",
    );
    let unknown = [
        "approvals",
        "approve",
        "run_0000000000000000000000000A",
        "1",
        "--reason",
        "x",
    ];
    expect(site.command(&unknown).await, 4, "does not exist");

    let rejected = ["approvals", "reject", &run, "1.2.1", "--reason", "who is b?", "--json"];
    let said = lines(&expect(site.command(&rejected).await, 0, "bursar.approval.decision/1"));
    assert_eq!(said[0]["decision"], "rejected");
    expect(site.command(&rejected).await, 5, "it was decided already: rejected by");
    let approved = ["approvals", "approve", &run, "1.1.1", "--reason", "fine"];
    expect(site.command(&approved).await, 0, "step 1.1.1 approved: pay a");
    let ended = until(store.as_ref(), id, |run| run.state.is_final()).await;
    let result = ended.result.expect("a result");
    assert_eq!(result[1], "rejected", "{result}");
    expect(site.command(&approved).await, 5, "it was decided already: approved by");
    expect(
        site.command(&["approvals", "show", &run]).await,
        4,
        "asks for no approval",
    );
    expect(
        site.command(&["approvals", "ls"]).await,
        0,
        "nothing waits for an approval",
    );
    expect(site.command(&["journal", "show", &run]).await, 0, "who is b?");
    site.stop().await;
}

/// Between the look at a question and the answer another one may have taken its place.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_the_whole_run_and_the_step_or_nothing_happens() {
    let site = site().await;
    expect(site.command(&["run", "two"]).await, 3, "waits for an approval: pay a");
    let listed = lines(&site.command(&["approvals", "ls", "--json"]).await);
    let run = listed[0]["run"].as_str().expect("its id").to_owned();
    let commands: Vec<String> = [("approve", "1.1.1"), ("reject", "1.2.1")]
        .map(|(answer, step)| format!("bursar approvals {answer} {run} {step} --reason TEXT"))
        .into();
    let bare = run.strip_prefix("run_").expect("an id");
    let beginning = run.trim_end_matches(|letter| run.ends_with(letter));
    let cases: [&[&str]; 6] = [
        &["last"],
        &["last", "1.1.1"],
        &[beginning],
        &[beginning, "1.1.1"],
        &[bare, "1.1.1"],
        &[&run],
    ];
    for words in cases {
        for answer in ["approve", "reject"] {
            let line = [&["approvals", answer][..], words, &["--reason", "fine"]].concat();
            let said = expect(
                site.command(&line).await,
                2,
                "names the whole id of the run and the step",
            );
            for command in &commands {
                assert!(said.stderr.contains(command), "{words:?}: {}", said.stderr);
            }
        }
    }
    let after = lines(&site.command(&["approvals", "ls", "--json"]).await);
    assert_eq!(after, listed, "nothing was decided");
    for line in [&["approvals", "ls"][..], &["approvals", "show", "last"]] {
        for command in &commands {
            expect(site.command(line).await, 0, command);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_an_older_backup_says_that_its_answer_may_be_forgotten() {
    let site = site().await;
    expect(
        site.command(&["run", "pay"]).await,
        3,
        "waits for an approval: pay ACME",
    );
    let told = "an answer may have been given and forgotten";
    let file = site.path("backup.db").display().to_string();
    expect(site.command(&["db", "backup", &file]).await, 0, "");
    let before = expect(site.command(&["approvals", "show", "last"]).await, 0, "pay ACME");
    assert!(!before.stdout.contains(told), "{}", before.stdout);
    expect(site.command(&["db", "restore", &file]).await, 0, "");
    expect(site.command(&["approvals", "show", "last"]).await, 0, told);
    expect(site.command(&["runs", "show", "last"]).await, 0, told);
    let listed = lines(&site.command(&["approvals", "ls", "--json"]).await);
    assert_eq!(listed[0]["may_be_forgotten"], true);
    let page = expect(
        site.command(&["approvals", "ls"]).await,
        0,
        "an answer may be forgotten",
    );
    let run = page
        .stdout
        .split_whitespace()
        .find(|word| word.starts_with("run_"))
        .expect("its id")
        .to_owned();
    let no = ["approvals", "reject", &run, "1", "--reason", "no"];
    expect(site.command(&no).await, 0, told);
}

/// Nothing was sent since, only a no was said: the store that does not have it is an older one all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lacks_only_an_answer_is_noticed_as_an_older_one() {
    let site = site().await;
    expect(
        site.command(&["run", "pay"]).await,
        3,
        "waits for an approval: pay ACME",
    );
    let database = site.path("state/bursar.db");
    let older = std::fs::read(&database).expect("read");
    let page = site.command(&["approvals", "ls", "--json"]).await;
    let run = lines(&page)[0]["run"].as_str().expect("its id").to_owned();
    let no = ["approvals", "reject", &run, "1", "--reason", "who is ACME?"];
    expect(site.command(&no).await, 0, "rejected: pay ACME");
    std::fs::write(&database, older).expect("put back");
    let store = open(&site.path("state")).await;
    let restored = store.restored(SystemClock::new().now()).await.expect("read");
    assert!(restored.is_some_and(|restored| restored.holds() && restored.sign == Sign::Behind));
    store.close().await.expect("closed");
    expect(
        site.command(&["approvals", "ls"]).await,
        0,
        "an answer may be forgotten",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_answer_goes_to_the_store() {
    let site = site().await;
    // Nothing but a person helps, and nobody could answer while this process holds the store: it leaves at once.
    let said = expect(
        site.command(&["run", "pay"]).await,
        3,
        "waits for an approval: pay ACME",
    );
    assert!(said.stderr.contains("bursar approvals show run_"), "{}", said.stderr);
    assert!(site.bank.control.effects().is_empty());
    let shown = expect(site.command(&["approvals", "show", "last"]).await, 0, "pay ACME");
    for told in [
        "treasury",
        "EUR 10.50",
        "amount",
        "fingerprint",
        "bursar approvals approve run_",
    ] {
        assert!(shown.stdout.contains(told), "{told}: {}", shown.stdout);
    }
    let run = shown.stdout.split_whitespace().next().expect("its id").to_owned();
    let decided = ["approvals", "approve", &run, "1", "--reason", "seen the invoice"];
    expect(site.command(&decided).await, 0, "`bursar serve` takes it up");
    expect(site.command(&decided).await, 5, "it was decided already");
    expect(site.command(&["runs", "show", "last"]).await, 0, "queued");
    let verified = site.command(&["workflows", "verify"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");

    let mut site = site;
    site.start().await;
    let runs = site.quiet().await.expect("quiet");
    assert_eq!(runs[0].state, RunState::Succeeded, "{:?}", runs[0].error);
    assert_eq!(site.bank.control.effects().len(), 1);
    site.stop().await;
}

/// Such a question is still there: it is only to be answered later, and whoever looks hears what comes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_a_parked_run_is_listed_with_what_has_to_be_decided_first() {
    let site = site().await;
    expect(
        site.command(&["run", "pay"]).await,
        3,
        "waits for an approval: pay ACME",
    );
    let folder = site.path("state");
    let store = open(&folder).await;
    let run = store
        .runs(RunQuery {
            limit: 1,
            ..RunQuery::default()
        })
        .await
        .expect("read")[0]
        .clone();
    let at = run.wake_at.expect("it waits");
    store.wake_due(at).await.expect("woken");
    let worker = WorkerId::generate(run.created_at);
    let claims = store.claim(worker, run.created_at, at, 1).await.expect("taken");
    let error = RunError {
        code: "missing_connection".to_owned(),
        message: "connection `bank` is not configured any more".to_owned(),
        trace: Vec::new(),
    };
    let parked = Append {
        settlement: Some(Settlement::Parked { error }),
        ..Append::default()
    };
    let written = store.append(&claims[0].lease, parked, run.created_at).await;
    written.expect("parked");
    store.close().await.expect("closed");
    drop(store);

    let id = run.id.to_string();
    let first = format!("bursar runs show {id}");
    let listed = expect(
        site.command(&["approvals", "ls"]).await,
        0,
        "parked: missing_connection",
    );
    let text = format!("{}{}", listed.stdout, listed.stderr);
    assert!(text.contains(&first) && !text.contains("approvals approve"), "{text}");
    let json = lines(&site.command(&["approvals", "ls", "--json"]).await);
    assert_eq!(json[0]["state"], "parked");
    assert_eq!(json[0]["parked"]["code"], "missing_connection");
    let shown = expect(
        site.command(&["approvals", "show", &id]).await,
        0,
        "decide about that first",
    );
    assert!(shown.stdout.contains("is not configured any more"), "{}", shown.stdout);
    assert!(shown.stdout.contains(&first), "{}", shown.stdout);
    let answer = ["approvals", "approve", &id, "1", "--reason", "fine"];
    let refused = expect(site.command(&answer).await, 5, "is parked (missing_connection)");
    assert!(refused.stderr.contains(&first), "{}", refused.stderr);
    expect(
        site.command(&["runs", "resolve", &id, "--retry", "--reason", "put back"])
            .await,
        0,
        "",
    );
    expect(site.command(&answer).await, 0, "step 1 approved: pay ACME");
}

//! `bursar approvals`, beside a daemon and without one, as a person meets it.

use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use serde_json::Value as Json;

use super::PAY;
use crate::support::daemon::{Said, Site};
use crate::support::until;

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
    let listed = lines(&expect(
        site.command(&["approvals", "ls", "--json"]).await,
        0,
        "bursar.approval/1",
    ));
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

    // Which of two is not guessed.
    let both = ["approvals", "approve", &run, "--reason", "fine"];
    expect(site.command(&both).await, 2, "asks for 2 approvals: say which step");
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
        "--reason",
        "x",
    ];
    expect(site.command(&unknown).await, 4, "does not exist");

    let rejected = ["approvals", "reject", &run, "1.2.1", "--reason", "who is b?", "--json"];
    let said = lines(&expect(site.command(&rejected).await, 0, "bursar.approval.decision/1"));
    assert_eq!(said[0]["decision"], "rejected");
    expect(site.command(&rejected).await, 5, "it was decided already: rejected by");
    // Now there is one left, and it need not be named.
    expect(site.command(&both).await, 0, "step 1.1.1 approved: pay a");
    let ended = until(store.as_ref(), id, |run| run.state.is_final()).await;
    let result = ended.result.expect("a result");
    assert_eq!(result[1], "rejected", "{result}");
    expect(site.command(&both).await, 5, "is succeeded and asks for no approval");
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
    let decided = ["approvals", "approve", "last", "--reason", "seen the invoice"];
    expect(site.command(&decided).await, 0, "`bursar serve` takes it up");
    expect(site.command(&decided).await, 5, "asks for no approval");
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

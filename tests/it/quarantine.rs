//! Runs that bring the process down, and innocent ones that were there when it ended: the real binary decides.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use bursar::model::run::{Run, RunState};
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::RunQuery;

use crate::support::daemon::Site;
use crate::support::real_time::{Patience, pause};

/// A chain of closures that is dropped recursively, and a stack far too small for it. Before that, what leaves no
/// durable trace.
const BRINGS_DOWN: &str = r#"
    log::info(`begins at ${now()}`);
    let accounts = bank::accounts(#{ label: "Operating DE" }).len();
    let f = 0;
    for i in 0..100000 { let g = f; f = || g; }
    bank::freeze_account("never");
"#;

async fn site() -> Site {
    let site = Site::new(SimulatorConfig::demo()).await;
    let settings = site.path("bursar.toml");
    let text = fs::read_to_string(&settings).expect("settings");
    let text = text.replace("[daemon]\n", "[daemon]\nscript_stack_mib = 8\n");
    assert!(text.contains("script_stack_mib"), "{text}");
    fs::write(&settings, text).expect("written");
    workflow(&site, "brings-down", BRINGS_DOWN);
    site
}

fn workflow(site: &Site, name: &str, script: &str) {
    let file = name.replace('-', "_");
    let manifest = format!("name = \"{name}\"\nsummary = \"x\"\nscript = \"{file}.rhai\"\nuses = [\"bank\"]\n");
    fs::write(site.path("workflows").join(format!("{name}.toml")), manifest).expect("written");
    fs::write(site.path("scripts").join(format!("{file}.rhai")), script).expect("written");
}

/// The run of a workflow, if there is one.
async fn newest(site: &Site, workflow: &str) -> Option<Run> {
    let store = site.store().await;
    let query = RunQuery {
        workflow: Some(workflow.to_owned()),
        limit: 1,
        ..RunQuery::default()
    };
    let runs = store.runs(query).await.expect("runs");
    store.close().await.expect("closed");
    runs.into_iter().next()
}

/// Waits until it is as wanted.
async fn until(site: &Site, workflow: &str, wanted: impl Fn(&Run) -> bool) -> Run {
    let patience = Patience::new(Duration::from_secs(40));
    loop {
        if let Some(run) = newest(site, workflow).await.filter(&wanted) {
            return run;
        }
        assert!(!patience.is_over(), "not so yet; the daemon says:\n{}", site.log());
        pause(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_brings_the_process_down_is_quarantined_and_the_others_go_on() {
    let mut site = site().await;
    site.start().await;
    // It may be gone before it answers.
    drop(bursar::app::site::Site::run(&site, "brings-down", "test").await);
    let patience = Patience::new(Duration::from_secs(60));
    let mut deaths = 0;
    let quarantined = loop {
        if let Some(status) = site.ended().expect("the daemon is watched") {
            assert_eq!(status.signal(), Some(6), "{}", site.log());
            deaths += 1;
            // The first may have left no trace, if it was faster than the commit of its claim.
            assert!(deaths <= 4, "it still brings the process down:\n{}", site.log());
            site.launch_only().expect("launched");
        }
        let run = newest(&site, "brings-down").await;
        let code = |run: &Run| run.error.as_ref().map(|error| error.code.clone());
        if let Some(run) = run.filter(|run| code(run).as_deref() == Some("quarantined")) {
            break run;
        }
        assert!(
            !patience.is_over(),
            "not quarantined after {deaths} deaths:\n{}",
            site.log()
        );
        pause(Duration::from_millis(10)).await;
    };
    assert!(deaths >= 2, "{deaths}");
    let error = quarantined.error.expect("a reason");
    assert!(error.message.contains("ended by signal 6"), "{error:?}");
    // Everything else goes on.
    site.run("nightly-sweep").await;
    until(&site, "nightly-sweep", |run| run.state == RunState::Succeeded).await;
    // A person may end it.
    let shown = site
        .command(&["runs", "show", &quarantined.id.to_string()])
        .await
        .stdout;
    assert!(shown.contains("quarantined") && shown.contains("--retry"), "{shown}");
    let told = site
        .command(&["runs", "cancel", &quarantined.id.to_string(), "--reason", "enough"])
        .await
        .stdout;
    assert!(told.contains("cancelled"), "{told}");
    assert!(site.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_only_there_twice_when_somebody_ended_the_process_goes_on() {
    let mut site = site().await;
    // Its one read takes longer than the process lives.
    let slow = FaultAction::Delay {
        ms: 1_500,
        when: When::Before,
    };
    site.bank.control.add_fault(FaultRule::on("list_accounts", slow));
    workflow(&site, "slow", "bank::accounts(#{ label: \"Operating DE\" }).len()");
    site.start().await;
    site.run("slow").await;
    for _ in 0..3 {
        until(&site, "slow", |run| run.state == RunState::Running).await;
        site.kill().await.expect("killed");
        site.start().await;
        let run = until(&site, "slow", |run| run.state != RunState::Queued).await;
        if run.state == RunState::Parked {
            assert_eq!(run.error.map(|error| error.code).as_deref(), Some("suspected"));
            break;
        }
    }
    let run = until(&site, "slow", |run| run.state.is_final()).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?}:\n{}", run.error, site.log());
    assert!(site.log().contains("the trial ended in good order"), "{}", site.log());
    assert!(site.stop().await.success());
}

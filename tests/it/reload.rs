//! Scripts edited while the daemon runs: a waiting run ends on its old text, new runs use the new one, a broken
//! edit changes nothing but what `workflows ls` says.

use std::fs;
use std::time::Duration;

use bursar::model::run::{Run, RunState};
use bursar::server::protocol::Workflows;
use bursar::simulator::config::SimulatorConfig;

use crate::support::daemon::Site;
use crate::support::real_time::{Patience, pause};
use crate::support::{settled, until};

const MANIFEST: &str = "name = \"probe\"\nsummary = \"Says which text it is.\"\nscript = \"probe.rhai\"\nuses = []\n";

async fn workflows(site: &Site) -> Workflows {
    site.client()
        .await
        .get("/v1/workflows")
        .await
        .expect("the daemon answers")
}

/// Waits until the daemon has taken notice of an edit.
async fn noticed(site: &Site, what: &str, wanted: impl Fn(&Workflows) -> bool) {
    let patience = Patience::new(Duration::from_secs(20));
    loop {
        let now = workflows(site).await;
        if wanted(&now) {
            return;
        }
        assert!(!patience.is_over(), "{what}: {now:?}");
        pause(Duration::from_millis(20)).await;
    }
}

fn version(workflows: &Workflows) -> Option<String> {
    workflows
        .workflows
        .iter()
        .find(|view| view.name == "probe")
        .map(|view| view.version.to_string())
}

async fn ended(site: &Site, run: bursar::base::ids::RunId) -> Run {
    settled(site.store().await.as_ref(), run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_keeps_its_text_while_new_runs_use_the_new_one() {
    let mut site = Site::new(SimulatorConfig::demo()).await;
    let script = site.path("scripts/probe.rhai");
    fs::write(site.path("workflows/probe.toml"), MANIFEST).expect("written");
    fs::write(&script, "sleep(\"3s\"); \"old\"").expect("written");
    site.start().await;
    noticed(&site, "the workflow is loaded", |now| version(now).is_some()).await;
    let old = version(&workflows(&site).await);

    let waiting = site.run("probe").await.run;
    until(site.store().await.as_ref(), waiting, |run| {
        run.state == RunState::Waiting
    })
    .await;
    fs::write(&script, "\"new\"").expect("written");
    noticed(&site, "the edit is loaded", |now| version(now) != old).await;
    let quick = site.run("probe").await.run;
    assert_eq!(ended(&site, quick).await.result, Some(serde_json::json!("new")));
    let new = version(&workflows(&site).await);

    // Saved as many editors do: written beside, then renamed over.
    fs::write(site.path("scripts/.probe.rhai.swp"), "let x = totl;").expect("written");
    fs::rename(site.path("scripts/.probe.rhai.swp"), &script).expect("renamed");
    noticed(&site, "the fault is shown", |now| {
        now.problems.iter().any(|problem| {
            problem["file"]
                .as_str()
                .is_some_and(|file| file.ends_with("probe.rhai"))
        })
    })
    .await;
    let broken = workflows(&site).await;
    assert_eq!(version(&broken), new, "the last good version stays");
    assert!(
        broken
            .workflows
            .iter()
            .any(|view| view.name == "probe" && view.outdated)
    );
    let still = site.run("probe").await.run;
    assert_eq!(ended(&site, still).await.result, Some(serde_json::json!("new")));

    assert_eq!(ended(&site, waiting).await.result, Some(serde_json::json!("old")));
    assert!(site.stop().await.success(), "{}", site.log());
}

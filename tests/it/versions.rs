//! Texts on disk held against the journals of runs: what an edit would have changed, said before anybody relies on it.

use std::fs;

use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;

use crate::support::daemon::Site;
use crate::support::{settled, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_parts_from_what_ran_is_named_with_its_step() {
    let mut site = Site::new(SimulatorConfig::demo()).await;
    site.start().await;
    let run = site.run("nightly-sweep").await.run;
    let ended = settled(site.store().await.as_ref(), run).await;
    assert_eq!(ended.state, RunState::Succeeded);
    assert!(site.stop().await.success());
    let script = site.path("scripts/nightly_sweep.rhai");
    let original = fs::read_to_string(&script).expect("the script");
    let effects = site.bank.control.effects().len();
    let requests = site.bank.control.requests();

    let same = site.command(&["workflows", "verify"]).await;
    assert_eq!(same.code, Some(0), "{}{}", same.stdout, same.stderr);
    assert!(same.stdout.contains("1 run rehearsed: 1 the same"), "{}", same.stdout);

    let check = |edit: String| {
        fs::write(&script, edit).expect("written");
        site.command(&["workflows", "verify", "nightly-sweep"])
    };
    // Comments and names are free.
    let renamed = check(original.replace("swept", "outcome") + "// an afterthought\n").await;
    assert_eq!(renamed.code, Some(0), "{}{}", renamed.stdout, renamed.stderr);
    let other = check(original.replace("EUR(100)", "EUR(200)")).await;
    assert_eq!(other.code, Some(1), "{}{}", other.stdout, other.stderr);
    assert!(
        other
            .stdout
            .contains("`bank.sweep`, is now called with other arguments"),
        "{}",
        other.stdout
    );
    let longer = check(original.clone() + "\nlog::info(\"that is all\");\n").await;
    assert_eq!(longer.code, Some(1), "{}{}", longer.stdout, longer.stderr);
    assert!(longer.stdout.contains("go on with step"), "{}", longer.stdout);
    let shorter = check("let nothing = 1;\n".to_owned()).await;
    assert_eq!(shorter.code, Some(1), "{}{}", shorter.stdout, shorter.stderr);
    assert!(shorter.stdout.contains("which its journal has"), "{}", shorter.stdout);
    let broken = check("let x = totl;".to_owned()).await;
    assert_eq!(broken.code, Some(1), "{}{}", broken.stdout, broken.stderr);

    assert_eq!(site.bank.control.effects().len(), effects, "a rehearsal moves nothing");
    assert_eq!(site.bank.control.requests(), requests, "a rehearsal asks nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_is_rehearsed_up_to_where_it_stands() {
    let mut site = Site::new(SimulatorConfig::demo()).await;
    let manifest = "name = \"probe\"\nsummary = \"Waits.\"\nscript = \"probe.rhai\"\nuses = []\n";
    fs::write(site.path("workflows/probe.toml"), manifest).expect("written");
    let script = site.path("scripts/probe.rhai");
    fs::write(&script, "log::info(\"one\"); sleep(\"1h\"); log::info(\"two\")").expect("written");
    site.start().await;
    let run = site.run("probe").await.run;
    until(site.store().await.as_ref(), run, |run| run.state == RunState::Waiting).await;

    let after = "log::info(\"one\"); sleep(\"1h\"); log::info(\"three\")";
    fs::write(&script, after).expect("written");
    let same = site.command(&["workflows", "verify", "probe"]).await;
    assert_eq!(
        same.code,
        Some(0),
        "what comes later may differ: {}{}",
        same.stdout,
        same.stderr
    );
    let before = "log::info(\"uno\"); sleep(\"1h\"); log::info(\"two\")";
    fs::write(&script, before).expect("written");
    let other = site.command(&["workflows", "verify", "probe"]).await;
    assert_eq!(other.code, Some(1), "{}{}", other.stdout, other.stderr);
    assert!(other.stdout.contains("step 1"), "{}", other.stdout);
    assert!(site.stop().await.success());
}

//! A script edited under a thousand runs that are half way: each ends on the text it began with, and the new text is
//! known not to fit any of them.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bursar::app;
use bursar::app::sample::{LocalBank, write_folder};
use bursar::app::settings::{self, Overrides, Secrets};
use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::RunId;
use bursar::catalog::watch::Catalog;
use bursar::engine::rehearsal::{Rehearsed, Rehearser};
use bursar::engine::services::{Parts, Services};
use bursar::model::journal::Journal;
use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use bursar::store::{RunQuery, Store};
use bursar::trigger::manual::{Request, start};
use bursar::trigger::versions::KnownVersions;
use serde_json::json;

use crate::support::real_time::{Patience, pause};
use crate::support::{World, audit_store, number, report};

const MANIFEST: &str = "name = \"probe\"\nsummary = \"Pays.\"\nscript = \"probe.rhai\"\nuses = [\"bank\"]\n";

/// Half way it waits for an hour; what it says before and pays after tells which text it is.
fn script(word: &str, cents: u32) -> String {
    format!(
        "log::info(\"{word}\");\n\
         sleep(\"1h\");\n\
         let from = bank::accounts(#{{ label: \"Operating DE\" }})[0].id;\n\
         let to = bank::accounts(#{{ label: \"Treasury EUR\" }})[0].id;\n\
         bank::payout(#{{ from: from, to: to, amount: EUR(0.{cents:02}), reference: \"{word}\" }});\n\
         \"{word}\"\n"
    )
}

/// Waits until no run is in one of these states.
async fn none_is(store: &dyn Store, states: &[RunState]) {
    let patience = Patience::new(Duration::from_secs(300));
    let query = RunQuery {
        states: states.to_vec(),
        limit: 1,
        ..RunQuery::default()
    };
    while !store.runs(query.clone()).await.expect("listed").is_empty() {
        assert!(!patience.is_over(), "runs stay {states:?}");
        pause(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_live_runs_end_on_the_text_they_began_with() {
    let live = usize::try_from(number("BURSAR_LIVE_RUNS", 1_000)).expect("few");
    let clock = ManualClock::new(SystemClock::new().now());
    let world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    let folder = tempfile::tempdir().expect("a folder");
    let bank = LocalBank {
        url: world.simulator.url(),
        api_key: "sandbox.demo-key".to_owned(),
        webhook_secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
    };
    write_folder(folder.path(), &bank, "").expect("the folder is written");
    let text = folder.path().join("scripts/probe.rhai");
    fs::write(folder.path().join("workflows/probe.toml"), MANIFEST).expect("written");
    fs::write(&text, script("old", 1)).expect("written");
    let overrides = Overrides {
        config: Some(folder.path().join("bursar.toml")),
        ..Overrides::default()
    };
    let settings = settings::load(&overrides, Secrets::Needed).expect("the settings");
    let catalog = Catalog::open(app::folders(&settings), app::context(&settings));
    let versions = KnownVersions::new();
    let store = world.store().await;
    let begin = async |count: usize| {
        let snapshot = catalog.current();
        let workflow = snapshot.workflow("probe").expect("it is loaded");
        let mut runs: Vec<RunId> = Vec::with_capacity(count);
        for _ in 0..count {
            let request = Request {
                actor: "tess".to_owned(),
                ..Request::default()
            };
            let run = start(store.as_ref(), &versions, workflow, request, clock.now()).await;
            runs.push(run.expect("begun").run);
        }
        world.wake.nudge();
        runs
    };
    let engine = world.engine(store.clone()).await;
    let old = begin(live).await;
    none_is(store.as_ref(), &[RunState::Queued, RunState::Running]).await;

    // Edited while all of them wait; then edited once more, into something that is wrong.
    fs::write(&text, script("new", 2)).expect("written");
    let edited = catalog.reload_now();
    let edited = edited.workflow("probe").expect("loaded").version.clone();
    let new = begin(live / 10).await;
    fs::write(&text, "let x = totl;").expect("written");
    assert!(catalog.reload_now().has_errors(), "the fault is seen");
    let new = [new, begin(live / 10).await].concat();
    none_is(store.as_ref(), &[RunState::Queued, RunState::Running]).await;
    engine.stop().await;

    // The new text parts from every journal at its first step.
    let mut half_way = Vec::new();
    for id in &old {
        let run = store.run(*id).await.expect("read").expect("there");
        assert_ne!(run.version, edited.digest);
        let records = store.journal(*id).await.expect("read");
        half_way.push((run, Journal::from_records(records).expect("legal")));
    }
    let parts = Parts {
        store: store.clone(),
        clock: world.clock.clone(),
        client: world.client.clone(),
        connections: world.connections.clone(),
        wake: world.wake.clone(),
        settings: world.settings.clone(),
    };
    let services = Arc::new(Services::new(parts).await.expect("the store answers"));
    let edited = Arc::new(edited);
    let rehearse = move || {
        let mut rehearser = Rehearser::new(services);
        let rehearsed = half_way
            .into_iter()
            .map(|(run, journal)| rehearser.rehearse(&edited, &run, journal));
        rehearsed
            .filter(|said| matches!(said, Rehearsed::Diverges(message) if message.contains("step 1")))
            .count()
    };
    let thread = bursar::script::spawn_script_thread("rehearsal", rehearse).expect("a thread");
    let halted = tokio::task::spawn_blocking(|| thread.join()).await.expect("it ends");
    assert_eq!(halted.expect("no panic"), live, "an edit that does not fit is halted");

    // Another process drives them on.
    clock.advance(Duration::from_secs(3_700));
    let engine = world.engine(store.clone()).await;
    let open = [RunState::Queued, RunState::Running, RunState::Waiting];
    none_is(store.as_ref(), &open).await;
    engine.stop().await;
    for (runs, word) in [(&old, "old"), (&new, "new")] {
        for id in runs {
            let run = store.run(*id).await.expect("read").expect("there");
            assert_eq!(run.result, Some(json!(word)), "{:?}", run.error);
        }
    }
    let audit = audit_store(store.as_ref(), &world.simulator).await;
    assert!(audit.is_exact() && audit.paid() == old.len() + new.len(), "{audit}");
    let cents = old.len() + 2 * new.len();
    let paid = format!("ledger EUR {}.{:02} =", cents / 100, cents % 100);
    assert!(audit.to_string().contains(&paid), "{paid} {audit}");
    store.close().await.expect("closed");
    report(&format!(
        "{live} live runs under an edit: {live} ended on the text they began with, {live} times the new text was found not \
         to fit"
    ));
}

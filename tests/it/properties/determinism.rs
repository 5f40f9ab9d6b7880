//! The same journal gives the same decisions: every step asked for again, byte for byte, and the same end.
//!
//! A rehearsal compares each step's name and arguments with what was recorded, and the result; it sends nothing and
//! writes nothing. Here it is repeated over recorded runs of random scripts.

use std::sync::Arc;

use bursar::base::ids::{Digest, WorkerId};
use bursar::connector::client::Client;
use bursar::engine::rehearsal::{Rehearsed, Rehearser};
use bursar::engine::services::{Parts, Services};
use bursar::model::journal::Journal;
use bursar::model::run::RunState;
use bursar::model::workflow::Version;
use bursar::store::RunQuery;
use chrono::TimeDelta;
use serde_json::json;

use super::Figure;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, settings, version};

/// Pieces of a script: steps, loops over maps and lists, failures that are caught, arithmetic on what was recorded.
const PIECES: [&str; 12] = [
    "let id = uuid(); out.push(id);",
    "out.push(`${now()}`);",
    "state::set(\"k@\", out.len()); out.push(state::get(\"k@\"));",
    "for key in #{ b: 1, a: 2, c: uuid() }.keys() { log::info(key); out.push(key); }",
    "try { throw \"no@\"; } catch (e) { out.push(`${e}`); log::warn(\"caught\"); }",
    "try { EUR(1) + USD(1); } catch (e) { out.push(e.error); }",
    "for part in EUR(100).allocate([1, 1, 1]) { out.push(`${part}`); log::info(`${part}`); }",
    "let map = #{}; for word in [\"z\", \"m\", \"a\"] { map[word] = uuid(); } out.push(`${map}`);",
    "out.push([3, 1, @].sort().len()); state::set(\"last\", @);",
    "fn twice(x) { x * 2 } out.push(twice(@)); log::info(`${twice(@)}`);",
    "out.push(`${today(\"Europe/Berlin\")}`);",
    "if uuid() > \"8\" { log::info(\"upper\"); out.push(uuid()); } else { out.push(1.5 * @); }",
];

fn any_script(random: &mut fastrand::Rng) -> String {
    let mut script = String::from("let out = [];\n");
    let mut functions = 0;
    for _ in 0..random.usize(2..=6) {
        let mut piece = PIECES[random.usize(..PIECES.len())].replace('@', &random.u8(..).to_string());
        if piece.starts_with("fn ") {
            // Each function of a script has a name of its own.
            piece = piece.replace("twice", &format!("twice_{functions}"));
            functions += 1;
        }
        script.push_str(&piece);
        script.push('\n');
    }
    if random.u8(..10) == 0 {
        script.push_str("throw `the end ${uuid()}`;");
    }
    script.push_str("\nout");
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_journal_gives_the_same_decisions_every_time() {
    let figure = Figure::of(10_000, 100_000);
    let world = World::demo().await;
    let store = world.store().await;
    let mut versions: Vec<Arc<Version>> = Vec::new();
    // Scripts are fewer than runs: a run differs from another of its script by what was recorded.
    for number in 0..figure.cases / 20 {
        let text = any_script(&mut figure.random(number));
        let version = version(&[("main.rhai", &text)]);
        store.save_version(version.clone()).await.expect("kept");
        versions.push(Arc::new(version));
    }
    let engine = world.engine(store.clone()).await;
    for number in 0..figure.cases {
        let version = versions[number % versions.len()].as_ref().clone();
        world
            .start_version(store.as_ref(), version, json!({"n": number}), json!({}))
            .await;
    }
    let patience = Patience::new(std::time::Duration::from_secs(600));
    let states = vec![RunState::Queued, RunState::Running, RunState::Waiting];
    let open = RunQuery {
        states,
        limit: 1,
        ..RunQuery::default()
    };
    while !store.runs(open.clone()).await.expect("listed").is_empty() {
        assert!(!patience.is_over(), "seed {}", figure.seed);
        pause(std::time::Duration::from_millis(10)).await;
    }
    engine.stop().await;
    let all = RunQuery {
        limit: u32::try_from(figure.cases).expect("small"),
        ..RunQuery::default()
    };
    let mut recorded = Vec::new();
    for run in store.runs(all).await.expect("listed") {
        assert!(run.state.is_final(), "{:?}", run.error);
        let records = store.journal(run.id).await.expect("read");
        recorded.push((run, Journal::from_records(records).expect("legal")));
    }
    assert_eq!(recorded.len(), figure.cases);

    let parts = Parts {
        store: store.clone(),
        clock: world.clock.clone(),
        client: Client::new().expect("a client"),
        connections: world.connections.clone(),
        wake: world.wake.clone(),
        settings: settings(),
    };
    let services = Arc::new(Services::new(parts).await.expect("the store answers"));
    let recorded = Arc::new(recorded);
    let by_digest: std::collections::HashMap<Digest, Arc<Version>> = versions
        .iter()
        .map(|version| (version.digest, version.clone()))
        .collect();
    let by_digest = Arc::new(by_digest);
    let threads: Vec<_> = (0..2)
        .map(|part| {
            let (services, recorded, versions) = (services.clone(), recorded.clone(), by_digest.clone());
            let work = move || {
                let mut steps = 0;
                let mut rehearser = Rehearser::new(services);
                for (run, journal) in recorded.iter().skip(part).step_by(2) {
                    steps += journal.len();
                    for _ in 0..3 {
                        let said = rehearser.rehearse(&versions[&run.version], run, journal.clone());
                        assert_eq!(
                            said,
                            Rehearsed::Same,
                            "{}: {:?}",
                            run.id,
                            versions[&run.version].sources
                        );
                    }
                }
                steps
            };
            bursar::script::spawn_script_thread("rehearsal", work).expect("a thread")
        })
        .collect();
    let steps: usize = threads
        .into_iter()
        .map(|thread| thread.join().expect("no run differs"))
        .sum();
    let requests = world.simulator.control.requests();
    assert!(requests.is_empty(), "a replay asks the provider nothing: {requests:?}");
    // A lease of nobody: nothing was written either.
    let now = world.clock.now();
    let worker = WorkerId::generate(now);
    let claims = store.claim(worker, now, now + TimeDelta::minutes(1), 10).await;
    assert!(claims.expect("asked").is_empty());
    store.close().await.expect("closed");
    figure.report(&format!(
        "runs of {} scripts with {steps} steps, replayed 3 times",
        versions.len()
    ));
}

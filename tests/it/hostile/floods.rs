//! Floods of host functions on the real engine, and the honest runs that go on beside them.

use std::time::Duration;

use bursar::engine::services::EngineSettings;
use bursar::model::run::RunState;
use bursar::script::Budget;
use serde_json::json;

use super::texts::read;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, settings};

/// A run that is no attack. It takes milliseconds when it is alone.
const HONEST: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let total = EUR(0);
    for i in 0..200 { total += EUR(0.01) * i; }
    log::info(`${bank::balance(from)} ${total}`);
"#;
/// Two seconds after its time is over.
const FLOOD_WITHIN: Duration = Duration::from_millis(2_400);
const HONEST_WITHIN: Duration = Duration::from_secs(3);

/// What became of them.
pub(super) struct Flooded {
    pub(super) scripts: usize,
    pub(super) honest: String,
    pub(super) wrong: Vec<String>,
}

/// Runs every flood one after the other, and honest runs until all is done that `others_are_done` tells of.
pub(super) async fn run_beside(others_are_done: impl Fn() -> bool) -> Flooded {
    let world = World::demo().await;
    let store = world.store().await;
    let settings = EngineSettings {
        runs_max: 2,
        budget: Budget {
            compute: Duration::from_millis(400),
            ..Budget::default()
        },
        ..settings()
    };
    let engine = world.engine_with(store.clone(), settings).await;
    let mut wrong = Vec::new();
    let mut honest = Vec::new();
    let mut floods = read("floods").into_iter();
    let scripts = floods.len();
    let params = json!({"large": "x".repeat(100_000)});
    let mut under_way = None;
    loop {
        let due = match under_way.take() {
            None => true,
            Some((name, id, patience)) => {
                let run = store.run(id).await.expect("it answers").expect("it is there");
                let patience: Patience = patience;
                if run.state.is_final() {
                    let error = run.error.map(|error| (error.code, error.trace));
                    let told = matches!(&error, Some((_, trace)) if trace.iter().any(|frame| super::is_place(frame)));
                    if run.state != RunState::Failed || !told {
                        wrong.push(format!("{name}: ended as {}: {error:?}", run.state));
                    }
                    true
                } else if patience.is_over() {
                    wrong.push(format!("{name}: still {} after {:?}", run.state, FLOOD_WITHIN));
                    true
                } else {
                    under_way = Some((name, id, patience));
                    false
                }
            }
        };
        if due {
            match floods.next() {
                Some(flood) => {
                    let (_, text) = flood.files.first().expect("a main file");
                    let id = world.start(store.as_ref(), text, json!({}), params.clone()).await;
                    under_way = Some((flood.name, id, Patience::new(FLOOD_WITHIN)));
                }
                None if others_are_done() => break,
                None => {}
            }
        }
        let began = world.clock.elapsed();
        let id = world.start(store.as_ref(), HONEST, json!({}), json!({})).await;
        let patience = Patience::new(HONEST_WITHIN);
        loop {
            let run = store.run(id).await.expect("it answers").expect("it is there");
            if run.state.is_final() || patience.is_over() {
                let took = world.clock.elapsed() - began;
                if run.state != RunState::Succeeded {
                    wrong.push(format!(
                        "an honest run is {} after {took:?}: {:?}",
                        run.state, run.error
                    ));
                }
                honest.push(took);
                break;
            }
            pause(Duration::from_millis(2)).await;
        }
    }
    engine.stop().await;
    store.close().await.expect("it closes");
    let slowest = honest.iter().max().copied().unwrap_or_default();
    Flooded {
        scripts,
        honest: format!("{} honest runs beside them, each within {slowest:.1?}", honest.len()),
        wrong,
    }
}

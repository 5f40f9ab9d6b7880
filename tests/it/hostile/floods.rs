//! Floods of host functions on the real engine, and the honest runs that go on beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use bursar::engine::services::EngineSettings;
use bursar::model::run::RunState;
use bursar::script::Budget;
use serde_json::json;

use super::texts::read;
use crate::support::real_time::{Patience, pause};
use crate::support::{World, computed, settings};

/// A run that is no attack. It takes milliseconds when it is alone.
const HONEST: &str = r#"
    let from = bank::accounts(#{ label: "Operating DE" })[0].id;
    let total = EUR(0);
    for i in 0..200 { total += EUR(0.01) * i; }
    log::info(`${bank::balance(from)} ${total}`);
"#;
/// Two seconds after its time is over, in time of the processor where the system tells.
const FLOOD_WITHIN: Duration = Duration::from_millis(2_400);
/// By the clock on the wall: the machine may be busy with other things as well.
const AT_ALL_WITHIN: Duration = Duration::from_secs(30);

/// How long the engine may still be busy with a flood.
struct Watch {
    computed_before: BTreeMap<String, Duration>,
    patience: Patience,
}

impl Watch {
    fn new() -> Self {
        let computed_before = computed::by("script-");
        let limit = if computed_before.is_empty() {
            FLOOD_WITHIN
        } else {
            AT_ALL_WITHIN
        };
        Self {
            computed_before,
            patience: Patience::new(limit),
        }
    }

    fn is_over(&self) -> bool {
        let now = computed::by("script-");
        let since = |(thread, before): (&String, &Duration)| now.get(thread).map(|now| now.saturating_sub(*before));
        let busiest = self.computed_before.iter().filter_map(since).max();
        busiest.is_some_and(|busiest| busiest > FLOOD_WITHIN) || self.patience.is_over()
    }
}

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
            Some((name, id, watch)) => {
                let run = store.run(id).await.expect("it answers").expect("it is there");
                let watch: Watch = watch;
                if run.state.is_final() {
                    let error = run.error.map(|error| (error.code, error.trace));
                    let told = matches!(&error, Some((_, trace)) if trace.iter().any(|frame| super::is_place(frame)));
                    if run.state != RunState::Failed || !told {
                        wrong.push(format!("{name}: ended as {}: {error:?}", run.state));
                    }
                    true
                } else if watch.is_over() {
                    wrong.push(format!("{name}: still {} after {:?}", run.state, FLOOD_WITHIN));
                    true
                } else {
                    under_way = Some((name, id, watch));
                    false
                }
            }
        };
        if due {
            match floods.next() {
                Some(flood) => {
                    let (_, text) = flood.files.first().expect("a main file");
                    let id = world.start(store.as_ref(), text, json!({}), params.clone()).await;
                    under_way = Some((flood.name, id, Watch::new()));
                }
                None if others_are_done() => break,
                None => {}
            }
        }
        let began = world.clock.elapsed();
        let id = world.start(store.as_ref(), HONEST, json!({}), json!({})).await;
        let patience = Patience::new(AT_ALL_WITHIN);
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

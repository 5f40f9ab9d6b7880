//! What the pinned version of the interpreter really does: one case for each trap, and beside it what the
//! script room makes of it. Run on every upgrade; a case that turns red is a remedy to look at again.
//!
//! The bare engine stands for "without us"; [`ours`] and its kin run on the product's interpreter.
#![expect(clippy::unwrap_used, reason = "a test says what it needs by stopping")]

mod errors;
mod numbers;
mod structure;

use bursar::script::Ran;
use rhai::packages::{Package as _, StandardPackage};
use rhai::{Dynamic, Engine, EvalAltResult, OptimizationLevel, Position};

use super::scripts::rig;

/// The interpreter as it comes, without anything of ours.
fn bare() -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(StandardPackage::new().as_shared_module());
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_max_call_levels(8);
    engine.register_fn("suspend", || -> Result<Dynamic, Box<EvalAltResult>> {
        Err(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE).into())
    });
    engine
}

/// What the bare engine makes of a script, or the name of its error.
fn theirs(script: &str) -> String {
    match bare().eval::<Dynamic>(script) {
        Ok(value) => value.to_string(),
        Err(error) => format!("{:?}", error.unwrap_inner())
            .split(['(', ' '])
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// What our interpreter makes of it, or the code of its failure.
fn ours(script: &str) -> String {
    match rig::run(script).ran {
        Ran::Finished(value) => value.to_string(),
        Ran::Failed(error) => error.code,
        Ran::Interrupted => "interrupted".to_owned(),
        Ran::Panicked => "panicked".to_owned(),
        Ran::Exhausted { limit, .. } => format!("{limit:?}"),
    }
}

/// One trap: what happens without us, and with us.
#[track_caller]
fn trap(script: &str, bare: &str, with_us: &str) {
    assert_eq!(theirs(script), bare, "the bare interpreter: {script}");
    assert_eq!(ours(script), with_us, "ours: {script}");
}

//! A valid call of each operation, and what has to be there at the bank first. The only part of the matrix that is
//! written by hand: what the tables say stands in no scene.

mod augustus;
mod ivy;
mod payaut;
mod payments;

use serde_json::Value as Json;

use crate::app::AppError;
use crate::simulator::config::ivy::IvyConfig;
use crate::simulator::config::payaut::{OverRefund, PayautConfig};
use crate::simulator::config::payments::PaymentsConfig;
use crate::simulator::config::{DuplicateReturn, SimulatorConfig};
use crate::simulator::control::{Control, ControlError};

/// A provider with what the calls need.
pub(super) struct Scene {
    /// The name of its table, under which scripts call it.
    pub(super) provider: &'static str,
    /// What lets calls in.
    pub(super) credential: &'static str,
    /// What the connection says: `[connection.X.settings]`.
    pub(super) settings: fn(&Control) -> Vec<(&'static str, String)>,
    /// What the bank itself does first; what it tells is the `params` of the next.
    pub(super) prepare: fn(&Control) -> Result<Json, ControlError>,
    /// A script that makes what the calls need; what it tells is the `params` of each call.
    pub(super) set_up: &'static str,
    /// What the bank does with that.
    pub(super) complete: fn(&Control, &Json) -> Result<(), ControlError>,
    /// The calls.
    pub(super) calls: &'static [Valid],
}

/// A valid call of an operation.
#[derive(Debug)]
pub(super) struct Valid {
    pub(super) endpoint: &'static str,
    /// The script.
    pub(super) call: &'static str,
    pub(super) counted: Counted,
}

/// How it is counted what a call did. Amounts differ within a scene, so that nothing is taken for another's.
#[derive(Debug, Clone, Copy)]
pub(super) enum Counted {
    /// What it made, by kind and amount.
    Effect(&'static str, Amount),
    /// The movement of the ledger that it led to, by its step and amount.
    Movement(&'static str, Amount),
    /// It moves nothing: how often the bank did it.
    Answered,
}

/// A number and a currency.
pub(super) type Amount = (&'static str, &'static str);

pub(super) const SCENES: [Scene; 4] = [augustus::SCENE, ivy::SCENE, payaut::SCENE, payments::SCENE];

fn nothing_said(_: &Control) -> Vec<(&'static str, String)> {
    Vec::new()
}

fn nothing_more(_: &Control, _: &Json) -> Result<(), ControlError> {
    Ok(())
}

fn account(control: &Control, label: &str) -> Result<String, ControlError> {
    let account = control.account(label).map(|id| id.to_string());
    account.ok_or_else(|| ControlError::NotFound(format!("account `{label}`")))
}

/// The settings of a bank with all providers, which does twice whatever it is asked twice.
pub(super) fn bank() -> SimulatorConfig {
    SimulatorConfig {
        ivy: ivy::config(IvyConfig::demo()),
        payments: PaymentsConfig::demo(),
        payaut: PayautConfig {
            over_refund: OverRefund::Accept,
            ..PayautConfig::demo()
        },
        duplicate_return: DuplicateReturn::New,
        ..SimulatorConfig::demo()
    }
}

/// The script that sets all scenes up at once.
pub(super) fn set_up() -> String {
    let scenes = SCENES
        .iter()
        .map(|scene| format!("{}: {{ {} }}", scene.provider, scene.set_up));
    format!("#{{ {} }}", scenes.collect::<Vec<_>>().join(", "))
}

/// What the bank does first, by provider.
///
/// # Errors
/// When it cannot.
pub(super) fn prepare(control: &Control) -> Result<Json, AppError> {
    let failed = |error: ControlError| AppError::Other(error.to_string());
    let prepared = SCENES.iter().map(|scene| {
        let told = (scene.prepare)(control).map_err(failed)?;
        Ok((scene.provider.to_owned(), told))
    });
    prepared
        .collect::<Result<serde_json::Map<_, _>, AppError>>()
        .map(Json::Object)
}

/// What the bank does with what the scripts have made.
///
/// # Errors
/// When it cannot.
pub(super) fn complete(control: &Control, told: &Json) -> Result<(), AppError> {
    let failed = |error: ControlError| AppError::Other(error.to_string());
    let mut scenes = SCENES.iter();
    scenes.try_for_each(|scene| {
        (scene.complete)(control, told.get(scene.provider).unwrap_or(&Json::Null)).map_err(failed)
    })
}

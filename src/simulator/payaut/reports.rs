//! Reports: asked for, made later. What stands in them is documented by its columns alone, so nothing does.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::accounts;
use super::wire::{Feed, code, days, text, time};
use crate::base::clock::Instant;
use crate::simulator::contract::Call;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

const KINDS: [&str; 4] = [
    "marketplace-sellers",
    "marketplace-payments",
    "marketplace-settlement",
    "seller-settlement",
];

#[derive(Debug)]
pub(crate) struct Report {
    id: Uuid,
    kind: &'static str,
    account: Uuid,
    ready: bool,
    created_at: Instant,
}

impl Report {
    /// Only the first status is documented.
    pub(crate) fn to_json(&self, world: &World) -> Json {
        let account = world.payaut.accounts.get(self.account);
        json!({
            "id": self.id,
            "report": self.kind,
            "status": if self.ready { "READY" } else { "SCHEDULED" },
            "url": self.ready.then(|| format!("https://reports.payaut.example/{}", self.id)),
            "createdAt": time(self.created_at),
            "account": account.map(|account| json!({
                "id": code(account.id),
                "name": account.display_name,
                "type": "DEFAULT",
            })),
        })
    }
}

fn kind(call: &Call) -> Result<&'static str, Refusal> {
    let named = call.path.first().map_or("", String::as_str);
    let known = KINDS.into_iter().find(|kind| *kind == named);
    known.ok_or_else(|| Refusal::not_found("the report"))
}

/// The account that is named, or the division's own.
fn account(world: &World, named: Option<&str>) -> Result<Uuid, Refusal> {
    let Some(named) = named else {
        return Ok(world.payaut.liable);
    };
    let account = accounts::find(world, named).map(|account| account.id);
    account.ok_or_else(|| Refusal::not_found("the account"))
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let kind = kind(call)?;
    let feed = Feed::read(world, call)?;
    let named = text(call, "account")?;
    let meant = named.map(|named| account(world, Some(named))).transpose()?;
    let rows = world.payaut.reports.iter().filter(|report| {
        report.kind == kind && meant.is_none_or(|meant| meant == report.account) && feed.covers(report.created_at)
    });
    Ok(feed.page(rows.map(|report| report.to_json(world)).collect()))
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let kind = kind(call)?;
    let mut fields = call.fields();
    let named = fields.optional_text("account")?;
    let from = days(&mut fields, "from")?;
    let to = days(&mut fields, "to")?;
    fields.finish(world.core.config.payaut.unknown_parameters)?;
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(fields.invalid("from", "is not after to"));
    }
    let account = account(world, named)?;
    let report = Report {
        id: world.core.new_id(),
        kind,
        account,
        ready: false,
        created_at: world.core.now,
    };
    let (id, shown) = (report.id, report.to_json(world));
    let (now, elapsed) = (world.core.now, world.core.elapsed);
    world.payaut.reports.insert(id, now, elapsed, report);
    let delay_ms = world.core.config.payaut.lifecycle.report_ready_ms;
    world.core.plan_step(delay_ms, id, ready);
    Ok(shown)
}

fn ready(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let report = world.payaut.reports.get_mut(id).ok_or(StepError::NotFound)?;
    report.ready = true;
    Ok(())
}

/// Moves one to a status by name, as the control asks.
pub(super) fn advance(world: &mut World, id: Uuid, status: &str) -> Result<(), StepError> {
    match status {
        "READY" => ready(world, id),
        _ => Err(StepError::NoSuchStep),
    }
}

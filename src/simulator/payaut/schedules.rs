//! Payout schedules: of one account, of the division's own, and for all others. A scheduled payout takes the whole
//! payout balance. Their bodies are not documented; these fields are a proposal.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::accounts;
use super::payouts::{self, Asked};
use super::wire::{code, nothing, path_code};
use crate::base::money::Currency;
use crate::simulator::contract::Call;
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

/// How often, and how long that is.
const INTERVALS: [(&str, u64); 3] = [("DAILY", 1), ("WEEKLY", 7), ("MONTHLY", 30)];

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, Clone)]
struct Schedule {
    activated: bool,
    interval: &'static str,
    /// The least that is worth a payout, in smallest units.
    minimum: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            activated: false,
            interval: "DAILY",
            minimum: 0,
        }
    }
}

impl Schedule {
    fn every_ms(&self) -> u64 {
        let days = INTERVALS.iter().find(|(name, _)| *name == self.interval);
        days.map_or(DAY_MS, |(_, days)| days * DAY_MS)
    }

    fn to_json(&self) -> Json {
        json!({
            "isActivated": self.activated,
            "interval": self.interval,
            "minimumAmount": self.minimum,
        })
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    default: Schedule,
    /// By account; the division's own account is one of them.
    accounts: BTreeMap<Uuid, Schedule>,
    /// When each is due next (elapsed time); nil is the default's.
    due: BTreeMap<Uuid, Duration>,
}

impl Schedules {
    /// The one in force for an account.
    fn of(&self, account: Uuid, liable: Uuid) -> Schedule {
        match self.accounts.get(&account) {
            Some(own) => own.clone(),
            None if account == liable => Schedule::default(),
            None => self.default.clone(),
        }
    }
}

/// Pays out everything that can be, if it may be.
pub(super) fn pay_out(world: &mut World, account: Uuid) {
    let payaut = &world.payaut;
    let found = payaut.accounts.get(account);
    let euro = Currency::from_code("EUR").ok();
    let available = found
        .zip(euro)
        .and_then(|(found, euro)| accounts::available(world, found, euro));
    let external = payaut.externals.iter();
    let external = external.filter(|known| known.selected && Some(known.holder) == found.map(|found| found.holder));
    let external = external.map(|known| known.id).next();
    let Some((amount, external)) = available.filter(|amount| amount.is_positive()).zip(external) else {
        return;
    };
    let asked = Asked {
        account,
        external,
        amount,
        description: Some("Scheduled payout".to_owned()),
        process_at: world.core.now,
    };
    if payouts::check(world, &asked).is_ok() {
        let listed_from = world.core.listed_after(world.core.config.payaut.visibility_lag_ms);
        // It was looked at above whether the balance reaches.
        drop(payouts::make(world, asked, (listed_from, None)));
    }
}

/// The time of a schedule has come; of the default, for everybody without one of their own.
fn tick(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let liable = world.payaut.liable;
    let due = world.payaut.schedules.due.get(&id).copied();
    if due.is_none_or(|due| world.core.elapsed < due) {
        return Err(StepError::Illegal("not due"));
    }
    let all: Vec<Uuid> = if id.is_nil() {
        let others = world.payaut.accounts.iter().map(|account| account.id);
        let schedules = &world.payaut.schedules;
        others
            .filter(|id| *id != liable && !schedules.accounts.contains_key(id))
            .collect()
    } else {
        vec![id]
    };
    for account in all {
        let schedule = world.payaut.schedules.of(account, liable);
        let found = world.payaut.accounts.get(account);
        let euro = Currency::from_code("EUR").ok();
        let available = found
            .zip(euro)
            .and_then(|(found, euro)| accounts::available(world, found, euro));
        let units = available.and_then(|amount| super::wire::units(amount).as_u64());
        if schedule.activated && units.is_some_and(|units| units >= schedule.minimum) {
            pay_out(world, account);
        }
    }
    plan(world, id);
    Ok(())
}

/// Plans the next time, if there is one.
fn plan(world: &mut World, id: Uuid) {
    let schedules = &world.payaut.schedules;
    let schedule = if id.is_nil() {
        schedules.default.clone()
    } else {
        schedules.of(id, world.payaut.liable)
    };
    world.payaut.schedules.due.remove(&id);
    if schedule.activated {
        let due = world.core.listed_after(schedule.every_ms());
        world.payaut.schedules.due.insert(id, due);
        world.core.plan_step(schedule.every_ms(), id, tick);
    }
}

/// Lays what was sent over what there is.
fn read(world: &World, call: &Call, before: &Schedule) -> Result<Schedule, Refusal> {
    let mut fields = call.fields();
    let names = INTERVALS.map(|(name, _)| name);
    let interval = fields.optional_one_of("interval", &names)?;
    let interval = names.into_iter().find(|name| Some(*name) == interval);
    let schedule = Schedule {
        activated: fields.optional_bool("isActivated")?.unwrap_or(before.activated),
        interval: interval.unwrap_or(before.interval),
        minimum: fields
            .optional_count("minimumAmount", 0, i64::MAX.unsigned_abs())?
            .unwrap_or(before.minimum),
    };
    fields.finish(world.core.config.payaut.unknown_parameters)?;
    Ok(schedule)
}

fn show(world: &World, account: Uuid) -> Json {
    let mut shown = world.payaut.schedules.of(account, world.payaut.liable).to_json();
    shown["accountCode"] = json!(code(account));
    shown
}

fn account(world: &World, call: &Call) -> Result<Uuid, Refusal> {
    let id = path_code(call, 0, "the account")?;
    let account = world.payaut.accounts.get(id).map(|account| account.id);
    account.ok_or_else(|| Refusal::not_found("the account"))
}

fn put(world: &mut World, call: &Call, account: Uuid) -> Result<Json, Refusal> {
    let before = world.payaut.schedules.of(account, world.payaut.liable);
    let schedule = read(world, call, &before)?;
    world.payaut.schedules.accounts.insert(account, schedule);
    plan(world, account);
    Ok(show(world, account))
}

// --- operations ---------------------------------------------------------------------------------

pub(super) fn of_account(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let account = account(world, call)?;
    Ok(show(world, account))
}

pub(super) fn put_account(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let account = account(world, call)?;
    put(world, call, account)
}

/// The account has the default again.
pub(super) fn delete_account(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let account = account(world, call)?;
    world.payaut.schedules.accounts.remove(&account);
    world.payaut.schedules.due.remove(&account);
    Ok(nothing(world))
}

pub(super) fn of_division(world: &mut World, _call: &Call) -> Result<Json, Refusal> {
    Ok(show(world, world.payaut.liable))
}

pub(super) fn put_division(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let own = world.payaut.liable;
    put(world, call, own)
}

pub(super) fn of_all(world: &mut World, _call: &Call) -> Result<Json, Refusal> {
    Ok(world.payaut.schedules.default.to_json())
}

pub(super) fn put_all(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let before = world.payaut.schedules.default.clone();
    world.payaut.schedules.default = read(world, call, &before)?;
    plan(world, Uuid::nil());
    Ok(world.payaut.schedules.default.to_json())
}

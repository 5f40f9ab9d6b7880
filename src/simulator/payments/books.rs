//! The ledger accounts of merchants: every movement leaves a line, first pending, then settled, then in a payout.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::charges;
use super::config::PayoutUnderWay;
use super::disputes;
use super::external;
use super::payouts::Payout;
use super::refunds;
use super::wire::{
    Cents, Entity, Search, bound, cents, dollar, list, listed_from, named, optional_time, tagged, time, time_or_null,
    usd,
};
use crate::base::clock::Instant;
use crate::base::money::Money;
use crate::simulator::contract::Call;
use crate::simulator::core::Core;
use crate::simulator::core::fields::Fields;
use crate::simulator::core::ledger::{LedgerError, Place};
use crate::simulator::core::refusal::Refusal;
use crate::simulator::core::timeline::StepError;
use crate::simulator::world::World;

/// Of what a line is. The reference has sixteen; the others are never made here.
pub(crate) const SOURCE_TYPES: [&str; 16] = [
    "adjustment",
    "checkout_session",
    "dispute",
    "fee",
    "fee_refund",
    "funding",
    "payment",
    "payment_intent",
    "payment_method",
    "payment_refund",
    "payout",
    "refund",
    "refund_failure",
    "transfer",
    "transfer_refund",
    "reversal",
];

/// One line of a ledger account.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
    /// Above zero is the merchant's, below zero was.
    pub(crate) amount: Cents,
    pub(crate) source: Source,
    pub(crate) settled_at: Option<Instant>,
    settlement: Option<Uuid>,
    pub(crate) payout: Option<Uuid>,
    created_at: Instant,
    updated_at: Instant,
}

/// What a line is of.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    pub(crate) shown_id: String,
    pub(crate) description: &'static str,
}

impl Source {
    pub(crate) fn of<T: Entity>(kind: &'static str, entity: &T, description: &'static str) -> Self {
        Self {
            kind,
            id: entity.id(),
            shown_id: entity.shown_id(),
            description,
        }
    }
}

impl Entity for Line {
    const PREFIX: &'static str = "txn";
    const WHAT: &'static str = "the transaction";

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account
    }
}

impl Line {
    fn new(core: &mut Core, account: Uuid, amount: Cents, source: Source) -> Self {
        Self {
            id: core.new_id(),
            account,
            amount,
            source,
            settled_at: None,
            settlement: None,
            payout: None,
            created_at: core.now,
            updated_at: core.now,
        }
    }

    /// Money that came from elsewhere, settled at once.
    pub(crate) fn funding(core: &mut Core, account: Uuid, amount: Money, description: &'static str) -> Self {
        let source = Source {
            kind: "funding",
            id: account,
            shown_id: tagged("acct", account),
            description,
        };
        let mut line = Self::new(core, account, cents(amount), source);
        line.settled_at = Some(core.now);
        line
    }

    fn status(&self) -> &'static str {
        if self.settled_at.is_some() {
            "settled"
        } else {
            "unsettled"
        }
    }

    pub(crate) fn to_json(&self, world: &World) -> Json {
        let account = world.payments.accounts.get(self.account);
        json!({
            "id": self.shown_id(),
            "entity": "transaction",
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
            "ledger_account_id": account.map(|account| tagged("la", account.ledger)),
            "payout_id": self.payout.map(|id| tagged(Payout::PREFIX, id)),
            "bank_transfer_id": null,
            "source_type": self.source.kind,
            "source_id": self.source.shown_id,
            "source_account_id": tagged("acct", self.account),
            "amount": self.amount,
            "settlement_id": self.settlement.map(|id| tagged("stl", id)),
            "settlement_status": self.status(),
            "settled_at": time_or_null(self.settled_at),
            "description": self.source.description,
        })
    }
}

/// Which way money goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// To the merchant, from there.
    From(Place),
    /// From the merchant, to there.
    To(Place),
}

/// Moves money to or from what is pending, with the line that says so. Nothing moves nothing.
pub(crate) fn enter(
    world: &mut World,
    account: Uuid,
    (way, amount): (Way, Cents),
    (source, step, unlisted_ms): (Source, &'static str, u64),
) -> Result<(), LedgerError> {
    if amount == 0 {
        return Ok(());
    }
    let pending = Place::Unsettled(account);
    let (route, signed) = match way {
        Way::From(place) => ((place, pending), amount),
        Way::To(place) => ((pending, place), -amount),
    };
    let (now, cause) = (world.core.now, source.id);
    world.core.ledger.post(now, route, usd(amount), step, cause)?;
    let line = Line::new(&mut world.core, account, signed, source);
    let id = line.id;
    let from = listed_from(world, unlisted_ms);
    world.payments.lines.insert(id, now, from, line);
    if let Some(delay_ms) = world.core.config.payments.lifecycle.settlement_ms {
        world.core.plan_step(delay_ms, id, settles);
    }
    Ok(())
}

/// Moves settled money, with a line that is settled from the start.
pub(crate) fn enter_settled(
    world: &mut World,
    account: Uuid,
    (way, amount): (Way, Cents),
    (source, step): (Source, &'static str),
) -> Result<(), LedgerError> {
    if amount == 0 {
        return Ok(());
    }
    let settled = Place::Settled(account);
    let (route, signed) = match way {
        Way::From(place) => ((place, settled), amount),
        Way::To(place) => ((settled, place), -amount),
    };
    let (now, cause) = (world.core.now, source.id);
    world.core.ledger.post(now, route, usd(amount), step, cause)?;
    let mut line = Line::new(&mut world.core, account, signed, source);
    let id = line.id;
    line.settled_at = Some(now);
    line.settlement = Some(world.core.new_id());
    let from = listed_from(world, 0);
    world.payments.lines.insert(id, now, from, line);
    Ok(())
}

/// A line is settled, and with it what it is of.
pub(super) fn settles(world: &mut World, id: Uuid) -> Result<(), StepError> {
    let line = world.payments.lines.get(id).ok_or(StepError::NotFound)?;
    if line.settled_at.is_some() {
        return Err(StepError::Illegal("settled"));
    }
    let (account, amount, source) = (line.account, line.amount, line.source.clone());
    let (pending, settled) = (Place::Unsettled(account), Place::Settled(account));
    let route = if amount > 0 {
        (pending, settled)
    } else {
        (settled, pending)
    };
    let (now, settlement) = (world.core.now, world.core.new_id());
    world
        .core
        .ledger
        .post(now, route, usd(amount.abs()), "transaction.settled", id)?;
    if let Some(line) = world.payments.lines.get_mut(id) {
        line.settled_at = Some(now);
        line.settlement = Some(settlement);
        line.updated_at = now;
    }
    match source.kind {
        "payment" => charges::settled(world, source.id)?,
        "payment_refund" => refunds::settled(world, source.id),
        "dispute" => disputes::settled(world, source.id),
        _ => {}
    }
    Ok(())
}

/// Settles what is left of something, as the control asks.
pub(crate) fn settle_all_of(world: &mut World, source: Uuid) -> Result<(), StepError> {
    let open = |line: &&Line| line.source.id == source && line.settled_at.is_none();
    let lines: Vec<Uuid> = world.payments.lines.iter().filter(open).map(|line| line.id).collect();
    match lines.is_empty() {
        true => external::settles(world, source),
        false => lines.into_iter().try_for_each(|id| settles(world, id)),
    }
}

/// Puts lines into a payout, or out of any.
pub(crate) fn assign(world: &mut World, lines: &[Uuid], payout: Option<Uuid>) {
    let now = world.core.now;
    for id in lines {
        if let Some(line) = world.payments.lines.get_mut(*id) {
            line.payout = payout;
            line.updated_at = now;
        }
    }
}

// --- operations ---------------------------------------------------------------------------------

/// One object, of the account; of all that the caller sees where no account is named.
pub(super) fn balance(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let seen = |id: &Uuid| super::wire::sees(world, call.caller, *id);
    let accounts: Vec<Uuid> = world
        .payments
        .accounts
        .iter()
        .map(|account| account.id)
        .filter(seen)
        .collect();
    Ok(shown(world, &accounts))
}

/// What is pending and available on accounts.
pub(crate) fn shown(world: &World, accounts: &[Uuid]) -> Json {
    let held = |place: Place| cents(world.core.ledger.balance(place, dollar()));
    let under_way: Cents = world
        .payments
        .payouts
        .iter()
        .filter(|payout| accounts.contains(&payout.account))
        .map(|payout| held(Place::Reserved(payout.id)))
        .sum();
    let mut pending: Cents = accounts.iter().map(|account| held(Place::Unsettled(*account))).sum();
    let mut available: Cents = accounts.iter().map(|account| held(Place::Settled(*account))).sum();
    match world.core.config.payments.payout_under_way {
        PayoutUnderWay::Pending => pending += under_way,
        PayoutUnderWay::Available => available += under_way,
    }
    json!({ "currency": "USD", "pending": pending, "available": available })
}

pub(super) fn transactions(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let payout = call.query.one("payout_id")?;
    let of_payout = |line: &Line| {
        let shown = line.payout.map(|id| tagged(Payout::PREFIX, id));
        payout.is_none() || shown.as_deref() == payout
    };
    list(world, call, &world.payments.lines, of_payout, |line| {
        line.to_json(world)
    })
}

pub(super) fn transaction(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    named(world, &world.payments.lines, call).map(|line| line.to_json(world))
}

/// What a search keeps.
struct Filter<'a> {
    source_type: Option<&'a str>,
    settlement_status: Option<&'a str>,
    start: Option<Instant>,
    end: Option<Instant>,
    amount_min: Option<Cents>,
    amount_max: Option<Cents>,
}

impl<'a> Filter<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, Refusal> {
        Ok(Self {
            source_type: fields.optional_one_of("source_type", &SOURCE_TYPES)?,
            settlement_status: fields.optional_one_of("settlement_status", &["settled", "unsettled"])?,
            start: optional_time(fields, "start_date")?,
            end: optional_time(fields, "end_date")?,
            amount_min: bound(fields, "amount_min")?,
            amount_max: bound(fields, "amount_max")?,
        })
    }

    fn keeps(&self, line: &Line) -> bool {
        self.source_type.is_none_or(|kind| kind == line.source.kind)
            && self.settlement_status.is_none_or(|status| status == line.status())
            && self.start.is_none_or(|start| line.created_at >= start)
            && self.end.is_none_or(|end| line.created_at <= end)
            && self.amount_min.is_none_or(|min| line.amount >= min)
            && self.amount_max.is_none_or(|max| line.amount <= max)
    }
}

/// The three columns are not named in the reference; the usual one is.
const COLUMNS: [&str; 3] = ["updated_at", "created_at", "amount"];

pub(super) fn search(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    let filter = Filter::read(&mut fields)?;
    let search = Search::read(world, &mut fields, &COLUMNS, "updated_at", true)?;
    fields.finish(world.core.config.payments.unknown_parameters)?;
    let by = |line: &Line| match search.column {
        "amount" => line.amount,
        "created_at" => line.created_at.timestamp_millis(),
        _ => line.updated_at.timestamp_millis(),
    };
    let show = |line: &Line| line.to_json(world);
    Ok(search.page(
        world,
        call,
        &world.payments.lines,
        |line| filter.keeps(line),
        (by, show),
    ))
}

/// An empty object: what is downloaded, and as what, is not documented.
pub(super) fn download(world: &mut World, call: &Call) -> Result<Json, Refusal> {
    let mut fields = call.fields();
    Filter::read(&mut fields)?;
    Search::read(world, &mut fields, &COLUMNS, "updated_at", false)?;
    fields.finish(world.core.config.payments.unknown_parameters)?;
    Ok(json!({}))
}

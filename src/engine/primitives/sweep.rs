//! The primitive that sweeps: one account or several, one way or both. It reads positions, lets pure arithmetic decide,
//! and pays; a result always carries its reason.

use std::sync::Arc;

use super::args::{Args, invalid};
use super::moves::{Pay, Sent, TO, send_among, send_own};
use super::positions::{self, Stand, stand, stand_to_fill};
use super::{Body, Kind, Module, Primitive};
use crate::base::guard::{Guard, holds};
use crate::base::money::Money;
use crate::connector::connection::Connection;
use crate::engine::reserve::Decided;
use crate::engine::turn::Turn;
use crate::model::treasury::RuleError;
use crate::model::treasury::bounds::Bounds;
use crate::model::treasury::flow::{Direction, Flow, FlowRule, Shortage, flow};
use crate::model::treasury::position::Position;
use crate::model::treasury::several::{Claim, Giver, gather, serve};
use crate::model::treasury::sweep::{SweepForm, SweepRule};
use crate::model::value::{Map, Value};
use crate::script::Thrown;
use crate::store::ReservedMove;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Connection,
    name: "sweep",
    kind: Kind::Wait,
    params: &[
        (
            "#from",
            "the account's id; or a list of maps, each with a rule of its own",
        ),
        ("from[].account", "the account's id"),
        ("from[].priority?", "who gives first, the lowest number"),
        ("from[].keep?", "leave this much behind"),
        ("from[].target?", "bring this account down to this"),
        ("from[].threshold?", "below it nothing moves"),
        ("from[].percent?", "move this share"),
        ("from[].fixed?", "move exactly this much, or nothing"),
        ("from[].minimum?", "not worth moving less"),
        ("from[].maximum?", "never move more at once"),
        ("from[].multiple?", "move only whole multiples of this"),
        ("from[].holds?", "what is spoken for"),
        ("from[].in_flight?", "what was sent already"),
        ("from[].buffer?", "never moved, whatever the rule says"),
        ("to", TO),
        ("reference", "what the beneficiary reads"),
        ("keep?", "leave this much behind"),
        ("target?", "bring the account down to this"),
        (
            "threshold?",
            "below it nothing moves; at or above it everything, or all but `keep`",
        ),
        ("percent?", "move this share of what may be moved: 30 is 30 %"),
        ("fixed?", "move exactly this much, or nothing"),
        ("minimum?", "not worth moving less"),
        ("maximum?", "never move more at once"),
        ("multiple?", "move only whole multiples of this"),
        (
            "holds?",
            "what is spoken for though it counts as available: it is taken off first",
        ),
        (
            "in_flight?",
            "what was sent already and the balance does not show yet: it is taken off too, beside what bursar itself has begun and \
             knows no end of",
        ),
        (
            "buffer?",
            "never moved, whatever the rule says: it is taken off first, so that `keep`, `percent` and `deficit` count from what is \
             left",
        ),
        (
            "deficit?",
            "map: let money flow back from `to` (an account id) when `from` is short",
        ),
        ("deficit.to?", "fill it up to this, zero if not given"),
        ("deficit.below?", "it is short below this, `to` if not given"),
        ("deficit.minimum?", "not worth filling less"),
        ("deficit.maximum?", "never fill more at once"),
        ("deficit.multiple?", "fill whole multiples of this"),
        (
            "deficit.partial?",
            "take what there is if it is not enough; else nothing",
        ),
        (
            "deficit.floor?",
            "what `to` keeps: zero if not given, less than zero to use an overdraft",
        ),
        ("up_to?", "of several accounts: fill `to` up to this and take no more"),
        (
            "partial?",
            "of several accounts with `up_to`: take what there is if it is not enough; else nothing",
        ),
        (
            "arriving?",
            "what is on its way already to the account that is filled up (`from` with `deficit`, `to` with `up_to`), beside what \
             bursar itself has sent there and the provider does not say to have arrived",
        ),
        ("rail?", "a rail of the provider"),
        ("metadata?", "a map of texts kept with the payout"),
    ],
    result: "map: `moved` (money), `direction` (\"out\", \"in\", \"none\"), `reason`, `usable`, `left`, `missing`, `in_flight` \
             (money), `payout` (or ()); of several: `moved`, `reason`, `missing`, `complete`, \
             `moves`: list of `account`, `moved`, `reason`, `status`, `payout`, `failure`",
    doc: "Moves what is above a rule to another account; without a rule, everything (zero balancing). Order: position, target, \
          direction, whole multiples, maximum, minimum. What any run has begun to move and nobody knows the end of is taken off \
          first.",
    example: "let swept = bank::sweep(#{ from: \"acc_1\", to: \"acc_2\", keep: EUR(1_000), reference: \"SWEEP\" });",
    needs: &["balance", "payout.from|transfer"],
    body: Body::Connection(sweep_accounts),
}];

/// What a rule is made of, for one account and for each of several.
pub(super) const RULE: [&str; 11] = [
    "keep",
    "target",
    "threshold",
    "percent",
    "fixed",
    "minimum",
    "maximum",
    "multiple",
    "holds",
    "in_flight",
    "buffer",
];

/// The words of a rule that stand alone, each with those that do not go with it; a pair is said once.
pub(super) const ALONE: [(&str, &[&str]); 3] = [
    ("target", &["keep", "threshold", "percent", "fixed"]),
    ("percent", &["keep", "threshold", "fixed"]),
    ("fixed", &["keep", "threshold"]),
];

/// Where a rule stands: the primitive, and the map in what it is given.
pub(super) const RULES: [(&str, &str); 3] = [("sweep", ""), ("sweep", "from[]."), ("concentrate", "accounts[].")];

/// What to write instead.
pub(super) const INSTEAD: &str = "`target`, `percent` and `fixed` stand alone, `keep` and `threshold` may stand together; what is to stay \
                                  beside any of them is `buffer`: it is never moved";

/// Where it goes and how, whatever moves.
pub(super) struct Route<'a> {
    to: &'a Value,
    reference: &'a str,
    rail: Option<&'a str>,
    metadata: Option<&'a Map>,
}

impl<'a> Route<'a> {
    fn read(args: &Args<'a>) -> Result<Self, Thrown> {
        Ok(Self {
            to: args.required("to")?,
            reference: args.required_text("reference")?,
            rail: args.text("rail")?,
            metadata: args.map("metadata")?,
        })
    }

    /// The same between accounts that are not known yet.
    pub(super) fn between(args: &Args<'a>) -> Result<Self, Thrown> {
        static NOWHERE: Value = Value::Null;
        Ok(Self {
            to: &NOWHERE,
            reference: args.required_text("reference")?,
            rail: args.text("rail")?,
            metadata: args.map("metadata")?,
        })
    }

    pub(super) fn pay<'b>(&'b self, from: &'b str, to: &'b Value, amount: Money) -> Pay<'b> {
        Pay {
            from: Some(from),
            to,
            amount,
            reference: Some(self.reference),
            rail: self.rail,
            metadata: self.metadata,
        }
    }
}

fn sweep_accounts(turn: &Turn, connection: &Arc<Connection>, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let list = given.get("from").and_then(Value::as_list);
    let shared = ["from", "to", "reference", "rail", "metadata"];
    let known: Vec<&str> = match list {
        Some(_) => shared.into_iter().chain(["up_to", "partial", "arriving"]).collect(),
        None => shared.into_iter().chain(RULE).chain(["deficit", "arriving"]).collect(),
    };
    let args = Args::new("sweep", given, &known)?;
    match list {
        Some(sources) => sweep_several(turn, connection, &args, given, sources),
        None => sweep_one(turn, connection, &args, given),
    }
}

pub(super) fn refused(error: impl Into<RuleError>) -> Thrown {
    invalid(error.into().to_string())
}

pub(super) fn rule(args: &Args<'_>) -> Result<SweepRule, Thrown> {
    Ok(SweepRule {
        form: form(args)?,
        minimum: args.money("minimum")?,
        maximum: args.money("maximum")?,
        multiple: args.money("multiple")?,
    })
}

fn form(args: &Args<'_>) -> Result<SweepForm, Thrown> {
    let (keep, target, threshold) = (args.money("keep")?, args.money("target")?, args.money("threshold")?);
    let (percent, fixed) = (args.decimal("percent")?, args.money("fixed")?);
    match (keep, target, threshold, percent, fixed) {
        (None, None, None, None, None) => Ok(SweepForm::Zero),
        (Some(keep), None, None, None, None) => Ok(SweepForm::KeepBuffer(keep)),
        (None, Some(target), None, None, None) => Ok(SweepForm::Target(target)),
        (None, None, Some(threshold), None, None) => Ok(SweepForm::Threshold(threshold)),
        (Some(keep), None, Some(threshold), None, None) => Ok(SweepForm::Collar { threshold, keep }),
        (None, None, None, Some(percent), None) => Ok(SweepForm::Percent(percent)),
        (None, None, None, None, Some(amount)) => Ok(SweepForm::Fixed(amount)),
        _ => Err(invalid(format!("a rule has two answers to how much moves: {INSTEAD}"))),
    }
}

pub(super) fn position(args: &Args<'_>, stand: &Stand) -> Result<Position, Thrown> {
    let held = stand.available.currency();
    for word in RULE {
        if let Some(Value::Money(amount)) = args.get(word)
            && amount.currency() != held
        {
            let account = &stand.account;
            return Err(invalid(format!(
                "`{word}` is {amount}, and account {account} holds {held}"
            )));
        }
    }
    Ok(Position {
        value_dated: stand.value_dated,
        holds: args.money("holds")?,
        leaving: sum(args.money("in_flight")?, stand.leaving)?,
        buffer: args.money("buffer")?,
        ..Position::new(stand.available)
    })
}

fn sum(one: Option<Money>, other: Option<Money>) -> Result<Option<Money>, Thrown> {
    match (one, other) {
        (Some(one), Some(other)) => one.checked_add(other).map(Some).map_err(refused),
        (one, other) => Ok(one.or(other)),
    }
}

/// How money flows back to an account that is short.
pub(super) struct Deficit {
    to: Option<Money>,
    below: Option<Money>,
    bounds: Bounds,
    partial: bool,
    floor: Option<Money>,
}

impl Deficit {
    /// A deficit of `concentrate`: who gives says its own `floor` there.
    pub(super) fn read(value: &Value) -> Result<Self, Thrown> {
        Self::with(value, &[])
    }

    fn with(value: &Value, more: &[&str]) -> Result<Self, Thrown> {
        let known = ["to", "below", "minimum", "maximum", "multiple", "partial"];
        let args = Args::new("deficit", value, &[&known, more].concat())?;
        Ok(Self {
            to: args.money("to")?,
            below: args.money("below")?,
            bounds: Bounds {
                minimum: args.money("minimum")?,
                maximum: args.money("maximum")?,
                multiple: args.money("multiple")?,
            },
            partial: args.truth("partial")?,
            floor: args.money("floor")?,
        })
    }

    /// Whether a part of what is missing is better than nothing.
    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    pub(super) fn shortage(&self, available: Money) -> Shortage {
        let up_to = self.to.unwrap_or(Money::zero(available.currency()));
        Shortage {
            below: self.below.unwrap_or(up_to),
            up_to,
            bounds: self.bounds,
        }
    }
}

fn sweep_one(turn: &Turn, connection: &Arc<Connection>, args: &Args<'_>, given: &Value) -> Result<Value, Thrown> {
    let out = rule(args)?;
    let deficit = args.get("deficit").map(|deficit| Deficit::with(deficit, &["floor"]));
    let deficit = deficit.transpose()?;
    let (from, route) = (args.required_text("from")?, Route::read(args)?);
    if route.to.as_text() == Some(from) {
        return Err(invalid("`from` and `to` of `sweep` are the same account"));
    }
    if deficit.is_some() && route.to.as_text().is_none() {
        return Err(invalid(
            "`deficit` of `sweep` takes money from `to`: give the id of an account of ours there",
        ));
    }
    let arriving = args.money("arriving")?;
    if arriving.is_some() && deficit.is_none() {
        return Err(invalid(
            "`arriving` of `sweep` belongs to `deficit` or `up_to`: give one of them as well",
        ));
    }
    turn.compound(&format!("{}.sweep", connection.name), &given.typed_text(), || {
        let (position, decided) = turn.decide(connection, || {
            let judge = |stand: &Stand| {
                let position = Position {
                    arriving: sum(arriving, stand.arriving)?,
                    ..position(args, stand)?
                };
                let rule = FlowRule {
                    out: Some(out),
                    shortage: deficit.as_ref().map(|deficit| deficit.shortage(stand.available)),
                };
                Ok((position, flow(&position, &rule).map_err(refused)?))
            };
            let is_short = |stand: &Stand| judge(stand).map(|(_, decided)| decided.direction == Direction::In);
            let stand = match deficit {
                Some(_) => stand_to_fill(turn, connection, from, is_short)?,
                None => stand(turn, connection, from)?,
            };
            let (position, mut decided) = judge(&stand)?;
            let mut seen = vec![stand.seen()];
            if let (Direction::In, Some(deficit), Some(to)) = (decided.direction, &deficit, route.to.as_text()) {
                let giver = positions::stand(turn, connection, to)?;
                seen.push(giver.seen());
                decided = funded(decided, &giver, deficit)?;
            }
            let to = route.to.as_text();
            let moves = match decided.direction {
                Direction::Nowhere => Vec::new(),
                Direction::Out => vec![reserved(from, to, decided.amount)],
                Direction::In => vec![reserved(to.unwrap_or_default(), Some(from), decided.amount)],
            };
            let what = (position, decided);
            Ok(Decided { what, seen, moves })
        })?;
        let account = Value::text(from);
        let paid = match decided.direction {
            Direction::Nowhere => Value::Null,
            Direction::Out => send_own(turn, connection, &route.pay(from, route.to, decided.amount))?,
            Direction::In => {
                let to = route.to.as_text().unwrap_or_default();
                send_own(turn, connection, &route.pay(to, &account, decided.amount))?
            }
        };
        told(&position, decided, paid)
    })
}

pub(super) fn reserved(source: &str, beneficiary: Option<&str>, amount: Money) -> ReservedMove {
    ReservedMove {
        source: source.to_owned(),
        beneficiary: beneficiary.map(str::to_owned),
        amount,
    }
}

/// Sends one payment among several that were reserved: what was reserved for one that fails is given back.
pub(super) fn send_reserved(turn: &Turn, connection: &Arc<Connection>, pay: &Pay<'_>) -> Result<Sent, Thrown> {
    let sent = send_among(turn, connection, pay)?;
    if let Some(source) = pay.from
        && sent.has_failed()
        && holds(Guard::ReservedReleased)
    {
        turn.release(connection, reserved(source, pay.to.as_text(), pay.amount))?;
    }
    Ok(sent)
}

fn told(position: &Position, decided: Flow, paid: Value) -> Result<(Value, String), Thrown> {
    let left = match decided.direction {
        Direction::In => position.available.checked_add(decided.amount),
        Direction::Out | Direction::Nowhere => position.available.checked_sub(decided.amount),
    };
    let back = if decided.direction == Direction::In {
        " back"
    } else {
        ""
    };
    let summary = format!("{} moved{back}: {}", decided.amount, decided.reason);
    let result = Value::map([
        ("moved", Value::Money(decided.amount)),
        ("direction", Value::text(decided.direction.as_str())),
        ("reason", Value::text(decided.reason)),
        ("usable", Value::Money(decided.usable)),
        ("left", Value::Money(left.map_err(refused)?)),
        ("missing", Value::Money(decided.missing)),
        (
            "in_flight",
            Value::Money(position.leaving.unwrap_or(Money::zero(position.available.currency()))),
        ),
        ("payout", paid),
    ]);
    Ok((result, summary))
}

/// What there is to fund a shortage with: what the giver has above its floor.
fn funded(wanted: Flow, giver: &Stand, deficit: &Deficit) -> Result<Flow, Thrown> {
    let usable = giver.usable().map_err(refused)?;
    let have = match deficit.floor {
        Some(floor) => usable.checked_sub(floor).map_err(refused)?,
        None => usable,
    };
    let claim = Claim {
        name: String::new(),
        priority: 0,
        amount: wanted.amount,
        bounds: deficit.bounds,
        partial: deficit.partial,
    };
    let shares = serve(have, &[claim]).map_err(refused)?;
    let Some(share) = shares.into_iter().next() else {
        return Ok(wanted);
    };
    if share.amount == wanted.amount {
        return Ok(wanted);
    }
    let less = wanted.amount.checked_sub(share.amount).map_err(refused)?;
    let above = deficit.floor.map_or_else(String::new, |floor| {
        format!(" ({usable} usable there, less the floor of {floor})")
    });
    Ok(Flow {
        direction: if share.amount.is_zero() {
            Direction::Nowhere
        } else {
            Direction::In
        },
        amount: share.amount,
        reason: format!("{}: {}{above}", wanted.reason, share.reason),
        missing: wanted.missing.checked_add(less).map_err(refused)?,
        ..wanted
    })
}

/// One of several accounts that are swept together.
struct Source<'a> {
    account: &'a str,
    priority: i64,
    rule: SweepRule,
    args: Args<'a>,
}

/// Who is asked first, the lowest number.
pub(super) fn priority(args: &Args<'_>, of: &str) -> Result<i64, Thrown> {
    match args.get("priority") {
        None => Ok(0),
        Some(Value::Int(priority)) => Ok(*priority),
        Some(other) => Err(invalid(format!(
            "`priority` of `{of}` has to be a whole number, not {}",
            other.kind()
        ))),
    }
}

fn source(value: &Value) -> Result<Source<'_>, Thrown> {
    let known: Vec<&str> = ["account", "priority"].into_iter().chain(RULE).collect();
    let args = Args::new("from", value, &known)?;
    Ok(Source {
        account: args.required_text("account")?,
        priority: priority(&args, "from")?,
        rule: rule(&args)?,
        args,
    })
}

/// What one of several accounts is to give, and why.
struct Part<'a> {
    account: &'a str,
    amount: Money,
    reason: String,
}

fn sweep_several(
    turn: &Turn,
    connection: &Arc<Connection>,
    args: &Args<'_>,
    given: &Value,
    sources: &[Value],
) -> Result<Value, Thrown> {
    let mut sources: Vec<Source<'_>> = sources.iter().map(source).collect::<Result<_, _>>()?;
    // Equal ones stay in written order.
    sources.sort_by_key(|source| source.priority);
    let (route, up_to) = (Route::read(args)?, args.money("up_to")?);
    let (partial, arriving) = (args.truth("partial")?, args.money("arriving")?);
    for (place, source) in sources.iter().enumerate() {
        if route.to.as_text() == Some(source.account) {
            return Err(invalid("one of `from` and `to` of `sweep` are the same account"));
        }
        if sources[..place].iter().any(|other| other.account == source.account) {
            return Err(invalid(format!(
                "account {} stands twice in `from` of `sweep`",
                source.account
            )));
        }
    }
    let to = match (up_to, route.to.as_text()) {
        (Some(up_to), Some(to)) => Some((to, up_to)),
        (None, _) if !partial && arriving.is_none() => None,
        (None, _) => {
            return Err(invalid(
                "`partial` and `arriving` of `sweep` belong to `up_to` where there are several accounts: give it as well",
            ));
        }
        (Some(_), None) => {
            return Err(invalid(
                "`up_to` of `sweep` reads the balance of `to`: give the id of an account of ours there",
            ));
        }
    };
    if sources.is_empty() {
        return Err(invalid("`from` of `sweep` is an empty list: there is nothing to sweep"));
    }
    turn.compound(&format!("{}.sweep", connection.name), &given.typed_text(), || {
        let (parts, missing) = turn.decide(connection, || {
            let mut positions: Vec<Position> = Vec::with_capacity(sources.len());
            let mut seen = Vec::with_capacity(sources.len() + 1);
            for source in &sources {
                let stand = stand(turn, connection, source.account)?;
                if let Some(first) = positions.first() {
                    // Told before anything is paid.
                    first.available.compare(stand.available).map_err(refused)?;
                }
                positions.push(position(&source.args, &stand)?);
                seen.push(stand.seen());
            }
            let what = match to {
                None => (each_by_its_rule(&sources, &positions)?, None),
                Some((to, up_to)) => {
                    let expected = |stand: &Stand| {
                        let there = Position {
                            leaving: stand.leaving,
                            arriving: sum(arriving, stand.arriving)?,
                            ..Position::new(stand.available)
                        };
                        there.expected().map_err(refused)
                    };
                    let is_short = |stand: &Stand| {
                        let short = up_to.checked_sub(expected(stand)?).map_err(refused)?;
                        Ok(short.is_positive())
                    };
                    let stand = stand_to_fill(turn, connection, to, is_short)?;
                    seen.push(stand.seen());
                    let there = expected(&stand)?;
                    let (parts, missing) = filled(&sources, &positions, (there, up_to), partial)?;
                    (parts, Some(missing))
                }
            };
            let into = route.to.as_text();
            let paying = what.0.iter().filter(|part| part.amount.is_positive());
            let moves = paying.map(|part| reserved(part.account, into, part.amount)).collect();
            Ok(Decided { what, seen, moves })
        })?;
        pay_several(turn, connection, &route, &parts, missing)
    })
}

fn each_by_its_rule<'a>(sources: &[Source<'a>], positions: &[Position]) -> Result<Vec<Part<'a>>, Thrown> {
    let mut parts = Vec::with_capacity(sources.len());
    for (source, position) in sources.iter().zip(positions) {
        let rule = FlowRule {
            out: Some(source.rule),
            shortage: None,
        };
        let decided = flow(position, &rule).map_err(refused)?;
        parts.push(Part {
            account: source.account,
            amount: decided.amount,
            reason: decided.reason,
        });
    }
    Ok(parts)
}

/// What fills an account up to a mark, and what is missing to it.
fn filled<'a>(
    sources: &[Source<'a>],
    positions: &[Position],
    (there, up_to): (Money, Money),
    partial: bool,
) -> Result<(Vec<Part<'a>>, Money), Thrown> {
    let zero = Money::zero(there.currency());
    let short = up_to.checked_sub(there).map_err(refused)?;
    let need = if short.is_negative() { zero } else { short };
    let mut givers = Vec::with_capacity(sources.len());
    for (source, position) in sources.iter().zip(positions) {
        let unbound = FlowRule {
            out: Some(SweepRule::new(source.rule.form)),
            shortage: None,
        };
        let decided = flow(position, &unbound).map_err(refused)?;
        givers.push(Giver {
            name: source.account.to_owned(),
            priority: source.priority,
            usable: decided.amount,
            bounds: Bounds {
                minimum: source.rule.minimum,
                maximum: source.rule.maximum,
                multiple: source.rule.multiple,
            },
        });
    }
    let gathered = gather(need, &givers, partial).map_err(refused)?;
    let told = sources.iter().zip(positions).zip(gathered.shares);
    let parts = told.map(|((source, position), share)| Part {
        account: source.account,
        amount: share.amount,
        reason: position.because(share.reason),
    });
    Ok((parts.collect(), gathered.missing))
}

fn pay_several(
    turn: &Turn,
    connection: &Arc<Connection>,
    route: &Route<'_>,
    parts: &[Part<'_>],
    missing: Option<Money>,
) -> Result<(Value, String), Thrown> {
    let (mut moves, mut complete) = (Vec::with_capacity(parts.len()), true);
    let mut moved: Option<Money> = None;
    for part in parts {
        let sent = if part.amount.is_zero() {
            Sent::nothing()
        } else {
            send_reserved(turn, connection, &route.pay(part.account, route.to, part.amount))?
        };
        complete &= !sent.has_failed();
        let amount = if sent.has_failed() {
            Money::zero(part.amount.currency())
        } else {
            part.amount
        };
        moved = Some(match moved {
            Some(moved) => moved.checked_add(amount).map_err(refused)?,
            None => amount,
        });
        moves.push(Value::map([
            ("account", Value::text(part.account)),
            ("moved", Value::Money(amount)),
            ("reason", Value::text(&part.reason)),
            ("status", sent.status),
            ("payout", sent.payout),
            ("failure", sent.failure),
        ]));
    }
    let moved = moved.ok_or_else(|| invalid("`from` of `sweep` is an empty list: there is nothing to sweep"))?;
    let mut reason = format!("{moved} from {} accounts", parts.len());
    if let Some(missing) = missing.filter(|missing| missing.is_positive()) {
        reason = format!("{reason}, {missing} is missing");
    }
    if !complete {
        reason = format!("{reason}, not all of them paid");
    }
    let result = Value::map([
        ("moved", Value::Money(moved)),
        ("reason", Value::text(&reason)),
        ("missing", missing.map_or(Value::Null, Value::Money)),
        ("complete", Value::Bool(complete)),
        ("moves", Value::List(moves)),
    ]);
    Ok((result, reason))
}

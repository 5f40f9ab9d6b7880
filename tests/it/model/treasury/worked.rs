//! Worked cases: sweeps, splits, refunds and conversions as data, each with the definition it was worked out from.
//!
//! The expected amounts were worked out by hand. A case that fails is wrong in the code or in the table, and the
//! definition it names decides which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use bursar::base::clock::Instant;
use bursar::base::money::Money;
use bursar::model::treasury::bounds::Bounds;
use bursar::model::treasury::convert::{SaleForm, SaleRule, to_sell};
use bursar::model::treasury::divide::{Base, Bearer, DivisionRule, Fee, divide};
use bursar::model::treasury::exchange::{Exchange, Quote, QuoteLimits, usable, way};
use bursar::model::treasury::flow::{FlowRule, Shortage, flow};
use bursar::model::treasury::give_back::{Original, give_back, reverse};
use bursar::model::treasury::position::Position;
use bursar::model::treasury::several::{Claim, Giver, Share as Served, gather, serve};
use bursar::model::treasury::split::{LeftOver, Part, Share};
use bursar::model::treasury::structure::{Account, Arrival, concentrate};
use bursar::model::treasury::sweep::{SweepForm, SweepRule};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{currency, decimal, money};

/// What every case has beside its numbers.
#[derive(Deserialize)]
struct Case {
    name: String,
    source: Option<String>,
    why: Option<String>,
    refused: Option<String>,
    #[serde(flatten)]
    given: toml::Table,
}

type Sources = BTreeMap<String, String>;

/// Runs every case and fails with all that differ; every source named is listed, and no name stands twice.
fn run<T: DeserializeOwned>(
    sources: &mut BTreeMap<&str, bool>,
    cases: &[Case],
    run: impl Fn(&T) -> Result<Vec<String>, String>,
) {
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    for case in cases {
        assert!(names.insert(case.name.as_str()), "two cases are called `{}`", case.name);
        match (&case.source, &case.why) {
            (Some(source), None) => match sources.get_mut(source.as_str()) {
                Some(used) => *used = true,
                None => panic!("`{}`: there is no source `{source}`", case.name),
            },
            (None, Some(why)) if !why.is_empty() => {}
            _ => panic!("`{}` needs exactly one of `source` and `why`", case.name),
        }
        let given: T = match case.given.clone().try_into() {
            Ok(given) => given,
            Err(error) => panic!("`{}`: {error}", case.name),
        };
        // Of a price it is only expected that it is taken.
        let expects = case.given.contains_key("gives") || case.refused.is_some() || case.given.contains_key("pair");
        assert!(expects, "`{}` expects nothing", case.name);
        let found = match (run(&given), &case.refused) {
            (Ok(differences), None) => differences,
            (Err(message), Some(expected)) if message.contains(expected) => Vec::new(),
            (Err(message), Some(expected)) => vec![format!("refused with `{message}`, not `{expected}`")],
            (Err(message), None) => vec![format!("refused: {message}")],
            (Ok(_), Some(expected)) => vec![format!("not refused with `{expected}`")],
        };
        wrong.extend(found.iter().map(|found| format!("{}: {found}", case.name)));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn every_source_is_used(sources: &BTreeMap<&str, bool>) {
    let unused: Vec<_> = sources.iter().filter(|(_, used)| !**used).collect();
    assert!(unused.is_empty(), "sources that no case names: {unused:?}");
}

fn unused(sources: &Sources) -> BTreeMap<&str, bool> {
    sources.keys().map(|name| (name.as_str(), false)).collect()
}

/// A difference, if there is one.
fn same(what: &str, found: impl Display, expected: impl Display) -> Option<String> {
    let (found, expected) = (found.to_string(), expected.to_string());
    (found != expected).then(|| format!("{what} is {found}, not {expected}"))
}

fn says(reason: &str, expected: &str) -> Option<String> {
    (!reason.contains(expected)).then(|| format!("says `{reason}`, not `{expected}`"))
}

fn maybe(text: Option<&String>) -> Option<Money> {
    text.map(|text| money(text))
}

// --- sweeps -------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Sweeps {
    sources: Sources,
    sweep: Vec<Case>,
    gather: Vec<Case>,
    serve: Vec<Case>,
    structure: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PositionText {
    available: String,
    value_dated: Option<String>,
    holds: Option<String>,
    leaving: Option<String>,
    arriving: Option<String>,
    buffer: Option<String>,
}

impl PositionText {
    fn read(&self) -> Position {
        Position {
            available: money(&self.available),
            value_dated: maybe(self.value_dated.as_ref()),
            holds: maybe(self.holds.as_ref()),
            leaving: maybe(self.leaving.as_ref()),
            arriving: maybe(self.arriving.as_ref()),
            buffer: maybe(self.buffer.as_ref()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutText {
    form: String,
    target: Option<String>,
    threshold: Option<String>,
    keep: Option<String>,
    percent: Option<String>,
    amount: Option<String>,
    minimum: Option<String>,
    maximum: Option<String>,
    multiple: Option<String>,
}

impl OutText {
    fn read(&self) -> SweepRule {
        let given = |text: &Option<String>| money(text.as_ref().expect("an amount of the form"));
        let form = match self.form.as_str() {
            "zero" => SweepForm::Zero,
            "target" => SweepForm::Target(given(&self.target)),
            "keep" => SweepForm::KeepBuffer(given(&self.keep)),
            "threshold" => SweepForm::Threshold(given(&self.threshold)),
            "collar" => SweepForm::Collar {
                threshold: given(&self.threshold),
                keep: given(&self.keep),
            },
            "percent" => SweepForm::Percent(decimal(self.percent.as_ref().expect("a percentage"))),
            "fixed" => SweepForm::Fixed(given(&self.amount)),
            other => panic!("no form `{other}`"),
        };
        SweepRule {
            form,
            minimum: maybe(self.minimum.as_ref()),
            maximum: maybe(self.maximum.as_ref()),
            multiple: maybe(self.multiple.as_ref()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShortageText {
    below: String,
    up_to: String,
    minimum: Option<String>,
    maximum: Option<String>,
    multiple: Option<String>,
}

impl ShortageText {
    fn read(&self) -> Shortage {
        Shortage {
            below: money(&self.below),
            up_to: money(&self.up_to),
            bounds: bounds(self.minimum.as_ref(), self.maximum.as_ref(), self.multiple.as_ref()),
        }
    }
}

fn bounds(minimum: Option<&String>, maximum: Option<&String>, multiple: Option<&String>) -> Bounds {
    Bounds {
        minimum: maybe(minimum),
        maximum: maybe(maximum),
        multiple: maybe(multiple),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepCase {
    position: PositionText,
    out: Option<OutText>,
    shortage: Option<ShortageText>,
    gives: Option<FlowText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlowText {
    direction: String,
    amount: String,
    missing: Option<String>,
    says: String,
}

fn sweep_case(case: &SweepCase) -> Result<Vec<String>, String> {
    let rule = FlowRule {
        out: case.out.as_ref().map(OutText::read),
        shortage: case.shortage.as_ref().map(ShortageText::read),
    };
    let flow = flow(&case.position.read(), &rule).map_err(|error| error.to_string())?;
    let Some(gives) = &case.gives else {
        return Ok(Vec::new());
    };
    let differences = [
        same("the direction", flow.direction.as_str(), &gives.direction),
        same("the amount", flow.amount, money(&gives.amount)),
        maybe(gives.missing.as_ref()).and_then(|missing| same("what is missing", flow.missing, missing)),
        says(&flow.reason, &gives.says),
    ];
    Ok(differences.into_iter().flatten().collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberText {
    name: String,
    priority: i64,
    usable: Option<String>,
    amount: Option<String>,
    #[serde(default)]
    partial: bool,
    minimum: Option<String>,
    maximum: Option<String>,
    multiple: Option<String>,
}

impl MemberText {
    fn bounds(&self) -> Bounds {
        bounds(self.minimum.as_ref(), self.maximum.as_ref(), self.multiple.as_ref())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareText {
    name: String,
    amount: String,
    says: String,
}

fn shares(found: &[Served], expected: &[ShareText]) -> Vec<String> {
    let mut wrong: Vec<String> = same("the number of shares", found.len(), expected.len())
        .into_iter()
        .collect();
    for (found, expected) in found.iter().zip(expected) {
        wrong.extend(same("the next", &found.name, &expected.name));
        wrong.extend(same(&found.name, found.amount, money(&expected.amount)));
        wrong.extend(says(&found.reason, &expected.says));
    }
    wrong
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatherCase {
    need: String,
    givers: Vec<MemberText>,
    partial: bool,
    gives: Vec<ShareText>,
    missing: String,
}

fn gather_case(case: &GatherCase) -> Result<Vec<String>, String> {
    let givers: Vec<Giver> = case
        .givers
        .iter()
        .map(|member| Giver {
            name: member.name.clone(),
            priority: member.priority,
            usable: money(member.usable.as_ref().expect("what it has")),
            bounds: member.bounds(),
        })
        .collect();
    let found = gather(money(&case.need), &givers, case.partial).map_err(|error| error.to_string())?;
    let mut wrong = shares(&found.shares, &case.gives);
    wrong.extend(same("what is missing", found.missing, money(&case.missing)));
    Ok(wrong)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServeCase {
    have: String,
    claims: Vec<MemberText>,
    gives: Vec<ShareText>,
}

fn serve_case(case: &ServeCase) -> Result<Vec<String>, String> {
    let claims: Vec<Claim> = case
        .claims
        .iter()
        .map(|member| Claim {
            name: member.name.clone(),
            priority: member.priority,
            amount: money(member.amount.as_ref().expect("what it asks for")),
            bounds: member.bounds(),
            partial: member.partial,
        })
        .collect();
    let found = serve(money(&case.have), &claims).map_err(|error| error.to_string())?;
    Ok(shares(&found, &case.gives))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StructureCase {
    accounts: Vec<AccountText>,
    arrival: String,
    #[serde(default)]
    gives: Vec<OutcomeText>,
    #[serde(default)]
    after: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountText {
    name: String,
    superior: Option<String>,
    available: String,
    out: Option<OutText>,
    shortage: Option<ShortageText>,
    #[serde(default)]
    priority: i64,
    #[serde(default)]
    partial: bool,
    floor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeText {
    account: String,
    direction: String,
    amount: String,
    says: String,
}

fn structure_case(case: &StructureCase) -> Result<Vec<String>, String> {
    let accounts: Vec<Account> = case
        .accounts
        .iter()
        .map(|account| Account {
            name: account.name.clone(),
            superior: account.superior.clone(),
            position: Position::new(money(&account.available)),
            rule: FlowRule {
                out: account.out.as_ref().map(OutText::read),
                shortage: account.shortage.as_ref().map(ShortageText::read),
            },
            priority: account.priority,
            partial: account.partial,
            floor: maybe(account.floor.as_ref()),
        })
        .collect();
    let arrival = match case.arrival.as_str() {
        "at once" => Arrival::AtOnce,
        "later" => Arrival::Later,
        other => panic!("no arrival `{other}`"),
    };
    let plan = concentrate(&accounts, arrival).map_err(|error| error.to_string())?;
    let mut wrong: Vec<String> = same("the number", plan.outcomes.len(), case.gives.len())
        .into_iter()
        .collect();
    for (found, expected) in plan.outcomes.iter().zip(&case.gives) {
        wrong.extend(same("the next account", &found.account, &expected.account));
        wrong.extend(same(&found.account, found.direction.as_str(), &expected.direction));
        wrong.extend(same(&found.account, found.amount, money(&expected.amount)));
        wrong.extend(says(&found.reason, &expected.says));
    }
    for (name, position) in &plan.after {
        let expected = case.after.get(name).expect("every account afterwards");
        wrong.extend(same(&format!("{name} afterwards"), position.available, money(expected)));
    }
    Ok(wrong)
}

#[test]
fn sweeps_come_to_what_was_worked_out_by_hand() {
    let table: Sweeps = toml::from_str(include_str!("sweeps.toml")).expect("the table of sweeps");
    let mut sources = unused(&table.sources);
    run(&mut sources, &table.sweep, sweep_case);
    run(&mut sources, &table.gather, gather_case);
    run(&mut sources, &table.serve, serve_case);
    run(&mut sources, &table.structure, structure_case);
    every_source_is_used(&sources);
    let several = table.gather.len() + table.serve.len() + table.structure.len();
    println!("{} sweeps of one account, {several} of several", table.sweep.len());
    assert!(table.sweep.len() >= 60);
}

// --- splits -------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Splits {
    sources: Sources,
    split: Vec<Case>,
    give_back: Vec<Case>,
    reverse: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartText {
    name: String,
    amount: Option<String>,
    percent: Option<String>,
    #[serde(default)]
    rest: bool,
    minimum: Option<String>,
    maximum: Option<String>,
}

impl PartText {
    fn read(&self) -> Part {
        let share = match (&self.amount, &self.percent, self.rest) {
            (Some(amount), None, false) => Share::Amount(money(amount)),
            (None, Some(percent), false) => Share::Percent(decimal(percent)),
            (None, None, true) => Share::Rest,
            _ => panic!("part `{}` is of one kind", self.name),
        };
        Part {
            name: self.name.clone(),
            share,
            minimum: maybe(self.minimum.as_ref()),
            maximum: maybe(self.maximum.as_ref()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitCase {
    total: String,
    parts: Vec<PartText>,
    #[serde(default)]
    base: String,
    fee: Option<String>,
    borne_by: Option<String>,
    #[serde(default)]
    left_over: String,
    #[serde(default)]
    gives: Vec<String>,
    cost: Option<String>,
    left_over_to: Option<String>,
}

fn split_case(case: &SplitCase) -> Result<Vec<String>, String> {
    let total = money(&case.total);
    let rule = DivisionRule {
        parts: case.parts.iter().map(PartText::read).collect(),
        base: match case.base.as_str() {
            "" | "gross" => Base::Gross,
            "net" => Base::Net,
            other => panic!("no base `{other}`"),
        },
        fee: case.fee.as_ref().map(|fee| Fee {
            amount: money(fee),
            bearer: case.borne_by.as_ref().map(|bearer| match bearer.as_str() {
                "payer" => Bearer::Payer,
                "shared" => Bearer::Shared,
                part => Bearer::Part(part.to_owned()),
            }),
        }),
        left_over: match case.left_over.as_str() {
            "" | "largest_remainder" => LeftOver::LargestRemainder,
            "in_order" => LeftOver::InOrder,
            other => panic!("nobody gets units left over by `{other}`"),
        },
    };
    let found = divide(total, &rule).map_err(|error| error.to_string())?;
    let mut wrong: Vec<String> = same("the number", found.parts.len(), case.gives.len())
        .into_iter()
        .collect();
    for (found, expected) in found.parts.iter().zip(&case.gives) {
        wrong.extend(same(&found.name, found.amount, money(expected)));
    }
    let cost = case.cost.as_ref().map_or(total, |cost| money(cost));
    wrong.extend(same("the cost", found.cost, cost));
    wrong.extend(
        case.left_over_to
            .as_ref()
            .and_then(|expected| says(&found.left_over, expected)),
    );
    Ok(wrong)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GiveBackCase {
    original: String,
    #[serde(default)]
    earlier: Vec<String>,
    retained: Option<String>,
    #[serde(default)]
    whole_only: bool,
    asked: Option<String>,
    gives: Option<GivenBackText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenBackText {
    amount: String,
    left: String,
    whole: bool,
    says: String,
}

fn give_back_case(case: &GiveBackCase) -> Result<Vec<String>, String> {
    let original = Original {
        amount: money(&case.original),
        earlier: case.earlier.iter().map(|earlier| money(earlier)).collect(),
        retained: maybe(case.retained.as_ref()),
        whole_only: case.whole_only,
    };
    let found = give_back(&original, maybe(case.asked.as_ref())).map_err(|error| error.to_string())?;
    let Some(gives) = &case.gives else {
        return Ok(Vec::new());
    };
    let differences = [
        same("the amount", found.amount, money(&gives.amount)),
        same("what is left", found.left, money(&gives.left)),
        same("whole", found.whole, gives.whole),
        says(&found.reason, &gives.says),
    ];
    Ok(differences.into_iter().flatten().collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReverseCase {
    parts: Vec<GivenPartText>,
    amount: String,
    #[serde(default)]
    gives: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenPartText {
    amount: String,
    earlier: String,
}

fn reverse_case(case: &ReverseCase) -> Result<Vec<String>, String> {
    let parts: Vec<(Money, Money)> = case
        .parts
        .iter()
        .map(|part| (money(&part.amount), money(&part.earlier)))
        .collect();
    let found = reverse(&parts, money(&case.amount)).map_err(|error| error.to_string())?;
    let expected: Vec<Money> = case.gives.iter().map(|text| money(text)).collect();
    Ok(same("what goes back", format!("{found:?}"), format!("{expected:?}"))
        .into_iter()
        .collect())
}

#[test]
fn splits_come_to_what_was_worked_out_by_hand() {
    let table: Splits = toml::from_str(include_str!("splits.toml")).expect("the table of splits");
    let mut sources = unused(&table.sources);
    run(&mut sources, &table.split, split_case);
    run(&mut sources, &table.give_back, give_back_case);
    run(&mut sources, &table.reverse, reverse_case);
    every_source_is_used(&sources);
    let back = table.give_back.len() + table.reverse.len();
    println!("{} splits, {back} of giving back", table.split.len());
    assert!(table.split.len() >= 40);
}

// --- conversions --------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Conversions {
    sources: Sources,
    sale: Vec<Case>,
    quote: Vec<Case>,
    way: Vec<Case>,
    exchange: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaleCase {
    balance: String,
    form: SaleText,
    minimum: Option<String>,
    maximum: Option<String>,
    gives: Option<SoldText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaleText {
    amount: Option<String>,
    above: Option<String>,
    from: Option<String>,
    to: Option<String>,
    buy: Option<String>,
    rate: Option<String>,
    slippage: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SoldText {
    amount: String,
    says: String,
}

fn sale_case(case: &SaleCase) -> Result<Vec<String>, String> {
    let number = |text: &Option<String>| decimal(text.as_ref().expect("a number of the form"));
    let form = match &case.form {
        SaleText {
            amount: Some(amount), ..
        } => SaleForm::Amount(money(amount)),
        SaleText { above: Some(above), .. } => SaleForm::Above(money(above)),
        SaleText {
            from: Some(from),
            to: Some(to),
            ..
        } => SaleForm::Down {
            from: money(from),
            to: money(to),
        },
        form => SaleForm::Bought {
            amount: money(form.buy.as_ref().expect("what to buy")),
            rate: number(&form.rate),
            slippage: number(&form.slippage),
        },
    };
    let rule = SaleRule {
        form,
        minimum: maybe(case.minimum.as_ref()),
        maximum: maybe(case.maximum.as_ref()),
    };
    let sale = to_sell(money(&case.balance), &rule).map_err(|error| error.to_string())?;
    let Some(gives) = &case.gives else {
        return Ok(Vec::new());
    };
    let differences = [
        same("the amount", sale.amount, money(&gives.amount)),
        says(&sale.reason, &gives.says),
    ];
    Ok(differences.into_iter().flatten().collect())
}

/// When every price of the table is looked at.
const NOW: &str = "2026-11-20T12:00:00Z";

fn time(text: &str) -> Instant {
    text.parse().expect("a time")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuoteCase {
    pair: String,
    rate: String,
    indicative: Option<String>,
    slippage: Option<String>,
    expires_at: Option<String>,
    used_at: Option<String>,
}

fn pair(text: &str) -> (bursar::base::money::Currency, bursar::base::money::Currency) {
    let (sold, bought) = text.split_once(' ').expect("two currencies");
    (currency(sold), currency(bought))
}

fn quote_case(case: &QuoteCase) -> Result<Vec<String>, String> {
    let (sold, bought) = pair(&case.pair);
    let quote = Quote {
        sold,
        bought,
        rate: decimal(&case.rate),
        expires_at: case.expires_at.as_deref().map(time),
    };
    let slippage = case.indicative.as_ref().zip(case.slippage.as_ref());
    let limits = QuoteLimits {
        sold: currency("USD"),
        bought: currency("EUR"),
        slippage: slippage.map(|(indicative, limit)| (decimal(indicative), decimal(limit))),
        now: time(NOW),
        used_at: time(case.used_at.as_deref().unwrap_or(NOW)),
    };
    usable(&quote, &limits).map_err(|error| error.to_string())?;
    Ok(Vec::new())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WayCase {
    sold: String,
    bought: String,
    #[serde(default)]
    via: Vec<String>,
    offered: Vec<String>,
    #[serde(default)]
    gives: Vec<String>,
}

fn way_case(case: &WayCase) -> Result<Vec<String>, String> {
    let via: Vec<_> = case.via.iter().map(|code| currency(code)).collect();
    let offered: Vec<_> = case.offered.iter().map(|text| pair(text)).collect();
    let found = way(currency(&case.sold), currency(&case.bought), &via, &offered).map_err(|error| error.to_string())?;
    let found: Vec<String> = found.iter().map(|(sold, bought)| format!("{sold} {bought}")).collect();
    Ok(same("the way", found.join(", "), case.gives.join(", "))
        .into_iter()
        .collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeCase {
    sold: String,
    bought: Option<String>,
    rate: Option<String>,
    fee: Option<String>,
    gives: Option<ExchangeText>,
    next_refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeText {
    rate: Option<String>,
    rate_from: Option<String>,
    fee: Option<String>,
    next: Option<String>,
}

fn exchange_case(case: &ExchangeCase) -> Result<Vec<String>, String> {
    let rate = case.rate.as_ref().map(|rate| decimal(rate));
    let found = Exchange::of(
        money(&case.sold),
        maybe(case.bought.as_ref()),
        rate,
        maybe(case.fee.as_ref()),
    )
    .map_err(|error| error.to_string())?;
    let Some(gives) = &case.gives else {
        return Ok(Vec::new());
    };
    let told = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    let next = found.to_sell_next();
    let mut wrong: Vec<String> = [
        same(
            "the rate",
            told(found.rate.map(|(rate, _)| rate.normalize().to_string())),
            told(gives.rate.clone()),
        ),
        same(
            "where the rate is from",
            told(found.rate.map(|(_, from)| from.as_str().to_owned())),
            told(gives.rate_from.clone()),
        ),
        same(
            "the fee",
            told(found.fee.map(|fee| fee.to_string())),
            told(maybe(gives.fee.as_ref()).map(|fee| fee.to_string())),
        ),
        same(
            "what is sold next",
            told(next.as_ref().ok().map(|next| next.to_string())),
            told(maybe(gives.next.as_ref()).map(|next| next.to_string())),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let (Err(error), Some(expected)) = (&next, &case.next_refused) {
        wrong.extend(says(&error.to_string(), expected));
    }
    Ok(wrong)
}

#[test]
fn conversions_come_to_what_was_worked_out_by_hand() {
    let table: Conversions = toml::from_str(include_str!("conversions.toml")).expect("the table of conversions");
    let mut sources = unused(&table.sources);
    run(&mut sources, &table.sale, sale_case);
    run(&mut sources, &table.quote, quote_case);
    run(&mut sources, &table.way, way_case);
    run(&mut sources, &table.exchange, exchange_case);
    every_source_is_used(&sources);
    let beside = table.quote.len() + table.way.len() + table.exchange.len();
    println!("{} conversions, {beside} prices, ways and results", table.sale.len());
    assert!(table.sale.len() >= 20);
}

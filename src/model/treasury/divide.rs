//! Dividing a total with a fee in it: what percentages are of, and who bears the fee.
//!
//! What the parts get and what the fee takes always come to the total. It builds on [`super::split`] and must not
//! know where the parts go.

use super::below;
use super::split::{LeftOver, Part, Share, SplitError, split_with};
use crate::base::money::{Money, MoneyError, Rounding};

/// What percentages are of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Base {
    /// The whole total.
    #[default]
    Gross,
    /// What is left of it after the fee.
    Net,
}

/// Who bears a fee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// Whoever pays the total: the parts get all of it, and the fee comes on top.
    Payer,
    /// Every part, in proportion to what it gets.
    Shared,
    /// One part.
    Part(String),
}

/// What the provider takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fee {
    /// How much.
    pub amount: Money,
    /// From whom. Percentages of the net leave nobody to name: the fee comes off first.
    pub bearer: Option<Bearer>,
}

/// How a total is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DivisionRule {
    /// The parts.
    pub parts: Vec<Part>,
    /// What percentages are of.
    pub base: Base,
    /// What the provider takes.
    pub fee: Option<Fee>,
    /// Who gets units left over where no part takes the rest.
    pub left_over: LeftOver,
}

impl DivisionRule {
    /// Parts of the whole, without a fee.
    pub fn new(parts: Vec<Part>) -> Self {
        Self {
            parts,
            base: Base::Gross,
            fee: None,
            left_over: LeftOver::LargestRemainder,
        }
    }
}

/// One part as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dealt {
    /// The part.
    pub name: String,
    /// What it gets.
    pub amount: Money,
    /// What it bears of the fee; it is taken off `amount` already.
    pub fee: Money,
}

/// A total divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divided {
    /// The parts, in written order.
    pub parts: Vec<Dealt>,
    /// What leaves the account: the total, and a fee on top of it if the payer bears one.
    pub cost: Money,
    /// Who got the minor units left over, for people.
    pub left_over: String,
}

/// Divides a total.
///
/// # Errors
/// [`SplitError`] says what does not add up.
pub fn divide(total: Money, rule: &DivisionRule) -> Result<Divided, SplitError> {
    if total.is_negative() {
        return Err(SplitError::NegativeTotal(total));
    }
    let zero = Money::zero(total.currency());
    let (fee, bearer) = match &rule.fee {
        Some(fee) => (fee.amount, fee.bearer.as_ref()),
        None => (zero, None),
    };
    let bad_fee = |_: MoneyError| SplitError::BadFee { fee, total };
    if fee.is_negative() || below(total, fee).map_err(bad_fee)? && bearer != Some(&Bearer::Payer) {
        return Err(SplitError::BadFee { fee, total });
    }
    let net = total.checked_sub(fee).map_err(bad_fee)?;
    let dealt_out = match rule.base {
        Base::Gross => total,
        Base::Net => net,
    };
    let amounts = split_with(dealt_out, &rule.parts, Rounding::Down, rule.left_over)?;
    let borne = match (rule.base, bearer) {
        (Base::Net, None) => vec![zero; amounts.len()],
        (Base::Net, Some(_)) => return Err(SplitError::FeeTakenOffBefore(fee)),
        (Base::Gross, None) if fee.is_zero() => vec![zero; amounts.len()],
        (Base::Gross, None) => return Err(SplitError::NobodyBearsTheFee(fee)),
        (Base::Gross, Some(Bearer::Payer)) => vec![zero; amounts.len()],
        (Base::Gross, Some(Bearer::Shared)) => shared(fee, &amounts).map_err(bad_fee)?,
        (Base::Gross, Some(Bearer::Part(name))) => borne_by(fee, name, &rule.parts, &amounts)?,
    };
    let mut parts = Vec::with_capacity(amounts.len());
    for ((part, amount), fee) in rule.parts.iter().zip(amounts).zip(borne) {
        let amount = amount.checked_sub(fee).map_err(bad_fee)?;
        parts.push(Dealt {
            name: part.name.clone(),
            amount,
            fee,
        });
    }
    let on_top = bearer == Some(&Bearer::Payer);
    let sum: i128 = parts.iter().map(|part| part.amount.minor()).sum();
    let expected = if on_top { total } else { net };
    assert_eq!(sum, expected.minor(), "parts and fee come to the total");
    let cost = if on_top {
        total.checked_add(fee).map_err(bad_fee)?
    } else {
        total
    };
    Ok(Divided {
        parts,
        cost,
        left_over: who_gets_left_over(rule),
    })
}

fn who_gets_left_over(rule: &DivisionRule) -> String {
    match (rule.parts.iter().find(|part| part.share == Share::Rest), rule.left_over) {
        (Some(rest), _) => format!("`{}` takes the rest, units left over with it", rest.name),
        (None, LeftOver::LargestRemainder) => "units left over go to who was cut by most".to_owned(),
        (None, LeftOver::InOrder) => "units left over go out one each in written order".to_owned(),
    }
}

/// In proportion to what each gets; units left over by largest remainder, so never more than it gets.
fn shared(fee: Money, amounts: &[Money]) -> Result<Vec<Money>, MoneyError> {
    if fee.is_zero() {
        return Ok(vec![fee; amounts.len()]);
    }
    let weights: Vec<_> = amounts.iter().map(|amount| amount.amount()).collect();
    fee.allocate(&weights)
}

fn borne_by(fee: Money, bearer: &str, parts: &[Part], amounts: &[Money]) -> Result<Vec<Money>, SplitError> {
    let zero = Money::zero(fee.currency());
    let place = parts.iter().position(|part| part.name == bearer);
    let place = place.ok_or_else(|| SplitError::UnknownBearer(bearer.to_owned()))?;
    let amount = amounts[place];
    if amount.minor() < fee.minor() {
        return Err(SplitError::FeeAbovePart {
            name: bearer.to_owned(),
            amount,
            fee,
        });
    }
    Ok((0..parts.len())
        .map(|other| if other == place { fee } else { zero })
        .collect())
}

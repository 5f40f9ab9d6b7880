//! Money: a whole number of minor units of one currency, and only exact arithmetic.
//!
//! Nothing here rounds silently, nothing knows floats, and two currencies never meet. Where a rounding
//! is wanted the caller names it. Exponents come from ISO 4217 and a small table of coins.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::guard::{Guard, holds};
use super::wide::multiply_and_divide;

/// The largest count of minor units, either sign: what a 96-bit decimal holds exactly.
const MINOR_MAX: u128 = (1 << 96) - 1;

/// Stablecoins and coins of the providers: code and decimals of the smallest unit on chain.
const COINS: &[(&str, u8)] = &[
    ("BTC", 8),
    ("ETH", 18),
    ("EURC", 6),
    ("MATIC", 18),
    ("POL", 18),
    ("SOL", 9),
    ("USDC", 6),
    ("USDT", 6),
];

/// A currency or coin we know the minor unit of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: &'static str,
    exponent: u8,
}

impl Currency {
    /// The currency with this code, in capitals: ISO 4217, or a coin of the table above.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] for any other text, with the code it probably meant.
    pub fn from_code(code: &str) -> Result<Self, MoneyError> {
        if let Some((code, exponent)) = COINS.iter().find(|(coin, _)| *coin == code) {
            return Ok(Self {
                code,
                exponent: *exponent,
            });
        }
        // Codes without a minor unit (gold, test codes) are not money one can pay with.
        iso_currency::Currency::from_code(code)
            .and_then(|iso| {
                Some(Self {
                    code: iso.code(),
                    exponent: u8::try_from(iso.exponent()?).ok()?,
                })
            })
            .ok_or_else(|| MoneyError::UnknownCurrency { code: code.to_owned() })
    }

    /// The code, in capitals.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// How many decimals the minor unit has: 2 for EUR, 0 for JPY, 6 for USDC, 18 for ETH.
    pub fn exponent(self) -> u32 {
        u32::from(self.exponent)
    }

    /// The coins known beside ISO 4217, for help texts and for the script functions named after them.
    pub fn coins() -> impl Iterator<Item = &'static str> {
        COINS.iter().map(|(code, _)| *code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        Self::from_code(code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_code(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// How a result that does not fit the minor unit is brought to it. Always named by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Toward zero: 2.349 becomes 2.34, -2.349 becomes -2.34.
    Down,
    /// Away from zero: 2.341 becomes 2.35.
    Up,
    /// To the nearest, a half away from zero: 2.345 becomes 2.35.
    HalfUp,
    /// To the nearest, a half toward zero: 2.345 becomes 2.34.
    HalfDown,
    /// To the nearest, a half to the even neighbour (banker's): 2.345 becomes 2.34, 2.355 becomes 2.36.
    HalfEven,
    /// Toward minus infinity.
    Floor,
    /// Toward plus infinity.
    Ceiling,
}

impl Rounding {
    /// Every mode with the name scripts use.
    pub const ALL: [(&'static str, Self); 7] = [
        ("down", Self::Down),
        ("up", Self::Up),
        ("half_up", Self::HalfUp),
        ("half_down", Self::HalfDown),
        ("half_even", Self::HalfEven),
        ("floor", Self::Floor),
        ("ceiling", Self::Ceiling),
    ];

    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, mode)| *mode)
    }

    /// Whether a quotient cut toward zero goes one unit away from it instead.
    fn leaves_zero(self, sign: i128, odd: bool, remainder: u128, divisor: u128) -> bool {
        // Compared without doubling the remainder, which could overflow.
        let half = remainder.cmp(&(divisor - remainder));
        remainder != 0
            && match self {
                Self::Down => false,
                Self::Up => true,
                Self::Floor => sign < 0,
                Self::Ceiling => sign > 0,
                Self::HalfUp => half != Ordering::Less,
                Self::HalfDown => half == Ordering::Greater,
                Self::HalfEven => {
                    half == Ordering::Greater || half == Ordering::Equal && (odd || !holds(Guard::RoundingMode))
                }
            }
    }

    /// The number brought to so many decimals.
    pub fn round(self, number: Decimal, places: u32) -> Decimal {
        number.round_dp_with_strategy(places, self.strategy())
    }

    fn strategy(self) -> RoundingStrategy {
        match self {
            Self::Down => RoundingStrategy::ToZero,
            Self::Up => RoundingStrategy::AwayFromZero,
            Self::HalfUp => RoundingStrategy::MidpointAwayFromZero,
            Self::HalfDown => RoundingStrategy::MidpointTowardZero,
            Self::HalfEven => RoundingStrategy::MidpointNearestEven,
            Self::Floor => RoundingStrategy::ToNegativeInfinity,
            Self::Ceiling => RoundingStrategy::ToPositiveInfinity,
        }
    }
}

/// Why an amount could not be made or computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No such currency.
    #[error("unknown currency `{code}`: {}", expected_currency(code))]
    UnknownCurrency {
        /// What stood there.
        code: String,
    },
    /// Text that is not a plain decimal number.
    #[error("`{text}` is not an amount: expected digits with an optional point, such as 1250.00")]
    NotAnAmount {
        /// What stood there.
        text: String,
    },
    /// More decimals than the currency has.
    #[error("{amount} has more decimals than {currency} allows ({exponent}); round it first, naming the rounding")]
    TooPrecise {
        /// The number that does not fit.
        amount: Decimal,
        /// The currency it should be of.
        currency: Currency,
        /// Decimals that currency has.
        exponent: u32,
    },
    /// Two currencies in one operation.
    #[error("cannot {operation} {left} and {right}: convert one of them first")]
    CurrencyMismatch {
        /// What was asked: `add`, `subtract`, `compare`.
        operation: &'static str,
        /// Currency on the left.
        left: Currency,
        /// Currency on the right.
        right: Currency,
    },
    /// The result has more digits than an amount can hold.
    #[error("the amount has more digits than can be held exactly (28)")]
    Overflow,
    /// Division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// Ratios that do not describe a division.
    #[error("cannot allocate by these ratios: {reason}")]
    BadRatios {
        /// What is wrong with them.
        reason: &'static str,
    },
}

/// What should stand there instead of this code.
fn expected_currency(code: &str) -> String {
    match Currency::from_code(&code.trim().to_uppercase()) {
        Ok(meant) => format!("did you mean `{meant}`?"),
        Err(_) => {
            let coins: Vec<&str> = Currency::coins().collect();
            format!("expected an ISO 4217 code or one of {}, in capitals", coins.join(" "))
        }
    }
}

/// An exact amount of one currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i128,
    currency: Currency,
}

impl Money {
    /// An amount given in minor units (cents, satoshi).
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 96 bits.
    pub fn from_minor(minor: i128, currency: Currency) -> Result<Self, MoneyError> {
        if minor.unsigned_abs() > MINOR_MAX {
            return Err(MoneyError::Overflow);
        }
        Ok(Self { minor, currency })
    }

    /// An amount given in major units (euros), refused when it has more decimals than the currency.
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`] or [`MoneyError::Overflow`].
    pub fn from_decimal(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let amount = amount.normalize();
        let missing = currency
            .exponent()
            .checked_sub(amount.scale())
            .ok_or(MoneyError::TooPrecise {
                amount,
                currency,
                exponent: currency.exponent(),
            })?;
        let minor = 10i128
            .checked_pow(missing)
            .and_then(|factor| amount.mantissa().checked_mul(factor));
        Self::from_minor(minor.ok_or(MoneyError::Overflow)?, currency)
    }

    /// An amount in major units, brought to the minor unit by the named rounding.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn rounded(amount: Decimal, currency: Currency, rounding: Rounding) -> Result<Self, MoneyError> {
        Self::from_decimal(rounding.round(amount, currency.exponent()), currency)
    }

    /// An amount written as providers write it: digits, an optional point and digits, an optional minus.
    /// No exponent, no grouping, no plus, no spaces.
    ///
    /// # Errors
    /// [`MoneyError::NotAnAmount`], [`MoneyError::TooPrecise`] or [`MoneyError::Overflow`].
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Self::from_decimal(parse_plain(text)?, currency)
    }

    /// No money of this currency.
    pub fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// The count of minor units.
    pub fn minor(self) -> i128 {
        self.minor
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The amount in major units, with exactly the decimals of the currency: `1250.00`.
    pub fn amount(self) -> Decimal {
        Decimal::try_from_i128_with_scale(self.minor, self.currency.exponent())
            .expect("from_minor bounds the mantissa to 96 bits and every exponent is at most 18")
    }

    /// Whether there is nothing.
    pub fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// Whether it is more than nothing.
    pub fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.minor < 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other, "add")?;
        Self::from_minor(self.minor + other.minor, self.currency)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::Overflow`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other, "subtract")?;
        Self::from_minor(self.minor - other.minor, self.currency)
    }

    /// The product with a number, which must be exact in minor units.
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`] or [`MoneyError::Overflow`].
    pub fn checked_mul(self, factor: Decimal) -> Result<Self, MoneyError> {
        let down = self.mul_rounded(factor, Rounding::Down)?;
        if down == self.mul_rounded(factor, Rounding::Up)? {
            return Ok(down);
        }
        Err(MoneyError::TooPrecise {
            amount: self.amount().checked_mul(factor).ok_or(MoneyError::Overflow)?,
            currency: self.currency,
            exponent: self.currency.exponent(),
        })
    }

    /// The product with a number, rounded as named: a percentage, a fee, a rate within one currency.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn mul_rounded(self, factor: Decimal, rounding: Rounding) -> Result<Self, MoneyError> {
        let factor = factor.normalize();
        let scale = 10i128.checked_pow(factor.scale()).ok_or(MoneyError::Overflow)?;
        self.times_over(factor.mantissa(), scale, rounding)
    }

    /// The quotient by a number, rounded as named.
    ///
    /// # Errors
    /// [`MoneyError::DivisionByZero`] or [`MoneyError::Overflow`].
    pub fn div_rounded(self, divisor: Decimal, rounding: Rounding) -> Result<Self, MoneyError> {
        if divisor.is_zero() {
            return Err(MoneyError::DivisionByZero);
        }
        let divisor = divisor.normalize();
        let scale = 10i128.checked_pow(divisor.scale()).ok_or(MoneyError::Overflow)?;
        self.times_over(scale, divisor.mantissa(), rounding)
    }

    /// `self * numerator / denominator`. The remainder decides the rounding, never digits that were cut
    /// before; the denominator is not zero.
    fn times_over(self, numerator: i128, denominator: i128, rounding: Rounding) -> Result<Self, MoneyError> {
        let sign = self.minor.signum() * numerator.signum() * denominator.signum();
        let divisor = denominator.unsigned_abs();
        let (quotient, remainder) = multiply_and_divide(self.minor.unsigned_abs(), numerator.unsigned_abs(), divisor)
            .ok_or(MoneyError::Overflow)?;
        let quotient = i128::try_from(quotient).map_err(|_| MoneyError::Overflow)?;
        let away = rounding.leaves_zero(sign, quotient % 2 != 0, remainder, divisor);
        let magnitude = quotient.checked_add(i128::from(away)).ok_or(MoneyError::Overflow)?;
        Self::from_minor(sign * magnitude, self.currency)
    }

    /// The largest multiple of `step` that is not further from zero than this amount.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`], or [`MoneyError::DivisionByZero`] for a zero step.
    pub fn down_to_multiple_of(self, step: Self) -> Result<Self, MoneyError> {
        self.same_currency(step, "round")?;
        if step.is_zero() {
            return Err(MoneyError::DivisionByZero);
        }
        Self::from_minor(self.minor - self.minor % step.minor, self.currency)
    }

    /// The amount with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            minor: -self.minor,
            currency: self.currency,
        }
    }

    /// Which is more.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`].
    pub fn compare(self, other: Self) -> Result<Ordering, MoneyError> {
        self.same_currency(other, "compare")?;
        Ok(self.minor.cmp(&other.minor))
    }

    /// Divides the amount by ratios without losing a minor unit.
    ///
    /// Every part first gets its share cut toward zero. The units left over go one each to the parts whose
    /// share was cut by most; of equal ones the earlier part gets it (largest remainder, written order). A
    /// part of ratio zero gets nothing. The sum of the parts is always the amount.
    ///
    /// # Errors
    /// [`MoneyError::BadRatios`] for no ratio, a negative one, or all zero; [`MoneyError::Overflow`].
    pub fn allocate(self, ratios: &[Decimal]) -> Result<Vec<Self>, MoneyError> {
        let weights = whole_weights(ratios)?;
        let total = weights
            .iter()
            .try_fold(0u128, |sum, weight| sum.checked_add(*weight))
            .ok_or(MoneyError::Overflow)?;
        if total == 0 {
            return Err(MoneyError::BadRatios {
                reason: "all of them are zero",
            });
        }
        let amount = self.minor.unsigned_abs();
        let mut parts = weights
            .iter()
            .map(|weight| multiply_and_divide(amount, *weight, total))
            .collect::<Option<Vec<_>>>()
            .ok_or(MoneyError::Overflow)?;
        let mut left = amount - parts.iter().map(|(part, _)| part).sum::<u128>();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        // A stable sort keeps the written order among equal remainders.
        order.sort_by_key(|index| std::cmp::Reverse(parts[*index].1));
        for index in order {
            if left == 0 || !holds(Guard::AllocateWhole) {
                break;
            }
            parts[index].0 += 1;
            left -= 1;
        }
        let parts = parts
            .into_iter()
            .map(|(part, _)| {
                let part = i128::try_from(part).map_err(|_| MoneyError::Overflow)?;
                Self::from_minor(part * self.minor.signum(), self.currency)
            })
            .collect::<Result<Vec<_>, _>>()?;
        assert_eq!(
            parts.iter().map(|part| part.minor).sum::<i128>(),
            self.minor,
            "an allocation keeps every minor unit"
        );
        Ok(parts)
    }

    fn same_currency(self, other: Self, operation: &'static str) -> Result<(), MoneyError> {
        if self.currency == other.currency || !holds(Guard::OneCurrency) {
            return Ok(());
        }
        Err(MoneyError::CurrencyMismatch {
            operation,
            left: self.currency,
            right: other.currency,
        })
    }
}

/// Ratios as whole numbers with the same proportions.
fn whole_weights(ratios: &[Decimal]) -> Result<Vec<u128>, MoneyError> {
    if ratios.is_empty() {
        return Err(MoneyError::BadRatios {
            reason: "there are none",
        });
    }
    if ratios.iter().any(|ratio| *ratio < Decimal::ZERO) {
        return Err(MoneyError::BadRatios {
            reason: "one of them is negative",
        });
    }
    let ratios: Vec<Decimal> = ratios.iter().map(Decimal::normalize).collect();
    let scale = ratios.iter().map(Decimal::scale).max().unwrap_or(0);
    ratios
        .iter()
        .map(|ratio| {
            let factor = 10u128.checked_pow(scale - ratio.scale())?;
            ratio.mantissa().unsigned_abs().checked_mul(factor)
        })
        .collect::<Option<_>>()
        .ok_or(MoneyError::Overflow)
}

/// A plain decimal number of at most 28 digits, exactly.
///
/// # Errors
/// [`MoneyError::NotAnAmount`] for anything else, [`MoneyError::Overflow`] for too many digits.
pub fn parse_plain(text: &str) -> Result<Decimal, MoneyError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return Err(MoneyError::NotAnAmount {
            text: text.chars().take(40).collect(),
        });
    }
    // Zeros at the end of a fraction are kept while they fit, and mean nothing when they do not.
    let short = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    Decimal::from_str_exact(text)
        .or_else(|_| Decimal::from_str_exact(short))
        .map_err(|_| MoneyError::Overflow)
}

impl fmt::Display for Money {
    /// `EUR 1,250.00`: the form for people. Machines get [`Money::amount`] and [`Money::currency`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.amount().abs().to_string();
        let (whole, fraction) = amount
            .split_once('.')
            .map_or((amount.as_str(), None), |(w, d)| (w, Some(d)));
        let mut grouped = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let sign = if self.is_negative() { "-" } else { "" };
        match fraction {
            Some(fraction) => write!(f, "{} {sign}{grouped}.{fraction}", self.currency),
            None => write!(f, "{} {sign}{grouped}", self.currency),
        }
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Money {
    /// `{"amount": "1250.00", "currency": "EUR"}`: the amount is text, never a JSON number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MoneyText {
            amount: self.amount().to_string(),
            currency: self.currency,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = MoneyText::deserialize(deserializer)?;
        Self::parse(&text.amount, text.currency).map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyText {
    amount: String,
    currency: Currency,
}

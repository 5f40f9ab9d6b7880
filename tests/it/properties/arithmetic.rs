//! Money arithmetic: never a unit lost, never a silent rounding, never an overflow that goes unnoticed.
//!
//! Held against whole numbers of the machine, on amounts small enough for these to be exact; the widest amounts are
//! held against the bounds.

use bursar::base::money::{Currency, Money, MoneyError, Rounding};
use rust_decimal::Decimal;

use super::Figure;

/// Exponents 0, 2, 3, 6, 8 and 18.
const CURRENCIES: [&str; 6] = ["JPY", "EUR", "BHD", "USDC", "BTC", "ETH"];
const MINOR_MAX: i128 = (1 << 96) - 1;

fn currencies() -> Vec<Currency> {
    CURRENCIES
        .iter()
        .map(|code| Currency::from_code(code).expect("known"))
        .collect()
}

/// A number of any length up to so many bits, of either sign.
fn any_number(random: &mut fastrand::Rng, bits_max: u32) -> i128 {
    let bits = random.u32(1..=bits_max);
    let magnitude = random.i128(0..1 << bits);
    if random.bool() { magnitude } else { -magnitude }
}

/// `numerator / denominator` by the definition of each mode.
fn divided(numerator: i128, denominator: i128, mode: Rounding) -> i128 {
    let floor = numerator.div_euclid(denominator);
    let remainder = numerator.rem_euclid(denominator);
    if remainder == 0 {
        return floor;
    }
    let up = floor + 1;
    let (toward_zero, away) = if numerator < 0 { (up, floor) } else { (floor, up) };
    let nearest = |tie: i128| match (remainder * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Equal => tie,
        std::cmp::Ordering::Greater => up,
    };
    match mode {
        Rounding::Down => toward_zero,
        Rounding::Up => away,
        Rounding::Floor => floor,
        Rounding::Ceiling => up,
        Rounding::HalfUp => nearest(away),
        Rounding::HalfDown => nearest(toward_zero),
        Rounding::HalfEven => nearest(if floor % 2 == 0 { floor } else { up }),
    }
}

#[test]
fn a_division_into_parts_keeps_every_unit_and_treats_all_alike() {
    let figure = Figure::of(1_000_000, 10_000_000);
    let currencies = currencies();
    figure.for_each(|random| {
        let currency = currencies[random.usize(..currencies.len())];
        let amount = any_number(random, 70);
        let money = Money::from_minor(amount, currency).expect("70 bits");
        let scale = random.u32(0..=3);
        let weights: Vec<i128> = (0..random.usize(1..=6)).map(|_| random.i128(0..=100_000)).collect();
        let total: i128 = weights.iter().sum();
        let ratios = |weights: &[i128]| -> Vec<Decimal> {
            let ratio = |weight: &i128| Decimal::try_from_i128_with_scale(*weight, scale).expect("small");
            weights.iter().map(ratio).collect()
        };
        let parts = match money.allocate(&ratios(&weights)) {
            Ok(parts) => parts,
            Err(error) => {
                assert!(
                    total == 0 && matches!(error, MoneyError::BadRatios { .. }),
                    "{weights:?}: {error}"
                );
                return;
            }
        };
        let minors: Vec<i128> = parts.iter().map(|part| part.minor()).collect();
        assert_eq!(minors.iter().sum::<i128>(), amount, "{weights:?}");
        let mut cuts: Vec<i128> = Vec::with_capacity(weights.len());
        for (part, weight) in minors.iter().zip(&weights) {
            let off = part * total - amount * weight;
            assert!(off.abs() < total, "{amount} by {weights:?}: {minors:?}");
            assert!(*weight != 0 || *part == 0, "a ratio of zero gets nothing: {weights:?}");
            cuts.push((amount.abs() * weight) % total);
        }
        // Written order matters only among parts that were cut by equally much.
        cuts.sort_unstable();
        if cuts.windows(2).all(|pair| pair[0] != pair[1]) {
            let reversed: Vec<i128> = weights.iter().rev().copied().collect();
            let again = money.allocate(&ratios(&reversed)).expect("the same ratios");
            assert!(
                again.iter().rev().map(|part| part.minor()).eq(minors),
                "{amount} by {weights:?}"
            );
        }
    });
    figure.report("divisions into parts");
}

#[test]
fn an_operation_is_exact_or_an_error_and_rounds_only_as_named() {
    let figure = Figure::of(1_000_000, 10_000_000);
    let currencies = currencies();
    figure.for_each(|random| {
        let currency = currencies[random.usize(..currencies.len())];
        let made = |minor: i128| Money::from_minor(minor, currency);
        let fits = |minor: i128| (minor.abs() <= MINOR_MAX).then_some(minor);
        let minor = |result: Result<Money, MoneyError>| match result {
            Ok(money) => Some(money.minor()),
            Err(MoneyError::Overflow) => None,
            Err(other) => panic!("{other}"),
        };
        let (left, right) = (any_number(random, 96), any_number(random, 96));
        let (a, b) = (made(left).expect("96 bits"), made(right).expect("96 bits"));
        assert_eq!(minor(a.checked_add(b)), fits(left + right), "{left} + {right}");
        assert_eq!(minor(a.checked_sub(b)), fits(left - right), "{left} - {right}");
        assert_eq!(a.compare(b), Ok(left.cmp(&right)));
        assert_eq!(a.negated().minor(), -left);

        let (amount, mantissa) = (any_number(random, 60), any_number(random, 40));
        let scale = random.u32(0..=8);
        let factor = Decimal::try_from_i128_with_scale(mantissa, scale).expect("small");
        let money = made(amount).expect("60 bits");
        let (_, mode) = Rounding::ALL[random.usize(..Rounding::ALL.len())];
        let power = 10i128.pow(scale);
        let product = divided(amount * mantissa, power, mode);
        assert_eq!(
            minor(money.mul_rounded(factor, mode)),
            fits(product),
            "{amount} * {factor} {mode:?}"
        );
        match money.checked_mul(factor) {
            Ok(exact) => assert_eq!(exact.minor() * power, amount * mantissa, "{amount} * {factor}"),
            Err(MoneyError::TooPrecise { .. }) => assert_ne!((amount * mantissa) % power, 0, "{amount} * {factor}"),
            Err(MoneyError::Overflow) => assert!(fits(product).is_none() || (amount * mantissa) % power != 0),
            Err(other) => panic!("{other}"),
        }
        match money.div_rounded(factor, mode) {
            Err(MoneyError::DivisionByZero) => assert_eq!(mantissa, 0),
            result => {
                let expected = divided(amount * power * mantissa.signum(), mantissa.abs(), mode);
                assert_eq!(minor(result), fits(expected), "{amount} / {factor} {mode:?}");
            }
        }
        let text = money.amount().to_string();
        assert_eq!(Money::parse(&text, currency), Ok(money), "{text}");
    });
    figure.report("operations on money");
}

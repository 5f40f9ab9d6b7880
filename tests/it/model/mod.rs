//! The pure ground floor: money, values, treasury arithmetic, the journal. Worked cases and random ones.

mod calendar;
mod convert;
mod journal;
mod money;
mod run;
mod split;
mod sweep;
mod treasury;
mod value;

use std::str::FromStr as _;

use bursar::base::money::{Currency, Money};
use proptest::test_runner::{Config, RngSeed};
use rust_decimal::Decimal;

/// How many random cases a property is tried with: 2,000, or what `BURSAR_PROPTEST_CASES` says.
///
/// A failing property prints its smallest case and the seed; `BURSAR_PROPTEST_SEED` runs that seed again.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a random test is told by its environment how long to look, and prints its seed"
)]
fn random_cases() -> Config {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("BURSAR_PROPTEST_CASES").and_then(|cases| u32::try_from(cases).ok());
    let seed =
        number("BURSAR_PROPTEST_SEED").unwrap_or_else(|| u64::from_str_radix(&uuid_digits(), 16).expect("digits"));
    eprintln!("BURSAR_PROPTEST_SEED={seed}");
    Config {
        cases: cases.unwrap_or(2_000),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_global_rejects: u32::MAX,
        ..Config::default()
    }
}

fn uuid_digits() -> String {
    bursar::base::ids::random_uuid()
        .simple()
        .to_string()
        .chars()
        .take(15)
        .collect()
}

/// `EUR 1250.00` as money.
fn money(text: &str) -> Money {
    let (currency, amount) = text.split_once(' ').expect("a currency and an amount");
    Money::parse(amount, currency.parse().expect("a currency")).expect("an amount")
}

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

fn decimal(text: &str) -> Decimal {
    Decimal::from_str(text).expect("a number")
}

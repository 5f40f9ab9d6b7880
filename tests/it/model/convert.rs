//! Conversions: what to sell, and which rates are refused.

use bursar::model::treasury::convert::{SaleForm, SaleRule, achieved_rate, slippage, to_sell};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{decimal, money, random_cases};

fn check(balance: &str, rule: SaleRule, amount: &str, reason: &str) {
    let sale = to_sell(money(balance), &rule).expect("a rule that can be meant");
    assert_eq!(
        (sale.amount.to_string(), sale.reason.as_str()),
        (money(amount).to_string(), reason),
        "balance {balance}, {rule:?}"
    );
}

#[test]
fn what_lies_above_the_float_is_sold() {
    let above = SaleRule {
        minimum: Some(money("USDC 10")),
        ..SaleRule::new(SaleForm::Above(money("USDC 500")))
    };
    check(
        "USDC 750.25",
        above,
        "USDC 250.25",
        "USDC 250.250000 above the float of USDC 500.000000",
    );
    check(
        "USDC 509.999999",
        above,
        "USDC 0",
        "USDC 9.999999 above the float is below the minimum of USDC 10.000000",
    );
    check(
        "USDC 510",
        above,
        "USDC 10",
        "USDC 10.000000 above the float of USDC 500.000000",
    );
    check(
        "USDC 500",
        above,
        "USDC 0",
        "the balance of USDC 500.000000 is not above the float of USDC 500.000000",
    );
    check(
        "USDC 900",
        SaleRule {
            maximum: Some(money("USDC 100")),
            ..above
        },
        "USDC 100",
        "USDC 400.000000 above the float of USDC 500.000000, at most USDC 100.000000 at once",
    );
}

#[test]
fn a_named_amount_is_sold_whole_or_not_at_all() {
    let fifty = SaleRule::new(SaleForm::Amount(money("USD 50")));
    check("USD 50", fifty, "USD 50", "the USD 50.00 asked for");
    check(
        "USD 49.99",
        fifty,
        "USD 0",
        "the balance of USD 49.99 does not cover the USD 50.00 to sell",
    );
    check(
        "USD -1",
        fifty,
        "USD 0",
        "the balance of USD -1.00 does not cover the USD 50.00 to sell",
    );
    check(
        "USD 80",
        SaleRule {
            minimum: Some(money("USD 60")),
            ..fifty
        },
        "USD 0",
        "USD 50.00 is below the minimum of USD 60.00",
    );
}

#[test]
fn rules_that_cannot_be_meant_are_refused() {
    let refused = |rule: SaleRule, message: &str| {
        assert_eq!(
            to_sell(money("USD 80"), &rule).expect_err("refused").to_string(),
            message
        );
    };
    refused(
        SaleRule::new(SaleForm::Amount(money("USD 0"))),
        "the amount to sell is zero; leave it out, or give an amount above zero",
    );
    refused(
        SaleRule::new(SaleForm::Above(money("USD -1"))),
        "the float of USD -1.00 is negative",
    );
    refused(
        SaleRule::new(SaleForm::Above(money("EUR 1"))),
        "cannot compare USD and EUR: convert one of them first",
    );
    refused(
        SaleRule {
            minimum: Some(money("USD 2")),
            maximum: Some(money("USD 1")),
            ..SaleRule::new(SaleForm::Above(money("USD 1")))
        },
        "the maximum of USD 1.00 is below the minimum of USD 2.00, so nothing could ever move",
    );
}

#[test]
fn a_rate_may_slip_up_to_the_limit_and_no_further() {
    let check = |indicative: &str, rate: &str, limit: &str, expected: Result<(), &str>| {
        let result = slippage(decimal(indicative), decimal(rate), decimal(limit)).map_err(|reason| reason.to_string());
        assert_eq!(result, expected.map_err(str::to_owned), "{indicative} {rate} {limit}");
    };
    check("0.92", "0.92", "0", Ok(()));
    check("0.92", "0.95", "0", Ok(()));
    check("1.000", "0.997", "0.003", Ok(()));
    check(
        "1.000",
        "0.9969999",
        "0.003",
        Err("the rate 0.9969999 is 0.3001 % worse than the indicative 1.000, more than the 0.3 % allowed"),
    );
    check(
        "0.92",
        "0.90",
        "0.01",
        Err("the rate 0.90 is 2.174 % worse than the indicative 0.92, more than the 1 % allowed"),
    );
    check("0", "0.90", "0.01", Err("the indicative rate 0 is not above zero"));
    check("0.92", "-0.90", "0.01", Err("the offered rate -0.90 is not above zero"));
    check(
        "0.92",
        "0.90",
        "1",
        Err("the slippage limit 1 is not a fraction from 0 up to 1, such as 0.003 for 0.3 %"),
    );
}

#[test]
fn the_achieved_rate_is_bought_for_one_sold() {
    assert_eq!(
        achieved_rate(money("USDC 200"), money("EUR 184")),
        Some(decimal("0.92"))
    );
    assert_eq!(achieved_rate(money("USDC 0"), money("EUR 184")), None);
}

proptest! {
    #![proptest_config(random_cases())]

    #[test]
    fn a_sale_never_exceeds_the_balance(balance in -10_000i64..10_000, float in 0i64..5_000, minimum in 0i64..500) {
        let usd = |minor: i64| super::Money::from_minor(i128::from(minor), super::currency("USD")).expect("in range");
        let rule = SaleRule { minimum: Some(usd(minimum)), ..SaleRule::new(SaleForm::Above(usd(float))) };
        let sale = to_sell(usd(balance), &rule).expect("a rule that can be meant");
        let expected = i128::from(balance - float);
        let sold = if expected > 0 && expected >= i128::from(minimum) { expected } else { 0 };
        prop_assert_eq!(sale.amount.minor(), sold);
    }

    #[test]
    fn the_limit_is_the_exact_line(indicative in 1u32..1_000_000, rate in 1u32..1_000_000, limit in 0u32..1_000) {
        // In whole numbers: refused exactly when rate * 1000 < indicative * (1000 - limit).
        let refused = u64::from(rate) * 1_000 < u64::from(indicative) * u64::from(1_000 - limit);
        let result = slippage(Decimal::from(indicative), Decimal::from(rate), Decimal::new(i64::from(limit), 3));
        prop_assert_eq!(result.is_err(), refused);
    }
}

//! Sweeps: worked cases with their reasons, and what holds for every balance and rule.

use bursar::model::treasury::sweep::{SweepForm, SweepRule, sweep};
use proptest::prelude::*;

use super::{money, random_cases};

fn rule(form: SweepForm) -> SweepRule {
    SweepRule::new(form)
}

fn check(balance: &str, rule: SweepRule, moved: &str, reason: &str) {
    let result = sweep(money(balance), &rule).expect("a rule that can be meant");
    assert_eq!(
        (result.moved.to_string(), result.reason.as_str()),
        (money(moved).to_string(), reason),
        "balance {balance}, {rule:?}"
    );
    assert_eq!(result.moved.checked_add(result.left), Ok(money(balance)));
}

fn refused(balance: &str, rule: SweepRule, message: &str) {
    assert_eq!(
        sweep(money(balance), &rule)
            .expect_err("a rule that cannot be meant")
            .to_string(),
        message
    );
}

#[test]
fn zero_balancing_moves_what_there_is() {
    let zero = rule(SweepForm::Zero);
    check(
        "EUR 47200.13",
        zero,
        "EUR 47200.13",
        "the whole balance of EUR 47,200.13",
    );
    check("EUR 0.01", zero, "EUR 0.01", "the whole balance of EUR 0.01");
    check("EUR 0.00", zero, "EUR 0.00", "the account is empty");
    check("EUR -5.00", zero, "EUR 0.00", "the account is overdrawn by EUR 5.00");
    check("JPY 1000000", zero, "JPY 1000000", "the whole balance of JPY 1,000,000");
    check(
        "ETH 0.000000000000000001",
        zero,
        "ETH 0.000000000000000001",
        "the whole balance of ETH 0.000000000000000001",
    );
    let minimum = SweepRule {
        minimum: Some(money("EUR 100")),
        ..zero
    };
    check(
        "EUR 40",
        minimum,
        "EUR 0",
        "the balance of EUR 40.00 is below the minimum of EUR 100.00",
    );
}

#[test]
fn a_buffer_stays_and_the_rest_moves_within_the_limits() {
    let keep = rule(SweepForm::KeepBuffer(money("EUR 1000")));
    let nightly = SweepRule {
        minimum: Some(money("EUR 100")),
        multiple: Some(money("EUR 10")),
        ..keep
    };
    check(
        "EUR 48200",
        keep,
        "EUR 47200",
        "EUR 47,200.00 above the buffer of EUR 1,000.00",
    );
    check(
        "EUR 48200",
        nightly,
        "EUR 47200",
        "EUR 47,200.00 above the buffer of EUR 1,000.00",
    );
    check(
        "EUR 48200.13",
        nightly,
        "EUR 47200",
        "EUR 47,200.13 above the buffer of EUR 1,000.00, in whole multiples of EUR 10.00",
    );
    check(
        "EUR 1040",
        nightly,
        "EUR 0",
        "EUR 40.00 above the buffer is below the minimum of EUR 100.00",
    );
    check(
        "EUR 1007.50",
        nightly,
        "EUR 0",
        "EUR 7.50 above the buffer is less than one multiple of EUR 10.00",
    );
    check(
        "EUR 1000",
        nightly,
        "EUR 0",
        "the balance of EUR 1,000.00 is not above the buffer of EUR 1,000.00",
    );
    check(
        "EUR 900",
        nightly,
        "EUR 0",
        "the balance of EUR 900.00 is not above the buffer of EUR 1,000.00",
    );
    check(
        "EUR 1100",
        nightly,
        "EUR 100",
        "EUR 100.00 above the buffer of EUR 1,000.00",
    );
    // Rounding comes before the minimum: 108.00 would pass, the 100.00 that may move does not.
    check(
        "EUR 1108",
        SweepRule {
            minimum: Some(money("EUR 105")),
            ..nightly
        },
        "EUR 0",
        "EUR 100.00 above the buffer, in whole multiples of EUR 10.00, is below the minimum of EUR 105.00",
    );
}

#[test]
fn a_target_works_as_a_buffer_under_its_own_name() {
    let target = rule(SweepForm::Target(money("USDC 500")));
    check(
        "USDC 750.250001",
        target,
        "USDC 250.250001",
        "USDC 250.250001 above the target of USDC 500.000000",
    );
    check(
        "USDC 499.999999",
        target,
        "USDC 0",
        "the balance of USDC 499.999999 is not above the target of USDC 500.000000",
    );
    check(
        "EUR 10",
        rule(SweepForm::Target(money("EUR 0"))),
        "EUR 10",
        "EUR 10.00 above the target of EUR 0.00",
    );
}

#[test]
fn a_maximum_cuts_and_the_multiple_still_holds() {
    let form = SweepForm::KeepBuffer(money("EUR 0"));
    check(
        "EUR 10000",
        SweepRule {
            maximum: Some(money("EUR 2500")),
            ..rule(form)
        },
        "EUR 2500",
        "EUR 10,000.00 above the buffer of EUR 0.00, at most EUR 2,500.00 at once",
    );
    check(
        "EUR 10001",
        SweepRule {
            maximum: Some(money("EUR 2505")),
            multiple: Some(money("EUR 10")),
            ..rule(form)
        },
        "EUR 2500",
        "EUR 10,001.00 above the buffer of EUR 0.00, in whole multiples of EUR 10.00, at most EUR 2,505.00 at once",
    );
    check(
        "EUR 2500",
        SweepRule {
            maximum: Some(money("EUR 2500")),
            ..rule(form)
        },
        "EUR 2500",
        "EUR 2,500.00 above the buffer of EUR 0.00",
    );
    check(
        "EUR 100",
        SweepRule {
            maximum: Some(money("EUR 5")),
            multiple: Some(money("EUR 10")),
            ..rule(form)
        },
        "EUR 0",
        "EUR 100.00 above the buffer of EUR 0.00, at most EUR 5.00 at once: the maximum is less than one multiple",
    );
}

#[test]
fn a_threshold_gathers_and_then_moves_everything() {
    let threshold = rule(SweepForm::Threshold(money("EUR 1000")));
    check(
        "EUR 999.99",
        threshold,
        "EUR 0",
        "the balance of EUR 999.99 is below the threshold of EUR 1,000.00",
    );
    check(
        "EUR 1000",
        threshold,
        "EUR 1000",
        "the whole balance of EUR 1,000.00, as it reached the threshold of EUR 1,000.00",
    );
    check("EUR -1", threshold, "EUR 0", "the account is overdrawn by EUR 1.00");
}

#[test]
fn a_collar_gathers_and_leaves_something_behind() {
    let collar = rule(SweepForm::Collar {
        threshold: money("EUR 1000"),
        keep: money("EUR 200"),
    });
    check(
        "EUR 999",
        collar,
        "EUR 0",
        "the balance of EUR 999.00 is below the threshold of EUR 1,000.00",
    );
    check(
        "EUR 1000",
        collar,
        "EUR 800",
        "EUR 800.00 above the EUR 200.00 to leave behind, as the balance reached the threshold of EUR 1,000.00",
    );
    check(
        "EUR 1000",
        SweepRule {
            minimum: Some(money("EUR 900")),
            ..collar
        },
        "EUR 0",
        "EUR 800.00 above what is left behind is below the minimum of EUR 900.00",
    );
}

#[test]
fn rules_that_cannot_be_meant_are_refused_whatever_the_balance() {
    for balance in ["EUR -10", "EUR 0", "EUR 10", "EUR 1000000"] {
        refused(
            balance,
            rule(SweepForm::KeepBuffer(money("EUR -1"))),
            "the buffer of EUR -1.00 is negative",
        );
        refused(
            balance,
            rule(SweepForm::Target(money("USD 1"))),
            "cannot compare EUR and USD: convert one of them first",
        );
        refused(
            balance,
            SweepRule {
                multiple: Some(money("EUR 0")),
                ..rule(SweepForm::Zero)
            },
            "the multiple is zero; leave it out, or give an amount above zero",
        );
        refused(
            balance,
            SweepRule {
                maximum: Some(money("EUR 0")),
                ..rule(SweepForm::Zero)
            },
            "the maximum is zero; leave it out, or give an amount above zero",
        );
        refused(
            balance,
            SweepRule {
                minimum: Some(money("EUR 10")),
                maximum: Some(money("EUR 9")),
                ..rule(SweepForm::Zero)
            },
            "the maximum of EUR 9.00 is below the minimum of EUR 10.00, so nothing could ever move",
        );
        refused(
            balance,
            rule(SweepForm::Collar {
                threshold: money("EUR 1"),
                keep: money("EUR 2"),
            }),
            "the EUR 2.00 to leave behind is more than the threshold of EUR 1.00",
        );
    }
}

prop_compose! {
    fn euros(limit: i64)(minor in -limit..limit) -> bursar::base::money::Money {
        bursar::base::money::Money::from_minor(i128::from(minor), super::currency("EUR")).expect("in range")
    }
}

fn form() -> impl Strategy<Value = SweepForm> {
    prop_oneof![
        Just(SweepForm::Zero),
        euros(2_000).prop_map(SweepForm::Target),
        euros(2_000).prop_map(SweepForm::Threshold),
        euros(2_000).prop_map(SweepForm::KeepBuffer),
        (euros(2_000), euros(2_000)).prop_map(|(threshold, keep)| SweepForm::Collar { threshold, keep }),
    ]
}

proptest! {
    #![proptest_config(random_cases())]

    #[test]
    fn a_sweep_never_overdraws_and_keeps_every_limit(
        balance in euros(5_000),
        form in form(),
        minimum in proptest::option::of(euros(500)),
        maximum in proptest::option::of(euros(3_000)),
        multiple in proptest::option::of(euros(300)),
    ) {
        let rule = SweepRule { form, minimum, maximum, multiple };
        let Ok(result) = sweep(balance, &rule) else { return Ok(()) };
        prop_assert!(!result.moved.is_negative());
        prop_assert!(!result.reason.is_empty());
        prop_assert_eq!(result.moved.minor() + result.left.minor(), balance.minor());
        if result.moved.is_zero() { return Ok(()); }
        let moved = result.moved.minor();
        let kept = match form {
            SweepForm::Zero => 0,
            SweepForm::Target(kept) | SweepForm::KeepBuffer(kept) => kept.minor(),
            SweepForm::Threshold(threshold) => { prop_assert!(balance.minor() >= threshold.minor()); 0 }
            SweepForm::Collar { threshold, keep } => {
                prop_assert!(balance.minor() >= threshold.minor());
                keep.minor()
            }
            SweepForm::Percent(_) | SweepForm::Fixed(_) => unreachable!("not among the forms of this test"),
        };
        prop_assert!(result.left.minor() >= kept);
        prop_assert!(minimum.is_none_or(|minimum| moved >= minimum.minor()));
        prop_assert!(maximum.is_none_or(|maximum| moved <= maximum.minor()));
        prop_assert!(multiple.is_none_or(|multiple| moved % multiple.minor() == 0));
        // As much as may move does: one more step would break a limit.
        let step = multiple.map_or(1, |multiple| multiple.minor());
        let more = moved + step;
        prop_assert!(more > balance.minor() - kept || maximum.is_some_and(|maximum| more > maximum.minor()));
    }

    #[test]
    fn sweeping_what_is_left_moves_no_more(balance in euros(5_000), form in form()) {
        let rule = SweepRule::new(form);
        if let Ok(first) = sweep(balance, &rule) {
            prop_assert!(sweep(first.left, &rule).expect("the same rule").moved.is_zero());
        }
    }
}

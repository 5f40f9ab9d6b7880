//! Splits: worked cases, readable refusals, and the sum that always holds.

use bursar::base::money::{Money, Rounding};
use bursar::model::treasury::split::{Part, Share, split, split_rounded};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{currency, decimal, money, random_cases};

fn amount(name: &str, text: &str) -> Part {
    Part::new(name, Share::Amount(money(text)))
}

fn percent(name: &str, text: &str) -> Part {
    Part::new(name, Share::Percent(decimal(text)))
}

fn rest(name: &str) -> Part {
    Part::new(name, Share::Rest)
}

fn limited(part: Part, minimum: Option<&str>, maximum: Option<&str>) -> Part {
    Part {
        minimum: minimum.map(money),
        maximum: maximum.map(money),
        ..part
    }
}

fn check(total: &str, parts: &[Part], expected: &[&str]) {
    let expected: Vec<Money> = expected.iter().map(|text| money(text)).collect();
    assert_eq!(split(money(total), parts), Ok(expected), "{total} {parts:?}");
}

fn refused(total: &str, parts: &[Part], message: &str) {
    let problem = split(money(total), parts).expect_err("a split that does not add up");
    assert_eq!(problem.to_string(), message, "{total} {parts:?}");
}

#[test]
fn a_fee_and_the_rest() {
    let fee = || limited(percent("fee", "2.5"), Some("EUR 0.50"), Some("EUR 25"));
    let parts = [fee(), rest("seller")];
    check("EUR 100", &parts, &["EUR 2.50", "EUR 97.50"]);
    check("EUR 10", &parts, &["EUR 0.50", "EUR 9.50"]);
    check("EUR 0.50", &parts, &["EUR 0.50", "EUR 0"]);
    check("EUR 5000", &parts, &["EUR 25", "EUR 4975"]);
    refused(
        "EUR 0.49",
        &parts,
        "the parts come to EUR 0.50, more than the total of EUR 0.49",
    );
    // 2.5 % of 100.25 is 2.50625: cut unless a rounding is named.
    check("EUR 100.25", &parts, &["EUR 2.50", "EUR 97.75"]);
    assert_eq!(
        split_rounded(money("EUR 100.25"), &parts, Rounding::HalfUp),
        Ok(vec![money("EUR 2.51"), money("EUR 97.74")])
    );
}

#[test]
fn fixed_amounts_and_the_rest() {
    check(
        "EUR 100",
        &[amount("a", "EUR 30"), rest("b"), amount("c", "EUR 20")],
        &["EUR 30", "EUR 50", "EUR 20"],
    );
    check(
        "EUR 50",
        &[amount("a", "EUR 30"), rest("b"), amount("c", "EUR 20")],
        &["EUR 30", "EUR 0", "EUR 20"],
    );
    check("EUR 0", &[percent("a", "30"), rest("b")], &["EUR 0", "EUR 0"]);
    check("EUR 7", &[rest("all")], &["EUR 7"]);
    check("EUR 7", &[amount("none", "EUR 0"), rest("all")], &["EUR 0", "EUR 7"]);
    check(
        "JPY 1001",
        &[percent("a", "10"), amount("b", "JPY 1"), rest("c")],
        &["JPY 100", "JPY 1", "JPY 900"],
    );
}

#[test]
fn percentages_that_cover_the_total_share_by_largest_remainder() {
    let thirds = [percent("a", "33.3"), percent("b", "33.3"), percent("c", "33.4")];
    check("EUR 0.10", &thirds, &["EUR 0.03", "EUR 0.03", "EUR 0.04"]);
    check("EUR 1.00", &thirds, &["EUR 0.33", "EUR 0.33", "EUR 0.34"]);
    let halves = [percent("a", "50"), percent("b", "50")];
    check("EUR 0.01", &halves, &["EUR 0.01", "EUR 0"]);
    check("EUR 0", &halves, &["EUR 0", "EUR 0"]);
    let fifths = [
        percent("a", "20"),
        percent("b", "20"),
        percent("c", "20"),
        percent("d", "20"),
        percent("e", "20"),
    ];
    check(
        "EUR 0.99",
        &fifths,
        &["EUR 0.20", "EUR 0.20", "EUR 0.20", "EUR 0.20", "EUR 0.19"],
    );
    check(
        "EUR 0.01",
        &[percent("none", "0"), percent("all", "100")],
        &["EUR 0", "EUR 0.01"],
    );
}

#[test]
fn amounts_and_percentages_may_cover_the_total_together() {
    check(
        "EUR 100",
        &[amount("a", "EUR 10"), percent("b", "90")],
        &["EUR 10", "EUR 90"],
    );
    check(
        "EUR 100",
        &[amount("a", "EUR 60"), amount("b", "EUR 40")],
        &["EUR 60", "EUR 40"],
    );
    check(
        "EUR 100",
        &[amount("a", "EUR 100"), percent("b", "0")],
        &["EUR 100", "EUR 0"],
    );
    refused(
        "EUR 100",
        &[amount("a", "EUR 10"), percent("b", "80")],
        "the parts leave EUR 10.00 of EUR 100.00 over: let one part take the rest",
    );
    refused(
        "EUR 100",
        &[amount("a", "EUR 10"), percent("b", "95")],
        "the parts come to EUR 105.00, more than the total of EUR 100.00",
    );
}

#[test]
fn what_does_not_add_up_is_refused_with_a_sentence() {
    refused("EUR -1", &[rest("a")], "cannot split EUR -1.00: the total is negative");
    refused("EUR 1", &[], "there are no parts to split into");
    refused(
        "EUR 1",
        &[rest("a"), rest("b")],
        "both `a` and `b` take the rest: only one part can",
    );
    refused(
        "EUR 1",
        &[percent("a", "1"), rest("a")],
        "two parts are called `a`: give each its own name",
    );
    refused(
        "EUR 1",
        &[percent("a", "60"), percent("b", "40.5")],
        "the percentages add up to 100.5, more than 100",
    );
    refused(
        "EUR 1",
        &[percent("a", "100.1"), rest("b")],
        "the percentages add up to 100.1, more than 100",
    );
    refused(
        "EUR 1",
        &[percent("a", "-3"), rest("b")],
        "part `a` is negative: -3 per cent",
    );
    refused(
        "EUR 1",
        &[amount("a", "EUR -3"), rest("b")],
        "part `a` is negative: EUR -3.00",
    );
    refused(
        "EUR 1",
        &[amount("a", "USD 3"), rest("b")],
        "part `a`: cannot compare EUR and USD: convert one of them first",
    );
    refused(
        "EUR 1",
        &[percent("a", "99.9"), percent("b", "0.05")],
        "the parts leave EUR 0.01 of EUR 1.00 over: let one part take the rest",
    );
    refused(
        "EUR 5",
        &[amount("a", "EUR 3"), amount("b", "EUR 4"), rest("c")],
        "the parts come to EUR 7.00, more than the total of EUR 5.00",
    );
    refused(
        "EUR 5",
        &[amount("a", "EUR 3")],
        "the parts leave EUR 2.00 of EUR 5.00 over: let one part take the rest",
    );
    refused(
        "EUR 100",
        &[limited(percent("a", "50"), None, Some("EUR 10")), percent("b", "50")],
        "part `a` would be EUR 50.00, which its limits change to EUR 10.00: let one part take the rest",
    );
    refused(
        "EUR 100",
        &[limited(rest("a"), None, Some("EUR 10"))],
        "part `a` has a minimum or maximum: only a percentage can be limited",
    );
    refused(
        "EUR 100",
        &[limited(percent("a", "5"), Some("EUR 11"), Some("EUR 10")), rest("b")],
        "part `a`: the maximum of EUR 10.00 is below the minimum of EUR 11.00",
    );
    refused(
        "EUR 100",
        &[percent("a", "5.0000000000001"), rest("b")],
        "part `a`: 5.0000000000001 has more than 12 decimals",
    );
}

fn share() -> impl Strategy<Value = (u8, i64, Option<i64>, Option<i64>)> {
    (
        0u8..8,
        0i64..6_000,
        proptest::option::weighted(0.2, 0i64..300),
        proptest::option::weighted(0.2, 0i64..900),
    )
}

proptest! {
    #![proptest_config(random_cases())]

    #[test]
    fn the_parts_always_add_up_to_the_total(
        total in 0i64..20_000,
        code in proptest::sample::select(vec!["JPY", "EUR", "BHD", "USDC", "BTC", "ETH"]),
        shares in proptest::collection::vec(share(), 0..6),
        with_rest in any::<bool>(),
        rounding in proptest::sample::select(Rounding::ALL.map(|(_, mode)| mode).to_vec()),
    ) {
        let of = |minor: i64| Money::from_minor(i128::from(minor), currency(code)).expect("in range");
        let mut parts: Vec<Part> = shares.iter().enumerate().map(|(index, (kind, number, minimum, maximum))| Part {
            name: index.to_string(),
            share: if *kind == 0 { Share::Amount(of(*number / 10)) } else { Share::Percent(Decimal::new(*number, 2)) },
            minimum: minimum.filter(|_| *kind != 0).map(of),
            maximum: maximum.filter(|_| *kind != 0).map(of),
        }).collect();
        if with_rest {
            parts.push(rest("rest"));
        }
        let Ok(amounts) = split_rounded(of(total), &parts, rounding) else { return Ok(()) };
        prop_assert_eq!(amounts.len(), parts.len());
        prop_assert_eq!(amounts.iter().map(|amount| amount.minor()).sum::<i128>(), i128::from(total));
        for (part, amount) in parts.iter().zip(&amounts) {
            prop_assert!(!amount.is_negative());
            match part.share {
                Share::Amount(fixed) => prop_assert_eq!(*amount, fixed),
                Share::Percent(percent) if part.minimum.is_none() && part.maximum.is_none() => {
                    let exact = Decimal::from(total) * percent / Decimal::ONE_HUNDRED;
                    let off = (exact - Decimal::from_i128_with_scale(amount.minor(), 0)).abs();
                    prop_assert!(off < Decimal::ONE, "{percent} of {total} is {exact}, not {amount}");
                }
                Share::Percent(_) => {
                    prop_assert!(part.minimum.is_none_or(|least| amount.minor() >= least.minor()));
                    prop_assert!(part.maximum.is_none_or(|most| amount.minor() <= most.minor()));
                }
                Share::Rest => {}
            }
        }
    }

    #[test]
    fn percentages_that_cover_the_total_are_never_refused(total in 0i64..1_000_000, cuts in proptest::collection::vec(0u32..=10_000, 0..5)) {
        let mut cuts = cuts;
        cuts.extend([0, 10_000]);
        cuts.sort_unstable();
        let parts: Vec<Part> = cuts.windows(2).enumerate().map(|(index, pair)| {
            Part::new(index.to_string(), Share::Percent(Decimal::new(i64::from(pair[1] - pair[0]), 2)))
        }).collect();
        let total = Money::from_minor(i128::from(total), currency("EUR")).expect("in range");
        prop_assert!(split(total, &parts).is_ok());
    }
}

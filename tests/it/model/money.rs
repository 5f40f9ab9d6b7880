//! Money against an oracle that computes with decimal digits on paper, as one learns it at school.

use bursar::base::money::{Currency, Money, MoneyError, Rounding, parse_plain};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{currency, decimal, money, random_cases};

/// The digits of a product, most significant first.
fn product(left: u128, right: u128) -> Vec<u8> {
    let digits = |number: u128| -> Vec<u8> { number.to_string().bytes().map(|digit| digit - b'0').collect() };
    let (left, right) = (digits(left), digits(right));
    let mut cells = vec![0u32; left.len() + right.len()];
    for (i, a) in left.iter().rev().enumerate() {
        for (j, b) in right.iter().rev().enumerate() {
            cells[i + j] += u32::from(a * b);
        }
    }
    let mut carry = 0;
    let mut result: Vec<u8> = cells
        .iter()
        .map(|cell| {
            let sum = cell + carry;
            carry = sum / 10;
            u8::try_from(sum % 10).expect("a digit")
        })
        .collect();
    result.reverse();
    let zeros = result.iter().take_while(|digit| **digit == 0).count();
    result.split_off(zeros)
}

/// Quotient and remainder of long division, digit by digit; nothing if the quotient is too long.
fn long_division(digits: &[u8], divisor: u128) -> Option<(i128, u128)> {
    let (mut quotient, mut remainder) = (0i128, 0u128);
    for digit in digits {
        let current = remainder * 10 + u128::from(*digit);
        quotient = quotient
            .checked_mul(10)?
            .checked_add(i128::try_from(current / divisor).ok()?)?;
        remainder = current % divisor;
    }
    Some((quotient, remainder))
}

/// The rounded quotient by the definition of each mode.
fn rounded(negative: bool, digits: &[u8], divisor: u128, mode: Rounding) -> Option<i128> {
    let (quotient, remainder) = long_division(digits, divisor)?;
    let up = quotient + i128::from(remainder > 0);
    let twice = remainder * 2;
    let magnitude = match mode {
        Rounding::Down => quotient,
        Rounding::Up => up,
        Rounding::Floor if negative => up,
        Rounding::Floor => quotient,
        Rounding::Ceiling if negative => quotient,
        Rounding::Ceiling => up,
        Rounding::HalfUp if twice >= divisor => up,
        Rounding::HalfDown if twice > divisor => up,
        Rounding::HalfEven if twice > divisor || twice == divisor && quotient % 2 == 1 => up,
        Rounding::HalfUp | Rounding::HalfDown | Rounding::HalfEven => quotient,
    };
    (magnitude < 1 << 96).then_some(if negative { -magnitude } else { magnitude })
}

fn any_currency() -> impl Strategy<Value = Currency> {
    // Exponents 0, 2, 3, 6, 8, 9 and 18.
    proptest::sample::select(vec!["JPY", "EUR", "BHD", "USDC", "BTC", "SOL", "ETH"]).prop_map(currency)
}

/// Numbers of every length, so that small ones and the largest are both common.
fn minor() -> impl Strategy<Value = i128> {
    (1u32..=96, any::<u128>(), any::<bool>()).prop_map(|(bits, random, negative)| {
        let magnitude = i128::try_from(random >> (128 - bits)).expect("at most 96 bits");
        if negative { -magnitude } else { magnitude }
    })
}

fn any_money() -> impl Strategy<Value = Money> {
    (minor(), any_currency()).prop_map(|(minor, currency)| Money::from_minor(minor, currency).expect("96 bits"))
}

fn any_decimal() -> impl Strategy<Value = Decimal> {
    (minor(), 0u32..=28)
        .prop_map(|(mantissa, scale)| Decimal::try_from_i128_with_scale(mantissa, scale).expect("in range"))
}

fn any_rounding() -> impl Strategy<Value = Rounding> {
    proptest::sample::select(Rounding::ALL.map(|(_, mode)| mode).to_vec())
}

proptest! {
    #![proptest_config(random_cases())]

    #[test]
    fn an_amount_survives_its_own_text(money in any_money()) {
        prop_assert_eq!(Money::parse(&money.amount().to_string(), money.currency()), Ok(money));
        let json = serde_json::to_string(&money).expect("writes");
        prop_assert_eq!(serde_json::from_str::<Money>(&json).expect("reads"), money);
        let shown = money.to_string();
        let plain: String = shown.chars().filter(|letter| *letter != ',').collect();
        prop_assert_eq!(super::money(&plain), money);
        prop_assert_eq!(money.amount().scale(), money.currency().exponent());
    }

    #[test]
    fn a_product_is_rounded_as_on_paper(money in any_money(), factor in any_decimal(), mode in any_rounding()) {
        let digits = product(money.minor().unsigned_abs(), factor.mantissa().unsigned_abs());
        let negative = money.is_negative() != factor.is_sign_negative();
        let expected = rounded(negative, &digits, 10u128.pow(factor.scale()), mode);
        let result = money.mul_rounded(factor, mode);
        prop_assert_eq!(result.map(Money::minor).ok(), expected);
    }

    #[test]
    fn a_product_that_must_be_exact_is_exact_or_refused(money in any_money(), factor in any_decimal()) {
        let digits = product(money.minor().unsigned_abs(), factor.mantissa().unsigned_abs());
        let negative = money.is_negative() != factor.is_sign_negative();
        let down = rounded(negative, &digits, 10u128.pow(factor.scale()), Rounding::Down);
        let up = rounded(negative, &digits, 10u128.pow(factor.scale()), Rounding::Up);
        let expected = if down == up { down } else { None };
        prop_assert_eq!(money.checked_mul(factor).map(Money::minor).ok(), expected);
    }

    #[test]
    fn a_quotient_is_rounded_as_on_paper(money in any_money(), divisor in any_decimal(), mode in any_rounding()) {
        prop_assume!(!divisor.is_zero());
        let divisor = divisor.normalize();
        let digits = product(money.minor().unsigned_abs(), 10u128.pow(divisor.scale()));
        let negative = money.is_negative() != divisor.is_sign_negative();
        let expected = rounded(negative, &digits, divisor.mantissa().unsigned_abs(), mode);
        prop_assert_eq!(money.div_rounded(divisor, mode).map(Money::minor).ok(), expected);
    }

    #[test]
    fn a_decimal_is_brought_to_the_minor_unit_as_on_paper(
        amount in any_decimal(), currency in any_currency(), mode in any_rounding(),
    ) {
        let digits = product(amount.mantissa().unsigned_abs(), 10u128.pow(currency.exponent()));
        let expected = rounded(amount.is_sign_negative(), &digits, 10u128.pow(amount.scale()), mode);
        prop_assert_eq!(Money::rounded(amount, currency, mode).map(Money::minor).ok(), expected);
    }

    #[test]
    fn an_allocation_keeps_every_unit_and_every_part_is_within_one_of_its_share(
        money in any_money(),
        ratios in proptest::collection::vec((0i64..1_000_000_000, 0u32..=9), 1..12),
    ) {
        let ratios: Vec<Decimal> = ratios.into_iter().map(|(number, scale)| Decimal::new(number, scale)).collect();
        let total: Decimal = ratios.iter().sum();
        prop_assume!(!total.is_zero());
        let parts = money.allocate(&ratios).expect("ratios of this size");
        prop_assert_eq!(parts.len(), ratios.len());
        prop_assert_eq!(parts.iter().map(|part| part.minor()).sum::<i128>(), money.minor());
        // The same ratios as whole numbers of billionths.
        let whole = |ratio: Decimal| (ratio * Decimal::from(1_000_000_000)).normalize().mantissa().unsigned_abs();
        for (part, ratio) in parts.iter().zip(&ratios) {
            let digits = product(money.minor().unsigned_abs(), whole(*ratio));
            let down = rounded(money.is_negative(), &digits, whole(total), Rounding::Down);
            let up = rounded(money.is_negative(), &digits, whole(total), Rounding::Up);
            prop_assert!(Some(part.minor()) == down || Some(part.minor()) == up, "{part} of {money} for {ratio}");
        }
    }

    #[test]
    fn equal_ratios_share_in_written_order(minor in -10_000i128..10_000, count in 1usize..20) {
        let parts = Money::from_minor(minor, currency("EUR"))
            .and_then(|money| money.allocate(&vec![Decimal::ONE; count]))
            .expect("equal ratios");
        let sizes: Vec<i128> = parts.iter().map(|part| part.minor().abs()).collect();
        prop_assert!(sizes.is_sorted_by(|earlier, later| earlier >= later), "{sizes:?}");
        prop_assert!(sizes[0] - sizes[count - 1] <= 1);
    }

    #[test]
    fn text_that_is_no_plain_number_is_refused_and_nothing_panics(text in "[-+0-9.,eE_ ]{0,40}") {
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        match parse_plain(&text) {
            Ok(_) | Err(MoneyError::Overflow) => prop_assert!(plain, "{text}"),
            Err(_) => prop_assert!(!plain, "{text}"),
        }
    }
}

#[test]
fn amounts_are_read_as_providers_write_them() {
    let check = |text: &str, code: &str, expected: Result<&str, &str>| {
        let result = Money::parse(text, currency(code));
        assert_eq!(
            result
                .map(|money| money.to_string())
                .map_err(|problem| problem.to_string()),
            expected.map(str::to_owned).map_err(str::to_owned),
            "{text} {code}"
        );
    };
    check("1250.00", "EUR", Ok("EUR 1,250.00"));
    check("1250", "EUR", Ok("EUR 1,250.00"));
    check("-0.00", "EUR", Ok("EUR 0.00"));
    check("-0.05", "EUR", Ok("EUR -0.05"));
    check("007", "JPY", Ok("JPY 7"));
    check("1.500", "EUR", Ok("EUR 1.50"));
    check("1.0000000000000000000000000000000000", "EUR", Ok("EUR 1.00"));
    check(
        "79228162514264337593543950335",
        "JPY",
        Ok("JPY 79,228,162,514,264,337,593,543,950,335"),
    );
    check(
        "79228162514264337593543950336",
        "JPY",
        Err("the amount has more digits than can be held exactly (28)"),
    );
    check(
        "1.005",
        "EUR",
        Err("1.005 has more decimals than EUR allows (2); round it first, naming the rounding"),
    );
    let not_an_amount = "is not an amount: expected digits with an optional point, such as 1250.00";
    for text in [
        "", "-", ".5", "5.", "+5", "1,000", "1e3", " 1", "1 ", "--1", "0x10", "1_000", "NaN", "٣",
    ] {
        check(text, "EUR", Err(&format!("`{text}` {not_an_amount}")));
    }
}

#[test]
fn currencies_are_known_by_their_exact_code() {
    let check = |code: &str, expected: Result<u32, &str>| {
        let result = Currency::from_code(code);
        assert_eq!(
            result.map(Currency::exponent).map_err(|problem| problem.to_string()),
            expected.map_err(str::to_owned),
            "{code}"
        );
    };
    check("EUR", Ok(2));
    check("JPY", Ok(0));
    check("KWD", Ok(3));
    check("CLF", Ok(4));
    check("USDC", Ok(6));
    check("BTC", Ok(8));
    check("ETH", Ok(18));
    check("eur", Err("unknown currency `eur`: did you mean `EUR`?"));
    check("usdc ", Err("unknown currency `usdc `: did you mean `USDC`?"));
    let expected = "expected an ISO 4217 code or one of BTC ETH EURC MATIC POL SOL USDC USDT, in capitals";
    check("EURO", Err(&format!("unknown currency `EURO`: {expected}")));
    check("XAU", Err(&format!("unknown currency `XAU`: {expected}")));
    check("", Err(&format!("unknown currency ``: {expected}")));
}

#[test]
fn the_edges_of_what_can_be_held_are_errors_and_never_panics() {
    let largest = Money::from_minor((1 << 96) - 1, currency("EUR")).expect("the largest");
    let cent = money("EUR 0.01");
    for minor in [1 << 96, -(1 << 96), i128::MAX, i128::MIN] {
        assert_eq!(
            Money::from_minor(minor, currency("EUR")),
            Err(MoneyError::Overflow),
            "{minor}"
        );
    }
    assert_eq!(largest.checked_add(cent), Err(MoneyError::Overflow));
    assert_eq!(largest.negated().checked_sub(cent), Err(MoneyError::Overflow));
    assert_eq!(largest.checked_mul(decimal("1.1")), Err(MoneyError::Overflow));
    assert_eq!(
        largest.div_rounded(decimal("0.1"), Rounding::Down),
        Err(MoneyError::Overflow)
    );
    assert_eq!(
        cent.div_rounded(Decimal::ZERO, Rounding::Down),
        Err(MoneyError::DivisionByZero)
    );
    assert_eq!(largest.checked_mul(Decimal::ONE), Ok(largest));
    assert_eq!(
        largest
            .allocate(&[Decimal::ONE; 2])
            .map(|parts| parts[0].minor() - parts[1].minor()),
        Ok(1)
    );
    // A rate of twenty digits on an amount of twenty: the product has forty, the result fits.
    assert_eq!(
        money("ETH 123.456789012345678901").mul_rounded(decimal("0.98765432109876543210"), Rounding::HalfEven),
        Ok(money("ETH 121.932631137021795225"))
    );
    assert!(matches!(cent.allocate(&[]), Err(MoneyError::BadRatios { .. })));
    assert!(matches!(
        cent.allocate(&[Decimal::ZERO]),
        Err(MoneyError::BadRatios { .. })
    ));
    assert!(matches!(
        cent.allocate(&[Decimal::ONE, Decimal::NEGATIVE_ONE]),
        Err(MoneyError::BadRatios { .. })
    ));
}

#[test]
fn two_currencies_never_meet() {
    let (euros, dollars) = (money("EUR 1"), money("USD 1"));
    let mismatch = |operation| {
        Err(MoneyError::CurrencyMismatch {
            operation,
            left: currency("EUR"),
            right: currency("USD"),
        })
    };
    assert_eq!(euros.checked_add(dollars), mismatch("add"));
    assert_eq!(euros.checked_sub(dollars), mismatch("subtract"));
    assert_eq!(euros.compare(dollars).map(|_| euros), mismatch("compare"));
    assert_eq!(euros.down_to_multiple_of(dollars), mismatch("round"));
    assert_ne!(euros, dollars);
}

//! Money in scripts: constructors, operators and methods over [`Money`].
//!
//! The arithmetic is `base::money`'s. This file gives it to scripts so that nothing silent is left:
//! comparing money with anything but money of the same currency is an error, never `false`.

use std::cmp::Ordering;

use rhai::{Array, Dynamic, EvalAltResult, Module};
use rust_decimal::Decimal;

use super::convert::{kind, number};
use super::fault::{Native, fault};
use super::register::reads;
use crate::base::money::{Currency, Money, MoneyError, Rounding, parse_plain};

/// Currencies with a function of their own name, beside the coins; all others go through `money(…)`.
const CURRENCIES: [&str; 17] = [
    "EUR", "USD", "GBP", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN", "JPY", "AUD", "CAD", "SGD",
    "HKD",
];

/// A money error as scripts see it.
fn refused(error: &MoneyError) -> Box<EvalAltResult> {
    let code = match error {
        MoneyError::UnknownCurrency { .. } => "unknown_currency",
        MoneyError::NotAnAmount { .. } => "not_an_amount",
        MoneyError::TooPrecise { .. } => "too_precise",
        MoneyError::CurrencyMismatch { .. } => "currency_mismatch",
        MoneyError::Overflow => "overflow",
        MoneyError::DivisionByZero => "division_by_zero",
        MoneyError::BadRatios { .. } => "bad_ratios",
    };
    fault(code, error.to_string())
}

fn checked<T>(result: Result<T, MoneyError>) -> Native<T> {
    result.map_err(|error| refused(&error))
}

/// The rounding with this name.
pub(super) fn rounding(name: &str) -> Native<Rounding> {
    Rounding::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Rounding::ALL.iter().map(|(name, _)| *name).collect();
        fault(
            "unknown_rounding",
            format!("no rounding `{name}`: use one of {}", names.join(", ")),
        )
    })
}

/// What `money` and its kin take as an amount.
fn amount(value: &Dynamic) -> Native<Decimal> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return checked(parse_plain(&text));
    }
    number(value).ok_or_else(|| {
        fault(
            "type",
            format!("an amount is a number or text such as \"100.50\", not {}", kind(value)),
        )
    })
}

fn factor(value: &Dynamic, wanted: &str) -> Native<Decimal> {
    number(value).ok_or_else(|| fault("type", format!("money is {wanted} by a number, not by {}", kind(value))))
}

/// `a / b` for money: a ratio of two amounts, or advice.
pub(super) fn divide(left: Money, right: &Dynamic) -> Native<Decimal> {
    let Some(right) = right.read_lock::<Money>() else {
        return Err(fault(
            "rounding_needed",
            format!(
                "dividing money needs a rounding: write `.divide({}, \"half_even\")`, or `.allocate([1, 1])` to keep every cent",
                number(right).map_or_else(|| "n".to_owned(), |number| number.to_string())
            ),
        ));
    };
    // Compared first: the ratio of two currencies is a rate, not a number.
    checked(left.compare(*right))?;
    if right.is_zero() {
        return Err(refused(&MoneyError::DivisionByZero));
    }
    left.amount()
        .checked_div(right.amount())
        .map(|ratio| ratio.normalize())
        .ok_or_else(|| refused(&MoneyError::Overflow))
}

fn ratios(list: &Array) -> Native<Vec<Decimal>> {
    list.iter()
        .map(|ratio| number(ratio).ok_or_else(|| fault("type", format!("a ratio is a number, not {}", kind(ratio)))))
        .collect()
}

/// Adds money to the standard functions.
pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<Money>("money");
    constructors(module);
    arithmetic(module);
    comparisons(module);
    methods(module);
}

fn constructors(module: &mut Module) {
    reads(module, "money", |value: Dynamic, code: &str| -> Native<Money> {
        let currency = checked(Currency::from_code(code))?;
        checked(Money::from_decimal(amount(&value)?, currency))
    });
    reads(
        module,
        "money",
        |value: Dynamic, code: &str, mode: &str| -> Native<Money> {
            let currency = checked(Currency::from_code(code))?;
            checked(Money::rounded(amount(&value)?, currency, rounding(mode)?))
        },
    );
    for code in CURRENCIES.into_iter().chain(Currency::coins()) {
        reads(module, code, move |value: Dynamic| -> Native<Money> {
            let currency = checked(Currency::from_code(code))?;
            checked(Money::from_decimal(amount(&value)?, currency))
        });
    }
}

fn arithmetic(module: &mut Module) {
    reads(module, "+", |a: Money, b: Money| checked(a.checked_add(b)));
    reads(module, "-", |a: Money, b: Money| checked(a.checked_sub(b)));
    reads(module, "-", |a: Money| a.negated());
    reads(module, "+", |a: Money| a);
    reads(module, "*", |a: Money, b: i64| checked(a.checked_mul(b.into())));
    reads(module, "*", |a: Money, b: Decimal| checked(a.checked_mul(b)));
    reads(module, "*", |a: i64, b: Money| checked(b.checked_mul(a.into())));
    reads(module, "*", |a: Decimal, b: Money| checked(b.checked_mul(a)));
    reads(module, "/", |a: Money, b: Dynamic| divide(a, &b));
    for (operator, verb) in [("+", "add"), ("-", "subtract")] {
        let wrong = move |money: Money| -> Native<Money> {
            let code = money.currency();
            Err(fault(
                "type",
                format!("cannot {verb} {money} and a plain number: give it a currency, such as {code}(1)"),
            ))
        };
        reads(module, operator, move |a: Money, _: i64| wrong(a));
        reads(module, operator, move |a: Money, _: Decimal| wrong(a));
        reads(module, operator, move |_: i64, b: Money| wrong(b));
        reads(module, operator, move |_: Decimal, b: Money| wrong(b));
    }
}

/// The six comparisons. Each also has overloads that refuse every other type, because the interpreter
/// would answer `false` where none is registered.
fn comparisons(module: &mut Module) {
    for (operator, holds) in COMPARISONS {
        reads(module, operator, move |a: Money, b: Money| {
            checked(a.compare(b)).map(holds)
        });
        let wrong = move |money: Money, other: &Dynamic| -> Native<bool> {
            Err(fault(
                "type",
                format!("cannot compare {money} with {}: compare money with money", kind(other)),
            ))
        };
        reads(module, operator, move |a: Money, b: Dynamic| wrong(a, &b));
        reads(module, operator, move |a: Dynamic, b: Money| wrong(b, &a));
    }
}

/// A comparison operator and what it asks of an ordering.
type Comparison = (&'static str, fn(Ordering) -> bool);

/// Every comparison operator: none is derived from another.
pub(super) const COMPARISONS: [Comparison; 6] = [
    ("==", Ordering::is_eq),
    ("!=", Ordering::is_ne),
    ("<", Ordering::is_lt),
    ("<=", Ordering::is_le),
    (">", Ordering::is_gt),
    (">=", Ordering::is_ge),
];

fn methods(module: &mut Module) {
    for name in ["to_string", "to_debug", "print", "debug"] {
        reads(module, name, |money: Money| money.to_string());
    }
    module.set_getter_fn("amount", |money: &mut Money| Ok(money.amount()));
    module.set_getter_fn("currency", |money: &mut Money| Ok(money.currency().code().to_owned()));
    module.set_getter_fn("minor", |money: &mut Money| {
        // Minor units of an 18-decimal coin pass 64 bits early; a 96-bit decimal holds them all.
        let minor = money.minor();
        i64::try_from(minor).map_or_else(
            |_| {
                Decimal::try_from_i128_with_scale(minor, 0)
                    .map(Dynamic::from_decimal)
                    .map_err(|_| refused(&MoneyError::Overflow))
            },
            |minor| Ok(Dynamic::from(minor)),
        )
    });
    for (name, holds) in [
        ("is_zero", Money::is_zero as fn(Money) -> bool),
        ("is_positive", Money::is_positive),
        ("is_negative", Money::is_negative),
    ] {
        reads(module, name, holds);
        module.set_getter_fn(name, move |money: &mut Money| Ok(holds(*money)));
    }
    reads(module, "abs", |a: Money| if a.is_negative() { a.negated() } else { a });
    reads(module, "min", |a: Money, b: Money| {
        checked(a.compare(b)).map(|order| if order.is_le() { a } else { b })
    });
    reads(module, "max", |a: Money, b: Money| {
        checked(a.compare(b)).map(|order| if order.is_ge() { a } else { b })
    });
    reads(module, "times", |a: Money, b: Dynamic, mode: &str| -> Native<Money> {
        checked(a.mul_rounded(factor(&b, "multiplied")?, rounding(mode)?))
    });
    reads(module, "divide", |a: Money, b: Dynamic, mode: &str| -> Native<Money> {
        checked(a.div_rounded(factor(&b, "divided")?, rounding(mode)?))
    });
    reads(
        module,
        "round_to",
        |a: Money, places: i64, mode: &str| -> Native<Money> {
            let rounded = super::number::round(a.amount(), places, mode)?;
            checked(Money::from_decimal(rounded, a.currency()))
        },
    );
    reads(module, "down_to_multiple_of", |a: Money, step: Money| {
        checked(a.down_to_multiple_of(step))
    });
    reads(module, "allocate", |a: Money, list: Array| -> Native<Array> {
        let parts = checked(a.allocate(&ratios(&list)?))?;
        Ok(parts.into_iter().map(Dynamic::from).collect())
    });
}

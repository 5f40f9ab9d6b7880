//! What each part of a split gives back of an amount, for scripts that send it back themselves: pure arithmetic, for every
//! provider. It moves nothing and remembers nothing; its result is what it is told the next time.

use super::args::{Args, invalid};
use super::{Body, Kind, Module, Primitive};
use crate::base::money::Money;
use crate::engine::turn::Turn;
use crate::model::treasury::give_back::reverse;
use crate::model::value::{Map, Value};
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Plain,
    name: "reversal",
    kind: Kind::Step,
    params: &[
        (
            "#parts",
            "the `parts` that `split` returned, or those of an earlier `reversal`: list of maps with `amount`, and `returned`, which it gave back before",
        ),
        ("amount", "money that goes back, of all parts together"),
    ],
    result: "list of the same maps with `back` (what the part gives back now), `returned` (what it has given back with it) and `left`",
    doc: "Says what each part of a split gives back of an amount: in proportion to what it still has of its original part, so that all of it together takes every part to zero. A part that was not paid gives nothing. It moves nothing.",
    example: "for part in reversal(#{ parts: [#{ name: \"fee\", amount: EUR(2.50) }, #{ name: \"seller\", amount: EUR(97.50) }], amount: EUR(40) }) { log::info(`${part.name}: ${part.back}`); }",
    needs: &[],
    body: Body::Plain(reversal),
}];

fn reversal(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new("reversal", given, &["parts", "amount"])?;
    turn.local("reversal", &given.typed_text(), || {
        let amount = args.required_money("amount")?;
        let parts = args.list("parts")?.iter();
        let parts: Vec<&Map> = parts
            .map(|part| {
                part.as_map()
                    .ok_or_else(|| invalid("`parts` of `reversal` is a list of maps"))
            })
            .collect::<Result<_, _>>()?;
        let had = parts.iter().map(|part| had(part)).collect::<Result<Vec<_>, _>>()?;
        let back = reverse(&had, amount).map_err(|error| invalid(error.to_string()))?;
        let told = parts
            .iter()
            .zip(had)
            .zip(&back)
            .map(|((part, (paid, before)), back)| told(part, paid, before, *back))
            .collect::<Result<Vec<_>, _>>()?;
        let summary = format!("{amount} of {} parts", told.len());
        Ok((Value::List(told), summary))
    })
}

/// What a part was paid, and what it has given back.
fn had(part: &Map) -> Result<(Money, Money), Thrown> {
    let money = |key: &str| match part.get(key).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(Value::Money(money)) => Ok(Some(*money)),
        Some(other) => Err(invalid(format!(
            "`{key}` of a part of `reversal` is an amount of money, not {}",
            other.kind()
        ))),
    };
    let amount = money("amount")?.ok_or_else(|| invalid("each part of `reversal` needs `amount`"))?;
    let zero = Money::zero(amount.currency());
    let was_paid = part.get("failure").is_none_or(Value::is_null);
    Ok((if was_paid { amount } else { zero }, money("returned")?.unwrap_or(zero)))
}

fn told(part: &Map, paid: Money, before: Money, back: Money) -> Result<Value, Thrown> {
    let wrong = |error: crate::base::money::MoneyError| invalid(error.to_string());
    let returned = before.checked_add(back).map_err(wrong)?;
    let left = paid.checked_sub(returned).map_err(wrong)?;
    let mut told = part.clone();
    for (name, amount) in [("back", back), ("returned", returned), ("left", left)] {
        told.insert(name.to_owned(), Value::Money(amount));
    }
    Ok(Value::Map(told))
}

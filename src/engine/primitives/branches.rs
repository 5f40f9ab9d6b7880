//! The primitive that does the same for many items, several at once.

use std::sync::Arc;

use super::args::{Args, invalid};
use super::{Body, Kind, Module, Primitive};
use crate::base::limits::{PARALLEL_BRANCHES, PARALLEL_BRANCHES_MAX};
use crate::engine::turn::Turn;
use crate::model::journal::Outcome;
use crate::model::value::Value;
use crate::script::{Given, Thrown};

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Plain,
    name: "parallel",
    kind: Kind::Wait,
    params: &[
        ("items", "a list"),
        (
            "options?",
            "#{ branches: 4 }: how many run at once, from 1 to 32; 8 if not given. Stands before the function",
        ),
        ("function", "what to do with each item: |item| … or |item, index| …"),
    ],
    result: "a list in the order of the items: #{ ok: true, value: … } for each that came to its end, \
             #{ ok: false, error: #{ error, message, details } } for each that failed",
    doc: "Calls a function for each item, several at once. One that waits or fails leaves the others alone; the run \
          waits when all have ended or wait. Each works on copies: what it assigns to a variable from outside is not \
          seen outside.",
    example: "let paid = parallel(event.payload.sellers, |seller| bank::retrieve_payout(seller.payout));",
    needs: &[],
    body: Body::Closure(parallel),
}];

fn parallel(turn: &Arc<Turn>, args: &[Value], given: &Given<'_, Turn>) -> Result<Value, Thrown> {
    let items = args.first().unwrap_or(&Value::Null);
    let Value::List(items) = items else {
        return Err(invalid(format!("`parallel` takes a list first, not {}", items.kind())));
    };
    let at_once = match args.get(1) {
        None => PARALLEL_BRANCHES,
        Some(options) => branches(options)?,
    };
    let outcomes = turn.parallel(items, at_once, given)?;
    Ok(Value::List(outcomes.into_iter().map(told).collect()))
}

fn branches(options: &Value) -> Result<usize, Thrown> {
    let args = Args::new("parallel", options, &["branches"])?;
    let given = args.required("branches")?;
    let number = match given {
        Value::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    number
        .filter(|number| (1..=PARALLEL_BRANCHES_MAX).contains(number))
        .ok_or_else(|| {
            invalid(format!(
                "`branches` of `parallel` has to be a whole number from 1 to {PARALLEL_BRANCHES_MAX}, not {given}"
            ))
        })
}

/// An outcome as a script reads it.
fn told(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Value(value) => Value::map([("ok", Value::Bool(true)), ("value", value)]),
        Outcome::Failure(failure) => Value::map([
            ("ok", Value::Bool(false)),
            (
                "error",
                Value::map([
                    ("error", Value::text(failure.code)),
                    ("message", Value::text(failure.message)),
                    ("details", failure.details),
                ]),
            ),
        ]),
    }
}

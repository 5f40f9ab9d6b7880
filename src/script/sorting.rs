//! Sorting in scripts: a merge sort of our own, whose comparer may fail.
//!
//! The standard one swallows what a comparer raises, panics on comparers that contradict themselves, and
//! leaves the order of calls to the standard library. Here errors end the sort, any comparer is survived,
//! and the same list is always compared in the same order, on every version of every library.

use std::cmp::Ordering;

use rhai::{Array, Dynamic, FnPtr, Module, NativeCallContext};

use super::callback::Callback;
use super::convert::{kind, number};
use super::fault::{Native, fault};
use super::register::{changes, reads};
use super::time::{Length, Moment};
use crate::base::money::Money;

/// Sorts; equal items keep their order. If the comparer fails, nothing is returned.
fn merge_sort(items: Array, compare: &mut dyn FnMut(&Dynamic, &Dynamic) -> Native<Ordering>) -> Native<Array> {
    if items.len() < 2 {
        return Ok(items);
    }
    let mut left = items;
    let right = left.split_off(left.len() / 2);
    let left = merge_sort(left, compare)?;
    let right = merge_sort(right, compare)?;
    let mut merged = Array::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        let next = if compare(first, second)?.is_le() {
            left.next()
        } else {
            right.next()
        };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

/// The natural order of two values of one kind.
fn natural(a: &Dynamic, b: &Dynamic) -> Native<Ordering> {
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Ok(a.cmp(&b));
    }
    if let (Ok(a), Ok(b)) = (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
        return Ok(a.cmp(&b));
    }
    if let (Ok(a), Ok(b)) = (a.as_char(), b.as_char()) {
        return Ok(a.cmp(&b));
    }
    if let (Ok(a), Ok(b)) = (a.as_bool(), b.as_bool()) {
        return Ok(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (a.read_lock::<Money>(), b.read_lock::<Money>()) {
        return a
            .compare(*b)
            .map_err(|error| fault("currency_mismatch", error.to_string()));
    }
    if let (Some(a), Some(b)) = (a.read_lock::<Moment>(), b.read_lock::<Moment>()) {
        return Ok(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (a.read_lock::<Length>(), b.read_lock::<Length>()) {
        return Ok(a.cmp(&b));
    }
    if a.is_unit() && b.is_unit() {
        return Ok(Ordering::Equal);
    }
    Err(fault(
        "type",
        format!("cannot sort {} and {}: give sort a comparer", kind(a), kind(b)),
    ))
}

/// The answer of a comparer: a number below, at or above zero, or whether the first comes before.
fn by_answer(answer: &Dynamic) -> Native<Ordering> {
    if let Ok(before) = answer.as_bool() {
        return Ok(if before { Ordering::Less } else { Ordering::Greater });
    }
    number(answer)
        .map(|number| number.cmp(&rust_decimal::Decimal::ZERO))
        .ok_or_else(|| {
            fault(
                "type",
                format!(
                    "a comparer answers with a number or true or false, not {}",
                    kind(answer)
                ),
            )
        })
}

fn sorted_by(context: &NativeCallContext<'_>, list: &Array, f: &FnPtr) -> Native<Array> {
    let callback = Callback::new(context, f, "sort");
    merge_sort(list.clone(), &mut |a, b| {
        by_answer(&callback.call(std::slice::from_ref(a), &mut b.clone(), &Dynamic::UNIT)?)
    })
}

fn sorted(list: &Array, descending: bool) -> Native<Array> {
    merge_sort(list.clone(), &mut |a, b| {
        natural(a, b).map(|order| if descending { order.reverse() } else { order })
    })
}

/// Removes each item that equals the one before it.
fn without_repeats(list: &mut Array, same: &mut dyn FnMut(&Dynamic, &Dynamic) -> Native<bool>) -> Native<()> {
    let mut kept = Array::new();
    for item in list.iter() {
        let repeats = match kept.last() {
            Some(last) => same(last, item)?,
            None => false,
        };
        if !repeats {
            kept.push(item.clone());
        }
    }
    *list = kept;
    Ok(())
}

/// Adds sorting to the standard functions.
pub(super) fn register(module: &mut Module) {
    for name in ["sort", "sort_by"] {
        changes(
            module,
            name,
            |context: NativeCallContext, list: &mut Array, f: FnPtr| -> Native<()> {
                *list = sorted_by(&context, list, &f)?;
                Ok(())
            },
        );
    }
    for name in ["order", "order_by"] {
        reads(
            module,
            name,
            |context: NativeCallContext, list: &mut Array, f: FnPtr| sorted_by(&context, list, &f),
        );
    }
    for (name, descending) in [("sort", false), ("sort_desc", true)] {
        changes(module, name, move |list: &mut Array| -> Native<()> {
            *list = sorted(list, descending)?;
            Ok(())
        });
    }
    for (name, descending) in [("order", false), ("order_desc", true)] {
        reads(module, name, move |list: &mut Array| sorted(list, descending));
    }
    changes(
        module,
        "dedup",
        |context: NativeCallContext, list: &mut Array| -> Native<()> {
            without_repeats(list, &mut |a, b| {
                context.call_native_fn::<bool>("==", (a.clone(), b.clone()))
            })
        },
    );
    changes(
        module,
        "dedup",
        |context: NativeCallContext, list: &mut Array, f: FnPtr| -> Native<()> {
            let callback = Callback::new(&context, &f, "dedup");
            without_repeats(list, &mut |a, b| {
                callback.holds(std::slice::from_ref(a), &mut b.clone(), &Dynamic::UNIT)
            })
        },
    );
}

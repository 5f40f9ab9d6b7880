//! Text in scripts: the standard functions that could allocate without bound, and the text of closures.
//!
//! `replace`, `split` and `to_chars` make their result in one native step, which nothing can interrupt, so its size
//! is known before it is made. A closure's own name is a hash that changes with every build of this
//! program; it must not get into a text that a run records and compares on replay.

use rhai::{Array, Dynamic, FnPtr, ImmutableString, Module};

use super::fault::{Native, fault};
use super::register::{changes, reads};
use crate::base::limits::{SCRIPT_LIST_ITEMS_MAX, SCRIPT_TEXT_BYTES_MAX};

fn replace(text: &mut ImmutableString, from: &str, to: &str) -> Native<()> {
    let found = text.matches(from).count();
    let size = found
        .checked_mul(to.len())
        .and_then(|added| added.checked_add(text.len() - found * from.len()));
    if size.is_none_or(|size| size > SCRIPT_TEXT_BYTES_MAX) {
        return Err(fault(
            "too_large",
            format!("the text would be longer than {SCRIPT_TEXT_BYTES_MAX} bytes"),
        ));
    }
    *text = text.replace(from, to).into();
    Ok(())
}

/// The pieces as a list, unless they are more than a list may hold.
fn listed<P: Into<Dynamic>>(pieces: impl Iterator<Item = P>) -> Native<Array> {
    let list: Array = pieces.take(SCRIPT_LIST_ITEMS_MAX + 1).map(Into::into).collect();
    if list.len() > SCRIPT_LIST_ITEMS_MAX {
        return Err(fault(
            "too_large",
            format!("the text would come to more than {SCRIPT_LIST_ITEMS_MAX} pieces"),
        ));
    }
    Ok(list)
}

/// The standard functions take a count of pieces below one for one.
fn at_most(pieces: i64) -> usize {
    usize::try_from(pieces).map_or(1, |pieces| pieces.max(1))
}

fn splitting(module: &mut Module) {
    reads(module, "to_chars", |text: &str| listed(text.chars()));
    reads(module, "split", |text: &str| {
        if text.is_empty() {
            return Ok(vec![text.into()]);
        }
        listed(text.split_whitespace())
    });
    reads(module, "split", |text: &str, by: &str| listed(text.split(by)));
    reads(module, "split", |text: &str, by: char| listed(text.split(by)));
    reads(module, "split", |text: &str, by: &str, pieces: i64| {
        listed(text.splitn(at_most(pieces), by))
    });
    reads(module, "split", |text: &str, by: char, pieces: i64| {
        listed(text.splitn(at_most(pieces), by))
    });
    reads(module, "split_rev", |text: &str, by: &str| listed(text.rsplit(by)));
    reads(module, "split_rev", |text: &str, by: char| listed(text.rsplit(by)));
    reads(module, "split_rev", |text: &str, by: &str, pieces: i64| {
        listed(text.rsplitn(at_most(pieces), by))
    });
    reads(module, "split_rev", |text: &str, by: char, pieces: i64| {
        listed(text.rsplitn(at_most(pieces), by))
    });
}

/// Puts the guarded functions in the place of the standard ones.
pub(super) fn register(module: &mut Module) {
    splitting(module);
    changes(module, "replace", |text: &mut ImmutableString, from: &str, to: &str| {
        replace(text, from, to)
    });
    changes(module, "replace", |text: &mut ImmutableString, from: char, to: &str| {
        replace(text, &from.to_string(), to)
    });
    changes(module, "replace", |text: &mut ImmutableString, from: &str, to: char| {
        replace(text, from, &to.to_string())
    });
    changes(module, "replace", |text: &mut ImmutableString, from: char, to: char| {
        replace(text, &from.to_string(), &to.to_string())
    });
    for name in ["to_string", "to_debug", "print", "debug"] {
        reads(module, name, |_: &mut FnPtr| "closure");
    }
}

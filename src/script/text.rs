//! Text in scripts: the one standard function that could allocate without bound, and the text of closures.
//!
//! `replace` computes its result in one native step, which nothing can interrupt, so its size is
//! computed before it is made. A closure's own name is a hash that changes with every build of this
//! program; it must not get into a text that a run records and compares on replay.

use rhai::{FnPtr, ImmutableString, Module};

use super::fault::{Native, fault};
use super::register::{changes, reads};
use crate::base::limits::SCRIPT_TEXT_BYTES_MAX;

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

/// Puts the guarded functions in the place of the standard ones.
pub(super) fn register(module: &mut Module) {
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

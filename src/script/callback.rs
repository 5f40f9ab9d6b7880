//! Calling a script's closure from a native function.
//!
//! The interpreter wraps what a closure raises inside its own natives, which makes every error catchable,
//! even the one that ends the turn. Here errors go through untouched.

use std::cell::Cell;

use rhai::{Dynamic, EvalAltResult, FnPtr, NativeCallContext};

use super::convert::kind;
use super::fault::{Native, fault};

/// How a closure wants its item; found out at the first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `|item|`
    Item,
    /// `|item, index|`
    ItemAndExtra,
    /// `||`, with the item as `this`
    This,
}

const FORMS: [Form; 3] = [Form::Item, Form::ItemAndExtra, Form::This];

/// A closure together with the place it is called from.
pub(super) struct Callback<'a> {
    context: &'a NativeCallContext<'a>,
    function: &'a FnPtr,
    /// The native it was given to, for messages.
    caller: &'static str,
    form: Cell<Option<Form>>,
}

impl<'a> Callback<'a> {
    pub(super) fn new(context: &'a NativeCallContext<'a>, function: &'a FnPtr, caller: &'static str) -> Self {
        Self {
            context,
            function,
            caller,
            form: Cell::new(None),
        }
    }

    /// Calls it with `before…, item`, or with `before…, item, extra`, or with `before…` and the item as `this`.
    pub(super) fn call(&self, before: &[Dynamic], item: &mut Dynamic, extra: &Dynamic) -> Native<Dynamic> {
        if let Some(form) = self.form.get() {
            return self.call_as(form, before, item, extra);
        }
        for form in FORMS {
            match self.call_as(form, before, item, extra) {
                Err(error) if self.is_other_arity(&error) => {}
                result => {
                    self.form.set(Some(form));
                    return result;
                }
            }
        }
        Err(fault(
            "wrong_arity",
            format!(
                "the function given to `{}` takes the wrong number of arguments: {} or {} are passed",
                self.caller,
                before.len() + 1,
                before.len() + 2
            ),
        ))
    }

    fn call_as(&self, form: Form, before: &[Dynamic], item: &mut Dynamic, extra: &Dynamic) -> Native<Dynamic> {
        let mut arguments = before.to_vec();
        match form {
            Form::Item => arguments.push(item.clone()),
            Form::ItemAndExtra => arguments.extend([item.clone(), extra.clone()]),
            Form::This => return self.function.call_raw(self.context, Some(item), arguments),
        }
        self.function.call_raw(self.context, None, arguments)
    }

    /// Whether there is no such closure with this many parameters. An error from inside the closure is
    /// wrapped in its frame, so it cannot be mistaken for this.
    fn is_other_arity(&self, error: &EvalAltResult) -> bool {
        matches!(error, EvalAltResult::ErrorFunctionNotFound(signature, _)
            if signature.starts_with(self.function.fn_name()))
    }

    /// Calls it for an answer of true or false.
    pub(super) fn holds(&self, before: &[Dynamic], item: &mut Dynamic, extra: &Dynamic) -> Native<bool> {
        let answer = self.call(before, item, extra)?;
        answer.as_bool().map_err(|_| {
            fault(
                "type",
                format!(
                    "the function given to `{}` must answer true or false, not {}",
                    self.caller,
                    kind(&answer)
                ),
            )
        })
    }
}

/// The position of an item, for closures that want it.
pub(super) fn index(position: usize) -> Dynamic {
    i64::try_from(position).unwrap_or(i64::MAX).into()
}

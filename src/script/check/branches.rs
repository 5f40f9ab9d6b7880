//! Functions given to the host, which calls them on other threads with copies: what they assign is lost.

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::script::{Closure, as_closure, root_of};
use super::{Case, span_of};
use crate::model::diagnostic::Diagnostic;

/// Methods that change what they are called on.
const CHANGING: [&str; 16] = [
    "append",
    "clear",
    "dedup",
    "drain",
    "fill_with",
    "insert",
    "mixin",
    "pad",
    "pop",
    "push",
    "remove",
    "retain",
    "reverse",
    "set",
    "shift",
    "sort",
];

/// Adds every finding about functions given to the host.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| {
            let (call, position) = match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
                    (call, *position)
                }
                _ => return,
            };
            // With another number of arguments it is not known which is the function.
            let takes = |name: &str| {
                let function = case.surface.function(name).filter(|function| function.takes_function);
                function.is_some_and(|function| function.arity.contains(&call.args.len()))
            };
            if call.namespace.is_empty() && takes(&call.name) {
                check_call(case, call, position, findings);
            }
        });
    }
}

fn check_call(case: &Case<'_>, call: &FnCallExpr, position: Position, findings: &mut Vec<Diagnostic>) {
    let Some(last) = call.args.last() else { return };
    if let Some(closure) = as_closure(last) {
        check_closure(case, &call.name, &closure, findings);
        return;
    }
    let plain = matches!(
        last,
        Expr::Array(..)
            | Expr::Map(..)
            | Expr::StringConstant(..)
            | Expr::InterpolatedString(..)
            | Expr::IntegerConstant(..)
            | Expr::BoolConstant(..)
            | Expr::Unit(..)
    );
    if plain {
        let message = format!("the last argument of `{}` is a function", call.name);
        let help = format!("write it as {}(items, |item| …)", call.name);
        findings.push(
            case.error("not-a-function", message)
                .at(span_of(position, &call.name))
                .help(help),
        );
    }
}

fn check_closure(case: &Case<'_>, native: &str, closure: &Closure, findings: &mut Vec<Diagnostic>) {
    let captured = |name: &str| closure.captures.iter().any(|(captured, _)| captured == name);
    for unit in case.script.functions(&closure.name) {
        unit.walk(case.script, &mut |path| {
            let changed = match path.last() {
                Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => Some(&assignment.1.lhs),
                Some(ASTNode::Expr(Expr::Dot(parts, ..))) => match &parts.rhs {
                    Expr::MethodCall(call, _) if CHANGING.contains(&call.name.as_str()) => Some(&parts.lhs),
                    _ => None,
                },
                _ => None,
            };
            if let Some(target) = changed
                && let Some(name) = root_of(target).filter(|name| captured(name))
            {
                let message =
                    format!("`{name}` is a copy inside the function given to `{native}`: what it is set to is lost");
                findings.push(
                    case.error("copy-changed", message)
                        .at(span_of(target.start_position(), name))
                        .help(format!(
                            "let the function return it, and read the results of `{native}`"
                        )),
                );
            }
        });
    }
}

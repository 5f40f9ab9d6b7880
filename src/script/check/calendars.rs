//! Calendars: names that are written where a function of the host takes one, and that no calendar has.
//!
//! A name that is computed is known only when a run has come to it.

use rhai::{ASTNode, Expr, FnCallExpr, Stmt};

use super::surface::Place;
use super::{Case, span, suggest};
use crate::model::diagnostic::Diagnostic;

/// Adds every finding about names of calendars.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    let Some(known) = &case.surface.calendars else { return };
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| {
            let (call, is_method) = match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => (call, false),
                Some(ASTNode::Expr(Expr::MethodCall(call, _))) => (call, true),
                _ => return,
            };
            if let Some(Expr::StringConstant(name, at)) = written(case, call, is_method) {
                for part in name
                    .split('+')
                    .map(str::trim)
                    .filter(|part| known.iter().all(|known| known != part))
                {
                    let finding = case
                        .error("unknown-calendar", format!("there is no calendar `{part}`"))
                        .at(span(*at, name.chars().count() + 2));
                    let finding = suggest(finding, part, known.iter().map(String::as_str));
                    findings.push(if finding.label.is_some() {
                        finding
                    } else {
                        finding.help(format!("there are: {}", known.join(", ")))
                    });
                }
            }
        });
    }
}

/// What is written where the called function takes the name of a calendar. The receiver of a method is its first
/// argument and stands elsewhere.
fn written<'a>(case: &Case<'_>, call: &'a FnCallExpr, is_method: bool) -> Option<&'a Expr> {
    let shadowed = case.script.functions(&call.name).next().is_some();
    let function = case
        .surface
        .function(&call.name)
        .filter(|_| call.namespace.is_empty() && !shadowed)?;
    match function.calendar.as_ref()? {
        Place::Argument(number) => call.args.get(number.checked_sub(usize::from(is_method))?),
        Place::Key(key) => match call.args.first()? {
            Expr::Map(map, _) => map.0.iter().find(|(name, _)| name.name == *key).map(|(_, value)| value),
            _ => None,
        },
    }
}

//! Variables of which it is known what they hold: declared once in the file, and changed nowhere.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{ASTNode, Expr, FnCallExpr, Stmt};

use super::super::sandbox::CONSTANTS;
use super::script::{Script, root_of};

/// What such variables were declared as, in the reader's words for it. What may be something else by the time it is used is
/// left out: a parameter, what is assigned, what a method is called on, what a function may change.
pub(super) fn variables<W>(script: &Script, read: impl Fn(&Expr) -> Option<W>) -> BTreeMap<String, W> {
    let mut declared: BTreeMap<String, Option<W>> = BTreeMap::new();
    let mut uncertain: BTreeSet<String> = CONSTANTS.iter().map(|name| (*name).to_owned()).collect();
    for unit in &script.units {
        uncertain.extend(unit.params.iter().cloned());
        uncertain.insert(unit.name.clone());
        unit.walk(script, &mut |path| match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => {
                let name = variable.0.name.to_string();
                if declared.insert(name.clone(), read(&variable.1)).is_some() {
                    uncertain.insert(name);
                }
            }
            Some(ASTNode::Stmt(statement)) => uncertain.extend(changed_by(statement)),
            Some(ASTNode::Expr(Expr::FnCall(call, _))) => uncertain.extend(changed_in(call)),
            Some(ASTNode::Expr(chain @ (Expr::Dot(..) | Expr::Index(..)))) if has_method(chain) => {
                uncertain.extend(root_of(chain).map(str::to_owned));
            }
            _ => {}
        });
    }
    let known = declared
        .into_iter()
        .filter(|(name, _)| !uncertain.contains(name))
        .filter_map(|(name, held)| Some((name, held?)));
    known.collect()
}

fn changed_by(statement: &Stmt) -> Vec<String> {
    match statement {
        Stmt::Assignment(assignment) => root_of(&assignment.1.lhs).map(str::to_owned).into_iter().collect(),
        Stmt::For(parts, _) => std::iter::once(&parts.0)
            .chain(&parts.1)
            .map(|name| name.name.to_string())
            .collect(),
        Stmt::TryCatch(parts, _) => root_of(&parts.expr).map(str::to_owned).into_iter().collect(),
        Stmt::FnCall(call, _) => changed_in(call).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A function gets its first argument itself, not a copy, where it is no module's.
fn changed_in(call: &FnCallExpr) -> Option<String> {
    let may_change = call.namespace.is_empty() && call.op_token.is_none();
    let first = call.args.first().filter(|_| may_change)?;
    root_of(first).map(str::to_owned)
}

fn has_method(chain: &Expr) -> bool {
    match chain {
        Expr::MethodCall(..) => true,
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => has_method(&parts.lhs) || has_method(&parts.rhs),
        _ => false,
    }
}

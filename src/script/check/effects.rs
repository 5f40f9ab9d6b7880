//! Effects where order is not the writer's: a comparer that moves money while a list is sorted.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::script::{Script, Unit, as_closure};
use super::{Case, span_of};
use crate::model::diagnostic::Diagnostic;

/// Methods that call a comparer as often and in such order as they please.
const SORTERS: [&str; 5] = ["sort", "sort_by", "order", "order_by", "dedup"];

/// Adds every finding about effects.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| {
            let (call, position) = match path.last() {
                Some(ASTNode::Expr(Expr::MethodCall(call, position) | Expr::FnCall(call, position)))
                | Some(ASTNode::Stmt(Stmt::FnCall(call, position))) => (call, *position),
                _ => return,
            };
            if SORTERS.contains(&call.name.as_str()) && call.namespace.is_empty() {
                findings.extend(check_comparer(case, call, position));
            }
        });
    }
}

fn check_comparer(case: &Case<'_>, call: &FnCallExpr, position: Position) -> Option<Diagnostic> {
    let comparer = call.args.iter().find_map(comparer_name)?;
    let mut seen = BTreeSet::new();
    let effect = effect_of(case, case.script, &comparer, &mut seen)?;
    let message = format!("`{effect}` may not be called while `{}` compares", call.name);
    Some(
        case.error("effect-in-comparer", message)
            .at(span_of(position, &call.name))
            .help("how often and in which order a comparer is called is not yours to say: collect what it needs first"),
    )
}

/// The function that an argument stands for.
fn comparer_name(argument: &Expr) -> Option<String> {
    if let Some(closure) = as_closure(argument) {
        return Some(closure.name);
    }
    match argument {
        Expr::Variable(variable, ..) => Some(variable.1.to_string()),
        Expr::FnCall(call, _) if call.name == "Fn" => match call.args.first() {
            Some(Expr::StringConstant(name, _)) => Some(name.to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// The first effect a function has, itself or through what it calls.
fn effect_of(case: &Case<'_>, script: &Script, function: &str, seen: &mut BTreeSet<String>) -> Option<String> {
    if !seen.insert(format!("{}#{function}", script.path)) {
        return None;
    }
    script
        .functions(function)
        .find_map(|unit| effect_in(case, script, unit, seen))
}

fn effect_in(case: &Case<'_>, script: &Script, unit: &Unit, seen: &mut BTreeSet<String>) -> Option<String> {
    let mut called: Vec<(Option<String>, String)> = Vec::new();
    unit.walk(script, &mut |path| match path.last() {
        Some(
            ASTNode::Expr(Expr::MethodCall(call, _) | Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)),
        ) => {
            let module = (!call.namespace.is_empty()).then(|| call.namespace.to_string());
            called.push((module, call.name.to_string()));
        }
        Some(ASTNode::Expr(expression)) => {
            called.extend(as_closure(expression).map(|closure| (None, closure.name)));
        }
        _ => {}
    });
    called.into_iter().find_map(|(module, name)| match module {
        None => match case.surface.function(&name) {
            Some(function) => (!function.pure).then_some(name),
            None => effect_of(case, script, &name, seen),
        },
        Some(module) => match script.imports.get(&module) {
            Some(file) => effect_of(case, case.scripts.get(file)?, &name, seen),
            None => {
                let function = case.surface.modules.get(&module)?.function(&name)?;
                (!function.pure).then(|| format!("{module}::{name}"))
            }
        },
    })
}

//! Names: variables that do not exist, parameters that are not in the manifest, constants declared anew.

use std::num::NonZeroUsize;

use rhai::{ASTNode, Expr, Position, Stmt};

use super::super::sandbox::CONSTANTS;
use super::script::Unit;
use super::{Case, span_of, suggest};
use crate::model::diagnostic::Diagnostic;

/// Adds every finding about names.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| match path.last() {
            Some(ASTNode::Expr(expression)) => {
                findings.extend(unknown_variable(case, unit, expression));
                findings.extend(unknown_param(case, expression));
            }
            Some(ASTNode::Stmt(statement)) => declared_anew(case, statement, findings),
            _ => {}
        });
        if unit.is_named() {
            let place = case.script.place_of_function(&unit.name);
            for param in &unit.params {
                findings.extend(reserved(case, param, place));
            }
        }
    }
}

fn unknown_variable(case: &Case<'_>, unit: &Unit, expression: &Expr) -> Option<Diagnostic> {
    let Expr::Variable(variable, short_index, position) = expression else {
        return None;
    };
    let (long_index, name, namespace, _) = &**variable;
    let found: Option<NonZeroUsize> = *long_index;
    let is_known = !namespace.is_empty()
        || found.is_some()
        || short_index.is_some()
        || CONSTANTS.contains(&name.as_str())
        // What a closure captures becomes its parameter; whether it exists is asked where it is captured.
        || unit.params.iter().any(|param| param == name.as_str())
        // A function's bare name is a pointer to it.
        || case.script.functions(name).next().is_some();
    if is_known {
        return None;
    }
    let functions = case.script.units.iter().filter(|unit| unit.is_named());
    let candidates = case
        .script
        .declared
        .iter()
        .map(String::as_str)
        .chain(CONSTANTS)
        .chain(functions.map(|unit| unit.name.as_str()))
        .filter(|candidate| *candidate != name.as_str());
    let finding = case
        .error("unknown-variable", format!("no variable `{name}`"))
        .at(span_of(*position, name));
    if case.script.declared.contains(name.as_str()) {
        return Some(finding.help(format!(
            "`{name}` is declared elsewhere in this file: functions see only their parameters, blocks end what they declare"
        )));
    }
    Some(suggest(finding, name, candidates))
}

/// The first key in a chain that starts at `params`, with its place.
fn param_key(expression: &Expr) -> Option<(&str, Position)> {
    let (parts, is_index) = match expression {
        Expr::Dot(parts, ..) => (parts, false),
        Expr::Index(parts, ..) => (parts, true),
        _ => return None,
    };
    match &parts.lhs {
        Expr::Variable(variable, ..) if variable.1 == "params" && variable.2.is_empty() => {}
        _ => return None,
    }
    let first = match &parts.rhs {
        Expr::Dot(rest, ..) | Expr::Index(rest, ..) => &rest.lhs,
        last => last,
    };
    match first {
        Expr::Property(property, position) if !is_index => Some((&property.2, *position)),
        Expr::StringConstant(key, position) if is_index => Some((key, *position)),
        _ => None,
    }
}

fn unknown_param(case: &Case<'_>, expression: &Expr) -> Option<Diagnostic> {
    let params = case.surface.params.as_ref()?;
    let (key, position) = param_key(expression)?;
    if params.iter().any(|param| param == key) {
        return None;
    }
    let finding = case
        .error("unknown-param", format!("no parameter `{key}` in the manifest"))
        .at(span_of(position, key));
    let finding = suggest(finding, key, params.iter().map(String::as_str));
    Some(if finding.label.is_some() {
        finding
    } else {
        finding.help("add it to [params] of the manifest")
    })
}

fn reserved(case: &Case<'_>, name: &str, position: Position) -> Option<Diagnostic> {
    if CONSTANTS.contains(&name) {
        let message = format!("`{name}` is a constant of every script and cannot be declared");
        return Some(
            case.error("reserved-name", message)
                .at(span_of(position, name))
                .help("choose another name"),
        );
    }
    None
}

fn declared_anew(case: &Case<'_>, statement: &Stmt, findings: &mut Vec<Diagnostic>) {
    match statement {
        Stmt::Var(variable, ..) => findings.extend(reserved(case, &variable.0.name, variable.0.pos)),
        Stmt::For(parts, _) => {
            findings.extend(reserved(case, &parts.0.name, parts.0.pos));
            let counter = parts.1.as_ref();
            findings.extend(counter.and_then(|counter| reserved(case, &counter.name, counter.pos)));
        }
        Stmt::TryCatch(parts, _) => {
            if let Expr::Variable(variable, _, position) = &parts.expr {
                findings.extend(reserved(case, &variable.1, *position));
            }
        }
        Stmt::Import(import, _) => {
            let alias = &import.1;
            findings.extend(reserved(case, &alias.name, alias.pos));
            if case.surface.has_module(&alias.name) {
                let message = format!("`{}` is a module of this workflow already", alias.name);
                findings.push(
                    case.error("reserved-name", message)
                        .at(span_of(alias.pos, &alias.name))
                        .help("import it under another name"),
                );
            }
        }
        _ => {}
    }
}

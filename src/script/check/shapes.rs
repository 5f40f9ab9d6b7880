//! Shapes of code that the interpreter accepts and that do not do what they look like.

use rhai::{ASTFlags, ASTNode, Expr, Position, Stmt};

use super::script::{Unit, as_closure, root_of};
use super::surface::standard_functions;
use super::{Case, span, span_of};
use crate::model::diagnostic::{Diagnostic, Severity};

/// Adds every finding about shapes.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| match path.last() {
            Some(ASTNode::Stmt(statement)) => {
                findings.extend(check_import(case, unit, path.len(), statement));
                findings.extend(check_self_capture(case, statement));
                findings.extend(check_exported_closure(case, statement));
            }
            Some(ASTNode::Expr(expression)) => check_data_race(case, expression, findings),
            _ => {}
        });
        findings.extend(check_returned_closure(case, unit));
    }
    check_redefinitions(case, findings);
}

fn check_import(case: &Case<'_>, unit: &Unit, depth: usize, statement: &Stmt) -> Option<Diagnostic> {
    let Stmt::Import(import, position) = statement else {
        return None;
    };
    let place = span_of(*position, "import");
    match &import.0 {
        Expr::StringConstant(name, at) => {
            let file = super::super::program::file_of(name);
            let is_there = case.scripts.contains_key(&file) || case.broken.contains(&file.as_str());
            if !is_there {
                let message = format!("no script `{file}`");
                return Some(
                    case.error("missing-import", message)
                        .at(span(*at, name.chars().count() + 2)),
                );
            }
        }
        _ => {
            return Some(
                case.error("import-not-literal", "an import names its file literally")
                    .at(place)
                    .help("write the path as plain text: import \"lib/sellers\" as sellers;"),
            );
        }
    }
    if depth > 1 || !unit.is_top_level() {
        return Some(
            case.error(
                "import-not-at-top",
                "imports stand at the top of a script, outside of every block",
            )
            .at(place)
            .help("move it to the top: what a run consists of is fixed before it begins"),
        );
    }
    None
}

/// A closure that holds the variable it is stored in is never freed.
fn check_self_capture(case: &Case<'_>, statement: &Stmt) -> Option<Diagnostic> {
    let Stmt::Assignment(assignment) = statement else {
        return None;
    };
    let root = root_of(&assignment.1.lhs)?;
    let closure = as_closure(&assignment.1.rhs)?;
    let (name, place) = closure.captures.into_iter().find(|(name, _)| name == root)?;
    Some(
        case.error(
            "closure-cycle",
            format!("this closure is stored in `{name}` and uses `{name}`"),
        )
        .at(span_of(place, &name))
        .help("make it a function: functions can call themselves"),
    )
}

/// A closure given to a method of a variable finds that variable locked.
fn check_data_race(case: &Case<'_>, expression: &Expr, findings: &mut Vec<Diagnostic>) {
    let (Expr::Dot(parts, ..) | Expr::Index(parts, ..)) = expression else {
        return;
    };
    let Expr::Variable(root, ..) = &parts.lhs else {
        return;
    };
    let mut rest = &parts.rhs;
    loop {
        let (link, next) = match rest {
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => (&parts.lhs, Some(&parts.rhs)),
            last => (last, None),
        };
        if let Expr::MethodCall(call, _) = link {
            let closures = call.args.iter().filter_map(as_closure);
            let races = closures
                .flat_map(|closure| closure.captures)
                .filter(|(name, _)| *name == root.1.as_str());
            findings.extend(races.map(|(name, place)| data_race(case, &name, &call.name, place)));
        }
        match next {
            Some(next) => rest = next,
            None => return,
        }
    }
}

fn data_race(case: &Case<'_>, variable: &str, method: &str, place: Position) -> Diagnostic {
    let message = format!("`{variable}` cannot be used inside a closure given to its own `.{method}(…)`");
    case.error("data-race", message)
        .at(span_of(place, variable))
        .help(format!(
            "copy what the closure needs before: let copy = {variable}; and use `copy` in it"
        ))
}

/// Closures do not survive leaving the module they were made in.
fn foreign_closure(case: &Case<'_>, place: Position) -> Diagnostic {
    case.error("closure-returned", "a closure cannot leave the file it was made in")
        .at(span(place, 1))
        .help("return plain values, or let the caller pass a closure in")
}

fn closure_in(expression: &Expr) -> Option<Position> {
    if as_closure(expression).is_some() {
        return Some(expression.position());
    }
    match expression {
        Expr::Array(items, _) => items.iter().find_map(closure_in),
        Expr::Map(map, _) => map.0.iter().find_map(|(_, item)| closure_in(item)),
        _ => None,
    }
}

fn check_exported_closure(case: &Case<'_>, statement: &Stmt) -> Option<Diagnostic> {
    match statement {
        Stmt::Var(variable, flags, _) if !case.script.is_main && flags.intersects(ASTFlags::EXPORTED) => {
            Some(foreign_closure(case, closure_in(&variable.1)?))
        }
        _ => None,
    }
}

fn check_returned_closure(case: &Case<'_>, unit: &Unit) -> Option<Diagnostic> {
    if case.script.is_main || !unit.is_named() || unit.private {
        return None;
    }
    let (mut returned, mut last) = (None, None);
    unit.walk(case.script, &mut |path| match path {
        [.., ASTNode::Stmt(Stmt::Return(Some(value), flags, _))] if !flags.intersects(ASTFlags::BREAK) => {
            returned = returned.or_else(|| closure_in(value));
        }
        // The last statement of the body is its value.
        [ASTNode::Stmt(Stmt::Expr(value))] => last = closure_in(value),
        [ASTNode::Stmt(_)] => last = None,
        _ => {}
    });
    returned.or(last).map(|place| foreign_closure(case, place))
}

/// A function of the script in the place of another one changes what every call of that name means.
fn check_redefinitions(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in case.script.units.iter().filter(|unit| unit.is_named()) {
        let name = unit.name.as_str();
        let place = span_of(case.script.place_of_function(name), name);
        if case.surface.function(name).is_some() {
            let message = format!("`{name}` is a function of this workflow already");
            findings.push(
                case.error("redefinition", message)
                    .at(place)
                    .help("choose another name"),
            );
        } else if standard_functions().contains_key(name) {
            let message = format!("`{name}` is a standard function: `x.{name}(…)` will call this one instead");
            findings.push(Diagnostic {
                severity: Severity::Warning,
                ..case
                    .error("redefinition", message)
                    .at(place)
                    .help("choose another name")
            });
        }
    }
}

//! Keys: what stands in the map of named arguments that is written where a function of the host is called.
//!
//! The function itself would say the same, but only when a run has come to it.

use rhai::{ASTNode, Expr, FnCallExpr, Ident, Position, Stmt};

use super::surface::Signature;
use super::{Case, span, span_of, suggest};
use crate::model::diagnostic::Diagnostic;

/// Adds every finding about named arguments.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| {
            if let Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) =
                path.last()
                && let Some(function) = called(case, call).filter(|function| !function.keys.is_empty())
            {
                match call.args.as_slice() {
                    [Expr::Map(map, _)] if function.arguments.is_empty() => {
                        check_map(case, function, "", &map.0, *position, findings);
                    }
                    arguments => check_arguments(case, function, arguments, findings),
                }
            }
        });
    }
}

/// Checks the maps among arguments that each have a name.
fn check_arguments(case: &Case<'_>, function: &Signature, arguments: &[Expr], findings: &mut Vec<Diagnostic>) {
    for (name, argument) in function.arguments.iter().zip(arguments) {
        let place = format!("{name}.");
        let is_known = function.keys.iter().any(|(key, _)| key.starts_with(&place));
        if let (Expr::Map(map, at), true) = (argument, is_known) {
            check_map(case, function, &place, &map.0, *at, findings);
        }
    }
}

/// The function of the host that is called, if it is one.
pub(super) fn called<'a>(case: &'a Case<'_>, call: &FnCallExpr) -> Option<&'a Signature> {
    if call.namespace.is_empty() {
        return case.surface.function(&call.name);
    }
    let module = call.namespace.to_string();
    let is_import = case.script.imports.contains_key(&module);
    let module = case.surface.modules.get(&module).filter(|_| !is_import);
    module.and_then(|module| module.function(&call.name))
}

/// A map as it is written: its keys with what stands under them.
type Written = [(Ident, Expr)];

/// Checks a map, and the maps written in it: what stands under a key that may have any keys is passed over.
fn check_map(
    case: &Case<'_>,
    function: &Signature,
    place: &str,
    written: &Written,
    position: Position,
    findings: &mut Vec<Diagnostic>,
) {
    check_keys(case, function, place, written, position, findings);
    for (key, value) in written {
        let (maps, inner): (&[Expr], String) = match value {
            Expr::Map(..) => (std::slice::from_ref(value), format!("{place}{}.", key.name)),
            Expr::Array(items, _) => (items, format!("{place}{}[].", key.name)),
            _ => continue,
        };
        if !function.keys.iter().any(|(known, _)| known.starts_with(&inner)) {
            continue;
        }
        for map in maps {
            if let Expr::Map(map, at) = map {
                check_map(case, function, &inner, &map.0, *at, findings);
            }
        }
    }
}

/// What is checked, for people: the function, or the key whose map it is.
fn told(function: &Signature, place: &str) -> (String, String) {
    let name = &function.name;
    match place
        .trim_end_matches('.')
        .trim_end_matches("[]")
        .rsplit(['.', ']'])
        .next()
    {
        Some(key) if !key.is_empty() => (format!("`{key}` of `{name}`"), key.to_owned()),
        _ => (format!("`{name}`"), name.clone()),
    }
}

fn check_keys(
    case: &Case<'_>,
    function: &Signature,
    place: &str,
    written: &Written,
    position: Position,
    findings: &mut Vec<Diagnostic>,
) {
    let (whose, name) = told(function, place);
    let known: Vec<(&str, bool)> = function
        .keys
        .iter()
        .filter_map(|(key, required)| Some((key.strip_prefix(place)?, *required)))
        .filter(|(key, _)| !key.contains(['.', '[']))
        .collect();
    let taken = || known.iter().map(|(key, _)| *key);
    let given: Vec<(&str, Position)> = written.iter().map(|(key, _)| (key.name.as_str(), key.pos)).collect();
    for (key, at) in given.iter().filter(|(key, _)| taken().all(|known| known != *key)) {
        let at_place = format!("{place}{key}");
        if function.lacking.contains(&at_place) {
            let message = format!("{whose} of this connection cannot be told `{key}`");
            let finding = case.error("unsupported", message).at(span_of(*at, key));
            let taken = taken().collect::<Vec<_>>().join(", ");
            findings.push(
                finding
                    .label("the provider has nothing like it")
                    .help(format!("here it takes {taken}")),
            );
            continue;
        }
        let finding = case
            .error("unknown-argument", format!("{whose} does not take `{key}`"))
            .at(span_of(*at, key));
        let finding = suggest(finding, key, taken());
        findings.push(if finding.label.is_some() {
            finding
        } else {
            finding.help(format!("it takes {}", taken().collect::<Vec<_>>().join(", ")))
        });
    }
    // What is read from somewhere may be nothing, which is as if it were not written.
    let is_told = |key: &str| {
        let value = written.iter().find(|(given, _)| given.name == key);
        value.is_some_and(|(_, value)| match value {
            Expr::IntegerConstant(..) | Expr::DynamicConstant(..) => true,
            Expr::FnCall(call, _) => call.namespace.is_empty() && case.script.functions(&call.name).next().is_none(),
            _ => false,
        })
    };
    for apart in function.apart.iter().filter(|apart| apart.place == place) {
        let [alone, other] = &apart.keys;
        let at = given.iter().find(|(given, _)| given == other);
        if let Some((_, at)) = at.filter(|_| is_told(alone) && is_told(other)) {
            let message = format!("`{other}` does not go with `{alone}` in {whose}");
            let finding = case.error("arguments-apart", message).at(span_of(*at, other));
            findings.push(finding.help(apart.instead.as_str()));
        }
    }
    let missing: Vec<String> = known
        .iter()
        .filter(|(key, required)| *required && given.iter().all(|(given, _)| given != key))
        .map(|(key, _)| format!("`{key}`"))
        .collect();
    if !missing.is_empty() {
        let message = format!("{whose} needs {}", missing.join(", "));
        let span = match place {
            "" => span_of(position, &name),
            _ => span(position, 2),
        };
        findings.push(case.error("missing-argument", message).at(span));
    }
}

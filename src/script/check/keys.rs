//! Keys: what stands in the map of named arguments that is written where a function of the host is called.
//!
//! The function itself would say the same, but only when a run has come to it.

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::surface::Signature;
use super::{Case, span_of, suggest};
use crate::model::diagnostic::Diagnostic;

/// Adds every finding about named arguments.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| {
            if let Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) =
                path.last()
                && let Some(function) = named(case, call)
                && let [Expr::Map(map, _)] = call.args.as_slice()
            {
                let keys: Vec<(&str, Position)> = map.0.iter().map(|(key, _)| (key.name.as_str(), key.pos)).collect();
                check_keys(case, function, &keys, *position, findings);
            }
        });
    }
}

/// The function of the host that is called, if it takes one map of named arguments.
fn named<'a>(case: &'a Case<'_>, call: &FnCallExpr) -> Option<&'a Signature> {
    let function = if call.namespace.is_empty() {
        case.surface.function(&call.name)
    } else {
        let module = call.namespace.to_string();
        let is_import = case.script.imports.contains_key(&module);
        let module = case.surface.modules.get(&module).filter(|_| !is_import);
        module.and_then(|module| module.function(&call.name))
    };
    function.filter(|function| !function.keys.is_empty())
}

fn check_keys(
    case: &Case<'_>,
    function: &Signature,
    given: &[(&str, Position)],
    position: Position,
    findings: &mut Vec<Diagnostic>,
) {
    let name = &function.name;
    let known = || function.keys.iter().map(|(key, _)| key.as_str());
    for (key, at) in given.iter().filter(|(key, _)| known().all(|known| known != *key)) {
        if function.lacking.iter().any(|lacking| lacking == key) {
            let message = format!("`{name}` of this connection cannot be told `{key}`");
            let finding = case.error("unsupported", message).at(span_of(*at, key));
            let taken = known().collect::<Vec<_>>().join(", ");
            findings.push(
                finding
                    .label("the provider has nothing like it")
                    .help(format!("here it takes {taken}")),
            );
            continue;
        }
        let finding = case
            .error("unknown-argument", format!("`{name}` does not take `{key}`"))
            .at(span_of(*at, key));
        let finding = suggest(finding, key, known());
        findings.push(if finding.label.is_some() {
            finding
        } else {
            finding.help(format!("it takes {}", known().collect::<Vec<_>>().join(", ")))
        });
    }
    let missing: Vec<String> = function
        .keys
        .iter()
        .filter(|(key, required)| *required && given.iter().all(|(given, _)| given != key))
        .map(|(key, _)| format!("`{key}`"))
        .collect();
    if !missing.is_empty() {
        let message = format!("`{name}` needs {}", missing.join(", "));
        findings.push(case.error("missing-argument", message).at(span_of(position, name)));
    }
}

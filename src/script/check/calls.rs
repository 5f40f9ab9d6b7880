//! Calls: functions, methods and modules that do not exist or take other arguments.

use std::ops::RangeInclusive;

use rhai::{ASTNode, Expr, FnCallExpr, Namespace, Position, Stmt};

use super::super::sandbox::oversized_call_message;
use super::script::Script;
use super::surface::standard_functions;
use super::{Case, ModuleSurface, span_of, suggest};
use crate::base::limits::SCRIPT_ARGUMENTS_MAX;
use crate::model::diagnostic::{Diagnostic, Span};

/// Functions that exist elsewhere and are kept from scripts, with what to do instead.
const FORBIDDEN: [(&str, &str); 6] = [
    ("curry", "a closure captures what it needs: |x| f(rate, x)"),
    (
        "eval",
        "write the code where it is needed: what is not in the file cannot be checked",
    ),
    ("exit", "use `return` at the top level, or `throw` to fail the run"),
    ("print", "use log::info(…), which the run keeps"),
    ("debug", "use log::info(…), which the run keeps"),
    ("timestamp", "use now(), which the run remembers"),
];

/// The most names a help text lists.
const OFFERED_MAX: usize = 16;

/// Adds every finding about calls.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| {
            let finding = match path.last() {
                Some(ASTNode::Stmt(Stmt::FnCall(call, position)) | ASTNode::Expr(Expr::FnCall(call, position))) => {
                    check_call(case, call, *position)
                }
                Some(ASTNode::Expr(Expr::MethodCall(call, position))) => check_method(case, call, *position),
                Some(ASTNode::Expr(Expr::Variable(variable, _, position))) if !variable.2.is_empty() => {
                    check_module_variable(case, &variable.2, &variable.1, *position)
                }
                _ => None,
            };
            findings.extend(finding);
        });
    }
}

/// Numbers of arguments as a sentence has them.
fn counted(arities: &[RangeInclusive<usize>], receiver: usize) -> String {
    let mut counts: Vec<usize> = arities
        .iter()
        .flat_map(|arity| [*arity.start(), *arity.end()])
        .filter_map(|count| count.checked_sub(receiver))
        .collect();
    counts.sort_unstable();
    counts.dedup();
    let text = match counts.as_slice() {
        [] => "no".to_owned(),
        [one] => one.to_string(),
        [first, last] if arities.len() == 1 && first + 1 < *last => format!("{first} to {last}"),
        [several @ .., last] => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("{} or {last}", several.join(", "))
        }
    };
    let noun = if counts == [1] { "argument" } else { "arguments" };
    format!("{text} {noun}")
}

fn wrong_arity(case: &Case<'_>, name: &str, arities: &[RangeInclusive<usize>], given: usize, span: Span) -> Diagnostic {
    let message = format!("`{name}` takes {}, not {given}", counted(arities, 0));
    case.error("wrong-arity", message).at(span)
}

fn forbidden(case: &Case<'_>, name: &str, span: Span) -> Option<Diagnostic> {
    let (_, help) = FORBIDDEN.iter().find(|(known, _)| *known == name)?;
    let message = format!("`{name}` is not available to scripts");
    Some(case.error("forbidden", message).at(span).help(*help))
}

fn check_call(case: &Case<'_>, call: &FnCallExpr, position: Position) -> Option<Diagnostic> {
    if !call.namespace.is_empty() {
        return check_module_call(case, call, position);
    }
    // Operators, and the currying that closures are made of, are no calls of the writer's.
    if call.op_token.is_some() || call.name == "curry" {
        return None;
    }
    if call.args.len() > SCRIPT_ARGUMENTS_MAX {
        let span = span_of(position, &call.name);
        return Some(
            case.error("too-many-arguments", oversized_call_message(&call.name))
                .at(span),
        );
    }
    let name = call.name.as_str();
    let given = call.args.len();
    let span = span_of(position, name);
    let own: Vec<_> = case
        .script
        .functions(name)
        .map(|unit| unit.params.len()..=unit.params.len())
        .collect();
    let host = case.surface.function(name).map(|function| function.arity.clone());
    let standard = standard_functions().get(name).cloned().unwrap_or_default();
    let arities: Vec<_> = own.into_iter().chain(host).chain(standard).collect();
    if arities.iter().any(|arity| arity.contains(&given)) {
        return forbidden(case, name, span);
    }
    if let Some(finding) = forbidden(case, name, span) {
        return Some(finding);
    }
    if !arities.is_empty() {
        return Some(wrong_arity(case, name, &arities, given, span));
    }
    let finding = case.error("unknown-function", format!("no function `{name}`")).at(span);
    if case.script.declared.contains(name) {
        return Some(finding.help(format!("a closure in a variable is called with `{name}.call(…)`")));
    }
    let finding = suggest(finding, name, callable(case));
    Some(in_a_module(case, name, finding))
}

/// Every name that can be called bare.
fn callable<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a str> {
    let own = case.script.units.iter().filter(|unit| unit.is_named());
    let host = case.surface.functions.iter();
    own.map(|unit| unit.name.as_str())
        .chain(host.map(|function| function.name.as_str()))
        .chain(standard_functions().keys().map(String::as_str))
}

/// Help for a function that exists, but in a module.
fn in_a_module(case: &Case<'_>, name: &str, finding: Diagnostic) -> Diagnostic {
    let home = case
        .surface
        .modules
        .iter()
        .find(|(_, module)| module.function(name).is_some());
    match home {
        Some((module, _)) => Diagnostic { label: None, ..finding }.help(format!("did you mean `{module}::{name}`?")),
        None => finding,
    }
}

fn check_method(case: &Case<'_>, call: &FnCallExpr, position: Position) -> Option<Diagnostic> {
    let name = call.name.as_str();
    let given = call.args.len();
    let span = span_of(position, name);
    // A function of the script is called with its receiver as `this`, a native one with it as first argument.
    let own = case.script.functions(name).any(|unit| unit.params.len() == given);
    let host = case.surface.function(name).map(|function| function.arity.clone());
    let standard = standard_functions().get(name).cloned().unwrap_or_default();
    let native: Vec<_> = host.into_iter().chain(standard).collect();
    let is_known = own
        || native.iter().any(|arity| arity.contains(&(given + 1)))
        // The entry of a map may be a closure.
        || case.script.entries.contains(name);
    if let Some(finding) = forbidden(case, name, span) {
        return Some(finding);
    }
    if is_known {
        return None;
    }
    if !native.is_empty() && native.iter().any(|arity| *arity.end() > 0) {
        let message = format!("`.{name}(…)` takes {}, not {given}", counted(&native, 1));
        return Some(case.error("wrong-arity", message).at(span));
    }
    let finding = case.error("unknown-function", format!("no method `{name}`")).at(span);
    Some(suggest(finding, name, callable(case)))
}

/// From the module's name to the end of the function's.
fn qualified_span(namespace: Position, name: &str, position: Position) -> Span {
    let mut span = span_of(position, name);
    if namespace.line() == position.line()
        && let (Some(start), Some(end)) = (namespace.position(), position.position())
        && start < end
    {
        span.column = start;
        span.length += end - start;
    }
    span
}

fn unknown_module(case: &Case<'_>, root: &str, position: Position) -> Diagnostic {
    let known = case.surface.modules.keys().chain(case.script.imports.keys());
    let finding = case
        .error("unknown-module", format!("no module `{root}`"))
        .at(span_of(position, root));
    let finding = suggest(finding, root, known.map(String::as_str));
    if finding.label.is_some() {
        finding
    } else {
        finding.help(format!(
            "import a script as `{root}`, or name the connection in `uses` of the manifest"
        ))
    }
}

enum Module<'a> {
    Host(&'a ModuleSurface),
    Script(&'a Script),
    /// Nothing can be said about it.
    Opaque,
}

fn module_of<'a>(case: &'a Case<'_>, namespace: &str) -> Option<Module<'a>> {
    // A module of a module: what it holds is that file's business.
    let (root, is_nested) = namespace
        .split_once("::")
        .map_or((namespace, false), |(root, _)| (root, true));
    if let Some(file) = case.script.imports.get(root) {
        return Some(match case.scripts.get(file) {
            Some(script) if !is_nested => Module::Script(script),
            _ => Module::Opaque,
        });
    }
    if case.surface.is_unknown(root) {
        return Some(Module::Opaque);
    }
    let host = case.surface.modules.get(root)?;
    (!is_nested).then_some(Module::Host(host))
}

fn check_module_call(case: &Case<'_>, call: &FnCallExpr, position: Position) -> Option<Diagnostic> {
    let (namespace, name, given) = (call.namespace.to_string(), call.name.as_str(), call.args.len());
    let span = qualified_span(call.namespace.position(), name, position);
    match module_of(case, &namespace) {
        None => Some(unknown_module(case, call.namespace.root(), call.namespace.position())),
        Some(Module::Opaque) => None,
        Some(Module::Host(module)) => check_host_call(case, module, &namespace, name, given, span),
        Some(Module::Script(script)) => {
            let public: Vec<_> = script
                .units
                .iter()
                .filter(|unit| unit.is_named() && !unit.private)
                .collect();
            let arities: Vec<_> = public
                .iter()
                .filter(|unit| unit.name == name)
                .map(|unit| unit.params.len()..=unit.params.len())
                .collect();
            if arities.iter().any(|arity| arity.contains(&given)) {
                return None;
            }
            if !arities.is_empty() {
                return Some(wrong_arity(
                    case,
                    &format!("{namespace}::{name}"),
                    &arities,
                    given,
                    span,
                ));
            }
            let finding = case
                .error("unknown-function", format!("no function `{name}` in `{}`", script.path))
                .at(span);
            Some(suggest(finding, name, public.iter().map(|unit| unit.name.as_str())))
        }
    }
}

fn check_host_call(
    case: &Case<'_>,
    module: &ModuleSurface,
    connection: &str,
    name: &str,
    given: usize,
    span: Span,
) -> Option<Diagnostic> {
    if let Some(function) = module.function(name) {
        let arities = std::slice::from_ref(&function.arity);
        return (!function.arity.contains(&given))
            .then(|| wrong_arity(case, &format!("{connection}::{name}"), arities, given, span));
    }
    let connector = &module.connector;
    let offered = || {
        let names: Vec<&str> = module.functions.iter().map(|function| function.name.as_str()).collect();
        let more = names.len().saturating_sub(OFFERED_MAX);
        let listed = names.iter().take(OFFERED_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let who = if connector.is_empty() { connection } else { connector };
        format!("{who} offers: {listed}{more}")
    };
    if module.known.iter().any(|known| known == name) {
        let message = format!("`{name}` is not offered by connection `{connection}` ({connector})");
        let finding = case.error("unsupported", message).at(span).help(offered());
        return Some(match module.lacks.get(name) {
            Some(reason) => finding.label(reason),
            None => finding,
        });
    }
    let names = module.functions.iter().map(|function| function.name.as_str());
    let finding = case
        .error("unknown-function", format!("no function `{name}` in `{connection}`"))
        .at(span);
    let finding = suggest(finding, name, names);
    Some(if finding.label.is_some() {
        finding
    } else {
        finding.help(offered())
    })
}

fn check_module_variable(case: &Case<'_>, namespace: &Namespace, name: &str, position: Position) -> Option<Diagnostic> {
    // The constants of the file itself.
    if namespace.root() == "global" {
        return None;
    }
    let span = qualified_span(namespace.position(), name, position);
    match module_of(case, &namespace.to_string()) {
        None => Some(unknown_module(case, namespace.root(), namespace.position())),
        Some(Module::Opaque) => None,
        Some(Module::Host(_)) => {
            let message = format!("`{namespace}::{name}` is no constant: connections hold functions only");
            Some(case.error("unknown-variable", message).at(span))
        }
        Some(Module::Script(script)) if script.exports.contains(name) => None,
        Some(Module::Script(script)) => {
            let finding = case
                .error("unknown-variable", format!("`{}` exports no `{name}`", script.path))
                .at(span);
            Some(suggest(finding, name, script.exports.iter().map(String::as_str)))
        }
    }
}

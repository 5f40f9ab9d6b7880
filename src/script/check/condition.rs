//! Conditions over an event: what is wrong with one, with its place in the expression.
//!
//! The same checks as for scripts, and those of the little that a condition sees: `event` and `params`.

use std::collections::BTreeMap;

use rhai::{ASTNode, Expr};

use super::super::chain::{Key, chain_of};
use super::super::condition::too_long;
use super::script::Script;
use super::{Case, Surface, calls, names, span, span_of, suggest, syntax_error};
use crate::base::limits::CONDITION_BYTES_MAX;
use crate::model::diagnostic::{Diagnostic, Span};
use crate::model::event::EVENT_KEYS;
use crate::model::workflow::Source;

/// What a condition is.
const HELP: &str = "one expression that is true or false, such as event.payload.currency == \"EUR\" && \
                    money(event.payload.amount, \"EUR\") >= EUR(100)";
/// What it sees.
const SEES: &str = "a condition sees `event` and `params`: no connection, no time, no state, nothing with an effect";
/// What scripts may call and conditions may not: nothing else was meant.
const OF_RUNS: [&str; 7] = ["now", "today", "uuid", "sleep", "wait_event", "approval", "parallel"];
/// Methods that change what they are called on: nothing here can be changed.
const CHANGING: [&str; 22] = [
    "append",
    "chop",
    "clear",
    "crop",
    "dedup",
    "drain",
    "fill_with",
    "insert",
    "make_lower",
    "make_upper",
    "mixin",
    "pad",
    "pop",
    "push",
    "remove",
    "replace",
    "retain",
    "reverse",
    "set",
    "shift",
    "sort",
    "truncate",
];

/// Everything wrong with a condition. The places are those in its text; no file is named. `params`: the keys there
/// are, if they are known.
pub fn check_condition(text: &str, params: Option<Vec<String>>) -> Vec<Diagnostic> {
    if text.len() > CONDITION_BYTES_MAX {
        return vec![Diagnostic::error("syntax", "", too_long()).at(Span::START)];
    }
    let source = Source {
        path: String::new(),
        text: text.to_owned(),
    };
    let script = match Script::parse_condition(&source) {
        Ok(script) => script,
        Err(error) => return vec![syntax_error(&source, &error).help(HELP)],
    };
    let surface = Surface {
        params,
        ..Surface::default()
    };
    let none = BTreeMap::new();
    let case = Case {
        script: &script,
        scripts: &none,
        surface: &surface,
        broken: Vec::new(),
    };
    let mut findings = Vec::new();
    names::check(&case, &mut findings);
    calls::check(&case, &mut findings);
    for finding in &mut findings {
        // Nothing can be imported or declared here.
        let is_host = matches!(finding.code, "unknown-module" | "unknown-function" | "forbidden");
        if is_host {
            finding.help = Some(SEES.to_owned());
            if OF_RUNS
                .iter()
                .any(|name| finding.message.ends_with(&format!("`{name}`")))
            {
                finding.label = None;
            }
        }
    }
    check_changes(&case, &mut findings);
    check_constants(&case, &mut findings);
    check_result(&case, &mut findings);
    findings.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
    findings.dedup();
    findings
}

fn check_changes(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    case.script.ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::MethodCall(call, position))) = path.last()
            && CHANGING.contains(&call.name.as_str())
        {
            let message = format!("`{}` changes what it is called on", call.name);
            let finding = case.error("effect", message).at(span_of(*position, &call.name));
            findings.push(finding.help("a condition only looks: leave changes to the script"));
        }
        true
    });
}

/// `run`, which there is not yet, and fields no event has.
fn check_constants(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    case.script.ast.walk(&mut |path: &[ASTNode<'_>]| {
        let Some(ASTNode::Expr(expression)) = path.last() else {
            return true;
        };
        if let Expr::Variable(variable, _, position) = expression
            && variable.1 == "run"
            && variable.2.is_empty()
        {
            let finding = case.error("unknown-variable", "there is no run yet when a condition is asked");
            findings.push(finding.at(span_of(*position, "run")).help(SEES));
        }
        let Some(("event", _, links)) = chain_of(expression) else {
            return true;
        };
        if let Some(first) = links.first()
            && let Some(Key::Field(field)) = first.key
            && !EVENT_KEYS.contains(&field)
        {
            let finding = case
                .error("unknown-field", format!("an event has no `{field}`"))
                .at(span_of(first.position, field));
            let finding = suggest(finding, field, EVENT_KEYS);
            findings.push(if finding.label.is_some() {
                finding
            } else {
                finding.help(format!(
                    "what the provider sent is below event.payload: event.payload.{field}"
                ))
            });
        }
        true
    });
}

/// A constant, or text with values in it, can never be an answer.
fn check_result(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    let Some(rhai::Stmt::Expr(whole)) = case.script.ast.statements().first() else {
        return;
    };
    let never = match &**whole {
        Expr::IntegerConstant(..) => "a number",
        Expr::StringConstant(..) | Expr::InterpolatedString(..) | Expr::CharConstant(..) => "text",
        Expr::Array(..) => "a list",
        Expr::Map(..) => "a map",
        Expr::Unit(..) => "nothing",
        Expr::Variable(..) => "a map",
        _ => return,
    };
    let message = format!("the condition is {never}, not true or false");
    findings.push(
        case.error("not-a-condition", message)
            .at(span(whole.position(), 1))
            .help(HELP),
    );
}

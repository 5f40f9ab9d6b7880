//! Values: what is written where a function takes less in one module than in another.
//!
//! Only what stands in the script is looked at: a text, a number, a map, a call whose result is known, and a variable that
//! never holds anything else. Whatever else there is may be right and is passed over.

use std::collections::BTreeMap;

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::keys::called;
use super::known;
use super::surface::{Form, Signature};
use super::{Case, span, span_of};
use crate::base::money::Currency;
use crate::model::diagnostic::{Diagnostic, Span};

/// Adds every finding about what is written at such places.
pub(super) fn check(case: &Case<'_>, findings: &mut Vec<Diagnostic>) {
    let variables = known::variables(case.script, |value| Written::of(case, value));
    for unit in &case.script.units {
        unit.walk(case.script, &mut |path| {
            if let Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = path.last()
                && let Some(function) = called(case, call).filter(|function| !function.takes.is_empty())
            {
                for (place, value) in places(function, call) {
                    findings.extend(check_value(case, &variables, function, &place, value));
                }
            }
        });
    }
}

/// Everything that is written in a call, by its place: `to`, `parts[].to`. A function that takes one map of named
/// arguments, or one argument without a name, has that under no name.
fn places<'a>(function: &Signature, call: &'a FnCallExpr) -> Vec<(String, &'a Expr)> {
    let mut found = Vec::new();
    for (number, argument) in call.args.iter().enumerate() {
        match function.arguments.get(number) {
            Some(name) => collect(name, argument, &mut found),
            None if number == 0 => collect("", argument, &mut found),
            None => {}
        }
    }
    found
}

fn collect<'a>(place: &str, value: &'a Expr, found: &mut Vec<(String, &'a Expr)>) {
    found.push((place.to_owned(), value));
    match value {
        Expr::Map(map, _) => {
            for (key, value) in &map.0 {
                let inner = match place {
                    "" => key.name.to_string(),
                    place => format!("{place}.{}", key.name),
                };
                collect(&inner, value, found);
            }
        }
        Expr::Array(items, _) => {
            for item in items {
                collect(&format!("{place}[]"), item, found);
            }
        }
        _ => {}
    }
}

/// What is written, as far as it can be seen.
#[derive(Clone)]
enum Written {
    Text,
    Currency,
    Number,
    Truth,
    List,
    /// A map, with the kind of thing that it says it is.
    Map(Option<String>),
    /// What a function makes: a thing of this kind.
    Made(String),
}

impl Written {
    fn of(case: &Case<'_>, value: &Expr) -> Option<Self> {
        Some(match value {
            Expr::StringConstant(text, _) if text.parse::<Currency>().is_ok() => Self::Currency,
            Expr::StringConstant(..) | Expr::InterpolatedString(..) => Self::Text,
            Expr::IntegerConstant(..) => Self::Number,
            Expr::BoolConstant(..) => Self::Truth,
            Expr::Array(..) => Self::List,
            Expr::Map(map, _) => {
                let mut said = map.0.iter().filter(|(key, _)| key.name == "resource");
                Self::Map(said.find_map(|(_, kind)| match kind {
                    Expr::StringConstant(kind, _) => Some(kind.to_string()),
                    _ => None,
                }))
            }
            Expr::FnCall(call, _) => Self::Made(called(case, call)?.makes.clone()?),
            _ => return None,
        })
    }

    fn is(&self, form: &Form) -> bool {
        match (self, form) {
            (Self::Text | Self::Currency, Form::Text)
            | (Self::Text, Form::TextButCurrency)
            | (Self::Map(_) | Self::Made(_), Form::Map)
            | (Self::Map(None), Form::Resource(_)) => true,
            (Self::Map(Some(kind)) | Self::Made(kind), Form::Resource(known)) => kind == known,
            _ => false,
        }
    }

    /// For people, where these forms are taken.
    fn describe(&self, forms: &[Form]) -> String {
        match self {
            Self::Currency if forms.contains(&Form::TextButCurrency) => "a currency".to_owned(),
            Self::Text | Self::Currency => "text".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Truth => "true or false".to_owned(),
            Self::List => "a list".to_owned(),
            Self::Map(Some(kind)) | Self::Made(kind) if is_of_things(forms) => {
                let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
                    "an"
                } else {
                    "a"
                };
                format!("{article} {kind}")
            }
            Self::Map(_) | Self::Made(_) => "a map".to_owned(),
        }
    }
}

fn is_of_things(forms: &[Form]) -> bool {
    forms.iter().any(|form| matches!(form, Form::Resource(_)))
}

fn check_value(
    case: &Case<'_>,
    variables: &BTreeMap<String, Written>,
    function: &Signature,
    place: &str,
    value: &Expr,
) -> Option<Diagnostic> {
    let takes = function.takes.iter().find(|takes| takes.at == place)?;
    let written = match value {
        Expr::Variable(variable, ..) if variable.2.is_empty() => variables.get(variable.1.as_str()).cloned()?,
        value => Written::of(case, value)?,
    };
    if takes.forms.iter().any(|form| written.is(form)) {
        return None;
    }
    let whose = whose(&function.name, place);
    let message = format!(
        "{whose} cannot be {} on this connection",
        written.describe(&takes.forms)
    );
    let finding = case.error("unsupported", message).at(place_of(value));
    Some(finding.label(&takes.why).help(&takes.help))
}

/// The place for people: `to` of `parts` of `split`.
fn whose(function: &str, place: &str) -> String {
    let keys = place.split('.').map(|key| key.trim_end_matches("[]"));
    let mut words: Vec<String> = keys
        .filter(|key| !key.is_empty())
        .map(|key| format!("`{key}`"))
        .collect();
    if words.is_empty() {
        words.push("the argument".to_owned());
    }
    words.reverse();
    words.push(format!("`{function}`"));
    words.join(" of ")
}

fn place_of(value: &Expr) -> Span {
    match value {
        Expr::FnCall(call, position) => span_of(*position, &call.name),
        Expr::Variable(variable, _, position) => span_of(*position, &variable.1),
        Expr::Map(_, position) => span(*position, "#{".len()),
        Expr::StringConstant(text, position) => quoted(*position, text),
        other => span(other.position(), 1),
    }
}

/// A text with its quotes.
fn quoted(position: Position, text: &str) -> Span {
    span(position, text.chars().count() + 2)
}

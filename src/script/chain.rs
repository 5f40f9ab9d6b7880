//! Chains of access, `event.payload.source.iban`: what one asks for, and what is missing where it fails.
//!
//! Works on the syntax tree and plain values alone. It must not decide what a missing field means for a run.

use rhai::{AST, ASTFlags, ASTNode, EvalAltResult, Expr, Position, Stmt};

use super::run::Globals;
use crate::base::suggest::nearest;
use crate::model::value::Value;

/// Fields named in one sentence.
const FIELDS_MAX: usize = 24;

/// One step of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link<'e> {
    /// What is asked for, if that stands in the script.
    pub(super) key: Option<Key<'e>>,
    /// Where.
    pub(super) position: Position,
    /// Whether it may be asked of nothing: `?.`.
    pub(super) is_optional: bool,
}

/// What a link asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'e> {
    Field(&'e str),
    Item(i64),
    Method(&'e str),
}

/// The variable at the beginning of a chain, where it stands, and the links behind it.
pub(super) fn chain_of(expression: &Expr) -> Option<(&str, Position, Vec<Link<'_>>)> {
    let (Expr::Dot(parts, ..) | Expr::Index(parts, ..)) = expression else {
        return None;
    };
    let Expr::Variable(variable, _, position) = &parts.lhs else {
        return None;
    };
    if !variable.2.is_empty() {
        return None;
    }
    let mut links = Vec::new();
    let mut node = expression;
    loop {
        let (parts, flags, is_index) = match node {
            Expr::Dot(parts, flags, _) => (parts, flags, false),
            Expr::Index(parts, flags, _) => (parts, flags, true),
            _ => return Some((&variable.1, *position, links)),
        };
        let goes_on = !flags.intersects(ASTFlags::BREAK) && matches!(parts.rhs, Expr::Dot(..) | Expr::Index(..));
        let asked = match &parts.rhs {
            Expr::Dot(rest, ..) | Expr::Index(rest, ..) if goes_on => &rest.lhs,
            last => last,
        };
        links.push(Link {
            key: match asked {
                Expr::Property(property, _) if !is_index => Some(Key::Field(&property.2)),
                Expr::StringConstant(key, _) if is_index => Some(Key::Field(key)),
                Expr::IntegerConstant(item, _) if is_index => Some(Key::Item(*item)),
                Expr::MethodCall(call, _) => Some(Key::Method(&call.name)),
                _ => None,
            },
            position: asked.position(),
            is_optional: flags.intersects(ASTFlags::NEGATED),
        });
        if !goes_on {
            return Some((&variable.1, *position, links));
        }
        node = &parts.rhs;
    }
}

/// A sentence about what a failed access was about, if the error is about one: a constant of the run has no such
/// field, or nothing was asked for a field.
pub(super) fn missing(error: &EvalAltResult, script: &AST, globals: &Globals) -> Option<String> {
    let place = error.position();
    let is_access = matches!(
        error,
        EvalAltResult::ErrorDotExpr(..)
            | EvalAltResult::ErrorPropertyNotFound(..)
            | EvalAltResult::ErrorIndexingType(..)
    );
    let is_argument = matches!(
        error,
        EvalAltResult::ErrorFunctionNotFound(..)
            | EvalAltResult::ErrorMismatchDataType(..)
            | EvalAltResult::ErrorRuntime(..)
            | EvalAltResult::ErrorFor(..)
    );
    if place.is_none() || !(is_access || is_argument) {
        return None;
    }
    let mut found = None;
    script.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Expr(chain @ (Expr::Dot(..) | Expr::Index(..)))) => {
                let sentence = chain_of(chain).and_then(|chain| missing_at(place, &chain, globals, is_access));
                found = found.take().or(sentence);
            }
            Some(
                ASTNode::Stmt(Stmt::FnCall(call, position))
                | ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position)),
            ) if is_argument && *position == place => {
                found = found.take().or_else(|| missing_among(&call.args, globals));
            }
            _ => {}
        }
        found.is_none()
    });
    found
}

/// What is missing in the arguments of a call, or in what they are made of.
fn missing_among(arguments: &[Expr], globals: &Globals) -> Option<String> {
    let mut found = None;
    for argument in arguments {
        argument.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
            if let Some(ASTNode::Expr(part)) = path.last() {
                let sentence = chain_of(part).and_then(|chain| missing_in(&chain, globals));
                found = found.take().or(sentence);
            }
            found.is_none()
        });
    }
    found
}

type Chain<'e> = (&'e str, Position, Vec<Link<'e>>);

/// What is missing in a chain one of whose links stands at this place.
fn missing_at(place: Position, chain: &Chain<'_>, globals: &Globals, is_access: bool) -> Option<String> {
    let (root, _, links) = chain;
    let at = links.iter().position(|link| link.position == place)?;
    missing_in(chain, globals).or_else(|| {
        let asked = links.get(at)?;
        let Some(Key::Field(field)) = asked.key else {
            return None;
        };
        // Of what a script holds itself it is only known that it was nothing.
        (is_access && at > 0).then(|| {
            let before = links.iter().take(at).map(|link| match link.key {
                Some(Key::Field(name)) => format!(".{name}"),
                Some(Key::Item(number)) => format!("[{number}]"),
                Some(Key::Method(name)) => format!(".{name}(…)"),
                None => "[…]".to_owned(),
            });
            let before: String = before.collect();
            format!("`{root}{before}` has no `{field}`: it is nothing, or no map")
        })
    })
}

/// What a chain from one of the constants does not find.
fn missing_in((root, _, links): &Chain<'_>, globals: &Globals) -> Option<String> {
    let mut value = match *root {
        "event" => &globals.event,
        "params" => &globals.params,
        "run" => &globals.run,
        _ => return None,
    };
    let mut pointer = String::new();
    for link in links {
        let next = match (link.key?, value) {
            (Key::Field(field), Value::Map(map)) => {
                let escaped = field.replace('~', "~0").replace('/', "~1");
                pointer = format!("{pointer}/{escaped}");
                match map.get(field) {
                    Some(next) => next,
                    None => return Some(no_field(root, globals, &pointer, field, map.keys().map(String::as_str))),
                }
            }
            (Key::Item(number), Value::List(items)) => {
                pointer = format!("{pointer}/{number}");
                let index = usize::try_from(number).ok();
                match index.and_then(|index| items.get(index)) {
                    Some(next) => next,
                    None if number < 0 => return None,
                    None => {
                        let count = items.len();
                        return Some(format!(
                            "{} has no {pointer}: the list has {count} items",
                            owner(root, globals)
                        ));
                    }
                }
            }
            (Key::Field(asked) | Key::Method(asked), Value::Null) if !link.is_optional => {
                let owner = owner(root, globals);
                return Some(format!("{pointer} of {owner} is null, so it has no `{asked}`"));
            }
            _ => return None,
        };
        value = next;
    }
    None
}

fn no_field<'v>(
    root: &str,
    globals: &Globals,
    pointer: &str,
    field: &str,
    fields: impl Iterator<Item = &'v str> + Clone,
) -> String {
    let count = fields.clone().count();
    let mut there: Vec<&str> = fields.clone().take(FIELDS_MAX).collect();
    let more = format!("and {} more", count.saturating_sub(FIELDS_MAX));
    if count > FIELDS_MAX {
        there.push(&more);
    }
    let there = if there.is_empty() {
        "there is nothing".to_owned()
    } else {
        format!("there are: {}", there.join(", "))
    };
    let guess = nearest(field, fields).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    format!("{} has no {pointer}; {there}{guess}", owner(root, globals))
}

/// How a sentence names the constant.
fn owner(root: &str, globals: &Globals) -> String {
    let text = |key: &str| match &globals.event {
        Value::Map(map) => map.get(key).and_then(Value::as_text),
        _ => None,
    };
    match (root, text("id"), text("type")) {
        ("event", Some(id), Some(kind)) => format!("event {id} ({kind})"),
        ("event", None, Some(kind)) => format!("the event ({kind})"),
        ("event", ..) => "the event".to_owned(),
        ("params", ..) => "the table of parameters".to_owned(),
        _ => format!("`{root}`"),
    }
}

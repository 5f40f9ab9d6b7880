//! Faults: what scripts can throw and catch, and what is told of a script that failed.
//!
//! Every fault raised by this room has one shape for scripts, a map with `error`, `message` and `details`,
//! so that one `catch (e)` reads them all. This file must not decide what a fault means for a run.

use rhai::{AST, Dynamic, EvalAltResult, Map as RhaiMap, ParseErrorType, Position};

use super::program::Program;
use super::run::Globals;
use super::{chain, convert};
use crate::base::limits::ERROR_MESSAGE_BYTES_MAX;
use crate::base::text::shortened;
use crate::model::journal::Failure;
use crate::model::value::Value;

/// The code of an access to a field that is not there.
const MISSING_FIELD: &str = "missing_field";
/// Codes of failures that come of nothing in the place of a value.
const OF_ARGUMENTS: [&str; 4] = ["type", "bad_argument", "invalid_argument", "not_an_amount"];
/// A script may throw what it likes as a code.
const CODE_BYTES_MAX: usize = 200;

/// The result of a native function.
pub(super) type Native<T> = Result<T, Box<EvalAltResult>>;

/// Why a script failed.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptError {
    /// A stable snake_case code: the script's own, the host's, or one of this room's.
    pub code: String,
    /// A plain sentence.
    pub message: String,
    /// More of it, if whoever raised it gave more.
    pub details: Value,
    /// Where it happened, innermost first: `give_back at return_unmatched_deposits.rhai:7:9`.
    pub trace: Vec<String>,
}

impl ScriptError {
    /// A failure without details or place.
    pub(super) fn plain(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            details: Value::Null,
            trace: Vec::new(),
        }
    }
}

/// A fault of this room's own: scripts can catch it.
pub(super) fn fault(error: &str, message: impl Into<String>) -> Box<EvalAltResult> {
    thrown(error, shortened(message.into(), ERROR_MESSAGE_BYTES_MAX), Dynamic::UNIT)
}

/// A recorded failure of the host: scripts can catch it.
pub(super) fn failure(failure: Failure) -> Box<EvalAltResult> {
    // The details were recorded, so they can be held; if they are too large the failure itself still counts.
    let details = convert::to_script(failure.details).unwrap_or(Dynamic::UNIT);
    thrown(&failure.code, failure.message, details)
}

fn thrown(error: &str, message: String, details: Dynamic) -> Box<EvalAltResult> {
    let map: RhaiMap = [
        ("error".into(), error.into()),
        ("message".into(), message.into()),
        ("details".into(), details),
    ]
    .into();
    EvalAltResult::ErrorRuntime(map.into(), Position::NONE).into()
}

/// Ends the script; `try` cannot hold it.
pub(super) fn terminated() -> Box<EvalAltResult> {
    EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE).into()
}

/// What is told of an error that came out of a script, which began in this file and saw these constants.
pub(super) fn describe(error: &EvalAltResult, program: &Program, file: &str, globals: &Globals) -> ScriptError {
    let (inner, trace, home) = unwind(error, program, file);
    let (mut code, mut message, details) = match inner {
        EvalAltResult::ErrorRuntime(value, _) => describe_thrown(value),
        other => (code_of(other).to_owned(), message_of(other), Value::Null),
    };
    let is_thrown = matches!(inner, EvalAltResult::ErrorRuntime(..));
    let script = program
        .script(&home)
        .filter(|_| !is_thrown || OF_ARGUMENTS.contains(&code.as_str()));
    if let Some(sentence) = script.and_then(|script| chain::missing(inner, script, globals)) {
        if is_thrown {
            message = format!("{message}: {sentence}");
        } else {
            MISSING_FIELD.clone_into(&mut code);
            message = sentence;
        }
    }
    ScriptError {
        code: shortened(code, CODE_BYTES_MAX),
        message: shortened(message, ERROR_MESSAGE_BYTES_MAX),
        details,
        trace,
    }
}

/// Where an error came from, innermost first.
pub(super) fn trace_of(error: &EvalAltResult, program: &Program, file: &str) -> Vec<String> {
    unwind(error, program, file).1
}

fn describe_thrown(value: &Dynamic) -> (String, String, Value) {
    const THROWN: &str = "thrown";
    let value = match convert::from_script(value) {
        Ok(value) => value,
        Err(error) => return (THROWN.to_owned(), format!("the script threw {error}"), Value::Null),
    };
    match &value {
        Value::Text(text) => (THROWN.to_owned(), text.clone(), Value::Null),
        Value::Map(map) => {
            let text = |key| map.get(key).and_then(Value::as_text).map(str::to_owned);
            let code = text("error").unwrap_or_else(|| THROWN.to_owned());
            let message = text("message").unwrap_or_else(|| code.clone());
            let details = match map.get("details") {
                Some(details) => details.clone(),
                None if map.keys().all(|key| key == "error" || key == "message") => Value::Null,
                None => value.clone(),
            };
            (code, message, details)
        }
        other => (THROWN.to_owned(), format!("the script threw {other}"), value),
    }
}

/// The error at the bottom, the frames above it, innermost first, and the file it stands in.
fn unwind<'a>(error: &'a EvalAltResult, program: &Program, file: &str) -> (&'a EvalAltResult, Vec<String>, String) {
    let mut frames = Vec::new();
    let mut error = error;
    let mut function = String::new();
    let mut file = file.to_owned();
    loop {
        let (name, source, inner, position) = match error {
            EvalAltResult::ErrorInFunctionCall(name, source, inner, position) => (name, source, inner, position),
            EvalAltResult::ErrorInModule(name, inner, position) => (name, name, inner, position),
            _ => break,
        };
        frames.push(frame(&function, &file, *position));
        // A closure that was handed to another module is reported under that module: its name knows better.
        file = match program.home_of_closure(name) {
            Some(home) => home.to_owned(),
            None if source.is_empty() => file,
            None => source.clone(),
        };
        function = if rhai_closure(name) {
            "closure".to_owned()
        } else {
            name.clone()
        };
        error = inner;
    }
    frames.push(frame(&function, &file, error.position()));
    frames.reverse();
    (error, frames, file)
}

fn rhai_closure(name: &str) -> bool {
    name.starts_with("anon$")
}

fn frame(function: &str, file: &str, position: Position) -> String {
    let place = match (position.line(), position.position()) {
        (Some(line), column) => format!("{file}:{line}:{}", column.unwrap_or(1)),
        _ => file.to_owned(),
    };
    if function.is_empty() {
        place
    } else {
        format!("{function} at {place}")
    }
}

fn code_of(error: &EvalAltResult) -> &'static str {
    match error {
        EvalAltResult::ErrorParsing(..) => "syntax",
        EvalAltResult::ErrorVariableNotFound(..) => "unknown_variable",
        EvalAltResult::ErrorFunctionNotFound(..) => "unknown_function",
        EvalAltResult::ErrorModuleNotFound(..) => "unknown_module",
        EvalAltResult::ErrorPropertyNotFound(..) | EvalAltResult::ErrorDotExpr(..) => "unknown_property",
        EvalAltResult::ErrorArithmetic(..) => "arithmetic",
        EvalAltResult::ErrorArrayBounds(..)
        | EvalAltResult::ErrorStringBounds(..)
        | EvalAltResult::ErrorBitFieldBounds(..)
        | EvalAltResult::ErrorIndexNotFound(..)
        | EvalAltResult::ErrorIndexingType(..) => "index",
        EvalAltResult::ErrorMismatchDataType(..)
        | EvalAltResult::ErrorMismatchOutputType(..)
        | EvalAltResult::ErrorFor(..) => "type",
        EvalAltResult::ErrorDataRace(..) => "data_race",
        EvalAltResult::ErrorNonPureMethodCallOnConstant(..) | EvalAltResult::ErrorAssignmentToConstant(..) => {
            "constant"
        }
        _ => "script",
    }
}

/// What is told of an error outside a run.
pub(super) fn message_of_failure(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorRuntime(value, _) => describe_thrown(value).1,
        other => message_of(other),
    }
}

/// The message of an engine error without its place, which the trace tells better.
fn message_of(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorFunctionNotFound(signature, _) => format!("no function `{signature}`"),
        EvalAltResult::ErrorVariableNotFound(name, _) => format!("no variable `{name}`"),
        EvalAltResult::ErrorModuleNotFound(name, _) => format!("no module `{name}`"),
        EvalAltResult::ErrorDataRace(name, _) => format!(
            "`{name}` is used by a closure while a method works on it: copy what the closure needs into a variable first"
        ),
        other => strip_place(&other.to_string(), other.position()),
    }
}

fn strip_place(message: &str, position: Position) -> String {
    let place = format!(" ({position})");
    let message = message.strip_suffix(&place).unwrap_or(message);
    lower_first(message)
}

/// The sentence with a small first letter, as all messages of this program have.
pub(super) fn lower_first(message: &str) -> String {
    let mut letters = message.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// What is wrong with a text that does not parse.
pub(super) fn syntax_message(error: &ParseErrorType) -> String {
    lower_first(&error.to_string())
}

/// The names of the closures of one file, by which a trace finds their home again.
pub(super) fn closures_of(ast: &AST) -> impl Iterator<Item = String> {
    ast.iter_functions()
        .filter(|function| rhai_closure(function.name))
        .map(|function| function.name.to_owned())
}

//! Conditions: expressions over one event, without effects, that say whether a workflow takes it.
//!
//! They are read with the settings of scripts, but as expressions: no statement, loop, assignment, function or import
//! can be written, and nothing but `event`, `params` and the standard functions is in reach. A field that is missing
//! is an error, unless the expression says what then (`??`, `?.`, a comparison with `()`): a misspelt name must not look
//! like an event that does not match.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{AST, ASTNode, Dynamic, Engine, EvalAltResult, Expr, Module, ParseError, Position, Scope, Shared};

use super::chain::{self, Key, chain_of};
use super::convert::{self, kind};
use super::fault::message_of_failure;
use super::meter::{Budget, Limit, Meter, Stop};
use super::run::Globals;
use super::sandbox;
use crate::base::clock::Clock;
use crate::base::limits::{
    CONDITION_BYTES_MAX, CONDITION_COMPUTE_MAX, CONDITION_MEMORY_BYTES_MAX, CONDITION_OPERATIONS_MAX,
    ERROR_MESSAGE_BYTES_MAX,
};
use crate::base::text::shortened;
use crate::model::value::Value;

/// Conditions kept compiled. There are as many as manifests have, and those of earlier versions.
const COMPILED_MAX: usize = 1_024;
/// How often one that takes too long is asked.
const ATTEMPTS: u32 = 3;
/// What one evaluation may use.
const BUDGET: Budget = Budget {
    operations: CONDITION_OPERATIONS_MAX,
    compute: CONDITION_COMPUTE_MAX,
    memory_bytes: CONDITION_MEMORY_BYTES_MAX,
};

/// Reads an expression, with these settings of the interpreter.
pub(super) fn parse(mut engine: Engine, text: &str) -> Result<AST, ParseError> {
    engine
        .set_allow_anonymous_fn(false)
        .set_allow_statement_expression(false)
        .set_allow_looping(false);
    engine.compile_expression(text)
}

/// A condition as compiled.
struct Condition {
    tree: AST,
    /// Fields for which the expression says what is to be if they are missing.
    optional: BTreeSet<String>,
}

impl Condition {
    fn compile(text: &str) -> Result<Self, String> {
        if text.len() > CONDITION_BYTES_MAX {
            return Err(too_long());
        }
        let tree = parse(sandbox::parser(), text).map_err(|error| super::fault::syntax_message(&error.0))?;
        if let Some((name, _)) = sandbox::oversized_call(&tree) {
            return Err(sandbox::oversized_call_message(&name));
        }
        let optional = optional_fields(&tree);
        Ok(Self { tree, optional })
    }
}

/// What to say of a condition that is no expression any more.
pub(super) fn too_long() -> String {
    format!("a condition is no longer than {CONDITION_BYTES_MAX} bytes: let the script decide what takes more")
}

/// The last fields of what stands before `??` or is compared with `()`, and those before `?.`.
fn optional_fields(tree: &AST) -> BTreeSet<String> {
    let mut optional = BTreeSet::new();
    let mut last_of = |expression: &Expr| {
        let last = chain_of(expression).and_then(|(_, _, links)| links.last().and_then(|link| link.key));
        if let Some(Key::Field(field)) = last {
            optional.insert(field.to_owned());
        }
    };
    let mut before_optional = BTreeSet::new();
    tree.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Expr(Expr::Coalesce(parts, _))) => {
                let (_, tried) = parts
                    .split_last()
                    .map_or((None, &[][..]), |(last, tried)| (Some(last), tried));
                tried.iter().for_each(&mut last_of);
            }
            Some(ASTNode::Expr(Expr::FnCall(call, _)))
                if matches!(call.name.as_str(), "==" | "!=")
                    && call.args.iter().any(|side| matches!(side, Expr::Unit(_))) =>
            {
                call.args.iter().for_each(&mut last_of);
            }
            Some(ASTNode::Expr(chain @ (Expr::Dot(..) | Expr::Index(..)))) => {
                if let Some((_, _, links)) = chain_of(chain) {
                    let pairs = links.iter().zip(links.iter().skip(1));
                    let asked = pairs
                        .filter(|(_, next)| next.is_optional)
                        .filter_map(|(link, _)| link.key);
                    before_optional.extend(asked.filter_map(|key| match key {
                        Key::Field(field) => Some(field.to_owned()),
                        Key::Item(_) | Key::Method(_) => None,
                    }));
                }
            }
            _ => {}
        }
        true
    });
    optional.extend(before_optional);
    optional
}

/// Evaluates conditions. Belongs to one thread, one of those for scripts.
pub struct Conditions {
    clock: Arc<dyn Clock>,
    standard: Shared<Module>,
    compiled: HashMap<String, Result<Arc<Condition>, String>>,
}

impl Conditions {
    /// None compiled yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            standard: sandbox::standard_module(),
            compiled: HashMap::new(),
        }
    }

    /// Whether a condition holds for an event, under the parameters of its workflow.
    ///
    /// # Errors
    /// A sentence: it failed, used up what it may use, or is not true or false.
    pub fn holds(&mut self, text: &str, event: &Value, params: &Value) -> Result<bool, String> {
        let condition = self.compiled(text)?;
        let mut answer = Err(Failed::TookTooLong);
        // A busy machine may take away more time than the condition does.
        for _ in 0..ATTEMPTS {
            let tried = catch_unwind(AssertUnwindSafe(|| self.evaluate(&condition, event, params)));
            answer = tried.unwrap_or_else(|_| Err(Failed::For("the program itself failed in it".to_owned())));
            if !matches!(answer, Err(Failed::TookTooLong)) {
                break;
            }
        }
        answer.map_err(|failed| match failed {
            Failed::For(message) => shortened(message, ERROR_MESSAGE_BYTES_MAX),
            Failed::TookTooLong => used_up(Limit::Compute),
        })
    }

    fn compiled(&mut self, text: &str) -> Result<Arc<Condition>, String> {
        if let Some(known) = self.compiled.get(text) {
            return known.clone();
        }
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled.clear();
        }
        let compiled = Condition::compile(text).map(Arc::new);
        self.compiled.insert(text.to_owned(), compiled.clone());
        compiled
    }

    fn evaluate(&self, condition: &Arc<Condition>, event: &Value, params: &Value) -> Result<bool, Failed> {
        let given = |name: &str, value: &Value| {
            convert::to_script(value.clone()).map_err(|refused| Failed::For(format!("`{name}` holds {refused}")))
        };
        let mut scope = Scope::new();
        scope.push_constant_dynamic("event", given("event", event)?);
        scope.push_constant_dynamic("params", given("params", params)?);
        let meter = Arc::new(Meter::start(Arc::clone(&self.clock), BUDGET));
        let engine = self.assemble(condition, &meter);
        let answer = engine.eval_ast_with_scope::<Dynamic>(&mut scope, &condition.tree);
        // What was computed since it was last looked at counts as well.
        meter.tick(false);
        match meter.stopped() {
            Some(Stop::Exhausted(Limit::Compute)) => return Err(Failed::TookTooLong),
            Some(Stop::Exhausted(limit)) => return Err(Failed::For(used_up(limit))),
            _ => {}
        }
        match answer {
            Ok(answer) => answer
                .as_bool()
                .map_err(|_| Failed::For(format!("it is {}, not true or false", kind(&answer)))),
            Err(error) => {
                let globals = Globals {
                    event: event.clone(),
                    params: params.clone(),
                    run: Value::Null,
                };
                Err(Failed::For(told(&error, &condition.tree, &globals)))
            }
        }
    }

    fn assemble(&self, condition: &Arc<Condition>, meter: &Arc<Meter>) -> Engine {
        let mut engine = sandbox::engine();
        engine.register_global_module(self.standard.clone());
        let meter = Arc::clone(meter);
        engine.on_progress(move |_| (!meter.tick(false)).then_some(Dynamic::UNIT));
        let condition = Arc::clone(condition);
        // Nothing can be assigned here, so whoever asks for a field reads it.
        engine.on_map_missing_property(move |_, field, _| {
            if condition.optional.contains(field) {
                return Ok(Dynamic::UNIT.into());
            }
            Err(EvalAltResult::ErrorPropertyNotFound(field.to_owned(), Position::NONE).into())
        });
        engine
    }
}

/// Why there is no answer.
enum Failed {
    /// It used up its time, which may have been the machine's.
    TookTooLong,
    /// For good, with the sentence about it.
    For(String),
}

fn used_up(limit: Limit) -> String {
    match limit {
        Limit::Operations => format!("it used up the {CONDITION_OPERATIONS_MAX} operations of a condition"),
        Limit::Compute => format!("it computed for more than {} ms", CONDITION_COMPUTE_MAX.as_millis()),
        Limit::Memory => format!("it held more than {} KiB at once", CONDITION_MEMORY_BYTES_MAX / 1_024),
        Limit::Depth | Limit::Size => limit.describe(),
    }
}

/// The sentence for an error, with its place in the expression.
fn told(error: &EvalAltResult, tree: &AST, globals: &Globals) -> String {
    let inner = error.unwrap_inner();
    let message = chain::missing(inner, tree, globals).unwrap_or_else(|| message_of_failure(inner));
    match (inner.position().line(), inner.position().position()) {
        (Some(1), Some(column)) => format!("{message} (column {column})"),
        (Some(line), Some(column)) => format!("{message} (line {line}, column {column})"),
        _ => message,
    }
}

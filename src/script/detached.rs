//! A closure taken out of the turn that made it, so that other threads may call it, each with its own copies.
//!
//! Everything it needs is turned into plain values: what it captured, the constants of its file, the globals. On the
//! thread that calls it an engine is assembled as for any turn, its file's imports are made anew, and the function
//! is called by name. Steps at the top of an imported script would then happen once more for each call: they are
//! refused.

use std::time::Duration;

use rhai::{AST, ASTFlags, Dynamic, Expr, FnPtr, Ident, Module, NativeCallContext, Position, Shared, Stmt};

use super::convert::{self, Refused, kind};
use super::fault::{Native, fault};
use super::meter::{Meter, Parts};
use super::program::Program;
use super::run::{Constants, Globals};
use crate::model::value::Value;

/// How deep a closure may be captured by another.
const CAPTURE_DEPTH_MAX: usize = 8;

/// A closure that any thread may call.
pub struct Detached {
    name: String,
    /// The file whose functions and imports it sees.
    file: String,
    captured: Vec<Captured>,
    /// Constants of its file, where it is known what they are.
    constants: Vec<(String, Value)>,
    globals: Globals,
    /// Whether it takes the index as well.
    takes_index: bool,
    parts: Parts,
}

/// What a closure captured.
enum Captured {
    Value(Value),
    Closure { name: String, captured: Vec<Self> },
}

impl Captured {
    fn of(value: &Dynamic, depth: usize) -> Result<Self, Refused> {
        let value = value.flatten_clone();
        let Some(pointer) = value.read_lock::<FnPtr>() else {
            return convert::from_script(&value).map(Self::Value);
        };
        if depth >= CAPTURE_DEPTH_MAX {
            return Err(Refused::TooDeep);
        }
        let captured = pointer.iter_curry().map(|inner| Self::of(inner, depth + 1));
        Ok(Self::Closure {
            name: pointer.fn_name().to_owned(),
            captured: captured.collect::<Result<_, _>>()?,
        })
    }

    /// The value for a script whose functions are these.
    fn to_script(&self, functions: &Module) -> Native<Dynamic> {
        match self {
            Self::Value(value) => convert::to_script(value.clone())
                .map_err(|refused| fault("too_large", format!("the closure captured {refused}"))),
            Self::Closure { name, captured } => {
                // A closure's own name cannot be written, so no pointer can be made from it.
                let mut infos = functions.iter_script_fn_info();
                let function = infos.find_map(|(.., known, _, function)| (known == name).then_some(function));
                let mut pointer = match function {
                    Some(function) => FnPtr::from(Shared::clone(function)),
                    None => FnPtr::new(name.as_str())?,
                };
                for inner in captured {
                    pointer.add_curry(inner.to_script(functions)?);
                }
                Ok(pointer.into())
            }
        }
    }
}

impl Detached {
    /// Takes a closure out of the script that is calling a native function with it.
    pub(super) fn of(
        context: &NativeCallContext<'_>,
        pointer: &FnPtr,
        native: &str,
        program: &Program,
        constants: &Constants,
        parts: Parts,
    ) -> Native<Self> {
        let caller = context.call_source().unwrap_or(program.main());
        let name = pointer.fn_name();
        let file = program.home_of(name, caller).ok_or_else(|| {
            fault(
                "bad_argument",
                format!("`{native}` takes a closure or a function of the script, not `{name}`"),
            )
        })?;
        let given = pointer.curry().len();
        let arity = |more: usize| {
            program
                .script(file)
                .is_some_and(|script| has_function(script, name, given + more))
        };
        if !arity(1) && !arity(2) {
            return Err(fault(
                "wrong_arity",
                format!("the function given to `{native}` has to take the item, or the item and its index"),
            ));
        }
        let refused = |what: &str, refused: Refused| {
            fault(
                "bad_argument",
                format!("{what} of the closure given to `{native}` is {refused}; each branch works on a copy of it"),
            )
        };
        let captured = pointer.iter_curry().map(|value| Captured::of(value, 0));
        let captured = captured
            .collect::<Result<_, _>>()
            .map_err(|why| refused("a captured variable", why))?;
        Ok(Self {
            name: name.to_owned(),
            file: file.to_owned(),
            captured,
            // Those of another file are not told to natives called from here.
            constants: if file == caller {
                constants_of(context)
            } else {
                Vec::new()
            },
            globals: constants
                .globals()
                .map_err(|why| refused("the event or the parameters", why))?,
            takes_index: !arity(1),
            parts,
        })
    }

    /// What the host computed for a call of it, beyond the call: it is the turn's to pay.
    pub fn charge(&self, computed: Duration) {
        self.parts.charge(computed);
    }

    /// The file it stands in.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The constants of its run.
    pub(super) fn globals(&self) -> Globals {
        self.globals.clone()
    }

    /// A meter for calling it on this thread.
    pub(super) fn meter(&self) -> Meter {
        self.parts.meter()
    }

    /// What it is called with.
    pub(super) fn arguments(&self, surroundings: &AST, item: Value, index: usize) -> Native<Vec<Dynamic>> {
        let functions = surroundings.shared_lib();
        let item = convert::to_script(item).map_err(|refused| fault("too_large", format!("the item is {refused}")))?;
        let mut arguments: Vec<Dynamic> = self
            .captured
            .iter()
            .map(|value| value.to_script(functions))
            .collect::<Native<_>>()?;
        arguments.push(item);
        if self.takes_index {
            arguments.push(super::callback::index(index));
        }
        Ok(arguments)
    }

    /// The script that makes its surroundings: the imports and constants of its file, and all functions.
    pub(super) fn surroundings(&self, program: &Program) -> Native<AST> {
        let Some(script) = program.script(&self.file) else {
            return Err(fault("script", format!("the version has no script `{}`", self.file)));
        };
        let imports = script
            .statements()
            .iter()
            .filter(|statement| matches!(statement, Stmt::Import(..)))
            .cloned();
        let mut statements: Vec<Stmt> = imports.collect();
        for (name, value) in &self.constants {
            let value = convert::to_script(value.clone())
                .map_err(|refused| fault("too_large", format!("the constant `{name}` is {refused}")))?;
            let ident = Ident {
                name: name.into(),
                pos: Position::NONE,
            };
            let value = Expr::DynamicConstant(value.into(), Position::NONE);
            statements.push(Stmt::Var(
                (ident, value, None).into(),
                ASTFlags::CONSTANT,
                Position::NONE,
            ));
        }
        Ok(AST::new_with_source(
            statements,
            script.shared_lib().clone(),
            self.file.as_str(),
        ))
    }
}

fn has_function(script: &AST, name: &str, params: usize) -> bool {
    script.shared_lib().get_script_fn(name, params).is_some()
}

/// The constants that functions of the calling file see as `global::…`. One that is no plain value is left out: a
/// closure that uses it is told that there is no such constant.
fn constants_of(context: &NativeCallContext<'_>) -> Vec<(String, Value)> {
    let Some(constants) = &context.global_runtime_state().constants else {
        return Vec::new();
    };
    let Ok(constants) = constants.read() else {
        return Vec::new();
    };
    constants
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), convert::from_script(value).ok()?)))
        .collect()
}

/// The closure among the arguments of a native: the last one.
pub(super) fn closure_of(native: &str, last: Option<&Dynamic>) -> Native<FnPtr> {
    let wrong = |what: &str| {
        fault(
            "bad_argument",
            format!("the last argument of `{native}` is a closure, not {what}"),
        )
    };
    let Some(last) = last else {
        return Err(wrong("missing"));
    };
    let pointer: Option<FnPtr> = last.read_lock::<FnPtr>().map(|pointer| pointer.clone());
    pointer.ok_or_else(|| wrong(kind(last)))
}

//! Programs: the compiled scripts of one version, and the resolver that serves only them.
//!
//! A program knows nothing of a turn; it is compiled once per thread and kept by digest.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rhai::{AST, Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use super::fault::{Native, ScriptError, closures_of, fault, syntax_message};
use super::{frozen, sandbox};
use crate::model::workflow::Version;

/// The file an import names: `lib/sellers` is `lib/sellers.rhai`, from the folder of the scripts.
pub(super) fn file_of(import: &str) -> String {
    format!("{import}.rhai")
}

/// The compiled scripts of one version.
pub(super) struct Program {
    main: String,
    uses: Vec<String>,
    scripts: BTreeMap<String, AST>,
    /// Names of closures to the file they stand in.
    closures: HashMap<String, String>,
}

impl Program {
    /// Compiles every script of a version.
    pub(super) fn compile(version: &Version) -> Result<Self, Box<ScriptError>> {
        let engine = sandbox::parser();
        let main = version
            .main()
            .ok_or_else(|| ScriptError::plain("script", "the version has no script"))?;
        let mut program = Self {
            main: main.path.clone(),
            uses: version.uses.clone(),
            scripts: BTreeMap::new(),
            closures: HashMap::new(),
        };
        for source in version.scripts() {
            let mut ast = engine.compile(&source.text).map_err(|error| {
                Box::new(ScriptError {
                    trace: vec![place(&source.path, error.1)],
                    ..ScriptError::plain("syntax", syntax_message(&error.0))
                })
            })?;
            if let Some((name, position)) = sandbox::oversized_call(&ast) {
                return Err(Box::new(ScriptError {
                    trace: vec![place(&source.path, position)],
                    ..ScriptError::plain("syntax", sandbox::oversized_call_message(&name))
                }));
            }
            ast.set_source(source.path.as_str());
            let closures = closures_of(&ast).map(|closure| (closure, source.path.clone()));
            program.closures.extend(closures);
            program.scripts.insert(source.path.clone(), ast);
        }
        Ok(program)
    }

    /// The path of the main script.
    pub(super) fn main(&self) -> &str {
        &self.main
    }

    /// Where the value of a script comes from.
    pub(super) fn last_place(&self, file: &str) -> String {
        let last = self.script(file).and_then(|script| script.statements().last());
        place(file, last.map_or(Position::NONE, rhai::Stmt::position))
    }

    /// The modules that its manifest names.
    pub(super) fn uses(&self) -> &[String] {
        &self.uses
    }

    /// The main script.
    pub(super) fn main_script(&self) -> Option<&AST> {
        self.scripts.get(&self.main)
    }

    /// A script by its file.
    pub(super) fn script(&self, file: &str) -> Option<&AST> {
        self.scripts.get(file)
    }

    /// The file in which a closure or function stands that this file has a pointer to: a function is named in
    /// its own file, a closure may come from anywhere.
    pub(super) fn home_of<'a>(&'a self, name: &str, caller: &'a str) -> Option<&'a str> {
        let here = |file: &str| {
            let script = self.scripts.get(file);
            script.is_some_and(|script| script.iter_functions().any(|function| function.name == name))
        };
        if here(caller) {
            return Some(caller);
        }
        self.home_of_closure(name)
    }

    /// The file a closure stands in.
    pub(super) fn home_of_closure(&self, name: &str) -> Option<&str> {
        self.closures.get(name).map(String::as_str)
    }
}

fn place(file: &str, position: Position) -> String {
    match (position.line(), position.position()) {
        (Some(line), column) => format!("{file}:{line}:{}", column.unwrap_or(1)),
        _ => file.to_owned(),
    }
}

/// Serves the imports of one turn from its program, each built once.
pub(super) struct Imports {
    program: Arc<Program>,
    built: Mutex<HashMap<String, Built>>,
    /// How many top levels of imports are running now.
    depth: Arc<AtomicU32>,
}

enum Built {
    /// Its top level is running now.
    Under,
    /// Done.
    Module(Shared<Module>),
}

impl Imports {
    pub(super) fn new(program: Arc<Program>) -> Self {
        Self {
            program,
            built: Mutex::default(),
            depth: Arc::default(),
        }
    }

    /// How many top levels of imports are running now.
    pub(super) fn depth(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.depth)
    }

    fn built(&self) -> std::sync::MutexGuard<'_, HashMap<String, Built>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ModuleResolver for Imports {
    fn resolve(
        &self,
        engine: &Engine,
        _importer: Option<&str>,
        path: &str,
        position: Position,
    ) -> Native<Shared<Module>> {
        let file = file_of(path);
        let Some(script) = self.program.scripts.get(&file) else {
            return Err(EvalAltResult::ErrorModuleNotFound(path.to_owned(), position).into());
        };
        match self.built().get(&file) {
            Some(Built::Module(module)) => return Ok(module.clone()),
            // The interpreter would recurse until the process aborts.
            Some(Built::Under) => return Err(fault("import_cycle", format!("`{path}` imports itself"))),
            None => {}
        }
        self.built().insert(file.clone(), Built::Under);
        self.depth.fetch_add(1, Ordering::Relaxed);
        let built = Module::eval_ast_as_new(Scope::new(), script, engine);
        self.depth.fetch_sub(1, Ordering::Relaxed);
        let mut all = self.built();
        match built {
            Ok(module) => {
                let module: Shared<Module> = frozen(module);
                all.insert(file, Built::Module(module.clone()));
                Ok(module)
            }
            Err(error) => {
                all.remove(&file);
                drop(all);
                // Errors that end a script must not become catchable by being wrapped.
                if error.is_system_exception() {
                    return Err(error);
                }
                Err(EvalAltResult::ErrorInModule(script.source().unwrap_or(path).to_owned(), error, position).into())
            }
        }
    }
}

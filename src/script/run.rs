//! One turn: an engine assembled for it, run once, and the verdict.
//!
//! The verdict on a turn is the meter's first: what a script makes of an interrupt is never looked at.
//! This file must not know what a host function does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult, Module, Scope, Shared};

use super::detached::Detached;
use super::fault::{ScriptError, describe, trace_of};
use super::host::{Turn, TurnTag, modules_of};
use super::meter::{Budget, Limit, Meter, Stop};
use super::program::{Imports, Program};
use super::{Function, Host, convert, sandbox};
use crate::base::clock::Clock;
use crate::base::ids::Digest;
use crate::model::value::Value;
use crate::model::workflow::Version;

/// Programs kept compiled by one thread. One is some hundred kilobytes; compiling one takes a millisecond.
const PROGRAMS_MAX: usize = 64;

/// What to do about an event no script can hold: it is as the provider sent it.
const EVENT_TOO_LARGE: &str = ": have the provider send less at once, or keep such events from the workflow by `when` \
     and let a schedule read what they tell of";
/// The same about parameters.
const PARAMS_TOO_LARGE: &str = ": give the workflow fewer, in its manifest or in the request that started the run";

/// The constants of a run, visible in every function, closure and import.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Globals {
    /// What started the run.
    pub event: Value,
    /// The workflow's parameters.
    pub params: Value,
    /// Facts about the run.
    pub run: Value,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ran {
    /// The script came to its end, with this value.
    Finished(Value),
    /// The script failed.
    Failed(ScriptError),
    /// The host ended the turn. Nothing the script did after that counts.
    Interrupted,
    /// The program itself failed: a bug. What the script did until then stands.
    Panicked,
    /// The script used up what a turn may use.
    Exhausted {
        /// What it used up.
        limit: Limit,
        /// Where it was then: the interpreter keeps the outermost place only.
        trace: Vec<String>,
    },
}

/// The interpreter of one thread.
///
/// It owns its modules, because sharing them between running threads costs more than building them. For
/// each turn an engine is assembled over them. `measure_assembly` below prints what that costs: 4 µs beside
/// 600 µs for a script of 60 lines, both unoptimised. For less than a hundredth of its time a turn gets its
/// own tag, progress hook, constants and resolver, which one engine for all turns could not hold.
pub struct Interpreter<H: Host> {
    kit: Arc<Kit>,
    host: std::marker::PhantomData<fn(H)>,
}

/// What the engines of one thread are made of. No other thread uses it.
pub(super) struct Kit {
    clock: Arc<dyn Clock>,
    standard: Shared<Module>,
    plain: Shared<Module>,
    modules: BTreeMap<String, Shared<Module>>,
    common: Vec<String>,
    programs: Mutex<Programs>,
}

#[derive(Default)]
struct Programs {
    compiled: HashMap<Digest, Arc<Program>>,
    in_order: VecDeque<Digest>,
}

impl<H: Host> Interpreter<H> {
    /// An interpreter that offers these functions.
    pub fn new(functions: &[Function<H>], clock: Arc<dyn Clock>) -> Self {
        let (plain, modules) = modules_of(functions);
        let kit = Kit {
            clock,
            standard: sandbox::standard_module(),
            plain,
            modules,
            common: Vec::new(),
            programs: Mutex::default(),
        };
        Self {
            kit: Arc::new(kit),
            host: std::marker::PhantomData,
        }
    }

    /// The same, with modules that every script sees; all others have to stand in its version's `uses`.
    #[must_use]
    pub fn with_common_modules(mut self, names: &[&str]) -> Self {
        let kit = Arc::get_mut(&mut self.kit).expect("turns share it, and none is running");
        kit.common = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Runs the main script of a version from its top, once.
    pub fn run(&self, version: &Version, host: Arc<H>, globals: Globals, budget: Budget) -> Ran {
        let program = match self.kit.program(version) {
            Ok(program) => program,
            Err(error) => return Ran::Failed(*error),
        };
        let Some(script) = program.main_script() else {
            return Ran::Failed(ScriptError::plain("script", "the version has no script"));
        };
        let constants = match Constants::new(globals) {
            Ok(constants) => constants,
            Err(error) => return Ran::Failed(*error),
        };
        let turn = Arc::new(Turn {
            host,
            meter: Meter::start(Arc::clone(&self.kit.clock), budget),
            program: Arc::clone(&program),
            constants: Arc::new(constants),
            kit: Arc::clone(&self.kit),
            importing: None,
        });
        let engine = self.kit.assemble(&turn, Imports::new(Arc::clone(&program)));
        // The engine holds no state that outlives this turn, so a panic leaves nothing half done behind.
        let ended = catch_unwind(AssertUnwindSafe(|| evaluate(&engine, script)));
        drop(engine);
        conclude(&turn, ended, program.main())
    }

    /// Calls a closure that a script of this version gave to the host on another thread, as a part of its turn
    /// with a host of its own.
    pub fn call(&self, version: &Version, closure: &Detached, host: Arc<H>, item: Value, index: usize) -> Ran {
        match self.kit.program(version) {
            Ok(program) => call_detached(&self.kit, &program, closure, host, item, index),
            Err(error) => Ran::Failed(*error),
        }
    }
}

/// Calls a closure on this thread, as a part of its turn.
pub(super) fn call_detached<H: Host>(
    kit: &Arc<Kit>,
    program: &Arc<Program>,
    closure: &Detached,
    host: Arc<H>,
    item: Value,
    index: usize,
) -> Ran {
    let meter = closure.meter();
    let constants = match Constants::new(closure.globals()) {
        Ok(constants) => constants,
        Err(error) => return Ran::Failed(*error),
    };
    let imports = Imports::new(Arc::clone(program));
    let turn = Arc::new(Turn {
        host,
        meter,
        program: Arc::clone(program),
        constants: Arc::new(constants),
        kit: Arc::clone(kit),
        importing: Some(imports.depth()),
    });
    let engine = kit.assemble(&turn, imports);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let script = closure.surroundings(program)?;
        let arguments = closure.arguments(&script, item, index)?;
        let options = CallFnOptions::new().eval_ast(true).rewind_scope(true);
        engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &script, closure.name(), arguments)
    }));
    drop(engine);
    conclude(&turn, ended, closure.file())
}

/// What came of a turn or a part of it, which began in this file. What used up the budget ends the whole turn.
fn conclude<H: Host>(
    turn: &Turn<H>,
    ended: std::thread::Result<Result<Dynamic, Box<EvalAltResult>>>,
    file: &str,
) -> Ran {
    if turn.host.interrupted() {
        turn.meter.interrupt();
    }
    match (turn.meter.stopped(), ended) {
        (Some(Stop::Interrupted), _) => Ran::Interrupted,
        (Some(Stop::Panicked), _) => Ran::Panicked,
        (Some(Stop::Exhausted(limit)), ended) => Ran::Exhausted {
            limit,
            trace: match ended {
                Ok(Err(error)) => trace_of(&error, &turn.program, file),
                // It swallowed its end, or panicked on the way out: the place is lost.
                Ok(Ok(_)) | Err(_) => vec![file.to_owned()],
            },
        },
        (None, Err(_panic)) => {
            turn.meter.panicked();
            Ran::Panicked
        }
        (None, Ok(result)) => {
            let ran = verdict(result, &turn.program, file, &turn.constants);
            if let Ran::Exhausted { limit, .. } = &ran {
                turn.meter.exhausted(*limit);
            }
            ran
        }
    }
}

impl Kit {
    fn program(&self, version: &Version) -> Result<Arc<Program>, Box<ScriptError>> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = programs.compiled.get(&version.digest) {
            return Ok(Arc::clone(program));
        }
        let program = Arc::new(Program::compile(version)?);
        if programs.compiled.len() >= PROGRAMS_MAX
            && let Some(oldest) = programs.in_order.pop_front()
        {
            programs.compiled.remove(&oldest);
        }
        programs.compiled.insert(version.digest, Arc::clone(&program));
        programs.in_order.push_back(version.digest);
        Ok(program)
    }

    fn assemble<H: Host>(&self, turn: &Arc<Turn<H>>, imports: Imports) -> Engine {
        let mut engine = sandbox::engine();
        engine
            .register_global_module(self.standard.clone())
            .register_global_module(self.plain.clone())
            .set_default_tag(Dynamic::from(TurnTag(Arc::clone(turn))))
            .set_module_resolver(imports);
        for name in self.common.iter().chain(turn.program.uses()) {
            if let Some(module) = self.modules.get(name) {
                engine.register_static_module(name, module.clone());
            }
        }
        let progress = Arc::clone(turn);
        engine.on_progress(move |_| (!progress.meter.tick(progress.host.interrupted())).then_some(Dynamic::UNIT));
        Constants::install(Arc::clone(&turn.constants), &mut engine);
        engine
    }
}

fn evaluate(engine: &Engine, script: &AST) -> Result<Dynamic, Box<EvalAltResult>> {
    engine.eval_ast_with_scope(&mut Scope::new(), script)
}

fn verdict(result: Result<Dynamic, Box<EvalAltResult>>, program: &Program, file: &str, constants: &Constants) -> Ran {
    let error = match result {
        Ok(value) => {
            return match convert::from_script(&value) {
                Ok(value) => Ran::Finished(value),
                Err(refused) => Ran::Failed(ScriptError {
                    trace: vec![program.last_place(file)],
                    ..ScriptError::plain("result", format!("the script ended with {refused}"))
                }),
            };
        }
        Err(error) => error,
    };
    let exhausted = |limit| Ran::Exhausted {
        limit,
        trace: trace_of(&error, program, file),
    };
    match error.unwrap_inner() {
        EvalAltResult::ErrorStackOverflow(_) => exhausted(Limit::Depth),
        EvalAltResult::ErrorDataTooLarge(..)
        | EvalAltResult::ErrorTooManyVariables(_)
        | EvalAltResult::ErrorTooManyModules(_) => exhausted(Limit::Size),
        _ => {
            // They were plain values before they were the script's.
            let globals = constants.globals().unwrap_or_default();
            Ran::Failed(describe(&error, program, file, &globals))
        }
    }
}

/// The constants of a turn as the interpreter holds them.
pub(super) struct Constants {
    event: Dynamic,
    params: Dynamic,
    run: Dynamic,
}

impl Constants {
    fn new(globals: Globals) -> Result<Self, Box<ScriptError>> {
        let convert = |name: &str, value, then: &str| {
            convert::to_script(value).map_err(|refused| {
                let message = format!("`{name}` holds {refused}{then}");
                Box::new(ScriptError::plain("too_large", message))
            })
        };
        Ok(Self {
            event: convert("event", globals.event, EVENT_TOO_LARGE)?,
            params: convert("params", globals.params, PARAMS_TOO_LARGE)?,
            run: convert("run", globals.run, "")?,
        })
    }

    /// The same as plain values, for another thread.
    pub(super) fn globals(&self) -> Result<Globals, convert::Refused> {
        Ok(Globals {
            event: convert::from_script(&self.event)?,
            params: convert::from_script(&self.params)?,
            run: convert::from_script(&self.run)?,
        })
    }

    /// Makes them visible everywhere: functions see no variables of their file, imports none of the
    /// script that imports them, and closures can capture only what stands in a scope. A resolver of
    /// variables is asked in all of these. Each use is a copy, so that no closure can hold a lock on them.
    #[expect(
        deprecated,
        reason = "the interpreter marks this hook as volatile, not as going away; its contract test watches it"
    )]
    fn install(constants: Arc<Self>, engine: &mut Engine) {
        engine.on_var(move |name, _, _| {
            Ok(match name {
                "event" => Some(constants.event.clone()),
                "params" => Some(constants.params.clone()),
                "run" => Some(constants.run.clone()),
                _ => None,
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::model::workflow::Source;
    use crate::script::spawn_script_thread;

    struct Quiet;

    impl Host for Quiet {
        fn interrupted(&self) -> bool {
            false
        }

        fn waited(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }
    }

    /// Sixty lines with what real scripts do: money, a loop, a function, a closure, text.
    fn script() -> String {
        let mut text = String::from("fn add(a, b) {\n    a + b\n}\nlet total = EUR(0);\n");
        for line in 0..14 {
            text.push_str(&format!(
                "let amount_{line} = money(params.amount, \"EUR\") * {line};\ntotal = add(total, amount_{line});\nlet parts_{line} = total.allocate([1, 2, 3]).map(|part| part + EUR(0.01));\nlet text_{line} = `${{total}} in ${{parts_{line}.len()}}`;\n"
            ));
        }
        text.push_str("total");
        text
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "the figure is what this test is for")]
    fn measure_assembly() {
        const ROUNDS: u32 = 200;
        let measured = spawn_script_thread("measure", || {
            let clock = Arc::new(SystemClock::new());
            let interpreter = Interpreter::<Quiet>::new(&[], clock.clone());
            let source = Source {
                path: "main.rhai".to_owned(),
                text: script(),
            };
            let version = Version::new("w".to_owned(), String::new(), Vec::new(), vec![source]);
            let globals = || Globals {
                params: Value::map([("amount", Value::text("12.50"))]),
                ..Globals::default()
            };
            let budget = Budget {
                compute: std::time::Duration::from_secs(60),
                ..Budget::default()
            };
            let ran = interpreter.run(&version, Arc::new(Quiet), globals(), budget);
            assert!(matches!(ran, Ran::Finished(Value::Money(_))), "{ran:?}");

            let program = interpreter.kit.program(&version).expect("it compiles");
            let assemble = |interpreter: &Interpreter<Quiet>| {
                let turn = Turn {
                    host: Arc::new(Quiet),
                    meter: Meter::start(clock.clone(), budget),
                    program: Arc::clone(&program),
                    constants: Arc::new(Constants::new(globals()).expect("small")),
                    kit: Arc::clone(&interpreter.kit),
                    importing: None,
                };
                interpreter
                    .kit
                    .assemble(&Arc::new(turn), Imports::new(Arc::clone(&program)))
            };
            let time = |work: &mut dyn FnMut()| {
                let start = clock.elapsed();
                (0..ROUNDS).for_each(|_| work());
                (clock.elapsed() - start) / ROUNDS
            };
            let script = program.main_script().expect("a main script");
            let assembling = time(&mut || drop(assemble(&interpreter)));
            let shared = assemble(&interpreter);
            let on_one_engine = time(&mut || drop(evaluate(&shared, script)));
            let whole_turn = time(&mut || drop(interpreter.run(&version, Arc::new(Quiet), globals(), budget)));
            (assembling, on_one_engine, whole_turn)
        });
        let (assembling, on_one_engine, whole_turn) = measured.expect("a thread").join().expect("the thread ends");
        println!("assembling {assembling:?}, run on one engine {on_one_engine:?}, whole turn {whole_turn:?}");
    }
}

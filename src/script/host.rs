//! The bridge to host functions: plain values in, plain values out, interrupts that stick.
//!
//! This file must not know what a host function does; it knows how to call one.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rhai::{Dynamic, EvalAltResult, FuncRegistration, Module, NativeCallContext, Position, RhaiFunc, Shared};

use super::detached::{Detached, closure_of};
use super::fault::{Native, failure, fault, terminated};
use super::meter::Meter;
use super::program::Program;
use super::run::{Constants, Kit, Ran, call_detached};
use super::{Body, Function, Host, Site, Thrown, convert, frozen};
use crate::base::guard::{Guard, holds};
use crate::model::value::Value;

/// What belongs to one turn, or to one part of it that runs on a thread of its own.
pub(super) struct Turn<H> {
    pub(super) host: Arc<H>,
    pub(super) meter: Meter,
    pub(super) program: Arc<Program>,
    pub(super) constants: Arc<Constants>,
    /// What this thread's engines are made of.
    pub(super) kit: Arc<Kit>,
    /// In a part of a turn: how many top levels of imports are running.
    pub(super) importing: Option<Arc<AtomicU32>>,
}

/// A closure that a script gave to a function of the host.
pub struct Given<'a, H> {
    turn: &'a Arc<Turn<H>>,
    closure: Arc<Detached>,
}

impl<H: Host> Given<'_, H> {
    /// The closure, for other threads to call.
    pub fn closure(&self) -> &Arc<Detached> {
        &self.closure
    }

    /// Calls it on this thread, as a part of the turn with a host of its own.
    pub fn call(&self, host: Arc<H>, item: Value, index: usize) -> Ran {
        call_detached(&self.turn.kit, &self.turn.program, &self.closure, host, item, index)
    }
}

/// The turn as it rides in the engine's tag, from where every native can reach it.
pub(super) struct TurnTag<H>(pub(super) Arc<Turn<H>>);

impl<H> Clone for TurnTag<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The plain functions, and the modules by name.
pub(super) fn modules_of<H: Host>(functions: &[Function<H>]) -> (Shared<Module>, BTreeMap<String, Shared<Module>>) {
    let mut plain = Module::new();
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    for function in functions {
        let module = match &function.module {
            Some(name) => modules.entry(name.clone()).or_default(),
            None => &mut plain,
        };
        for arity in function.arity.clone() {
            register(module, function, arity);
        }
    }
    let modules = modules
        .into_iter()
        .map(|(name, mut module)| {
            // An engine that is given a module without an id makes a copy of it, at every turn.
            module.set_id(name.as_str());
            (name, frozen(module))
        })
        .collect();
    (frozen(plain), modules)
}

fn register<H: Host>(module: &mut Module, function: &Function<H>, arity: usize) {
    let body = function.body.clone();
    let name = match &function.module {
        Some(module) => format!("{module}::{}", function.name),
        None => function.name.clone(),
    };
    FuncRegistration::new(function.name.as_str()).set_into_module_raw(
        module,
        vec![TypeId::of::<Dynamic>(); arity],
        RhaiFunc::Pure {
            func: Arc::new(
                move |context: Option<NativeCallContext<'_>>, arguments: &mut [&mut Dynamic]| {
                    let context = context.ok_or_else(terminated)?;
                    // The interpreter tells the place of plain natives only, not of those of a module.
                    call(&context, &name, &body, arguments).map_err(|error| placed(error, context.call_position()))
                },
            ),
            has_context: true,
            is_pure: true,
            is_volatile: true,
        },
    );
}

fn placed(mut error: Box<EvalAltResult>, position: Position) -> Box<EvalAltResult> {
    if error.position().is_none() {
        error.set_position(position);
    }
    error
}

fn turn_of<H: Host>(context: &NativeCallContext<'_>) -> Option<Arc<Turn<H>>> {
    let tag = context.tag()?.read_lock::<TurnTag<H>>()?;
    Some(Arc::clone(&tag.0))
}

fn call<H: Host>(
    context: &NativeCallContext<'_>,
    name: &str,
    body: &Body<H>,
    arguments: &[&mut Dynamic],
) -> Native<Dynamic> {
    // No turn, no host: only module texts evaluated outside a turn could come here, and there are none.
    let turn = turn_of::<H>(context).ok_or_else(terminated)?;
    if (turn.meter.stopped().is_some() || turn.host.interrupted()) && holds(Guard::InterruptSticks) {
        turn.meter.interrupt();
        return Err(terminated());
    }
    if turn
        .importing
        .as_ref()
        .is_some_and(|depth| depth.load(Ordering::Relaxed) > 0)
    {
        let message = format!(
            "`{name}` is called at the top level of an imported script, which every branch would do again: call it \
             in a function"
        );
        return Err(fault("step_in_import", message));
    }
    let (plain, pointer) = match body {
        Body::Plain(_) => (arguments, None),
        Body::Closure(_) => {
            let last = arguments.split_last();
            let pointer = closure_of(name, last.map(|(last, _)| &**last))?;
            (last.map_or(arguments, |(_, before)| before), Some(pointer))
        }
    };
    let values = plain
        .iter()
        .enumerate()
        .map(|(position, value)| {
            convert::from_script(value).map_err(|refused| {
                fault(
                    "bad_argument",
                    format!("argument {} of `{name}` is {refused}", position + 1),
                )
            })
        })
        .collect::<Native<Vec<Value>>>()?;
    let position = context.call_position();
    let site = Site {
        file: context.call_source().unwrap_or(turn.program.main()).to_owned(),
        line: position.line().unwrap_or(0),
        column: position.position().unwrap_or(0),
    };
    let closure = match pointer {
        Some(pointer) => Some(Arc::new(Detached::of(
            context,
            &pointer,
            name,
            &turn.program,
            &turn.constants,
            turn.meter.parts(),
        )?)),
        None => None,
    };
    let outside = turn.meter.leave(turn.host.waited());
    let answer = match (body, closure) {
        (Body::Closure(body), Some(closure)) => body(&turn.host, site, &values, &Given { turn: &turn, closure }),
        (Body::Plain(body), _) => body(&turn.host, site, &values),
        (Body::Closure(_), None) => return Err(terminated()),
    };
    let (result, bytes) = hand_over(&turn, name, answer);
    turn.meter.come_back(&outside, turn.host.waited(), bytes);
    result
}

fn hand_over<H: Host>(turn: &Turn<H>, name: &str, answer: Result<Value, Thrown>) -> (Native<Dynamic>, usize) {
    let refuse = |error: Box<EvalAltResult>| (Err(error), 0);
    match answer {
        // A host that interrupts and yet answers has interrupted.
        _ if turn.host.interrupted() => {
            turn.meter.interrupt();
            refuse(terminated())
        }
        Err(Thrown::Interrupt) => {
            turn.meter.interrupt();
            refuse(terminated())
        }
        Err(Thrown::Failure(recorded)) => refuse(failure(recorded)),
        Ok(value) => match convert::to_script_sized(value) {
            Ok((value, bytes)) => (Ok(value), bytes),
            Err(refused) => refuse(fault("too_large", format!("`{name}` answered with {refused}"))),
        },
    }
}

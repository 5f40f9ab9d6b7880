//! The sandbox: what the interpreter can do at all.
//!
//! The standard module is built from chosen packages and our own replacements. Left out on purpose: time,
//! `sleep`, `exit`, `eval`, binary data, reflection. Nothing here may reach a file, a clock or a socket.

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage,
    LogicPackage, MoreStringPackage, Package as _,
};
use rhai::{AST, ASTNode, Engine, Expr, Module, OptimizationLevel, Position, Shared, Stmt};

use super::{collections, frozen, json, money, number, sorting, text, time};
use crate::base::limits::{
    SCRIPT_ARGUMENTS_MAX, SCRIPT_CALL_LEVELS_MAX, SCRIPT_EXPRESSION_DEPTH_MAX, SCRIPT_LIST_ITEMS_MAX,
    SCRIPT_MAP_KEYS_MAX, SCRIPT_MODULES_MAX, SCRIPT_TEXT_BYTES_MAX,
};

/// Functions of one script file; generous, but a bound.
const FUNCTIONS_MAX: usize = 1_000;
/// Variables in scope at once.
const VARIABLES_MAX: usize = 1_000;

/// Names every script can read and none may declare.
pub(super) const CONSTANTS: [&str; 3] = ["event", "params", "run"];

/// The standard functions of scripts.
pub(super) fn standard_module() -> Shared<Module> {
    let mut module = Module::new();
    ArithmeticPackage::init(&mut module);
    BasicStringPackage::init(&mut module);
    BasicIteratorPackage::init(&mut module);
    LogicPackage::init(&mut module);
    BasicMathPackage::init(&mut module);
    BasicArrayPackage::init(&mut module);
    BasicMapPackage::init(&mut module);
    MoreStringPackage::init(&mut module);
    // Packages register their functions lazily; ours have to come after, to take the place of theirs.
    module.register_lazy_functions();
    number::register(&mut module);
    money::register(&mut module);
    time::register(&mut module);
    json::register(&mut module);
    text::register(&mut module);
    collections::register(&mut module);
    sorting::register(&mut module);
    frozen(module)
}

/// An engine with every limit set, and no function at all.
///
/// `Engine::new_raw` has no resolver and prints nowhere. Fast operators are off: they would bypass our `/`
/// on whole numbers. The optimiser is off: it drops imports and code that looks dead.
pub(super) fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    engine
        .set_optimization_level(OptimizationLevel::None)
        .set_fast_operators(false)
        .set_max_call_levels(SCRIPT_CALL_LEVELS_MAX)
        .set_max_expr_depths(SCRIPT_EXPRESSION_DEPTH_MAX, SCRIPT_EXPRESSION_DEPTH_MAX)
        // Counted by the meter: the engine's own count starts again in every closure a native calls.
        .set_max_operations(0)
        .set_max_variables(VARIABLES_MAX)
        .set_max_functions(FUNCTIONS_MAX)
        .set_max_modules(SCRIPT_MODULES_MAX)
        .set_max_string_size(SCRIPT_TEXT_BYTES_MAX)
        .set_max_array_size(SCRIPT_LIST_ITEMS_MAX)
        .set_max_map_size(SCRIPT_MAP_KEYS_MAX);
    engine
}

/// The engine that parses what will run.
pub(super) fn parser() -> Engine {
    let mut engine = engine();
    // A closure captures what it needs; a pointer curried without end could not be called in any time.
    engine.disable_symbol("eval").disable_symbol("curry");
    engine
}

/// A call with more arguments than a call may have: its name, and where it stands.
///
/// When the interpreter finds no function for a call it tries what each argument could be, and nothing can
/// interrupt that.
pub(super) fn oversized_call(script: &AST) -> Option<(String, Position)> {
    let mut found = None;
    script.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(
            ASTNode::Stmt(Stmt::FnCall(call, position))
            | ASTNode::Expr(Expr::FnCall(call, position) | Expr::MethodCall(call, position)),
        ) = path.last()
            && call.args.len() > SCRIPT_ARGUMENTS_MAX
            && call.name != "curry"
        {
            found = Some((call.name.to_string(), *position));
        }
        found.is_none()
    });
    found
}

/// What to say of such a call.
pub(super) fn oversized_call_message(name: &str) -> String {
    format!("`{name}` is called with more than {SCRIPT_ARGUMENTS_MAX} arguments: pass a list or a map")
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::collections::BTreeSet;

    use rhai::FnPtr;

    use super::*;

    /// Natives of the interpreter that call closures make every error catchable; each has one of ours in its
    /// place. A name that is not in this list came with an upgrade and needs one too.
    #[test]
    fn every_native_that_takes_a_closure_is_ours() {
        let mut engine = engine();
        engine.register_global_module(standard_module());
        let takers: BTreeSet<String> = engine
            .collect_fn_metadata(
                None,
                |function| {
                    let takes = function.metadata.param_types.contains(&TypeId::of::<FnPtr>());
                    takes.then(|| function.metadata.name.to_string())
                },
                true,
            )
            .into_iter()
            .collect();
        let ours = [
            "all",
            "debug",
            "dedup",
            "drain",
            "filter",
            "find",
            "find_map",
            "for_each",
            "index_of",
            "map",
            "order",
            "order_by",
            "print",
            "reduce",
            "reduce_rev",
            "retain",
            "some",
            "sort",
            "sort_by",
            "to_debug",
            "to_string",
            "zip",
        ];
        assert_eq!(takers, ours.map(str::to_owned).into());
    }
}

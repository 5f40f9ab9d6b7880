//! What scripts may call: the host's part, told by the caller, and the standard functions, told by the
//! sandbox itself, so that the checker and the interpreter can never disagree.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use super::super::sandbox;

/// A function as the checker needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// How many arguments it takes.
    pub arity: RangeInclusive<usize>,
    /// Whether calling it twice or in another order makes no difference to anything.
    pub pure: bool,
    /// Whether its last argument is a function, which works on copies of what it captures.
    pub takes_function: bool,
    /// The names of its arguments in order; none if it takes one map of them, or one without a name.
    pub arguments: Vec<String>,
    /// The keys of the one map it takes, each with whether it has to be there; none if it takes something else. Those of
    /// a map under one of them, or of an argument, have a point between (`deficit.to`), those of a list of maps brackets
    /// (`from[].account`).
    pub keys: Vec<(String, bool)>,
    /// Keys of one map that do not go together.
    pub apart: Vec<Apart>,
    /// Keys that it takes elsewhere, and not in this module.
    pub lacking: Vec<String>,
    /// Where it takes less in this module than elsewhere.
    pub takes: Vec<Takes>,
    /// The kind of thing that it makes, if that is known.
    pub makes: Option<String>,
    /// Which of its arguments, or which key of its map, is the name of a calendar.
    pub calendar: Option<Place>,
}

/// Two keys of one map that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// The map they stand in: nothing for the one it takes, else as in `Signature::keys`, with what separates them.
    pub place: String,
    /// The key that stands alone, and the one that does not go with it.
    pub keys: [String; 2],
    /// What to write instead.
    pub instead: String,
}

/// What a function takes at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takes {
    /// An argument or a key, written as in [`Signature::keys`]; nothing for the one argument without a name.
    pub at: String,
    /// What may stand there.
    pub forms: Vec<Form>,
    /// Why nothing else may.
    pub why: String,
    /// What to write instead.
    pub help: String,
}

/// What may stand at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Text,
    /// Text that is no code of a currency.
    TextButCurrency,
    /// A map.
    Map,
    /// A map that says of itself that it is such a thing, as what makes one returns it.
    Resource(String),
}

/// Where an argument stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By its number, from 0.
    Argument(usize),
    /// Under a key of the map.
    Key(String),
}

/// A module of host functions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleSurface {
    /// The connector behind it, for messages; empty for a module that is no connection.
    pub connector: String,
    /// What it offers.
    pub functions: Vec<Signature>,
    /// Names that other connectors offer: calling one of them here is `unsupported`, not unknown.
    pub known: Vec<String>,
    /// Why some of them are not offered here.
    pub lacks: BTreeMap<String, String>,
}

/// Everything the host offers to the scripts of one workflow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surface {
    /// Functions called by their bare name.
    pub functions: Vec<Signature>,
    /// Modules by the name scripts use.
    pub modules: BTreeMap<String, ModuleSurface>,
    /// Modules of which nothing is known: no call into one of them is wrong.
    pub unknown_modules: Vec<String>,
    /// The keys of `params`, if they are known.
    pub params: Option<Vec<String>>,
    /// The names of the calendars, if they are known.
    pub calendars: Option<Vec<String>>,
}

/// Names the interpreter handles itself.
const BUILT_IN: [(&str, RangeInclusive<usize>); 6] = [
    ("type_of", 1..=1),
    ("is_shared", 1..=1),
    ("is_def_var", 1..=1),
    ("is_def_fn", 2..=3),
    ("Fn", 1..=1),
    ("call", 1..=usize::MAX),
];

/// Names under which the interpreter also registers its operators and binary helpers; not for scripts.
const HIDDEN: [(&str, usize); 8] = [
    ("add", 2),
    ("subtract", 2),
    ("multiply", 2),
    ("divide", 2),
    ("modulo", 2),
    ("power", 2),
    ("bits", 1),
    ("to_blob", 1),
];

/// The standard functions and how many arguments they can take, a receiver included.
pub(super) fn standard_functions() -> &'static BTreeMap<String, Vec<RangeInclusive<usize>>> {
    static FUNCTIONS: OnceLock<BTreeMap<String, Vec<RangeInclusive<usize>>>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let mut engine = sandbox::engine();
        engine.register_global_module(sandbox::standard_module());
        let registered = engine.collect_fn_metadata(
            None,
            |function| {
                let (name, arity) = (function.metadata.name.as_str(), function.metadata.num_params);
                (!HIDDEN.contains(&(name, arity))).then(|| (name.to_owned(), arity))
            },
            true,
        );
        let mut functions: BTreeMap<String, Vec<RangeInclusive<usize>>> = BTreeMap::new();
        let registered = registered.into_iter().map(|(name, arity)| (name, arity..=arity));
        let built_in = BUILT_IN.into_iter().map(|(name, arity)| (name.to_owned(), arity));
        for (name, arity) in registered.chain(built_in) {
            // Operators, getters and indexers are registered under names no script can write.
            if name.chars().all(|letter| letter.is_alphanumeric() || letter == '_') {
                functions.entry(name).or_default().push(arity);
            }
        }
        functions
    })
}

impl Surface {
    /// Whether the host has a module of this name, known or not.
    pub(super) fn has_module(&self, name: &str) -> bool {
        self.modules.contains_key(name) || self.is_unknown(name)
    }

    /// Whether nothing is known of the module of this name.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        self.unknown_modules.iter().any(|unknown| unknown == name)
    }

    pub(super) fn function(&self, name: &str) -> Option<&Signature> {
        self.functions.iter().find(|function| function.name == name)
    }
}

impl ModuleSurface {
    pub(super) fn function(&self, name: &str) -> Option<&Signature> {
        self.functions.iter().find(|function| function.name == name)
    }
}

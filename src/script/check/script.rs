//! One parsed script and the facts about it that the checks share.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTFlags, ASTNode, Dynamic, Engine, Expr, FnAccess, ParseError, Position, Stmt};

use super::super::program::file_of;
use super::super::{condition, sandbox};
use crate::model::workflow::Source;

/// A function or closure of a script, or its top level.
pub(super) struct Unit {
    /// Its name; empty for the top level.
    pub(super) name: String,
    pub(super) params: Vec<String>,
    pub(super) private: bool,
    body: Body,
}

enum Body {
    TopLevel,
    /// A tree that holds this one function: the interpreter lets its body be walked, not be taken out.
    Function(AST),
}

impl Unit {
    pub(super) fn is_closure(&self) -> bool {
        self.name.starts_with("anon$")
    }

    pub(super) fn is_top_level(&self) -> bool {
        matches!(self.body, Body::TopLevel)
    }

    /// Whether it can be called by its name.
    pub(super) fn is_named(&self) -> bool {
        !self.is_closure() && !self.is_top_level()
    }

    /// Visits every node, each with the nodes above it. Statements of the body itself have none above.
    pub(super) fn walk(&self, script: &Script, visit: &mut dyn FnMut(&[ASTNode<'_>])) {
        let mut on_node = |path: &[ASTNode<'_>]| {
            visit(path);
            true
        };
        match &self.body {
            Body::TopLevel => {
                let mut path = Vec::new();
                for statement in script.ast.statements() {
                    statement.walk(&mut path, &mut on_node);
                    path.clear();
                }
            }
            Body::Function(tree) => {
                tree.walk(&mut on_node);
            }
        }
    }
}

/// A parsed script.
pub(super) struct Script {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) is_main: bool,
    pub(super) ast: AST,
    pub(super) units: Vec<Unit>,
    /// Names of imports to the files they stand for.
    pub(super) imports: BTreeMap<String, String>,
    /// Names the script gives to those who import it.
    pub(super) exports: BTreeSet<String>,
    /// Every name declared anywhere: for suggestions.
    pub(super) declared: BTreeSet<String>,
    /// Names of map entries and properties that are assigned: a closure may stand there.
    pub(super) entries: BTreeSet<String>,
}

/// The engine that parses for the checker: like the one of runs, but it lets `eval` through, to be found
/// with everything else.
fn parser() -> Engine {
    sandbox::engine()
}

impl Script {
    pub(super) fn parse(source: &Source, is_main: bool) -> Result<Self, ParseError> {
        Ok(Self::of(source, parser().compile(&source.text)?, is_main))
    }

    /// A condition: an expression alone.
    pub(super) fn parse_condition(source: &Source) -> Result<Self, ParseError> {
        Ok(Self::of(source, condition::parse(parser(), &source.text)?, true))
    }

    fn of(source: &Source, ast: AST, is_main: bool) -> Self {
        let mut units = vec![Unit {
            name: String::new(),
            params: Vec::new(),
            private: false,
            body: Body::TopLevel,
        }];
        for (_, access, name, _, definition) in ast.shared_lib().iter_script_fn_info() {
            let arity = definition.params.len();
            // `clone_functions_only_filtered` would be meant for this, but does not filter.
            let mut tree = ast.clone_functions_only();
            tree.retain_functions(|_, _, other, params| other == name && params == arity);
            units.push(Unit {
                name: name.to_owned(),
                params: definition.params.iter().map(ToString::to_string).collect(),
                private: access == FnAccess::Private,
                body: Body::Function(tree),
            });
        }
        let mut script = Self {
            path: source.path.clone(),
            text: source.text.clone(),
            is_main,
            ast,
            units: Vec::new(),
            imports: BTreeMap::new(),
            exports: BTreeSet::new(),
            declared: BTreeSet::new(),
            entries: BTreeSet::new(),
        };
        let mut facts = Facts::default();
        for unit in &units {
            facts.declared.extend(unit.params.iter().cloned());
            unit.walk(&script, &mut |path| facts.note(path));
        }
        script.units = units;
        script.imports = facts.imports;
        script.exports = facts.exports;
        script.declared = facts.declared;
        script.entries = facts.entries;
        script
    }

    /// The closures and functions of this name.
    pub(super) fn functions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Unit> {
        self.units.iter().filter(move |unit| unit.name == name)
    }

    /// Where a function is defined: the interpreter does not keep the place.
    pub(super) fn place_of_function(&self, name: &str) -> Position {
        for (number, line) in self.text.lines().enumerate() {
            let Some((before, after)) = line.split_once("fn ") else {
                continue;
            };
            let found = after.trim_start();
            let is_it = found
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('('));
            if is_it {
                let column = before.chars().count() + 3 + (after.chars().count() - found.chars().count()) + 1;
                let line = u16::try_from(number + 1).unwrap_or(u16::MAX);
                return Position::new(line, u16::try_from(column).unwrap_or(u16::MAX));
            }
        }
        Position::NONE
    }
}

#[derive(Default)]
struct Facts {
    imports: BTreeMap<String, String>,
    exports: BTreeSet<String>,
    declared: BTreeSet<String>,
    entries: BTreeSet<String>,
}

impl Facts {
    fn note(&mut self, path: &[ASTNode<'_>]) {
        match path.last() {
            Some(ASTNode::Stmt(statement)) => self.note_statement(statement),
            Some(ASTNode::Expr(Expr::Map(map, _))) => {
                self.entries.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
            }
            _ => {}
        }
    }

    fn note_statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Var(variable, flags, _) => {
                self.declared.insert(variable.0.name.to_string());
                if flags.intersects(ASTFlags::EXPORTED) {
                    self.exports.insert(variable.0.name.to_string());
                }
            }
            Stmt::For(parts, _) => {
                self.declared.insert(parts.0.name.to_string());
                self.declared
                    .extend(parts.1.iter().map(|counter| counter.name.to_string()));
            }
            Stmt::TryCatch(parts, _) => {
                if let Expr::Variable(variable, ..) = &parts.expr {
                    self.declared.insert(variable.1.to_string());
                }
            }
            Stmt::Import(import, _) => {
                if let Expr::StringConstant(name, _) = &import.0 {
                    self.imports.insert(import.1.name.to_string(), file_of(name));
                }
            }
            Stmt::Export(export, _) => {
                let (name, alias) = &**export;
                let seen = if alias.name.is_empty() { name } else { alias };
                self.exports.insert(seen.name.to_string());
            }
            Stmt::Assignment(assignment) => self.note_assigned(&assignment.1.lhs),
            _ => {}
        }
    }

    fn note_assigned(&mut self, target: &Expr) {
        match target {
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => self.note_assigned(&parts.rhs),
            Expr::Property(property, _) => {
                self.entries.insert(property.2.to_string());
            }
            Expr::StringConstant(key, _) => {
                self.entries.insert(key.to_string());
            }
            _ => {}
        }
    }
}

/// A closure as it stands in an expression: its name, and the variables it captures with their places.
pub(super) struct Closure {
    pub(super) name: String,
    pub(super) captures: Vec<(String, Position)>,
}

fn pointer_name(value: &Dynamic) -> Option<String> {
    value
        .read_lock::<rhai::FnPtr>()
        .map(|pointer| pointer.fn_name().to_owned())
}

/// The closure this expression is, if it is one.
pub(super) fn as_closure(expression: &Expr) -> Option<Closure> {
    match expression {
        Expr::DynamicConstant(value, _) => Some(Closure {
            name: pointer_name(value)?,
            captures: Vec::new(),
        }),
        // A closure that captures is a block: share the variables, then curry them.
        Expr::Stmt(block) => match block.statements() {
            [Stmt::Share(shared), Stmt::Expr(curry)] => {
                let Expr::FnCall(call, _) = &**curry else {
                    return None;
                };
                let Some(Expr::DynamicConstant(value, _)) = call.args.first() else {
                    return None;
                };
                let captures = shared.iter().map(|(name, _)| (name.name.to_string(), name.pos));
                Some(Closure {
                    name: pointer_name(value)?,
                    captures: captures.collect(),
                })
            }
            _ => None,
        },
        _ => None,
    }
}

/// The variable a chain of properties, indexes and methods begins with.
pub(super) fn root_of(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Variable(variable, ..) if variable.2.is_empty() => Some(&variable.1),
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => root_of(&parts.lhs),
        _ => None,
    }
}

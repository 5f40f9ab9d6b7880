//! `bursar primitives`: the reference of what scripts can call, printed from the table the engine uses.

use serde_json::{Value as Json, json};

use super::error::{CliError, Exit};
use super::output::{FAINT, GOOD, STRONG};
use super::{Context, connectors};
use crate::base::suggest::nearest;
use crate::connector::registry::Registry;
use crate::connector::table::{Connector, Endpoint, Param};
use crate::engine::primitives::{Kind, Module, Primitive, all, offered};

/// Show what scripts can call
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this one, such as `sweep` or `log::info`; with --connector also an endpoint
    name: Option<String>,
    /// What a connection to this connector offers: its treasury primitives and its endpoints
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
}

/// One function a script can call.
enum Item<'a> {
    Primitive(&'static Primitive),
    Endpoint(&'a Endpoint),
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let registry = registry(args, context)?;
    let connector = args
        .connector
        .as_deref()
        .map(|name| connectors::find(&registry, name))
        .transpose()?;
    let items = wanted(items(connector), args.name.as_deref())?;
    let output = &context.output;
    if output.json {
        for item in &items {
            output.object("bursar.primitive/1", &item.json())?;
        }
    } else if args.name.is_some() {
        let texts: Vec<String> = items.iter().map(Item::long).collect();
        output.print(&texts.join("\n"))?;
    } else {
        output.print(&reference(&items, connector))?;
        output.note("`bursar primitives NAME` shows arguments and an example.");
    }
    Ok(Exit::Ok)
}

/// The built-in connectors, and those beside the settings where another one is asked for.
fn registry(args: &Args, context: &Context) -> Result<Registry, CliError> {
    let built_in = Registry::built_in();
    match &args.connector {
        Some(name) if built_in.get(name).is_none() => connectors::registry(context),
        _ => Ok(built_in),
    }
}

fn items(connector: Option<&Connector>) -> Vec<Item<'_>> {
    let Some(connector) = connector else {
        return all().map(Item::Primitive).collect();
    };
    let endpoints = connector
        .endpoints()
        .filter(|endpoint| offered(connector).all(|other| other.name != endpoint.name));
    offered(connector)
        .map(Item::Primitive)
        .chain(endpoints.map(Item::Endpoint))
        .collect()
}

fn wanted<'a>(items: Vec<Item<'a>>, name: Option<&str>) -> Result<Vec<Item<'a>>, CliError> {
    let Some(name) = name else { return Ok(items) };
    let bare = name.replace('.', "::");
    let last = bare.rsplit("::").next().unwrap_or(&bare).to_owned();
    let names: Vec<String> = items.iter().map(|item| item.name().to_owned()).collect();
    let (exact, near): (Vec<Item<'a>>, Vec<Item<'a>>) = items.into_iter().partition(|item| item.path() == bare);
    let found: Vec<Item<'a>> = match exact.is_empty() {
        true => near.into_iter().filter(|item| item.name() == last).collect(),
        false => exact,
    };
    if found.is_empty() {
        let error = CliError::not_found(format!("scripts cannot call `{name}`"));
        return Err(match nearest(&last, names.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`bursar primitives` lists everything; endpoints of a provider need --connector"),
        });
    }
    Ok(found)
}

fn reference(items: &[Item<'_>], connector: Option<&Connector>) -> String {
    let mut text = String::new();
    if let Some(connector) = connector {
        text.push_str(&format!("{STRONG}{}{STRONG:#}: {}\n\n", connector.title, connector.doc));
    }
    for heading in ["Everywhere", "Log", "Kept between runs", "On a connection", "Endpoints"] {
        let members: Vec<&Item<'_>> = items.iter().filter(|item| item.heading() == heading).collect();
        if members.is_empty() {
            continue;
        }
        text.push_str(&format!("{STRONG}{heading}{STRONG:#}\n"));
        for item in members {
            text.push_str(&format!("  {GOOD}{}{GOOD:#}\n", item.usage()));
            text.push_str(&format!("      {}\n", item.doc()));
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

impl Item<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Primitive(primitive) => primitive.name,
            Self::Endpoint(endpoint) => &endpoint.name,
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Primitive(primitive) => primitive.path(),
            Self::Endpoint(endpoint) => format!("connection::{}", endpoint.name),
        }
    }

    fn doc(&self) -> &str {
        match self {
            Self::Primitive(primitive) => primitive.doc,
            Self::Endpoint(endpoint) => &endpoint.doc,
        }
    }

    fn heading(&self) -> &'static str {
        let Self::Primitive(primitive) = self else {
            return "Endpoints";
        };
        match primitive.module {
            Module::Plain => "Everywhere",
            Module::Log => "Log",
            Module::State => "Kept between runs",
            Module::Connection => "On a connection",
        }
    }

    fn usage(&self) -> String {
        match self {
            Self::Primitive(primitive) => format!("{}{}", primitive.path(), signature(primitive)),
            Self::Endpoint(endpoint) => format!("connection::{}", endpoint.usage()),
        }
    }

    fn long(&self) -> String {
        let mut text = format!("{GOOD}{}{GOOD:#}\n  {}\n", self.usage(), self.doc());
        let mut argument = |name: &str, doc: &str| {
            text.push_str(&format!("    {name:<24} {doc}\n"));
        };
        match self {
            Self::Primitive(primitive) => {
                for (name, doc) in primitive.params {
                    let optional = if name.ends_with('?') { " (optional)" } else { "" };
                    argument(name.trim_matches(['#', '?']), &format!("{doc}{optional}"));
                }
                let waits = if primitive.kind == Kind::Wait { "; may wait" } else { "" };
                text.push_str(&format!("  returns {}{waits}\n", primitive.result));
                text.push_str(&format!("  {FAINT}{}{FAINT:#}\n", primitive.example));
            }
            Self::Endpoint(endpoint) => {
                for param in &endpoint.params {
                    argument(&param.name, &of_param(param));
                }
                let scope = endpoint
                    .scope
                    .as_deref()
                    .map_or_else(String::new, |scope| format!(", scope {scope}"));
                let (method, path) = (endpoint.method.as_str(), &endpoint.path);
                text.push_str(&format!(
                    "  {FAINT}{method} {path}, {}{scope}{FAINT:#}\n",
                    endpoint.effect.as_str().replace('_', " ")
                ));
            }
        }
        text
    }

    fn json(&self) -> Json {
        match self {
            Self::Primitive(primitive) => json!({
                "name": primitive.path(),
                "kind": match primitive.kind { Kind::Step => "step", Kind::Wait => "wait" },
                "named_arguments": primitive.takes_map(),
                "arguments": primitive.params.iter().map(|(name, doc)| json!({
                    "name": name.trim_matches(['#', '?']),
                    "optional": name.ends_with('?'),
                    "doc": doc,
                })).collect::<Vec<_>>(),
                "result": primitive.result,
                "doc": primitive.doc,
                "example": primitive.example,
            }),
            Self::Endpoint(endpoint) => json!({
                "name": self.path(),
                "kind": "endpoint",
                "named_arguments": true,
                "arguments": endpoint.params.iter().map(|param| json!({
                    "name": param.name,
                    "optional": !param.required,
                    "values": param.values,
                    "doc": param.doc,
                })).collect::<Vec<_>>(),
                "method": endpoint.method.as_str(),
                "path": endpoint.path,
                "effect": endpoint.effect.as_str(),
                "scope": endpoint.scope,
                "doc": endpoint.doc,
            }),
        }
    }
}

fn signature(primitive: &Primitive) -> String {
    let shown = |(name, _): &(&str, &str)| {
        let bare = name.trim_matches(['#', '?']);
        if name.ends_with('?') {
            format!("[{bare}]")
        } else {
            bare.to_owned()
        }
    };
    // What a map in the map takes is told below.
    let params = primitive.params.iter().filter(|(name, _)| !name.contains('.'));
    let params: Vec<String> = params.map(shown).collect();
    if primitive.takes_map() {
        format!("(#{{ {} }})", params.join(", "))
    } else {
        format!("({})", params.join(", "))
    }
}

fn of_param(param: &Param) -> String {
    let optional = if param.required { "" } else { " (optional)" };
    let values = if param.values.is_empty() {
        String::new()
    } else {
        format!(" One of: {}.", param.values.join(", "))
    };
    format!("{}{values}{optional}", param.doc)
}

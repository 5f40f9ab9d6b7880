//! Primitives that touch no provider: the time, ids, what a workflow remembers, and the log.

use chrono::Datelike as _;

use super::args::{duration, invalid};
use super::{Body, Kind, Module, Primitive};
use crate::base::ids::random_uuid;
use crate::base::limits::STATE_KEY_BYTES_MAX;
use crate::engine::interrupt::Interrupt;
use crate::engine::turn::Turn;
use crate::model::value::Value;
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[
    Primitive {
        module: Module::Plain,
        name: "now",
        kind: Kind::Step,
        params: &[],
        result: "time",
        doc: "The time, UTC; the same again whenever the run is resumed.",
        example: "let since = now() - days(2);",
        needs: &[],
        body: Body::Plain(|turn, _| {
            turn.local("now", &Value::Null.typed_text(), || {
                let now = Value::Time(turn.now());
                Ok((now.clone(), now.to_string()))
            })
        }),
    },
    Primitive {
        module: Module::Plain,
        name: "today",
        kind: Kind::Step,
        params: &[("timezone", "an IANA zone such as \"Europe/Berlin\"")],
        result: "text, such as \"2026-11-20\"",
        doc: "The date in a zone; the same again whenever the run is resumed.",
        example: "let reference = `SWEEP ${today(\"Europe/Berlin\")}`;",
        needs: &[],
        body: Body::Plain(today),
    },
    Primitive {
        module: Module::Plain,
        name: "uuid",
        kind: Kind::Step,
        params: &[],
        result: "text",
        doc: "A random UUID, drawn once.",
        example: "let id = uuid();",
        needs: &[],
        body: Body::Plain(|turn, _| {
            turn.local("uuid", &Value::Null.typed_text(), || {
                let id = random_uuid().to_string();
                Ok((Value::text(&id), id))
            })
        }),
    },
    Primitive {
        module: Module::Plain,
        name: "sleep",
        kind: Kind::Wait,
        params: &[("duration", "\"2h\", minutes(30), or seconds")],
        result: "nothing",
        doc: "Lets time pass. The run waits without a thread and survives a restart.",
        example: "sleep(\"1h\");",
        needs: &[],
        body: Body::Plain(|turn, args| turn.sleep(duration("sleep", args.first().unwrap_or(&Value::Null))?)),
    },
    Primitive {
        module: Module::State,
        name: "get",
        kind: Kind::Step,
        params: &[("key", "text")],
        result: "the value, or () if none was kept",
        doc: "What an earlier run of this workflow kept under a key.",
        example: "let seen = state::get(\"last_deposit\") ?? \"\";",
        needs: &[],
        body: Body::Plain(state_get),
    },
    Primitive {
        module: Module::State,
        name: "set",
        kind: Kind::Step,
        params: &[("key", "text"), ("value", "any value; () removes the key")],
        result: "nothing",
        doc: "Keeps a value for later runs of this workflow.",
        example: "state::set(\"last_deposit\", \"dep_1\");",
        needs: &[],
        body: Body::Plain(state_set),
    },
    log("info", "log::info(\"nothing to do today\");", |turn, args| {
        write(turn, "log.info", args)
    }),
    log("warn", "log::warn(\"the balance is low\");", |turn, args| {
        write(turn, "log.warn", args)
    }),
    log("error", "log::error(\"the seller is not known\");", |turn, args| {
        write(turn, "log.error", args)
    }),
];

const fn log(
    name: &'static str,
    example: &'static str,
    body: fn(&Turn, &[Value]) -> Result<Value, Thrown>,
) -> Primitive {
    Primitive {
        module: Module::Log,
        name,
        kind: Kind::Step,
        params: &[("message", "text")],
        result: "nothing",
        doc: "Writes a line to the run's history and to the daemon's log, once.",
        example,
        needs: &[],
        body: Body::Plain(body),
    }
}

fn today(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let name = text(args, 0, "today", "a timezone such as \"Europe/Berlin\"")?;
    let zone: chrono_tz::Tz = name
        .parse()
        .map_err(|_| invalid(format!("`{name}` is not an IANA timezone such as Europe/Berlin")))?;
    turn.local("today", &Value::text(name).typed_text(), || {
        let date = turn.now().with_timezone(&zone);
        let date = format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day());
        Ok((Value::text(&date), date))
    })
}

fn state_key<'a>(args: &'a [Value], primitive: &str) -> Result<&'a str, Thrown> {
    let key = text(args, 0, primitive, "a key")?;
    if key.len() > STATE_KEY_BYTES_MAX {
        let message = format!(
            "a key of `{primitive}` has at most {STATE_KEY_BYTES_MAX} bytes, not {}",
            key.len()
        );
        return Err(invalid(message));
    }
    Ok(key)
}

fn state_get(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let key = state_key(args, "state::get")?;
    turn.local("state.get", &Value::text(key).typed_text(), || {
        let value = match turn.kept(key) {
            Some(value) => value,
            None => {
                // Not a wait: reading what is ours is computing.
                let kept = turn
                    .services
                    .runtime
                    .block_on(turn.services.store.state(&turn.run.workflow, key));
                kept.map_err(|error| turn.interrupt(Interrupt::StoreDown(error)))?
                    .unwrap_or_default()
            }
        };
        let summary = format!("{key} = {value}");
        Ok((value, summary))
    })
}

fn state_set(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let key = state_key(args, "state::set")?;
    let value = args.get(1).cloned().unwrap_or_default();
    let input = Value::List(vec![Value::text(key), value.clone()]).typed_text();
    turn.local("state.set", &input, || {
        let summary = format!("{key} = {value}");
        turn.keep(key.to_owned(), value);
        Ok((Value::Null, summary))
    })
}

fn write(turn: &Turn, name: &'static str, args: &[Value]) -> Result<Value, Thrown> {
    let message = args.first().map_or_else(String::new, Value::to_string);
    turn.local(name, &Value::text(&message).typed_text(), || {
        let (run, workflow) = (turn.run.id, turn.run.workflow.as_str());
        match name {
            "log.info" => tracing::info!(target: "script", %run, workflow, "{message}"),
            "log.warn" => tracing::warn!(target: "script", %run, workflow, "{message}"),
            _ => tracing::error!(target: "script", %run, workflow, "{message}"),
        }
        Ok((Value::Null, message.clone()))
    })
}

pub(super) fn text<'a>(args: &'a [Value], at: usize, primitive: &str, what: &str) -> Result<&'a str, Thrown> {
    let value = args.get(at).unwrap_or(&Value::Null);
    value
        .as_text()
        .ok_or_else(|| invalid(format!("`{primitive}` takes {what}, not {}", value.kind())))
}

//! The primitive that asks a person.

use chrono::TimeDelta;
use serde_json::Value as Json;

use super::args::{Args, invalid};
use super::{Body, Kind, Module, Primitive};
use crate::engine::turn::Turn;
use crate::model::journal::{APPROVAL, Asked};
use crate::model::value::Value;
use crate::script::Thrown;

/// The primitives of this file.
pub(super) const ALL: &[Primitive] = &[Primitive {
    module: Module::Plain,
    name: APPROVAL,
    kind: Kind::Wait,
    params: &[
        (
            "#reason",
            "what is to be approved, in one sentence for the one who reads it",
        ),
        ("group?", "who is asked, such as \"treasury\""),
        (
            "details?",
            "whatever else there is to know: a map with amounts, names, ids",
        ),
        ("timeout?", "\"24h\", hours(24); 72 hours if not given"),
    ],
    result: "the decision: `approved` (true), `by`, `reason`, `at`",
    doc: "Waits until a person has approved what is asked, with `bursar approvals approve`. Rejected: a failure \
          `rejected` whose `details` have `by`, `reason`, `at`. Past the time-out a failure `timeout`. The run waits \
          without a thread.",
    example: "approval(#{ reason: `return ${EUR(5_000)} to ACME`, group: \"treasury\", timeout: hours(24) });",
    needs: &[],
    body: Body::Plain(approval),
}];

/// A decision over a weekend.
const TIMEOUT: TimeDelta = TimeDelta::hours(72);

fn approval(turn: &Turn, args: &[Value]) -> Result<Value, Thrown> {
    let given = args.first().unwrap_or(&Value::Null);
    let args = Args::new(APPROVAL, given, &["reason", "group", "details", "timeout"])?;
    let reason = args.required_text("reason")?;
    let group = args.text("group")?;
    let blank = [("reason", Some(reason)), ("group", group)];
    if let Some((key, _)) = blank
        .iter()
        .find(|(_, text)| text.is_some_and(|text| text.trim().is_empty()))
    {
        return Err(invalid(format!("`{key}` of `{APPROVAL}` is empty: a person reads it")));
    }
    let asked = Asked {
        reason: reason.to_owned(),
        group: group.map(str::to_owned),
        details: args.get("details").map_or(Json::Null, Value::to_typed),
    };
    turn.approval(asked, args.duration("timeout")?.unwrap_or(TIMEOUT), given)
}

//! One golden file for each endpoint: arguments in, the exact request out; sample answers in, what they mean
//! out. `BURSAR_BLESS=1` rewrites the outgoing half after a change that is meant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bursar::connector::connection::Connection;
use bursar::connector::lookup::Known;
use bursar::connector::registry::Registry;
use bursar::connector::reply::{RawAnswer, Verdict, classify};
use bursar::connector::request::{Own, Prepared, prepare, prepare_own};
use bursar::connector::table::Endpoint;
use bursar::model::value::Value;
use serde_json::{Value as Json, json};

use super::connection_of;

fn folder(connector: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/connectors")
        .join(connector)
}

/// Fills in what the code makes of a golden file's input.
fn filled_in(bank: &Connection, golden: &Json, endpoint: &Endpoint) -> Json {
    let args = Value::from_typed(&golden["args"]).unwrap();
    let reference = golden.get("reference").and_then(Json::as_str);
    let own = Own {
        reference,
        key: golden.get("key").and_then(Json::as_str),
        before: &Known::new(),
    };
    let prepared = prepare_own(bank, endpoint, args.as_map().unwrap(), own)
        .unwrap_or_else(|failure| panic!("{}: {}", endpoint.name, failure.message));
    let mut filled = golden.clone();
    filled["request"] = json!({
        "method": prepared.request.method,
        "path": prepared.request.path,
        "headers": prepared.request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>(),
        "body": prepared.request.body,
    });
    filled["summary"] = json!(prepared.summary);
    filled["fingerprint"] = json!(prepared.fingerprint);
    filled["movement"] = json!(prepared.movement);
    for reply in filled["replies"].as_array_mut().unwrap() {
        let verdict = classify(
            &bank.connector,
            endpoint,
            &prepared.request,
            prepared.movement.as_ref(),
            &answer(reply),
        );
        reply["verdict"] = json!(described(&verdict));
    }
    filled
}

fn answer(reply: &Json) -> RawAnswer {
    let headers = reply.get("headers").and_then(Json::as_object);
    let headers = headers.into_iter().flatten();
    let body = match reply["body"].get("$text") {
        Some(text) => text.as_str().unwrap().to_owned(),
        None => reply["body"].to_string(),
    };
    RawAnswer {
        status: u16::try_from(reply["status"].as_u64().unwrap()).unwrap(),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
            .collect(),
        body: body.into(),
    }
}

fn described(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Applied { replayed: true, .. } => "applied before".to_owned(),
        Verdict::Applied { .. } => "applied".to_owned(),
        Verdict::NotApplied {
            failure,
            retry,
            refused,
        } => {
            let refused = if *refused { ", credentials refused" } else { "" };
            let retry = retry.map_or(String::new(), |hint| match hint.after {
                Some(after) => format!(", retry after {after:?}"),
                None => ", retry".to_owned(),
            });
            format!("not applied{refused}{retry}: {} ({})", failure.code, failure.message)
        }
        Verdict::Unknown { reason, retry } => {
            let then = match retry {
                None => ", not to be repeated".to_owned(),
                Some(hint) => hint
                    .after
                    .map_or(String::new(), |after| format!(", ask again after {after:?}")),
            };
            format!("unknown{then}: {reason}")
        }
        Verdict::Contradiction { reason } => format!("contradiction: {reason}"),
    }
}

#[test]
fn every_endpoint_has_a_golden_and_keeps_to_it() {
    let bless = std::env::vars().any(|(name, value)| name == "BURSAR_BLESS" && value == "1");
    let mut wrong = Vec::new();
    for connector in Registry::built_in().iter() {
        let bank = connection_of(&connector.name);
        let folder = folder(&connector.name);
        let mut left_over: BTreeSet<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        for endpoint in connector.endpoints() {
            let name = format!("{}.json", endpoint.name);
            if !left_over.remove(&name) {
                wrong.push(format!("{}: there is no golden {name}", connector.name));
                continue;
            }
            let text = std::fs::read_to_string(folder.join(&name)).unwrap();
            let golden: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let filled = filled_in(&bank, &golden, endpoint);
            if bless {
                let text = serde_json::to_string_pretty(&filled).unwrap() + "\n";
                std::fs::write(folder.join(&name), text).unwrap();
            } else if filled != golden {
                wrong.push(format!("{name}: the code makes this of it:\n{filled:#}"));
            }
        }
        wrong.extend(
            left_over
                .iter()
                .map(|name| format!("{name}: there is no such endpoint")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    for connector in Registry::built_in().iter() {
        let bank = connection_of(&connector.name);
        for endpoint in connector.endpoints() {
            let path = folder(&connector.name).join(format!("{}.json", endpoint.name));
            let golden: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            let args = Value::from_typed(&golden["args"]).unwrap();
            let build = || -> Prepared { prepare(&bank, endpoint, args.as_map().unwrap(), Some("r")).unwrap() };
            assert_eq!(build(), build(), "{}", endpoint.name);
        }
    }
}

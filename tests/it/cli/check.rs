//! `bursar check` on a machine that cannot run what it checks: no secrets, no connections.

use bursar::base::clock::{Clock as _, SystemClock};
use bursar::model::value::time_text;
use chrono::TimeDelta;

use super::bad_input::{initialised, told, write};
use super::harness::bursar;

/// Whoever checks files holds no keys; whoever calls a provider does.
#[test]
fn a_secret_that_is_not_there_stops_only_who_would_use_it() {
    let folder = initialised();
    let settings = |lines: &str| {
        let settings = format!("[connection.bank]\nconnector = \"augustus\"\nenvironment = \"live\"\n{lines}\n");
        write(folder.path(), "bursar.toml", settings);
    };
    let check = |lines: &str, sentence: &str| {
        settings(lines);
        told(
            folder.path(),
            &["check"],
            0,
            &["warning[settings]", sentence, "0 errors"],
        );
        told(folder.path(), &["workflows", "ls"], 0, &["nightly-sweep"]);
        told(folder.path(), &["connections", "ls"], 0, &["bank", sentence]);
        for args in [&["serve"][..], &["run", "nightly-sweep"], &["connections", "check"]] {
            told(folder.path(), args, 2, &["error[settings]", sentence]);
        }
        assert!(!folder.path().join("state").exists(), "nothing was begun");
    };
    let hook = "webhook_secrets = [{ file = \"secrets/bank-webhook.key\" }]";
    let hook = hook.replace("bank-webhook", "absent-webhook");
    let key = "api_key = { file = \"secrets/absent.key\" }";
    check(key, "absent.key, which is not there");
    check(
        "api_key = { env = \"BANK_KEY\" }",
        "the variable BANK_KEY, which is not set",
    );
    check(
        &hook,
        "`webhook_secrets` names the file secrets/absent-webhook.key, which is not there",
    );
    // Named and not there is one finding, not two.
    settings(&format!("{key}\n{hook}"));
    let checked = bursar(folder.path(), &["check", "--format", "concise"]).expect(0);
    assert_eq!(checked.stdout.matches("warning").count(), 3, "{}", checked.stdout);
    // Another error is an error still, and a warning hides none.
    settings(&format!("{key}\nbase_ulr = \"x\""));
    told(folder.path(), &["check"], 2, &["did you mean `base_url`?"]);
}

/// What is wrong with a script is told beside what is wrong with its connections, in the same pass.
#[test]
fn a_script_is_checked_although_its_connection_is_not_configured() {
    let folder = initialised();
    write(folder.path(), "bursar.toml", String::new());
    let manifest = |uses: &str| {
        let text = format!("name = \"one\"\nsummary = \"One.\"\nscript = \"one.rhai\"\nuses = [\"{uses}\"]\n");
        write(folder.path(), "workflows/one.toml", text);
    };
    let check = |script: &str, sentences: &[&str]| {
        write(folder.path(), "scripts/one.rhai", script);
        told(folder.path(), &["check"], 2, sentences);
    };
    manifest("bank");
    check("let a = ;", &["connection `bank` is not configured", "one.rhai:1:9"]);
    check(
        "bank::whatever(1, 2); totl(3);",
        &[
            "connection `bank` is not configured",
            "no function `totl`",
            "one.rhai:1:23",
        ],
    );
    let checked = bursar(folder.path(), &["check", "--format", "concise"]).expect(2);
    assert!(!checked.stdout.contains("whatever"), "{}", checked.stdout);
    // A connection that has the name of a connector is probably one of it.
    manifest("augustus");
    check(
        "augustus::payot(#{});",
        &["is not configured", "did you mean `payout`?"],
    );
}

/// What cannot be meant together is told before a run comes to it, with what to write instead.
#[test]
fn rules_that_exclude_each_other_are_told() {
    let folder = initialised();
    let manifest = "name = \"one\"\nsummary = \"One.\"\nscript = \"one.rhai\"\nuses = [\"bank\"]\n";
    write(folder.path(), "workflows/one.toml", manifest);
    let check = |rule: &str, code: i32, sentences: &[&str]| {
        let script = format!(
            "bank::sweep(#{{ from: \"a\", to: \"b\", reference: \"S\", {rule} }});\n\
             bank::sweep(#{{ from: [#{{ account: \"a\", {rule} }}], to: \"b\", reference: \"S\" }});\n\
             bank::concentrate(#{{ accounts: [#{{ account: \"a\", above: \"b\", {rule} }}], reference: \"S\" }});\n"
        );
        write(folder.path(), "scripts/one.rhai", script);
        let ran = told(folder.path(), &["check"], code, sentences);
        let found = ran.stdout.matches("error[arguments-apart]").count();
        assert_eq!(found, if code == 0 { 0 } else { 3 }, "{rule}: {}", ran.stdout);
    };
    check(
        "percent: 30, keep: EUR(1)",
        2,
        &["`keep` does not go with `percent`", "`buffer`: it is never moved"],
    );
    check(
        "keep: EUR(1), fixed: EUR(2)",
        2,
        &["`keep` does not go with `fixed`", "`buffer`"],
    );
    check(
        "target: EUR(1), threshold: EUR(2)",
        2,
        &["`threshold` does not go with `target`"],
    );
    check("threshold: EUR(2), keep: EUR(1), buffer: EUR(1)", 0, &[]);
    check("percent: 30, buffer: EUR(1), holds: EUR(1)", 0, &[]);
    // What is nothing is as if it were not written.
    check("percent: 30, keep: ()", 0, &[]);
}

/// Webhook secrets that have run out or soon will are told while there is time.
#[test]
fn a_webhook_secret_that_runs_out_is_told_a_week_before() {
    let folder = initialised();
    let now = SystemClock::new().now();
    let at = |days: i64| format!("\"{}\"", time_text(now + TimeDelta::days(days)));
    let check = |dates: &[String], code: i32, expected: &[&str]| {
        let secrets: Vec<String> = dates
            .iter()
            .map(|dates| format!("{{ file = \"secrets/bank-webhook.key\"{dates} }}"))
            .collect();
        let settings = format!(
            "[connection.bank]\nconnector = \"augustus\"\nbase_url = \"http://127.0.0.1:4010\"\n\
             api_key = {{ file = \"secrets/bank.key\" }}\nwebhook_secrets = [{}]\n",
            secrets.join(", ")
        );
        write(folder.path(), "bursar.toml", settings);
        told(folder.path(), &["check"], code, expected)
    };
    let from = |days| format!(", not_before = {}", at(days));
    let until = |days| format!(", not_after = {}", at(days));
    check(&[until(8)], 0, &["0 warnings"]);
    check(
        &[until(6)],
        0,
        &[
            "1 warning",
            "one of its `webhook_secrets` ends at",
            "no other one is good then",
        ],
    );
    check(
        &[until(6), from(5)],
        0,
        &["1 warning", "signs with the other one by then"],
    );
    check(&[until(6), from(7)], 0, &["1 warning", "no other one is good then"]);
    check(&[until(-1), from(-8)], 0, &["0 warnings"]);
    check(
        &[until(-1)],
        0,
        &[
            "none of its `webhook_secrets` is good any more",
            "its webhooks are refused",
        ],
    );
    check(&[until(-1), from(3)], 0, &["is good yet; the next begins at"]);
    check(
        &[format!("{}{}", from(3), until(2))],
        2,
        &["`not_after` is before `not_before`"],
    );
    check(
        &[", not_after = \"soon\"".to_owned()],
        2,
        &["expected a time in quotes"],
    );
    check(
        &[", not_after = 2026-12-01T00:00:00Z".to_owned()],
        2,
        &["expected a time in quotes"],
    );
    check(&[", not_afer = \"2026-12-01T00:00:00Z\"".to_owned()], 2, &["not_after"]);
    check(
        &[", env = \"HOOK\"".to_owned()],
        2,
        &["{ file = \"PATH\" } or { env = \"VARIABLE\" }"],
    );
    write(folder.path(), "secrets/bank-webhook.key", "whsec_%");
    check(&[String::new()], 2, &["is of no use", "`whsec_` and base64 text"]);
}

//! `bursar webhooks register|ls|rotate|unregister|test|listen`, against the simulator's calls for subscriptions.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bursar::connector::registry::EMBEDDED;
use bursar::simulator::config::{AfterServerError, SimulatorConfig};
use bursar::simulator::faults::{FaultAction, FaultRule};
use serde_json::Value as Json;

use super::daemon::{Daemon, world};
use super::harness::{Ran, bursar, command};

fn webhooks(folder: &Path, args: &[&str]) -> Ran {
    bursar(folder, &[&["webhooks"], args, &["--connection", "bank"]].concat())
}

fn listed(folder: &Path) -> Vec<Json> {
    webhooks(folder, &["ls", "--json"]).expect(0).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_told_where_to_send_webhooks_once_and_a_test_arrives() {
    let (folder, bank) = world().await;
    let folder = folder.path();
    let daemon = Daemon::start(folder);
    let url = format!("http://{}", daemon.door);
    assert_eq!(listed(folder), Vec::<Json>::new());
    let none = webhooks(folder, &["test"]).expect(4);
    assert!(none.stderr.contains("webhooks register"), "{}", none.stderr);

    // The answer is lost: the same call again, under its key.
    let lost = FaultRule::on("create_webhook_subscription", FaultAction::DropAfterEffect).times(1);
    bank.control.add_fault(lost);
    let made = webhooks(folder, &["register", "--url", &url]).expect(0);
    for part in [
        "registered: ",
        "deposit.received",
        &format!("{url}/hooks/bank"),
        "webhook_secrets = [{ file = \"secrets/bank-webhook.key\" }]",
    ] {
        assert!(made.stdout.contains(part), "{part}: {}", made.stdout);
    }
    assert!(made.stderr.contains("in the provider's Dashboard"), "{}", made.stderr);
    let first = listed(folder);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0]["events"], serde_json::json!(["deposit.received"]));

    let again = webhooks(folder, &["register", "--url", &url, "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&again[0]["done"], &again[0]["subscription"]["id"]),
        (&"nothing".into(), &first[0]["id"])
    );
    let more = ["register", "--url", &url, "--events", "*"];
    assert!(webhooks(folder, &more).expect(0).stdout.starts_with("changed: "));
    assert!(
        webhooks(folder, &more)
            .expect(0)
            .stdout
            .starts_with("registered already: ")
    );
    assert_eq!(listed(folder).len(), 1);

    let tested = webhooks(folder, &["test"]).expect(0);
    assert!(tested.stdout.starts_with("arrived: evt_"), "{}", tested.stdout);
    for (args, code, sentence) in [
        (
            &["register", "--url", &url, "--events", "payout.payd"][..],
            2,
            "`payout.payd` is no type of event",
        ),
        (&["register", "--url", "ftp://bank"], 5, "https URI"),
        (
            &["unregister", "00000000-0000-4000-8000-000000000000"],
            4,
            "there is no subscription",
        ),
    ] {
        let refused = webhooks(folder, args).expect(code);
        assert!(refused.stderr.contains(sentence), "{args:?}: {}", refused.stderr);
    }
    drop(daemon);
    let nobody = webhooks(folder, &["test"]).expect(7);
    assert!(nobody.stderr.contains("bursar serve"), "{}", nobody.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_so_before_can_be_so_again() {
    let (folder, _bank) = world().await;
    let folder = folder.path();
    let register = |events: &str| {
        let url = "http://127.0.0.1:9/hooks/bank";
        let args = ["register", "--url", url, "--events", events, "--json"];
        webhooks(folder, &args).expect(0).json().remove(0)
    };
    for _ in 0..3 {
        let made = register("deposit.received");
        assert_eq!(made["done"], "made");
        for (events, done) in [
            ("payout.paid", "changed"),
            ("deposit.received", "changed"),
            ("payout.paid", "changed"),
            ("payout.paid", "nothing"),
        ] {
            let changed = register(events);
            let there = listed(folder);
            assert_eq!((&changed["done"], there.len()), (&done.into(), 1), "{events}");
            assert_eq!(there[0]["events"], serde_json::json!([events]));
            assert_eq!(changed["subscription"]["id"], there[0]["id"]);
        }
        let id = made["subscription"]["id"].as_str().expect("an id");
        webhooks(folder, &["unregister", id]).expect(0);
        assert_eq!(listed(folder), Vec::<Json>::new());
    }
}

/// A table of our own, which is the bank's but for this change.
fn has_own_table(folder: &Path, change: impl Fn(&str) -> String) {
    let (_, table) = EMBEDDED[0];
    let table = change(&table.replace("name  = \"augustus\"", "name  = \"own\""));
    fs::create_dir_all(folder.join("connectors")).expect("a folder");
    fs::write(folder.join("connectors/own.toml"), table).expect("written");
    let settings = fs::read_to_string(folder.join("bursar.toml")).expect("settings");
    let settings = settings.replace("connector = \"augustus\"", "connector = \"own\"");
    fs::write(folder.join("bursar.toml"), settings).expect("written");
}

/// A provider that gives the secret in its answer; here the id of the subscription stands for it.
fn gives_its_id_as_secret(folder: &Path) {
    has_own_table(folder, |table| {
        table.replace("all          = \"*\"", "all          = \"*\"\nsecret       = \"/id\"")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_heard_of_is_not_asked_for_again_where_its_key_may_be_free() {
    let (folder, bank) = world().await;
    let folder = folder.path();
    has_own_table(folder, |table| {
        table.replace("[idempotency]\n", "[idempotency]\nkept = \"successes\"\n")
    });
    let free = |config: &mut SimulatorConfig| config.idempotency.after_server_error = AfterServerError::RunAgain;
    bank.control.configure(free);
    let lost = FaultRule::on("create_webhook_subscription", FaultAction::ErrorLost { status: 500 });
    bank.control.add_fault(lost.times(1));
    let register = || webhooks(folder, &["register", "--url", "http://127.0.0.1:9"]);
    let unheard = register();
    assert_eq!(listed(folder).len(), 1, "it was done, and not asked for again");
    let unheard = unheard.expect(7);
    assert!(unheard.stderr.contains("bursar webhooks ls"), "{}", unheard.stderr);
    let again = register().expect(0);
    assert!(again.stdout.starts_with("registered already: "), "{}", again.stdout);
    assert_eq!(listed(folder).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_comes_out_whatever_fails_afterwards() {
    let (folder, bank) = world().await;
    let folder = folder.path();
    gives_its_id_as_secret(folder);
    let register = |more: &[&str]| {
        let fixed = ["register", "--url", "http://127.0.0.1:9/hooks/bank"];
        webhooks(folder, &[&fixed, more].concat())
    };
    // Nothing is asked for that nothing would keep.
    let nowhere = register(&[]).expect(2);
    assert!(nowhere.stderr.contains("--show-secret shows it"), "{}", nowhere.stderr);
    assert_eq!(listed(folder), Vec::<Json>::new());
    // The provider refuses: the file that was made for the secret is gone again.
    fn refused(endpoint: &str) -> FaultRule {
        let action = FaultAction::Refusal {
            status: 403,
            code: "forbidden".to_owned(),
        };
        FaultRule::on(endpoint, action)
    }
    bank.control.add_fault(refused("create_webhook_subscription").times(1));
    register(&["--secret-file", "secrets/new.key"]).expect(5);
    assert!(!folder.join("secrets/new.key").exists());
    // It is taken, and then the list is refused for good; or its answer cannot be read.
    let unread = || {
        let action = FaultAction::Replace {
            pointer: "/url".to_owned(),
            value: serde_json::json!(5),
        };
        FaultRule::on("create_webhook_subscription", action).times(1)
    };
    let unseen = || refused("list_webhook_subscriptions").nth(2).times(1_000);
    let (shown, silent) = (&["--json", "--show-secret"][..], &["--quiet", "--show-secret"][..]);
    let cases = [
        (unseen(), "was made, but the list is refused", shown),
        (unread(), "it was made, but", shown),
        (unread(), "it was made, but", silent),
        (unread(), "it was made, but", &["--secret-file", "secrets/kept.key"]),
    ];
    for (fault, sentence, more) in cases {
        bank.control.clear_faults();
        bank.control.add_fault(fault);
        let made = register(more).expect(7);
        bank.control.clear_faults();
        assert!(made.stderr.contains(sentence), "{more:?}: {}", made.stderr);
        let there = listed(folder);
        assert_eq!(there.len(), 1, "{there:?}");
        let id = there[0]["id"].as_str().expect("an id");
        match more[0] {
            "--json" => assert_eq!(made.json()[0]["secret"], id),
            "--quiet" => assert_eq!(made.stdout, format!("secret: {id}\n")),
            _ => {
                let file = folder.join("secrets/kept.key");
                assert_eq!(fs::read_to_string(&file).expect("kept"), id);
                fs::remove_file(file).expect("removed");
            }
        }
        webhooks(folder, &["unregister", id]).expect(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_replaced_beside_the_old_one_and_kept_in_a_file_for_one_person() {
    let (folder, bank) = world().await;
    let folder = folder.path();
    gives_its_id_as_secret(folder);

    let register = |more: &[&str]| {
        let fixed = ["register", "--url", "http://127.0.0.1:9/hooks/bank"];
        webhooks(folder, &[&fixed, more].concat())
    };
    // Its list lags: what was made is shown at the third look.
    let unlisted = FaultAction::Replace {
        pointer: "/data".to_owned(),
        value: serde_json::json!([]),
    };
    bank.control
        .add_fault(FaultRule::on("list_webhook_subscriptions", unlisted).times(3));
    // A process that was killed before the secret came has left its file.
    fs::write(folder.join("secrets/new.key"), "").expect("written");
    let left = register(&["--secret-file", "secrets/new.key"]).expect(2);
    assert!(
        left.stderr.contains("remove it if none is still at work"),
        "{}",
        left.stderr
    );
    fs::remove_file(folder.join("secrets/new.key")).expect("it was there");
    let made = register(&["--secret-file", "secrets/new.key"]).expect(0);
    let id = listed(folder)[0]["id"].as_str().expect("an id").to_owned();
    let file = folder.join("secrets/new.key");
    assert_eq!(fs::read_to_string(&file).expect("written"), id);
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let absolute = fs::canonicalize(folder).expect("there").join("secrets/new.key");
    let named = format!("file = \"{}\"", absolute.display());
    assert!(made.stdout.contains(&named), "{}", made.stdout);
    assert!(!made.stderr.contains(&id), "{}", made.stderr);
    let taken = register(&["--secret-file", "secrets/new.key"]).expect(2);
    assert!(taken.stderr.contains("is there already"), "{}", taken.stderr);

    // Asked again nothing is given, so nothing was kept.
    let nothing = register(&["--secret-file", "secrets/other.key", "--json"])
        .expect(0)
        .json();
    assert_eq!(nothing[0]["secret_file"], Json::Null);
    assert!(!folder.join("secrets/other.key").exists());
    // Where it could not be kept, none is asked for.
    let nowhere = webhooks(folder, &["rotate", "--secret-file", "nowhere/new.key"]).expect(2);
    assert!(
        nowhere.stderr.contains("nowhere/new.key cannot be made"),
        "{}",
        nowhere.stderr
    );
    assert_eq!(listed(folder).len(), 1);
    // Shown only to whom asks for it.
    for (more, is_shown) in [
        (&["--json", "--show-secret"][..], true),
        (&["--json", "--secret-file", "secrets/quiet.key"], false),
    ] {
        let rotated = webhooks(folder, &[&["rotate", "--subscription", &id], more].concat()).expect(0);
        let told = rotated.json().remove(0);
        let new = &told["subscription"]["id"];
        assert_eq!(told["secret"], if is_shown { new.clone() } else { Json::Null });
        webhooks(folder, &["unregister", new.as_str().expect("an id")]).expect(0);
    }

    let rotated = webhooks(folder, &["rotate", "--overlap", "48", "--show-secret"]).expect(0);
    let both = listed(folder);
    assert_eq!(both.len(), 2, "{both:?}");
    let new = both
        .iter()
        .find_map(|one| one["id"].as_str().filter(|new| *new != id))
        .expect("another");
    for part in [
        &format!("secret: {new}"),
        "not_after = \"",
        &format!("unregister --connection bank {id}"),
    ] {
        assert!(rotated.stdout.contains(part), "{part}: {}", rotated.stdout);
    }
    // Where the old one stands is what the settings say, and it ends when it would have ended.
    assert!(
        rotated
            .stdout
            .contains("  { file = \"secrets/bank-webhook.key\", not_after = \"")
    );
    let text = fs::read_to_string(folder.join("bursar.toml")).expect("settings");
    let moved = "{ env = \"OLD\", not_after = \"2099-01-01T00:00:00Z\" }, { file = \"secrets/bank-webhook.key\", \
                 not_after = \"2020-01-01T00:00:00Z\" }";
    let moved = text.replace("{ file = \"secrets/bank-webhook.key\" }", moved);
    assert_ne!(moved, text);
    fs::write(folder.join("bursar.toml"), moved).expect("written");
    let third = ["rotate", "--subscription", &id, "--secret-file", "secrets/third.key"];
    let elsewhere = webhooks(folder, &third).expect(0).stdout;
    assert!(
        elsewhere.contains("{ env = \"VARIABLE\", not_after = \"20"),
        "{elsewhere}"
    );
    // There is no such variable: what stands there may be the secret itself.
    assert!(!elsewhere.contains("OLD"), "{elsewhere}");
    assert!(
        !elsewhere.contains("2099") && !elsewhere.contains("bank-webhook.key\""),
        "{elsewhere}"
    );
    let third = elsewhere.split_whitespace().nth(1).expect("its id");
    webhooks(folder, &["unregister", third]).expect(0);
    fs::write(folder.join("bursar.toml"), text).expect("written");
    let which = webhooks(folder, &["rotate"]).expect(2);
    assert!(which.stderr.contains("--subscription"), "{}", which.stderr);
    webhooks(folder, &["unregister", &id]).expect(0);
    let left = listed(folder);
    assert_eq!((left.len(), left[0]["id"].as_str()), (1, Some(new)));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_sees_what_is_believed_and_why_the_rest_is_not() {
    let (folder, _bank) = world().await;
    let folder = folder.path();
    let mut child = command(folder, &["webhooks", "listen", "--connection", "bank", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    let mut remarks = BufReader::new(child.stderr.take().expect("its remarks"));
    remarks.read_line(&mut said).expect("a line");
    let to = said
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .expect("its address");
    let deposit = r#"{"id":"evt_1","type":"deposit.received","date":"2026-05-04T08:59:58Z","payload":{"id":"dep_1"}}"#;
    fs::write(folder.join("deposit.json"), deposit).expect("written");
    webhooks(folder, &["send", "deposit.json", "--to", to]).expect(0);
    // Another secret than the one it knows.
    let own = fs::read_to_string(folder.join("secrets/bank-webhook.key")).expect("the secret");
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    assert_ne!(own.trim(), other);
    fs::write(folder.join("secrets/bank-webhook.key"), other).expect("written");
    webhooks(folder, &["send", "deposit.json", "--to", to]).expect(5);
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    let shown = String::from_utf8(ended.stdout).expect("text");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "verified  deposit.received  evt_1  dep_1");
    assert!(
        lines[1].starts_with("refused   the signature was not accepted: "),
        "{shown}"
    );
    assert!(!folder.join("state").exists(), "nothing is kept");
}

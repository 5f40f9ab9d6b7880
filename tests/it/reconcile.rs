//! A payment of unknown outcome, as a person meets it: listed, explained with what the provider shows, decided.

use bursar::model::journal::{Entry, Outcome};
use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule};

use serde_json::json;

use crate::support::daemon::Site;
use crate::support::{settled, until};

/// A site whose nightly sweep has one payment in doubt: the bank took it, and answered with another amount.
async fn in_doubt() -> (Site, bursar::base::ids::RunId) {
    in_doubt_at(1).await
}

/// The same of one of its payments.
async fn in_doubt_at(nth: u64) -> (Site, bursar::base::ids::RunId) {
    let mut site = Site::new(SimulatorConfig::demo()).await;
    let lie = FaultAction::WrongAmount {
        amount: "1.00".to_owned(),
    };
    site.bank
        .control
        .add_fault(FaultRule::on("create_payout", lie).nth(nth));
    site.start().await;
    let run = site.run("nightly-sweep").await.run;
    until(site.store().await.as_ref(), run, |run| run.state == RunState::Parked).await;
    (site, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bank_shows_is_adopted_and_nothing_is_sent_twice() {
    let (mut site, run) = in_doubt().await;

    let listed = site.command(&["reconcile", "ls"]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(listed.stdout.contains(&run.to_string()), "{}", listed.stdout);
    assert!(listed.stdout.contains("contradiction"), "{}", listed.stdout);

    let shown = site.command(&["reconcile", "show", &run.to_string()]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for expected in [
        "first sent",
        "key protects",
        "our reference",
        "looked from",
        "it happened:",
        "--adopt-found",
    ] {
        assert!(shown.stdout.contains(expected), "{expected}:\n{}", shown.stdout);
    }
    let is_nested = |line: &str| line.starts_with("      \"");
    assert!(shown.stdout.lines().any(is_nested), "{}", shown.stdout);
    let json = site.command(&["--json", "reconcile", "show", &run.to_string()]).await;
    let told: serde_json::Value = serde_json::from_str(&json.stdout).expect("one object");
    assert_eq!(told["provider"]["shows"], "found", "{told}");

    let run_text = run.to_string();
    let nameless = ["reconcile", "resolve", &run_text, "--adopt-found", "--reason", " "];
    assert_eq!(
        site.command(&nameless).await.code,
        Some(2),
        "a decision without a reason"
    );
    let decide = [
        "reconcile",
        "resolve",
        &run_text,
        "--adopt-found",
        "--reason",
        "seen in the bank's list",
    ];
    let decided = site.command(&decide).await;
    assert_eq!(decided.code, Some(0), "{}", decided.stderr);
    assert_eq!(
        settled(site.store().await.as_ref(), run).await.state,
        RunState::Succeeded
    );
    let again = site.command(&decide).await;
    assert_eq!(
        again.code,
        Some(5),
        "a run that is over cannot be decided: {}",
        again.stderr
    );

    let runs = site.quiet().await.expect("quiet");
    let audit = site.audit(&runs).await.expect("an audit");
    assert!(audit.is_exact(), "{audit}");
    assert_eq!(audit.paid(), 2, "{audit}");
    let empty = site.command(&["reconcile", "ls"]).await;
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), ""), "{}", empty.stderr);
    assert!(site.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_bank_only_our_own_evidence_is_shown() {
    let (mut site, run) = in_doubt().await;
    assert!(site.stop().await.success());
    let offline = site
        .command(&["reconcile", "show", &run.to_string(), "--offline"])
        .await;
    assert_eq!(offline.code, Some(0), "{}", offline.stderr);
    assert!(
        !offline.stdout.contains("What the provider shows"),
        "{}",
        offline.stdout
    );
    assert!(offline.stdout.contains("--absent-and-resend"), "{}", offline.stdout);
    let missing = site
        .command(&["reconcile", "show", &run.to_string(), "--step", "9"])
        .await;
    assert_eq!(missing.code, Some(4), "{}", missing.stderr);
}

/// What the journal says of the last decision about a run.
async fn last_reason(site: &Site, run: bursar::base::ids::RunId) -> Option<String> {
    let records = site.store().await.journal(run).await.expect("the journal");
    records.into_iter().rev().find_map(|record| match record.entry {
        Entry::Resolved { reason, .. } => Some(reason),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bank_shows_is_not_sent_again_whatever_is_said() {
    let (mut site, run) = in_doubt().await;
    let run_text = run.to_string();
    let resend = [
        "reconcile",
        "resolve",
        &run_text,
        "--absent-and-resend",
        "--reason",
        "not there",
    ];
    let payouts = site.bank.control.effects().len();
    // With a daemon and without one, and no word of a person makes it absent.
    for daemon in [true, false] {
        if !daemon {
            assert!(site.stop().await.success());
        }
        for words in [&[][..], &["--although", "unproved"]] {
            let refused = site.command(&[&resend[..], words].concat()).await;
            assert_eq!(refused.code, Some(5), "{daemon} {words:?}: {refused:?}");
            assert!(refused.stderr.contains("it happened"), "{}", refused.stderr);
            assert!(refused.stderr.contains("--adopt-found"), "{}", refused.stderr);
        }
    }
    assert_eq!(site.bank.control.effects().len(), payouts, "nothing was sent");
    assert_eq!(last_reason(&site, run).await, None, "nothing was decided");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_prove_needs_a_word_of_its_own_and_the_journal_keeps_it() {
    let (mut site, run) = in_doubt().await;
    assert!(site.stop().await.success());
    let settings = std::fs::read_to_string(site.path("bursar.toml")).expect("settings");
    let (before, after) = settings.split_once("base_url = \"").expect("an address");
    let (_, after) = after.split_once('"').expect("its end");
    let settings = format!("{before}base_url = \"http://127.0.0.1:1\"{after}");
    std::fs::write(site.path("bursar.toml"), settings).expect("written");
    let run_text = run.to_string();
    let resend = [
        "reconcile",
        "resolve",
        &run_text,
        "--absent-and-resend",
        "--reason",
        "the bank says no",
    ];
    let refused = site.command(&resend).await;
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("--although unproved"), "{}", refused.stderr);
    let taken = site.command(&[&resend[..], &["--although", "unproved"]].concat()).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let reason = last_reason(&site, run).await.expect("a decision");
    assert!(reason.starts_with("the bank says no (unproved: "), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_adopted_has_to_be_what_was_asked_for() {
    let (mut site, run) = in_doubt().await;
    let run_text = run.to_string();
    let file = site.path("found.json");
    let adopt = [
        "reconcile",
        "resolve",
        &run_text,
        "--adopt",
        file.to_str().expect("text"),
        "--reason",
        "seen",
    ];
    let check = async |site: &Site, resource: serde_json::Value, part: &str| {
        std::fs::write(&file, resource.to_string()).expect("written");
        let refused = site.command(&adopt).await;
        assert_eq!(refused.code, Some(5), "{resource}: {refused:?}");
        assert!(refused.stderr.contains(part), "{resource}: {}", refused.stderr);
    };
    check(&site, json!({"hello": "world"}), "names no id").await;
    check(&site, json!([]), "names no id").await;
    let shown = site.command(&["--json", "reconcile", "show", &run_text]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("one object");
    let paid = shown["provider"]["resource"].clone();
    let mut another = paid.clone();
    another["amount"] = json!("1.00");
    check(&site, another.clone(), "the answer says 1").await;
    // What says nothing contradicts nothing: that is no proof. What differs and what is left out are told together.
    let nothing = "does not say its amount and its currency and its beneficiary";
    check(&site, json!({"id": paid["id"]}), nothing).await;
    check(&site, json!({"id": "x"}), "--although unproved").await;
    let mut elsewhere = another.clone();
    let destination = elsewhere["destination"].as_object_mut().expect("an object");
    for (_, named) in destination.iter_mut().filter(|(name, _)| *name != "type") {
        *named = json!(format!("{}0", named.as_str().unwrap_or_default()));
    }
    check(&site, elsewhere.clone(), "names another beneficiary").await;
    check(&site, elsewhere, "the answer says 1").await;
    let mut silent = another.clone();
    silent.as_object_mut().expect("an object").remove("destination");
    check(&site, silent, "does not say its beneficiary").await;
    // Without a daemon the same is said.
    assert!(site.stop().await.success());
    check(&site, another, "the answer says 1").await;
    std::fs::write(&file, paid.to_string()).expect("written");
    let taken = site.command(&adopt).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_names_its_run_and_tells_when_that_is_parked_again() {
    let (mut site, run) = in_doubt().await;
    let run_text = run.to_string();
    for command in ["runs", "reconcile"] {
        let refused = site
            .command(&[command, "resolve", "last", "--retry", "--reason", "x"])
            .await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(&run_text), "{}", refused.stderr);
    }
    let lie = FaultAction::WrongAmount {
        amount: "1.00".to_owned(),
    };
    site.bank
        .control
        .add_fault(FaultRule::on("create_payout", lie).times(1));
    let parked = site
        .command(&["reconcile", "resolve", &run_text, "--retry", "--reason", "x"])
        .await;
    assert_eq!(parked.code, Some(3), "{parked:?}");
    assert!(parked.stdout.contains("parked"), "{}", parked.stdout);
    assert!(parked.stderr.contains("bursar reconcile show"), "{}", parked.stderr);
    assert!(site.stop().await.success());
    // Whoever watches the log hears of it.
    let log = site.log();
    let told = log
        .lines()
        .filter(|line| line.contains(&run_text) && line.contains("bursar reconcile show"));
    assert_eq!(told.count(), 2, "{log}");
    site.start().await;
    assert!(site.log().contains("parked     1 run for a person"), "{}", site.log());
    assert!(site.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_step_of_the_run_made_is_not_adopted_without_a_word() {
    let (mut site, run) = in_doubt_at(2).await;
    let run_text = run.to_string();
    let records = site.store().await.journal(run).await.expect("the journal");
    let paid = records.iter().find_map(|record| match &record.entry {
        Entry::Outcome {
            path,
            outcome: Outcome::Value(value),
        } if value.pointer("/destination").is_some() => Some((path.clone(), value.to_plain())),
        _ => None,
    });
    let (path, paid) = paid.expect("the first payment");
    let shown = site.command(&["--json", "reconcile", "show", &run_text]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("one object");
    // All is as it was asked for, but that it is another one.
    let mut resource = shown["provider"]["resource"].clone();
    resource["id"] = paid["id"].clone();
    let file = site.path("found.json");
    std::fs::write(&file, resource.to_string()).expect("written");
    let adopt = [
        "reconcile",
        "resolve",
        &run_text,
        "--adopt",
        file.to_str().expect("text"),
        "--reason",
        "seen",
    ];
    let refused = site.command(&adopt).await;
    assert_eq!(refused.code, Some(5), "{refused:?}");
    let expected = format!("step {path} of this run already has it");
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    let taken = site.command(&[&adopt[..], &["--although", "different"]].concat()).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    assert!(site.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bank_shows_is_not_called_failed_without_a_word() {
    let (mut site, run) = in_doubt().await;
    let run_text = run.to_string();
    let fail = ["reconcile", "resolve", &run_text, "--fail", "--reason", "it bounced"];
    for daemon in [true, false] {
        if !daemon {
            assert!(site.stop().await.success());
        }
        for words in [&[][..], &["--although", "unproved"]] {
            let refused = site.command(&[&fail[..], words].concat()).await;
            assert_eq!(refused.code, Some(5), "{daemon} {words:?}: {refused:?}");
            for part in ["it happened", "--adopt-found", "`--although different`"] {
                assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
            }
        }
    }
    assert_eq!(last_reason(&site, run).await, None, "nothing was decided");
    let taken = site.command(&[&fail[..], &["--although", "different"]].concat()).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let reason = last_reason(&site, run).await.expect("a decision");
    assert!(reason.starts_with("it bounced (different: it happened"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_says_of_how_many_it_knows() {
    let (mut site, run) = in_doubt().await;
    let run_text = run.to_string();
    let lie = FaultAction::WrongAmount {
        amount: "1.00".to_owned(),
    };
    site.bank
        .control
        .add_fault(FaultRule::on("create_payout", lie).times(1));
    let resolve = ["reconcile", "resolve", &run_text];
    let retry = [&resolve[..], &["--retry", "--reason", "maria is asking"]].concat();
    let parked = site.command(&retry).await;
    assert_eq!(parked.code, Some(3), "{parked:?}");
    let shown = site.command(&["reconcile", "show", &run_text]).await;
    for part in [
        "What was decided before",
        "said retry: maria is asking",
        "--adopt-found --after 1",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let page = site.command(&["runs", "show", &run_text]).await;
    assert!(page.stdout.contains("--after 1"), "{}", page.stdout);
    let json = site.command(&["--json", "reconcile", "show", &run_text]).await;
    let told: serde_json::Value = serde_json::from_str(&json.stdout).expect("one object");
    assert_eq!(told["doubt"]["after"], 1, "{told}");
    assert_eq!(told["doubt"]["decisions"][0]["decision"], "retry", "{told}");
    let adopt = [&resolve[..], &["--adopt-found", "--reason", "seen"]].concat();
    // With a daemon and without one.
    for daemon in [true, false] {
        if !daemon {
            assert!(site.stop().await.success());
        }
        let refused = site.command(&adopt).await;
        assert_eq!(refused.code, Some(5), "{daemon}: {refused:?}");
        for part in ["retry (maria is asking)", "in doubt again since", "`--after 1`"] {
            assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        }
    }
    let taken = site.command(&[&adopt[..], &["--after", "1"]].concat()).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
}

//! A payment of unknown outcome, as a person meets it: listed, explained with what the provider shows, decided.

use bursar::model::run::RunState;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule};

use crate::support::daemon::Site;
use crate::support::{settled, until};

/// A site whose nightly sweep has one payment in doubt: the bank took it, and answered with another amount.
async fn in_doubt() -> (Site, bursar::base::ids::RunId) {
    let mut site = Site::new(SimulatorConfig::demo()).await;
    let lie = FaultAction::WrongAmount {
        amount: "1.00".to_owned(),
    };
    site.bank.control.add_fault(FaultRule::on("create_payout", lie).nth(1));
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
        "it happened:",
        "--adopt-found",
    ] {
        assert!(shown.stdout.contains(expected), "{expected}:\n{}", shown.stdout);
    }
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

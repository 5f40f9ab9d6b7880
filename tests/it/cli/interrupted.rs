//! A person who presses Ctrl-C while `bursar run` drives a run.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use bursar::simulator::faults::{FaultAction, FaultRule, When};

use super::daemon::world;
use super::harness::{bursar, command};
use crate::support::real_time::pause;

/// How long the bank lets an answer wait. The command ends when it has come.
const SLOW: Duration = Duration::from_millis(700);

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_goes_on_later_and_nobody_is_suspected() {
    let (folder, bank) = world().await;
    let manifest = "name = \"look\"\nsummary = \"Looks.\"\nscript = \"look.rhai\"\nuses = [\"bank\"]\n";
    fs::write(folder.path().join("workflows/look.toml"), manifest).expect("written");
    fs::write(folder.path().join("scripts/look.rhai"), "bank::accounts().len()\n").expect("written");
    for signal in ["INT", "TERM", "INT"] {
        let slow = FaultAction::Delay {
            ms: u64::try_from(SLOW.as_millis()).expect("short"),
            when: When::Before,
        };
        bank.control.add_fault(FaultRule::on("list_accounts", slow).times(1));
        let asked_before = asked(&bank);
        let child = command(folder.path(), &["run", "look"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        while asked(&bank) == asked_before {
            pause(Duration::from_millis(10)).await;
        }
        let kill = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{signal} {}", child.id()))
            .status();
        assert!(kill.expect("it runs").success());
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
        let ended = ended.expect("it ends").expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        // The last of the steps may have been under way: then it is done.
        assert!(
            matches!(ended.status.code(), Some(130 | 0)),
            "{:?}\n{said}",
            ended.status
        );
        assert!(said.contains("once more ends it at once"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    bursar(folder.path(), &["run", "look"]).expect(0);
    let runs = bursar(folder.path(), &["runs", "ls", "--json"]).expect(0).json();
    let states: Vec<&str> = runs.iter().filter_map(|run| run["state"].as_str()).collect();
    assert_eq!(states, ["succeeded"; 4], "{runs:?}");
}

fn asked(bank: &bursar::simulator::Running) -> u64 {
    let requests = bank.control.requests();
    requests.get("list_accounts").map_or(0, |count| count.total)
}

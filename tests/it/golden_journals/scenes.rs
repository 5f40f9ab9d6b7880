//! What the stored journals are made of: runs that come to stand where a step can stand. Only blessing runs them.

use std::sync::Arc;

use bursar::base::clock::{Clock as _, ManualClock, SystemClock};
use bursar::base::ids::{EventId, RunId};
use bursar::model::event::Event;
use bursar::model::journal::{Journal, Resolution, StepPath};
use bursar::model::quarantine::brought_down;
use bursar::model::run::RunState;
use bursar::model::value::time_text;
use bursar::simulator::config::SimulatorConfig;
use bursar::simulator::faults::{FaultAction, FaultRule, When};
use bursar::store::Decision;
use bursar::store::faulty::Fault;
use serde_json::json;

use super::{Golden, folder, rows, steps};
use crate::accidents::dies;
use crate::approvals::answer;
use crate::support::{World, decided, hurry, open, report, settled, until};

const PAY: &str = r#"let from = bank::accounts(#{ label: "Operating DE" })[0].id;
let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
let paid = bank::payout(#{ from: from, to: to, amount: EUR(10.50), reference: "INV-1" });
paid.status"#;

const FREEZE: &str = r#"bank::freeze_account(bank::accounts(#{ label: "Operating NL" })[0].id).status"#;

/// Where a scene ends.
enum Until {
    Settled,
    Waiting,
    /// Parked, then decided, with no engine to act on it.
    Decided(&'static str, Resolution),
    /// Parked, then decided, then settled.
    SettledBy(&'static str, Resolution),
    /// Asked at this step, then answered, then settled.
    Answered(&'static str, bool),
    /// The process dies at this write, with the answer on its way.
    Died(Fault),
    /// The process dies at this write, then twice when it takes the run, and the trial is brought down.
    Quarantined(Fault),
}

struct Scene {
    name: &'static str,
    about: &'static str,
    script: &'static str,
    faults: Vec<FaultRule>,
    /// Whether keys protect.
    keys: bool,
    /// Whether minutes pass in moments.
    haste: bool,
    /// An event that comes while it waits.
    event: bool,
    until: Until,
}

fn scene(name: &'static str, about: &'static str, script: &'static str) -> Scene {
    Scene {
        name,
        about,
        script,
        faults: Vec::new(),
        keys: true,
        haste: false,
        event: false,
        until: Until::Settled,
    }
}

fn status(status: u16, when: When, retry_after_secs: Option<u64>) -> FaultAction {
    FaultAction::Status {
        status,
        when,
        retry_after_secs,
    }
}

const LOCAL: &str = r#"state::set("seen", uuid());
let amounts = EUR(100).allocate([1, 1, 1]);
log::info(`${amounts}`);
let caught = "";
try { EUR(1) + USD(1); } catch (e) { caught = e.error; log::warn(caught); }
[state::get("seen"), now(), today("Europe/Berlin"), amounts, 1.5 * 3, caught]"#;

const TREASURY: &str = r#"let treasury = bank::accounts(#{ label: "Treasury EUR" })[0].id;
let from = bank::accounts(#{ label: "Operating DE" })[0].id;
let swept = bank::sweep(#{ from: from, to: treasury, keep: EUR(1_000), reference: "SWEEP" });
let parts = bank::split(#{ from: treasury, total: EUR(100.01), reference: "S-1", parts: [
    #{ name: "fee", to: from, percent: 2.5 },
    #{ name: "seller", to: from, rest: true },
] });
let paid = bank::payout(#{ from: treasury, to: from, amount: EUR(1), reference: "P" });
[swept.moved, swept.reason, parts.complete, bank::settled(paid, "1m").status, sleep("1s"), now()]"#;

const UNCAUGHT: &str = r#"let code = "";
try { bank::retrieve_payout("00000000-0000-4000-8000-000000000000"); } catch (e) { code = e.error; }
throw `stopped by ${code}`"#;

const LISTEN: &str = r#"let told = bank::wait_event(#{ type: "deposit.received", subject: "dep_1", timeout: "1h" });
let late = "";
try { bank::wait_event(#{ type: "deposit.received", subject: "dep_2", timeout: "1s" }); } catch (e) { late = e.error; }
[told.id, late]"#;

const APPROVAL: &str = r#"let told = ();
try {
    let yes = approval(#{ reason: "pay ACME", group: "treasury", details: #{ amount: EUR(10.50), to: ["ACME", 7] }, timeout: hours(24) });
    told = [yes.approved, yes.by, yes.reason, yes.at];
} catch (no) { told = [no.error, no.message, no.details]; }
told"#;

const UNANSWERED: &str = r#"let told = "";
try { approval(#{ reason: "pay ACME", timeout: "10s" }); } catch (no) { told = no.error; }
told"#;

const BRANCHES: &str = r#"let from = bank::accounts(#{ label: "Operating DE" })[0].id;
let to = bank::accounts(#{ label: "Treasury EUR" })[0].id;
let paid = parallel([1, 2, 3], #{ branches: 2 }, |number| {
    if number == 3 { throw #{ error: "third", message: "not this one" }; }
    let paid = bank::payout(#{ from: from, to: to, amount: EUR(1) * number, reference: `B-${number}` });
    let inner = parallel(["a", "b"], |name| { sleep("1s"); `${number}${name}` });
    [paid.status, inner.map(|done| done.value)]
});
paid.map(|done| if done.ok { done.value } else { done.error.error })"#;

const ASKING_BRANCHES: &str =
    r#"parallel(["a", "b"], |name| { log::info(name); approval(#{ reason: `pay ${name}` }).by })"#;

fn scenes() -> Vec<Scene> {
    let on_payout = |action: FaultAction| vec![FaultRule::on("create_payout", action).times(1)];
    let frozen = || vec![FaultRule::on("freeze_account", FaultAction::DropAfterEffect).times(1)];
    let in_doubt = |name, about, until| Scene {
        faults: frozen(),
        keys: false,
        until,
        ..scene(name, about, FREEZE)
    };
    vec![
        scene("local", "Local steps, values of every kind, a caught error.", LOCAL),
        scene("treasury", "Steps made of others, waits, reads, effects.", TREASURY),
        scene(
            "failed",
            "A caught failure of a read, then an end by the script.",
            UNCAUGHT,
        ),
        Scene {
            faults: on_payout(status(500, When::After, None)),
            ..scene("repeated", "A payout that went out twice under one key.", PAY)
        },
        Scene {
            faults: on_payout(status(500, When::Before, None)),
            keys: false,
            haste: true,
            ..scene("sent_anew", "A payout whose absence was proved: a second intent.", PAY)
        },
        Scene {
            faults: on_payout(status(500, When::After, Some(3_000))),
            until: Until::Waiting,
            ..scene("paused", "A payout of unknown outcome that is to be repeated.", PAY)
        },
        Scene {
            faults: on_payout(status(500, When::Before, None)),
            keys: false,
            until: Until::Waiting,
            ..scene("to_look_up", "A payout that is to be looked up again.", PAY)
        },
        Scene {
            // 1: wake_due, 2: claim, 3: the intent, 4: the outcome.
            until: Until::Died(Fault::Before(4)),
            ..scene("on_its_way", "A payout whose process ended before the answer.", PAY)
        },
        Scene {
            faults: vec![FaultRule::on("list_accounts", status(503, When::Before, Some(3_000)))],
            until: Until::Waiting,
            ..scene("trying", "A read that did not get through yet.", PAY)
        },
        Scene {
            until: Until::Waiting,
            ..scene("asleep", "A sleep.", "log::info(\"a\"); sleep(\"1h\"); now()")
        },
        Scene {
            until: Until::Waiting,
            ..scene("listening", "A wait for an event.", LISTEN)
        },
        Scene {
            event: true,
            haste: true,
            ..scene("heard", "A wait that an event ended, and one that time did.", LISTEN)
        },
        Scene {
            until: Until::Waiting,
            ..scene("asking", "A wait for a person.", APPROVAL)
        },
        Scene {
            until: Until::Answered("1", true),
            ..scene("approved", "A person said yes.", APPROVAL)
        },
        Scene {
            until: Until::Answered("1", false),
            ..scene("rejected", "A person said no.", APPROVAL)
        },
        Scene {
            haste: true,
            ..scene("unanswered", "Nobody said anything in time.", UNANSWERED)
        },
        scene(
            "branches",
            "Branches in branches: values, a failure, waits, effects.",
            BRANCHES,
        ),
        Scene {
            until: Until::Waiting,
            ..scene(
                "branches_asking",
                "Two branches that wait for a person.",
                ASKING_BRANCHES,
            )
        },
        Scene {
            // 1: wake_due, 2: claim, 3: the intent.
            until: Until::Quarantined(Fault::After(3)),
            ..scene(
                "quarantined",
                "A run under which the process ended again and again.",
                PAY,
            )
        },
        in_doubt(
            "in_doubt",
            "An effect that a person has to decide about.",
            Until::Settled,
        ),
        in_doubt(
            "to_retry",
            "A person said to try again as it was.",
            Until::Decided("2", Resolution::Retry),
        ),
        in_doubt(
            "to_resend",
            "A person proved its absence.",
            Until::Decided("2", Resolution::Resend),
        ),
        in_doubt(
            "adopted",
            "A person adopted what happened.",
            Until::SettledBy(
                "2",
                Resolution::Adopt {
                    resource: json!({"id": "x", "status": "frozen", "balance": 12.50}),
                },
            ),
        ),
        in_doubt(
            "called_failed",
            "A person called it failed.",
            Until::SettledBy("2", Resolution::Fail),
        ),
    ]
}

async fn play(scene: &Scene) -> Golden {
    let clock = ManualClock::new(SystemClock::new().now());
    let mut world = World::with_clock(SimulatorConfig::demo(), Arc::new(clock.clone())).await;
    if !scene.keys {
        world.reconnect(|bank| bank.key_window_secs = Some(0));
    }
    for fault in &scene.faults {
        world.simulator.control.add_fault(fault.clone());
    }
    let (event, params) = (json!({"type": "manual", "amount": 12.30}), json!({"keep": "1000.00"}));
    let store = open(world.folder.path()).await;
    let id = world
        .start(store.as_ref(), scene.script, event.clone(), params.clone())
        .await;
    if let Until::Died(fault) = scene.until {
        world.wake.nudged().await;
        store.close().await.expect("closed");
        dies(&world, fault).await;
        return golden(&world, scene, id).await;
    }
    if let Until::Quarantined(fault) = scene.until {
        world.wake.nudged().await;
        store.close().await.expect("closed");
        dies(&world, fault).await;
        for _ in 0..2 {
            dies(&world, Fault::After(2)).await;
        }
        let store = open(world.folder.path()).await;
        store.reclaim_all(clock.now()).await.expect("reclaimed");
        let found = brought_down("signal 6");
        store.examined(id, Some(found)).await.expect("it is suspected");
        store.close().await.expect("closed");
        return golden(&world, scene, id).await;
    }
    if scene.haste || matches!(scene.until, Until::Settled | Until::SettledBy(..)) {
        hurry(clock.clone());
    }
    let engine = world.engine(store.clone()).await;
    if scene.event {
        until(store.as_ref(), id, |run| run.state == RunState::Waiting).await;
        let now = clock.now();
        let event = Event {
            id: EventId::generate(now),
            connection: "bank".to_owned(),
            provider_id: "evt_1".to_owned(),
            kind: "deposit.received".to_owned(),
            subject: Some("dep_1".to_owned()),
            occurred_at: None,
            received_at: now,
            payload: json!({"id": "dep_1", "amount": 75.20}).into(),
        };
        world.arrives(store.as_ref(), event).await;
    }
    let waits = matches!(scene.until, Until::Waiting | Until::Answered(..));
    until(store.as_ref(), id, |run| match run.state {
        RunState::Waiting => waits,
        state => state.is_final() || state == RunState::Parked,
    })
    .await;
    engine.stop().await;
    if let Until::Decided(path, resolution) | Until::SettledBy(path, resolution) = &scene.until {
        let path = path.parse::<StepPath>().expect("a path");
        let decision = Decision {
            run: id,
            after: decided(store.as_ref(), id, &path).await,
            path: Some(path),
            resolution: resolution.clone(),
            actor: "treasurer".to_owned(),
            reason: "called the bank".to_owned(),
            at: clock.now(),
        };
        store.resolve(decision).await.expect("decided");
    }
    if let Until::Answered(step, approved) = scene.until {
        let answer = answer(store.as_ref(), id, step, approved, clock.now()).await;
        store.decide(answer).await.expect("decided");
    }
    if matches!(scene.until, Until::SettledBy(..) | Until::Answered(..)) {
        let engine = world.engine(store.clone()).await;
        settled(store.as_ref(), id).await;
        engine.stop().await;
    }
    store.close().await.expect("closed");
    golden(&world, scene, id).await
}

/// The run as it stands in the store of this world.
async fn golden(world: &World, scene: &Scene, id: RunId) -> Golden {
    let store = open(world.folder.path()).await;
    let run = store.run(id).await.expect("read").expect("there");
    let records = store.journal(id).await.expect("read");
    store.close().await.expect("closed");
    let journal = Journal::from_records(records).expect("legal");
    Golden {
        about: scene.about.to_owned(),
        script: scene.script.to_owned(),
        run: id.to_string(),
        created_at: time_text(run.created_at),
        event: run.event,
        params: run.params,
        state: run.state.name().to_owned(),
        result: run.result,
        error: run.error.map(|error| (error.code, error.message)),
        journal: rows(world.folder.path()).await,
        steps: steps(&journal),
    }
}

/// Writes the journals of the present version, when it is told to.
#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "goldens are written by a person who asked for it, in the environment"
)]
async fn the_journals_of_this_version_are_written_when_asked_for() {
    if std::env::var("BURSAR_BLESS").is_err() {
        return;
    }
    let place = folder().join(env!("CARGO_PKG_VERSION"));
    std::fs::create_dir_all(&place).expect("a folder");
    for scene in scenes() {
        let file = place.join(format!("{}.json", scene.name));
        if file.exists() {
            continue;
        }
        let golden = play(&scene).await;
        let text = serde_json::to_string_pretty(&golden).expect("JSON");
        std::fs::write(file, text + "\n").expect("written");
        report(&format!(
            "{}: {}, {} entries",
            scene.name,
            golden.state,
            golden.journal.len()
        ));
    }
}

//! What is particular to the store in a file: who may open it, what survives, what damage does.

use std::path::Path;
use std::sync::Arc;

use bursar::model::breaker::{Cause, Tripped};
use bursar::model::event::EventFilter;
use bursar::model::run::{RunState, Settlement};
use bursar::store::sqlite::SqliteStore;
use bursar::store::{Admitted, Append, Made, Routing, RunQuery, Store as _, StoreError};

use super::make::*;
use crate::support::{NO_RUN_CAN_BE_TAKEN, meddle};

async fn reopen(folder: &Path) -> Arc<SqliteStore> {
    SqliteStore::open(folder, OPTIONS).await.expect("opened")
}

#[tokio::test]
async fn everything_answered_is_there_after_opening_again() {
    let opened = open().await;
    let secret = opened.store.installation_secret().await.expect("a secret");
    assert_ne!(secret, [0; 32]);
    let claim = running(&*opened.store, "sweep", 0).await;
    opened
        .store
        .append(&claim.lease, records([done(1)]), at(1))
        .await
        .expect("appended");
    opened.store.close().await.expect("closed");
    let again = reopen(opened.folder.path()).await;
    assert_eq!(again.installation_secret().await, Ok(secret));
    assert_eq!(again.journal(claim.run.id).await, Ok(vec![done(1)]));
    let lost = again.append(&claim.lease, records([done(2)]), at(2)).await;
    assert_eq!(
        lost,
        Err(StoreError::LeaseLost { run: claim.run.id }),
        "leases end with their process"
    );
    assert_eq!(again.reclaim_all(at(2)).await, Ok(1));
    assert_eq!(take(&*again, 3, claim.run.id).await.records, vec![done(1)]);
}

#[tokio::test]
async fn a_connection_in_trouble_is_known_after_opening_again_until_it_is_not() {
    let tripped = |connection: &str, reason: &str| Tripped {
        connection: connection.to_owned(),
        since: at(1),
        probe_at: at(31),
        cause: if connection == "bank" {
            Cause::Credentials
        } else {
            Cause::Trouble
        },
        reason: reason.to_owned(),
    };
    let opened = open().await;
    assert_eq!(opened.store.breakers().await, Ok(Vec::new()));
    for (name, reason) in [("bank", "500"), ("other", "timed out"), ("bank", "503")] {
        let kept = opened
            .store
            .set_breaker(name.to_owned(), Some(tripped(name, reason)))
            .await;
        assert_eq!(kept, Ok(()));
    }
    opened.store.close().await.expect("closed");
    let again = reopen(opened.folder.path()).await;
    let both = vec![tripped("bank", "503"), tripped("other", "timed out")];
    assert_eq!(again.breakers().await, Ok(both));
    assert_eq!(again.set_breaker("bank".to_owned(), None).await, Ok(()));
    assert_eq!(again.breakers().await, Ok(vec![tripped("other", "timed out")]));
}

/// A provider repeats itself, then a schedule makes a run, then there is an update: what comes next reaches that run.
#[tokio::test]
async fn what_comes_after_a_restart_reaches_a_run_that_was_made_after_repeats() {
    let opened = open().await;
    let known = event("bank", "1", 0);
    let mark = admit(&*opened.store, &known).await;
    for _ in 0..5 {
        let again = opened.store.admit(known.clone()).await;
        assert_eq!(again, Ok(Admitted::Duplicate { event: known.id }));
    }
    // Some of one write are known.
    let (again, second) = (event("bank", "1", 1), event("bank", "2", 1));
    let (refused, new) = tokio::join!(opened.store.admit(again), opened.store.admit(second));
    assert_eq!(refused, Ok(Admitted::Duplicate { event: known.id }));
    let Ok(Admitted::New { mark: second, .. }) = new else {
        panic!("{new:?}")
    };
    assert!(second > mark);
    for _ in 0..5 {
        let again = opened.store.admit(known.clone()).await;
        assert_eq!(again, Ok(Admitted::Duplicate { event: known.id }));
    }
    let made = manual("sweep", 2);
    opened.store.create_run(made.clone()).await.expect("made");
    opened.store.close().await.expect("closed");
    let store = reopen(opened.folder.path()).await;
    let next = event("bank", "3", 3);
    admit(&*store, &next).await;
    let run = store.run(made.id).await.expect("read").expect("there");
    assert_eq!(run.since_mark, second, "the last there is");
    let waits_for = EventFilter {
        after: run.since_mark,
        since: None,
        ..filter("bank", None, 0)
    };
    let (found, _) = store.find_event(waits_for).await.expect("looked");
    assert_eq!(found.map(|event| event.id), Some(next.id));
}

/// States are read one after the other; red before they were read as of one moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_from_state_to_state_is_in_every_list_of_them_once() {
    let opened = open().await;
    let first = running(&*opened.store, "sweep", 0).await;
    let id = first.run.id;
    let store = Arc::clone(&opened.store);
    let (enough, mut ends) = tokio::sync::oneshot::channel::<()>();
    let moves = tokio::spawn(async move {
        let mut claim = first;
        for turn in 1.. {
            if ends.try_recv().is_ok() {
                return;
            }
            let back = settle(Settlement::Queued);
            store.append(&claim.lease, back, at(turn)).await.expect("queued");
            claim = take(&*store, turn, id).await;
        }
    });
    for list in 0..2_000 {
        let query = RunQuery {
            states: vec![RunState::Queued, RunState::Running],
            limit: 10,
            ..RunQuery::default()
        };
        let runs = opened.store.runs(query).await.expect("read");
        assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [id], "list {list}");
    }
    enough.send(()).expect("it moves on");
    moves.await.expect("moved");
}

#[tokio::test]
async fn a_closed_store_answers_that_it_is_closed() {
    let opened = open().await;
    opened.store.close().await.expect("closed");
    let write = opened.store.create_run(manual("sweep", 0)).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))), "{write:?}");
    let read = opened.store.counts().await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert_eq!(opened.store.close().await, Ok(()), "twice is no error");
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_written() {
    let opened = open().await;
    let runs: Vec<_> = (0..2_000).map(|number| manual("sweep", number)).collect();
    let made: Vec<_> = runs.iter().map(|run| opened.store.create_run(run.clone())).collect();
    opened.store.close().await.expect("closed");
    for answer in made {
        assert_eq!(answer.await, Ok(Made::New));
    }
    let again = reopen(opened.folder.path()).await;
    let query = RunQuery {
        limit: 5_000,
        ..RunQuery::default()
    };
    assert_eq!(again.runs(query).await.expect("read").len(), runs.len());
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_who_holds_the_store() {
    let opened = open().await;
    let refused = SqliteStore::open(opened.folder.path(), OPTIONS)
        .await
        .expect_err("refused");
    assert_eq!(
        refused,
        StoreError::Locked {
            path: opened.folder.path().display().to_string(),
            holder: Some(std::process::id()),
        }
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_lock_is_free_as_soon_as_its_process_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut holder = std::process::Command::new("flock")
        .args(["--exclusive", "--no-fork"])
        .arg(folder.path().join("bursar.lock"))
        .args(["sleep", "60"])
        .spawn()
        .expect("flock starts");
    // Until the other process has come so far.
    let mut found = SqliteStore::open(folder.path(), OPTIONS).await;
    while let Ok(store) = found {
        store.close().await.expect("closed");
        found = SqliteStore::open(folder.path(), OPTIONS).await;
    }
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    assert!(matches!(found, Err(StoreError::Locked { .. })), "{found:?}");
    reopen(folder.path()).await;
}

/// As a child does that was being started when its daemon was killed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_lock_that_outlives_its_process_for_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bursar.lock");
    let mut gone = std::process::Command::new("true").spawn().expect("it starts");
    let pid = gone.id();
    gone.wait().expect("ended");
    let held = std::fs::File::create(&path).expect("made");
    held.lock().expect("locked");
    std::fs::write(&path, format!("{pid}\n")).expect("written");
    let lets_go = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(held);
    });
    reopen(folder.path()).await;
    lets_go.join().expect("ended");
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused_and_left_as_it_is() {
    let opened = open().await;
    opened.store.close().await.expect("closed");
    meddle(
        opened.folder.path(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', true, x'00', 0)",
    )
    .await;
    let newer = StoreError::Newer { found: 99, known: 1 };
    let refused = SqliteStore::open(opened.folder.path(), OPTIONS).await;
    assert_eq!(refused.expect_err("refused"), newer);
    let refused = SqliteStore::open_read_only(opened.folder.path()).await;
    assert_eq!(refused.expect_err("refused"), newer);
}

#[tokio::test]
async fn a_store_whose_schema_was_made_by_other_words_is_refused() {
    let opened = open().await;
    opened.store.close().await.expect("closed");
    meddle(opened.folder.path(), "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    let refused = SqliteStore::open_read_only(opened.folder.path()).await;
    let why = refused.expect_err("refused").to_string();
    assert!(why.contains("another build of bursar"), "{why}");
    let refused = SqliteStore::open(opened.folder.path(), OPTIONS).await;
    assert_eq!(refused.expect_err("refused").to_string(), why);
}

#[tokio::test]
async fn a_store_can_be_read_beside_its_writer_and_after_it() {
    let opened = open().await;
    let claim = running(&*opened.store, "sweep", 0).await;
    let beside = SqliteStore::open_read_only(opened.folder.path()).await.expect("opened");
    opened
        .store
        .append(&claim.lease, records([done(1)]), at(1))
        .await
        .expect("appended");
    assert_eq!(beside.journal(claim.run.id).await, Ok(vec![done(1)]));
    let refused = beside
        .cancel(claim.run.id, "tess", "no", at(1))
        .await
        .expect_err("refused");
    assert!(refused.to_string().contains("for reading only"), "{refused}");
    beside.close().await.expect("closed");
    opened.store.close().await.expect("closed");
    let after = SqliteStore::open_read_only(opened.folder.path()).await.expect("opened");
    assert_eq!(after.journal(claim.run.id).await, Ok(vec![done(1)]));
}

#[tokio::test]
async fn reading_makes_no_store_where_none_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = SqliteStore::open_read_only(folder.path()).await.expect_err("refused");
    assert!(refused.to_string().contains("there is no store in"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_look_inside() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("a/store");
    let store = SqliteStore::open(&folder, OPTIONS).await.expect("opened");
    store.create_run(manual("sweep", 0)).await.expect("made");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("read") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "bursar.db",
            "bursar.db-shm",
            "bursar.db-wal",
            "bursar.lock",
            "bursar.sent"
        ]
    );
    store.close().await.expect("closed");
    assert!(
        !folder.join("bursar.db-wal").exists(),
        "nothing is left beside the file"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let parent = tempfile::tempdir().expect("a folder");
    let file = parent.path().join("file");
    std::fs::write(&file, "").expect("written");
    let refused = SqliteStore::open(&file.join("store"), OPTIONS)
        .await
        .expect_err("refused");
    let message = refused.to_string();
    assert!(
        message.contains("file/store") && message.contains("writable"),
        "{message}"
    );
}

#[tokio::test]
async fn a_damaged_entry_is_named_and_its_run_is_parked_alone() {
    let opened = open().await;
    let bad = running(&*opened.store, "bad", 0).await.run.id;
    let good = running(&*opened.store, "good", 1).await.run.id;
    opened.store.reclaim_all(at(2)).await.expect("reclaimed");
    for claim in opened.store.claim(worker(2), at(2), at(32), 9).await.expect("claimed") {
        let mut append = settle(Settlement::Queued);
        append.records = vec![done(1), done(2)];
        opened
            .store
            .append(&claim.lease, append, at(3))
            .await
            .expect("appended");
    }
    opened.store.close().await.expect("closed");
    meddle(
        opened.folder.path(),
        "UPDATE journal SET entry = '{\"done\":{}}' WHERE seq = 2 \
         AND run = (SELECT id FROM run WHERE workflow = 'bad')",
    )
    .await;
    let store = reopen(opened.folder.path()).await;
    let found = store.journal(bad).await.expect_err("damaged");
    assert!(matches!(found, StoreError::Corrupt(_)), "{found:?}");
    let message = found.to_string();
    assert!(
        message.contains(&bad.to_string()) && message.contains("entry 2"),
        "{message}"
    );
    let claims = store.claim(worker(3), at(4), at(34), 9).await.expect("claimed");
    assert_eq!(claims.iter().map(|claim| claim.run.id).collect::<Vec<_>>(), [good]);
    // A claim is answered before it is durable; what is asked for after it is not.
    store.wake_due(at(4)).await.expect("looked");
    let run = store.run(bad).await.expect("read").expect("there");
    assert_eq!(run.state, RunState::Parked);
    assert_eq!(run.error.expect("a reason").code, "damaged");
}

#[tokio::test]
async fn what_the_store_keeps_of_itself_is_believed_only_whole_and_under_its_name() {
    let secret = "installation_secret";
    let cases = [
        (
            "UPDATE meta SET value = replace(value, substr(value, 9, 1), char(97 + (unicode(substr(value, 9, 1)) = 97)))",
            secret,
            "the installation secret",
        ),
        (
            "INSERT INTO meta SELECT 'pruned_before', value FROM meta WHERE name = 'installation_secret'",
            "pruned_before",
            "up to when events were pruned",
        ),
        (
            "INSERT INTO meta SELECT 'restored', value FROM meta WHERE name = 'installation_secret'",
            "restored",
            "what the store keeps of its restore",
        ),
    ];
    for (damage, name, told) in cases {
        let opened = open().await;
        opened.store.close().await.expect("closed");
        meddle(opened.folder.path(), damage).await;
        let refused = SqliteStore::open(opened.folder.path(), OPTIONS).await;
        let message = refused.map(drop).expect_err(name).to_string();
        assert!(message.contains(told) && message.contains("checksum"), "{message}");
    }
}

#[tokio::test]
async fn a_store_that_has_runs_is_given_no_other_secret() {
    let opened = open().await;
    let folder = opened.folder.path();
    opened.store.close().await.expect("closed");
    let lost = "DELETE FROM meta WHERE name = 'installation_secret'";
    meddle(folder, lost).await;
    let store = reopen(folder).await;
    running(&*store, "sweep", 0).await;
    store.close().await.expect("closed");
    meddle(folder, lost).await;
    let refused = SqliteStore::open(folder, OPTIONS).await;
    let message = refused.map(drop).expect_err("refused").to_string();
    assert!(
        message.contains("the installation secret") && message.contains("it is missing"),
        "{message}"
    );
}

#[tokio::test]
async fn a_missing_entry_is_damage_too() {
    let opened = open().await;
    let claim = running(&*opened.store, "sweep", 0).await;
    let made = records([done(1), done(2), done(3)]);
    opened.store.append(&claim.lease, made, at(1)).await.expect("appended");
    opened.store.close().await.expect("closed");
    meddle(opened.folder.path(), "DELETE FROM journal WHERE seq = 2").await;
    let found = reopen(opened.folder.path()).await.journal(claim.run.id).await;
    assert!(
        matches!(&found, Err(StoreError::Corrupt(what)) if what.contains("entry 2 is missing")),
        "{found:?}"
    );
}

#[tokio::test]
async fn after_a_failed_transaction_nothing_is_answered_any_more() {
    let opened = open().await;
    let claim = running(&*opened.store, "sweep", 0).await;
    meddle(opened.folder.path(), "DROP TABLE journal").await;
    let calls = [
        opened.store.append(&claim.lease, records([done(1)]), at(1)),
        opened.store.append(&claim.lease, records([done(2)]), at(1)),
    ];
    for call in calls {
        let answer = call.await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    let message = opened
        .store
        .run(claim.run.id)
        .await
        .expect_err("unavailable")
        .to_string();
    assert!(message.contains("outcome is unknown"), "{message}");
    assert!(opened.store.create_run(manual("sweep", 1)).await.is_err());
    opened.store.close().await.expect("the folder is free again");
}

#[tokio::test]
async fn a_claim_whose_commit_fails_lets_nothing_follow() {
    let opened = open().await;
    opened.store.create_run(manual("sweep", 0)).await.expect("made");
    for statement in NO_RUN_CAN_BE_TAKEN {
        meddle(opened.folder.path(), statement).await;
    }
    // Answered before the commit, which then fails.
    let claims = opened.store.claim(worker(1), at(1), at(31), 1).await.expect("claimed");
    let intent = Append {
        begins_effect: true,
        ..records([intent(1, "1")])
    };
    let answer = opened.store.append(&claims[0].lease, intent, at(1)).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    opened.store.close().await.expect("the folder is free again");
    let again = open_again(&opened).await;
    assert_eq!(again, RunState::Queued);
}

async fn open_again(opened: &Opened) -> RunState {
    for statement in ["DROP TRIGGER breaks", "DROP TABLE orphan"] {
        meddle(opened.folder.path(), statement).await;
    }
    let query = RunQuery {
        limit: 1,
        ..RunQuery::default()
    };
    let runs = reopen(opened.folder.path()).await.runs(query).await.expect("read");
    runs[0].state
}

#[tokio::test]
async fn an_event_that_cannot_be_read_does_not_hide_the_others() {
    let opened = open().await;
    for id in ["1", "2", "3"] {
        admit(&*opened.store, &event("bank", id, 0)).await;
    }
    opened.store.close().await.expect("closed");
    meddle(
        opened.folder.path(),
        "UPDATE event SET payload = '{' WHERE provider_id = '2'",
    )
    .await;
    let store = reopen(opened.folder.path()).await;
    let unrouted = store.unrouted(9, 1_000).await.expect("read");
    let found: Vec<bool> = unrouted.events.iter().map(|(_, event)| event.is_ok()).collect();
    assert_eq!(found, [true, false, true]);
    // What arrives now stands behind what an earlier process left.
    admit(&*store, &event("bank", "4", 1)).await;
    assert_eq!(store.unrouted(9, 1_000).await.expect("read").events.len(), 4);
}

#[tokio::test]
async fn more_events_than_memory_keeps_are_all_routed_in_order() {
    let opened = open().await;
    let calls: Vec<_> = (0..5_000)
        .map(|number| opened.store.admit(event("bank", &number.to_string(), 0)))
        .collect();
    for call in calls {
        call.await.expect("admitted");
    }
    let mut routed = Vec::new();
    loop {
        let unrouted = opened.store.unrouted(999, 1_000_000).await.expect("read");
        let Some((up_to, _)) = unrouted.events.last() else {
            break;
        };
        let routing = Routing {
            after: unrouted.after,
            up_to: *up_to,
            runs: Vec::new(),
            ..Routing::default()
        };
        opened.store.route(routing).await.expect("routed");
        let ids = unrouted
            .events
            .into_iter()
            .map(|(_, event)| event.expect("readable").provider_id.clone());
        routed.extend(ids);
    }
    let expected: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    assert_eq!(routed, expected);
}

#[tokio::test]
async fn ten_thousand_steps_come_back_whole() {
    let opened = open().await;
    let claim = running(&*opened.store, "sweep", 0).await;
    let all: Vec<_> = (1..=10_000).map(done).collect();
    opened
        .store
        .append(&claim.lease, records(all.clone()), at(1))
        .await
        .expect("appended");
    assert_eq!(opened.store.journal(claim.run.id).await, Ok(all.clone()));
    opened
        .store
        .append(&claim.lease, settle(Settlement::Queued), at(2))
        .await
        .expect("settled");
    assert_eq!(take(&*opened.store, 3, claim.run.id).await.records, all);
}

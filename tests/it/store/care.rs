//! Looking after a store: checks, backups, restores, retention, and what tells an older state from the newest.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bursar::model::event::{Event, EventFilter};
use bursar::model::journal::{Entry, Outcome};
use bursar::model::run::{RunState, Settlement};
use bursar::model::value::Value;
use bursar::store::sqlite::SqliteStore;
use bursar::store::sqlite::care::backup::backup;
use bursar::store::sqlite::care::check::{check, check_file};
use bursar::store::sqlite::care::restore::restore;
use bursar::store::sqlite::care::retain::{Pruned, prune, vacuum};
use bursar::store::{Acceptance, Admitted, Append, EventQuery, Routing, RunQuery, Sign, Store, StoreError};

use sqlx::Connection as _;

use super::make::*;
use crate::support::meddle;

/// Sends something: an intent, durable.
async fn send(store: &dyn Store, seconds: i64) {
    let claim = running(store, "sweep", seconds).await;
    let append = Append {
        begins_effect: true,
        ..records([intent(1, "1")])
    };
    store.append(&claim.lease, append, at(seconds)).await.expect("appended");
}

/// How an opened store stands: what told it that it is older, and whether it holds payments back.
async fn standing(folder: &Path) -> Option<(Sign, bool)> {
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let restored = store.restored(at(900)).await.expect("read");
    store.close().await.expect("closed");
    restored.map(|restored| (restored.sign, restored.holds()))
}

#[tokio::test]
async fn an_older_state_is_noticed_however_it_came_and_the_newest_is_not() {
    let opened = open().await;
    let folder = opened.folder.path();
    let (database, witness) = (folder.join("bursar.db"), folder.join("bursar.sent"));
    assert_eq!(opened.store.restored(at(0)).await, Ok(None), "a new store");
    send(&*opened.store, 1).await;
    // As it stands at this moment, as a process that is killed leaves it.
    let killed = tempfile::tempdir().expect("a folder");
    for name in ["bursar.db", "bursar.db-wal", "bursar.sent"] {
        fs::copy(folder.join(name), killed.path().join(name)).expect("copied");
    }
    assert_eq!(standing(killed.path()).await, None, "a killed process");
    opened.store.close().await.expect("closed");
    assert_eq!(standing(folder).await, None, "a stopped process");
    let (older, said) = (fs::read(&database).expect("read"), fs::read(&witness).expect("read"));

    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    send(&*store, 2).await;
    store.close().await.expect("closed");
    let (newest, newest_said) = (fs::read(&database).expect("read"), fs::read(&witness).expect("read"));
    let put = |database_bytes: &[u8], said: Option<&[u8]>| {
        fs::write(&database, database_bytes).expect("written");
        match said {
            Some(said) => fs::write(&witness, said).expect("written"),
            None => fs::remove_file(&witness).expect("removed"),
        }
    };
    put(&older, Some(&newest_said));
    assert_eq!(standing(folder).await, Some((Sign::Behind, true)));
    assert_eq!(standing(folder).await, Some((Sign::Behind, true)), "it is kept");
    // The same file again, after the witness has heard of the first restore.
    fs::write(&database, &older).expect("written");
    assert_eq!(standing(folder).await, Some((Sign::Behind, true)), "a second time");
    put(&newest, None);
    assert_eq!(standing(folder).await, Some((Sign::Copied, true)));
    put(&newest, Some(b"what is this"));
    assert_eq!(standing(folder).await, Some((Sign::Unreadable, true)));
    put(&newest, Some(&newest_said));
    assert_eq!(standing(folder).await, None);
    // What is newer than the witness is no older state: power was lost, or it was not heard of any more.
    put(&newest, Some(&said));
    assert_eq!(standing(folder).await, None);
}

/// What stands beside a store from which nothing was sent says so of that store alone.
#[tokio::test]
async fn a_database_that_is_put_over_one_that_sent_nothing_is_noticed() {
    let opened = open().await;
    // A folder that was made from this one before it had done anything, and one that was opened for itself.
    opened.store.close().await.expect("closed");
    let (twin, other) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    fs::copy(opened.folder.path().join("bursar.db"), twin.path().join("bursar.db")).expect("copied");
    assert_eq!(standing(twin.path()).await, None);
    assert_eq!(standing(other.path()).await, None);

    let store = SqliteStore::open(opened.folder.path(), OPTIONS).await.expect("opened");
    send(&*store, 1).await;
    store.close().await.expect("closed");
    for folder in [twin.path(), other.path()] {
        fs::copy(opened.folder.path().join("bursar.db"), folder.join("bursar.db")).expect("copied");
        assert_eq!(standing(folder).await, Some((Sign::Copied, true)));
        assert_eq!(standing(folder).await, Some((Sign::Copied, true)), "it is kept");
    }
    // A store that is begun anew beside what another has left has nothing that it could have forgotten.
    let anew = tempfile::tempdir().expect("a folder");
    assert_eq!(standing(anew.path()).await, None);
    fs::remove_file(anew.path().join("bursar.db")).expect("removed");
    let store = SqliteStore::open(anew.path(), OPTIONS).await.expect("opened");
    store.create_run(manual("sweep", 1)).await.expect("made");
    store.close().await.expect("closed");
    assert_eq!(standing(anew.path()).await, None, "it is known by its own word now");
    // What dies between its first commit and its first word has not sent, and is no copy.
    let said = fs::read(anew.path().join("bursar.sent")).expect("read");
    let store = SqliteStore::open(anew.path(), OPTIONS).await.expect("opened");
    send(&*store, 2).await;
    store.close().await.expect("closed");
    fs::write(anew.path().join("bursar.sent"), said).expect("written");
    assert_eq!(standing(anew.path()).await, None);
}

#[tokio::test]
async fn a_restore_stays_until_a_person_accepts_it_and_is_accepted_once() {
    let opened = open().await;
    let folder = opened.folder.path();
    send(&*opened.store, 1).await;
    let file = folder.join("backup.db");
    backup(folder, &file, at(5)).await.expect("backed up");
    send(&*opened.store, 7).await;
    opened.store.close().await.expect("closed");
    restore(folder, &file, at(10)).await.expect("restored");

    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let restored = store.restored(at(20)).await.expect("read").expect("noticed");
    assert_eq!((restored.sign, restored.since), (Sign::Backup, at(5)));
    assert_eq!(restored.noticed_at, Some(at(20)));
    assert_eq!(restored.last_sent_at, Some(at(7)), "as the witness says");
    let again = store.restored(at(30)).await.expect("read").expect("kept");
    assert_eq!(again, restored, "it is noticed once");
    let acceptance = Acceptance {
        actor: "tess".to_owned(),
        reason: "looked".to_owned(),
        at: at(40),
    };
    store.accept_restore(acceptance.clone()).await.expect("accepted");
    let refused = store.accept_restore(acceptance.clone()).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    store.close().await.expect("closed");
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let kept = store.restored(at(50)).await.expect("read").expect("kept");
    assert_eq!(kept.accepted, Some(acceptance));
    store.close().await.expect("closed");
}

#[tokio::test]
async fn a_backup_made_beside_the_writer_is_whole_private_and_overwrites_nothing() {
    let opened = open().await;
    let folder = opened.folder.path();
    send(&*opened.store, 1).await;
    let file = folder.join("backup.db");
    let made = backup(folder, &file, at(5)).await.expect("backed up");
    assert_eq!(made.checked.damage, Vec::<String>::new());
    // The version of the run was never kept by this test: that is told, and stops no backup.
    assert_eq!(made.checked.unreadable.len(), 1);
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = fs::read(&file).expect("read");
    send(&*opened.store, 2).await;
    let refused = backup(folder, &file, at(6)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(fs::read(&file).expect("read"), bytes);
    let names: Vec<_> = fs::read_dir(folder)
        .expect("read")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("part"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn a_restore_keeps_what_it_replaces_and_refuses_what_it_should() {
    let opened = open().await;
    let folder = opened.folder.path();
    send(&*opened.store, 1).await;
    let file = folder.join("backup.db");
    backup(folder, &file, at(5)).await.expect("backed up");
    send(&*opened.store, 2).await;
    let locked = restore(folder, &file, at(10)).await;
    assert!(matches!(locked, Err(StoreError::Locked { .. })), "{locked:?}");
    opened.store.close().await.expect("closed");
    let missing = restore(folder, &folder.join("nothing.db"), at(10)).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    let itself = restore(folder, &folder.join("bursar.db"), at(10)).await;
    assert!(matches!(itself, Err(StoreError::Conflict(_))), "{itself:?}");
    let before = fs::read(folder.join("bursar.db")).expect("read");
    let bad = folder.join("bad.db");
    let mut bytes = fs::read(&file).expect("read");
    let end = bytes.len();
    bytes[end / 2..].fill(0xa5);
    fs::write(&bad, bytes).expect("written");
    let damaged = restore(folder, &bad, at(10)).await;
    assert!(matches!(damaged, Err(StoreError::Corrupt(_))), "{damaged:?}");
    assert_eq!(
        fs::read(folder.join("bursar.db")).expect("read"),
        before,
        "left as it was"
    );

    let put_back = restore(folder, &file, at(10)).await.expect("restored");
    let kept = put_back.kept.expect("the old one");
    let runs = check_file(&kept).await.expect("readable").runs;
    assert_eq!(runs[&RunState::Running], 2);
    assert_eq!(check(folder).await.expect("readable").runs[&RunState::Running], 1);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let fresh = restore(&elsewhere.path().join("state"), &file, at(10))
        .await
        .expect("restored");
    assert_eq!(fresh.kept, None);
}

/// A process that was killed leaves a long log beside its database. One of the two is taken away first, and the process
/// that does so may end in between.
#[tokio::test]
async fn what_a_restore_replaces_is_whole_without_its_log() {
    let opened = open().await;
    send(&*opened.store, 1).await;
    let file = opened.folder.path().join("backup.db");
    backup(opened.folder.path(), &file, at(5)).await.expect("backed up");
    send(&*opened.store, 2).await;
    let killed = tempfile::tempdir().expect("a folder");
    for name in ["bursar.db", "bursar.db-wal", "bursar.sent"] {
        fs::copy(opened.folder.path().join(name), killed.path().join(name)).expect("copied");
    }
    let log = fs::metadata(killed.path().join("bursar.db-wal")).expect("there");
    assert!(log.len() > 0, "the log holds what was done last");
    let put_back = restore(killed.path(), &file, at(10)).await.expect("restored");
    let kept = put_back.kept.expect("the old one");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let alone = elsewhere.path().join("alone.db");
    fs::copy(&kept, &alone).expect("copied");
    let runs = check_file(&alone).await.expect("readable").runs;
    assert_eq!(runs.get(&RunState::Running), Some(&2));
    // A log whose database somebody has taken away is not read into the one that comes in its place.
    let orphan = tempfile::tempdir().expect("a folder");
    let log = opened.folder.path().join("bursar.db-wal");
    fs::copy(log, orphan.path().join("bursar.db-wal")).expect("copied");
    let put_back = restore(orphan.path(), &file, at(10)).await.expect("restored");
    assert_eq!(put_back.kept, None);
    let found = check(orphan.path()).await.expect("readable");
    assert_eq!(
        (found.runs.get(&RunState::Running), found.damage),
        (Some(&1), Vec::new())
    );
    // What cannot be read any more is set aside all the same.
    fs::write(killed.path().join("bursar.db"), "what is this").expect("written");
    fs::write(killed.path().join("bursar.db-wal"), "and this").expect("written");
    restore(killed.path(), &file, at(11)).await.expect("restored");
}

#[tokio::test]
async fn a_check_names_what_is_damaged() {
    let opened = open().await;
    let folder = opened.folder.path();
    send(&*opened.store, 1).await;
    opened.store.close().await.expect("closed");
    let sound = check(folder).await.expect("readable");
    assert_eq!(sound.damage, Vec::<String>::new());
    let unreadable = sound.unreadable.join(
        "
",
    );
    assert!(unreadable.contains("its version is not in the store"), "{unreadable}");
    meddle(folder, "UPDATE journal SET entry = '{}'").await;
    meddle(
        folder,
        "PRAGMA foreign_keys = off; INSERT INTO journal VALUES (x'00', 1, 0, '{}')",
    )
    .await;
    let found = check(folder).await.expect("readable");
    let damage = [found.damage, found.unreadable].concat().join("\n");
    for expected in ["entry 1", "belongs to no row of `run`"] {
        assert!(damage.contains(expected), "{expected}: {damage}");
    }
}

const DAY: i64 = 86_400;

async fn ended(store: &dyn Store, seconds: i64, end: Settlement) {
    let claim = running(store, "sweep", seconds).await;
    let append = Append {
        records: vec![done(1), done(2)],
        settlement: Some(end),
        ..Append::default()
    };
    store.append(&claim.lease, append, at(seconds)).await.expect("settled");
}

#[tokio::test]
async fn pruning_takes_what_ended_long_ago_and_nothing_else() {
    let opened = open().await;
    let folder = opened.folder.path();
    let store = &*opened.store;
    // Long ended, with its event; long ended; parked long ago; the last that was sent; ended lately.
    let old = event("bank", "old", 0);
    let mark = admit(store, &old).await;
    route(store, vec![caused("sweep", mark, &old)]).await.expect("routed");
    let id = store
        .runs(RunQuery {
            limit: 1,
            ..RunQuery::default()
        })
        .await
        .expect("read")[0]
        .id;
    let claim = take(store, 1, id).await;
    let mut append = settle(succeeded());
    append.records = vec![done(1)];
    store.append(&claim.lease, append, at(1)).await.expect("settled");
    // Of nothing that has a name.
    let of_nothing = |name: &str, received_at: i64| Event {
        subject: None,
        ..event("bank", name, received_at)
    };
    admit(store, &of_nothing("older", 1)).await;
    route(store, Vec::new()).await.expect("routed");
    ended(store, 2, Settlement::Cancelled).await;
    send(store, 3).await;
    ended(store, 50 * DAY, succeeded()).await;
    admit(store, &event("bank", "new", 50 * DAY)).await;
    opened.store.close().await.expect("closed");

    let now = at(60 * DAY);
    let near = prune(folder, at(31 * DAY), now, false).await;
    assert!(matches!(near, Err(StoreError::Conflict(_))), "{near:?}");
    // A run that has not ended may still look back to its beginning, and it began before the date.
    let expected = Pruned {
        runs: 2,
        entries: 3,
        events: 2,
        unmade: 0,
    };
    assert_eq!(prune(folder, at(20 * DAY), now, true).await, Ok(expected));
    assert_eq!(prune(folder, at(20 * DAY), now, false).await, Ok(expected));
    let nothing = Pruned {
        runs: 0,
        entries: 0,
        events: 0,
        unmade: 0,
    };
    assert_eq!(prune(folder, at(20 * DAY), now, false).await, Ok(nothing));
    vacuum(folder).await.expect("vacuumed");
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    assert_eq!(store.restored(now).await, Ok(None), "pruning is no restore");
    let left = store
        .runs(RunQuery {
            limit: 9,
            ..RunQuery::default()
        })
        .await
        .expect("read");
    let states: Vec<_> = left.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Succeeded, RunState::Running]);
    // What was pruned is not known any more, and does not come a second time for that.
    let pruned_before = at(20 * DAY);
    for (name, received_at) in [("older", 1), ("never came", 10 * DAY)] {
        let again = store.admit(of_nothing(name, received_at)).await;
        assert_eq!(again, Ok(Admitted::TooOld { pruned_before }), "{name}");
    }
    let again = store.admit(event("bank", "old", 0)).await;
    assert_eq!(
        again,
        Ok(Admitted::Duplicate { event: old.id }),
        "the first about its deposit"
    );
    let kept = store.admit(event("bank", "new", 50 * DAY)).await;
    assert!(matches!(kept, Ok(Admitted::Duplicate { .. })), "{kept:?}");
    // Known events stay known, and a mark is never given twice.
    assert!(admit(&*store, &event("bank", "next", 60 * DAY)).await > mark);
    store.close().await.expect("closed");
}

/// What says nothing of its age when it comes again, or says that it is young, has to be known: it would be paid twice.
#[tokio::test]
async fn an_event_that_would_be_new_if_it_came_again_stays_known() {
    let opened = open().await;
    let folder = opened.folder.path();
    let store = &*opened.store;
    let dated = |name: &str, occurred_at: Option<i64>| Event {
        subject: None,
        occurred_at: occurred_at.map(at),
        ..event("bank", name, 0)
    };
    let events = [
        dated("undated", None),
        dated("from a clock that is ahead", Some(45 * DAY)),
        dated("old", Some(0)),
    ];
    for event in &events {
        let mark = admit(store, event).await;
        route(store, vec![caused("sweep", mark, event)]).await.expect("routed");
    }
    let claims = store.claim(worker(1), at(1), at(60), 9).await.expect("claimed");
    for claim in claims {
        let ended = store.append(&claim.lease, settle(succeeded()), at(2)).await;
        ended.expect("settled");
    }
    opened.store.close().await.expect("closed");
    let all = Pruned {
        runs: 3,
        entries: 0,
        events: 3,
        unmade: 0,
    };
    let (before, now) = (at(20 * DAY), at(60 * DAY));
    assert_eq!(prune(folder, before, now, false).await, Ok(all));
    assert_eq!(payloads(folder).await, 0, "what they said is gone");
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let [undated, ahead, old] = &events;
    for event in [undated, ahead] {
        let again = Event {
            id: bursar::base::ids::EventId::generate(now),
            received_at: now,
            ..event.clone()
        };
        let known = Ok(Admitted::Duplicate { event: event.id });
        assert_eq!(store.admit(again).await, known, "{}", event.provider_id);
        // Nobody is shown it, and it cannot be replayed: it would look as if it had made no run.
        assert_eq!(store.event(event.id).await, Ok(None));
    }
    let pruned_before = before;
    assert_eq!(store.admit(old.clone()).await, Ok(Admitted::TooOld { pruned_before }));
    assert_eq!(
        store
            .events(EventQuery {
                limit: 9,
                ..EventQuery::default()
            })
            .await,
        Ok(Vec::new())
    );
    store.close().await.expect("closed");
    // When the later one is old, too, its date tells it.
    let none = Pruned {
        runs: 0,
        entries: 0,
        events: 0,
        unmade: 0,
    };
    let (before, now) = (at(46 * DAY), at(90 * DAY));
    assert_eq!(prune(folder, before, now, false).await, Ok(none));
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let pruned_before = before;
    assert_eq!(store.admit(ahead.clone()).await, Ok(Admitted::TooOld { pruned_before }));
    let known = Ok(Admitted::Duplicate { event: undated.id });
    assert_eq!(store.admit(undated.clone()).await, known);
    store.close().await.expect("closed");
}

/// One row for each kind of event about one thing is what a pruned store keeps of it, however many there were.
#[tokio::test]
async fn of_a_thing_one_event_of_each_kind_stays_without_what_it_said() {
    let opened = open().await;
    let folder = opened.folder.path();
    let store = &*opened.store;
    let told = |number: i64, kind: &str| Event {
        kind: kind.to_owned(),
        subject: Some("order_1".to_owned()),
        ..event("bank", &format!("{kind} {number}"), number)
    };
    let first = told(0, "order.paid");
    for event in [
        &first,
        &told(1, "order.paid"),
        &told(2, "order.refunded"),
        &told(3, "order.paid"),
    ] {
        admit(store, event).await;
    }
    route(store, Vec::new()).await.expect("routed");
    opened.store.close().await.expect("closed");
    prune(folder, at(20 * DAY), at(60 * DAY), false).await.expect("pruned");
    assert_eq!(check(folder).await.expect("readable").events, 2);
    assert_eq!(payloads(folder).await, 0);
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let asked = |since: Option<i64>, subject| EventFilter {
        types: vec!["order.paid".to_owned()],
        since: since.map(at),
        ..filter("bank", subject, 0)
    };
    let found = async |filter| store.find_event(filter).await.expect("looked").0.map(|event| event.id);
    assert_eq!(found(asked(None, Some("order_1"))).await, Some(first.id));
    // A script that looks back is not given what says nothing any more.
    assert_eq!(found(asked(Some(-1), Some("order_1"))).await, None);
    assert_eq!(found(asked(None, None)).await, None);
    store.close().await.expect("closed");
}

/// How many events have a payload.
async fn payloads(folder: &Path) -> i64 {
    let url = format!("sqlite://{}?mode=ro", folder.join("bursar.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("connected");
    let count = sqlx::query_scalar("SELECT count(*) FROM event WHERE payload <> ''")
        .fetch_one(&mut connection)
        .await;
    connection.close().await.expect("closed");
    count.expect("counted")
}

/// Has the store write about this much.
async fn write(store: &dyn Store, mebibytes: u32) {
    let claim = running(store, "long", 0).await;
    for seq in 1..=mebibytes * 2 {
        let text = "x".repeat(512 * 1024);
        let mut record = done(seq);
        if let Entry::Done { outcome, .. } = &mut record.entry {
            *outcome = Outcome::Value(Value::text(text));
        }
        store
            .append(&claim.lease, records([record]), at(1))
            .await
            .expect("appended");
    }
    store
        .append(&claim.lease, settle(succeeded()), at(1))
        .await
        .expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_small_beside_readers_of_our_own_and_a_strange_one_is_told() {
    let opened = open().await;
    let folder = opened.folder.path().to_owned();
    let log = folder.join("bursar.db-wal");
    let length = || fs::metadata(&log).expect("there").len();
    const LIMIT: u64 = 64 * 1024 * 1024;

    let reader = opened.store.clone();
    let reading = tokio::spawn(async move {
        loop {
            reader.counts().await.expect("read");
        }
    });
    write(&*opened.store, 100).await;
    reading.abort();
    assert!(length() < LIMIT, "beside our own: {}", length());

    // Somebody with a shell, who has begun to read and gone to lunch.
    let file = folder.join("bursar.db");
    let url = format!("sqlite://{}?mode=ro", file.display());
    let mut shell = sqlx::SqliteConnection::connect(&url).await.expect("connected");
    for statement in ["BEGIN", "SELECT count(*) FROM run"] {
        sqlx::query(statement).execute(&mut shell).await.expect("done");
    }
    write(&*opened.store, 100).await;
    assert!(length() > LIMIT, "{}", length());
    let warnings = check(&folder).await.expect("readable").warnings.join("\n");
    assert!(warnings.contains("keeps reading an old state"), "{warnings}");
    sqlx::query("COMMIT").execute(&mut shell).await.expect("done");
    shell.close().await.expect("closed");
    write(&*opened.store, 40).await;
    assert!(length() < LIMIT, "after it: {}", length());
    assert_eq!(check(&folder).await.expect("readable").warnings, Vec::<String>::new());
}

/// A workflow that does not load takes its events when it does, however long that was.
#[tokio::test]
async fn what_a_workflow_has_not_heard_is_not_pruned() {
    let opened = open().await;
    let folder = opened.folder.path();
    let mark = admit(&*opened.store, &event("bank", "paid", 5)).await;
    let routing = Routing {
        up_to: mark,
        behind: vec!["split".to_owned()],
        ..Routing::default()
    };
    opened.store.route(routing.clone()).await.expect("routed");
    opened.store.close().await.expect("closed");
    let (date, now) = (at(20 * DAY), at(60 * DAY));
    let pruned = async || prune(folder, date, now, false).await.expect("pruned").events;
    assert_eq!(pruned().await, 0);
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    let caught_up = Routing {
        of: Some("split".to_owned()),
        behind: Vec::new(),
        ..routing
    };
    store.route(caught_up).await.expect("routed");
    store.close().await.expect("closed");
    assert_eq!(pruned().await, 1);
}

/// An event without its run looks as if it had made none, and could be replayed: a payment would go out twice.
#[tokio::test]
async fn the_runs_of_an_event_stay_as_long_as_it_does() {
    let opened = open().await;
    let folder = opened.folder.path();
    let store = &*opened.store;
    // Still open, and older than the events: it may look back at them.
    store.create_run(manual("waits", 0)).await.expect("made");
    let event = event("bank", "paid", 5);
    let mark = admit(store, &event).await;
    route(store, vec![caused("sweep", mark, &event)]).await.expect("routed");
    let of_event = store.fates(vec![event.id]).await.expect("read")[0].runs[0].id;
    let claims = store.claim(worker(6), at(6), at(60), 9).await.expect("claimed");
    let claim = claims.iter().find(|claim| claim.run.id == of_event).expect("claimed");
    store
        .append(&claim.lease, settle(succeeded()), at(7))
        .await
        .expect("settled");
    opened.store.close().await.expect("closed");
    let nothing = Pruned {
        runs: 0,
        entries: 0,
        events: 0,
        unmade: 0,
    };
    let now = at(60 * DAY);
    assert_eq!(prune(folder, at(20 * DAY), now, false).await, Ok(nothing));
    let store = SqliteStore::open(folder, OPTIONS).await.expect("opened");
    assert_eq!(store.fates(vec![event.id]).await.expect("read")[0].runs.len(), 1);
    // When nobody can look back any more both go, and what was said of the event.
    store.reclaim_all(at(8)).await.expect("queued");
    let open = store.claim(worker(9), at(9), at(60), 9).await.expect("claimed");
    for claim in open {
        store
            .append(&claim.lease, settle(succeeded()), at(10))
            .await
            .expect("settled");
    }
    store.close().await.expect("closed");
    let both = Pruned {
        runs: 2,
        entries: 0,
        events: 1,
        unmade: 0,
    };
    assert_eq!(prune(folder, at(20 * DAY), now, false).await, Ok(both));
}

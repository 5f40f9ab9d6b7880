//! Temporary measurements.
use super::make::*;
use bursar::store::Store;
use std::sync::Arc;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "measuring")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore]
async fn appends() {
    let opened = open().await;
    for waiters in [1usize, 64, 256] {
        let mut claims = Vec::new();
        for n in 0..waiters {
            opened.store.create_run(manual("w", n as i64)).await.unwrap();
        }
        claims.extend(opened.store.claim(worker(1), at(1), at(31), 1000).await.unwrap());
        let each = if waiters == 1 { 300 } else { 40_000 / waiters };
        let start = now();
        let mut tasks = Vec::new();
        for claim in claims {
            let store: Arc<dyn Store> = opened.store.clone();
            tasks.push(tokio::spawn(async move {
                for seq in 1..=each {
                    store
                        .append(&claim.lease, records([done(seq as u32)]), at(2))
                        .await
                        .unwrap();
                }
                store.append(&claim.lease, settle(succeeded()), at(2)).await.unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let took = start.elapsed();
        eprintln!(
            "{waiters} waiters: {:.0} appends/s",
            (each * waiters) as f64 / took.as_secs_f64()
        );
    }
    // admits
    let start = now();
    let mut tasks = Vec::new();
    for t in 0..64 {
        let store: Arc<dyn Store> = opened.store.clone();
        tasks.push(tokio::spawn(async move {
            for n in 0..200 {
                let e = event("bank", &format!("{t}-{n}"), n);
                let r = caused("sweep", &e);
                store.admit(e, vec![r]).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    eprintln!("admits: {:.0}/s", 64.0 * 200.0 / start.elapsed().as_secs_f64());
    let start = now();
    let claims = opened.store.claim(worker(1), at(1), at(31), 100).await.unwrap();
    eprintln!("claim 100: {:?} {}", start.elapsed(), claims.len());
    let start = now();
    let mut tasks = Vec::new();
    for _ in 0..32 {
        let store: Arc<dyn Store> = opened.store.clone();
        tasks.push(tokio::spawn(async move {
            let mut runs = 0;
            loop {
                let claims = store.claim(worker(1), at(1), at(31), 8).await.unwrap();
                if claims.is_empty() {
                    return runs;
                }
                for claim in claims {
                    runs += 1;
                    store
                        .append(&claim.lease, records([intent(1, "1")]), at(2))
                        .await
                        .unwrap();
                    let mut a = settle(succeeded());
                    a.records.push(bursar::model::journal::Record {
                        seq: 2,
                        at: at(2),
                        entry: bursar::model::journal::Entry::Outcome {
                            path: path("1"),
                            outcome: bursar::model::journal::Outcome::Value(bursar::model::value::Value::Null),
                        },
                    });
                    store.append(&claim.lease, a, at(2)).await.unwrap();
                }
            }
        }));
    }
    let mut runs = 0;
    for task in tasks {
        runs += task.await.unwrap();
    }
    eprintln!(
        "claim+intent+outcome/settle: {:.0} runs/s ({runs})",
        runs as f64 / start.elapsed().as_secs_f64()
    );
    // load
    let claim = running(&*opened.store, "long", 50_000).await;
    let all: Vec<_> = (1..=10_000).map(done).collect();
    let start = now();
    opened.store.append(&claim.lease, records(all), at(2)).await.unwrap();
    eprintln!("append 10000 at once: {:?}", start.elapsed());
    for _ in 0..3 {
        let start = now();
        let n = opened.store.journal(claim.run.id).await.unwrap().len();
        eprintln!("load {n}: {:?}", start.elapsed());
    }
    // raw fsync
    use std::io::Write;
    let mut f = std::fs::File::create(opened.folder.path().join("x")).unwrap();
    let start = now();
    for _ in 0..200 {
        f.write_all(&[1u8; 4096]).unwrap();
        f.sync_data().unwrap();
    }
    eprintln!("fsync: {:?} each", start.elapsed() / 200);
}

//! The machine's own limits: what the disk and the store can do with nothing in the way.
//!
//! Every rate is measured beside the figure it is compared with, in the same process.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};

use super::Options;
use super::report::{Figure, median, per_second};

/// About what one group of writes appends to the log of the store.
const GROUP_BYTES: usize = 32 * 1024;
const SPAN: Duration = Duration::from_millis(400);

/// How often in a second the disk can be made to keep an append of some bytes.
pub(crate) fn syncs_per_second(folder: &Path, bytes: usize) -> f64 {
    let path = folder.join("limit");
    let mut file = File::create(&path).expect("the temporary folder can be written");
    let page = vec![7u8; bytes];
    let clock = SystemClock::new();
    let mut rates = Vec::new();
    for _ in 0..5 {
        let started = clock.elapsed();
        let mut syncs = 0;
        while clock.elapsed().saturating_sub(started) < SPAN / 5 {
            file.write_all(&page).expect("the disk takes it");
            file.sync_data().expect("the disk keeps it");
            syncs += 1;
        }
        rates.push(per_second(syncs, clock.elapsed().saturating_sub(started)));
    }
    std::fs::remove_file(path).expect("our own file");
    median(rates)
}

/// What one group commit of the disk's own costs: the append of a group, kept.
pub(crate) fn group_commits_per_second(folder: &Path) -> f64 {
    syncs_per_second(folder, GROUP_BYTES)
}

pub(crate) fn measure(_options: &Options) -> Vec<Figure> {
    let folder = super::rig::folder();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let sync = |bytes: usize| {
        let rate = syncs_per_second(folder.path(), bytes);
        Figure::new(
            format!("appends of {} KiB kept by fdatasync, in a second", bytes / 1024),
            format!("{rate:.0}"),
        )
        .note(format!("{:.3} ms each", 1_000.0 / rate))
    };
    vec![
        Figure::new("processors", processors.to_string()),
        sync(4 * 1024),
        sync(GROUP_BYTES),
    ]
}

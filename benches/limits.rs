//! The machine's own limits: what the disk and the store can do with nothing in the way.
//!
//! Every rate is measured beside the figure it is compared with, in the same process.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use bursar::base::clock::{Clock as _, SystemClock};

use super::Options;
use super::report::{Figure, median, per_second};

/// About what one group of writes puts into the log of the store.
const GROUP_BYTES: usize = 32 * 1024;
/// The log of the store is written round and round in about so many bytes.
const LOG_BYTES: usize = 16 * 1024 * 1024;
const SPAN: Duration = Duration::from_millis(400);
/// The kernel counts processor time in hundredths of a second, whatever the machine.
const CPU_TICK: Duration = Duration::from_millis(10);

/// Processor time of this process, all its threads, in both modes.
pub(crate) fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may hold anything; user and system time are the 12th and 13th word after it.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|word| word.parse().unwrap_or(0));
    CPU_TICK * ticks.sum::<u32>()
}

/// How often in a second the disk can be made to keep some bytes: written over what is there, as the log of the
/// store is once it has its size, or added to the end of a file, which costs the file system much more.
pub(crate) fn syncs_per_second(folder: &Path, bytes: usize, adding: bool) -> f64 {
    let path = folder.join("limit");
    let mut file = File::create(&path).expect("the temporary folder can be written");
    if !adding {
        file.write_all(&vec![7u8; LOG_BYTES]).expect("the disk takes it");
        file.sync_all().expect("the disk keeps it");
    }
    let page = vec![8u8; bytes];
    let clock = SystemClock::new();
    let mut rates = Vec::new();
    for _ in 0..5 {
        let started = clock.elapsed();
        let mut syncs = 0;
        while clock.elapsed().saturating_sub(started) < SPAN / 5 {
            if !adding && (syncs * bytes).is_multiple_of(LOG_BYTES) {
                file.rewind().expect("our own file");
            }
            file.write_all(&page).expect("the disk takes it");
            file.sync_data().expect("the disk keeps it");
            syncs += 1;
        }
        rates.push(per_second(syncs, clock.elapsed().saturating_sub(started)));
    }
    std::fs::remove_file(path).expect("our own file");
    median(rates)
}

/// How many groups of writes the disk can keep in a second, if nothing else has to be done for them.
pub(crate) fn group_commits_per_second(folder: &Path) -> f64 {
    syncs_per_second(folder, GROUP_BYTES, false)
}

pub(crate) fn measure(_options: &Options) -> Vec<Figure> {
    let folder = super::rig::folder();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let sync = |bytes: usize, adding: bool| {
        let rate = syncs_per_second(folder.path(), bytes, adding);
        let how = if adding {
            "added to a file"
        } else {
            "written over others"
        };
        let what = format!("{} KiB {how} and kept, in a second", bytes / 1024);
        Figure::new(what, format!("{rate:.0}")).note(format!("{:.3} ms each", 1_000.0 / rate))
    };
    vec![
        Figure::new("processors", processors.to_string()),
        sync(4 * 1024, false),
        sync(GROUP_BYTES, false),
        sync(GROUP_BYTES, true),
    ]
}

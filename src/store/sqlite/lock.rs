//! The lock that keeps a second process out of a store's folder.
//!
//! The operating system gives the lock free when its holder ends, however it ends; what is written inside
//! the file only names the holder to a person. This file must not know what is in the store.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::connect::private_file;
use crate::store::StoreError;

/// How often a lock that is held is tried again.
const TRIES: u32 = 20;
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(25);

/// The held lock; given free when dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Takes the lock of this folder.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if somebody holds it, [`StoreError::Unavailable`] if it cannot be written.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("bursar.lock");
        let mut file = private_file(&path)?;
        match try_for_a_moment(&file) {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StoreError::Locked {
                    path: folder.display().to_string(),
                    holder: holder(&mut file),
                });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(unavailable(&path, &error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| unavailable(&path, &error))?;
        Ok(Self { file })
    }

    /// Gives the lock free.
    pub(super) fn release(self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the lock of the store could not be given free before this process ends");
        }
    }
}

/// Whether a process holds the store in this folder. It is asked, not taken.
pub fn is_held(folder: &Path) -> bool {
    let asked = File::open(folder.join("bursar.lock")).map(|file| file.try_lock_shared());
    matches!(asked, Ok(Err(std::fs::TryLockError::WouldBlock)))
}

/// A process that was killed in the very moment it started another has its lock held by that one until it is up.
fn try_for_a_moment(file: &File) -> Result<(), std::fs::TryLockError> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
    file.try_lock()
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn unavailable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{} cannot be locked: {error}", path.display()))
}

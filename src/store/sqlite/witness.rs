//! The witness: a small file beside the database that names the last effect that was sent, or answer a person gave.
//!
//! It is written after the commit of an intent or of an answer and before anybody is told of that commit, so whatever was sent
//! is never newer than what it names. A database without the named entry is older than what was sent. It costs
//! no wait for the disk: the system keeps what a process wrote when that process dies, and after a loss of power
//! the file is a few seconds old at worst, which no backup is. Must not decide what follows from it.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use super::connect::private_file;
use crate::base::clock::Instant;
use crate::base::ids::{Digest, RunId};
use crate::store::StoreError;
use crate::store::codec::{instant, nanos};

/// The file inside the folder.
const FILE: &str = "bursar.sent";
/// Its one line is always so long, so that it is overwritten in place, within one sector.
const LINE_BYTES: usize = 160;
/// How many effects may be named before the file is forced to the disk.
const UNSYNCED_MAX: u32 = 256;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Testimony {
    /// Nothing was sent yet, from the database that keeps this token; one that is not named may be any.
    Nothing { token: Option<String> },
    /// This entry of this journal was the last that sent something, or that a person said.
    Entry {
        run: RunId,
        seq: u32,
        /// When it was made.
        at: Instant,
    },
    /// Nothing was sent since this restore.
    Restore { token: String },
}

/// The open file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    unsynced: u32,
}

impl Witness {
    /// Opens the file and reads it: nothing if it was not there, or why it cannot be understood.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file cannot be opened.
    pub(super) fn open(folder: &Path) -> Result<(Self, Result<Option<Testimony>, String>), StoreError> {
        let mut file = private_file(&folder.join(FILE))?;
        let mut text = String::new();
        let testimony = match file.read_to_string(&mut text) {
            Err(error) => Err(error.to_string()),
            Ok(0) => Ok(None),
            Ok(_) => parse(&text).map(Some).ok_or_else(|| "its checksum is wrong".to_owned()),
        };
        Ok((Self { file, unsynced: 0 }, testimony))
    }

    /// Says so from now on.
    ///
    /// # Errors
    /// What the disk says; the file may then say anything.
    pub(super) fn say(&mut self, testimony: &Testimony) -> std::io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(line(testimony).as_bytes())?;
        self.unsynced += 1;
        if self.unsynced >= UNSYNCED_MAX {
            return self.sync();
        }
        Ok(())
    }

    /// Forces it to the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn sync(&mut self) -> std::io::Result<()> {
        self.unsynced = 0;
        self.file.sync_all()
    }
}

fn line(testimony: &Testimony) -> String {
    let words = match testimony {
        Testimony::Nothing { token: None } => "nothing".to_owned(),
        Testimony::Nothing { token: Some(token) } => format!("nothing {token}"),
        Testimony::Entry { run, seq, at } => format!("entry {run} {seq} {}", nanos(*at)),
        Testimony::Restore { token } => format!("restore {token}"),
    };
    let checked = format!("{} {words}", checksum(&words));
    format!("{checked:<width$}\n", width = LINE_BYTES - 1)
}

fn parse(text: &str) -> Option<Testimony> {
    let (sum, words) = text.trim_end().split_once(' ')?;
    if sum != checksum(words) {
        return None;
    }
    let words: Vec<&str> = words.split(' ').collect();
    match words.as_slice() {
        ["nothing"] => Some(Testimony::Nothing { token: None }),
        ["nothing", token] => Some(Testimony::Nothing {
            token: Some((*token).to_owned()),
        }),
        ["entry", run, seq, at] => Some(Testimony::Entry {
            run: run.parse().ok()?,
            seq: seq.parse().ok()?,
            at: instant(at.parse().ok()?),
        }),
        ["restore", token] => Some(Testimony::Restore {
            token: (*token).to_owned(),
        }),
        _ => None,
    }
}

fn checksum(words: &str) -> String {
    Digest::of([words.as_bytes()]).short()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_again_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut witness, said) = Witness::open(folder.path()).expect("opened");
        assert_eq!(said, Ok(None));
        let at = instant(1_767_225_600_123_456_789);
        for testimony in [
            Testimony::Nothing { token: None },
            Testimony::Nothing {
                token: Some("0b9e3c1a-aaaa-4bbb-8ccc-dddddddddddd".to_owned()),
            },
            Testimony::Entry {
                run: RunId::generate(at),
                seq: u32::MAX,
                at,
            },
            Testimony::Restore {
                token: "0b9e3c1a-aaaa-4bbb-8ccc-dddddddddddd".to_owned(),
            },
        ] {
            witness.say(&testimony).expect("said");
            assert_eq!(line(&testimony).len(), LINE_BYTES, "{testimony:?}");
            let (_, said) = Witness::open(folder.path()).expect("opened");
            assert_eq!(said, Ok(Some(testimony)));
        }
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).expect("read");
        for place in 0..60 {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            std::fs::write(&path, bytes).expect("written");
            let (_, said) = Witness::open(folder.path()).expect("opened");
            assert!(said.is_err(), "byte {place}: {said:?}");
        }
    }
}

//! Runs the real binary in a folder of its own, with an empty environment.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// What a command left behind.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ran {
    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub(super) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as lines of JSON.
    #[track_caller]
    pub(super) fn json(&self) -> Vec<Json> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// The binary with these arguments, to be changed further.
pub(super) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    command.args(args).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// Runs the binary in this folder.
pub(super) fn bursar(folder: &Path, args: &[&str]) -> Ran {
    finish(&mut command(folder, args))
}

/// Runs a prepared command.
pub(super) fn finish(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary runs");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

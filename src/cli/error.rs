//! What a command answers when it cannot do what was asked: a kind, a sentence, and what to do about it.
//!
//! The kind decides the exit code; scripts of operators rely on these numbers, so they are one enum, printed
//! in `--help` and tested. This file must not print.

use std::io;

use super::text::clean;
use crate::app::AppError;
use crate::app::settings::SettingsError;
use crate::model::diagnostic::Diagnostic;
use crate::store::StoreError;
use crate::trigger::manual::StartError;
use crate::trigger::replay::ReplayError;

/// What to do when a decision does not fit what the provider shows.
pub(super) const UNFIT_HINT: &str = "nothing was decided; `bursar reconcile show RUN` shows both sides";

/// The exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Ok,
    /// The thing itself failed.
    Failed,
    /// The command line, the settings, a manifest or a script is wrong.
    Usage,
    /// Not finished: a person has to decide, or the run still waits.
    NeedsPerson,
    /// It does not exist.
    NotFound,
    /// It may not be done as things stand.
    Refused,
    /// The store cannot be used.
    Store,
    /// A provider or the daemon cannot be reached.
    Unreachable,
    /// Stopped from outside.
    Interrupted,
}

impl Exit {
    /// Every code with its number and its meaning.
    pub const ALL: [(u8, Self, &'static str); 9] = [
        (0, Self::Ok, "done"),
        (1, Self::Failed, "it failed: the run, a check"),
        (
            2,
            Self::Usage,
            "the command line, settings, a manifest or a script is wrong",
        ),
        (
            3,
            Self::NeedsPerson,
            "not finished: the run is parked for a person, or still waits",
        ),
        (4, Self::NotFound, "there is no such run, event, workflow or connection"),
        (5, Self::Refused, "it may not be done as things stand"),
        (6, Self::Store, "the store is missing, in use or damaged"),
        (7, Self::Unreachable, "a provider or the daemon cannot be reached"),
        (130, Self::Interrupted, "interrupted"),
    ];

    /// The number for the shell.
    pub fn code(self) -> u8 {
        Self::ALL
            .iter()
            .find(|(_, exit, _)| *exit == self)
            .map_or(1, |(code, _, _)| *code)
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NeedsPerson => "needs_person",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Store => "store",
            Self::Unreachable => "unreachable",
            Self::Interrupted => "interrupted",
        }
    }

    /// The table for `--help`.
    pub fn help() -> String {
        Self::ALL
            .iter()
            .fold(String::from("Exit codes:\n"), |mut text, (code, _, meaning)| {
                text.push_str(&format!("  {code:<4} {meaning}\n"));
                text
            })
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct CliError {
    /// Decides the exit code.
    pub exit: Exit,
    /// A plain sentence.
    pub message: String,
    /// What to do about it, one line each.
    pub hints: Vec<String>,
    /// What is wrong with which file.
    pub findings: Vec<Diagnostic>,
    /// Whether the reader of our output went away, which is nobody's fault.
    pub hung_up: bool,
}

impl CliError {
    /// An error of this kind.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hints: Vec::new(),
            findings: Vec::new(),
            hung_up: false,
        }
    }

    /// Wrong use.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// It does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// The same with one more line of advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// As it stands on standard error, without the findings.
    pub fn render(&self) -> String {
        let (bad, good) = (super::output::BAD, super::output::GOOD);
        let mut text = format!("{bad}error{bad:#}: {}\n", clean(&self.message));
        for hint in &self.hints {
            text.push_str(&format!("  {good}help{good:#}: {}\n", clean(hint)));
        }
        text
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self {
            hung_up: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::new(Exit::Failed, error.to_string())
        }
    }
}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> Self {
        let told = Self::usage(error.to_string());
        match error {
            SettingsError::Missing(_) => {
                told.hint("run `bursar init` to make a new folder with settings, or name the file with --config")
            }
            SettingsError::Unreadable { .. } => told.hint("make the file readable for the user that runs bursar"),
            SettingsError::Wrong(findings) => Self {
                message: match findings.len() {
                    1 => "the settings are wrong in one place".to_owned(),
                    count => format!("the settings are wrong in {count} places"),
                },
                findings,
                ..told
            },
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::NotFound(_) => Exit::NotFound,
            StoreError::Conflict(_) | StoreError::LeaseLost { .. } | StoreError::CancelRequested { .. } => {
                Exit::Refused
            }
            StoreError::Unavailable(_)
            | StoreError::Locked { .. }
            | StoreError::Newer { .. }
            | StoreError::Corrupt(_) => Exit::Store,
        };
        let told = Self::new(exit, error.to_string());
        match error {
            StoreError::NotFound(_) => told.hint("`bursar runs ls` and `bursar events ls` show what there is"),
            StoreError::Locked { .. } => {
                told.hint("one process per store: stop that one, or name another folder with --state")
            }
            StoreError::Corrupt(_) => {
                told.hint("stop the daemon, keep a copy of the folder, and restore the last backup")
            }
            StoreError::Unavailable(_) => {
                told.hint("check that the folder exists, is yours, and that the disk is not full")
            }
            StoreError::Conflict(_) => told.hint("`bursar runs show` tells where the run stands"),
            StoreError::Newer { .. } | StoreError::LeaseLost { .. } | StoreError::CancelRequested { .. } => told,
        }
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        let message = error.to_string();
        match error {
            AppError::Settings(error) => error.into(),
            AppError::Store(error)
            | AppError::Start(StartError::Store(error))
            | AppError::Replay(ReplayError::Store(error)) => error.into(),
            AppError::Replay(ReplayError::NotThere(_)) => {
                Self::not_found(message).hint("`bursar events ls` lists them")
            }
            AppError::Replay(ReplayError::Conditions(_)) => Self::new(Exit::Failed, message),
            AppError::Replay(_) => Self::new(Exit::Refused, message),
            AppError::Start(StartError::UnknownParam { .. } | StartError::ParamKind { .. } | StartError::Value(_)) => {
                Self::usage(message).hint("the params stand under [params] in the manifest")
            }
            AppError::Start(StartError::Key) => Self::usage(message),
            AppError::Start(StartError::KeyTaken { .. }) => {
                Self::new(Exit::Refused, message).hint("another request needs another key")
            }
            AppError::Start(StartError::Overlapping { .. }) => {
                Self::new(Exit::Refused, message).hint("wait until it has ended, or end it: `bursar runs cancel`")
            }
            AppError::UnknownWorkflow { .. } => Self::not_found(message).hint("`bursar workflows ls` lists them"),
            AppError::BrokenWorkflow { findings, .. } => Self {
                findings,
                ..Self::usage(message).hint("correct what stands above; `bursar check` looks at everything")
            },
            AppError::Refused(_) => Self::new(Exit::Refused, message).hint(UNFIT_HINT),
            AppError::Io { ref source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Self::new(Exit::Failed, message).hint(
                    "another program listens there, perhaps another daemon: --listen 127.0.0.1:8081 takes another port",
                )
            }
            AppError::Client(_) | AppError::Io { .. } | AppError::Other(_) => Self::new(Exit::Failed, message),
        }
    }
}

//! What the store keeps about itself, by name: one text each, with a checksum that knows its name.
//!
//! The installation secret, the last restore, up to when events were pruned: whoever relies on one that was damaged
//! would ask a bank under wrong keys, or send again what a restore forgot. Must not know what the texts mean.

use sqlx::{SqliteConnection, SqliteExecutor};

use super::read_failed;
use super::rows::corrupt;
use crate::store::StoreError;
use crate::store::codec::{sealed_as, unsealed_as};

/// What is kept, each under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meta {
    /// What ids and keys are derived with, in hexadecimal digits.
    InstallationSecret,
    /// The last restore, as JSON.
    Restored,
    /// By what the witness knows the database from which nothing was sent.
    Witness,
    /// Up to when events were pruned, in nanoseconds since 1970.
    PrunedBefore,
    /// Why it is not known what time it is, as JSON.
    ClockDoubt,
    /// What the wall clock showed when it was last kept, in nanoseconds since 1970.
    ClockSeen,
}

impl Meta {
    fn name(self) -> &'static str {
        match self {
            Self::InstallationSecret => "installation_secret",
            Self::Restored => "restored",
            Self::Witness => "witness",
            Self::PrunedBefore => "pruned_before",
            Self::ClockDoubt => "clock_doubt",
            Self::ClockSeen => "clock_seen",
        }
    }

    /// What is kept under this name, if anything is.
    ///
    /// # Errors
    /// That the file cannot be read, or the text is not the one that was kept.
    pub(super) async fn kept(self, connection: impl SqliteExecutor<'_>) -> Result<Option<String>, StoreError> {
        let text: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
            .bind(self.name())
            .fetch_optional(connection)
            .await
            .map_err(read_failed)?;
        let Some(text) = text else { return Ok(None) };
        match unsealed_as(self.name(), &text) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(error) => Err(self.corrupt(error)),
        }
    }

    /// Keeps a text in place of the one before.
    pub(super) async fn keep(self, connection: &mut SqliteConnection, text: &str) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(self.name())
        .bind(sealed_as(self.name(), text))
        .execute(connection)
        .await
        .map(drop)
    }

    /// Keeps nothing under this name any more; whether anything was.
    pub(super) async fn forget(self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        let forgotten = sqlx::query("DELETE FROM meta WHERE name = $1")
            .bind(self.name())
            .execute(connection)
            .await?;
        Ok(forgotten.rows_affected() > 0)
    }

    /// What is kept under this name is not what it must be.
    pub(super) fn corrupt(self, why: impl std::fmt::Display) -> StoreError {
        let what = match self {
            Self::InstallationSecret => "the installation secret",
            Self::Restored => "what the store keeps of its restore",
            Self::Witness => "by what `bursar.sent` knows the store",
            Self::PrunedBefore => "up to when events were pruned",
            Self::ClockDoubt => "why the clock is in doubt",
            Self::ClockSeen => "what the clock showed last",
        };
        corrupt(what, why)
    }
}

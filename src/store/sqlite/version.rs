//! Versions: manifests and scripts by the digest of their content, each text kept once.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use super::rows::{Columns, corrupt};
use super::writer::{Halt, Writer};
use crate::base::ids::Digest;
use crate::model::workflow::{Source, Version};
use crate::store::StoreError;
use crate::store::codec::text_of;

/// A version on its way, in the form in which it is written.
pub(super) struct StoredVersion {
    digest: Digest,
    workflow: String,
    manifest: Digest,
    uses: String,
    /// `[[path, digest], …]` in JSON.
    sources: String,
    /// `[[digest, text], …]` in JSON.
    texts: String,
}

impl StoredVersion {
    /// Prepares a version.
    pub(super) fn new(version: &Version) -> Self {
        let digest = |text: &str| Digest::of([text.as_bytes()]);
        let manifest = digest(&version.manifest);
        let sources: Vec<(&str, Digest)> = version
            .sources
            .iter()
            .map(|source| (source.path.as_str(), digest(&source.text)))
            .collect();
        let texts: Vec<(Digest, &str)> = std::iter::once((manifest, version.manifest.as_str()))
            .chain(
                version
                    .sources
                    .iter()
                    .map(|source| (digest(&source.text), source.text.as_str())),
            )
            .collect();
        Self {
            digest: version.digest,
            workflow: version.workflow.clone(),
            manifest,
            uses: text_of(&version.uses),
            sources: text_of(&sources),
            texts: text_of(&texts),
        }
    }
}

impl Writer {
    /// Keeps a version.
    pub(super) async fn save_version(&mut self, version: StoredVersion) -> Result<(), Halt> {
        sqlx::query(
            "INSERT INTO source_text (digest, text) \
             SELECT unhex(value ->> 0), value ->> 1 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
        )
        .bind(version.texts)
        .execute(&mut self.connection)
        .await?;
        sqlx::query(
            "INSERT INTO version (digest, workflow, manifest, uses, sources) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
        )
        .bind(version.digest.as_bytes().to_vec())
        .bind(version.workflow)
        .bind(version.manifest.as_bytes().to_vec())
        .bind(version.uses)
        .bind(version.sources)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}

/// Reads a version and proves that its texts are the ones that were kept.
pub(super) async fn load(connection: &mut SqliteConnection, digest: Digest) -> Result<Option<Version>, Halt> {
    let Some(row) = sqlx::query("SELECT workflow, manifest, uses, sources FROM version WHERE digest = $1")
        .bind(digest.as_bytes().to_vec())
        .fetch_optional(&mut *connection)
        .await?
    else {
        return Ok(None);
    };
    let what = format!("version {digest}");
    let mut columns = Columns::of(&row, what.clone());
    let workflow = columns.get()?;
    let manifest = columns.digest()?;
    let uses = columns.json()?;
    let sources: Vec<(String, Digest)> = columns.json()?;
    let wanted: Vec<Digest> = std::iter::once(manifest)
        .chain(sources.iter().map(|(_, digest)| *digest))
        .collect();
    let rows =
        sqlx::query("SELECT digest, text FROM source_text WHERE digest IN (SELECT unhex(value) FROM json_each($1))")
            .bind(text_of(&wanted))
            .fetch_all(connection)
            .await?;
    let mut texts: HashMap<Digest, String> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let mut columns = Columns::of(row, format!("a text of {what}"));
        texts.insert(columns.digest()?, columns.get()?);
    }
    let text = |digest: Digest| -> Result<String, StoreError> {
        let text = texts
            .get(&digest)
            .ok_or_else(|| corrupt(&what, format_args!("text {digest} is missing")))?;
        if Digest::of([text.as_bytes()]) != digest {
            return Err(corrupt(&what, format_args!("text {digest} was changed")));
        }
        Ok(text.clone())
    };
    let manifest = text(manifest)?;
    let sources = sources
        .into_iter()
        .map(|(path, digest)| {
            Ok(Source {
                path,
                text: text(digest)?,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    let version = Version::new(workflow, manifest, uses, sources);
    if version.digest != digest {
        return Err(corrupt(&what, "it is not what its name says").into());
    }
    Ok(Some(version))
}

//! `bursar init`: a folder to begin with. Overwrites nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use super::error::{CliError, Exit};
use super::text::count;
use crate::app::sample;
use crate::simulator::config::{DEMO_API_KEY, DEMO_WEBHOOK_SECRET};

/// Make a folder with settings and the shipped workflows
///
/// The settings lead to the simulator (`bursar sim serve`), so that everything can be tried at once; one line leads them
/// to the provider instead. What is there already is left as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder; made if it is not there
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Also the workflows at other providers, with their connections
    #[arg(long)]
    all: bool,
}

const SETTINGS: &str = include_str!("init/bursar.toml");

/// What the folder holds beside settings and the shipped workflows. Secrets are for their owner alone.
const OWN: &[(&str, &str)] = &[
    (".gitignore", include_str!("init/gitignore")),
    ("secrets/README", include_str!("init/secrets-readme")),
    // Of no use to anybody but the simulator: `settings` refuses them for a provider.
    ("secrets/bank.key", DEMO_API_KEY),
    ("secrets/bank-webhook.key", DEMO_WEBHOOK_SECRET),
];

/// The folder whose content is nobody else's business.
const PRIVATE: &str = "secrets";

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, CliError> {
    let folder = &args.folder;
    let (others, connections) = match args.all {
        true => (sample::OTHERS, sample::OTHER_CONNECTIONS),
        false => (&[][..], ""),
    };
    let settings = format!("{SETTINGS}{connections}");
    let mut files = vec![("bursar.toml", settings.as_str())];
    files.extend(OWN.iter().chain(sample::FILES).chain(others));
    let taken: Vec<&str> = files
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| folder.join(name).exists())
        .collect();
    if let [first, rest @ ..] = taken.as_slice() {
        let more = if rest.is_empty() {
            String::new()
        } else {
            format!(" and {} more", rest.len())
        };
        let message = format!(
            "{} is there already{more}: nothing was written",
            folder.join(first).display()
        );
        return Err(CliError::new(Exit::Refused, message).hint("choose an empty folder: `bursar init treasury`"));
    }
    for (name, text) in &files {
        write(&folder.join(name), text).map_err(|error| {
            let hint = "make the folder writable, or choose another: `bursar init treasury`";
            CliError::new(
                Exit::Failed,
                format!("{} cannot be written: {error}", folder.join(name).display()),
            )
            .hint(hint)
        })?;
    }
    let output = &context.output;
    if output.json {
        let files: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        output.object("bursar.init/1", &json!({ "folder": folder, "files": files }))?;
        return Ok(Exit::Ok);
    }
    output.print(&format!("made {} in {}", count(files.len(), "file"), folder.display()))?;
    let enter = if folder == Path::new(".") {
        String::new()
    } else {
        format!("  cd {}\n", folder.display())
    };
    output.note(&format!(
        "next:\n{enter}  bursar check                every fault with file, line and column; moves nothing\n  \
         bursar sim serve            a simulated bank: leave it running, the settings fit it\n  \
         bursar run nightly-sweep    in another terminal: moves its money"
    ));
    Ok(Exit::Ok)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let folder = path.parent();
    let private = folder.is_some_and(|folder| folder.ends_with(PRIVATE));
    if let Some(folder) = folder {
        let mode = if private { 0o700 } else { 0o755 };
        fs::DirBuilder::new().recursive(true).mode(mode).create(folder)?;
    }
    let mode = if private { 0o600 } else { 0o644 };
    // Whoever made the file since we looked keeps it.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())
}

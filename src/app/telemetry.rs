//! Logging: where lines go and how they look. Standard error; people or JSON.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::settings::LogFormat;

/// Starts logging for the process. A second call changes nothing.
///
/// # Errors
/// A sentence when the filter cannot be read.
pub fn start(filter: &str, format: LogFormat, color: bool) -> Result<(), String> {
    let filter: EnvFilter = EnvFilter::try_new(filter)
        .map_err(|error| format!("`log` cannot be read: {error}; write info or bursar=debug"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => registry.with(lines.with_ansi(color).with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    // Tests start several daemons in one process; the first logger stays.
    drop(started);
    Ok(())
}

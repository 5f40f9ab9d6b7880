//! `bursar completions`: what the shell needs to complete our commands.

use clap_complete::Shell;

use super::Context;
use super::error::{CliError, Exit};

/// Print completions for a shell
///
/// For bash: `bursar completions bash > /etc/bash_completion.d/bursar`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, context: &Context, command: &mut clap::Command) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "bursar", &mut script);
    context.output.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

//! `bursar webhooks`: where a provider sends them, and what it is like to receive one.

mod listen;
mod send;
mod subscribe;

use clap::Subcommand;

use super::Context;
use super::error::{CliError, Exit};

/// Have webhooks sent here, try it, and send one as a provider does
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Register(subscribe::Register),
    Ls(subscribe::Ls),
    Rotate(subscribe::Rotate),
    Unregister(subscribe::Unregister),
    Test(subscribe::Test),
    Listen(listen::Listen),
    Send(send::Send),
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.command {
        Command::Register(args) => context.wait(subscribe::register(args, context)),
        Command::Ls(args) => context.wait(subscribe::ls(args, context)),
        Command::Rotate(args) => context.wait(subscribe::rotate(args, context)),
        Command::Unregister(args) => context.wait(subscribe::unregister(args, context)),
        Command::Test(args) => context.wait(subscribe::test(args, context)),
        Command::Listen(args) => context.wait(listen::listen(args, context)),
        Command::Send(args) => context.wait(send::send(args, context)),
    }
}

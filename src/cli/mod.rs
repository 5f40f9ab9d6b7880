//! The face: what a person types, and what they see.
//!
//! One file per command, each with its `Args` and its `run`; `Command` lists them and one match calls them.
//! This room must hold no domain rule: it asks `app` and the store, and shows what they say.

pub mod diagnostics;
pub mod error;
pub mod output;
pub mod steps;
pub mod text;
pub mod view;

mod actor;
mod daemon;
mod follow;
mod input;

mod approvals;
mod check;
mod completions;
mod connections;
mod connectors;
mod db;
mod demo;
mod events;
mod init;
mod journal;
mod primitives;
mod reconcile;
mod run;
mod runs;
mod schedule;
mod selftest;
mod serve;
mod sim;
mod status;
mod trial;
mod webhooks;
mod workflows;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::diagnostics::Sources;
use self::error::{CliError, Exit};
use self::output::{ColorWhen, Output};
use crate::app::offline::read_store;
use crate::app::settings::{self, Overrides, Secrets, Settings};
use crate::base::clock::{Clock as _, Instant, SystemClock};
use crate::base::memory::give_back_large_blocks;
use crate::store::Store;

/// Moves money by script, exactly once.
///
/// Scripts in `scripts/` say what happens, manifests in `workflows/` say when: at an hour, on a signed webhook,
/// or when asked. Bursar runs them durably: every payment is written down before it is sent and after it was
/// answered, and a crash resumes where it stopped.
#[derive(Debug, Parser)]
#[command(
    name = "bursar",
    version,
    max_term_width = 100,
    after_help = Exit::help(),
    arg_required_else_help = true,
    disable_help_subcommand = true,
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
struct Globals {
    /// Settings file [default: ./bursar.toml] [variable: BURSAR_CONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the store [default: `state` of the settings] [variable: BURSAR_STATE].
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Results as JSON: one object, or one a line; each names its schema.
    #[arg(long, global = true)]
    json: bool,
    /// When to use colour: auto, always or never; NO_COLOR is honoured.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    color: ColorWhen,
    /// Results only, no remarks.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// More of what happens; twice for all of it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Check(check::Args),
    Serve(serve::Args),
    Status(status::Args),
    Demo(demo::Args),
    Run(run::Args),
    Runs(runs::Args),
    Approvals(approvals::Args),
    Reconcile(reconcile::Args),
    Journal(journal::Args),
    Events(events::Args),
    Webhooks(webhooks::Args),
    Workflows(workflows::Args),
    Schedule(schedule::Args),
    Connections(connections::Args),
    Connectors(connectors::Args),
    Db(db::Args),
    Primitives(primitives::Args),
    Sim(sim::Args),
    Selftest(selftest::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Trial(trial::Args),
}

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    /// Where results go.
    pub output: Output,
    /// What the command line says about settings.
    pub overrides: Overrides,
    /// How much to tell of what happens: 0, 1 or 2.
    pub verbose: u8,
    clock: SystemClock,
}

impl Context {
    /// The settings, for commands that call no provider: a secret need not be there.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn settings(&self) -> Result<Settings, CliError> {
        Ok(settings::load(&self.overrides, Secrets::Optional)?)
    }

    /// The settings, for commands that are of no use without a folder of workflows.
    ///
    /// # Errors
    /// What is wrong with them; that there is nothing of ours here.
    pub fn workplace(&self, secrets: Secrets) -> Result<Settings, CliError> {
        at_work(settings::load(&self.overrides, secrets)?)
    }

    /// The store, for reading, beside the daemon or without one.
    ///
    /// # Errors
    /// When there is none yet, or it cannot be read.
    pub async fn store(&self, settings: &Settings) -> Result<Arc<dyn Store>, CliError> {
        if !settings.state.exists() {
            let message = format!(
                "there is no store yet: the folder {} does not exist",
                settings.state.display()
            );
            return Err(CliError::new(Exit::Store, message)
                .hint("`bursar serve` or `bursar run WORKFLOW` makes it; --state and --config name another one"));
        }
        Ok(read_store(settings).await?)
    }

    /// Whether remarks and log lines carry colour.
    pub fn color_on_stderr(&self) -> bool {
        anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
    }

    /// Waits for work that is not done at once. What is still under way when it ends is left as it is: the
    /// journal makes that safe.
    ///
    /// # Errors
    /// What the work answers.
    pub fn wait<T>(&self, work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let done = runtime.block_on(work);
        runtime.shutdown_background();
        done
    }

    /// The same for work that starts processes: those it still has when it ends are ended.
    ///
    /// # Errors
    /// What the work answers.
    pub fn wait_and_clear<T>(&self, work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let done = runtime.block_on(work);
        runtime.shutdown_timeout(GIVEN_UP_WITHIN);
        done
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }
}

/// How long what is given up may take to notice it.
const GIVEN_UP_WITHIN: Duration = Duration::from_millis(500);

/// Does some work until it is done or somebody outside asks for the end, by Ctrl-C or SIGTERM; what is left then is
/// said. What the work holds, such as processes it started, is given up in good order.
///
/// # Errors
/// What the work answers, or that it was interrupted.
async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, CliError>>,
    left: &'static str,
) -> Result<T, CliError> {
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        done = work => done,
        () = interrupts.next() => Err(interrupted(left)),
    }
}

fn interrupted(left: &'static str) -> CliError {
    CliError::new(Exit::Interrupted, "interrupted").hint(left)
}

/// The wish of somebody outside that this ends: Ctrl-C or SIGTERM.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on they end nothing by themselves.
    fn listen() -> Result<Self, CliError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Refuses a folder that has nothing of ours: a daemon started in the wrong place would serve nothing, in silence.
fn at_work(settings: Settings) -> Result<Settings, CliError> {
    if settings.file.is_some() || settings.workflows.exists() || settings.scripts.exists() {
        return Ok(settings);
    }
    Err(
        CliError::usage("there is no bursar.toml here, and no folder of workflows")
            .hint("go to the folder that has them, or name the settings: --config FILE")
            .hint("`bursar init treasury` makes such a folder"),
    )
}

/// Does what the arguments of the process ask for.
pub fn main() -> ExitCode {
    give_back_large_blocks();
    ExitCode::from(answer(std::env::args_os()).code())
}

fn answer(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(told) => return of_clap(&told),
    };
    let Globals {
        config,
        state,
        json,
        color,
        quiet,
        verbose,
    } = cli.globals;
    let context = Context {
        output: Output::new(color, json, quiet),
        overrides: Overrides {
            config,
            state,
            listen: None,
        },
        verbose: verbose.min(2),
        clock: SystemClock::new(),
    };
    match call(cli.command, &context) {
        Ok(exit) => exit,
        Err(error) if error.hung_up => Exit::Ok,
        Err(error) => {
            tell(&context, &error);
            error.exit
        }
    }
}

fn call(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => init::run(&args, context),
        Command::Check(args) => check::run(&args, context),
        Command::Serve(args) => serve::run(&args, context),
        Command::Status(args) => context.wait(status::run(&args, context)),
        Command::Trial(args) => context.wait(trial::run(&args, context)),
        Command::Demo(args) => demo::run(&args, context),
        Command::Run(args) => run::run(&args, context),
        Command::Runs(args) => runs::run(args, context),
        Command::Approvals(args) => approvals::run(args, context),
        Command::Reconcile(args) => reconcile::run(args, context),
        Command::Journal(args) => journal::run(&args, context),
        Command::Events(args) => events::run(args, context),
        Command::Webhooks(args) => webhooks::run(args, context),
        Command::Workflows(args) => workflows::run(&args, context),
        Command::Schedule(args) => schedule::run(args, context),
        Command::Connections(args) => connections::run(&args, context),
        Command::Connectors(args) => connectors::run(&args, context),
        Command::Db(args) => db::run(args, context),
        Command::Sim(args) => sim::run(args, context),
        Command::Selftest(args) => selftest::run(&args, context),
        Command::Primitives(args) => primitives::run(&args, context),
        Command::Completions(args) => completions::run(&args, context, &mut Cli::command()),
    }
}

/// Help and version go to standard output and are no failure.
fn of_clap(told: &clap::Error) -> Exit {
    match told.print() {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Exit::Ok,
        _ => {}
    }
    match told.exit_code() {
        0 => Exit::Ok,
        _ => Exit::Usage,
    }
}

fn tell(context: &Context, error: &CliError) {
    if context.output.json {
        let body = serde_json::json!({
            "schema": "bursar.error/1",
            "error": { "kind": error.exit.name(), "message": error.message, "help": error.hints, "findings": error.findings },
        });
        context.output.complain(&body.to_string());
        return;
    }
    let sources = context
        .settings()
        .map_or_else(|_| Sources::default(), |settings| Sources::of(&settings));
    let findings = diagnostics::render(&error.findings, diagnostics::Format::Full, &|file| sources.read(file));
    context.output.complain(&format!("{findings}{}", error.render()));
}

//! The command line: every verb of the console for scripts and quick hands (contracts 9, screens 6).

mod context;
mod demo;
mod desk;
mod error;
mod follow;
mod logging;
mod logs;
mod project;
mod run;
mod run_doc;
mod runs;
mod serve;
mod table;
#[cfg(test)]
mod testing;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::{Context, Global, say};
use error::{CliError, Result, exit};

/// Runs agents on this machine, and shows and steers what they do.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a run of an agent
    #[command(after_help = "Example:\n  wharf run fixer --issue SHOP-17 --prompt 'fix the test' --follow\n\n\
        With --wait or --follow the exit code is the run's own; 128+n when signal n killed it, 124 after its time\n\
        limit, 125 when it could not be run, 126 and 127 when its command is not executable or not there, 130 when\n\
        it was cancelled.")]
    Run(run::RunArgs),
    /// List runs: the open ones first, then the ended ones
    #[command(after_help = "Example:\n  wharf runs --limit 20")]
    Runs(runs::RunsArgs),
    /// Print what a run printed
    #[command(after_help = "Example:\n  wharf logs R-12 -f")]
    Logs(logs::LogsArgs),
    /// Make a small project whose agents do real work, and open the console on it
    #[command(after_help = "Example:\n  wharf demo --headless")]
    Demo(demo::DemoArgs),
    /// Orchestrate without a screen
    #[command(after_help = "Example:\n  wharf serve --until-idle")]
    Serve(serve::ServeArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.global.json;
    match carry_out(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.code == context::PIPE_CLOSED => ExitCode::from(exit::DONE),
        Err(error) => {
            tell(&error, json);
            ExitCode::from(error.exit)
        }
    }
}

fn tell(error: &CliError, json: bool) {
    say(&if json { error.json().to_string() } else { error.human() });
}

/// Help goes to stdout; a wrong command line to stderr, as JSON when that was asked.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody may be reading.
        let _gone = error.print();
        return ExitCode::from(exit::DONE);
    }
    if std::env::args_os().any(|a| a == "--json") {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        tell(&CliError::usage(message).next("wharf --help"), true);
    } else {
        let _gone = error.print();
    }
    ExitCode::from(exit::USAGE)
}

fn carry_out(cli: Cli) -> Result<u8> {
    // The demo has a data directory of its own and leaves the operator's alone.
    if let Some(Command::Demo(args)) = &cli.command {
        return demo::demo(cli.global, args);
    }
    let context = Context::new(cli.global)?;
    logging::begin(&context.data);
    match cli.command {
        None => console::open(&context),
        Some(Command::Demo(args)) => demo::demo(context.global, &args),
        Some(Command::Run(args)) => run::run(&context, &args),
        Some(Command::Runs(args)) => runs::runs(&context, &args),
        Some(Command::Logs(args)) => logs::logs(&context, &args),
        Some(Command::Serve(args)) => serve::serve(&context, &args),
    }
}

mod console {
    //! Where `wharf` without a command goes.

    use std::io::IsTerminal as _;

    use super::context::Context;
    use super::error::{CliError, Result};

    /// Opens the console.
    pub fn open(_context: &Context) -> Result<u8> {
        if !std::io::stdout().is_terminal() {
            return Err(CliError::usage("the console needs a terminal")
                .cause("stdout is none")
                .next("wharf runs    wharf --help"));
        }
        Err(CliError::usage("this build has no console").next("wharf --help"))
    }
}

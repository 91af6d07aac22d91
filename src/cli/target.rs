//! Commands that stand for one in another place; targets of environments name them, people never do.

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// What a command is wrapped with.
#[derive(Debug, Clone, Subcommand)]
pub enum TargetCommand {
    /// Runs a command in a place that a plugin provides
    Plugin(PluginTarget),
    /// Runs a command on a host that ssh reaches
    Ssh(SshTarget),
}

/// A command there; what else is needed comes in the first line of its input.
#[derive(Debug, Clone, Args)]
pub struct PluginTarget {
    /// Directory there
    #[arg(long, value_name = "DIR")]
    pub cwd: String,
    /// Program and arguments
    #[arg(last = true, required = true)]
    pub argv: Vec<String>,
}

/// A command on a host; what else is needed comes in the first line of its input.
#[derive(Debug, Clone, Args)]
pub struct SshTarget {
    /// Directory there
    #[arg(long, value_name = "DIR")]
    pub cwd: String,
    /// Program and arguments
    #[arg(last = true, required = true)]
    pub argv: Vec<String>,
}

/// Runs it to its end.
pub fn target(command: TargetCommand) -> ExitCode {
    match command {
        TargetCommand::Plugin(PluginTarget { cwd, argv }) => {
            ExitCode::from(crate::environment::plugin::target::main(cwd, argv))
        }
        TargetCommand::Ssh(SshTarget { cwd, argv }) => {
            ExitCode::from(crate::environment::transport::target::main(&cwd, &argv, crate::environment::ssh::explain))
        }
    }
}

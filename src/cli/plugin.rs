//! `wharf plugin check`: tries out a plugin, as its author needs it.

use clap::{Args, Subcommand};

use super::context::Context;
use super::error::{Result, exit};

/// What is done with plugins.
#[derive(Debug, Clone, Subcommand)]
pub enum PluginCommand {
    /// Try every call of the protocol on a plugin
    #[command(after_help = "Example:\n  wharf plugin check ./my-plugin --config '{\"root\": \"/tmp/places\"}'")]
    Check(CheckArgs),
}

/// Options of `wharf plugin check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The plugin and its arguments
    #[arg(required = true)]
    pub command: Vec<String>,
}

/// x
pub fn check(_context: &Context, _args: &CheckArgs) -> Result<u8> {
    Ok(exit::DONE)
}

//! Where `wharf` without a command goes.

use std::io::IsTerminal as _;

use super::context::{Color, Context};
use super::error::{CliError, Result};
use crate::console::{self, Look, Options};

/// Opens the console on the project of the current directory.
pub fn open(context: &Context) -> Result<u8> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(CliError::usage("the console needs a terminal")
            .cause("stdin or stdout is none")
            .next("wharf runs    wharf --help"));
    }
    let look = Look { ascii: context.global.ascii, no_color: context.global.color == Color::Never };
    Ok(console::open(Options { data: context.data.clone(), directory: context.project_dir()?, look }))
}

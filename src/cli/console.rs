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

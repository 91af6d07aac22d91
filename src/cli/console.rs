//! Where `wharf` without a command goes.

use super::context::{Color, Context};
use super::error::{CliError, Result};
use crate::console::{Look, NotOpened, Options};

/// Opens the console and stays in it.
pub fn open(context: &Context) -> Result<u8> {
    open_on(context, false)
}

/// The same; `prepared` says that what lives was begun for it a moment ago.
pub fn open_on(context: &Context, prepared: bool) -> Result<u8> {
    if context.global.take_over {
        // The place is taken before the screen is: what is asked and said here needs the plain terminal.
        match super::desk::stand(context)? {
            super::desk::Stood::Reigning(reigning) => reigning.end(),
            super::desk::Stood::Held(_) => {}
        }
    }
    let look =
        Look { ascii: context.global.ascii, no_color: context.global.color == Color::Never, utc: context.global.utc };
    let options = Options { data: context.data.clone(), directory: context.project_dir()?, look, prepared };
    crate::console::open(options).map_err(|error| match error {
        NotOpened::NoTerminal => CliError::usage("the console needs a terminal")
            .cause("standard input or output is none")
            .next("wharf runs    wharf --help"),
        NotOpened::Failed(source) => CliError::usage("the console cannot start").cause(source.to_string()),
    })
}

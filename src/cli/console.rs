//! Where `wharf` without a command goes.

use super::context::{Color, Context};
use super::error::Result;
use crate::console::{self, Look, Options};

/// Opens the console on the project of the current directory.
pub fn open(context: &Context) -> Result<u8> {
    let look = Look { ascii: context.global.ascii, no_color: context.global.color == Color::Never };
    Ok(console::open(Options { data: context.data.clone(), directory: context.project_dir()?, look }))
}

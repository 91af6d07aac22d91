//! Commands on runs.

use crate::command::Command;

/// The table.
pub const COMMANDS: &[Command] = &[];

//! Commands on workspaces.

use super::tab;
use crate::command::{Command, Level, Place};
use crate::screen::browse::Browse;
use crate::screen::workspaces::{FACTS, OPERATIONS};

const HERE: &[Place] = &[Place::Workspaces];

/// The table.
pub const COMMANDS: &[Command] = &[
    tab("workspace.facts", "Facts", HERE, &["t d"], |app| app.workspaces.base_mut().show_tab(FACTS)),
    Command {
        hint: "operations",
        ..tab("workspace.operations", "Operations", HERE, &["t h"], |app| {
            app.workspaces.base_mut().show_tab(OPERATIONS);
        })
    },
    Command {
        name: "operation.log",
        title: "Log of the operation",
        help: "its log",
        hint: "log",
        places: &[Place::Operations],
        keys: &["Enter"],
        level: Level::Free,
        legal: |app| match app.workspaces.operation() {
            Some(_) => Ok(()),
            None => Err("there is no operation".to_owned()),
        },
        run: |app| app.workspaces.enter_log(),
    },
];

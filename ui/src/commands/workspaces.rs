//! Commands on workspaces.

use crate::app::App;
use crate::command::{Command, Level, Place};
use crate::screen::browse::Browse;
use crate::screen::workspaces::{FACTS, OPERATIONS};

const HERE: &[Place] = &[Place::Workspaces];

/// The table.
pub const COMMANDS: &[Command] = &[
    tab("workspace.facts", "Facts", "", &["t d"], |app| app.workspaces.base_mut().show_tab(FACTS)),
    tab("workspace.operations", "Operations", "operations", &["t h"], |app| {
        app.workspaces.base_mut().show_tab(OPERATIONS);
    }),
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

const fn tab(
    name: &'static str,
    title: &'static str,
    hint: &'static str,
    keys: &'static [&'static str],
    run: fn(&mut App),
) -> Command {
    Command {
        name,
        title,
        help: title,
        hint,
        places: HERE,
        keys,
        level: Level::Free,
        legal: |app| app.workspaces.workspace().map(|_| ()).ok_or_else(|| "no workspace is selected".to_owned()),
        run,
    }
}

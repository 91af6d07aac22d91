//! Commands on the audit trail.

use crate::app::App;
use crate::command::{Command, Level, Place, always};

/// The table.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "activity.entity",
        title: "Go to {}",
        help: "to the entity",
        hint: "go to entity",
        places: &[Place::Activity],
        keys: &["Enter"],
        level: Level::Free,
        legal: |app| match (app.activity.entry(), app.activity.target()) {
            (None, _) => Err("nothing is selected".to_owned()),
            (Some(entry), None) if entry.entity.is_empty() => Err("it is about no entity".to_owned()),
            (Some(entry), None) => Err(format!("{} has no screen", entry.entity)),
            (Some(_), Some(_)) => Ok(()),
        },
        run: |app| {
            if let Some((screen, name)) = app.activity.target() {
                app.activity.let_go();
                app.go(screen, &[name]);
            }
        },
    },
    Command {
        name: "activity.follow",
        title: "Follow on, off",
        help: "follow the newest",
        hint: "follow",
        places: &[Place::Activity],
        keys: &["f"],
        level: Level::Free,
        legal: always,
        run: |app: &mut App| app.activity.toggle_follow(),
    },
];

//! Going from one thing to what belongs to it, and back.

use super::free;
use crate::app::App;
use crate::command::{Command, Place};
use crate::screen::ScreenId;

const HERE: &[Place] = &[Place::Everywhere];

const fn goto(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    legal: fn(&App) -> Result<(), String>,
    run: fn(&mut App),
) -> Command {
    Command { legal, ..free(name, title, help, HERE, keys, run) }
}

fn has(app: &App, to: ScreenId, what: &str) -> Result<(), String> {
    match (app.current().subject(), app.current().links(to).is_empty()) {
        (None, _) => Err("nothing is selected".to_owned()),
        (Some(_), true) => Err(format!("there is no {what} that belongs to it")),
        (Some(_), false) => Ok(()),
    }
}

fn go(app: &mut App, to: ScreenId) {
    let names = app.current().links(to);
    if !names.is_empty() {
        app.go(to, &names);
    }
}

fn walkable(app: &App, back: bool) -> Result<(), String> {
    if app.history.has(back) { Ok(()) } else { Err("there is no place in that direction".to_owned()) }
}

/// The table.
pub const COMMANDS: &[Command] = &[
    goto(
        "goto.run",
        "Go to the run of {}",
        "its run",
        &["g r"],
        |app| has(app, ScreenId::Ledger, "run"),
        |app| {
            go(app, ScreenId::Ledger);
        },
    ),
    goto(
        "goto.lease",
        "Go to the lease of {}",
        "its lease",
        &["g l"],
        |app| has(app, ScreenId::Leases, "lease"),
        |app| {
            go(app, ScreenId::Leases);
        },
    ),
    goto(
        "goto.services",
        "Go to the services of {}",
        "its services",
        &["g s"],
        |app| has(app, ScreenId::Services, "service"),
        |app| go(app, ScreenId::Services),
    ),
    goto(
        "goto.workspace",
        "Go to the workspace of {}",
        "its workspace",
        &["g w"],
        |app| has(app, ScreenId::Workspaces, "workspace"),
        |app| go(app, ScreenId::Workspaces),
    ),
    // The same two on single keys, on the screen where they are pressed most.
    Command {
        places: &[Place::Ledger],
        hint: "its lease",
        ..goto(
            "run.lease",
            "Go to the lease of {}",
            "its lease",
            &["L"],
            |app| has(app, ScreenId::Leases, "lease"),
            |app| {
                go(app, ScreenId::Leases);
            },
        )
    },
    Command {
        places: &[Place::Ledger],
        hint: "its services",
        ..goto(
            "run.services",
            "Go to the services of {}",
            "its services",
            &["s"],
            |app| has(app, ScreenId::Services, "service"),
            |app| {
                go(app, ScreenId::Services);
            },
        )
    },
    goto(
        "history.back",
        "Back to the place before",
        "back",
        &["[", "alt-←"],
        |app| walkable(app, true),
        |app| {
            app.walk(true);
        },
    ),
    goto(
        "history.forward",
        "Forward again",
        "forward",
        &["]", "alt-→"],
        |app| walkable(app, false),
        |app| {
            app.walk(false);
        },
    ),
];

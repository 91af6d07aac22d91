//! Going from one thing to what belongs to it, and back.

use super::free;
use crate::app::App;
use crate::command::{Command, Place};
use crate::overlay::Overlay;
use crate::overlay::palette::Palette;
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

/// Asks for the rest of a number.
fn ask(app: &mut App, letter: &str) {
    app.open(Overlay::Palette(Palette::typed(letter)));
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
    goto(
        "goto.environment",
        "Go to the environment of {}",
        "its environment",
        &["g v"],
        |app| has(app, ScreenId::Environments, "environment"),
        |app| go(app, ScreenId::Environments),
    ),
    free("goto.number.run", "Go to a run by number…", "run by number", HERE, &["g R"], |app| ask(app, "R-")),
    free("goto.number.lease", "Go to a lease by number…", "lease by number", HERE, &["g L"], |app| ask(app, "L-")),
    free("goto.number.service", "Go to a service by number…", "service by number", HERE, &["g S"], |app| {
        ask(app, "S-");
    }),
    free("goto.number.workspace", "Go to a workspace by number…", "workspace by number", HERE, &["g W"], |app| {
        ask(app, "W-");
    }),
    free(
        "goto.number.environment",
        "Go to an environment by number…",
        "environment by number",
        HERE,
        &["g E"],
        |app| {
            ask(app, "E-");
        },
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

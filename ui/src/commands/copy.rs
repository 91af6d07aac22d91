//! Copying what is selected in one of its forms: `Y` and a letter, on every screen.

use super::free;
use crate::app::App;
use crate::command::{Command, Place};
use crate::effect::{Question, Written};
use crate::screen::{Handles, PathOf};

const HERE: &[Place] = &[Place::Everywhere];

/// Copies one form; legal where the selected thing has it.
const fn form(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    legal: fn(&App) -> Result<(), String>,
    run: fn(&mut App),
) -> Command {
    Command { legal, ..free(name, title, help, HERE, keys, run) }
}

/// The table.
pub const COMMANDS: &[Command] = &[
    form(
        "copy.number",
        "Copy the number of {}",
        "its number",
        &["Y n"],
        |app| here(app).map(drop),
        |app| {
            put(app, |h| Some(h.number.clone()));
        },
    ),
    form(
        "copy.id",
        "Copy the UUID of {}",
        "its UUID",
        &["Y u"],
        |app| has(app, "no UUID", |h| h.id.is_some()),
        |app| {
            put(app, |h| h.id.clone());
        },
    ),
    form(
        "copy.path",
        "Copy the path of {}",
        "its path",
        &["Y p"],
        |app| has(app, "no directory or file", |h| h.path != PathOf::None),
        |app| match here(app).map(|h| h.path) {
            Ok(PathOf::Known(path)) => app.copy(path),
            Ok(PathOf::Asked) => ask(app, Written::Path),
            Ok(PathOf::None) | Err(_) => {}
        },
    ),
    form(
        "copy.url",
        "Copy the URL of {}",
        "its URL",
        &["Y l"],
        |app| has(app, "no URL", |h| h.url.is_some()),
        |app| {
            put(app, |h| h.url.clone());
        },
    ),
    form(
        "copy.command",
        "Copy the command that shows {}",
        "its wharf command",
        &["Y c"],
        |app| has(app, "no command that shows it", |h| !h.command.is_empty()),
        |app| put(app, |h| Some(h.command.clone())),
    ),
    form(
        "copy.adapter",
        "Copy the command line that {} was started with",
        "its command line",
        &["Y a"],
        |app| has(app, "no process of its own", |h| h.started),
        |app| ask(app, Written::CommandLine),
    ),
    form(
        "copy.json",
        "Copy {} as JSON",
        "its row as JSON",
        &["Y j"],
        |app| has(app, "no document of its own", |h| h.kind.is_some()),
        |app| ask(app, Written::Json),
    ),
    form("copy.text", "Copy the pane as text", "the pane as text", &["Y t"], crate::command::always, |app| {
        let words = app.pane_text();
        if !words.is_empty() {
            app.copy(words);
        }
    }),
];

fn here(app: &App) -> Result<Handles, String> {
    app.current().handles().ok_or_else(|| "nothing is selected".to_owned())
}

fn has(app: &App, what: &str, is: fn(&Handles) -> bool) -> Result<(), String> {
    let handles = here(app)?;
    if is(&handles) { Ok(()) } else { Err(format!("{} has {what}", handles.number)) }
}

fn put(app: &mut App, what: fn(&Handles) -> Option<String>) {
    if let Some(words) = here(app).ok().as_ref().and_then(what) {
        app.copy(words);
    }
}

/// What only the store knows is copied once it is told.
fn ask(app: &mut App, what: Written) {
    if let Ok(Handles { kind: Some(kind), id: Some(id), .. }) = here(app) {
        app.outbox.ask(Question::Written { kind, id, what });
    }
}

//! Commands on what was changed.

use super::free;
use crate::app::App;
use crate::command::{Command, Place};
use crate::msg::Tone;
use crate::pane::diff::DiffPane;

const HERE: &[Place] = &[Place::Diff];

const fn diff(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    run: fn(&mut App),
) -> Command {
    Command { legal: shown, ..free(name, title, help, HERE, keys, run) }
}

fn shown(app: &App) -> Result<(), String> {
    app.current().diff().map(|_| ()).ok_or_else(|| "no diff is shown".to_owned())
}

/// Whether keys go to a diff.
pub(super) fn has_focus(app: &App) -> bool {
    app.places().contains(&Place::Diff)
}

/// Opens the file under the diff's cursor in the operator's editor, or says why not.
pub(super) fn open_file(app: &mut App) {
    match app.current().diff().map(DiffPane::open) {
        Some(Ok(effect)) => app.outbox.push(effect),
        Some(Err(why)) => app.say(Tone::Info, format!("Cannot open it: {why}")),
        None => {}
    }
}

fn with(app: &mut App, act: impl FnOnce(&mut DiffPane)) {
    if let Some(pane) = app.parts().0.diff_mut() {
        act(pane);
    }
}

fn hunk(app: &mut App, back: bool) {
    let mut found = false;
    with(app, |pane| found = pane.next_hunk(back));
    if !found {
        let which = if back { "before this" } else { "behind this" };
        app.say(Tone::Info, format!("No hunk {which} in what is unfolded; Enter unfolds a file"));
    }
}

/// The table.
pub const COMMANDS: &[Command] = &[
    Command {
        hint: "fold",
        ..diff("fold.toggle", "Fold, unfold the file", "fold, unfold", &["Enter"], |app| with(app, DiffPane::toggle))
    },
    diff("section.previous", "To the hunk before", "hunk before", &["("], |app| hunk(app, true)),
    Command { hint: "hunk", ..diff("section.next", "To the next hunk", "next hunk", &[")"], |app| hunk(app, false)) },
    Command {
        hint: "editor",
        places: &[Place::Ledger],
        legal: |app| {
            if has_focus(app) { Ok(()) } else { Err("no diff has the focus; t f shows it".to_owned()) }
        },
        ..diff("open.outside", "Open the file of the diff in $EDITOR", "open in $EDITOR", &["o"], open_file)
    },
];

//! What each command does, by the place it belongs to.

use crate::app::App;
use crate::command::{Command, Level, Place, always};
use crate::screen::browse::Browse;

pub mod activity;
pub mod copy;
pub mod diagnostics;
pub mod diff;
pub mod environments;
pub mod everywhere;
pub mod leases;
pub mod ledger;
pub mod panes;
pub mod places;
pub mod services;
pub mod workspaces;

/// Legal while something is under the cursor.
fn selected(app: &App) -> Result<(), String> {
    app.current().subject().map(|_| ()).ok_or_else(|| "nothing is selected".to_owned())
}

/// Legal while it can be done to one at least of the marked rows, else to the one under the cursor.
fn some<B: Browse>(screen: &B, what: &str, can: fn(&B::Line) -> bool, why_not: &str) -> Result<(), String> {
    if let Some(why) = screen.why_none() {
        return Err(why);
    }
    let chosen = screen.chosen();
    if chosen.is_empty() {
        return Err(format!("no {what} is selected"));
    }
    if chosen.into_iter().any(can) { Ok(()) } else { Err(why_not.to_owned()) }
}

/// Undoable or harmless, always legal, and not in the hint row.
const fn free(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    places: &'static [Place],
    keys: &'static [&'static str],
    run: fn(&mut App),
) -> Command {
    Command { name, title, help, hint: "", places, keys, level: Level::Free, legal: always, run }
}

/// Shows a tab of the detail.
const fn tab(
    name: &'static str,
    title: &'static str,
    places: &'static [Place],
    keys: &'static [&'static str],
    run: fn(&mut App),
) -> Command {
    Command { legal: selected, ..free(name, title, title, places, keys, run) }
}

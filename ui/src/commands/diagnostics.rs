//! Commands on the program's own log.

use super::free;
use crate::app::App;
use crate::command::{Command, Place};
use crate::msg::Tone;

const fn log(
    name: &'static str,
    title: &'static str,
    hint: &'static str,
    keys: &'static [&'static str],
    run: fn(&mut App),
) -> Command {
    Command { hint, ..free(name, title, hint, &[Place::OwnLog], keys, run) }
}

/// The table.
pub const COMMANDS: &[Command] = &[
    log("log.level.more", "More levels of the chosen target", "more levels", &["+"], |app| {
        app.diagnostics.log.level(true);
    }),
    log("log.level.less", "Fewer levels of the chosen target", "fewer levels", &["-"], |app| {
        app.diagnostics.log.level(false);
    }),
    log("log.target.hide", "Hide targets that are off, show them", "hide targets", &["space"], |app| {
        let words = if app.diagnostics.log.hide_off() {
            "Targets of which nothing is shown are hidden"
        } else {
            "All targets are shown"
        };
        app.say(Tone::Info, words.to_owned());
    }),
    log("log.follow", "Follow the newest record", "follow", &["f"], |app| app.diagnostics.log.follow()),
];

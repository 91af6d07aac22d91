//! Commands of every screen.

use super::{free, selected};
use crate::app::App;
use crate::command::{Command, Level, Place};
use crate::effect::{Effect, Question, QuitChoice};
use crate::msg::Tone;
use crate::overlay::Overlay;
use crate::overlay::confirm::{Confirm, Item};
use crate::overlay::help::Help;
use crate::overlay::messages::Messages;
use crate::overlay::notice::{Notice, NoticeLine};
use crate::overlay::palette::Palette;
use crate::screen::{FocusMove, ScreenId};
use crate::theme::{Ink, Variant};

const HERE: &[Place] = &[Place::Everywhere];

fn tabs(app: &App) -> Result<(), String> {
    if app.current().has_tabs() { Ok(()) } else { Err("there is one thing to look at only".to_owned()) }
}

fn theme(app: &mut App, variant: Variant) {
    app.env.theme.variant = variant;
}

/// Shows what the config as its file stands would change, to be accepted with `y`.
fn accept_config(app: &mut App) {
    let Some(pending) = &app.header.pending else { return };
    let item = Item {
        question: Question::AcceptPreview,
        name: "wharf.toml".to_owned(),
        target: ("project", pending.project.clone()),
        preview: None,
    };
    let words = ("accept", "Accepting");
    let none = serde_json::json!({});
    let confirm = Confirm::open(words, "config.accept", none, vec![item], app.env.now, &mut app.outbox);
    app.open(Overlay::Confirm(Box::new(confirm)));
}

/// Says what taking over would do; `y` does it.
fn take_over(app: &mut App) {
    let mut lines: Vec<NoticeLine> = app.holder.iter().cloned().map(NoticeLine::plain).collect();
    lines.push(NoticeLine::plain(""));
    for (ink, words) in [
        (Ink::Bad, "stops   that process at once (SIGKILL), once it is certain that it holds the lock"),
        (Ink::Ok, "keeps   every run and service: they live under their shims and are adopted here"),
        (Ink::Ok, "keeps   everything that was committed, and requests that wait: this console answers them"),
        (
            Ink::Warn,
            "ends    the screen of that process, if it has one; what was typed there and not yet asked is lost",
        ),
    ] {
        lines.push(NoticeLine { ink, words: words.to_owned(), goes: None });
    }
    let end = Effect::TakeOver { shown: app.holder_token.clone() };
    let notice = Notice::new("Take over?", lines, app.env.now).asking(end, "end it and take over");
    app.open(Overlay::Notice(Box::new(notice)));
}

/// The table.
pub const COMMANDS: &[Command] = &[
    free("screen.ledger", "Show the Ledger", "Ledger", HERE, &["1"], |app| app.visit(ScreenId::Ledger)),
    free("screen.leases", "Show Leases", "Leases", HERE, &["2"], |app| app.visit(ScreenId::Leases)),
    free("screen.services", "Show Services", "Services", HERE, &["3"], |app| app.visit(ScreenId::Services)),
    free("screen.environments", "Show Environments", "Environments", HERE, &["4"], |app| {
        app.visit(ScreenId::Environments);
    }),
    free("screen.workspaces", "Show Workspaces", "Workspaces", HERE, &["5"], |app| app.visit(ScreenId::Workspaces)),
    free("screen.activity", "Show Activity", "Activity", HERE, &["7"], |app| app.visit(ScreenId::Activity)),
    free("screen.diagnostics", "Show Diagnostics", "Diagnostics", HERE, &["8"], |app| app.visit(ScreenId::Diagnostics)),
    Command {
        hint: "pane",
        ..free("pane.next", "Next pane", "next pane", HERE, &["Tab"], |app| app.focus(FocusMove::Next))
    },
    free("pane.previous", "Previous pane", "pane before", HERE, &["Shift-Tab"], |app| app.focus(FocusMove::Previous)),
    free("pane.left", "To the list", "to the list", HERE, &["←"], |app| app.focus(FocusMove::List)),
    free("pane.right", "To the detail", "to the detail", HERE, &["→"], |app| app.focus(FocusMove::Detail)),
    Command {
        legal: tabs,
        ..free("tab.previous", "Tab before", "tab before", HERE, &["<"], |app| app.parts().0.tab(true))
    },
    Command {
        hint: "tab",
        legal: tabs,
        ..free("tab.next", "Next tab", "next tab", HERE, &[">"], |app| app.parts().0.tab(false))
    },
    free("pane.zoom", "Zoom the pane, and back", "zoom the pane", HERE, &["z"], |app| app.parts().0.zoom()),
    free("split.grow", "More room for the list", "list wider", HERE, &["alt-+"], |app| app.parts().0.split(4)),
    free("split.shrink", "Less room for the list", "list narrower", HERE, &["alt--"], |app| app.parts().0.split(-4)),
    free("back.out", "Drop the innermost thing", "drop, back", HERE, &["Esc"], |app| {
        app.parts().0.back();
    }),
    Command {
        hint: "shell",
        legal: |app| match app.current().owner() {
            Some(_) => Ok(()),
            None => selected(app).and_then(|()| Err("it has no directory, or none any more".to_owned())),
        },
        ..free("shell.open", "Shell in the place of {}", "shell in it", HERE, &["!"], |app| {
            if let Some(owner) = app.current().owner() {
                app.outbox.push(Effect::Shell(owner));
            }
        })
    },
    Command {
        legal: selected,
        ..free("copy", "Copy the selection, else {}", "copy", HERE, &["y"], |app| {
            if let Some(words) = app.current().copy() {
                app.copy(words);
            }
        })
    },
    free("messages.open", "Messages and conditions", "messages", HERE, &["i"], |app| {
        app.open(Overlay::Messages(Messages::default()));
    }),
    Command {
        hint: "palette",
        ..free("palette.open", "Command palette", "palette", HERE, &[":", "ctrl-p"], |app| {
            app.open(Overlay::Palette(Palette::default()));
        })
    },
    Command {
        level: Level::Preview,
        legal: |app| match &app.header.pending {
            Some(_) => Ok(()),
            None => Err("no change of wharf.toml waits".to_owned()),
        },
        ..free("config.accept", "Accept the changed wharf.toml", "accept the config", HERE, &[], accept_config)
    },
    Command {
        level: Level::Preview,
        legal: |app| {
            if app.holder.is_empty() { Err("no other process orchestrates".to_owned()) } else { Ok(()) }
        },
        ..free(
            "orchestrator.take_over",
            "Take over: end the other orchestrator",
            "take over",
            HERE,
            &["g t"],
            take_over,
        )
    },
    Command {
        legal: |app| match &app.recovery {
            Some(_) => Ok(()),
            None => Err("this console has found nothing to recover".to_owned()),
        },
        ..free("recovery.show", "What the start has found", "recovery", HERE, &["g f"], |app| {
            if let Some(notice) = app.recovery.clone() {
                let now = app.env.now;
                app.open(Overlay::Notice(Box::new(notice.again(now))));
            }
        })
    },
    free("screen.redraw", "Draw everything again", "draw again", HERE, &["ctrl-l"], |app| {
        app.outbox.push(Effect::Redraw);
    }),
    free("suspend", "To the shell; fg comes back", "to the shell", HERE, &["ctrl-z"], |app| {
        app.outbox.push(Effect::Suspend);
    }),
    Command { hint: "quit", ..free("quit", "Quit", "quit, asks if live", HERE, &["q", "ctrl-c"], App::quit) },
    free("quit.leave", "Quit, live runs go on", "quit, leave all", HERE, &["Q"], |app| {
        app.outbox.push(Effect::Quit(QuitChoice::Leave));
    }),
    free("theme.dark", "Theme: dark", "dark theme", HERE, &[], |app| theme(app, Variant::Dark)),
    free("theme.light", "Theme: light", "light theme", HERE, &[], |app| theme(app, Variant::Light)),
    free("theme.contrast", "Theme: high contrast", "high contrast", HERE, &[], |app| theme(app, Variant::HighContrast)),
    free("glyphs.toggle", "Glyphs: Unicode or ASCII", "glyphs", HERE, &[], |app| app.env.ascii = !app.env.ascii),
    free("utc.toggle", "Moments in UTC or local time", "UTC", HERE, &[], |app| {
        app.env.zone.utc = !app.env.zone.utc;
        let words = if app.env.zone.utc { "Moments are shown in UTC" } else { "Moments are shown in local time" };
        app.say(Tone::Info, words.to_owned());
    }),
    Command {
        hint: "help",
        ..free("help.open", "Help for this screen", "help", HERE, &["?", "F1"], |app| {
            app.open(Overlay::Help(Help::default()));
        })
    },
];

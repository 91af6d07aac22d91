//! Commands of every screen.

use crate::app::App;
use crate::command::{Command, Level, Place, always};
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

const fn plain(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    run: fn(&mut App),
) -> Command {
    Command { name, title, help, hint: "", places: HERE, keys, level: Level::Free, legal: always, run }
}

fn selected(app: &App) -> Result<(), String> {
    app.current().subject().map(|_| ()).ok_or_else(|| "nothing is selected".to_owned())
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
    let notice = Notice::new("Take over?", lines, app.env.now).asking(Effect::TakeOver, "end it and take over");
    app.open(Overlay::Notice(Box::new(notice)));
}

/// The table.
pub const COMMANDS: &[Command] = &[
    plain("screen.ledger", "Show the Ledger", "Ledger", &["1"], |app| app.visit(ScreenId::Ledger)),
    plain("screen.leases", "Show Leases", "Leases", &["2"], |app| app.visit(ScreenId::Leases)),
    plain("screen.services", "Show Services", "Services", &["3"], |app| app.visit(ScreenId::Services)),
    plain("screen.workspaces", "Show Workspaces", "Workspaces", &["5"], |app| app.visit(ScreenId::Workspaces)),
    plain("screen.activity", "Show Activity", "Activity", &["7"], |app| app.visit(ScreenId::Activity)),
    plain("screen.diagnostics", "Show Diagnostics", "Diagnostics", &["8"], |app| app.visit(ScreenId::Diagnostics)),
    plain("pane.next", "Next pane", "next pane", &["Tab"], |app| app.focus(FocusMove::Next)),
    plain("pane.previous", "Previous pane", "pane before", &["Shift-Tab"], |app| app.focus(FocusMove::Previous)),
    plain("pane.left", "To the list", "to the list", &["←"], |app| app.focus(FocusMove::List)),
    plain("pane.right", "To the detail", "to the detail", &["→"], |app| app.focus(FocusMove::Detail)),
    plain("tab.previous", "Tab before", "tab before", &["<"], |app| app.parts().0.tab(true)),
    plain("tab.next", "Next tab", "next tab", &[">"], |app| app.parts().0.tab(false)),
    plain("pane.zoom", "Zoom the pane, and back", "zoom the pane", &["z"], |app| app.parts().0.zoom()),
    plain("split.grow", "More room for the list", "list wider", &["alt-+"], |app| app.parts().0.split(4)),
    plain("split.shrink", "Less room for the list", "list narrower", &["alt--"], |app| app.parts().0.split(-4)),
    plain("back.out", "Drop the innermost thing", "drop, back", &["Esc"], |app| {
        app.parts().0.back();
    }),
    Command {
        hint: "shell",
        legal: |app| match app.current().owner() {
            Some(_) => Ok(()),
            None => Err("nothing is selected".to_owned()),
        },
        ..plain("shell.open", "Shell in the place of {}", "shell in it", &["!"], |app| {
            if let Some(owner) = app.current().owner() {
                app.outbox.push(Effect::Shell(owner));
            }
        })
    },
    Command {
        legal: selected,
        ..plain("copy", "Copy the selection, else {}", "copy", &["y"], |app| {
            if let Some(words) = app.current().copy() {
                app.copy(words);
            }
        })
    },
    plain("messages.open", "Messages and conditions", "messages", &["i"], |app| {
        app.open(Overlay::Messages(Messages::default()));
    }),
    Command {
        hint: "palette",
        ..plain("palette.open", "Command palette", "palette", &[":", "ctrl-p"], |app| {
            app.open(Overlay::Palette(Palette::default()));
        })
    },
    Command {
        level: Level::Preview,
        legal: |app| match &app.header.pending {
            Some(_) => Ok(()),
            None => Err("no change of wharf.toml waits".to_owned()),
        },
        ..plain("config.accept", "Accept the changed wharf.toml", "accept the config", &[], accept_config)
    },
    Command {
        level: Level::Preview,
        legal: |app| {
            if app.holder.is_empty() { Err("no other process orchestrates".to_owned()) } else { Ok(()) }
        },
        ..plain("orchestrator.take_over", "Take over: end the other orchestrator", "take over", &["g t"], take_over)
    },
    Command {
        legal: |app| match &app.recovery {
            Some(_) => Ok(()),
            None => Err("this console has found nothing to recover".to_owned()),
        },
        ..plain("recovery.show", "What the start has found", "recovery", &["g v"], |app| {
            if let Some(notice) = app.recovery.clone() {
                let now = app.env.now;
                app.open(Overlay::Notice(Box::new(notice.again(now))));
            }
        })
    },
    plain("screen.redraw", "Draw everything again", "draw again", &["ctrl-l"], |app| app.outbox.push(Effect::Redraw)),
    plain("suspend", "To the shell; fg comes back", "to the shell", &["ctrl-z"], |app| {
        app.outbox.push(Effect::Suspend);
    }),
    Command { hint: "quit", ..plain("quit", "Quit", "quit, asks when runs are live", &["q", "ctrl-c"], App::quit) },
    plain("quit.leave", "Quit, live runs go on", "quit, leave all", &["Q"], |app| {
        app.outbox.push(Effect::Quit(QuitChoice::Leave));
    }),
    plain("theme.dark", "Theme: dark", "dark theme", &[], |app| theme(app, Variant::Dark)),
    plain("theme.light", "Theme: light", "light theme", &[], |app| theme(app, Variant::Light)),
    plain("theme.contrast", "Theme: high contrast", "high contrast", &[], |app| theme(app, Variant::HighContrast)),
    plain("glyphs.toggle", "Glyphs: Unicode or ASCII", "glyphs", &[], |app| app.env.ascii = !app.env.ascii),
    plain("utc.toggle", "Moments in UTC or local time", "UTC", &[], |app| {
        app.env.zone.utc = !app.env.zone.utc;
        let words = if app.env.zone.utc { "Moments are shown in UTC" } else { "Moments are shown in local time" };
        app.say(Tone::Info, words.to_owned());
    }),
    Command {
        hint: "help",
        ..plain("help.open", "Help for this screen", "help", &["?", "F1"], |app| {
            app.open(Overlay::Help(Help::default()));
        })
    },
];

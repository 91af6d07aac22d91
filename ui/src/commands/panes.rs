//! Commands of lists, texts and streams, whatever they show.

use crate::app::App;
use crate::command::{Command, Level, Place, always};
use crate::effect::Effect;
use crate::msg::Tone;
use crate::pane::output::OutputPane;
use crate::screen::{FocusMove, Motion};

const BOTH: &[Place] = &[Place::List, Place::Text];

const fn motion(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    run: fn(&mut App),
) -> Command {
    Command { name, title, help, hint: "", places: BOTH, keys, level: Level::Free, legal: always, run }
}

const fn stream(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    places: &'static [Place],
    run: fn(&mut App),
) -> Command {
    Command { name, title, help, hint: "", places, keys, level: Level::Free, legal: has_stream, run }
}

fn has_stream(app: &App) -> Result<(), String> {
    match app.current().stream() {
        Some(_) => Ok(()),
        None => Err("no output is shown".to_owned()),
    }
}

fn has_search(app: &App) -> Result<(), String> {
    match app.current().stream() {
        Some(pane) if pane.has_search() => Ok(()),
        _ => Err("nothing is searched for; / searches".to_owned()),
    }
}

fn with_stream(
    app: &mut App,
    act: impl FnOnce(&mut OutputPane, ratatui::layout::Rect, &crate::env::Env, &mut crate::env::Outbox),
) {
    let env = app.env.clone();
    let (screen, out) = app.parts();
    if let Some((pane, area)) = screen.stream_mut(&env) {
        act(pane, area, &env, out);
    }
}

/// The table.
pub const COMMANDS: &[Command] = &[
    motion("cursor.down", "Down", "down", &["j", "↓"], |app| app.motion(Motion::Rows(1))),
    motion("cursor.up", "Up", "up", &["k", "↑"], |app| app.motion(Motion::Rows(-1))),
    motion("half.down", "Half a page down", "half down", &["ctrl-d"], |app| app.motion(Motion::HalfPages(1))),
    motion("half.up", "Half a page up", "half up", &["ctrl-u"], |app| app.motion(Motion::HalfPages(-1))),
    motion("page.down", "A page down", "page down", &["ctrl-f", "PgDn"], |app| app.motion(Motion::Pages(1))),
    motion("page.up", "A page up", "page up", &["ctrl-b", "PgUp"], |app| app.motion(Motion::Pages(-1))),
    motion("cursor.first", "To the first row", "first row", &["Home", "g g"], |app| app.motion(Motion::First)),
    motion("cursor.last", "To the last row, follow", "last row, follow", &["End", "G", "g e"], |app| {
        app.motion(Motion::Last);
    }),
    Command {
        name: "open.inside",
        title: "Look inside {}",
        help: "look inside",
        hint: "",
        places: &[Place::LedgerList, Place::ServicesList, Place::WorkspacesList],
        keys: &["Enter", "l"],
        level: Level::Free,
        legal: |app| app.current().subject().map(|_| ()).ok_or_else(|| "nothing is selected".to_owned()),
        run: |app| app.focus(FocusMove::Detail),
    },
    Command {
        name: "filter.edit",
        title: "Filter the list",
        help: "filter",
        hint: "filter",
        places: &[Place::List],
        keys: &["/"],
        level: Level::Free,
        legal: always,
        run: |app| app.parts().0.edit_filter(),
    },
    Command {
        name: "mark.toggle",
        title: "Mark {}",
        help: "mark",
        hint: "",
        places: &[Place::List],
        keys: &["space"],
        level: Level::Free,
        legal: |app| app.current().subject().map(|_| ()).ok_or_else(|| "nothing is selected".to_owned()),
        run: |app| app.parts().0.mark(),
    },
    Command {
        name: "mark.invert",
        title: "Invert the marks",
        help: "invert marks",
        hint: "",
        places: &[Place::List],
        keys: &["*"],
        level: Level::Free,
        legal: always,
        run: |app| app.parts().0.invert_marks(),
    },
    stream("follow.toggle", "Follow on, off", "follow", &["f"], &[Place::Stream], |app| {
        with_stream(app, |pane, area, _, _| pane.toggle_follow(area));
    }),
    stream("search.edit", "Search the text", "search", &["/"], &[Place::Stream], |app| {
        with_stream(app, |pane, _, _, _| pane.edit_search());
    }),
    Command {
        legal: has_search,
        ..stream("search.next", "Next match", "next match", &["n"], &[Place::Stream], |app| {
            with_stream(app, |pane, area, _, out| pane.next_hit(false, out, area));
        })
    },
    Command {
        legal: has_search,
        ..stream("search.previous", "Previous match", "previous match", &["N"], &[Place::Stream], |app| {
            with_stream(app, |pane, area, _, out| pane.next_hit(true, out, area));
        })
    },
    stream("jump.to", "Jump to a time, line or share", "jump to time, line", &["J"], &[Place::Stream], |app| {
        with_stream(app, |pane, _, _, _| pane.edit_jump());
    }),
    stream("streams.cycle", "Both streams, stdout, stderr", "streams", &["b"], &[Place::Stream], |app| {
        with_stream(app, |pane, _, env, out| pane.cycle_streams(env, out));
    }),
    stream("times.cycle", "Times: off, clock, since start, between lines", "times", &["T"], &[Place::Stream], |app| {
        with_stream(app, |pane, _, _, _| pane.cycle_times());
    }),
    stream("wrap.toggle", "Wrap on, off", "wrap", &["W"], &[Place::Stream], |app| {
        with_stream(app, |pane, _, _, _| pane.toggle_wrap());
    }),
    stream("text.left", "Sideways to the left", "sideways", &["h", "Shift-←"], &[Place::Stream], |app| {
        app.motion(Motion::Sideways(-1));
    }),
    stream("text.right", "Sideways to the right", "sideways", &["l", "Shift-→"], &[Place::Stream], |app| {
        app.motion(Motion::Sideways(1));
    }),
    stream("open.pager", "Open the output of {} in $PAGER", "open in $PAGER", &["O"], &[Place::Stream], |app| {
        if let Some((owner, at)) = app.current().stream().map(|p| (p.owner(), p.place())) {
            app.outbox.push(Effect::Pager { owner, at });
        }
    }),
    stream("save", "Save the output of {} to a file", "save to a file", &["ctrl-s"], &[Place::Stream], |app| {
        if let Some((owner, streams)) = app.current().stream().map(|p| (p.owner(), p.streams())) {
            app.outbox.push(Effect::Save { owner, streams });
            app.say(Tone::Info, "Saving the output…".to_owned());
        }
    }),
];

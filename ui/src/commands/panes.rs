//! Commands of lists, texts and streams, whatever they show.

use super::{free, selected};
use crate::app::App;
use crate::command::{Command, Level, Place, always};
use crate::effect::Effect;
use crate::msg::Tone;
use crate::pane::output::OutputPane;
use crate::screen::{FocusMove, Motion};

/// Lists in which something can be done to marked rows.
const MARKED: &[Place] = &[Place::LedgerList, Place::LeasesList, Place::ServicesList, Place::WorkspacesList];
const BOTH: &[Place] = &[Place::List, Place::Text];

/// Where lines can be searched and scrolled to the side.
const LINES: &[Place] = &[Place::Stream, Place::Diff];

const fn stream(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    places: &'static [Place],
    run: fn(&mut App),
) -> Command {
    Command { legal: has_stream, ..free(name, title, help, places, keys, run) }
}

fn has_stream(app: &App) -> Result<(), String> {
    match app.current().stream() {
        Some(_) => Ok(()),
        None => Err("no output is shown".to_owned()),
    }
}

fn has_lines(app: &App) -> Result<(), String> {
    if app.current().diff().is_some() { Ok(()) } else { has_stream(app) }
}

fn has_search(app: &App) -> Result<(), String> {
    match (app.current().stream(), app.current().diff()) {
        (_, Some(pane)) if pane.has_search() => Ok(()),
        (Some(pane), None) if pane.has_search() => Ok(()),
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
    free("cursor.down", "Down", "down", BOTH, &["j", "↓"], |app| app.motion(Motion::Rows(1))),
    free("cursor.up", "Up", "up", BOTH, &["k", "↑"], |app| app.motion(Motion::Rows(-1))),
    free("half.down", "Half a page down", "half down", BOTH, &["ctrl-d"], |app| app.motion(Motion::HalfPages(1))),
    free("half.up", "Half a page up", "half up", BOTH, &["ctrl-u"], |app| app.motion(Motion::HalfPages(-1))),
    free("page.down", "A page down", "page down", BOTH, &["ctrl-f", "PgDn"], |app| app.motion(Motion::Pages(1))),
    free("page.up", "A page up", "page up", BOTH, &["ctrl-b", "PgUp"], |app| app.motion(Motion::Pages(-1))),
    free("cursor.first", "To the first row", "first row", BOTH, &["Home", "g g"], |app| app.motion(Motion::First)),
    free("cursor.last", "To the last row, follow", "last row, follow", BOTH, &["End", "G", "g e"], |app| {
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
        legal: selected,
        run: |app| app.focus(FocusMove::Detail),
    },
    Command {
        name: "filter.edit",
        title: "Filter the list",
        help: "filter",
        hint: "filter",
        places: &[Place::List, Place::Ports],
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
        places: MARKED,
        keys: &["space"],
        level: Level::Free,
        legal: selected,
        run: |app| app.parts().0.mark(),
    },
    Command {
        name: "mark.invert",
        title: "Invert the marks",
        help: "invert marks",
        hint: "",
        places: MARKED,
        keys: &["*"],
        level: Level::Free,
        legal: always,
        run: |app| app.parts().0.invert_marks(),
    },
    Command {
        hint: "follow",
        ..stream("follow.toggle", "Follow on, off", "follow", &["f"], &[Place::Stream], |app| {
            with_stream(app, |pane, area, _, _| pane.toggle_follow(area));
        })
    },
    Command {
        hint: "search",
        legal: has_lines,
        ..stream("search.edit", "Search the text", "search", &["/"], LINES, |app| {
            if let Some(pane) = app.parts().0.diff_mut() {
                return pane.edit_search();
            }
            with_stream(app, |pane, _, _, _| pane.edit_search());
        })
    },
    Command {
        legal: has_search,
        ..stream("search.next", "Next match", "next match", &["n"], LINES, |app| {
            if let Some(pane) = app.parts().0.diff_mut() {
                return pane.next_hit(false);
            }
            with_stream(app, |pane, area, _, out| pane.next_hit(false, out, area));
        })
    },
    Command {
        legal: has_search,
        ..stream("search.previous", "Previous match", "previous match", &["N"], LINES, |app| {
            if let Some(pane) = app.parts().0.diff_mut() {
                return pane.next_hit(true);
            }
            with_stream(app, |pane, area, _, out| pane.next_hit(true, out, area));
        })
    },
    stream("jump.to", "Jump to a time, line or share", "jump to time, line", &["J"], &[Place::Stream], |app| {
        with_stream(app, |pane, _, _, _| pane.edit_jump());
    }),
    Command {
        hint: "streams",
        ..stream("streams.cycle", "Both streams, stdout, stderr", "streams", &["b"], &[Place::Stream], |app| {
            with_stream(app, |pane, _, env, out| pane.cycle_streams(env, out));
        })
    },
    stream("times.cycle", "Times: off, clock, since start, between lines", "times", &["T"], &[Place::Stream], |app| {
        with_stream(app, |pane, _, _, _| pane.cycle_times());
    }),
    stream("wrap.toggle", "Wrap on, off", "wrap", &["W"], &[Place::Stream], |app| {
        with_stream(app, |pane, _, _, _| pane.toggle_wrap());
    }),
    Command {
        legal: has_lines,
        ..stream("text.left", "Sideways to the left", "sideways", &["h", "Shift-←"], LINES, |app| {
            app.motion(Motion::Sideways(-1));
        })
    },
    Command {
        legal: has_lines,
        ..stream("text.right", "Sideways to the right", "sideways", &["l", "Shift-→"], LINES, |app| {
            app.motion(Motion::Sideways(1));
        })
    },
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

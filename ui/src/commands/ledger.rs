//! Commands on runs.

use serde_json::json;

use crate::app::App;
use crate::command::{Command, Level, Place, always};
use crate::effect::{Question, Verdict};
use crate::overlay::Overlay;
use crate::overlay::confirm::{Confirm, Item};
use crate::overlay::new_run::NewRun;
use crate::rows::RunLine;
use crate::screen::ledger::Tab;

/// The table.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "run.new",
        title: "New run…",
        help: "new run",
        hint: "new",
        places: &[Place::LedgerList],
        keys: &["n"],
        level: Level::Free,
        legal: always,
        run: |app| {
            let form = NewRun::open(app);
            app.open(Overlay::NewRun(Box::new(form)));
        },
    },
    Command {
        name: "run.cancel",
        title: "Cancel {}",
        help: "cancel",
        hint: "cancel",
        places: &[Place::Ledger],
        keys: &["x"],
        level: Level::Preview,
        legal: |app| {
            if chosen(app).is_empty() {
                return Err("no run is selected".to_owned());
            }
            match chosen(app).iter().find(|r| r.is_live()) {
                Some(_) => Ok(()),
                None => Err("it has ended already".to_owned()),
            }
        },
        run: |app| {
            let items: Vec<Item> = chosen(app)
                .into_iter()
                .map(|run| Item {
                    question: Question::CancelPreview(run.id),
                    name: run.name(),
                    target: ("run", run.id.text()),
                    preview: None,
                })
                .collect();
            let now = app.env.now;
            let confirm = Confirm::open(("cancel", "Cancelling"), "run.cancel", json!({}), items, now, &mut app.outbox);
            app.open(Overlay::Confirm(Box::new(confirm)));
        },
    },
    resolve("run.resolve_lost", "Give up {} as lost", "give up, lost", &["u x"], |app| resolve_as(app, Verdict::Lost)),
    resolve("run.resolve_keep", "Keep {} although it cannot be judged", "keep", &["u s"], |app| {
        resolve_as(app, Verdict::Keep);
    }),
    tab("tab.output", "Output", &["t o"], |app| app.ledger.show_tab(Tab::Output)),
    tab("tab.timeline", "Timeline", &["t l"], |app| app.ledger.show_tab(Tab::Timeline)),
    tab("tab.detail", "Detail", &["t d"], |app| app.ledger.show_tab(Tab::Detail)),
];

const fn resolve(
    name: &'static str,
    title: &'static str,
    help: &'static str,
    keys: &'static [&'static str],
    run: fn(&mut App),
) -> Command {
    Command {
        name,
        title,
        help,
        hint: "",
        places: &[Place::Ledger],
        keys,
        level: Level::Preview,
        legal: |app| {
            if chosen(app).is_empty() {
                return Err("no run is selected".to_owned());
            }
            match chosen(app).iter().find(|r| r.unknown) {
                Some(_) => Ok(()),
                None => Err("it can be judged; cancel it instead".to_owned()),
            }
        },
        run,
    }
}

fn resolve_as(app: &mut App, verdict: Verdict) {
    let items: Vec<Item> = chosen(app)
        .into_iter()
        .filter(|run| run.unknown)
        .map(|run| Item {
            question: Question::ResolvePreview(run.id, verdict),
            name: run.name(),
            target: ("run", run.id.text()),
            preview: None,
        })
        .collect();
    let words = match verdict {
        Verdict::Lost => ("give up", "Giving up"),
        Verdict::Keep => ("keep", "Keeping"),
    };
    let args = json!({ "verdict": verdict.word() });
    let confirm = Confirm::open(words, "run.resolve", args, items, app.env.now, &mut app.outbox);
    app.open(Overlay::Confirm(Box::new(confirm)));
}

/// Marked runs, else the one under the cursor.
fn chosen(app: &App) -> Vec<&RunLine> {
    let table = &app.ledger.list.table;
    if table.marks.is_empty() {
        return table.selected().into_iter().collect();
    }
    table.rows().iter().filter(|r| table.marks.contains(&r.number)).collect()
}

const fn tab(name: &'static str, title: &'static str, keys: &'static [&'static str], run: fn(&mut App)) -> Command {
    Command {
        name,
        title,
        help: title,
        hint: "",
        places: &[Place::Ledger],
        keys,
        level: Level::Free,
        legal: selected,
        run,
    }
}

fn selected(app: &App) -> Result<(), String> {
    app.ledger.run().map(|_| ()).ok_or_else(|| "no run is selected".to_owned())
}

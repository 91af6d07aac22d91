//! Commands on runs.

use serde_json::json;

use super::{some, tab};
use crate::command::{Command, Level, Place, always};
use crate::effect::Question;
use crate::overlay::Overlay;
use crate::overlay::confirm::{Confirm, Item};
use crate::overlay::new_run::NewRun;
use crate::rows::RunLine;
use crate::screen::browse::Browse;
use crate::screen::ledger::{DETAIL, OUTPUT, TIMELINE};

const HERE: &[Place] = &[Place::Ledger];

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
        places: HERE,
        keys: &["x"],
        level: Level::Preview,
        legal: |app| some(&app.ledger, "run", RunLine::is_live, "it has ended already"),
        run: |app| {
            let items: Vec<Item> = app
                .ledger
                .chosen()
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
    tab("tab.output", "Output", HERE, &["t o"], |app| app.ledger.base_mut().show_tab(OUTPUT)),
    tab("tab.timeline", "Timeline", HERE, &["t l"], |app| app.ledger.base_mut().show_tab(TIMELINE)),
    tab("tab.detail", "Detail", HERE, &["t d"], |app| app.ledger.base_mut().show_tab(DETAIL)),
];

//! Commands on runs.

use serde_json::json;

use super::{some, tab};
use crate::app::App;
use crate::command::{Command, Level, Place, always};
use crate::effect::{Effect, Question, Verdict};
use crate::overlay::Overlay;
use crate::overlay::confirm::{Confirm, Item};
use crate::overlay::issue_settings::IssueSettingsForm;
use crate::overlay::new_run::NewRun;
use crate::rows::RunLine;
use crate::screen::ScreenId;
use crate::screen::browse::Browse;
use crate::screen::ledger::{DETAIL, DIFF, OUTPUT, TIMELINE, WHY};

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
        name: "issue.settings",
        title: "Workspace settings for the issue of {}…",
        help: "settings of its issue",
        hint: "",
        places: &[Place::LedgerList, Place::WorkspacesList],
        keys: &["e"],
        level: Level::Free,
        legal: |app| issue(app).map(drop),
        run: |app| {
            if let Ok((issue, agent)) = issue(app) {
                let form = IssueSettingsForm::open(app, issue, agent);
                app.open(Overlay::IssueSettings(Box::new(form)));
            }
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
    Command {
        name: "run.attach",
        title: "Attach to the terminal of {}",
        help: "attach to its terminal",
        hint: "attach",
        places: HERE,
        keys: &["a"],
        level: Level::Free,
        legal: |app| match app.ledger.run() {
            None => Err("no run is selected".to_owned()),
            Some(run) if run.is_running() => Ok(()),
            Some(run) if run.is_live() => Err("its process has not been started yet".to_owned()),
            Some(_) => Err("it has ended already".to_owned()),
        },
        run: |app| {
            if let Some(id) = app.ledger.run().map(|run| run.id) {
                app.outbox.push(Effect::Attach(id));
            }
        },
    },
    resolve("run.resolve_lost", "Give up {} as lost", "give up, lost", &["u x"], |app| resolve_as(app, Verdict::Lost)),
    resolve("run.resolve_keep", "Keep {} although it cannot be judged", "keep", &["u s"], |app| {
        resolve_as(app, Verdict::Keep);
    }),
    tab("tab.output", "Output", HERE, &["t o"], |app| app.ledger.base_mut().show_tab(OUTPUT)),
    tab("tab.timeline", "Timeline", HERE, &["t l"], |app| app.ledger.base_mut().show_tab(TIMELINE)),
    tab("tab.diff", "Diff", HERE, &["t f"], |app| app.ledger.base_mut().show_tab(DIFF)),
    Command {
        name: "run.compare",
        title: "Compare two marked runs",
        help: "compare two marked",
        hint: "",
        places: HERE,
        keys: &["="],
        level: Level::Free,
        legal: |app| app.ledger.pair().map(drop),
        run: |app| {
            if let Ok(pair) = app.ledger.pair() {
                app.ledger.compare(pair);
            }
        },
    },
    tab("tab.detail", "Detail", HERE, &["t d"], |app| app.ledger.base_mut().show_tab(DETAIL)),
    tab("tab.why", "Why", HERE, &["w", "t w"], |app| app.ledger.base_mut().show_tab(WHY)),
];

/// The issue of what is selected, and the agent whose run goes by it.
fn issue(app: &App) -> Result<(String, Option<String>), String> {
    match app.screen {
        ScreenId::Ledger => {
            let run = app.ledger.run().ok_or_else(|| "no run is selected".to_owned())?;
            let issue = run.issue.as_ref().ok_or_else(|| format!("{} has no issue", run.name()))?;
            Ok((issue.identifier.clone(), Some(run.agent.clone())))
        }
        ScreenId::Workspaces => {
            let workspace = app.workspaces.workspace().ok_or_else(|| "no workspace is selected".to_owned())?;
            let issue = workspace.issue.clone().ok_or_else(|| format!("W-{} has no issue", workspace.number))?;
            Ok((issue, None))
        }
        _ => Err("choose a run or a workspace of the issue first".to_owned()),
    }
}

/// Decides about what cannot be judged, after a preview.
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
        places: HERE,
        keys,
        level: Level::Preview,
        legal: |app| some(&app.ledger, "run", |run| run.unknown, "it can be judged; cancel it instead"),
        run,
    }
}

fn resolve_as(app: &mut App, verdict: Verdict) {
    let items: Vec<Item> = app
        .ledger
        .chosen()
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

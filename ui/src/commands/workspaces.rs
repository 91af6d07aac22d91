//! Commands on workspaces.

use serde_json::{Value, json};
use wharf_model::WorkspaceId;

use super::{some, tab};
use crate::app::App;
use crate::command::{Command, Level, Place};
use crate::effect::{Effect, Question};
use crate::overlay::Overlay;
use crate::overlay::confirm::{Close, Confirm, Item};
use crate::rows::{Expect, OperationLine, WorkspaceLine};
use crate::screen::browse::Browse;
use crate::screen::workspaces::{CLOSE, DIFF, FACTS, OPERATIONS, SNAPSHOTS};

const HERE: &[Place] = &[Place::Workspaces];

/// The table, in the order of the hints.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "workspace.archive",
        title: "Archive {}",
        help: "archive",
        hint: "archive",
        places: HERE,
        keys: &["x"],
        level: Level::Preview,
        legal: |app| some(&app.workspaces, "workspace", can_be_archived, "it is archived already, or on its way there"),
        run: archive,
    },
    Command {
        name: "workspace.snapshot",
        title: "Keep {} as it is now in a snapshot",
        help: "snapshot",
        hint: "snapshot",
        places: HERE,
        keys: &["s"],
        level: Level::Free,
        legal: |app| some(&app.workspaces, "workspace", has_directory, "there is nothing of it that could be kept"),
        run: |app| {
            for workspace in chosen(app, has_directory) {
                let target = Some(("workspace", workspace.id.text()));
                let title = format!("Snapshot of {}", name(&workspace));
                app.outbox.request(title, "workspace.snapshot", target, json!({}), Vec::new());
            }
        },
    },
    Command {
        name: "workspace.restore",
        title: "Bring {} back",
        help: "restore",
        hint: "restore",
        places: HERE,
        keys: &["R"],
        level: Level::Preview,
        legal: restorable,
        run: restore,
    },
    Command {
        name: "workspace.open",
        title: "Open the directory of {} in the editor",
        help: "in the editor",
        hint: "editor",
        places: HERE,
        keys: &["o"],
        level: Level::Free,
        legal: |app| match app.workspaces.workspace() {
            None => Err("no workspace is selected".to_owned()),
            Some(_) if super::diff::has_focus(app) => Ok(()),
            Some(w) if !has_directory(w) || w.path.is_empty() => {
                Err("it has no directory, or none any more".to_owned())
            }
            Some(_) => Ok(()),
        },
        run: |app| {
            if super::diff::has_focus(app) {
                super::diff::open_file(app);
            } else if let Some(path) = app.workspaces.workspace().map(|w| w.path.clone()) {
                app.outbox.push(Effect::EditFile { path, line: 1 });
            }
        },
    },
    Command {
        title: "Why {} is as it is",
        help: "why",
        hint: "why",
        ..tab("workspace.why", "Why", HERE, &["w", "t w"], |app| app.workspaces.base_mut().show_tab(FACTS))
    },
    Command {
        name: "workspace.reap",
        title: "Archive workspaces of finished issues…",
        help: "reap finished ones",
        hint: "reap…",
        places: HERE,
        keys: &["A"],
        level: Level::Typed,
        legal: crate::command::always,
        run: reap,
    },
    Command {
        name: "workspace.undo",
        title: "Undo the last archive: bring it back",
        help: "undo the archive",
        hint: "",
        places: HERE,
        keys: &["u"],
        level: Level::Free,
        legal: |app| match undone_next(app) {
            Some(_) => Ok(()),
            None if app.workspaces.archived().is_empty() => Err("nothing was archived in this session".to_owned()),
            None => Err("it is being brought back already".to_owned()),
        },
        run: |app| {
            // It is forgotten once that was accepted: what is refused can be tried again.
            if let Some(id) = undone_next(app) {
                bring_back(app, id, "the archived workspace".to_owned(), Vec::new());
            }
        },
    },
    tab("workspace.facts", "Facts", HERE, &["t d"], |app| app.workspaces.base_mut().show_tab(FACTS)),
    Command {
        hint: "operations",
        ..tab("workspace.operations", "Operations", HERE, &["t h"], |app| {
            app.workspaces.base_mut().show_tab(OPERATIONS);
        })
    },
    tab("workspace.snapshots", "Snapshots", HERE, &["t s"], |app| app.workspaces.base_mut().show_tab(SNAPSHOTS)),
    Command {
        places: &[Place::WorkspacesList],
        hint: "diff",
        ..tab("workspace.diff", "What was changed in {}", HERE, &["v"], |app| app.workspaces.base_mut().show_tab(DIFF))
    },
    tab("workspace.diff-tab", "Diff", HERE, &["t f"], |app| app.workspaces.base_mut().show_tab(DIFF)),
    tab("workspace.close-check", "Close check", HERE, &["t c"], |app| app.workspaces.base_mut().show_tab(CLOSE)),
    Command {
        name: "operation.stop",
        title: "Stop the job that runs in {}",
        help: "stop its job",
        hint: "stop job",
        places: HERE,
        keys: &["X"],
        level: Level::Preview,
        legal: |app| match app.workspaces.running_job() {
            Some(OperationLine { stopping: Some(by), .. }) => Err(format!("{by} has asked it to stop already")),
            Some(_) => Ok(()),
            None => Err("no job runs in it".to_owned()),
        },
        run: stop_job,
    },
    Command {
        name: "operation.log",
        title: "Log of the operation",
        help: "its log",
        hint: "log",
        places: &[Place::Operations],
        keys: &["Enter"],
        level: Level::Free,
        legal: |app| match app.workspaces.operation() {
            Some(_) => Ok(()),
            None => Err("there is no operation".to_owned()),
        },
        run: |app| app.workspaces.enter_log(),
    },
];

fn name(workspace: &WorkspaceLine) -> String {
    format!("W-{}", workspace.number)
}

fn can_be_archived(workspace: &WorkspaceLine) -> bool {
    workspace.live && workspace.word != "archiving"
}

fn has_directory(workspace: &WorkspaceLine) -> bool {
    workspace.live && !matches!(workspace.word.as_str(), "missing" | "archiving" | "realising")
}

/// Archived, or without the directory that it should have.
fn is_away(workspace: &WorkspaceLine) -> bool {
    !workspace.live || workspace.word == "missing"
}

fn chosen(app: &App, which: fn(&WorkspaceLine) -> bool) -> Vec<WorkspaceLine> {
    app.workspaces.chosen().into_iter().filter(|w| which(w)).cloned().collect()
}

/// One preview for all that are chosen: what the close check says of each, then what will happen.
fn archive(app: &mut App) {
    let chosen = chosen(app, can_be_archived);
    let items: Vec<Item> = chosen
        .iter()
        .map(|w| Item {
            question: Question::CloseCheck(w.id),
            name: name(w),
            target: ("workspace", w.id.text()),
            preview: None,
        })
        .collect();
    let subjects = chosen.iter().map(|w| w.branch.clone().unwrap_or_else(|| w.mode.clone())).collect();
    let words = ("archive", "Archiving");
    let mut confirm = Confirm::open(words, ARCHIVE, json!({}), items, app.env.now, &mut app.outbox);
    confirm.close = Some(Close::new(subjects));
    app.open(Overlay::Confirm(Box::new(confirm)));
}

/// Kind of the request that archives.
pub const ARCHIVE: &str = "workspace.archive";
/// Kind of the request that brings back.
pub const RESTORE: &str = "workspace.restore";

/// The workspace that was archived from here last and is not asked back yet.
fn undone_next(app: &App) -> Option<WorkspaceId> {
    app.workspaces.archived().iter().rev().copied().find(|id| !app.waits_for(RESTORE, &id.text()))
}

/// Asks to stop the job that runs in the workspace, after a preview.
fn stop_job(app: &mut App) {
    let Some((job, workspace)) = app.workspaces.running_job().zip(app.workspaces.workspace()) else { return };
    let item = Item {
        question: Question::StopJobPreview(job.id),
        name: format!("O-{} {}", job.number, job.running_job.as_deref().unwrap_or_default()),
        target: ("workspace", workspace.id.text()),
        preview: None,
    };
    let args = json!({ "operation": job.id.text() });
    let now = app.env.now;
    let confirm = Confirm::open(("stop", "Stopping"), "workspace.stop_job", args, vec![item], now, &mut app.outbox);
    app.open(Overlay::Confirm(Box::new(confirm)));
}

fn restorable(app: &App) -> Result<(), String> {
    if let Some(snapshot) = app.workspaces.snapshot() {
        return match snapshot.removed_at {
            Some(_) => Err(format!("snapshot {} has been removed; nothing of it is left", snapshot.ordinal)),
            None => Ok(()),
        };
    }
    some(&app.workspaces, "workspace", is_away, "it is there; t s chooses a snapshot to go back to")
}

/// To the chosen snapshot, which is asked about; else those that are away are brought back. Where something
/// stands in the way of that, the answer asks.
fn restore(app: &mut App) {
    if let (Some(snapshot), Some(workspace)) = (app.workspaces.snapshot(), app.workspaces.workspace()) {
        let number = format!("{}.{}", name(workspace), snapshot.ordinal);
        let item = Item {
            question: Question::RestorePreview(workspace.id, Some(snapshot.id)),
            name: number,
            target: ("workspace", workspace.id.text()),
            preview: None,
        };
        let args = json!({ "snapshot": snapshot.id.text() });
        return ask_to_restore(app, args, item);
    }
    for workspace in chosen(app, is_away) {
        let expect = vec![Expect { id: workspace.id.text(), version: workspace.version }];
        bring_back(app, workspace.id, name(&workspace), expect);
    }
}

fn ask_to_restore(app: &mut App, args: Value, item: Item) {
    let words = ("restore", "Restoring");
    let confirm = Confirm::open(words, RESTORE, args, vec![item], app.env.now, &mut app.outbox);
    app.open(Overlay::Confirm(Box::new(confirm)));
}

fn bring_back(app: &mut App, id: WorkspaceId, name: String, expect: Vec<Expect>) {
    let item = Item {
        question: Question::RestorePreview(id, None),
        name: name.clone(),
        target: ("workspace", id.text()),
        preview: None,
    };
    let title = format!("Restore {name}");
    let tag = app.outbox.request(title, RESTORE, Some(item.target.clone()), json!({}), expect);
    let confirm = Confirm::unasked(("restore", "Restoring"), RESTORE, json!({}), vec![item], app.env.now);
    app.confirmed(tag, confirm);
}

/// Lists what would be archived and what is kept, and wants to be told how many.
fn reap(app: &mut App) {
    let item = Item {
        question: Question::ReapPreview,
        name: "finished workspaces".to_owned(),
        target: ("company", String::new()),
        preview: None,
    };
    let words = ("reap", "Reaping");
    let confirm = Confirm::open(words, "workspace.reap", json!({}), vec![item], app.env.now, &mut app.outbox);
    app.open(Overlay::Confirm(Box::new(confirm.wants_count())));
}

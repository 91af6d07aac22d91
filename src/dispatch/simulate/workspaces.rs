//! Workspaces after their runs: who asks for what, what executors do, and what must hold.

use std::collections::BTreeSet;

use serde_json::json;
use wharf_model::config::Retention;
use wharf_model::rules::close_check::{Found, Listed, Place};
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, OperationId, OperationStatus, RequestRow, RunStatus, SnapshotId,
    WorkspaceId, WorkspaceStatus,
};

use super::run::Sim;
use super::setup;
use super::world::{Event, Owner, Task, WorkspaceStage, text};
use crate::dispatch::decide::is_open;
use crate::dispatch::input::{
    ArchivedWorkspace, CloseRead, Fact, GcKept, GcPlan, KeptOf, Prepared, ReapCandidate, ReapRead, RestoredWorkspace,
    TakenSnapshot,
};

/// Time that a job may take.
pub const JOB_MS: u64 = 30_000;

fn retention() -> Retention {
    Retention { run_logs_ms: None, snapshots_ms: Some(200_000), workspaces_after_close_ms: Some(100_000) }
}

/// What is found in a directory; `dirty` has something in it that only the operator may pass over.
pub fn found(dirty: bool) -> Found {
    Found {
        place: Place::Ours,
        head: Some("c".into()),
        branch: None,
        under_way: None,
        changed: if dirty { Listed::of(["a".to_owned()]) } else { Listed::default() },
        conflicted: Listed::default(),
        untracked: Listed::default(),
        ignored: Listed::default(),
        ignored_own: Listed::default(),
        stashed: Listed::default(),
        unpushed: Listed::default(),
        unmerged: Some(Listed::default()),
        nested: Listed::default(),
        submodules: Listed::default(),
        links_out: Listed::default(),
        open: Listed::default(),
        bytes: Some(10),
        branch_merged: Some(true),
        unknown: Vec::new(),
        fingerprint: if dirty { "dirty" } else { "clean" }.into(),
    }
}

impl Sim {
    /// One of the verbs on workspaces.
    pub fn ask_of_workspace(&mut self) {
        let all: Vec<WorkspaceId> = self.disk.rows.workspaces.keys().copied().collect();
        let Some(id) = self.rng.pick(&all) else { return };
        let snapshots: Vec<SnapshotId> =
            self.disk.rows.snapshots.values().filter(|s| s.workspace_id == id).map(|s| s.id).collect();
        let (kind, args) = match self.rng.below(12) {
            0..=4 => ("workspace.archive", json!({})),
            5 | 6 => ("workspace.restore", json!({})),
            7 => ("workspace.restore", json!({ "snapshot": self.rng.pick(&snapshots).map(SnapshotId::text) })),
            8 => ("workspace.snapshot", json!({ "reason": "why" })),
            9 => ("workspace.reap", json!({})),
            10 => ("gc.run", json!({})),
            _ => ("workspace.run_job", json!({ "job": "migrate" })),
        };
        let version = self.disk.rows.workspaces.get(&id).map_or(1, |w| w.version);
        let expects = kind == "workspace.archive" && self.rng.permille(200);
        self.books.saw("verb on a workspace");
        self.insert_request(kind, |r| {
            if !matches!(kind, "gc.run" | "workspace.reap") {
                r.target_type = Some("workspace".into());
                r.target_id = Some(id.text());
            }
            r.args = args;
            if expects {
                r.expect = Some(json!([{ "id": id.text(), "version": version }]));
            }
        });
        self.after(10, Event::Wake);
    }

    /// What is read beside the loop for a request.
    pub fn prepared_of(&mut self, row: &RequestRow) -> Prepared {
        match row.kind.as_str() {
            "workspace.archive" => {
                let dirty = self.rng.permille(300);
                // What left memory is loaded for the request, as the loop does.
                self.load_workspace(row);
                Prepared::Close(Box::new(CloseRead { found: found(dirty), retention: retention() }))
            }
            "workspace.restore" | "workspace.snapshot" => {
                self.load_workspace(row);
                Prepared::Kept(retention())
            }
            "workspace.reap" => {
                let candidates = self
                    .disk
                    .rows
                    .workspaces
                    .values()
                    .filter(|w| w.status == WorkspaceStatus::Idle)
                    .map(|w| ReapCandidate {
                        workspace: w.id,
                        version: w.version,
                        closed_at: None,
                        eligible_at: Some(w.last_used_at),
                        found: Some(found(w.number % 3 == 0)),
                        stays: None,
                    })
                    .collect();
                Prepared::Reap(Box::new(ReapRead { candidates, retention: retention() }))
            }
            "gc.run" => Prepared::Gc(Box::new(GcPlan { kept: self.due(), ..GcPlan::default() })),
            _ => setup::prepared_for(row),
        }
    }

    fn load_workspace(&mut self, row: &RequestRow) {
        let id = row.target_id.as_deref().and_then(|t| t.parse::<WorkspaceId>().ok());
        let stored = id.and_then(|id| self.disk.rows.workspaces.get(&id)).cloned();
        if let (Some(memory), Some(stored)) = (&mut self.memory, stored) {
            memory.workspaces.entry(stored.id).or_insert(stored);
        }
    }

    /// What a pass finds to be kept long enough.
    fn due(&self) -> Vec<GcKept> {
        let now = self.now();
        let rows = &self.disk.rows;
        let kept = |of, place: String, due_at| GcKept {
            of,
            number: String::new(),
            place,
            repo: "/p".into(),
            bytes: None,
            due_at,
        };
        let trash = rows.workspaces.values().filter_map(|w| {
            let due = w.trash_until.filter(|at| *at <= now)?;
            Some(kept(KeptOf::Trash(w.id), w.trash_path.clone()?, due))
        });
        let snapshots = rows.snapshots.values().filter_map(|s| {
            let due = s.expires_at.filter(|at| *at <= now)?;
            (s.status == wharf_model::SnapshotStatus::Kept)
                .then(|| kept(KeptOf::Snapshot(s.id), s.ref_name.clone(), due))
        });
        trash.chain(snapshots).collect()
    }

    fn intended(&self, action: ActionId) -> Option<ActionRow> {
        self.memory.as_ref()?.actions.get(&action).cloned()
    }

    /// One step of an executor on a workspace.
    pub fn of_workspace(&mut self, action: ActionId, stage: WorkspaceStage) {
        // The executor has its own copy; what it names does not change.
        let Some(row) = self.disk.rows.actions.get(&action).cloned() else { return };
        let Ok(workspace) = row.entity_id.parse::<WorkspaceId>() else {
            return self.tell(Fact::TrashEmptied { action });
        };
        let next = |stage| Some(Task::Workspace { action, stage });
        if stage == WorkspaceStage::Begin {
            if self.unlucky(60) {
                return self.tell(Fact::ActionFailed { action, error: "the disk is full".into() });
            }
            if row.kind != ActionKind::EmptyTrash && row.kind != ActionKind::RunJob && self.unlucky(60) {
                let message = "it is in use".into();
                return self.tell(Fact::WorkspaceWorkFailed { action, workspace, message, in_place: false });
            }
        }
        match (row.kind, stage) {
            (_, WorkspaceStage::Done) => self.tell(Fact::ActionDone { action }),
            (ActionKind::EmptyTrash, _) => {
                self.world.trash.remove(&workspace);
                self.tell(Fact::TrashEmptied { action });
            }
            (ActionKind::SnapshotWorkspace, _) => {
                let snapshot = taken(&row, "snapshot");
                self.tell(Fact::SnapshotTaken { action, workspace, snapshot });
            }
            (ActionKind::RemoveWorkspace, WorkspaceStage::Begin) => {
                let snapshot = taken(&row, "snapshot");
                self.tell_then(Fact::SnapshotTaken { action, workspace, snapshot }, next(WorkspaceStage::Ask));
            }
            (ActionKind::RemoveWorkspace, WorkspaceStage::Ask) => {
                self.tell_then(Fact::WorkspaceMoves { action, workspace }, next(WorkspaceStage::Answer));
            }
            (ActionKind::RemoveWorkspace, WorkspaceStage::Answer) => {
                if !self.intended(action).is_some_and(|a| is_open(a.status)) {
                    return self.tell(Fact::ActionDone { action });
                }
                let pause = self.rng.range(0, 3_000);
                let task = Task::Workspace { action, stage: WorkspaceStage::Move };
                self.after(pause, Event::Task { reign: self.reign, task });
            }
            (ActionKind::RemoveWorkspace, WorkspaceStage::Move) => {
                let works = self
                    .disk
                    .rows
                    .runs
                    .values()
                    .find(|r| r.workspace_id == Some(workspace) && r.status == RunStatus::Running);
                if let Some(run) = works {
                    self.world.wrong.get_or_insert(format!("R-{} works in a workspace that is moved", run.number));
                }
                let place = text(row.args.as_ref(), "trash");
                self.world.trash.insert(workspace, place.clone());
                self.books.saw("workspace moved");
                let gone = ArchivedWorkspace { trash_path: Some(place), ..ArchivedWorkspace::default() };
                self.tell(Fact::WorkspaceArchived { action, workspace, gone: Box::new(gone) });
            }
            (ActionKind::RestoreWorkspace, _) => {
                let from_trash = text(row.args.as_ref(), "from") == "trash";
                let snapshot = (!from_trash).then(|| text(row.args.as_ref(), "snapshot").parse().ok()).flatten();
                if from_trash {
                    self.world.trash.remove(&workspace);
                }
                let back = RestoredWorkspace { snapshot, ..RestoredWorkspace::default() };
                self.books.saw("workspace brought back");
                self.tell(Fact::WorkspaceRestored { action, workspace, back: Box::new(back) });
            }
            (ActionKind::RunJob, _) => self.begin_job(action, &row),
            _ => {}
        }
    }

    fn begin_job(&mut self, action: ActionId, row: &ActionRow) {
        let Ok(id) = text(row.args.as_ref(), "operation").parse::<OperationId>() else { return };
        let dir = (Owner::Operation, id.0, 1);
        let reign = self.reign;
        if let Some(shim) = self.world.shims.get_mut(&dir) {
            shim.watch = Some((reign, action));
            if !shim.alive {
                self.report_end(dir);
            }
            return;
        }
        let open = self.disk.rows.operations.get(&id).is_some_and(|o| o.status == OperationStatus::Running);
        if !open || self.world.forbidden.contains(&dir) {
            return self.tell(Fact::ActionDone { action });
        }
        self.books.spawned(dir);
        self.books.saw("job run");
        let mut shim = self.new_shim(action);
        self.fate(dir, &mut shim);
        self.world.shims.insert(dir, shim);
        self.after(JOB_MS as i64, Event::TimeOver { dir, grace_ms: 5_000 });
    }

    /// What must hold of workspaces after each commit.
    pub fn check_workspaces(&self) -> Result<(), String> {
        if let Some(wrong) = &self.world.wrong {
            return Err(wrong.clone());
        }
        let rows = &self.disk.rows;
        let mut removed: BTreeSet<&str> = BTreeSet::new();
        for action in rows.actions.values().filter(|a| a.kind == ActionKind::RemoveWorkspace) {
            let open = matches!(action.status, ActionStatus::Pending | ActionStatus::Performing);
            if open && !removed.insert(&action.entity_id) {
                return Err(format!("workspace {} is archived twice at once", action.entity_id));
            }
        }
        for workspace in rows.workspaces.values() {
            let number = workspace.number;
            let works =
                rows.runs.values().find(|r| r.workspace_id == Some(workspace.id) && r.status == RunStatus::Running);
            let gone = matches!(
                workspace.status,
                WorkspaceStatus::Archiving | WorkspaceStatus::Archived | WorkspaceStatus::CleanupFailed
            );
            if let (true, Some(run)) = (gone, works) {
                return Err(format!("R-{} works in W-{number}, which is {}", run.number, workspace.status));
            }
            if workspace.status == WorkspaceStatus::Archived
                && let Some(place) = &workspace.trash_path
                && let Some(real) = self.world.trash.get(&workspace.id)
                && place != real
            {
                return Err(format!("W-{number} is said to lie in {place} and lies in {real}"));
            }
        }
        let mut jobs: BTreeSet<&str> = BTreeSet::new();
        for operation in rows.operations.values() {
            let action = operation.metadata.as_ref().filter(|m| m["job"].is_string()).map(|m| &m["action"]);
            if let Some(action) = action.and_then(|a| a.as_str())
                && !jobs.insert(action)
            {
                return Err(format!("action {action} runs a job twice"));
            }
        }
        Ok(())
    }

    /// What must hold of them once nobody asks any more.
    pub fn check_workspaces_at_rest(&self) -> Result<(), String> {
        for workspace in self.disk.rows.workspaces.values() {
            if workspace.status == WorkspaceStatus::Archiving {
                return Err(format!("W-{} is being archived for ever", workspace.number));
            }
            let lies = self.world.trash.contains_key(&workspace.id);
            let right = match workspace.status {
                WorkspaceStatus::Archived => workspace.trash_path.is_some() == lies,
                // It may have been moved before it was given up: asked again it goes on.
                WorkspaceStatus::CleanupFailed => true,
                // A snapshot by name brings one back beside what the trash has of it.
                _ => !lies || workspace.trash_path.is_some(),
            };
            if !right {
                let (number, status) = (workspace.number, workspace.status);
                return Err(format!("W-{number} is {status}, and whether it lies in the trash is {lies}"));
            }
        }
        Ok(())
    }
}

fn taken(action: &ActionRow, key: &str) -> Box<TakenSnapshot> {
    let id = text(action.args.as_ref(), key).parse().unwrap_or(SnapshotId::NIL);
    Box::new(TakenSnapshot {
        id,
        reason: "why".into(),
        ref_name: format!("refs/wharf/snapshots/{id}"),
        commit: "c".into(),
        head: None,
        branch: None,
        files: 1,
        bytes: 1,
        metadata: json!({}),
    })
}

//! Workspaces after their runs: who asks for what, what executors do, and what must hold.

use std::collections::BTreeSet;

use serde_json::json;
use wharf_model::config::Retention;
use wharf_model::rules::close_check::{Found, Listed, Place};
use wharf_model::rules::running_job;
use wharf_model::rules::trash;
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, IssueRow, OperationId, OperationStatus, RequestRow, RunStatus,
    SnapshotId, Step, StepId, WorkspaceId, WorkspaceStatus,
};

use super::run::Sim;
use super::setup;
use super::world::{Event, Owner, Task, WorkspaceStage, text};
use crate::dispatch::decide::is_open;
use crate::dispatch::input::{
    ArchivedWorkspace, CloseRead, Fact, GcKept, GcPlan, KeptOf, OperationEnd, Prepared, ReapCandidate, ReapRead,
    RestoredWorkspace, TakenSnapshot,
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
        // Those of issues are what runs come back to.
        let of_issues: Vec<WorkspaceId> = all.iter().copied().filter(|id| self.issue_of(*id).is_some()).collect();
        let from = if self.rng.permille(500) && !of_issues.is_empty() { of_issues } else { all };
        let Some(id) = self.rng.pick(&from) else { return };
        let snapshots: Vec<SnapshotId> =
            self.disk.rows.snapshots.values().filter(|s| s.workspace_id == id).map(|s| s.id).collect();
        let (kind, args) =
            match self.rng.below(12) {
                0..=4 => ("workspace.archive", json!({})),
                5 | 6 => ("workspace.restore", json!({})),
                7 if self.rng.permille(300) => {
                    let items: Vec<String> =
                        self.disk.rows.workspaces.get(&id).map_or_else(Vec::new, |w| {
                            trash::items(w).iter().map(|item| item.name().to_owned()).collect()
                        });
                    let named = (!items.is_empty()).then(|| items[self.rng.below(items.len() as u64) as usize].clone());
                    ("workspace.restore", json!({ "trash": named }))
                }
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
        if matches!(kind, "workspace.archive" | "workspace.restore") && self.rng.permille(700) {
            self.come_to(id);
        }
        self.after(10, Event::Wake);
    }

    /// Asks to stop a job that runs, now and then; says whether it did.
    pub fn stop_a_job(&mut self) -> bool {
        let running = self.disk.rows.operations.values().filter(|o| o.status == OperationStatus::Running);
        let job = running.filter(|o| running_job::name(o).is_some()).find_map(|o| o.execution_workspace_id);
        let Some(id) = job.filter(|_| self.rng.permille(300)) else { return false };
        let grace = self.rng.range(0, 20_000);
        self.insert_request("workspace.stop_job", |r| {
            r.target_type = Some("workspace".into());
            r.target_id = Some(id.text());
            r.args = json!({ "grace_ms": grace });
        });
        self.after(10, Event::Wake);
        true
    }

    /// The issue whose runs come to a workspace.
    fn issue_of(&self, id: WorkspaceId) -> Option<IssueRow> {
        let rows = &self.disk.rows;
        let issue = rows.workspaces.get(&id)?.cwd.as_deref()?.strip_prefix("/w/")?.parse().ok()?;
        rows.issues.get(&issue).cloned()
    }

    /// Starts a run that works in a workspace: it may meet what was just asked of that.
    fn come_to(&mut self, id: WorkspaceId) {
        let Some(issue) = self.issue_of(id) else { return };
        let agents = self.disk.rows.agents.values().filter(|a| a.project_id == issue.project_id && a.name == "plain");
        let Some(agent) = agents.map(|a| a.id).next() else { return };
        self.insert_request("run.start", |r| {
            r.target_id = Some(agent.text());
            r.args = json!({ "issue": issue.identifier });
        });
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
        let trash = rows.workspaces.values().flat_map(|w| {
            let due = trash::items(w).into_iter().filter(|item| item.is_due(now));
            due.map(|item| kept(KeptOf::Trash(w.id), item.place, now))
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
        if row.kind == ActionKind::EmptyTrash {
            if self.unlucky(60) {
                return self.tell(Fact::ActionFailed { action, error: "the disk is full".into() });
            }
            if row.entity_type == "trash" {
                self.world.trash.remove(&text(row.args.as_ref(), "place"));
                self.books.saw("trash emptied");
            }
            return self.tell(Fact::TrashEmptied { action });
        }
        let Ok(workspace) = row.entity_id.parse::<WorkspaceId>() else { return };
        let next = |stage| Some(Task::Workspace { action, stage });
        if stage == WorkspaceStage::Begin {
            if self.unlucky(60) {
                return self.tell(Fact::ActionFailed { action, error: "the disk is full".into() });
            }
            if row.kind != ActionKind::RunJob && self.unlucky(60) {
                let message = "it is in use".into();
                return self.tell(Fact::WorkspaceWorkFailed { action, workspace, message, in_place: false });
            }
        }
        match (row.kind, stage) {
            (_, WorkspaceStage::Done) => self.tell(Fact::ActionDone { action }),
            (ActionKind::SnapshotWorkspace, _) => {
                let snapshot = taken(&row, "snapshot");
                self.tell(Fact::SnapshotTaken { action, workspace, snapshot });
            }
            (ActionKind::RemoveWorkspace, WorkspaceStage::Begin) => {
                let place = format!("/r/.git/wharf/trash/{}", text(row.args.as_ref(), "trash"));
                // Somebody removed the directory: git's entry of it is kept. A later try finds that.
                let moved = self.world.trash.contains_key(&text(row.args.as_ref(), "trash"));
                if !moved && (self.world.trash.contains_key(&place) || self.unlucky(150)) {
                    self.world.trash.insert(place.clone(), workspace);
                    self.books.saw("entry kept");
                    let fact = Fact::WorkspaceParked { action, workspace, place };
                    return self.tell_then(fact, next(WorkspaceStage::Parked));
                }
                let snapshot = taken(&row, "snapshot");
                self.tell_then(Fact::SnapshotTaken { action, workspace, snapshot }, next(WorkspaceStage::Ask));
            }
            (ActionKind::RemoveWorkspace, WorkspaceStage::Parked) => {
                self.tell(Fact::WorkspaceArchived { action, workspace, gone: Box::default() });
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
                self.world.trash.insert(place.clone(), workspace);
                self.books.saw("workspace moved");
                let gone = ArchivedWorkspace { trash_path: Some(place), ..ArchivedWorkspace::default() };
                self.tell(Fact::WorkspaceArchived { action, workspace, gone: Box::new(gone) });
            }
            (ActionKind::RestoreWorkspace, _) => {
                let from_trash = text(row.args.as_ref(), "from") == "trash";
                let snapshot = (!from_trash).then(|| text(row.args.as_ref(), "snapshot").parse().ok()).flatten();
                if from_trash {
                    self.world.trash.remove(&text(row.args.as_ref(), "trash_path"));
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
        let operation = self.disk.rows.operations.get(&id);
        let open = operation.is_some_and(|o| o.status == OperationStatus::Running);
        if open && operation.and_then(running_job::stop_asked).is_some() {
            // It was asked to stop before it began.
            self.world.forbidden.insert(dir);
            let end = OperationEnd { status: OperationStatus::Failed, ..OperationEnd::default() };
            let done = Some(Task::Workspace { action, stage: WorkspaceStage::Done });
            return self.tell_then(Fact::OperationEnded { operation: id, end }, done);
        }
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
        }
        // Whatever lies in a trash is known to its row, or the row remembers that it is just being moved there.
        for (place, id) in &self.world.trash {
            let known = rows.workspaces.get(id).is_some_and(|w| {
                let moving = w.metadata.as_ref().and_then(|m| m["archiving"]["trash"].as_str());
                moving.is_some_and(|trash| place.ends_with(trash)) || trash::items(w).iter().any(|i| i.place == *place)
            });
            if !known {
                return Err(format!("{place} lies in a trash, and no row knows it"));
            }
        }
        for run in rows.runs.values().filter(|r| r.status == RunStatus::Running && r.step == Some(Step::Realise)) {
            let detail = rows.steps.get(&StepId(run.id, Step::Realise)).and_then(|s| s.detail.as_ref());
            let Some(waits) = detail.and_then(|d| d.get("waits_for")) else { continue };
            let id = waits["workspace_id"].as_str().and_then(|t| t.parse::<WorkspaceId>().ok());
            let restored = |id: WorkspaceId| {
                let text = id.text();
                let restores = |a: &&ActionRow| a.kind == ActionKind::RestoreWorkspace && a.entity_id == text;
                rows.actions.values().filter(restores).any(|a| is_open(a.status))
            };
            let is_between = |id: WorkspaceId| {
                rows.workspaces.get(&id).is_some_and(|w| w.status == WorkspaceStatus::Archiving) || restored(id)
            };
            if !id.is_some_and(is_between) {
                return Err(format!("R-{} waits for {}, which has ended", run.number, waits["workspace"]));
            }
            if run.workspace_id.is_some() {
                return Err(format!("R-{} waits for a workspace and counts as a user of one", run.number));
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
            for item in trash::items(workspace) {
                if self.world.trash.get(&item.place) != Some(&workspace.id) {
                    return Err(format!("W-{} is said to have {} in a trash", workspace.number, item.place));
                }
            }
            // It may have been moved before it was given up: asked again it goes on.
            if workspace.status == WorkspaceStatus::CleanupFailed {
                continue;
            }
            let unknown = self.world.trash.iter().find(|(place, id)| {
                **id == workspace.id && !trash::items(workspace).iter().any(|item| item.place == **place)
            });
            if let Some((place, _)) = unknown {
                return Err(format!("W-{} has {place} in a trash for ever", workspace.number));
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

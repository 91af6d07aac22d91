//! Execution workspaces: one row for each, found again by their directory.

mod archive;
mod job;
mod job_stop;
mod life;
pub(crate) mod moved;
mod reap;
mod restore;
mod rows;
mod snapshot;
mod trash;
mod wait;

use serde_json::{Value, json};
use wharf_model::rules::issue_settings::IssueSettings;
use wharf_model::rules::running_job;
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, CompanyId, IssueRow, OperationId, OperationRow, OperationStatus,
    ProjectId, RunId, RunRow, RunStatus, Step, StepId, StepRow, StepStatus, WorkspaceId, WorkspaceRow, WorkspaceSource,
    WorkspaceStatus, WorkspaceStrategy,
};

use super::{Deciding, about, cancel, finish, lease, place, session, steps};
use crate::dispatch::input::{
    Actor, OperationEnd, OperationOwner, PlannedOperation, PlannedWorkspace, Realisation, StandingWorkspace,
};

pub(crate) use archive::archived;
pub(crate) use job_stop::force as force_job;
use life::judged;
pub(crate) use life::{
    accept, carry_on, deadlines, given_up as work_given_up, has_action, overdue, reached, seen, settles, work_failed,
};
pub(crate) use restore::restored;
pub(crate) use rows::gather;
use rows::{between, closed_to_runs};
pub(crate) use snapshot::taken;
pub(crate) use trash::{emptied, empty, parked};
pub(crate) use wait::{over_due, waits};

/// Where a run will work is decided; the row stands before anything is made on disk.
pub(crate) fn planned(d: &mut Deciding<'_, '_>, run_id: RunId, attempt: u32, plan: &PlannedWorkspace) {
    let Some(run) = steps::current(d, run_id, attempt) else { return };
    let known = match known(d, &run, plan) {
        Ok(Known::Free(known)) => known,
        Ok(Known::Between(workspace, what)) => return wait::begin(d, &run, &workspace, what),
        Err(why) => {
            finish::setup_failed(d, run_id, Step::Realise, "workspace_realization_failed", &why, Value::Null);
            return;
        }
    };
    let id = match known {
        Some(id) => {
            join(d, &run, id, plan);
            id
        }
        None => insert(d, &run, plan),
    };
    d.tx.update::<RunRow>(run_id, |r| r.workspace_id = Some(id));
    if let Some(lease) = run.lease_id {
        lease::while_open(d, lease, |l| l.execution_workspace_id = Some(id));
    }
    // Kept with the step, so that whoever asks where it works and why is told.
    let mut detail = json!({ "source": plan.source.as_str(), "remark": plan.remark });
    if plan.source == WorkspaceSource::TaskSession {
        detail["session"] = session::account(d, &run);
        // A guest works in a directory of its own choice, whatever the row is about.
        let is_own =
            d.tx.get::<WorkspaceRow>(id)
                .is_some_and(|w| w.source == Some(WorkspaceSource::TaskSession) && w.cwd.as_deref() == Some(&plan.cwd));
        detail["guest_at"] = if is_own { Value::Null } else { json!(plan.cwd) };
    }
    d.tx.update::<StepRow>(StepId(run_id, Step::Realise), |s| s.detail = Some(detail));
    if let Some(remark) = &plan.remark {
        d.tx.event(run_id, "workspace", "warn", remark.clone(), None);
    }
}

/// What there is of the directory that a run is to work in.
enum Known {
    /// It may come: to this row, or to a new one.
    Free(Option<WorkspaceId>),
    /// It has to wait for what is being done to this one.
    Between(Box<WorkspaceRow>, rows::Between),
}

/// The row of a directory, when there is one that a run may come to; in words why it may not.
fn known(d: &Deciding<'_, '_>, run: &RunRow, plan: &PlannedWorkspace) -> Result<Known, String> {
    if plan.source == WorkspaceSource::TaskSession {
        return guest(d, run, plan);
    }
    // A directory is one workspace, by whatever mode runs come to it. What was archived is another one's past.
    let of_project = d.state().workspaces.values().filter(|w| w.project_id == run.project_id);
    let here = of_project.filter(|w| w.status != WorkspaceStatus::Archived);
    // By its root as well: one of before the project's place in it was heeded is the same workspace.
    let found =
        here.filter(|w| w.cwd.as_deref() == Some(&plan.cwd) || plan.worktree.is_some() && w.cwd == plan.worktree);
    let found = found.max_by_key(|w| w.number);
    let is_primary = plan.strategy == WorkspaceStrategy::ProjectPrimary;
    let neighbour = place::neighbour(d.state(), run).filter(|_| is_primary);
    if let Some(holder) = neighbour.or_else(|| place::met(d.state(), run, plan)) {
        return Err(held(holder, plan));
    }
    let Some(workspace) = found else { return Ok(Known::Free(None)) };
    if let Some(what) = between(d.state(), workspace.id) {
        return Ok(Known::Between(Box::new(workspace.clone()), what));
    }
    if let Some(why) = closed_to_runs(d.state(), workspace.id) {
        return Err(format!("{} is not free: {why}", plan.cwd));
    }
    // Mostly it waits in the queue for that; but two branches may come to one directory, and configs change.
    if let Some(holder) = place::holder(d.state(), run, workspace.id) {
        return Err(held(holder, plan));
    }
    Ok(Known::Free(Some(workspace.id)))
}

/// The row that the directory of a session lies in, whoever's it is: whoever follows a session is a guest there, and
/// alone like everybody else.
fn guest(d: &Deciding<'_, '_>, run: &RunRow, plan: &PlannedWorkspace) -> Result<Known, String> {
    let found = place::around_directory(d.state(), run, &plan.cwd);
    if let Some((workspace, what)) = found.and_then(|w| Some((w, between(d.state(), w.id)?))) {
        return Ok(Known::Between(Box::new(workspace.clone()), what));
    }
    let found = found.map(|w| w.id);
    let agent = d.state().agents.get(&run.agent_id).map_or_else(String::new, |a| a.name.clone());
    let way_out = |why: String| {
        format!(
            "{why}; its agent's last session is there, and `wharf agent reset-session {agent}` sends its next run home"
        )
    };
    if let Some(why) = found.and_then(|id| closed_to_runs(d.state(), id)) {
        return Err(way_out(format!("{} is not free: {why}", plan.cwd)));
    }
    let holder = found.and_then(|id| place::holder(d.state(), run, id));
    match holder.or_else(|| place::met(d.state(), run, plan)) {
        Some(holder) => Err(way_out(held(holder, plan))),
        None => Ok(Known::Free(found)),
    }
}

/// Whether a run works in a workspace only because its agent's session lies there.
fn is_guest(d: &Deciding<'_, '_>, run: RunId) -> bool {
    d.tx.get::<StepRow>(StepId(run, Step::Realise)).and_then(guest_at).is_some()
}

/// The directory in which a run works as a guest, by what its step keeps.
pub(crate) fn guest_at(step: &StepRow) -> Option<String> {
    step.detail.as_ref()?["guest_at"].as_str().map(str::to_owned)
}

fn held(holder: i64, plan: &PlannedWorkspace) -> String {
    let holder = wharf_model::Kind::Run.number(holder);
    format!(
        "{holder} works in {}; start this run again when that has ended, or let runs meet with `concurrency = \"allow\"`",
        plan.cwd
    )
}

/// A run comes to a workspace that is there.
fn join(d: &mut Deciding<'_, '_>, run: &RunRow, id: WorkspaceId, plan: &PlannedWorkspace) {
    let now = d.now();
    let Some(status) = d.tx.get::<WorkspaceRow>(id).map(|w| w.status) else { return };
    if status == WorkspaceStatus::InReview {
        // Whoever reviews it sees that it is in use again.
        d.tx.update::<WorkspaceRow>(id, |w| w.status = WorkspaceStatus::Idle);
    }
    // Another run works in it: it stays in use while this one joins.
    if !matches!(status, WorkspaceStatus::Active | WorkspaceStatus::Realising) {
        d.tx.update::<WorkspaceRow>(id, |w| {
            w.status = WorkspaceStatus::Realising;
            w.deadline_at = Step::Realise.deadline_ms().map(|ms| now.plus(ms));
        });
    }
    let settings = kept_settings(d, run, plan);
    d.tx.update::<WorkspaceRow>(id, |w| {
        w.last_used_at = now;
        // A worktree stays one, whoever comes to its directory; and a session is a guest wherever it lies.
        let is_tree = w.strategy_type == WorkspaceStrategy::GitWorktree;
        if is_tree && plan.strategy == WorkspaceStrategy::AdapterManaged || plan.source == WorkspaceSource::TaskSession
        {
            return;
        }
        w.mode = plan.mode;
        w.strategy_type = plan.strategy;
        w.source = Some(plan.source);
        w.branch_name.clone_from(&plan.branch);
        w.provider_ref.clone_from(&plan.worktree);
        w.repo_url.clone_from(&plan.repo_url);
        // What it began at stays its base, by name and by commit, whatever a later run would begin at.
        if w.base_commit.is_none() {
            w.base_ref.clone_from(&plan.base_ref);
            w.base_commit.clone_from(&plan.base_commit);
        } else if w.base_ref.is_none() {
            w.base_ref.clone_from(&plan.base_ref);
        }
        // What it was made with stays; what it lacks it gets.
        w.config = keep(w.config.take(), settings);
    });
}

/// What a workspace keeps: the environment it was made in, and the commands of its issue. Places that several share
/// keep nothing.
fn kept_settings(d: &Deciding<'_, '_>, run: &RunRow, plan: &PlannedWorkspace) -> Option<Value> {
    if plan.strategy != WorkspaceStrategy::GitWorktree {
        return None;
    }
    let issue = run.issue_id.and_then(|i| d.state().issues.get(&i));
    let of_issue = IssueSettings::of(issue.and_then(|i| i.execution_workspace_settings.as_ref()));
    Some(json!({
        "environment_id": run.environment_id.map(wharf_model::EnvironmentId::text),
        "provision": of_issue.provision,
        "teardown": of_issue.teardown,
        "cleanup": of_issue.cleanup,
    }))
}

fn keep(stored: Option<Value>, new: Option<Value>) -> Option<Value> {
    match (stored, new) {
        (Some(Value::Object(mut stored)), Some(Value::Object(new))) => {
            for (key, value) in new {
                stored.entry(key).or_insert(value);
            }
            Some(Value::Object(stored))
        }
        (stored, new) => stored.or(new),
    }
}

fn insert(d: &mut Deciding<'_, '_>, run: &RunRow, plan: &PlannedWorkspace) -> WorkspaceId {
    let id: WorkspaceId = d.id();
    let number = d.tx.next_number("workspace");
    let now = d.now();
    let project_workspace =
        d.state().project_workspaces.values().find(|w| w.project_id == run.project_id && w.is_primary).map(|w| w.id);
    let environment_id = run.environment_id;
    let config = kept_settings(d, run, plan);
    let is_own = plan.strategy == WorkspaceStrategy::GitWorktree;
    let before = run.issue_id.filter(|_| is_own).and_then(|i| d.state().issues.get(&i));
    let before = before.and_then(|i| i.execution_workspace_id);
    d.tx.put(WorkspaceRow {
        id,
        number,
        company_id: run.company_id,
        project_id: run.project_id,
        project_workspace_id: project_workspace,
        source_issue_id: run.issue_id.filter(|_| is_own),
        derived_from_execution_workspace_id: before,
        mode: plan.mode,
        strategy_type: plan.strategy,
        name: plan.name.clone(),
        status: WorkspaceStatus::Realising,
        cwd: Some(plan.cwd.clone()),
        repo_root: plan.repo_root.clone(),
        repo_url: plan.repo_url.clone(),
        base_ref: plan.base_ref.clone(),
        base_commit: plan.base_commit.clone(),
        branch_name: plan.branch.clone(),
        provider_type: match plan.strategy {
            WorkspaceStrategy::GitWorktree => "git_worktree",
            WorkspaceStrategy::ProjectPrimary | WorkspaceStrategy::AdapterManaged | WorkspaceStrategy::CloudSandbox => {
                "local_fs"
            }
        }
        .to_owned(),
        provider_ref: plan.worktree.clone(),
        created_by_runtime: false,
        branch_created_by_runtime: false,
        environment_id,
        last_used_at: now,
        deadline_at: Step::Realise.deadline_ms().map(|ms| now.plus(ms)),
        closed_at: None,
        cleanup_eligible_at: None,
        failure_reason: None,
        metadata: None,
        config,
        source: Some(plan.source),
        trash_path: None,
        trash_until: None,
        trash_bytes: None,
        trash_more: None,
        version: 0,
        created_at: now,
        updated_at: now,
    });
    id
}

/// An operation is tried once; the next try is another one.
pub(crate) const OPERATION_ATTEMPT: u32 = 1;

/// An operation is about to begin: its row stands before its process.
pub(crate) fn operation_planned(d: &mut Deciding<'_, '_>, run_id: RunId, attempt: u32, planned: &PlannedOperation) {
    let Some(run) = steps::current(d, run_id, attempt) else { return };
    if d.tx.get::<OperationRow>(planned.id).is_some() {
        return;
    }
    insert_operation(d, planned, (run.company_id, run.project_id), run.workspace_id, Some(run_id), None);
    if let Some(reason) = run.stop_reason {
        cancel::stop_operations(d, run_id, run.stop_grace_ms.unwrap_or(run.grace_ms), reason.as_str());
    }
}

/// The same for one that belongs to no run.
pub(crate) fn own_operation_planned(d: &mut Deciding<'_, '_>, owner: &OperationOwner, planned: &PlannedOperation) {
    let open = d.state().actions.get(&owner.action).is_some_and(|a| super::is_open(a.status));
    if !open || d.tx.get::<OperationRow>(planned.id).is_some() {
        return;
    }
    let Some(company) = d.state().projects.get(&owner.project).map(|p| p.company_id) else { return };
    let metadata = json!({ "action": owner.action.text(), "service": owner.service.map(wharf_model::ServiceId::text) });
    insert_operation(d, planned, (company, owner.project), owner.workspace, None, Some(metadata));
}

fn insert_operation(
    d: &mut Deciding<'_, '_>,
    planned: &PlannedOperation,
    (company_id, project_id): (CompanyId, ProjectId),
    workspace: Option<WorkspaceId>,
    run_id: Option<RunId>,
    metadata: Option<Value>,
) {
    let number = d.tx.next_number("operation");
    let now = d.now();
    d.tx.put(OperationRow {
        id: planned.id,
        number,
        company_id,
        project_id,
        execution_workspace_id: workspace,
        run_id,
        phase: planned.phase,
        command: planned.command.clone(),
        cwd: planned.cwd.clone(),
        status: OperationStatus::Running,
        attempt: OPERATION_ATTEMPT,
        exit_code: None,
        signal: None,
        error: None,
        log_ref: planned.log_ref.clone(),
        log_deleted_at: None,
        log_deleted_reason: None,
        stdout_excerpt: None,
        stderr_excerpt: None,
        metadata,
        started_at: now,
        finished_at: None,
        // The shim keeps the limit itself; this one only finds operations whose shim is gone.
        deadline_at: Some(now.plus(planned.timeout_ms + 60_000)),
        version: 0,
        created_at: now,
        updated_at: now,
    });
}

/// An operation is that far.
pub(crate) fn operation_goes_on(d: &mut Deciding<'_, '_>, id: OperationId, text: &str) {
    if d.tx.get::<OperationRow>(id).is_some_and(|o| o.status == OperationStatus::Running) {
        d.tx.update::<OperationRow>(id, |o| o.stdout_excerpt = Some(text.to_owned()));
    }
}

/// An operation ended.
pub(crate) fn operation_ended(d: &mut Deciding<'_, '_>, id: OperationId, end: &OperationEnd) {
    let open = d.tx.get::<OperationRow>(id).is_some_and(|o| o.status == OperationStatus::Running);
    if !open {
        return;
    }
    let now = d.now();
    let stopped_by = d.tx.get::<OperationRow>(id).and_then(running_job::stop_asked).filter(|_| end.stopped);
    d.tx.update::<OperationRow>(id, |o| {
        o.status = end.status;
        o.exit_code = end.exit_code;
        o.signal.clone_from(&end.signal);
        o.error = match &stopped_by {
            Some(stop) => Some(format!("stopped by {}", stop.by)),
            None => end.error.clone(),
        };
        // What a step without output said last of itself stays.
        if end.stdout_excerpt.is_some() || o.log_ref.is_some() {
            o.stdout_excerpt.clone_from(&end.stdout_excerpt);
        }
        o.stderr_excerpt.clone_from(&end.stderr_excerpt);
        o.finished_at = Some(now);
        o.deadline_at = None;
    });
    let stops: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.entity_type == "operation" && a.entity_id == id.text() && super::is_open(a.status))
        .filter(|a| a.kind != ActionKind::SealLog)
        .map(|a| a.id)
        .collect();
    for action in stops {
        d.end_action(action, ActionStatus::Superseded, None);
    }
}

/// What an executor found or made.
pub(crate) struct Made<'a> {
    /// Directory.
    pub cwd: &'a str,
    /// Whether it was made now.
    pub created: bool,
    /// Whether its branch was made by us.
    pub branch_created: bool,
    /// Base as named and as a commit.
    pub base: Option<&'a (String, String)>,
    /// One sentence for people.
    pub note: &'a str,
    /// What was asked of the place and what it made of it.
    pub realisation: Option<&'a Realisation>,
}

/// The run's workspace is ready.
pub(crate) fn realised(d: &mut Deciding<'_, '_>, action: ActionId, run_id: RunId, attempt: u32, made: &Made<'_>) {
    let Made { cwd, created, branch_created, base, note, realisation } = *made;
    if is_superseded(d, action) {
        return;
    }
    d.end_action(action, ActionStatus::Done, None);
    let Some(run) = steps::current(d, run_id, attempt) else { return };
    let Some(workspace) = run.workspace_id.and_then(|w| d.tx.get::<WorkspaceRow>(w)).cloned() else {
        let message = "its workspace was made without having been planned";
        finish::setup_failed(d, run_id, Step::Realise, "workspace_realization_failed", message, Value::Null);
        return;
    };
    let now = d.now();
    let guest = is_guest(d, run_id);
    d.tx.update::<WorkspaceRow>(workspace.id, |w| {
        w.status = WorkspaceStatus::Active;
        w.deadline_at = None;
        w.failure_reason = None;
        w.last_used_at = now;
        if guest {
            return;
        }
        w.cwd = Some(cwd.to_owned());
        // What was made once stays ours: a later reuse must not forget it.
        w.created_by_runtime |= created;
        w.branch_created_by_runtime |= branch_created;
        if let (Some((name, commit)), true) = (base, w.base_commit.is_none()) {
            w.base_ref = Some(name.clone());
            w.base_commit = Some(commit.clone());
        }
    });
    let is_own = workspace.strategy_type == WorkspaceStrategy::GitWorktree && !guest;
    if let Some(issue) = run.issue_id.filter(|_| is_own) {
        let before = d.tx.get::<IssueRow>(issue).and_then(|i| i.execution_workspace_id);
        d.tx.update::<IssueRow>(issue, |i| i.execution_workspace_id = Some(workspace.id));
        if let Some(before) = before.filter(|before| *before != workspace.id) {
            left(d, before);
        }
    }
    let kept = realisation.and_then(|r| serde_json::to_value(r).ok());
    if let (Some(kept), Some(lease)) = (&kept, run.lease_id) {
        lease::while_open(d, lease, |l| l.realisation = Some(kept.clone()));
    }
    d.tx.update::<WorkspaceRow>(workspace.id, |w| {
        if guest {
            return;
        }
        w.environment_id = run.environment_id;
        let mut facts = w.metadata.take().and_then(|m| m.as_object().cloned()).unwrap_or_default();
        match kept {
            Some(kept) => facts.insert("realisation".into(), kept),
            None => facts.remove("realisation"),
        };
        w.metadata = (!facts.is_empty()).then_some(Value::Object(facts));
    });
    if run.step != Some(Step::Realise) {
        return;
    }
    let verb = if created { "workspace.realised" } else { "workspace.reused" };
    let there = realisation.map(|r| json!({ "cwd": r.result.cwd, "sync": r.result.sync }));
    let details = json!({ "cwd": cwd, "branch": workspace.branch_name, "note": note, "place": there });
    d.tx.event(run_id, "workspace", "info", note.to_owned(), None);
    d.activity(&Actor::system(), verb, &about::workspace(&workspace, Some(run_id)), Some(details));
    let outcome = if created { "created" } else { "reused" };
    let number = wharf_model::Kind::Workspace.number(workspace.number);
    steps::end(d, run_id, Step::Realise, StepStatus::Succeeded, format!("{number} {outcome}"));
    steps::target(d, run_id);
}

/// Whether an executor has nothing more to say: it came to a workspace in between, and its run waits, or goes on with
/// another executor. Actions that have ended leave memory.
fn is_superseded(d: &Deciding<'_, '_>, action: ActionId) -> bool {
    d.tx.get::<ActionRow>(action).is_none_or(|a| a.status == ActionStatus::Superseded)
}

/// The issue of a workspace has another one now: nobody works in it any more, unless a run does.
fn left(d: &mut Deciding<'_, '_>, id: WorkspaceId) {
    let busy = d.state().runs.values().any(|r| r.workspace_id == Some(id) && r.status == RunStatus::Running);
    d.tx.update::<WorkspaceRow>(id, |w| {
        if !busy && matches!(w.status, WorkspaceStatus::Active | WorkspaceStatus::InReview) {
            w.status = WorkspaceStatus::Idle;
        }
    });
}

/// It could not be made; the run fails with the reason, and what was there stays.
pub(crate) fn failed(
    d: &mut Deciding<'_, '_>,
    action: ActionId,
    run_id: RunId,
    attempt: u32,
    (message, cause): (&str, Option<&str>),
    stands: Option<&StandingWorkspace>,
) {
    if is_superseded(d, action) {
        return;
    }
    d.end_action(action, ActionStatus::Failed, Some(message.to_owned()));
    let Some(run) = steps::current(d, run_id, attempt) else { return };
    if let Some(workspace) = run.workspace_id {
        // What was made is ours, whatever came after it: else nobody would ever remove it.
        if let Some(StandingWorkspace { created, branch_created, base }) = stands {
            d.tx.update::<WorkspaceRow>(workspace, |w| {
                w.created_by_runtime |= created;
                w.branch_created_by_runtime |= branch_created;
                if let (Some((name, commit)), true) = (base, w.base_commit.is_none()) {
                    w.base_ref = Some(name.clone());
                    w.base_commit = Some(commit.clone());
                }
            });
        }
        given_up(d, workspace, run_id, message);
    }
    if run.step != Some(Step::Realise) {
        return;
    }
    let detail = run
        .environment_id
        .and_then(|e| d.state().environments.get(&e))
        .map_or(Value::Null, |e| steps::environment_detail(e, cause.or(Some(message))));
    finish::setup_failed(d, run_id, Step::Realise, "workspace_realization_failed", message, detail);
}

/// Nobody goes on making a workspace: it failed, unless another run is at it too.
pub(crate) fn given_up(d: &mut Deciding<'_, '_>, workspace: WorkspaceId, by: RunId, message: &str) {
    let others = d.state().runs.values().any(|r| {
        r.id != by
            && r.workspace_id == Some(workspace)
            && r.status == RunStatus::Running
            && r.step == Some(Step::Realise)
    });
    if others {
        return;
    }
    d.tx.update::<WorkspaceRow>(workspace, |w| {
        if w.status == WorkspaceStatus::Realising {
            w.status = WorkspaceStatus::Failed;
            w.failure_reason = Some(message.to_owned());
            w.deadline_at = None;
        }
    });
}

#[cfg(test)]
mod tests;

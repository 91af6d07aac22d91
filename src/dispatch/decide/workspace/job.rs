//! Jobs: a command of the project's config, run once in a workspace for one request.

use serde_json::{Value, json};
use wharf_model::config::JobConfig;
use wharf_model::{
    ActionKind, ActionRow, Kind, OperationId, OperationPhase, OperationRow, OperationStatus, RequestRow,
    WorkspaceStatus,
};

use super::restore::is_here;
use super::rows::named;
use super::snapshot::request_of;
use crate::dispatch::decide::{Deciding, about, release, request};
use crate::dispatch::input::{Actor, OperationEnd, Refusal};
use crate::dispatch::perform::shim_dir;

/// Time beyond its limit after which a job whose shim is gone is given up, in milliseconds.
const MARGIN_MS: i64 = 60_000;

/// `workspace.run_job`. The operation's row stands before its process, so that whoever asked can follow its log.
pub(super) fn accept(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let workspace = named(d, row)?;
    let number = Kind::Workspace.number(workspace.number);
    let name = row.args.get("job").and_then(Value::as_str).unwrap_or_default().to_owned();
    match workspace.status {
        WorkspaceStatus::Active
        | WorkspaceStatus::Idle
        | WorkspaceStatus::InReview
        | WorkspaceStatus::Failed
        | WorkspaceStatus::CleanupFailed => {}
        WorkspaceStatus::Archived | WorkspaceStatus::Missing => {
            let why =
                format!("the directory of {number} is not there; `wharf workspace restore {number}` brings it back");
            return Err(Refusal::new("illegal_state", why));
        }
        WorkspaceStatus::Archiving | WorkspaceStatus::Realising => {
            let why = format!("{number} is {}; ask again when that has ended", workspace.status);
            return Err(Refusal::new("illegal_state", why));
        }
    }
    release::check_unchanged(row, &[super::judged(&workspace)])?;
    is_here(d, &workspace).map_err(|place| {
        let why =
            format!("runs of {number} work in {place}, and nothing of it is run outside; start a run there instead");
        Refusal::new("illegal_state", why)
    })?;
    let job = configured(d, &workspace, &name)?;
    let Some(cwd) = workspace.cwd.clone() else {
        return Err(Refusal::new("illegal_state", format!("{number} has no directory")));
    };
    if let Some(running) = d.state().operations.values().find(|o| {
        o.execution_workspace_id == Some(workspace.id)
            && o.status == OperationStatus::Running
            && o.metadata.as_ref().is_some_and(|m| m["job"] == name.as_str())
    }) {
        let why = format!("{name} runs in {number} already, as {}", Kind::Operation.number(running.number));
        return Err(Refusal::new("illegal_state", why));
    }
    let operation: OperationId = d.id();
    let text = operation.text();
    let args = json!({ "operation": text, "job": job, "request": row.id.text() });
    let action = d.intend(ActionKind::RunJob, "workspace", &workspace.id.text(), 1, None, Some(args));
    let now = d.now();
    let operation_number = d.tx.next_number("operation");
    let limit = job.timeout_ms.and_then(|ms| i64::try_from(ms).ok());
    d.tx.put(OperationRow {
        id: operation,
        number: operation_number,
        company_id: workspace.company_id,
        project_id: workspace.project_id,
        execution_workspace_id: Some(workspace.id),
        run_id: None,
        phase: OperationPhase::WorkspaceJob,
        command: Some(job.command.shown()),
        cwd: Some(if job.cwd == "." { cwd } else { format!("{}/{}", cwd.trim_end_matches('/'), job.cwd) }),
        status: OperationStatus::Running,
        attempt: super::OPERATION_ATTEMPT,
        exit_code: None,
        signal: None,
        error: None,
        log_ref: shim_dir("operation", &text, super::OPERATION_ATTEMPT),
        log_deleted_at: None,
        log_deleted_reason: None,
        stdout_excerpt: None,
        stderr_excerpt: None,
        metadata: Some(json!({ "job": name, "action": action.text(), "by": actor.id })),
        started_at: now,
        finished_at: None,
        deadline_at: limit.map(|ms| now.plus(ms.saturating_add(MARGIN_MS))),
        version: 0,
        created_at: now,
        updated_at: now,
    });
    let shown = Kind::Operation.number(operation_number);
    let details = json!({ "job": name, "operation": shown });
    d.activity(actor, "workspace.job_started", &about::workspace(&workspace, None), Some(details));
    Ok(json!({
        "workspace_id": workspace.id.text(), "workspace": number, "job": name, "operation_id": text, "operation": shown,
    }))
}

/// The job of this name in the accepted config.
fn configured(d: &Deciding<'_, '_>, workspace: &wharf_model::WorkspaceRow, name: &str) -> Result<JobConfig, Refusal> {
    let project = d.state().projects.get(&workspace.project_id);
    let jobs = project.and_then(|p| p.config.as_ref()).map(|c| c["jobs"].clone());
    let jobs: Vec<JobConfig> = jobs.and_then(|j| serde_json::from_value(j).ok()).unwrap_or_default();
    let names: Vec<&str> = jobs.iter().map(|j| j.name.as_str()).collect();
    let known = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
    jobs.iter().find(|j| j.name == name).cloned().ok_or_else(|| {
        let why =
            format!("the accepted config has no job {name:?}: {known}; a changed one needs `wharf config accept`");
        Refusal::new("id_unknown", why)
    })
}

/// It will not be run, or its end will not be known: its operation says why.
pub(super) fn failed(d: &mut Deciding<'_, '_>, action: &ActionRow, why: &str) {
    let id = action.args.as_ref().and_then(|a| a["operation"].as_str()).and_then(|t| t.parse::<OperationId>().ok());
    if let Some(id) = id {
        let end =
            OperationEnd { status: OperationStatus::Failed, error: Some(why.to_owned()), ..OperationEnd::default() };
        super::operation_ended(d, id, &end);
    }
    if let Some(request) = request_of(action) {
        request::failed(d, request, "exec_failed", why);
    }
}

//! Requests: accepted together with everything they change, or refused with the reason.

use serde_json::{Value, json};
use wharf_model::rules::release::Judged;
use wharf_model::rules::service_order;
use wharf_model::{
    ActionKind, IssueId, IssueRow, IssueStatus, LeaseId, Priority, ProjectId, RequestId, RequestKind, RequestRow,
    RequestStatus, RunId, RunRow, ServiceId, ServiceRow, StopReason, UnixMillis,
};

use super::{
    Deciding, about, cancel, config, environment, gc, issue, lease_verb, release, resolve, run_start, service, session,
    store, workspace,
};
use crate::dispatch::input::{Actor, Prepared, Refusal};

/// Accepts a request, or says why not; on refusal the caller takes every change back.
pub(crate) fn accept(d: &mut Deciding<'_, '_>, row: &RequestRow, prepared: &Prepared) -> Result<(), Refusal> {
    // A row that was answered before (a repeated wake-up, a restart) is left as it is.
    if d.tx.get::<RequestRow>(row.id).is_some_and(|r| r.status != RequestStatus::Pending) {
        return Ok(());
    }
    let now = d.now();
    if row.expires_at <= now {
        write(d, row, |r| expire(r, now));
        return Ok(());
    }
    let actor = Actor { kind: row.actor_type, id: row.actor_id.clone() };
    if let Prepared::Failed { code, message } = prepared {
        return Err(Refusal { code: known_code(code), message: message.clone() });
    }
    let Some(kind) = RequestKind::parse(&row.kind) else {
        return Err(Refusal::new(
            "illegal_state",
            format!(
                "requests of kind {:?} are not known to this orchestrator; it may be older than what asks",
                row.kind
            ),
        ));
    };
    let result = match kind {
        RequestKind::RunStart => {
            let project = config::first_verb(d, prepared, &actor)?;
            let agent = config::agent_named(d, row, project)?;
            run_start::accept(d, row, agent, &actor)?
        }
        RequestKind::RunCancel => {
            let run: RunId = target(row)?;
            let grace = row.args.get("grace_ms").and_then(Value::as_i64);
            check_expected(d, row, run)?;
            cancel::stop(d, run, StopReason::Operator, grace, &actor)?;
            json!({ "run_id": run.text() })
        }
        RequestKind::RunResolve => resolve::accept(d, row, target::<RunId>(row)?, &actor)?,
        RequestKind::LeaseRelease => release::accept(d, row, target::<LeaseId>(row)?, &actor)?,
        RequestKind::LeaseDestroy
        | RequestKind::LeaseExtend
        | RequestKind::LeaseRetain
        | RequestKind::LeaseRetryCleanup
        | RequestKind::LeaseShell => lease_verb::accept(d, row, kind, &actor)?,
        RequestKind::EnvironmentCreate
        | RequestKind::EnvironmentUpdate
        | RequestKind::EnvironmentArchive
        | RequestKind::EnvironmentRestore
        | RequestKind::EnvironmentDelete
        | RequestKind::EnvironmentProbe
        | RequestKind::EnvironmentTest => environment::accept(d, row, kind, prepared, &actor)?,
        RequestKind::ServiceStart | RequestKind::ServiceStop | RequestKind::ServiceRestart
            if row.target_type.as_deref() == Some("workspace") =>
        {
            service::carry_out(d, row, kind, target(row)?, &actor)?
        }
        RequestKind::ServiceStart => {
            let project = config::first_verb(d, prepared, &actor)?;
            let id = service::current_of(d, config::service_named(d, row, project)?);
            let mut result = service::start_by_hand(d, id, &actor)?;
            result["service_id"] = json!(id.text());
            result
        }
        RequestKind::ServiceStop => service::stop_one(d, row, target(row)?, &actor)?,
        RequestKind::ServiceSetDesired => service::set_desired(d, target(row)?, &row.args, &actor)?,
        RequestKind::ServiceRestart => {
            let id = target::<ServiceId>(row)?;
            check_service(d, row, id)?;
            service::restart_by_hand(d, id, &actor)?
        }
        RequestKind::AgentResetSession => session::reset(d, row, config::agent_named(d, row, None)?, &actor)?,
        RequestKind::IssueCreate => create_issue(d, row, &actor)?,
        RequestKind::IssueUpdate => issue::update(d, row, target::<IssueId>(row)?, prepared, &actor)?,
        RequestKind::IssueComment => comment(d, row, &actor)?,
        RequestKind::ProjectAdd => config::add_project(d, prepared, &actor)?,
        RequestKind::ConfigAccept => config::accept(d, row, prepared, &actor)?,
        RequestKind::StoreBackup => store::back_up(d, row),
        RequestKind::GcRun => gc::accept(d, row, prepared, &actor)?,
        RequestKind::OrchestratorStop => json!({ "stopping": true }),
        RequestKind::WorkspaceArchive
        | RequestKind::WorkspaceSnapshot
        | RequestKind::WorkspaceRestore
        | RequestKind::WorkspaceRunJob
        | RequestKind::WorkspaceStopJob
        | RequestKind::WorkspaceReap => workspace::accept(d, row, kind, prepared, &actor)?,
        RequestKind::AgentComment
        | RequestKind::AgentNextAction
        | RequestKind::AgentReportService
        | RequestKind::AgentSession => {
            return Err(Refusal::new("permission_denied", "only a run may say this, through its own socket"));
        }
    };
    write(d, row, |r| {
        r.status = RequestStatus::Accepted;
        r.answered_at = Some(now);
        r.result = Some(result);
    });
    Ok(())
}

/// Nobody answered in time: nothing that was asked yesterday happens today.
pub(crate) fn expire(r: &mut RequestRow, now: UnixMillis) {
    r.status = RequestStatus::Expired;
    r.answered_at = Some(now);
    r.finished_at = Some(now);
    environment::forget_settings(r);
    r.error_code = Some("request_expired".into());
    r.error = Some("nobody answered in time; ask again".into());
}

/// What an accepted request waited for is done.
pub(crate) fn done(d: &mut Deciding<'_, '_>, id: RequestId, result: Value) {
    let now = d.now();
    d.tx.update::<RequestRow>(id, |r| {
        if r.status == RequestStatus::Accepted {
            r.status = RequestStatus::Done;
            r.finished_at = Some(now);
            r.result = Some(result);
        }
    });
}

/// What an accepted request waited for will not be.
pub(crate) fn failed(d: &mut Deciding<'_, '_>, id: RequestId, code: &str, message: &str) {
    let now = d.now();
    d.tx.update::<RequestRow>(id, |r| {
        if r.status == RequestStatus::Accepted {
            r.status = RequestStatus::Failed;
            r.finished_at = Some(now);
            r.error_code = Some(code.to_owned());
            r.error = Some(message.to_owned());
        }
    });
}

/// Codes that executors give come from the same list as ours.
fn known_code(code: &str) -> &'static str {
    ["config_invalid", "project_ambiguous", "cwd_missing", "permission_denied", "id_unknown", "internal"]
        .into_iter()
        .find(|known| *known == code)
        .unwrap_or("internal")
}

/// Refuses a request, for good.
pub(crate) fn refuse(d: &mut Deciding<'_, '_>, row: &RequestRow, refusal: &Refusal) {
    let now = d.now();
    write(d, row, |r| {
        r.status = RequestStatus::Refused;
        environment::forget_settings(r);
        r.answered_at = Some(now);
        r.finished_at = Some(now);
        r.error_code = Some(refusal.code.to_owned());
        r.error = Some(refusal.message.clone());
    });
    if let Some(company) = d.state().companies.keys().next().copied() {
        let actor = Actor { kind: row.actor_type, id: row.actor_id.clone() };
        let details = json!({ "kind": row.kind, "code": refusal.code, "message": refusal.message });
        d.activity(&actor, "request.refused", &about::request(row, company), Some(details));
    }
}

/// Writes the row as it was inserted by its sender, changed.
fn write(d: &mut Deciding<'_, '_>, row: &RequestRow, change: impl FnOnce(&mut RequestRow)) {
    if d.tx.get::<RequestRow>(row.id).is_none() {
        d.tx.adopt(row.clone());
    }
    d.tx.update::<RequestRow>(row.id, change);
}

/// Reads the target's id.
fn target<T: std::str::FromStr>(row: &RequestRow) -> Result<T, Refusal> {
    let text = row.target_id.as_deref().unwrap_or_default();
    text.parse().map_err(|_| Refusal::new("id_malformed", format!("{text:?} is no id of what {} needs", row.kind)))
}

fn check_expected(d: &Deciding<'_, '_>, row: &RequestRow, run: RunId) -> Result<(), Refusal> {
    let judged: Vec<_> =
        d.tx.get::<RunRow>(run).map(|r| Judged { id: r.id.text(), version: r.version }).into_iter().collect();
    release::check_unchanged(row, &judged)
}

/// The same for a service: whoever has begun to use it since, or to need it, is concerned as well.
fn check_service(d: &Deciding<'_, '_>, row: &RequestRow, id: ServiceId) -> Result<(), Refusal> {
    let Some(service) = d.tx.get::<ServiceRow>(id) else { return Ok(()) };
    let needed_by = service_order::dependents(d.state().services.values(), id).map(|s| s.id);
    release::check_unchanged(row, &service_order::judged(service, d.state().users_of(id), needed_by))
}

/// Ends accepted requests whose goal is reached, or can no longer be.
pub(crate) fn settle(d: &mut Deciding<'_, '_>) {
    environment::settle(d);
    let open: Vec<RequestId> =
        d.state().requests.values().filter(|r| r.status == RequestStatus::Accepted).map(|r| r.id).collect();
    for id in open {
        let Some(row) = d.tx.get::<RequestRow>(id).cloned() else { continue };
        service::carry_on_stop(d, &row);
        let Some((status, error)) = reached(d, &row) else {
            lease_verb::carry_on(d, &row);
            continue;
        };
        lease_verb::ended(d, &row, status);
        let now = d.now();
        d.tx.update::<RequestRow>(id, |r| {
            r.status = status;
            r.finished_at = Some(now);
            if let Some((code, message)) = error {
                r.error_code = Some(code);
                r.error = Some(message);
            }
        });
    }
}

/// How a request has ended: with code and words where it failed.
pub(crate) type Reached = (RequestStatus, Option<(String, String)>);

fn reached(d: &Deciding<'_, '_>, row: &RequestRow) -> Option<Reached> {
    let done = Some((RequestStatus::Done, None));
    match RequestKind::parse(&row.kind) {
        Some(RequestKind::RunCancel) => {
            let run = row.target_id.as_deref().and_then(|t| t.parse::<RunId>().ok());
            // A run that is no longer here has ended.
            let live = run.and_then(|r| d.state().runs.get(&r)).is_some_and(|r| !r.status.is_terminal());
            if live { None } else { done }
        }
        Some(RequestKind::GcRun) => {
            let id = row.id.text();
            let at_work = d
                .state()
                .actions
                .values()
                .any(|a| a.kind == ActionKind::DeleteLog && a.entity_id == id && super::is_open(a.status));
            let at_work = at_work || workspace::has_action(d.state(), row);
            if at_work { None } else { done }
        }
        Some(
            kind @ (RequestKind::LeaseRelease
            | RequestKind::LeaseDestroy
            | RequestKind::LeaseExtend
            | RequestKind::LeaseRetain
            | RequestKind::LeaseRetryCleanup
            | RequestKind::LeaseShell),
        ) => lease_verb::reached(d, row, kind),
        Some(kind @ (RequestKind::ServiceStart | RequestKind::ServiceRestart | RequestKind::ServiceStop)) => {
            let result = row.result.clone().unwrap_or_default();
            let one = |id: ServiceId, generation| service::reached(d.state().services.get(&id), kind, generation);
            let reached = if result["services"].is_array() {
                service::reached_all(&result, one)
            } else {
                let named = result["service_id"].as_str().or(row.target_id.as_deref());
                match named.and_then(|t| t.parse::<ServiceId>().ok()) {
                    Some(id) => one(id, result["generation"].as_u64()),
                    None => service::reached(None, kind, None),
                }
            };
            reached.map(|reached| match reached {
                Ok(()) => (RequestStatus::Done, None),
                Err(failed) => (RequestStatus::Failed, Some(failed)),
            })
        }
        Some(kind) if workspace::settles(kind) => workspace::reached(d, row, kind),
        // Ended by whoever carries them out.
        Some(kind) if environment::settles(kind) => None,
        // Finished together with its action.
        Some(RequestKind::StoreBackup) => None,
        _ => done,
    }
}

fn create_issue(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let project: ProjectId = target(row)?;
    let title = issue::title_of(row.args.get("title").and_then(Value::as_str).unwrap_or_default())?;
    let Some(project) = d.state().projects.get(&project).filter(|p| p.removed_at.is_none()).cloned() else {
        return Err(Refusal::new("id_unknown", "there is no such project"));
    };
    // A key may have been another project's before: its numbers are not given out again.
    let number = d.tx.next_number_past(&format!("issue/{}", project.key), project.issue_counter);
    d.tx.update::<wharf_model::ProjectRow>(project.id, |p| p.issue_counter = number);
    let id: IssueId = d.id();
    let identifier = format!("{}-{number}", project.key);
    let now = d.now();
    let issue = IssueRow {
        id,
        company_id: project.company_id,
        project_id: project.id,
        number,
        identifier: identifier.clone(),
        title,
        description: row.args.get("description").and_then(Value::as_str).map(str::to_owned),
        status: IssueStatus::Todo,
        priority: row
            .args
            .get("priority")
            .and_then(Value::as_str)
            .and_then(Priority::parse)
            .unwrap_or(Priority::Medium),
        assignee_agent_id: None,
        checkout_run_id: None,
        execution_run_id: None,
        execution_agent_name_key: None,
        execution_locked_at: None,
        execution_workspace_id: None,
        execution_workspace_settings: None,
        started_at: None,
        completed_at: None,
        cancelled_at: None,
        version: 0,
        created_at: now,
        updated_at: now,
    };
    let who = about::issue(&issue);
    d.tx.put(issue);
    d.activity(actor, "issue.created", &who, None);
    Ok(json!({ "issue_id": id.text(), "issue": identifier }))
}

fn comment(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let id: IssueId = target(row)?;
    let body = row.args.get("body").and_then(Value::as_str).map(str::trim).unwrap_or_default().to_owned();
    if body.is_empty() {
        return Err(Refusal::new("illegal_state", "a comment needs some text"));
    }
    let Some(issue) = d.state().issues.get(&id).cloned() else {
        return Err(Refusal::new("issue_not_found", "there is no such issue"));
    };
    let comment = d.id();
    let created_at = d.now();
    d.tx.comment(wharf_model::CommentRow {
        id: comment,
        company_id: issue.company_id,
        issue_id: Some(id),
        run_id: None,
        author_type: actor.kind.as_str().to_owned(),
        author_id: actor.id.clone(),
        body,
        created_at,
    });
    d.activity(actor, "issue.commented", &about::issue(&issue), None);
    Ok(json!({ "comment_id": comment.text() }))
}

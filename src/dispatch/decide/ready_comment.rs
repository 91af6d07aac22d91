//! The comment on an issue that says where a run works and what runs there.

use wharf_model::{CommentId, CommentRow, RunId, RunRow, Step, StepId, StepRow, WorkspaceRow};

use super::{Deciding, about};
use crate::dispatch::input::Actor;

/// Comments on the run's issue once its workspace and services are ready, where something was made for it: its
/// worktree, or a service that it started. Each run says so once.
pub(crate) fn tell(d: &mut Deciding<'_, '_>, run_id: RunId) {
    let Some(run) = d.tx.get::<RunRow>(run_id).cloned().filter(|r| r.attempt <= 1) else { return };
    let Some(issue) = run.issue_id.and_then(|i| d.state().issues.get(&i)).cloned() else { return };
    let Some(workspace) = run.workspace_id.and_then(|w| d.tx.get::<WorkspaceRow>(w)).cloned() else { return };
    let services: Vec<_> = d.state().services_of(run_id).filter_map(|s| d.state().services.get(&s)).cloned().collect();
    let made =
        d.tx.get::<StepRow>(StepId(run_id, Step::Realise))
            .and_then(|s| s.outcome.as_deref())
            .is_some_and(|outcome| outcome.contains("created"));
    let started = services.iter().any(|s| s.started_by_run_id == Some(run_id));
    if !made && !started {
        return;
    }
    let cwd = workspace.cwd.clone().unwrap_or_default();
    let mut lines = vec!["## Workspace ready".to_owned(), String::new()];
    lines.push(format!("- Strategy: `{}`", workspace.strategy_type));
    if let Some(branch) = &workspace.branch_name {
        lines.push(format!("- Branch: `{branch}`"));
    }
    lines.push(format!("- Directory: `{cwd}`"));
    if let Some(root) = workspace.provider_ref.as_ref().filter(|root| **root != cwd) {
        lines.push(format!("- Worktree: `{root}`"));
    }
    for service in &services {
        let reused = if service.started_by_run_id == Some(run_id) { "" } else { " (reused)" };
        let place = service.url.as_deref().unwrap_or("running");
        lines.push(format!("- Service: {}: {place}{reused}", service.name));
    }
    let (id, created_at): (CommentId, _) = (d.id(), d.now());
    let system = Actor::system();
    d.tx.comment(CommentRow {
        id,
        company_id: run.company_id,
        issue_id: Some(issue.id),
        run_id: Some(run_id),
        author_type: system.kind.as_str().to_owned(),
        author_id: system.id.clone(),
        body: lines.join("\n"),
        created_at,
    });
    let mut who = about::issue(&issue);
    who.run = Some(run_id);
    d.activity(&system, "issue.commented", &who, None);
}

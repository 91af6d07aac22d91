//! Environments that are archived, come back, or go for good.

use serde_json::{Value, json};
use wharf_model::rules::environment_change::{self, EnvironmentChange, EnvironmentEffect, EnvironmentFacts, title};
use wharf_model::state::State;
use wharf_model::{
    AgentStatus, EnvironmentId, EnvironmentRow, EnvironmentStatus, Kind, LeaseEnd, LeaseStatus, RequestRow, Step,
};

use super::super::{Deciding, about, finish as run_finish, lease, release, steps};
use super::{answer, by_hand, finish, is_local, judged, keep_it, named};
use crate::dispatch::input::{Actor, Refusal};

/// Gathers the rows that a change concerns from memory, as the preview gathers them from the store.
pub(super) fn facts(state: &State, environment: &EnvironmentRow) -> EnvironmentFacts {
    let company = environment.company_id;
    let open = state.leases.values().filter(|l| l.environment_id == environment.id && !l.status.is_terminal());
    let mut leases: Vec<_> = open.cloned().collect();
    leases.sort_unstable_by_key(|l| l.number);
    let mut runs: Vec<_> =
        state.runs.values().filter(|r| r.company_id == company && !r.status.is_terminal()).map(Into::into).collect();
    runs.sort_unstable_by_key(|r: &environment_change::OpenRun| r.number);
    let agents = state.agents.values().filter(|a| a.company_id == company && a.status != AgentStatus::Archived);
    let projects = state.projects.values().filter(|p| p.company_id == company && p.removed_at.is_none());
    EnvironmentFacts {
        leases,
        runs,
        agents: agents.cloned().collect(),
        projects: projects.cloned().collect(),
        environment: environment.clone(),
    }
}

/// Judges a change as its preview did, and that nothing has changed since.
fn judge(
    d: &Deciding<'_, '_>,
    row: &RequestRow,
    environment: &EnvironmentRow,
    change: EnvironmentChange,
    cleanup: bool,
) -> Result<(EnvironmentEffect, Value), Refusal> {
    let facts = facts(d.state(), environment);
    let effect = environment_change::effect(&facts, change, cleanup)
        .map_err(|why| Refusal::new("illegal_state", why.to_string()))?;
    release::check_unchanged(row, &effect.judged)?;
    let agents: Vec<&str> =
        facts.agents.iter().filter(|a| effect.agents.contains(&a.id)).map(|a| a.name.as_str()).collect();
    let projects: Vec<&str> =
        facts.projects.iter().filter(|p| effect.projects.contains(&p.id)).map(|p| p.key.as_str()).collect();
    let named_by = json!({ "agents": agents, "projects": projects });
    Ok((effect, named_by))
}

/// `environment.archive`.
pub(super) fn archive(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let environment = named(d, row)?;
    let (effect, named_by) = judge(d, row, &environment, EnvironmentChange::Archive, false)?;
    archive_row(d, &environment, actor, None);
    let mut result = answer(&environment);
    result["effect"] = serde_json::to_value(&effect).unwrap_or(Value::Null);
    result["named_by"] = named_by;
    Ok(result)
}

/// Archives an environment: who holds it goes on, who waits for a slot of it fails.
pub(crate) fn archive_row(d: &mut Deciding<'_, '_>, row: &EnvironmentRow, actor: &Actor, details: Option<Value>) {
    d.tx.update::<EnvironmentRow>(row.id, |e| e.status = EnvironmentStatus::Archived);
    d.activity(actor, "environment.archived", &about::environment(row), details);
    let waiting: Vec<_> = d
        .state()
        .leases
        .values()
        .filter(|l| l.environment_id == row.id && l.status == LeaseStatus::Waiting)
        .cloned()
        .collect();
    for lease in waiting {
        let message = format!("environment {} was archived while it was waited for", row.name);
        lease::give_back(d, lease.id, LeaseEnd::Failed, Some(message.clone()));
        if let Some(run) = lease.run_id {
            let detail = steps::environment_detail(row, Some(&message));
            run_finish::setup_failed(d, run, Step::Acquire, "environment_inactive", &message, detail);
        }
    }
}

/// `environment.restore`; one that waits to be deleted stays.
pub(super) fn restore(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let environment = named(d, row)?;
    if environment.status == EnvironmentStatus::Active {
        return Err(Refusal::new("illegal_state", format!("{} is active already", title(&environment))));
    }
    by_hand(d, &environment, "restore")?;
    release::check_unchanged(row, &judged(&environment))?;
    d.tx.update::<EnvironmentRow>(environment.id, |e| {
        e.status = EnvironmentStatus::Active;
        keep_it(e);
    });
    d.activity(actor, "environment.restored", &about::environment(&environment), None);
    Ok(answer(&environment))
}

/// `environment.delete`: at once when nothing of it is left at a provider, else after the clean-up that it begins.
pub(super) fn delete(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let environment = named(d, row)?;
    if is_local(&environment) {
        let why = environment_change::NotChangeable::Local(title(&environment));
        return Err(Refusal::new("illegal_state", why.to_string()));
    }
    let cleanup = row.args.get("cleanup").and_then(Value::as_bool) == Some(true);
    let (effect, named_by) = judge(d, row, &environment, EnvironmentChange::Delete, cleanup)?;
    if environment.status == EnvironmentStatus::Active {
        archive_row(d, &environment, actor, Some(json!({ "reason": "it is being deleted" })));
    }
    let mark = json!({
        "request": row.id.text(), "by": actor.id, "actor": actor.kind.as_str(), "at": d.now().0, "named_by": named_by,
    });
    d.tx.update::<EnvironmentRow>(environment.id, |e| {
        let mut facts = e.metadata.take().and_then(|m| m.as_object().cloned()).unwrap_or_default();
        facts.insert("deleting".into(), mark);
        e.metadata = Some(Value::Object(facts));
    });
    for id in &effect.cleans {
        lease::give_back(d, *id, LeaseEnd::Released, Some(format!("{} is deleted", environment.name)));
    }
    finish_deletions(d);
    let mut result = answer(&environment);
    result["effect"] = serde_json::to_value(&effect).unwrap_or(Value::Null);
    result["named_by"] = named_by;
    Ok(result)
}

/// Deletes what was to be deleted, once nothing of it is held any more.
pub(super) fn finish_deletions(d: &mut Deciding<'_, '_>) {
    let ready: Vec<EnvironmentRow> = d
        .state()
        .environments
        .values()
        .filter(|e| e.is_being_deleted())
        .filter(|e| !d.state().leases.values().any(|l| l.environment_id == e.id && !l.status.is_terminal()))
        .cloned()
        .collect();
    for row in ready {
        let mark = row.metadata.as_ref().map(|m| m["deleting"].clone()).unwrap_or_default();
        let actor = Actor {
            kind: mark["actor"].as_str().and_then(|a| a.parse().ok()).unwrap_or(wharf_model::ActorType::System),
            id: mark["by"].as_str().unwrap_or("wharf").to_owned(),
        };
        d.tx.update::<EnvironmentRow>(row.id, |e| e.status = EnvironmentStatus::Deleted);
        let details = json!({ "name": row.name, "named_by": mark["named_by"] });
        d.activity(&actor, "environment.deleted", &about::environment(&row), Some(details));
    }
}

/// Ends the request of a deletion when it has happened, or when its clean-up has failed.
pub(super) fn settle(d: &mut Deciding<'_, '_>, row: &RequestRow) {
    let id =
        row.result.as_ref().and_then(|r| r["environment_id"].as_str()).and_then(|t| t.parse::<EnvironmentId>().ok());
    let Some(environment) = id.and_then(|id| d.state().environments.get(&id)).cloned() else {
        finish(d, row, None, None);
        return;
    };
    if environment.status == EnvironmentStatus::Deleted {
        finish(d, row, None, None);
        return;
    }
    if !environment.is_being_deleted() {
        let message = format!("{} was restored before its clean-up was done, and stays", title(&environment));
        finish(d, row, None, Some(("illegal_state".into(), message)));
        return;
    }
    let parked = d
        .state()
        .leases
        .values()
        .find(|l| l.environment_id == environment.id && l.status == LeaseStatus::PendingCleanup)
        .map(|l| (Kind::Lease.number(l.number), l.cleanup_error.clone().or_else(|| l.failure_reason.clone())));
    if let Some((lease, why)) = parked {
        let message = format!(
            "{} is not deleted yet: {lease} could not be cleaned up ({}); that is tried again, and the environment goes \
             once it has succeeded",
            title(&environment),
            why.as_deref().unwrap_or("no reason was given")
        );
        finish(d, row, None, Some(("lease_cleanup_failed".into(), message)));
    }
}

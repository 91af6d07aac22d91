//! Removing old logs: the rows say what goes and why, then it goes.

use serde_json::{Value, json};
use wharf_model::{ActionKind, OperationRow, OperationStatus, RequestRow, RunRow, ServiceRow};

use super::{Deciding, about};
use crate::dispatch::input::{Actor, LogOwner, Prepared, Refusal};

/// Accepts a pass that was planned beside the loop. What has changed since is left to the next one.
pub(crate) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let Prepared::Gc(plan) = prepared else {
        return Err(Refusal::new("internal", "what may be removed was not looked up"));
    };
    let now = d.now();
    let (mut dirs, mut logs, mut bytes) = (Vec::new(), Vec::new(), 0);
    for log in &plan.logs {
        if !is_due(d, log.owner) {
            continue;
        }
        let reason = Some(plan.reason.clone());
        match log.owner {
            LogOwner::Run(id) => d.tx.update::<RunRow>(id, |r| {
                r.log_deleted_at = Some(now);
                r.log_deleted_reason = reason;
            }),
            LogOwner::Operation(id) => d.tx.update::<OperationRow>(id, |o| {
                o.log_deleted_at = Some(now);
                o.log_deleted_reason = reason;
            }),
            LogOwner::Service(id, generation) => d.tx.update::<ServiceRow>(id, |s| {
                s.log_deleted_generation = Some(generation);
                s.log_deleted_at = Some(now);
                s.log_deleted_reason = reason;
            }),
        };
        dirs.push(log.dir.clone());
        let (entity, id, start) = (log.owner.entity(), log.owner.id(), log.owner.start());
        logs.push(json!({ "id": id, "number": log.number, "entity": entity, "start": start, "bytes": log.bytes }));
        bytes += log.bytes;
    }
    let kept = super::workspace::empty(d, row, &plan.kept);
    let result = json!({
        "logs": logs, "kept": kept, "bytes": bytes, "cache": plan.cache, "orphans": plan.orphans, "more": plan.more,
        "keep_ms": plan.keep_ms,
    });
    if let Some(company) = d.state().companies.keys().next().copied() {
        let details = json!({
            "logs": logs.len(), "kept": kept, "bytes": bytes, "cacheFiles": plan.cache.len(), "orphans": plan.orphans,
            "reason": plan.reason,
        });
        d.activity(actor, "store.collected", &about::request(row, company), Some(details));
    }
    if !dirs.is_empty() || !plan.cache.is_empty() {
        let args = json!({ "dirs": dirs, "files": plan.cache });
        d.intend(ActionKind::DeleteLog, "request", &row.id.text(), 1, None, Some(args));
    }
    Ok(result)
}

/// Whether a log may go now: its process has ended, nothing is left to do about it, and no open run needs it.
fn is_due(d: &Deciding<'_, '_>, owner: LogOwner) -> bool {
    let (id, start) = (owner.id(), owner.start());
    let busy = d
        .state()
        .actions
        .values()
        .any(|a| super::is_open(a.status) && a.entity_id == id && start.is_none_or(|start| a.attempt == start));
    let open = |run| d.tx.get::<RunRow>(run).is_some_and(|r| !r.status.is_terminal());
    !busy
        && match owner {
            LogOwner::Run(id) => d.tx.get::<RunRow>(id).is_some_and(|r| {
                let ended = r.status.is_terminal() && r.log_ref.is_some() && r.log_deleted_at.is_none();
                ended && !d.state().runs.values().any(|o| o.lineage == r.lineage && !o.status.is_terminal())
            }),
            LogOwner::Operation(id) => d.tx.get::<OperationRow>(id).is_some_and(|o| {
                o.status != OperationStatus::Running && o.log_deleted_at.is_none() && !o.run_id.is_some_and(open)
            }),
            LogOwner::Service(id, generation) => d.tx.get::<ServiceRow>(id).is_some_and(|s| {
                let ended = generation < s.generation || (generation == s.generation && !s.status.is_live());
                let removed = s.log_deleted_generation.is_some_and(|gone| gone >= generation);
                let used = d.state().users_of(id).next().is_some() || s.started_by_run_id.is_some_and(open);
                ended && !removed && !used
            }),
        }
}

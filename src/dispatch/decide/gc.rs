//! Removing old logs: the rows say what goes and why, then it goes.

use serde_json::{Value, json};
use wharf_model::{ActionKind, RequestRow, RunRow};

use super::{Deciding, about};
use crate::dispatch::input::{Actor, Prepared, Refusal};

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
    let (mut dirs, mut runs, mut bytes) = (Vec::new(), Vec::new(), 0);
    for log in &plan.logs {
        let due =
            d.tx.get::<RunRow>(log.id)
                .is_some_and(|r| r.status.is_terminal() && r.log_ref.is_some() && r.log_deleted_at.is_none());
        let id = log.id.text();
        let busy = d.state().actions.values().any(|a| super::is_open(a.status) && a.entity_id == id);
        if !due || busy {
            continue;
        }
        d.tx.update::<RunRow>(log.id, |r| {
            r.log_deleted_at = Some(now);
            r.log_deleted_reason = Some(plan.reason.clone());
        });
        dirs.push(log.dir.clone());
        runs.push(json!({ "id": id, "number": log.run, "bytes": log.bytes }));
        bytes += log.bytes;
    }
    let result = json!({
        "logs": runs, "bytes": bytes, "cache": plan.cache, "orphans": plan.orphans, "more": plan.more,
        "keep_ms": plan.keep_ms,
    });
    if let Some(company) = d.state().companies.keys().next().copied() {
        let details = json!({
            "logs": runs.len(), "bytes": bytes, "cacheFiles": plan.cache.len(), "orphans": plan.orphans,
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

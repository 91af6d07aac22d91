//! Reaping: workspaces of finished issues are archived once their time is over, and only what is clean.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wharf_model::rules::close_check::{AskedBy, judge};
use wharf_model::rules::reap;
use wharf_model::rules::release::Judged;
use wharf_model::{Kind, RequestRow, RequestStatus, WorkspaceId, WorkspaceRow, WorkspaceStatus};

use super::archive;
use super::rows::gather;
use crate::dispatch::decide::Deciding;
use crate::dispatch::decide::request::Reached;
use crate::dispatch::input::{Actor, Prepared, ReapCandidate, Refusal};

/// Workspaces that one request archives; the others wait for the next one.
const AT_ONCE: usize = 50;

/// `workspace.reap`: all that are due, or of these only the ones that were named with the versions that were judged.
pub(super) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let Prepared::Reap(read) = prepared else {
        return Err(Refusal::new("internal", "what may be reaped was not looked at"));
    };
    let named: Option<BTreeMap<String, i64>> = match &row.expect {
        None => None,
        Some(expect) => {
            let judged: Vec<Judged> = serde_json::from_value(expect.clone())
                .map_err(|e| Refusal::new("illegal_state", format!("`expect` is no list of id and version: {e}")))?;
            Some(judged.into_iter().map(|j| (j.id, j.version)).collect())
        }
    };
    let (mut archived, mut stays) = (Vec::new(), Vec::new());
    for candidate in &read.candidates {
        eligible(d, candidate);
        let wanted = named.as_ref().map(|n| n.get(&candidate.workspace.text()).copied());
        if wanted == Some(None) {
            continue;
        }
        let Some(number) = number_of(d, candidate.workspace) else { continue };
        let changed = wanted.flatten().is_some_and(|version| version != candidate.version);
        let verdict = if archived.len() >= AT_ONCE {
            Err("enough is archived at once; ask again".to_owned())
        } else if changed {
            Err("it has changed since the preview".to_owned())
        } else {
            one(d, candidate, read.retention.clone(), row, actor)
        };
        match verdict {
            Ok(()) => archived.push(json!({ "id": candidate.workspace.text(), "workspace": number })),
            Err(reason) => {
                stays.push(json!({ "id": candidate.workspace.text(), "workspace": number, "reason": reason }));
            }
        }
    }
    Ok(json!({ "archived": archived, "stays": stays }))
}

/// The row says from when on it may go, for those who look at it.
fn eligible(d: &mut Deciding<'_, '_>, candidate: &ReapCandidate) {
    let is_new =
        d.tx.get::<WorkspaceRow>(candidate.workspace)
            .is_some_and(|w| w.version == candidate.version && w.cleanup_eligible_at != candidate.eligible_at);
    if is_new {
        d.tx.update::<WorkspaceRow>(candidate.workspace, |w| w.cleanup_eligible_at = candidate.eligible_at);
    }
}

fn number_of(d: &Deciding<'_, '_>, id: WorkspaceId) -> Option<String> {
    d.tx.get::<WorkspaceRow>(id).map(|w| Kind::Workspace.number(w.number))
}

/// Archives one, or says why it stays.
fn one(
    d: &mut Deciding<'_, '_>,
    candidate: &ReapCandidate,
    retention: wharf_model::config::Retention,
    row: &RequestRow,
    actor: &Actor,
) -> Result<(), String> {
    if let Some(why) = &candidate.stays {
        return Err(why.clone());
    }
    let Some(found) = &candidate.found else { return Err("it was not looked at".to_owned()) };
    let rows = gather(d.state(), candidate.workspace).ok_or("its project is not known any more")?;
    if let Some(why) = rows.not_archivable() {
        return Err(why);
    }
    if !matches!(rows.workspace.status, WorkspaceStatus::Idle | WorkspaceStatus::InReview | WorkspaceStatus::Failed) {
        return Err(format!("it is {}", rows.workspace.status));
    }
    let check = judge(found, &rows.around(), &rows.plan(&retention, d.now()), AskedBy::Reaper);
    reap::allows(&check)?;
    archive::begin(d, &rows, &check, &retention, row.id, found.bytes, actor);
    Ok(())
}

/// How a request that reaps has ended: when nothing of what it began is under way.
pub(super) fn reached(d: &Deciding<'_, '_>, row: &RequestRow) -> Option<Reached> {
    let ids = row.result.as_ref().and_then(|r| r["archived"].as_array()).into_iter().flatten();
    let ids: Vec<WorkspaceId> = ids.filter_map(|a| a["id"].as_str()?.parse().ok()).collect();
    let rows = || ids.iter().filter_map(|id| d.tx.get::<WorkspaceRow>(*id));
    if rows().any(|w| w.status == WorkspaceStatus::Archiving) {
        return None;
    }
    let failed: Vec<String> = rows()
        .filter(|w| w.status == WorkspaceStatus::CleanupFailed)
        .map(|w| {
            let why = w.failure_reason.as_deref().unwrap_or("its clean-up failed");
            format!("{}: {why}", Kind::Workspace.number(w.number))
        })
        .collect();
    if failed.is_empty() {
        Some((RequestStatus::Done, None))
    } else {
        Some((RequestStatus::Failed, Some(("workspace_cleanup_failed".to_owned(), failed.join("; ")))))
    }
}

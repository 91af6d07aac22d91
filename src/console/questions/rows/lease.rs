//! Leases: their lines, and what filters ask of them.

use super::fact;
use crate::console::questions::filter::Facts;
use wharf_model::filter::{Field, Status};
use wharf_model::rules::lease_verb::CLEANUP_TRIES_MAX;
use wharf_model::rules::release::HolderIs;
use wharf_model::{CleanupStatus, Kind, LeasePolicy, LeaseStatus, UnixMillis};
use wharf_store::view;
use wharf_ui::glyph::Class;
use wharf_ui::rows::{Fact, FactBlock, LeaseLine, lease_state, policy_words};

/// What a lease's policy means.
pub const fn policy_meaning(policy: LeasePolicy) -> &'static str {
    match policy {
        LeasePolicy::Ephemeral => "released when the run ends, nothing is kept",
        LeasePolicy::ReuseByEnvironment => "kept for the next run in this environment",
        LeasePolicy::ReuseByExecutionWorkspace => "kept for the next run in the same workspace",
        LeasePolicy::RetainOnFailure => "kept for a look when the run fails",
    }
}

/// What a lease waits for, in words: its place in our line, or in one of its provider's.
pub fn waits(item: &view::LeaseItem) -> Option<String> {
    let row = &item.lease;
    match row.status {
        LeaseStatus::Waiting => Some(match item.position {
            Some(n) => format!("place {n} in the line"),
            None => "waits for a slot".to_owned(),
        }),
        LeaseStatus::Acquiring => {
            let queue = row.queue.as_ref()?;
            let place = queue["position"].as_u64().map_or_else(|| "queued".to_owned(), |n| format!("place {n}"));
            let reason = queue["reason"].as_str().filter(|r| !r.is_empty());
            Some(format!("{place} at {}{}", row.provider, reason.map_or_else(String::new, |r| format!(": {r}"))))
        }
        _ => None,
    }
}

/// A lease.
pub fn lease(item: &view::LeaseItem) -> LeaseLine {
    let row = &item.lease;
    let (class, word) = lease_state(row.status);
    let live = !row.status.is_terminal();
    let holder = item.run_number.map(|n| {
        let names = [Some(Kind::Run.number(n)), item.agent.clone(), item.issue.clone()];
        names.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    let judged = item.holder();
    let held = judged.is != HolderIs::Nobody;
    let holder_state = held.then(|| judged.is.as_str());
    let evidence = held.then(|| judged.evidence.clone());
    let cleanup = row.cleanup_status.map(|status| match status {
        CleanupStatus::Success => "done".to_owned(),
        CleanupStatus::Pending | CleanupStatus::Failed if row.status == LeaseStatus::Releasing => {
            format!("try {} of {CLEANUP_TRIES_MAX} now", row.cleanup_attempts)
        }
        CleanupStatus::Failed if row.next_try_at.is_none() => format!("gave up after {}", row.cleanup_attempts),
        CleanupStatus::Pending | CleanupStatus::Failed => {
            format!("try {} of {CLEANUP_TRIES_MAX}", (row.cleanup_attempts + 1).min(CLEANUP_TRIES_MAX))
        }
    });
    let (class, until) = match row.status {
        LeaseStatus::Active if judged.is == HolderIs::Unknown => (Class::Unknown, row.expires_at),
        LeaseStatus::Retained => (class, row.retain_until.or(row.expires_at)),
        _ => (class, row.expires_at),
    };
    let mut about = vec![
        fact("LEASE", Kind::Lease.number(row.number), row.id.text()),
        fact("status", word, row.failure_reason.clone().unwrap_or_default()),
        fact("environment", item.environment.clone(), format!("driver {}", row.provider)),
        fact("policy", policy_words(row.lease_policy), policy_meaning(row.lease_policy)),
    ];
    if let Some(id) = &row.provider_lease_id {
        about.push(fact("provider id", id.clone(), ""));
    }
    if let Some(n) = item.resumed_from {
        about.push(fact("resumed", Kind::Lease.number(n), "it took over what that one held"));
    }
    if let Some(until) = row.retain_until.filter(|_| row.status == LeaseStatus::Active) {
        about.push(fact("then kept", until.rfc3339(), "whatever its policy"));
    }
    if let Some(error) = row.cleanup_error.as_ref().filter(|_| live) {
        about.push(Fact { bad: true, ..fact("last error", error.clone(), "") });
    }
    if let Some(fence) = row.fence {
        about.push(fact("fence", fence.to_string(), "rises with each lease of this environment"));
    }
    let mut holding = vec![fact("HOLDER", holder_state.unwrap_or("none"), evidence.clone().unwrap_or_default())];
    if let Some(holder) = &holder {
        holding.push(fact("run", holder.clone(), item.run_status.map(|s| s.to_string()).unwrap_or_default()));
    }
    if let Some(n) = item.workspace_number {
        holding.push(fact("workspace", Kind::Workspace.number(n), item.workspace.clone().unwrap_or_default()));
    }
    LeaseLine {
        id: row.id,
        number: row.number,
        version: row.version,
        class,
        word: word.to_owned(),
        live,
        environment: item.environment.clone(),
        environment_number: item.environment_number,
        driver: row.provider.clone(),
        policy: policy_words(row.lease_policy).to_owned(),
        holder,
        holder_state: holder_state.map(str::to_owned),
        holder_evidence: evidence,
        run: row.run_id,
        workspace: item.workspace_number.map(|n| {
            let name = item.workspace.clone().unwrap_or_default();
            format!("{} {name}", Kind::Workspace.number(n)).trim_end().to_owned()
        }),
        services: Vec::new(),
        acquired_at: row.acquired_at,
        used_at: row.last_used_at,
        expires_at: until.filter(|_| live),
        waits: waits(item),
        rank: u8::from(matches!(row.status, LeaseStatus::Retained | LeaseStatus::PendingCleanup)),
        released_at: row.released_at,
        cleanup,
        next_try_at: row.next_try_at,
        fence: row.fence,
        facts: vec![FactBlock { facts: about }, FactBlock { facts: holding }],
    }
}

/// What a filter compares of a lease.
pub fn lease_facts(item: &view::LeaseItem, now: UnixMillis) -> Facts {
    let row = &item.lease;
    let own = match row.status {
        LeaseStatus::Waiting | LeaseStatus::Acquiring => Status::Waiting,
        LeaseStatus::Active => Status::Active,
        LeaseStatus::Releasing => Status::Releasing,
        LeaseStatus::Retained => Status::Retained,
        LeaseStatus::PendingCleanup => Status::Cleanup,
        LeaseStatus::Released => Status::Released,
        LeaseStatus::Expired => Status::Expired,
        LeaseStatus::Failed => Status::Failed,
    };
    let group = if row.status.is_terminal() { Status::Ended } else { Status::Live };
    let names = [
        (Field::Lease, Some(Kind::Lease.number(row.number))),
        (Field::Environment, Some(item.environment.clone())),
        (Field::Run, item.run_number.map(|n| Kind::Run.number(n))),
        (Field::Agent, item.agent.clone()),
        (Field::Issue, item.issue.clone()),
        (Field::Workspace, item.workspace_number.map(|n| Kind::Workspace.number(n))),
        (Field::Kind, Some(row.provider.clone())),
    ];
    let fields: Vec<(Field, String)> = names.into_iter().filter_map(|(f, v)| Some((f, v?))).collect();
    let began = row.acquired_at.unwrap_or(row.created_at);
    Facts {
        statuses: vec![own, group],
        words: fields.iter().map(|(_, v)| v.clone()).chain(row.failure_reason.clone()).collect(),
        fields,
        began: Some(began),
        took_ms: Some(began.until(row.released_at.unwrap_or(now))),
        exit: None,
        cost: None,
    }
}

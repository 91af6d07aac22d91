//! Leases: their lines, and what filters ask of them.

use super::fact;
use crate::console::questions::filter::Facts;
use wharf_model::filter::{Field, Status};
use wharf_model::{CleanupStatus, Kind, LeasePolicy, LeaseStatus, Observation, UnixMillis};
use wharf_store::view;
use wharf_ui::rows::{FactBlock, LeaseLine, lease_state, policy_words};

/// What a lease's policy means.
pub const fn policy_meaning(policy: LeasePolicy) -> &'static str {
    match policy {
        LeasePolicy::Ephemeral => "released when the run ends, nothing is kept",
        LeasePolicy::ReuseByEnvironment => "kept for the next run in this environment",
        LeasePolicy::ReuseByExecutionWorkspace => "kept for the next run in the same workspace",
        LeasePolicy::RetainOnFailure => "kept for a look when the run fails",
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
    let holder_state = item.run_status.map(|status| match (status.is_terminal(), item.run_observation) {
        (true, _) => "gone",
        (false, Some(Observation::Unknown)) => "unknown",
        (false, _) => "live",
    });
    let evidence = item.run_status.map(|status| match item.run_observation {
        _ if status.is_terminal() => format!("its run has ended: {}", status.as_str().replace('_', " ")),
        Some(Observation::Unknown) => "its process could not be judged when last looked at".to_owned(),
        _ => format!("its run is {status} and its shim was seen"),
    });
    let cleanup = row.cleanup_status.map(|status| match status {
        CleanupStatus::Success => "done".to_owned(),
        CleanupStatus::Failed if row.next_try_at.is_none() => format!("gave up after {}", row.cleanup_attempts),
        CleanupStatus::Pending | CleanupStatus::Failed => format!("try {}", row.cleanup_attempts.max(1)),
    });
    let mut about = vec![
        fact("LEASE", Kind::Lease.number(row.number), row.id.text()),
        fact("status", word, row.failure_reason.clone().unwrap_or_default()),
        fact("environment", item.environment.clone(), format!("driver {}", row.provider)),
        fact("policy", policy_words(row.lease_policy), policy_meaning(row.lease_policy)),
    ];
    if let Some(id) = &row.provider_lease_id {
        about.push(fact("provider id", id.clone(), ""));
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
        expires_at: row.expires_at.filter(|_| live),
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

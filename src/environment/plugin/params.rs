//! What goes with each call about a lease.

use serde_json::{Map, Value, json};

use crate::environment::driver::{AcquireAsk, Held, Outcome, RealiseAsk, Realised};

/// A lease that is asked for.
pub fn asked(ask: &AcquireAsk) -> Value {
    json!({
        "leaseId": ask.lease.text(),
        "leaseNumber": ask.number,
        "fence": ask.fence,
        "environmentId": ask.environment.text(),
        "environmentName": ask.environment_name,
        "companyId": ask.company.text(),
        "policy": ask.policy.as_str(),
        "runId": ask.run.map(wharf_model::RunId::text),
        "issueId": ask.issue.map(wharf_model::IssueId::text),
        "workspaceId": ask.workspace.map(wharf_model::WorkspaceId::text),
        "projectPath": ask.project,
        "ttlMs": ask.ttl_ms,
    })
}

/// A lease that is held.
pub fn held(held: &Held) -> Value {
    json!({
        "leaseId": held.lease.text(),
        "leaseNumber": held.number,
        "fence": held.fence,
        "environmentId": held.environment.text(),
        "policy": held.policy.as_str(),
        "providerLeaseId": held.provider_lease_id,
        "metadata": held.facts["metadata"],
    })
}

/// A workspace that is to be made.
pub fn workspace(ask: &RealiseAsk) -> Value {
    json!({
        "workspaceId": ask.workspace.text(),
        "runId": ask.run.map(wharf_model::RunId::text),
        "attempt": ask.attempt,
        "mode": ask.mode,
        "localPath": ask.cwd,
        "repositoryRoot": ask.root,
        "gitCommonDir": ask.git_common_dir,
        "branch": ask.branch,
        "baseCommit": ask.base_commit,
        "timeoutMs": ask.timeout_ms,
    })
}

/// A workspace as it was made.
pub fn realised(realised: &Realised) -> Value {
    json!({ "cwd": realised.cwd, "sync": realised.sync, "metadata": realised.record["metadata"] })
}

/// Why a place is given back.
pub const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Released => "released",
        Outcome::Failed => "failed",
        Outcome::Expired => "expired",
        Outcome::Kept => "kept",
    }
}

/// Two objects as one; what is in the second goes over the first.
pub fn joined(first: Value, second: Value) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for part in [first, second] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}

//! A lease in documents.

use serde::Serialize;
use serde_json::Value;
use wharf_model::rules::release::HolderIs;
use wharf_model::*;
use wharf_store::view::LeaseItem;
use wharf_ui::glyph::Class;

use super::State;
use crate::cli::run_doc::{class_word, time};

/// State of a lease.
pub fn lease_state(item: &LeaseItem) -> State {
    match item.lease.status {
        LeaseStatus::Active if item.holder().is == HolderIs::Unknown => (Class::Unknown, "active"),
        other => wharf_ui::rows::lease_state(other),
    }
}

/// A lease in a document.
#[derive(Debug, Serialize)]
pub struct LeaseDoc {
    id: String,
    number: String,
    status: String,
    class: &'static str,
    since: Option<String>,
    until: Option<String>,
    environment: Option<String>,
    driver: Option<String>,
    provider: String,
    provider_lease_id: Option<String>,
    policy: String,
    fence: Option<i64>,
    position: Option<i64>,
    queue: Option<Value>,
    run: Option<String>,
    agent: Option<String>,
    issue: Option<String>,
    workspace: Option<String>,
    holder: Option<&'static str>,
    holder_evidence: Option<String>,
    acquired_at: Option<String>,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    renew_at: Option<String>,
    retain_until: Option<String>,
    resumed_from: Option<String>,
    released_at: Option<String>,
    end_reason: Option<String>,
    failure_reason: Option<String>,
    cleanup_status: Option<String>,
    cleanup_attempts: i64,
    cleanup_error: Option<String>,
    next_try_at: Option<String>,
    version: i64,
}

impl LeaseDoc {
    /// The document of a lease.
    pub fn new(item: &LeaseItem) -> Self {
        let l = &item.lease;
        let holder = Some(item.holder()).filter(|h| h.is != HolderIs::Nobody);
        let kept = l.retain_until.filter(|_| l.status == LeaseStatus::Retained);
        Self {
            id: l.id.text(),
            number: Kind::Lease.number(l.number),
            status: l.status.to_string(),
            class: class_word(lease_state(item).0),
            since: time(l.released_at.or(l.acquired_at).or(Some(l.created_at))),
            until: time(l.next_try_at.or(kept).or(l.expires_at).or(l.deadline_at)),
            environment: Some(item.environment.clone()),
            driver: item.driver.map(|d| d.to_string()),
            provider: l.provider.clone(),
            provider_lease_id: l.provider_lease_id.clone(),
            policy: l.lease_policy.to_string(),
            fence: l.fence,
            position: item.position,
            // Its inside is the provider's: as one text, so that the keys of documents stay ours.
            queue: l
                .queue
                .as_ref()
                .filter(|_| l.status == LeaseStatus::Acquiring)
                .map(|q| Value::String(q.to_string())),
            run: item.run_number.map(|n| Kind::Run.number(n)),
            agent: item.agent.clone(),
            issue: item.issue.clone(),
            workspace: item.workspace_number.map(|n| Kind::Workspace.number(n)),
            holder: holder.as_ref().map(|h| h.is.as_str()),
            holder_evidence: holder.map(|h| h.evidence),
            acquired_at: time(l.acquired_at),
            last_used_at: time(l.last_used_at),
            expires_at: time(l.expires_at),
            renew_at: time(l.renew_at),
            retain_until: time(l.retain_until),
            resumed_from: item.resumed_from.map(|n| Kind::Lease.number(n)),
            released_at: time(l.released_at),
            end_reason: l.end_reason.map(|r| r.to_string()),
            failure_reason: l.failure_reason.clone(),
            cleanup_status: l.cleanup_status.map(|s| s.to_string()),
            cleanup_attempts: l.cleanup_attempts,
            cleanup_error: l.cleanup_error.clone(),
            next_try_at: time(l.next_try_at),
            version: l.version,
        }
    }
}

//! What releasing a lease does. One rule for the preview that an operator reads and for the
//! acceptance of the request, so that the two can never differ.

use serde::{Deserialize, Serialize};

use crate::*;

/// The rows that a release concerns, as they stand now.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseFacts {
    /// The lease.
    pub lease: LeaseRow,
    /// Its holder.
    pub run: Option<RunRow>,
    /// Services that the holder uses, each with how many *other* runs use it.
    pub services: Vec<(ServiceRow, usize)>,
    /// Where the holder works.
    pub workspace: Option<WorkspaceRow>,
}

/// What follows from a release, in the order in which it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseEffect {
    /// The run that is stopped and recorded as cancelled by operator.
    pub stops_run: Option<RunId>,
    /// Grace between SIGTERM and SIGKILL, in milliseconds.
    pub grace_ms: i64,
    /// Services that stop with it.
    pub stops_services: Vec<ServiceId>,
    /// Services that begin their idle time.
    pub idles_services: Vec<ServiceId>,
    /// Services that others go on using, or that stay by policy.
    pub keeps_services: Vec<ServiceId>,
    /// Workspace that stays with its branch and files.
    pub keeps_workspace: Option<WorkspaceId>,
    /// Environment whose slot is freed.
    pub frees: EnvironmentId,
    /// The rows that were judged, as `(id, version)`.
    pub judged: Vec<Judged>,
}

/// A row that a preview was computed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Its id.
    pub id: String,
    /// Its version then.
    pub version: i64,
}

impl Judged {
    /// In the place of a version: that it is there counts, not what becomes of it. So runs that use a service.
    pub const USES: i64 = 0;
}

/// Why a lease cannot be released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleasable {
    /// It has ended.
    #[error("{lease} is {status} since {since}; there is nothing to release")]
    Ended {
        /// Its number.
        lease: String,
        /// Terminal status.
        status: LeaseStatus,
        /// When, RFC 3339.
        since: String,
    },
    /// It is being released.
    #[error("{lease} is being released already")]
    Releasing {
        /// Its number.
        lease: String,
    },
}

/// What happens to a service when a user leaves it with nobody else on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLastUser {
    /// It is stopped.
    Stop,
    /// It is stopped after this many milliseconds without a user.
    Idle(i64),
    /// It stays until someone stops it.
    Keep,
}

/// Applies a stop policy (reference 6.4: an ephemeral service always goes with its run).
pub const fn after_last_user(lifecycle: Lifecycle, policy: StopPolicy, idle_ms: Option<i64>) -> AfterLastUser {
    match (lifecycle, policy) {
        (Lifecycle::Ephemeral, _) | (_, StopPolicy::OnRunFinish) => AfterLastUser::Stop,
        (_, StopPolicy::IdleTimeout) => AfterLastUser::Idle(match idle_ms {
            Some(ms) if ms > 1_000 => ms,
            Some(_) => 1_000,
            None => 1_800_000,
        }),
        (_, StopPolicy::Manual) => AfterLastUser::Keep,
    }
}

/// Computes what a release does, or why it cannot be done.
pub fn effect(facts: &ReleaseFacts) -> Result<ReleaseEffect, NotReleasable> {
    let lease = &facts.lease;
    let number = Kind::Lease.number(lease.number);
    match lease.status {
        LeaseStatus::Released | LeaseStatus::Expired | LeaseStatus::Failed => {
            let since = lease.released_at.unwrap_or(lease.updated_at).rfc3339();
            return Err(NotReleasable::Ended { lease: number, status: lease.status, since });
        }
        LeaseStatus::Releasing => return Err(NotReleasable::Releasing { lease: number }),
        LeaseStatus::Waiting
        | LeaseStatus::Acquiring
        | LeaseStatus::Active
        | LeaseStatus::Retained
        | LeaseStatus::PendingCleanup => {}
    }
    let holder = facts.run.as_ref().filter(|run| !run.status.is_terminal());
    let mut judged = vec![Judged { id: lease.id.text(), version: lease.version }];
    let mut out = ReleaseEffect {
        stops_run: holder.map(|run| run.id),
        grace_ms: holder.map_or(0, |run| run.grace_ms),
        stops_services: Vec::new(),
        idles_services: Vec::new(),
        keeps_services: Vec::new(),
        keeps_workspace: None,
        frees: lease.environment_id,
        judged: Vec::new(),
    };
    if let Some(run) = holder {
        judged.push(Judged { id: run.id.text(), version: run.version });
        out.keeps_workspace = facts.workspace.as_ref().map(|w| w.id);
        for (service, others) in &facts.services {
            judged.push(Judged { id: service.id.text(), version: service.version });
            if *others > 0 {
                out.keeps_services.push(service.id);
                continue;
            }
            match after_last_user(service.lifecycle, service.stop_policy, service.idle_ms) {
                AfterLastUser::Stop => out.stops_services.push(service.id),
                AfterLastUser::Idle(_) => out.idles_services.push(service.id),
                AfterLastUser::Keep => out.keeps_services.push(service.id),
            }
        }
    }
    out.judged = judged;
    Ok(out)
}

//! What releasing a lease does. One rule for the preview that an operator reads and for the
//! acceptance of the request, so that the two can never differ.

use serde::{Deserialize, Serialize};

use crate::*;

mod driver;
mod holder;

pub use driver::{DriverDoes, Going};
pub use holder::{Holder, HolderIs, HolderRun};

/// Time beyond the grace after which a forced release goes on without its holder, in milliseconds.
pub const FORCE_LIMIT_MS: i64 = 15_000;
/// Time for which a forced release waits for a holder that cannot be judged, where the lease has no expiry.
pub const DOUBT_MS: i64 = 5 * 60_000;

/// How urgently a lease is to be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Urgency {
    /// As soon as its holder has ended.
    #[default]
    Usual,
    /// Not later than its holder's grace and a limit allow; a holder that cannot be judged is waited for.
    Forced,
    /// Asked once more while a forced release waits: a holder that cannot be judged is waited for no longer.
    Twice,
}

impl Urgency {
    /// That of a request which forces or does not, while another one like it waits already or does not.
    pub const fn of(forces: bool, waits_already: bool) -> Self {
        match (forces, waits_already) {
            (false, _) => Self::Usual,
            (true, false) => Self::Forced,
            (true, true) => Self::Twice,
        }
    }
}

/// The rows that a release concerns, as they stand now.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseFacts {
    /// The lease.
    pub lease: LeaseRow,
    /// Its holder.
    pub run: Option<RunRow>,
    /// Services that the holder uses, each with how many *others* use it: runs, and services that need it.
    pub services: Vec<(ServiceRow, usize)>,
    /// Where the holder works.
    pub workspace: Option<WorkspaceRow>,
    /// What it is a lease of.
    pub environment: Option<EnvironmentRow>,
    /// Whether its holder is to be waited for.
    pub urgency: Urgency,
}

/// Until when a release waits for its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waits {
    /// As long as it takes to end.
    ForItsEnd,
    /// For its end, at most this many milliseconds.
    AtMost(i64),
    /// Until the lease expires.
    Until(UnixMillis),
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
    /// Who holds it, and how that is known.
    pub holder: Holder,
    /// Until when the holder is waited for; none when it is not.
    pub waits: Option<Waits>,
    /// What the driver does then.
    pub driver: Option<DriverDoes>,
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

impl ReleaseEffect {
    /// Whether it does the same as another one, whatever it was judged by.
    #[must_use]
    pub fn does_the_same(&self, other: &Self) -> bool {
        let bare = |e: &Self| {
            let holder = Holder { evidence: String::new(), ..e.holder.clone() };
            Self { judged: Vec::new(), holder, ..e.clone() }
        };
        bare(self) == bare(other)
    }
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
    let is = Holder::of(lease, facts.run.as_ref().map(HolderRun::from));
    let waits = holder.and_then(|run| match facts.urgency {
        Urgency::Usual => Some(Waits::ForItsEnd),
        Urgency::Forced if is.is == HolderIs::Unknown => {
            Some(lease.expires_at.map_or(Waits::AtMost(DOUBT_MS), Waits::Until))
        }
        Urgency::Twice if is.is == HolderIs::Unknown => None,
        Urgency::Forced | Urgency::Twice => Some(Waits::AtMost(run.grace_ms + FORCE_LIMIT_MS)),
    });
    let mut judged = vec![Judged { id: lease.id.text(), version: lease.version }];
    let mut out = ReleaseEffect {
        stops_run: holder.map(|run| run.id),
        grace_ms: holder.map_or(0, |run| run.grace_ms),
        stops_services: Vec::new(),
        idles_services: Vec::new(),
        keeps_services: Vec::new(),
        keeps_workspace: None,
        frees: lease.environment_id,
        holder: is,
        waits,
        driver: facts.environment.as_ref().map(|e| DriverDoes::expected(lease, e, Going::Back)),
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
            match super::service_desired::after_last(service) {
                AfterLastUser::Stop => out.stops_services.push(service.id),
                AfterLastUser::Idle(_) => out.idles_services.push(service.id),
                AfterLastUser::Keep => out.keeps_services.push(service.id),
            }
        }
    }
    out.judged = judged;
    Ok(out)
}

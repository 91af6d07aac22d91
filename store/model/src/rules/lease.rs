//! What becomes of leases: who holds them, what follows their run, when they are looked at again.

use crate::config::driver::DriverConfig;
use crate::*;

/// First delay before a failed clean-up is tried again; doubles up to [`CLEANUP_DELAY_MAX_MS`] (contracts 5).
pub const CLEANUP_DELAY_MS: i64 = 60_000;
/// Longest such delay.
pub const CLEANUP_DELAY_MAX_MS: i64 = 60 * 60_000;
/// Tries after which a clean-up waits for an operator.
pub const CLEANUP_TRIES_MAX: i64 = 12;
/// Pause before a renewal that failed is tried again.
pub const RENEW_AGAIN_MS: i64 = 30_000;

/// Whether the holder of a lease still needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// It works.
    Live,
    /// It has ended, or there is none.
    Gone,
    /// It cannot be told, with what was seen. Nothing is taken from it.
    Unknown(String),
}

/// Judges the holder of a lease by its run.
pub fn holder(run: Option<&RunRow>) -> Holder {
    match run {
        Some(run) if run.status == RunStatus::Running => match run.observation {
            Observation::Live => Holder::Live,
            Observation::Unknown => {
                Holder::Unknown(run.observation_evidence.clone().unwrap_or_else(|| "nothing is known of it".to_owned()))
            }
        },
        Some(run) if !run.status.is_terminal() => Holder::Live,
        Some(_) | None => Holder::Gone,
    }
}

/// Whether a lease takes up a slot of its environment: from its grant until it is given back or laid by.
pub const fn takes_slot(lease: &LeaseRow) -> bool {
    match lease.status {
        LeaseStatus::Acquiring | LeaseStatus::Active => true,
        // One that was kept, or that could not be given back at once, has left its slot to others already.
        LeaseStatus::Releasing => lease.cleanup_status.is_none() && lease.retain_until.is_none(),
        // With a deadline it is still being laid by.
        LeaseStatus::Retained => lease.deadline_at.is_some(),
        LeaseStatus::Waiting
        | LeaseStatus::PendingCleanup
        | LeaseStatus::Released
        | LeaseStatus::Expired
        | LeaseStatus::Failed => false,
    }
}

/// What follows the end of a lease's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRun {
    /// It is given back.
    Release,
    /// What it holds is kept until then: for a later lease, or for the operator.
    Keep(UnixMillis),
}

/// Decides what follows the end of a run, by the lease's policy (reference 4.5; the two policies that it declares and
/// never carries out are carried out here). An operator's wish to keep it goes before any policy.
pub fn after_run(lease: &LeaseRow, driver: Driver, end: LeaseEnd, keep_ms: i64, now: UnixMillis) -> AfterRun {
    if let Some(until) = lease.retain_until.filter(|until| *until > now) {
        return AfterRun::Keep(until);
    }
    // This machine has nothing to keep.
    let keeps = driver != Driver::Local && end != LeaseEnd::Expired;
    match lease.lease_policy {
        LeasePolicy::ReuseByEnvironment | LeasePolicy::ReuseByExecutionWorkspace if keeps => {
            AfterRun::Keep(now.plus(keep_ms))
        }
        LeasePolicy::RetainOnFailure if keeps && end == LeaseEnd::Failed => AfterRun::Keep(now.plus(keep_ms)),
        LeasePolicy::Ephemeral
        | LeasePolicy::RetainOnFailure
        | LeasePolicy::ReuseByEnvironment
        | LeasePolicy::ReuseByExecutionWorkspace => AfterRun::Release,
    }
}

/// Whether a kept lease may pass what it holds on to a new one: only of the same environment with the same settings,
/// by a policy of reuse, and nobody else is at it.
pub fn may_resume(kept: &LeaseRow, environment: &EnvironmentRow, workspace: Option<WorkspaceId>) -> bool {
    let fits = match kept.lease_policy {
        LeasePolicy::ReuseByEnvironment => true,
        LeasePolicy::ReuseByExecutionWorkspace => workspace.is_some() && kept.execution_workspace_id == workspace,
        LeasePolicy::Ephemeral | LeasePolicy::RetainOnFailure => false,
    };
    fits && kept.status == LeaseStatus::Retained
        && kept.deadline_at.is_none()
        && kept.environment_id == environment.id
        && kept.lease_policy == environment.lease_policy
        && kept.provider_lease_id.is_some()
        && kept.config.as_ref() == Some(&environment.driver_config())
}

/// The leases that wait for a slot of an environment, in the order in which they get one: the oldest first.
pub fn waiting_line<'a>(leases: impl Iterator<Item = &'a LeaseRow>, environment: EnvironmentId) -> Vec<&'a LeaseRow> {
    let mut line: Vec<&LeaseRow> =
        leases.filter(|l| l.environment_id == environment && l.status == LeaseStatus::Waiting).collect();
    line.sort_by_key(|l| l.number);
    line
}

/// When a failed clean-up is tried again; none when an operator must say so.
pub fn next_try(tries: i64, now: UnixMillis) -> Option<UnixMillis> {
    let shift = tries.clamp(1, 7).saturating_sub(1);
    let delay = CLEANUP_DELAY_MS.saturating_mul(1 << shift).min(CLEANUP_DELAY_MAX_MS);
    (tries < CLEANUP_TRIES_MAX).then(|| now.plus(delay))
}

/// When an active lease is renewed next: after a third of its life.
pub const fn renew_at(now: UnixMillis, ttl_ms: i64) -> UnixMillis {
    let third = ttl_ms / 3;
    now.plus(if third < 1_000 { 1_000 } else { third })
}

/// The next moment at which a lease is to be looked at, by the one who holds it.
pub fn next_look(lease: &LeaseRow, holder: &Holder) -> Option<UnixMillis> {
    match (lease.status, holder) {
        (LeaseStatus::PendingCleanup, _) => lease.next_try_at,
        (LeaseStatus::Waiting | LeaseStatus::Acquiring | LeaseStatus::Releasing, _) => lease.deadline_at,
        (LeaseStatus::Retained, _) => lease.deadline_at.into_iter().chain(lease.retain_until).min(),
        // Its end at the provider, or its renewal; an overdue one is asked about again by its renewal.
        (LeaseStatus::Active, Holder::Live) => lease.deadline_at.into_iter().chain(lease.renew_at).min(),
        (LeaseStatus::Active, Holder::Gone) => lease.expires_at,
        // One whose holder cannot be judged is renewed, so that it is not taken from a living one; no more is decided.
        (LeaseStatus::Active, Holder::Unknown(_)) => lease.renew_at,
        (LeaseStatus::Released | LeaseStatus::Expired | LeaseStatus::Failed, _) => None,
    }
}

/// Why an adapter cannot run in an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The environment itself cannot be used: its settings are wrong.
    #[error("environment {name} cannot be used: {cause}")]
    Environment {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// The adapter cannot run there.
    #[error("adapter {adapter} cannot run in environment {name} (driver {driver}): {cause}")]
    Adapter {
        /// The adapter.
        adapter: String,
        /// The environment.
        name: String,
        /// Its driver.
        driver: Driver,
        /// Why.
        cause: &'static str,
    },
}

impl Unsupported {
    /// Error code of contracts 10.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Environment { .. } => "unsupported_environment",
            Self::Adapter { .. } => "unsupported_adapter_environment",
        }
    }
}

/// Says whether an adapter can run in an environment, so that it never runs somewhere else without a word
/// (reference 4.3, whose unsupported pairs ran on the host).
pub fn check(adapter: &str, tty: bool, environment: &EnvironmentRow) -> Result<DriverConfig, Unsupported> {
    let name = || environment.name.clone();
    let config = DriverConfig::read(environment.driver, &environment.driver_config()).map_err(|wrong| {
        let cause = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Unsupported::Environment { name: name(), cause }
    })?;
    let no = |cause| {
        Err(Unsupported::Adapter { adapter: adapter.to_owned(), name: name(), driver: environment.driver, cause })
    };
    match adapter {
        // It starts a program, or speaks with one that is started.
        "process" | "claude" | "codex" | "gemini" | "opencode" | "cursor" | "pi" | "acp" => {}
        "http" | "fake" if environment.driver == Driver::Local => {}
        "http" | "fake" => return no("it starts no program that could run there"),
        _ => return no("this program does not know the adapter"),
    }
    let has_terminals = match environment.driver {
        Driver::Local | Driver::Sandbox => true,
        Driver::Ssh | Driver::Plugin => false,
    };
    if tty && !has_terminals {
        return no("its agent wants a terminal (tty = true), and this driver gives none");
    }
    Ok(config)
}

#[cfg(test)]
mod tests;

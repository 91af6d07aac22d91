//! What the operator's verbs on a lease do, beside releasing it, or why they cannot be done. One rule for the
//! preview and for the acceptance.

use serde::{Deserialize, Serialize};

pub use super::lease::CLEANUP_TRIES_MAX;
use super::release::{self, DriverDoes, Going, Holder, HolderRun, Judged, ReleaseEffect, ReleaseFacts};
use crate::*;

/// Longest time that can be asked for at once, in milliseconds: thirty days.
pub const TIME_MAX_MS: i64 = 30 * 24 * 60 * 60_000;
/// Time that a shell in a retained place keeps it for, at least, in milliseconds.
pub const SHELL_KEEPS_MS: i64 = 60 * 60_000;

/// What is to be done with a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Remove what it holds at the provider.
    Destroy,
    /// Give it more time: milliseconds.
    Extend(i64),
    /// Keep it until then, whatever its policy says.
    Retain(UnixMillis),
    /// Try its clean-up now.
    RetryCleanup,
    /// Open a shell in it.
    Shell,
}

/// What follows from a verb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerbEffect {
    /// Who holds it.
    pub holder: Holder,
    /// What ends first, when a holder is alive.
    pub release: Option<ReleaseEffect>,
    /// What the driver does.
    pub driver: Option<DriverDoes>,
    /// When it expires then; the provider is asked and may give less.
    pub expires_at: Option<UnixMillis>,
    /// Until when it is kept then.
    pub retain_until: Option<UnixMillis>,
    /// Number of the try that begins now.
    pub try_number: Option<i64>,
    /// Whether the tries are counted anew.
    pub resets_tries: bool,
    /// Whether what was laid by is taken up first.
    pub resumes: bool,
    /// The rows that were judged.
    pub judged: Vec<Judged>,
}

/// Why a verb cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPossible {
    /// It has ended.
    #[error("{lease} is {status} since {since}; {nothing}")]
    Ended {
        /// Its number.
        lease: String,
        /// Terminal status.
        status: LeaseStatus,
        /// When, RFC 3339.
        since: String,
        /// What there is not any more.
        nothing: &'static str,
    },
    /// It is in a state in which this makes no sense.
    #[error("{lease} is {status}: {why}")]
    Not {
        /// Its number.
        lease: String,
        /// Its status.
        status: LeaseStatus,
        /// Why not, and what to do instead.
        why: &'static str,
    },
    /// It never expires.
    #[error("{lease} on {environment} has no expiry: it lives as long as its run; extend the run's deadline instead")]
    NoExpiry {
        /// Its number.
        lease: String,
        /// Name of its environment.
        environment: String,
    },
    /// The time that was asked for cannot be given.
    #[error("{lease}: {why}")]
    Time {
        /// Its number.
        lease: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Computes what a verb does, or why it cannot be done.
///
/// # Errors
/// The lease's state, or the time asked for, does not allow it.
pub fn effect(facts: &ReleaseFacts, verb: Verb, now: UnixMillis) -> Result<VerbEffect, NotPossible> {
    let lease = &facts.lease;
    let number = Kind::Lease.number(lease.number);
    let not = |why| Err(NotPossible::Not { lease: number.clone(), status: lease.status, why });
    if lease.status.is_terminal() {
        let nothing = match verb {
            Verb::Destroy => "there is nothing to destroy",
            Verb::Extend(_) => "there is nothing to extend",
            Verb::Retain(_) => "there is nothing to keep",
            Verb::RetryCleanup => "there is nothing to clean up",
            Verb::Shell => "there is no place to open a shell in",
        };
        let since = lease.released_at.unwrap_or(lease.updated_at).rfc3339();
        return Err(NotPossible::Ended { lease: number, status: lease.status, since, nothing });
    }
    let mut out = VerbEffect {
        holder: Holder::of(lease, facts.run.as_ref().map(HolderRun::from)),
        release: None,
        driver: None,
        expires_at: lease.expires_at,
        retain_until: lease.retain_until,
        try_number: None,
        resets_tries: false,
        resumes: false,
        judged: vec![Judged { id: lease.id.text(), version: lease.version }],
    };
    let does = |going| facts.environment.as_ref().map(|e| DriverDoes::expected(lease, e, going));
    match verb {
        Verb::Destroy => {
            if lease.status == LeaseStatus::Waiting {
                return not("nothing exists at a provider yet; release it instead");
            }
            let release = match release::effect(facts) {
                Ok(release) => release,
                // The ended ones were told above.
                Err(_) => return not("it is being given back already; wait for that, or for its clean-up to fail"),
            };
            out.judged.clone_from(&release.judged);
            out.driver = does(Going::Away);
            out.release = Some(release);
        }
        Verb::Extend(by_ms) => extend(facts, by_ms, now, &number, &mut out)?,
        Verb::Retain(until) => {
            match lease.status {
                LeaseStatus::Active | LeaseStatus::Retained => {}
                LeaseStatus::Waiting | LeaseStatus::Acquiring => return not("nothing is held yet that could be kept"),
                _ => return not("it is on its way back; what it held cannot be counted on any more"),
            }
            check_time(&number, now, until)?;
            if lease.retain_until.is_some_and(|kept| kept >= until) {
                let kept = lease.retain_until.map(UnixMillis::rfc3339).unwrap_or_default();
                return Err(NotPossible::Time { lease: number, why: format!("it is kept until {kept} already") });
            }
            out.retain_until = Some(until);
            out.driver = does(Going::Aside);
        }
        Verb::RetryCleanup => {
            if lease.status != LeaseStatus::PendingCleanup {
                return not("no clean-up of it has failed");
            }
            let parked = lease.cleanup_attempts >= CLEANUP_TRIES_MAX;
            out.resets_tries = parked;
            out.try_number = Some(if parked { 1 } else { lease.cleanup_attempts + 1 });
            out.driver = does(Going::Back);
        }
        Verb::Shell => match lease.status {
            LeaseStatus::Active => {}
            LeaseStatus::Retained if lease.deadline_at.is_some() => {
                return not("it is being laid by; try again in a moment");
            }
            LeaseStatus::Retained => {
                out.resumes = lease.provider_lease_id.is_some();
                out.retain_until = lease.retain_until.max(Some(now.plus(SHELL_KEEPS_MS)));
            }
            LeaseStatus::Waiting | LeaseStatus::Acquiring => {
                return not("there is no place yet; wait until it is active");
            }
            _ => return not("its place is being given back"),
        },
    }
    Ok(out)
}

fn check_time(number: &str, now: UnixMillis, until: UnixMillis) -> Result<(), NotPossible> {
    let why = match now.until(until) {
        ..=0 => "the moment asked for has passed",
        TIME_MAX_MS.. if now.until(until) > TIME_MAX_MS => "at most thirty days can be asked for at once",
        _ => return Ok(()),
    };
    Err(NotPossible::Time { lease: number.to_owned(), why: why.to_owned() })
}

fn extend(
    facts: &ReleaseFacts,
    by_ms: i64,
    now: UnixMillis,
    number: &str,
    out: &mut VerbEffect,
) -> Result<(), NotPossible> {
    let lease = &facts.lease;
    let not = |why| Err(NotPossible::Not { lease: number.to_owned(), status: lease.status, why });
    if by_ms <= 0 {
        return Err(NotPossible::Time { lease: number.to_owned(), why: "it can be given more time, not less".into() });
    }
    let later = |at: UnixMillis| at.max(now).plus(by_ms.min(TIME_MAX_MS + 1));
    let none = || NotPossible::NoExpiry {
        lease: number.to_owned(),
        environment: facts.environment.as_ref().map_or_else(|| lease.provider.clone(), |e| e.name.clone()),
    };
    match lease.status {
        LeaseStatus::Active => {
            let until = later(lease.expires_at.ok_or_else(none)?);
            check_time(number, now, until)?;
            out.expires_at = Some(until);
        }
        LeaseStatus::Retained => {
            let kept = lease.retain_until.or(lease.expires_at).ok_or_else(none)?;
            let until = later(kept);
            check_time(number, now, until)?;
            if lease.retain_until.is_some() {
                out.retain_until = Some(until);
            }
            // What a provider takes back by itself must be there for as long.
            out.expires_at = lease.expires_at.map(|at| at.max(until));
        }
        LeaseStatus::Waiting | LeaseStatus::Acquiring => return not("nothing is held yet that could expire"),
        _ => return not("it is on its way back; it has no time any more"),
    }
    Ok(())
}

#[cfg(test)]
mod tests;

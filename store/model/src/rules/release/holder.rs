//! Who holds a lease, and whether that one is still there.

use serde::{Deserialize, Serialize};

use crate::*;

words! {
    /// Whether the holder of a lease is still there.
    pub enum HolderIs { Live = "live", Gone = "gone", Unknown = "unknown", Nobody = "nobody" }
}

/// The holder of a lease as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Whether it is still there.
    pub is: HolderIs,
    /// What that was judged by.
    pub evidence: String,
}

/// What is known of the run that a lease was acquired for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HolderRun<'a> {
    /// Its status.
    pub status: RunStatus,
    /// Whether its process can be seen.
    pub observation: Observation,
    /// What was seen when it could not be judged.
    pub evidence: Option<&'a str>,
}

impl<'a> From<&'a RunRow> for HolderRun<'a> {
    fn from(run: &'a RunRow) -> Self {
        Self { status: run.status, observation: run.observation, evidence: run.observation_evidence.as_deref() }
    }
}

impl Holder {
    /// Judges the holder of a lease. A run that cannot be judged is unknown, never gone.
    pub fn of(lease: &LeaseRow, run: Option<HolderRun<'_>>) -> Self {
        let say = |is, evidence: &str| Self { is, evidence: evidence.to_owned() };
        let gone = |status: RunStatus| {
            say(HolderIs::Gone, &format!("its run has ended: {}", status.as_str().replace('_', " ")))
        };
        match run {
            Some(run) if run.status.is_terminal() => gone(run.status),
            Some(_) if lease.status.is_terminal() => say(HolderIs::Gone, "it was let go; its run goes on without it"),
            Some(HolderRun { status, observation: Observation::Unknown, evidence }) => {
                let evidence = evidence.unwrap_or("its process could not be judged when last looked at");
                say(HolderIs::Unknown, &format!("its run is {status}, but {evidence}"))
            }
            // Nothing of it was started yet.
            Some(_) if matches!(lease.status, LeaseStatus::Waiting | LeaseStatus::Acquiring) => {
                say(HolderIs::Live, "its run waits for it")
            }
            Some(run) => say(HolderIs::Live, &format!("its run is {} and its shim was seen", run.status)),
            None if lease.run_id.is_some() => say(HolderIs::Gone, "its run is not in the ledger any more"),
            None if lease.request_id.is_some() => match lease.status {
                LeaseStatus::Waiting | LeaseStatus::Acquiring | LeaseStatus::Active => {
                    say(HolderIs::Live, "it was acquired to test its environment, and that goes on")
                }
                _ => say(HolderIs::Gone, "the test that it was acquired for has ended"),
            },
            None => say(HolderIs::Nobody, "no run was ever given it"),
        }
    }
}

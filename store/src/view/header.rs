//! The counters in the header.

use serde::Serialize;
use wharf_model::CompanyId;

use crate::{Reader, StoreError};

/// What goes on, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Runs that run.
    pub running: i64,
    /// Runs that wait, also for their retry.
    pub queued: i64,
    /// Open leases.
    pub leases: i64,
    /// Services that may have a process.
    pub services: i64,
    /// Things that wait for a person: runs whose process cannot be seen, parked clean-ups, pending configurations.
    pub needs_you: i64,
    /// Requests without an answer.
    pub pending_requests: i64,
    /// Reign of the orchestrator that wrote last.
    pub epoch: i64,
}

const SQL: &str = "SELECT \
    (SELECT count(*) FROM runs WHERE status = 'running' AND (?1 IS NULL OR +company_id = ?1)), \
    (SELECT count(*) FROM runs WHERE status = 'queued' AND (?1 IS NULL OR +company_id = ?1)) \
    + (SELECT count(*) FROM runs WHERE status = 'scheduled_retry' AND (?1 IS NULL OR +company_id = ?1)), \
    (SELECT count(*) FROM environment_leases WHERE status NOT IN ('released', 'expired', 'failed') \
        AND (?1 IS NULL OR company_id = ?1)), \
    (SELECT count(*) FROM workspace_runtime_services WHERE status IN ('starting', 'running', 'stopping') \
        AND (?1 IS NULL OR company_id = ?1)), \
    (SELECT count(*) FROM runs WHERE status = 'running' AND observation = 'unknown' \
        AND (?1 IS NULL OR +company_id = ?1)) \
    + (SELECT count(*) FROM environment_leases WHERE status NOT IN ('released', 'expired', 'failed') \
        AND status = 'pending_cleanup' AND next_try_at IS NULL AND (?1 IS NULL OR company_id = ?1)) \
    + (SELECT count(*) FROM projects WHERE pending_executable_hash IS NOT NULL AND removed_at IS NULL \
        AND (?1 IS NULL OR company_id = ?1)), \
    (SELECT count(*) FROM requests WHERE status IN ('pending', 'accepted') AND status = 'pending'), \
    (SELECT value FROM meta WHERE key = 'epoch')";

impl Reader {
    /// The header's counters, of one company or of all.
    pub fn header(&self, company: Option<CompanyId>) -> Result<Header, StoreError> {
        self.read(|conn| {
            conn.prepare_cached(SQL)?.query_row([company.map(CompanyId::text)], |row| {
                Ok(Header {
                    running: row.get(0)?,
                    queued: row.get(1)?,
                    leases: row.get(2)?,
                    services: row.get(3)?,
                    needs_you: row.get(4)?,
                    pending_requests: row.get(5)?,
                    epoch: row.get(6)?,
                })
            })
        })
    }
}

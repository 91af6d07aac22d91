//! The machine's own limits, and how long things are kept.

use crate::shim::OnQuota;
use serde::{Deserialize, Serialize};

/// `[limits]` of the user's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Runs of this machine at once; unset = four for each core.
    pub concurrent_runs: Option<u32>,
    /// Bytes a run's log may reach.
    pub run_log_quota_bytes: u64,
    /// What happens then.
    pub on_quota: OnQuota,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrent_runs: None, run_log_quota_bytes: 10 << 30, on_quota: OnQuota::Block }
    }
}

impl Limits {
    /// The number of runs at once on a machine of `cores` cores.
    pub fn concurrent_runs_on(&self, cores: u32) -> u32 {
        self.concurrent_runs.unwrap_or_else(|| cores.max(1).saturating_mul(4))
    }
}

/// `[retention]` of the user's file; `None` keeps for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How long the logs of ended runs are kept.
    pub run_logs_ms: Option<u64>,
    /// How long snapshots are kept.
    pub snapshots_ms: Option<u64>,
    /// How long the bytes of an archived workspace are kept.
    pub workspaces_after_close_ms: Option<u64>,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Default for Retention {
    fn default() -> Self {
        Self {
            run_logs_ms: Some(30 * DAY_MS),
            snapshots_ms: Some(30 * DAY_MS),
            workspaces_after_close_ms: Some(7 * DAY_MS),
        }
    }
}

//! Which processes a tree has, and how old a process is.

use std::collections::BTreeSet;
use std::path::Path;

use wharf_model::shim::IdFile;

use super::{Processes, names, read_some, ticks_per_second};

impl Processes {
    /// Numbers of the living processes that the shim of a directory keeps; none when no shim keeps any, or
    /// when it may not be seen.
    pub fn kept_by(&self, dir: &Path) -> BTreeSet<i32> {
        let id = read_some(&dir.join(names::ID)).and_then(|text| serde_json::from_slice::<IdFile>(&text).ok());
        let Some(id) = id.filter(|id| id.boot_id == self.boot_id && self.shims.get(&id.shim.pid) == Some(&id.shim))
        else {
            return BTreeSet::new();
        };
        self.below(id.shim.pid).iter().filter(|p| p.is_alive()).map(|p| p.id.pid).collect()
    }

    /// How long ago a process was started, by its start time in clock ticks since boot; milliseconds.
    pub fn age_ms(&self, start_ticks: u64) -> u64 {
        self.at_ms.saturating_sub(start_ticks.saturating_mul(1000) / ticks_per_second())
    }
}

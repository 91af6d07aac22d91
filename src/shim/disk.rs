//! A full disk is waited out: reading stops, the child blocks, nothing is lost.

use serde_json::json;
use wharf_model::shim::ControlReply;

use super::journal::Disk;
use super::{Life, Shim};
use crate::process::shim_dir::names;

impl Shim {
    /// Tries the disk again when it is time, and tells watchers and log of a change.
    pub(super) fn tick_disk(&mut self, now: u64) {
        let retried = self.journal.begin_retry(now);
        if retried {
            if matches!(self.life, Life::Recording(_)) {
                // Only the end is left to write now: that is what the reserve was kept for.
                self.free_reserve();
            }
            self.pump.retry(&mut self.journal);
            self.journal.flush();
        }
        let blocked = self.journal.is_blocked();
        if blocked && !self.told_disk_full {
            self.told_disk_full = true;
            let why = self.journal.disk().as_str();
            self.journal.control(&json!({"t": "disk_full", "disk": why}));
            self.push(&ControlReply::DiskFull);
        } else if !blocked && self.told_disk_full {
            self.told_disk_full = false;
            // What was dropped meanwhile, if the spec says so, is declared before anything else.
            self.pump.record_gaps(&mut self.journal);
            self.journal.control(&json!({"t": "disk_ok"}));
            self.push(&ControlReply::DiskOk);
        }
    }

    /// Gives the reserve back to the disk, once.
    pub(super) fn free_reserve(&mut self) {
        if self.journal.disk() != Disk::Ok || self.told_disk_full {
            // Freed or not there: either way there is nothing more to give.
            let _ = std::fs::remove_file(self.keeper_dir().join(names::RESERVE));
        }
    }
}

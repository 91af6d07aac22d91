//! A store that takes no writes: it is tried again, and memory is rebuilt from it; and its journal, kept small.

use std::time::{Duration, Instant};

use wharf_store::StoreError;

use super::Loop;
use super::inbox::Envelope;
use crate::dispatch::input::Input;

/// Pause before a store that takes no writes is tried again.
pub(super) const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Least time between two looks at the size of the journal.
pub(super) const TIDY: Duration = Duration::from_secs(1);

impl Loop {
    /// Whether anything can be written by now; if not, what was told is told again by whoever told it, and what waits
    /// in the store is read again.
    pub(super) fn try_again(&mut self, envelopes: &[Envelope]) -> Result<(), StoreError> {
        let tried = self.writer.try_write();
        if tried.is_err() {
            for envelope in envelopes {
                match envelope {
                    Envelope::Stop => self.stop = true,
                    Envelope::Prepared(row, _) => {
                        self.preparing.remove(&row.id);
                    }
                    Envelope::Input(..) | Envelope::Wake => {}
                }
            }
        }
        tried
    }

    /// Says, once, that nothing can be written, and that it can again.
    pub(super) fn set_trouble(&mut self, trouble: Option<String>) {
        if self.trouble == trouble {
            return;
        }
        match &trouble {
            Some(why) => tracing::error!(%why, "nothing can be written; it is tried again"),
            None => tracing::info!("the store takes writes again"),
        }
        self.trouble.clone_from(&trouble);
        self.publish.send_modify(|r| r.trouble = trouble);
        self.declare();
    }

    /// Tells what waits for the disk: to the screen of this process, and in the lock file to all others.
    pub(super) fn declare(&mut self) {
        if !self.room.changes(self.trouble.as_deref()) {
            return;
        }
        let need = self.room.need();
        self.publish.send_modify(|r| r.need.clone_from(&need));
        if let Err(error) = self.elected.declare(need) {
            tracing::warn!(%error, "other consoles are not told what waits for the disk");
        }
    }

    /// After a failed commit nothing of the batch was written. Says whether the reign goes on: it does while the same
    /// write may succeed later, and ends where the store can be trusted no more.
    pub(super) fn recover(&mut self, error: &StoreError) -> bool {
        if error.may_pass() {
            self.set_trouble(Some(error.to_string()));
        } else {
            tracing::error!(%error, "the store refused a commit");
        }
        if matches!(error, StoreError::StaleEpoch { .. } | StoreError::Suspect { .. } | StoreError::Damaged { .. }) {
            return false;
        }
        for wait in [TRY_AGAIN, Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)] {
            std::thread::sleep(wait);
            if self.rebuild().is_ok() {
                self.data_version = None;
                // What was told in the failed batch is observed again by performing it again.
                self.inbox.wake();
                let _full = self.inbox.sender.try_send(Envelope::Input(Input::Begin, None));
                return true;
            }
        }
        false
    }

    /// Rebuilds memory from the store, which is the truth.
    pub(super) fn rebuild(&mut self) -> Result<(), StoreError> {
        let epoch = self.state.epoch;
        self.state = self.writer.load_state()?;
        self.state.epoch = epoch;
        self.state.concurrent_runs = self.setup.concurrent_runs;
        Ok(())
    }

    /// Brings a journal that has grown back to its size once nothing waits.
    pub(super) fn tidy_journal(&mut self) {
        if !self.receiver.is_empty() || self.trouble.is_some() || self.tidied.elapsed() < TIDY {
            return;
        }
        self.tidied = Instant::now();
        match self.writer.shrink_journal() {
            Ok(small) => self.untidy = !small,
            Err(error) => tracing::warn!(%error, "the journal stays as large as it is"),
        }
    }
}

//! A child that is stopped by a signal, or let go: told in the log, which explains it afterwards, and
//! in `id.json`, by which readers know since when.

use serde_json::json;
use wharf_model::shim::Stopped;

use super::{Life, Shim, clock};
use crate::process::reap::Change;
use crate::process::signal;

/// Time between two tellings, at least: a child may stop itself in a loop.
const PACE_NS: u64 = clock::ms(100);
/// Changes taken at one look, at most. The kernel keeps only the newest.
const AT_ONCE: usize = 4;

/// What is known of a child's halts, and what of it was told.
#[derive(Debug, Default)]
pub struct Halts {
    seen: Option<Stopped>,
    told: Option<Stopped>,
    /// Before this nothing is told, awake nanoseconds.
    not_before: u64,
}

impl Halts {
    /// Notes a change. A stop after a stop is a new one: the kernel tells each once, and forgets that the
    /// child went on in between when it has stopped again before anybody asked.
    fn note(&mut self, change: Change, wall_ms: i64) {
        self.seen = match change {
            Change::Stopped(number) => Some(Stopped { signal: signal::name(number), at_ms: wall_ms }),
            Change::Continued => None,
        };
    }

    /// What is to be told now: the state that was told before, and the one that holds.
    fn take_due(&mut self, now: u64) -> Option<(Option<Stopped>, Option<Stopped>)> {
        if self.seen == self.told || now < self.not_before {
            return None;
        }
        self.not_before = now + PACE_NS;
        let before = std::mem::replace(&mut self.told, self.seen.clone());
        Some((before, self.seen.clone()))
    }

    /// When something is to be told.
    pub fn next_due(&self) -> Option<u64> {
        (self.seen != self.told).then_some(self.not_before)
    }
}

impl Shim {
    /// Takes what the child did beside ending.
    pub(super) fn look_for_halt(&mut self) {
        if !matches!(self.life, Life::Running) {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some(change) = self.tree.take_change() else { return };
            self.halts.note(change, clock::wall_ms());
        }
    }

    /// Tells of a halt, or of its end.
    pub(super) fn tell_halts(&mut self, now: u64) {
        let Some((before, stopped)) = self.halts.take_due(now) else { return };
        if let Some(before) = before {
            let for_ms = clock::wall_ms().saturating_sub(before.at_ms);
            self.journal.control(&json!({"t": "child_continued", "signal": before.signal, "for_ms": for_ms}));
        }
        if let Some(Stopped { signal, at_ms }) = &stopped {
            self.journal.control(&json!({"t": "child_stopped", "signal": signal, "at_ms": at_ms}));
        }
        // Best effort: without it readers still see that the child is stopped, only not since when.
        let _ = self.keeper.write_id(self.tree.child(), stopped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: Change = Change::Stopped(19);

    #[test]
    fn the_first_is_told_at_once_and_a_storm_at_a_pace() {
        let mut halts = Halts::default();
        assert_eq!((halts.next_due(), halts.take_due(5)), (None, None));
        halts.note(STOP, 1_000);
        assert_eq!(halts.next_due(), Some(0));
        let (before, now) = halts.take_due(5).unwrap();
        assert_eq!((before, now.as_ref().map(|s| (s.signal.as_str(), s.at_ms))), (None, Some(("SIGSTOP", 1_000))));
        assert_eq!(halts.next_due(), None);
        // It went on and stopped again before anybody looked.
        halts.note(Change::Stopped(20), 1_500);
        assert_eq!(halts.next_due(), Some(5 + PACE_NS));
        for at in 0..1_000 {
            halts.note(Change::Continued, 2_000 + at);
            halts.note(STOP, 2_000 + at);
        }
        assert_eq!((halts.next_due(), halts.take_due(6)), (Some(5 + PACE_NS), None));
        let (before, now) = halts.take_due(5 + PACE_NS).unwrap();
        assert_eq!((before.map(|s| s.at_ms), now.map(|s| s.at_ms)), (Some(1_000), Some(2_999)));
        halts.note(Change::Continued, 3_000);
        assert_eq!(halts.take_due(5 + 2 * PACE_NS).unwrap().1, None);
        assert_eq!(halts.next_due(), None);
    }
}

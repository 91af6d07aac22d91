//! What the clocks moved by, until it has been dealt with durably.

use crate::clock::{self, Moved, Reading};

/// The clocks as they stood when deadlines were last right.
#[derive(Debug)]
pub(super) struct Clocks {
    kept: Reading,
}

impl Clocks {
    pub(super) fn new(now: Reading) -> Self {
        Self { kept: now }
    }

    /// What the clocks have moved by since deadlines were last right; none when they went as they should. It is
    /// told again until [`Self::minded`]: whatever fails in between, no gap is forgotten.
    pub(super) fn look(&mut self, now: Reading) -> Option<Moved> {
        let moved = clock::compare(self.kept, now);
        if moved.is_none() {
            self.kept = now;
        }
        moved
    }

    /// Deadlines that were moved by what `look` told at this reading are durable.
    pub(super) fn minded(&mut self, at: Reading) {
        self.kept = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_until_it_was_dealt_with() {
        const NIGHT: i64 = 8 * 3_600_000;
        let at = |awake: i64, slept: i64| Reading { wall: 1_000 + awake + slept, boot: awake + slept, awake };
        let slept = |moved: Option<Moved>| moved.map(|m| m.slept_ms);
        let mut clocks = Clocks::new(at(0, 0));
        assert_eq!(slept(clocks.look(at(5_000, 0))), None);
        assert_eq!(slept(clocks.look(at(6_000, NIGHT))), Some(NIGHT));
        // The commit failed: the same gap, and not only what came after it.
        assert_eq!(slept(clocks.look(at(9_000, NIGHT))), Some(NIGHT));
        assert_eq!(slept(clocks.look(at(9_000, 2 * NIGHT))), Some(2 * NIGHT));
        clocks.minded(at(9_000, 2 * NIGHT));
        assert_eq!(slept(clocks.look(at(9_500, 2 * NIGHT))), None);
    }
}

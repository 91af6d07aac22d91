//! Places visited, walked like a browser's.

use crate::screen::{ScreenId, Spot};

/// Most places kept.
pub const PLACES_MAX: usize = 50;

/// A screen and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The screen.
    pub screen: ScreenId,
    /// Its filter, row and focus.
    pub spot: Spot,
}

/// Places before and behind the present one.
#[derive(Debug, Clone, Default)]
pub struct History {
    before: Vec<Visit>,
    behind: Vec<Visit>,
}

impl History {
    /// Notes where one is before a jump. What was gone back over is forgotten.
    pub fn leave(&mut self, from: Visit) {
        self.behind.clear();
        if self.before.last() != Some(&from) {
            self.before.push(from);
            let over = self.before.len().saturating_sub(PLACES_MAX);
            self.before.drain(..over);
        }
    }

    /// The place before, or behind; `here` can be come back to.
    pub fn walk(&mut self, back: bool, here: Visit) -> Option<Visit> {
        let (from, to) = if back { (&mut self.before, &mut self.behind) } else { (&mut self.behind, &mut self.before) };
        let there = from.pop()?;
        to.push(here);
        Some(there)
    }

    /// Whether there is a place in that direction.
    pub fn has(&self, back: bool) -> bool {
        !if back { &self.before } else { &self.behind }.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: i64) -> Visit {
        Visit { screen: ScreenId::Ledger, spot: Spot { number: Some(number), ..Spot::default() } }
    }

    #[test]
    fn one_walks_back_and_forward_and_a_jump_forgets_what_was_ahead() {
        let mut h = History::default();
        assert!(h.walk(true, at(0)).is_none());
        h.leave(at(1));
        h.leave(at(2));
        assert_eq!(h.walk(true, at(3)), Some(at(2)));
        assert_eq!(h.walk(true, at(2)), Some(at(1)));
        assert_eq!(h.walk(false, at(1)), Some(at(2)));
        h.leave(at(2));
        assert!(!h.has(false) && h.has(true));
        for n in 0..200 {
            h.leave(at(n));
        }
        assert_eq!(h.before.len(), PLACES_MAX);
    }
}

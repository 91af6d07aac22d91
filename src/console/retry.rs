//! Asking again what could not be answered: a read that took too long on a busy machine, a file that was away. Nothing
//! else would ask before the next commit, which may be hours away, and until then the screen would show what was.

use std::time::{Duration, Instant};

/// Pause after the first failure; doubled with each further one.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// When the screen's questions are asked again.
#[derive(Debug, Default)]
pub struct Retry {
    due: Option<Instant>,
    /// Pause before the attempt that is due, or was last.
    pause: Option<Duration>,
}

impl Retry {
    /// A question could not be answered. Several that fail together are asked again together.
    pub fn failed(&mut self, now: Instant) {
        if self.due.is_none() {
            let pause = self.pause.map_or(FIRST, |p| (p * 2).min(LONGEST));
            self.pause = Some(pause);
            self.due = Some(now + pause);
        }
    }

    /// A question was answered. Only an answer with none failed behind it says that things are in order again.
    pub fn answered(&mut self) {
        if self.due.is_none() {
            self.pause = None;
        }
    }

    /// The next attempt, if one is due some time.
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the attempt is due; it is said once.
    pub fn take(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|at| now >= at);
        if due {
            self.due = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_asked_again_together_less_and_less_often_and_answers_end_it() {
        let mut retry = Retry::default();
        let mut now = Instant::now();
        assert!(!retry.take(now));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            retry.failed(now);
            retry.failed(now);
            let due = retry.due().unwrap();
            assert!(!retry.take(now));
            pauses.push(due - now);
            now = due;
            assert!(retry.take(now) && !retry.take(now));
        }
        assert_eq!((pauses[0], pauses[1], pauses[8]), (FIRST, FIRST * 2, LONGEST));
        retry.failed(now);
        // One of the questions was answered, another was not.
        retry.answered();
        assert!(retry.due().is_some());
        now += LONGEST;
        assert!(retry.take(now));
        retry.answered();
        retry.failed(now);
        assert_eq!(retry.due(), Some(now + FIRST));
    }
}

//! What is kept of an instance for people: the end of its error output, and what it sent that nobody could use.

use std::collections::VecDeque;

/// Characters of its error output that are kept.
pub const STDERR_CHARS: usize = 8_000;
/// Characters of it that stand in an error.
const STDERR_TOLD: usize = 600;
/// Lines that were no message, kept as they were.
const GARBAGE_KEPT: usize = 3;
/// Characters of each.
const GARBAGE_CHARS: usize = 160;

/// Something that may happen so often at once, and so often in a minute after that.
#[derive(Debug, Clone)]
pub struct Budget {
    most: f64,
    per_ms: f64,
    left: f64,
    seen: u64,
}

impl Budget {
    /// A full one.
    pub fn new(most: u32, per_minute: u32) -> Self {
        Self { most: most.into(), per_ms: f64::from(per_minute) / 60_000.0, left: most.into(), seen: 0 }
    }

    /// Takes one at this moment (milliseconds of a clock that only rises); false when none is left.
    pub fn take(&mut self, now: u64) -> bool {
        self.left = (self.left + now.saturating_sub(self.seen) as f64 * self.per_ms).min(self.most);
        self.seen = now;
        let has = self.left >= 1.0;
        if has {
            self.left -= 1.0;
        }
        has
    }
}

/// Notes of one instance.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    stderr: VecDeque<char>,
    /// Bytes of a character whose rest has not come yet.
    broken: Vec<u8>,
    /// Lines that were no message of the protocol.
    pub garbage: u64,
    kept: Vec<String>,
    /// Answers that came when nobody waited any more.
    pub late: u64,
    /// Answers to what was never asked.
    pub unknown_ids: u64,
    /// Notifications that are not known or belong to nothing.
    pub unknown: u64,
}

impl Notes {
    /// Takes error output.
    pub fn stderr(&mut self, bytes: &[u8]) {
        self.broken.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.broken);
        // A character that was cut by the end of a reading waits for its rest.
        let whole = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => bytes.len(),
        };
        self.broken.extend_from_slice(&bytes[whole..]);
        self.stderr.extend(String::from_utf8_lossy(&bytes[..whole]).chars());
        let over = self.stderr.len().saturating_sub(STDERR_CHARS);
        self.stderr.drain(..over);
    }

    /// The kept end of the error output.
    pub fn stderr_text(&self) -> String {
        self.stderr.iter().collect()
    }

    /// Takes a line that is no message.
    pub fn garbage(&mut self, line: &[u8]) {
        self.garbage += 1;
        if self.kept.len() < GARBAGE_KEPT {
            let cut = &line[..line.len().min(4 * GARBAGE_CHARS)];
            self.kept.push(String::from_utf8_lossy(cut).chars().take(GARBAGE_CHARS).collect());
        }
    }

    /// What speaks for itself in an error, with a separator before it; empty when there is nothing.
    pub fn words(&self) -> String {
        let mut words = String::new();
        if self.garbage > 0 {
            words.push_str(&format!("; {} of its lines were no JSON-RPC", self.garbage));
            if let Some(first) = self.kept.first() {
                words.push_str(&format!(", as {first:?}"));
            }
        }
        if self.late > 0 {
            words.push_str(&format!("; {} of its answers came too late", self.late));
        }
        if self.unknown_ids > 0 {
            words.push_str(&format!("; {} of its answers had ids that were never asked", self.unknown_ids));
        }
        if self.unknown > 0 {
            words.push_str(&format!("; {} of its notifications were not known", self.unknown));
        }
        let stderr = self.stderr_text();
        let stderr = stderr.trim();
        if !stderr.is_empty() {
            let skip = stderr.chars().count().saturating_sub(STDERR_TOLD);
            words.push_str(&format!("; its stderr: {}", stderr.chars().skip(skip).collect::<String>()));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_stderr_is_kept_over_borders_of_characters() {
        let mut notes = Notes::default();
        let text = "ä".repeat(STDERR_CHARS + 5);
        for byte in text.as_bytes() {
            notes.stderr(&[*byte]);
        }
        assert_eq!(notes.stderr_text(), "ä".repeat(STDERR_CHARS));
        notes.stderr(b"\xff end");
        assert!(notes.stderr_text().ends_with("\u{fffd} end"));
        assert!(notes.words().chars().count() < STDERR_TOLD + 40);
    }

    #[test]
    fn a_budget_fills_again_with_time() {
        let mut budget = Budget::new(2, 60);
        assert_eq!([0, 0, 0].map(|now| budget.take(now)), [true, true, false]);
        assert_eq!([999, 1_000, 1_001].map(|now| budget.take(now)), [false, true, false]);
        assert_eq!([90_000, 90_000, 90_000].map(|now| budget.take(now)), [true, true, false]);
    }
}

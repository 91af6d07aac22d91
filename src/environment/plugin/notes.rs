//! What is kept of an instance for people: the end of its error output, and what it sent that nobody could use.

use std::collections::VecDeque;

use crate::environment::secrets::Resolved;

/// Characters of its error output that are kept.
pub const STDERR_CHARS: usize = 8_000;
/// Characters of it that stand in an error.
const STDERR_TOLD: usize = 600;
/// Lines that were no message, kept as they were.
const GARBAGE_KEPT: usize = 3;
/// Bytes of each.
const GARBAGE_BYTES: usize = 8_000;
/// Characters of one that stand in an error.
const GARBAGE_TOLD: usize = 160;

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

/// The beginning of a line.
#[derive(Clone)]
struct Kept {
    text: String,
    is_cut: bool,
}

/// Notes of one instance.
#[derive(Clone, Default)]
pub struct Notes {
    stderr: VecDeque<char>,
    /// Whether some of it was thrown away.
    is_cut: bool,
    /// Bytes of a character whose rest has not come yet.
    broken: Vec<u8>,
    /// Lines that were no message of the protocol.
    pub garbage: u64,
    kept: Vec<Kept>,
    /// Answers that came when nobody waited any more.
    pub late: u64,
    /// Answers to what was never asked.
    pub unknown_ids: u64,
    /// Notifications that are not known or belong to nothing.
    pub unknown: u64,
}

impl std::fmt::Debug for Notes {
    /// Counts only: what it wrote may hold secrets, which are starred out where it is told.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { garbage, late, unknown_ids, unknown, .. } = self;
        write!(f, "Notes({garbage} garbage, {late} late, {unknown_ids} unknown ids, {unknown} unknown)")
    }
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
        self.is_cut |= over > 0;
    }

    /// The kept end of the error output, without secrets.
    pub fn stderr_text(&self, secrets: &Resolved) -> String {
        let kept: String = self.stderr.iter().collect();
        if !self.is_cut {
            return secrets.redact(&kept);
        }
        // What stands at the cut may be the rest of a secret, which nothing would star out.
        let line = kept.find('\n').map_or(0, |at| at + 1);
        secrets.redact(kept.get(line.max(kept.ceil_char_boundary(secrets.longest()))..).unwrap_or_default())
    }

    /// Takes a line that is no message.
    pub fn garbage(&mut self, line: &[u8]) {
        self.garbage += 1;
        if self.kept.len() < GARBAGE_KEPT {
            let cut = &line[..line.len().min(GARBAGE_BYTES)];
            self.kept.push(Kept { text: String::from_utf8_lossy(cut).into_owned(), is_cut: cut.len() < line.len() });
        }
    }

    /// What speaks for itself in an error, with a separator before it and without secrets; empty when there is nothing.
    pub fn words(&self, secrets: &Resolved) -> String {
        let mut words = String::new();
        if self.garbage > 0 {
            words.push_str(&format!("; {} of its lines were no JSON-RPC", self.garbage));
            if let Some(first) = self.kept.first() {
                let whole =
                    if first.is_cut { first.text.len().saturating_sub(secrets.longest()) } else { first.text.len() };
                let clean = secrets.redact(&first.text[..first.text.floor_char_boundary(whole)]);
                words.push_str(&format!(", as {:?}", clean.chars().take(GARBAGE_TOLD).collect::<String>()));
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
        let stderr = self.stderr_text(secrets);
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
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_end_of_stderr_is_kept_over_borders_of_characters() {
        let mut notes = Notes::default();
        let text = "ä".repeat(STDERR_CHARS + 5);
        for byte in text.as_bytes() {
            notes.stderr(&[*byte]);
        }
        let none = Resolved::told(Value::Null, &[]);
        assert_eq!(notes.stderr_text(&none), "ä".repeat(STDERR_CHARS));
        notes.stderr(b"\xff end");
        assert!(notes.stderr_text(&none).ends_with("\u{fffd} end"));
        assert!(notes.words(&none).chars().count() < STDERR_TOLD + 40);
    }

    /// Wherever the cuts fall, no part of a secret is told.
    #[test]
    fn no_cut_leaves_a_part_of_a_secret() {
        let secret = "0123456789abcdefghij".to_owned();
        let secrets = Resolved::told(Value::Null, std::slice::from_ref(&secret));
        let is_clean =
            |words: &str| secret.as_bytes().windows(4).all(|part| !words.contains(str::from_utf8(part).unwrap()));
        for (behind, end) in [(STDERR_TOLD, ""), (STDERR_CHARS, ""), (STDERR_CHARS, "\n")] {
            for at in 0..=secret.len() {
                let mut notes = Notes::default();
                notes.stderr(format!("{secret}{end}{}", "x".repeat(behind - at)).as_bytes());
                let told = notes.words(&secrets);
                assert!(is_clean(&told) && is_clean(&notes.stderr_text(&secrets)), "{at}: {told}");
                assert!(told.ends_with("xxx"), "{told}");
            }
        }
        for before in GARBAGE_TOLD - secret.len()..=GARBAGE_TOLD {
            let mut notes = Notes::default();
            notes.garbage(format!("{}{secret}", "x".repeat(before)).as_bytes());
            assert!(is_clean(&notes.words(&secrets)), "{}", notes.words(&secrets));
        }
        let long = "0123456789".repeat(GARBAGE_BYTES);
        let mut notes = Notes::default();
        notes.garbage(format!("x{long}").as_bytes());
        assert!(!notes.words(&Resolved::told(Value::Null, &[long])).contains("01"));
        // A line that was cut is told from its end on.
        let mut notes = Notes::default();
        notes.stderr(format!("{}\nthe end", "y".repeat(STDERR_CHARS)).as_bytes());
        assert_eq!(notes.stderr_text(&secrets), "the end");
    }

    #[test]
    fn a_budget_fills_again_with_time() {
        let mut budget = Budget::new(2, 60);
        assert_eq!([0, 0, 0].map(|now| budget.take(now)), [true, true, false]);
        assert_eq!([999, 1_000, 1_001].map(|now| budget.take(now)), [false, true, false]);
        assert_eq!([90_000, 90_000, 90_000].map(|now| budget.take(now)), [true, true, false]);
    }
}

//! Secret values in output become asterisks, over the borders of reads (contracts 6.2).
//!
//! What is replaced: every byte that any occurrence of any secret covers, each by one `*`. That
//! does not depend on how the bytes were cut into reads, unless a cut lasted longer than
//! [`HOLD_NS`].

use std::ops::Range;

use memchr::memmem::Finder;

/// Values shorter than this are left alone: they would match everywhere.
pub const SECRET_MIN_BYTES: usize = 8;
/// Longest value; nothing longer fits into a variable of an environment.
pub const SECRET_MAX_BYTES: usize = 128 * 1024;
/// Longest time that a possible beginning of a secret is held back, in nanoseconds.
pub const HOLD_NS: u64 = 50_000_000;

/// The values of one run, prepared for searching.
#[derive(Debug, Default)]
pub struct Secrets {
    patterns: Vec<Pattern>,
    longest: usize,
}

#[derive(Debug)]
struct Pattern {
    finder: Finder<'static>,
    /// For each length, the longest proper prefix that is also a suffix (Knuth, Morris, Pratt).
    borders: Vec<u32>,
}

impl Pattern {
    fn new(value: &str) -> Self {
        let bytes = value.as_bytes();
        let mut borders = vec![0u32; bytes.len()];
        let mut matched = 0;
        for at in 1..bytes.len() {
            while matched > 0 && bytes[at] != bytes[matched] {
                matched = borders[matched - 1] as usize;
            }
            matched += usize::from(bytes[at] == bytes[matched]);
            borders[at] = matched as u32;
        }
        Self { finder: Finder::new(bytes).into_owned(), borders }
    }

    fn bytes(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Reports the ranges that occurrences cover, adjoining and overlapping ones as one.
    fn cover(&self, text: &[u8], mut report: impl FnMut(Range<usize>)) {
        let len = self.bytes().len();
        let period = len - self.borders[len - 1] as usize;
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|rest| self.finder.find(rest)) {
            let start = from + found;
            // A value that repeats itself may overlap itself; walking its period keeps this linear.
            let mut run = start + len;
            while run < text.len() && text[run] == text[run - period] {
                run += 1;
            }
            let last = start + (run - start - len) / period * period;
            report(start..last + len);
            from = last + 1;
        }
    }

    /// Length of the longest end of `text` that begins this value and is not all of it.
    fn begun(&self, text: &[u8]) -> usize {
        let bytes = self.bytes();
        let mut matched = 0;
        for &byte in &text[text.len().saturating_sub(bytes.len() - 1)..] {
            while matched > 0 && byte != bytes[matched] {
                matched = self.borders[matched - 1] as usize;
            }
            matched += usize::from(byte == bytes[matched]);
        }
        matched
    }
}

impl Secrets {
    /// Prepares the values; short ones and repeated ones are left out.
    ///
    /// # Errors
    /// Words about a value that is longer than [`SECRET_MAX_BYTES`], without the value.
    pub fn new(values: &[String]) -> Result<Self, String> {
        let mut values: Vec<&String> = values.iter().filter(|v| v.len() >= SECRET_MIN_BYTES).collect();
        values.sort_unstable();
        values.dedup();
        if let Some(long) = values.iter().find(|v| v.len() > SECRET_MAX_BYTES) {
            return Err(format!(
                "a value to be redacted has {} bytes; at most {SECRET_MAX_BYTES} can be searched for",
                long.len()
            ));
        }
        Ok(Self::prepare(values.into_iter().map(|v| Pattern::new(v)).collect()))
    }

    /// Prepares the values as a terminal shows them and as they are typed: its line ends are others.
    ///
    /// # Errors
    /// As [`Secrets::new`].
    pub fn for_terminal(values: &[String]) -> Result<Self, String> {
        let mut patterns = Self::new(values)?.patterns;
        let lines = values.iter().filter(|v| v.len() >= SECRET_MIN_BYTES && v.contains('\n'));
        let mut others: Vec<String> = lines.flat_map(|v| [v.replace('\n', "\r\n"), v.replace('\n', "\r")]).collect();
        others.sort_unstable();
        others.dedup();
        patterns.extend(others.iter().map(|v| Pattern::new(v)));
        Ok(Self::prepare(patterns))
    }

    fn prepare(patterns: Vec<Pattern>) -> Self {
        let longest = patterns.iter().map(|p| p.bytes().len()).max().unwrap_or(0);
        Self { patterns, longest }
    }

    /// Whether there is nothing to search for.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Replaces in a whole text; says whether anything was replaced. This is the rule that the
    /// streaming form keeps.
    pub fn redact_whole(&self, text: &mut [u8]) -> bool {
        let ranges = self.ranges(text);
        for range in &ranges {
            text[range.clone()].fill(b'*');
        }
        !ranges.is_empty()
    }

    /// Replaces in all strings of a JSON value, keys included.
    pub fn redact_json(&self, value: &mut serde_json::Value) -> bool {
        use serde_json::Value;
        if self.is_empty() {
            return false;
        }
        match value {
            Value::String(text) => self.redact_string(text),
            Value::Array(items) => items.iter_mut().fold(false, |hit, item| self.redact_json(item) | hit),
            Value::Object(entries) => {
                let mut hit = false;
                let old = std::mem::take(entries);
                for (mut key, mut item) in old {
                    hit |= self.redact_string(&mut key) | self.redact_json(&mut item);
                    entries.insert(key, item);
                }
                hit
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn redact_string(&self, text: &mut String) -> bool {
        let mut bytes = std::mem::take(text).into_bytes();
        let hit = self.redact_whole(&mut bytes);
        // A match of whole UTF-8 values begins and ends between characters, so this stays UTF-8.
        *text = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        hit
    }

    fn ranges(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        for pattern in &self.patterns {
            pattern.cover(text, |range| ranges.push(range));
        }
        ranges
    }
}

/// Redacts one stream as it comes.
#[derive(Debug, Default)]
pub struct Redactor {
    /// Original bytes: those given out that a match may still reach back into, then those held.
    window: Vec<u8>,
    /// Where the held ones begin.
    given: usize,
    held_since_ns: u64,
}

impl Redactor {
    /// Takes the next bytes and replaces `out` with what may be given out now; says whether
    /// anything in it was replaced.
    pub fn push(&mut self, secrets: &Secrets, bytes: &[u8], now_ns: u64, out: &mut Vec<u8>) -> bool {
        let held_before = self.window.len();
        let was_holding = self.given < held_before;
        self.window.extend_from_slice(bytes);
        let hold = secrets.patterns.iter().map(|p| p.begun(&self.window)).max().unwrap_or(0);
        // A match may reach back before what was given out already: only the rest can be held.
        let upto = (self.window.len() - hold).max(self.given);
        if !was_holding || upto >= held_before {
            self.held_since_ns = now_ns;
        }
        self.give(secrets, upto, out)
    }

    /// Gives out all that is held: the stream has ended, or the bytes have been held long enough.
    pub fn flush(&mut self, secrets: &Secrets, out: &mut Vec<u8>) -> bool {
        self.give(secrets, self.window.len(), out)
    }

    /// Bytes held back.
    pub fn held(&self) -> usize {
        self.window.len() - self.given
    }

    /// When the held bytes must go, in awake nanoseconds; `None` when none are held.
    pub fn due_ns(&self) -> Option<u64> {
        (self.held() > 0).then(|| self.held_since_ns.saturating_add(HOLD_NS))
    }

    fn give(&mut self, secrets: &Secrets, upto: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        out.extend_from_slice(&self.window[self.given..upto]);
        let mut hit = false;
        for range in secrets.ranges(&self.window) {
            let (start, end) = (range.start.max(self.given), range.end.min(upto));
            if start < end {
                out[start - self.given..end - self.given].fill(b'*');
                hit = true;
            }
        }
        // A match that covers the next byte begins at most this far before it.
        let keep_from = upto.saturating_sub(secrets.longest.saturating_sub(1));
        self.window.drain(..keep_from);
        self.given = upto - keep_from;
        hit
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        Secrets::new(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    /// The rule in its plainest form: each window of each value's length is compared.
    fn naive(values: &[String], text: &[u8]) -> Vec<u8> {
        let mut out = text.to_vec();
        for value in values.iter().filter(|v| v.len() >= SECRET_MIN_BYTES) {
            for at in 0..(text.len() + 1).saturating_sub(value.len()) {
                if &text[at..at + value.len()] == value.as_bytes() {
                    out[at..at + value.len()].fill(b'*');
                }
            }
        }
        out
    }

    #[test]
    fn whole_texts_table() {
        let table = [
            ("none", "nothing here", "nothing here"),
            ("one", "a hunter2hunter2 b", "a ************** b"),
            ("short values stay", "tiny tiny", "tiny tiny"),
            ("twice in a row", "abcdefghabcdefgh", "****************"),
            ("overlapping values", "abcdefghijkl", "************"),
            ("overlapping itself", "xaaaaaaaaaax", "x**********x"),
            ("almost", "abcdefg abcdefg", "abcdefg abcdefg"),
        ];
        let s = secrets(&["hunter2hunter2", "tiny", "abcdefgh", "efghijkl", "aaaaaaaa"]);
        for (name, text, expected) in table {
            let mut bytes = text.as_bytes().to_vec();
            let hit = s.redact_whole(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{name}");
            assert_eq!(hit, text != expected, "{name}");
        }
    }

    #[test]
    fn a_terminal_has_other_line_ends() {
        let values = ["-----BEGIN\nsecret\nEND".to_owned(), "plain-secret".to_owned()];
        let s = Secrets::for_terminal(&values).unwrap();
        for (text, expected) in [
            ("a -----BEGIN\r\nsecret\r\nEND b", "a *********************** b"),
            ("a -----BEGIN\rsecret\rEND b", "a ********************* b"),
            ("a -----BEGIN\nsecret\nEND b", "a ********************* b"),
            ("a plain-secret b", "a ************ b"),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            assert!(s.redact_whole(&mut bytes), "{text:?}");
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
        let (mut r, mut out, mut got) = (Redactor::default(), Vec::new(), Vec::new());
        for piece in ["x -----BEGIN\r", "\nsecret\r\n", "END y"] {
            r.push(&s, piece.as_bytes(), 0, &mut out);
            got.extend_from_slice(&out);
        }
        assert_eq!(String::from_utf8(got).unwrap(), "x *********************** y");
    }

    #[test]
    fn held_bytes_have_a_deadline_and_a_late_rest_is_still_replaced() {
        let s = secrets(&["password-1"]);
        let mut r = Redactor::default();
        let mut out = Vec::new();
        assert!(!r.push(&s, b"see pass", 1_000, &mut out));
        assert_eq!(out, b"see ");
        assert_eq!(r.due_ns(), Some(1_000 + HOLD_NS));
        assert!(!r.push(&s, b"word", 2_000, &mut out));
        assert!(out.is_empty());
        assert_eq!(r.due_ns(), Some(1_000 + HOLD_NS), "more of the same does not move the deadline");
        assert!(!r.flush(&s, &mut out));
        assert_eq!(out, b"password");
        assert!(r.push(&s, b"-1 end", 3_000, &mut out));
        assert_eq!(out, b"** end");
        assert_eq!(r.due_ns(), None);
    }

    #[test]
    fn json_is_replaced_in_strings_and_keys() {
        let s = secrets(&["topsecret\"x"]);
        let mut v = serde_json::json!({"a": ["say topsecret\"x now", 1], "topsecret\"x": null});
        assert!(s.redact_json(&mut v));
        assert_eq!(v, serde_json::json!({"a": ["say *********** now", 1], "***********": null}));
        assert!(!s.redact_json(&mut v));
    }

    #[test]
    fn a_value_that_cannot_be_searched_for_is_refused_without_showing_it() {
        let words = Secrets::new(&["z".repeat(SECRET_MAX_BYTES + 1)]).unwrap_err();
        assert!(words.contains("131073 bytes") && !words.contains("zz"), "{words}");
    }

    proptest! {
        #[test]
        fn streaming_equals_the_whole_however_it_is_cut(
            // A small alphabet makes overlaps and near misses common.
            values in proptest::collection::vec("[ab]{6,14}|[abc]{8,10}", 0..4),
            text in "[abc]{0,300}",
            cuts in proptest::collection::vec(1usize..40, 0..60),
        ) {
            let s = Secrets::new(&values).unwrap();
            let expected = naive(&values, text.as_bytes());
            let mut whole = text.clone().into_bytes();
            s.redact_whole(&mut whole);
            prop_assert_eq!(&whole, &expected);

            let mut r = Redactor::default();
            let (mut got, mut out, mut rest) = (Vec::new(), Vec::new(), text.as_bytes());
            let mut any = false;
            for cut in cuts.into_iter().chain(std::iter::repeat(64)) {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at(cut.min(rest.len()));
                any |= r.push(&s, now, 0, &mut out);
                got.extend_from_slice(&out);
                prop_assert!(r.held() < 14, "holds {} bytes", r.held());
                rest = later;
            }
            any |= r.flush(&s, &mut out);
            got.extend_from_slice(&out);
            prop_assert_eq!(any, got.as_slice() != text.as_bytes());
            prop_assert_eq!(got, expected);
        }
    }
}

//! What is wrong with a config file, and how it is shown: the line itself, the place marked, and
//! what was expected there.

use std::fmt;
use std::ops::Range;

use ratatui::text::Span;

/// Most problems shown of one file; a file with more is wrong as a whole.
const SHOWN_MAX: usize = 50;
/// Most columns of a source line that are shown.
const LINE_MAX: usize = 100;

/// One wrong place of a config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it is named to people.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The whole source line.
    pub source: String,
    /// Bytes of `source` that are marked.
    pub mark: Range<usize>,
    /// What is wrong, naming the key.
    pub message: String,
    /// What was expected there; shown beside the mark.
    pub expected: String,
}

impl Problem {
    /// A problem at a place of a text. Places outside of the text are moved to its end.
    pub fn new(
        file: &str,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let start = floor(text, span.start);
        // A span over several lines is marked on its first one.
        let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let length = text[begin..].find('\n').unwrap_or(text.len() - begin);
        let source = text[begin..begin + length].trim_end_matches('\r');
        let mark_start = floor(source, start - begin);
        let mark_end = floor(source, span.end.saturating_sub(begin)).max(mark_start);
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            source: source.to_owned(),
            mark: mark_start..mark_end,
            message: message.into(),
            expected: expected.into(),
        }
    }
}

impl Problem {
    /// Replaces what is marked, and all that follows on its line, by stars.
    pub(super) fn hide(&mut self) {
        self.source.truncate(self.mark.start);
        self.source.push_str("***");
        self.mark.end = self.source.len();
    }
}

fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// Text of a stranger made harmless for a terminal: control and direction characters become `·`.
pub(crate) fn harmless(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if hidden(c) {
                '·'
            } else {
                c
            }
        })
        .collect()
}

/// The text cut to at most `max` characters, with `…` in place of the rest.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}:{}: {}", self.file, self.line, harmless(&self.message))?;
        let before = harmless(&self.source[..self.mark.start]);
        let marked = harmless(&self.source[self.mark.clone()]);
        let after = harmless(&self.source[self.mark.end..]);
        // A long line is cut on both sides of the mark.
        let skip = before.chars().count().saturating_sub(LINE_MAX / 2);
        let before: String =
            if skip > 0 { std::iter::once('…').chain(before.chars().skip(skip)).collect() } else { before };
        let marked = shortened(&marked, LINE_MAX / 2);
        let room = LINE_MAX.saturating_sub(before.chars().count() + marked.chars().count());
        let number = self.line.to_string();
        let gutter = number.len().max(5);
        writeln!(f, "{number:>gutter$} | {before}{marked}{}", shortened(&after, room))?;
        let carets = "^".repeat(columns(&marked).max(1));
        let line = format!("{:gutter$} | {}{carets} {}", "", " ".repeat(columns(&before)), harmless(&self.expected));
        f.write_str(line.trim_end())
    }
}

/// Everything that is wrong with the files that were read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigErrors {
    /// There is no such file.
    #[error("error: there is no {file}\nnext:  wharf init writes one")]
    Missing {
        /// The file as it is named to people.
        file: String,
    },
    /// The file is there and cannot be read as text at all.
    #[error("error: {file} cannot be read: {cause}\nnext:  {next}")]
    Unreadable {
        /// The file as it is named to people.
        file: String,
        /// Why.
        cause: String,
        /// What to do.
        next: String,
    },
    /// The file was read and is wrong in these places, in the order of its lines.
    #[error("{}", show(.0, None))]
    Wrong(Vec<Problem>),
}

impl ConfigErrors {
    /// The wrong places, in the order of the file; empty when it could not be read at all.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Wrong(problems) => problems,
            Self::Missing { .. } | Self::Unreadable { .. } => &[],
        }
    }

    /// The errors with a last line that says what to do. `next` replaces the usual advice, for a
    /// console that can say which values stay in force.
    pub fn render(&self, next: Option<&str>) -> String {
        match self {
            Self::Wrong(problems) => show(problems, next),
            other => other.to_string(),
        }
    }
}

fn show(problems: &[Problem], next: Option<&str>) -> String {
    let mut out = String::new();
    for problem in problems.iter().take(SHOWN_MAX) {
        out.push_str(&format!("{problem}\n"));
    }
    if problems.len() > SHOWN_MAX {
        out.push_str(&format!("and {} more\n", problems.len() - SHOWN_MAX));
    }
    let usual = if problems.len() == 1 { "fix the line" } else { "fix the lines" };
    out.push_str(&format!("next:  {}", next.unwrap_or(usual)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_the_place_as_people_see_it() {
        let text = "a = 1\nname = \"日本\"  # x\n";
        let start = text.find("\"日").unwrap();
        let problem = Problem::new("wharf.toml", text, start..start + 8, "name is wrong", "expected another");
        let shown =
            "error: wharf.toml:2: name is wrong\n    2 | name = \"日本\"  # x\n      |        ^^^^^^ expected another";
        assert_eq!(problem.to_string(), shown);
    }

    #[test]
    fn any_place_of_any_text_can_be_shown() {
        for text in ["", "\n", "é", "a\r\nb", "\u{1b}[31mred\u{202e}"] {
            for start in 0..12 {
                for end in 0..12 {
                    let shown = Problem::new("f", text, start..end, "m", "e").to_string();
                    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
                }
            }
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let shown = Problem::new("f", &text, 5000..5001, "m", "e").to_string();
        assert!(shown.lines().all(|line| line.chars().count() < 130), "{shown}");
        assert!(shown.contains("aXb"), "{shown}");
    }
}

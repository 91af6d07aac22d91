//! A printed line as text with styles. Only SGR is understood; no escape sequence survives.

use std::ops::Range;

use ansi_to_tui::IntoText;
use ratatui::style::Style;

/// Bytes of one line that are looked at; longer lines are shown up to here.
pub const LINE_MAX_BYTES: usize = 64 * 1024;

/// A line ready to be drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Printed {
    /// Its characters; control characters have become the replacement.
    pub text: String,
    /// Styles of parts of the text, in order, without overlap.
    pub spans: Vec<(Range<usize>, Style)>,
}

impl Printed {
    /// The style of the character at this byte.
    pub fn style_at(&self, byte: usize) -> Style {
        self.spans.iter().find(|(range, _)| range.contains(&byte)).map_or_else(Style::new, |(_, style)| *style)
    }
}

/// What stands in the line at its end: a carriage return begins it anew, as progress bars do.
fn last_state(bytes: &[u8]) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(LINE_MAX_BYTES)];
    bytes.rsplit(|b| *b == b'\r').find(|part| !part.is_empty()).unwrap_or_default()
}

/// Reads one line: SGR becomes style, tabs become blanks, all other control becomes harmless.
pub fn printed(bytes: &[u8]) -> Printed {
    let bytes = last_state(bytes);
    let clean = sgr_only(&String::from_utf8_lossy(bytes));
    if !clean.contains('\u{1b}') {
        return Printed { text: clean, spans: Vec::new() };
    }
    let Ok(styled) = clean.as_bytes().into_text() else {
        return Printed { text: strip(&clean), spans: Vec::new() };
    };
    let mut out = Printed::default();
    for line in styled.lines {
        for span in line.spans {
            let from = out.text.len();
            // What comes back from the parser is checked like what went in.
            out.text.extend(span.content.chars().filter(|c| !c.is_control()));
            let style = line.style.patch(span.style);
            if style != Style::new() && out.text.len() > from {
                out.spans.push((from..out.text.len(), style));
            }
        }
    }
    out
}

/// The text alone, as it is searched and copied.
pub fn plain(bytes: &[u8]) -> String {
    let bytes = last_state(bytes);
    strip(&sgr_only(&String::from_utf8_lossy(bytes)))
}

fn strip(clean: &str) -> String {
    let mut out = String::with_capacity(clean.len());
    let mut chars = clean.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // `sgr_only` leaves nothing but whole `ESC [ … m`.
            for c in chars.by_ref() {
                if c == 'm' {
                    break;
                }
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn sgr_only(text: &str) -> String {
    if !text.bytes().any(|b| b < 0x20 || b == 0x7f || b >= 0x80) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => escape(&mut chars, &mut out),
            '\t' => {
                let blanks = 8 - column % 8;
                out.extend(std::iter::repeat_n(' ', blanks));
                column += blanks;
            }
            c if c.is_control() => {
                out.push('\u{FFFD}');
                column += 1;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            let mut body = String::new();
            for c in chars.by_ref() {
                match c {
                    '\u{40}'..='\u{7e}' => {
                        let plain =
                            body.len() <= 64 && body.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':');
                        if c == 'm' && plain {
                            out.push_str("\u{1b}[");
                            out.push_str(&body.replace(':', ";"));
                            out.push('m');
                        }
                        return;
                    }
                    '\u{20}'..='\u{3f}' => body.push(c),
                    // A broken sequence: what interrupts it is not part of it, but control all the same.
                    _ => {
                        out.push('\u{FFFD}');
                        return;
                    }
                }
            }
        }
        // Strings to the terminal: title, clipboard, images. They end with BEL or ESC \.
        Some(']' | 'P' | '_' | '^' | 'X') => {
            chars.next();
            while let Some(c) = chars.next() {
                if c == '\u{7}' || c == '\u{9c}' {
                    return;
                }
                if c == '\u{1b}' {
                    if chars.peek() == Some(&'\\') {
                        chars.next();
                    }
                    return;
                }
            }
        }
        // Two or three characters: charset, keypad, reset.
        Some(' '..='/') => {
            while chars.peek().is_some_and(|c| (' '..='/').contains(c)) {
                chars.next();
            }
            chars.next();
        }
        Some('0'..='~') => {
            chars.next();
        }
        _ => out.push('\u{FFFD}'),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::style::{Color, Modifier};

    use super::*;

    #[test]
    fn only_sgr_survives() {
        let table: [(&[u8], &str); 12] = [
            (b"plain", "plain"),
            (b"a\tb", "a       b"),
            (b"\x1b[31mred\x1b[0m", "red"),
            (b"\x1b[2Jgone\x1b[H", "gone"),
            (b"\x1b]0;title\x07x", "x"),
            (b"\x1b]52;c;aGk=\x1b\\x", "x"),
            (b"\x1bPq#0\x1b\\x", "x"),
            (b"\x1b(Bx\x1bcy", "xy"),
            (b"bell\x07 back\x08", "bell\u{FFFD} back\u{FFFD}"),
            (b"crlf\r", "crlf"),
            (b"10 %\r55 %\r100 %\r\r", "100 %"),
            (b"bad \xff utf", "bad \u{FFFD} utf"),
        ];
        for (bytes, expected) in table {
            assert_eq!(printed(bytes).text, expected);
            assert_eq!(plain(bytes), expected);
        }
    }

    #[test]
    fn sgr_becomes_style() {
        let line = printed(b"a \x1b[1;31mb\x1b[0m \x1b[38;5;80mc\x1b[38;2;1;2;3md");
        assert_eq!(line.text, "a b cd");
        assert_eq!(line.style_at(0), Style::new());
        assert_eq!(line.style_at(2).fg, Some(Color::Red));
        assert!(line.style_at(2).add_modifier.contains(Modifier::BOLD));
        assert_eq!(line.style_at(4).fg, Some(Color::Indexed(80)));
        assert_eq!(line.style_at(5).fg, Some(Color::Rgb(1, 2, 3)));
    }

    proptest! {
        #[test]
        fn no_control_character_ever_comes_out(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b'['), Just(b']')], 0..80)) {
            let line = printed(&bytes);
            prop_assert!(!line.text.chars().any(char::is_control), "{:?}", line.text);
            for (range, _) in &line.spans { prop_assert!(line.text.get(range.clone()).is_some()); }
            prop_assert!(!plain(&bytes).chars().any(char::is_control));
        }
    }
}

//! Text in cells: widths, and cuts that never split a wide character (screens 1.8).

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// What stands for a character that must not reach the terminal.
pub const REPLACEMENT: &str = "\u{FFFD}";

/// Cells that one grapheme takes on the screen; characters that steer a terminal count as the replacement.
pub fn cells(grapheme: &str) -> usize {
    if is_unsafe(grapheme) { 1 } else { grapheme.width().min(2) }
}

/// Cells that a text takes on the screen.
pub fn width(text: &str) -> usize {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.len();
    }
    text.graphemes(true).map(cells).sum()
}

/// Whether a grapheme would steer the terminal (control characters) or turn the reading direction.
pub fn is_unsafe(grapheme: &str) -> bool {
    grapheme.chars().any(|c| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// The grapheme as it may be written into a cell.
pub fn safe(grapheme: &str) -> &str {
    if is_unsafe(grapheme) { REPLACEMENT } else { grapheme }
}

/// The longest beginning of `text` that takes at most `max` cells.
pub fn head(text: &str, max: usize) -> &str {
    let mut used = 0;
    for (at, g) in text.grapheme_indices(true) {
        used += cells(g);
        if used > max {
            return &text[..at];
        }
    }
    text
}

/// The longest end of `text` that takes at most `max` cells.
pub fn tail(text: &str, max: usize) -> &str {
    let mut used = 0;
    let mut from = text.len();
    for (at, g) in text.grapheme_indices(true).rev() {
        used += cells(g);
        if used > max {
            break;
        }
        from = at;
    }
    &text[from..]
}

/// Cuts prose at its end: `Fix flaky check…`.
pub fn cut_end(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    match max {
        0 => Cow::Borrowed(""),
        _ => Cow::Owned(format!("{}…", head(text, max - 1))),
    }
}

/// Cuts what is identified by both ends (paths, branches, UUIDs): `019a…e1b7`.
pub fn cut_middle(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    if max < 3 {
        return cut_end(text, max);
    }
    let back = (max - 1) / 2;
    Cow::Owned(format!("{}…{}", head(text, max - 1 - back), tail(text, back)))
}

/// Fills a text with blanks to exactly `to` cells; cuts it at its end when it is longer.
pub fn pad(text: &str, to: usize) -> String {
    let cut = cut_end(text, to);
    let fill = to.saturating_sub(width(&cut));
    format!("{cut}{}", " ".repeat(fill))
}

/// Fills a text from the left, so that numbers stand right.
pub fn pad_left(text: &str, to: usize) -> String {
    let cut = cut_end(text, to);
    format!("{}{cut}", " ".repeat(to.saturating_sub(width(&cut))))
}

/// Breaks a text into rows of at most `max` cells: at the last blank within the last 20 cells, else at the cell.
///
/// Returns byte ranges; the blank at which a row broke belongs to neither row.
pub fn wrap(text: &str, max: usize) -> Vec<(usize, usize)> {
    let max = max.max(2);
    let mut rows = Vec::new();
    let mut start = 0;
    loop {
        let rest = &text[start..];
        let fit = head(rest, max).len();
        if fit == rest.len() {
            rows.push((start, text.len()));
            return rows;
        }
        // A row may break right behind its last cell when a blank follows there.
        let window = &rest[..fit];
        let earliest = width(window).saturating_sub(20);
        let blank = if rest.as_bytes().get(fit) == Some(&b' ') {
            Some(fit)
        } else {
            window.rfind(' ').filter(|at| width(&window[..*at]) >= earliest && *at > 0)
        };
        if let Some(at) = blank {
            rows.push((start, start + at));
            start += at + 1;
        } else {
            // One grapheme wider than the row still has to go on, or this would not end.
            let step = if fit == 0 { rest.graphemes(true).next().map_or(rest.len(), str::len) } else { fit };
            rows.push((start, start + step));
            start += step;
        }
    }
}

/// What is drawn in an area, one line a row, without the blanks behind and the empty rows below.
pub fn drawn(buffer: &ratatui::buffer::Buffer, area: ratatui::layout::Rect) -> String {
    let area = area.intersection(buffer.area);
    let mut out = String::new();
    for y in area.top()..area.bottom() {
        let mut x = area.left();
        let mut row = String::new();
        while x < area.right() {
            let symbol = buffer.cell((x, y)).map_or(" ", ratatui::buffer::Cell::symbol);
            row.push_str(symbol);
            // The cell behind a wide character is part of it.
            x += width(symbol).max(1) as u16;
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts() {
        assert_eq!(cut_end("Fix flaky checkout test", 16), "Fix flaky check…");
        assert_eq!(cut_end("short", 5), "short");
        assert_eq!(cut_middle("SHOP-17-fix-flaky-checkout", 21), "SHOP-17-fi…y-checkout");
        assert_eq!(cut_end("日本語", 4), "日…");
        assert_eq!(cut_end("abc", 0), "");
        assert_eq!(pad("日本", 5), "日本 ");
        assert_eq!(pad_left("7", 3), "  7");
    }

    #[test]
    fn wraps_at_a_blank_near_the_edge_else_at_the_cell() {
        let rows =
            |text: &str, max| wrap(text, max).into_iter().map(|(a, b)| text[a..b].to_owned()).collect::<Vec<_>>();
        assert_eq!(rows("to be or not", 5), ["to be", "or", "not"]);
        assert_eq!(rows("abcdefgh", 5), ["abcde", "fgh"]);
        assert_eq!(rows(&format!("a {}", "b".repeat(40)), 30), [format!("a {}", "b".repeat(28)), "b".repeat(12)]);
        assert_eq!(rows("", 5), [""]);
        assert_eq!(rows("日本語", 3), ["日", "本", "語"]);
    }

    proptest! {
        #[test]
        fn cuts_never_exceed_their_width(text in "\\PC{0,40}", max in 0usize..30) {
            prop_assert!(width(&cut_end(&text, max)) <= max);
            prop_assert!(width(&cut_middle(&text, max)) <= max);
        }

        #[test]
        fn wrapping_loses_blanks_only(text in "[a-z 日é]{0,200}", max in 2usize..60) {
            let rows = wrap(&text, max);
            let joined: String = rows.iter().map(|(a, b)| &text[*a..*b]).collect();
            prop_assert_eq!(joined.replace(' ', ""), text.replace(' ', ""));
            for (a, b) in rows { prop_assert!(width(&text[a..b]) <= max); }
        }
    }
}

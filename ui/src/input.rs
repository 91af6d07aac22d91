//! One line of typing with readline keys.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

/// Longest input, in bytes.
pub const INPUT_MAX_BYTES: usize = 8 * 1024;

/// A text with a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineEdit {
    text: String,
    cursor: usize,
    /// Line ends may be typed and pasted.
    pub multiline: bool,
}

impl LineEdit {
    /// An input that holds `text`, the cursor behind it.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.len(), text, multiline: false }
    }

    /// An empty input of several lines.
    pub fn lines() -> Self {
        Self { multiline: true, ..Self::default() }
    }

    /// What has been typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Byte before which the cursor stands.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Replaces all.
    pub fn set(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.cursor = self.text.len();
    }

    /// Replaces the bytes from `from` to the cursor.
    pub fn complete(&mut self, from: usize, with: &str) {
        if self.text.is_char_boundary(from) && from <= self.cursor {
            self.text.replace_range(from..self.cursor, with);
            self.cursor = from + with.len();
        }
    }

    /// Inserts text as one piece; control characters become blanks, what does not fit is left out.
    pub fn insert(&mut self, text: &str) {
        let clean: String = text
            .replace("\r\n", "\n")
            .chars()
            .map(|c| match c {
                '\n' | '\r' if self.multiline => '\n',
                c if c.is_control() => ' ',
                c => c,
            })
            .collect();
        let room = INPUT_MAX_BYTES.saturating_sub(self.text.len());
        let mut end = clean.len().min(room);
        while !clean.is_char_boundary(end) {
            end -= 1;
        }
        self.text.insert_str(self.cursor, &clean[..end]);
        self.cursor += end;
    }

    fn before(&self) -> usize {
        self.text[..self.cursor].graphemes(true).next_back().map_or(self.cursor, |g| self.cursor - g.len())
    }

    fn after(&self) -> usize {
        self.text[self.cursor..].graphemes(true).next().map_or(self.cursor, |g| self.cursor + g.len())
    }

    fn word_before(&self) -> usize {
        let head = self.text[..self.cursor].trim_end();
        head.rfind(char::is_whitespace).map_or(0, |i| i + head[i..].chars().next().map_or(1, char::len_utf8))
    }

    /// Takes a key; `false` when it is none of editing.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            // AltGr arrives as ctrl with alt on some terminals and means the character itself.
            KeyCode::Char(c) if !ctrl && !alt || ctrl && alt => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Char('a') if ctrl => self.cursor = self.text[..self.cursor].rfind('\n').map_or(0, |i| i + 1),
            KeyCode::Char('e') if ctrl => {
                self.cursor = self.text[self.cursor..].find('\n').map_or(self.text.len(), |i| self.cursor + i);
            }
            KeyCode::Char('b') if ctrl => self.cursor = self.before(),
            KeyCode::Char('f') if ctrl => self.cursor = self.after(),
            KeyCode::Char('u') if ctrl => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') if ctrl => self.text.truncate(self.cursor),
            KeyCode::Char('w') if ctrl => self.cut(self.word_before()),
            KeyCode::Char('h') if ctrl => self.cut(self.before()),
            KeyCode::Char('d') if ctrl => {
                let end = self.after();
                self.text.drain(self.cursor..end);
            }
            KeyCode::Backspace if alt || ctrl => self.cut(self.word_before()),
            KeyCode::Backspace => self.cut(self.before()),
            KeyCode::Delete => {
                let end = self.after();
                self.text.drain(self.cursor..end);
            }
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.after(),
            KeyCode::Home => self.cursor = self.text[..self.cursor].rfind('\n').map_or(0, |i| i + 1),
            KeyCode::End => {
                self.cursor = self.text[self.cursor..].find('\n').map_or(self.text.len(), |i| self.cursor + i);
            }
            _ => return false,
        }
        true
    }

    fn cut(&mut self, from: usize) {
        self.text.drain(from..self.cursor);
        self.cursor = from;
    }

    /// The part around the cursor that fits `max` cells, with a mark where the cursor is.
    pub fn shown(&self, max: usize) -> String {
        let before = crate::text::tail(&self.text[..self.cursor], max.saturating_sub(1));
        let room = max.saturating_sub(1 + crate::text::width(before));
        format!("{before}▏{}", crate::text::head(&self.text[self.cursor..], room))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(edit: &mut LineEdit, code: KeyCode, modifiers: KeyModifiers) {
        edit.key(KeyEvent::new(code, modifiers));
    }

    #[test]
    fn readline_keys() {
        let mut edit = LineEdit::new("status:failed agent:fixer");
        press(&mut edit, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(edit.text(), "status:failed ");
        press(&mut edit, KeyCode::Char('a'), KeyModifiers::CONTROL);
        edit.insert("-");
        assert_eq!(edit.text(), "-status:failed ");
        press(&mut edit, KeyCode::Char('k'), KeyModifiers::CONTROL);
        assert_eq!((edit.text(), edit.cursor()), ("-", 1));
        edit.insert("a\nb\x1b");
        assert_eq!(edit.text(), "-a b ");
        edit.set("日本");
        press(&mut edit, KeyCode::Backspace, KeyModifiers::NONE);
        assert_eq!(edit.text(), "日");
        assert_eq!(edit.shown(10), "日▏");
    }

    proptest! {
        #[test]
        fn any_keys_keep_the_cursor_inside(keys in proptest::collection::vec((any::<char>(), 0u8..4, 0u8..9), 0..60)) {
            let mut edit = LineEdit::default();
            for (c, m, what) in keys {
                let code = [KeyCode::Char(c), KeyCode::Backspace, KeyCode::Delete, KeyCode::Left, KeyCode::Right,
                    KeyCode::Home, KeyCode::End, KeyCode::Char('w'), KeyCode::Char('k')][usize::from(what)];
                let modifiers = [KeyModifiers::NONE, KeyModifiers::CONTROL, KeyModifiers::ALT, KeyModifiers::SHIFT][usize::from(m)];
                edit.key(KeyEvent::new(code, modifiers));
                prop_assert!(edit.text().is_char_boundary(edit.cursor()));
                prop_assert!(crate::text::width(&edit.shown(20)) <= 20);
            }
        }
    }
}

//! The close check of a workspace in rows: what was found, and what archiving would do.
//!
//! The dialog and the tab of the screen say the same, so both are made here.

use ratatui::style::{Modifier, Style};
use wharf_model::UnixMillis;

use crate::draw::Canvas;
use crate::format::{self, Zone};
use crate::glyph::Class;
use crate::rows::{CloseCheck, PreviewVerb};
use crate::text;
use crate::theme::Ink;

/// Cells behind the glyph at which names may begin, so that most of them stand below each other.
const STOPS: [usize; 3] = [18, 32, 44];
/// Cells of the verb of an effect.
const VERB: usize = 9;
/// Cells before how an effect happens.
const HOW: usize = 38;

/// One row, no wider than it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseRow {
    /// Nothing.
    Blank,
    /// A sentence.
    Words(String, Ink),
    /// The beginning of one of several checks.
    Head(String, Class, String),
    /// Something that was looked at, or the rest of its names.
    Found {
        /// Its class; none on a row that goes on.
        class: Option<Class>,
        /// What was found.
        what: String,
        /// Cells before the names.
        at: usize,
        /// The first of them, by name.
        names: String,
        /// It was not so before.
        changed: bool,
    },
    /// What would happen, or the rest of it.
    Does {
        /// The verb; empty on a row that goes on.
        verb: &'static str,
        /// The verb it belongs to.
        of: &'static str,
        /// What happens.
        what: String,
        /// How.
        how: String,
        /// It was not so before.
        changed: bool,
    },
}

fn wrapped(words: &str, room: usize) -> Vec<String> {
    if words.is_empty() {
        return Vec::new();
    }
    text::wrap(words, room.max(1)).into_iter().map(|(a, b)| words[a..b].to_owned()).collect()
}

/// What was found, in `room` cells; what is not in `before` has changed. The first row without names tells when.
pub fn found(check: &CloseCheck, before: Option<&CloseCheck>, zone: Zone, room: usize) -> Vec<CloseRow> {
    let mut out = Vec::new();
    let mut told = false;
    for item in &check.items {
        let changed = before.is_some_and(|b| !b.items.contains(item));
        let mut names = item.names.clone();
        if names.is_empty() && !told && text::width(&item.what) + 8 < room.saturating_sub(16) {
            told = true;
            names = checked(check.preview.at, zone);
        }
        let room = room.saturating_sub(4);
        let width = text::width(&item.what);
        let at = STOPS.into_iter().find(|stop| width + 2 <= *stop && stop + 16 <= room);
        let at = at.unwrap_or(width + 2);
        // Names that have no room beside what they are stand below it.
        let beside = at + 12 <= room || names.is_empty();
        let whats = wrapped(&item.what, if beside && !names.is_empty() { at } else { room });
        let names = wrapped(&names, if beside { room.saturating_sub(at) } else { room.saturating_sub(2) });
        let (at, below) = if beside { (at, 0) } else { (2, whats.len()) };
        for i in 0..whats.len().max(below + names.len()).max(1) {
            let part = |of: &[String], i: Option<usize>| i.and_then(|i| of.get(i)).cloned().unwrap_or_default();
            out.push(CloseRow::Found {
                class: (i == 0).then_some(item.class),
                what: part(&whats, Some(i)),
                at,
                names: part(&names, i.checked_sub(below)),
                changed,
            });
        }
    }
    out
}

/// `checked 12:08:42`.
pub fn checked(at: UnixMillis, zone: Zone) -> String {
    format!("checked {}", format::clock(at, zone))
}

/// What archiving would do, in `room` cells.
pub fn effects(check: &CloseCheck, before: Option<&CloseCheck>, room: usize) -> Vec<CloseRow> {
    let room = room.saturating_sub(2 + VERB);
    let mut out = Vec::new();
    let mut of = "";
    for line in &check.preview.lines {
        let verb = line.verb.word();
        if line.verb != PreviewVerb::More {
            of = verb;
        }
        let changed = before.is_some_and(|b| !b.preview.lines.contains(line));
        let beside = !line.how.is_empty() && HOW + 8 <= room;
        let whats = wrapped(&line.what, if beside { HOW - 2 } else { room });
        let hows = if beside { wrapped(&line.how, room - HOW) } else { Vec::new() };
        for i in 0..whats.len().max(hows.len()).max(1) {
            let part = |of: &[String]| of.get(i).cloned().unwrap_or_default();
            let verb = if i == 0 { verb } else { "" };
            out.push(CloseRow::Does { verb, of, what: part(&whats), how: part(&hows), changed });
        }
        if !beside && !line.how.is_empty() {
            for how in wrapped(&line.how, room) {
                out.push(CloseRow::Does { verb: "", of, what: String::new(), how, changed });
            }
        }
    }
    out
}

impl CloseRow {
    /// As text, to be copied.
    pub fn text(&self) -> String {
        let words = match self {
            Self::Blank => String::new(),
            Self::Words(words, _) => words.clone(),
            Self::Head(name, class, verdict) => format!("{name}  {} {verdict}", class.glyph()),
            Self::Found { class, what, at, names, .. } => {
                let gap = at.saturating_sub(text::width(what));
                format!("  {} {what}{}{names}", class.map_or(" ", Class::glyph), " ".repeat(gap))
            }
            Self::Does { verb, what, how, .. } if what.is_empty() => format!("  {verb:<VERB$}{how}"),
            Self::Does { verb, what, how, .. } => {
                format!("  {verb:<VERB$}{what}{}{how}", " ".repeat(HOW.saturating_sub(text::width(what))))
            }
        };
        words.trim_end().to_owned()
    }

    /// Draws it on a ground of this style.
    pub fn view(&self, canvas: &mut Canvas<'_>, x: u16, y: u16, width: u16, ground: Style) {
        let end = x + width;
        let left = |x: u16| end.saturating_sub(x);
        let ink = |canvas: &Canvas<'_>, ink| ground.patch(canvas.ink(ink));
        let weigh = |style: Style, changed: bool| if changed { style.add_modifier(Modifier::BOLD) } else { style };
        match self {
            Self::Blank => {}
            Self::Words(words, of) => {
                let style = if *of == Ink::Text { ground } else { ink(canvas, *of) };
                canvas.put(x, y, width, words, style);
            }
            Self::Head(name, class, verdict) => {
                let at = canvas.put(x, y, width, name, ground.add_modifier(Modifier::BOLD)) + 2;
                let style = ink(canvas, class.ink());
                let at = canvas.put(at, y, left(at), class.glyph(), style) + 1;
                canvas.put(at, y, left(at), verdict, ground);
            }
            Self::Found { class, what, at, names, changed } => {
                if let Some(class) = class {
                    let style = ink(canvas, class.ink());
                    canvas.put(x + 2, y, left(x + 2), class.glyph(), style);
                }
                canvas.put(x + 4, y, left(x + 4), what, weigh(ground, *changed));
                let names_x = x + 4 + *at as u16;
                let style = weigh(ink(canvas, Ink::Dim), *changed);
                canvas.put(names_x, y, left(names_x), names, style);
            }
            Self::Does { verb, of, what, how, changed } => {
                let of = match *of {
                    "stops" | "removes" => Ink::Bad,
                    "keeps" | "restores" => Ink::Ok,
                    _ => Ink::Text,
                };
                let style = weigh(if of == Ink::Text { ground } else { ink(canvas, of) }, *changed);
                canvas.put(x + 2, y, VERB as u16, verb, style);
                let what_x = x + 2 + VERB as u16;
                canvas.put(what_x, y, left(what_x), what, weigh(ground, *changed));
                let how_x = if what.is_empty() { what_x } else { what_x + HOW as u16 };
                let style = weigh(ink(canvas, Ink::Dim), *changed);
                canvas.put(how_x, y, left(how_x), how, style);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{CloseItem, Preview, PreviewLine};
    use wharf_model::rules::close_check::CloseVerdict;

    fn check(items: &[(&str, &str)]) -> CloseCheck {
        let item = |(what, names): &(&str, &str)| CloseItem {
            class: Class::NeedsPerson,
            what: (*what).into(),
            names: (*names).into(),
            goes: None,
        };
        let line = PreviewLine {
            verb: PreviewVerb::Removes,
            what: "the worktree, ".to_owned() + &"a long way ".repeat(6),
            how: "233 MB".into(),
        };
        CloseCheck {
            verdict: CloseVerdict::Warnings,
            items: items.iter().map(item).collect(),
            preview: Preview { lines: vec![line], ..Preview::default() },
        }
    }

    #[test]
    fn rows_are_never_wider_than_their_room_and_lose_no_word() {
        let names = "src/search/synonyms.rs, a/very/long/directory/with/a/file.rs, notes/todo.md, and 12 more";
        let check = check(&[
            ("3 changed files", names),
            ("all of what is here is known elsewhere, which is told in a long sentence", names),
            ("no live run", ""),
        ]);
        for room in 20..100 {
            let rows: Vec<CloseRow> =
                found(&check, None, Zone::UTC, room).into_iter().chain(effects(&check, None, room)).collect();
            let told: String = rows.iter().map(CloseRow::text).collect::<Vec<_>>().join(" ");
            for row in &rows {
                assert!(text::width(&row.text()) <= room, "{room}: {row:?}");
            }
            let whole = |text: &str| text.split_whitespace().collect::<String>();
            let told = whole(&told);
            for word in ["synonyms.rs", "12more", "233MB", "elsewhere", "nolive"] {
                assert!(told.contains(word) || room < 30, "{room}: {word} in {told}");
            }
        }
    }

    #[test]
    fn what_was_not_so_before_is_marked() {
        let (then, now) = (check(&[("3 changed files", "a, b, c")]), check(&[("4 changed files", "a, b, c, d")]));
        let changed = |rows: &[CloseRow]| {
            rows.iter()
                .any(|r| matches!(r, CloseRow::Found { changed, .. } | CloseRow::Does { changed, .. } if *changed))
        };
        assert!(changed(&found(&now, Some(&then), Zone::UTC, 76)));
        assert!(!changed(&found(&now, Some(&now), Zone::UTC, 76)) && !changed(&effects(&now, Some(&then), 76)));
    }
}

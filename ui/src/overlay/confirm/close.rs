//! Archiving workspaces: what the close check says of each, then what will happen.

use crossterm::event::KeyCode;
use ratatui::layout::Rect;
use wharf_model::rules::close_check::CloseVerdict;

use super::{After, Confirm, DIALOG_WIDTH, Item, capital};
use crate::app::App;
use crate::command;
use crate::draw::Canvas;
use crate::format;
use crate::format::Zone;
use crate::glyph::Class;
use crate::layout;
use crate::pane::close::{CloseRow, effects, found};
use crate::rows::{CloseCheck, close_class};
use crate::screen::ScreenId;
use crate::text;
use crate::theme::{Ground, Ink};

/// Close checks of the things to be confirmed.
#[derive(Debug, Clone, PartialEq)]
pub struct Close {
    /// Branches, or what else tells the workspaces apart, in the order of the items.
    subjects: Vec<String>,
    checks: Vec<Option<CloseCheck>>,
    /// The checks as they were before things changed.
    before: Vec<Option<CloseCheck>>,
}

/// The dialog on a terminal.
struct Laid {
    area: Rect,
    head: Vec<CloseRow>,
    rows: Vec<CloseRow>,
    note: Vec<String>,
    /// Rows of `rows` shown at once.
    space: usize,
}

impl Close {
    /// Nothing is known yet of these.
    pub fn new(subjects: Vec<String>) -> Self {
        let none = vec![None; subjects.len()];
        Self { subjects, before: none.clone(), checks: none }
    }

    /// Takes what was found, or that it could not be.
    pub(super) fn take(&mut self, at: usize, check: Option<&CloseCheck>) {
        if let Some(known) = self.checks.get_mut(at) {
            *known = check.cloned();
        }
    }

    /// Whether this is what is known already, apart from when it was found.
    pub(super) fn is_same(&self, at: usize, check: Option<&CloseCheck>) -> bool {
        match (self.checks.get(at).and_then(Option::as_ref), check) {
            (Some(known), Some(check)) => known.verdict == check.verdict && known.items == check.items,
            (known, check) => known.is_none() && check.is_none(),
        }
    }

    /// What is shown of this one is what the next is compared with.
    pub(super) fn was(&mut self, at: usize) {
        if let (Some(before), Some(Some(known))) = (self.before.get_mut(at), self.checks.get(at)) {
            *before = Some(known.clone());
        }
    }

    /// What was shown is what the next ones are compared with.
    pub(super) fn again(&mut self) {
        self.before = std::mem::replace(&mut self.checks, vec![None; self.subjects.len()]);
    }

    /// That of one item alone.
    pub(super) fn only(&self, item: &Item, all: &[Item]) -> Self {
        let at = all.iter().position(|i| i.name == item.name).unwrap_or(0);
        let one = |of: &[Option<CloseCheck>]| vec![of.get(at).cloned().flatten()];
        Self {
            subjects: self.subjects.get(at).cloned().into_iter().collect(),
            checks: one(&self.checks),
            before: one(&self.before),
        }
    }

    /// In a word, of several in counts; none while one is not known.
    fn verdict(&self) -> Option<String> {
        let known: Option<Vec<CloseVerdict>> = self.checks.iter().map(|c| c.as_ref().map(|c| c.verdict)).collect();
        match known?.as_slice() {
            [one] => Some(one.as_str().to_owned()),
            all => {
                let of = |verdict| all.iter().filter(|v| **v == verdict).count();
                let all = [CloseVerdict::Blocked, CloseVerdict::Warnings, CloseVerdict::Clean]
                    .map(|verdict| (of(verdict), verdict.as_str()));
                let words = all.iter().filter(|(n, _)| *n > 0).map(|(n, word)| match *word {
                    "warnings" => format!("{n} with warnings"),
                    word => format!("{n} {word}"),
                });
                Some(words.collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn check(&self, at: usize) -> (Option<&CloseCheck>, Option<&CloseCheck>) {
        (self.checks.get(at).and_then(Option::as_ref), self.before.get(at).and_then(Option::as_ref))
    }

    /// `Archive W-7 SHOP-16-search-synonyms? The close check says: warnings.`
    fn head(&self, confirm: &Confirm, room: usize) -> Vec<CloseRow> {
        let verb = capital(confirm.verb);
        let says = self.verdict().map(|v| format!(" The close check says: {v}.")).unwrap_or_default();
        let what = match (confirm.items.as_slice(), self.subjects.as_slice()) {
            ([one], [subject]) => {
                let spare = room.saturating_sub(text::width(&format!("{verb} {} ?{says}", one.name)));
                format!("{} {}", one.name, text::cut_middle(subject, spare))
            }
            (many, _) => format!("the {} marked", many.len()),
        };
        let mut rows = Vec::new();
        if !confirm.said.is_empty() {
            rows.extend(words(&confirm.said, Ink::Warn, room));
        }
        rows.extend(words(&format!("{verb} {}?{says}", what.trim_end()), Ink::Text, room));
        rows.push(CloseRow::Blank);
        rows
    }

    fn rows(&self, confirm: &Confirm, zone: Zone, room: usize) -> Vec<CloseRow> {
        let many = confirm.items.len() > 1;
        let mut out = Vec::new();
        for (at, item) in confirm.items.iter().enumerate() {
            if many && !out.is_empty() {
                out.push(CloseRow::Blank);
            }
            let subject = self.subjects.get(at).map_or("", String::as_str);
            let (check, before) = self.check(at);
            let Some(check) = check else {
                match &item.preview {
                    Some(Err(why)) => out.extend(words(&format!("{}: {why}", item.name), Ink::Bad, room)),
                    _ => out.push(CloseRow::Words(format!("looking at {}…", item.name), Ink::Dim)),
                }
                continue;
            };
            let blocked = check.preview.refused.is_some();
            if many {
                let word = if blocked { "blocked, left out".to_owned() } else { check.verdict.as_str().to_owned() };
                let name = format!("{} {subject}", item.name);
                let name = text::cut_middle(&name, room.saturating_sub(24)).into_owned();
                out.push(CloseRow::Head(name, close_class(check.verdict), word));
                let mut short = check.clone();
                // Of several only what has to be known is told.
                short.items.retain(|i| i.class != Class::Good);
                out.extend(found(&short, before, zone, room));
            } else {
                out.extend(found(check, before, zone, room));
                out.push(CloseRow::Blank);
            }
            if blocked {
                let why = check.preview.refused.as_deref().unwrap_or_default();
                if !many {
                    out.extend(words(&format!("It is not archived: {why}"), Ink::Bad, room));
                    out.push(CloseRow::Blank);
                }
                continue;
            }
            if !many {
                out.push(CloseRow::Words("What will happen:".to_owned(), Ink::Text));
            }
            out.extend(effects(check, before, room));
        }
        out
    }

    fn lay(&self, confirm: &Confirm, app: &App) -> Laid {
        let (columns, rows_of_screen) = app.env.size;
        let width = DIALOG_WIDTH.min(columns);
        // As the dialog will be: its frame and a cell of margin on either side.
        let width = layout::dialog(columns, rows_of_screen, width, 3).width;
        let room = usize::from(width.saturating_sub(4)).max(10);
        let head = self.head(confirm, room);
        let rows = self.rows(confirm, app.env.zone, room);
        let mut notes: Vec<&str> = Vec::new();
        for (_, preview) in confirm.doable() {
            if !preview.note.is_empty() && !notes.contains(&preview.note.as_str()) {
                notes.push(&preview.note);
            }
        }
        let note: Vec<String> = notes.iter().flat_map(|note| lines(note, room)).collect();
        let tail = note.len() + usize::from(!note.is_empty());
        let wished = 1 + head.len() + rows.len() + tail + 2;
        let area = layout::dialog(columns, rows_of_screen, width, u16::try_from(wished + 2).unwrap_or(u16::MAX));
        let inner = usize::from(area.height.saturating_sub(2));
        // What gives way first: blank rows at the edges, then the words below.
        let space = inner.saturating_sub(head.len() + tail + 1).max(1);
        Laid { area, head, rows, note, space }
    }

    /// Rows there are, and rows shown at once.
    pub(super) fn extent(&self, confirm: &Confirm, app: &App) -> (usize, usize) {
        let laid = self.lay(confirm, app);
        (laid.rows.len(), laid.space)
    }

    /// All of it as text.
    pub(super) fn text(&self, confirm: &Confirm, app: &App) -> String {
        let laid = self.lay(confirm, app);
        let rows = laid.head.iter().chain(&laid.rows).map(CloseRow::text).chain(laid.note.iter().cloned());
        rows.collect::<Vec<_>>().join("\n")
    }

    /// Draws.
    pub(super) fn view(&self, confirm: &Confirm, app: &App, canvas: &mut Canvas<'_>) {
        let Laid { area, head, rows, note, space } = self.lay(confirm, app);
        let foot = match self.verdict() {
            Some(verdict) => format!("close check: {verdict}"),
            None => format!("looking since {}", format::duration(confirm.asked_at.until(app.env.now))),
        };
        let inner = canvas.dialog(area, &confirm.title, &foot);
        if inner.height < 3 {
            return;
        }
        let ground = canvas.theme.ground(Ground::Dialog);
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        // The keys always have the last row, whatever has to give way.
        let keys_y = inner.bottom() - 1;
        let needed = head.len() + rows.len().min(space) + note.len() + usize::from(!note.is_empty()) + 1;
        let spare = usize::from(inner.height).saturating_sub(needed);
        let (mut y, keys_y) = (inner.y + u16::from(spare > 0), keys_y - u16::from(spare > 1));
        let head_room = if usize::from(inner.height) > head.len() + 3 { head.len() } else { 0 };
        let scroll = confirm.scroll.min(rows.len().saturating_sub(space));
        for row in head.iter().take(head_room).chain(rows.iter().skip(scroll).take(space)) {
            if y >= keys_y {
                break;
            }
            row.view(canvas, x, y, width, ground);
            y += 1;
        }
        let first = keys_y.saturating_sub(note.len() as u16).max(y);
        for (y, words) in (first..keys_y).zip(&note) {
            canvas.put(x, y, width, words, ground);
        }
        let more = (rows.len() > space)
            .then(|| format!("↑↓ {}–{} of {}", scroll + 1, (scroll + space).min(rows.len()), rows.len()));
        self.view_keys(confirm, canvas, Rect::new(x, keys_y, width, 1), more.as_deref());
    }

    fn view_keys(&self, confirm: &Confirm, canvas: &mut Canvas<'_>, line: Rect, more: Option<&str>) {
        let (ground, key, dim) = canvas.dialog_inks();
        let able = confirm.doable().count();
        let mut keys: Vec<(&str, String)> = Vec::new();
        if able > 0 && confirm.shown_at.is_some() {
            let what = match confirm.items.as_slice() {
                [one] => one.name.clone(),
                all if all.len() == able => format!("all {able}"),
                all => format!("{able} of {}", all.len()),
            };
            keys.push(("y", format!("{} {what}", confirm.verb)));
        }
        if self.blocking(confirm).is_some() {
            keys.push(("Enter", "go to what blocks".to_owned()));
        }
        keys.push(("Esc", if confirm.items.len() == 1 { "keep it" } else { "keep them" }.to_owned()));
        if command::named(DIFF).is_some() && confirm.items.len() == 1 {
            keys.push(("v", "see the diff".to_owned()));
        }
        let mut at = line.x + 1;
        for (letter, words) in &keys {
            if at + (text::width(letter) + text::width(words)) as u16 + 1 > line.right() {
                break;
            }
            at = canvas.put(at, line.y, line.right().saturating_sub(at), letter, key);
            at = canvas.put(at + 1, line.y, line.right().saturating_sub(at + 1), words, ground) + 4;
        }
        let right = more.unwrap_or("Y copy as text");
        if at + text::width(right) as u16 <= line.right() {
            canvas.put_right(line.right(), line.y, 22, right, dim);
        }
    }

    /// Where the first thing is that blocks everything.
    fn blocking(&self, confirm: &Confirm) -> Option<(ScreenId, String)> {
        if confirm.shown_at.is_none() || confirm.doable().next().is_some() {
            return None;
        }
        let items = self.checks.iter().flatten().flat_map(|c| &c.items);
        let name = items.filter(|i| i.class == Class::Bad).find_map(|i| i.goes.clone())?;
        let screen = match name.split_once('-')?.0 {
            "R" => ScreenId::Ledger,
            "L" => ScreenId::Leases,
            "S" => ScreenId::Services,
            "W" => ScreenId::Workspaces,
            _ => return None,
        };
        Some((screen, name))
    }
}

/// The command that shows the diff of a workspace.
const DIFF: &str = "workspace.diff";

fn lines(words: &str, room: usize) -> Vec<String> {
    text::wrap(words, room.max(1)).into_iter().map(|(a, b)| words[a..b].to_owned()).collect()
}

fn words(words: &str, ink: Ink, room: usize) -> Vec<CloseRow> {
    lines(words, room).into_iter().map(|line| CloseRow::Words(line, ink)).collect()
}

/// Enter goes to what blocks, `v` to the diff; neither confirms anything.
pub(super) fn follow(confirm: &Confirm, code: KeyCode, app: &mut App) -> After {
    let Some(close) = &confirm.close else { return After::Stays };
    if code == KeyCode::Enter {
        let Some((screen, name)) = close.blocking(confirm) else { return After::Stays };
        app.go(screen, &[name]);
        return After::Closes;
    }
    match (command::named(DIFF), confirm.items.as_slice()) {
        (Some(command), [item]) => {
            // A marked one need not be the one under the cursor, which is the one that the command is about.
            let is_there = app.screen == ScreenId::Workspaces
                && app.workspaces.workspace().is_some_and(|w| w.id.text() == item.target.1);
            if !is_there {
                app.go(ScreenId::Workspaces, std::slice::from_ref(&item.name));
            }
            app.defer(command);
            After::Closes
        }
        _ => After::Stays,
    }
}

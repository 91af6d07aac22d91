//! The palette: every command that is legal now, found by a few letters.

use crossterm::event::{KeyCode, KeyEvent};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::After;
use crate::app::App;
use crate::command::{self, Command, Level};
use crate::draw::Canvas;
use crate::input::LineEdit;
use crate::layout;
use crate::screen::ScreenId;
use crate::text;
use crate::theme::Ground;

/// The palette.
#[derive(Debug, Clone, Default)]
pub struct Palette {
    edit: LineEdit,
    chosen: usize,
}

/// What can be chosen.
enum Entry {
    /// A command with its title for the selection.
    Command { command: &'static Command, title: String },
    /// A thing whose number was typed, with what finds it there.
    Thing { screen: ScreenId, found_by: String, name: String },
}

impl Entry {
    fn title(&self) -> String {
        match self {
            Self::Command { title, .. } => title.clone(),
            Self::Thing { name, .. } => format!("Go to {name}"),
        }
    }
}

/// The thing that a typed number means: `r-12`, `SHOP-17`.
fn thing(typed: &str) -> Option<Entry> {
    let name = typed.trim().to_ascii_uppercase();
    let (letters, figures) = name.rsplit_once('-')?;
    let number = !figures.is_empty() && figures.len() < 19 && figures.bytes().all(|b| b.is_ascii_digit());
    let key = letters.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !letters.is_empty();
    if !number || !key {
        return None;
    }
    let screen = match letters {
        "R" => ScreenId::Ledger,
        "L" => ScreenId::Leases,
        "S" => ScreenId::Services,
        "E" => ScreenId::Environments,
        "W" => ScreenId::Workspaces,
        _ => return Some(Entry::Thing { screen: ScreenId::Ledger, found_by: format!("issue:{name}"), name }),
    };
    Some(Entry::Thing { screen, found_by: name.clone(), name })
}

impl Palette {
    /// With something typed already: `R-`.
    pub fn typed(words: &str) -> Self {
        Self { edit: LineEdit::new(words), chosen: 0 }
    }

    fn entries(&self, app: &App) -> (Vec<Entry>, usize) {
        let subject = app.current().subject().unwrap_or_default();
        let mut legal: Vec<Entry> = command::all()
            .filter(|c| !matches!(c.name, "palette.open" | "back.out") && app.is_here(c) && (c.legal)(app).is_ok())
            .map(|command| {
                let more = if command.level == Level::Free || command.title.ends_with('…') { "" } else { "…" };
                Entry::Command { command, title: format!("{}{more}", command.title.replace("{}", &subject)) }
            })
            .collect();
        // What has a key of its own on one screen is offered once.
        let mut titles = std::collections::HashSet::new();
        legal.retain(|entry| titles.insert(entry.title()));
        let all = legal.len();
        if self.edit.text().trim().is_empty() {
            return (legal, all);
        }
        let pattern = Pattern::parse(self.edit.text(), CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buf = Vec::new();
        let mut scored: Vec<(u32, Entry)> = legal
            .into_iter()
            .filter_map(|e| {
                let name = if let Entry::Command { command, .. } = &e { command.name } else { "" };
                let words = format!("{} {name}", e.title());
                pattern.score(Utf32Str::new(&words, &mut buf), &mut matcher).map(|s| (s, e))
            })
            .collect();
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let thing = thing(self.edit.text());
        (thing.into_iter().chain(scored.into_iter().map(|(_, e)| e)).collect(), all)
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        let (entries, _) = self.entries(app);
        match key.code {
            KeyCode::Esc => return After::Closes,
            KeyCode::Enter => {
                match entries.into_iter().nth(self.chosen) {
                    Some(Entry::Command { command, .. }) => app.defer(command),
                    Some(Entry::Thing { screen, found_by, .. }) => app.go(screen, &[found_by]),
                    None => return After::Stays,
                }
                return After::Closes;
            }
            KeyCode::Down => self.chosen = (self.chosen + 1).min(entries.len().saturating_sub(1)),
            KeyCode::Up => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Tab => {
                if let Some(entry) = entries.get(self.chosen) {
                    self.edit.set(entry.title());
                    self.chosen = 0;
                }
            }
            _ => {
                if self.edit.key(key) {
                    self.chosen = 0;
                }
            }
        }
        After::Stays
    }

    /// Takes a pasted text.
    pub fn paste(&mut self, words: &str) {
        self.edit.insert(words);
        self.chosen = 0;
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        let (columns, rows) = app.env.size;
        let (entries, all) = self.entries(app);
        let wanted = (entries.len().clamp(1, 12) + 5) as u16;
        let mut area = layout::dialog(columns, rows, 78, wanted);
        area.y = 2.min(rows.saturating_sub(area.height));
        let below = match app.current().subject() {
            Some(subject) => format!("{} of {all} · legal for {subject} now", entries.len()),
            None => format!("{} of {all} · legal now", entries.len()),
        };
        let inner = canvas.dialog(area, "Command palette", &below);
        if inner.height < 4 {
            return;
        }
        let (ground, key_style, dim) = canvas.dialog_inks();
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        canvas.put(x, inner.y, 1, ":", key_style);
        canvas.put(x + 2, inner.y, width - 2, &self.edit.shown(usize::from(width.saturating_sub(2))), ground);
        canvas.put(x, inner.y + 1, width, &"─".repeat(usize::from(width)), dim);
        let room = usize::from(inner.height - 3);
        let first = (self.chosen + 1).saturating_sub(room);
        if entries.is_empty() {
            canvas.put(x + 2, inner.y + 2, width, "No legal command matches.", dim);
        }
        for (i, entry) in entries.iter().enumerate().skip(first).take(room) {
            let y = inner.y + 2 + (i - first) as u16;
            let right = match entry {
                Entry::Command { command, .. } => {
                    let key = app.keymap.keys_of(&app.places(), command).into_iter().next().unwrap_or_default();
                    let place = command.places.first().map_or("", |p| p.name());
                    format!("{key}  {}", text::pad_left(place, 12))
                }
                Entry::Thing { screen, .. } => text::pad_left(screen.title(), 12),
            };
            let title_room = usize::from(width).saturating_sub(text::width(&right) + 4);
            let title = entry.title();
            let title = text::cut_end(&title, title_room).into_owned();
            if i == self.chosen {
                canvas.put(x, y, 1, "▸", key_style);
            }
            canvas.put(x + 2, y, width - 2, &title, ground);
            canvas.put_right(x + width, y, width, &right, dim);
            if i == self.chosen {
                canvas.select(ratatui::layout::Rect::new(inner.x, y, inner.width, 1), Ground::Selection);
            }
        }
        canvas.put(x, inner.bottom() - 1, width, "Enter do it   Tab complete   ↑↓ choose   Esc close", dim);
    }
}

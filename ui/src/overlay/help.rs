//! Help for this screen, made from the keymap in force.

use crossterm::event::{KeyCode, KeyEvent};

use super::After;
use crate::app::App;
use crate::command::{self, Level, Place};
use crate::draw::Canvas;
use crate::layout;
use crate::text;

/// The help.
#[derive(Debug, Clone, Default)]
pub struct Help {
    scroll: usize,
}

/// A block of keys with its heading.
struct Block {
    heading: &'static str,
    rows: Vec<(String, String)>,
}

fn blocks(app: &App) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let shown = [Place::LedgerList, Place::List, Place::Ledger, Place::Stream, Place::Text];
    let places = app.screen_places();
    let own = Place::ALL.into_iter().filter(|p| *p != Place::Everywhere);
    for place in shown
        .into_iter()
        .chain(own)
        .chain([Place::Everywhere])
        .filter(|p| *p == Place::Everywhere || places.contains(p))
    {
        let heading = place.heading();
        let mut rows = Vec::new();
        for command in command::all().filter(|c| c.places.contains(&place)) {
            let keys = app.keymap.keys_of(&[place], command);
            if keys.is_empty() {
                continue;
            }
            let asks = if command.level == Level::Free { "" } else { ", asks" };
            rows.push((keys.join(" "), format!("{}{asks}", command.help)));
        }
        match blocks.iter_mut().find(|b| b.heading == heading) {
            Some(block) => {
                for row in rows {
                    if !block.rows.contains(&row) {
                        block.rows.push(row);
                    }
                }
            }
            None => blocks.push(Block { heading, rows }),
        }
    }
    blocks.retain(|b| !b.rows.is_empty());
    blocks
}

/// Blocks in the columns of the dialog.
struct Laid {
    stacks: Vec<Vec<(String, String, bool)>>,
    per_row: usize,
    /// Rows of the longest column, which decides the height.
    length: usize,
}

fn lay(app: &App) -> Laid {
    let columns = app.env.size.0;
    let blocks = blocks(app);
    let per_row = usize::from(((columns.clamp(40, 140) - 4) / 34).max(1)).min(blocks.len().max(1));
    let mut stacks: Vec<Vec<(String, String, bool)>> = vec![Vec::new(); per_row];
    for block in &blocks {
        let Some(stack) = stacks.iter_mut().min_by_key(|s| s.len()) else { break };
        if !stack.is_empty() {
            stack.push((String::new(), String::new(), false));
        }
        stack.push((block.heading.to_owned(), String::new(), true));
        stack.extend(block.rows.iter().map(|(k, h)| (k.clone(), h.clone(), false)));
    }
    let length = stacks.iter().map(Vec::len).max().unwrap_or(0);
    Laid { stacks, per_row, length }
}

impl Help {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        let page = usize::from(app.env.size.1.saturating_sub(8)).max(1);
        match key.code {
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') | KeyCode::F(1) => return After::Closes,
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(page),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(page),
            KeyCode::Home => self.scroll = 0,
            KeyCode::End => self.scroll = usize::MAX,
            _ => {}
        }
        let length = lay(app).length;
        let area = layout::dialog(app.env.size.0, app.env.size.1, app.env.size.0, length as u16 + 5);
        let room = usize::from(area.height.saturating_sub(5)).max(1);
        self.scroll = self.scroll.min(length.saturating_sub(room));
        After::Stays
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        let (columns, rows) = app.env.size;
        let Laid { stacks, per_row, length } = lay(app);
        let width = (per_row as u16 * 34 + 4).min(columns);
        let area = layout::dialog(columns, rows, width, length as u16 + 5);
        let room = usize::from(area.height.saturating_sub(5)).max(1);
        let scroll = self.scroll.min(length.saturating_sub(room));
        let changed = match app.keymap.changed {
            0 => String::new(),
            n => format!(", {} changed", crate::format::plural(n as u64, "key")),
        };
        let range =
            format!("{}–{} of {length} · made from your keymap{changed}", scroll + 1, (scroll + room).min(length));
        let inner = canvas.dialog(area, &format!("Help · {}", app.screen.title()), &range);
        if inner.height < 3 {
            return;
        }
        let (ground, key_style, dim) = canvas.dialog_inks();
        let each = inner.width.saturating_sub(2) / per_row as u16;
        for (i, stack) in stacks.iter().enumerate() {
            let x = inner.x + 1 + i as u16 * each;
            for (row, (keys, words, heading)) in stack.iter().skip(scroll).take(room).enumerate() {
                let y = inner.y + row as u16;
                if *heading {
                    canvas.put(x, y, each, keys, dim);
                    continue;
                }
                let keys = text::cut_end(keys, 13).into_owned();
                canvas.put(x, y, 13, &keys, key_style);
                let words = text::cut_end(words, usize::from(each.saturating_sub(15))).into_owned();
                canvas.put(x + 14, y, each.saturating_sub(14), &words, ground);
            }
        }
        let y = inner.bottom() - 2;
        let width = inner.width.saturating_sub(2);
        canvas.put(inner.x + 1, y, width, "Keys that stop or remove something ask first and name it.", ground);
        canvas.put(inner.x + 1, y + 1, width, "↑↓ scroll   Esc close", dim);
    }
}

//! What becomes of live runs when the console ends.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::After;
use crate::app::App;
use crate::draw::Canvas;
use crate::effect::{Effect, QuitChoice};
use crate::format;
use crate::layout;
use crate::text;
use crate::theme::{Ground, Ink};

/// The dialog.
#[derive(Debug, Clone, Default)]
pub struct Quit {
    chosen: usize,
    /// Stopping all was chosen and waits for `y`.
    stop: bool,
}

impl Quit {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return After::Stays;
        }
        if self.stop {
            return match key.code {
                KeyCode::Char('y') => {
                    app.outbox.push(Effect::Quit(QuitChoice::StopAll));
                    After::Closes
                }
                KeyCode::Esc | KeyCode::Char('n') => After::Closes,
                _ => After::Stays,
            };
        }
        match key.code {
            KeyCode::Esc | KeyCode::Char('n') => return After::Closes,
            KeyCode::Down | KeyCode::Char('j') => self.chosen = (self.chosen + 1).min(2),
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Char('l') => return Self::leave(app),
            KeyCode::Char('s') => (self.stop, self.chosen) = (true, 1),
            KeyCode::Enter => match self.chosen {
                0 => return Self::leave(app),
                1 => self.stop = true,
                _ => return After::Closes,
            },
            _ => {}
        }
        After::Stays
    }

    fn leave(app: &mut App) -> After {
        app.outbox.push(Effect::Quit(QuitChoice::Leave));
        After::Closes
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        let (columns, rows) = app.env.size;
        let header = &app.header;
        let (runs, services) = (
            header.live_runs.len().max(header.running as usize) as u64,
            header.live_services.len().max(header.services as usize) as u64,
        );
        let mut facts = Vec::new();
        if runs > 0 {
            let verb = if runs == 1 { "is" } else { "are" };
            facts.push(format!("{} {verb} live: {}.", format::plural(runs, "run"), header.live_runs.join(", ")));
        }
        if services > 0 {
            let verb = if services == 1 { "is" } else { "are" };
            facts.push(format!(
                "{} {verb} up: {}.",
                format::plural(services, "service"),
                header.live_services.join(", ")
            ));
        }
        let below = match header.queued {
            0 => String::new(),
            n => format!("{} wait for the next console", format::plural(n, "queued run")),
        };
        let width = if columns < 100 { columns } else { 76 };
        let room = usize::from(width.saturating_sub(4));
        let facts: Vec<String> = facts
            .iter()
            .flat_map(|f| text::wrap(f, room).into_iter().map(|(a, b)| f[a..b].to_owned()).collect::<Vec<_>>())
            .take(6)
            .collect();
        let area = layout::dialog(columns, rows, width, facts.len() as u16 + 11);
        let inner = canvas.dialog(area, "Quit wharf?", &below);
        if inner.height < 2 {
            return;
        }
        let ground = canvas.theme.ground(Ground::Dialog);
        let key = ground.patch(canvas.bold(Ink::Accent));
        let dim = ground.patch(canvas.ink(Ink::Dim));
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let keys_y = inner.bottom() - 1;
        let roomy = inner.height >= facts.len() as u16 + 9;
        let mut y = inner.y + u16::from(roomy);
        for fact in &facts {
            if y + 4 > keys_y {
                break;
            }
            canvas.put(x, y, width, fact, ground);
            y += 1;
        }
        y += u16::from(roomy);
        let stopped = match (runs, services) {
            (0, s) => format!("{} stop", format::plural(s, "service")),
            (r, 0) => format!("{} recorded as cancelled by operator; worktrees stay", are(r, "run")),
            (r, s) => {
                let stop = if s == 1 { "stops" } else { "stop" };
                format!(
                    "{} recorded as cancelled by operator, {} {stop}; worktrees stay",
                    are(r, "run"),
                    format::plural(s, "service")
                )
            }
        };
        let choices = [
            (
                "Leave them running",
                "they go on without this console; the next one picks them up with all their output".to_owned(),
            ),
            ("Stop all, then quit", stopped),
            ("Stay", String::new()),
        ];
        for (i, (words, rest)) in choices.iter().enumerate() {
            if y >= keys_y {
                break;
            }
            if i == self.chosen {
                canvas.put(x, y, 1, "▸", key);
            }
            canvas.put(x + 2, y, width, words, ground);
            let room = usize::from(width.saturating_sub(25)).clamp(10, 48);
            for (a, b) in text::wrap(rest, room).into_iter().take(if rest.is_empty() { 1 } else { 2 }) {
                if y < keys_y {
                    canvas.put(x + 25, y, room as u16, &rest[a..b], dim);
                }
                y += 1;
            }
        }
        let hints: &[(&str, &str)] = if self.stop {
            &[("y", "stop all and quit"), ("Esc", "stay")]
        } else {
            &[("Enter", "choose"), ("l", "leave"), ("s", "stop all…"), ("Esc", "stay")]
        };
        let mut at = x;
        for (k, words) in hints {
            at = canvas.put(at, keys_y, inner.right().saturating_sub(at), k, key);
            at = canvas.put(at + 1, keys_y, inner.right().saturating_sub(at + 1), words, ground) + 3;
        }
    }
}

fn are(n: u64, one: &str) -> String {
    format!("{} {}", format::plural(n, one), if n == 1 { "is" } else { "are" })
}

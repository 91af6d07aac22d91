//! What becomes of live runs when the console ends.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use wharf_model::UnixMillis;

use super::After;
use super::confirm::READ_MS;
use crate::app::App;
use crate::draw::Canvas;
use crate::effect::{Effect, QuitChoice};
use crate::format;
use crate::layout;
use crate::text;

/// The dialog.
#[derive(Debug, Clone, Default)]
pub struct Quit {
    chosen: usize,
    /// Since when stopping all waits for `y`.
    stop: Option<UnixMillis>,
}

/// What can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Leave,
    Background,
    StopAll,
    Stay,
}

/// The choices of this moment: where another process orchestrates, it goes on doing so, and there is
/// nothing to put into the background.
const fn choices(app: &App) -> &'static [Choice] {
    if app.header.orchestrator.is_some() {
        &[Choice::Leave, Choice::StopAll, Choice::Stay]
    } else {
        &[Choice::Leave, Choice::Background, Choice::StopAll, Choice::Stay]
    }
}

impl Quit {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return After::Stays;
        }
        if let Some(asked) = self.stop {
            return match key.code {
                // Keys typed ahead confirm nothing that nobody has read.
                KeyCode::Char('y') if asked.until(app.env.now) >= READ_MS => {
                    app.outbox.push(Effect::Quit(QuitChoice::StopAll));
                    After::Closes
                }
                KeyCode::Esc | KeyCode::Char('n') => After::Closes,
                _ => After::Stays,
            };
        }
        let choices = choices(app);
        let choice = match key.code {
            KeyCode::Esc | KeyCode::Char('n') => Choice::Stay,
            KeyCode::Char('l') => Choice::Leave,
            KeyCode::Char('b') if choices.contains(&Choice::Background) => Choice::Background,
            KeyCode::Char('s') => Choice::StopAll,
            KeyCode::Enter => choices[self.chosen.min(choices.len() - 1)],
            KeyCode::Down | KeyCode::Char('j') => {
                self.chosen = (self.chosen + 1).min(choices.len() - 1);
                return After::Stays;
            }
            KeyCode::Up | KeyCode::Char('k') => {
                self.chosen = self.chosen.saturating_sub(1);
                return After::Stays;
            }
            _ => return After::Stays,
        };
        match choice {
            Choice::Leave => app.outbox.push(Effect::Quit(QuitChoice::Leave)),
            Choice::Background => app.outbox.push(Effect::Quit(QuitChoice::Background)),
            Choice::StopAll => {
                self.stop = Some(app.env.now);
                self.chosen = choices.iter().position(|c| *c == choice).unwrap_or(0);
                return After::Stays;
            }
            Choice::Stay => {}
        }
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
            let names = named(&header.live_runs, runs);
            facts.push(format!("{} {verb} live{names}.", format::plural(runs, "run")));
        }
        if services > 0 {
            let verb = if services == 1 { "is" } else { "are" };
            let names = named(&header.live_services, services);
            facts.push(format!("{} {verb} up{names}.", format::plural(services, "service")));
        }
        if !app.foretold.is_empty() && runs + services > 0 {
            facts.push(app.foretold.to_owned());
        }
        let choices = choices(app);
        let chosen = choices[self.chosen.min(choices.len() - 1)];
        let below = match header.queued {
            0 => String::new(),
            n if chosen == Choice::Background => {
                let verb = if n == 1 { "starts" } else { "start" };
                format!("{} {verb} when there is room", format::plural(n, "queued run"))
            }
            n => {
                let verb = if n == 1 { "waits" } else { "wait" };
                format!("{} {verb} for the next console", format::plural(n, "queued run"))
            }
        };
        let width = if columns < 100 { columns } else { 76 };
        let room = usize::from(width.saturating_sub(4));
        let facts: Vec<String> = facts
            .iter()
            .flat_map(|f| text::wrap(f, room).into_iter().map(|(a, b)| f[a..b].to_owned()).collect::<Vec<_>>())
            .take(6)
            .collect();
        // Each choice but the last takes two rows; blank rows and the keys take the rest.
        let wanted = facts.len() as u16 + 2 * choices.len() as u16 + 3;
        let area = layout::dialog(columns, rows, width, wanted + 2);
        let inner = canvas.dialog(area, "Quit wharf?", &below);
        if inner.height < 2 {
            return;
        }
        let (ground, key, dim) = canvas.dialog_inks();
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let keys_y = inner.bottom() - 1;
        let roomy = inner.height >= wanted;
        let mut y = inner.y + u16::from(roomy);
        let explained = inner.height >= 2 * choices.len() as u16 + 2;
        let rows_of_choices = if explained { 2 * choices.len() as u16 - 1 } else { choices.len() as u16 };
        for fact in &facts {
            if y + rows_of_choices >= keys_y {
                break;
            }
            canvas.put(x, y, width, fact, ground);
            y += 1;
        }
        y += u16::from(roomy);
        let stop = format!("{} {}", format::plural(services, "service"), if services == 1 { "stops" } else { "stop" });
        let stopped = match (runs, services) {
            (0, _) => stop,
            (r, 0) => format!("{} recorded as cancelled by operator; worktrees stay", are(r, "run")),
            (r, _) => format!("{} recorded as cancelled by operator, {stop}; worktrees stay", are(r, "run")),
        };
        for choice in choices {
            let (words, rest) = match choice {
                Choice::Leave => (
                    "Leave them running",
                    "they go on without this console; the next one picks them up with all their output",
                ),
                Choice::Background => (
                    "Go on in background",
                    "`wharf serve --until-idle` starts what waits, and ends by itself when nothing is left",
                ),
                Choice::StopAll => ("Stop all, then quit", stopped.as_str()),
                Choice::Stay => ("Stay", ""),
            };
            if y >= keys_y {
                break;
            }
            if *choice == chosen {
                canvas.put(x, y, 1, "▸", key);
            }
            canvas.put(x + 2, y, width, words, ground);
            let room = usize::from(width.saturating_sub(25)).clamp(10, 48);
            // Every choice is in sight, whatever has to go unsaid.
            if !explained {
                y += 1;
                continue;
            }
            for (a, b) in text::wrap(rest, room).into_iter().take(if rest.is_empty() { 1 } else { 2 }) {
                if y < keys_y {
                    canvas.put(x + 25, y, room as u16, &rest[a..b], dim);
                }
                y += 1;
            }
        }
        let hints: &[(&str, &str)] = if self.stop.is_some() {
            &[("y", "stop all and quit"), ("Esc", "stay")]
        } else if choices.contains(&Choice::Background) {
            &[("Enter", "choose"), ("l", "leave"), ("b", "background"), ("s", "stop all…"), ("Esc", "stay")]
        } else {
            &[("Enter", "choose"), ("l", "leave"), ("s", "stop all…"), ("Esc", "stay")]
        };
        // Each choice has its letter besides: where they do not fit, the first and the last are told.
        let long = hints.iter().map(|(k, words)| text::width(k) + text::width(words) + 4).sum::<usize>();
        let ends = [hints[0], hints[hints.len() - 1]];
        let hints = if long > usize::from(width) + 3 { &ends[..] } else { hints };
        let mut at = x;
        for (k, words) in hints {
            at = canvas.put(at, keys_y, inner.right().saturating_sub(at), k, key);
            at = canvas.put(at + 1, keys_y, inner.right().saturating_sub(at + 1), words, ground) + 3;
        }
    }
}

/// `: R-12, R-11`, with how many more there are.
fn named(names: &[String], all: u64) -> String {
    let more = all.saturating_sub(names.len() as u64);
    match (names.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(": {}", names.join(", ")),
        (false, more) => format!(": {} and {} more", names.join(", "), format::count(more)),
    }
}

fn are(n: u64, one: &str) -> String {
    format!("{} {}", format::plural(n, one), if n == 1 { "is" } else { "are" })
}

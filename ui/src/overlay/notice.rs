//! A dialog that tells something in lines, some of which lead to what they tell of; one that asks is
//! answered with `y`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use wharf_model::UnixMillis;

use super::After;
use super::confirm::READ_MS;
use crate::app::App;
use crate::draw::Canvas;
use crate::effect::Effect;
use crate::layout;
use crate::screen::ScreenId;
use crate::text;
use crate::theme::{Ground, Ink};

/// One line of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeLine {
    /// How it is coloured.
    pub ink: Ink,
    /// What it says.
    pub words: String,
    /// What it leads to.
    pub goes: Option<(ScreenId, Vec<String>)>,
}

impl NoticeLine {
    /// A line that leads nowhere.
    pub fn plain(words: impl Into<String>) -> Self {
        Self { ink: Ink::Text, words: words.into(), goes: None }
    }
}

/// The dialog.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What it is about.
    pub title: String,
    /// Its text.
    pub lines: Vec<NoticeLine>,
    /// What `y` does, and how that is called; without it the dialog only tells.
    pub yes: Option<(Effect, &'static str)>,
    cursor: usize,
    shown_at: UnixMillis,
}

impl Notice {
    /// A notice, shown from `now` on.
    pub fn new(title: impl Into<String>, lines: Vec<NoticeLine>, now: UnixMillis) -> Self {
        let cursor = lines.iter().position(|l| l.goes.is_some()).unwrap_or(0);
        Self { title: title.into(), lines, yes: None, cursor, shown_at: now }
    }

    /// Lets `y` do something.
    pub fn asking(mut self, effect: Effect, verb: &'static str) -> Self {
        self.yes = Some((effect, verb));
        self
    }

    /// Shows it again.
    pub fn again(mut self, now: UnixMillis) -> Self {
        self.shown_at = now;
        self
    }

    /// Takes a key. What has no meaning here closes a notice that only tells, and means what it always does.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        let modified = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        match (key.code, &self.yes) {
            (KeyCode::Esc, _) | (KeyCode::Char('n'), Some(_)) if !modified => After::Closes,
            (KeyCode::Enter, None) => {
                if let Some((screen, names)) = self.lines.get(self.cursor).and_then(|l| l.goes.clone()) {
                    app.go(screen, &names);
                }
                After::Closes
            }
            (KeyCode::Char('Y'), _) => {
                let lines = self.lines.iter().map(|l| l.words.as_str());
                app.copy(std::iter::once(self.title.as_str()).chain(lines).collect::<Vec<_>>().join("\n"));
                After::Stays
            }
            (KeyCode::Down | KeyCode::Up, _) => {
                let down = key.code == KeyCode::Down;
                let next = if down { self.cursor + 1 } else { self.cursor.saturating_sub(1) };
                self.cursor = next.min(self.lines.len().saturating_sub(1));
                After::Stays
            }
            (KeyCode::Char('y'), Some((effect, _))) if !modified => {
                // Pressed before it can have been read: not meant for this.
                if self.shown_at.until(app.env.now) < READ_MS {
                    return After::Stays;
                }
                app.outbox.push(effect.clone());
                After::Closes
            }
            (_, Some(_)) => After::Stays,
            (_, None) => After::Passes,
        }
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        let (columns, rows) = app.env.size;
        let width = columns.min(84);
        let room = usize::from(width.saturating_sub(6)).max(1);
        let mut shown: Vec<(usize, String)> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            if line.words.is_empty() {
                shown.push((at, String::new()));
            }
            shown.extend(text::wrap(&line.words, room).into_iter().map(|(a, b)| (at, line.words[a..b].to_owned())));
        }
        let area = layout::dialog(columns, rows, width, shown.len() as u16 + 5);
        let inner = canvas.dialog(area, &self.title, "");
        if inner.height < 3 {
            return;
        }
        let ground = canvas.theme.ground(Ground::Dialog);
        let key = ground.patch(canvas.bold(Ink::Accent));
        let space = usize::from(inner.height.saturating_sub(3)).max(1);
        let cursor_row = shown.iter().rposition(|(at, _)| *at == self.cursor).unwrap_or(0);
        let skip = (cursor_row + 1).saturating_sub(space);
        let keys_y = inner.bottom() - 1;
        let mut last = None;
        for (row, (at, words)) in shown.iter().enumerate().skip(skip).take(space) {
            let y = inner.y + 1 + (row - skip) as u16;
            if y >= keys_y {
                break;
            }
            let line = &self.lines[*at];
            if *at == self.cursor && line.goes.is_some() && last != Some(*at) {
                canvas.put(inner.x + 1, y, 1, "▸", key);
            }
            last = Some(*at);
            let style = ground.patch(canvas.ink(line.ink));
            canvas.put(inner.x + 3, y, inner.width.saturating_sub(4), words, style);
        }
        let leads = self.lines.iter().any(|l| l.goes.is_some());
        let hints: Vec<(&str, &str)> = match &self.yes {
            Some((_, verb)) => vec![("y", verb), ("Esc", "leave it"), ("Y", "copy as text")],
            None if leads => vec![("Enter", "go there"), ("Esc", "go on"), ("Y", "copy as text")],
            None => vec![("Enter", "go on"), ("Y", "copy as text")],
        };
        let mut x = inner.x + 1;
        for (k, words) in hints {
            x = canvas.put(x, keys_y, inner.right().saturating_sub(x), k, key);
            x = canvas.put(x + 1, keys_y, inner.right().saturating_sub(x + 1), words, ground) + 3;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{Question, Verdict};
    use crate::msg::Msg;
    use crate::overlay::Overlay;
    use crate::screen::browse::Browse;
    use crate::testing::*;

    fn found() -> Msg {
        let goes = |n: &str| Some((ScreenId::Ledger, vec![n.to_owned()]));
        let line = |words: &str, goes| NoticeLine { ink: Ink::Text, words: words.to_owned(), goes };
        let lines = vec![
            line("● 1 run adopted: still running, output continues", None),
            line("  R-1041  from byte 880", goes("R-1041")),
            line("✗ 1 run lost", None),
            line("  R-1032  its shim died without an exit record", goes("R-1032")),
        ];
        Msg::Recovered(Box::new(Notice::new("Recovered", lines, NOW)))
    }

    #[test]
    fn what_a_start_found_leads_to_its_runs_and_is_gone_with_any_key() {
        for (columns, rows) in [(160, 45), (80, 24), (40, 10)] {
            let mut bench = Bench::drawn(columns, rows);
            bench.send(found());
            assert!(bench.text().contains("R-1041  from byte 880"), "{}", bench.text());
            bench.keys("Esc");
            assert!(bench.app.overlay.is_none());
        }
        let mut bench = Bench::drawn(160, 45);
        bench.send(found());
        bench.keys("Down Down Enter");
        assert!(bench.app.overlay.is_none());
        assert_eq!(bench.app.ledger.base().list.table.selected().map(|r| r.number), Some(1032));
        // Shown again by its command; a key without a meaning there does what it always does.
        bench.keys("g f");
        assert!(matches!(bench.app.overlay, Some(Overlay::Notice(_))));
        bench.keys("2");
        assert!(bench.app.overlay.is_none() && bench.app.screen == ScreenId::Leases);
    }

    #[test]
    fn what_is_found_while_something_else_is_open_waits() {
        let mut bench = Bench::drawn(160, 45);
        bench.keys("?");
        bench.send(found());
        assert!(matches!(bench.app.overlay, Some(Overlay::Help(_))));
        bench.keys("Esc g f");
        assert!(bench.text().contains("R-1032  its shim died"));
    }

    #[test]
    fn taking_over_is_said_first_and_done_only_by_y_once_it_was_read() {
        let mut bench = Bench::drawn(160, 45);
        bench.keys("g t");
        assert!(bench.app.overlay.is_none(), "there is nobody to be ended");
        let lines = vec!["The orchestrator is process 4121 on pts/3. It is stopped (T).".to_owned()];
        bench.send(Msg::Holder { lines, token: "4121".to_owned() });
        let end = Effect::TakeOver { shown: "4121".to_owned() };
        bench.keys("g t");
        let text = bench.text();
        assert!(text.contains("process 4121 on pts/3") && text.contains("SIGKILL"), "{text}");
        // Typed before it can have been read; and keys that mean something elsewhere.
        bench.keys("y x q Enter");
        assert!(bench.app.overlay.is_some() && !bench.effects.contains(&end));
        bench.send(Msg::Tick(NOW.plus(1_000)));
        bench.keys("y");
        assert!(bench.app.overlay.is_none());
        assert_eq!(bench.effects.iter().filter(|e| **e == end).count(), 1);
        bench.keys("g t Esc");
        assert_eq!(bench.effects.iter().filter(|e| **e == end).count(), 1);
    }

    #[test]
    fn only_a_run_in_doubt_is_decided_by_hand() {
        let mut bench = Bench::drawn(160, 45);
        bench.keys("u x");
        assert!(bench.app.overlay.is_none() && bench.app.toasts.last().unwrap().words.contains("can be judged"));
        let doubted = runs().rows.into_iter().find(|r| r.unknown).unwrap();
        bench.app.go(ScreenId::Ledger, &[doubted.name()]);
        bench.send(Msg::StoreChanged);
        bench.keys("u x");
        bench.send(Msg::Tick(NOW.plus(1_000)));
        bench.keys("y");
        let request = bench.effects.iter().find_map(|e| match e {
            Effect::Request(request) => Some(request.clone()),
            _ => None,
        });
        let request = request.unwrap();
        assert_eq!((request.kind.as_str(), request.args["verdict"].as_str()), ("run.resolve", Some("lost")));
        assert_eq!(request.target, Some(("run", doubted.id.text())));
        assert_ne!(
            Question::ResolvePreview(doubted.id, Verdict::Lost),
            Question::ResolvePreview(doubted.id, Verdict::Keep)
        );
    }

    #[test]
    fn the_quit_dialog_foretells_what_a_logout_does() {
        let mut bench = Bench::drawn(160, 45);
        bench.send(Msg::Foretold("a logout ends all runs and services"));
        bench.keys("q");
        assert!(bench.text().contains("a logout ends all runs and services"), "{}", bench.text());
    }
}

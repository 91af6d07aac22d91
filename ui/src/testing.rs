//! A console that is answered at once, and a renderer, for tests of screens.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::{App, Settings};
use crate::effect::{Effect, LinePlace, Question};
use crate::format::Zone;
use crate::msg::{Answer, Msg};
use crate::rows::*;
use crate::theme::{Depth, Theme, Variant};

pub use crate::fixtures::ledger::*;

/// Settings without colour, at +01:00.
pub fn settings(columns: u16, rows: u16) -> Settings {
    Settings {
        now: NOW,
        size: (columns, rows),
        zone: Zone { east_seconds: 3600, utc: false },
        theme: Theme { variant: Variant::Dark, depth: Depth::True },
        ascii: false,
        keys: Vec::new(),
        project: "shop".into(),
    }
}

/// An app, with everything it asks answered from the fixture.
pub struct Bench {
    /// The app.
    pub app: App,
    /// Effects that were not questions, in their order.
    pub effects: Vec<Effect>,
    /// How questions are answered; none leaves a question open.
    pub answers: fn(&Question) -> Option<Result<Answer, String>>,
}

/// Answers with the drawings' rows.
pub fn drawing(question: &Question) -> Option<Result<Answer, String>> {
    Some(Ok(match question {
        Question::Runs { after: None, .. } => Answer::Runs(runs()),
        Question::Runs { .. } => Answer::Runs(Page { total: 1042, ..Page::default() }),
        Question::Header => Answer::Header(header()),
        Question::Output { .. } => Answer::Output(output()),
        Question::RunDetail(id) => {
            Answer::RunDetail(runs().rows.into_iter().find(|r| r.id == *id).map(|r| Box::new(detail(r))))
        }
        Question::CancelPreview(_) | Question::ResolvePreview(..) => Answer::Preview(Preview {
            lines: vec![
                PreviewLine {
                    verb: PreviewVerb::Stops,
                    what: "R-1042 fixer SHOP-17".into(),
                    how: "SIGTERM, 15s, then SIGKILL".into(),
                },
                PreviewLine {
                    verb: PreviewVerb::Keeps,
                    what: "W-9 and its branch".into(),
                    how: "3 uncommitted files stay".into(),
                },
                PreviewLine { verb: PreviewVerb::Frees, what: "L-88 on Local".into(), how: "R-1046 can start".into() },
            ],
            note: "R-1042 is recorded as cancelled by operator. No new run starts in its place. This cannot be undone."
                .into(),
            expect: vec![Expect { id: run_id(1042).text(), version: 1 }],
            at: NOW,
            refused: None,
            args: Vec::new(),
        }),
        Question::Diff(of) => Answer::Diff(std::sync::Arc::new(crate::fixtures::diff::listing(*of))),
        Question::DiffFile { file, .. } => Answer::DiffFile(std::sync::Arc::new(crate::fixtures::diff::hunks(*file))),
        Question::FormAgents => Answer::FormAgents(FormAgents {
            agents: vec![
                FormAgent {
                    name: "docs".into(),
                    adapter: "codex 0.42.0".into(),
                    slots: (0, 1),
                    ..FormAgent::default()
                },
                FormAgent {
                    name: "fixer".into(),
                    adapter: "claude 2.1.4".into(),
                    slots: (2, 2),
                    ..FormAgent::default()
                },
            ],
            issues: vec![IssueName { identifier: "SHOP-17".into(), title: "Fix flaky checkout test".into() }],
            environments: vec!["Local".into(), "box-1".into()],
        }),
        Question::Search { .. } => {
            let lines = [1190, 1199].map(|seq| LinePlace { seq, index: 0 }).to_vec();
            Answer::Search(SearchHits { lines, total: 2, percent: 100 })
        }
        other => return crate::fixtures::answer(other),
    }))
}

/// Answers as a store without a run.
pub fn nothing(question: &Question) -> Option<Result<Answer, String>> {
    Some(Ok(match question {
        Question::Runs { .. } => Answer::Runs(Page::default()),
        Question::Leases { .. } => Answer::Leases(Page::default()),
        Question::Services { .. } => Answer::Services(Page::default()),
        Question::Environments { .. } => Answer::Environments(Page::default()),
        Question::Workspaces { .. } => Answer::Workspaces(Page::default()),
        Question::Activity { .. } => Answer::Activity(Page::default()),
        Question::Header => Answer::Header(Header { project: "shop".into(), ..Header::default() }),
        _ => return None,
    }))
}

impl Bench {
    /// Opens the console at this size.
    pub fn open(columns: u16, rows: u16, answers: fn(&Question) -> Option<Result<Answer, String>>) -> Self {
        let mut bench = Self { app: App::new(settings(columns, rows)), effects: Vec::new(), answers };
        bench.send(Msg::StoreChanged);
        bench
    }

    /// With the fixture of the drawings, the cursor on R-1042.
    pub fn drawn(columns: u16, rows: u16) -> Self {
        let mut bench = Self::open(columns, rows, drawing);
        bench.keys("j j j j");
        bench
    }

    /// Sends a message and answers what is asked.
    pub fn send(&mut self, msg: Msg) {
        let mut waiting = self.app.update(msg);
        // Questions lead to questions; a loop of them would be a fault.
        for _ in 0..50 {
            let mut next = Vec::new();
            for effect in waiting {
                match effect {
                    Effect::Ask(question) => {
                        if let Some(answer) = (self.answers)(&question) {
                            next.extend(self.app.update(Msg::Rows { question, answer }));
                        }
                    }
                    other => self.effects.push(other),
                }
            }
            if next.is_empty() {
                return;
            }
            waiting = next;
        }
        panic!("questions do not come to an end");
    }

    /// Presses keys, written as in the keymap with blanks between.
    pub fn keys(&mut self, words: &str) {
        for word in words.split(' ') {
            self.send(Msg::Key(event(word)));
        }
    }

    /// Types a text.
    pub fn type_in(&mut self, words: &str) {
        for c in words.chars() {
            self.send(Msg::Key(crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Char(c))));
        }
    }

    /// The frame as it would be drawn.
    pub fn buffer(&self) -> Buffer {
        let (columns, rows) = self.app.env.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        self.app.draw(&mut buffer);
        buffer
    }

    /// The frame as text, one line for each row.
    pub fn text(&self) -> String {
        text_of(&self.buffer())
    }

    /// Compares a part of the frame with the same part of a drawing.
    pub fn assert_drawn(&self, drawing: &str, part: Rect) {
        let cells = |text: &str| -> Vec<String> {
            text.lines()
                .skip(usize::from(part.y))
                .take(usize::from(part.height))
                .map(|l| l.chars().skip(usize::from(part.x)).take(usize::from(part.width)).collect())
                .collect()
        };
        let (is, should) = (cells(&self.text()), cells(drawing));
        for (y, (is, should)) in is.iter().zip(&should).enumerate() {
            assert_eq!(is, should, "row {}\n{}", usize::from(part.y) + y, self.text());
        }
    }
}

/// The event of a key as the keymap writes it.
pub fn event(word: &str) -> crossterm::event::KeyEvent {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    let (modifiers, rest) = match word.split_once('-') {
        Some(("ctrl", rest)) => (KeyModifiers::CONTROL, rest),
        Some(("alt", rest)) if !rest.is_empty() => (KeyModifiers::ALT, rest),
        Some(("Shift", "Tab")) => return KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT),
        _ => (KeyModifiers::NONE, word),
    };
    let code = match rest {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Backspace" => KeyCode::Backspace,
        "space" => KeyCode::Char(' '),
        other => KeyCode::Char(other.chars().next().expect("a key has a character")),
    };
    KeyEvent::new(code, modifiers)
}

/// A buffer as text; the second cell of a wide character is left out.
pub fn text_of(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut hidden = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if hidden == 0 {
                out.push_str(symbol);
                hidden = crate::text::width(symbol).saturating_sub(1);
            } else {
                hidden -= 1;
            }
        }
        out.push('\n');
    }
    out
}

//! Screen 8: wharf itself: its orchestrator, the store, the queue of requests, and the program's own log.

use ratatui::layout::Rect;

use super::browse::{fact, prose};
use super::streams::scrolled;
use super::{FocusMove, Motion, Mouse, Screen};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::Question;
use crate::env::{Env, Outbox};
use crate::format;
use crate::layout;
use crate::msg::Answer;
use crate::pane::facts;
use crate::pane::ownlog::OwnLog;
use crate::rows::{Diagnostics as Known, Fact, FactBlock};
use crate::theme::{Depth, Ink};
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

/// Requests shown.
const REQUESTS_MAX: usize = 50;

/// The screen.
#[derive(Debug, Default)]
pub struct Diagnostics {
    known: Option<Result<Box<Known>, String>>,
    /// The program's own log.
    pub log: OwnLog,
    /// The state has the focus, not the log.
    on_state: bool,
    zoom: bool,
    scroll: usize,
}

/// State, queue beside it where there is room, and log.
struct Areas {
    state: Rect,
    queue: Rect,
    log: Rect,
}

impl Diagnostics {
    fn areas(&self, env: &Env) -> Areas {
        let (columns, rows) = env.size;
        let body = layout::bands(columns, rows, env.banner).map_or(Rect::ZERO, |b| b.body);
        let none = Rect::new(body.x, body.y, 0, 0);
        let (upper, log) = if self.zoom || body.height < 12 {
            if self.on_state { (body, none) } else { (none, body) }
        } else {
            let upper = if rows >= 30 { 14 } else { 10 }.min(body.height / 2);
            (Rect { height: upper, ..body }, Rect { y: body.y + upper, height: body.height - upper, ..body })
        };
        if columns < 130 || upper.is_empty() {
            return Areas { state: upper, queue: none, log };
        }
        let left = upper.width * 3 / 5;
        let queue = Rect { x: upper.x + left + 1, width: upper.width - left - 1, ..upper };
        Areas { state: Rect { width: left, ..upper }, queue, log }
    }

    fn state(&self, env: &Env, room: u16) -> Vec<FactBlock> {
        let known = match &self.known {
            None => return vec![FactBlock { facts: vec![fact("", "reading…", "")] }],
            Some(Err(words)) => {
                let mut rows = prose("", words, usize::from(room.saturating_sub(14)));
                for row in &mut rows {
                    row.bad = true;
                }
                return vec![FactBlock { facts: rows }];
            }
            Some(Ok(known)) => known,
        };
        let mut first = Vec::new();
        match &known.orchestrator {
            Some(o) => {
                let who = if o.is_this {
                    format!("this console, pid {}", o.pid)
                } else {
                    format!("pid {} (wharf {})", o.pid, o.version)
                };
                let since = format::moment(o.since, env.now, env.zone);
                first.push(fact("WHARF", format!("orchestrator: {who}, epoch {}, since {since}", o.epoch), ""));
            }
            None => first.push(Fact { bad: true, ..fact("WHARF", "orchestrator: none, nothing new starts", "") }),
        }
        for trouble in &known.troubles {
            first.extend(
                prose("trouble", trouble, usize::from(room.saturating_sub(14)))
                    .into_iter()
                    .map(|f| Fact { bad: true, ..f }),
            );
        }
        first.push(fact("queue", format!("{} waiting", format::plural(known.waiting, "request")), ""));
        let s = &known.store;
        let store =
            format!("schema {}, {}, write-ahead log {}", s.schema, format::size(s.bytes), format::size(s.wal_bytes));
        first.push(fact("store", store, ""));
        first.push(fact("", s.path.clone(), ""));
        if let Some((files, bytes)) = s.logs {
            first.push(fact("logs", format!("{}, {}", format::plural(files, "file"), format::size(bytes)), ""));
        }
        let list = |pairs: Vec<String>| pairs.join(", ");
        if !known.counts.is_empty() {
            let counts = known.counts.iter().map(|(what, n)| format!("{} {what}", format::count(*n))).collect();
            first.push(fact("rows", list(counts), ""));
        }
        let colours = match env.theme.depth {
            Depth::True => "true colour",
            Depth::Indexed => "256 colours",
            Depth::Sixteen => "16 colours",
            Depth::None => "no colours",
        };
        let glyphs = if env.ascii { "ASCII" } else { "Unicode" };
        first.push(fact("terminal", format!("{}×{}, {colours}, {glyphs}", env.size.0, env.size.1), ""));
        if !known.versions.is_empty() {
            let versions = known.versions.iter().map(|(what, v)| format!("{what} {v}")).collect();
            first.push(fact("versions", list(versions), ""));
        }
        let mut blocks = vec![FactBlock { facts: first }];
        if env.size.0 < 130 {
            blocks.push(self.queue(env));
        }
        blocks
    }

    fn queue(&self, env: &Env) -> FactBlock {
        let Some(Ok(known)) = &self.known else { return FactBlock::default() };
        if known.requests.is_empty() {
            return FactBlock { facts: vec![fact("REQUESTS", "none yet", "")] };
        }
        let row = |r: &crate::rows::RequestLine| {
            let ago = format!("{} ago", format::duration(r.created_at.until(env.now)));
            let remark = match (&r.error, r.took_ms) {
                (Some(error), _) => error.clone(),
                (None, Some(ms)) => format!("after {}, {ago}", format::fine(ms)),
                (None, None) => ago,
            };
            let what = if r.target.is_empty() { r.kind.clone() } else { format!("{} {}", r.kind, r.target) };
            Fact {
                bad: r.class == crate::glyph::Class::Bad,
                ..fact(
                    &format!("Q-{}", r.number),
                    format!("{} {what}", r.class.glyph()),
                    format!("{}, {remark}", r.word),
                )
            }
        };
        FactBlock { facts: known.requests.iter().take(REQUESTS_MAX).map(row).collect() }
    }

    /// The state as text, for a report.
    fn report(&self) -> Option<String> {
        let Some(Ok(known)) = &self.known else { return None };
        let mut lines = Vec::new();
        if let Some(o) = &known.orchestrator {
            let who = if o.is_this { "this console" } else { "another process" };
            lines.push(format!("orchestrator: {who}, pid {}, epoch {}, wharf {}", o.pid, o.epoch, o.version));
        }
        lines.extend(known.troubles.iter().map(|t| format!("trouble: {t}")));
        let s = &known.store;
        lines.push(format!("store: schema {}, {} bytes, write-ahead log {} bytes", s.schema, s.bytes, s.wal_bytes));
        lines.push(format!("requests waiting: {}", known.waiting));
        lines.extend(known.counts.iter().map(|(what, n)| format!("{what}: {n}")));
        lines.extend(known.versions.iter().map(|(what, version)| format!("{what} {version}")));
        Some(lines.join("\n"))
    }
}

fn below(area: Rect) -> Rect {
    Rect { y: area.y + area.height.min(1), height: area.height.saturating_sub(1), ..area }
}

impl Screen for Diagnostics {
    fn places(&self, _env: &Env) -> Vec<Place> {
        if self.on_state {
            vec![Place::Text, Place::Diagnostics]
        } else {
            vec![Place::OwnLog, Place::Text, Place::Diagnostics]
        }
    }

    fn refresh(&mut self, _env: &Env, out: &mut Outbox) {
        out.ask(Question::Diagnostics);
    }

    fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, _env: &Env, _out: &mut Outbox) {
        match (question, answer) {
            (Question::Diagnostics, Ok(Answer::Diagnostics(known))) => self.known = Some(Ok(known.clone())),
            (Question::Diagnostics, Err(words)) => self.known = Some(Err(words.clone())),
            _ => {}
        }
    }

    fn settle(&mut self, env: &Env, out: &mut Outbox) {
        if self.known.is_none() {
            out.ask_once(Question::Diagnostics);
        }
        let areas = self.areas(env);
        let state = facts::clamp(self.scroll, &self.state(env, areas.state.width), below(areas.state));
        // The queue beside it moves with it, so that no row of either is out of reach.
        self.scroll = if areas.queue.is_empty() {
            state
        } else {
            state.max(facts::clamp(self.scroll, &[self.queue(env)], below(areas.queue)))
        };
    }

    fn motion(&mut self, motion: Motion, env: &Env, _out: &mut Outbox) {
        let areas = self.areas(env);
        if self.on_state {
            self.scroll = scrolled(self.scroll, motion, areas.state.height.saturating_sub(1));
        } else {
            self.log.motion(motion, areas.log.width);
        }
    }

    fn focus(&mut self, to: FocusMove, _env: &Env) {
        self.on_state = match to {
            FocusMove::Next | FocusMove::Previous => !self.on_state,
            FocusMove::List => true,
            FocusMove::Detail => false,
        };
    }

    fn back(&mut self) -> bool {
        std::mem::take(&mut self.zoom)
    }

    fn zoom(&mut self) {
        self.zoom = !self.zoom;
    }

    fn mouse(&mut self, event: MouseEvent, env: &Env, _out: &mut Outbox) -> Mouse {
        let areas = self.areas(env);
        let at = (event.column, event.row).into();
        let by = match event.kind {
            MouseEventKind::ScrollUp => -3,
            MouseEventKind::ScrollDown => 3,
            MouseEventKind::Down(MouseButton::Left) => {
                if areas.log.contains(at) || areas.state.contains(at) {
                    self.on_state = areas.state.contains(at);
                }
                return Mouse::Done;
            }
            _ => return Mouse::Done,
        };
        if areas.state.contains(at) {
            self.scroll = self.scroll.saturating_add_signed(by);
        } else if areas.log.contains(at) {
            self.log.motion(Motion::HalfPages(by.signum() as i64), areas.log.width);
        }
        Mouse::Done
    }

    fn copy(&self) -> Option<String> {
        self.report()
    }

    fn subject(&self) -> Option<String> {
        matches!(self.known, Some(Ok(_))).then(|| "the report".to_owned())
    }

    fn has_places(&self) -> bool {
        false
    }

    fn view(&self, env: &Env, canvas: &mut Canvas<'_>, _body: Rect) {
        let areas = self.areas(env);
        if !areas.state.is_empty() {
            let (words, ink) = match &self.known {
                Some(Ok(known)) => match known.troubles.len() {
                    0 if known.orchestrator.is_some() => ("healthy".to_owned(), Ink::Ok),
                    0 => ("no orchestrator".to_owned(), Ink::Bad),
                    n => (format::plural(n as u64, "trouble"), Ink::Warn),
                },
                Some(Err(_)) => ("unknown".to_owned(), Ink::Warn),
                None => ("reading".to_owned(), Ink::Dim),
            };
            let width = areas.state.width + if areas.queue.is_empty() { 0 } else { areas.queue.width + 1 };
            canvas.title_rule(Rect { height: 1, width, ..areas.state }, "State", &[(&words, ink)], self.on_state);
            facts::view(canvas, below(areas.state), &self.state(env, areas.state.width), self.scroll);
        }
        if !areas.queue.is_empty() {
            facts::view(canvas, below(areas.queue), &[self.queue(env)], self.scroll);
        }
        if !areas.log.is_empty() {
            let rule = Rect { height: 1, ..areas.log };
            let (words, ink) = self.log.state_words();
            canvas.title_rule(rule, "Own log", &[(words, ink)], !self.on_state);
            self.log.view(env, canvas, below(areas.log));
        }
    }
}

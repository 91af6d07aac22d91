//! Screen 1: the runs, and what one of them printed and did.

use crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;
use wharf_model::RunId;

use super::browse::number_in;
use super::listing::Listing;
use super::{FocusMove, Motion, Mouse, Screen, ScreenId, Spot};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{Owner, Question};
use crate::env::{Env, Outbox};
use crate::format;
use crate::glyph::Class;
use crate::msg::{Answer, Tone};
use crate::pane::output::{Drag, OutputPane};
use crate::pane::table::{Cell, Column, Row};
use crate::pane::{facts, timeline};
use crate::rows::*;
use crate::theme::Ink;

/// Streams whose place is remembered.
const PANES_MAX: usize = 12;

/// Tabs of the detail pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// What it printed.
    Output,
    /// Steps and where the time went.
    Timeline,
    /// Every fact.
    Detail,
}

impl Tab {
    /// Every tab that exists, in their order.
    pub const ALL: &'static [Self] = &[Self::Output, Self::Timeline, Self::Detail];

    const fn title(self) -> &'static str {
        match self {
            Self::Output => "Output",
            Self::Timeline => "Timeline",
            Self::Detail => "Detail",
        }
    }
}

impl Row for RunLine {
    fn number(&self) -> i64 {
        self.number
    }
    fn is_live(&self) -> bool {
        RunLine::is_live(self)
    }
}

/// The screen.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Runs.
    pub list: Listing<RunLine>,
    tab: Tab,
    /// The stream shown first, then those seen before it.
    panes: Vec<OutputPane>,
    clicked: Option<i64>,
    detail: Option<Result<Box<RunDetail>, String>>,
    /// The run whose facts are shown or asked for.
    detail_of: Option<RunId>,
    scroll: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Runs { filter, after, limit };
        Self {
            list: Listing::new("Runs", true, ask),
            tab: Tab::Output,
            panes: Vec::new(),
            clicked: None,
            detail: None,
            detail_of: None,
            scroll: 0,
        }
    }
}

impl Ledger {
    /// The run under the cursor.
    pub fn run(&self) -> Option<&RunLine> {
        self.list.table.selected()
    }

    fn pane(&self) -> Option<&OutputPane> {
        self.panes.first()
    }

    fn pane_mut(&mut self, env: &Env) -> Option<(&mut OutputPane, Rect)> {
        let area = self.content(env);
        self.panes.first_mut().map(|p| (p, area))
    }

    /// The tab shown.
    pub fn shown_tab(&self) -> Tab {
        self.tab
    }

    /// Shows a tab and gives it the focus.
    pub fn show_tab(&mut self, tab: Tab) {
        self.tab = tab;
        self.list.focus(FocusMove::Detail);
    }

    /// Area of the tab's content: below title rule and tabs.
    fn content(&self, env: &Env) -> Rect {
        let pane = self.list.layout(env).pane;
        Rect::new(pane.x, pane.y + 2.min(pane.height), pane.width, pane.height.saturating_sub(2))
    }

    fn choose_pane(&mut self) {
        let Some(id) = self.run().map(|r| r.id) else { return };
        let owner = Owner::Run(id);
        if self.panes.first().is_some_and(|p| p.owner() == owner) {
            return;
        }
        let pane = match self.panes.iter().position(|p| p.owner() == owner) {
            Some(at) => self.panes.remove(at),
            None => self.panes.first().map_or_else(|| OutputPane::new(owner), |p| p.like(owner)),
        };
        self.panes.insert(0, pane);
        self.panes.truncate(PANES_MAX);
    }

    /// Asks for the facts of the selected run when they are shown and not known.
    fn want_detail(&mut self, out: &mut Outbox) {
        let id = self.run().map(|r| r.id);
        if self.detail_of != id {
            self.detail_of = id;
            self.detail = None;
            self.scroll = 0;
        }
        if let (Some(id), None) = (id, &self.detail) {
            out.ask_once(Question::RunDetail(id));
        }
    }

    /// Every fact as rows, what the list knows first.
    fn facts(detail: &RunDetail, env: &Env, width: u16) -> Vec<FactBlock> {
        let run = &detail.line;
        let (class, word) = run.state();
        let fact = |label: &str, value: String, remark: String| Fact { label: label.into(), value, remark, bad: false };
        let status = if run.is_live() { run.now_words(env.now, env.zone) } else { run.outcome_words().0 };
        let moment = |at| format::full(at, env.zone);
        let mut first = vec![
            fact("RUN", run.name(), run.id.text()),
            Fact { bad: class == Class::Bad, ..fact("status", format!("{} {word}", class.glyph()), status) },
            fact("queued", moment(run.queued_at), String::new()),
        ];
        if let Some(at) = run.started_at {
            first.push(fact("started", moment(at), String::new()));
        }
        if let Some(at) = run.finished_at {
            let took = run.took_ms().map_or_else(String::new, |ms| format!("took {}", format::took(ms)));
            first.push(fact("ended", moment(at), took));
        }
        let mut blocks = vec![FactBlock { facts: first }];
        blocks.extend(detail.facts.iter().cloned());
        let mut label = "ACTIVITY";
        let activity = detail
            .activity
            .iter()
            .map(|a| {
                let words = format!("{} {} {}", format::moment(a.at, env.now, env.zone), a.who, a.details);
                fact(std::mem::take(&mut label), words, String::new())
            })
            .collect();
        blocks.push(FactBlock { facts: activity });
        facts::unfold(&blocks, width)
    }

    fn view_detail(&self, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
        match &self.detail {
            None => {
                let dim = canvas.ink(Ink::Dim);
                canvas.put(area.x + 1, area.y, area.width.saturating_sub(1), "reading…", dim);
            }
            Some(Err(words)) => {
                let bad = canvas.ink(Ink::Bad);
                let line = format!("✗ {words}");
                let room = usize::from(area.width.saturating_sub(2));
                for (i, (a, b)) in crate::text::wrap(&line, room).into_iter().enumerate().take(usize::from(area.height))
                {
                    canvas.put(area.x + 1, area.y + i as u16, area.width - 1, &line[a..b], bad);
                }
            }
            Some(Ok(detail)) if self.tab == Tab::Timeline => timeline::view(env, canvas, area, detail, self.scroll),
            Some(Ok(detail)) => facts::view(canvas, area, &Self::facts(detail, env, area.width), self.scroll),
        }
    }

    fn values(&self, field: &str) -> Vec<String> {
        let mut values: Vec<String> = self
            .list
            .table
            .rows()
            .iter()
            .filter_map(|r| match field {
                "agent" => Some(r.agent.clone()),
                "env" | "environment" => r.environment.clone(),
                "issue" => r.issue.as_ref().map(|i| i.identifier.clone()),
                "error" => r.error_code.clone(),
                _ => None,
            })
            .collect();
        values.sort();
        values.dedup();
        values.truncate(50);
        values
    }

    /// Spans of the tab row: tab, first column, column behind it.
    fn tab_spans(pane: Rect) -> Vec<(Tab, u16, u16)> {
        let mut x = pane.x;
        Tab::ALL
            .iter()
            .map(|tab| {
                let width = tab.title().len() as u16 + 2;
                let span = (*tab, x, x + width);
                x += width;
                span
            })
            .collect()
    }

    fn view_pane(&self, env: &Env, canvas: &mut Canvas<'_>) {
        let split = self.list.layout(env);
        let area = split.pane;
        if area.is_empty() {
            return;
        }
        if let Some(x) = split.line {
            let rule = canvas.ink(Ink::Rule);
            for y in area.y + 1..area.bottom() {
                canvas.put(x, y, 1, "│", rule);
            }
        }
        let Some(run) = self.run() else {
            canvas.title_rule(Rect { height: 1, ..area }, "No run selected", &[], self.list.detail);
            if self.list.table.known && self.list.filter().is_empty() {
                let dim = canvas.ink(Ink::Dim);
                let y = area.y + 11.min(area.height / 3);
                canvas.put(
                    area.x + 2,
                    y,
                    area.width.saturating_sub(3),
                    "What a run prints appears here, byte for byte,",
                    dim,
                );
                canvas.put(area.x + 2, y + 1, area.width.saturating_sub(3), "and stays after it has ended.", dim);
            }
            return;
        };
        let mut title = format!("{} · {}", run.name(), run.agent);
        if let Some(issue) = &run.issue {
            title.push_str(&format!(" · {} {}", issue.identifier, issue.title));
        }
        let state =
            self.pane().filter(|p| p.owner() == Owner::Run(run.id)).map(|p| p.state_words(env, run.silent_ms(env.now)));
        let (words, ink) = state.unwrap_or_else(|| ("reading".to_owned(), Ink::Dim));
        canvas.title_rule(Rect { height: 1, ..area }, &title, &[(&words, ink)], self.list.detail);
        if area.height < 3 {
            return;
        }
        for (tab, x, end) in Self::tab_spans(area) {
            if end > area.right() {
                break;
            }
            let on = tab == self.tab;
            let style = if on { canvas.bold(Ink::Text) } else { canvas.ink(Ink::Dim) };
            let words = if on { format!("[{}]", tab.title()) } else { format!(" {} ", tab.title()) };
            canvas.put(x, area.y + 1, end - x, &words, style);
        }
        let content = self.content(env);
        match self.tab {
            Tab::Output => {
                if let Some(pane) = self.pane().filter(|p| p.owner() == Owner::Run(run.id)) {
                    pane.view(env, canvas, content);
                }
            }
            Tab::Timeline | Tab::Detail => self.view_detail(env, canvas, content),
        }
    }
}

/// Columns of the list; `words` as the layout says.
fn columns(words: bool, wide: bool) -> Vec<Column<RunLine>> {
    let plain = |head, width, min, shrink, cell: fn(&RunLine, &Env) -> Cell| Column {
        head,
        ended_head: "",
        width,
        min,
        shrink,
        grows: false,
        right: false,
        cell,
    };
    vec![
        plain("RUN", 6, 6, 0, |r, _| Cell::Words(r.name(), Ink::Text)),
        plain(
            if words { "STATUS" } else { " " },
            if words { 11 } else { 1 },
            if words { 11 } else { 1 },
            0,
            |r, env| {
                let (class, word) = r.state();
                let word = if env.size.0 >= 70 { word } else { "" };
                Cell::State(class, word.to_owned(), r.is_live())
            },
        ),
        plain("AGENT", if words { 7 } else { 6 }, 5, 5, |r, _| Cell::Words(r.agent.clone(), row_ink(r))),
        plain("ISSUE", 7, 0, 7, |r, _| {
            Cell::Words(r.issue.as_ref().map_or_else(String::new, |i| i.identifier.clone()), row_ink(r))
        }),
        plain("ENV", if words { 5 } else { 0 }, 0, 2, |r, _| {
            Cell::Words(r.environment.clone().unwrap_or_default(), row_ink(r))
        }),
        Column {
            ended_head: "OUTCOME",
            grows: true,
            ..plain("NOW", if wide { 14 } else { 17 }, 10, 3, |r, env| {
                if r.is_live() {
                    let ink =
                        if r.due_at.is_some() && r.status == RunStatus::ScheduledRetry { Ink::Info } else { Ink::Text };
                    return Cell::Words(r.now_words(env.now, env.zone), ink);
                }
                let (words, bad) = r.outcome_words();
                Cell::Words(words, if bad { Ink::Bad } else { Ink::Dim })
            })
        },
        Column {
            ended_head: "TOOK",
            right: true,
            ..plain("AGE", 5, 0, 6, |r, env| {
                let words = if r.is_live() {
                    format::duration(r.age_ms(env.now))
                } else {
                    r.took_ms().map_or_else(|| "–".to_owned(), format::took)
                };
                Cell::Right(words, Ink::Dim)
            })
        },
        Column {
            ended_head: "ENDED",
            right: true,
            ..plain("SILENT", 6, 0, 4, |r, env| {
                if r.is_live() {
                    let silent = r.silent_ms(env.now);
                    let ink = if r.state().1 == "silent" { Ink::Warn } else { Ink::Dim };
                    return Cell::Right(silent.map_or_else(String::new, format::duration), ink);
                }
                Cell::Right(r.finished_at.map_or_else(String::new, |at| format::duration(at.until(env.now))), Ink::Dim)
            })
        },
    ]
}

fn row_ink(run: &RunLine) -> Ink {
    if RunLine::is_live(run) { Ink::Text } else { Ink::Dim }
}

impl Screen for Ledger {
    fn places(&self, _env: &Env) -> Vec<Place> {
        if !self.list.detail {
            return vec![Place::LedgerList, Place::List, Place::Ledger];
        }
        match self.tab {
            Tab::Output => vec![Place::Stream, Place::Text, Place::Ledger],
            Tab::Timeline | Tab::Detail => vec![Place::Text, Place::Ledger],
        }
    }

    fn refresh(&mut self, _env: &Env, out: &mut Outbox) {
        self.list.refresh(out);
        if self.tab != Tab::Output
            && let Some(id) = self.detail_of
        {
            out.ask(Question::RunDetail(id));
        }
    }

    fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, env: &Env, out: &mut Outbox) {
        match (question, answer) {
            (Question::Runs { .. }, Ok(Answer::Runs(page))) => {
                self.list.answer(question, Ok(page.clone()));
            }
            (Question::Runs { .. }, Err(words)) => {
                self.list.answer(question, Err(words.clone()));
            }
            (Question::Output { owner, .. }, Ok(Answer::Output(lines))) => {
                if let Some(pane) = self.panes.iter_mut().find(|p| p.owner() == *owner) {
                    pane.answer(question, Ok(lines));
                }
            }
            (Question::Output { owner, .. }, Err(words)) => {
                if let Some(pane) = self.panes.iter_mut().find(|p| p.owner() == *owner) {
                    pane.answer(question, Err(words));
                }
            }
            (Question::Count { owner, .. }, answer) => {
                if let Some(pane) = self.panes.iter_mut().find(|p| p.owner() == *owner) {
                    let counted = if let Ok(Answer::Counted(counted)) = answer { Ok(*counted) } else { Err(()) };
                    pane.counted(question, counted);
                }
            }
            (Question::RunDetail(id), answer) if Some(*id) == self.detail_of => match answer {
                Ok(Answer::RunDetail(Some(detail))) => self.detail = Some(Ok(detail.clone())),
                Ok(Answer::RunDetail(None)) => {
                    let name = self.run().map_or_else(|| id.text(), RunLine::name);
                    self.detail = Some(Err(format!("{name} is not in the ledger any more.")));
                }
                Ok(_) => {}
                Err(words) => self.detail = Some(Err(words.clone())),
            },
            (Question::Search { owner, .. }, Ok(Answer::Search(hits))) => {
                let area = self.content(env);
                if let Some(pane) = self.panes.iter_mut().find(|p| p.owner() == *owner) {
                    pane.found(question, hits, out, area);
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, env: &Env, out: &mut Outbox) {
        self.list.settle(env, out);
        self.choose_pane();
        let area = self.content(env);
        if self.tab != Tab::Output && !area.is_empty() {
            self.want_detail(out);
            let limit = match (&self.detail, self.tab) {
                (Some(Ok(d)), Tab::Timeline) => {
                    timeline::height(d, env).saturating_sub(usize::from(area.height.saturating_sub(1)))
                }
                (Some(Ok(d)), _) => facts::clamp(self.scroll, &Self::facts(d, env, area.width), area.height),
                _ => 0,
            };
            self.scroll = self.scroll.min(limit);
        }
        if self.tab == Tab::Output
            && !area.is_empty()
            && self.run().is_some()
            && let Some(pane) = self.panes.first_mut()
        {
            pane.settle(env, out, area);
        }
    }

    fn motion(&mut self, motion: Motion, env: &Env, out: &mut Outbox) {
        if !self.list.detail {
            self.list.motion(motion, env);
            return;
        }
        if self.tab != Tab::Output {
            let page = i64::from(self.content(env).height.max(3)) - 2;
            let by = match motion {
                Motion::Rows(n) => n,
                Motion::HalfPages(n) => n * (page / 2).max(1),
                Motion::Pages(n) => n * page,
                Motion::First => i64::MIN,
                Motion::Last => i64::MAX,
                Motion::Sideways(_) => 0,
            };
            // `settle` knows how far it goes.
            self.scroll = (self.scroll as i64).saturating_add(by).clamp(0, 100_000) as usize;
            return;
        }
        let Some((pane, area)) = self.pane_mut(env) else { return };
        let page = pane.page(area);
        match motion {
            Motion::Rows(n) => pane.scroll(n, area),
            Motion::HalfPages(n) => pane.scroll(n * (page / 2).max(1), area),
            Motion::Pages(n) => pane.scroll(n * page, area),
            Motion::First => pane.first(out),
            Motion::Last => pane.follow(),
            Motion::Sideways(n) => pane.sideways(n * 8),
        }
    }

    fn focus(&mut self, to: FocusMove, _env: &Env) {
        self.list.focus(to);
    }

    fn is_typing(&self) -> bool {
        self.list.is_typing() || self.pane().is_some_and(OutputPane::is_typing)
    }

    fn typing_hints(&self) -> &'static [(&'static str, &'static str)] {
        if self.list.is_typing() { super::listing::TYPING_HINTS } else { &[("Enter", "take"), ("Esc", "drop")] }
    }

    fn key(&mut self, key: KeyEvent, env: &Env, out: &mut Outbox) -> Option<(Tone, String)> {
        if self.list.is_typing() {
            let values: Vec<(&str, Vec<String>)> =
                ["agent", "env", "environment", "issue", "error"].into_iter().map(|f| (f, self.values(f))).collect();
            let find =
                |field: &str| values.iter().find(|(f, _)| *f == field).map(|(_, v)| v.clone()).unwrap_or_default();
            self.list.key(key, &find, out);
            return None;
        }
        let (pane, _) = self.pane_mut(env)?;
        pane.key(key, env, out).map(|words| (Tone::Warn, words))
    }

    fn paste(&mut self, words: &str, env: &Env, out: &mut Outbox) {
        if self.list.is_typing() {
            self.list.paste(words, out);
        } else if let Some((pane, _)) = self.pane_mut(env) {
            pane.paste(words);
        }
    }

    fn back(&mut self) -> bool {
        if self.list.detail && self.tab == Tab::Output && self.panes.first_mut().is_some_and(OutputPane::drop_one) {
            return true;
        }
        self.list.back()
    }

    fn tab(&mut self, back: bool) {
        let at = Tab::ALL.iter().position(|t| *t == self.tab).unwrap_or(0);
        let n = Tab::ALL.len();
        self.tab = Tab::ALL[if back { (at + n - 1) % n } else { (at + 1) % n }];
    }

    fn zoom(&mut self) {
        self.list.zoom = !self.list.zoom;
    }

    fn split(&mut self, by: i16) {
        self.list.split(by);
    }

    fn mouse(&mut self, event: MouseEvent, env: &Env, out: &mut Outbox) -> Mouse {
        let (x, y) = (event.column, event.row);
        let split = self.list.layout(env);
        let in_list = split.list.contains((x, y).into());
        let in_pane = split.pane.contains((x, y).into());
        let content = self.content(env);
        let drag = |phase, this: &mut Self| match this.panes.first_mut().filter(|_| this.tab == Tab::Output) {
            Some(pane) => pane.drag(x, y, phase, content),
            None => None,
        };
        match event.kind {
            MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
                let by = if event.kind == MouseEventKind::ScrollUp { -3 } else { 3 };
                if in_list {
                    let height = self.list.height(env);
                    self.list.table.scroll(by, height, split.second_heads);
                } else if in_pane && self.tab != Tab::Output {
                    self.scroll = self.scroll.saturating_add_signed(by as isize);
                } else if in_pane && let Some((pane, area)) = self.pane_mut(env) {
                    pane.scroll(by, area);
                }
            }
            MouseEventKind::Down(MouseButton::Left) if in_list => {
                self.list.detail = false;
                let row = usize::from(y.saturating_sub(split.list.y + 2));
                if y >= split.list.y + 2
                    && let Some(number) = self.list.table.at(row, split.second_heads)
                {
                    self.list.table.select(number);
                    if self.clicked == Some(number) {
                        self.list.focus(FocusMove::Detail);
                    }
                    self.clicked = Some(number);
                }
            }
            MouseEventKind::Down(MouseButton::Left) if in_pane => {
                self.clicked = None;
                self.list.focus(FocusMove::Detail);
                if y == split.pane.y + 1 {
                    if let Some((tab, ..)) =
                        Self::tab_spans(split.pane).into_iter().find(|(_, a, b)| (*a..*b).contains(&x))
                    {
                        self.tab = tab;
                    }
                } else {
                    drag(Drag::Begin, self);
                }
            }
            MouseEventKind::Drag(MouseButton::Left) => {
                drag(Drag::Move, self);
            }
            MouseEventKind::Up(MouseButton::Left) => {
                if let Some(words) = drag(Drag::End, self) {
                    return Mouse::Copied(words);
                }
            }
            _ => {}
        }
        let _ = out;
        Mouse::Done
    }

    fn copy(&self) -> Option<String> {
        if self.list.detail
            && let Some(words) = self.pane().and_then(OutputPane::selected_text)
        {
            return Some(words);
        }
        self.subject()
    }

    fn subject(&self) -> Option<String> {
        self.run().map(RunLine::name)
    }

    fn owner(&self) -> Option<Owner> {
        self.run().map(|r| Owner::Run(r.id))
    }

    fn edit_filter(&mut self) {
        self.list.edit_filter();
    }

    fn mark(&mut self) {
        self.list.table.mark();
    }

    fn invert_marks(&mut self) {
        self.list.table.invert_marks();
    }

    fn stream(&self) -> Option<&OutputPane> {
        self.pane().filter(|_| self.tab == Tab::Output && self.run().is_some())
    }

    fn stream_mut(&mut self, env: &Env) -> Option<(&mut OutputPane, Rect)> {
        if self.stream().is_some() { self.pane_mut(env) } else { None }
    }

    fn output_grew(&mut self, owner: Owner, out: &mut Outbox) {
        if let Some(pane) = self.panes.first_mut().filter(|p| p.owner() == owner && self.tab == Tab::Output) {
            pane.grew(out);
        }
    }

    fn cursor_row(&self, env: &Env) -> Option<(u16, u16)> {
        self.list.cursor_row(env)
    }

    fn links(&self, to: ScreenId) -> Vec<String> {
        let Some(run) = self.run() else { return Vec::new() };
        // What is not named is found by the run, once it has begun.
        let by_run = || run.started_at.map(|_| format!("run:{}", run.name())).into_iter().collect::<Vec<_>>();
        match to {
            ScreenId::Leases if run.lease.is_none() => by_run(),
            ScreenId::Services if run.services.is_empty() => by_run(),
            ScreenId::Leases => run.lease.iter().map(|l| format!("L-{}", l.number)).collect(),
            ScreenId::Services => run.services.iter().filter_map(|s| number_in(s, 'S')).collect(),
            ScreenId::Workspaces => run.workspace.iter().filter_map(|w| number_in(w, 'W')).collect(),
            _ => Vec::new(),
        }
    }

    fn find(&mut self, names: &[String], out: &mut Outbox) {
        self.list.find(ScreenId::Ledger.field(), names, out);
    }

    fn spot(&self) -> Spot {
        self.list.spot()
    }

    fn restore(&mut self, spot: &Spot, out: &mut Outbox) {
        self.list.restore(spot, out);
    }

    fn view(&self, env: &Env, canvas: &mut Canvas<'_>, _body: Rect) {
        let split = self.list.layout(env);
        let columns = columns(split.words, split.line.is_some());
        let find = |field: &str| self.values(field);
        self.view_pane(env, canvas);
        self.list.view(env, canvas, &columns, &find, &|canvas, area| empty(canvas, area));
    }

    fn is_empty(&self) -> bool {
        self.list.table.known && self.list.table.rows().is_empty() && self.list.filter().is_empty()
    }
}

/// What an empty ledger teaches.
fn empty(canvas: &mut Canvas<'_>, area: Rect) {
    let indent = if area.width >= 78 && area.height >= 30 { 8 } else { 6 };
    let top = area.y + if area.height >= 30 { 10 } else { 3.min(area.height / 4) };
    let text = canvas.ink(Ink::Text);
    let dim = canvas.ink(Ink::Dim);
    let key = canvas.bold(Ink::Accent);
    let room = area.width.saturating_sub(indent);
    let rows = [
        ("", "No runs yet.", ""),
        ("", "", ""),
        ("n", "", "start a run: choose an agent, an issue or a prompt"),
        ("", "", ""),
        ("", "wharf demo                    ", "a project with agents that do real work"),
        ("", "wharf run fixer --prompt …    ", "the same from a shell"),
    ];
    for (i, (letter, words, rest)) in rows.iter().enumerate() {
        let y = top + i as u16;
        if y >= area.bottom() {
            return;
        }
        let x = area.x + indent;
        let mut at = if letter.is_empty() { x } else { canvas.put(x, y, room, letter, key) + 3 };
        at = canvas.put(at, y, room, words, text);
        canvas.put(at, y, area.right().saturating_sub(at), rest, dim);
    }
}

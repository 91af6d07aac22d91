//! Screen 1: the runs, and what one of them printed and did.

use ratatui::layout::Rect;
use wharf_model::RunId;

use super::browse::{Base, Browse, Teaching, distinct, fact, number_in, state_fact};
use super::{Handles, PathOf, ScreenId};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{DiffOf, Owner, Question};
use crate::env::{Env, Outbox};
use crate::format;
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::diff::{DiffPane, DiffTab};
use crate::pane::output::live_words;
use crate::pane::table::{Cell, Column, Row, longest};
use crate::pane::{facts, timeline};
use crate::rows::*;
use crate::text;
use crate::theme::Ink;

/// What it printed.
pub const OUTPUT: usize = 0;
/// Steps and where the time went.
pub const TIMELINE: usize = 1;
/// Every fact.
pub const DETAIL: usize = 2;
/// What it changed.
pub const DIFF: usize = 3;
/// Why it stands as it does.
pub const WHY: usize = 4;

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
    base: Base<RunLine>,
    detail: Option<Result<Box<RunDetail>, String>>,
    /// The run whose facts are shown or asked for.
    detail_of: Option<RunId>,
    diff: DiffTab,
    /// Two runs that are laid beside each other, the earlier first.
    compared: Option<(RunId, RunId)>,
}

impl Default for Ledger {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Runs { filter, after, limit };
        Self {
            base: Base::new("Runs", true, ask),
            detail: None,
            detail_of: None,
            diff: DiffTab::default(),
            compared: None,
        }
    }
}

impl Ledger {
    /// The run under the cursor.
    pub fn run(&self) -> Option<&RunLine> {
        self.base.list.table.selected()
    }

    /// The two marked runs, the earlier first.
    ///
    /// # Errors
    /// There are not two, in words.
    pub fn pair(&self) -> Result<(RunId, RunId), String> {
        let mut chosen = if self.base.list.table.marks.is_empty() { Vec::new() } else { self.chosen() };
        chosen.sort_by_key(|r| r.number);
        match chosen.as_slice() {
            [a, b] => Ok((a.id, b.id)),
            other => Err(format!("mark the two runs with space first; {} marked here", other.len())),
        }
    }

    /// Lays two runs beside each other in the tab of changes, until that is left.
    pub fn compare(&mut self, pair: (RunId, RunId)) {
        self.compared = Some(pair);
        self.base.show_tab(DIFF);
    }

    /// Brings a run to the cursor that has just come into being.
    pub fn expect(&mut self, number: i64) {
        self.base.list.expect(number);
    }
}

/// What has become of a run, where its output is not on the screen to tell it.
fn state_words(run: &RunLine, env: &Env) -> (String, Ink) {
    let (class, word) = run.state();
    match run.finished_at {
        Some(_) if run.status == RunStatus::Lost => (word.to_owned(), Ink::Bad),
        Some(at) => (format!("ended {}", format::moment(at, env.now, env.zone)), Ink::Dim),
        None if run.halted.is_some() => (word.to_owned(), class.ink()),
        None if run.is_running() => live_words(run.silent_ms(env.now)),
        None => (word.to_owned(), class.ink()),
    }
}

/// What happened to it, each entry whole.
fn activity(entries: &[ActivityLine], env: &Env, width: u16) -> FactBlock {
    let room = usize::from(width.saturating_sub(14)).max(20);
    let mut facts = Vec::new();
    for entry in entries {
        let words = format!("{} {} {}", format::moment(entry.at, env.now, env.zone), entry.who, entry.details);
        for (i, (from, to)) in text::wrap(&words, room - 2).into_iter().enumerate() {
            let label = if facts.is_empty() { "ACTIVITY" } else { "" };
            let indent = if i == 0 { "" } else { "  " };
            facts.push(fact(label, format!("{indent}{}", &words[from..to]), ""));
        }
    }
    FactBlock { facts }
}

fn ink(run: &RunLine) -> Ink {
    if RunLine::is_live(run) { Ink::Text } else { Ink::Dim }
}

impl Browse for Ledger {
    type Line = RunLine;
    const ID: ScreenId = ScreenId::Ledger;
    const LIST: &'static [Place] = &[Place::LedgerList, Place::List, Place::Ledger];
    const OWN: Place = Place::Ledger;
    const TABS: &'static [&'static str] = &["Output", "Timeline", "Detail", "Diff", "Why"];

    fn base(&self) -> &Base<RunLine> {
        &self.base
    }

    fn base_mut(&mut self) -> &mut Base<RunLine> {
        &mut self.base
    }

    fn page(answer: &Answer) -> Option<&Page<RunLine>> {
        if let Answer::Runs(page) = answer { Some(page) } else { None }
    }

    fn take(&mut self, question: &Question, answer: &Result<Answer, String>) {
        self.diff.answer(question, answer);
        let Question::RunDetail(id) = question else { return };
        if Some(*id) != self.detail_of {
            return;
        }
        match answer {
            Ok(Answer::RunDetail(Some(detail))) => self.detail = Some(Ok(detail.clone())),
            Ok(Answer::RunDetail(None)) => {
                let name = self.run().map_or_else(|| id.text(), RunLine::name);
                self.detail = Some(Err(format!("{name} is not in the ledger any more.")));
            }
            Ok(_) => {}
            Err(words) => self.detail = Some(Err(words.clone())),
        }
    }

    fn want(&mut self, env: &Env, out: &mut Outbox) {
        if self.base.tab == DIFF {
            let content = self.content(env);
            let of = match (self.compared, self.run()) {
                (Some((a, b)), _) => Some((DiffOf::Runs(a, b), false)),
                (None, Some(run)) => Some((DiffOf::Run(run.id), run.is_live())),
                (None, None) => None,
            };
            return match of {
                Some((of, live)) => self.diff.want(of, live, env, out, content),
                None => self.diff.leave(),
            };
        }
        self.diff.leave();
        self.compared = None;
        if self.base.tab == OUTPUT {
            return;
        }
        let id = self.run().map(|r| r.id);
        if self.detail_of != id {
            self.detail_of = id;
            self.detail = None;
        }
        if let (Some(id), None) = (id, &self.detail) {
            out.ask_once(Question::RunDetail(id));
        }
    }

    fn want_again(&self, out: &mut Outbox) {
        if !matches!(self.base.tab, OUTPUT | DIFF)
            && let Some(id) = self.detail_of
        {
            out.ask(Question::RunDetail(id));
        }
    }

    fn columns(&self, _env: &Env, split: &Split) -> Vec<Column<RunLine>> {
        let (words, wide) = (split.words, split.line.is_some());
        // A longer name of an agent is shown whole at the cost of the column that says most in least.
        let agent = longest(self.base.list.table.rows(), 7, |r| r.agent.clone());
        let agent = if words { agent.min(9) } else { 6 };
        let rows = self.base.list.table.rows();
        let run = longest(rows, 6, RunLine::name);
        let issue = longest(rows, 7, |r| r.issue.as_ref().map_or_else(String::new, |i| i.identifier.clone()));
        let mut columns = vec![
            Column::new("RUN", run, run, 0, |r: &RunLine, _| Cell::Words(r.name(), Ink::Text)),
            Column::status(words, 11, |r, env| {
                let (class, word) = r.state();
                Cell::state(class, word, r.is_live(), env)
            }),
            Column::new("AGENT", agent, 5, 5, |r, _| Cell::Words(r.agent.clone(), ink(r))),
            Column::new("ISSUE", issue, 0, 7, |r, _| {
                Cell::Words(r.issue.as_ref().map_or_else(String::new, |i| i.identifier.clone()), ink(r))
            }),
        ];
        if words {
            columns.push(Column::new("ENV", 5, 0, 2, |r, _| {
                Cell::Words(r.environment.clone().unwrap_or_default(), ink(r))
            }));
        }
        let now = (if wide { 14 } else { 17 }) - agent.saturating_sub(7);
        columns.push(Column::new("NOW", now, 10, 3, now_or_outcome).ended("OUTCOME").grows());
        columns.push(Column::figures("AGE", 5, 6, age_or_took).ended("TOOK"));
        columns.push(Column::figures("SILENT", 6, 4, silent_or_ended).ended("ENDED"));
        columns
    }

    fn name(run: &RunLine) -> String {
        run.name()
    }

    fn title(&self, run: &RunLine, env: &Env) -> (String, String, Ink) {
        let mut title = format!("{} · {}", run.name(), run.agent);
        if let Some(issue) = &run.issue {
            title.push_str(&format!(" · {} {}", issue.identifier, issue.title));
        }
        if let Some(compared) = self.compared.and(self.changes()).and_then(DiffPane::title) {
            return (compared.to_owned(), String::new(), Ink::Dim);
        }
        // The log's reader knows best how far it is, once there can be a log.
        let begun = run.finished_at.is_some() || run.is_running();
        let pane = self.base.streams.shown(Owner::Run(run.id)).filter(|_| self.base.tab == OUTPUT && begun);
        let (words, ink) = match pane {
            // Why nothing comes says more than that nothing comes.
            Some(pane) if run.halted.is_none() => pane.state_words(env, run.silent_ms(env.now)),
            _ => state_words(run, env),
        };
        (title, words, ink)
    }

    fn blocks(&self, line: &RunLine, env: &Env) -> Vec<FactBlock> {
        let Some(Ok(detail)) = &self.detail else { return Vec::new() };
        if self.base.tab == WHY {
            return detail.why.clone();
        }
        let run = &detail.line;
        let (class, word) = run.state();
        let moment = |at| format::full(at, env.zone);
        let status = if run.is_live() { run.now_words(env.now, env.zone) } else { run.outcome_words().0 };
        let mut first = vec![
            fact("RUN", line.name(), run.id.text()),
            state_fact(class, word, status),
            fact("queued", moment(run.queued_at), ""),
        ];
        if let Some(at) = run.started_at {
            first.push(fact("started", moment(at), ""));
        }
        if let Some(at) = run.finished_at {
            let took = run.took_ms().map_or_else(String::new, |ms| format!("took {}", format::took(ms)));
            first.push(fact("ended", moment(at), took));
        }
        let mut blocks = vec![FactBlock { facts: first }];
        blocks.extend(detail.facts.iter().cloned());
        blocks.push(activity(&detail.activity, env, self.content(env).width));
        blocks
    }

    fn view_content(&self, line: &RunLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        if self.base.tab == DIFF {
            if let Some(pane) = self.diff.shown() {
                pane.view(env, canvas, content, self.base.list.detail);
            }
            return;
        }
        match &self.detail {
            None => {
                let dim = canvas.ink(Ink::Dim);
                canvas.put(content.x + 1, content.y, content.width.saturating_sub(1), "reading…", dim);
            }
            Some(Err(words)) => canvas.trouble(content, words),
            Some(Ok(detail)) if self.base.tab == TIMELINE => {
                timeline::view(env, canvas, content, detail, self.base.scroll);
            }
            Some(Ok(_)) => facts::view(canvas, content, &self.blocks(line, env), self.base.scroll),
        }
    }

    fn clamp(&self, line: &RunLine, env: &Env, content: Rect) -> usize {
        if self.base.tab == DIFF {
            return 0;
        }
        match &self.detail {
            Some(Ok(detail)) if self.base.tab == TIMELINE => {
                let rows = usize::from(content.height.saturating_sub(1));
                self.base.scroll.min(timeline::height(detail, env).saturating_sub(rows))
            }
            _ => facts::clamp(self.base.scroll, &self.blocks(line, env), content),
        }
    }

    fn text(&self) -> Option<String> {
        let Some(Ok(detail)) = self.detail.as_ref().filter(|_| self.base.tab == WHY) else { return None };
        Some(facts::text(&detail.why))
    }

    fn facts_text(&self, line: &RunLine, env: &Env) -> Option<String> {
        (self.base.tab == DETAIL).then(|| facts::text(&self.blocks(line, env)))
    }

    fn handles_of(&self, line: &RunLine) -> Handles {
        let number = line.name();
        Handles {
            id: Some(line.id.text()),
            kind: Some("run"),
            path: if line.workspace.is_some() { PathOf::Asked } else { PathOf::None },
            url: None,
            command: match self.base.tab {
                WHY => format!("wharf why {number}"),
                DIFF => format!("wharf diff {number}"),
                OUTPUT => format!("wharf logs {number}"),
                _ => format!("wharf show {number}"),
            },
            started: line.started_at.is_some(),
            number,
        }
    }

    fn stream_owner(&self) -> Option<Owner> {
        self.run().filter(|_| self.base.tab == OUTPUT).map(|r| Owner::Run(r.id))
    }

    fn changes(&self) -> Option<&DiffPane> {
        self.diff.shown().filter(|_| self.base.tab == DIFF && self.run().is_some())
    }

    fn changes_mut(&mut self) -> Option<&mut DiffPane> {
        let shown = self.base.tab == DIFF && self.run().is_some();
        self.diff.shown_mut().filter(|_| shown)
    }

    fn comes_back(&mut self) {
        self.diff.leave();
    }

    fn drop_inner(&mut self) -> bool {
        self.changes_mut().is_some_and(DiffPane::drop_one) || self.compared.take().is_some()
    }

    fn values(&self, field: &str) -> Vec<String> {
        let rows = self.base.list.table.rows().iter();
        match field {
            "agent" => distinct(rows.map(|r| r.agent.clone())),
            "env" | "environment" => distinct(rows.filter_map(|r| r.environment.clone())),
            "issue" => distinct(rows.filter_map(|r| r.issue.as_ref().map(|i| i.identifier.clone()))),
            "error" => distinct(rows.filter_map(|r| r.error_code.clone())),
            _ => Vec::new(),
        }
    }

    fn unselected() -> (&'static str, &'static [&'static str]) {
        ("No run selected", &["What a run prints appears here, byte for byte,", "and stays after it has ended."])
    }

    fn teaching() -> &'static [Teaching] {
        &[
            ("", "No runs yet.", ""),
            ("", "", ""),
            ("n", "", "start a run: choose an agent, an issue or a prompt"),
            ("", "", ""),
            ("", "wharf demo                    ", "a project with agents that do real work"),
            ("", "wharf run fixer --prompt …    ", "the same from a shell"),
        ]
    }

    fn belongs(&self, to: ScreenId) -> Vec<String> {
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

    fn shell(&self) -> Option<Owner> {
        self.run().map(|r| Owner::Run(r.id))
    }
}

fn now_or_outcome(run: &RunLine, env: &Env) -> Cell {
    if run.is_live() {
        let clock = run.due_at.is_some() && run.status == RunStatus::ScheduledRetry;
        return Cell::Words(run.now_words(env.now, env.zone), if clock { Ink::Info } else { Ink::Text });
    }
    let (words, bad) = run.outcome_words();
    Cell::Words(words, if bad { Ink::Bad } else { Ink::Dim })
}

fn age_or_took(run: &RunLine, env: &Env) -> Cell {
    let words = if run.is_live() {
        format::duration(run.age_ms(env.now))
    } else {
        run.took_ms().map_or_else(|| "–".to_owned(), format::took)
    };
    Cell::Right(words, Ink::Dim)
}

fn silent_or_ended(run: &RunLine, env: &Env) -> Cell {
    if run.is_live() {
        let ink = if run.state().1 == "silent" { Ink::Warn } else { Ink::Dim };
        return Cell::Right(run.silent_ms(env.now).map_or_else(String::new, format::duration), ink);
    }
    let ended = run.finished_at.map_or_else(String::new, |at| format::duration(at.until(env.now)));
    Cell::Right(ended, Ink::Dim)
}

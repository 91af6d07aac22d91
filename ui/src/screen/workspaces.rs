//! Screen 5: where runs work, what is in there, and the operations that made it.

use ratatui::layout::Rect;
use wharf_model::{OperationId, WorkspaceId};

use super::browse::{Base, Browse, Teaching, distinct, fact, merged, number_in, state_fact};
use super::{FocusMove, Motion, ScreenId};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{Owner, Question};
use crate::env::{Env, Outbox};
use crate::format;
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::table::{Cell, Column, Row, longest};
use crate::rows::*;
use crate::text;
use crate::theme::{Ground, Ink};

/// Every fact.
pub const FACTS: usize = 0;
/// Operations, with the log of the chosen one.
pub const OPERATIONS: usize = 1;
/// Most operations asked for.
const OPERATIONS_MAX: u32 = 200;

impl Row for WorkspaceLine {
    fn number(&self) -> i64 {
        self.number
    }
    fn is_live(&self) -> bool {
        self.live
    }
}

/// The screen.
#[derive(Debug, Clone)]
pub struct Workspaces {
    base: Base<WorkspaceLine>,
    /// Operations of `of`, once known.
    operations: Option<Result<Vec<OperationLine>, String>>,
    of: Option<WorkspaceId>,
    /// The operation under the inner cursor; the first when none is chosen.
    at: Option<OperationId>,
    /// The log has the focus, not the operations.
    deep: bool,
}

impl Default for Workspaces {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Workspaces { filter, after, limit };
        Self {
            base: Base::new("Workspaces", false, ask).ended("ARCHIVED"),
            operations: None,
            of: None,
            at: None,
            deep: false,
        }
    }
}

impl Workspaces {
    /// The workspace under the cursor.
    pub fn workspace(&self) -> Option<&WorkspaceLine> {
        self.base.list.table.selected()
    }

    fn operations(&self) -> &[OperationLine] {
        let known = self.workspace().map(|w| w.id) == self.of;
        match &self.operations {
            Some(Ok(operations)) if known => operations,
            _ => &[],
        }
    }

    /// The operation whose log is shown.
    pub fn operation(&self) -> Option<&OperationLine> {
        let all = self.operations();
        all.iter().find(|o| Some(o.id) == self.at).or_else(|| all.first())
    }

    /// Gives the log of the chosen operation the focus.
    pub fn enter_log(&mut self) {
        self.deep = self.operation().is_some();
    }

    /// Rows that operations take above the log.
    fn list_rows(&self, height: u16) -> u16 {
        let most = (height / 3).clamp(1, 8);
        (self.operations().len() as u16).min(most)
    }

    fn is_deep(&self) -> bool {
        self.deep && self.base.tab == OPERATIONS && self.operation().is_some()
    }
}

/// `0.38s`, `running 4s`, `–`.
fn took(operation: &OperationLine, env: &Env) -> String {
    match (operation.started_at, operation.finished_at) {
        (Some(from), Some(to)) => format::fine(from.until(to)),
        (Some(from), None) => format::duration(from.until(env.now)),
        _ => "–".to_owned(),
    }
}

fn ending(operation: &OperationLine) -> String {
    match (&operation.error, operation.exit_code) {
        (Some(error), _) => error.clone(),
        (None, Some(code)) => format!("exit {code}"),
        (None, None) => operation.word.clone(),
    }
}

fn name(workspace: &WorkspaceLine) -> String {
    format!("W-{}", workspace.number)
}

fn ink(workspace: &WorkspaceLine) -> Ink {
    if workspace.live { Ink::Text } else { Ink::Dim }
}

fn figure(n: Option<u64>, live: bool) -> Cell {
    let ink = match n {
        Some(1..) if live => Ink::Warn,
        _ => Ink::Dim,
    };
    Cell::Right(n.map_or_else(|| "–".to_owned(), format::count), ink)
}

fn used(workspace: &WorkspaceLine, env: &Env) -> String {
    format::duration(workspace.used_at.unwrap_or(workspace.created_at).until(env.now))
}

/// What has changed in it, as far as somebody has looked.
fn changes(workspace: &WorkspaceLine) -> Option<String> {
    let counted = |n: Option<u64>, word: &str| n.map(|n| (n, format!("{} {word}", format::count(n))));
    let dirty = workspace.dirty.map(|n| (n, format::plural(n, "changed file")));
    let known: Vec<(u64, String)> = [
        dirty,
        counted(workspace.untracked, "untracked"),
        counted(workspace.ahead, "ahead"),
        counted(workspace.behind, "behind"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let some: Vec<&str> = known.iter().filter(|(n, _)| *n > 0).map(|(_, words)| words.as_str()).collect();
    match (known.is_empty(), some.is_empty()) {
        (true, _) => None,
        (false, true) => Some("nothing".to_owned()),
        (false, false) => Some(some.join(", ")),
    }
}

impl Browse for Workspaces {
    type Line = WorkspaceLine;
    const ID: ScreenId = ScreenId::Workspaces;
    const LIST: &'static [Place] = &[Place::WorkspacesList, Place::List, Place::Workspaces];
    const OWN: Place = Place::Workspaces;
    const TABS: &'static [&'static str] = &["Facts", "Operations"];

    fn base(&self) -> &Base<WorkspaceLine> {
        &self.base
    }

    fn base_mut(&mut self) -> &mut Base<WorkspaceLine> {
        &mut self.base
    }

    fn page(answer: &Answer) -> Option<&Page<WorkspaceLine>> {
        if let Answer::Workspaces(page) = answer { Some(page) } else { None }
    }

    fn take(&mut self, question: &Question, answer: &Result<Answer, String>) {
        let Question::Operations { workspace, .. } = question else { return };
        if Some(*workspace) != self.of {
            return;
        }
        match answer {
            Ok(Answer::Operations(operations)) => self.operations = Some(Ok(operations.clone())),
            Ok(_) => {}
            Err(words) => self.operations = Some(Err(words.clone())),
        }
    }

    fn want(&mut self, _env: &Env, out: &mut Outbox) {
        let id = self.workspace().map(|w| w.id);
        if self.of != id {
            self.of = id;
            self.operations = None;
            self.at = None;
            self.deep = false;
        }
        if let (Some(workspace), None) = (id, &self.operations) {
            out.ask_once(Question::Operations { workspace, limit: OPERATIONS_MAX });
        }
    }

    fn want_again(&self, out: &mut Outbox) {
        if let Some(workspace) = self.of {
            out.ask(Question::Operations { workspace, limit: OPERATIONS_MAX });
        }
    }

    fn columns(&self, env: &Env, split: &Split) -> Vec<Column<WorkspaceLine>> {
        let wide = env.size.0 >= 130;
        let rows = self.base.list.table.rows();
        let workspace = longest(rows, 4, name);
        let issue = longest(rows, 7, |w| w.issue.clone().unwrap_or_default());
        let mut columns = vec![
            Column::new("WS", workspace, workspace, 0, |w: &WorkspaceLine, _| Cell::Words(name(w), Ink::Text)),
            Column::new("BRANCH", 27, 16, 7, |w: &WorkspaceLine, _| {
                Cell::Middle(w.branch.clone().unwrap_or_else(|| w.path.clone()), ink(w))
            })
            .grows(),
        ];
        if wide {
            columns.push(Column::new("MODE", 8, 0, 3, |w, _| Cell::Words(w.mode.clone(), Ink::Dim)));
            columns.push(Column::new("BASE", 8, 0, 4, |w, _| {
                let base = w.base.as_deref().map_or("–", |b| b.split('@').next().unwrap_or(b));
                Cell::Words(base.to_owned(), Ink::Dim)
            }));
        }
        columns.push(Column::status(split.words, 9, |w, env| Cell::state(w.class, &w.word, w.live, env)));
        columns.push(Column::figures("DIRTY", 5, 10, |w, _| figure(w.dirty, w.live)));
        columns.push(Column::figures("NEW", 3, 9, |w, _| figure(w.untracked, w.live)));
        columns.push(Column::figures("AHEAD", 5, 9, |w, _| figure(w.ahead, w.live)));
        if wide {
            columns.push(Column::figures("BEHIND", 6, 5, |w, _| figure(w.behind, w.live)));
        }
        columns.push(Column::figures("AGE", 5, 11, |w, env| Cell::Right(used(w, env), Ink::Dim)));
        if self.base.list.table.rows().iter().any(|w| w.size_bytes.is_some()) {
            columns.push(Column::figures("SIZE", 7, 8, |w, _| Cell::known(w.size_bytes.map(format::size), Ink::Dim)));
        }
        if wide {
            columns.push(Column::new("ISSUE", issue, 0, 2, |w, _| {
                Cell::Words(w.issue.clone().unwrap_or_default(), Ink::Dim)
            }));
            columns.push(Column::new("ENV", 6, 0, 1, |w, _| {
                Cell::Words(w.environment.clone().unwrap_or_default(), Ink::Dim)
            }));
            columns.push(Column::new("LAST RUN", 20, 0, 6, |w, _| {
                let run = w.holder.as_ref().or(w.last_run.as_ref());
                Cell::Words(run.cloned().unwrap_or_else(|| "–".to_owned()), Ink::Dim)
            }));
        }
        columns
    }

    fn name(line: &WorkspaceLine) -> String {
        name(line)
    }

    fn title(&self, line: &WorkspaceLine, env: &Env) -> (String, String, Ink) {
        let title = match &line.branch {
            Some(branch) => format!("W-{} · {branch}", line.number),
            None => format!("W-{} · {}", line.number, line.mode),
        };
        (title, format!("{} {}", line.word, used(line, env)), if line.live { line.class.ink() } else { Ink::Dim })
    }

    fn blocks(&self, line: &WorkspaceLine, env: &Env) -> Vec<FactBlock> {
        let operations = match &self.operations {
            Some(Ok(all)) if all.is_empty() => vec![fact("OPERATIONS", "none yet", "")],
            Some(Ok(all)) => all
                .iter()
                .enumerate()
                .map(|(i, o)| Fact {
                    label: if i == 0 { "OPERATIONS".into() } else { String::new() },
                    value: format!("{} {}", o.class.glyph(), o.phase),
                    remark: format!("{}  {}  {}", took(o, env), ending(o), o.command),
                    bad: o.class == crate::glyph::Class::Bad,
                })
                .collect(),
            Some(Err(words)) => vec![Fact { bad: true, ..fact("OPERATIONS", words.clone(), "") }],
            None => vec![fact("OPERATIONS", "reading…", "")],
        };
        if self.base.tab == OPERATIONS {
            return vec![FactBlock { facts: operations }];
        }
        let mut first = vec![fact("WORKSPACE", name(line), ""), state_fact(line.class, &line.word, "")];
        if let Some(branch) = &line.branch {
            first.push(fact("branch", branch.clone(), ""));
        }
        if let Some(base) = &line.base {
            let behind =
                line.behind.filter(|n| *n > 0).map_or_else(String::new, |n| format!("{} behind", format::count(n)));
            first.push(fact("base", base.clone(), behind));
        }
        first.push(fact("mode", line.mode.clone(), ""));
        first.push(fact("directory", line.path.clone(), ""));
        first.push(fact("changed", changes(line).unwrap_or_else(|| "unknown: nobody has looked yet".to_owned()), ""));
        if let Some(size) = line.size_bytes {
            first.push(fact("size", format::size(size), ""));
        }
        if let Some(environment) = &line.environment {
            first.push(fact("environment", environment.clone(), ""));
        }
        first.push(fact("made", format::full(line.created_at, env.zone), ""));
        let mut second = Vec::new();
        if let Some(issue) = &line.issue {
            second.push(fact("issue", issue.clone(), ""));
        }
        if let Some(holder) = &line.holder {
            second.push(fact("in use by", holder.clone(), ""));
        }
        if let Some(run) = &line.last_run {
            second.push(fact("last run", run.clone(), ""));
        }
        let blocks = vec![FactBlock { facts: first }, FactBlock { facts: second }, FactBlock { facts: operations }];
        merged(blocks, &line.facts)
    }

    fn stream_owner(&self) -> Option<Owner> {
        if self.base.tab != OPERATIONS {
            return None;
        }
        self.operation().map(|o| Owner::Operation(o.id))
    }

    fn stream_area(&self, content: Rect) -> Rect {
        if self.base.tab != OPERATIONS {
            return content;
        }
        // A rule stands between operations and log.
        let above = (self.list_rows(content.height) + 1).min(content.height);
        Rect::new(content.x, content.y + above, content.width, content.height - above)
    }

    fn stream_focused(&self) -> bool {
        self.is_deep()
    }

    fn detail_place(&self) -> Option<Place> {
        (self.base.tab == OPERATIONS && !self.is_deep()).then_some(Place::Operations)
    }

    fn moved(&mut self, motion: Motion) -> bool {
        if self.base.tab != OPERATIONS || self.is_deep() || self.operation().is_none() {
            return false;
        }
        let all = self.operations();
        let at = self.operation().and_then(|o| all.iter().position(|other| other.id == o.id)).unwrap_or(0) as i64;
        let to = match motion {
            Motion::Rows(n) => at.saturating_add(n),
            Motion::HalfPages(n) | Motion::Pages(n) => at.saturating_add(n * 4),
            Motion::First => 0,
            Motion::Last => i64::MAX,
            Motion::Sideways(_) => at,
        };
        let to = to.clamp(0, all.len() as i64 - 1) as usize;
        self.at = Some(all[to].id);
        true
    }

    fn focused(&mut self, to: FocusMove) -> bool {
        if !self.base.list.detail || self.base.tab != OPERATIONS {
            self.deep = false;
            return false;
        }
        match (to, self.is_deep()) {
            (FocusMove::Next | FocusMove::Detail, false) => {
                self.enter_log();
                self.deep
            }
            (FocusMove::Previous | FocusMove::List, true) => {
                self.deep = false;
                true
            }
            (FocusMove::Next, true) => {
                self.deep = false;
                self.base.list.focus(FocusMove::List);
                true
            }
            _ => false,
        }
    }

    fn view_above(&self, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        if self.base.tab != OPERATIONS {
            return;
        }
        let Some(chosen) = self.operation() else { return };
        let all = self.operations();
        let rows = self.list_rows(content.height);
        let at = all.iter().position(|o| o.id == chosen.id).unwrap_or(0);
        let first = (at + 1).saturating_sub(usize::from(rows));
        let phases = all.iter().map(|o| text::width(&o.phase) as u16).max().unwrap_or(0).min(content.width / 3);
        let focused = self.base.list.detail && !self.is_deep();
        for (i, operation) in all.iter().enumerate().skip(first).take(usize::from(rows)) {
            view_operation(
                operation,
                phases,
                env,
                canvas,
                Rect::new(content.x, content.y + (i - first) as u16, content.width, 1),
            );
            if i == at {
                let line = Rect::new(content.x, content.y + (i - first) as u16, content.width, 1);
                canvas.select(line, if focused { Ground::Selection } else { Ground::SelectionWeak });
                let accent = canvas.ink(Ink::Accent);
                canvas.put(line.x, line.y, 1, "▸", accent);
            }
        }
        if content.height > rows {
            let title = format!("O-{} · {}", chosen.number, chosen.phase);
            let more = all.len().saturating_sub(usize::from(rows));
            let right = if more > 0 { format!("{} of {}", at + 1, all.len()) } else { ending(chosen) };
            let line = Rect::new(content.x, content.y + rows, content.width, 1);
            canvas.title_rule(line, &title, &[(&right, Ink::Dim)], self.base.list.detail && self.is_deep());
        }
    }

    fn values(&self, field: &str) -> Vec<String> {
        let rows = self.base.list.table.rows().iter();
        match field {
            "issue" => distinct(rows.filter_map(|w| w.issue.clone())),
            "env" | "environment" => distinct(rows.filter_map(|w| w.environment.clone())),
            "kind" => distinct(rows.map(|w| w.mode.clone())),
            _ => Vec::new(),
        }
    }

    fn teaching() -> &'static [Teaching] {
        &[
            ("", "No workspaces yet.", ""),
            ("", "", ""),
            ("", "A run gets one when it begins: a git worktree with its own branch,", ""),
            ("", "or the checkout itself, as its policy says.", ""),
        ]
    }

    fn belongs(&self, to: ScreenId) -> Vec<String> {
        let Some(workspace) = self.workspace() else { return Vec::new() };
        match to {
            ScreenId::Ledger => {
                let run = workspace.holder.as_ref().or(workspace.last_run.as_ref());
                run.and_then(|r| number_in(r, 'R')).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn shell(&self) -> Option<Owner> {
        self.workspace().filter(|w| w.live).map(|w| Owner::Workspace(w.id))
    }
}

/// `  09:37:18  ✓ worktree  git worktree add        0.38s  exit 0`, with `phases` cells for what it was for.
fn view_operation(operation: &OperationLine, phases: u16, env: &Env, canvas: &mut Canvas<'_>, line: Rect) {
    let dim = canvas.ink(Ink::Dim);
    let at = operation.started_at.map_or_else(|| "–".to_owned(), |at| format::moment(at, env.now, env.zone));
    let mut x = line.x + 2;
    if line.width >= 60 {
        canvas.put(x, line.y, 12, &at, dim);
        x += if text::width(&at) > 8 { 14 } else { 10 };
    }
    let end = ending(operation);
    let end_width = (text::width(&end) as u16).clamp(6, (line.width / 3).max(6));
    let right = line.right().saturating_sub(1);
    let end_x = right.saturating_sub(end_width);
    let bad = operation.class == crate::glyph::Class::Bad;
    let end_style = canvas.ink(if bad { Ink::Bad } else { Ink::Dim });
    canvas.put(end_x, line.y, end_width, &text::cut_end(&end, usize::from(end_width)), end_style);
    let took_right = end_x.saturating_sub(2);
    canvas.put_right(took_right, line.y, 6, &took(operation, env), dim);
    let room = took_right.saturating_sub(x + 9);
    let glyph = canvas.ink(operation.class.ink());
    canvas.put(x, line.y, 1, operation.class.glyph(), glyph);
    let style = canvas.ink(Ink::Text);
    let phases = phases.min(room);
    let phase = text::cut_end(&operation.phase, usize::from(phases)).into_owned();
    canvas.put(x + 2, line.y, phases, &phase, style);
    let room = room.saturating_sub(phases + 2);
    if room >= 8 {
        let command = text::cut_middle(&operation.command, usize::from(room)).into_owned();
        canvas.put(x + 4 + phases, line.y, room, &command, dim);
    }
}

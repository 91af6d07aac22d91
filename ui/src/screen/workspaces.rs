//! Screen 5: where runs work, what is in there, the operations that made it, and what is kept of it.

use ratatui::layout::Rect;
use wharf_model::{OperationId, SnapshotId, UnixMillis, WorkspaceId};

use super::browse::{Base, Browse, Teaching, distinct, number_in};
use super::{FocusMove, Handles, Motion, PathOf, ScreenId};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{DiffOf, Owner, Question};
use crate::env::{Env, Outbox};
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::diff::{DiffPane, DiffTab};
use crate::pane::table::{Column, Row};
use crate::rows::*;
use crate::theme::Ink;

mod close;
mod columns;
mod facts;
mod operations;
mod snapshots;

/// Every fact.
pub const FACTS: usize = 0;
/// Operations, with the log of the chosen one.
pub const OPERATIONS: usize = 1;
/// What is kept of it.
pub const SNAPSHOTS: usize = 2;
/// What was changed in it.
pub const DIFF: usize = 3;
/// What stands in the way of archiving it.
pub const CLOSE: usize = 4;
/// Most operations and snapshots asked for.
const ROWS_MAX: u32 = 200;
/// A check that is looked at is made again after this time.
const CHECK_AGAIN_MS: i64 = 30_000;

impl Row for WorkspaceLine {
    fn number(&self) -> i64 {
        self.number
    }
    fn is_live(&self) -> bool {
        self.live
    }
}

/// Rows that belong to the workspace under the cursor, once known.
type Known<T> = Option<Result<T, String>>;

/// The screen.
#[derive(Debug, Clone)]
pub struct Workspaces {
    base: Base<WorkspaceLine>,
    of: Option<WorkspaceId>,
    detail: Known<Box<WorkspaceDetail>>,
    operations: Known<Vec<OperationLine>>,
    snapshots: Known<Vec<SnapshotLine>>,
    close: Known<CloseCheck>,
    /// When the close check was asked for last, while its tab is shown.
    close_asked: Option<UnixMillis>,
    /// A close check that was asked for is not answered yet: a look takes its time, so there is one at a time.
    close_waits: bool,
    /// The operation under the inner cursor; the first when none is chosen.
    at: Option<OperationId>,
    /// The snapshot under the inner cursor; the first when none is chosen.
    snapshot_at: Option<SnapshotId>,
    /// The log has the focus, not the operations.
    deep: bool,
    /// Workspaces that were archived from here, the last one at the end.
    archived: Vec<WorkspaceId>,
    diff: DiffTab,
}

impl Default for Workspaces {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Workspaces { filter, after, limit };
        let mut base = Base::new("Workspaces", false, ask).ended("ARCHIVED");
        base.list.left_out = "archived hidden";
        base.list.left_out_how = "/ status:archived shows them";
        Self {
            base,
            of: None,
            detail: None,
            operations: None,
            snapshots: None,
            close: None,
            close_asked: None,
            close_waits: false,
            at: None,
            snapshot_at: None,
            deep: false,
            archived: Vec::new(),
            diff: DiffTab::default(),
        }
    }
}

impl Workspaces {
    /// The workspace under the cursor.
    pub fn workspace(&self) -> Option<&WorkspaceLine> {
        self.base.list.table.selected()
    }

    /// What is known of the workspace under the cursor, not of the one before it.
    fn mine<'a, T>(&self, known: Option<&'a Result<T, String>>) -> Option<&'a Result<T, String>> {
        known.filter(|_| self.workspace().map(|w| w.id) == self.of)
    }

    fn detail(&self) -> Option<&WorkspaceDetail> {
        self.mine(self.detail.as_ref())?.as_ref().ok().map(AsRef::as_ref)
    }

    fn operations(&self) -> &[OperationLine] {
        match self.mine(self.operations.as_ref()) {
            Some(Ok(operations)) => operations,
            _ => &[],
        }
    }

    fn snapshots(&self) -> &[SnapshotLine] {
        match self.mine(self.snapshots.as_ref()) {
            Some(Ok(snapshots)) => snapshots,
            _ => &[],
        }
    }

    /// The operation whose log is shown.
    pub fn operation(&self) -> Option<&OperationLine> {
        let all = self.operations();
        all.iter().find(|o| Some(o.id) == self.at).or_else(|| all.first())
    }

    /// The job that runs in the workspace: the chosen operation where that is one, else the newest.
    pub fn running_job(&self) -> Option<&OperationLine> {
        let is_job = |o: &&OperationLine| o.running_job.is_some();
        let chosen = self.operation().filter(|_| self.base.tab == OPERATIONS).filter(is_job);
        chosen.or_else(|| self.operations().iter().find(is_job))
    }

    /// The snapshot that was chosen: the one under the cursor of its tab, while that has the focus.
    pub fn snapshot(&self) -> Option<&SnapshotLine> {
        self.snapshot_shown().filter(|_| self.base.tab == SNAPSHOTS && self.base.list.detail)
    }

    fn snapshot_shown(&self) -> Option<&SnapshotLine> {
        let all = self.snapshots();
        all.iter().find(|s| Some(s.id) == self.snapshot_at).or_else(|| all.first())
    }

    /// Gives the log of the chosen operation the focus.
    pub fn enter_log(&mut self) {
        self.deep = self.operation().is_some();
    }

    /// Remembers that a workspace was archived from here, so that it can be undone.
    pub fn was_archived(&mut self, id: &str) {
        if let Ok(id) = id.parse() {
            self.archived.retain(|known| *known != id);
            self.archived.push(id);
        }
    }

    /// The workspaces that were archived from here, the last one at the end.
    pub fn archived(&self) -> &[WorkspaceId] {
        &self.archived
    }

    /// Forgets one: what was done has been undone.
    pub fn forget_archived(&mut self, id: &str) {
        self.archived.retain(|known| known.text() != id);
    }

    /// Rows that operations take above the log.
    fn list_rows(&self, height: u16) -> u16 {
        let most = (height / 3).clamp(1, 8);
        (self.operations().len() as u16).min(most)
    }

    fn is_deep(&self) -> bool {
        self.deep && self.base.tab == OPERATIONS && self.operation().is_some()
    }

    /// The inner rows of the tab shown: how many, and the one under the cursor.
    fn inner(&self) -> Option<(usize, usize)> {
        let (n, at) = match self.base.tab {
            OPERATIONS if !self.is_deep() => {
                let all = self.operations();
                (all.len(), self.operation().and_then(|o| all.iter().position(|other| other.id == o.id)))
            }
            SNAPSHOTS => {
                let all = self.snapshots();
                (all.len(), self.snapshot_shown().and_then(|s| all.iter().position(|other| other.id == s.id)))
            }
            _ => return None,
        };
        (n > 0).then(|| (n, at.unwrap_or(0)))
    }
}

/// `W-7`.
fn name(workspace: &WorkspaceLine) -> String {
    format!("W-{}", workspace.number)
}

impl Browse for Workspaces {
    type Line = WorkspaceLine;
    const ID: ScreenId = ScreenId::Workspaces;
    const LIST: &'static [Place] = &[Place::WorkspacesList, Place::List, Place::Workspaces];
    const OWN: Place = Place::Workspaces;
    const TABS: &'static [&'static str] = &["Facts", "Operations", "Snapshots", "Diff", "Close check"];

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
        self.diff.answer(question, answer);
        let of = match question {
            Question::Operations { workspace, .. }
            | Question::Snapshots { workspace, .. }
            | Question::CloseCheck(workspace)
            | Question::WorkspaceDetail(workspace) => *workspace,
            _ => return,
        };
        self.close_waits &= !matches!(question, Question::CloseCheck(_));
        if Some(of) != self.of {
            return;
        }
        match (question, answer) {
            (_, Ok(Answer::WorkspaceDetail(detail))) => self.detail = Some(Ok(detail.clone().unwrap_or_default())),
            (_, Ok(Answer::Operations(operations))) => self.operations = Some(Ok(operations.clone())),
            (_, Ok(Answer::Snapshots(snapshots))) => self.snapshots = Some(Ok(snapshots.clone())),
            (_, Ok(Answer::CloseCheck(check))) => self.close = Some(Ok((**check).clone())),
            (_, Ok(_)) => {}
            (Question::WorkspaceDetail(_), Err(words)) => self.detail = Some(Err(words.clone())),
            (Question::Operations { .. }, Err(words)) => self.operations = Some(Err(words.clone())),
            (Question::Snapshots { .. }, Err(words)) => self.snapshots = Some(Err(words.clone())),
            (_, Err(words)) => self.close = Some(Err(words.clone())),
        }
    }

    fn want(&mut self, env: &Env, out: &mut Outbox) {
        let id = self.workspace().map(|w| w.id);
        if self.of != id {
            self.of = id;
            (self.detail, self.operations, self.snapshots, self.close) = (None, None, None, None);
            (self.at, self.snapshot_at, self.close_asked) = (None, None, None);
            self.deep = false;
        }
        let Some(workspace) = id else { return };
        if self.detail.is_none() {
            out.ask_once(Question::WorkspaceDetail(workspace));
        }
        if self.operations.is_none() {
            out.ask_once(Question::Operations { workspace, limit: ROWS_MAX });
        }
        if self.snapshots.is_none() {
            out.ask_once(Question::Snapshots { workspace, limit: ROWS_MAX });
        }
        if self.base.tab == DIFF {
            let (live, content) = (self.workspace().is_some_and(|w| w.holder.is_some()), self.content(env));
            self.diff.want(DiffOf::Workspace(workspace), live, env, out, content);
        } else {
            self.diff.leave();
        }
        if self.base.tab != CLOSE {
            // What was found is old when the tab is opened again.
            self.close_asked = None;
        } else if !self.close_waits && self.close_asked.is_none_or(|at| at.until(env.now) >= CHECK_AGAIN_MS) {
            self.close_asked = Some(env.now);
            self.close_waits = true;
            out.ask_once(Question::CloseCheck(workspace));
        }
    }

    fn want_again(&self, out: &mut Outbox) {
        if let Some(workspace) = self.of {
            out.ask(Question::WorkspaceDetail(workspace));
            out.ask(Question::Operations { workspace, limit: ROWS_MAX });
            out.ask(Question::Snapshots { workspace, limit: ROWS_MAX });
        }
    }

    fn columns(&self, env: &Env, split: &Split) -> Vec<Column<WorkspaceLine>> {
        columns::columns(self.base.list.table.rows(), env, split)
    }

    fn name(line: &WorkspaceLine) -> String {
        name(line)
    }

    fn title(&self, line: &WorkspaceLine, env: &Env) -> (String, String, Ink) {
        let title = match &line.branch {
            Some(branch) => format!("W-{} · {branch}", line.number),
            None => format!("W-{} · {}", line.number, line.mode),
        };
        let right = format!("{} {}", line.word, columns::used(line, env));
        (title, right, if line.live { line.class.ink() } else { Ink::Dim })
    }

    fn blocks(&self, line: &WorkspaceLine, env: &Env) -> Vec<FactBlock> {
        facts::blocks(self, line, env)
    }

    fn view_content(&self, line: &WorkspaceLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        match self.base.tab {
            DIFF => {
                if let Some(pane) = self.changes() {
                    pane.view(env, canvas, content, self.base.list.detail);
                }
            }
            SNAPSHOTS if !self.snapshots().is_empty() => snapshots::view(self, line, env, canvas, content),
            CLOSE => close::view(self, env, canvas, content),
            _ => facts::view(self, line, env, canvas, content),
        }
    }

    fn clamp(&self, line: &WorkspaceLine, env: &Env, content: Rect) -> usize {
        match self.base.tab {
            DIFF => 0,
            SNAPSHOTS if !self.snapshots().is_empty() => 0,
            CLOSE => close::clamp(self, env, content),
            _ => facts::clamp(self, line, env, content),
        }
    }

    fn changes(&self) -> Option<&DiffPane> {
        self.diff.shown().filter(|_| self.base.tab == DIFF && self.workspace().is_some())
    }

    fn changes_mut(&mut self) -> Option<&mut DiffPane> {
        let shown = self.base.tab == DIFF && self.workspace().is_some();
        self.diff.shown_mut().filter(|_| shown)
    }

    fn comes_back(&mut self) {
        self.diff.leave();
    }

    fn handles_of(&self, line: &WorkspaceLine) -> Handles {
        let number = name(line);
        Handles {
            id: Some(line.id.text()),
            kind: Some("workspace"),
            path: if line.path.is_empty() { PathOf::None } else { PathOf::Known(line.path.clone()) },
            url: None,
            command: match self.base.tab {
                DIFF => format!("wharf diff {number}"),
                CLOSE => format!("wharf workspace archive {number} --dry-run"),
                _ => format!("wharf workspace show {number}"),
            },
            started: false,
            number,
        }
    }

    fn inner_handles(&self) -> Option<Handles> {
        match self.base.tab {
            OPERATIONS => self.operation().map(|o| Handles {
                number: format!("O-{}", o.number),
                id: Some(o.id.text()),
                kind: Some("operation"),
                command: format!("wharf logs O-{}", o.number),
                started: !o.command.is_empty(),
                ..Handles::default()
            }),
            SNAPSHOTS => self.snapshot_shown().zip(self.workspace()).map(|(s, w)| {
                let number = format!("{}.{}", name(w), s.ordinal);
                Handles {
                    id: Some(s.id.text()),
                    command: format!("wharf workspace restore {number}"),
                    number,
                    ..Handles::default()
                }
            }),
            _ => None,
        }
    }

    fn facts_text(&self, line: &WorkspaceLine, env: &Env) -> Option<String> {
        (self.base.tab == FACTS).then(|| crate::pane::facts::text(&self.blocks(line, env)))
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
        let Some((n, at)) = self.inner() else { return false };
        let at = at as i64;
        let to = match motion {
            Motion::Rows(n) => at.saturating_add(n),
            Motion::HalfPages(n) | Motion::Pages(n) => at.saturating_add(n * 4),
            Motion::First => 0,
            Motion::Last => i64::MAX,
            Motion::Sideways(_) => at,
        };
        let to = to.clamp(0, n as i64 - 1) as usize;
        if self.base.tab == OPERATIONS {
            self.at = Some(self.operations()[to].id);
        } else {
            self.snapshot_at = Some(self.snapshots()[to].id);
        }
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
        if self.base.tab == OPERATIONS {
            operations::view(self, env, canvas, content);
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
            ("", "", ""),
            ("1 n", "starts a run", "        wharf run AGENT --issue SHOP-1"),
            ("x", "archives one", "        nothing in it is lost: it is kept as a snapshot first"),
            ("/", "status:archived", "     shows those that were archived; R brings one back"),
        ]
    }

    fn belongs(&self, to: ScreenId) -> Vec<String> {
        let Some(workspace) = self.workspace() else { return Vec::new() };
        match to {
            ScreenId::Ledger => {
                let run = workspace.holder.as_ref().or(workspace.last_run.as_ref());
                run.and_then(|r| number_in(r, 'R')).into_iter().collect()
            }
            ScreenId::Services => {
                let services = self.detail().map(|d| d.services.as_slice()).unwrap_or_default();
                services.iter().filter_map(|s| number_in(s, 'S')).collect()
            }
            _ => Vec::new(),
        }
    }

    fn shell(&self) -> Option<Owner> {
        self.workspace().filter(|w| w.live && w.word != "missing").map(|w| Owner::Workspace(w.id))
    }
}

//! Screen 3: what runs beside the runs, how well it is, who uses it and when it stops; and whose every port is.

use std::collections::HashMap;

use ratatui::layout::Rect;
use wharf_model::rules::port_board::{PortRow, PortState};
use wharf_model::rules::service_why::Case;
use wharf_model::{ServiceId, UnixMillis};

use super::browse::{Base, Browse, Teaching, distinct, number_in};
use super::{FocusMove, Handles, Motion, PathOf, ScreenId};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{Owner, Question};
use crate::env::{Env, Outbox};
use crate::format::Zone;
use crate::glyph::Class;
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::table::{Column, Row};
use crate::pane::why::{self, By};
use crate::rows::*;
use crate::theme::Ink;

mod board;
mod columns;
mod detail;
mod words;

pub use words::policy;

/// What it printed.
pub const LOG: usize = 0;
/// Every fact.
pub const FACTS: usize = 1;
/// Why it is as it is.
pub const WHY: usize = 2;
/// Runs that use it, and those that have.
pub const RUNS: usize = 3;

/// Rows of a detail below which the names of its tabs take no row.
const TABS_FROM: u16 = 9;

impl Row for ServiceLine {
    fn number(&self) -> i64 {
        self.number
    }
    fn is_live(&self) -> bool {
        self.live
    }
}

/// The screen.
#[derive(Debug, Clone)]
pub struct Services {
    base: Base<ServiceLine>,
    /// What is known beside the lines of those that are looked at.
    details: HashMap<ServiceId, Result<Option<Box<ServiceDetail>>, String>>,
    /// Those: the selected one, and the first that is not well.
    wanted: Vec<ServiceId>,
    /// What process trees take, as last told.
    figures: HashMap<ServiceId, ServiceFigures>,
    /// Starts whose trees were asked about.
    measured: Vec<(ServiceId, u32)>,
    ports: Option<Result<PortBoard, String>>,
    /// The focus is on the port board, not in the detail.
    on_board: bool,
    port_at: usize,
    /// When and where it was last looked at.
    seen: Option<(UnixMillis, Zone)>,
}

impl Default for Services {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Services { filter, after, limit };
        let mut base = Base::new("Services", false, ask).ended("STOPPED AND FAILED");
        base.list.second = Some((0, false));
        base.list.left_out = "of ended runs hidden";
        base.list.left_out_how = "/ status:ended shows them";
        Self {
            base,
            details: HashMap::new(),
            wanted: Vec::new(),
            figures: HashMap::new(),
            measured: Vec::new(),
            ports: None,
            on_board: false,
            port_at: 0,
            seen: None,
        }
    }
}

impl Services {
    /// The service under the cursor that is seen: on the board the one service of the port's row, else the list's.
    pub fn service(&self) -> Option<&ServiceLine> {
        if self.on_board() { self.of_port().ok() } else { self.listed_one() }
    }

    /// The service under the list's cursor, whose detail is shown.
    fn listed_one(&self) -> Option<&ServiceLine> {
        self.base.list.table.selected()
    }

    /// The service that the row under the board's cursor is about.
    ///
    /// # Errors
    /// Why nothing can be done to one from there, in words: it is none of ours, several want the port.
    pub fn of_port(&self) -> Result<&ServiceLine, String> {
        let row = self.port_rows().get(self.port_at()).ok_or("no port is selected")?;
        if row.state == PortState::Stranger {
            return Err(format!("port {} is held by a stranger, who is left alone", row.port));
        }
        let [number] = row.numbers.as_slice() else {
            let port = row.port;
            return Err(match row.numbers.len() {
                0 => format!("port {port} is of none of our services"),
                _ => format!("several services want port {port}; choose one in the list"),
            });
        };
        let line = self.base.list.table.rows().iter().find(|s| s.number == *number);
        line.ok_or_else(|| format!("S-{number} is not in the list as it is filtered; Enter goes to it"))
    }

    /// Shows a tab of the detail of the service under the cursor and gives it the focus.
    pub fn show(&mut self, tab: usize) {
        if let Some(number) = self.service().map(|s| s.number) {
            self.base.list.table.select(number);
        }
        self.step_to_board(false);
        self.base.show_tab(tab);
    }

    /// What is known of a service beside its line.
    pub fn detail_of(&self, id: ServiceId) -> Option<&ServiceDetail> {
        self.details.get(&id).and_then(|d| d.as_ref().ok()).and_then(|d| d.as_deref())
    }

    /// The one whose trouble is told beside: the selected one, else the first that is not well.
    fn unwell(&self) -> Option<&ServiceLine> {
        let is = |s: &&ServiceLine| s.case.is_trouble();
        self.listed_one().filter(is).or_else(|| self.base.list.table.rows().iter().find(is))
    }

    fn ports(&self) -> Option<&Result<PortBoard, String>> {
        self.ports.as_ref()
    }

    fn port_rows(&self) -> &[PortRow] {
        self.ports.as_ref().and_then(|p| p.as_ref().ok()).map_or(&[], |board| &board.rows)
    }

    fn port_at(&self) -> usize {
        self.port_at.min(self.port_rows().len().saturating_sub(1))
    }

    /// Whether keys go to the port board.
    pub const fn on_board(&self) -> bool {
        self.on_board && self.base.list.detail
    }

    /// Number of a service that has or wants the port under the board's cursor.
    pub fn port_service(&self) -> Option<i64> {
        self.port_rows().get(self.port_at()).filter(|_| self.on_board()).and_then(|r| r.numbers.first().copied())
    }

    fn step_to_board(&mut self, on: bool) {
        self.on_board = on;
        let rows = u16::try_from(self.port_rows().len().max(1)).unwrap_or(u16::MAX);
        self.base.list.second = Some((rows, on));
    }

    /// Puts what was measured into the lines.
    fn tell_figures(&mut self) {
        let figures = &self.figures;
        self.base.list.table.each(|line| line.figures = figures.get(&line.id).copied());
    }

    fn measure(&mut self, env: &Env, out: &mut Outbox) {
        let height = self.base.list.height(env);
        let live = self.base.list.table.shown(height).iter().filter(|s| s.live && s.pid.is_some());
        let shown: Vec<(ServiceId, u32)> = live.map(|s| (s.id, s.generation)).collect();
        if shown != self.measured {
            self.measured = shown;
            if !self.measured.is_empty() {
                out.ask(Question::ServiceFigures(self.measured.clone()));
            }
        }
    }
}

impl Browse for Services {
    type Line = ServiceLine;
    const ID: ScreenId = ScreenId::Services;
    const LIST: &'static [Place] = &[Place::ServicesList, Place::List, Place::Services];
    const OWN: Place = Place::Services;
    const TABS: &'static [&'static str] = &["Log", "Facts", "Why", "Runs"];

    fn base(&self) -> &Base<ServiceLine> {
        &self.base
    }

    fn base_mut(&mut self) -> &mut Base<ServiceLine> {
        &mut self.base
    }

    fn page(answer: &Answer) -> Option<&Page<ServiceLine>> {
        if let Answer::Services(page) = answer { Some(page) } else { None }
    }

    fn listed(&mut self, _question: &Question) {
        self.tell_figures();
    }

    fn meant(&self) -> Option<&ServiceLine> {
        self.service()
    }

    fn chosen(&self) -> Vec<&ServiceLine> {
        // Marks are the list's: from the board a verb means the one row under its cursor.
        if self.on_board() { self.service().into_iter().collect() } else { self.base.chosen() }
    }

    fn why_none(&self) -> Option<String> {
        if self.on_board() { self.of_port().err() } else { self.base.why_none() }
    }

    fn take(&mut self, question: &Question, answer: &Result<Answer, String>) {
        match (question, answer) {
            (Question::ServiceDetail(id), Ok(Answer::ServiceDetail(detail))) if self.wanted.contains(id) => {
                self.details.insert(*id, Ok(detail.clone()));
            }
            (Question::ServiceDetail(id), Err(words)) if self.wanted.contains(id) => {
                self.details.insert(*id, Err(words.clone()));
            }
            (Question::ServiceFigures(_), Ok(Answer::ServiceFigures(figures))) => {
                self.figures = figures.iter().copied().collect();
                self.tell_figures();
            }
            (Question::Ports, Ok(Answer::Ports(board))) => {
                // The cursor stays on its port.
                let port = self.port_rows().get(self.port_at()).map(|r| r.port);
                self.port_at = board.rows.iter().position(|r| Some(r.port) == port).unwrap_or(self.port_at());
                self.ports = Some(Ok(board.clone()));
                self.step_to_board(self.on_board);
            }
            (Question::Ports, Err(words)) => self.ports = Some(Err(words.clone())),
            _ => {}
        }
    }

    fn want(&mut self, env: &Env, out: &mut Outbox) {
        self.seen = Some((env.now, env.zone));
        let wide = env.size.0 >= 130;
        let mut wanted: Vec<ServiceId> = self.listed_one().map(|s| s.id).into_iter().collect();
        wanted.extend(self.service().map(|s| s.id).filter(|id| !wanted.contains(id)));
        wanted.extend(self.unwell().filter(|_| wide).map(|s| s.id).filter(|id| !wanted.contains(id)));
        self.details.retain(|id, _| wanted.contains(id));
        self.wanted = wanted;
        for id in self.wanted.iter().filter(|id| !self.details.contains_key(id)) {
            out.ask_once(Question::ServiceDetail(*id));
        }
        self.measure(env, out);
        if self.ports.is_none() {
            out.ask_once(Question::Ports);
        }
    }

    fn want_again(&self, out: &mut Outbox) {
        for id in &self.wanted {
            out.ask(Question::ServiceDetail(*id));
        }
        if !self.measured.is_empty() {
            out.ask(Question::ServiceFigures(self.measured.clone()));
        }
        out.ask(Question::Ports);
    }

    fn columns(&self, env: &Env, split: &Split) -> Vec<Column<ServiceLine>> {
        columns::columns(self.base.list.table.rows(), env, split)
    }

    fn name(line: &ServiceLine) -> String {
        words::name(line)
    }

    fn title(&self, line: &ServiceLine, env: &Env) -> (String, String, Ink) {
        let mut title = format!("S-{} {} · {}", line.number, line.name, line.scope);
        if !self.has_tab_row(env) && self.base.tab != LOG {
            title.push_str(&format!(" · {}", Self::TABS[self.base.tab]));
        }
        let ink = if line.class == Class::Alive { Ink::Ok } else { line.class.ink() };
        (title, words::standing(line, env), ink)
    }

    fn blocks(&self, line: &ServiceLine, env: &Env) -> Vec<FactBlock> {
        match self.base.tab {
            RUNS => detail::runs(self.detail_of(line.id), env),
            _ => detail::facts(self, line, env),
        }
    }

    fn view_content(&self, line: &ServiceLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        if self.base.tab != WHY {
            return crate::pane::facts::view(canvas, content, &self.blocks(line, env), self.base.scroll);
        }
        match self.details.get(&line.id) {
            Some(Ok(Some(detail))) => {
                let lines = self.why_lines(detail, env, content);
                why::view(canvas, content, &lines, self.base.scroll);
            }
            Some(Err(words)) => canvas.trouble(content, words),
            Some(Ok(None)) => canvas.trouble(content, "there is no such service any more"),
            None => {
                let dim = canvas.ink(Ink::Dim);
                canvas.put(content.x + 1, content.y, content.width.saturating_sub(1), "reading…", dim);
            }
        }
    }

    fn clamp(&self, line: &ServiceLine, env: &Env, content: Rect) -> usize {
        if self.base.tab != WHY {
            return crate::pane::facts::clamp(self.base.scroll, &self.blocks(line, env), content);
        }
        let lines = self.detail_of(line.id).map_or(0, |d| self.why_lines(d, env, content).len());
        why::clamp(self.base.scroll, lines, content.height)
    }

    fn text(&self) -> Option<String> {
        let (now, zone) = self.seen.filter(|_| self.base.tab == WHY && !self.on_board)?;
        let detail = self.detail_of(self.listed_one()?.id)?;
        Some(why::text(&detail.why, now, zone, 100, By::Commands))
    }

    fn handles_of(&self, line: &ServiceLine) -> Handles {
        let number = words::name(line);
        Handles {
            id: Some(line.id.text()),
            kind: Some("service"),
            path: PathOf::Known(line.cwd.clone()),
            url: line.url.clone(),
            command: match self.base.tab {
                WHY => format!("wharf service why {number}"),
                LOG if self.base.list.detail => format!("wharf service logs {number}"),
                _ => format!("wharf show {number}"),
            },
            started: true,
            number,
        }
    }

    fn inner_handles(&self) -> Option<Handles> {
        let port = self.port_rows().get(self.port_at()).filter(|_| self.on_board())?;
        Some(Handles { number: port.port.to_string(), command: "wharf ports".to_owned(), ..Handles::default() })
    }

    fn facts_text(&self, line: &ServiceLine, env: &Env) -> Option<String> {
        matches!(self.base.tab, FACTS | RUNS).then(|| crate::pane::facts::text(&self.blocks(line, env)))
    }

    fn stream_owner(&self) -> Option<Owner> {
        self.listed_one().filter(|_| self.base.tab == LOG).map(|s| Owner::Service(s.id))
    }

    fn stream_focused(&self) -> bool {
        self.stream_owner().is_some() && !self.on_board()
    }

    fn pane_focused(&self) -> bool {
        self.base.list.detail && !self.on_board
    }

    fn pane_clicked(&mut self) {
        self.step_to_board(false);
    }

    fn has_tab_row(&self, env: &Env) -> bool {
        self.base.list.layout(env).pane.height >= TABS_FROM
    }

    fn detail_place(&self) -> Option<Place> {
        self.on_board().then_some(Place::Ports)
    }

    fn moved(&mut self, motion: Motion) -> bool {
        if !self.on_board() {
            return false;
        }
        let last = self.port_rows().len().saturating_sub(1) as i64;
        let at = self.port_at() as i64;
        let to = match motion {
            Motion::Rows(n) => at.saturating_add(n),
            Motion::HalfPages(n) => at.saturating_add(n * 5),
            Motion::Pages(n) => at.saturating_add(n * 10),
            Motion::First => 0,
            Motion::Last => last,
            Motion::Sideways(_) => at,
        };
        self.port_at = to.clamp(0, last) as usize;
        true
    }

    fn focused(&mut self, to: FocusMove) -> bool {
        let board = !self.port_rows().is_empty() && !self.base.list.table.rows().is_empty();
        let (detail, on_board) = (self.base.list.detail, self.on_board());
        // In reading order: list, board, detail.
        let (detail, on_board) = match (to, detail, on_board) {
            (FocusMove::Next, false, _) | (FocusMove::Previous, true, false) if board => (true, true),
            (FocusMove::Next, true, true)
            | (FocusMove::Next | FocusMove::Previous, false, _)
            | (FocusMove::Detail, ..) => (true, false),
            (FocusMove::Next | FocusMove::Previous, true, _) | (FocusMove::List, ..) => (false, false),
        };
        self.step_to_board(on_board);
        self.base.list.focus(if detail { FocusMove::Detail } else { FocusMove::List });
        true
    }

    fn view_beside(&self, env: &Env, canvas: &mut Canvas<'_>) {
        board::view(self, env, canvas);
    }

    fn clicked_beside(&mut self, x: u16, y: u16, wheel: i64, env: &Env) -> bool {
        let area = self.base.list.second(env);
        if !area.contains((x, y).into()) || self.port_rows().is_empty() {
            return false;
        }
        let rows = self.port_rows().len();
        let height = usize::from(area.height.saturating_sub(2));
        let first = board::window(self.port_at(), rows, height);
        if wheel != 0 {
            self.port_at = (self.port_at() as i64 + wheel).clamp(0, rows as i64 - 1) as usize;
            return true;
        }
        self.base.list.detail = true;
        self.step_to_board(true);
        if y >= area.y + 2 {
            self.port_at = (first + usize::from(y - area.y - 2)).min(rows - 1);
        }
        true
    }

    fn values(&self, field: &str) -> Vec<String> {
        let rows = self.base.list.table.rows().iter();
        match field {
            "service" => distinct(rows.map(|s| s.name.clone())),
            "run" => distinct(rows.flat_map(|s| s.users.iter().filter_map(|u| number_in(u, 'R')))),
            "workspace" => distinct(rows.filter_map(|s| number_in(&s.scope, 'W'))),
            "health" => ["healthy", "unhealthy", "unknown"].map(str::to_owned).to_vec(),
            _ => Vec::new(),
        }
    }

    fn teaching() -> &'static [Teaching] {
        &[
            ("", "No services yet.", ""),
            ("", "", ""),
            ("", "[[service]]", "                    in wharf.toml: what runs share"),
            ("", "name = \"web\"", ""),
            ("", "command = \"npm run dev\"", ""),
            ("", "port = \"auto\"", "                  wharf chooses one and tells it in PORT"),
            ("", "", ""),
            ("", "", "It starts with the first run whose agent names it: services = [\"web\"]"),
            ("", "wharf service start web", "        starts it by hand; s does it here, once it is known"),
            ("", "wharf ports", "                    says who listens on every port"),
        ]
    }

    fn belongs(&self, to: ScreenId) -> Vec<String> {
        let Some(service) = self.service() else { return Vec::new() };
        match to {
            ScreenId::Ledger => service.users.iter().filter_map(|u| number_in(u, 'R')).collect(),
            ScreenId::Services => service.waits_for.iter().filter_map(|s| number_in(s, 'S')).collect(),
            ScreenId::Workspaces => number_in(&service.scope, 'W').into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn shell(&self) -> Option<Owner> {
        self.service().map(|s| Owner::Service(s.id))
    }
}

impl Services {
    fn why_lines(&self, detail: &ServiceDetail, env: &Env, content: Rect) -> Vec<why::Line> {
        why::lines(&detail.why, env.now, env.zone, usize::from(content.width.saturating_sub(2)), By::Keys)
    }

    /// File and line at which the selected service is configured.
    pub fn written(&self) -> Option<(String, u64)> {
        self.service().and_then(|s| self.detail_of(s.id)).and_then(|d| d.written.clone())
    }

    /// Whether the selected service runs as it should, so that there is nothing to mend in its config.
    pub fn is_well(&self) -> bool {
        self.service().is_some_and(|s| matches!(s.case, Case::Healthy | Case::Unjudged))
    }
}

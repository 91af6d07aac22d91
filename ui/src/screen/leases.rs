//! Screen 2: who holds which environment, since when, and what letting go would do.

use ratatui::layout::Rect;
use wharf_model::{LeaseId, UnixMillis};

use super::browse::{Base, Browse, Teaching, distinct, number_in};
use super::{Handles, ScreenId};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{Owner, Question};
use crate::env::{Env, Outbox};
use crate::format::{self, Zone};
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::table::{Cell, Column, Row, longest};
use crate::rows::*;
use crate::theme::Ink;

impl Row for LeaseLine {
    fn number(&self) -> i64 {
        self.number
    }
    fn is_live(&self) -> bool {
        self.live
    }
    fn rank(&self) -> i64 {
        i64::from(self.rank)
    }
}

mod detail;

/// Every fact.
pub const FACTS: usize = 0;
/// Its entries in the audit trail.
pub const HISTORY: usize = 1;
/// How its workspace was realised.
pub const REALISATION: usize = 2;
/// Tries to give it back.
pub const CLEANUP: usize = 3;

/// The screen.
#[derive(Debug, Clone)]
pub struct Leases {
    base: Base<LeaseLine>,
    /// What is known of `of` beside its line, once known.
    detail: Option<Result<Box<LeaseDetail>, String>>,
    of: Option<LeaseId>,
}

impl Default for Leases {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Leases { filter, after, limit };
        Self { base: Base::new("Leases", false, ask).ended("RELEASED AND ENDED"), detail: None, of: None }
    }
}

impl Leases {
    /// The lease under the cursor.
    pub fn lease(&self) -> Option<&LeaseLine> {
        self.base.list.table.selected()
    }

    /// What is known of the lease under the cursor beside its line.
    fn detail(&self) -> Option<&LeaseDetail> {
        match &self.detail {
            Some(Ok(detail)) if self.lease().map(|l| l.id) == self.of => Some(detail),
            _ => None,
        }
    }
}

/// `12:04:30` today, `Nov 19` this year, `2025-11` before: eight cells.
fn day_or_clock(at: UnixMillis, now: UnixMillis, zone: Zone) -> String {
    let words = format::moment(at, now, zone);
    if crate::text::width(&words) <= 9 {
        return words;
    }
    match words.rsplit_once(' ') {
        Some((day, _)) => day.to_owned(),
        None => words.chars().take(7).collect(),
    }
}

/// Time until a lease expires: `1m12`, `overdue`, `–`.
fn expires(lease: &LeaseLine, now: UnixMillis) -> String {
    match lease.expires_at {
        Some(at) if lease.live && at.until(now) > 0 => "overdue".to_owned(),
        Some(at) if lease.live => format::left(now.until(at)),
        _ => "–".to_owned(),
    }
}

fn cleanup(lease: &LeaseLine, now: UnixMillis) -> String {
    if let Some(waits) = lease.waits.as_ref().filter(|_| lease.live) {
        return waits.clone();
    }
    match (&lease.cleanup, lease.next_try_at) {
        (Some(words), Some(at)) if lease.live => format!("{words} in {}", format::duration(now.until(at))),
        (Some(words), _) => words.clone(),
        (None, _) => "–".to_owned(),
    }
}

fn state_ink(state: Option<&str>) -> Ink {
    match state {
        Some("live") => Ink::Ok,
        Some("unknown") => Ink::Warn,
        _ => Ink::Dim,
    }
}

fn name(lease: &LeaseLine) -> String {
    format!("L-{}", lease.number)
}

fn ink(lease: &LeaseLine) -> Ink {
    if lease.live { Ink::Text } else { Ink::Dim }
}

impl Browse for Leases {
    type Line = LeaseLine;
    const ID: ScreenId = ScreenId::Leases;
    const LIST: &'static [Place] = &[Place::LeasesList, Place::List, Place::Leases];
    const OWN: Place = Place::Leases;
    const TABS: &'static [&'static str] = &["Facts", "History", "Realisation", "Cleanup log"];

    fn base(&self) -> &Base<LeaseLine> {
        &self.base
    }

    fn base_mut(&mut self) -> &mut Base<LeaseLine> {
        &mut self.base
    }

    fn page(answer: &Answer) -> Option<&Page<LeaseLine>> {
        if let Answer::Leases(page) = answer { Some(page) } else { None }
    }

    fn columns(&self, env: &Env, split: &Split) -> Vec<Column<LeaseLine>> {
        let wide = env.size.0 >= 130;
        let lease = longest(self.base.list.table.rows(), if wide { 6 } else { 5 }, name);
        let status = longest(self.base.list.table.rows(), 10, |l| format!("● {}", l.word));
        let mut columns = vec![
            Column::new("LEASE", lease, lease, 0, |l: &LeaseLine, _| Cell::Words(name(l), Ink::Text)),
            Column::status(split.words, status, |l, env| Cell::state(l.class, &l.word, l.live, env)),
            Column::new("ENV", if wide { 6 } else { 5 }, 4, 8, |l, _| Cell::Words(l.environment.clone(), ink(l))),
        ];
        if wide {
            columns.push(Column::new("DRIVER", 6, 0, 1, |l, _| Cell::Words(l.driver.clone(), Ink::Dim)));
            columns.push(Column::new("POLICY", 20, 0, 3, |l, _| Cell::Words(l.policy.clone(), Ink::Dim)));
        }
        columns.push(Column::new("HOLDER", if wide { 22 } else { 21 }, 6, 5, |l, _| {
            Cell::Words(l.holder.clone().unwrap_or_else(|| "–".to_owned()), ink(l))
        }));
        columns.push(Column::new(if wide { "HOLDER IS" } else { "IS" }, if wide { 9 } else { 7 }, 0, 7, |l, _| {
            Cell::Words(l.holder_state.clone().unwrap_or_default(), state_ink(l.holder_state.as_deref()))
        }));
        if wide {
            columns.push(Column::new("ACQUIRED", 8, 0, 2, |l, env| {
                let at = l.acquired_at.map_or_else(|| "–".to_owned(), |at| day_or_clock(at, env.now, env.zone));
                Cell::Words(at, Ink::Dim)
            }));
        }
        columns.push(Column::figures("USED", 5, 6, |l, env| {
            Cell::known(l.used_at.map(|at| format::duration(at.until(env.now))), Ink::Dim)
        }));
        columns.push(Column::figures(
            if wide { "EXPIRES IN" } else { "EXPIRES" },
            if wide { 10 } else { 8 },
            7,
            |l, env| {
                let words = expires(l, env.now);
                let ink = if words == "overdue" { Ink::Warn } else { Ink::Dim };
                Cell::Right(words, ink)
            },
        ));
        if env.size.0 >= 100 {
            let cleanup = |l: &LeaseLine, env: &Env| Cell::Words(cleanup(l, env.now), ink(l));
            columns.push(Column::new("CLEAN-UP", 20, 0, 4, cleanup).grows());
        }
        columns
    }

    fn name(line: &LeaseLine) -> String {
        name(line)
    }

    fn title(&self, line: &LeaseLine, _env: &Env) -> (String, String, Ink) {
        let mut title = format!("L-{} · {}", line.number, line.environment);
        if let Some(holder) = &line.holder {
            let verb = if line.live { "held by" } else { "was held by" };
            title.push_str(&format!(" · {verb} {}", holder.split(' ').next().unwrap_or(holder)));
        }
        let state = line.holder_state.clone().unwrap_or_default();
        (title, state, state_ink(line.holder_state.as_deref()))
    }

    fn handles_of(&self, line: &LeaseLine) -> Handles {
        let number = format!("L-{}", line.number);
        Handles {
            id: Some(line.id.text()),
            kind: Some("lease"),
            command: format!("wharf show {number}"),
            number,
            ..Handles::default()
        }
    }

    fn blocks(&self, line: &LeaseLine, env: &Env) -> Vec<FactBlock> {
        detail::blocks(self, line, env)
    }

    fn want(&mut self, _env: &Env, out: &mut Outbox) {
        let id = self.lease().map(|l| l.id);
        if self.of != id {
            (self.of, self.detail) = (id, None);
        }
        if let (Some(id), None) = (id, &self.detail) {
            out.ask_once(Question::LeaseDetail(id));
        }
    }

    fn want_again(&self, out: &mut Outbox) {
        if let Some(id) = self.of {
            out.ask(Question::LeaseDetail(id));
        }
    }

    fn take(&mut self, question: &Question, answer: &Result<Answer, String>) {
        if let (Question::LeaseDetail(id), Some(of)) = (question, self.of)
            && *id == of
        {
            self.detail = match answer {
                Ok(Answer::LeaseDetail(detail)) => Some(Ok(detail.clone().unwrap_or_default())),
                Ok(_) => return,
                Err(words) => Some(Err(words.clone())),
            };
        }
    }

    fn view_content(&self, line: &LeaseLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        detail::view(self, line, env, canvas, content);
    }

    fn values(&self, field: &str) -> Vec<String> {
        let rows = self.base.list.table.rows().iter();
        match field {
            "env" | "environment" => distinct(rows.map(|l| l.environment.clone())),
            "kind" => distinct(rows.map(|l| l.driver.clone())),
            "run" => distinct(rows.filter_map(|l| number_in(l.holder.as_deref()?, 'R'))),
            _ => Vec::new(),
        }
    }

    fn teaching() -> &'static [Teaching] {
        &[
            ("", "No leases yet.", ""),
            ("", "", ""),
            ("", "A run takes one when it begins and lets go when it ends;", ""),
            ("", "what it held stays listed here.", ""),
        ]
    }

    fn belongs(&self, to: ScreenId) -> Vec<String> {
        let Some(lease) = self.lease() else { return Vec::new() };
        match to {
            ScreenId::Ledger => lease.holder.iter().filter_map(|h| number_in(h, 'R')).collect(),
            ScreenId::Services if lease.services.is_empty() => {
                lease.holder.iter().filter_map(|h| number_in(h, 'R')).map(|run| format!("run:{run}")).collect()
            }
            ScreenId::Services => lease.services.iter().filter_map(|s| number_in(s, 'S')).collect(),
            ScreenId::Environments => lease.environment_number.iter().map(|n| format!("E-{n}")).collect(),
            ScreenId::Workspaces => lease.workspace.iter().filter_map(|w| number_in(w, 'W')).collect(),
            _ => Vec::new(),
        }
    }

    fn shell(&self) -> Option<Owner> {
        self.lease().filter(|l| l.live && matches!(l.word.as_str(), "active" | "retained")).map(|l| Owner::Lease(l.id))
    }
}

//! Screen 7: who did what to which entity, the newest first.

use super::browse::{Base, Browse, Teaching, distinct, fact, number_in, prose};
use super::{Motion, ScreenId};
use crate::command::Place;
use crate::effect::Question;
use crate::env::Env;
use crate::format;
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::table::{Cell, Column, Row, longest};
use crate::rows::*;
use crate::theme::Ink;

impl Row for ActivityLine {
    fn number(&self) -> i64 {
        self.number
    }
    fn is_live(&self) -> bool {
        false
    }
}

/// The screen.
#[derive(Debug, Clone)]
pub struct Activity {
    base: Base<ActivityLine>,
    /// The cursor stays on the newest entry.
    following: bool,
}

impl Default for Activity {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Activity { filter, after, limit };
        Self { base: Base::new("Activity", false, ask), following: true }
    }
}

impl Activity {
    /// The entry under the cursor.
    pub fn entry(&self) -> Option<&ActivityLine> {
        self.base.list.table.selected()
    }

    /// Follow on, off.
    pub fn toggle_follow(&mut self) {
        self.following = !self.following;
        if self.following {
            self.base.list.table.end(false);
        }
    }

    /// Stops following, with the cursor where it is.
    pub fn let_go(&mut self) {
        self.following = false;
    }

    /// Where the entity of the selected entry is shown, and what finds it there.
    pub fn target(&self) -> Option<(ScreenId, String)> {
        let entry = self.entry()?;
        for (letter, screen) in
            [('R', ScreenId::Ledger), ('L', ScreenId::Leases), ('S', ScreenId::Services), ('W', ScreenId::Workspaces)]
        {
            if let Some(name) = number_in(&entry.entity, letter) {
                return Some((screen, name));
            }
        }
        let word = entry.entity.split_whitespace().next()?;
        let field = match entry.action.split('.').next()? {
            "issue" => "issue",
            "agent" => "agent",
            _ => return None,
        };
        Some((ScreenId::Ledger, format!("{field}:{word}")))
    }
}

impl Browse for Activity {
    type Line = ActivityLine;
    const ID: ScreenId = ScreenId::Activity;
    const LIST: &'static [Place] = &[Place::List, Place::Activity];
    const OWN: Place = Place::Activity;
    const TABS: &'static [&'static str] = &[];

    fn base(&self) -> &Base<ActivityLine> {
        &self.base
    }

    fn base_mut(&mut self) -> &mut Base<ActivityLine> {
        &mut self.base
    }

    fn page(answer: &Answer) -> Option<&Page<ActivityLine>> {
        if let Answer::Activity(page) = answer { Some(page) } else { None }
    }

    fn listed(&mut self, question: &Question) {
        if self.following && matches!(question, Question::Activity { after: None, .. }) {
            self.base.list.table.end(false);
        }
    }

    fn list_moved(&mut self, _motion: Motion) {
        let first = self.base.list.table.rows().first().map(Row::number);
        self.following = self.entry().map(Row::number) == first;
    }

    fn columns(&self, env: &Env, _split: &Split) -> Vec<Column<ActivityLine>> {
        // Days need more room than clock times.
        let rows = self.base.list.table.rows();
        let today = rows.iter().all(|a| format::moment(a.at, env.now, env.zone).len() <= 9);
        // Long names of acts are shown whole where there is room, up to `environment.lease_released`.
        let action = longest(rows, 18, |a| a.action.clone());
        let what = if env.size.0 >= 130 { action.min(26) } else { 18 };
        // Numbers are never cut; a kind that has none may be.
        let numbered = rows.iter().filter(|a| a.entity.contains('-'));
        let entity = longest(numbered, 7, |a: &ActivityLine| a.entity.clone());
        vec![
            Column::new("TIME", if today { 8 } else { 12 }, 8, 0, |a: &ActivityLine, env| {
                Cell::Words(format::moment(a.at, env.now, env.zone), Ink::Dim)
            }),
            Column::new("WHO", 12, 6, 2, |a, _| Cell::Words(a.who.clone(), Ink::Text)),
            Column::new("WHAT", what, 10, 3, |a, _| Cell::Words(a.action.clone(), Ink::Text)),
            Column::new("ENTITY", entity, entity, 0, |a, _| Cell::Words(a.entity.clone(), Ink::Text)),
            Column::new("DETAILS", 20, 0, 1, |a: &ActivityLine, _| Cell::Words(a.details.clone(), Ink::Dim)).grows(),
        ]
    }

    fn name(line: &ActivityLine) -> String {
        if line.entity.is_empty() { line.action.clone() } else { line.entity.clone() }
    }

    fn title(&self, line: &ActivityLine, _env: &Env) -> (String, String, Ink) {
        let title = match line.entity.as_str() {
            "" => line.action.clone(),
            entity => format!("{} · {entity}", line.action),
        };
        if self.following { (title, "following".into(), Ink::Ok) } else { (title, "f follows".into(), Ink::Dim) }
    }

    fn blocks(&self, line: &ActivityLine, env: &Env) -> Vec<FactBlock> {
        let room = usize::from(self.base.list.layout(env).pane.width.saturating_sub(14));
        let ago = format!("{} ago", format::duration(line.at.until(env.now)));
        let mut facts = vec![
            fact("when", format::full(line.at, env.zone), ago),
            fact("who", line.who.clone(), ""),
            fact("what", line.action.clone(), ""),
        ];
        if !line.entity.is_empty() {
            facts.push(fact("entity", line.entity.clone(), ""));
        }
        facts.extend(prose("details", &line.details, room));
        vec![FactBlock { facts }]
    }

    fn values(&self, field: &str) -> Vec<String> {
        let rows = self.base.list.table.rows().iter();
        match field {
            "by" => distinct(rows.map(|a| a.who.clone())),
            "kind" => distinct(rows.map(|a| a.action.clone())),
            "run" => distinct(rows.filter_map(|a| number_in(&a.entity, 'R'))),
            "lease" => distinct(rows.filter_map(|a| number_in(&a.entity, 'L'))),
            "service" => distinct(rows.filter_map(|a| number_in(&a.entity, 'S'))),
            "workspace" => distinct(rows.filter_map(|a| number_in(&a.entity, 'W'))),
            _ => Vec::new(),
        }
    }

    fn teaching() -> &'static [Teaching] {
        &[
            ("", "Nothing has happened yet.", ""),
            ("", "", ""),
            ("", "Every act on a run, lease, service or workspace is kept here.", ""),
        ]
    }

    fn belongs(&self, to: ScreenId) -> Vec<String> {
        self.target().filter(|(screen, _)| *screen == to).map(|(_, name)| name).into_iter().collect()
    }
}

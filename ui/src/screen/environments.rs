//! Screen 4: where runs may run, how full each place is, and what was found when it was last looked at.

use ratatui::layout::Rect;
use wharf_model::EnvironmentId;

use super::browse::{Base, Browse, Teaching, distinct, number_in};
use super::{Handles, ScreenId};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::Question;
use crate::env::{Env, Outbox};
use crate::format;
use crate::glyph::Class;
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::table::{Cell, Column, Row, longest};
use crate::rows::*;
use crate::theme::Ink;

mod detail;

/// What a probe found, and every fact.
pub const FACTS: usize = 0;
/// Open leases on it.
pub const LEASES: usize = 1;
/// Its settings.
pub const CONFIG: usize = 2;
/// Earlier probes and changes.
pub const PROBES: usize = 3;

impl Row for EnvironmentLine {
    fn number(&self) -> i64 {
        self.number
    }
    fn is_live(&self) -> bool {
        self.live
    }
    fn rank(&self) -> i64 {
        self.number
    }
}

/// The screen.
#[derive(Debug, Clone)]
pub struct Environments {
    base: Base<EnvironmentLine>,
    /// What is known of `of` beside its line, once known.
    detail: Option<Result<Box<EnvironmentDetail>, String>>,
    of: Option<EnvironmentId>,
}

impl Default for Environments {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Environments { filter, after, limit };
        Self { base: Base::new("Environments", false, ask).ended("ARCHIVED"), detail: None, of: None }
    }
}

impl Environments {
    /// The environment under the cursor.
    pub fn environment(&self) -> Option<&EnvironmentLine> {
        self.base.list.table.selected()
    }

    /// What is known of it beside its line.
    pub fn detail(&self) -> Option<&EnvironmentDetail> {
        match &self.detail {
            Some(Ok(detail)) if self.environment().map(|e| e.id) == self.of => Some(detail),
            _ => None,
        }
    }
}

fn name(line: &EnvironmentLine) -> String {
    format!("E-{}", line.number)
}

fn ink(line: &EnvironmentLine) -> Ink {
    if line.live { Ink::Text } else { Ink::Dim }
}

/// `3 of 8`, `3`, with how many wait.
fn slots(line: &EnvironmentLine) -> String {
    if !line.live && line.held == 0 {
        return "–".to_owned();
    }
    let used = used(line);
    if line.waiting > 0 { format!("{used} +{}", line.waiting) } else { used }
}

fn used(line: &EnvironmentLine) -> String {
    line.slots.map_or_else(|| line.held.to_string(), |all| format!("{} of {all}", line.held))
}

/// The glyph and words of what was last found.
fn probed(line: &EnvironmentLine) -> (Class, String) {
    line.probe.as_ref().map_or((Class::Waits, "–".to_owned()), ProbeLine::summary)
}

fn summary(line: &EnvironmentLine) -> String {
    match line.probe.as_ref().and_then(ProbeLine::telling) {
        Some(check) => check.message.clone(),
        None if line.live => "nobody has looked at it yet; p probes it".to_owned(),
        None => String::new(),
    }
}

impl Browse for Environments {
    type Line = EnvironmentLine;
    const ID: ScreenId = ScreenId::Environments;
    const LIST: &'static [Place] = &[Place::EnvironmentsList, Place::List, Place::Environments];
    const OWN: Place = Place::Environments;
    const TABS: &'static [&'static str] = &["Facts", "Leases", "Config", "Probes"];

    fn base(&self) -> &Base<EnvironmentLine> {
        &self.base
    }

    fn base_mut(&mut self) -> &mut Base<EnvironmentLine> {
        &mut self.base
    }

    fn page(answer: &Answer) -> Option<&Page<EnvironmentLine>> {
        if let Answer::Environments(page) = answer { Some(page) } else { None }
    }

    fn columns(&self, env: &Env, split: &Split) -> Vec<Column<EnvironmentLine>> {
        let wide = env.size.0 >= 130;
        let rows = self.base.list.table.rows();
        let number = longest(rows, 3, name);
        let called = longest(rows, 4, |e| e.name.clone()).min(if wide { 20 } else { 10 });
        vec![
            Column::new("ENV", number, number, 0, |e: &EnvironmentLine, _| Cell::Words(name(e), Ink::Text)),
            Column::new("NAME", called, 4, 8, |e: &EnvironmentLine, _| Cell::Words(e.name.clone(), ink(e))),
            Column::new("DRIVER", 7, 0, 4, |e: &EnvironmentLine, _| Cell::Words(e.driver.to_string(), Ink::Dim)),
            Column::status(split.words, 10, |e, env| Cell::state(e.class, &e.word, e.live, env)),
            Column::new("SLOTS", longest(rows, 6, slots), 6, 7, |e: &EnvironmentLine, _| {
                let full = e.slots.is_some_and(|all| e.held >= all && e.waiting > 0);
                Cell::Right(slots(e), if full { Ink::Warn } else { ink(e) })
            }),
            Column::new("PROBE", 12, 8, 6, |e: &EnvironmentLine, env| {
                let (class, words) = probed(e);
                if e.probe.is_some() { Cell::state(class, &words, e.live, env) } else { Cell::Words(words, Ink::Dim) }
            }),
            Column::figures("WHEN", 5, 5, |e: &EnvironmentLine, env| {
                Cell::known(e.probe.as_ref().map(|p| format::duration(p.at.until(env.now))), Ink::Dim)
            }),
            Column::new("SUMMARY", 10, 0, 3, |e: &EnvironmentLine, _| Cell::Words(summary(e), Ink::Dim)).grows(),
        ]
    }

    fn name(line: &EnvironmentLine) -> String {
        name(line)
    }

    fn title(&self, line: &EnvironmentLine, env: &Env) -> (String, String, Ink) {
        let title = format!("{} {} · {}", name(line), line.name, line.driver);
        let Some(probe) = &line.probe else { return (title, "not probed".to_owned(), Ink::Dim) };
        let took = probe.took_ms.map_or_else(String::new, |ms| format!(", {}", format::fine(ms)));
        let counts: Vec<String> = [(Class::Good, "ok"), (Class::Doubtful, "warning"), (Class::Bad, "failed")]
            .into_iter()
            .filter_map(|(class, word)| Some((probe.count(class), word)).filter(|(n, _)| *n > 0))
            .map(|(n, word)| format!("{n} {word}"))
            .collect();
        let at = format::moment(probe.at, env.now, env.zone);
        (title, format!("{at}{took}, {}", counts.join(" ")), probe.summary().0.ink())
    }

    fn handles_of(&self, line: &EnvironmentLine) -> Handles {
        let number = format!("E-{}", line.number);
        Handles {
            id: Some(line.id.text()),
            kind: Some("environment"),
            command: format!("wharf show {number}"),
            number,
            ..Handles::default()
        }
    }

    fn blocks(&self, line: &EnvironmentLine, env: &Env) -> Vec<FactBlock> {
        detail::blocks(self, line, env)
    }

    fn want(&mut self, _env: &Env, out: &mut Outbox) {
        let id = self.environment().map(|e| e.id);
        if self.of != id {
            (self.of, self.detail) = (id, None);
        }
        if let (Some(id), None) = (id, &self.detail) {
            out.ask_once(Question::EnvironmentDetail(id));
        }
    }

    fn want_again(&self, out: &mut Outbox) {
        if let Some(id) = self.of {
            out.ask(Question::EnvironmentDetail(id));
        }
    }

    fn take(&mut self, question: &Question, answer: &Result<Answer, String>) {
        if let (Question::EnvironmentDetail(id), Some(of)) = (question, self.of)
            && *id == of
        {
            self.detail = match answer {
                Ok(Answer::EnvironmentDetail(detail)) => Some(Ok(detail.clone().unwrap_or_default())),
                Ok(_) => return,
                Err(words) => Some(Err(words.clone())),
            };
        }
    }

    fn view_content(&self, line: &EnvironmentLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        detail::view(self, line, env, canvas, content);
    }

    fn values(&self, field: &str) -> Vec<String> {
        let rows = self.base.list.table.rows().iter();
        match field {
            "env" | "environment" => distinct(rows.map(|e| e.name.clone())),
            "kind" => distinct(rows.map(|e| e.driver.to_string())),
            _ => Vec::new(),
        }
    }

    fn unselected() -> (&'static str, &'static [&'static str]) {
        ("No environment", &[])
    }

    fn teaching() -> &'static [Teaching] {
        &[
            ("", "No environments yet.", ""),
            ("", "", ""),
            ("", "Every company has Local, this machine; its first run makes it.", ""),
            ("", "Others are written in wharf.toml as [[environment]],", ""),
            ("n", "or added by hand.", ""),
        ]
    }

    fn belongs(&self, to: ScreenId) -> Vec<String> {
        match to {
            ScreenId::Leases => {
                let leases = self.detail().into_iter().flat_map(|d| &d.leases).flat_map(|b| &b.facts);
                leases.filter_map(|f| number_in(&f.label, 'L')).collect()
            }
            _ => Vec::new(),
        }
    }
}

//! Screen 3: what runs beside the runs, how well it is, who uses it and when it stops.

use super::ScreenId;
use super::browse::{Base, Browse, Teaching, distinct, fact, merged, number_in, prose, state_fact};
use crate::command::Place;
use crate::effect::{Owner, Question};
use crate::env::Env;
use crate::format;
use crate::glyph::Class;
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::table::{Cell, Column, Row, longest};
use crate::rows::*;
use crate::theme::Ink;

/// What it printed.
pub const LOG: usize = 0;
/// Every fact.
pub const FACTS: usize = 1;
/// Why it is not well.
pub const WHY: usize = 2;

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
}

impl Default for Services {
    fn default() -> Self {
        let ask = |filter, after, limit| Question::Services { filter, after, limit };
        Self { base: Base::new("Services", false, ask).ended("STOPPED AND FAILED") }
    }
}

impl Services {
    /// The service under the cursor.
    pub fn service(&self) -> Option<&ServiceLine> {
        self.base.list.table.selected()
    }
}

fn name(service: &ServiceLine) -> String {
    format!("S-{}", service.number)
}

fn ink(service: &ServiceLine) -> Ink {
    if service.live { Ink::Text } else { Ink::Dim }
}

/// Glyph for the health, which has its own words.
fn health_class(service: &ServiceLine) -> Class {
    match (service.class, service.health.as_str()) {
        (_, "healthy") => Class::Good,
        (_, "unknown") | (Class::Unknown, _) => Class::Unknown,
        (Class::Bad, _) => Class::Bad,
        (Class::Doubtful | Class::NeedsPerson, _) => Class::Doubtful,
        _ => Class::Waits,
    }
}

/// When it stops by itself, counted down while the clock runs.
fn stops(service: &ServiceLine, env: &Env) -> (String, bool) {
    match service.stops_at {
        Some(at) if service.live => (format!("in {}", format::left(env.now.until(at))), true),
        _ => (service.stop_policy.clone(), false),
    }
}

/// Restarts so far, of those allowed when that is known.
fn restarts(service: &ServiceLine, between: &str) -> String {
    match service.restarts {
        (0, _) => "0".to_owned(),
        (so_far, 0) => so_far.to_string(),
        (so_far, allowed) => format!("{so_far}{between}{allowed}"),
    }
}

fn used_up(service: &ServiceLine) -> bool {
    let (so_far, allowed) = service.restarts;
    allowed > 0 && so_far >= allowed
}

/// Health in words; nothing for one that does not run and was not judged.
fn health(service: &ServiceLine) -> &str {
    match service.health.as_str() {
        "unknown" if !service.live => "",
        words => words,
    }
}

fn used_by(service: &ServiceLine) -> String {
    format::plural(service.users.len() as u64, "run")
}

impl Browse for Services {
    type Line = ServiceLine;
    const ID: ScreenId = ScreenId::Services;
    const LIST: &'static [Place] = &[Place::ServicesList, Place::List, Place::Services];
    const OWN: Place = Place::Services;
    const TABS: &'static [&'static str] = &["Log", "Facts", "Why"];

    fn base(&self) -> &Base<ServiceLine> {
        &self.base
    }

    fn base_mut(&mut self) -> &mut Base<ServiceLine> {
        &mut self.base
    }

    fn page(answer: &Answer) -> Option<&Page<ServiceLine>> {
        if let Answer::Services(page) = answer { Some(page) } else { None }
    }

    fn columns(&self, env: &Env, split: &Split) -> Vec<Column<ServiceLine>> {
        let wide = env.size.0 >= 130;
        let service = longest(self.base.list.table.rows(), if wide { 5 } else { 4 }, name);
        let mut columns = vec![
            Column::new("SVC", service, service, 0, |s: &ServiceLine, _| Cell::Words(name(s), Ink::Text)),
            Column {
                grows: !wide,
                ..Column::new("NAME", 12, 8, 10, |s: &ServiceLine, _| Cell::Words(s.name.clone(), ink(s)))
            },
        ];
        if wide {
            columns.push(Column::new("SCOPE", 10, 0, 3, |s, _| Cell::Words(s.scope.clone(), Ink::Dim)));
        }
        columns.push(Column::status(split.words, 10, |s, env| Cell::state(s.class, &s.word, s.live, env)));
        columns.push(Column::new("HEALTH", 10, 0, 9, |s, _| {
            if health(s).is_empty() {
                return Cell::Words("–".to_owned(), Ink::Dim);
            }
            Cell::State(health_class(s), health(s).to_owned(), s.live)
        }));
        columns.push(Column::figures("PORT", 5, 8, |s, _| Cell::known(s.port.map(|p| p.to_string()), ink(s))));
        if wide {
            let url =
                |s: &ServiceLine, _: &Env| Cell::Middle(s.url.clone().unwrap_or_else(|| "–".to_owned()), Ink::Dim);
            columns.push(Column::new("URL", 22, 0, 1, url).grows());
            columns.push(Column::figures("PID", 7, 2, |s, _| Cell::known(s.pid.map(|p| p.to_string()), Ink::Dim)));
        }
        columns.push(Column::figures("UP", 5, 7, |s, env| {
            let up = s.started_at.filter(|_| s.live).map(|at| format::duration(at.until(env.now)));
            Cell::known(up, Ink::Dim)
        }));
        columns.push(Column::figures("USED BY", 7, 6, |s, _| Cell::Right(used_by(s), ink(s))));
        if wide {
            columns.push(Column::new("STOPS", 13, 0, 4, |s, env| {
                let (words, counts) = stops(s, env);
                Cell::Words(words, if counts { Ink::Info } else { Ink::Dim })
            }));
        }
        columns.push(Column::figures(if wide { "RESTARTS" } else { "RST" }, if wide { 8 } else { 5 }, 5, |s, env| {
            let words = restarts(s, if env.size.0 >= 130 { " of " } else { "/" });
            let ink = match s.restarts.0 {
                0 => Ink::Dim,
                _ if used_up(s) => Ink::Bad,
                _ => Ink::Warn,
            };
            Cell::Right(words, ink)
        }));
        columns
    }

    fn name(line: &ServiceLine) -> String {
        name(line)
    }

    fn title(&self, line: &ServiceLine, env: &Env) -> (String, String, Ink) {
        let title = format!("S-{} {} · {}", line.number, line.name, line.scope);
        let (words, counts) = stops(line, env);
        let state = match (line.live, line.started_at) {
            (true, _) if counts => format!("stops {words}"),
            (true, Some(at)) => format!("{} {}", line.word, format::duration(at.until(env.now))),
            _ => line.word.clone(),
        };
        (title, state, if line.class == Class::Alive { Ink::Ok } else { line.class.ink() })
    }

    fn blocks(&self, line: &ServiceLine, env: &Env) -> Vec<FactBlock> {
        if self.base.tab == WHY {
            return why(line, usize::from(self.base.list.layout(env).pane.width.saturating_sub(14)));
        }
        let mut first = vec![
            fact("SERVICE", name(line), ""),
            state_fact(line.class, &line.word, ""),
            fact("wanted", line.desired.clone(), ""),
            fact("health", if health(line).is_empty() { "–" } else { health(line) }, ""),
            fact("scope", line.scope.clone(), ""),
        ];
        if let Some(pid) = line.pid {
            first.push(fact("process", format!("pid {pid}"), ""));
        }
        if let Some(at) = line.started_at {
            let since = if line.live { format!("up {}", format::duration(at.until(env.now))) } else { String::new() };
            first.push(fact("started", format::full(at, env.zone), since));
        }
        if let Some(port) = line.port {
            first.push(fact("port", port.to_string(), line.url.clone().unwrap_or_default()));
        }
        if let Some(stranger) = &line.stranger {
            first.push(Fact { bad: true, ..fact("held by", stranger.clone(), "not ours, it is left alone") });
        }
        first.push(fact("restarts", restarts(line, " of "), ""));
        let users = if line.users.is_empty() { "no run".to_owned() } else { line.users.join(", ") };
        let (words, counts) = stops(line, env);
        let policy = if counts { format!("{}: stops {words}", line.stop_policy) } else { line.stop_policy.clone() };
        let use_block = vec![fact("USED BY", users, ""), fact("stops", policy, "")];
        let blocks = vec![FactBlock { facts: first }, FactBlock { facts: use_block }];
        merged(blocks, &line.facts)
    }

    fn stream_owner(&self) -> Option<Owner> {
        self.service().filter(|_| self.base.tab == LOG).map(|s| Owner::Service(s.id))
    }

    fn values(&self, field: &str) -> Vec<String> {
        let rows = self.base.list.table.rows().iter();
        match field {
            "service" => distinct(rows.map(|s| s.name.clone())),
            "run" => distinct(rows.flat_map(|s| s.users.iter().filter_map(|u| number_in(u, 'R')))),
            _ => Vec::new(),
        }
    }

    fn teaching() -> &'static [Teaching] {
        &[
            ("", "No services yet.", ""),
            ("", "", ""),
            ("", "[[service]] name = \"web\"     ", "in wharf.toml: its command and port"),
            ("", "", "It starts with the first run that wants it, and by hand with s."),
        ]
    }

    fn belongs(&self, to: ScreenId) -> Vec<String> {
        let Some(service) = self.service() else { return Vec::new() };
        match to {
            ScreenId::Ledger => service.users.iter().filter_map(|u| number_in(u, 'R')).collect(),
            ScreenId::Workspaces => number_in(&service.scope, 'W').into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn shell(&self) -> Option<Owner> {
        self.service().map(|s| Owner::Service(s.id))
    }
}

/// What is known about a service that is not well.
fn why(line: &ServiceLine, room: usize) -> Vec<FactBlock> {
    let name = format!("S-{} {}", line.number, line.name);
    let mut blocks = Vec::new();
    match &line.why {
        Some(words) => blocks.push(FactBlock { facts: prose("REASON", words, room) }),
        None if line.live && line.health == "healthy" => {
            blocks.push(FactBlock { facts: prose("", &format!("{name} is healthy."), room) });
        }
        None => blocks
            .push(FactBlock { facts: prose("", &format!("{name} is {}; nothing is wrong with it.", line.word), room) }),
    }
    if let Some(stranger) = &line.stranger {
        let port = line.port.map_or_else(String::new, |p| format!("port {p} "));
        let words = format!("{port}is held by {stranger}, which is not ours. It is never stopped from here.");
        blocks.push(FactBlock { facts: prose("PORT", &words, room) });
    }
    if line.restarts.0 > 0 {
        let mut words = restarts(line, " of ");
        if used_up(line) {
            words.push_str(", used up; R restarts it and gives it new ones");
        }
        blocks.push(FactBlock { facts: prose("RESTARTS", &words, room) });
    }
    blocks
}

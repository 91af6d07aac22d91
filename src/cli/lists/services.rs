//! `wharf services`.

use std::collections::BTreeMap;
use std::time::Duration;

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;
use wharf_ui::format;
use wharf_ui::glyph::Class;

use super::{duration, listed, number, some};
use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs};
use crate::cli::table::{Cell, Table};
use crate::clock;
use crate::console::{health_words, service_restarts, wants_past_services};
use crate::process::usage::Usage;
use crate::service::figures::{self, Start};

/// Time over which processor time is measured: the kernel counts it by hundredths of a second.
const MEASURED: Duration = Duration::from_millis(250);

/// What the list can be asked for.
pub const SERVICES: Knows = Knows {
    rows: "services",
    statuses: &[
        Status::Live,
        Status::Ended,
        Status::Starting,
        Status::Running,
        Status::Unhealthy,
        Status::Idle,
        Status::Stopping,
        Status::Backoff,
        Status::Stopped,
        Status::Failed,
    ],
    fields: &[Field::Run, Field::Agent, Field::Workspace, Field::Service, Field::Health, Field::Error],
    figures: false,
};

impl Row for ServiceItem {
    fn is(&self, status: Status) -> bool {
        let is = self.service.status;
        match status {
            Status::Live => is.is_open(),
            Status::Ended => !is.is_open(),
            Status::Starting => is == ServiceStatus::Starting,
            Status::Running => is == ServiceStatus::Running,
            Status::Unhealthy => self.service.health == Health::Unhealthy,
            Status::Stopping => is == ServiceStatus::Stopping,
            Status::Backoff => is == ServiceStatus::Backoff,
            Status::Stopped => is == ServiceStatus::Stopped,
            Status::Failed => is == ServiceStatus::Failed,
            Status::Idle => self.service.idle_deadline_at.is_some(),
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Run => {
                let users = self.users.iter().map(|u| u.run_number);
                users.chain(self.run.map(|(number, _)| number)).map(|n| Kind::Run.number(n)).collect()
            }
            Field::Agent => self.users.iter().filter_map(|u| u.agent.clone()).collect(),
            Field::Workspace => number(Kind::Workspace, self.workspace_number),
            Field::Service => vec![Kind::Service.number(self.service.number), self.service.name.clone()],
            Field::Error => some(self.service.error_code.as_ref()),
            Field::Health => vec![self.service.health.to_string()],
            Field::Issue | Field::Environment | Field::Lease | Field::By | Field::Kind => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.service.started_at.unwrap_or(self.service.created_at)
    }
    fn words(&self) -> Vec<String> {
        let s = &self.service;
        let more = [Some(s.command.clone()), s.url.clone(), s.error.clone(), Some(self.project.clone())];
        self.field(Field::Service).into_iter().chain(more.into_iter().flatten()).collect()
    }
}

/// How a service stops when nobody uses it, counted down once it does.
fn stops(service: &ServiceRow, now: UnixMillis) -> String {
    if let Some(at) = service.idle_deadline_at.filter(|_| service.status.is_live()) {
        return format!("in {}", format::left(now.until(at)));
    }
    match rules::service_desired::after_last(service) {
        rules::release::AfterLastUser::Stop => "with the run".to_owned(),
        rules::release::AfterLastUser::Idle(ms) => format!("idle {}", format::duration(ms)),
        rules::release::AfterLastUser::Keep => "by hand".to_owned(),
    }
}

/// Health with its glyph, or how its process ended, in the words of the screen.
fn health(s: &ServiceRow) -> String {
    let glyph = match (s.status, s.health) {
        (ServiceStatus::Stopping | ServiceStatus::Stopped, _) => return "–".to_owned(),
        (ServiceStatus::Starting, _) => Class::Waits,
        (ServiceStatus::Running, Health::Healthy) => Class::Good,
        (ServiceStatus::Running, Health::Unhealthy) => Class::Doubtful,
        (ServiceStatus::Running, Health::Unknown) => Class::Unknown,
        (ServiceStatus::Failed | ServiceStatus::Backoff, _) => Class::Bad,
    };
    format!("{} {}", glyph.glyph(), health_words(s))
}

/// Restarts that count, of those allowed.
fn restarts(service: &ServiceRow) -> String {
    match service_restarts(service) {
        (0, _) => "0".to_owned(),
        (so_far, 0) => so_far.to_string(),
        (so_far, allowed) => format!("{so_far} of {allowed}"),
    }
}

/// What the processes of these take.
pub fn measure(context: &Context, rows: &[ServiceItem]) -> BTreeMap<ServiceId, Usage> {
    let starts: Vec<Start> =
        rows.iter().map(|r| &r.service).filter(|s| s.status.is_open()).map(|s| (s.id, s.generation)).collect();
    figures::measure(&context.data, &starts, MEASURED)
}

/// Lists services, newest first; then says who else holds a port that one of them wants. Those of runs that have
/// ended are shown when all are, or a filter asks for such.
pub fn services(context: &Context, args: &ListArgs, all: bool) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &SERVICES)?;
    let past = all || wants_past_services(ready.filter());
    let hidden_by = match (past, args.filter.is_empty()) {
        (true, _) => "the filter",
        (false, true) => "their run having ended (--all shows them)",
        (false, false) => "the filter or their run having ended (--all shows those)",
    };
    let query = ServiceQuery::default();
    let passes = |row: &ServiceItem| (past || !row.is_over()) && ready.passes(row);
    let listed = listed(context, args, |reader, at, n| reader.services(&query, at, n), passes)?;
    let usages = measure(context, &listed.rows);
    let now = clock::now();
    let doc = |row: &ServiceItem| ServiceDoc::measured(row, usages.get(&row.service.id), now);
    let code = list::print(context, args, "services", hidden_by, &listed, doc, |rows| {
        let mut table = Table::new(&[
            "SVC", "NAME", "SCOPE", "STATUS", "HEALTH", "PORT", "URL", "CPU", "MEM", "UP", "USED BY", "STOPS",
            "RESTARTS",
        ]);
        for row in rows {
            let s = &row.service;
            let (class, word) = service_state(s);
            let mark = rules::service_off::mark(s).map(|mark| format!("{word}, {mark}"));
            let live = s.status.is_live();
            let usage = usages.get(&s.id);
            table.row(vec![
                Cell::text(Kind::Service.number(s.number)),
                Cell::text(s.name.clone()),
                Cell::text(row.scope_words()),
                Cell::state(class, mark.as_deref().unwrap_or(word)),
                Cell::text(health(s)),
                Cell::figure(s.port.filter(|_| live).map(|p| p.to_string())),
                Cell::maybe(s.url.clone().filter(|_| live)),
                Cell::figure(usage.and_then(|u| u.cpu_permille).map(|milli| format::cores(u64::from(milli)))),
                Cell::figure(usage.map(|u| format::size(u.memory_bytes))),
                duration(s.started_at.filter(|_| live).map(|at| at.until(now))),
                Cell::figure(Some(format::plural(row.users.len() as u64, "run"))),
                Cell::text(stops(s, now)),
                Cell::figure(Some(restarts(s))),
            ]);
        }
        table
    })?;
    if !context.global.json && !listed.rows.is_empty() {
        strangers(context, &listed.rows)?;
        if listed.rows.iter().any(|row| row.service.status.is_open()) {
            nobody_looks(context)?;
        }
    }
    Ok(code)
}

/// Says that nobody orchestrates, where nobody does, and how old what is shown then is.
pub(in crate::cli) fn nobody_looks(context: &Context) -> Result<()> {
    let Some(reader) = context.reader()? else { return Ok(()) };
    let Some(at) = crate::why::unwatched_since(&reader, &context.data)? else { return Ok(()) };
    let at = format::moment(at, clock::now(), context.zone());
    context.remark(&format!(
        "nobody orchestrates, and the last that was seen was {at}: what is shown may have changed; wharf serve looks again"
    ));
    Ok(())
}

/// Who else holds a port that one of these wants.
fn strangers(context: &Context, rows: &[ServiceItem]) -> Result<()> {
    for port in super::ports::look(context)? {
        let shown = rows.iter().any(|row| port.numbers.contains(&row.service.number));
        if let Some(words) = port.stranger().filter(|_| shown) {
            context.remark(&words);
        }
    }
    Ok(())
}

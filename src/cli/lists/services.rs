//! `wharf services`.

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;
use wharf_ui::format;

use super::{duration, listed, number, some};
use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs};
use crate::cli::table::{Cell, Table};
use crate::clock;

/// What the list can be asked for.
pub const SERVICES: Knows = Knows {
    rows: "services",
    statuses: &[
        Status::Live,
        Status::Ended,
        Status::Starting,
        Status::Running,
        Status::Unhealthy,
        Status::Stopping,
        Status::Backoff,
        Status::Stopped,
        Status::Failed,
    ],
    fields: &[Field::Run, Field::Agent, Field::Workspace, Field::Service, Field::Error],
    figures: false,
};

impl Row for ServiceItem {
    fn is(&self, status: Status) -> bool {
        let is = self.service.status;
        match status {
            Status::Live => is.is_live(),
            Status::Ended => !is.is_live(),
            Status::Starting => is == ServiceStatus::Starting,
            Status::Running => is == ServiceStatus::Running,
            Status::Unhealthy => self.service.health == Health::Unhealthy,
            Status::Stopping => is == ServiceStatus::Stopping,
            Status::Backoff => is == ServiceStatus::Backoff,
            Status::Stopped => is == ServiceStatus::Stopped,
            Status::Failed => is == ServiceStatus::Failed,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Run => self.users.iter().map(|u| Kind::Run.number(u.run_number)).collect(),
            Field::Agent => self.users.iter().filter_map(|u| u.agent.clone()).collect(),
            Field::Workspace => number(Kind::Workspace, self.workspace_number),
            Field::Service => vec![Kind::Service.number(self.service.number), self.service.name.clone()],
            Field::Error => some(self.service.error_code.as_ref()),
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

/// How a service stops when nobody uses it.
fn stops(service: &ServiceRow) -> String {
    match rules::release::after_last_user(service.lifecycle, service.stop_policy, service.idle_ms) {
        rules::release::AfterLastUser::Stop => "with the run".to_owned(),
        rules::release::AfterLastUser::Idle(ms) => format!("idle {}", format::duration(ms)),
        rules::release::AfterLastUser::Keep => "by hand".to_owned(),
    }
}

/// Lists services, newest first.
pub fn services(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &SERVICES)?;
    let query = ServiceQuery::default();
    let listed = listed(context, args, |reader, at, n| reader.services(&query, at, n), |row| ready.passes(row))?;
    let now = clock::now();
    list::print(context, args, "services", "the filter", &listed, ServiceDoc::new, |rows| {
        let mut table = Table::new(&["SVC", "NAME", "STATUS", "HEALTH", "PORT", "URL", "UP", "USED BY", "STOPS"]);
        for row in rows {
            let s = &row.service;
            let (class, word) = service_state(s);
            let health = match s.health {
                _ if !s.status.is_live() => s.exit_code.map_or_else(|| "–".to_owned(), |c| format!("exit {c}")),
                Health::Healthy => "✓ healthy".to_owned(),
                Health::Unhealthy => "✗ unhealthy".to_owned(),
                Health::Unknown => "◌ waiting".to_owned(),
            };
            table.row(vec![
                Cell::text(Kind::Service.number(s.number)),
                Cell::text(s.name.clone()),
                Cell::state(class, word),
                Cell::text(health),
                Cell::figure(s.port.map(|p| p.to_string())),
                Cell::maybe(s.url.clone()),
                duration(s.started_at.filter(|_| s.status.is_live()).map(|at| at.until(now))),
                Cell::figure(Some(format::plural(row.users.len() as u64, "run"))),
                Cell::text(stops(s)),
            ]);
        }
        table
    })
}

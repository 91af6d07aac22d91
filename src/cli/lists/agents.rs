//! `wharf agents`.

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;

use super::{duration, number, some};
use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs, Listed, whole};
use crate::cli::table::{Cell, Table};
use crate::clock;

/// What the list can be asked for.
pub const AGENTS: Knows = Knows {
    rows: "agents",
    statuses: &[Status::Running, Status::Idle, Status::Failed],
    fields: &[Field::Agent, Field::Environment, Field::Run, Field::Kind],
    figures: false,
};

impl Row for AgentItem {
    fn is(&self, status: Status) -> bool {
        match status {
            Status::Running => self.running > 0,
            // As the table shows it: one that is in error is not idle, though it may be started.
            Status::Idle => {
                self.agent.status != AgentStatus::Error && self.running == 0 && self.agent.status.is_invokable()
            }
            Status::Failed => self.agent.status == AgentStatus::Error && self.running == 0,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Agent => vec![self.agent.name.clone()],
            Field::Environment => some(self.agent.default_environment.as_ref()),
            Field::Run => number(Kind::Run, self.last_run_number),
            Field::Kind => vec![self.agent.adapter_type.clone()],
            _ => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.agent.created_at
    }
    fn words(&self) -> Vec<String> {
        [Some(self.agent.name.clone()), self.project.clone(), self.agent.status_reason.clone()]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Lists agents by project and name.
pub fn agents(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &AGENTS)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => whole(reader.agents(None)?, args, below, |row| ready.passes(row)),
    };
    let now = clock::now();
    list::print(context, args, "agents", "the filter", &listed, AgentDoc::new, |rows| {
        let mut table = Table::new(&["AGENT", "STATUS", "PROJECT", "ADAPTER", "SLOTS", "QUEUED", "LAST RUN", "WHEN"]);
        for row in rows {
            let (class, word) = agent_state(row);
            let slots = format!("{} of {}", row.running, row.agent.concurrent_runs);
            table.row(vec![
                Cell::text(row.agent.name.clone()),
                Cell::state(class, word),
                Cell::maybe(row.project.clone()),
                Cell::text(row.agent.adapter_type.clone()),
                Cell::figure(Some(slots)),
                Cell::figure(Some(row.queued.to_string())),
                Cell::maybe(row.last_run_number.map(|n| Kind::Run.number(n))),
                duration(row.agent.last_run_at.map(|at| at.until(now))),
            ]);
        }
        table
    })
}

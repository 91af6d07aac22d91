//! `wharf leases`.

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
pub const LEASES: Knows = Knows {
    rows: "leases",
    statuses: &[
        Status::Live,
        Status::Ended,
        Status::Waiting,
        Status::Active,
        Status::Releasing,
        Status::Released,
        Status::Retained,
        Status::Cleanup,
        Status::Expired,
        Status::Failed,
    ],
    fields: &[Field::Agent, Field::Issue, Field::Environment, Field::Run, Field::Lease, Field::Workspace, Field::Kind],
    figures: false,
};

impl Row for LeaseItem {
    fn is(&self, status: Status) -> bool {
        let is = self.lease.status;
        match status {
            Status::Live => !is.is_terminal(),
            Status::Ended => is.is_terminal(),
            Status::Waiting => matches!(is, LeaseStatus::Waiting | LeaseStatus::Acquiring),
            Status::Active => is == LeaseStatus::Active,
            Status::Releasing => is == LeaseStatus::Releasing,
            Status::Released => is == LeaseStatus::Released,
            Status::Retained => is == LeaseStatus::Retained,
            Status::Cleanup => is == LeaseStatus::PendingCleanup,
            Status::Expired => is == LeaseStatus::Expired,
            Status::Failed => is == LeaseStatus::Failed,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Agent => some(self.agent.as_ref()),
            Field::Issue => some(self.issue.as_ref()),
            Field::Environment => vec![self.environment.clone()],
            Field::Run => number(Kind::Run, self.run_number),
            Field::Lease => number(Kind::Lease, Some(self.lease.number)),
            Field::Workspace => number(Kind::Workspace, self.workspace_number),
            Field::Kind => vec![self.lease.provider.clone()],
            Field::Service | Field::By | Field::Error => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.lease.created_at
    }
    fn words(&self) -> Vec<String> {
        [Field::Lease, Field::Run, Field::Agent, Field::Issue, Field::Environment, Field::Workspace]
            .into_iter()
            .flat_map(|f| self.field(f))
            .chain(self.lease.failure_reason.clone())
            .collect()
    }
}

/// Lists leases, newest first.
pub fn leases(context: &Context, args: &ListArgs, held: bool) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &LEASES)?;
    let query = LeaseQuery::default();
    let passes = |row: &LeaseItem| (!held || row.is(Status::Live)) && ready.passes(row);
    let listed = listed(context, args, |reader, at, n| reader.leases(&query, at, n), passes)?;
    let now = clock::now();
    list::print(
        context,
        args,
        "leases",
        if held && args.filter.is_empty() { "--held" } else { "the filter" },
        &listed,
        LeaseDoc::new,
        |rows| {
            let header = ["LEASE", "STATUS", "ENV", "POLICY", "HOLDER", "HOLDER IS", "USED", "EXPIRES IN"];
            let mut table = Table::new(&header);
            for row in rows {
                let (class, word) = lease_state(row);
                let l = &row.lease;
                let holder = [row.run_number.map(|n| Kind::Run.number(n)), row.agent.clone(), row.issue.clone()];
                let holder: Vec<String> = holder.into_iter().flatten().collect();
                let left = l.expires_at.filter(|_| !l.status.is_terminal()).map(|at| now.until(at));
                table.row(vec![
                    Cell::text(Kind::Lease.number(l.number)),
                    Cell::state(class, word),
                    Cell::text(row.environment.clone()),
                    Cell::text(wharf_ui::rows::policy_words(l.lease_policy)),
                    Cell::maybe((!holder.is_empty()).then(|| holder.join(" "))),
                    Cell::maybe(holder_is(row)),
                    duration(l.last_used_at.map(|at| at.until(now))),
                    Cell::figure(left.map(|ms| if ms < 0 { "overdue".to_owned() } else { format::left(ms) })),
                ]);
            }
            table
        },
    )
}

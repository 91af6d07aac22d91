//! `wharf environments`, which is `wharf env list`.

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;

use super::duration;
use crate::cli::context::Context;
use crate::cli::env::{self, EnvironmentDoc, environment_state, probe_words, summary};
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs, Listed, whole};
use crate::cli::table::{Cell, Table};
use crate::clock;

/// What the list can be asked for.
pub const ENVIRONMENTS: Knows = Knows {
    rows: "environments",
    statuses: &[Status::Active, Status::Archived, Status::Waiting, Status::Cleanup, Status::Failed],
    fields: &[Field::Environment, Field::Kind],
    figures: false,
};

impl Row for EnvironmentItem {
    fn is(&self, status: Status) -> bool {
        let e = &self.environment;
        match status {
            Status::Active => e.status == EnvironmentStatus::Active,
            Status::Archived => e.status == EnvironmentStatus::Archived,
            Status::Waiting => self.waiting > 0,
            Status::Cleanup => self.to_clean > 0,
            // Its last probe has failed.
            Status::Failed => e.probe.as_ref().is_some_and(|p| p["ok"] == false),
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        let e = &self.environment;
        match field {
            Field::Environment => vec![e.name.clone(), Kind::Environment.number(e.number)],
            Field::Kind => vec![e.driver.to_string()],
            _ => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.environment.created_at
    }
    fn words(&self) -> Vec<String> {
        let e = &self.environment;
        [Some(e.name.clone()), e.description.clone(), Some(summary(e))].into_iter().flatten().collect()
    }
}

/// Lists the environments of the current project's company, by number.
pub fn environments(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &ENVIRONMENTS)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => whole(env::all(context, &reader)?.1, args, below, |row| ready.passes(row)),
    };
    let now = clock::now();
    list::print(context, args, "environments", "the filter", &listed, EnvironmentDoc::new, |rows| {
        let mut table = Table::new(&["ENV", "NAME", "DRIVER", "STATUS", "SLOTS", "PROBE", "WHEN", "SUMMARY"]);
        for row in rows {
            let e = &row.environment;
            let (class, word) = environment_state(e);
            let slots = match e.slots {
                Some(slots) => format!("{} of {slots}", row.held),
                None => row.held.to_string(),
            };
            let probe = probe_words(e).map_or_else(|| Cell::maybe(None::<String>), |(c, w)| Cell::state(c, &w));
            let at = e.probe.as_ref().and_then(|p| p["at"].as_i64()).map(UnixMillis);
            let seen = Some(summary(e)).filter(|s| !s.is_empty());
            table.row(vec![
                Cell::text(Kind::Environment.number(e.number)),
                Cell::text(e.name.clone()),
                Cell::text(e.driver.to_string()),
                Cell::state(class, word),
                Cell::figure(Some(slots)),
                probe,
                duration(at.map(|at| at.until(now))),
                Cell::maybe(seen),
            ]);
        }
        table
    })
}

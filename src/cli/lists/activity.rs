//! `wharf activity`: the audit trail.

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;
use wharf_ui::format;

use super::listed;
use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs};
use crate::cli::table::{Cell, Table};
use crate::clock;

/// What the list can be asked for.
pub const ACTIVITY: Knows = Knows {
    rows: "activity",
    statuses: &[],
    fields: &[Field::Run, Field::Lease, Field::Workspace, Field::Service, Field::Issue, Field::By, Field::Kind],
    figures: false,
};

impl Row for ActivityRow {
    fn is(&self, _status: Status) -> bool {
        false
    }
    fn field(&self, field: Field) -> Vec<String> {
        let of = |kind: &str| self.entity_number.clone().filter(|_| self.entity_type == kind).into_iter().collect();
        match field {
            Field::Run => of("run"),
            Field::Lease => of("lease"),
            Field::Workspace => of("workspace"),
            Field::Service => of("service"),
            Field::Issue => of("issue"),
            Field::By => vec![self.actor_id.clone(), self.actor_type.to_string()],
            Field::Kind => vec![self.action.clone()],
            Field::Agent | Field::Environment | Field::Error | Field::Health => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.created_at
    }
    fn words(&self) -> Vec<String> {
        let details = self.details.as_ref().map(ToString::to_string);
        let more = [self.entity_number.clone(), details].into_iter().flatten();
        [self.action.clone(), self.actor_id.clone(), self.entity_type.clone()].into_iter().chain(more).collect()
    }
}

/// Lists the audit trail, newest first.
pub fn activity(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &ACTIVITY)?;
    let query = activity_query(&ready);
    let mut listed = listed(context, args, |reader, at, n| reader.activity(&query, at, n), |row| ready.passes(row))?;
    if query.since.is_some() || query.until.is_some() {
        // What lies outside of that time was not even read.
        listed.hidden = None;
    }
    let (now, zone) = (clock::now(), context.zone());
    list::print(context, args, "activity", "the filter", &listed, ActivityDoc::new, |rows| {
        let mut table = Table::new(&["TIME", "WHO", "WHAT", "ENTITY", "DETAILS"]);
        for row in rows {
            table.row(vec![
                Cell::text(format::moment(row.created_at, now, zone)),
                Cell::text(row.actor_id.clone()),
                Cell::text(row.action.clone()),
                Cell::text(row.entity_number.clone().unwrap_or_else(|| row.entity_type.clone())),
                Cell::text(row.details.as_ref().map_or_else(String::new, details)),
            ]);
        }
        table
    })
}

/// Times are answered from an index; the rest is judged row by row.
fn activity_query(ready: &filter::Ready) -> ActivityQuery {
    let mut query = ActivityQuery::default();
    for (test, exclude) in ready.terms() {
        match test {
            filter::Test::Since(when) if !exclude => query.since = query.since.max(Some(ready.moment(*when))),
            filter::Test::Until(when) if !exclude => {
                let until = ready.moment(*when);
                query.until = Some(query.until.map_or(until, |u| u.min(until)));
            }
            _ => {}
        }
    }
    query
}

/// Details in one line: names and values that are there.
fn details(value: &serde_json::Value) -> String {
    let serde_json::Value::Object(map) = value else { return value.to_string() };
    let shown = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| format!("{k} {}", shown(v))).collect::<Vec<_>>().join(", ")
}

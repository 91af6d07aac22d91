//! `wharf projects`.

use wharf_model::filter::{Field, Status};
use wharf_model::*;

use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs, Listed, whole};
use crate::cli::table::{Cell, Table};

/// What the list can be asked for.
pub const PROJECTS: Knows = Knows { rows: "projects", statuses: &[], fields: &[], figures: false };

impl Row for ProjectRow {
    fn is(&self, _status: Status) -> bool {
        false
    }
    fn field(&self, _field: Field) -> Vec<String> {
        Vec::new()
    }
    fn began(&self) -> UnixMillis {
        self.created_at
    }
    fn words(&self) -> Vec<String> {
        vec![self.key.clone(), self.name.clone(), self.path.clone()]
    }
}

/// Lists projects by key.
pub fn projects(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &PROJECTS)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => whole(reader.projects(None)?, args, below, |row| ready.passes(row)),
    };
    list::print(context, args, "projects", "the filter", &listed, ProjectDoc::new, |rows| {
        let mut table = Table::new(&["KEY", "NAME", "CONFIG", "ISSUES", "PATH"]);
        for row in rows {
            let (class, word) = project_state(row);
            table.row(vec![
                Cell::text(row.key.clone()),
                Cell::text(row.name.clone()),
                Cell::state(class, word),
                Cell::figure(Some(row.issue_counter.to_string())),
                Cell::text(row.path.clone()),
            ]);
        }
        table
    })
}

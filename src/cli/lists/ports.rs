//! `wharf ports`: every port that services have, had or want, and who listens there.

use wharf_model::filter::{Field, Status};
use wharf_model::rules::port_board::{PortRow, PortState, board};
use wharf_model::{Kind, UnixMillis};

use crate::cli::context::Context;
use crate::cli::docs::{PortDoc, port_class};
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs};
use crate::cli::table::{Cell, Table};
use crate::clock;
use crate::service::board as machine;

/// What the list can be asked for.
pub const PORTS: Knows = Knows { rows: "ports", statuses: &[], fields: &[Field::Service, Field::Kind], figures: false };

impl Row for PortRow {
    fn is(&self, _: Status) -> bool {
        false
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Service => {
                let name = self.service.rsplit(' ').next().unwrap_or_default().to_owned();
                self.numbers.iter().map(|n| Kind::Service.number(*n)).chain([name]).collect()
            }
            Field::Kind => vec![self.state.as_str().to_owned()],
            _ => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.by.as_ref().and_then(|b| b.since).unwrap_or_default()
    }
    fn words(&self) -> Vec<String> {
        let more = [self.listener.clone(), self.by.as_ref().map(|b| b.command.clone())];
        [self.port.to_string(), self.service.clone()].into_iter().chain(more.into_iter().flatten()).collect()
    }
}

/// The board, as the machine is now; empty without a store.
pub(super) fn look(context: &Context) -> Result<Vec<PortRow>> {
    let Some(reader) = context.reader()? else { return Ok(Vec::new()) };
    let ports = reader.service_ports()?;
    let looks = machine::look(&context.data, &ports, clock::now());
    Ok(board(&machine::claims(&ports), &looks, clock::now()))
}

/// Lists ports of all projects, those of ours first.
pub fn ports(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &PORTS)?;
    let listed = list::whole(look(context)?, args, args.below()?, |row| ready.passes(row));
    let now = clock::now();
    list::print(
        context,
        args,
        "ports",
        "the filter",
        &listed,
        |row| PortDoc::new(row, now),
        |rows| {
            let mut table = Table::new(&["PORT", "STATE", "SERVICE", "LISTENER", "EVIDENCE"]);
            for row in rows {
                let state = match row.state {
                    PortState::Free => Cell::text("○ free"),
                    state => Cell::state(port_class(state), state.as_str()),
                };
                table.row(vec![
                    Cell::figure(Some(row.port.to_string())),
                    state,
                    Cell::text(row.service.clone()),
                    Cell::maybe(row.listener.clone()),
                    Cell::text(row.told(now)),
                ]);
            }
            table
        },
    )
}

//! The lists but that of runs: one file each, and what they share.

mod activity;
mod agents;
mod environments;
mod issues;
mod leases;
mod ports;
mod projects;
mod services;
mod workspaces;

pub use activity::{ACTIVITY, activity};
pub use agents::{AGENTS, agents};
pub use environments::{ENVIRONMENTS, environments};
pub use issues::{ISSUES, issues};
pub use leases::{LEASES, leases};
pub use ports::{PORTS, ports};
pub use projects::{PROJECTS, projects};
pub(super) use services::nobody_looks;
pub use services::{SERVICES, measure as measure_services, services};
pub use workspaces::{WORKSPACES, workspaces};

use wharf_model::Kind;
use wharf_store::view::Page;
use wharf_store::{Reader, StoreError};
use wharf_ui::format;

use super::context::Context;
use super::error::Result;
use super::list::{ListArgs, Listed, collect};
use super::table::Cell;

/// The number of a row that may be missing, as the values of a field.
fn number(kind: Kind, n: Option<i64>) -> Vec<String> {
    n.map(|n| kind.number(n)).into_iter().collect()
}

/// A text that may be missing, as the values of a field.
fn some(value: Option<&String>) -> Vec<String> {
    value.cloned().into_iter().collect()
}

/// A duration that may be missing, as a cell.
fn duration(ms: Option<i64>) -> Cell {
    Cell::figure(ms.map(format::duration))
}

/// Reads a list whose cursor is a figure, page by page; without a store it is empty.
fn listed<T>(
    context: &Context,
    args: &ListArgs,
    page: impl Fn(&Reader, Option<i64>, usize) -> std::result::Result<Page<T, i64>, StoreError>,
    passes: impl Fn(&T) -> bool,
) -> Result<Listed<T>> {
    let below = args.below()?;
    let Some(reader) = context.reader()? else { return Ok(Listed::none()) };
    collect(below, args.limit(), |c| c.to_string(), |at, n| Ok(page(&reader, at, n)?), passes)
}

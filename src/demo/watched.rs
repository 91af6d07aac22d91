//! The demo for somebody who watches: begun here, gone on with by a console.

use wharf_store::Reader;
use wharf_store::view::{RunQuery, ServiceQuery};

use super::DemoError;
use super::project::Demo;
use super::stage::Stage;

/// Rows that are counted.
const ROWS: usize = 500;

/// Starts everything, then gives the orchestrator's place free for the console. What was started
/// goes on under its shims meanwhile.
///
/// # Errors
/// A request that was refused, and what the store says.
pub fn begin(demo: &Demo) -> Result<(), DemoError> {
    let mut stage = Stage::open(&demo.data)?;
    let begun = stage.begin(demo);
    stage.close();
    begun.map(|_cast| ())
}

/// How many runs and services of it are not at their end.
///
/// # Errors
/// What the store says.
pub fn live(demo: &Demo) -> Result<usize, DemoError> {
    let reader = Reader::open(&demo.data)?;
    let runs = reader.runs(&RunQuery::default(), None, ROWS)?.rows;
    let services = reader.services(&ServiceQuery { live_only: true, ..ServiceQuery::default() }, None, ROWS)?.rows;
    Ok(runs.iter().filter(|r| !r.status.is_terminal()).count() + services.len())
}

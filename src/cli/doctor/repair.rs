//! `wharf doctor --repair`: mends what can be mended while nobody orchestrates.

use serde_json::json;

use super::Check;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Result, exit};
use crate::cli::vacant;

/// Mends the store; each mend is a check that tells what was done, what is left one that failed.
pub fn repair(context: &Context) -> Result<Vec<Check>> {
    if !context.data.exists() {
        return Err(CliError::new(exit::NOT_FOUND, "store_missing", "there is nothing to repair")
            .cause(format!("{} is not there", context.data.display()))
            .next("set WHARF_DATA_DIR or --data-dir to where the store is"));
    }
    let vacant = vacant::hold(context, "wharf doctor --repair")?;
    let report = wharf_store::repair(&context.data, &vacant.restoring(&crate::user::name()))?;
    tracing::info!(report = %json!({ "done": report.done, "left": report.left }), "repaired");
    drop(vacant);
    let mut checks: Vec<Check> = report.done.into_iter().map(|line| Check::ok("repaired", line)).collect();
    for line in report.left {
        let (message, hint) = line.split_once("; ").unwrap_or((&line, "wharf restore FILE"));
        checks.push(Check::failed("not repaired", message, hint));
    }
    if checks.is_empty() {
        checks.push(Check::ok("repaired", "nothing needed to be mended"));
    }
    Ok(checks)
}

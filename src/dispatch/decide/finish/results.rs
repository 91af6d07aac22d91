//! What came of bringing a run's results back, and the place where they stay when they were not.

use serde_json::Value;
use wharf_model::{Driver, Kind, LeasePolicy, LeaseRow, LeaseStatus, RunRow, RunStatus};

use super::super::{Deciding, lease};
use super::End;
use crate::environment::driver::Collected;

/// How long a place is kept at least that holds the only copy of what a run changed.
const KEEP_MS: i64 = 7 * 24 * 60 * 60_000;

/// A run is done when its results are here. Without them it is no success, whatever its process said.
pub(super) fn weigh(
    d: &mut Deciding<'_, '_>,
    run: &RunRow,
    end: End,
    collected: Option<&Result<Collected, String>>,
) -> End {
    match note(d, run, collected) {
        Some(message) if end.status == RunStatus::Succeeded => {
            let code = Some("results_not_collected".to_owned());
            End { status: RunStatus::Failed, code, message: Some(message), detail: end.detail }
        }
        _ => end,
    }
}

/// Writes down what came of bringing the results back; gives why they are not here, in words. Where they are not,
/// their place is kept.
pub(super) fn note(
    d: &mut Deciding<'_, '_>,
    run: &RunRow,
    collected: Option<&Result<Collected, String>>,
) -> Option<String> {
    match collected? {
        Ok(collected) => {
            for warning in &collected.warnings {
                d.tx.event(run.id, "workspace", "warn", warning.clone(), None);
            }
            if let Some(held) = run.lease_id {
                lease::while_open(d, held, |l| {
                    if let Some(Value::Object(kept)) = &mut l.realisation {
                        kept.insert("collected".into(), serde_json::to_value(collected).unwrap_or(Value::Null));
                    }
                });
            }
            None
        }
        Err(why) => {
            let message = format!("its results could not be brought back: {why}");
            d.tx.event(run.id, "workspace", "error", message.clone(), None);
            keep_place(d, run);
            Some(message)
        }
    }
}

/// A run is given up whose results nobody has asked for: where they were carried to, their place is kept.
pub(super) fn unasked(d: &mut Deciding<'_, '_>, run: &RunRow) {
    let lease = run.lease_id.and_then(|l| d.tx.get::<LeaseRow>(l));
    let sync = lease.and_then(|l| l.realisation.as_ref()).and_then(|r| r["result"]["sync"].as_str());
    if sync.is_some_and(|sync| sync != "none") {
        let message = "what it changed was not brought back";
        d.tx.event(run.id, "workspace", "error", message.to_owned(), None);
        keep_place(d, run);
    }
}

/// Keeps what the run's lease holds, for the operator alone: nobody may take over a place that holds the only copy of
/// something, whatever its policy was.
fn keep_place(d: &mut Deciding<'_, '_>, run: &RunRow) {
    let held = |l: &&LeaseRow| l.status == LeaseStatus::Active && l.end_reason.is_none() && l.run_id == Some(run.id);
    let Some(lease) = run.lease_id.and_then(|l| d.tx.get::<LeaseRow>(l)).filter(held).cloned() else { return };
    let Some(environment) = d.state().environments.get(&lease.environment_id) else { return };
    if environment.driver == Driver::Local {
        return;
    }
    let until = d.now().plus(environment.keep_ms.max(KEEP_MS));
    let until = lease.retain_until.map_or(until, |wanted| wanted.max(until));
    d.tx.update::<LeaseRow>(lease.id, |l| {
        l.retain_until = Some(until);
        l.lease_policy = LeasePolicy::RetainOnFailure;
    });
    let number = Kind::Lease.number(lease.number);
    let words = format!(
        "{number} keeps the place with what it changed until {}; look at it with `wharf shell {number}`",
        until.rfc3339()
    );
    d.tx.event(run.id, "workspace", "warn", words, None);
}

#[cfg(test)]
mod tests;

//! How the limits of a run are kept: told once, kept in its execute step, completed at its end.

use serde_json::{Value, json};
use wharf_model::shim::LimitsReport;
use wharf_model::{RunId, Step, StepId, StepRow};

use super::{Deciding, steps};

/// Its shim has said how the limits of a run are kept.
pub(crate) fn told(d: &mut Deciding<'_, '_>, run: RunId, attempt: u32, report: Option<&LimitsReport>) {
    if steps::current(d, run, attempt).is_some() {
        note(d, run, report);
    }
}

/// Keeps a report and tells of what is new in it: that there are limits, and what they cost.
pub(crate) fn note(d: &mut Deciding<'_, '_>, run: RunId, report: Option<&LimitsReport>) {
    let Some(report) = report else { return };
    let id = StepId(run, Step::Execute);
    let Some(row) = d.tx.get::<StepRow>(id) else { return };
    let known = LimitsReport::of_step(row.detail.as_ref());
    if known.as_ref() == Some(report) {
        return;
    }
    let mut detail = row.detail.clone().filter(Value::is_object).unwrap_or_else(|| json!({}));
    detail["limits"] = json!(report);
    d.tx.update::<StepRow>(id, |row| row.detail = Some(detail));
    if known.is_none() {
        let level = if report.unenforced.is_empty() { "info" } else { "warn" };
        d.tx.event(run, "limits", level, format!("limits: {}", report.words()), Some(json!(report)));
    }
    if let Some(words) = report.killed_words() {
        d.tx.event(run, "limits", "warn", words, Some(json!({ "oom_kills": report.oom_kills })));
    }
}

//! At which commit a run's checkout stood when it began and when it had ended: what lies between is what it committed.

use serde_json::json;
use wharf_model::{CheckoutMoment, RunId, RunRow};

use super::Deciding;

/// Notes it. It changes nothing of the run, so it is not too late when the run has ended meanwhile.
pub(crate) fn told(d: &mut Deciding<'_, '_>, run: RunId, attempt: u32, moment: CheckoutMoment, head: Option<&str>) {
    let Some(row) = d.tx.get::<RunRow>(run).filter(|r| r.attempt == attempt) else { return };
    let workspace = row.workspace_id.map(wharf_model::WorkspaceId::text);
    let stands =
        head.map_or_else(|| "has no commit yet".to_owned(), |h| format!("stands at {}", h.get(..7).unwrap_or(h)));
    let words = match moment {
        CheckoutMoment::Began => format!("its checkout {stands} as it begins"),
        CheckoutMoment::Ended => format!("its checkout {stands} as it ends"),
    };
    let payload = json!({ "moment": moment.as_str(), "head": head, "workspace": workspace, "attempt": attempt });
    d.tx.event(run, "checkout", "info", words, Some(payload));
}

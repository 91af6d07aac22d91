//! Runs that cannot be judged: in doubt until they answer, or until the operator decides.

use serde_json::{Value, json};
use wharf_model::{ActionKind, Kind, Observation, RequestRow, RunId, RunRow, RunStatus, Step, StepId, StepRow};

use super::{Deciding, about, cancel, finish, release};
use crate::dispatch::input::{Actor, Refusal};

/// Time after which a run in doubt calls for a decision.
const DOUBT_MS: i64 = 10 * 60_000;
/// Time for which `keep` lets it be.
const KEPT_MS: i64 = 24 * 60 * 60_000;
/// Grace of what is stopped because its run was given up.
const GRACE_MS: i64 = 2_000;

/// The run cannot be judged, and why. It stays running: doubt is no end.
pub(crate) fn doubt(d: &mut Deciding<'_, '_>, id: RunId, why: &str) {
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else { return };
    if run.status != RunStatus::Running || run.observation == Observation::Unknown {
        return;
    }
    d.tx.update::<RunRow>(id, |r| {
        r.observation = Observation::Unknown;
        r.observation_evidence = Some(why.to_owned());
    });
    deadline(d, id, Some(DOUBT_MS));
    d.tx.event(id, "lifecycle", "warn", format!("cannot be judged: {why}"), None);
}

/// It can be judged again.
pub(crate) fn known(d: &mut Deciding<'_, '_>, id: RunId) {
    let doubted = d.tx.get::<RunRow>(id).is_some_and(|r| r.observation == Observation::Unknown);
    if !doubted {
        return;
    }
    d.tx.update::<RunRow>(id, |r| {
        r.observation = Observation::Live;
        r.observation_evidence = None;
    });
    deadline(d, id, None);
    d.tx.event(id, "lifecycle", "warn", "can be judged again".to_owned(), None);
    // What it was to be told while it did not listen.
    cancel::ask_again(d, id);
}

/// The deadline of doubt stands in the step that waits: the adapter's own has none there.
fn deadline(d: &mut Deciding<'_, '_>, id: RunId, ms: Option<i64>) {
    let at = ms.map(|ms| d.now().plus(ms));
    if d.tx.get::<RunRow>(id).is_some_and(|r| r.step == Some(Step::Execute)) {
        d.tx.update::<StepRow>(StepId(id, Step::Execute), |s| s.deadline_at = at);
    }
}

/// The time for doubt is over. Nothing ends by that: the operator is asked.
pub(crate) fn overdue(d: &mut Deciding<'_, '_>, id: RunId) {
    d.tx.update::<StepRow>(StepId(id, Step::Execute), |s| s.deadline_at = None);
    let Some(run) = d.tx.get::<RunRow>(id).filter(|r| r.observation == Observation::Unknown).cloned() else { return };
    let number = Kind::Run.number(run.number);
    let words = format!("still cannot be judged; decide it with `wharf resolve {number} lost` or `keep`");
    d.tx.event(id, "lifecycle", "error", words, None);
}

/// `run.resolve`: the operator decides what wharf cannot.
pub(crate) fn accept(d: &mut Deciding<'_, '_>, row: &RequestRow, id: RunId, actor: &Actor) -> Result<Value, Refusal> {
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else {
        return Err(Refusal::new("id_unknown", "there is no such run"));
    };
    let number = Kind::Run.number(run.number);
    if run.status != RunStatus::Running || run.observation != Observation::Unknown {
        let how = if run.status == RunStatus::Running { "runs and is seen".to_owned() } else { run.status.to_string() };
        let message = format!("{number} {how}: only a run that cannot be judged is decided by hand; cancel it instead");
        return Err(Refusal::new("illegal_state", message));
    }
    let judged = wharf_model::rules::release::Judged { id: run.id.text(), version: run.version };
    release::check_unchanged(row, &[judged])?;
    let evidence = run.observation_evidence.clone().unwrap_or_default();
    let verdict = row.args.get("verdict").and_then(Value::as_str).unwrap_or_default();
    let details = json!({ "verdict": verdict, "evidence": evidence });
    match verdict {
        "lost" => {
            d.activity(actor, "run.resolved", &about::run(&run), Some(details));
            finish::given_up(d, id, &format!("given up by {}: {evidence}", actor.id));
            // Whatever of it still lives is stopped, also where its shim does not listen.
            let args = json!({ "reason": "resolved_lost", "grace_ms": GRACE_MS, "force": true });
            d.intend(ActionKind::StopShim, "run", &id.text(), run.attempt, run.fence, Some(args));
        }
        "keep" => {
            d.activity(actor, "run.resolved", &about::run(&run), Some(details));
            deadline(d, id, Some(KEPT_MS));
            let hours = KEPT_MS / 3_600_000;
            let words = format!("kept by {}, who is asked again in {hours} h", actor.id);
            d.tx.event(id, "lifecycle", "info", words, None);
        }
        other => {
            let message = format!("{other:?} decides nothing about {number}; it is lost or keep");
            return Err(Refusal::new("illegal_state", message));
        }
    }
    Ok(json!({ "run_id": id.text(), "verdict": verdict }))
}

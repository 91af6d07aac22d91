//! The session of an agent: said by its runs, kept for the next one, forgotten when the operator asks for that.

use serde_json::{Value, json};
use wharf_model::rules::release::Judged;
use wharf_model::rules::session::{self, Said};
use wharf_model::{AgentId, AgentRow, AgentRuntimeRow, Driver, EnvironmentRow, Kind, RequestRow, RunRow, RunStatus};

use super::{About, Deciding, release};
use crate::dispatch::input::{Actor, Refusal};

/// Keeps what a run says of its session, with the message in one transaction; in words what came of it, and whether
/// that is all that was said. A run that works elsewhere names a directory of another machine, or of a view of this
/// one: its session is kept and the directory is not.
///
/// # Errors
/// Why it was not taken, in words.
pub(crate) fn said(d: &mut Deciding<'_, '_>, run: &RunRow, body: &Value) -> Result<(bool, String), String> {
    let said = session::read(body)?;
    if d.tx.get::<AgentRuntimeRow>(run.agent_id).is_none() {
        return Err("its agent is not there any more".to_owned());
    }
    let now = d.now();
    let number = Kind::Run.number(run.number);
    let Said::In { id, cwd } = said else {
        let mut had = false;
        d.tx.update::<AgentRuntimeRow>(run.agent_id, |r| had = session::forget(r));
        d.tx.update::<RunRow>(run.id, |r| r.session_id_after = None);
        let words = if had { "its session is over" } else { "its session is over; none was kept" };
        return Ok((true, words.to_owned()));
    };
    let elsewhere = elsewhere(d, run);
    let by = (run.id, number.as_str(), now);
    d.tx.update::<AgentRuntimeRow>(run.agent_id, |r| {
        session::keep(r, &id, cwd.as_deref(), elsewhere.is_some(), by);
    });
    d.tx.update::<RunRow>(run.id, |r| r.session_id_after = Some(id.clone()));
    Ok(match (cwd, elsewhere) {
        (None, _) => (true, format!("its session is {id}")),
        (Some(cwd), None) => (true, format!("its session is {id}, in {cwd}")),
        (Some(cwd), Some(place)) => (
            false,
            format!(
                "its session is {id}; its directory {cwd} is that of {place} and not of this machine, so it is not kept, and \
                 the next run does not work there"
            ),
        ),
    })
}

/// Where a run works, when that is not this machine as it is.
fn elsewhere(d: &Deciding<'_, '_>, run: &RunRow) -> Option<String> {
    match run.environment_id.and_then(|e| d.tx.get::<EnvironmentRow>(e)) {
        Some(e) if e.driver == Driver::Local => None,
        Some(e) => Some(format!("{} ({})", e.name, e.driver)),
        None => Some("an environment that is not known any more".to_owned()),
    }
}

/// What is kept of the session that a run follows to its directory, for its account.
pub(crate) fn account(d: &Deciding<'_, '_>, run: &RunRow) -> Value {
    let kept = d.tx.get::<AgentRuntimeRow>(run.agent_id).map(session::kept);
    kept.map_or(Value::Null, |k| json!({ "id": k.id, "cwd": k.cwd, "said_by": k.said_by }))
}

/// `agent.reset_session`: session and directory are forgotten, and the next run begins anew. What the preview showed
/// is judged by the version of the agent's kept state.
pub(crate) fn reset(d: &mut Deciding<'_, '_>, row: &RequestRow, id: AgentId, actor: &Actor) -> Result<Value, Refusal> {
    let Some(agent) = d.tx.get::<AgentRow>(id).cloned() else {
        return Err(Refusal::new("agent_not_found", "there is no such agent"));
    };
    let before = d.tx.get::<AgentRuntimeRow>(id).cloned();
    let judged: Vec<Judged> = before.iter().map(|r| Judged { id: r.agent_id.text(), version: r.version }).collect();
    release::check_unchanged(row, &judged)?;
    let kept = before.as_ref().map(session::kept).filter(session::Kept::is_any);
    let live = d.state().runs.values().filter(|r| r.agent_id == id && r.status == RunStatus::Running);
    let mut live: Vec<i64> = live.map(|r| r.number).collect();
    live.sort_unstable();
    let result = json!({
        "agent_id": id.text(),
        "agent": agent.name,
        "forgotten": kept.is_some(),
        "session_id": kept.as_ref().and_then(|k| k.id),
        "cwd": kept.as_ref().and_then(|k| k.cwd),
        "said_by": kept.as_ref().and_then(|k| k.said_by),
        "live_runs": live.into_iter().map(|n| Kind::Run.number(n)).collect::<Vec<_>>(),
    });
    if let Some(kept) = kept {
        // So that whoever regrets it can find it again.
        let details = json!({ "session_id": kept.id, "cwd": kept.cwd, "said_by": kept.said_by });
        d.tx.update::<AgentRuntimeRow>(id, |r| {
            session::forget(r);
        });
        d.activity(actor, "agent.session_reset", &about(&agent), Some(details));
    }
    Ok(result)
}

fn about(agent: &AgentRow) -> About {
    About {
        entity: "agent",
        id: agent.id.text(),
        number: Some(agent.name.clone()),
        company: agent.company_id,
        project: Some(agent.project_id),
        run: None,
    }
}

#[cfg(test)]
mod tests;

//! What holds of every page beside its own rule: nothing is offered that would be refused.

use super::{Action, Key, Seen, Until, Why, is_reported, mark};
use crate::ReuseScope;

/// Keeps what is possible, and says what makes the rest impossible.
pub(super) fn keep(seen: &Seen<'_>, why: &mut Why) {
    if is_reported(seen.row) {
        return reported(seen, why);
    }
    if is_over(seen) {
        why.actions.retain(|a| !matches!(a.key, Key::Start | Key::Restart));
    }
    let (Some(mark), Some(reason)) = (mark(seen.row), seen.is_off()) else { return };
    let form = seen.place().map_or(String::new(), |place| format!(" ({place})"));
    why.evidence.push(("config".into(), format!("{mark}: {reason}{form}")));
    if let Some(verdict) = why.verdict.strip_suffix('.') {
        why.verdict = format!("{verdict}; {mark}.");
    }
    if let Until::When(_) = why.until {
        why.until = Until::When("it ends or is stopped; it is not started again".into());
    }
    why.actions.retain(|a| !matches!(a.key, Key::Start | Key::Restart));
    if !why.actions.iter().any(|a| a.key == Key::Stop) {
        why.actions.push(seen.act(Key::Stop, "stop it", "it is not started again"));
    }
}

/// Whether it belonged to a run that uses it no more: a later one starts another.
pub(super) fn is_over(seen: &Seen<'_>) -> bool {
    seen.row.scope_type == ReuseScope::Run && !seen.row.status.is_open() && seen.around.users.is_empty()
}

/// One that an adapter keeps: it is as that tells.
fn reported(seen: &Seen<'_>, why: &mut Why) {
    let live = seen.row.status.is_open();
    why.rule = vec!["reported: it is as its adapter tells, which starts and stops it".to_owned()];
    if live && matches!(why.until, Until::When(_) | Until::YouAct) {
        why.until = Until::When("its adapter tells otherwise".into());
    }
    why.actions.retain(|a: &Action| a.key == Key::Open && seen.row.url.is_some() && live);
    if live && seen.around.users.is_empty() {
        why.actions.push(seen.act(Key::Stop, "take it for stopped", "no run tells of it any more"));
    }
}

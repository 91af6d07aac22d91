//! What a `wharf` inside a run says: comments, its next action, services that its adapter keeps, its session; limited
//! to that run, its issue and its agent.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wharf_model::{ActorType, CommentId, CommentRow, RunId, RunRow};

use super::{Deciding, about, service, session};
use crate::dispatch::input::Actor;

/// Longest comment or next action that is kept, in bytes; longer ones are cut and say so.
const TEXT_MAX_BYTES: usize = 16 * 1024;

fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX_BYTES {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX_BYTES).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{} … ({} bytes cut)", &text[..end], text.len() - end)
}

/// One message as it stands in the run's log.
pub(crate) struct Said<'a> {
    /// Attempt whose log it is in.
    pub attempt: u32,
    /// Number of its frame.
    pub seq: i64,
    /// Sender's id of it.
    pub message_id: &'a str,
    /// Kind without `agent.`.
    pub kind: &'a str,
    /// Arguments.
    pub body: &'a Value,
}

/// Ids of messages that a run remembers: whoever repeats one does so soon.
const REMEMBERED: usize = 32;

/// Digest of an id, which may be of any length.
fn digest(message_id: &str) -> String {
    Sha256::digest(message_id.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Remembers an id in a run's row; says whether it was remembered already.
fn remember(run: &mut RunRow, message_id: &str) -> bool {
    let new = digest(message_id);
    let mut ids: Vec<&str> = run.agent_messages.as_deref().unwrap_or_default().split_whitespace().collect();
    if ids.contains(&new.as_str()) {
        return true;
    }
    ids.push(&new);
    let ids = ids[ids.len().saturating_sub(REMEMBERED)..].join(" ");
    run.agent_messages = Some(ids);
    false
}

/// Takes one message. One that was taken before changes nothing: its frame is not beyond the last, or its
/// sender has sent it again.
pub(crate) fn said(d: &mut Deciding<'_, '_>, run_id: RunId, said: &Said<'_>) {
    let Said { attempt, seq, message_id, kind, body } = *said;
    let known = d.tx.get::<RunRow>(run_id).cloned().filter(|r| r.attempt == attempt && r.agent_seq < seq);
    let Some(run) = known else { return };
    let mut again = false;
    d.tx.update::<RunRow>(run_id, |r| {
        r.agent_seq = seq;
        again = !message_id.is_empty() && remember(r, message_id);
    });
    if again {
        return;
    }
    let agent = d.state().agents.get(&run.agent_id).map_or_else(|| run.agent_id.text(), |a| a.name.clone());
    let actor = Actor { kind: ActorType::Agent, id: agent };
    let payload = json!({ "message_id": message_id, "kind": kind });
    let text = body.get("text").and_then(Value::as_str).or_else(|| body.as_str()).map(cut);
    let now = d.now();
    match (kind, text) {
        ("comment", Some(text)) => {
            let id: CommentId = d.id();
            d.tx.comment(CommentRow {
                id,
                company_id: run.company_id,
                issue_id: run.issue_id,
                run_id: Some(run_id),
                author_type: "agent".into(),
                author_id: actor.id.clone(),
                body: text.clone(),
                created_at: now,
            });
            d.tx.update::<RunRow>(run_id, |r| r.last_useful_action_at = Some(now));
            d.tx.event(run_id, "agent.comment", "info", text, Some(payload));
            let who = run.issue_id.and_then(|i| d.state().issues.get(&i)).map(about::issue);
            let mut who = who.unwrap_or_else(|| about::run(&run));
            who.run = Some(run_id);
            d.activity(&actor, "issue.commented", &who, None);
        }
        ("next_action", Some(text)) => {
            d.tx.update::<RunRow>(run_id, |r| r.next_action = Some(text.clone()));
            d.tx.event(run_id, "agent.next_action", "info", text, Some(payload));
        }
        ("report_service", _) => {
            let (level, message) = match service::reported(d, &run, body, &actor) {
                Ok(message) => ("info", message),
                Err(why) => ("warn", format!("a report of a service was not taken: {why}")),
            };
            d.tx.event(run_id, "agent.report_service", level, message, Some(payload));
        }
        ("session", _) => {
            let (level, message, said) = match session::said(d, &run, body) {
                Ok((whole, message)) => (if whole { "info" } else { "warn" }, message, Some(body)),
                Err(why) => ("warn", format!("what it said of its session was not taken: {why}"), None),
            };
            let payload = json!({ "message_id": message_id, "kind": kind, "said": said });
            d.tx.event(run_id, "agent.session", level, message, Some(payload));
        }
        (kind, _) => {
            let message = format!("message of kind {kind:?} is not understood and was kept in the log only");
            d.tx.event(run_id, "agent.unknown", "warn", message, Some(payload));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::input::Fact;
    use crate::dispatch::simulate::bench::Bench;

    #[test]
    fn a_message_is_taken_once_however_often_it_is_sent() {
        let mut bench = Bench::new(4);
        let run = bench.executing("plain", None);
        let mut seq = 0;
        let mut said = |bench: &mut Bench, id: &str| {
            seq += 1;
            let (message_id, kind, body) = (id.to_owned(), "comment".to_owned(), json!({ "text": "done" }));
            bench.fact(Fact::AgentSaid { run, attempt: 1, seq, message_id, kind, body });
            assert_eq!(bench.run(run).agent_seq, seq);
            bench.changes.iter().filter(|c| matches!(c, wharf_model::state::Change::Comment(_))).count()
        };
        assert_eq!(said(&mut bench, "one"), 1);
        assert_eq!(said(&mut bench, "one"), 0, "a frame of its own, the same message");
        assert_eq!(said(&mut bench, &"two ".repeat(10_000)), 1);
        assert_eq!((said(&mut bench, ""), said(&mut bench, "")), (1, 1), "without an id each is one");
        for n in 0..REMEMBERED {
            assert_eq!(said(&mut bench, &n.to_string()), 1);
        }
        assert_eq!(said(&mut bench, &0.to_string()), 0);
        assert!(bench.run(run).agent_messages.as_ref().unwrap().len() <= REMEMBERED * 17);
    }
}

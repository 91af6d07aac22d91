//! What a spec and its start message must be before anything is started.

use wharf_model::shim::{SpawnError, Spec, StartMessage, StdinMode, limit};

use super::spawn_child;
use crate::process::signal;

/// Refuses what this version cannot do, before anything is started.
pub(super) fn check(spec: &Spec, message: &StartMessage) -> Result<(), SpawnError> {
    let refused = |words: String| Err(spawn_child::refused(words));
    if spec.tty.is_some() && spec.stdin == StdinMode::Sent {
        return refused(
            "a child with a terminal reads what is typed; nothing can be sent to its standard input".to_owned(),
        );
    }
    if let Some(name) = spec.stop_signal.as_deref().filter(|name| signal::parse(name).is_none()) {
        return refused(format!("stop_signal {name:?} is no signal; SIGTERM, SIGINT and the like are"));
    }
    if !spec.tag.is_empty() && message.env.get("WHARF_TAG") != Some(&spec.tag) {
        return refused(
            "the environment lacks WHARF_TAG with the spec's tag, by which its processes are found".to_owned(),
        );
    }
    match (spec.stdin, &message.stdin) {
        (StdinMode::Sent, None) => {
            return refused("the spec says that standard input is sent, but the start message has none".to_owned());
        }
        (StdinMode::None, Some(_)) => {
            return refused("the start message has standard input, but the spec says that none is sent".to_owned());
        }
        _ => {}
    }
    if message.redact.len() != spec.redact_count as usize {
        // Rather no run than one whose output shows a secret.
        let (told, came) = (spec.redact_count, message.redact.len());
        return refused(format!("the spec says that {told} values are to be redacted, but {came} came"));
    }
    if let Some(key) = spec.limits.keys().find(|key| !matches!(key.as_str(), limit::PROCESSES | limit::MEMORY)) {
        return refused(format!("this version knows no limit {key:?}; processes and memory_bytes are"));
    }
    Ok(())
}

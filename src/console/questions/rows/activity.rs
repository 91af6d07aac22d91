//! The audit trail: its lines, and what filters ask of them.

use crate::console::questions::filter::Facts;
use serde_json::Value;
use wharf_model::filter::Field;
use wharf_model::{ActivityRow, ActorType};
use wharf_ui::format;
use wharf_ui::rows::ActivityLine;

/// Who acted, in words.
pub fn who(row: &ActivityRow) -> String {
    match row.actor_type {
        ActorType::Operator => row.actor_id.clone(),
        ActorType::Agent => format!("agent {}", row.actor_id.get(..8).unwrap_or(&row.actor_id)),
        ActorType::System => "wharf".to_owned(),
    }
}

/// An entry of the audit trail.
pub fn activity(position: i64, row: &ActivityRow) -> ActivityLine {
    ActivityLine {
        number: position,
        at: row.created_at,
        who: who(row),
        action: row.action.clone(),
        entity: row.entity_number.clone().unwrap_or_else(|| row.entity_type.clone()),
        details: row.details.as_ref().map(details).unwrap_or_default(),
    }
}

/// Keys whose values say most, in the order in which they are told.
const TOLD_FIRST: &[&str] =
    &["error", "status", "from", "to", "reason", "exit_code", "signal", "name", "branch", "path", "command"];

/// Details of an entry in one line of words: `reason operator, grace 15s`. Ids that mean nothing to a
/// person are left out, and hashes cut as git cuts them.
pub fn details(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(map) => {
            let rank = |key: &str| TOLD_FIRST.iter().position(|k| *k == key).unwrap_or(TOLD_FIRST.len());
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| rank(key));
            let parts = pairs.into_iter().filter_map(|(key, value)| pair(key, value));
            parts.collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => {
            let parts = items.iter().map(details).filter(|words| !words.is_empty());
            parts.collect::<Vec<_>>().join(", ")
        }
        Value::String(words) if is_uuid(words) => String::new(),
        Value::String(words) if is_hash(words) => words[..7].to_owned(),
        Value::String(words) => words.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
    }
}

/// A key and its value; none where the value says nothing.
fn pair(key: &str, value: &Value) -> Option<String> {
    let (name, words) = match (key.strip_suffix("_ms"), value.as_i64()) {
        (Some(name), Some(ms)) => (name, format::duration(ms)),
        _ => (key, details(value)),
    };
    (!words.is_empty()).then(|| format!("{} {words}", name.replace('_', " ")))
}

fn is_uuid(words: &str) -> bool {
    let hex = words.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = words.bytes().filter(|b| *b == b'-').count();
    hex == 32 && (dashes == 0 || dashes == 4) && hex + dashes == words.len()
}

fn is_hash(words: &str) -> bool {
    matches!(words.len(), 40 | 64) && words.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What a filter compares of an entry of the audit trail.
pub fn activity_facts(row: &ActivityRow) -> Facts {
    let line = activity(0, row);
    let mut fields = vec![(Field::By, line.who.clone()), (Field::Kind, row.action.clone())];
    for (field, letter) in [(Field::Run, "R-"), (Field::Lease, "L-"), (Field::Service, "S-"), (Field::Workspace, "W-")]
    {
        if line.entity.starts_with(letter) {
            fields.push((field, line.entity.clone()));
        }
    }
    if row.entity_type == "issue" {
        fields.push((Field::Issue, line.entity.clone()));
    }
    Facts {
        statuses: Vec::new(),
        fields,
        began: Some(row.created_at),
        took_ms: None,
        exit: None,
        cost: None,
        words: vec![line.who, line.action, line.entity, line.details],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_words_with_what_matters_first() {
        let id = "0199aa00-1111-7222-8333-444455556666";
        let table = [
            (json!({ "grace_ms": 15_000, "reason": "operator", "run_id": id }), "reason operator, grace 15s"),
            (json!({ "branch": "b", "error": "no room", "also": null }), "error no room, branch b"),
            (
                json!({ "changes": ["agent.a.command", id], "hash": "ab".repeat(32) }),
                "changes agent.a.command, hash abababa",
            ),
            (json!({ "oom": true, "exit_code": 3 }), "exit code 3, oom yes"),
            (json!({ "ids": [id] }), ""),
            (json!("plain"), "plain"),
        ];
        for (value, words) in table {
            assert_eq!(details(&value), words, "{value}");
        }
    }
}

//! Environments: their lines, what a probe found, and what filters ask of them.

use serde_json::Value;
use wharf_model::filter::{Field, Status};
use wharf_model::{EnvironmentStatus, Kind, UnixMillis};
use wharf_store::view::EnvironmentItem;
use wharf_ui::glyph::Class;
use wharf_ui::rows::{CheckLine, EnvironmentLine, ProbeLine, policy_words};

use crate::console::questions::filter::Facts;

/// An environment.
pub fn environment(item: &EnvironmentItem) -> EnvironmentLine {
    let row = &item.environment;
    let live = row.status == EnvironmentStatus::Active;
    EnvironmentLine {
        id: row.id,
        number: row.number,
        version: row.version,
        name: row.name.clone(),
        driver: row.driver,
        class: if live { Class::Alive } else { Class::Chosen },
        word: row.status.to_string(),
        live,
        policy: policy_words(row.lease_policy).to_owned(),
        held: item.held,
        slots: row.slots,
        waiting: item.waiting,
        retained: item.retained,
        to_clean: item.to_clean,
        probe: row.probe.as_ref().and_then(probe),
        written: None,
        facts: Vec::new(),
    }
}

/// What stands in `probe` of an environment's row; none when it is not what a probe leaves there.
pub fn probe(value: &Value) -> Option<ProbeLine> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let checks = value.get("checks")?.as_array()?.iter().map(|check| CheckLine {
        code: text(&check["code"]).unwrap_or_default(),
        class: match check["level"].as_str() {
            Some("ok") => Class::Good,
            Some("warn") => Class::Doubtful,
            _ => Class::Bad,
        },
        message: text(&check["message"]).unwrap_or_default(),
        hint: text(&check["hint"]),
    });
    Some(ProbeLine {
        at: UnixMillis(value.get("at")?.as_i64()?),
        took_ms: value.get("took_ms").and_then(Value::as_i64),
        checks: checks.collect(),
    })
}

/// What a filter compares of an environment.
pub fn environment_facts(item: &EnvironmentItem) -> Facts {
    let row = &item.environment;
    let live = row.status == EnvironmentStatus::Active;
    let number = Kind::Environment.number(row.number);
    let fields = vec![
        (Field::Environment, row.name.clone()),
        (Field::Environment, number.clone()),
        (Field::Kind, row.driver.to_string()),
    ];
    Facts {
        statuses: if live { vec![Status::Live, Status::Active] } else { vec![Status::Ended, Status::Archived] },
        words: vec![number, row.name.clone(), row.driver.to_string(), row.description.clone().unwrap_or_default()],
        fields,
        began: Some(row.created_at),
        took_ms: None,
        exit: None,
        cost: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_probe_left_is_read_and_anything_else_is_not() {
        let checks = json!([
            { "code": "a", "level": "ok", "message": "fine", "hint": null },
            { "code": "b", "level": "warn", "message": "hm", "hint": "do" },
            { "code": "c", "level": "error", "message": "no" },
        ]);
        let read = probe(&json!({ "at": 5, "took_ms": 7, "checks": checks })).unwrap();
        assert_eq!((read.at, read.took_ms, read.checks.len()), (UnixMillis(5), Some(7), 3));
        assert_eq!(read.summary(), (Class::Bad, "1 of 3".to_owned()));
        assert_eq!(read.telling().map(|c| c.code.as_str()), Some("c"));
        assert_eq!(probe(&json!({ "at": 5 })), None);
        assert_eq!(probe(&json!("never")), None);
    }
}

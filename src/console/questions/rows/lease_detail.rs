//! What is known of a lease beside its line: history, realisation, tries to give it back, who waits.

use serde_json::Value;
use wharf_model::{Kind, UnixMillis};
use wharf_store::view::{LeaseItem, LeaseTrail};
use wharf_ui::format::{self, Zone};
use wharf_ui::rows::{ActivityLine, Fact, FactBlock, LeaseDetail, WaitingLine};

use super::{activity, fact};

/// Everything known of it.
pub fn lease_detail(trail: &LeaseTrail, now: UnixMillis, zone: Zone) -> LeaseDetail {
    let history: Vec<ActivityLine> = trail.activity.iter().rev().map(|row| activity(0, row)).collect();
    let used = trail.slots_taken;
    LeaseDetail {
        realisation: trail.lease.lease.realisation.as_ref().map(realisation).unwrap_or_default(),
        cleanup: cleanup(trail, now, zone),
        waiting: trail.waiting.iter().enumerate().map(|(i, item)| waiting(i, item)).collect(),
        slots: trail.slots.map_or_else(|| format!("{used} used, no limit"), |all| format!("{used} of {all} used")),
        history,
    }
}

fn waiting(i: usize, item: &LeaseItem) -> WaitingLine {
    let number = Kind::Lease.number(item.lease.number);
    let names = [item.run_number.map(|n| Kind::Run.number(n)), item.agent.clone(), item.issue.clone()];
    let who: Vec<String> = names.into_iter().flatten().collect();
    WaitingLine {
        position: i64::try_from(i + 1).unwrap_or(i64::MAX),
        who: if who.is_empty() { number.clone() } else { who.join(" ") },
        since: item.lease.created_at,
        remark: number,
    }
}

/// Facts of a document, one level deep in blocks of their own.
pub fn realisation(value: &Value) -> Vec<FactBlock> {
    let Value::Object(map) = value else {
        return vec![FactBlock { facts: vec![fact("REALISED", plain(value), "")] }];
    };
    let mut first = Vec::new();
    let mut blocks = Vec::new();
    for (key, value) in map {
        match value {
            Value::Object(inner) => {
                let mut facts = vec![fact(&key.to_uppercase(), "", "")];
                facts.extend(inner.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| told(k, v)));
                blocks.push(FactBlock { facts });
            }
            Value::Null => {}
            other => first.push(told(key, other)),
        }
    }
    if !first.is_empty() {
        blocks.insert(0, FactBlock { facts: first });
    }
    blocks
}

fn told(key: &str, value: &Value) -> Fact {
    let bad = matches!(key, "error" | "error_code" | "failed") && !value.is_null() && value != &Value::Bool(false);
    Fact { bad, ..fact(&key.replace('_', " "), plain(value), "") }
}

/// A value in words.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(words) => words.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn cleanup(trail: &LeaseTrail, now: UnixMillis, zone: Zone) -> Vec<FactBlock> {
    let row = &trail.lease.lease;
    let mut facts = Vec::new();
    for entry in trail.activity.iter().rev().filter(|a| a.action == "environment.lease_cleanup_failed") {
        let details = entry.details.as_ref();
        let n = details.and_then(|d| d["attempt"].as_i64()).map_or_else(String::new, |n| format!(" {n}"));
        let error = details.and_then(|d| d["error"].as_str()).unwrap_or("failed").to_owned();
        let at = format::moment(entry.created_at, now, zone);
        facts.push(Fact { bad: true, ..fact(&format!("try{n}"), error, at) });
    }
    if let Some(status) = row.cleanup_status {
        let next = row.next_try_at.map_or_else(String::new, |at| format!("next try {}", format::moment(at, now, zone)));
        let rests = row.status == wharf_model::LeaseStatus::PendingCleanup;
        let next = if next.is_empty() && rests { "given up; c tries again".to_owned() } else { next };
        facts.push(fact("clean-up", status.to_string(), next));
        facts.push(fact("tries", row.cleanup_attempts.to_string(), ""));
    }
    if let Some(error) = row.cleanup_error.as_ref().filter(|_| facts.iter().all(|f| !f.bad)) {
        facts.push(Fact { bad: true, ..fact("last error", error.clone(), "") });
    }
    if facts.is_empty() { Vec::new() } else { vec![FactBlock { facts }] }
}

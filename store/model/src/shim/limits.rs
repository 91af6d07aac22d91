//! Caps of a run: their names, how they were kept, and what is known of an end for want of memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::words;

/// Names of caps in [`super::Spec::limits`].
pub mod limit {
    /// Processes at once, threads counted.
    pub const PROCESSES: &str = "processes";
    /// Bytes of memory of all processes together.
    pub const MEMORY: &str = "memory_bytes";
}

/// How the caps of a spec are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct LimitsReport {
    /// What was asked, by [`limit`] names.
    pub asked: BTreeMap<String, u64>,
    /// What keeps them, such as `cgroup v2`; absent when nothing does.
    pub by: Option<String>,
    /// Caps that are not kept, with the reason.
    #[serde(default)]
    pub unenforced: BTreeMap<String, String>,
    /// Processes that the kernel ended for want of memory below the cap; known once the run has ended.
    #[serde(default)]
    pub oom_kills: u64,
}

impl LimitsReport {
    /// The report that the detail of a run's execute step keeps, if it keeps one.
    pub fn of_step(detail: Option<&Value>) -> Option<Self> {
        serde_json::from_value(detail?.get("limits")?.clone()).ok()
    }

    /// What the cap of memory cost, in words; `None` when nothing.
    pub fn killed_words(&self) -> Option<String> {
        match self.oom_kills {
            0 => None,
            1 => Some("the kernel ended 1 process of it for want of memory".to_owned()),
            n => Some(format!("the kernel ended {n} processes of it for want of memory")),
        }
    }

    /// In words for people: `64 processes, 512 MiB (cgroup v1)`, or what is not enforced and why.
    pub fn words(&self) -> String {
        let (kept, open): (Vec<_>, Vec<_>) =
            self.asked.iter().rev().partition(|(name, _)| !self.unenforced.contains_key(*name));
        let mut parts = Vec::new();
        if !kept.is_empty() {
            let kept: Vec<String> = kept.into_iter().map(|(name, n)| cap(name, *n)).collect();
            parts.push(format!("{} ({})", kept.join(", "), self.by.as_deref().unwrap_or("cgroup")));
        }
        let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
        for (name, n) in open {
            let why = self.unenforced.get(name).map_or("", String::as_str);
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, caps)) => caps.push(cap(name, *n)),
                None => reasons.push((why, vec![cap(name, *n)])),
            }
        }
        parts.extend(reasons.into_iter().map(|(why, caps)| format!("{} not enforced: {why}", caps.join(", "))));
        parts.join("; ")
    }
}

/// One cap in words.
fn cap(name: &str, n: u64) -> String {
    match name {
        limit::PROCESSES if n == 1 => "1 process".to_owned(),
        limit::PROCESSES => format!("{n} processes"),
        limit::MEMORY => {
            let text = crate::config::show_bytes(n);
            let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            format!("{} {}", &text[..unit], &text[unit..])
        }
        other => format!("{other} {n}"),
    }
}

words! {
    /// How it is known that the kernel killed the child for want of memory.
    pub enum OomEvidence {
        /// Its own control group counted it.
        OwnGroup = "own_group",
        /// The group around the shim counted a kill meanwhile: likely, not certain.
        EnclosingGroup = "enclosing_group",
        /// The machine counted one and no group says whose: possible.
        Machine = "machine",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(asked: &[(&str, u64)], by: Option<&str>, open: &[(&str, &str)]) -> LimitsReport {
        LimitsReport {
            asked: asked.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(),
            by: by.map(str::to_owned),
            unenforced: open.iter().map(|(name, why)| ((*name).to_owned(), (*why).to_owned())).collect(),
            oom_kills: 0,
        }
    }

    #[test]
    fn words_say_what_holds_and_what_does_not() {
        let both = [(limit::PROCESSES, 64), (limit::MEMORY, 512 << 20)];
        let table = [
            (report(&both, Some("cgroup v1"), &[]), "64 processes, 512 MiB (cgroup v1)"),
            (report(&[(limit::PROCESSES, 1)], Some("cgroup v2"), &[]), "1 process (cgroup v2)"),
            (report(&[(limit::MEMORY, 1_500)], Some("cgroup v2"), &[]), "1500 B (cgroup v2)"),
            (
                report(&both, Some("cgroup v2"), &[(limit::MEMORY, "no memory here")]),
                "64 processes (cgroup v2); 512 MiB not enforced: no memory here",
            ),
            (
                report(&both, None, &[(limit::MEMORY, "nothing"), (limit::PROCESSES, "nothing")]),
                "64 processes, 512 MiB not enforced: nothing",
            ),
            (
                report(&both, None, &[(limit::MEMORY, "a"), (limit::PROCESSES, "b")]),
                "64 processes not enforced: b; 512 MiB not enforced: a",
            ),
        ];
        for (report, words) in table {
            assert_eq!(report.words(), words);
        }
    }

    #[test]
    fn a_step_keeps_a_report_or_something_else() {
        let mut report = report(&[(limit::MEMORY, 5)], None, &[]);
        report.oom_kills = 2;
        let detail = serde_json::json!({ "limits": report, "more": 1 });
        assert_eq!(LimitsReport::of_step(Some(&detail)), Some(report));
        for other in [serde_json::json!({}), serde_json::json!({ "limits": 3 }), Value::Null] {
            assert_eq!(LimitsReport::of_step(Some(&other)), None);
        }
        assert_eq!(LimitsReport::of_step(None), None);
    }
}

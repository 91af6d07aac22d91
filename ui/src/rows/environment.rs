//! One environment, and what a probe of it has found.

use wharf_model::{Driver, EnvironmentId, UnixMillis};

use super::FactBlock;
use crate::glyph::Class;

/// One environment.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvironmentLine {
    /// Identity.
    pub id: EnvironmentId,
    /// `E-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
    /// Name.
    pub name: String,
    /// How it is reached.
    pub driver: Driver,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Not archived.
    pub live: bool,
    /// Policy in words.
    pub policy: String,
    /// Leases that hold a slot.
    pub held: i64,
    /// Slots; none without a limit.
    pub slots: Option<i64>,
    /// Leases that wait for one.
    pub waiting: i64,
    /// Leases that are kept after their run.
    pub retained: i64,
    /// Leases whose clean-up is to be done.
    pub to_clean: i64,
    /// What was last found; none when nobody has looked.
    pub probe: Option<ProbeLine>,
    /// Where it is written: file and line; none when it was made by hand.
    pub written: Option<(String, u64)>,
    /// More facts for its pane.
    pub facts: Vec<FactBlock>,
}

/// What a probe has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeLine {
    /// When.
    pub at: UnixMillis,
    /// How long it took, milliseconds.
    pub took_ms: Option<i64>,
    /// In the order in which they were made.
    pub checks: Vec<CheckLine>,
}

/// One check of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLine {
    /// Stable name.
    pub code: String,
    /// As it should be, worth knowing, or in the way.
    pub class: Class,
    /// In words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ProbeLine {
    /// How many checks are of this class.
    pub fn count(&self, class: Class) -> usize {
        self.checks.iter().filter(|c| c.class == class).count()
    }

    /// The worst finding, and in a few words how many there are.
    pub fn summary(&self) -> (Class, String) {
        let (bad, warned, all) = (self.count(Class::Bad), self.count(Class::Doubtful), self.checks.len());
        match (bad, warned) {
            (0, 0) => (Class::Good, "ok".to_owned()),
            (0, 1) => (Class::Doubtful, "1 warning".to_owned()),
            (0, n) => (Class::Doubtful, format!("{n} warnings")),
            (n, _) => (Class::Bad, format!("{n} of {all}")),
        }
    }

    /// The finding that says most: the first that is in the way, else the first worth knowing, else the first.
    pub fn telling(&self) -> Option<&CheckLine> {
        let of = |class| self.checks.iter().find(move |c| c.class == class);
        of(Class::Bad).or_else(|| of(Class::Doubtful)).or_else(|| self.checks.first())
    }
}

/// Everything known of an environment beside its line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EnvironmentDetail {
    /// Who names it: agents, projects.
    pub named_by: Vec<String>,
    /// What its driver can do, with the answer in words.
    pub capabilities: Vec<(String, String)>,
    /// Leases that are open on it: number, state, holder.
    pub leases: Vec<FactBlock>,
    /// Its settings, secrets as their references.
    pub config: Vec<FactBlock>,
    /// Earlier probes and changes, the newest first.
    pub history: Vec<super::ActivityLine>,
}

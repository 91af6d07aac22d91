//! Every fact of one run, and rows of facts of anything.

use wharf_model::UnixMillis;

use super::{ActivityLine, RunLine};

/// Every fact of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDetail {
    /// As in the list.
    pub line: RunLine,
    /// Steps in their order.
    pub steps: Vec<StepLine>,
    /// Operations, services and calls under the steps.
    pub spans: Vec<SpanLine>,
    /// Blocks of facts in the order in which they are shown; a blank row between blocks.
    pub facts: Vec<FactBlock>,
    /// Why it stands as it does, in blocks: verdict, rule, evidence, what is well, what can be done, where it works.
    pub why: Vec<FactBlock>,
    /// Deadlines that are open.
    pub deadlines: Vec<DeadlineLine>,
    /// Newest last.
    pub activity: Vec<ActivityLine>,
}

/// Facts that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FactBlock {
    /// Rows.
    pub facts: Vec<Fact>,
}

/// One row of facts: label, value, remark.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fact {
    /// `asked by`; a first row of a block has a label in capitals, `PROCESS`.
    pub label: String,
    /// What it is.
    pub value: String,
    /// What else there is to say.
    pub remark: String,
    /// The value is bad news.
    pub bad: bool,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLine {
    /// `execute`.
    pub name: String,
    /// In words, with numbers of what it made: `acquire lease L-88`.
    pub title: String,
    /// `pending`, `running`, `succeeded`, `failed`, `skipped`.
    pub status: String,
    /// Begin.
    pub started_at: Option<UnixMillis>,
    /// End.
    pub finished_at: Option<UnixMillis>,
    /// When it is given up.
    pub deadline_at: Option<UnixMillis>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Something that happened inside a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanLine {
    /// Name of the step.
    pub step: String,
    /// In words: `git worktree add`.
    pub title: String,
    /// Begin.
    pub started_at: UnixMillis,
    /// End; none while it goes on.
    pub finished_at: Option<UnixMillis>,
    /// It ended badly.
    pub failed: bool,
}

/// An open deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadlineLine {
    /// `run limit`.
    pub name: String,
    /// The time allowed.
    pub allowed_ms: Option<i64>,
    /// When it passes.
    pub at: UnixMillis,
    /// What else there is to say.
    pub remark: String,
}

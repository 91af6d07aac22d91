//! Why a run stands as it does, told by the rules and rows that decided it: for `wharf why` and the console's tab.

mod ended;
mod environment;
mod queued;
mod running;
mod silence;
mod workspace;

use std::path::Path;

use serde::Serialize;
use wharf_model::rules::environment_choice::Explanation;
use wharf_model::{Kind, RunStatus, Step, UnixMillis};
use wharf_store::view::{ActivityQuery, RunDetail};
use wharf_store::{Reader, StoreError};

use crate::clock;
use crate::dispatch::election;
use crate::dispatch::orchestrator::MachineLimits;

pub use silence::Trees;
pub use workspace::{doing, guest_at, place_words, remark};

/// One row of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Line {
    /// What it is about.
    pub label: String,
    /// What was seen.
    pub value: String,
    /// What else there is to say.
    pub remark: String,
}

impl Line {
    fn new(label: impl Into<String>, value: impl Into<String>, remark: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), remark: remark.into() }
    }
}

/// The account of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Why {
    /// In one sentence.
    pub verdict: String,
    /// The rule that leads to it.
    pub rule: String,
    /// Since when it is so.
    pub since: Option<UnixMillis>,
    /// When it ends by itself, and how.
    pub until: Option<(UnixMillis, String)>,
    /// What was seen.
    pub evidence: Vec<Line>,
    /// What was looked at and is well.
    pub not_the_cause: Vec<Line>,
    /// Commands, and what each does.
    pub can_do: Vec<Line>,
    /// How its environment was chosen.
    pub environment: Vec<Line>,
    /// The same as it is stored.
    #[serde(skip)]
    pub choice: Option<Explanation>,
    /// Where it works, and why there.
    pub workspace: Vec<Line>,
}

/// What an account goes by beside the run's own rows.
struct Around<'a> {
    detail: &'a RunDetail,
    reader: &'a Reader,
    data: &'a Path,
    trees: &'a Trees,
    now: UnixMillis,
}

/// The account of a run; `trees` are what was seen of process trees before, which tells what they take.
///
/// # Errors
/// The store cannot be read.
pub fn of(reader: &Reader, data: &Path, trees: &Trees, detail: &RunDetail) -> Result<Why, StoreError> {
    let around = Around { detail, reader, data, trees, now: clock::now() };
    let mut why = match detail.run.status {
        RunStatus::Queued | RunStatus::ScheduledRetry => queued::of(&around)?,
        RunStatus::Running => running::of(&around)?,
        RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut | RunStatus::Lost => {
            ended::of(&around)
        }
    };
    why.choice = environment::choice(detail);
    why.environment = environment::lines(&around, why.choice.as_ref())?;
    why.workspace = workspace::lines(&around)?;
    Ok(why)
}

/// `R-12`.
fn number(detail: &RunDetail) -> String {
    Kind::Run.number(detail.run.number)
}

/// When a step began.
fn began(detail: &RunDetail, step: Step) -> Option<UnixMillis> {
    detail.steps.iter().find(|s| s.step == step).and_then(|s| s.started_at)
}

/// Whether somebody orchestrates; what cannot be told counts as yes, since then nothing is known to be wrong.
fn is_orchestrated(data: &Path) -> bool {
    election::holder(data).map_or(true, |holder| holder.is_some())
}

/// Where nobody orchestrates: when the last thing that somebody saw or did was written down. None where somebody
/// orchestrates, or nothing has been written down yet.
///
/// # Errors
/// The store cannot be read.
pub fn unwatched_since(reader: &Reader, data: &Path) -> Result<Option<UnixMillis>, StoreError> {
    if is_orchestrated(data) {
        return Ok(None);
    }
    let newest = reader.activity(&ActivityQuery::default(), None, 1)?.rows.pop();
    Ok(newest.map(|row| row.created_at))
}

/// Runs that may run at once on this machine.
fn machine_limit() -> i64 {
    MachineLimits::read().0.concurrent_runs
}

//! A run as documents and lists show it.

use std::path::Path;

use serde::Serialize;
use wharf_model::shim::LimitsReport;
use wharf_model::{Kind, RunStatus, UnixMillis};
use wharf_store::view::RunLine;
use wharf_ui::glyph::Class;
use wharf_ui::rows::{self, HaltedBy};

use crate::console::{halted_now, has_terminal_now, run_line};

/// A run in a document. Every key is always there.
#[derive(Debug, Clone, Serialize)]
pub struct RunDoc {
    /// UUID.
    pub id: String,
    /// `R-12`.
    pub number: String,
    /// Status as stored.
    pub status: String,
    /// One of the ten classes of state.
    pub class: &'static str,
    /// Since when it is in this state.
    pub since: Option<String>,
    /// When this state ends by itself, where a clock decides.
    pub until: Option<String>,
    /// Step while running.
    pub step: Option<String>,
    /// Agent's name.
    pub agent: Option<String>,
    /// Issue's identifier.
    pub issue: Option<String>,
    /// Environment's name.
    pub environment: Option<String>,
    /// What asked for it.
    pub source: String,
    /// When it was asked for.
    pub queued_at: Option<String>,
    /// When its first step began.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// How long it took, or has been running.
    pub took_ms: Option<i64>,
    /// Exit code of its process.
    pub exit_code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<String>,
    /// Why it was stopped.
    pub stop_reason: Option<String>,
    /// Error code.
    pub error_code: Option<String>,
    /// Error in words.
    pub error: Option<String>,
    /// What it achieved.
    pub liveness_state: Option<String>,
    /// Whether it can be judged.
    pub observation: String,
    /// `stopped` or `traced` while its process lives and stands still.
    pub halted: Option<&'static str>,
    /// Signal that stopped it, once it is known.
    pub halted_signal: Option<String>,
    /// Since when a signal has stopped it, once it is known.
    pub halted_at: Option<String>,
    /// Process that traces it, when it can be told.
    pub tracer_pid: Option<i32>,
    /// Whether its process has a terminal that can be attached to now.
    pub terminal: bool,
    /// What it named as its next action.
    pub next_action: Option<String>,
    /// `L-4`.
    pub lease: Option<String>,
    /// `W-9`.
    pub workspace: Option<String>,
    /// Place in the queue, from 1.
    pub queue_position: Option<i64>,
    /// Bytes of standard output.
    pub stdout_bytes: Option<i64>,
    /// Bytes of standard error.
    pub stderr_bytes: Option<i64>,
    /// Hash of its log.
    pub log_sha256: Option<String>,
    /// Last byte of output.
    pub last_output_at: Option<String>,
    /// `R-` number of the run it repeats.
    pub retry_of: Option<String>,
    /// First run of its chain.
    pub lineage: String,
    /// Start number of its process.
    pub attempt: u32,
    /// Version of its row.
    pub version: i64,
}

/// A moment in a document.
pub fn time(at: Option<UnixMillis>) -> Option<String> {
    at.map(UnixMillis::rfc3339)
}

/// Name of a class in documents (screens 1.4).
pub const fn class_word(class: Class) -> &'static str {
    match class {
        Class::Alive => "alive",
        Class::Doubtful => "doubtful",
        Class::NeedsPerson => "needs_person",
        Class::Clock => "clock",
        Class::Waits => "turn",
        Class::Ending => "ending",
        Class::Good => "good",
        Class::Bad => "bad",
        Class::Chosen => "by_choice",
        Class::Unknown => "unknown",
    }
}

impl RunDoc {
    /// The document of a run of a data directory as it is now.
    pub fn new(data: &Path, line: &RunLine, now: UnixMillis) -> Self {
        let shown = shown(data, line);
        let (class, _) = shown.state();
        let (halted_signal, halted_at, tracer_pid) = match shown.halted.as_ref().map(|h| &h.by) {
            Some(HaltedBy::Signal(Some((signal, since)))) => (Some(signal.clone()), Some(*since), None),
            Some(HaltedBy::Tracer(Some((pid, _)))) => (None, None, Some(*pid)),
            _ => (None, None, None),
        };
        Self {
            id: line.id.text(),
            number: Kind::Run.number(line.number),
            status: line.status.to_string(),
            class: class_word(class),
            since: time(since(line)),
            until: time(if line.status.is_terminal() { None } else { line.due_at.or(line.deadline_at) }),
            step: line.step.map(|s| s.to_string()),
            agent: line.agent.clone(),
            issue: line.issue.clone(),
            environment: line.environment.clone(),
            source: line.invocation_source.to_string(),
            queued_at: time(Some(line.queued_at)),
            started_at: time(line.started_at),
            finished_at: time(line.finished_at),
            took_ms: line.started_at.map(|s| s.until(line.finished_at.unwrap_or(now))),
            exit_code: line.exit_code,
            signal: line.signal.clone(),
            stop_reason: line.stop_reason.map(|r| r.to_string()),
            error_code: line.error_code.clone(),
            error: line.error.clone(),
            liveness_state: line.liveness_state.map(|l| l.to_string()),
            observation: line.observation.to_string(),
            halted: shown.halted.as_ref().map(rows::Halted::word),
            halted_signal,
            halted_at: time(halted_at),
            tracer_pid,
            terminal: shown.terminal,
            next_action: line.next_action.clone(),
            lease: line.lease_number.map(|n| Kind::Lease.number(n)),
            workspace: line.workspace_number.map(|n| Kind::Workspace.number(n)),
            queue_position: line.queue_position,
            stdout_bytes: line.stdout_bytes,
            stderr_bytes: line.stderr_bytes,
            log_sha256: line.log_sha256.clone(),
            last_output_at: time(line.last_output_at),
            retry_of: line.retry_of_number.map(|n| Kind::Run.number(n)),
            lineage: line.lineage.text(),
            attempt: line.attempt,
            version: line.version,
        }
    }
}

/// Since when a run is in its state.
fn since(line: &RunLine) -> Option<UnixMillis> {
    match line.status {
        RunStatus::Queued | RunStatus::ScheduledRetry => Some(line.queued_at),
        RunStatus::Running => line.stop_requested_at.or(line.started_at),
        _ => line.finished_at,
    }
}

/// The run in the words that the screens have for it, with what its process does now.
pub fn shown(data: &Path, line: &RunLine) -> rows::RunLine {
    rows::RunLine { halted: halted_now(data, line), terminal: has_terminal_now(data, line), ..run_line(line) }
}

/// The document of one run.
#[derive(Debug, Serialize)]
pub struct RunDocument {
    schema: &'static str,
    run: RunDoc,
    /// How its limits are kept; null where none are known.
    limits: Option<LimitsReport>,
}

impl RunDocument {
    /// A run of a data directory as it is now.
    pub fn new(data: &Path, line: &RunLine, now: UnixMillis) -> Self {
        Self { schema: "wharf.run/1", run: RunDoc::new(data, line, now), limits: None }
    }

    /// The same with how its limits are kept.
    pub fn with_limits(self, limits: Option<LimitsReport>) -> Self {
        Self { limits, ..self }
    }
}

/// The document of a list of runs that is shown whole.
#[derive(Debug, Serialize)]
pub struct RunsDocument {
    schema: &'static str,
    runs: Vec<RunDoc>,
    next: Option<String>,
    hidden: i64,
}

impl RunsDocument {
    /// A whole ledger under the name of a document.
    pub fn whole(schema: &'static str, data: &Path, lines: &[RunLine], now: UnixMillis) -> Self {
        let runs = lines.iter().map(|l| RunDoc::new(data, l, now)).collect();
        Self { schema, runs, next: None, hidden: 0 }
    }
}

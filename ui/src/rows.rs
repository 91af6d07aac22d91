//! What the screens show, as plain rows in the operator's words.
//!
//! The shell fills these from the store, the logs and the git checkout; the screens only lay them
//! out. Facts stay facts here (exit code, signal, deadline); the words for them are chosen below,
//! so that every list, pane and toast says the same.

pub use wharf_model::RunStatus;
use wharf_model::{LeaseId, OperationId, RunId, ServiceId, UnixMillis, WorkspaceId};

use crate::effect::LinePlace;
use crate::format::{self, Zone};
use crate::glyph::Class;

wharf_model::words! {
    /// How an observer judges a live run.
    pub enum Liveness { Working = "working", Silent = "silent", Stalled = "stalled", Unknown = "unknown" }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<R> {
    /// Rows; with `after: None` all live ones first, then the newest ended ones.
    pub rows: Vec<R>,
    /// Rows that match the filter.
    pub total: u64,
    /// Rows that the filter hides.
    pub hidden: u64,
    /// Whether ended rows follow the last one.
    pub more: bool,
}

impl<R> Default for Page<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), total: 0, hidden: 0, more: false }
    }
}

/// One run in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLine {
    /// Identity.
    pub id: RunId,
    /// `R-` number.
    pub number: i64,
    /// Version of the row, for requests that expect it unchanged.
    pub version: i64,
    /// State as stored.
    pub status: RunStatus,
    /// Step while running: `execute`.
    pub step: Option<String>,
    /// Name of the agent.
    pub agent: String,
    /// Issue, when the run has one.
    pub issue: Option<IssueName>,
    /// Name of the environment, when chosen.
    pub environment: Option<String>,
    /// When it was asked for.
    pub queued_at: UnixMillis,
    /// When its first step began.
    pub started_at: Option<UnixMillis>,
    /// When it ended.
    pub finished_at: Option<UnixMillis>,
    /// Last byte of output.
    pub last_output_at: Option<UnixMillis>,
    /// Judgement of the observer, while running.
    pub liveness: Option<Liveness>,
    /// What it asks a person, when it does.
    pub question: Option<String>,
    /// Open tool or command, when known.
    pub doing: Option<String>,
    /// Why it waits: `agent busy`, `after R-1041`, `quota`.
    pub waits_for: Option<String>,
    /// When a parked one tries again.
    pub due_at: Option<UnixMillis>,
    /// Requested stop: since when.
    pub stop_requested_at: Option<UnixMillis>,
    /// Requested stop: when it is killed.
    pub stop_deadline_at: Option<UnixMillis>,
    /// Why it was stopped: `operator`, `timeout` …
    pub stop_reason: Option<String>,
    /// Time it was allowed, for the words of a time-out.
    pub limit_ms: Option<i64>,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// Signal that ended it: `SIGKILL`.
    pub signal: Option<String>,
    /// Stored error code.
    pub error_code: Option<String>,
    /// Verdict on a finished run's work: `advanced`, `completed`, `plan only`.
    pub outcome: Option<String>,
    /// It could not be judged when last looked at.
    pub unknown: bool,
    /// Its active lease.
    pub lease: Option<LeaseName>,
    /// Services it uses: `S-12 web`.
    pub services: Vec<String>,
    /// Its workspace: `W-9`.
    pub workspace: Option<String>,
    /// Cost in millionths of a dollar; none when nobody said.
    pub cost_microusd: Option<i64>,
}

/// An issue as lists name it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssueName {
    /// `SHOP-17`.
    pub identifier: String,
    /// In words.
    pub title: String,
}

/// A lease as others name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseName {
    /// Identity.
    pub id: LeaseId,
    /// `L-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
}

impl RunLine {
    /// `R-1042`.
    pub fn name(&self) -> String {
        format!("R-{}", self.number)
    }

    /// Whether it stands in the upper group of the list.
    pub fn is_live(&self) -> bool {
        self.finished_at.is_none()
            && matches!(self.status, RunStatus::Queued | RunStatus::ScheduledRetry | RunStatus::Running)
    }

    /// Whether a process of it may be alive.
    pub fn is_running(&self) -> bool {
        self.is_live() && self.status == RunStatus::Running
    }

    /// Glyph class and word of its state.
    pub fn state(&self) -> (Class, &'static str) {
        if self.unknown || (self.is_running() && self.liveness == Some(Liveness::Unknown)) {
            return (Class::Unknown, "unknown");
        }
        match self.status {
            RunStatus::Queued => (Class::Waits, "queued"),
            RunStatus::ScheduledRetry => (Class::Clock, "parked"),
            RunStatus::Running if self.stop_requested_at.is_some() => (Class::Ending, "stopping"),
            RunStatus::Running if self.question.is_some() => (Class::NeedsPerson, "needs you"),
            RunStatus::Running => match self.liveness {
                Some(Liveness::Silent) => (Class::Doubtful, "silent"),
                Some(Liveness::Stalled) => (Class::Doubtful, "stalled"),
                _ => (Class::Alive, "running"),
            },
            RunStatus::Succeeded => (Class::Good, "done"),
            RunStatus::Failed => (Class::Bad, "failed"),
            RunStatus::TimedOut => (Class::Bad, "timed out"),
            RunStatus::Lost => (Class::Bad, "lost"),
            RunStatus::Cancelled => (Class::Chosen, "cancelled"),
        }
    }

    /// What it does now, or what it waits for.
    pub fn now_words(&self, now: UnixMillis, zone: Zone) -> String {
        if let Some(since) = self.stop_requested_at {
            let gone = format::duration(since.until(now));
            return match self.stop_deadline_at {
                Some(end) => format!("{gone} of {}", format::duration(since.until(end))),
                None => format!("for {gone}"),
            };
        }
        if let Some(question) = &self.question {
            return question.clone();
        }
        match (self.status, self.due_at) {
            (RunStatus::ScheduledRetry, Some(due)) => {
                let at = format::clock_minutes(due, zone);
                match &self.waits_for {
                    Some(what) => format!("{what} to {at}"),
                    None => format!("retry at {at}"),
                }
            }
            (RunStatus::Queued | RunStatus::ScheduledRetry, _) => {
                self.waits_for.clone().unwrap_or_else(|| "waits its turn".to_owned())
            }
            _ => self.doing.clone().or_else(|| self.step.clone()).unwrap_or_else(|| "–".to_owned()),
        }
    }

    /// How it ended, and whether the words tell of something bad.
    pub fn outcome_words(&self) -> (String, bool) {
        let code = || self.error_code.as_deref().map(|c| c.replace('_', " "));
        match self.status {
            RunStatus::Succeeded => (self.outcome.clone().unwrap_or_else(|| "–".to_owned()), false),
            RunStatus::Cancelled => match self.stop_reason.as_deref().or(self.error_code.as_deref()) {
                Some("operator") => ("by operator".to_owned(), false),
                Some(other) => (other.replace('_', " "), false),
                None => ("–".to_owned(), false),
            },
            RunStatus::TimedOut => match self.limit_ms {
                Some(ms) => (format!("{} limit", format::duration(ms)), true),
                None => ("time limit".to_owned(), true),
            },
            _ => {
                if let Some(signal) = &self.signal {
                    return (code().map_or_else(|| signal.clone(), |c| format!("{signal}, {c}")), true);
                }
                match (code(), self.exit_code) {
                    (Some(code), _) => (code, true),
                    (None, Some(exit)) => (format!("exit {exit}"), true),
                    (None, None) => (self.outcome.clone().unwrap_or_else(|| "–".to_owned()), true),
                }
            }
        }
    }

    /// Since it was asked for, or since it runs.
    pub fn age_ms(&self, now: UnixMillis) -> i64 {
        self.started_at.unwrap_or(self.queued_at).until(now)
    }

    /// How long an ended one took, when it had begun.
    pub fn took_ms(&self) -> Option<i64> {
        Some(self.started_at?.until(self.finished_at?))
    }

    /// Since the last byte, while a process may print.
    pub fn silent_ms(&self, now: UnixMillis) -> Option<i64> {
        if self.is_running() { self.last_output_at.map(|at| at.until(now)) } else { None }
    }
}

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

/// One lease.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseLine {
    /// Identity.
    pub id: LeaseId,
    /// `L-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Not in a terminal state.
    pub live: bool,
    /// Name of the environment.
    pub environment: String,
    /// Driver.
    pub driver: String,
    /// Policy in words: `reuse by workspace`.
    pub policy: String,
    /// Who holds it: `R-1042 fixer SHOP-17`.
    pub holder: Option<String>,
    /// `live`, `gone`, `unknown`.
    pub holder_state: Option<String>,
    /// What the holder's state was judged by.
    pub holder_evidence: Option<String>,
    /// The run that holds it.
    pub run: Option<RunId>,
    /// The workspace realised under it: `W-9 SHOP-17-fix-flaky-checkout`.
    pub workspace: Option<String>,
    /// Services that run under it: `S-14 db`.
    pub services: Vec<String>,
    /// When granted.
    pub acquired_at: Option<UnixMillis>,
    /// Last used.
    pub used_at: Option<UnixMillis>,
    /// When it expires.
    pub expires_at: Option<UnixMillis>,
    /// When released.
    pub released_at: Option<UnixMillis>,
    /// Clean-up in words, when there is one.
    pub cleanup: Option<String>,
    /// When clean-up is tried next.
    pub next_try_at: Option<UnixMillis>,
    /// Fence.
    pub fence: Option<i64>,
    /// More facts for its pane.
    pub facts: Vec<FactBlock>,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceLine {
    /// Identity.
    pub id: ServiceId,
    /// `S-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
    /// Name.
    pub name: String,
    /// Scope in words.
    pub scope: String,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Not stopped or failed.
    pub live: bool,
    /// Health in words.
    pub health: String,
    /// Why it is not healthy.
    pub why: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// URL.
    pub url: Option<String>,
    /// Process.
    pub pid: Option<u32>,
    /// Since when it runs.
    pub started_at: Option<UnixMillis>,
    /// Runs that use it: `R-1042`.
    pub users: Vec<String>,
    /// Stop policy in words.
    pub stop_policy: String,
    /// When it stops by itself.
    pub stops_at: Option<UnixMillis>,
    /// Wanted state: `running`, `stopped`, `manual`.
    pub desired: String,
    /// Restarts so far and allowed.
    pub restarts: (u32, u32),
    /// Name of who holds the port it wants: pid and command.
    pub stranger: Option<String>,
    /// More facts for its pane.
    pub facts: Vec<FactBlock>,
}

/// One execution workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceLine {
    /// Identity.
    pub id: WorkspaceId,
    /// `W-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Not archived.
    pub live: bool,
    /// How it was made, in words: `worktree`, `shared`, `scratch`.
    pub mode: String,
    /// Issue's identifier.
    pub issue: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// Base: `main@4c1e0f2`.
    pub base: Option<String>,
    /// Directory.
    pub path: String,
    /// Changed tracked files; none when not looked at yet.
    pub dirty: Option<u64>,
    /// Untracked files.
    pub untracked: Option<u64>,
    /// Commits before the base.
    pub ahead: Option<u64>,
    /// Commits behind it.
    pub behind: Option<u64>,
    /// Size of its directory.
    pub size_bytes: Option<u64>,
    /// When made.
    pub created_at: UnixMillis,
    /// Last used.
    pub used_at: Option<UnixMillis>,
    /// Who has it: a run's number.
    pub holder: Option<String>,
    /// The run that used it last, with its end: `R-1033 plan only`.
    pub last_run: Option<String>,
    /// Name of the environment.
    pub environment: Option<String>,
    /// More facts for its pane.
    pub facts: Vec<FactBlock>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationLine {
    /// Identity.
    pub id: OperationId,
    /// `O-` number.
    pub number: i64,
    /// Phase in words.
    pub phase: String,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Command as shown.
    pub command: String,
    /// Begin.
    pub started_at: Option<UnixMillis>,
    /// End.
    pub finished_at: Option<UnixMillis>,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityLine {
    /// Rising number of the entry.
    pub number: i64,
    /// When.
    pub at: UnixMillis,
    /// Who: `operator`, `R-1042`, `wharf`.
    pub who: String,
    /// What: `lease.released`.
    pub action: String,
    /// On which entity: `L-88`.
    pub entity: String,
    /// In words.
    pub details: String,
}

/// Counters of the header, and what else every screen knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Key or name of the project shown.
    pub project: String,
    /// Runs that need a person.
    pub needs_person: u64,
    /// Runs that run.
    pub running: u64,
    /// Runs that wait.
    pub queued: u64,
    /// Leases held.
    pub leases: u64,
    /// Services up.
    pub services: u64,
    /// Live runs for the quit dialog: `R-1040 (needs you)`, at most a dozen.
    pub live_runs: Vec<String>,
    /// Services that are up, for the quit dialog: `S-12 web`.
    pub live_services: Vec<String>,
    /// Named when the orchestrator is not this console.
    pub orchestrator: Option<String>,
    /// A change of the project's config that waits to be accepted.
    pub pending: Option<PendingConfig>,
}

/// A change of a project's config that waits to be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingConfig {
    /// Id of the project in its stored form.
    pub project: String,
    /// What differs from what is in force, among the values that need acceptance.
    pub changes: Vec<ConfigChange>,
}

impl PendingConfig {
    /// How much differs: `2 commands`, `1 value`.
    pub fn count(&self) -> String {
        let commands = self.changes.iter().all(|c| c.place.rsplit('.').next() == Some("command"));
        format::plural(self.changes.len() as u64, if commands { "command" } else { "value" })
    }
}

/// A value of a config that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Where it stands: `agent.fixer.config.command`.
    pub place: String,
    /// What is in force; none where there was nothing.
    pub old: Option<String>,
    /// What the file says; none where it says nothing any more.
    pub new: Option<String>,
}

impl ConfigChange {
    /// Both values in words.
    pub fn values(&self) -> (&str, &str) {
        (self.old.as_deref().unwrap_or("nothing"), self.new.as_deref().unwrap_or("nothing"))
    }
}

/// What a line of a preview says will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewVerb {
    /// Ends something that runs.
    Stops,
    /// Takes something away.
    Removes,
    /// Leaves something as it is.
    Keeps,
    /// Leaves something out.
    Leaves,
    /// Lets others have something.
    Frees,
    /// Writes something down.
    Records,
    /// Puts another value in force.
    Changes,
    /// Goes on with the words of the row above.
    More,
}

impl PreviewVerb {
    /// The word in the first column.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stops => "stops",
            Self::Removes => "removes",
            Self::Keeps => "keeps",
            Self::Leaves => "leaves",
            Self::Frees => "frees",
            Self::Records => "records",
            Self::Changes => "changes",
            Self::More => "",
        }
    }
}

/// One line of a preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewLine {
    /// What happens.
    pub verb: PreviewVerb,
    /// To what.
    pub what: String,
    /// How, or why.
    pub how: String,
}

/// What a request would do, in the order in which it would happen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// Lines.
    pub lines: Vec<PreviewLine>,
    /// A sentence below: how it is recorded, whether it can be undone.
    pub note: String,
    /// Id and version of every row it was judged by.
    pub expect: Vec<Expect>,
    /// When it was computed.
    pub at: UnixMillis,
    /// Why it cannot be done at all; then nothing can be confirmed.
    pub refused: Option<String>,
    /// Arguments of the request that say what was shown.
    pub args: Vec<(&'static str, String)>,
}

/// A row that a request expects unchanged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Expect {
    /// Id in its stored form.
    pub id: String,
    /// Version.
    pub version: i64,
}

/// Which child stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// Where it begins.
    pub place: LinePlace,
    /// Number within the chosen streams, from 0; none until all lines before it are counted.
    pub number: Option<u64>,
    /// Where it came from.
    pub stream: Stream,
    /// When its first byte was read.
    pub at: UnixMillis,
    /// Its bytes, without the line end.
    pub bytes: Vec<u8>,
    /// Only its beginning is here: it is longer than what is read at once.
    pub cut: bool,
}

/// Words between two lines: a gap in the log, a new attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputNote {
    /// Stands before the line at this place, or before the first one behind it.
    pub before: LinePlace,
    /// What it says.
    pub text: String,
}

/// What has become of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OutputState {
    /// Nothing has been read yet.
    #[default]
    Reading,
    /// The child may print more.
    Live,
    /// The child has ended.
    Ended {
        /// When.
        at: UnixMillis,
        /// How: `exit 0`.
        how: String,
    },
    /// The shim was lost; nothing more will come.
    Lost,
    /// The reader is this many bytes behind the log's end.
    Behind(u64),
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputLines {
    /// Consecutive lines.
    pub lines: Vec<OutputLine>,
    /// Words between them.
    pub notes: Vec<OutputNote>,
    /// The first of them is the first of the log.
    pub first: bool,
    /// The last of them is the last so far.
    pub last: bool,
    /// How many lines there are.
    pub counted: Counted,
    /// Bytes of the chosen streams so far.
    pub total_bytes: u64,
    /// What has become of it.
    pub state: OutputState,
    /// When the owner's process began, for times since then.
    pub started_at: Option<UnixMillis>,
    /// Which start of the owner these are of; lines of two starts never stand together.
    pub generation: u32,
}

/// How many lines of the chosen streams there are, as far as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Lines counted.
    pub lines: u64,
    /// Share of the log that was counted, in percent; at 100 these are all lines so far.
    pub percent: u8,
    /// Number of the line that was asked about, when it is known.
    pub number: Option<u64>,
}

impl Counted {
    /// These are all lines there are.
    pub const fn all(lines: u64) -> Self {
        Self { lines, percent: 100, number: None }
    }
}

/// Where a search found something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchHits {
    /// Places of matching lines, rising, at most as many as were asked for.
    pub lines: Vec<LinePlace>,
    /// All matching lines.
    pub total: u64,
    /// Share of the log that was searched, in percent; below 100 the answer is preliminary.
    pub percent: u8,
}

/// What the new-run dialog offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormAgents {
    /// Agents of the project.
    pub agents: Vec<FormAgent>,
    /// Issues that are open, newest first.
    pub issues: Vec<IssueName>,
    /// Names of environments a run may use.
    pub environments: Vec<String>,
}

/// One agent of the new-run dialog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormAgent {
    /// Name.
    pub name: String,
    /// Adapter with version: `claude 2.1.4`.
    pub adapter: String,
    /// Slots in use and allowed.
    pub slots: (u32, u32),
    /// Environment it runs in when nothing else is said.
    pub environment: Option<String>,
    /// Why it cannot start now: paused, over budget.
    pub blocked: Option<String>,
}

/// What wharf knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    /// The orchestrator; none when nobody is.
    pub orchestrator: Option<OrchestratorLine>,
    /// The database.
    pub store: StoreLine,
    /// Requests that are not answered yet.
    pub waiting: u64,
    /// The queue: those that wait first, then the newest answered ones.
    pub requests: Vec<RequestLine>,
    /// How many there are of each kind: `runs`, 1042.
    pub counts: Vec<(String, u64)>,
    /// Program, protocol and libraries: `wharf`, `0.1.0`.
    pub versions: Vec<(String, String)>,
    /// What is not as it should be, each in one sentence; the worst first.
    pub troubles: Vec<String>,
}

/// The process that orchestrates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrchestratorLine {
    /// Process.
    pub pid: u32,
    /// Whether it is this console.
    pub is_this: bool,
    /// Epoch of its reign.
    pub epoch: i64,
    /// When its reign began.
    pub since: UnixMillis,
    /// Version of its program.
    pub version: String,
}

/// Facts of the database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreLine {
    /// Its file.
    pub path: String,
    /// Version of its schema.
    pub schema: i64,
    /// Size of the file.
    pub bytes: u64,
    /// Size of its write-ahead log.
    pub wal_bytes: u64,
    /// Files and bytes of logs, when counted.
    pub logs: Option<(u64, u64)>,
}

/// One request of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// `Q-` number.
    pub number: i64,
    /// Kind: `run.cancel`.
    pub kind: String,
    /// Name of its target: `R-1042`; empty when it has none.
    pub target: String,
    /// Class of the state.
    pub class: Class,
    /// Word of the state: `pending`, `done`.
    pub word: String,
    /// When it was asked.
    pub created_at: UnixMillis,
    /// How long it took to an end, when it has one.
    pub took_ms: Option<i64>,
    /// Why it was refused or failed.
    pub error: Option<String>,
}

//! What dispatch decides about: requests, facts, the passing of time.

use serde_json::Value;
use wharf_model::config::{ProjectConfig, Retention};
use wharf_model::rules::close_check;
use wharf_model::shim::{ChildRef, ExitFrame, LimitsReport};
use wharf_model::{
    ActionId, ActorType, CheckoutMoment, Health, IssueRow, LeaseId, OperationId, OperationPhase, OperationStatus,
    ProjectId, RequestId, RequestRow, RunId, ServiceId, SnapshotId, UnixMillis, WorkspaceId, WorkspaceMode,
    WorkspaceSource, WorkspaceStrategy,
};

use crate::environment::driver::{Check, Collected, Queue, RealiseAsk, Realised};

/// One thing to decide about.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A reign began: open actions are intended anew.
    Begin,
    /// A request row that waits, with what had to be read for it.
    Request(Box<RequestRow>, Prepared),
    /// Something that was observed; never refused, at most late.
    Fact(Fact),
    /// Time passed: whatever is overdue is dealt with.
    Sweep,
    /// Something happened to this reign itself.
    Occurred(Occurrence),
}

/// What happens to a reign, and to nothing that it keeps.
#[derive(Debug, Clone, PartialEq)]
pub enum Occurrence {
    /// It began by ending the process that reigned before; who and what, for the audit trail.
    TookOver {
        /// The operator who wanted it.
        by: String,
        /// What was known of the process.
        before: Value,
    },
    /// The wall clock was set, or the machine slept.
    ClockMoved {
        /// Milliseconds by which the wall clock jumped; negative when it went back.
        step_ms: i64,
        /// Milliseconds that the machine slept.
        slept_ms: i64,
    },
    /// Everything that was open when it began has been looked at.
    Recovered(Recovery),
}

/// What became of what was open when a reign began.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recovery {
    /// Time it took.
    pub took_ms: i64,
    /// Each run, service and operation that was looked at.
    pub found: Vec<Found>,
    /// Requests that had waited and were answered meanwhile.
    pub requests: u64,
}

/// What became of one run, service or operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// `run`, `service` or `operation`.
    pub entity: &'static str,
    /// UUID.
    pub id: String,
    /// `R-12`, `S-3`, `O-4`.
    pub number: String,
    /// The verdict.
    pub verdict: Verdict,
    /// In words: where its output continues, how it ended, the evidence.
    pub words: String,
}

/// A verdict of recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It lives and is kept on.
    Adopted,
    /// It ended while nobody was there.
    Ended,
    /// It had been intended, and was started now.
    Started,
    /// Its keeper died without a record.
    Lost,
    /// It cannot be told.
    Unknown,
}

impl Verdict {
    /// As it stands in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::Ended => "ended",
            Self::Started => "started",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }
}

/// What was read from outside before a request is decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// Nothing was needed.
    Nothing,
    /// The project's config as it stands in its file now.
    Config(Box<ConfigRead>),
    /// What a pass over old logs may remove.
    Gc(Box<GcPlan>),
    /// What was found in a workspace that is to be archived.
    Close(Box<CloseRead>),
    /// What was found in workspaces that may be archived by themselves.
    Reap(Box<ReapRead>),
    /// How long things are kept, by the operator's own config.
    Kept(Retention),
    /// The issue that a request is about: closed ones are not in memory.
    Issue(Box<IssueRow>),
    /// Reading failed; the request is refused with this.
    Failed {
        /// Error code.
        code: String,
        /// In words.
        message: String,
    },
}

/// A workspace as it was found, and how long things are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct CloseRead {
    /// What is in its directory.
    pub found: close_check::Found,
    /// The operator's own config.
    pub retention: Retention,
}

/// Workspaces as they were found, and how long things are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct ReapRead {
    /// Every workspace that nobody shares or uses.
    pub candidates: Vec<ReapCandidate>,
    /// The operator's own config.
    pub retention: Retention,
}

/// One workspace that may be archived by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ReapCandidate {
    /// Which.
    pub workspace: WorkspaceId,
    /// Version of the row that was judged.
    pub version: i64,
    /// When the last of its issues was closed.
    pub closed_at: Option<UnixMillis>,
    /// From when on it may go.
    pub eligible_at: Option<UnixMillis>,
    /// What is in its directory; none where time alone keeps it.
    pub found: Option<close_check::Found>,
    /// Why it stays; none when it is due.
    pub stays: Option<String>,
}

/// A directory of the trash, or a snapshot, whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcKept {
    /// The workspace, or its snapshot.
    pub of: KeptOf,
    /// Its number: `W-7`, `W-7.2`.
    pub number: String,
    /// Where it lies.
    pub place: String,
    /// Where its repository can be opened.
    pub repo: String,
    /// Bytes of it, where they were counted.
    pub bytes: Option<u64>,
    /// When its time was over.
    pub due_at: UnixMillis,
}

/// What of a workspace is kept for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptOf {
    /// What lies in a trash at the place that is named: a directory, or what git had of one.
    Trash(WorkspaceId),
    /// A snapshot of it.
    Snapshot(SnapshotId),
}

/// What may be removed at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcPlan {
    /// How long logs are kept, milliseconds; none keeps them for ever.
    pub keep_ms: Option<u64>,
    /// Why these logs go, for people: `older than 30d`.
    pub reason: String,
    /// Logs of ended runs, the oldest first.
    pub logs: Vec<GcLog>,
    /// Directories in the trash, and snapshots, whose time is over.
    pub kept: Vec<GcKept>,
    /// Files of the cache, relative to the data directory.
    pub cache: Vec<String>,
    /// Directories that no row knows; they are reported and stay.
    pub orphans: Vec<String>,
    /// More is due than one pass takes.
    pub more: bool,
}

/// A log that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcLog {
    /// Whose.
    pub owner: LogOwner,
    /// Its number: `R-12`, `O-3`, `S-2`.
    pub number: String,
    /// Its directory, relative to the data directory.
    pub dir: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// When the process ended.
    pub finished_at: UnixMillis,
}

/// Whose log one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOwner {
    /// Of a run.
    Run(RunId),
    /// Of an operation.
    Operation(OperationId),
    /// Of one start of a service.
    Service(ServiceId, u32),
}

impl LogOwner {
    /// Kind of the entity, as in actions.
    pub const fn entity(self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Operation(_) => "operation",
            Self::Service(..) => "service",
        }
    }

    /// UUID of the entity.
    pub fn id(self) -> String {
        match self {
            Self::Run(id) => id.text(),
            Self::Operation(id) => id.text(),
            Self::Service(id, _) => id.text(),
        }
    }

    /// Which start of a service it is of.
    pub const fn start(self) -> Option<u32> {
        match self {
            Self::Service(_, generation) => Some(generation),
            Self::Run(_) | Self::Operation(_) => None,
        }
    }
}

/// A project's config, read and validated.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigRead {
    /// Main checkout or directory, absolute.
    pub path: String,
    /// Id kept inside the project.
    pub project_uuid: wharf_model::ProjectId,
    /// Git's common directory, when it is a repository.
    pub git_common_dir: Option<String>,
    /// Url of its repository: the one of the config, else that of `origin`; without a secret in it.
    pub repo_url: Option<String>,
    /// Where else a project with this id still stands: one of the two is a copy.
    pub also_at: Option<String>,
    /// Projects of which nothing is left where they stood: at this very path, or those with this key.
    pub gone: Vec<wharf_model::ProjectId>,
    /// What the file says, with defaults filled in, but for the mode that depends on the repository.
    pub config: ProjectConfig,
    /// That mode: the written one, or the one that stands in for none.
    pub mode: wharf_model::config::WorkspaceMode,
}

impl ConfigRead {
    /// Hash of what can execute, as it is written: what the repository is like is no change of the file.
    pub fn executable_hash(&self) -> String {
        self.config.executable_hash()
    }

    /// Whether this is what was accepted. Hashes of earlier versions have the mode filled in.
    pub fn is_accepted_as(&self, hash: &str) -> bool {
        hash == self.executable_hash() || hash == self.in_force().executable_hash()
    }

    /// The config as it is in force: with the mode.
    pub fn in_force(&self) -> ProjectConfig {
        let mut config = self.config.clone();
        if config.workspace.mode.is_none() {
            config.workspace.mode = Some(self.mode);
            config.workspace.mode_assumed = true;
        }
        config
    }
}

/// Where a project stood when it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its directory.
    pub path: String,
    /// Its key.
    pub key: String,
    /// Whether it was removed since.
    pub removed: bool,
}

impl From<&wharf_model::ProjectRow> for Known {
    fn from(row: &wharf_model::ProjectRow) -> Self {
        Self { path: row.path.clone(), key: row.key.clone(), removed: row.removed_at.is_some() }
    }
}

/// Which workspace a run shall work in, decided before anything is made on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedWorkspace {
    /// Mode.
    pub mode: WorkspaceMode,
    /// Strategy.
    pub strategy: WorkspaceStrategy,
    /// Name for people.
    pub name: String,
    /// Directory; the key by which a workspace is found again.
    pub cwd: String,
    /// How the directory was found.
    pub source: WorkspaceSource,
    /// Url of its repository.
    pub repo_url: Option<String>,
    /// Root of the worktree, when it is one; `cwd` is in it.
    pub worktree: Option<String>,
    /// Top level of the repository.
    pub repo_root: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// Base as named.
    pub base_ref: Option<String>,
    /// Base as a commit.
    pub base_commit: Option<String>,
    /// Whether it is there already.
    pub reused: bool,
    /// A reason why it is not what was configured; said to the operator.
    pub remark: Option<String>,
}

/// An operation on a workspace, about to begin.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedOperation {
    /// Its id, chosen by the executor so that it can name the directory.
    pub id: OperationId,
    /// Phase.
    pub phase: OperationPhase,
    /// Command as shown.
    pub command: Option<String>,
    /// Directory.
    pub cwd: Option<String>,
    /// Time it may take.
    pub timeout_ms: i64,
    /// Where its log will be, relative to the data directory.
    pub log_ref: Option<String>,
}

/// Whose an operation is that belongs to no run.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationOwner {
    /// Project.
    pub project: ProjectId,
    /// Workspace that it is done on.
    pub workspace: Option<WorkspaceId>,
    /// Service that it is done for.
    pub service: Option<ServiceId>,
    /// The action that does it.
    pub action: ActionId,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OperationEnd {
    /// Outcome.
    pub status: OperationStatus,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// Signal by name.
    pub signal: Option<String>,
    /// Cause in words.
    pub error: Option<String>,
    /// Last output.
    pub stdout_excerpt: Option<String>,
    /// Last error output.
    pub stderr_excerpt: Option<String>,
    /// Somebody's order to stop was delivered: that is how it ended.
    pub stopped: bool,
}

/// What executors, timers and shims observed.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A lease was granted by its driver.
    LeaseAcquired {
        action: ActionId,
        lease: LeaseId,
        /// In a word, who provides it.
        provider: String,
        provider_lease_id: Option<String>,
        expires_at: Option<UnixMillis>,
        /// The driver's own, for its later calls.
        facts: Value,
        /// It is what an earlier lease held.
        resumed: bool,
    },
    /// It is certain that what an earlier lease left for this one is not there any more; a new place is about to be
    /// obtained.
    LeasePlaceGone { lease: LeaseId },
    /// It stands in a queue of the provider.
    LeaseQueued { lease: LeaseId, queue: Queue },
    /// A driver refused.
    LeaseRefused { action: ActionId, lease: LeaseId, code: String, message: String },
    /// A lease was given back, or destroyed at the provider.
    LeaseReleased { action: ActionId, lease: LeaseId },
    /// Giving it back failed.
    LeaseReleaseFailed { action: ActionId, lease: LeaseId, message: String },
    /// What a lease holds was laid by, or why it was not.
    LeaseLaidBy { action: ActionId, lease: LeaseId, failed: Option<String> },
    /// The provider gives it until then.
    LeaseExtended { action: ActionId, lease: LeaseId, until: UnixMillis },
    /// The provider gives it no more time than this.
    LeaseNotExtended { action: ActionId, lease: LeaseId, latest: Option<UnixMillis>, message: String },
    /// What the provider says of a lease.
    LeaseObserved { action: ActionId, lease: LeaseId, seen: LeaseSeen },
    /// An environment was looked at.
    EnvironmentProbed { action: ActionId, checks: Vec<Check>, took_ms: i64 },
    /// An adapter was tried in a place that was acquired for it.
    EnvironmentTested { action: ActionId, lease: LeaseId, checks: Vec<Check>, took_ms: i64 },
    /// It was decided where a run shall work.
    WorkspacePlanned { run: RunId, attempt: u32, plan: Box<PlannedWorkspace> },
    /// An operation is about to begin.
    OperationPlanned { run: RunId, attempt: u32, operation: PlannedOperation },
    /// A shim waits for room on the disk of its log, or does no more. It changes no row: the disk of the
    /// store may be the same one.
    DiskWaited { entity: &'static str, id: String, waits: bool },
    /// An operation that belongs to no run is about to begin: a job, part of an archive, a look before a service starts.
    OwnOperationPlanned { owner: OperationOwner, operation: PlannedOperation },
    /// An operation that an earlier reign left under way was looked at. It changes no row.
    OperationObserved { operation: OperationId, verdict: Verdict, words: String },
    /// How far an operation without a process is.
    OperationProgress { operation: OperationId, text: String },
    /// An operation ended.
    OperationEnded { operation: OperationId, end: OperationEnd },
    /// The run's workspace is ready.
    WorkspaceRealised {
        action: ActionId,
        run: RunId,
        attempt: u32,
        cwd: String,
        created: bool,
        branch_created: bool,
        base: Option<(String, String)>,
        note: String,
        /// What was asked of the place and what it made of it, where the environment is not this machine.
        realisation: Option<Box<Realisation>>,
    },
    /// It could not be made.
    WorkspaceFailed {
        action: ActionId,
        run: RunId,
        attempt: u32,
        message: String,
        cause: Option<String>,
        /// What stands of it all the same; none where it was not made at all.
        stands: Option<Box<StandingWorkspace>>,
    },
    /// The adapter's process runs.
    RunStarted {
        run: RunId,
        attempt: u32,
        child: ChildRef,
        boot_id: String,
        at: UnixMillis,
        /// Somebody else had started it; its output goes on at this byte.
        adopted: Option<u64>,
        /// How its limits are kept; absent when it has none.
        limits: Option<Box<LimitsReport>>,
    },
    /// The adapter ended; its tree is gone.
    RunEnded {
        action: ActionId,
        run: RunId,
        attempt: u32,
        exit: Box<ExitFrame>,
        output: RunOutput,
        /// What was brought back from where it ran; none where nothing had to be.
        collected: Option<Result<Collected, String>>,
    },
    /// No process could be started.
    RunNotStarted { action: ActionId, run: RunId, attempt: u32, code: String, message: String },
    /// Its keeper died without a record.
    RunLost {
        action: ActionId,
        run: RunId,
        attempt: u32,
        evidence: String,
        output: RunOutput,
        /// What was brought back from where it ran; none where nothing had to be.
        collected: Option<Result<Collected, String>>,
    },
    /// It cannot be judged, or can again.
    RunObserved { run: RunId, attempt: u32, unknown: Option<String> },
    /// Something about it that its operator should know, where there is a note; without one it changes no row, and
    /// only the answer counts: whether the run goes on.
    RunNoted { run: RunId, attempt: u32, note: Option<String> },
    /// The state of a workspace was kept.
    SnapshotTaken { action: ActionId, workspace: WorkspaceId, snapshot: Box<TakenSnapshot> },
    /// A workspace is about to be moved. It changes no row; the answer says whether it still may be.
    WorkspaceMoves { action: ActionId, workspace: WorkspaceId },
    /// What git had of a worktree whose directory was gone lies at a place now, until its time is over.
    WorkspaceParked { action: ActionId, workspace: WorkspaceId, place: String },
    /// A workspace was archived: its directory lies in the trash, or was gone before.
    WorkspaceArchived { action: ActionId, workspace: WorkspaceId, gone: Box<ArchivedWorkspace> },
    /// A workspace was brought back, or a snapshot was put into it.
    WorkspaceRestored { action: ActionId, workspace: WorkspaceId, back: Box<RestoredWorkspace> },
    /// What was asked of a workspace could not be done, and trying again would not help.
    /// `in_place` says that its directory is certainly where it was, whole.
    WorkspaceWorkFailed { action: ActionId, workspace: WorkspaceId, message: String, in_place: bool },
    /// Whether the directory of a resting workspace is there, which is certain either way; of the row in this version.
    WorkspaceSeen { workspace: WorkspaceId, version: i64, there: bool },
    /// What was kept for a while is removed for good.
    TrashEmptied { action: ActionId },
    /// At which commit the checkout stood that it works in, when it began or when it had ended; none before the first.
    RunCheckout { run: RunId, attempt: u32, moment: CheckoutMoment, head: Option<String> },
    /// Hashes of a run's log.
    LogSealed {
        action: ActionId,
        run: RunId,
        log_sha256: String,
        stdout_sha256: String,
        stderr_sha256: String,
        log_bytes: i64,
    },
    /// Every segment of a run's log is there in its compressed form.
    LogCompressed { action: ActionId, run: RunId },
    /// The port that a service is about to be given; durable before its process is started, so that
    /// whoever finds the process knows where it listens.
    ServicePortReserved { service: ServiceId, generation: u32, port: i64, url: Option<String> },
    /// A service's process runs.
    ServiceStarted {
        service: ServiceId,
        generation: u32,
        child: ChildRef,
        port: Option<i64>,
        url: Option<String>,
        /// Hash of the environment it was started with; none when it was found alive.
        fingerprint: Option<String>,
        adopted: bool,
    },
    /// A service answers.
    ServiceReady { service: ServiceId, generation: u32 },
    /// What its checks say of a running service has changed: unhealthy only after as many failures as its config asks for.
    ServiceHealth {
        service: ServiceId,
        generation: u32,
        health: Health,
        /// What was asked, what came, how often; for people. None when there is nothing to say.
        evidence: Option<String>,
    },
    /// A service ended.
    ServiceEnded {
        action: ActionId,
        service: ServiceId,
        generation: u32,
        exit: Option<Box<ExitFrame>>,
        code: Option<String>,
        message: Option<String>,
    },
    /// A `wharf` inside a run said something.
    AgentSaid { run: RunId, attempt: u32, seq: i64, message_id: String, kind: String, body: Value },
    /// The store was copied.
    StoreBackedUp { action: ActionId, path: String, bytes: i64 },
    /// It could not be copied.
    StoreNotBackedUp { action: ActionId, code: String, message: String },
    /// The store was looked through, and this was found.
    StoreDamageFound { finding: String },
    /// An action was carried out and needs no more.
    ActionDone { action: ActionId },
    /// An action failed and may be tried again.
    ActionFailed { action: ActionId, error: String },
}

/// A snapshot that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Why it was made.
    pub reason: String,
    /// Full name of its ref.
    pub ref_name: String,
    /// The commit of the work tree.
    pub commit: String,
    /// Commit that HEAD was at.
    pub head: Option<String>,
    /// Branch that was checked out.
    pub branch: Option<String>,
    /// Files in it.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
    /// What is not in it, and what git was in the middle of.
    pub metadata: Value,
}

/// A workspace that was made, although its run could not go on in it: its provision failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingWorkspace {
    /// Whether its directory was made for it.
    pub created: bool,
    /// Whether its branch was made for it.
    pub branch_created: bool,
    /// What it began at: name and commit.
    pub base: Option<(String, String)>,
}

/// What became of a workspace that was archived.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArchivedWorkspace {
    /// Where its directory lies; none when it was gone.
    pub trash_path: Option<String>,
    /// Bytes of that, where they were counted.
    pub bytes: Option<u64>,
    /// Whether its branch was removed.
    pub branch_deleted: bool,
    /// What is worth knowing: commands that failed, why its branch was kept.
    pub notes: Vec<String>,
}

/// How a workspace came back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestoredWorkspace {
    /// Root of its directory.
    pub path: String,
    /// Branch that is checked out.
    pub branch: Option<String>,
    /// The snapshot that it was made of; none from the trash.
    pub snapshot: Option<SnapshotId>,
    /// What is not as it was.
    pub notes: Vec<String>,
}

/// What a provider says of a lease.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaseSeen {
    /// It is there, until then if the provider says so.
    Held(Option<UnixMillis>),
    /// It is certain that it is not there.
    Gone,
    /// It could not be found out.
    Unknown(String),
}

/// A realisation, as it is kept with the lease and the workspace.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Realisation {
    /// What was asked.
    pub request: RealiseAsk,
    /// What came of it.
    pub result: Realised,
}

/// What is known of a run's output at its end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunOutput {
    /// Directory of the log, relative to the data directory.
    pub log_ref: Option<String>,
    /// Last bytes of stdout, as text.
    pub stdout_excerpt: Option<String>,
    /// Last bytes of stderr, as text.
    pub stderr_excerpt: Option<String>,
    /// Bytes of stdout.
    pub stdout_bytes: i64,
    /// Bytes of stderr.
    pub stderr_bytes: i64,
    /// Number of the last frame.
    pub last_seq: i64,
    /// When the last output came.
    pub last_output_at: Option<UnixMillis>,
}

/// Who acts, for rows of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Kind.
    pub kind: ActorType,
    /// Name.
    pub id: String,
}

impl Actor {
    /// The program itself.
    pub fn system() -> Self {
        Self { kind: ActorType::System, id: "wharf".into() }
    }
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Error code of contracts 10.
    pub code: &'static str,
    /// In words, with the entity and what can be done.
    pub message: String,
}

impl Refusal {
    /// A refusal with a code and words.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A request that asked for something that is now so, or can no longer be.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Request.
    pub request: RequestId,
    /// Result for its row.
    pub result: Value,
}

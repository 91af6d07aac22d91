//! The world outside: executors that are lost with the program, processes that are not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;
use wharf_model::shim::{ChildRef, EndedBy, ExitFrame, SpawnError, StopReport, Usage};
use wharf_model::{ActionId, LeaseId, OperationId, RequestRow, RunId, ServiceId, WorkspaceId};

use crate::dispatch::input::Fact;
use crate::dispatch::perform::SealPart;

/// What a shim directory belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Run,
    Service,
    Operation,
}

impl Owner {
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "run" => Some(Self::Run),
            "service" => Some(Self::Service),
            "operation" => Some(Self::Operation),
            _ => None,
        }
    }
}

/// A shim directory: owner, id, attempt or generation. Used once.
pub type Dir = (Owner, Uuid, u32);

/// How a child ends by itself.
#[derive(Debug, Clone, Copy)]
pub enum How {
    Code(i32),
    Signal(&'static str, bool),
}

/// A stop under way.
#[derive(Debug, Clone)]
pub struct Stop {
    pub reason: String,
    pub by: EndedBy,
    pub asked_ms: i64,
    pub kill_at: i64,
}

/// A shim with its child.
#[derive(Debug)]
pub struct Shim {
    /// The child or anything below it lives.
    pub alive: bool,
    /// It does not end on SIGTERM.
    pub deaf: bool,
    /// It ends by itself, sooner or later.
    pub will_end: bool,
    pub exit: Option<ExitFrame>,
    /// The shim died without a record.
    pub lost: bool,
    pub stop: Option<Stop>,
    /// Reign and action of the executor that watches it.
    pub watch: Option<(u32, ActionId)>,
    /// For an operation: the run it prepares a workspace for.
    pub prepares: Option<(RunId, u32)>,
    pub ready: bool,
    /// Orders before this moment are not heard; said when the first one comes.
    pub hangs_until: Option<i64>,
    pub started_ms: i64,
}

/// What an executor does next; lost when the program ends.
#[derive(Debug, Clone)]
pub enum Task {
    Acquire { action: ActionId, lease: LeaseId, resumes: Option<String>, remote: bool },
    Release { action: ActionId, lease: LeaseId, place: Option<String>, keep: bool },
    Extend { action: ActionId, lease: LeaseId, place: Option<String>, until: i64 },
    Observe { action: ActionId, lease: LeaseId, place: Option<String> },
    Spawn { action: ActionId, run: RunId, attempt: u32, stop_asked: bool, timeout_ms: Option<i64>, grace_ms: i64 },
    Stop { action: ActionId, dir: Dir, reason: String, grace_ms: i64, force: bool },
    Realise { action: ActionId, run: RunId, attempt: u32, stage: Stage },
    Serve { action: ActionId, service: ServiceId, generation: u32, stopping: bool },
    Delete { action: ActionId },
    Pack { action: ActionId },
    Seal { action: ActionId, run: RunId, part: SealPart },
    Workspace { action: ActionId, stage: WorkspaceStage },
}

/// Where work on a workspace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkspaceStage {
    Begin,
    Ask,
    Answer,
    Move,
    /// What git had of one that was gone has been told of.
    Parked,
    Done,
}

/// Where the making of a workspace is.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    Plan,
    Prepare,
    Begin(OperationId),
    Adopt(OperationId),
    Done,
    Failed,
}

/// What happens at a moment.
#[derive(Debug, Clone)]
pub enum Event {
    /// A fact reaches the dispatcher; then its executor goes on.
    Tell { reign: u32, fact: Box<Fact>, then: Option<Task> },
    /// An executor goes on.
    Task { reign: u32, task: Task },
    /// A child ends by itself.
    ChildEnds { dir: Dir, how: How },
    /// A child ends because of SIGTERM.
    TermEnds { dir: Dir },
    /// The grace is over.
    Kill { dir: Dir },
    /// The time a shim keeps for its child is over.
    TimeOver { dir: Dir, grace_ms: i64 },
    /// A shim is killed.
    ShimDies { dir: Dir },
    /// A service begins to answer.
    Answers { dir: Dir },
    /// The operator, a script or an agent asks for something.
    Ask,
    /// Requests may wait.
    Wake,
    /// A request that was read before is handed over once more.
    Stale(Box<RequestRow>),
    /// A new reign begins.
    Restart,
}

/// Processes and directories.
#[derive(Default)]
pub struct World {
    pub shims: BTreeMap<Dir, Shim>,
    /// Directories in which a stop was left before any shim came.
    pub forbidden: BTreeSet<Dir>,
    pub pids: i32,
    /// What providers hold, by its id: the lease that it was acquired for.
    pub places: BTreeMap<String, LeaseId>,
    /// What lies in a trash, by its place: directories of workspaces, and what git had of those that were gone.
    pub trash: BTreeMap<String, WorkspaceId>,
    /// What an executor saw that must never be.
    pub wrong: Option<String>,
}

impl World {
    pub fn child(&mut self) -> ChildRef {
        self.pids += 1;
        ChildRef { pid: self.pids, start_ticks: 1000 + self.pids as u64, pgid: self.pids, sid: self.pids }
    }

    /// Directories of one owner in which a process lives.
    pub fn living(&self, owner: Owner, id: Uuid) -> impl Iterator<Item = &Dir> {
        self.shims.range((owner, id, 0)..=(owner, id, u32::MAX)).filter(|(_, s)| s.alive).map(|(dir, _)| dir)
    }
}

/// An exit frame for a child that ended, from what the shim knows.
pub fn exit_frame(shim: &Shim, how: How, killed: u32, now_ms: i64) -> ExitFrame {
    let (code, signal, oom) = match how {
        How::Code(code) => (Some(code), None, false),
        How::Signal(name, oom) => (None, Some(name.to_owned()), oom),
    };
    ExitFrame {
        t: "exit".into(),
        v: 1,
        code,
        signal,
        core: false,
        by: shim.stop.as_ref().map_or(EndedBy::Itself, |s| s.by),
        stop: shim.stop.as_ref().map(|s| StopReport {
            reason: s.reason.clone(),
            asked_ms: s.asked_ms,
            delivered: true,
            killed,
            survivors: Vec::new(),
        }),
        streams: BTreeMap::new(),
        leaky: false,
        started_ms: shim.started_ms,
        ended_ms: now_ms,
        rusage: Usage::default(),
        oom,
        oom_evidence: None,
        limits: None,
        spawn_error: None,
        sync_failed: None,
    }
}

/// An exit frame of a shim that could not start its child.
pub fn spawn_failed(now_ms: i64) -> ExitFrame {
    ExitFrame {
        t: "exit".into(),
        v: 1,
        code: None,
        signal: None,
        core: false,
        by: EndedBy::Itself,
        stop: None,
        streams: BTreeMap::new(),
        leaky: false,
        started_ms: now_ms,
        ended_ms: now_ms,
        rusage: Usage::default(),
        oom: false,
        oom_evidence: None,
        limits: None,
        spawn_error: Some(SpawnError {
            code: "command_not_found".into(),
            message: "no such program".into(),
            errno: None,
        }),
        sync_failed: None,
    }
}

/// A text in a JSON object; empty when it is not there.
pub fn text(value: Option<&Value>, name: &str) -> String {
    value.and_then(|v| v[name].as_str()).unwrap_or_default().to_owned()
}

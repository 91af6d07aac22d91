//! What the orchestrator and a shim say to each other: the spec, the start message, the control
//! protocol and the exit frame (contracts 6.1 to 6.4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::words;

mod limits;

pub use limits::{LimitsReport, OomEvidence, limit};

/// Newest version of the control protocol that this program speaks.
pub const PROTOCOL: u32 = 1;
/// Longest line of the control and agent sockets, in bytes.
pub const LINE_MAX_BYTES: usize = 64 * 1024;
/// Exit status of a shim whose directory had been used before.
pub const EXIT_DIRECTORY_USED: i32 = 100;

words! {
    /// What a shim's directory belongs to.
    pub enum ShimKind { Run = "run", Service = "service", Operation = "operation" }
}

words! {
    /// What happens when a log reaches its quota.
    pub enum OnQuota { Block = "block", Kill = "kill", HeadTail = "head_tail" }
}

words! {
    /// What happens while the disk is full: the child waits, or bytes are dropped with a gap record.
    pub enum OnFull { Block = "block", Drop = "drop" }
}

words! {
    /// Whether the start message carries bytes for the child's standard input.
    pub enum StdinMode { None = "none", Sent = "sent" }
}

/// `spec.json`: everything a shim needs that is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Version of this format: 1.
    pub v: u32,
    /// Owner's kind.
    pub kind: ShimKind,
    /// Owner's id, a UUID in its stored form.
    pub id: String,
    /// Attempt of a run or operation, generation of a service.
    pub attempt: u32,
    /// Epoch of the orchestrator that wrote this.
    pub epoch: i64,
    /// Program and arguments; with `shell`, exactly one string for `$SHELL -c`.
    pub argv: Vec<String>,
    /// Directory the child starts in; absolute.
    pub cwd: String,
    /// Names of the variables that the start message carries.
    pub env_names: Vec<String>,
    /// Run through `$SHELL -c`.
    pub shell: bool,
    /// Give the child a terminal of this size.
    pub tty: Option<TtySize>,
    /// Whether bytes for standard input follow in the start message.
    pub stdin: StdinMode,
    /// Time the child may take, in awake milliseconds; none when absent.
    pub timeout_ms: Option<u64>,
    /// Time between SIGTERM and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// How output is kept.
    pub log: LogSpec,
    /// Caps of the child and all below it, by [`limit`] names; empty when there are none.
    pub limits: BTreeMap<String, u64>,
    /// Value of `WHARF_TAG` in the child's environment, by which its processes are found.
    pub tag: String,
    /// How many values the start message lists for redaction.
    pub redact_count: u32,
    /// Signal that asks the child to end, by name; SIGTERM when absent.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// Command names of processes that may outlive the child; recorded as survivors.
    #[serde(default)]
    pub keep: Vec<String>,
    /// Kernel's boot id when the directory was made; filled in by whoever writes the file. Tells a
    /// start that never happened from one whose traces an unclean reboot took.
    #[serde(default)]
    pub boot_id: Option<String>,
}

/// Size of a terminal in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtySize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// How a shim keeps output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Size at which a segment is closed and the next one begun.
    pub segment_bytes: u64,
    /// Bytes a log may reach; no limit when absent.
    pub quota_bytes: Option<u64>,
    /// What happens at the quota.
    pub on_quota: OnQuota,
    /// What happens while the disk is full. Not yet anything but `block`: nothing writes `drop` into a spec.
    pub on_full: OnFull,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, quota_bytes: None, on_quota: OnQuota::Block, on_full: OnFull::Block }
    }
}

/// First and only message on a shim's standard input; the one place where secrets stand.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StartMessage {
    /// The child's whole environment.
    pub env: BTreeMap<String, String>,
    /// Bytes for the child's standard input, base64 is not needed: prompts are text.
    pub stdin: Option<String>,
    /// Values to be replaced in the output (those under eight bytes are ignored).
    pub redact: Vec<String>,
    /// Token that a `wharf` inside the run must show at the agent socket.
    pub token: Option<String>,
}

impl std::fmt::Debug for StartMessage {
    /// Shows names only: a start message must never reach a log with its values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartMessage")
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("stdin_bytes", &self.stdin.as_ref().map(String::len))
            .field("redact", &self.redact.len())
            .finish_non_exhaustive()
    }
}

/// One process, told apart from any later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Process number.
    pub pid: i32,
    /// Kernel start time in clock ticks since boot (`/proc/<pid>/stat`, field 22).
    pub start_ticks: u64,
}

/// The child of a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRef {
    /// Process number.
    pub pid: i32,
    /// Kernel start time in clock ticks since boot.
    pub start_ticks: u64,
    /// Process group.
    pub pgid: i32,
    /// Session.
    pub sid: i32,
}

/// `id.json`: who keeps a directory. Void under another boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdFile {
    /// Version of this format: 1.
    pub v: u32,
    /// The shim.
    pub shim: ProcessRef,
    /// Kernel's boot id.
    pub boot_id: String,
    /// The child, once it has been spawned.
    pub child: Option<ChildRef>,
    /// Directories of the control groups made for this run, written before they are made; whoever
    /// finds the shim dead removes them.
    #[serde(default)]
    pub cgroups: Vec<String>,
    /// Version of the program.
    pub version: String,
    /// Control protocol.
    pub protocol: u32,
    /// The child's halt, while it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// A child that was stopped by a signal and not let go yet. Whoever reads it asks the kernel whether
/// that still holds: the shim may be the one that is stopped by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Name of the signal, such as `SIGSTOP`.
    pub signal: String,
    /// Since when, wall time in milliseconds.
    pub at_ms: i64,
}

words! {
    /// Who ended the child.
    pub enum EndedBy {
        /// It ended on its own (also by a signal that was not ours).
        Itself = "self",
        /// A stop was delivered.
        Stop = "stop",
        /// Its time was over.
        Timeout = "timeout",
        /// Its log was full.
        Quota = "quota",
        /// The operator's end left it without anyone to report to. Not yet: no shim ends a child for that.
        Orphan = "orphan",
    }
}

/// What a stop needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReport {
    /// Reason given with the request: `operator`, `timeout`, `shutdown`, `budget`, `pause`, `quota` …
    pub reason: String,
    /// Wall time of the request, milliseconds.
    pub asked_ms: i64,
    /// Whether the first signal reached a child that still lived.
    pub delivered: bool,
    /// Processes that needed SIGKILL.
    pub killed: u32,
    /// Command names of processes that were left alive: on purpose, or because they could not be ended.
    pub survivors: Vec<String>,
}

/// Bytes of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StreamEnd {
    /// Bytes kept, redaction included.
    pub bytes: u64,
    /// Whether the stream reached its end (false: a descendant held it open).
    pub closed: bool,
}

/// Resources used by the child and what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Usage {
    /// User time, microseconds.
    pub user_us: u64,
    /// System time, microseconds.
    pub sys_us: u64,
    /// Peak resident memory, KiB.
    pub maxrss_kib: u64,
}

/// The exit frame: the truth about an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFrame {
    /// Always `exit`.
    pub t: String,
    /// Version: 1.
    pub v: u32,
    /// Exit code, when the child exited.
    pub code: Option<i32>,
    /// Name of the signal that ended it, such as `SIGKILL`.
    pub signal: Option<String>,
    /// Whether a core was dumped.
    pub core: bool,
    /// Who ended it.
    pub by: EndedBy,
    /// The stop, when one was asked.
    pub stop: Option<StopReport>,
    /// Bytes per stream: `stdout`, `stderr`, `terminal`.
    pub streams: BTreeMap<String, StreamEnd>,
    /// A descendant held a stream open after the child had ended.
    pub leaky: bool,
    /// Wall time of the child's start, milliseconds.
    pub started_ms: i64,
    /// Wall time of its end, milliseconds.
    pub ended_ms: i64,
    /// Resources.
    pub rusage: Usage,
    /// The kernel's out-of-memory killer took it, as far as can be told.
    pub oom: bool,
    /// How that is known; absent when it is not so, or was told by a shim that did not say.
    #[serde(default)]
    pub oom_evidence: Option<OomEvidence>,
    /// How the caps were kept; absent when none were asked.
    #[serde(default)]
    pub limits: Option<LimitsReport>,
    /// Why no process was started at all; then `code` and `signal` are absent.
    #[serde(default)]
    pub spawn_error: Option<SpawnError>,
    /// What the disk said when it could not make the log durable: some of it may be gone after a power loss.
    #[serde(default)]
    pub sync_failed: Option<String>,
}

/// Why the child could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnError {
    /// Error code: `command_not_found`, `command_not_executable`, `cwd_missing` or `exec_failed`.
    pub code: String,
    /// What happened, in words, with the path.
    pub message: String,
    /// The kernel's number, where there is one.
    pub errno: Option<i32>,
}

/// One message to a shim's control socket; one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Control {
    /// Must come first.
    Hello {
        /// Highest protocol version spoken.
        v: u32,
        /// Epoch of the speaker; lower than the highest seen is refused.
        epoch: i64,
        /// Program version.
        version: String,
    },
    /// Asks for the state.
    Status,
    /// Ends the tree; a repeated stop shortens the deadline and never lengthens it.
    Stop {
        /// Why; kept in the exit frame.
        reason: String,
        /// Time between the first signal and SIGKILL.
        grace_ms: u64,
    },
    /// Sends one signal to the child's group. Not yet sent: the request `run.signal` is to come.
    Signal {
        /// Its name, such as `SIGUSR1`.
        name: String,
    },
    /// Moves the deadline; none removes it. Not yet sent: the request `run.extend` is to come.
    Deadline {
        /// Wall time, milliseconds.
        at_ms: Option<i64>,
    },
    /// Closes the child's standard input. Not yet sent: adapters that keep it open are to come.
    CloseStdin,
    /// Begins to type into the child's terminal from this connection; refused where there is none.
    Attach,
    /// Types into the child's terminal; only after `attach`.
    Input {
        /// The bytes, as [`crate::base64`] writes them.
        base64: String,
    },
    /// Gives the child's terminal another size; only after `attach`.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Pushes `started`, `disk_full`, `disk_ok`, `leaky` and `exited` from now on.
    Watch,
    /// Answers an agent's message. Not yet sent: `agent.ask` and `run.answer` are to come.
    Reply {
        /// Id of the message.
        message: String,
        /// The answer.
        body: Value,
    },
}

/// What a shim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ControlReply {
    /// Answer to `hello`.
    Welcome {
        /// Version that will be spoken.
        v: u32,
        /// Versions that could be.
        versions: Vec<u32>,
        /// Owner's id.
        id: String,
        /// `starting`, `running`, `stopping`, `draining` or `ended`.
        state: String,
        /// Number of the last frame.
        seq: u64,
        /// Bytes per stream so far.
        offsets: BTreeMap<String, u64>,
    },
    /// Answer to `status`.
    Status {
        /// As in `welcome`.
        state: String,
        /// As in `welcome`.
        seq: u64,
        /// As in `welcome`.
        offsets: BTreeMap<String, u64>,
        /// `ok`, `full`, or `failed` when writing or syncing failed for another reason.
        disk: String,
        /// The child, when it has been started.
        child: Option<ChildRef>,
        /// Processes alive below the shim.
        descendants: u32,
        /// How the caps are kept; absent when none were asked.
        #[serde(default)]
        limits: Option<Box<LimitsReport>>,
    },
    /// Done as asked.
    Ok,
    /// Refused.
    Error {
        /// `stale_epoch`, `bad_request`, `not_allowed` …
        code: String,
        /// In words.
        message: String,
    },
    /// Pushed once the child runs.
    Started {
        /// The child.
        child: ChildRef,
        /// Wall time, milliseconds.
        at_ms: i64,
        /// How the caps are kept; absent when none were asked.
        #[serde(default)]
        limits: Option<Box<LimitsReport>>,
    },
    /// Pushed when the disk is full.
    DiskFull,
    /// Pushed when writing works again.
    DiskOk,
    /// Pushed when a descendant holds a stream open after the child's end.
    Leaky,
    /// Pushed when a `wharf` inside has said something: the frame is in the log.
    Message {
        /// Number of its frame.
        seq: u64,
    },
    /// Pushed once the exit frame is durable.
    Exited {
        /// The exit frame.
        exit: Box<ExitFrame>,
    },
}

/// One message of a `wharf` inside a run as it stands in the log: without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFrame {
    /// Version: 1.
    pub v: u32,
    /// Sender's id of it.
    pub message_id: String,
    /// The part after `agent.` of the request's kind.
    pub kind: String,
    /// Arguments.
    pub body: Value,
}

/// One message of a `wharf` inside a run, at the agent socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentMessage {
    /// Version: 1.
    pub v: u32,
    /// Token from the environment.
    pub token: String,
    /// Unique per message, so that a repeated send is taken once.
    pub message_id: String,
    /// `comment`, `next_action` …: the part after `agent.` of the request's kind.
    pub kind: String,
    /// Arguments.
    pub body: Value,
}

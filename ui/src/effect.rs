//! What the console asks of its shell. The screens themselves touch nothing.

use serde_json::Value;
use wharf_model::filter::Filter;
use wharf_model::{EnvironmentId, LeaseId, OperationId, RunId, ServiceId, SnapshotId, UnixMillis, WorkspaceId};

use crate::rows::Expect;

/// One thing the shell is to do; none of them is waited for.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Answer a question with [`crate::msg::Msg::Rows`], which carries it back.
    Ask(Question),
    /// Write a request and report with [`crate::msg::Msg::RequestAnswered`].
    Request(Request),
    /// Put a text on the clipboard (OSC 52).
    Copy(String),
    /// Open a URL with the desktop's own tool, else put it on the clipboard; report either with a toast.
    OpenUrl(String),
    /// Hand the terminal to a shell in the place of this entity.
    Shell(Owner),
    /// Hand the terminal to `$EDITOR` with this file, at this line from 1.
    EditFile {
        /// Its path.
        path: String,
        /// The line.
        line: u64,
    },
    /// Hand the terminal to a run that has one of its own.
    Attach(RunId),
    /// Hand the terminal to `$PAGER` with this output, at this line.
    Pager {
        /// Whose output.
        owner: Owner,
        /// Line to open at; none for the end.
        at: Option<LinePlace>,
    },
    /// Hand the terminal to `$EDITOR` with this text and send the result as [`crate::msg::Msg::Edited`].
    Editor {
        /// What is edited.
        text: String,
    },
    /// Write output to a file and report with a toast.
    Save {
        /// Whose output.
        owner: Owner,
        /// Which streams.
        streams: Streams,
    },
    /// Leave the console.
    Quit(QuitChoice),
    /// End the process that holds the orchestrator's lock, and orchestrate here.
    TakeOver {
        /// The holder that was shown, as [`crate::msg::Msg::Holder`] named it; another one is left alone.
        shown: String,
    },
    /// Hand the terminal back until `fg`.
    Suspend,
    /// Draw every cell again.
    Redraw,
    /// Ring, and notify with these words when the terminal can.
    Bell(String),
}

/// What becomes of live runs when the console ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuitChoice {
    /// They go on without it.
    Leave,
    /// They go on, and an orchestrator without a screen starts what waits until nothing is left.
    Background,
    /// All are cancelled and all services stopped, then it ends.
    StopAll,
}

/// A request as it goes into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Tells answers apart; rises with each request of this console.
    pub tag: u64,
    /// Kind: `run.cancel`.
    pub kind: String,
    /// Type and id of its target.
    pub target: Option<(&'static str, String)>,
    /// Arguments.
    pub args: Value,
    /// Rows that must not have changed since the preview.
    pub expect: Vec<Expect>,
    /// In the operator's words, for the toast: `Cancel R-1042`.
    pub title: String,
}

/// Whose output, shell or files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A run.
    Run(RunId),
    /// A service.
    Service(ServiceId),
    /// An operation.
    Operation(OperationId),
    /// A lease.
    Lease(LeaseId),
    /// A workspace.
    Workspace(WorkspaceId),
}

/// Whose changes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiffOf {
    /// A workspace's, against its base.
    Workspace(WorkspaceId),
    /// A run's, since it began.
    Run(RunId),
    /// How the second run's end differs from the first's.
    Runs(RunId, RunId),
}

/// Which streams of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Streams {
    /// As they came.
    #[default]
    Both,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Streams {
    /// As the pane's state row says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The next one in the cycle.
    pub const fn next(self) -> Self {
        match self {
            Self::Both => Self::Stdout,
            Self::Stdout => Self::Stderr,
            Self::Stderr => Self::Both,
        }
    }
}

/// Where a line begins: the frame of the log it stands in and its first byte there. Ordered as lines
/// are, and good for as long as the log is there; a line's number is known only once all lines
/// before it were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LinePlace {
    /// Number of the frame.
    pub seq: u64,
    /// Index of the line's first byte in it.
    pub index: u32,
}

/// What the operator decides about a run that cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is given up.
    Lost,
    /// It is left as it is, and asked for again later.
    Keep,
}

impl Verdict {
    /// As the request has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Keep => "keep",
        }
    }
}

/// What the operator does with a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseVerb {
    /// Gives it back; by force: without waiting for its holder longer than its grace and a limit.
    Release {
        /// By force.
        force: bool,
    },
    /// Any other.
    Other(wharf_model::rules::lease_verb::Verb),
}

/// What the operator does with an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EnvironmentVerb {
    /// Takes it out of use; nothing of it goes.
    Archive,
    /// Removes it, and cleans up what its leases hold first.
    Delete,
}

/// Where in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// The first lines.
    Start,
    /// The line at this place and those behind it.
    From(LinePlace),
    /// The lines before this place.
    Before(LinePlace),
    /// Lines from this number on, the last one when there are not so many. An answer without lines
    /// whose lines are not all counted yet means: not counted so far; it is asked again.
    Line(u64),
    /// The last lines.
    End,
    /// Lines from this moment on.
    Time(UnixMillis),
    /// Lines from this share of the bytes on, 0 to 100.
    Percent(u8),
}

/// A form in which an entity is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Written {
    /// Its row, as the command line's documents have it.
    Json,
    /// The command line that it was started with.
    CommandLine,
    /// The directory that it works in.
    Path,
}

/// What a screen wants to know. Questions are compared, so a stale answer is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Runs: `after: None` all live ones and the newest ended ones, else ended ones with lower numbers.
    Runs {
        /// Which.
        filter: Filter,
        /// Number of the last row known.
        after: Option<i64>,
        /// Most ended rows wanted.
        limit: u32,
    },
    /// Every fact of a run.
    RunDetail(RunId),
    /// Leases, as `Runs`.
    Leases {
        /// Which.
        filter: Filter,
        /// Number of the last row known.
        after: Option<i64>,
        /// Most ended rows wanted.
        limit: u32,
    },
    /// What is known of a lease beside its line.
    LeaseDetail(LeaseId),
    /// Environments, as `Runs`.
    Environments {
        /// Which.
        filter: Filter,
        /// Number of the last row known.
        after: Option<i64>,
        /// Most ended rows wanted.
        limit: u32,
    },
    /// What is known of an environment beside its line.
    EnvironmentDetail(EnvironmentId),
    /// What archiving or deleting an environment would do.
    EnvironmentPreview(EnvironmentId, EnvironmentVerb),
    /// Services, as `Runs`.
    Services {
        /// Which.
        filter: Filter,
        /// Number of the last row known.
        after: Option<i64>,
        /// Most ended rows wanted.
        limit: u32,
    },
    /// What is known of a service beside its line.
    ServiceDetail(ServiceId),
    /// What the process trees of these starts of services take; asked for what is on the screen.
    ServiceFigures(Vec<(ServiceId, u32)>),
    /// The port board over all projects.
    Ports,
    /// Workspaces, as `Runs`.
    Workspaces {
        /// Which.
        filter: Filter,
        /// Number of the last row known.
        after: Option<i64>,
        /// Most ended rows wanted.
        limit: u32,
    },
    /// What is known of a workspace beside its line.
    WorkspaceDetail(WorkspaceId),
    /// Operations of a workspace, newest first.
    Operations {
        /// Whose.
        workspace: WorkspaceId,
        /// Most wanted.
        limit: u32,
    },
    /// Snapshots of a workspace, newest first.
    Snapshots {
        /// Whose.
        workspace: WorkspaceId,
        /// Most wanted.
        limit: u32,
    },
    /// The close check of a workspace, and what archiving it would do: looks at its directory.
    CloseCheck(WorkspaceId),
    /// What bringing a workspace back would do: to this snapshot, else to how it was archived.
    RestorePreview(WorkspaceId, Option<SnapshotId>),
    /// What stopping a job that runs would do.
    StopJobPreview(OperationId),
    /// Which workspaces of finished issues would be archived, and which are kept and why.
    ReapPreview,
    /// The audit trail, newest first.
    Activity {
        /// Which.
        filter: Filter,
        /// Number of the last entry known.
        after: Option<i64>,
        /// Most wanted.
        limit: u32,
    },
    /// What wharf knows of itself.
    Diagnostics,
    /// Counters of the header.
    Header,
    /// Part of a log.
    Output {
        /// Whose.
        owner: Owner,
        /// Which streams.
        streams: Streams,
        /// From where.
        from: Position,
        /// Most lines wanted.
        lines: u32,
    },
    /// How many lines there are; counted a piece further with each question.
    Count {
        /// Whose.
        owner: Owner,
        /// Which streams.
        streams: Streams,
        /// A line whose number is wanted.
        at: LinePlace,
    },
    /// Lines that match.
    Search {
        /// Whose.
        owner: Owner,
        /// Which streams.
        streams: Streams,
        /// Regular expression as [`crate::pane::output::smart_case`] made it.
        pattern: String,
        /// Most numbers wanted.
        limit: u32,
    },
    /// Which files differ, and how much.
    Diff(DiffOf),
    /// The lines of one of them.
    DiffFile {
        /// Whose.
        of: DiffOf,
        /// Of this reading.
        stamp: u64,
        /// Its place among the files.
        file: u32,
    },
    /// What cancelling this run would do.
    CancelPreview(RunId),
    /// What giving up this run, which cannot be judged, would do.
    ResolvePreview(RunId, Verdict),
    /// What a verb on this lease would do.
    LeasePreview(LeaseId, LeaseVerb),
    /// What stopping this service would do.
    StopPreview(ServiceId),
    /// What stopping a service with all that need it would do.
    StopAllPreview(ServiceId),
    /// What restarting this service would do.
    RestartPreview(ServiceId),
    /// What accepting the config as its file stands would change.
    AcceptPreview,
    /// Something of an entity that only the store knows, to be copied.
    Written {
        /// Its kind: `service`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// What of it.
        what: Written,
    },
    /// Choices of the new-run dialog.
    FormAgents,
    /// The workspace settings of an issue, and what is in force for its runs of an agent.
    IssueSettings {
        /// Its identifier: `SHOP-17`.
        issue: String,
        /// Name of the agent; else the one that it is assigned to.
        agent: Option<String>,
    },
}

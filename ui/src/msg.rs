//! What reaches the console: keys, time, rows, answers.

use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent};
use wharf_model::{ServiceId, UnixMillis};

use crate::effect::{Owner, Question};
use crate::overlay::notice::Notice;
use crate::rows::*;

/// One input of [`crate::App::update`].
#[derive(Debug, Clone, PartialEq)]
pub enum Msg {
    /// A key as the terminal reported it.
    Key(KeyEvent),
    /// A mouse event as the terminal reported it.
    Mouse(MouseEvent),
    /// The terminal's size in cells.
    Resize(u16, u16),
    /// The present moment: once a second while anything shows an age, and before other messages.
    Tick(UnixMillis),
    /// A pasted text: one insertion, never keys.
    Paste(String),
    /// The terminal has the focus again.
    FocusGained,
    /// The answer to a question; errors in words.
    Rows {
        /// What was asked.
        question: Question,
        /// What is known.
        answer: Result<Answer, String>,
    },
    /// Rows of the store changed: visible questions are asked again.
    StoreChanged,
    /// A log has grown.
    OutputGrew(Owner),
    /// A request has been answered.
    RequestAnswered {
        /// Tag of the request.
        tag: u64,
        /// Its fate.
        outcome: RequestOutcome,
    },
    /// The terminal has said whether its background is light.
    Ground {
        /// It is.
        light: bool,
    },
    /// The text that came back from `$EDITOR`; none when it failed.
    Edited(Option<String>),
    /// The process that orchestrates in the place of this console, in lines; none when none does.
    Holder {
        /// Who it is and what it does.
        lines: Vec<String>,
        /// Tells it from every other process.
        token: String,
    },
    /// What a logout does to what runs, where it is to be said.
    Foretold(&'static str),
    /// What a start of the orchestrator in this console has found.
    Recovered(Box<Notice>),
    /// Something to say: the end of a run, a saved file.
    Toast(Tone, String),
    /// A condition begins, or changes its words.
    Banner {
        /// Tells conditions apart.
        key: &'static str,
        /// How bad it is.
        tone: Tone,
        /// One line.
        text: String,
        /// What to do, for the messages.
        advice: String,
    },
    /// A condition has ended.
    BannerOver(&'static str),
}

/// How something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// It went well.
    Good,
    /// To know about.
    Info,
    /// Wants a look.
    Warn,
    /// It went wrong.
    Bad,
}

/// Rows that answer a question of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Runs.
    Runs(Page<RunLine>),
    /// One run; none when there is no such run.
    RunDetail(Option<Box<RunDetail>>),
    /// Leases.
    Leases(Page<LeaseLine>),
    /// One lease; none when there is no such lease.
    LeaseDetail(Option<Box<LeaseDetail>>),
    /// Environments.
    Environments(Page<EnvironmentLine>),
    /// One environment; none when there is no such environment.
    EnvironmentDetail(Option<Box<EnvironmentDetail>>),
    /// Services.
    Services(Page<ServiceLine>),
    /// One service; none when there is no such service.
    ServiceDetail(Option<Box<ServiceDetail>>),
    /// What process trees of services take, as far as they were measured.
    ServiceFigures(Vec<(ServiceId, ServiceFigures)>),
    /// The port board.
    Ports(PortBoard),
    /// Workspaces.
    Workspaces(Page<WorkspaceLine>),
    /// One workspace; none when there is no such workspace.
    WorkspaceDetail(Option<Box<WorkspaceDetail>>),
    /// Operations.
    Operations(Vec<OperationLine>),
    /// Snapshots.
    Snapshots(Vec<SnapshotLine>),
    /// The close check of a workspace.
    CloseCheck(Box<CloseCheck>),
    /// Activity.
    Activity(Page<ActivityLine>),
    /// Diagnostics.
    Diagnostics(Box<Diagnostics>),
    /// Header.
    Header(Header),
    /// Output.
    Output(OutputLines),
    /// Lines counted.
    Counted(Counted),
    /// Search.
    Search(SearchHits),
    /// Files that differ.
    Diff(Arc<DiffListing>),
    /// The lines of one of them.
    DiffFile(Arc<DiffHunks>),
    /// Any preview.
    Preview(Preview),
    /// A text to be copied, or why there is none.
    Written(Result<String, String>),
    /// New-run dialog.
    FormAgents(FormAgents),
    /// Settings of an issue; none when there is no such issue.
    IssueSettings(Option<Box<IssueForm>>),
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestOutcome {
    /// It is carried out, or has been.
    Done {
        /// What it made or changed, in words: `R-1043 queued`.
        words: String,
        /// Number of the run that it began.
        run: Option<i64>,
    },
    /// It was refused, failed or expired.
    Refused {
        /// Stored code.
        code: String,
        /// In words.
        words: String,
    },
}

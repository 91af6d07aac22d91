//! What the screens show, as plain rows in the operator's words.
//!
//! The shell fills these from the store, the logs and the git checkout; the screens only lay them
//! out. Facts stay facts here (exit code, signal, deadline); the words for them are chosen below,
//! so that every list, pane and toast says the same.

mod activity;
mod detail;
mod diagnostics;
mod diff;
mod environment;
mod form;
mod halted;
mod header;
mod issue;
mod lease;
mod output;
mod preview;
mod run;
mod service;
mod workspace;

pub use activity::ActivityLine;
pub use detail::{DeadlineLine, Fact, FactBlock, RunDetail, SpanLine, StepLine};
pub use diagnostics::{Diagnostics, OrchestratorLine, RequestLine, StoreLine};
pub use diff::{DiffFile, DiffHunk, DiffHunks, DiffKind, DiffLine, DiffListing};
pub use environment::{CheckLine, EnvironmentDetail, EnvironmentLine, ProbeLine};
pub use form::{FormAgent, FormAgents};
pub use halted::{Halted, HaltedBy};
pub use header::{ConfigChange, Header, PendingConfig};
pub use issue::{InForce, IssueForm};
pub use lease::{LeaseDetail, LeaseLine, WaitingLine, lease_state, policy_words};
pub use output::{Counted, OutputLine, OutputLines, OutputNote, OutputState, SearchHits, Stream};
pub use preview::{Expect, Preview, PreviewLine, PreviewVerb};
pub use run::{IssueName, LeaseName, Liveness, RunLine, RunStatus};
pub use service::{PortBoard, ServiceDetail, ServiceFigures, ServiceLine, ServiceRun};
pub use workspace::{CloseCheck, CloseItem, OperationLine, SnapshotLine, WorkspaceDetail, WorkspaceLine, close_class};

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

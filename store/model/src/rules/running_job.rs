//! Jobs that run in a workspace, and what their operation says of a stop that was asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::release::Judged;
use crate::*;

/// Time between SIGTERM and SIGKILL of a job that is stopped, where nobody says another, in milliseconds.
pub const GRACE_MS: i64 = 5_000;

/// A stop that was asked of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopAsked {
    /// Who asked first.
    pub by: String,
    /// When.
    pub at: UnixMillis,
    /// Time between SIGTERM and SIGKILL, in milliseconds.
    pub grace_ms: i64,
    /// It is ended by force, since nothing was heard of its end in time.
    #[serde(default)]
    pub force: bool,
}

/// Key of it in what an operation remembers.
const KEY: &str = "stop";

/// Name of the job that an operation runs; none for every other operation.
pub fn name(operation: &OperationRow) -> Option<&str> {
    let is_job = operation.phase == OperationPhase::WorkspaceJob;
    operation.metadata.as_ref().filter(|_| is_job)?.get("job")?.as_str()
}

/// The stop that was asked of a job.
pub fn stop_asked(operation: &OperationRow) -> Option<StopAsked> {
    name(operation)?;
    serde_json::from_value(operation.metadata.as_ref()?.get(KEY)?.clone()).ok()
}

/// Remembers a stop.
pub fn ask(operation: &mut OperationRow, stop: &StopAsked) {
    if let (Some(Value::Object(facts)), Ok(stop)) = (operation.metadata.as_mut(), serde_json::to_value(stop)) {
        facts.insert(KEY.to_owned(), stop);
    }
}

/// Jobs that run in a workspace.
pub fn running<'a>(
    operations: impl IntoIterator<Item = &'a OperationRow>,
    workspace: WorkspaceId,
) -> impl Iterator<Item = &'a OperationRow> {
    operations.into_iter().filter(move |o| {
        o.status == OperationStatus::Running && o.execution_workspace_id == Some(workspace) && name(o).is_some()
    })
}

/// What a request to stop a job was judged by.
pub fn judged(operation: &OperationRow) -> Judged {
    Judged { id: operation.id.text(), version: operation.version }
}

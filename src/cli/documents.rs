//! One row as the command line's documents have it, for whoever shows it elsewhere.

use std::path::Path;

use serde_json::Value;
use uuid::Uuid;
use wharf_model::{EnvironmentId, LeaseId, OperationId, RunId, ServiceId, UnixMillis, WorkspaceId};
use wharf_store::view::EntityKind;
use wharf_store::{Reader, StoreError};

use super::docs::{LeaseDoc, OperationDoc, ServiceDoc, WorkspaceDoc};
use super::env::EnvironmentDoc;
use super::run_doc::RunDoc;

/// The row of `wharf show --json`; none where there is no such row, or none of that kind.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn row(
    reader: &Reader,
    data: &Path,
    kind: EntityKind,
    id: Uuid,
    now: UnixMillis,
) -> Result<Option<Value>, StoreError> {
    let value = match kind {
        EntityKind::Run => reader.run_line(RunId(id))?.map(|line| serde_json::to_value(RunDoc::new(data, &line, now))),
        EntityKind::Lease => reader.lease(LeaseId(id))?.map(|item| serde_json::to_value(LeaseDoc::new(&item))),
        EntityKind::Service => reader.service(ServiceId(id))?.map(|item| serde_json::to_value(ServiceDoc::new(&item))),
        EntityKind::Workspace => {
            reader.workspace(WorkspaceId(id))?.map(|item| serde_json::to_value(WorkspaceDoc::new(&item, None)))
        }
        EntityKind::Environment => {
            reader.environment(EnvironmentId(id))?.map(|item| serde_json::to_value(EnvironmentDoc::new(&item)))
        }
        EntityKind::Operation => {
            reader.operation(OperationId(id))?.map(|item| serde_json::to_value(OperationDoc::new(&item)))
        }
        EntityKind::Request | EntityKind::Issue | EntityKind::Agent | EntityKind::Project => None,
    };
    value.transpose().map_err(|error| StoreError::Internal {
        path: data.to_owned(),
        cause: format!("the row of {} {id} cannot be written as JSON: {error}", kind.as_str()),
    })
}

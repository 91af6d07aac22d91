//! What stopping a job that runs in a workspace would do.

use wharf_model::rules::running_job;
use wharf_model::{Kind, OperationId, OperationStatus, UnixMillis};
use wharf_store::{Reader, StoreError};
use wharf_ui::rows::{Expect, Preview, PreviewVerb};

use super::{line, refused, stop_words};

/// What stopping a job would do.
///
/// # Errors
/// The store cannot be read.
pub fn stop_job(reader: &Reader, id: OperationId, at: UnixMillis) -> Result<Preview, StoreError> {
    let Some(item) = reader.operation(id)? else { return Ok(refused("there is no such operation any more", at)) };
    let row = &item.operation;
    let Some(name) = running_job::name(row) else { return Ok(refused("it is no job", at)) };
    if row.status != OperationStatus::Running {
        return Ok(refused(format!("it has ended already: {}", row.status), at));
    }
    if let Some(stop) = running_job::stop_asked(row) {
        let how = if stop.force { ", by force by now" } else { "" };
        return Ok(refused(format!("{} has asked it to stop already{how}", stop.by), at));
    }
    let place = item.workspace_number.map_or_else(String::new, |n| format!(" in {}", Kind::Workspace.number(n)));
    let what = format!("{} job {name}{place}", Kind::Operation.number(row.number));
    let lines = vec![
        line(PreviewVerb::Stops, what, stop_words(running_job::GRACE_MS)),
        line(PreviewVerb::More, "its whole process tree", row.command.clone().unwrap_or_default()),
        line(PreviewVerb::Keeps, "what it has done so far", "and its log"),
    ];
    let judged = running_job::judged(row);
    let expect = vec![Expect { id: judged.id, version: judged.version }];
    let note = "It is recorded as failed, stopped by you. What it left half done stays so.".to_owned();
    Ok(Preview { lines, note, expect, at, refused: None, args: Vec::new() })
}

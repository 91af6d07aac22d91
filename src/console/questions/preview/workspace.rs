//! What archiving and reaping workspaces would do: the same for the console and the command line, by the rule and
//! from the rows that the acceptance goes by.

use std::path::Path;

use wharf_model::rules::close_check::{AskedBy, CloseCheck, CloseVerdict};
use wharf_model::{CompanyId, UnixMillis, WorkspaceId, WorkspaceRow};
use wharf_store::{Reader, StoreError};
use wharf_ui::rows::Expect;

use crate::clock;
use crate::dispatch::closing::{self, Reapable};
use crate::dispatch::prepare;

/// What archiving a workspace would do.
#[derive(Debug, Clone)]
pub struct ArchivePreview {
    /// The row that was judged.
    pub workspace: WorkspaceRow,
    /// `W-7`.
    pub number: String,
    /// The check; none where nothing was looked at, and then `refused` says why.
    pub check: Option<CloseCheck>,
    /// Why it cannot be archived at all: its status, or what blocks it.
    pub refused: Option<String>,
    /// The versions that were judged, for the request's `expect`.
    pub expect: Vec<Expect>,
    /// When it was looked at.
    pub at: UnixMillis,
}

impl ArchivePreview {
    /// Arguments of the request: what was found then.
    pub fn args(&self) -> serde_json::Value {
        self.check
            .as_ref()
            .map_or_else(|| serde_json::json!({}), |check| serde_json::json!({ "fingerprint": check.fingerprint }))
    }
}

/// Judges a workspace as an operator who asks for it would have it judged; none when there is no such workspace.
/// Looks at its directory, which may take seconds: beside whatever draws.
///
/// `_data` is where the store lies that `reader` reads.
///
/// # Errors
/// The store cannot be read.
pub fn archive_preview(reader: &Reader, _data: &Path, id: WorkspaceId) -> Result<Option<ArchivePreview>, StoreError> {
    let Some(rows) = reader.close_rows(id)? else { return Ok(None) };
    let mut preview = ArchivePreview {
        number: rows.number(),
        expect: expect(&rows.judged()),
        refused: rows.not_archivable(),
        workspace: rows.workspace,
        check: None,
        at: clock::now(),
    };
    if preview.refused.is_some() {
        return Ok(Some(preview));
    }
    let retention = match prepare::retention() {
        Ok(retention) => retention,
        Err(why) => {
            preview.refused = Some(format!("the user's own config cannot be used: {why}"));
            return Ok(Some(preview));
        }
    };
    if let Some(checked) = closing::check(reader, id, &retention, AskedBy::Operator, preview.at)? {
        preview.expect = expect(&checked.rows.judged());
        if checked.check.verdict == CloseVerdict::Blocked {
            preview.refused = Some(checked.check.blocked_by());
        }
        preview.workspace = checked.rows.workspace;
        preview.check = Some(checked.check);
    }
    Ok(Some(preview))
}

fn expect(judged: &[wharf_model::rules::release::Judged]) -> Vec<Expect> {
    judged.iter().map(|j| Expect { id: j.id.clone(), version: j.version }).collect()
}

/// Judges every workspace of a company, or of all, that might be archived by itself. The user's config may stand in
/// the way; its words are then the inner error.
///
/// # Errors
/// The store cannot be read.
pub fn reap_preview(reader: &Reader, company: Option<CompanyId>) -> Result<Result<Vec<Reapable>, String>, StoreError> {
    match prepare::retention() {
        Ok(retention) => closing::reapable(reader, None, company, &retention, clock::now()).map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

//! What a close check needs from store and disk: the same for the preview that somebody reads, for the acceptance
//! of what they asked, and for the look just before a directory is moved.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf_model::WorkspaceId;
use wharf_model::config::Retention;
use wharf_model::rules::close_check::{AskedBy, CloseCheck, CloseRows, Found, Place, judge, root};
use wharf_model::rules::reap::{self, Candidate};
use wharf_model::{CompanyId, ProjectId, UnixMillis};
use wharf_store::{Reader, StoreError};

use crate::workspace::close::{self, Limits, LookAsk};

/// Time that one pass of the reaper may look at directories: a request is answered within its own 30 s.
const LOOKING: Duration = Duration::from_secs(15);

/// A close check with what it was made from.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The rows.
    pub rows: CloseRows,
    /// What was found on the disk.
    pub found: Found,
    /// The judgement.
    pub check: CloseCheck,
}

/// What to look at for a workspace.
pub fn look_ask(rows: &CloseRows, never: Vec<PathBuf>) -> Option<LookAsk> {
    let workspace = &rows.workspace;
    Some(LookAsk {
        project: workspace.project_id,
        workspace: workspace.id,
        path: PathBuf::from(root(workspace)?),
        base: workspace.base_ref.clone().or_else(|| workspace.base_commit.clone()),
        never,
        limits: Limits::default(),
    })
}

/// Looks at the directory of a workspace. Takes as long as its limits allow; blocks.
pub fn look(rows: &CloseRows, never: Vec<PathBuf>) -> Found {
    look_ask(rows, never).map_or_else(nowhere, |ask| close::look(&ask))
}

/// The same, for no longer than this.
fn look_within(rows: &CloseRows, never: Vec<PathBuf>, time: Duration) -> Found {
    let ask = look_ask(rows, never);
    ask.map_or_else(nowhere, |ask| {
        let limits = Limits { time: time.min(ask.limits.time), ..ask.limits };
        close::look(&LookAsk { limits, ..ask })
    })
}

/// What is found of a workspace that never had a directory.
fn nowhere() -> Found {
    let nothing = Path::new("");
    let ask = LookAsk {
        project: ProjectId::NIL,
        workspace: WorkspaceId::NIL,
        path: nothing.to_owned(),
        base: None,
        never: Vec::new(),
        limits: Limits::default(),
    };
    Found { place: Place::Gone, unknown: Vec::new(), ..close::look(&ask) }
}

/// Directories that are never removed: those of all projects, and what wharf itself keeps.
///
/// # Errors
/// The store cannot be read.
pub fn never(reader: &Reader) -> Result<Vec<PathBuf>, StoreError> {
    Ok(reader.project_paths()?.into_iter().map(PathBuf::from).chain(reader.dir().map(Path::to_owned)).collect())
}

/// Makes the close check of one workspace; none when there is no such workspace. Blocks.
///
/// # Errors
/// The store cannot be read.
pub fn check(
    reader: &Reader,
    id: WorkspaceId,
    retention: &Retention,
    asked: AskedBy,
    now: UnixMillis,
) -> Result<Option<Checked>, StoreError> {
    let Some(rows) = reader.close_rows(id)? else { return Ok(None) };
    let found = look(&rows, never(reader)?);
    let check = judge(&found, &rows.around(), &rows.plan(retention, now), asked);
    Ok(Some(Checked { rows, found, check }))
}

/// A workspace of a finished issue, and whether it goes by itself.
#[derive(Debug, Clone)]
pub struct Reapable {
    /// The rows that were judged.
    pub rows: CloseRows,
    /// When the last of its issues was closed.
    pub closed_at: Option<UnixMillis>,
    /// From when on it may go; none when that is never.
    pub eligible_at: Option<UnixMillis>,
    /// What was found; none where time alone keeps it, so that nothing was looked at.
    pub found: Option<Found>,
    /// The judgement of that.
    pub check: Option<CloseCheck>,
    /// Why it stays; none when it goes.
    pub stays: Option<String>,
}

/// Judges every workspace that might be archived by itself. Directories of those that are not due are not looked
/// at, nor are those that are left when the time for looking is over: they are for the next pass. Blocks.
///
/// # Errors
/// The store cannot be read.
pub fn reapable(
    reader: &Reader,
    project: Option<ProjectId>,
    company: Option<CompanyId>,
    retention: &Retention,
    now: UnixMillis,
) -> Result<Vec<Reapable>, StoreError> {
    let never = never(reader)?;
    let mut all = Vec::new();
    let begun = Instant::now();
    let candidates = reader.reap_candidates(project)?;
    for workspace in candidates.into_iter().filter(|w| company.is_none_or(|c| w.company_id == c)) {
        let Some(rows) = reader.close_rows(workspace.id)? else { continue };
        all.push(one(rows, never.clone(), retention, now, LOOKING.saturating_sub(begun.elapsed())));
    }
    Ok(all)
}

/// What decides whether a workspace is due.
pub fn candidate(rows: &CloseRows, retention: &Retention) -> Candidate {
    let (closed_at, open_issue) = reap::closed(&rows.issues);
    Candidate {
        status: rows.workspace.status,
        shared: rows.around().shared,
        closed_at,
        open_issue,
        used_at: rows.workspace.last_used_at,
        cool_down_ms: retention.workspaces_after_close_ms,
    }
}

fn one(rows: CloseRows, never: Vec<PathBuf>, retention: &Retention, now: UnixMillis, time: Duration) -> Reapable {
    let candidate = candidate(&rows, retention);
    let closed_at = candidate.closed_at;
    match reap::due(&candidate, now) {
        Ok(eligible) if time.is_zero() => {
            let stays = Some("there was no time left to look at it; ask again".to_owned());
            Reapable { rows, closed_at, eligible_at: Some(eligible), found: None, check: None, stays }
        }
        Ok(eligible) => {
            let found = look_within(&rows, never, time);
            let check = judge(&found, &rows.around(), &rows.plan(retention, now), AskedBy::Reaper);
            let stays = reap::allows(&check).err();
            Reapable { rows, closed_at, eligible_at: Some(eligible), found: Some(found), check: Some(check), stays }
        }
        Err(why) => {
            let eligible_at = if let reap::NotDue::CoolsDown(at) = why { Some(at) } else { None };
            Reapable { rows, closed_at, eligible_at, found: None, check: None, stays: Some(why.to_string()) }
        }
    }
}

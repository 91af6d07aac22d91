//! The rule: what a pass would remove now, and what it would only report.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use wharf_model::{Kind, UnixMillis};
use wharf_store::view::{EndedStarts, OldSnapshot, OldTrash};
use wharf_store::{Reader, StoreError};
use wharf_ui::format;

use crate::dispatch::input::{GcKept, GcLog, GcPlan, KeptOf, LogOwner};
use crate::dispatch::perform::shim_dir;
use crate::process::lock::{self, LockState};
use crate::process::shim_dir::names;

/// Logs of one pass; what is left is for the next one.
pub const LOGS_MAX: usize = 256;
/// Things in a trash of one pass, and snapshots of one pass.
const KEPT_MAX: usize = 100;
/// Files of the cache of one pass.
const CACHE_MAX: usize = 4096;
/// Directories looked at for ones without a row, and how many of these are named.
const LOOKED_AT: usize = 100_000;
const ORPHANS_NAMED: usize = 200;
/// A half-written file of the cache is left to its writer for so long.
const HALF_WRITTEN: Duration = Duration::from_hours(24);
const CACHE: &str = "cache";
const ENDING: &str = ".lines";

/// What may go at this moment, when logs are kept for `keep_ms` (without a limit when `None`).
///
/// # Errors
/// The store cannot be read. A directory that cannot be listed counts as empty: nothing of it goes.
pub fn plan(data: &Path, reader: &Reader, now: UnixMillis, keep_ms: Option<u64>) -> Result<GcPlan, StoreError> {
    let mut plan = GcPlan { keep_ms, ..GcPlan::default() };
    if let Some(keep_ms) = keep_ms {
        let keep = i64::try_from(keep_ms).unwrap_or(i64::MAX);
        let until = UnixMillis(now.0.saturating_sub(keep));
        let (runs, more) = reader.logs_kept_since(until, LOGS_MAX)?;
        plan.more = more;
        let runs = runs.into_iter().map(|l| (LogOwner::Run(l.of), Kind::Run.number(l.number), l.finished_at));
        let (operations, more) = reader.operation_logs_kept_since(until, LOGS_MAX)?;
        plan.more |= more;
        let operations = operations
            .into_iter()
            .map(|l| (LogOwner::Operation(l.of), Kind::Operation.number(l.number), l.finished_at));
        for (owner, number, finished_at) in runs.chain(operations) {
            let Some(dir) = whole_dir(owner) else { continue };
            let bytes = bytes_below(&data.join(&dir));
            plan.logs.push(GcLog { owner, number, dir, bytes, finished_at });
        }
        for starts in reader.ended_starts()? {
            plan.logs.extend(old_starts(data, &starts, until));
        }
        plan.more |= plan.logs.len() > LOGS_MAX;
        plan.logs.truncate(LOGS_MAX);
        plan.reason = format!("older than {}", format::duration(keep));
    }
    let (trash, more) = reader.trash_due(now, KEPT_MAX)?;
    plan.more |= more;
    let (snapshots, more) = reader.snapshots_due(now, KEPT_MAX)?;
    plan.more |= more;
    plan.kept = trash.into_iter().filter_map(of_trash).chain(snapshots.into_iter().map(of_snapshot)).collect();
    plan.cache = cache(data, &plan.logs);
    plan.more |= plan.cache.len() > CACHE_MAX;
    plan.cache.truncate(CACHE_MAX);
    plan.orphans = orphans(data, reader)?;
    Ok(plan)
}

fn of_trash(old: OldTrash) -> Option<GcKept> {
    Some(GcKept {
        of: KeptOf::Trash(old.workspace.id),
        number: Kind::Workspace.number(old.workspace.number),
        place: old.item.place,
        repo: old.project_path,
        bytes: old.item.bytes.and_then(|b| u64::try_from(b).ok()),
        due_at: old.item.until?,
    })
}

fn of_snapshot(old: OldSnapshot) -> GcKept {
    let row = old.snapshot;
    GcKept {
        of: KeptOf::Snapshot(row.id),
        number: format!("{}.{}", Kind::Workspace.number(old.workspace_number), row.ordinal),
        place: row.ref_name,
        repo: old.repo,
        bytes: u64::try_from(row.bytes).ok(),
        due_at: row.expires_at.unwrap_or(row.created_at),
    }
}

/// Everything that is kept of the output of a run or an operation, relative to the data directory.
fn whole_dir(owner: LogOwner) -> Option<String> {
    let attempt = shim_dir(owner.entity(), &owner.id(), 1)?;
    attempt.rsplit_once('/').map(|(dir, _)| dir.to_owned())
}

/// The starts of a service whose logs may go, the oldest first. No row tells when a start ended: the last
/// word in its log does, and whether it has ended at all its shim's lock. What stands behind one that is
/// kept is kept too, so that what is left has no holes.
fn old_starts(data: &Path, ended: &EndedStarts, until: UnixMillis) -> Vec<GcLog> {
    let mut old = Vec::new();
    for start in ended.starts.clone() {
        let owner = LogOwner::Service(ended.service, start);
        let Some(dir) = shim_dir(owner.entity(), &owner.id(), start) else { break };
        let path = data.join(&dir);
        if !path.is_dir() {
            continue;
        }
        let ended_at = newest(&path);
        let lives = !matches!(lock::probe(&path.join(names::LOCK)), Ok(None | Some(LockState::Free)));
        if lives || ended_at.is_none_or(|at| at > until) || old.len() > LOGS_MAX {
            break;
        }
        let (number, bytes) = (Kind::Service.number(ended.number), bytes_in(&path));
        old.push(GcLog { owner, number, dir, bytes, finished_at: ended_at.unwrap_or(until) });
    }
    old
}

/// Metadata of the files of a directory.
fn files_in(dir: &Path) -> impl Iterator<Item = std::fs::Metadata> + use<> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok().filter(std::fs::Metadata::is_file))
}

/// When a file of a directory was written last; the directory itself where it has none.
fn newest(dir: &Path) -> Option<UnixMillis> {
    let files = files_in(dir).filter_map(|m| m.modified().ok()).max();
    let at = files.or_else(|| std::fs::metadata(dir).and_then(|m| m.modified()).ok())?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(UnixMillis)
}

/// Bytes of the files of a directory.
fn bytes_in(dir: &Path) -> u64 {
    files_in(dir).map(|m| m.len()).sum()
}

/// Bytes of the files of all attempts.
fn bytes_below(dir: &Path) -> u64 {
    let attempts = std::fs::read_dir(dir).into_iter().flatten().flatten();
    attempts.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| bytes_in(&e.path())).sum()
}

/// Line counts whose log is not there, or goes with this pass; temporary files that nobody finished.
fn cache(data: &Path, logs: &[GcLog]) -> Vec<String> {
    let going: BTreeSet<&str> = logs.iter().map(|l| l.dir.as_str()).collect();
    let Ok(entries) = std::fs::read_dir(data.join(CACHE)) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let goes = match (name.strip_suffix(ENDING).and_then(log_of), name.rsplit_once(".tmp")) {
                (Some((dir, attempt)), _) => {
                    let log = format!("{dir}/{attempt}");
                    going.contains(&*dir) || going.contains(&*log) || !data.join(log).is_dir()
                }
                (None, Some((_, pid))) if pid.bytes().all(|b| b.is_ascii_digit()) => is_old(&entry),
                _ => false,
            };
            goes.then(|| format!("{CACHE}/{name}"))
        })
        .collect();
    found.sort();
    found
}

/// The log that a file of line counts is of: `runs-a1-<uuid>-a1` is `runs/a1/<uuid>` and `a1`.
fn log_of(name: &str) -> Option<(String, String)> {
    let (rest, attempt) = name.rsplit_once('-')?;
    let (root, rest) = rest.split_once('-')?;
    let (tail, id) = rest.split_once('-')?;
    uuid::Uuid::parse_str(id).ok()?;
    let known = ["runs", "services", "operations"].contains(&root) && tail.len() == 2 && id.ends_with(tail);
    known.then(|| (format!("{root}/{tail}/{id}"), attempt.to_owned()))
}

fn is_old(entry: &std::fs::DirEntry) -> bool {
    let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > HALF_WRITTEN)
}

/// Directories of shims that no row knows. Listed before the rows are asked: a row is there before its
/// directory is made.
fn orphans(data: &Path, reader: &Reader) -> Result<Vec<String>, StoreError> {
    let mut found: Vec<(String, String)> = Vec::new();
    for root in ["runs", "services", "operations"] {
        for tail in std::fs::read_dir(data.join(root)).into_iter().flatten().flatten() {
            for entry in std::fs::read_dir(tail.path()).into_iter().flatten().flatten() {
                let (Ok(tail), Ok(id)) = (tail.file_name().into_string(), entry.file_name().into_string()) else {
                    continue;
                };
                if found.len() < LOOKED_AT {
                    found.push((id.clone(), format!("{root}/{tail}/{id}")));
                }
            }
        }
    }
    let ids: Vec<String> = found.iter().map(|(id, _)| id.clone()).collect();
    let without = reader.without_row(&ids)?;
    let mut orphans: Vec<String> =
        found.into_iter().filter(|(id, _)| without.contains(id)).map(|(_, dir)| dir).collect();
    orphans.sort();
    orphans.truncate(ORPHANS_NAMED);
    Ok(orphans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_counts_names_its_log() {
        let id = "0193a4e0-0000-7000-8000-0000000000a1";
        let found = log_of(&format!("runs-a1-{id}-a2"));
        assert_eq!(found, Some((format!("runs/a1/{id}"), "a2".to_owned())));
        for other in ["runs-a1-x-a1", "other-a1-{id}-a1", "runs", "", "runs-b2-0193a4e0-0000-7000-8000-0000000000a1-a1"]
        {
            assert_eq!(log_of(other), None, "{other}");
        }
    }
}

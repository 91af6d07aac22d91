//! The rule: what a pass would remove now, and what it would only report.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::{Kind, RunId, UnixMillis};
use wharf_store::{Reader, StoreError};
use wharf_ui::format;

use crate::dispatch::input::{GcLog, GcPlan};
use crate::dispatch::perform::shim_dir;

/// Logs of one pass; what is left is for the next one.
pub const LOGS_MAX: usize = 256;
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
        let (kept, more) = reader.logs_kept_since(UnixMillis(now.0.saturating_sub(keep)), LOGS_MAX)?;
        plan.more = more;
        for log in kept {
            let Some(dir) = run_dir(log.run) else { continue };
            let bytes = bytes_in(&data.join(&dir));
            let run = Kind::Run.number(log.number);
            plan.logs.push(GcLog { id: log.run, run, dir, bytes, finished_at: log.finished_at });
        }
        plan.reason = format!("older than {}", format::duration(keep));
    }
    plan.cache = cache(data, &plan.logs);
    plan.more |= plan.cache.len() > CACHE_MAX;
    plan.cache.truncate(CACHE_MAX);
    plan.orphans = orphans(data, reader)?;
    Ok(plan)
}

/// Everything that is kept of a run's output, relative to the data directory.
fn run_dir(run: RunId) -> Option<String> {
    let attempt = shim_dir("run", &run.text(), 1)?;
    attempt.rsplit_once('/').map(|(dir, _)| dir.to_owned())
}

/// Bytes of the files of all attempts.
fn bytes_in(dir: &Path) -> u64 {
    let files = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    files(dir.to_owned())
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .flat_map(|e| files(e.path()))
        .filter_map(|e| e.metadata().ok().filter(std::fs::Metadata::is_file))
        .map(|m| m.len())
        .sum()
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
                (Some((dir, attempt)), _) => going.contains(&*dir) || !data.join(dir).join(attempt).is_dir(),
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

//! What the doctor sees in the data directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf_model::rules::service_desired::is_reported;
use wharf_model::{Named, RunStatus, Step};
use wharf_store::log::{Item, LogReader, Tail};
use wharf_store::view::{RunFilter, RunQuery, ServiceQuery};
use wharf_store::{Reader, StoreError, backups, examine, restore_words, unfinished};
use wharf_ui::format;

use super::Check;
use crate::dispatch::perform::shim_dir;

/// Rights of group and others.
const OTHERS: u32 = 0o077;
/// Free space below which runs may soon stop at a full disk.
const LITTLE_SPACE: u64 = 1_000_000_000;
/// Free inodes below which the same is so.
const FEW_INODES: u64 = 1_000;
/// Size of the journal's reserve, without which a full disk stops the ledger as well.
const RESERVE: u64 = 4 << 20;
/// A journal larger than this is not copied back: somebody reads without end.
const LARGE_JOURNAL: u64 = 96 << 20;
/// Runs whose logs are read through, newest first.
const LOGS: usize = 200;
/// Longest time that takes.
const LOGS_TIME: Duration = Duration::from_secs(20);
/// Time after which a run that executes has a directory.
const SETTLED_MS: i64 = 60_000;
/// Names told of a longer list.
const NAMED: usize = 5;

/// The disk and the directory itself.
pub fn data_directory(data: &Path) -> Check {
    let name = "data directory";
    // What is not there yet will be made; its parent decides where.
    let mut nearest: &Path = data;
    while !nearest.exists() {
        match nearest.parent() {
            Some(parent) => nearest = parent,
            None => return Check::failed(name, format!("{} cannot be made", data.display()), "set WHARF_DATA_DIR"),
        }
    }
    let writable = rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    if let Err(error) = writable {
        return Check::failed(
            name,
            format!("{} cannot be written: {error}", nearest.display()),
            "make it writable for this user, or set WHARF_DATA_DIR",
        );
    }
    let stat = match rustix::fs::statvfs(nearest) {
        Ok(stat) => stat,
        Err(error) => {
            let message = format!("{}: {error}", data.display());
            return Check::failed(name, message, "set WHARF_DATA_DIR to a local disk");
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let full = "free some space: the ledger goes on for a while from its reserve, runs wait";
    if free == 0 {
        return Check::failed(name, format!("{}: the disk is full", data.display()), full);
    }
    // Some file systems count none.
    if stat.f_files > 0 && stat.f_favail < FEW_INODES {
        let message =
            format!("{}: {} files can still be made, then the disk takes none", data.display(), stat.f_favail);
        let hint = "delete files that nobody needs: the disk has no inodes left for new ones";
        return if stat.f_favail == 0 {
            Check::failed(name, message, hint)
        } else {
            Check::warning(name, message, hint)
        };
    }
    let shown = format!("{}, {} free", data.display(), format::size(free));
    if free < LITTLE_SPACE {
        return Check::warning(name, format!("{}, only {} free", data.display(), format::size(free)), full);
    }
    Check::ok(name, shown)
}

/// Whether the store opens, and what is in the way.
pub fn store(data: &Path, repaired: bool) -> Check {
    let name = "store";
    match examine(data) {
        Ok(store) => match store.quick_check() {
            Ok(()) => Check::ok(name, "sound"),
            Err(error) => failed(name, data, &error, repaired),
        },
        Err(StoreError::Missing { .. }) => Check::ok(name, "none yet; the first run makes it"),
        Err(error) => failed(name, data, &error, repaired),
    }
}

fn failed(name: &'static str, data: &Path, error: &StoreError, repaired: bool) -> Check {
    let all = error.to_string();
    let message = all.split_once("; ").map_or(all.as_str(), |(message, _)| message).to_owned();
    match error {
        // It has just been mended as far as that can be done.
        StoreError::Damaged { .. } if repaired => Check::failed(name, message, restore_words(data)),
        StoreError::Damaged { .. } | StoreError::Suspect { .. } => Check::failed(
            name,
            message,
            format!("wharf doctor --repair mends what can be mended; else {}", restore_words(data)),
        ),
        _ => match all.split_once("; ") {
            Some((message, hint)) => Check::failed(name, message, hint),
            None => Check::failed(name, all, "wharf --version, and the log in the data directory"),
        },
    }
}

/// The journal: its reserve, and whether it can be copied back.
pub fn journal(data: &Path) -> Option<Check> {
    let name = "journal";
    let meta = fs::metadata(data.join("wharf.db-wal")).ok()?;
    let shown = format::size(meta.len());
    Some(if meta.len() > LARGE_JOURNAL {
        Check::warning(
            name,
            format!("{shown}: somebody reads without end, so that nothing is copied back"),
            "look who has it open with fuser, and end or continue a console that is stopped",
        )
    } else if meta.len() < RESERVE {
        Check::warning(
            name,
            format!("{shown}: the reserve for a full disk is not there"),
            "the next orchestrator makes it where there is room",
        )
    } else {
        Check::ok(name, format!("{shown}, with the reserve for a full disk"))
    })
}

/// Backups, and what was put aside.
pub fn copies(data: &Path) -> Check {
    let name = "backups";
    let kept = backups(data);
    let aside = fs::read_dir(data.join("quarantine")).map_or(0, |entries| entries.flatten().count());
    let aside = if aside == 0 { String::new() } else { format!("; {aside} in quarantine") };
    match kept.first() {
        Some(newest) => Check::ok(
            name,
            format!(
                "{}, the newest {} ({}){aside}",
                kept.len(),
                newest.path.file_name().unwrap_or_default().to_string_lossy(),
                format::size(newest.bytes)
            ),
        ),
        None => Check::ok(name, format!("none; wharf backup makes one{aside}")),
    }
}

/// Files and directories that others may read, and such as were never finished.
pub fn tidiness(data: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    let open: Vec<String> = open_to_others(data);
    if !open.is_empty() {
        let message = format!("others may look into {}", listed(&open));
        checks.push(Check::warning("rights", message, "wharf doctor --repair takes that away"));
    }
    let half: Vec<String> = unfinished(data).iter().map(|p| p.display().to_string()).collect();
    if !half.is_empty() {
        let message = format!("half-made files: {}", listed(&half));
        checks.push(Check::warning("unfinished", message, "wharf doctor --repair puts them into quarantine"));
    }
    checks
}

fn open_to_others(data: &Path) -> Vec<String> {
    let mut paths: Vec<PathBuf> = vec![data.to_owned()];
    let names = [
        "VERSION",
        "wharf.db",
        "wharf.db-wal",
        "wharf.db-shm",
        "orchestrator.lock",
        "backups",
        "quarantine",
        "runs",
        "services",
        "operations",
        "live",
        "log",
        "cache",
    ];
    paths.extend(names.map(|n| data.join(n)));
    paths.extend(backups(data).into_iter().map(|b| b.path));
    paths
        .into_iter()
        .filter(|p| fs::symlink_metadata(p).is_ok_and(|m| !m.is_symlink() && m.permissions().mode() & OTHERS != 0))
        .map(|p| p.display().to_string())
        .collect()
}

/// Links to shims that the store knows nothing of (contracts 6.5).
pub fn leftovers(data: &Path) -> Option<Check> {
    let entries = fs::read_dir(data.join("live")).ok()?;
    let reader = Reader::open(data).ok()?;
    let mut unknown = Vec::new();
    for entry in entries.take(10_000).flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((kind, rest)) = name.split_once('-') else { continue };
        let Some(id) = rest.get(..36).and_then(|id| uuid::Uuid::parse_str(id).ok()) else { continue };
        let known = reader.resolve(&Named::Whole(id), None).is_ok();
        if !known {
            unknown.push(format!("{kind} {id}"));
        }
    }
    (!unknown.is_empty()).then(|| {
        Check::warning(
            "leftovers",
            format!("{} shims in live/ that the store does not know: {}", unknown.len(), listed(&unknown)),
            "look at their directories; they are never stopped by themselves",
        )
    })
}

/// Rows that have a process, whose shim's directory is gone.
pub fn missing_shims(data: &Path) -> Option<Check> {
    let reader = Reader::open(data).ok()?;
    let now = crate::clock::now();
    let filter = RunFilter { statuses: vec![RunStatus::Running], ..RunFilter::default() };
    let runs = reader.runs(&RunQuery { company: None, project: None, filter }, None, 1_000).ok()?;
    let mut gone: Vec<String> = runs
        .rows
        .iter()
        .filter(|r| r.step == Some(Step::Execute) && r.started_at.is_some_and(|at| at.until(now) > SETTLED_MS))
        .filter(|r| shim_dir("run", &r.id.text(), r.attempt).is_some_and(|d| !data.join(d).exists()))
        .map(|r| format!("R-{}", r.number))
        .collect();
    let query = ServiceQuery { live_only: true, ..ServiceQuery::default() };
    let services = reader.services(&query, None, 1_000).ok()?;
    gone.extend(
        services
            .rows
            .iter()
            .map(|s| &s.service)
            // One that an adapter keeps never had a shim.
            .filter(|s| s.status == wharf_model::ServiceStatus::Running && !is_reported(s))
            .filter(|s| shim_dir("service", &s.id.text(), s.generation).is_some_and(|d| !data.join(d).exists()))
            .map(|s| format!("S-{}", s.number)),
    );
    (!gone.is_empty()).then(|| {
        Check::failed(
            "shims",
            format!("the directories of {} are gone: nobody can tell how they end", listed(&gone)),
            "wharf serve decides what it can; look for their processes with ps",
        )
    })
}

/// Logs of runs that ended, with frames that are damaged or torn.
pub fn logs(data: &Path) -> Option<Check> {
    let name = "logs";
    let reader = Reader::open(data).ok()?;
    let query = RunQuery { company: None, project: None, filter: RunFilter::default() };
    let runs = reader.runs(&query, None, LOGS).ok()?;
    let until = Instant::now() + LOGS_TIME;
    let (mut bad, mut read) = (Vec::new(), 0);
    for run in runs.rows.iter().filter(|r| r.status.is_terminal()) {
        let Some(dir) = shim_dir("run", &run.id.text(), run.attempt).map(|d| data.join(d)) else { continue };
        if !dir.exists() {
            continue;
        }
        if Instant::now() >= until {
            break;
        }
        read += 1;
        if let Some(words) = log_damage(&dir, until) {
            bad.push(format!("R-{} ({words})", run.number));
        }
    }
    Some(if bad.is_empty() {
        Check::ok(name, format!("{read} of the newest runs read through, all whole"))
    } else {
        let hint = "the logs show each gap at its place; all else of them is whole. Look at the disk";
        Check::warning(name, format!("damaged: {}", listed(&bad)), hint)
    })
}

fn log_damage(dir: &Path, until: Instant) -> Option<String> {
    let mut log = match LogReader::open(dir) {
        Ok(log) => log,
        Err(wharf_store::log::LogError::Missing { .. }) => return None,
        Err(error) => return Some(error.to_string()),
    };
    log.set_live(false);
    let mut at = log.start();
    let mut gaps = 0;
    while Instant::now() < until {
        match log.next(&mut at) {
            Ok(Item::Frame(_)) => {}
            Ok(Item::Damage(_)) => gaps += 1,
            Ok(Item::End(Tail::Clean)) => break,
            Ok(Item::End(_)) => return Some(format!("{gaps} gaps and a torn end")),
            Err(error) => return Some(error.to_string()),
        }
    }
    (gaps > 0).then(|| format!("{gaps} gaps"))
}

/// Some of a list, and how many more there are.
fn listed(all: &[String]) -> String {
    let mut words = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        words.push_str(&format!(" and {} more", all.len() - NAMED));
    }
    words
}

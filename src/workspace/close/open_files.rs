//! Processes of this user that write into a directory, or stand in it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wharf_model::rules::close_check::Listed;

/// Who has something open.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// `4102 vim src/main.rs`, `4102 bash (its directory)`.
    pub listed: Listed,
    /// Those that write: by path below the directory.
    pub writing: Vec<(i32, PathBuf)>,
    /// What could not be looked at.
    pub unknown: Vec<String>,
}

/// Looks at all processes whose files this user may see; those of others, those that let nobody look (an agent with
/// keys), and those with more rights than this one (the system's own, where this user is root) are not ours to ask.
/// This process is left out.
pub(crate) fn look(root: &Path, descriptors_max: usize, until: Instant) -> Open {
    let mut open = Open::default();
    let me = rustix::process::geteuid().as_raw();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let table = match fs::read_dir("/proc") {
        Ok(table) => table,
        Err(e) => {
            open.unknown.push(format!("open files: /proc cannot be read: {e}"));
            return open;
        }
    };
    let mut pids: Vec<i32> = table.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let mut seen = 0;
    let mut closed = Listed::default();
    for pid in pids.into_iter().filter(|pid| *pid != own) {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        // It ended, or is another user's.
        if !proc.metadata().is_ok_and(|m| m.uid() == me) {
            continue;
        }
        if seen > descriptors_max || Instant::now() > until {
            open.unknown.push("open files: there are too many of them to look at".to_owned());
            break;
        }
        match one(&proc, root, &mut seen) {
            Ok((paths, inside)) => {
                if paths.is_empty() && !inside {
                    continue;
                }
                let name = fs::read_to_string(proc.join("comm")).unwrap_or_default();
                let name = name.trim();
                if inside {
                    open.listed.add(format!("{pid} {name} (its directory)"));
                }
                for path in paths {
                    open.listed.add(format!("{pid} {name} {}", path.display()));
                    open.writing.push((pid, path));
                }
            }
            Err(e) if e.kind() == ErrorKind::PermissionDenied && !is_above(&proc) => {
                let name = fs::read_to_string(proc.join("comm")).unwrap_or_default();
                closed.add(format!("{pid} {}", name.trim()));
            }
            // It ended.
            Err(_) => {}
        }
    }
    if !closed.is_empty() {
        open.unknown.push(format!("open files of {} processes: {}", closed.count, closed.names.join(", ")));
    }
    open
}

/// Whether a process may do more than this one.
fn is_above(proc: &Path) -> bool {
    let rights = |proc: &Path| {
        let status = fs::read_to_string(proc.join("status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("CapPrm:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    match (rights(proc), rights(Path::new("/proc/self"))) {
        (Some(theirs), Some(ours)) => theirs & !ours != 0,
        _ => false,
    }
}

/// Files that a process has open for writing below `root`, and whether it stands there.
fn one(proc: &Path, root: &Path, seen: &mut usize) -> io::Result<(Vec<PathBuf>, bool)> {
    let inside = fs::read_link(proc.join("cwd"))?.starts_with(root);
    let mut paths = Vec::new();
    for entry in fs::read_dir(proc.join("fd"))? {
        *seen += 1;
        let Ok(entry) = entry else { continue };
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let Ok(below) = target.strip_prefix(root) else { continue };
        let info = fs::read_to_string(proc.join("fdinfo").join(entry.file_name())).unwrap_or_default();
        let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).map(str::trim).unwrap_or_default();
        // The last two bits are the way it was opened: 0 is for reading.
        let writes = u32::from_str_radix(flags, 8).is_ok_and(|flags| flags & 3 != 0);
        if writes && !paths.iter().any(|p| p == below) {
            paths.push(below.to_owned());
        }
    }
    paths.sort();
    Ok((paths, inside))
}

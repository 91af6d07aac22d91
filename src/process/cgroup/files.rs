//! The small files of a group, and groups within groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Groups within one that are looked at: a run may make its own, but not keep us for ever.
const WITHIN_MAX: usize = 4_096;

/// Reads a group's file of numbers or words; `None` where there is none.
pub fn read(dir: &Path, name: &str) -> Option<String> {
    fs::read_to_string(dir.join(name)).ok()
}

/// Writes one of a group's files.
///
/// # Errors
/// The kernel's refusal.
pub fn write(dir: &Path, name: &str, value: &str) -> io::Result<()> {
    // The file exists or the kernel does not offer it: none is ever made here.
    let file = fs::File::options().write(true).open(dir.join(name))?;
    io::Write::write_all(&mut &file, value.as_bytes())
}

/// A count from a file of lines `name value`.
pub fn count(dir: &Path, file: &str, name: &str) -> Option<u64> {
    let text = read(dir, file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// A group and all groups within, those further in last.
pub fn with_inner(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(here) = all.get(next).cloned() {
        next += 1;
        let Ok(entries) = fs::read_dir(&here) else { continue };
        // The file type is the entry's own: a link is none, and there are none here.
        let inner = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path());
        let room = WITHIN_MAX.saturating_sub(all.len());
        all.extend(inner.take(room));
    }
    all
}

/// Numbers of the processes in a group and all within; a group that is gone has none.
///
/// # Errors
/// What the kernel says: who is in it is then unknown.
pub fn processes(dir: &Path) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for group in with_inner(dir) {
        let text = match fs::read_to_string(group.join("cgroup.procs")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // A group that goes while it is read, or one of threads, whose processes stand in the one above.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EOPNOTSUPP)) => continue,
            Err(error) => return Err(error),
        };
        // Zero stands for a process that has no number here.
        pids.extend(text.lines().filter_map(|line| line.trim().parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    Ok(pids)
}

/// Removes a group and those within. One that holds a process stays; one that is gone is removed.
///
/// # Errors
/// Why the group itself stays.
pub fn remove(dir: &Path) -> io::Result<()> {
    let mut last = Ok(());
    for group in with_inner(dir).iter().rev() {
        last = match fs::remove_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
    }
    last
}

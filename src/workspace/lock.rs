//! One change of worktrees at a time for each repository.
//!
//! git's own `worktree` commands do not exclude each other. The lock belongs to the open file
//! description, so two threads of one process exclude each other too, and the kernel frees it when
//! the last descriptor closes, however the process ends. A command that goes on under its shim then has it
//! no more: the next reign waits for that command before it looks at the repository.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::WorkspaceError;
use crate::process::lock::try_lock;

/// Directory of ours in a repository's common git directory.
pub const OUR_DIR: &str = "wharf";

/// The lock, held until dropped.
#[derive(Debug)]
pub struct WorktreeLock {
    /// Held.
    _file: File,
    path: PathBuf,
}

impl WorktreeLock {
    /// Takes the lock of a repository, waiting at most `limit`. `holder` is a short text others
    /// see while they wait, such as "W-9 of process 4711". Blocks the thread, so not for async tasks.
    pub fn acquire(common_dir: &Path, limit: Duration, holder: &str) -> Result<Self, WorkspaceError> {
        let directory = our_dir(common_dir)?;
        let path = directory.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(WorkspaceError::io("open the lock", &path))?;
        let start = Instant::now();
        let mut pause = Duration::from_millis(2);
        loop {
            if try_lock(&file).map_err(WorkspaceError::io("lock", &path))? {
                break;
            }
            let waited = start.elapsed();
            if waited >= limit {
                let holder = read_holder(&mut file);
                return Err(WorkspaceError::LockBusy { path, holder, waited_ms: waited.as_millis() });
            }
            // The kernel has no wait with a deadline for this lock; the pause stays short.
            thread::sleep(pause.min(limit.saturating_sub(waited)));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        // Only a hint for those who wait; the lock holds without it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(holder.as_bytes()));
        Ok(Self { _file: file, path })
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read_holder(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(200).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    if read.is_err() || text.trim().is_empty() { "unnamed".to_owned() } else { text.trim().to_owned() }
}

/// Makes (mode 0700) and answers our directory in a git directory.
pub(crate) fn our_dir(common_dir: &Path) -> Result<PathBuf, WorkspaceError> {
    let directory = common_dir.join(OUR_DIR);
    match DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) => Ok(directory),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(directory),
        Err(e) => Err(WorkspaceError::io("make", &directory)(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn excludes_within_one_process_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = WorktreeLock::acquire(dir.path(), Duration::ZERO, "W-9 of process 1").unwrap();
        let busy = WorktreeLock::acquire(dir.path(), Duration::from_millis(20), "W-10").unwrap_err().to_string();
        assert!(busy.contains("W-9 of process 1"), "{busy}");
        drop(first);
        // Whatever another thread starts in this moment has the lock as well, until it has become another program.
        WorktreeLock::acquire(dir.path(), Duration::from_secs(30), "W-10").unwrap();
    }

    #[test]
    fn a_waiter_gets_it_when_the_holder_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let first = WorktreeLock::acquire(&path, Duration::ZERO, "first").unwrap();
        let (started, wait) = mpsc::channel();
        let waiter = thread::spawn(move || {
            started.send(()).unwrap();
            WorktreeLock::acquire(&path, Duration::from_secs(30), "second").map(drop)
        });
        wait.recv().unwrap();
        drop(first);
        waiter.join().unwrap().unwrap();
    }
}

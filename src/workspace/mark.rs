//! Our mark: which workspace of which project a directory was made for.
//!
//! It lies where neither a commit nor a clean-up of files reaches it: in the worktree's private git
//! directory. It is written last, so a worktree with a mark was checked out completely.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wharf_model::{ProjectId, RunId, UnixMillis, WorkspaceId};

use super::WorkspaceError;

/// Name of the mark in a worktree's private git directory.
pub const WORKTREE_FILE: &str = "wharf.json";
/// Mark of a plain directory that was made for a workspace, relative to it.
pub const PLAIN_FILE: &str = ".wharf/workspace.json";
const VERSION: u32 = 1;
const MAX_BYTES: u64 = 64 * 1024;

/// Content of the mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Format; 1.
    pub version: u32,
    /// The project.
    pub project: ProjectId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The run it was made for.
    pub created_by_run: Option<RunId>,
    /// When.
    pub created_at: UnixMillis,
    /// The branch it was made with.
    pub branch: Option<String>,
    /// Whether that branch was made with it, and so goes with it when it is merged.
    pub created_branch: bool,
}

impl Mark {
    /// A mark of the present format.
    pub fn new(project: ProjectId, workspace: WorkspaceId, run: Option<RunId>, at: UnixMillis) -> Self {
        Self {
            version: VERSION,
            project,
            workspace,
            created_by_run: run,
            created_at: at,
            branch: None,
            created_branch: false,
        }
    }
}

/// Where the mark of a plain directory lies.
pub fn plain_file(directory: &Path) -> PathBuf {
    directory.join(PLAIN_FILE)
}

/// Reads a mark; `None` when there is no file.
pub fn read(file: &Path) -> Result<Option<Mark>, WorkspaceError> {
    let bad = |why: String| WorkspaceError::BadMark { path: file.to_owned(), why };
    let opened = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(file) {
        Ok(opened) => opened,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(bad(e.to_string())),
    };
    let mut text = String::new();
    opened.take(MAX_BYTES).read_to_string(&mut text).map_err(|e| bad(e.to_string()))?;
    let mark: Mark = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    if mark.version == VERSION {
        Ok(Some(mark))
    } else {
        Err(bad(format!("format {} was written by a newer wharf", mark.version)))
    }
}

/// Writes a mark as a whole or not at all, mode 0600, replacing an older one.
pub fn write(file: &Path, mark: &Mark) -> Result<(), WorkspaceError> {
    let fail = |what| WorkspaceError::io(what, file);
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(fail("make the directory of"))?;
    let mut text = serde_json::to_vec_pretty(mark).map_err(|e| fail("write")(e.into()))?;
    text.push(b'\n');
    let partial = directory.join(format!(".wharf-mark.{}", uuid::Uuid::now_v7().simple()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut f| f.write_all(&text).and_then(|()| f.sync_all()))
        .and_then(|()| fs::rename(&partial, file));
    if written.is_err() {
        // Nothing reads this name; leaving it would only be untidy.
        let _ = fs::remove_file(&partial);
    }
    written.map_err(fail("write"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_mark_comes_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = plain_file(dir.path());
        assert_eq!(read(&file).unwrap(), None);
        let mut mark = Mark::new(ProjectId::NIL, WorkspaceId::NIL, Some(RunId::NIL), UnixMillis(7));
        write(&file, &mark).unwrap();
        mark.branch = Some("b".into());
        write(&file, &mark).unwrap();
        assert_eq!(read(&file).unwrap(), Some(mark));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no partial file stays");
    }

    #[test]
    fn damage_is_an_error_not_an_absence() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(WORKTREE_FILE);
        for bad in ["", "{", "null", r#"{"version":2}"#] {
            fs::write(&file, bad).unwrap();
            assert!(matches!(read(&file), Err(WorkspaceError::BadMark { .. })), "{bad}");
        }
        let mut newer = Mark::new(ProjectId::NIL, WorkspaceId::NIL, None, UnixMillis(0));
        newer.version = 9;
        fs::write(&file, serde_json::to_string(&newer).unwrap()).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("newer wharf"));
    }
}

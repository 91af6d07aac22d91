//! An index that libgit2 cannot read, as one that it can: git makes a plain copy of it, aside.
//!
//! A sparse index has one entry for a whole directory that a sparse checkout leaves out, a split one refers to a file
//! beside it. The copy has every entry with all that git knows of it. Nothing in the repository is changed, no file of
//! the checkout is read, no filter or hook is asked, and nothing is fetched: where a tree is not here, it fails.

use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use git2::{Index, IndexEntry, Repository};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use uuid::Uuid;

use super::keep_error::KeepError;
use super::worktree::Git;
use super::{WorkspaceError, git_run};

/// How the names of what lies here for a moment begin.
const PREFIX: &str = "wharf-index-";

/// A directory for a moment.
struct Aside(PathBuf);

impl Aside {
    fn new() -> Result<Self, WorkspaceError> {
        let path = std::env::temp_dir().join(format!("{PREFIX}{}", Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&path).map_err(WorkspaceError::io("make", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Left behind it is untidy at most: nobody else may read it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The index at `path`, read from a plain copy.
pub(super) fn copy(repo: &Repository, path: &Path) -> Result<Index, WorkspaceError> {
    let aside = Aside::new()?;
    let plain = aside.0.join("index");
    let mut from = File::open(path).map_err(WorkspaceError::io("read", path))?;
    let written = from.metadata().and_then(|m| m.modified()).map_err(WorkspaceError::io("look at", path))?;
    let mut to = File::create_new(&plain).map_err(WorkspaceError::io("write", &plain))?;
    std::io::copy(&mut from, &mut to).map_err(WorkspaceError::io("copy", path))?;
    drop(to);
    // Files as young as the index git would read again, through filters that a config names: here it finds none.
    let nowhere = aside.0.join("no-files");
    fs::create_dir(&nowhere).map_err(WorkspaceError::io("make", &nowhere))?;
    let git = Git::new(&nowhere, std::env::vars_os());
    git_run::run(&git.rewrite_index(repo.path(), &nowhere, &plain)).map_err(|e| WorkspaceError::Git {
        what: "read the index",
        path: repo.path().to_owned(),
        message: e.to_string(),
    })?;
    // What was young stays so for whoever compares the copy with the files.
    File::open(&plain)
        .and_then(|made| made.set_times(FileTimes::new().set_modified(written)))
        .map_err(WorkspaceError::io("set the time of", &plain))?;
    Index::open_ext(&plain, repo.object_format()).map_err(WorkspaceError::git("read the index", repo.path()))
}

/// Puts entries into the place of an index, whatever its format was, as git does: under its lock, in one step. git makes
/// its own format of it when it writes it next.
///
/// # Errors
/// git holds the lock; what the disk reports.
pub(super) fn replace(repo: &Repository, entries: &[IndexEntry]) -> Result<(), KeepError> {
    let dir = repo.path();
    let (new, lock, index) =
        (dir.join(format!("{PREFIX}{}", Uuid::now_v7())), dir.join("index.lock"), dir.join("index"));
    let fail = KeepError::git("write the index", dir);
    let mut made = Index::open_ext(&new, repo.object_format()).map_err(&fail)?;
    for entry in entries {
        made.add(entry).map_err(&fail)?;
    }
    made.write().map_err(&fail)?;
    let placed = renameat_with(CWD, &new, CWD, &lock, RenameFlags::NOREPLACE);
    if let Err(e) = placed {
        // It is ours alone.
        let _ = fs::remove_file(&new);
        return Err(match e {
            rustix::io::Errno::EXIST => KeepError::Busy { path: index, why: "git holds its lock".to_owned() },
            e => KeepError::io("lock", &index)(e.into()),
        });
    }
    let mode = index.metadata().map_or(0o644, |m| m.permissions().mode() & 0o777);
    let done = fs::set_permissions(&lock, Permissions::from_mode(mode))
        .and_then(|()| File::open(&lock)?.sync_all())
        .and_then(|()| fs::rename(&lock, &index));
    done.map_err(|e| {
        // The lock is ours: with it git would wait for nobody.
        let _ = fs::remove_file(&lock);
        KeepError::io("write", &index)(e)
    })
}

/// Whether libgit2 reads a copy in the place of the checkout's own index, which is then to be written by [`replace`].
pub(super) fn is_copy(index: &Index) -> bool {
    let above = index.path().and_then(Path::parent).and_then(Path::file_name);
    above.is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

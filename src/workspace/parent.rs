//! The directory worktrees are made in.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::WorkspaceError;
use super::containment::{contained, resolve};
use super::inspect::{RepositoryFacts, WorktreeEntry};

/// Where worktrees go when config does not say.
pub const DEFAULT_PARENT: &str = ".wharf/worktrees";

/// Finds the parent directory, without making it. A relative setting starts at the main checkout
/// and must stay in it; an absolute one, or one below `~`, may be anywhere but in a git directory
/// or in another worktree.
pub fn locate(
    setting: Option<&str>,
    repo: &RepositoryFacts,
    worktrees: &[WorktreeEntry],
    home: Option<&Path>,
) -> Result<PathBuf, WorkspaceError> {
    let setting = setting.map(str::trim).filter(|s| !s.is_empty()).unwrap_or(DEFAULT_PARENT);
    let root = repo.root().ok_or_else(|| WorkspaceError::Bare { path: repo.git_dir.clone() })?;
    let outside = |path: PathBuf, why| WorkspaceError::ParentOutside {
        setting: setting.to_owned(),
        path,
        why,
        root: root.to_owned(),
    };
    let below_home = setting.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let path = if let Some(rest) = below_home {
        let home = home.ok_or_else(|| outside(setting.into(), "needs HOME, which is not set"))?;
        resolve(&home.join(rest.trim_start_matches('/')))?
    } else if Path::new(setting).is_absolute() {
        resolve(Path::new(setting))?
    } else {
        contained(root, &root.join(setting)).map_err(|e| match e {
            WorkspaceError::Outside { path, .. } => outside(path, "is outside the project"),
            other => other,
        })?
    };
    if path == root {
        return Err(outside(path, "is the project's own checkout"));
    }
    if path.starts_with(&repo.common_dir) {
        return Err(outside(path, "is inside the git directory"));
    }
    if worktrees.iter().any(|w| !w.main && path.starts_with(&w.path) && w.path != root) {
        return Err(outside(path, "is inside another worktree"));
    }
    Ok(path)
}

/// The parent of a worktree that is there already: what its branch was joined to.
pub fn of(worktree: &Path, branch: &str) -> PathBuf {
    let names = Path::new(branch).components().count();
    let parent = worktree.ancestors().nth(names).filter(|_| worktree.ends_with(branch));
    parent.or_else(|| worktree.parent()).unwrap_or(worktree).to_owned()
}

/// Makes the parent and, below the project, a `.gitignore` in it that hides all it holds; checks
/// that it can be written.
pub fn prepare(parent: &Path, root: &Path) -> Result<(), WorkspaceError> {
    let unwritable = |why: String| WorkspaceError::ParentUnwritable { path: parent.to_owned(), why };
    fs::create_dir_all(parent).map_err(|e| unwritable(e.to_string()))?;
    access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| unwritable(e.to_string()))?;
    if parent.starts_with(root) {
        let ignore = parent.join(".gitignore");
        match OpenOptions::new().write(true).create_new(true).open(&ignore) {
            Ok(mut file) => file.write_all(b"*\n").map_err(|e| unwritable(e.to_string()))?,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(unwritable(e.to_string())),
        }
    }
    Ok(())
}

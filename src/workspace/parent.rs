//! The directory worktrees are made in.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use git2::Repository;
use rustix::fs::{Access, access};

use super::WorkspaceError;
use super::containment::{contained, resolve};
use super::inspect::{self, RepositoryFacts, WorktreeEntry};
use super::opening;
use super::trash::DIRECTORY as TRASH;

/// Where worktrees go when config does not say.
pub const DEFAULT_PARENT: &str = ".wharf/worktrees";

/// Directory of ours in a project.
const OWN: &str = ".wharf";
/// Hides what is in the parent from git.
const IGNORE: &str = ".gitignore";
/// What we write there: all of it.
const HIDDEN: &[u8] = b"*\n";

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
    if path.parent().is_none() {
        return Err(outside(path, "is the root of all directories"));
    }
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
/// that it can be written, and that nothing in it is anybody's own.
pub fn prepare(parent: &Path, root: &Path) -> Result<(), WorkspaceError> {
    if parent.starts_with(root) {
        holds_nothing_else(parent, root)?;
    }
    let unwritable = |why: String| WorkspaceError::ParentUnwritable { path: parent.to_owned(), why };
    fs::create_dir_all(parent).map_err(|e| unwritable(e.to_string()))?;
    access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| unwritable(e.to_string()))?;
    if parent.starts_with(root) {
        let ignore = parent.join(IGNORE);
        match OpenOptions::new().write(true).create_new(true).open(&ignore) {
            Ok(mut file) => file.write_all(HIDDEN).map_err(|e| unwritable(e.to_string()))?,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(unwritable(e.to_string())),
        }
    }
    Ok(())
}

/// Refuses a directory of the operator's: with files of the repository in it, or, as long as nothing is hidden in it,
/// with anything but worktrees and our trash.
fn holds_nothing_else(parent: &Path, root: &Path) -> Result<(), WorkspaceError> {
    let holds = |holds: String| Err(WorkspaceError::ParentHolds { path: parent.to_owned(), holds });
    let Ok(repo) = opening::open(root) else { return Ok(()) };
    if let Some(name) = tracked_in(&repo, parent, root)? {
        return holds(format!("{name} of the repository"));
    }
    if parent.join(IGNORE).symlink_metadata().is_ok() {
        return Ok(());
    }
    // What has our own name is ours; what we have hidden above it is hidden already.
    let hides = |dir: &Path| fs::read(dir.join(IGNORE)).is_ok_and(|text| text == HIDDEN);
    if parent.starts_with(root.join(OWN)) || parent.ancestors().skip(1).take_while(|dir| *dir != root).any(hides) {
        return Ok(());
    }
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        // It is made, or what stands there is told of, by whoever makes it.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        Err(e) => return Err(WorkspaceError::io("list", parent)(e)),
    };
    let listed = inspect::worktrees(&inspect::checkout(root)?)?;
    for entry in entries {
        let path = entry.map_err(WorkspaceError::io("list", parent))?.path();
        let is_empty = || fs::read_dir(&path).is_ok_and(|mut inside| inside.next().is_none());
        let is_worktree = listed.iter().any(|worktree| worktree.path.starts_with(&path));
        if !path.ends_with(TRASH) && !is_worktree && !is_empty() {
            return holds(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// A tracked file below the parent, its own `.gitignore` aside.
fn tracked_in(repo: &Repository, parent: &Path, root: &Path) -> Result<Option<String>, WorkspaceError> {
    let Ok(below) = parent.strip_prefix(root) else { return Ok(None) };
    let prefix = [below.as_os_str().as_encoded_bytes(), b"/"].concat();
    let index = opening::index(repo)?;
    let found = index.iter().find(|e| e.path.starts_with(&prefix) && &e.path[prefix.len()..] != IGNORE.as_bytes());
    Ok(found.map(|e| String::from_utf8_lossy(&e.path).into_owned()))
}

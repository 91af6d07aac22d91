//! Whether a directory is ours to touch: links resolved, marks read, every project's checkout kept out.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use wharf_model::rules::close_check::Place;
use wharf_model::{ProjectId, WorkspaceId};

use crate::environment::sandbox::mounted;
use crate::workspace::containment::resolve;
use crate::workspace::inspect;
use crate::workspace::mark::{self, Mark, WORKTREE_FILE};
use crate::workspace::opening;
use crate::workspace::presence;

/// A directory that is ours.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    /// It, links resolved.
    pub path: PathBuf,
    /// Its mark.
    pub mark: Mark,
    /// Its number in its file system, by which a move is told from another directory with its name.
    pub inode: u64,
    /// Its mode.
    pub mode: u32,
    /// What git knows; none for a plain directory.
    pub git: Option<Layout>,
}

/// Where the git directories of a linked worktree are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Shared by all worktrees.
    pub common_dir: PathBuf,
    /// Its own.
    pub private_dir: PathBuf,
    /// Name of its entry.
    pub entry: String,
    /// Reason of its lock.
    pub locked: Option<String>,
}

/// Judges a directory. What is not ours comes back as a [`Place`] that says why.
pub(crate) fn judge(
    path: &Path,
    project: ProjectId,
    workspace: WorkspaceId,
    never: &[PathBuf],
) -> Result<Ours, Box<Place>> {
    let unknown = |why: String| Box::new(Place::Unknown(why));
    let not_ours = |why: String| Box::new(Place::NotOurs(why));
    let shown = path.display();
    if !path.is_absolute() {
        return Err(not_ours(format!("{shown} is no absolute path")));
    }
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(Box::new(Place::Gone)),
        Err(e) => return Err(unknown(format!("{shown} cannot be looked at: {e}"))),
    };
    if meta.is_symlink() {
        let to = fs::read_link(path).map(|to| to.display().to_string()).unwrap_or_default();
        return Err(not_ours(format!("{shown} is a symbolic link to {to}")));
    }
    if !meta.is_dir() {
        return Err(not_ours(format!("{shown} is no directory")));
    }
    let real = path.canonicalize().map_err(|e| unknown(format!("{shown} cannot be resolved: {e}")))?;
    holds_none_of(&real, &meta, never)?;
    let dot = real.join(".git");
    let (mark_file, git) = match dot.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => (mark::plain_file(&real), None),
        Err(e) => return Err(unknown(format!("{} cannot be looked at: {e}", dot.display()))),
        Ok(dot) if dot.is_file() => {
            let layout = layout(&real)?;
            (layout.private_dir.join(WORKTREE_FILE), Some(layout))
        }
        Ok(_) => return Err(not_ours(format!("{} is a main checkout: its branches would go with it", real.display()))),
    };
    let mark = match mark::read(&mark_file) {
        Ok(Some(mark)) => mark,
        Ok(None) => return Err(not_ours(format!("{} carries no mark of wharf", real.display()))),
        Err(e) => return Err(unknown(e.to_string())),
    };
    if mark.workspace != workspace || mark.project != project {
        let why = format!("{} was made for workspace {} of project {}", real.display(), mark.workspace, mark.project);
        return Err(not_ours(why));
    }
    Ok(Ours { path: real, mark, inode: meta.ino(), mode: meta.mode() & 0o7777, git })
}

/// Judges a directory that is to be moved or removed: beside [`judge`], nothing may be mounted in it. What is mounted
/// is somebody else's, and would be moved, and later removed, with it.
pub(crate) fn removable(
    path: &Path,
    project: ProjectId,
    workspace: WorkspaceId,
    never: &[PathBuf],
) -> Result<Ours, Box<Place>> {
    let ours = judge(path, project, workspace, never)?;
    match mounted::in_the_way(&ours.path) {
        Ok(None) => Ok(ours),
        Ok(Some(why)) => Err(Box::new(Place::NotOurs(why))),
        Err(e) => Err(Box::new(Place::Unknown(format!("whether something is mounted in it: {e}")))),
    }
}

/// Refuses a directory that is one of these, or that one of these lies in: by name after all links, and by number
/// too, since a directory can be mounted twice.
fn holds_none_of(real: &Path, meta: &fs::Metadata, never: &[PathBuf]) -> Result<(), Box<Place>> {
    for kept in never {
        let resolved = match resolve(kept) {
            Ok(resolved) => resolved,
            // It is not there, behind a dangling link: then it is nowhere inside either, unless by name.
            Err(_) if kept.symlink_metadata().is_err() => kept.clone(),
            Err(e) => return Err(Box::new(Place::Unknown(format!("whether it holds {}: {e}", kept.display())))),
        };
        let same = |at: &Path| fs::metadata(at).is_ok_and(|m| (m.dev(), m.ino()) == (meta.dev(), meta.ino()));
        if resolved == real || same(&resolved) {
            return Err(Box::new(Place::NotOurs(format!("{} is a project's own checkout", real.display()))));
        }
        if resolved.starts_with(real) || resolved.ancestors().skip(1).any(same) {
            match is_there(&resolved) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    let why = format!("whether it holds a project's checkout: {}", presence::untold(&resolved));
                    return Err(Box::new(Place::Unknown(why)));
                }
            }
            let why = format!("{} holds {}, a project's own checkout", real.display(), resolved.display());
            return Err(Box::new(Place::NotOurs(why)));
        }
    }
    Ok(())
}

/// Whether a project's directory is there still; none where that cannot be told: the next directory on the way to it
/// that is there is empty, and so may be where a disk belongs.
fn is_there(kept: &Path) -> Option<bool> {
    let not_there = |path: &Path| path.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound);
    if !not_there(kept) {
        return Some(true);
    }
    let around = kept.ancestors().skip(1).find(|above| !not_there(above))?;
    fs::read_dir(around).is_ok_and(|mut entries| entries.next().is_some()).then_some(false)
}

fn layout(real: &Path) -> Result<Layout, Box<Place>> {
    let unknown = |why: String| Box::new(Place::Unknown(why));
    let not_ours = |why: String| Box::new(Place::NotOurs(why));
    let shown = real.display();
    let repo =
        opening::open_here(real).map_err(|e| unknown(format!("git cannot open {shown}: {}", opening::said(&e))))?;
    if !repo.is_worktree() {
        return Err(not_ours(format!("{shown} is the checkout of a repository of its own, not a worktree")));
    }
    let resolved = |path: &Path| resolve(path).map_err(|e| unknown(e.to_string()));
    let private_dir = resolved(repo.path())?;
    let common_dir = resolved(repo.commondir())?;
    if private_dir.parent() != Some(&common_dir.join("worktrees")) {
        return Err(not_ours(format!("{shown} is a worktree in a way that wharf does not make")));
    }
    if common_dir.starts_with(real) {
        return Err(not_ours(format!("{shown} holds the repository that it is a worktree of")));
    }
    let repository = match inspect::inspect(real) {
        Ok(inspect::Place::Repository(repository)) => repository,
        Ok(inspect::Place::Plain(_)) => return Err(unknown(format!("git finds no repository in {shown}"))),
        Err(e) => return Err(unknown(e.to_string())),
    };
    let listed = inspect::worktrees(&repository).map_err(|e| unknown(e.to_string()))?;
    let Some(own) = listed.iter().find(|w| w.private_dir == private_dir) else {
        return Err(unknown(format!("git does not list {shown} as a worktree; try `git worktree repair`")));
    };
    if own.path != real {
        let why = format!("{shown} was moved: git has it at {}; run `git worktree repair` in it", own.path.display());
        return Err(not_ours(why));
    }
    // Moved with it they would be lost to git, which forgets worktrees that it does not find.
    if let Some(inside) = listed.iter().find(|w| w.path != real && w.path.starts_with(real)) {
        let what = if inside.main { "the main checkout" } else { "another worktree" };
        return Err(not_ours(format!("{shown} holds {what} of its repository, {}", inside.path.display())));
    }
    let entry = private_dir.file_name().and_then(|n| n.to_str());
    let entry = entry.ok_or_else(|| not_ours(format!("{shown} has an entry with a name that is no text")))?.to_owned();
    Ok(Layout { common_dir, private_dir, entry, locked: own.locked.clone() })
}

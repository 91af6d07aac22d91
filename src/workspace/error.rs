use std::io;
use std::path::{Path, PathBuf};

use super::opening;

/// The error code of everything that goes wrong while a workspace is made ready.
pub const CODE: &str = "workspace_realization_failed";

/// Why a directory cannot be used as asked. Each message names the path, the cause and a way out.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The directory is not there.
    #[error("{} does not exist; restore it, or tell the project its new place", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// A file, socket or the like.
    #[error("{} is {what}, not a directory", path.display())]
    NotADirectory {
        /// What was looked at.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// No repository here or above.
    #[error("{} is not in a git repository; run `git init` and commit there, or set workspace mode to \"shared_workspace\"", path.display())]
    NotARepository {
        /// The directory.
        path: PathBuf,
    },
    /// A repository without a checkout.
    #[error("{} is a bare repository, which has no files to work on; point the project at a checkout of it", path.display())]
    Bare {
        /// The repository.
        path: PathBuf,
    },
    /// A repository whose branch has nothing yet.
    #[error("{} has no commit yet (branch {branch:?} is empty), so no worktree can start from it; commit once, or set workspace mode to \"shared_workspace\"", path.display())]
    NoCommit {
        /// The checkout.
        path: PathBuf,
        /// The branch HEAD names.
        branch: String,
    },
    /// libgit2 will not open a repository of another user.
    #[error("{} belongs to another user, and git refuses to read it; if you trust it, add it to safe.directory in your git config", path.display())]
    OtherOwner {
        /// The repository.
        path: PathBuf,
    },
    /// A base ref that names no commit.
    #[error("base ref {name:?} (from {from}) names no commit in {}; fetch it, or correct {from}", repo.display())]
    UnknownBase {
        /// The ref.
        name: String,
        /// Where it was written.
        from: &'static str,
        /// The repository.
        repo: PathBuf,
    },
    /// The parent of worktrees is not where it may be.
    #[error("worktree parent {setting:?} leads to {}, which {why}; set `parent` in [workspace] to a directory below {} or to an absolute path of its own", path.display(), root.display())]
    ParentOutside {
        /// As written.
        setting: String,
        /// Where it leads.
        path: PathBuf,
        /// What is wrong with that.
        why: &'static str,
        /// The project's checkout.
        root: PathBuf,
    },
    /// The parent of worktrees is somebody's own: everything in it would be hidden from git.
    #[error("worktree parent {} holds {holds}, which git would be told to ignore; set `parent` in [workspace] to a directory for worktrees alone", path.display())]
    ParentHolds {
        /// The parent.
        path: PathBuf,
        /// What is in it.
        holds: String,
    },
    /// The parent of worktrees cannot be made or written.
    #[error("worktree parent {} cannot be used: {why}; make it writable, or set `parent` in [workspace] to another directory", path.display())]
    ParentUnwritable {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// A path that leaves the directory it must stay in.
    #[error("{} is outside {}", path.display(), parent.display())]
    Outside {
        /// The path, with links resolved.
        path: PathBuf,
        /// The directory.
        parent: PathBuf,
    },
    /// A path that cannot be resolved for certain.
    #[error("{} cannot be resolved: {why}", path.display())]
    Unresolvable {
        /// As given.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The file with the project's identity does not hold one.
    #[error("project identity file {} holds {found:?} instead of a UUID; restore it from a backup, or delete it to start as a new project", path.display())]
    BadProjectFile {
        /// The file.
        path: PathBuf,
        /// How it begins.
        found: String,
    },
    /// An ownership mark that cannot be read.
    #[error("workspace mark {} is damaged ({why}); wharf leaves the directory alone until the file is repaired or deleted", path.display())]
    BadMark {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Somebody else kept the repository's worktree lock too long.
    #[error("another change of worktrees holds {} ({holder}) and did not end within {waited_ms} ms; try again when it has", path.display())]
    LockBusy {
        /// The lock file.
        path: PathBuf,
        /// What the file says about the holder.
        holder: String,
        /// How long was waited.
        waited_ms: u128,
    },
    /// After the command, the directory is not what was asked for.
    #[error("{} is not the worktree that was to be made: {why}", path.display())]
    NotAsPlanned {
        /// The directory.
        path: PathBuf,
        /// The difference.
        why: String,
    },
    /// Anything else git reports.
    #[error("git cannot {what} in {}: {message}", path.display())]
    Git {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// libgit2's message.
        message: String,
    },
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl WorkspaceError {
    /// The stored error code.
    pub fn code(&self) -> &'static str {
        CODE
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn git(what: &'static str, path: &Path) -> impl FnOnce(git2::Error) -> Self + use<> {
        let path = path.to_owned();
        move |error| match error.code() {
            git2::ErrorCode::Owner => Self::OtherOwner { path },
            _ => Self::Git { what, path, message: opening::said(&error) },
        }
    }
}

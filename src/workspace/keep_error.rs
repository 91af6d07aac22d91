//! Why a workspace cannot be kept, moved away or brought back.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use wharf_model::rules::close_check::Place;

use super::WorkspaceError;

/// Nothing was lost when one of these is answered: each names the place, the cause and a way out.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The directory is not ours to touch.
    #[error("{} is left alone: {why}", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The directory is certainly not there.
    #[error("{} is not there; restore it from its trash or from a snapshot", path.display())]
    Gone {
        /// The directory.
        path: PathBuf,
    },
    /// A snapshot needs a repository.
    #[error("{} is in no git repository, so no snapshot of it can be made; its trash keeps all of it", path.display())]
    NoRepository {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody removed a directory from the trash.
    #[error("{} is in the trash no more: somebody removed it by hand; restore a snapshot by its name instead (`wharf workspace show` lists them)", path.display())]
    TrashGone {
        /// Where it lay.
        path: PathBuf,
    },
    /// The trash lies on another file system than the place that its directory came from.
    #[error("{} and the trash {} are on different file systems, so it cannot be moved back in one step; mount things as they were, or copy it (`cp -a`) and work on in the copy; it stays in the trash until its time is over", path.display(), trash.display())]
    TrashElsewhere {
        /// Where it was to go.
        path: PathBuf,
        /// Where it lies.
        trash: PathBuf,
    },
    /// Something stands where a directory is to come back to.
    #[error("{} is taken by {what}, so nothing is put there; move that away ({} is free) and try again; what is to be restored stays where it is", path.display(), offer.display())]
    PlaceTaken {
        /// What is taken.
        path: PathBuf,
        /// What stands there.
        what: String,
        /// A path that is free.
        offer: PathBuf,
    },
    /// Something else has the name.
    #[error("{} is taken by something else; {}", path.display(), offer_text(offer.as_deref()))]
    Taken {
        /// What is taken.
        path: PathBuf,
        /// A path that is free.
        offer: Option<PathBuf>,
    },
    /// In use in a way that the system does not let go.
    #[error("{} is in use ({why}); end what uses it, then try again", path.display())]
    Busy {
        /// What is in use.
        path: PathBuf,
        /// By what, or the system's word.
        why: String,
    },
    /// Something is mounted in a tree that was to be removed: it is left whole.
    #[error("{} is kept as it is: {why}", path.display())]
    Mounted {
        /// The tree.
        path: PathBuf,
        /// What is mounted where, and what helps.
        why: String,
    },
    /// The trash would lie on another file system: then a move is a copy and no longer one step.
    #[error("{} and its trash {} are on different file systems, so it cannot be moved in one step; unmount it, or move it yourself", path.display(), trash.display())]
    OtherFileSystem {
        /// The directory.
        path: PathBuf,
        /// Where it was to go.
        trash: PathBuf,
    },
    /// A right is missing.
    #[error("cannot {what} {}: {source}; make it {} for you, then try again", path.display(), right(what))]
    Denied {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// More than the limits allow.
    #[error("{} is too large for a snapshot ({why}); have git ignore what need not be kept, then try again", path.display())]
    TooLarge {
        /// The directory.
        path: PathBuf,
        /// Which limit.
        why: String,
    },
    /// A part of a work tree is not its snapshot.
    #[error("no snapshot of {} can be made: {why}; make that readable for you, move it away, or have git ignore it, then try again", path.display())]
    Unseen {
        /// The directory.
        path: PathBuf,
        /// What could not be looked through.
        why: String,
    },
    /// Something changed between two steps, so that going on would be a guess.
    #[error("{} changed meanwhile: {why}; look again and repeat", path.display())]
    Changed {
        /// What.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// No snapshot with this id.
    #[error("snapshot {id} is not in {}; it was removed, or the repository is another one", path.display())]
    NoSnapshot {
        /// Its id.
        id: String,
        /// The repository.
        path: PathBuf,
    },
    /// A record of the trash that is missing or damaged.
    #[error("trash record {} cannot be used: {why}; wharf leaves what it stands for alone", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A command of git failed.
    #[error("`{command}` failed in {}: {message}", path.display())]
    Command {
        /// As typed.
        command: String,
        /// Where.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// Something in the way of a restore that no snapshot holds.
    #[error("{} stands in the way and is in no snapshot ({what}); move it, then try again", path.display())]
    InTheWay {
        /// What stands there.
        path: PathBuf,
        /// What it is: `ignored`, `a nested repository`.
        what: &'static str,
    },
    /// As for making a workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

/// The right that something lacked.
fn right(what: &str) -> &'static str {
    let reads = ["read", "open", "look", "list", "resolve"];
    if reads.iter().any(|verb| what.starts_with(verb)) { "readable" } else { "writable" }
}

fn offer_text(offer: Option<&Path>) -> String {
    match offer {
        Some(free) => format!("{} is free", free.display()),
        None => "move it, then try again".to_owned(),
    }
}

impl KeepError {
    /// Of a directory that is not to be touched.
    pub(crate) fn of_place(path: &Path, place: Place) -> Self {
        let path = path.to_owned();
        match place {
            Place::Gone => Self::Gone { path },
            Place::NotOurs(why) | Place::Unknown(why) => Self::NotOurs { path, why },
            Place::Ours => Self::NotOurs { path, why: "it was not looked at".to_owned() },
        }
    }

    /// The stored error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOurs { .. } | Self::Gone { .. } | Self::TrashGone { .. } | Self::NoRepository { .. } => {
                "illegal_state"
            }
            Self::Changed { .. } => "changed_since_preview",
            Self::Workspace(WorkspaceError::Io { source, .. }) | Self::Denied { source, .. }
                if source.kind() == ErrorKind::StorageFull =>
            {
                "disk_full"
            }
            _ => super::CODE,
        }
    }

    /// Whether trying again may help without anybody doing anything: a lock or a busy file.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Mounted { .. } | Self::Workspace(WorkspaceError::LockBusy { .. }))
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| match source.kind() {
            ErrorKind::ResourceBusy => Self::Busy { path: path.clone(), why: source.to_string() },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { what, path: path.clone(), source }
            }
            _ => Self::Workspace(WorkspaceError::Io { what, path: path.clone(), source }),
        }
    }

    pub(crate) fn git(what: &'static str, path: &Path) -> impl Fn(git2::Error) -> Self + use<> {
        let path = path.to_owned();
        move |error| Self::Workspace(WorkspaceError::git(what, &path)(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_as_the_one_that_is_missing() {
        let told = |what| {
            let source = io::Error::from(ErrorKind::PermissionDenied);
            KeepError::io(what, Path::new("/w/secret"))(source).to_string()
        };
        assert!(told("read").ends_with("make it readable for you, then try again"), "{}", told("read"));
        assert!(told("open the directory of").contains("make it readable"), "{}", told("open the directory of"));
        assert!(told("write").contains("make it writable"), "{}", told("write"));
        let unseen = KeepError::Unseen { path: "/w".into(), why: "/w/n cannot be looked through: no right".into() };
        assert!(!unseen.to_string().contains("too large"), "{unseen}");
    }
}

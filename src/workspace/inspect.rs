//! What a directory is to git. Only reads.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use git2::{BranchType, ErrorCode, Repository};

use super::WorkspaceError;
use super::containment::resolve;
use super::mark::{self, Mark};
use super::opening;
use super::presence;

/// Most linked worktrees of one repository that are looked at.
pub const MAX_WORKTREES: usize = 4096;

/// Where HEAD points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// On a branch with at least one commit.
    Branch {
        /// Without `refs/heads/`.
        name: String,
        /// Commit id, 40 hex digits, or 64 where the repository has SHA-256.
        commit: String,
    },
    /// On a commit and no branch.
    Detached {
        /// Commit id.
        commit: String,
    },
    /// On a branch that has no commit yet.
    Unborn {
        /// Without `refs/heads/`.
        name: String,
    },
}

impl Head {
    /// The branch, if HEAD is on one.
    pub fn branch(&self) -> Option<&str> {
        match self {
            Self::Branch { name, .. } | Self::Unborn { name } => Some(name),
            Self::Detached { .. } => None,
        }
    }

    /// The commit, if there is one.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Self::Branch { commit, .. } | Self::Detached { commit } => Some(commit),
            Self::Unborn { .. } => None,
        }
    }
}

/// A repository as seen from one directory. All paths have their links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Root of the checkout the directory is in; `None` for a bare repository.
    pub top_level: Option<PathBuf>,
    /// The directory looked at, relative to the checkout's root; empty at the root itself.
    pub prefix: PathBuf,
    /// The git directory of this checkout.
    pub git_dir: PathBuf,
    /// The git directory all worktrees share.
    pub common_dir: PathBuf,
    /// The checkout that is not a linked worktree; `None` when the repository itself is bare.
    pub main_checkout: Option<PathBuf>,
    /// Whether this checkout is a linked worktree.
    pub linked: bool,
    /// HEAD of this checkout.
    pub head: Head,
    /// Url of `origin`.
    pub origin_url: Option<String>,
}

impl RepositoryFacts {
    /// The checkout other places are named relative to: the main one, else this one.
    pub fn root(&self) -> Option<&Path> {
        self.main_checkout.as_deref().or(self.top_level.as_deref())
    }

    /// The place in another checkout that the inspected directory has in its own.
    pub fn below(&self, root: &Path) -> PathBuf {
        // Joining an empty path would leave a slash behind.
        if self.prefix.as_os_str().is_empty() { root.to_owned() } else { root.join(&self.prefix) }
    }
}

/// What a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory outside any repository.
    Plain(PathBuf),
    /// A directory in a repository, or a bare repository.
    Repository(Box<RepositoryFacts>),
}

/// Looks at a directory and upwards for its repository.
pub fn inspect(directory: &Path) -> Result<Place, WorkspaceError> {
    let metadata = fs::metadata(directory).map_err(|e| match e.kind() {
        ErrorKind::NotFound => WorkspaceError::Missing { path: directory.to_owned() },
        _ => WorkspaceError::io("look at", directory)(e),
    })?;
    if !metadata.is_dir() {
        return Err(WorkspaceError::NotADirectory { path: directory.to_owned(), what: "a file" });
    }
    let directory = directory.canonicalize().map_err(WorkspaceError::io("resolve", directory))?;
    match opening::open_above(&directory) {
        Ok(repo) => Ok(Place::Repository(Box::new(read_repository(&repo, &directory)?))),
        Err(e) if e.code() == ErrorCode::NotFound && !directory.join(".git").exists() => Ok(Place::Plain(directory)),
        Err(e) => Err(WorkspaceError::git("open the repository", &directory)(e)),
    }
}

/// Like [`inspect`], but wants a checkout with at least one commit, as a worktree needs.
pub fn checkout(directory: &Path) -> Result<RepositoryFacts, WorkspaceError> {
    match inspect(directory)? {
        Place::Plain(path) => Err(WorkspaceError::NotARepository { path }),
        Place::Repository(repo) => match (&repo.top_level, &repo.head) {
            (None, _) => Err(WorkspaceError::Bare { path: repo.git_dir }),
            (Some(top), Head::Unborn { name }) => {
                Err(WorkspaceError::NoCommit { path: top.clone(), branch: name.clone() })
            }
            _ => Ok(*repo),
        },
    }
}

pub(crate) fn open(path: &Path) -> Result<Repository, WorkspaceError> {
    opening::open(path).map_err(WorkspaceError::git("open the repository", path))
}

/// Opens the repository of a directory that may lie below its root.
pub(crate) fn open_above(path: &Path) -> Result<Repository, WorkspaceError> {
    opening::open_above(path).map_err(WorkspaceError::git("open the repository", path))
}

/// The repository whose history can be walked. libgit2 looks for where a shallow clone was cut in the git directory of a
/// worktree, and git keeps that in the common one.
pub(crate) fn history(repo: &Repository) -> Result<Repository, git2::Error> {
    opening::open(repo.commondir())
}

/// Whether no repository is there or above, as far as that can be told.
pub(crate) fn is_outside_git(path: &Path) -> bool {
    opening::open_above(path).err().is_some_and(|e| e.code() == git2::ErrorCode::NotFound)
}

fn read_repository(repo: &Repository, directory: &Path) -> Result<RepositoryFacts, WorkspaceError> {
    let git_dir = resolve(repo.path())?;
    let common_dir = resolve(repo.commondir())?;
    let top_level = repo.workdir().map(resolve).transpose()?;
    let inside = top_level.as_deref().and_then(|top| directory.strip_prefix(top).ok());
    let prefix = inside.unwrap_or(Path::new("")).to_owned();
    let linked = repo.is_worktree();
    let main_checkout = if linked { main_of(&common_dir) } else { top_level.clone() };
    let origin_url = repo.find_remote("origin").ok().and_then(|r| r.url().ok().map(str::to_owned));
    Ok(RepositoryFacts {
        top_level,
        prefix,
        git_dir,
        main_checkout,
        linked,
        head: read_head(repo)?,
        origin_url,
        common_dir,
    })
}

/// The main checkout of a common directory, if it says so itself: libgit2 guesses the directory
/// above, which is wrong for a git directory kept elsewhere.
fn main_of(common_dir: &Path) -> Option<PathBuf> {
    let main = opening::open(common_dir).ok()?;
    let top = resolve(main.workdir()?).ok()?;
    let back = opening::open(&top).ok()?;
    (resolve(back.path()).ok()? == common_dir).then_some(top)
}

fn read_head(repo: &Repository) -> Result<Head, WorkspaceError> {
    let fail = |e| WorkspaceError::git("read HEAD", repo.path())(e);
    match repo.head() {
        Ok(head) => {
            let commit = head.peel_to_commit().map_err(fail)?.id().to_string();
            match head.name().ok().and_then(|n| n.strip_prefix("refs/heads/")) {
                Some(name) => Ok(Head::Branch { name: name.to_owned(), commit }),
                None => Ok(Head::Detached { commit }),
            }
        }
        Err(e) if e.code() == ErrorCode::UnbornBranch => {
            let head = repo.find_reference("HEAD").map_err(fail)?;
            let target = head.symbolic_target().ok().flatten().unwrap_or_default();
            Ok(Head::Unborn { name: target.strip_prefix("refs/heads/").unwrap_or(target).to_owned() })
        }
        Err(e) => Err(fail(e)),
    }
}

/// Our mark on a worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkState {
    /// None: not ours, or never finished.
    Absent,
    /// Ours.
    Present(Mark),
    /// There is a file, but it cannot be read; with the reason.
    Damaged(String),
}

/// One entry of the repository's list of worktrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorktreeEntry {
    /// Root of the checkout, links resolved as far as it exists.
    pub path: PathBuf,
    /// Its own git directory: the common one for the main checkout.
    pub private_dir: PathBuf,
    /// Whether it is the main checkout.
    pub main: bool,
    /// Branch HEAD is on.
    pub branch: Option<String>,
    /// Reason of `git worktree lock`, possibly empty; `None` when it is not locked.
    pub locked: Option<String>,
    /// The directory is gone, while the entry is still there.
    pub missing: bool,
    /// It is missing, and may only be on a disk that is not mounted.
    pub unknown: bool,
    /// The first checkout did not end: its index is missing or still locked.
    pub unfinished: bool,
    /// Our mark.
    pub mark: MarkState,
}

/// Lists the main checkout (first) and the linked worktrees, by the names of their entries.
pub fn worktrees(repo: &RepositoryFacts) -> Result<Vec<WorktreeEntry>, WorkspaceError> {
    let mut entries = Vec::new();
    if let Some(main) = &repo.main_checkout {
        entries.push(WorktreeEntry {
            path: main.clone(),
            private_dir: repo.common_dir.clone(),
            main: true,
            branch: head_branch(&repo.common_dir),
            locked: None,
            missing: !main.is_dir(),
            unknown: false,
            unfinished: false,
            mark: MarkState::Absent,
        });
    }
    let list = repo.common_dir.join("worktrees");
    let mut names = match fs::read_dir(&list) {
        Ok(dir) => dir
            .take(MAX_WORKTREES + 1)
            .map(|entry| entry.map(|e| e.path()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(WorkspaceError::io("list the worktrees in", &list))?,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(WorkspaceError::io("list the worktrees in", &list)(e)),
    };
    if names.len() > MAX_WORKTREES {
        // Going by a part of the list could give away what the rest of it holds.
        let message = format!("it has more than {MAX_WORKTREES} worktrees; remove some, then run `git worktree prune`");
        return Err(WorkspaceError::Git { what: "list the worktrees", path: repo.common_dir.clone(), message });
    }
    names.sort();
    for private_dir in names {
        // An entry without this file was never finished by git and is pruned by it.
        let Some(dot_git) = read_small(&private_dir.join("gitdir")).map(|t| private_dir.join(t.trim_end())) else {
            continue;
        };
        let Some(path) = dot_git.parent() else { continue };
        let path = resolve(path).unwrap_or_else(|_| path.to_owned());
        let index = private_dir.join("index");
        let missing = !dot_git.exists();
        let around = repo.root().unwrap_or(&repo.common_dir);
        entries.push(WorktreeEntry {
            missing,
            unknown: missing && presence::is_there(&path, Some(around)).is_none(),
            branch: head_branch(&private_dir),
            locked: read_small(&private_dir.join("locked")).map(|reason| reason.trim().to_owned()),
            unfinished: !index.exists() || private_dir.join("index.lock").exists(),
            mark: match mark::read(&private_dir.join(mark::WORKTREE_FILE)) {
                Ok(None) => MarkState::Absent,
                Ok(Some(mark)) => MarkState::Present(mark),
                Err(e) => MarkState::Damaged(e.to_string()),
            },
            main: false,
            path,
            private_dir,
        });
    }
    Ok(entries)
}

fn head_branch(private_dir: &Path) -> Option<String> {
    let head = read_small(&private_dir.join("HEAD"))?;
    head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned)
}

/// Reads a file of at most a few kilobytes; git's own little files are far below.
fn read_small(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(16 * 1024).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A branch by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BranchFacts {
    /// Its commit, if it exists.
    pub commit: Option<String>,
    /// Another branch whose name makes this one impossible (`a` for `a/b`).
    pub blocked_by: Option<String>,
}

/// Looks a local branch up.
pub fn branch(repo: &RepositoryFacts, name: &str) -> Result<BranchFacts, WorkspaceError> {
    let git = open(&repo.common_dir)?;
    let commit = match git.find_branch(name, BranchType::Local) {
        Ok(branch) => {
            let fail = WorkspaceError::git("read the branch", &repo.common_dir);
            Some(branch.get().peel_to_commit().map_err(fail)?.id().to_string())
        }
        Err(e) if matches!(e.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => None,
        Err(e) => return Err(WorkspaceError::git("look up the branch", &repo.common_dir)(e)),
    };
    let above = name.match_indices('/').map(|(at, _)| &name[..at]);
    let mut blocked_by = above.into_iter().find(|n| git.find_branch(n, BranchType::Local).is_ok()).map(str::to_owned);
    if blocked_by.is_none() && commit.is_none() {
        // The name was made by our own rule, so it holds none of the pattern's special characters.
        let below = git
            .references_glob(&format!("refs/heads/{name}/*"))
            .map_err(WorkspaceError::git("list branches", &repo.common_dir))?;
        blocked_by =
            below.flatten().find_map(|r| r.name().ok().and_then(|n| n.strip_prefix("refs/heads/")).map(str::to_owned));
    }
    Ok(BranchFacts { commit, blocked_by })
}

/// What is at the path a worktree is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtPath {
    /// Nothing.
    Free,
    /// A directory without entries.
    EmptyDirectory,
    /// No directory; with what it is.
    NotADirectory(&'static str),
    /// A directory that is no checkout.
    OtherDirectory,
    /// The root of a checkout.
    Checkout {
        /// Git directory its repository shares.
        common_dir: PathBuf,
        /// Where git thinks the checkout's root is.
        top_level: Option<PathBuf>,
        /// Branch HEAD is on.
        branch: Option<String>,
    },
    /// Something with a `.git` that git cannot open; with git's message.
    BrokenCheckout(String),
}

/// Looks at one path without going upwards from it.
pub fn at_path(path: &Path) -> Result<AtPath, WorkspaceError> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(AtPath::Free),
        Err(e) => return Err(WorkspaceError::io("look at", path)(e)),
    };
    if metadata.is_symlink() {
        return Ok(AtPath::NotADirectory("a symbolic link"));
    }
    if !metadata.is_dir() {
        return Ok(AtPath::NotADirectory("a file"));
    }
    if path.join(".git").symlink_metadata().is_err() {
        let mut entries = fs::read_dir(path).map_err(WorkspaceError::io("list", path))?;
        return Ok(if entries.next().is_none() { AtPath::EmptyDirectory } else { AtPath::OtherDirectory });
    }
    match opening::open_here(path) {
        Ok(repo) => Ok(AtPath::Checkout {
            common_dir: resolve(repo.commondir())?,
            top_level: repo.workdir().and_then(|w| resolve(w).ok()),
            branch: head_branch(repo.path()),
        }),
        Err(e) => Ok(AtPath::BrokenCheckout(opening::said(&e))),
    }
}

//! The two ends of a comparison: which commit, and what is to be said of it.

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Oid, Repository};

use crate::workspace::{WorkspaceError, inspect, opening};

/// Most commits that are counted.
const COMMITS_MAX: usize = 1_000;

/// What is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The merge base of this commit and the other end.
    Of {
        /// Commit id.
        commit: String,
        /// Name of the ref that it was found by.
        name: Option<String>,
    },
    /// This commit itself.
    Exactly {
        /// Commit id.
        commit: String,
        /// What it is: `R-12 as it began`.
        what: String,
    },
    /// The other end's own HEAD: what is not committed.
    Head,
    /// Nothing: all files are new.
    Nothing,
    /// Another worktree of the same repository, as it stands.
    Worktree {
        /// A directory in it.
        directory: PathBuf,
        /// What it is: `R-12 in W-7`.
        what: String,
    },
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The worktree as it stands, untracked files included.
    Worktree,
    /// The same, under the name of what is compared.
    Named(String),
    /// A commit.
    Commit {
        /// Commit id.
        commit: String,
        /// What it is: `snapshot W-7.2`.
        what: String,
        /// HEAD at that time, where the commit itself is a snapshot and none of the work's own.
        head: Option<String>,
    },
}

/// Both ends, found.
pub(super) struct Ends {
    /// Commit of the base; none before the first commit.
    pub base: Option<Oid>,
    /// Commit of the other end; none for the worktree.
    pub commit: Option<Oid>,
    /// HEAD of the worktree.
    pub head: Option<Oid>,
    /// Commits from the base on, and whether there are more.
    pub ahead: (usize, bool),
    pub base_words: String,
    pub end_words: String,
    pub remarks: Vec<String>,
}

/// Finds both ends; a base that is not there any more is said and replaced by HEAD.
pub(super) fn find(repo: &Repository, directory: &Path, wanted: &Base, end: &End) -> Result<Ends, WorkspaceError> {
    let fail = |what| WorkspaceError::git(what, directory);
    let mut remarks = Vec::new();
    let head = head(repo, directory)?;
    let (commit, end_words) = match end {
        End::Worktree | End::Named(_) => {
            if repo.is_bare() {
                return Err(WorkspaceError::Bare { path: directory.to_owned() });
            }
            let detached = repo.head_detached().unwrap_or(false);
            let words = if let End::Named(what) = end { what } else { "worktree" };
            (None, if detached { format!("{words} on no branch") } else { words.to_owned() })
        }
        End::Commit { commit, what, .. } => {
            let id = known(repo, commit).ok_or_else(|| gone(directory, what, commit))?;
            // A snapshot has a name of its own.
            let words = if what.ends_with(" at") { format!("{what} {}", short(commit)) } else { what.clone() };
            (Some(id), words)
        }
    };
    let state = repo.state();
    if commit.is_none() && state != git2::RepositoryState::Clean {
        remarks.push(format!("{} is under way here: what it has not finished is shown as it lies", state_words(state)));
    }
    let tip = commit.or(head);
    let (base, base_words) = match wanted {
        Base::Head => (tip, short_words("HEAD", tip)),
        Base::Nothing => (None, "nothing".to_owned()),
        Base::Worktree { what, .. } => (None, what.clone()),
        Base::Exactly { commit, what } => {
            let id = known(repo, commit).ok_or_else(|| gone(directory, what, commit))?;
            (Some(id), format!("{what} {}", short(commit)))
        }
        Base::Of { commit, name } => {
            let named = name.as_ref().map_or_else(|| short(commit).to_owned(), |n| format!("{n}@{}", short(commit)));
            match (known(repo, commit), tip) {
                (None, tip) => {
                    let why = if repo.is_shallow() { ", which is shallow" } else { "" };
                    remarks.push(format!(
                        "the base {named} is not in this repository{why}: compared with HEAD, so commits are not shown"
                    ));
                    (tip, short_words("HEAD", tip))
                }
                // Nothing is committed on the branch: all of the base's files were taken away, or are not there yet.
                (Some(id), None) => (Some(id), format!("base {named}")),
                (Some(id), Some(tip)) => match inspect::history(repo).and_then(|all| all.merge_base(id, tip)) {
                    Ok(found) if found == id => (Some(id), format!("base {named}")),
                    Ok(found) => {
                        let words = format!("merge base {} of {named} and HEAD", short(&found.to_string()));
                        (Some(found), words)
                    }
                    Err(e) if e.code() == ErrorCode::NotFound => {
                        remarks
                            .push(format!("HEAD and {named} have no commit in common: compared with {named} itself"));
                        (Some(id), format!("base {named}"))
                    }
                    Err(e) => return Err(fail("find the merge base")(e)),
                },
            }
        }
    };
    let between = matches!(wanted, Base::Worktree { .. });
    if base.is_none() && !between {
        remarks.push("there is no commit yet: all files are new".to_owned());
    }
    let worked = match end {
        End::Commit { head: Some(head), .. } => known(repo, head).or(tip),
        _ => tip,
    };
    let ahead = if between { (0, false) } else { commits(repo, base, worked) };
    Ok(Ends { base, commit, head, ahead, base_words, end_words, remarks })
}

/// The commit of HEAD; none before the first.
pub(super) fn head(repo: &Repository, directory: &Path) -> Result<Option<Oid>, WorkspaceError> {
    let fail = WorkspaceError::git("read HEAD", directory);
    match repo.head().and_then(|head| head.peel_to_commit()) {
        Ok(commit) => Ok(Some(commit.id())),
        Err(e) if matches!(e.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => Ok(None),
        Err(e) => Err(fail(e)),
    }
}

/// The other end with what of it is committed.
pub(super) fn end_words(end: &str, (ahead, more): (usize, bool), uncommitted: Option<usize>) -> String {
    let mut words = end.to_owned();
    if ahead > 0 {
        let least = if more { "at least " } else { "" };
        words.push_str(&format!(", {least}{ahead} commit{}", if ahead == 1 { "" } else { "s" }));
    }
    match uncommitted {
        Some(0) => words.push_str(if ahead > 0 { ", all committed" } else { ", as committed" }),
        Some(_) if ahead == 0 => words.push_str(", not committed"),
        Some(n) => words.push_str(&format!(", {n} file{} not committed", if n == 1 { "" } else { "s" })),
        None => {}
    }
    words
}

/// Commits that the tip has and the base lacks.
fn commits(repo: &Repository, base: Option<Oid>, tip: Option<Oid>) -> (usize, bool) {
    let Some(tip) = tip else { return (0, false) };
    let walked = || -> Result<usize, git2::Error> {
        let repo = inspect::history(repo)?;
        let mut walk = repo.revwalk()?;
        walk.push(tip)?;
        if let Some(base) = base {
            walk.hide(base)?;
        }
        // A shallow history ends early; what was walked until then counts.
        Ok(walk.take(COMMITS_MAX + 1).take_while(Result::is_ok).count())
    };
    let n = walked().unwrap_or(0);
    (n.min(COMMITS_MAX), n > COMMITS_MAX)
}

/// The commit of this id, when the repository has it.
fn known(repo: &Repository, commit: &str) -> Option<Oid> {
    let id = opening::id(commit).ok()?;
    repo.find_commit(id).ok().map(|c| c.id())
}

fn gone(directory: &Path, what: &str, commit: &str) -> WorkspaceError {
    WorkspaceError::Git {
        what: "compare",
        path: directory.to_owned(),
        message: format!("the commit of {what}, {}, is not in the repository any more", short(commit)),
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

fn short_words(name: &str, commit: Option<Oid>) -> String {
    commit.map_or_else(|| "no commit".to_owned(), |id| format!("base {name}@{}", short(&id.to_string())))
}

const fn state_words(state: git2::RepositoryState) -> &'static str {
    use git2::RepositoryState as S;
    match state {
        S::Merge => "a merge",
        S::Revert | S::RevertSequence => "a revert",
        S::CherryPick | S::CherryPickSequence => "a cherry-pick",
        S::Bisect => "a bisection",
        S::Rebase | S::RebaseInteractive | S::RebaseMerge => "a rebase",
        _ => "an operation of git",
    }
}

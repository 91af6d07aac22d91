//! Which commits of a repository are nowhere else.

use git2::{BranchType, Oid, Repository};
use wharf_model::rules::close_check::Listed;

use crate::workspace::inspect;

/// Commits, and whether they were all counted.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    /// `1a2b3c4d subject`, newest first.
    pub listed: Listed,
    /// False when the bound was reached.
    pub complete: bool,
}

/// Commits that `tips` reach and `without` do not.
pub(crate) fn only_in(repo: &Repository, tips: &[Oid], without: &[Oid], most: usize) -> Result<Commits, git2::Error> {
    let repo = &inspect::history(repo)?;
    let mut walk = repo.revwalk()?;
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME)?;
    for tip in tips {
        walk.push(*tip)?;
    }
    for known in without {
        walk.hide(*known)?;
    }
    let mut commits = Commits { complete: true, ..Commits::default() };
    for id in walk {
        let id = id?;
        if commits.listed.count as usize >= most {
            commits.complete = false;
            break;
        }
        let commit = repo.find_commit(id)?;
        let subject = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned();
        let subject: String = subject.chars().take(100).collect();
        commits.listed.add(format!("{} {subject}", &id.to_string()[..8]));
    }
    Ok(commits)
}

/// Where the branches of remotes are; none when there is no remote at all.
pub(crate) fn on_remotes(repo: &Repository) -> Result<Option<Vec<Oid>>, git2::Error> {
    let mut all = Vec::new();
    for branch in repo.branches(Some(BranchType::Remote))? {
        // A symbolic one may lead to a branch that is gone.
        if let Ok(commit) = branch?.0.get().peel_to_commit() {
            all.push(commit.id());
        }
    }
    let any = !all.is_empty() || !repo.remotes()?.is_empty();
    Ok(any.then_some(all))
}

/// HEAD and all branches.
pub(crate) fn tips(repo: &Repository) -> Result<Vec<Oid>, git2::Error> {
    let mut all: Vec<Oid> = repo.head().and_then(|h| h.peel_to_commit()).map(|c| c.id()).into_iter().collect();
    for branch in repo.branches(Some(BranchType::Local))? {
        if let Ok(commit) = branch?.0.get().peel_to_commit() {
            all.push(commit.id());
        }
    }
    Ok(all)
}

/// The commit that a base means, looked up where HEAD is the main checkout's: in a worktree its own HEAD would
/// answer to that name.
pub(crate) fn base(common: &Repository, name: &str) -> Option<Oid> {
    if name.starts_with(['-', ':']) || name.contains(['{', '\0']) {
        return None;
    }
    common.revparse_single(name).and_then(|o| o.peel_to_commit()).ok().map(|c| c.id())
}

/// Whether git would delete a branch: everything of it is in its upstream, or in one of `into`.
pub(crate) fn is_merged(common: &Repository, branch: &str, into: &[Oid]) -> Result<bool, git2::Error> {
    let branch = common.find_branch(branch, BranchType::Local)?;
    let tip = branch.get().peel_to_commit()?.id();
    let upstream = branch.upstream().and_then(|u| u.get().peel_to_commit()).map(|c| c.id()).ok();
    for target in upstream.iter().chain(into) {
        if *target == tip || common.graph_descendant_of(*target, tip)? {
            return Ok(true);
        }
    }
    Ok(false)
}

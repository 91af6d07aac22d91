//! Which way to a worktree: a pure decision from what was read.

use std::path::{Path, PathBuf};

use wharf_model::rules::branch::is_valid;
use wharf_model::{ProjectId, WorkspaceId};

use super::base_ref::{self, BaseRef};
use super::inspect::{self, AtPath, BranchFacts, MarkState, RepositoryFacts, WorktreeEntry};
use super::worktree::LockReason;
use super::{CODE, WorkspaceError, containment, parent, presence};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The project.
    pub project: ProjectId,
    /// The workspace to make or to find again.
    pub workspace: WorkspaceId,
    /// A directory in the project's checkout.
    pub directory: &'a Path,
    /// The branch, already sanitised.
    pub branch: &'a str,
    /// Root of the worktree that it had before, where it goes on in that one; else it follows from parent and branch.
    pub at: Option<&'a Path>,
    /// `parent` of `[workspace]`.
    pub parent: Option<&'a str>,
    /// `base_ref` of `[workspace]`.
    pub base_ref: Option<&'a str>,
    /// The project's own ref.
    pub repo_ref: Option<&'a str>,
    /// The operator's HOME.
    pub home: Option<&'a Path>,
}

/// What was read about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The project.
    pub project: ProjectId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The repository.
    pub repo: RepositoryFacts,
    /// All its worktrees.
    pub worktrees: Vec<WorktreeEntry>,
    /// The expected branch.
    pub branch: String,
    /// What is known of it.
    pub branch_facts: BranchFacts,
    /// The parent of worktrees.
    pub parent: PathBuf,
    /// The expected path.
    pub path: PathBuf,
    /// What is there.
    pub at_path: AtPath,
    /// What a new branch would start from, or why that is not known.
    pub base: Result<BaseRef, String>,
}

/// Reads all that the decision needs. Take the [lock](super::lock::WorktreeLock) first, or the
/// facts may be old before they are used.
pub fn facts_for(wanted: &Wanted<'_>) -> Result<Facts, WorkspaceError> {
    let repo = inspect::checkout(wanted.directory)?;
    let worktrees = inspect::worktrees(&repo)?;
    let (parent, written) = match wanted.at {
        Some(at) => (parent::of(at, wanted.branch), at.to_owned()),
        None => {
            let parent = parent::locate(wanted.parent, &repo, &worktrees, wanted.home)?;
            let written = parent.join(wanted.branch);
            (parent, written)
        }
    };
    let path = containment::contained(&parent, &written)?;
    Ok(Facts {
        project: wanted.project,
        workspace: wanted.workspace,
        branch: wanted.branch.to_owned(),
        branch_facts: inspect::branch(&repo, wanted.branch)?,
        // Looked at by the written name, since the resolved one would hide a link at its end.
        at_path: inspect::at_path(&written)?,
        base: base_ref::choose(&repo, wanted.base_ref, wanted.repo_ref).map_err(|e| e.to_string()),
        repo,
        worktrees,
        parent,
        path,
    })
}

/// The way to the worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Make a branch and a worktree.
    Create {
        /// New branch.
        branch: String,
        /// New directory.
        path: PathBuf,
        /// Where the branch starts.
        base: BaseRef,
        /// Replaces an entry of ours whose directory is gone.
        over_missing: bool,
    },
    /// Make a worktree for a branch that exists and is checked out nowhere.
    AttachBranch {
        /// The branch.
        branch: String,
        /// New directory.
        path: PathBuf,
        /// Replaces an entry of ours whose directory is gone.
        over_missing: bool,
        /// Whether the branch was made for this workspace before.
        created_branch: bool,
    },
    /// An earlier attempt of this very workspace was cut off in its checkout: remove the torso,
    /// then go on. Nobody has worked in it, since its mark was never written. The caller makes
    /// sure first that no process of the earlier attempt is left.
    Redo {
        /// The torso.
        path: PathBuf,
        /// What follows: `Create` or `AttachBranch`.
        then: Box<Plan>,
    },
    /// Use the worktree that is there.
    Reuse {
        /// Its branch.
        branch: String,
        /// Its root.
        path: PathBuf,
        /// For people.
        why: String,
        /// The mark is still to be written: the attempt that made it was cut off just before; with
        /// whether that attempt made the branch.
        complete_mark: Option<bool>,
    },
    /// Nothing can be done without the operator.
    Refused(Refusal),
}

/// Why not, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// Stored error code.
    pub code: &'static str,
    /// Names the path, the branch, who has it, and a way out.
    pub reason: String,
}

fn refused(reason: String) -> Plan {
    Plan::Refused(Refusal { code: CODE, reason })
}

/// Decides. Existing work is used only when git lists it as a worktree of this repository, its
/// root is where the list says, HEAD is on the expected branch, and it carries the mark of this
/// workspace; everything else that is in the way is refused and left alone.
pub fn decide(facts: &Facts) -> Plan {
    let (branch, path) = (facts.branch.as_str(), facts.path.as_path());
    if !is_valid(branch) {
        return refused(format!(
            "{branch:?} is no name git accepts for a branch; correct `branch` in [workspace] or of the issue"
        ));
    }
    if !path.starts_with(&facts.parent) || path == facts.parent {
        return refused(format!(
            "worktree path {} for branch {branch} is not below its parent {}; correct `parent` or `branch` in [workspace]",
            path.display(),
            facts.parent.display()
        ));
    }
    // Of a bare repository, the project's own checkout is a linked worktree, and the parent lies in it.
    let is_root = |w: &WorktreeEntry| w.main || facts.repo.root() == Some(&w.path);
    let inside = |w: &&WorktreeEntry| !is_root(w) && path != w.path && path.starts_with(&w.path);
    if let Some(outer) = facts.worktrees.iter().find(inside) {
        return refused(format!(
            "worktree path {} for branch {branch} would be inside the worktree {} ({}); remove that one, or correct `branch` in [workspace] or of the issue",
            path.display(),
            outer.path.display(),
            owner(outer)
        ));
    }
    let holder = facts.worktrees.iter().find(|w| w.branch.as_deref() == Some(branch) && w.path != path);
    if let Some(holder) = holder {
        return held_elsewhere(facts, holder);
    }
    match facts.worktrees.iter().find(|w| w.path == path) {
        Some(entry) => registered(facts, entry),
        None => unregistered(facts, false, None),
    }
}

fn held_elsewhere(facts: &Facts, holder: &WorktreeEntry) -> Plan {
    let branch = &facts.branch;
    if is_ours(facts, holder) && !holder.missing && matches!(holder.mark, MarkState::Present(_)) {
        return Plan::Reuse {
            branch: branch.clone(),
            path: holder.path.clone(),
            why: format!("this workspace already has branch {branch} at {}", holder.path.display()),
            complete_mark: None,
        };
    }
    let advice = if holder.main {
        format!(
            "switch that checkout to another branch, or correct `branch` in [workspace] or of the issue so that it does not make {branch:?}"
        )
    } else if holder.missing && matches!(facts.at_path, AtPath::BrokenCheckout(_) | AtPath::Checkout { .. }) {
        let here = facts.path.display();
        format!(
            "that directory is gone, but there is a checkout at {here}: if the project was moved, run `git worktree repair {here}`"
        )
    } else if holder.unknown {
        presence::untold(&holder.path)
    } else if holder.missing {
        format!(
            "its directory is gone: `git worktree unlock {0}` and `git worktree prune` drop the entry",
            holder.path.display()
        )
    } else {
        "archive that workspace, remove the worktree, or choose another `branch` in [workspace]".to_owned()
    };
    refused(format!(
        "branch {branch} for {} is already checked out at {} ({}); {advice}",
        facts.path.display(),
        holder.path.display(),
        owner(holder)
    ))
}

fn registered(facts: &Facts, entry: &WorktreeEntry) -> Plan {
    let (branch, path) = (&facts.branch, &facts.path);
    let at = path.display();
    if let MarkState::Damaged(why) = &entry.mark {
        return refused(format!("worktree {at} for branch {branch} cannot be used: {why}"));
    }
    if !is_ours(facts, entry) {
        return refused(format!(
            "worktree {at} for branch {branch} is not of this workspace ({}); archive or remove it, or choose another `branch` in [workspace]",
            owner(entry)
        ));
    }
    let marked = match &entry.mark {
        MarkState::Present(mark) => Some(mark.created_branch),
        _ => None,
    };
    let created_branch = marked.unwrap_or_else(|| LockReason::of(entry).is_some_and(|r| r.new_branch));
    if entry.missing {
        return match facts.at_path {
            AtPath::Free | AtPath::EmptyDirectory if entry.unknown => {
                refused(format!("worktree for branch {branch}: {}", presence::untold(path)))
            }
            AtPath::Free | AtPath::EmptyDirectory => unregistered(facts, true, Some(created_branch)),
            _ => refused(format!(
                "worktree {at} for branch {branch} lost its link to the repository and something else is there now; move that away, or run `git worktree repair {at}`"
            )),
        };
    }
    if marked.is_none() && entry.unfinished {
        return match unregistered(facts, false, Some(created_branch)) {
            refusal @ Plan::Refused(_) => refusal,
            then => Plan::Redo { path: path.clone(), then: Box::new(then) },
        };
    }
    match &facts.at_path {
        AtPath::Checkout { common_dir, top_level, .. }
            if *common_dir != facts.repo.common_dir || top_level.as_ref() != Some(path) =>
        {
            refused(format!(
                "worktree {at} for branch {branch} now belongs to the repository {} with root {}; run `git worktree repair`, or move that checkout away",
                common_dir.display(),
                top_level.as_deref().unwrap_or(Path::new("(none)")).display()
            ))
        }
        AtPath::Checkout { branch: Some(head), .. } if head == branch => Plan::Reuse {
            branch: branch.clone(),
            path: path.clone(),
            why: match marked {
                Some(_) => format!("this workspace made it, and HEAD is on {branch}"),
                None => format!("this workspace made it just before it was cut off, and HEAD is on {branch}"),
            },
            complete_mark: marked.is_none().then_some(created_branch),
        },
        AtPath::Checkout { branch: head, .. } => refused(format!(
            "worktree {at} is not on its branch {branch} but on {}; finish or abort what goes on there, then run `git -C {at} switch {branch}`",
            head.as_deref().unwrap_or("no branch (detached HEAD)")
        )),
        AtPath::BrokenCheckout(message) => refused(format!(
            "worktree {at} for branch {branch} cannot be opened: {message}; run `git worktree repair {at}`"
        )),
        other => refused(format!(
            "worktree {at} for branch {branch} is listed by git, but there is {}; move it away",
            kind(other)
        )),
    }
}

/// No usable directory at the path. `ours` tells of an earlier one of this workspace, with whether
/// its branch was made with it.
fn unregistered(facts: &Facts, over_missing: bool, ours: Option<bool>) -> Plan {
    let (branch, path) = (&facts.branch, &facts.path);
    let at = path.display();
    // A torso that is about to be removed is not in the way.
    let free = matches!(facts.at_path, AtPath::Free | AtPath::EmptyDirectory);
    if ours.is_none() && !free {
        return refused(match &facts.at_path {
            AtPath::Checkout { common_dir, .. } if *common_dir != facts.repo.common_dir => format!(
                "worktree path {at} for branch {branch} is taken by a checkout of another repository ({}); move it away, or set another `parent` in [workspace]",
                common_dir.display()
            ),
            AtPath::BrokenCheckout(message) => format!(
                "worktree path {at} for branch {branch} is taken by a checkout git cannot open ({message}); if the project was moved, run `git worktree repair {at}`, else move it away"
            ),
            other => format!(
                "worktree path {at} for branch {branch} is taken by {}; move it away, or set another `parent` in [workspace]",
                kind(other)
            ),
        });
    }
    if facts.branch_facts.commit.is_some() {
        return Plan::AttachBranch {
            branch: branch.clone(),
            path: path.clone(),
            over_missing,
            created_branch: ours.unwrap_or(false),
        };
    }
    if let Some(other) = &facts.branch_facts.blocked_by {
        return refused(format!(
            "branch {branch} for {at} cannot exist beside branch {other}, because git keeps one as a directory of the other; rename {other}, or correct `branch` in [workspace] or of the issue"
        ));
    }
    match &facts.base {
        Ok(base) => Plan::Create { branch: branch.clone(), path: path.clone(), base: base.clone(), over_missing },
        Err(why) => refused(format!("branch {branch} for {at} has nothing to start from: {why}")),
    }
}

/// A worktree is this workspace's by its mark or, before there is one, by the reason git's own
/// lock was given in the same command that made it.
fn is_ours(facts: &Facts, entry: &WorktreeEntry) -> bool {
    match &entry.mark {
        MarkState::Present(mark) => mark.workspace == facts.workspace && mark.project == facts.project,
        MarkState::Absent => LockReason::of(entry).is_some_and(|r| r.workspace == facts.workspace),
        MarkState::Damaged(_) => false,
    }
}

fn owner(entry: &WorktreeEntry) -> String {
    if entry.main {
        return "the project's own checkout".to_owned();
    }
    match (&entry.mark, LockReason::of(entry), &entry.locked) {
        (MarkState::Present(mark), _, _) => format!("of workspace {}", mark.workspace),
        (MarkState::Damaged(_), _, _) => "with a damaged mark of wharf".to_owned(),
        (_, Some(reason), _) => format!("begun for workspace {}", reason.workspace),
        (_, None, Some(reason)) if !reason.is_empty() => format!("not made by wharf, locked: {reason}"),
        _ => "not made by wharf".to_owned(),
    }
}

fn kind(at: &AtPath) -> &'static str {
    match at {
        AtPath::Free => "nothing",
        AtPath::EmptyDirectory => "an empty directory",
        AtPath::NotADirectory(what) => what,
        AtPath::OtherDirectory => "a directory that is no worktree",
        AtPath::Checkout { .. } => "a checkout that git does not list as a worktree",
        AtPath::BrokenCheckout(_) => "a checkout that git cannot open",
    }
}

#[cfg(test)]
mod tests;

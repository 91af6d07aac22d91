//! From a plan to a directory: what to prepare, which commands to run, and what to check and write
//! when they have succeeded.

use std::path::{Path, PathBuf};

use uuid::Uuid;
use wharf_model::{ProjectId, RunId, UnixMillis, WorkspaceId};

use super::containment::contained;
use super::inspect::{self, AtPath, RepositoryFacts};
use super::mark::{self, Mark, WORKTREE_FILE};
use super::opening;
use super::plan::{Facts, Plan, Refusal};
use super::trash::held;
use super::worktree::{CommandSpec, Git, LockReason};
use super::{WorkspaceError, parent};
use crate::clock;

/// A worktree that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realised {
    /// Root of the worktree.
    pub path: PathBuf,
    /// Where runs work: the place in it that the project's directory has in its own checkout.
    pub cwd: PathBuf,
    /// Its branch.
    pub branch: String,
    /// Its private git directory.
    pub private_dir: PathBuf,
    /// Whether the directory was made now.
    pub created: bool,
    /// Whether the branch was made for this workspace, now or earlier.
    pub created_branch: bool,
    /// One sentence for the operation's record.
    pub note: String,
}

/// Makes the parent directory where the plan needs one, and holds what only the entry reached that git is to
/// replace. Gives the words for that.
pub fn prepare(facts: &Facts, plan: &Plan) -> Result<Option<String>, WorkspaceError> {
    match plan {
        Plan::Reuse { .. } | Plan::Refused(_) => Ok(None),
        Plan::Redo { then, .. } => prepare(facts, then),
        Plan::Create { path, over_missing, .. } | Plan::AttachBranch { path, over_missing, .. } => {
            parent::prepare(&facts.parent, facts.repo.root().unwrap_or(&facts.repo.common_dir))?;
            if *over_missing { hold_entry(&facts.repo, path) } else { Ok(None) }
        }
    }
}

/// Holds what only the entry of a directory that is gone reached: its HEAD, its log, what was staged.
fn hold_entry(repo: &RepositoryFacts, path: &Path) -> Result<Option<String>, WorkspaceError> {
    let Some(entry) = inspect::worktrees(repo)?.into_iter().find(|w| w.path == path && w.missing) else {
        return Ok(None);
    };
    let held = opening::open(&repo.common_dir)
        .map_err(|e| e.message().to_owned())
        .and_then(|r| held::hold(&r, &entry.private_dir, Uuid::now_v7(), clock::now()).map_err(|e| e.to_string()));
    match held {
        Ok(name) => Ok(Some(format!("what only git's old entry of {} reached is held by {name}", path.display()))),
        Err(why) => Err(WorkspaceError::NotAsPlanned { path: path.to_owned(), why }),
    }
}

/// The commands of a plan, to be run in order until one fails. None for a reuse.
pub fn commands(plan: &Plan, git: &Git, workspace: WorkspaceId) -> Result<Vec<CommandSpec>, Refusal> {
    match plan {
        Plan::Refused(refusal) => Err(refusal.clone()),
        Plan::Reuse { .. } => Ok(Vec::new()),
        Plan::Redo { path, then } => {
            let mut all = vec![git.remove(path, true)];
            all.extend(commands(then, git, workspace)?);
            Ok(all)
        }
        Plan::Create { branch, path, base, over_missing } => {
            let lock = LockReason { workspace, new_branch: true };
            Ok(vec![git.add_new_branch(branch, path, &base.commit, lock, *over_missing)])
        }
        Plan::AttachBranch { branch, path, over_missing, created_branch } => {
            let lock = LockReason { workspace, new_branch: *created_branch };
            Ok(vec![git.add_existing(branch, path, lock, *over_missing)])
        }
    }
}

/// Who a worktree is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct For {
    /// The project.
    pub project: ProjectId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The run that asked first.
    pub run: Option<RunId>,
    /// Now.
    pub at: UnixMillis,
}

/// Checks that the worktree is what was planned, and puts our mark on a new one. Only then may
/// anything run in it.
pub fn finish(repo: &RepositoryFacts, plan: &Plan, owner: For) -> Result<Realised, WorkspaceError> {
    match plan {
        Plan::Refused(refusal) => Err(WorkspaceError::NotAsPlanned {
            path: repo.top_level.clone().unwrap_or_default(),
            why: refusal.reason.clone(),
        }),
        Plan::Redo { then, .. } => finish(repo, then, owner),
        Plan::Create { branch, path, base, .. } => mark_new(repo, path, branch, true, owner, true).map(|r| Realised {
            note: format!("made {} on new branch {branch} from {} ({})", path.display(), base.name, base.from),
            ..r
        }),
        Plan::AttachBranch { branch, path, created_branch, over_missing } => {
            mark_new(repo, path, branch, *created_branch, owner, true).map(|r| Realised {
                note: format!(
                    "{} {} on existing branch {branch}",
                    if *over_missing { "restored" } else { "made" },
                    path.display()
                ),
                ..r
            })
        }
        Plan::Reuse { branch, path, why, complete_mark: Some(created_branch) } => {
            let made = mark_new(repo, path, branch, *created_branch, owner, false)?;
            Ok(Realised { note: format!("reused {}: {why}", path.display()), ..made })
        }
        Plan::Reuse { branch, path, why, complete_mark: None } => {
            let private_dir = check(repo, path, branch)?;
            let mark = mark::read(&private_dir.join(WORKTREE_FILE))?;
            Ok(Realised {
                cwd: cwd_in(repo, path, branch)?,
                path: path.clone(),
                branch: branch.clone(),
                created: false,
                created_branch: mark.is_some_and(|m| m.created_branch),
                note: format!("reused {}: {why}", path.display()),
                private_dir,
            })
        }
    }
}

fn mark_new(
    repo: &RepositoryFacts,
    path: &Path,
    branch: &str,
    created_branch: bool,
    owner: For,
    created: bool,
) -> Result<Realised, WorkspaceError> {
    let private_dir = check(repo, path, branch)?;
    let mut mark = Mark::new(owner.project, owner.workspace, owner.run, owner.at);
    mark.branch = Some(branch.to_owned());
    mark.created_branch = created_branch;
    mark::write(&private_dir.join(WORKTREE_FILE), &mark)?;
    Ok(Realised {
        cwd: cwd_in(repo, path, branch)?,
        path: path.to_owned(),
        branch: branch.to_owned(),
        private_dir,
        created,
        created_branch,
        note: String::new(),
    })
}

fn cwd_in(repo: &RepositoryFacts, path: &Path, branch: &str) -> Result<PathBuf, WorkspaceError> {
    if repo.prefix.as_os_str().is_empty() {
        return Ok(path.to_owned());
    }
    let cwd = repo.below(path);
    // A link in a commit may lead anywhere. The name stays as it was planned: rows are found again by it.
    if contained(path, &cwd)?.is_dir() {
        return Ok(cwd);
    }
    let why = format!(
        "branch {branch} does not hold the project's directory {}; commit it there, or start from another `base_ref`",
        repo.prefix.display()
    );
    Err(WorkspaceError::NotAsPlanned { path: path.to_owned(), why })
}

fn check(repo: &RepositoryFacts, path: &Path, branch: &str) -> Result<PathBuf, WorkspaceError> {
    let wrong = |why: &str| WorkspaceError::NotAsPlanned { path: path.to_owned(), why: why.to_owned() };
    let listed = inspect::worktrees(repo)?;
    let entry = listed.iter().find(|w| w.path == path).ok_or_else(|| wrong("git does not list it"))?;
    if entry.unfinished {
        return Err(wrong("its checkout did not end"));
    }
    match inspect::at_path(path)? {
        AtPath::Checkout { common_dir, .. } if common_dir != repo.common_dir => {
            Err(wrong("it belongs to another repository"))
        }
        AtPath::Checkout { top_level, .. } if top_level.as_deref() != Some(path) => Err(wrong("its root is elsewhere")),
        AtPath::Checkout { branch: Some(head), .. } if head == branch => Ok(entry.private_dir.clone()),
        AtPath::Checkout { .. } => Err(wrong("HEAD is not on its branch")),
        _ => Err(wrong("it is no checkout")),
    }
}

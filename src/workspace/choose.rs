//! Which kind of workspace a project gets: what config says, else what the directory allows.

use std::path::PathBuf;

use wharf_model::config::{WorkspaceMode, WorkspaceStrategy};

use super::WorkspaceError;
use super::inspect::{Head, Place, RepositoryFacts};

/// The kind of workspace, with the sentence that says why it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Make or find a worktree of this repository.
    Worktree {
        /// The repository.
        repo: Box<RepositoryFacts>,
        /// For people.
        why: &'static str,
    },
    /// Work in this directory as it is.
    Directory {
        /// Absolute, links resolved.
        cwd: PathBuf,
        /// The repository it belongs to, if any.
        repo: Option<Box<RepositoryFacts>>,
        /// The mode in force.
        mode: WorkspaceMode,
        /// For people.
        why: &'static str,
    },
    /// The agent's home, which the caller knows.
    AgentHome,
}

/// Chooses. What config asks for and the directory cannot give is an error; only an absent mode
/// looks at what is possible, and the answer says so.
pub fn choose(
    directory: PathBuf,
    place: Place,
    mode: Option<WorkspaceMode>,
    strategy: Option<WorkspaceStrategy>,
) -> Result<Choice, WorkspaceError> {
    let wanted = mode.unwrap_or(WorkspaceMode::Isolated);
    let written = mode.is_some() || strategy == Some(WorkspaceStrategy::GitWorktree);
    if wanted == WorkspaceMode::AgentDefault {
        return Ok(Choice::AgentHome);
    }
    let worktree = wanted == WorkspaceMode::Isolated && strategy != Some(WorkspaceStrategy::ProjectPrimary);
    let shared = |cwd, repo, why| Choice::Directory { cwd, repo, mode: WorkspaceMode::Shared, why };
    match place {
        Place::Plain(path) if worktree && written => Err(WorkspaceError::NotARepository { path }),
        Place::Plain(path) if worktree => {
            Ok(shared(path, None, "no mode is set and the directory is not in a git repository, so it is shared"))
        }
        Place::Plain(path) => {
            Ok(Choice::Directory { cwd: path, repo: None, mode: wanted, why: "config asks for the directory itself" })
        }
        Place::Repository(repo) => match (&repo.top_level, &repo.head) {
            (None, _) => Err(WorkspaceError::Bare { path: repo.git_dir }),
            (Some(top), Head::Unborn { name }) if worktree && written => {
                Err(WorkspaceError::NoCommit { path: top.clone(), branch: name.clone() })
            }
            (Some(_), Head::Unborn { .. }) if worktree => Ok(shared(
                directory,
                Some(repo),
                "no mode is set and the repository has no commit yet, so the checkout is shared",
            )),
            (Some(_), _) if worktree => Ok(Choice::Worktree {
                repo,
                why: if written {
                    "config asks for a worktree of its own"
                } else {
                    "no mode is set and the repository has commits, so each issue gets its own worktree"
                },
            }),
            (Some(_), _) => Ok(Choice::Directory {
                cwd: directory,
                repo: Some(repo),
                mode: wanted,
                why: "config asks for the project's own checkout",
            }),
        },
    }
}

//! `[workspace]`: where runs work.

use super::CommandLine;
use crate::words;
use serde::{Deserialize, Serialize};

words! {
    /// Where a run's files live.
    pub enum WorkspaceMode {
        Isolated = "isolated_workspace", Shared = "shared_workspace",
        OperatorBranch = "operator_branch", AgentDefault = "agent_default",
    }
}

words! {
    /// How an execution workspace is made.
    pub enum WorkspaceStrategy { GitWorktree = "git_worktree", ProjectPrimary = "project_primary" }
}

words! {
    /// What happens when a second run wants a shared workspace.
    pub enum Concurrency { Serialise = "serialise", Refuse = "refuse", Allow = "allow" }
}

/// `[workspace]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceConfig {
    /// Unset = isolated in a git repository that has a commit, else shared.
    pub mode: Option<WorkspaceMode>,
    /// The mode is not written: it stands in for none, and whoever else says one goes before it. Left out where it is
    /// written, and of no account for what was accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mode_assumed: bool,
    /// Unset = a git worktree for isolated workspaces, the project's own directory for shared ones.
    pub strategy: Option<WorkspaceStrategy>,
    /// Template of the branch's name.
    pub branch: String,
    /// Directory of the worktrees: relative to the repository's main checkout and in it, absolute, or below `~`.
    pub parent: String,
    /// Where branches begin; unset = repo ref, origin/HEAD, origin/main, origin/master, HEAD.
    pub base_ref: Option<String>,
    /// For shared workspaces.
    pub concurrency: Concurrency,
    /// Runs in the workspace before each run that works there, a reused one too.
    pub provision: Option<CommandLine>,
    /// Runs last before a workspace is archived.
    pub teardown: Option<CommandLine>,
    /// Runs when a workspace is archived.
    pub cleanup: Option<CommandLine>,
    /// Time each of these commands may take; `None` = no limit.
    pub timeout_ms: Option<u64>,
    /// Repository of a project without a local checkout.
    pub repo_url: Option<String>,
}

impl Default for WorkspaceConfig {
    fn default() -> Self {
        Self {
            mode: None,
            mode_assumed: false,
            strategy: None,
            branch: "{{issue.identifier}}-{{slug}}".into(),
            parent: ".wharf/worktrees".into(),
            base_ref: None,
            concurrency: Concurrency::Serialise,
            provision: None,
            teardown: None,
            cleanup: None,
            timeout_ms: Some(10 * 60_000),
            repo_url: None,
        }
    }
}

/// `workspace` of an agent: what stands in for what neither the issue nor the project says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentWorkspace {
    /// Where its runs' files live.
    pub mode: Option<WorkspaceMode>,
    /// How its workspaces are made.
    pub strategy: Option<WorkspaceStrategy>,
    /// Template of the branch's name.
    pub branch: Option<String>,
    /// Where branches begin.
    pub base_ref: Option<String>,
}

impl AgentWorkspace {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

//! Who said what is in force for a run's workspace.

use super::{Settings, settings};
use crate::config::{AgentWorkspace, WorkspaceConfig, WorkspaceMode, WorkspaceStrategy};
use crate::rules::branch::DEFAULT_TEMPLATE;
use crate::rules::issue_settings::IssueSettings;
use crate::words;

words! {
    /// Whose word a setting is, the strongest first.
    pub enum Origin {
        /// The issue's own settings.
        Issue = "issue",
        /// `[workspace]` of the project.
        Project = "project",
        /// `workspace` of the agent.
        Agent = "agent",
        /// Nobody's: what is done where nothing is said.
        Default = "default",
    }
}

/// The origin of each setting of [`Settings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origins {
    /// Of the mode, also where a strategy asks for it.
    pub mode: Origin,
    /// Of the strategy; the default where one that was said is of no account.
    pub strategy: Origin,
    /// Of the branch's template.
    pub branch: Origin,
    /// Of where the branch begins.
    pub base_ref: Origin,
}

/// What is in force, with whose word each of it is.
pub fn with_origins(
    issue: Option<&IssueSettings>,
    project: &WorkspaceConfig,
    agent: &AgentWorkspace,
) -> (Settings, Origins) {
    let all = settings(issue, project, agent);
    let own = issue.cloned().unwrap_or_default();
    let project_mode = project.mode.filter(|_| !project.mode_assumed);
    let mode = first([own.mode.is_some(), project_mode.is_some(), agent.mode.is_some()]);
    let strategy = first([own.strategy.is_some(), project.strategy.is_some(), agent.strategy.is_some()]);
    let implied = |s| match s {
        WorkspaceStrategy::GitWorktree => WorkspaceMode::Isolated,
        WorkspaceStrategy::ProjectPrimary => WorkspaceMode::Shared,
    };
    // A strategy that was said earlier than a mode asks for the mode that goes with it.
    let by_strategy = strategy < mode && all.strategy.map(implied) == Some(all.mode);
    let branch = project.branch != DEFAULT_TEMPLATE;
    let origins = Origins {
        mode: if by_strategy { strategy } else { mode },
        strategy: if all.strategy.is_some() { strategy } else { Origin::Default },
        branch: first([own.branch.is_some(), branch, agent.branch.is_some()]),
        base_ref: first([own.base_ref.is_some(), project.base_ref.is_some(), agent.base_ref.is_some()]),
    };
    (all, origins)
}

/// The strongest of issue, project and agent that says something.
pub fn first(said: [bool; 3]) -> Origin {
    match said {
        [true, ..] => Origin::Issue,
        [_, true, _] => Origin::Project,
        [_, _, true] => Origin::Agent,
        _ => Origin::Default,
    }
}

#[cfg(test)]
mod tests {
    use WorkspaceMode::{Isolated, Shared};
    use WorkspaceStrategy::{GitWorktree, ProjectPrimary};

    use super::*;

    #[test]
    fn a_setting_that_is_taken_away_at_its_origin_is_another_or_anothers() {
        let modes = [None, Some(Isolated), Some(Shared), Some(WorkspaceMode::AgentDefault)];
        let strategies = [None, Some(GitWorktree), Some(ProjectPrimary)];
        let levels: Vec<_> = modes.iter().flat_map(|m| strategies.map(|s| (*m, s))).collect();
        for issue in &levels {
            for project in &levels {
                for agent in &levels {
                    let of_issue = IssueSettings { mode: issue.0, strategy: issue.1, ..IssueSettings::default() };
                    let of_project =
                        WorkspaceConfig { mode: project.0, strategy: project.1, ..WorkspaceConfig::default() };
                    let of_agent = AgentWorkspace { mode: agent.0, strategy: agent.1, ..AgentWorkspace::default() };
                    let (all, origins) = with_origins(Some(&of_issue), &of_project, &of_agent);
                    let said_by = |origin| match origin {
                        Origin::Issue => Some(issue),
                        Origin::Project => Some(project),
                        Origin::Agent => Some(agent),
                        Origin::Default => None,
                    };
                    if let Some((mode, strategy)) = said_by(origins.mode) {
                        let implied = strategy.is_some() && all.strategy == *strategy;
                        assert!(*mode == Some(all.mode) || implied, "{issue:?} {project:?} {agent:?}: {origins:?}");
                    }
                    let strategy = said_by(origins.strategy).and_then(|(_, strategy)| *strategy);
                    assert_eq!(strategy, all.strategy, "{issue:?} {project:?} {agent:?}: {origins:?}");
                    assert_eq!(all.mode_written, origins.mode != Origin::Default);
                }
            }
        }
    }

    #[test]
    fn a_template_that_is_the_default_is_nobodys() {
        let project = WorkspaceConfig { base_ref: Some("main".into()), ..WorkspaceConfig::default() };
        let agent = AgentWorkspace { branch: Some("a/{{slug}}".into()), ..AgentWorkspace::default() };
        let (_, none) = with_origins(None, &project, &AgentWorkspace::default());
        assert_eq!((none.branch, none.base_ref, none.mode), (Origin::Default, Origin::Project, Origin::Default));
        let (_, own) = with_origins(None, &project, &agent);
        assert_eq!(own.branch, Origin::Agent);
        let issue = IssueSettings { branch: Some("hot".into()), base_ref: Some("v1".into()), ..Default::default() };
        let (_, of_issue) = with_origins(Some(&issue), &project, &agent);
        assert_eq!((of_issue.branch, of_issue.base_ref), (Origin::Issue, Origin::Issue));
    }
}

//! Where a run works: what issue, project and agent say together, and which directory that leads to.

mod origin;

pub use origin::{Origin, Origins, first, with_origins};
use serde::{Deserialize, Serialize};

use super::branch::DEFAULT_TEMPLATE;
use super::checkout;
use super::issue_settings::{IssueSettings, Preference};
use crate::WorkspaceSource;
use crate::config::{AgentWorkspace, Concurrency, WorkspaceConfig, WorkspaceMode, WorkspaceStrategy};

/// What is in force for a run's workspace: of each setting, what the issue says, else the project, else the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where its files live.
    pub mode: WorkspaceMode,
    /// Somebody wrote the mode: what cannot be had is refused and nothing stands in for it.
    pub mode_written: bool,
    /// How the workspace is made, if somebody said so.
    pub strategy: Option<WorkspaceStrategy>,
    /// Template of the branch.
    pub branch: String,
    /// Where the branch begins.
    pub base_ref: Option<String>,
    /// The issue goes on in the workspace that it has, whatever name a new one would get.
    pub keeps_workspace: bool,
    /// What happens when a second run comes to a shared place.
    pub concurrency: Concurrency,
}

/// Puts the settings together. A value of the project that is the default, and a mode that merely stands in for none,
/// count as not said.
pub fn settings(issue: Option<&IssueSettings>, project: &WorkspaceConfig, agent: &AgentWorkspace) -> Settings {
    let issue = issue.cloned().unwrap_or_default();
    let own = project.mode.filter(|_| !project.mode_assumed);
    let levels = [(issue.mode, issue.strategy), (own, project.strategy), (agent.mode, agent.strategy)];
    let (mode, mut strategy) = (said(levels.map(|l| l.0)), said(levels.map(|l| l.1)));
    // Who asks for a strategy asks for the mode that goes with it.
    let implied = strategy.map(|(at, s)| match s {
        WorkspaceStrategy::GitWorktree => (at, WorkspaceMode::Isolated),
        WorkspaceStrategy::ProjectPrimary => (at, WorkspaceMode::Shared),
    });
    let written = match (mode, implied) {
        (Some((at, _)), Some((by, implied))) if by < at => Some(implied),
        (Some((_, mode)), _) => Some(mode),
        (None, implied) => implied.map(|(_, mode)| mode),
    };
    // One of less weight than a mode that it does not go with is of no account.
    if let (Some((at, mode)), Some((by, s))) = (mode, strategy)
        && at < by
        && checkout::contradiction(Some(mode), Some(s)).is_some()
    {
        strategy = None;
    }
    let mode = written.or(project.mode);
    let branch = issue
        .branch
        .or_else(|| Some(project.branch.clone()).filter(|b| b != DEFAULT_TEMPLATE))
        .or_else(|| agent.branch.clone())
        .unwrap_or_else(|| project.branch.clone());
    Settings {
        mode: mode.unwrap_or(WorkspaceMode::Isolated),
        mode_written: written.is_some(),
        strategy: strategy
            .map(|(_, s)| s)
            .filter(|_| mode.is_none_or(|m| m == WorkspaceMode::Isolated || m == WorkspaceMode::Shared)),
        branch,
        base_ref: issue.base_ref.or_else(|| project.base_ref.clone()).or_else(|| agent.base_ref.clone()),
        keeps_workspace: issue.preference == Some(Preference::ReuseExisting),
        concurrency: project.concurrency,
    }
}

/// The first that is said, and at which level.
fn said<T>(levels: [Option<T>; 3]) -> Option<(usize, T)> {
    levels.into_iter().enumerate().find_map(|(at, value)| Some((at, value?)))
}

impl Settings {
    /// Whether runs get a worktree of their own.
    pub fn is_worktree(&self) -> bool {
        self.mode == WorkspaceMode::Isolated && self.strategy != Some(WorkspaceStrategy::ProjectPrimary)
    }

    /// Whether runs work in the project's own checkout, where they meet.
    pub fn is_checkout(&self) -> bool {
        !self.is_worktree() && self.mode != WorkspaceMode::AgentDefault
    }
}

/// What the project's own directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Directory {
    /// In a git repository with a checkout.
    Checkout,
    /// A directory without a repository.
    Plain,
    /// Not there.
    Gone,
}

/// What a choice of place goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The project's directory.
    pub project: Directory,
    /// Its path, for people.
    pub path: &'a str,
    /// The project names a repository to clone.
    pub has_url: bool,
    /// Directory of the agent's last session.
    pub session: Option<SessionAt<'a>>,
}

/// The directory of an agent's last session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionAt<'a> {
    /// Its path.
    pub cwd: &'a str,
    /// Why a run cannot work there: `is gone`; none when it can.
    pub unusable: Option<&'a str>,
}

/// Where a run works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// How the directory is found.
    pub source: WorkspaceSource,
    /// Why it is not the place that one would think of; said to the operator.
    pub remark: Option<String>,
}

/// Chooses the place: the project's own checkout, a clone of its repository, the directory of the agent's last session,
/// the agent's home. What is written and cannot be had is refused with the reason; only what nobody wrote falls to the
/// next place, and says so.
///
/// # Errors
/// In words, with the way out.
pub fn place(settings: &Settings, found: &Found<'_>) -> Result<Place, String> {
    let plain = |source| Ok(Place { source, remark: None });
    let home = |reason: Option<String>| match (found.session, reason) {
        (Some(SessionAt { unusable: None, .. }), None) => plain(WorkspaceSource::TaskSession),
        (Some(SessionAt { cwd, unusable: None }), Some(why)) => Ok(Place {
            source: WorkspaceSource::TaskSession,
            remark: Some(format!("{why}: works in the directory of the agent's last session, {cwd}")),
        }),
        (Some(SessionAt { cwd, unusable: Some(unusable) }), reason) => {
            let why = reason.map_or_else(String::new, |why| format!("{why}, and "));
            let remark =
                format!("{why}the directory of the agent's last session, {cwd}, {unusable}: works in its home");
            Ok(Place { source: WorkspaceSource::AgentHome, remark: Some(remark) })
        }
        (None, None) => plain(WorkspaceSource::AgentHome),
        (None, Some(why)) => {
            Ok(Place { source: WorkspaceSource::AgentHome, remark: Some(format!("{why}: works in the agent's home")) })
        }
    };
    if settings.mode == WorkspaceMode::AgentDefault {
        return home(None);
    }
    match (found.project, found.has_url) {
        (Directory::Checkout, _) | (Directory::Plain, false) => plain(WorkspaceSource::ProjectWorkspace),
        (Directory::Plain, true) => plain(WorkspaceSource::ManagedClone),
        (Directory::Gone, true) => Ok(Place {
            source: WorkspaceSource::ManagedClone,
            remark: Some(format!("the project's directory {} is gone: works in a clone of `repo_url`", found.path)),
        }),
        (Directory::Gone, false) if settings.mode_written => Err(format!(
            "the project's directory {} is gone, and its config asks for mode {}; restore it, run `wharf project add` where it is now, or set `repo_url` in [workspace]",
            found.path, settings.mode
        )),
        (Directory::Gone, false) => home(Some(format!("the project's directory {} is gone", found.path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use WorkspaceMode::{AgentDefault, Isolated, OperatorBranch, Shared};
    use WorkspaceStrategy::{GitWorktree, ProjectPrimary};

    fn project(mode: Option<WorkspaceMode>, mode_assumed: bool) -> WorkspaceConfig {
        WorkspaceConfig { mode, mode_assumed, ..WorkspaceConfig::default() }
    }

    #[test]
    fn issue_before_project_before_agent() {
        let issue = |mode| IssueSettings { mode, ..IssueSettings::default() };
        let agent = |mode| AgentWorkspace { mode, ..AgentWorkspace::default() };
        // Issue, project (and whether it is only assumed), agent; mode in force, whether it is written.
        let table = [
            (None, Some(Isolated), true, None, Isolated, false),
            (None, Some(Shared), true, None, Shared, false),
            (None, Some(Shared), true, Some(Isolated), Isolated, true),
            (None, Some(Shared), false, Some(Isolated), Shared, true),
            (Some(OperatorBranch), Some(Shared), false, Some(Isolated), OperatorBranch, true),
            (Some(AgentDefault), Some(Isolated), true, None, AgentDefault, true),
            (None, None, false, Some(AgentDefault), AgentDefault, true),
        ];
        for (of_issue, of_project, assumed, of_agent, mode, written) in table {
            let found = settings(Some(&issue(of_issue)), &project(of_project, assumed), &agent(of_agent));
            assert_eq!((found.mode, found.mode_written), (mode, written), "{of_issue:?} {of_project:?} {of_agent:?}");
        }
    }

    #[test]
    fn strategies_branches_and_bases_likewise() {
        let agent = AgentWorkspace {
            strategy: Some(GitWorktree),
            branch: Some("agents/{{agent.name}}".into()),
            base_ref: Some("next".into()),
            ..AgentWorkspace::default()
        };
        let found = settings(None, &project(Some(Shared), true), &agent);
        assert_eq!((found.mode, found.is_worktree()), (Isolated, true), "its strategy asks for it");
        assert_eq!((found.branch.as_str(), found.base_ref.as_deref()), ("agents/{{agent.name}}", Some("next")));
        let mut written = project(Some(Isolated), false);
        written.branch = "{{slug}}".into();
        written.base_ref = Some("main".into());
        let found = settings(None, &written, &agent);
        assert_eq!((found.branch.as_str(), found.base_ref.as_deref()), ("{{slug}}", Some("main")));
        let issue = IssueSettings {
            branch: Some("fix".into()),
            base_ref: Some("v1".into()),
            strategy: Some(ProjectPrimary),
            ..IssueSettings::default()
        };
        let found = settings(Some(&issue), &project(Some(Shared), true), &agent);
        assert_eq!((found.branch.as_str(), found.base_ref.as_deref()), ("fix", Some("v1")));
        assert!(found.is_checkout());
        // The issue's mode goes before the project's strategy, and its strategy before the project's mode.
        let isolated = IssueSettings { mode: Some(Isolated), ..IssueSettings::default() };
        let mut primary = project(Some(Shared), true);
        primary.strategy = Some(ProjectPrimary);
        assert!(settings(Some(&isolated), &primary, &AgentWorkspace::default()).is_worktree());
        let worktree = IssueSettings { strategy: Some(GitWorktree), ..IssueSettings::default() };
        assert!(settings(Some(&worktree), &project(Some(Shared), false), &AgentWorkspace::default()).is_worktree());
        let home = settings(None, &project(Some(AgentDefault), false), &agent);
        assert_eq!((home.strategy, home.is_worktree(), home.is_checkout()), (None, false, false));
    }

    #[test]
    fn places_in_their_order() {
        use WorkspaceSource::{AgentHome, ManagedClone, ProjectWorkspace, TaskSession};
        let settings = |mode, mode_written| Settings {
            mode,
            mode_written,
            strategy: None,
            branch: String::new(),
            base_ref: None,
            keeps_workspace: false,
            concurrency: Concurrency::Serialise,
        };
        let there = Some(SessionAt { cwd: "/s", unusable: None });
        let gone = Some(SessionAt { cwd: "/s", unusable: Some("is gone") });
        // Mode, written, the project's directory, url, session; place, and how its remark begins.
        let table = [
            (Isolated, true, Directory::Checkout, false, None, Some(ProjectWorkspace), ""),
            (Isolated, true, Directory::Checkout, true, there, Some(ProjectWorkspace), ""),
            (Shared, false, Directory::Plain, false, there, Some(ProjectWorkspace), ""),
            (Shared, true, Directory::Plain, true, None, Some(ManagedClone), ""),
            (Isolated, true, Directory::Gone, true, None, Some(ManagedClone), "the project's directory /p is gone"),
            (Isolated, true, Directory::Gone, false, there, None, ""),
            (Isolated, false, Directory::Gone, false, there, Some(TaskSession), "the project's directory /p is gone"),
            (Shared, false, Directory::Gone, false, gone, Some(AgentHome), "the project's directory /p is gone, and"),
            (Shared, false, Directory::Gone, false, None, Some(AgentHome), "the project's directory /p is gone: works"),
            (AgentDefault, true, Directory::Checkout, true, None, Some(AgentHome), ""),
            (AgentDefault, true, Directory::Gone, false, there, Some(TaskSession), ""),
            (
                AgentDefault,
                true,
                Directory::Checkout,
                false,
                gone,
                Some(AgentHome),
                "the directory of the agent's last",
            ),
        ];
        for (mode, written, project, has_url, session, source, remark) in table {
            let found = place(&settings(mode, written), &Found { project, path: "/p", has_url, session });
            let said = found.as_ref().ok().and_then(|p| p.remark.clone()).unwrap_or_default();
            assert_eq!(found.as_ref().ok().map(|p| p.source), source, "{mode} {written} {project:?}: {found:?}");
            assert!(said.starts_with(remark) && said.is_empty() == remark.is_empty(), "{said}");
        }
    }
}

//! What a run is told about itself, in the words of where it works.

use std::path::Path;

use wharf_model::{Kind, WorkspaceSource};

use super::context::Context;
use super::place::There;
use crate::adapter::{RunFacts, ServiceFacts};
use crate::dispatch::perform::RunJob;
use crate::environment::driver::Target;
use crate::process::shim_dir::names;

/// What of a run's start its facts tell.
pub struct About<'a> {
    /// Directory of its shim, relative to the data directory.
    pub dir: &'a str,
    /// Value of `WHARF_TAG`.
    pub tag: &'a str,
    /// Token for the agent socket.
    pub token: &'a str,
    /// Directory of its workspace on this machine.
    pub cwd: &'a str,
    /// The agent's own directory.
    pub home: &'a Path,
}

/// The facts of a run on this machine.
pub fn here(ctx: &Context, job: &RunJob, about: &About<'_>) -> RunFacts {
    let About { dir, tag, token, cwd, home } = *about;
    let services: Vec<ServiceFacts> = job
        .services
        .iter()
        .map(|s| ServiceFacts {
            id: s.id.text(),
            number: Kind::Service.number(s.number),
            name: s.name.clone(),
            url: s.url.clone(),
            port: s.port.and_then(|p| u16::try_from(p).ok()),
        })
        .collect();
    let workspace = job.workspace.as_ref();
    let worktree = workspace.filter(|w| w.strategy_type == wharf_model::WorkspaceStrategy::GitWorktree);
    RunFacts {
        run_id: job.run.id.text(),
        run_number: Kind::Run.number(job.run.number),
        attempt: job.run.attempt,
        tag: tag.to_owned(),
        agent_id: job.agent.id.text(),
        agent_name: job.agent.name.clone(),
        agent_home: home.to_str().map(str::to_owned),
        company_id: job.run.company_id.text(),
        project_id: Some(job.project.id.text()),
        project_key: Some(job.project.key.clone()),
        issue_id: job.issue.as_ref().map(|i| i.id.text()),
        issue_identifier: job.issue.as_ref().map(|i| i.identifier.clone()),
        issue_title: job.issue.as_ref().map(|i| i.title.clone()),
        workspace_id: workspace.map(|w| w.id.text()),
        workspace_cwd: Some(cwd.to_owned()),
        workspace_path: Some(cwd.to_owned()),
        // Rows of before the root was noted are those of projects at the root.
        workspace_worktree_path: worktree.map(|w| w.provider_ref.clone().unwrap_or_else(|| cwd.to_owned())),
        workspace_branch: workspace.and_then(|w| w.branch_name.clone()),
        workspace_base_cwd: Some(base_cwd(job)),
        workspace_repo_root: workspace.and_then(|w| w.repo_root.clone()),
        workspace_repo_url: workspace.and_then(|w| w.repo_url.clone()),
        workspace_repo_ref: workspace.and_then(|w| w.base_ref.clone()),
        workspace_source: workspace.map(|w| {
            let of_row = w.source.unwrap_or(WorkspaceSource::ProjectWorkspace);
            let source = if job.guest_at.is_some() { WorkspaceSource::TaskSession } else { of_row };
            source.as_str().to_owned()
        }),
        workspace_created: workspace.map(|w| w.created_by_runtime),
        project_workspace_id: workspace.and_then(|w| w.project_workspace_id).map(wharf_model::ProjectWorkspaceId::text),
        lease_id: job.lease.as_ref().map(|l| l.id.text()),
        lease_fence: job.lease.as_ref().and_then(|l| l.fence),
        environment_id: job.environment.as_ref().map(|e| e.id.text()),
        environment_name: job.environment.as_ref().map(|e| e.name.clone()),
        environment_driver: job.environment.as_ref().map(|e| e.driver.as_str().to_owned()),
        primary_url: services.iter().find_map(|s| s.url.clone()),
        services,
        agent_socket: ctx.keeper.path(dir).join(names::AGENT).to_str().map(str::to_owned),
        token: Some(token.to_owned()),
        ..RunFacts::default()
    }
}

/// The directory that the workspace belongs to: the project's own, or the clone that stands in for it.
fn base_cwd(job: &RunJob) -> String {
    let cloned = job.workspace.as_ref().filter(|w| w.source == Some(WorkspaceSource::ManagedClone));
    cloned.and_then(|w| w.repo_root.clone()).unwrap_or_else(|| job.project.path.clone())
}

/// The same for a run in a place: directories by their names there, and nothing of what means nothing there.
pub fn there(facts: RunFacts, there: &There, target: &Target) -> RunFacts {
    let Some(realisation) = &there.realisation else { return facts };
    let cwd = realisation.result.cwd.clone();
    let shares = there.shares_files();
    let path = |path: Option<String>| path.filter(|_| shares).map(|p| target.map_path(&p));
    let worktree = match &facts.workspace_worktree_path {
        Some(root) if !shares => root_there(&realisation.request.cwd, Path::new(root), &cwd),
        here => path(here.clone()),
    };
    RunFacts {
        workspace_cwd: Some(cwd.clone()),
        workspace_path: Some(cwd),
        workspace_worktree_path: worktree,
        workspace_base_cwd: path(facts.workspace_base_cwd),
        workspace_repo_root: path(facts.workspace_repo_root),
        agent_home: path(facts.agent_home),
        agent_socket: path(facts.agent_socket),
        // It opens nothing but that socket.
        token: facts.token.filter(|_| shares),
        ..facts
    }
}

/// The root of a checkout in a place, told from where the run works in it here and there.
pub(super) fn root_there(cwd_here: &Path, root_here: &Path, cwd_there: &str) -> Option<String> {
    let below = cwd_here.strip_prefix(root_here).ok()?.to_str()?;
    let root = if below.is_empty() { cwd_there } else { cwd_there.strip_suffix(below)?.strip_suffix('/')? };
    Some(root.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_checkout_is_found_by_what_is_below_it() {
        let root = |cwd: &str, root: &str, there: &str| root_there(Path::new(cwd), Path::new(root), there);
        assert_eq!(root("/a/w", "/a/w", "/there/w").as_deref(), Some("/there/w"));
        assert_eq!(root("/a/w/sub/dir", "/a/w", "/there/w/sub/dir").as_deref(), Some("/there/w"));
        assert_eq!(root("/a/w/dir", "/a/w", "/there/otherdir"), None);
        assert_eq!(root("/elsewhere", "/a/w", "/there"), None);
    }
}

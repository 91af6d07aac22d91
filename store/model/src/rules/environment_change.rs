//! What archiving or deleting an environment does. One rule for the preview that an operator reads and for the
//! acceptance of the request, so that the two can never differ.

use serde::{Deserialize, Serialize};

use super::release::Judged;
use crate::*;

words! {
    /// What is to become of an environment.
    pub enum EnvironmentChange { Archive = "archive", Delete = "delete" }
}

/// A run that has not ended, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// The run.
    pub id: RunId,
    /// Its number.
    pub number: i64,
    /// Its status.
    pub status: RunStatus,
    /// The environment that it was asked to run in, or got.
    pub environment: Option<EnvironmentId>,
    /// Its agent.
    pub agent: AgentId,
    /// Its project.
    pub project: ProjectId,
}

impl From<&RunRow> for OpenRun {
    fn from(run: &RunRow) -> Self {
        Self {
            id: run.id,
            number: run.number,
            status: run.status,
            environment: run.environment_id,
            agent: run.agent_id,
            project: run.project_id,
        }
    }
}

/// The rows that a change concerns, as they stand now.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvironmentFacts {
    /// The environment.
    pub environment: EnvironmentRow,
    /// Its leases that have not ended, by number.
    pub leases: Vec<LeaseRow>,
    /// Runs of its company that have not ended, by number.
    pub runs: Vec<OpenRun>,
    /// Agents of its company that were not archived, by name.
    pub agents: Vec<AgentRow>,
    /// Projects of its company that were not removed, by key.
    pub projects: Vec<ProjectRow>,
}

/// What follows from a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentEffect {
    /// Which change.
    pub change: EnvironmentChange,
    /// The environment.
    pub environment: EnvironmentId,
    /// Runs that hold a lease of it, and go on to their end.
    pub goes_on: Vec<RunId>,
    /// Runs that wait for a slot of it: they fail with it.
    pub fails: Vec<RunId>,
    /// Runs in the queue that would run there: they fail when their turn comes.
    pub fails_later: Vec<RunId>,
    /// Leases that are kept as they are.
    pub keeps: Vec<LeaseId>,
    /// Leases whose clean-up is begun now; the deletion is finished after it.
    pub cleans: Vec<LeaseId>,
    /// Leases whose clean-up is under way.
    pub waits_for: Vec<LeaseId>,
    /// Agents that name it and fail with their next run.
    pub agents: Vec<AgentId>,
    /// Projects that name it as their default.
    pub projects: Vec<ProjectId>,
    /// The rows that were judged, as `(id, version)`.
    pub judged: Vec<Judged>,
}

impl EnvironmentEffect {
    /// Whether the two are the same but for the versions of what was judged.
    pub fn is_like(&self, other: &Self) -> bool {
        let bare = |e: &Self| Self { judged: Vec::new(), ..e.clone() };
        bare(self) == bare(other)
    }
}

/// Why an environment cannot be archived or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChangeable {
    /// It is the company's own.
    #[error("{0} is this machine; every company has it, so it can be neither archived nor deleted")]
    Local(String),
    /// A file says that it is there.
    #[error("{environment} stands in {file}, which is its truth; remove it there and accept the change")]
    InFile {
        /// Number and name.
        environment: String,
        /// The file.
        file: String,
    },
    /// It is so already.
    #[error("{environment} is {status} already")]
    Already {
        /// Number and name.
        environment: String,
        /// Its status.
        status: EnvironmentStatus,
    },
    /// Somebody holds or waits for it.
    #[error("{environment} is in use by {by}; end that first, or archive it and delete it later")]
    Held {
        /// Number and name.
        environment: String,
        /// Leases with their runs.
        by: String,
    },
    /// What its leases hold at the provider must be cleaned up first.
    #[error("{environment} has leases whose provider's side is not cleaned up: {leases}; delete it with clean-up")]
    NeedsCleanup {
        /// Number and name.
        environment: String,
        /// Their numbers.
        leases: String,
    },
}

/// Number and name of an environment.
pub fn title(environment: &EnvironmentRow) -> String {
    format!("{} {}", Kind::Environment.number(environment.number), environment.name)
}

/// The file whose truth an environment is, while that stands; none for one that nobody's file has any more.
pub fn file_of<'a>(environment: &EnvironmentRow, mut projects: impl Iterator<Item = &'a ProjectRow>) -> Option<String> {
    if environment.origin != Origin::Config || environment.status != EnvironmentStatus::Active {
        return None;
    }
    let id = environment.config_project()?;
    projects.find(|p| p.id == id && p.removed_at.is_none()).map(|p| format!("{}/wharf.toml", p.path))
}

/// Computes what a change does, or why it cannot be done. `cleanup` begins the clean-up that a deletion needs.
pub fn effect(
    facts: &EnvironmentFacts,
    change: EnvironmentChange,
    cleanup: bool,
) -> Result<EnvironmentEffect, NotChangeable> {
    let e = &facts.environment;
    let environment = title(e);
    if e.driver == Driver::Local {
        return Err(NotChangeable::Local(environment));
    }
    if let Some(file) = file_of(e, facts.projects.iter()) {
        return Err(NotChangeable::InFile { environment, file });
    }
    let over = match change {
        EnvironmentChange::Archive => e.status != EnvironmentStatus::Active,
        EnvironmentChange::Delete => e.status == EnvironmentStatus::Deleted,
    };
    if over {
        return Err(NotChangeable::Already { environment, status: e.status });
    }
    let mut out = EnvironmentEffect {
        change,
        environment: e.id,
        goes_on: Vec::new(),
        fails: Vec::new(),
        fails_later: Vec::new(),
        keeps: Vec::new(),
        cleans: Vec::new(),
        waits_for: Vec::new(),
        agents: Vec::new(),
        projects: Vec::new(),
        judged: vec![Judged { id: e.id.text(), version: e.version }],
    };
    leases(facts, &mut out, cleanup)?;
    names(facts, &mut out);
    Ok(out)
}

/// What becomes of its leases, and of the runs that hold them.
fn leases(facts: &EnvironmentFacts, out: &mut EnvironmentEffect, cleanup: bool) -> Result<(), NotChangeable> {
    use LeaseStatus::{Acquiring, Active, Expired, Failed, PendingCleanup, Released, Releasing, Retained, Waiting};
    let deletes = out.change == EnvironmentChange::Delete;
    let number = |l: &LeaseRow| Kind::Lease.number(l.number);
    let (mut held, mut dirty) = (Vec::new(), Vec::new());
    for lease in &facts.leases {
        out.judged.push(Judged { id: lease.id.text(), version: lease.version });
        let run = lease.run_id.and_then(|id| facts.runs.iter().find(|r| r.id == id));
        match lease.status {
            Waiting | Acquiring | Active if deletes => {
                let of = run.map_or_else(String::new, |r| format!(" of {}", Kind::Run.number(r.number)));
                held.push(format!("{}{of}", number(lease)));
            }
            Waiting => out.fails.extend(run.map(|r| r.id)),
            Acquiring | Active => out.goes_on.extend(run.map(|r| r.id)),
            Retained | PendingCleanup if deletes => {
                dirty.push(number(lease));
                out.cleans.push(lease.id);
            }
            Releasing if deletes => {
                dirty.push(number(lease));
                out.waits_for.push(lease.id);
            }
            Retained | PendingCleanup | Releasing => out.keeps.push(lease.id),
            Released | Expired | Failed => {}
        }
    }
    let environment = title(&facts.environment);
    if !held.is_empty() {
        return Err(NotChangeable::Held { environment, by: held.join(", ") });
    }
    if !dirty.is_empty() && !cleanup {
        return Err(NotChangeable::NeedsCleanup { environment, leases: dirty.join(", ") });
    }
    Ok(())
}

/// Who names it, and which runs that wait would come to it.
fn names(facts: &EnvironmentFacts, out: &mut EnvironmentEffect) {
    let e = &facts.environment;
    let is_it = |name: Option<&String>| name == Some(&e.name);
    let uses = |id: String| Judged { id, version: Judged::USES };
    for run in facts.runs.iter().filter(|r| matches!(r.status, RunStatus::Queued | RunStatus::ScheduledRetry)) {
        let agent = facts.agents.iter().find(|a| a.id == run.agent).and_then(|a| a.default_environment.as_ref());
        let project = facts.projects.iter().find(|p| p.id == run.project).and_then(|p| p.default_environment.as_ref());
        let comes = match run.environment {
            Some(id) => id == e.id,
            // As it will be resolved: the agent's, then the project's.
            None => is_it(agent.or(project)),
        };
        if comes {
            out.fails_later.push(run.id);
        }
    }
    out.agents = facts.agents.iter().filter(|a| is_it(a.default_environment.as_ref())).map(|a| a.id).collect();
    out.projects = facts.projects.iter().filter(|p| is_it(p.default_environment.as_ref())).map(|p| p.id).collect();
    let runs = out.goes_on.iter().chain(&out.fails).chain(&out.fails_later).map(|r| uses(r.text()));
    let named = out.agents.iter().map(|a| uses(a.text())).chain(out.projects.iter().map(|p| uses(p.text())));
    let more: Vec<Judged> = runs.chain(named).collect();
    out.judged.extend(more);
}

#[cfg(test)]
#[path = "environment_change_test.rs"]
mod tests;

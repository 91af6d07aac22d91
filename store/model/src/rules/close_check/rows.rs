//! The rows around a workspace, from memory or from the store alike, and what they say about closing it.

use serde::{Deserialize, Serialize};

use super::{Around, ClosePlan};
use crate::config::{CommandLine, Retention, WorkspaceConfig};
use crate::rules::release::Judged;
use crate::rules::service_desired::is_reported;
use crate::rules::service_order::lies_in;
use crate::{
    Driver, EnvironmentRow, IssueRow, IssueStatus, Kind, LeaseRow, LeaseStatus, OperationPhase, OperationRow,
    OperationStatus, ProjectRow, ReuseScope, RunRow, RunStatus, ServiceRow, UnixMillis, WorkspaceRow, WorkspaceStatus,
    WorkspaceStrategy,
};

/// Time that a command may take when config does not say, in milliseconds.
const COMMAND_MS: u64 = 10 * 60_000;

/// The rows that archiving a workspace concerns, as they stand now.
#[derive(Debug, Clone)]
pub struct CloseRows {
    /// The workspace.
    pub workspace: WorkspaceRow,
    /// Its project.
    pub project: ProjectRow,
    /// Where its runs worked; none is this machine.
    pub environment: Option<EnvironmentRow>,
    /// Issues that it was made for or that are linked to it.
    pub issues: Vec<IssueRow>,
    /// Runs in it that have not ended.
    pub runs: Vec<RunRow>,
    /// Live services of its project.
    pub services: Vec<ServiceRow>,
    /// Operations on it that are under way.
    pub operations: Vec<OperationRow>,
    /// Leases of it that are not in a terminal state.
    pub leases: Vec<LeaseRow>,
    /// Ordinal of the newest snapshot of it; 0 when there was none.
    pub last_snapshot: i64,
    /// What is done to it at the moment, although no operation says so: `a snapshot`.
    pub under_way: Vec<String>,
}

/// A command that is run before a workspace goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseCommand {
    /// What it is for.
    pub phase: OperationPhase,
    /// In words: `clean-up`.
    pub what: String,
    /// What runs.
    pub command: CommandLine,
    /// Time it may take, in milliseconds.
    pub limit_ms: u64,
}

impl CommandLine {
    /// As it is shown: the line, or the words quoted where a shell would part them.
    pub fn shown(&self) -> String {
        match self {
            Self::Shell(line) => line.clone(),
            Self::Argv(words) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
                let quoted = words.iter().map(|word| {
                    if !word.is_empty() && word.chars().all(plain) {
                        word.clone()
                    } else {
                        format!("'{}'", word.replace('\'', "'\\''"))
                    }
                });
                quoted.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// Whether a service is kept for a workspace, or runs in its directory. What an adapter keeps is its own to end.
pub fn is_of(service: &ServiceRow, workspace: &WorkspaceRow) -> bool {
    // One that is about to be started again counts: nothing is left for it to be started in.
    let kept = service.scope_type == ReuseScope::ExecutionWorkspace && service.scope_id == workspace.id.text();
    let places = [workspace.cwd.as_deref(), workspace.provider_ref.as_deref()];
    let inside = places.into_iter().flatten().any(|place| lies_in(&service.cwd, place));
    service.status.is_open() && !is_reported(service) && (kept || inside)
}

/// Top of what a workspace is on the disk: of a worktree its root, else where its runs work.
pub fn root(workspace: &WorkspaceRow) -> Option<&str> {
    workspace.provider_ref.as_deref().or(workspace.cwd.as_deref())
}

/// Whether nobody in particular has it: the project's own checkout, an agent's home.
pub fn is_shared(workspace: &WorkspaceRow) -> bool {
    workspace.strategy_type != WorkspaceStrategy::GitWorktree
}

impl CloseRows {
    /// `W-7`.
    pub fn number(&self) -> String {
        Kind::Workspace.number(self.workspace.number)
    }

    /// Services that run for it or in it.
    pub fn own_services(&self) -> impl Iterator<Item = &ServiceRow> {
        self.services.iter().filter(|s| is_of(s, &self.workspace))
    }

    /// What the judgement needs of them.
    pub fn around(&self) -> Around {
        let open = |i: &&IssueRow| !matches!(i.status, IssueStatus::Done | IssueStatus::Cancelled);
        let mut operations: Vec<String> = self
            .operations
            .iter()
            // What goes for good lies in the trash: nobody waits for that.
            .filter(|o| o.status == OperationStatus::Running && o.phase != OperationPhase::TrashEmptying)
            .map(|o| format!("{} {}", Kind::Operation.number(o.number), phase_words(o.phase)))
            .collect();
        if operations.is_empty() {
            operations.extend(self.under_way.iter().cloned());
        }
        let unfetched = |l: &&LeaseRow| {
            matches!(l.status, LeaseStatus::Retained | LeaseStatus::PendingCleanup) && l.realisation.is_some()
        };
        Around {
            number: self.number(),
            shared: is_shared(&self.workspace),
            open_issues: self.issues.iter().filter(open).map(|i| format!("{}, {}", i.identifier, i.status)).collect(),
            live_runs: self
                .runs
                .iter()
                .filter(|r| r.status == RunStatus::Running)
                .map(|r| Kind::Run.number(r.number))
                .collect(),
            services: self.own_services().map(|s| format!("{} {}", Kind::Service.number(s.number), s.name)).collect(),
            operations,
            leases: self.leases.iter().filter(unfetched).map(|l| Kind::Lease.number(l.number)).collect(),
        }
    }

    /// The commands that config asks for, in their order: the workspace's own clean-up, the project's, teardown.
    pub fn commands(&self) -> Vec<CloseCommand> {
        let config = self.project.config.as_ref();
        let project: WorkspaceConfig =
            config.and_then(|c| serde_json::from_value(c["workspace"].clone()).ok()).unwrap_or_default();
        let own = |key: &str| -> Option<CommandLine> {
            let value = self.workspace.config.as_ref()?.get(key)?.clone();
            serde_json::from_value(value).ok()
        };
        let limit_ms = project.timeout_ms.filter(|ms| *ms > 0).unwrap_or(COMMAND_MS);
        let mut all: Vec<CloseCommand> = Vec::new();
        let named = [
            (OperationPhase::WorktreeCleanup, "the workspace's clean-up", own("cleanup")),
            (OperationPhase::WorktreeCleanup, "the project's clean-up", project.cleanup),
            (OperationPhase::WorkspaceTeardown, "teardown", own("teardown").or(project.teardown)),
        ];
        for (phase, what, command) in named {
            // What a workspace has taken over from its project is not run twice.
            let Some(command) = command.filter(|c| !all.iter().any(|a| a.phase == phase && a.command == *c)) else {
                continue;
            };
            all.push(CloseCommand { phase, what: what.to_owned(), command, limit_ms });
        }
        all
    }

    /// Why its commands are not run: they belong where its runs worked, and a script that was changed in a sandbox
    /// must not run outside of it.
    pub fn runs_no_commands(&self) -> Option<String> {
        let elsewhere = self.environment.as_ref().filter(|e| e.driver != Driver::Local)?;
        Some(format!("its runs worked in {}, and nothing of it is run outside", elsewhere.name))
    }

    /// What archiving is going to do, by these rows and the operator's config.
    pub fn plan(&self, retention: &Retention, now: UnixMillis) -> ClosePlan {
        let after = |ms: Option<u64>| ms.map(|ms| now.plus(i64::try_from(ms).unwrap_or(i64::MAX / 2)));
        let commands = self.commands();
        let not_run = self.runs_no_commands().filter(|_| !commands.is_empty());
        ClosePlan {
            snapshot: format!("{}.{}", self.number(), self.last_snapshot + 1),
            snapshot_until: after(retention.snapshots_ms),
            trash_until: after(retention.workspaces_after_close_ms),
            commands: if not_run.is_some() {
                Vec::new()
            } else {
                commands.iter().map(|c| (c.command.shown(), c.limit_ms)).collect()
            },
            not_run,
            is_worktree: self.workspace.strategy_type == WorkspaceStrategy::GitWorktree,
            branch: self.workspace.branch_name.clone(),
            branch_is_ours: self.workspace.branch_created_by_runtime,
            base: self.workspace.base_ref.clone(),
        }
    }

    /// The rows that the check was made from, as `(id, version)`: a preview that showed others is not carried out.
    pub fn judged(&self) -> Vec<Judged> {
        let own = Judged { id: self.workspace.id.text(), version: self.workspace.version };
        let services = self.own_services().map(|s| Judged { id: s.id.text(), version: Judged::USES });
        std::iter::once(own).chain(services).collect()
    }

    /// Why it cannot be archived at all, whatever is found in it.
    pub fn not_archivable(&self) -> Option<String> {
        let number = self.number();
        match self.workspace.status {
            WorkspaceStatus::Archived => Some(format!("{number} is archived already")),
            WorkspaceStatus::Archiving => Some(format!("{number} is being archived already")),
            WorkspaceStatus::Realising => Some(format!("{number} is just being made or brought back")),
            WorkspaceStatus::Active
            | WorkspaceStatus::Idle
            | WorkspaceStatus::InReview
            | WorkspaceStatus::Failed
            | WorkspaceStatus::CleanupFailed
            | WorkspaceStatus::Missing => None,
        }
    }
}

fn phase_words(phase: OperationPhase) -> &'static str {
    match phase {
        OperationPhase::WorktreePrepare => "git worktree",
        OperationPhase::WorkspaceProvision => "provision",
        OperationPhase::WorkspaceTeardown => "teardown",
        OperationPhase::WorktreeCleanup => "clean-up",
        OperationPhase::WorkspaceJob => "job",
        OperationPhase::WorkspaceSnapshot => "snapshot",
        OperationPhase::WorkspaceRestore => "restore",
        OperationPhase::WorkspaceClone => "clone",
        OperationPhase::TrashEmptying => "emptying its trash",
        OperationPhase::ServicePrestart => "look before a service",
    }
}

#[cfg(test)]
mod tests;

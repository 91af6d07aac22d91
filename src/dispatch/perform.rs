//! Handing intended effects to executors, with the rows they need: executors hold no store.

use std::path::PathBuf;

use wharf_model::rules::close_check::CloseRows;
use wharf_model::rules::session;
use wharf_model::rules::trash::TrashKind;
use wharf_model::state::State;
use wharf_model::{
    ActionKind, ActionRow, AgentRow, EnvironmentId, EnvironmentRow, IssueRow, Kind, LeaseId, LeaseRow, OperationRow,
    OperationStatus, ProjectId, ProjectRow, ProjectWorkspaceRow, RunId, RunRow, ServiceId, ServiceRow, SnapshotId,
    SnapshotRow, Step, StepId, UnixMillis, WorkspaceId, WorkspaceRow,
};

use super::decide::workspace;

/// Performs actions beside the loop and reports facts.
pub trait Perform: Send + 'static {
    /// Begins to perform an action; returns at once.
    fn perform(&self, action: ActionRow, job: Job);
    /// Runs something that reads files, beside the loop.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>);
}

/// A run with everything around it, as of the commit that intended the action.
#[derive(Debug, Clone)]
pub struct RunJob {
    /// The run.
    pub run: RunRow,
    /// Its agent.
    pub agent: AgentRow,
    /// Its project.
    pub project: ProjectRow,
    /// Its issue.
    pub issue: Option<IssueRow>,
    /// Its environment.
    pub environment: Option<EnvironmentRow>,
    /// Its lease.
    pub lease: Option<LeaseRow>,
    /// Its workspace.
    pub workspace: Option<WorkspaceRow>,
    /// The workspace that its issue has.
    pub issue_workspace: Option<WorkspaceRow>,
    /// Where the project's sources lie.
    pub sources: Option<ProjectWorkspaceRow>,
    /// Directory of the agent's last session, when one of its runs has said one.
    pub session_cwd: Option<String>,
    /// Directory in which it works as a guest: its agent's session lies in a workspace that is not made for it.
    pub guest_at: Option<String>,
    /// Services it uses.
    pub services: Vec<ServiceRow>,
    /// Operations of it that are under way: an earlier reign began them.
    pub operations: Vec<OperationRow>,
    /// What it is asked to do.
    pub prompt: Option<String>,
}

/// A service with what is around it.
#[derive(Debug, Clone)]
pub struct ServiceJob {
    /// The service.
    pub service: ServiceRow,
    /// Its project.
    pub project: ProjectRow,
}

/// A lease with what is around it.
#[derive(Debug, Clone)]
pub struct LeaseJob {
    /// The lease.
    pub lease: LeaseRow,
    /// Its environment.
    pub environment: EnvironmentRow,
    /// Project of its run.
    pub project: Option<ProjectRow>,
}

/// A workspace with everything around it, as of the commit that intended the action.
#[derive(Debug, Clone)]
pub struct WorkspaceJob {
    /// Its rows.
    pub rows: CloseRows,
    /// Operations of this action that are under way: an earlier reign began them, or the acceptance wrote them.
    pub operations: Vec<OperationRow>,
    /// Directories of projects, which are never removed.
    pub never: Vec<PathBuf>,
    /// The snapshot that the action names, where that is known already.
    pub snapshot: Option<SnapshotRow>,
}

/// Something in a trash that is to be removed for good.
#[derive(Debug, Clone)]
pub struct TrashJob {
    /// What it is.
    pub kind: TrashKind,
    /// Where it lies.
    pub place: PathBuf,
    /// Whose it must be.
    pub project: ProjectId,
    /// Whose it must be.
    pub workspace: WorkspaceId,
    /// `W-7`.
    pub number: String,
    /// Where its repository can be opened.
    pub repo: Option<PathBuf>,
    /// Operations of this action that are under way: an earlier reign or try began them.
    pub operations: Vec<OperationRow>,
}

/// What is to be removed for good.
#[derive(Debug, Clone)]
pub enum EmptyJob {
    /// Something in a trash.
    Trash(Box<TrashJob>),
    /// A snapshot.
    Snapshot {
        /// Which.
        id: SnapshotId,
        /// Where its repository can be opened.
        repo: PathBuf,
    },
}

/// What is to be done, and on what.
#[derive(Debug, Clone)]
pub enum Job {
    /// Archive a workspace: its commands, its snapshot, its way into the trash.
    Archive(Box<WorkspaceJob>),
    /// Keep the state of a workspace.
    Snapshot(Box<WorkspaceJob>),
    /// Bring a workspace back.
    Restore(Box<WorkspaceJob>),
    /// Run a job of the project's config in a workspace.
    Command(Box<WorkspaceJob>),
    /// Remove what is kept no longer.
    Empty(EmptyJob),
    /// Start a run's adapter, or find it again, and keep watch until it has ended.
    Execute(Box<RunJob>),
    /// Make a run's workspace.
    Realise(Box<RunJob>),
    /// Ask a shim to stop.
    Stop {
        /// Directory of the shim, relative to the data directory.
        dir: String,
        /// Why.
        reason: String,
        /// Grace in milliseconds.
        grace_ms: u64,
        /// Where the shim does not listen, it and what it started are ended all the same.
        force: bool,
    },
    /// Ask the driver for a lease.
    Acquire(Box<LeaseJob>),
    /// Give it back; or lay it by, when it is kept.
    Release(Box<LeaseJob>, bool),
    /// Remove what it holds at the provider.
    Destroy(Box<LeaseJob>),
    /// Ask for more time.
    Extend(Box<LeaseJob>, UnixMillis),
    /// Ask what became of it.
    Observe(Box<LeaseJob>),
    /// Look at an environment; the row may be one that is not saved.
    Probe(Box<EnvironmentRow>),
    /// Try an agent's adapter in a place that was acquired for it.
    Test(Box<LeaseJob>, Option<Box<AgentRow>>),
    /// Start a service, or find it again, and keep watch until it has ended.
    Serve(Box<ServiceJob>),
    /// Copy the store, to a file that was named or among its backups.
    Backup(Option<PathBuf>),
    /// Remove these directories of ended runs and files of the cache.
    Delete {
        /// Directories, relative to the data directory.
        dirs: Vec<String>,
        /// Files, relative to the data directory.
        files: Vec<String>,
    },
    /// Do a part of what follows the end of a run's log, in this directory.
    Seal(RunId, String, SealPart),
    /// Do all that follows the end of a service's or an operation's log, in this directory.
    Pack(String),
}

/// The parts of sealing a log, in their order; an action's `args.part` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealPart {
    /// Hashes of it.
    Hash,
    /// Its segments are compressed beside the old ones.
    Compress,
    /// The old ones are removed.
    RemoveOld,
}

impl SealPart {
    /// As it stands in the action.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Compress => "compress",
            Self::RemoveOld => "remove_old",
        }
    }

    /// The part that an action names; the first one when it names none.
    pub fn of(action: &ActionRow) -> Self {
        let named = action.args.as_ref().and_then(|a| a["part"].as_str());
        [Self::Compress, Self::RemoveOld].into_iter().find(|p| Some(p.as_str()) == named).unwrap_or(Self::Hash)
    }
}

/// Directory of a shim relative to the data directory: `runs/<xx>/<uuid>/a<n>`.
pub fn shim_dir(entity: &str, id: &str, n: u32) -> Option<String> {
    let (root, letter) = match entity {
        "run" => ("runs", 'a'),
        "service" => ("services", 'g'),
        "operation" => ("operations", 'a'),
        _ => return None,
    };
    let tail = id.get(id.len().checked_sub(2)?..)?;
    Some(format!("{root}/{tail}/{id}/{letter}{n}"))
}

/// Gathers the rows an action needs; none when what it is about is gone.
pub fn job(state: &State, action: &ActionRow, prompt: Option<String>) -> Option<Job> {
    match action.kind {
        ActionKind::SpawnShim => Some(Job::Execute(Box::new(run_job(state, action, prompt)?))),
        ActionKind::RealiseWorkspace => Some(Job::Realise(Box::new(run_job(state, action, None)?))),
        ActionKind::StopShim => {
            let args = action.args.as_ref();
            Some(Job::Stop {
                dir: shim_dir(&action.entity_type, &action.entity_id, action.attempt)?,
                reason: args.and_then(|a| a["reason"].as_str()).unwrap_or("operator").to_owned(),
                grace_ms: args.and_then(|a| a["grace_ms"].as_u64()).unwrap_or(15_000),
                force: args.is_some_and(|a| a["force"] == true),
            })
        }
        ActionKind::AcquireLease => Some(Job::Acquire(lease_job(state, action)?)),
        ActionKind::ReleaseLease => {
            let kept = action.args.as_ref().is_some_and(|a| a["keep"] == true);
            Some(Job::Release(lease_job(state, action)?, kept))
        }
        ActionKind::DestroyLease => Some(Job::Destroy(lease_job(state, action)?)),
        ActionKind::ExtendLease => {
            let until = action.args.as_ref().and_then(|a| a["until"].as_i64())?;
            Some(Job::Extend(lease_job(state, action)?, UnixMillis(until)))
        }
        ActionKind::ObserveLease => Some(Job::Observe(lease_job(state, action)?)),
        ActionKind::Probe => {
            // One that is not saved stands in the action itself.
            let unsaved = action.args.as_ref().and_then(|a| a.get("environment")).cloned();
            let row = match unsaved {
                Some(row) => serde_json::from_value(row).ok()?,
                None => state.environments.get(&action.entity_id.parse::<EnvironmentId>().ok()?)?.clone(),
            };
            Some(Job::Probe(Box::new(row)))
        }
        ActionKind::TestEnvironment => {
            let agent = action.args.as_ref().and_then(|a| a["agent"].as_str()).and_then(|a| a.parse().ok());
            let agent = agent.and_then(|a| state.agents.get(&a)).cloned().map(Box::new);
            Some(Job::Test(lease_job(state, action)?, agent))
        }
        ActionKind::StartService => {
            let service = state.services.get(&action.entity_id.parse::<ServiceId>().ok()?)?.clone();
            let project = state.projects.get(&service.project_id)?.clone();
            Some(Job::Serve(Box::new(ServiceJob { service, project })))
        }
        ActionKind::RemoveWorkspace => workspace_job(state, action).map(Job::Archive),
        ActionKind::SnapshotWorkspace => workspace_job(state, action).map(Job::Snapshot),
        ActionKind::RestoreWorkspace => workspace_job(state, action).map(Job::Restore),
        ActionKind::RunJob => workspace_job(state, action).map(Job::Command),
        ActionKind::EmptyTrash => empty_job(state, action).map(Job::Empty),
        ActionKind::BackupStore => {
            let to = action.args.as_ref().and_then(|a| a["to"].as_str()).map(PathBuf::from);
            Some(Job::Backup(to))
        }
        ActionKind::DeleteLog => {
            let named = |what: &str| {
                let list = action.args.as_ref().and_then(|a| a[what].as_array());
                list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
            };
            Some(Job::Delete { dirs: named("dirs"), files: named("files") })
        }
        ActionKind::SealLog => {
            let dir = shim_dir(&action.entity_type, &action.entity_id, action.attempt)?;
            Some(match action.entity_type.as_str() {
                "run" => Job::Seal(action.entity_id.parse::<RunId>().ok()?, dir, SealPart::of(action)),
                _ => Job::Pack(dir),
            })
        }
    }
}

fn workspace_job(state: &State, action: &ActionRow) -> Option<Box<WorkspaceJob>> {
    let rows = workspace::gather(state, action.entity_id.parse().ok()?)?;
    let args = action.args.as_ref();
    let named = args.and_then(|a| a["snapshot"].as_str()).and_then(|t| t.parse::<SnapshotId>().ok());
    Some(Box::new(WorkspaceJob {
        operations: own_operations(state, action),
        never: state.projects.values().map(|p| PathBuf::from(&p.path)).collect(),
        snapshot: named.and_then(|id| state.snapshots.get(&id)).cloned(),
        rows,
    }))
}

fn empty_job(state: &State, action: &ActionRow) -> Option<EmptyJob> {
    let args = action.args.as_ref()?;
    let text = |key: &str| args[key].as_str().map(PathBuf::from);
    if action.entity_type == "snapshot" {
        let id = action.entity_id.parse().ok()?;
        return Some(EmptyJob::Snapshot { id, repo: text("repo")? });
    }
    // Those that an older version intended name the workspace itself.
    let of = args["workspace"].as_str().unwrap_or(&action.entity_id);
    let workspace = state.workspaces.get(&of.parse().ok()?)?;
    let place = text("place")?;
    Some(EmptyJob::Trash(Box::new(TrashJob {
        kind: if args["what"] == TrashKind::Entry.as_str() { TrashKind::Entry } else { TrashKind::Directory },
        place,
        project: workspace.project_id,
        workspace: workspace.id,
        number: Kind::Workspace.number(workspace.number),
        repo: text("repo"),
        operations: own_operations(state, action),
    })))
}

/// Operations of an action that are under way.
fn own_operations(state: &State, action: &ActionRow) -> Vec<OperationRow> {
    let of = |o: &&OperationRow| {
        let of = o.metadata.as_ref().and_then(|m| m["action"].as_str()).and_then(|t| t.parse().ok());
        o.status == OperationStatus::Running && of == Some(action.id)
    };
    state.operations.values().filter(of).cloned().collect()
}

fn lease_job(state: &State, action: &ActionRow) -> Option<Box<LeaseJob>> {
    let lease = state.leases.get(&action.entity_id.parse::<LeaseId>().ok()?)?.clone();
    let project = lease.run_id.and_then(|r| state.runs.get(&r)).and_then(|r| state.projects.get(&r.project_id));
    Some(Box::new(LeaseJob {
        environment: state.environments.get(&lease.environment_id)?.clone(),
        project: project.cloned(),
        lease,
    }))
}

fn run_job(state: &State, action: &ActionRow, prompt: Option<String>) -> Option<RunJob> {
    let run = state.runs.get(&action.entity_id.parse::<RunId>().ok()?)?.clone();
    if run.attempt != action.attempt {
        return None;
    }
    let issue = run.issue_id.and_then(|i| state.issues.get(&i));
    let session = state.agent_runtime.get(&run.agent_id).and_then(|r| session::kept(r).cwd);
    let realise = state.steps.get(&StepId(run.id, Step::Realise));
    Some(RunJob {
        issue_workspace: issue.and_then(|i| state.workspaces.get(&i.execution_workspace_id?)).cloned(),
        sources: state.project_workspaces.values().find(|w| w.project_id == run.project_id && w.is_primary).cloned(),
        session_cwd: session.map(str::to_owned),
        guest_at: realise.and_then(workspace::guest_at),
        agent: state.agents.get(&run.agent_id)?.clone(),
        project: state.projects.get(&run.project_id)?.clone(),
        issue: issue.cloned(),
        environment: run.environment_id.and_then(|e| state.environments.get(&e)).cloned(),
        lease: run.lease_id.and_then(|l| state.leases.get(&l)).cloned(),
        workspace: run.workspace_id.and_then(|w| state.workspaces.get(&w)).cloned(),
        services: state.services_of(run.id).filter_map(|s| state.services.get(&s)).cloned().collect(),
        operations: state
            .operations
            .values()
            .filter(|o| o.run_id == Some(run.id) && o.status == wharf_model::OperationStatus::Running)
            .cloned()
            .collect(),
        prompt,
        run,
    })
}

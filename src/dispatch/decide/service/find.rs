//! The row of a service that is wanted: found again by its key, made when there is none, and kept in line with
//! the accepted config.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wharf_model::config::{CommandLine, EnvValue, Port, ServiceConfig};
use wharf_model::rules::reuse_key;
use wharf_model::rules::service_desired::{after_last, is_reported};
pub(super) use wharf_model::rules::service_off::off;
use wharf_model::rules::service_off::{REMOVED, REPLACED};
use wharf_model::rules::service_restart::{CRASH_LOOP, is_parked};
use wharf_model::{
    AgentId, Desired, Kind, Lifecycle, ProjectRow, ReuseScope, RunId, RunRow, RunStatus, ServiceId, ServiceRow,
    ServiceStatus, Step, WorkspaceId, WorkspaceRow,
};

use super::stop::{is_overdue, not_ended};
use super::{Cause, begin, in_use, unused};
use crate::dispatch::decide::{Deciding, finish};
use crate::dispatch::input::{Actor, Refusal};

/// For whom a service is wanted.
struct Wanted<'a> {
    project: &'a ProjectRow,
    run: Option<RunId>,
    agent: Option<AgentId>,
    workspace: Option<WorkspaceId>,
    /// Directory of the workspace that its `cwd` is relative to.
    base: String,
}

impl<'a> Wanted<'a> {
    /// For a run, in its workspace.
    fn by_run(d: &Deciding<'_, '_>, project: &'a ProjectRow, run: &RunRow) -> Self {
        let base = run.workspace_id.and_then(|w| d.tx.get::<WorkspaceRow>(w)).and_then(|w| w.cwd.clone());
        let base = base.unwrap_or_else(|| project.path.clone());
        Self { project, run: Some(run.id), agent: Some(run.agent_id), workspace: run.workspace_id, base }
    }

    /// For whoever works in a workspace.
    fn in_workspace(project: &'a ProjectRow, workspace: &WorkspaceRow) -> Self {
        let base = workspace.cwd.clone().unwrap_or_else(|| project.path.clone());
        Self { project, run: None, agent: None, workspace: Some(workspace.id), base }
    }

    /// For the project itself.
    fn of_project(project: &'a ProjectRow) -> Self {
        Self { project, run: None, agent: None, workspace: None, base: project.path.clone() }
    }

    /// For those who another service is there for.
    fn like(d: &Deciding<'_, '_>, project: &'a ProjectRow, service: &ServiceRow) -> Self {
        let of_workspace = (service.scope_type == ReuseScope::ExecutionWorkspace).then(|| service.scope_id.parse());
        let workspace = of_workspace.and_then(Result::ok).or(service.execution_workspace_id);
        let base = workspace.and_then(|w| d.tx.get::<WorkspaceRow>(w)).and_then(|w| w.cwd.clone());
        let of_run = (service.scope_type == ReuseScope::Run).then(|| service.scope_id.parse());
        Self {
            project,
            run: of_run.and_then(Result::ok),
            agent: service.owner_agent_id,
            workspace,
            base: base.unwrap_or_else(|| project.path.clone()),
        }
    }
}

/// Services that a run's agent names, as configured when they were accepted.
fn configured(project: &ProjectRow) -> Vec<ServiceConfig> {
    project
        .config
        .as_ref()
        .and_then(|c| c.get("services"))
        .and_then(|s| serde_json::from_value(s.clone()).ok())
        .unwrap_or_default()
}

/// Makes the run a user of every service its agent names, and starts those that do not run.
/// A service that is switched off or cannot be owned fails the run, and the others are given back.
pub(crate) fn gather(d: &mut Deciding<'_, '_>, run_id: RunId) {
    let Some(run) = d.tx.get::<RunRow>(run_id).cloned() else { return };
    let Some(project) = d.tx.get::<ProjectRow>(run.project_id).cloned() else { return };
    let names: Vec<String> = d
        .state()
        .agents
        .get(&run.agent_id)
        .and_then(|a| a.config.get("services"))
        .and_then(|s| serde_json::from_value(s.clone()).ok())
        .unwrap_or_default();
    if names.is_empty() {
        return;
    }
    let services = configured(&project);
    for name in names {
        let Some(config) = services.iter().find(|s| s.name == name) else {
            let message = format!("service {name:?} is not in the accepted config of {}", project.key);
            return fail_target(d, run_id, "service_start_failed", &message);
        };
        if let Some(reason) = &config.disabled {
            let message = format!("service {name:?} is switched off: {reason}");
            return fail_target(d, run_id, "service_start_failed", &message);
        }
        let wanted = Wanted::by_run(d, &project, &run);
        let service = match find_or_make(d, &wanted, config) {
            Ok(service) => service,
            Err(refusal) => return fail_target(d, run_id, refusal.code, &refusal.message),
        };
        let reused = d.tx.get::<ServiceRow>(service).is_some_and(|s| s.status == ServiceStatus::Running);
        d.tx.add_user(service, run_id, reused);
        let now = d.now();
        d.tx.update::<ServiceRow>(service, |s| {
            s.last_used_at = now;
            s.idle_deadline_at = None;
        });
        if let Some(hung) = d.tx.get::<ServiceRow>(service).filter(|s| is_overdue(s)) {
            let (code, message) = not_ended(hung);
            return fail_target(d, run_id, &code, &message);
        }
        if let Some(row) = d.tx.get::<ServiceRow>(service).filter(|s| is_parked(s)) {
            let message = format!("service {}: {}", row.name, parked(row));
            return fail_target(d, run_id, CRASH_LOOP, &message);
        }
        let status = d.tx.get::<ServiceRow>(service).map(|s| s.status);
        if matches!(status, Some(ServiceStatus::Stopped | ServiceStatus::Failed)) {
            begin(d, service, Cause::Run(run_id), &Actor::system());
        }
        // What it needs may have failed at once, and the run with it.
        if d.tx.get::<RunRow>(run_id).is_none_or(|r| r.status != RunStatus::Running) {
            return;
        }
    }
}

/// Why a parked service is not started, and who starts it.
pub(super) fn parked(service: &ServiceRow) -> String {
    let number = Kind::Service.number(service.number);
    let why = service.error.as_deref().unwrap_or("its restarts are used up");
    format!("{number} is parked: {why}; `wharf service restart {number}` starts it again")
}

/// The services that one needs, as the accepted config has them now, in rows of their own.
///
/// # Errors
/// One of them may not run, or nobody can tell for whom; in words.
pub(super) fn needs_of(
    d: &mut Deciding<'_, '_>,
    service: &ServiceRow,
    run: Option<RunId>,
) -> Result<Vec<ServiceId>, String> {
    let names = serde_json::from_value::<ServiceConfig>(service.config.clone()).map(|c| c.depends_on);
    let names = names.unwrap_or_default();
    let Some(project) = d.tx.get::<ProjectRow>(service.project_id).cloned().filter(|_| !names.is_empty()) else {
        return Ok(Vec::new());
    };
    let run = run.and_then(|r| d.tx.get::<RunRow>(r)).cloned();
    let configs = configured(&project);
    let mut needs = Vec::new();
    for name in names {
        let Some(config) = configs.iter().find(|c| c.name == name) else {
            return Err(format!("it needs {name}, which the accepted config has not"));
        };
        let wanted = match &run {
            Some(run) => Wanted::by_run(d, &project, run),
            None => Wanted::like(d, &project, service),
        };
        let need = find_or_make(d, &wanted, config).map_err(|e| format!("it needs {name}: {}", e.message))?;
        if let Some(reason) = d.tx.get::<ServiceRow>(need).and_then(off) {
            return Err(format!("it needs {name}, which is switched off: {reason}"));
        }
        if need != service.id && !needs.contains(&need) {
            needs.push(need);
        }
    }
    Ok(needs)
}

/// The services of a workspace that may be started for it, in rows of their own: those that are kept for each
/// workspace, and where it is the project's own directory those of the project.
pub(super) fn of_workspace(d: &mut Deciding<'_, '_>, workspace: &WorkspaceRow) -> Vec<ServiceId> {
    let Some(project) = d.tx.get::<ProjectRow>(workspace.project_id).cloned() else { return Vec::new() };
    let is_projects = workspace.cwd.as_deref() == Some(&project.path);
    let mut found = Vec::new();
    for config in configured(&project).iter().filter(|c| c.disabled.is_none()) {
        let its = match config.reuse {
            ReuseScope::ExecutionWorkspace => config.lifecycle == Lifecycle::Shared,
            ReuseScope::ProjectWorkspace => is_projects && config.lifecycle == Lifecycle::Shared,
            ReuseScope::Agent | ReuseScope::Run => false,
        };
        if its {
            found.extend(find_or_make(d, &Wanted::in_workspace(&project, workspace), config));
        }
    }
    found
}

/// The row that counts, of those with the key of this one: the newest that we keep. An adapter may report any key.
pub(crate) fn current_of(d: &Deciding<'_, '_>, id: ServiceId) -> ServiceId {
    let Some(service) = d.tx.get::<ServiceRow>(id).filter(|s| !is_reported(s)) else { return id };
    let Some(key) = &service.reuse_key else { return id };
    let same =
        |s: &&ServiceRow| s.project_id == service.project_id && s.reuse_key.as_ref() == Some(key) && !is_reported(s);
    d.state().services.values().filter(same).max_by_key(|s| s.number).map_or(id, |s| s.id)
}

pub(super) fn fail_target(d: &mut Deciding<'_, '_>, run: RunId, code: &str, message: &str) {
    finish::setup_failed(d, run, Step::Target, code, message, Value::Null);
}

/// The row of a configured service for one owner; the same key always finds the same row.
fn find_or_make(d: &mut Deciding<'_, '_>, wanted: &Wanted<'_>, config: &ServiceConfig) -> Result<ServiceId, Refusal> {
    let (scope, cwd, key) = identify(d, wanted, config)?;
    let found = d
        .state()
        .services
        .values()
        .filter(|s| s.project_id == wanted.project.id && s.name == config.name && !is_reported(s))
        .filter(|s| match &key {
            Some(key) => s.reuse_key.as_ref() == Some(key),
            None => s.reuse_key.is_none() && s.scope_id == scope.id,
        })
        .max_by_key(|s| s.number)
        .map(|s| s.id);
    if let Some(id) = found {
        refresh(d, id, config);
        return Ok(id);
    }
    let id: ServiceId = d.id();
    let number = d.tx.next_number("service");
    let now = d.now();
    let primary =
        d.state().project_workspaces.values().find(|w| w.project_id == wanted.project.id && w.is_primary).map(|w| w.id);
    d.tx.put(ServiceRow {
        project_workspace_id: primary,
        execution_workspace_id: wanted.workspace,
        owner_agent_id: wanted.agent.filter(|_| scope.kind == ReuseScope::Agent),
        scope_type: scope.kind,
        scope_id: scope.id,
        reuse_key: key,
        lifecycle: config.lifecycle,
        desired: config.desired,
        command: shown(&config.command),
        cwd,
        stop_policy: config.stop.policy,
        idle_ms: i64::try_from(config.stop.idle_ms).ok(),
        grace_ms: i64::try_from(config.stop.grace_ms).unwrap_or(10_000),
        config: serde_json::to_value(config).unwrap_or(Value::Null),
        ..ServiceRow::new(id, number, wanted.project, &config.name, now)
    });
    Ok(id)
}

fn shown(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(line) => line.clone(),
        CommandLine::Argv(args) => args.join(" "),
    }
}

fn identify(
    d: &Deciding<'_, '_>,
    wanted: &Wanted<'_>,
    config: &ServiceConfig,
) -> Result<(reuse_key::Scope, String, Option<String>), Refusal> {
    let primary =
        d.state().project_workspaces.values().find(|w| w.project_id == wanted.project.id && w.is_primary).map(|w| w.id);
    let lifecycle = Some(config.lifecycle);
    let reuse = Some(config.reuse);
    let facts = reuse_key::ScopeFacts {
        project_workspace: primary,
        project: Some(wanted.project.id),
        execution_workspace: wanted.workspace,
        cwd: wanted.run.map(|_| wanted.base.as_str()),
        agent: wanted.agent,
        run: wanted.run,
    };
    // An ephemeral service belongs to one run whatever its written scope says.
    let reuse =
        if lifecycle == Some(Lifecycle::Ephemeral) && wanted.run.is_some() { Some(ReuseScope::Run) } else { reuse };
    let scope = reuse_key::scope(lifecycle, reuse, &facts)
        .map_err(|e| Refusal::new("service_start_failed", format!("{}: {e}", config.name)))?;
    // A project's service runs in the project's own checkout, whichever run asked first.
    let base = if scope.kind == ReuseScope::ProjectWorkspace { &wanted.project.path } else { &wanted.base };
    let cwd = if config.cwd == "." { base.clone() } else { format!("{}/{}", base.trim_end_matches('/'), config.cwd) };
    let explicit_port = match config.port {
        Port::Fixed { port, .. } => Some(port),
        Port::None | Port::Auto { .. } => None,
    };
    let written: BTreeMap<String, String> = config
        .env
        .iter()
        .map(|(name, value)| {
            let text = match value {
                EnvValue::Text(text) => text.clone(),
                EnvValue::Secret { name } => format!("secret:{name}"),
            };
            (name.clone(), text)
        })
        .collect();
    let env = reuse_key::key_env(&written, explicit_port);
    let identity = reuse_key::ServiceIdentity {
        scope: &scope,
        name: &config.name,
        command: match &config.command {
            CommandLine::Shell(line) => reuse_key::CommandLine::Shell(line),
            CommandLine::Argv(args) => reuse_key::CommandLine::Argv(args),
        },
        cwd: &cwd,
        explicit_port,
        env: &env,
    };
    let key = reuse_key::reuse_key(lifecycle, &identity);
    Ok((scope, cwd, key))
}

/// Puts what the accepted config says now into a row that its key has found again. A process that lives
/// keeps what it was started with; what ends it, and its next start, follow the row.
fn refresh(d: &mut Deciding<'_, '_>, id: ServiceId, config: &ServiceConfig) {
    let Some(before) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    d.tx.update::<ServiceRow>(id, |s| {
        s.lifecycle = config.lifecycle;
        // What an operator has said stays until the config says something new.
        if s.desired_by.is_none() || desired_by_config(s) != Some(config.desired) {
            s.desired = config.desired;
            s.desired_by = None;
        }
        s.command = shown(&config.command);
        s.stop_policy = config.stop.policy;
        s.idle_ms = i64::try_from(config.stop.idle_ms).ok();
        s.grace_ms = i64::try_from(config.stop.grace_ms).unwrap_or(10_000);
        s.config = serde_json::to_value(config).unwrap_or(Value::Null);
    });
    let Some(after) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let left = before.idle_deadline_at.is_some()
        || (before.status == ServiceStatus::Running && before.started_by_run_id.is_some());
    if left && !in_use(d, id) && after_last(&before) != after_last(&after) {
        // Its users have left already: the new policy counts from now.
        d.tx.update::<ServiceRow>(id, |s| s.idle_deadline_at = None);
        unused(d, id);
    }
}

fn desired_by_config(service: &ServiceRow) -> Option<Desired> {
    service.config["desired"].as_str().and_then(Desired::parse)
}

/// Brings the rows of a project's services in line with its accepted config: those that the project owns
/// are there, so that they can be seen and started by hand, and those that the config no longer has in
/// this form are switched off. Such a row stays: it has a history.
pub(crate) fn ensure_rows(d: &mut Deciding<'_, '_>, project: &ProjectRow) {
    let configs = configured(project);
    let mut owned = Vec::new();
    for config in &configs {
        let wanted = Wanted::of_project(project);
        // One that belongs to a run or an agent gets its row when such an owner asks for it.
        owned.extend(find_or_make(d, &wanted, config));
    }
    let others: Vec<ServiceRow> = d
        .state()
        .services
        .values()
        .filter(|s| s.project_id == project.id && !owned.contains(&s.id) && !is_reported(s))
        .cloned()
        .collect();
    for row in others {
        let config = configs.iter().find(|c| c.name == row.name);
        // The project's own are found by their key above; those of runs and agents by what the key is made of.
        match config.filter(|c| row.scope_type != ReuseScope::ProjectWorkspace && is_same(&row, c)) {
            Some(config) => refresh(d, row.id, config),
            None => switch_off(d, &row, if config.is_some() { REPLACED } else { REMOVED }),
        }
    }
}

/// Whether a row was made for a service that is configured like this, as far as its key tells them apart.
fn is_same(row: &ServiceRow, config: &ServiceConfig) -> bool {
    let fixed = |port: &Port| if let Port::Fixed { port, .. } = port { Some(*port) } else { None };
    serde_json::from_value::<ServiceConfig>(row.config.clone()).is_ok_and(|was| {
        (&was.command, &was.cwd, &was.env, fixed(&was.port))
            == (&config.command, &config.cwd, &config.env, fixed(&config.port))
            && (was.lifecycle, was.reuse) == (config.lifecycle, config.reuse)
    })
}

fn switch_off(d: &mut Deciding<'_, '_>, row: &ServiceRow, why: &str) {
    if !row.config.is_object() || off(row).is_some() {
        return;
    }
    d.tx.update::<ServiceRow>(row.id, |s| s.config["disabled"] = json!(why));
}

/// Whether the accepted config has the service as this row has it.
pub(crate) fn is_configured(service: &ServiceRow) -> bool {
    !matches!(off(service), Some(REMOVED | REPLACED))
}

pub(super) fn refuse_off(service: &ServiceRow) -> Result<(), Refusal> {
    let Some(reason) = off(service) else { return Ok(()) };
    let number = Kind::Service.number(service.number);
    Err(Refusal::new("illegal_state", format!("{number} {} is switched off: {reason}", service.name)))
}

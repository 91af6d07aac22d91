//! Services: found again by their key, shared by users that are rows, stopped by their policy.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wharf_model::config::{CommandLine, EnvValue, Port, ServiceConfig};
use wharf_model::rules::release::{AfterLastUser, after_last_user};
use wharf_model::rules::reuse_key;
use wharf_model::shim::{ChildRef, EndedBy, ExitFrame};
use wharf_model::{
    ActionId, ActionKind, ActionStatus, Health, Kind, Lifecycle, ProjectRow, ReuseScope, RunId, RunRow, RunStatus,
    ServiceId, ServiceRow, ServiceStatus, Step, WorkspaceRow,
};

use super::{Deciding, about, finish, steps};
use crate::dispatch::input::{Actor, Refusal};

/// Time beyond its own limits after which a service whose executor says nothing is failed.
const MARGIN_MS: i64 = 15_000;

/// Why a service that the accepted config has no more is switched off.
const REMOVED: &str = "the accepted wharf.toml has no such service any more";
/// Why a service that the accepted config has in another form is switched off.
const REPLACED: &str = "the accepted wharf.toml has this service in another form, which has a row of its own";

/// Reason of a stop after which the service is started again.
const RESTART: &str = "restart";
/// Reason of a stop because the service did not become ready.
pub(crate) const START_TIMEOUT: &str = "start_timeout";

/// For whom a service is wanted.
struct Wanted<'a> {
    project: &'a ProjectRow,
    run: Option<&'a RunRow>,
    /// Directory of the workspace that its `cwd` is relative to.
    base: String,
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
    let base = run
        .workspace_id
        .and_then(|w| d.tx.get::<WorkspaceRow>(w))
        .and_then(|w| w.cwd.clone())
        .unwrap_or_else(|| project.path.clone());
    for name in names {
        let Some(config) = services.iter().find(|s| s.name == name) else {
            let message = format!("service {name:?} is not in the accepted config of {}", project.key);
            return fail_target(d, run_id, "service_start_failed", &message);
        };
        if let Some(reason) = &config.disabled {
            let message = format!("service {name:?} is switched off: {reason}");
            return fail_target(d, run_id, "service_start_failed", &message);
        }
        let wanted = Wanted { project: &project, run: Some(&run), base: base.clone() };
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
        let status = d.tx.get::<ServiceRow>(service).map(|s| s.status);
        if matches!(status, Some(ServiceStatus::Stopped | ServiceStatus::Failed)) {
            begin(d, service, Some(run_id), &Actor::system());
        }
    }
}

fn fail_target(d: &mut Deciding<'_, '_>, run: RunId, code: &str, message: &str) {
    finish::setup_failed(d, run, Step::Target, code, message, Value::Null);
}

/// The row of a configured service for one owner; the same key always finds the same row.
fn find_or_make(d: &mut Deciding<'_, '_>, wanted: &Wanted<'_>, config: &ServiceConfig) -> Result<ServiceId, Refusal> {
    let (scope, cwd, key) = identify(d, wanted, config)?;
    let found = d
        .state()
        .services
        .values()
        .filter(|s| s.project_id == wanted.project.id && s.name == config.name)
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
        id,
        number,
        company_id: wanted.project.company_id,
        project_id: wanted.project.id,
        project_workspace_id: primary,
        execution_workspace_id: wanted.run.and_then(|r| r.workspace_id),
        issue_id: None,
        owner_agent_id: wanted.run.map(|r| r.agent_id).filter(|_| scope.kind == ReuseScope::Agent),
        started_by_run_id: None,
        name: config.name.clone(),
        scope_type: scope.kind,
        scope_id: scope.id,
        reuse_key: key,
        lifecycle: config.lifecycle,
        status: ServiceStatus::Stopped,
        health: Health::Unknown,
        desired: config.desired,
        generation: 0,
        command: shown(&config.command),
        cwd,
        port: None,
        url: None,
        provider: "local_process".into(),
        stop_policy: config.stop.policy,
        idle_ms: i64::try_from(config.stop.idle_ms).ok(),
        grace_ms: i64::try_from(config.stop.grace_ms).unwrap_or(10_000),
        config: serde_json::to_value(config).unwrap_or(Value::Null),
        process_pid: None,
        process_start_ticks: None,
        exit_code: None,
        signal: None,
        stop_reason: None,
        error_code: None,
        error: None,
        log_ref: None,
        started_at: None,
        ready_at: None,
        stopped_at: None,
        last_used_at: now,
        deadline_at: None,
        idle_deadline_at: None,
        version: 0,
        created_at: now,
        updated_at: now,
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
        execution_workspace: wanted.run.and_then(|r| r.workspace_id),
        cwd: wanted.run.map(|_| wanted.base.as_str()),
        agent: wanted.run.map(|r| r.agent_id),
        run: wanted.run.map(|r| r.id),
    };
    // An ephemeral service belongs to one run whatever its written scope says.
    let reuse =
        if lifecycle == Some(Lifecycle::Ephemeral) && wanted.run.is_some() { Some(ReuseScope::Run) } else { reuse };
    let scope = reuse_key::scope(lifecycle, reuse, &facts)
        .map_err(|e| Refusal::new("service_start_failed", format!("{}: {e}", config.name)))?;
    // A project's service runs in the project's own checkout, whichever run asked first.
    let base = if scope.kind == ReuseScope::ProjectWorkspace { &wanted.project.path } else { &wanted.base };
    let cwd = if config.cwd == "." { base.clone() } else { format!("{}/{}", base.trim_end_matches('/'), config.cwd) };
    let env: BTreeMap<String, String> = config
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
    let identity = reuse_key::ServiceIdentity {
        scope: &scope,
        name: &config.name,
        command: match &config.command {
            CommandLine::Shell(line) => reuse_key::CommandLine::Shell(line),
            CommandLine::Argv(args) => reuse_key::CommandLine::Argv(args),
        },
        cwd: &cwd,
        explicit_port: match config.port {
            Port::Fixed { port, .. } => Some(port),
            Port::None | Port::Auto { .. } => None,
        },
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
        s.desired = config.desired;
        s.command = shown(&config.command);
        s.stop_policy = config.stop.policy;
        s.idle_ms = i64::try_from(config.stop.idle_ms).ok();
        s.grace_ms = i64::try_from(config.stop.grace_ms).unwrap_or(10_000);
        s.config = serde_json::to_value(config).unwrap_or(Value::Null);
    });
    let Some(after) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let policy = |s: &ServiceRow| after_last_user(s.lifecycle, s.stop_policy, s.idle_ms);
    let left = before.idle_deadline_at.is_some()
        || (before.status == ServiceStatus::Running && before.started_by_run_id.is_some());
    if left && d.state().users_of(id).next().is_none() && policy(&before) != policy(&after) {
        // Its users have left already: the new policy counts from now.
        d.tx.update::<ServiceRow>(id, |s| s.idle_deadline_at = None);
        unused(d, id);
    }
}

/// Brings the rows of a project's services in line with its accepted config: those that the project owns
/// are there, so that they can be seen and started by hand, and those that the config no longer has in
/// this form are switched off. Such a row stays: it has a history.
pub(crate) fn ensure_rows(d: &mut Deciding<'_, '_>, project: &ProjectRow) {
    let configs = configured(project);
    let mut owned = Vec::new();
    for config in &configs {
        let wanted = Wanted { project, run: None, base: project.path.clone() };
        // One that belongs to a run or an agent gets its row when such an owner asks for it.
        owned.extend(find_or_make(d, &wanted, config));
    }
    let others: Vec<ServiceRow> =
        d.state().services.values().filter(|s| s.project_id == project.id && !owned.contains(&s.id)).cloned().collect();
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

/// Why a service may not be started; none when it may.
fn off(service: &ServiceRow) -> Option<&str> {
    service.config.get("disabled").and_then(Value::as_str)
}

/// Whether the accepted config has the service as this row has it.
pub(crate) fn is_configured(service: &ServiceRow) -> bool {
    !matches!(off(service), Some(REMOVED | REPLACED))
}

fn refuse_off(service: &ServiceRow) -> Result<(), Refusal> {
    let Some(reason) = off(service) else { return Ok(()) };
    let number = Kind::Service.number(service.number);
    Err(Refusal::new("illegal_state", format!("{number} {} is switched off: {reason}", service.name)))
}

/// Starts a service: a new generation, with its intent.
fn begin(d: &mut Deciding<'_, '_>, id: ServiceId, run: Option<RunId>, actor: &Actor) {
    let now = d.now();
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let limit: i64 = serde_json::from_value::<ServiceConfig>(service.config.clone())
        .ok()
        .and_then(|c| i64::try_from(c.ready.timeout_ms).ok())
        .unwrap_or(30_000);
    let generation = service.generation + 1;
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = ServiceStatus::Starting;
        s.generation = generation;
        s.health = Health::Unknown;
        s.started_by_run_id = run;
        s.started_at = Some(now);
        s.ready_at = None;
        s.stopped_at = None;
        s.exit_code = None;
        s.signal = None;
        s.stop_reason = None;
        s.error = None;
        s.error_code = None;
        s.process_pid = None;
        s.process_start_ticks = None;
        s.idle_deadline_at = None;
        s.deadline_at = Some(now.plus(limit + MARGIN_MS));
    });
    d.intend(ActionKind::StartService, "service", &id.text(), generation, None, None);
    d.activity(actor, "service.started", &about::service(&service), Some(json!({ "generation": generation })));
}

/// Stops a service; its users keep their rows and see it go.
pub(crate) fn stop(d: &mut Deciding<'_, '_>, id: ServiceId, reason: &str) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    if !matches!(service.status, ServiceStatus::Starting | ServiceStatus::Running) {
        return;
    }
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = ServiceStatus::Stopping;
        s.stop_reason = Some(reason.to_owned());
        s.idle_deadline_at = None;
        s.deadline_at = Some(now.plus(s.grace_ms + MARGIN_MS));
    });
    let args = json!({ "reason": reason, "grace_ms": service.grace_ms });
    d.intend(ActionKind::StopShim, "service", &id.text(), service.generation, None, Some(args));
    // One that could not be started yet is not tried again: its executor sees the stop and says so.
    super::hurry(d, ActionKind::StartService, &id.text());
    if reason != RESTART {
        // Whoever asks for it from now on waits for its next generation.
        let why = if reason == START_TIMEOUT { "it was not ready in time" } else { "it was stopped" };
        let code = if reason == START_TIMEOUT { "service_not_ready" } else { "service_start_failed" };
        fail_waiting(d, id, code, why);
    }
}

/// Whether a stop was asked and its end has not been seen in time.
pub(crate) fn is_overdue(service: &ServiceRow) -> bool {
    service.status == ServiceStatus::Stopping && service.deadline_at.is_none()
}

/// Code and words about a service that was asked to stop and has not been seen to end.
pub(crate) fn not_ended(service: &ServiceRow) -> (String, String) {
    let (name, number) = (&service.name, Kind::Service.number(service.number));
    let why = service.error.as_deref().unwrap_or("its end has not been seen in time");
    let message =
        format!("service {name} ({number}) is stopping: {why}; `wharf service stop {number}` ends it by force");
    ("service_start_failed".to_owned(), message)
}

/// An operator asks a service that is stopping to stop. One whose end has not been seen in time is ended by
/// force: its shim does not listen. Says whether by force.
fn stop_again(d: &mut Deciding<'_, '_>, id: ServiceId) -> bool {
    let force = d.tx.get::<ServiceRow>(id).is_some_and(is_overdue);
    ask_again(d, id, force);
    force
}

/// Asks a service that is stopping to stop once more, where nobody is at it any more or it is done by force.
pub(crate) fn ask_again(d: &mut Deciding<'_, '_>, id: ServiceId, force: bool) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let asked: Vec<ActionId> = stop_actions(d, &service);
    if service.status != ServiceStatus::Stopping || (!asked.is_empty() && !force) {
        return;
    }
    for action in asked {
        d.end_action(action, ActionStatus::Superseded, None);
    }
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.deadline_at = Some(now.plus(s.grace_ms + MARGIN_MS));
        s.error = None;
    });
    let reason = service.stop_reason.as_deref().unwrap_or("operator");
    let args = json!({ "reason": reason, "grace_ms": service.grace_ms, "force": force });
    d.intend(ActionKind::StopShim, "service", &id.text(), service.generation, None, Some(args));
}

/// The order to stop could not be given. It stays asked: the next reign, and whoever asks again, gives it anew.
pub(crate) fn not_stopped(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32, why: &str) {
    let stopping = current(d, id, generation).is_some_and(|s| s.status == ServiceStatus::Stopping);
    if stopping {
        let message = format!("it could not be asked to stop: {why}");
        d.tx.update::<ServiceRow>(id, |s| {
            s.deadline_at = None;
            s.error = Some(message.clone());
        });
        fail_waiting(d, id, "service_start_failed", &message);
    }
}

fn stop_actions(d: &Deciding<'_, '_>, service: &ServiceRow) -> Vec<ActionId> {
    let entity = service.id.text();
    d.state()
        .actions
        .values()
        .filter(|a| a.kind == ActionKind::StopShim && a.entity_type == "service" && a.entity_id == entity)
        .filter(|a| super::is_open(a.status))
        .map(|a| a.id)
        .collect()
}

/// Runs that wait for a service to become ready.
fn waiting(d: &Deciding<'_, '_>, id: ServiceId) -> Vec<RunId> {
    let waits = |run: &RunId| {
        d.tx.get::<RunRow>(*run).is_some_and(|r| r.status == RunStatus::Running && r.step == Some(Step::Target))
    };
    d.state().users_of(id).filter(waits).collect()
}

/// Ends the wait of every run that waits for a service.
pub(crate) fn fail_waiting(d: &mut Deciding<'_, '_>, id: ServiceId, code: &str, why: &str) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let number = Kind::Service.number(service.number);
    for run in waiting(d, id) {
        fail_target(d, run, code, &format!("service {} ({number}) did not become ready: {why}", service.name));
    }
}

/// The current generation of a service; a fact about an earlier one changes nothing.
fn current(d: &Deciding<'_, '_>, id: ServiceId, generation: u32) -> Option<ServiceRow> {
    d.tx.get::<ServiceRow>(id)
        .filter(|s| (s.generation == generation || mutant!(LateFact)) && s.status.is_live())
        .cloned()
}

/// Its process is about to be given this port.
pub(crate) fn port_reserved(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32, port: i64, url: Option<String>) {
    if current(d, id, generation).is_some() {
        d.tx.update::<ServiceRow>(id, |s| {
            s.port = Some(port);
            s.url = url;
        });
    }
}

/// Its process runs.
pub(crate) fn started(
    d: &mut Deciding<'_, '_>,
    id: ServiceId,
    generation: u32,
    child: ChildRef,
    port: Option<i64>,
    url: Option<String>,
    adopted: bool,
) {
    let Some(service) = current(d, id, generation) else { return };
    d.tx.update::<ServiceRow>(id, |s| {
        s.process_pid = Some(child.pid);
        s.process_start_ticks = i64::try_from(child.start_ticks).ok();
        if port.is_some() {
            s.port = port;
        }
        if url.is_some() {
            s.url = url;
        }
    });
    if adopted {
        d.activity(&Actor::system(), "service.adopted", &about::service(&service), Some(json!({ "pid": child.pid })));
    }
}

/// It answers: those who wait for it go on.
pub(crate) fn ready(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32) {
    let Some(service) = current(d, id, generation) else { return };
    if service.status != ServiceStatus::Starting {
        return;
    }
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = ServiceStatus::Running;
        s.health = Health::Healthy;
        s.ready_at = Some(now);
        s.deadline_at = None;
    });
    let details = json!({ "port": service.port, "url": service.url });
    d.activity(&Actor::system(), "service.ready", &about::service(&service), Some(details));
    let users: Vec<RunId> = d.state().users_of(id).collect();
    if users.is_empty() && service.started_by_run_id.is_some() {
        unused(d, id);
    }
    for run in users {
        steps::target_ready(d, run);
    }
}

/// Its process ended, was never started, or never became ready.
pub(crate) fn ended(
    d: &mut Deciding<'_, '_>,
    action: ActionId,
    id: ServiceId,
    generation: u32,
    exit: Option<&ExitFrame>,
    code: Option<String>,
    message: Option<String>,
) {
    d.end_action(action, ActionStatus::Done, None);
    let Some(service) = current(d, id, generation) else { return };
    let ours = service.status == ServiceStatus::Stopping
        || exit.is_some_and(|e| e.by == EndedBy::Stop && service.stop_reason.is_some());
    let clean = code.is_none() && exit.is_some_and(|e| e.code == Some(0));
    let never_ready = service.status == ServiceStatus::Starting;
    let too_late = service.status == ServiceStatus::Stopping && service.stop_reason.as_deref() == Some(START_TIMEOUT);
    // One that ends before it was ready failed, even with exit code 0.
    let well = ours || (clean && !never_ready);
    let status = if well && !too_late { ServiceStatus::Stopped } else { ServiceStatus::Failed };
    let message =
        if too_late { Some("it was not ready in time".into()) } else { message.or_else(|| exit.map(describe)) };
    let code = if too_late { Some("service_not_ready".into()) } else { code };
    let failed = status == ServiceStatus::Failed;
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = status;
        s.health = if failed { Health::Unhealthy } else { Health::Unknown };
        s.exit_code = exit.and_then(|e| e.code);
        s.signal = exit.and_then(|e| e.signal.clone());
        s.error_code = failed.then(|| code.clone().unwrap_or_else(|| "service_start_failed".into()));
        s.error = failed.then(|| message.clone().unwrap_or_default());
        s.stopped_at = Some(now);
        s.deadline_at = None;
        s.idle_deadline_at = None;
        s.process_pid = None;
        s.process_start_ticks = None;
    });
    end_stop_actions(d, id, generation);
    let details = json!({ "status": status.as_str(), "error": message, "generation": generation });
    d.activity(&Actor::system(), "service.stopped", &about::service(&service), Some(details));
    if service.status == ServiceStatus::Stopping {
        // Those who wait asked for it while it was stopping, so they want the next generation.
        let next = waiting(d, id).first().copied();
        if next.is_none() && service.stop_reason.as_deref() != Some(RESTART) {
            return;
        }
        match off(&service).map(str::to_owned) {
            // Accepted while it was stopping.
            Some(reason) => fail_waiting(d, id, "service_start_failed", &format!("it is switched off: {reason}")),
            None => begin(d, id, next, &Actor::system()),
        }
        return;
    }
    let users: Vec<RunId> = d.state().users_of(id).collect();
    let waiting = waiting(d, id);
    for run in users.into_iter().filter(|run| !waiting.contains(run)) {
        d.tx.event(run, "service", "warn", format!("service {} ended while in use", service.name), None);
    }
    let code = code.unwrap_or_else(|| "service_start_failed".into());
    fail_waiting(d, id, &code, message.as_deref().unwrap_or("it ended"));
}

fn describe(exit: &ExitFrame) -> String {
    match (&exit.spawn_error, &exit.signal, exit.code) {
        (Some(error), _, _) => error.message.clone(),
        (None, Some(signal), _) => format!("killed by {signal}"),
        (None, None, Some(code)) => format!("exit {code}"),
        (None, None, None) => "ended without an exit code".to_owned(),
    }
}

fn end_stop_actions(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32) {
    let open: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.entity_type == "service" && a.entity_id == id.text() && a.attempt <= generation)
        .filter(|a| super::is_open(a.status))
        .map(|a| a.id)
        .collect();
    for action in open {
        d.end_action(action, ActionStatus::Superseded, None);
    }
}

/// A run gives back all its services; each then follows its stop policy.
pub(crate) fn leave_all(d: &mut Deciding<'_, '_>, run: RunId) {
    let services: Vec<ServiceId> = d.state().services_of(run).collect();
    let now = d.now();
    for id in services {
        d.tx.remove_user(id, run);
        d.tx.update::<ServiceRow>(id, |s| s.last_used_at = now);
        if d.state().users_of(id).next().is_none() {
            unused(d, id);
        }
    }
}

/// The last user has left: the policy says what follows.
fn unused(d: &mut Deciding<'_, '_>, id: ServiceId) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    if !matches!(service.status, ServiceStatus::Starting | ServiceStatus::Running) {
        return;
    }
    match after_last_user(service.lifecycle, service.stop_policy, service.idle_ms) {
        AfterLastUser::Stop => stop(d, id, "unused"),
        AfterLastUser::Idle(ms) => {
            let at = d.now().plus(ms);
            d.tx.update::<ServiceRow>(id, |s| s.idle_deadline_at = Some(at));
        }
        AfterLastUser::Keep => {}
    }
}

/// `service.start` by hand.
pub(crate) fn start_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId, actor: &Actor) -> Result<Value, Refusal> {
    let service = known(d, id)?;
    let number = Kind::Service.number(service.number);
    match service.status {
        ServiceStatus::Running | ServiceStatus::Starting => Ok(json!({ "already": service.status.as_str() })),
        ServiceStatus::Stopped | ServiceStatus::Failed | ServiceStatus::Backoff => {
            refuse_off(&service)?;
            begin(d, id, None, actor);
            Ok(json!({ "generation": service.generation + 1 }))
        }
        ServiceStatus::Stopping => {
            Err(Refusal::new("illegal_state", format!("{number} is stopping; start it again once it has stopped")))
        }
    }
}

/// `service.stop` by hand.
pub(crate) fn stop_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId) -> Result<Value, Refusal> {
    let service = known(d, id)?;
    let number = Kind::Service.number(service.number);
    match service.status {
        ServiceStatus::Starting | ServiceStatus::Running => {
            let users = d.state().users_of(id).count();
            stop(d, id, "operator");
            Ok(json!({ "users": users, "generation": service.generation }))
        }
        ServiceStatus::Stopping => {
            // The last word counts: a restart under way becomes a stop.
            d.tx.update::<ServiceRow>(id, |s| s.stop_reason = Some("operator".into()));
            fail_waiting(d, id, "service_start_failed", "it was stopped");
            let force = stop_again(d, id);
            Ok(json!({ "already": "stopping", "generation": service.generation, "force": force }))
        }
        other => Err(Refusal::new(
            "illegal_state",
            format!("{number} {} is {other}; there is nothing to stop", service.name),
        )),
    }
}

/// `service.restart` by hand: stops it first when it runs.
pub(crate) fn restart_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId, actor: &Actor) -> Result<Value, Refusal> {
    let service = known(d, id)?;
    match service.status {
        ServiceStatus::Starting | ServiceStatus::Running => {
            refuse_off(&service)?;
            stop(d, id, RESTART);
            Ok(json!({ "phase": "stopping", "generation": service.generation + 1 }))
        }
        ServiceStatus::Stopping => {
            refuse_off(&service)?;
            d.tx.update::<ServiceRow>(id, |s| s.stop_reason = Some(RESTART.into()));
            stop_again(d, id);
            Ok(json!({ "phase": "stopping", "generation": service.generation + 1 }))
        }
        ServiceStatus::Stopped | ServiceStatus::Failed | ServiceStatus::Backoff => {
            start_by_hand(d, id, actor)?;
            Ok(json!({ "phase": "starting", "generation": service.generation + 1 }))
        }
    }
}

fn known(d: &Deciding<'_, '_>, id: ServiceId) -> Result<ServiceRow, Refusal> {
    d.tx.get::<ServiceRow>(id)
        .cloned()
        .ok_or_else(|| Refusal::new("id_unknown", "there is no such service, or it belonged to a run that has ended"))
}

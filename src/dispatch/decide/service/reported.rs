//! Services that adapters keep: shown as they are reported, never started or stopped by us.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wharf_model::rules::reuse_key::stable_json;
use wharf_model::rules::service_desired::{PROVIDER_ADAPTER, is_reported};
use wharf_model::rules::transition;
use wharf_model::{
    AgentId, Health, Kind, Lifecycle, ProjectRow, ReuseScope, RunId, RunRow, RunStatus, ServiceId, ServiceRow,
    ServiceStatus, StopPolicy, UnixMillis, WorkspaceId,
};

use super::end::fail_waiting;
use crate::dispatch::decide::{Deciding, about};
use crate::dispatch::input::Actor;
use crate::service::report;

/// Longest text of a report that is taken, in bytes.
const TEXT_MAX: usize = 2_000;
/// Services that one run may report.
const REPORTED_MAX: usize = 32;
/// Time after which one that is on its way somewhere counts as having come to its end.
const UNTOLD_MS: i64 = 10 * 60_000;

/// A report, as far as it says something.
struct Report<'a> {
    body: &'a Value,
}

impl<'a> Report<'a> {
    /// A text under any of these names. Empty is the same as not there.
    fn text(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.body.get(*name)?.as_str()).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A word of a set under any of these names.
    fn word<T>(&self, names: &[&str], parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
        let Some(text) = self.text(names) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| format!("{} is not a word for it: {text:?}", names[0]))
    }
}

/// What a report says, with what stands in for what it leaves out.
struct Said {
    id: ServiceId,
    name: String,
    scope: ReuseScope,
    scope_id: String,
    status: ServiceStatus,
    lifecycle: Lifecycle,
    health: Health,
    stop_policy: StopPolicy,
    reuse_key: Option<String>,
    command: Option<String>,
    cwd: Option<String>,
    port: Option<i64>,
    url: Option<String>,
    provider_ref: Option<String>,
}

fn read(d: &Deciding<'_, '_>, run: &RunRow, project: &ProjectRow, body: &Value) -> Result<Said, String> {
    let report = Report { body };
    if !body.is_object() {
        return Err("a report is an object".into());
    }
    for (name, value) in body.as_object().into_iter().flatten() {
        let long = value.as_str().is_some_and(|text| text.len() > TEXT_MAX || text.contains(char::is_control));
        if long {
            return Err(format!("{name} is longer than {TEXT_MAX} bytes, or has control characters"));
        }
    }
    let name = report.text(&["name", "service_name", "serviceName"]).ok_or("it has no name")?.to_owned();
    report::check(&name, report.text(&["url"]))?;
    // One name is one thing: by it an operator stops and reads what wharf keeps.
    let configured = project.config.as_ref().and_then(|c| c.get("services")?.as_array());
    if configured.is_some_and(|all| all.iter().any(|service| service["name"] == name.as_str())) {
        return Err(format!(
            "wharf.toml has a service {name}, which wharf keeps itself; report this one by another name"
        ));
    }
    let scope = report.word(&["scope", "scope_type", "scopeType"], ReuseScope::parse)?.unwrap_or(ReuseScope::Run);
    let status = report.word(&["status"], ServiceStatus::parse)?.unwrap_or(ServiceStatus::Running);
    let lifecycle = report.word(&["lifecycle"], Lifecycle::parse)?.unwrap_or(Lifecycle::Ephemeral);
    let health = report.word(&["health", "health_status", "healthStatus"], Health::parse)?;
    let own = match scope {
        ReuseScope::Run => Some(run.id.text()),
        ReuseScope::Agent => Some(run.agent_id.text()),
        ReuseScope::ExecutionWorkspace => run.workspace_id.map(WorkspaceId::text),
        ReuseScope::ProjectWorkspace => {
            let primary =
                d.state().project_workspaces.values().find(|w| w.project_id == run.project_id && w.is_primary);
            Some(primary.map_or_else(|| project.id.text(), |w| w.id.text()))
        }
    };
    // A run speaks for itself; what is another's it cannot name.
    let scope_id = own.ok_or("its run has no workspace")?;
    let port = match body.get("port") {
        None | Some(Value::Null) => None,
        Some(port) => {
            Some(port.as_i64().filter(|p| (1..=65_535).contains(p)).ok_or("port is no number from 1 to 65535")?)
        }
    };
    let adapter = d.state().agents.get(&run.agent_id).map_or("process", |a| a.adapter_type.as_str());
    let reuse_key = report.text(&["reuse_key", "reuseKey"]).map(str::to_owned);
    let provider_ref = report.text(&["provider_ref", "providerRef"]).map(str::to_owned);
    let report_id = report.text(&["id"]);
    // The id of a row here names that row; any other is the adapter's own, and may be reported by others as well.
    let named = report_id.and_then(|id| id.parse().ok()).and_then(|id| d.state().services.get(&id));
    let id = match named {
        Some(row) if !is_reported(row) || (row.scope_type == scope && row.scope_id == scope_id) => row.id,
        _ => derived(&json!({
            "companyId": run.company_id.text(), "adapterType": adapter, "scopeType": scope.as_str(),
            "scopeId": scope_id, "serviceName": report_id.is_none().then_some(&name), "reportId": report_id,
            "providerRef": provider_ref.as_ref().filter(|_| report_id.is_none()),
            "reuseKey": reuse_key.as_ref().filter(|_| report_id.is_none()),
        })),
    };
    let stop = report.text(&["stop_policy", "stopPolicy"]).or_else(|| {
        let policy = body.get("stopPolicy").or_else(|| body.get("stop_policy"))?;
        policy.get("type").or_else(|| policy.get("policy"))?.as_str()
    });
    let stop_policy = match stop {
        Some(word) => StopPolicy::parse(word).ok_or_else(|| format!("stop_policy is not a word for it: {word:?}"))?,
        None if lifecycle == Lifecycle::Ephemeral => StopPolicy::OnRunFinish,
        None => StopPolicy::Manual,
    };
    Ok(Said {
        id,
        scope,
        scope_id,
        status,
        lifecycle,
        health: health.unwrap_or(match status {
            ServiceStatus::Running => Health::Healthy,
            ServiceStatus::Failed => Health::Unhealthy,
            _ => Health::Unknown,
        }),
        stop_policy,
        reuse_key,
        command: report.text(&["command"]).map(str::to_owned),
        cwd: report.text(&["cwd"]).map(str::to_owned),
        port,
        url: report.text(&["url"]).map(str::to_owned),
        // The adapter's own name for it, where that is no id of ours.
        provider_ref: provider_ref.or_else(|| report_id.filter(|_| named.is_none()).map(str::to_owned)),
        name,
    })
}

/// An id that is the same for the same identity: a UUID made of its hash.
fn derived(identity: &Value) -> ServiceId {
    let hash = Sha256::digest(stable_json(identity).as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    ServiceId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// `agent.report_service`: a run's adapter keeps a service, or tells how it goes with one that it keeps.
///
/// # Errors
/// What is wrong with the report, in words.
pub(crate) fn reported(d: &mut Deciding<'_, '_>, run: &RunRow, body: &Value, actor: &Actor) -> Result<String, String> {
    if d.tx.get::<RunRow>(run.id).is_none_or(|r| r.status != RunStatus::Running) {
        return Err("its run has ended".into());
    }
    let project = d.tx.get::<ProjectRow>(run.project_id).cloned().ok_or("its project is gone")?;
    let said = read(d, run, &project, body)?;
    let now = d.now();
    let known = d.tx.get::<ServiceRow>(said.id).cloned();
    match &known {
        Some(known) if !is_reported(known) => {
            return Err(format!("{} is a service that wharf itself keeps", Kind::Service.number(known.number)));
        }
        Some(known) if known.project_id != run.project_id || known.owner_agent_id != Some(run.agent_id) => {
            return Err(format!("{} is another agent's", Kind::Service.number(known.number)));
        }
        Some(_) => {}
        None => {
            let own = |s: &&ServiceRow| is_reported(s) && s.started_by_run_id == Some(run.id);
            if d.state().services.values().filter(own).count() >= REPORTED_MAX {
                return Err(format!("a run reports {REPORTED_MAX} services at most"));
            }
            let number = d.tx.next_number("service");
            d.tx.put(ServiceRow {
                provider: PROVIDER_ADAPTER.to_owned(),
                issue_id: run.issue_id,
                project_workspace_id: d
                    .state()
                    .project_workspaces
                    .values()
                    .find(|w| w.project_id == run.project_id && w.is_primary)
                    .map(|w| w.id),
                execution_workspace_id: run.workspace_id,
                owner_agent_id: Some(run.agent_id),
                started_by_run_id: Some(run.id),
                scope_type: said.scope,
                scope_id: said.scope_id.clone(),
                cwd: String::new(),
                ..ServiceRow::new(said.id, number, &project, &said.name, now)
            });
        }
    }
    let before = known.as_ref().map_or(ServiceStatus::Stopped, |s| s.status);
    if known.is_none() || before != said.status {
        go_to(d, said.id, before, said.status, now);
    }
    d.tx.update::<ServiceRow>(said.id, |s| {
        s.name.clone_from(&said.name);
        s.scope_type = said.scope;
        s.scope_id.clone_from(&said.scope_id);
        s.started_by_run_id = Some(run.id);
        s.lifecycle = said.lifecycle;
        s.health = said.health;
        s.stop_policy = said.stop_policy;
        s.reuse_key.clone_from(&said.reuse_key);
        s.last_used_at = now;
        if let Some(command) = &said.command {
            s.command.clone_from(command);
        }
        if let Some(cwd) = &said.cwd {
            s.cwd.clone_from(cwd);
        }
        s.port = said.port.or(s.port);
        if said.url.is_some() {
            s.url.clone_from(&said.url);
        }
        if said.provider_ref.is_some() {
            s.provider_ref.clone_from(&said.provider_ref);
        }
    });
    let Some(service) = d.tx.get::<ServiceRow>(said.id).cloned() else { return Err("it could not be kept".into()) };
    if service.status.is_open() {
        d.tx.add_user(service.id, run.id, known.is_some());
    } else {
        d.tx.remove_user(service.id, run.id);
    }
    let what = match (before, service.status) {
        (_, ServiceStatus::Running) if before != ServiceStatus::Running => Some("service.ready"),
        (_, ServiceStatus::Stopped | ServiceStatus::Failed) if before.is_open() => Some("service.stopped"),
        (_, ServiceStatus::Starting) if before != ServiceStatus::Starting => Some("service.started"),
        _ => None,
    };
    if let Some(what) = what {
        let details = json!({ "reported": true, "status": service.status.as_str(), "url": service.url });
        d.activity(actor, what, &about::service(&service), Some(details));
    }
    let number = Kind::Service.number(service.number);
    Ok(format!("{number} {} is {}", service.name, service.status))
}

/// Brings a row to a status by the ways that are legal.
fn go_to(d: &mut Deciding<'_, '_>, id: ServiceId, from: ServiceStatus, to: ServiceStatus, now: UnixMillis) {
    let between = match (from, to) {
        _ if transition::service(Some(from), to) => &[][..],
        (ServiceStatus::Running, ServiceStatus::Starting) => &[ServiceStatus::Stopping, ServiceStatus::Stopped],
        (ServiceStatus::Starting, ServiceStatus::Stopped) => &[ServiceStatus::Stopping],
        (ServiceStatus::Stopping, ServiceStatus::Starting) => &[ServiceStatus::Stopped],
        (ServiceStatus::Stopping, ServiceStatus::Running) => &[ServiceStatus::Stopped, ServiceStatus::Starting],
        (_, ServiceStatus::Running | ServiceStatus::Stopping | ServiceStatus::Backoff) => &[ServiceStatus::Starting],
        (_, ServiceStatus::Failed | ServiceStatus::Stopped) => &[ServiceStatus::Starting, ServiceStatus::Stopping],
        (_, ServiceStatus::Starting) => &[],
    };
    for status in between.iter().copied().chain([to]) {
        d.tx.update::<ServiceRow>(id, |s| s.status = status);
    }
    d.tx.update::<ServiceRow>(id, |s| {
        if to.is_open() && !from.is_open() {
            // What was told of it first stays as long as it goes on.
            s.started_at = Some(now);
            s.generation += 1;
            s.stopped_at = None;
            s.error = None;
            s.error_code = None;
        }
        if to == ServiceStatus::Running {
            s.ready_at = Some(now);
        }
        let passes = matches!(to, ServiceStatus::Starting | ServiceStatus::Stopping | ServiceStatus::Backoff);
        s.deadline_at = passes.then(|| now.plus(UNTOLD_MS));
        if !to.is_open() {
            s.stopped_at = Some(now);
        }
    });
}

/// One that was reported on its way somewhere, and never as having arrived.
pub(super) fn untold(d: &mut Deciding<'_, '_>, service: &ServiceRow) {
    let now = d.now();
    match service.status {
        ServiceStatus::Stopping => mark_stopped(d, service, "untold", "its adapter told no more of it"),
        ServiceStatus::Starting | ServiceStatus::Backoff => {
            go_to(d, service.id, service.status, ServiceStatus::Failed, now);
            let why = "its adapter has not told that it runs";
            d.tx.update::<ServiceRow>(service.id, |s| {
                s.error = Some(why.into());
                s.error_code = Some("service_not_ready".into());
                s.health = Health::Unhealthy;
            });
            fail_waiting(d, service.id, "service_not_ready", why);
        }
        ServiceStatus::Running | ServiceStatus::Stopped | ServiceStatus::Failed => {
            d.tx.update::<ServiceRow>(service.id, |s| s.deadline_at = None);
        }
    }
}

fn mark_stopped(d: &mut Deciding<'_, '_>, service: &ServiceRow, reason: &str, why: &str) {
    go_to(d, service.id, service.status, ServiceStatus::Stopped, d.now());
    d.tx.update::<ServiceRow>(service.id, |s| {
        s.stop_reason = Some(reason.into());
        s.health = Health::Unknown;
    });
    let details = json!({ "status": "stopped", "reported": true, "reason": why });
    d.activity(&Actor::system(), "service.stopped", &about::service(service), Some(details));
}

/// An operator's stop of one that nobody tells of any more: its run is over. Says whether it was that.
pub(super) fn forsaken_stopped(d: &mut Deciding<'_, '_>, id: ServiceId) -> bool {
    let Some(service) = d.tx.get::<ServiceRow>(id).filter(|s| is_reported(s) && s.status.is_open()).cloned() else {
        return false;
    };
    let run = service.started_by_run_id.and_then(|run| d.tx.get::<RunRow>(run));
    if run.is_some_and(|run| !run.status.is_terminal()) {
        return false;
    }
    mark_stopped(d, &service, "operator", "an operator said so; the run that told of it is over");
    true
}

/// A run has ended, and with it what its adapter kept for it alone.
pub(super) fn run_ended(d: &mut Deciding<'_, '_>, run: RunId) {
    let scope = run.text();
    let own = |s: &&ServiceRow| {
        is_reported(s) && s.status.is_open() && s.scope_type == ReuseScope::Run && s.scope_id == scope
    };
    let ended: Vec<ServiceRow> = d.state().services.values().filter(own).cloned().collect();
    for service in ended {
        mark_stopped(d, &service, "run_ended", "its run ended");
    }
}

/// Why we do not do that to a service of an adapter, and who does.
pub(super) fn keeper_words(d: &Deciding<'_, '_>, service: &ServiceRow, verb: &str) -> String {
    let number = Kind::Service.number(service.number);
    let agent = |id: AgentId| d.state().agents.get(&id).map(|a| format!("agent {} ({})", a.name, a.adapter_type));
    let keeper = service.owner_agent_id.and_then(agent).unwrap_or_else(|| "an adapter".to_owned());
    let run = service.started_by_run_id.and_then(|r| d.state().runs.get(&r)).map(|r| Kind::Run.number(r.number));
    let name = service.provider_ref.as_ref().map_or_else(String::new, |name| format!(", which calls it {name}"));
    let way = match run {
        Some(run) if service.scope_type == ReuseScope::Run => format!("`wharf cancel {run}` ends it with its run"),
        _ => format!("{verb} it there"),
    };
    format!("{number} {} is kept by {keeper}{name}; wharf does not {verb} it: {way}", service.name)
}

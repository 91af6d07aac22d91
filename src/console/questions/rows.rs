//! Rows of the store in the operator's words.

use std::path::Path;

use serde_json::Value;
use wharf_model::filter::{Field, Status};
use wharf_model::{
    ActivityRow, ActorType, CleanupStatus, Desired, Health, Kind, LeasePolicy, LeaseStatus, Lifecycle, Observation,
    OperationPhase, OperationStatus, ReuseScope, RunStatus, ServiceStatus, Step, StepStatus, StopPolicy, UnixMillis,
    WorkspaceStatus,
};
use wharf_store::view;
use wharf_ui::format;
use wharf_ui::glyph::Class;
use wharf_ui::rows::{
    self, ActivityLine, Fact, FactBlock, IssueName, LeaseLine, OperationLine, RunLine, ServiceLine, WorkspaceLine,
};

use super::filter::{Facts, run_words};
use crate::dispatch::perform::shim_dir;
use crate::process::halted::{self, Halted, HaltedBy};
use crate::process::shim_dir::read_spec;

/// A fact.
pub fn fact(label: &str, value: impl Into<String>, remark: impl Into<String>) -> Fact {
    Fact { label: label.to_owned(), value: value.into(), remark: remark.into(), bad: false }
}

/// `reuse_by_environment` as people say it.
pub const fn policy_words(policy: LeasePolicy) -> &'static str {
    match policy {
        LeasePolicy::Ephemeral => "ephemeral",
        LeasePolicy::ReuseByEnvironment => "reuse by environment",
        LeasePolicy::ReuseByExecutionWorkspace => "reuse by workspace",
        LeasePolicy::RetainOnFailure => "keep on failure",
    }
}

/// What a lease's policy means.
pub const fn policy_meaning(policy: LeasePolicy) -> &'static str {
    match policy {
        LeasePolicy::Ephemeral => "released when the run ends, nothing is kept",
        LeasePolicy::ReuseByEnvironment => "kept for the next run in this environment",
        LeasePolicy::ReuseByExecutionWorkspace => "kept for the next run in the same workspace",
        LeasePolicy::RetainOnFailure => "kept for a look when the run fails",
    }
}

/// A run in the ledger.
pub fn run(line: &view::RunLine) -> RunLine {
    let waits_for = match (line.queue_position, line.due_at) {
        (Some(place), _) => Some(format!("place {place} in line")),
        (None, _) => None,
    };
    RunLine {
        id: line.id,
        number: line.number,
        version: line.version,
        status: line.status,
        step: line.step.map(|s| s.to_string()),
        agent: line.agent.clone().unwrap_or_else(|| "–".to_owned()),
        issue: line
            .issue
            .clone()
            .map(|identifier| IssueName { identifier, title: line.issue_title.clone().unwrap_or_default() }),
        environment: line.environment.clone(),
        queued_at: line.queued_at,
        started_at: line.started_at,
        finished_at: line.finished_at,
        last_output_at: line.last_output_at,
        liveness: None,
        halted: None,
        terminal: false,
        question: None,
        doing: None,
        waits_for,
        due_at: line.due_at,
        stop_requested_at: line.stop_requested_at,
        stop_deadline_at: line.stop_requested_at.zip(line.stop_grace_ms).map(|(at, grace)| at.plus(grace)),
        stop_reason: line.stop_reason.map(|s| s.to_string()),
        limit_ms: None,
        exit_code: line.exit_code,
        signal: line.signal.clone(),
        // A process that said itself how it went is known by its exit code.
        error_code: line.error_code.clone().filter(|_| line.exit_code.is_none_or(|code| code == 0)),
        outcome: line.liveness_state.map(|s| s.as_str().replace('_', " ")),
        unknown: line.observation == Observation::Unknown && !line.status.is_terminal(),
        lease: None,
        services: Vec::new(),
        workspace: line.workspace_number.map(|n| Kind::Workspace.number(n)),
        cost_microusd: None,
    }
}

/// A halt in the screens' words.
pub fn halted_words(halted: Halted) -> rows::Halted {
    let by = match halted.by {
        HaltedBy::Signal(since) => rows::HaltedBy::Signal(since.map(|(signal, ms)| (signal, UnixMillis(ms)))),
        HaltedBy::Tracer(tracer) => rows::HaltedBy::Tracer(tracer),
    };
    rows::Halted { pid: halted.pid, by }
}

/// How the process of a run stands still now, when it does: looked up in the run's directory.
pub fn halted_now(data: &Path, line: &view::RunLine) -> Option<rows::Halted> {
    if line.status != RunStatus::Running {
        return None;
    }
    let dir = shim_dir("run", &line.id.text(), line.attempt)?;
    halted::of(&data.join(dir)).map(halted_words)
}

/// Whether a run's process has a terminal that can be attached to now: looked up in the run's directory.
pub fn has_terminal_now(data: &Path, line: &view::RunLine) -> bool {
    line.status == RunStatus::Running
        && shim_dir("run", &line.id.text(), line.attempt)
            .is_some_and(|dir| read_spec(&data.join(dir)).is_ok_and(|spec| spec.tty.is_some()))
}

/// What a filter compares of a run.
pub fn run_facts(line: &view::RunLine, now: UnixMillis) -> Facts {
    let unknown = line.observation == Observation::Unknown && !line.status.is_terminal();
    let names = [
        (Field::Run, Some(Kind::Run.number(line.number))),
        (Field::Agent, line.agent.clone()),
        (Field::Issue, line.issue.clone()),
        (Field::Environment, line.environment.clone()),
        (Field::Lease, line.lease_number.map(|n| Kind::Lease.number(n))),
        (Field::Workspace, line.workspace_number.map(|n| Kind::Workspace.number(n))),
        (Field::Kind, Some(line.invocation_source.to_string())),
        (Field::Error, line.error_code.clone()),
    ];
    let mut words = vec![Kind::Run.number(line.number)];
    let texts = [&line.agent, &line.issue, &line.issue_title, &line.error, &line.error_code, &line.next_action];
    words.extend(texts.into_iter().flatten().cloned());
    Facts {
        statuses: run_words(line.status, line.stop_requested_at.is_some() && !line.status.is_terminal(), unknown),
        fields: names.into_iter().filter_map(|(f, v)| Some((f, v?))).collect(),
        began: Some(line.queued_at),
        took_ms: line.started_at.map(|s| s.until(line.finished_at.unwrap_or(now))),
        exit: line.exit_code,
        cost: None,
        words,
    }
}

/// Class and word of a lease's state.
pub const fn lease_state(status: LeaseStatus) -> (Class, &'static str) {
    match status {
        LeaseStatus::Waiting => (Class::Waits, "waiting"),
        LeaseStatus::Acquiring => (Class::Waits, "acquiring"),
        LeaseStatus::Active => (Class::Alive, "active"),
        LeaseStatus::Releasing => (Class::Ending, "releasing"),
        LeaseStatus::Retained => (Class::Clock, "retained"),
        LeaseStatus::PendingCleanup => (Class::Ending, "cleaning"),
        LeaseStatus::Released => (Class::Good, "released"),
        LeaseStatus::Expired => (Class::Chosen, "expired"),
        LeaseStatus::Failed => (Class::Bad, "failed"),
    }
}

/// A lease.
pub fn lease(item: &view::LeaseItem) -> LeaseLine {
    let row = &item.lease;
    let (class, word) = lease_state(row.status);
    let live = !row.status.is_terminal();
    let holder = item.run_number.map(|n| {
        let names = [Some(Kind::Run.number(n)), item.agent.clone(), item.issue.clone()];
        names.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    let holder_state = item.run_status.map(|status| match (status.is_terminal(), item.run_observation) {
        (true, _) => "gone",
        (false, Some(Observation::Unknown)) => "unknown",
        (false, _) => "live",
    });
    let evidence = item.run_status.map(|status| match item.run_observation {
        _ if status.is_terminal() => format!("its run has ended: {}", status.as_str().replace('_', " ")),
        Some(Observation::Unknown) => "its process could not be judged when last looked at".to_owned(),
        _ => format!("its run is {status} and its shim was seen"),
    });
    let cleanup = row.cleanup_status.map(|status| match status {
        CleanupStatus::Success => "done".to_owned(),
        CleanupStatus::Failed if row.next_try_at.is_none() => format!("gave up after {}", row.cleanup_attempts),
        CleanupStatus::Pending | CleanupStatus::Failed => format!("try {}", row.cleanup_attempts.max(1)),
    });
    let mut about = vec![
        fact("LEASE", Kind::Lease.number(row.number), row.id.text()),
        fact("status", word, row.failure_reason.clone().unwrap_or_default()),
        fact("environment", item.environment.clone(), format!("driver {}", row.provider)),
        fact("policy", policy_words(row.lease_policy), policy_meaning(row.lease_policy)),
    ];
    if let Some(id) = &row.provider_lease_id {
        about.push(fact("provider id", id.clone(), ""));
    }
    if let Some(fence) = row.fence {
        about.push(fact("fence", fence.to_string(), "rises with each lease of this environment"));
    }
    let mut holding = vec![fact("HOLDER", holder_state.unwrap_or("none"), evidence.clone().unwrap_or_default())];
    if let Some(holder) = &holder {
        holding.push(fact("run", holder.clone(), item.run_status.map(|s| s.to_string()).unwrap_or_default()));
    }
    if let Some(n) = item.workspace_number {
        holding.push(fact("workspace", Kind::Workspace.number(n), item.workspace.clone().unwrap_or_default()));
    }
    LeaseLine {
        id: row.id,
        number: row.number,
        version: row.version,
        class,
        word: word.to_owned(),
        live,
        environment: item.environment.clone(),
        driver: row.provider.clone(),
        policy: policy_words(row.lease_policy).to_owned(),
        holder,
        holder_state: holder_state.map(str::to_owned),
        holder_evidence: evidence,
        run: row.run_id,
        workspace: item.workspace_number.map(|n| {
            let name = item.workspace.clone().unwrap_or_default();
            format!("{} {name}", Kind::Workspace.number(n)).trim_end().to_owned()
        }),
        services: Vec::new(),
        acquired_at: row.acquired_at,
        used_at: row.last_used_at,
        expires_at: row.expires_at.filter(|_| live),
        released_at: row.released_at,
        cleanup,
        next_try_at: row.next_try_at,
        fence: row.fence,
        facts: vec![FactBlock { facts: about }, FactBlock { facts: holding }],
    }
}

/// What a filter compares of a lease.
pub fn lease_facts(item: &view::LeaseItem, now: UnixMillis) -> Facts {
    let row = &item.lease;
    let own = match row.status {
        LeaseStatus::Waiting | LeaseStatus::Acquiring => Status::Waiting,
        LeaseStatus::Active => Status::Active,
        LeaseStatus::Releasing => Status::Releasing,
        LeaseStatus::Retained => Status::Retained,
        LeaseStatus::PendingCleanup => Status::Cleanup,
        LeaseStatus::Released => Status::Released,
        LeaseStatus::Expired => Status::Expired,
        LeaseStatus::Failed => Status::Failed,
    };
    let group = if row.status.is_terminal() { Status::Ended } else { Status::Live };
    let names = [
        (Field::Lease, Some(Kind::Lease.number(row.number))),
        (Field::Environment, Some(item.environment.clone())),
        (Field::Run, item.run_number.map(|n| Kind::Run.number(n))),
        (Field::Agent, item.agent.clone()),
        (Field::Issue, item.issue.clone()),
        (Field::Workspace, item.workspace_number.map(|n| Kind::Workspace.number(n))),
        (Field::Kind, Some(row.provider.clone())),
    ];
    let fields: Vec<(Field, String)> = names.into_iter().filter_map(|(f, v)| Some((f, v?))).collect();
    let began = row.acquired_at.unwrap_or(row.created_at);
    Facts {
        statuses: vec![own, group],
        words: fields.iter().map(|(_, v)| v.clone()).chain(row.failure_reason.clone()).collect(),
        fields,
        began: Some(began),
        took_ms: Some(began.until(row.released_at.unwrap_or(now))),
        exit: None,
        cost: None,
    }
}

/// Class and word of a service's state.
pub const fn service_state(status: ServiceStatus, health: Health, idle: bool) -> (Class, &'static str) {
    match status {
        ServiceStatus::Starting => (Class::Waits, "starting"),
        ServiceStatus::Running if matches!(health, Health::Unhealthy) => (Class::Doubtful, "unhealthy"),
        ServiceStatus::Running if idle => (Class::Clock, "idle"),
        ServiceStatus::Running => (Class::Alive, "running"),
        ServiceStatus::Stopping => (Class::Ending, "stopping"),
        ServiceStatus::Backoff => (Class::Clock, "backoff"),
        ServiceStatus::Stopped => (Class::Chosen, "stopped"),
        ServiceStatus::Failed => (Class::Bad, "failed"),
    }
}

/// Who shares a service, in words.
pub const fn scope_words(scope: ReuseScope) -> &'static str {
    match scope {
        ReuseScope::ProjectWorkspace => "project",
        ReuseScope::ExecutionWorkspace => "workspace",
        ReuseScope::Agent => "agent",
        ReuseScope::Run => "run",
    }
}

/// When a service stops, in words.
pub fn stop_words(lifecycle: Lifecycle, policy: StopPolicy, idle_ms: Option<i64>) -> String {
    match (lifecycle, policy) {
        (Lifecycle::Ephemeral, _) | (_, StopPolicy::OnRunFinish) => "with its run".to_owned(),
        (_, StopPolicy::IdleTimeout) => format!("idle {}", format::duration(idle_ms.unwrap_or(1_800_000))),
        (_, StopPolicy::Manual) => "by hand".to_owned(),
    }
}

/// A service.
pub fn service(item: &view::ServiceItem) -> ServiceLine {
    let row = &item.service;
    let (class, word) = service_state(row.status, row.health, row.idle_deadline_at.is_some());
    let why = row.error.clone().or_else(|| row.error_code.as_ref().map(|c| c.replace('_', " ")));
    let ended = match (&row.signal, row.exit_code) {
        (Some(signal), _) => Some(signal.clone()),
        (None, Some(code)) => Some(format!("exit {code}")),
        (None, None) => None,
    };
    let scope = match row.scope_type {
        ReuseScope::ProjectWorkspace => item.project.clone(),
        ReuseScope::ExecutionWorkspace => {
            item.workspace_number.map_or_else(|| "workspace".to_owned(), |n| Kind::Workspace.number(n))
        }
        other => scope_words(other).to_owned(),
    };
    let users: Vec<String> = item.users.iter().map(|u| Kind::Run.number(u.run_number)).collect();
    let facts = vec![
        FactBlock {
            facts: vec![
                fact("SERVICE", Kind::Service.number(row.number), row.id.text()),
                fact("status", word, ended.clone().unwrap_or_default()),
                Fact {
                    bad: row.health == Health::Unhealthy || row.status == ServiceStatus::Failed,
                    ..fact("health", row.health.as_str(), why.clone().unwrap_or_default())
                },
                fact(
                    "wanted",
                    row.desired.as_str(),
                    format!("started {}", format::plural(u64::from(row.generation), "time")),
                ),
            ],
        },
        FactBlock {
            facts: vec![
                fact("COMMAND", row.command.clone(), ""),
                fact("directory", row.cwd.clone(), ""),
                fact("scope", scope_words(row.scope_type), format!("{}, {}", row.lifecycle, item.project)),
                fact("stops", stop_words(row.lifecycle, row.stop_policy, row.idle_ms), ""),
                fact("used by", if users.is_empty() { "no run".to_owned() } else { users.join(", ") }, ""),
            ],
        },
    ];
    ServiceLine {
        id: row.id,
        number: row.number,
        version: row.version,
        name: row.name.clone(),
        scope,
        class,
        word: word.to_owned(),
        live: row.status.is_live(),
        health: row.health.to_string(),
        why,
        port: row.port.and_then(|p| u16::try_from(p).ok()),
        url: row.url.clone(),
        pid: row.process_pid.and_then(|p| u32::try_from(p).ok()),
        started_at: row.started_at.filter(|_| row.status.is_live()),
        users,
        stop_policy: stop_words(row.lifecycle, row.stop_policy, row.idle_ms),
        stops_at: row.idle_deadline_at,
        desired: match row.desired {
            Desired::Running => "running",
            Desired::Stopped => "stopped",
            Desired::Manual => "manual",
        }
        .to_owned(),
        restarts: (row.generation.saturating_sub(1), 0),
        stranger: row.error_code.as_deref().filter(|c| *c == "port_owned_by_other").and(row.error.clone()),
        facts,
    }
}

/// What a filter compares of a service.
pub fn service_facts(item: &view::ServiceItem, now: UnixMillis) -> Facts {
    let row = &item.service;
    let own = match row.status {
        ServiceStatus::Starting => Status::Starting,
        ServiceStatus::Running => Status::Running,
        ServiceStatus::Stopping => Status::Stopping,
        ServiceStatus::Backoff => Status::Backoff,
        ServiceStatus::Stopped => Status::Stopped,
        ServiceStatus::Failed => Status::Failed,
    };
    let mut statuses = vec![own, if row.status.is_live() { Status::Live } else { Status::Ended }];
    if row.health == Health::Unhealthy {
        statuses.push(Status::Unhealthy);
    }
    if row.idle_deadline_at.is_some() {
        statuses.push(Status::Idle);
    }
    let mut fields = vec![
        (Field::Service, row.name.clone()),
        (Field::Service, Kind::Service.number(row.number)),
        (Field::Kind, scope_words(row.scope_type).to_owned()),
    ];
    fields.extend(item.users.iter().map(|u| (Field::Run, Kind::Run.number(u.run_number))));
    fields.extend(item.workspace_number.map(|n| (Field::Workspace, Kind::Workspace.number(n))));
    fields.extend(row.error_code.clone().map(|c| (Field::Error, c)));
    let began = row.started_at.unwrap_or(row.created_at);
    Facts {
        statuses,
        words: vec![row.name.clone(), row.command.clone(), row.error.clone().unwrap_or_default()],
        fields,
        began: Some(began),
        took_ms: Some(began.until(row.stopped_at.unwrap_or(now))),
        exit: row.exit_code,
        cost: None,
    }
}

/// Class and word of a workspace's state.
pub const fn workspace_state(status: WorkspaceStatus, used: bool) -> (Class, &'static str) {
    match status {
        WorkspaceStatus::Realising => (Class::Waits, "realising"),
        WorkspaceStatus::Active if used => (Class::Alive, "in use"),
        WorkspaceStatus::Active => (Class::Alive, "active"),
        WorkspaceStatus::Idle => (Class::Waits, "idle"),
        WorkspaceStatus::InReview => (Class::Clock, "in review"),
        WorkspaceStatus::Archiving => (Class::Ending, "archiving"),
        WorkspaceStatus::Archived => (Class::Chosen, "archived"),
        WorkspaceStatus::CleanupFailed => (Class::Bad, "cleanup failed"),
        WorkspaceStatus::Failed => (Class::Bad, "failed"),
        WorkspaceStatus::Missing => (Class::Bad, "missing"),
    }
}

/// A workspace, without what only its directory knows.
pub fn workspace(item: &view::WorkspaceItem) -> WorkspaceLine {
    let row = &item.workspace;
    let used = item.last_run_status.is_some_and(|s| !s.is_terminal());
    let (class, word) = workspace_state(row.status, used);
    let base = match (&row.base_ref, &row.base_commit) {
        (Some(name), Some(commit)) => Some(format!("{name}@{}", commit.get(..7).unwrap_or(commit))),
        (Some(name), None) => Some(name.clone()),
        (None, Some(commit)) => Some(commit.get(..7).unwrap_or(commit).to_owned()),
        (None, None) => None,
    };
    let mut about = vec![
        fact("WORKSPACE", Kind::Workspace.number(row.number), row.id.text()),
        Fact {
            bad: row.failure_reason.is_some(),
            ..fact("status", word, row.failure_reason.clone().unwrap_or_default())
        },
        fact("mode", row.mode.as_str().replace('_', " "), row.strategy_type.as_str().replace('_', " ")),
        fact("directory", row.cwd.clone().unwrap_or_else(|| "–".to_owned()), ""),
    ];
    if let Some(branch) = &row.branch_name {
        let made = if row.branch_created_by_runtime { "made by wharf" } else { "was there before" };
        about.push(fact("branch", branch.clone(), made));
    }
    if let Some(base) = &base {
        about.push(fact("base", base.clone(), ""));
    }
    if let Some(n) = item.last_run_number {
        let status = item.last_run_status.map(|s| s.to_string()).unwrap_or_default();
        about.push(fact("last run", Kind::Run.number(n), status));
    }
    let mode = match row.strategy_type {
        wharf_model::WorkspaceStrategy::GitWorktree => "worktree",
        wharf_model::WorkspaceStrategy::ProjectPrimary => "shared",
        wharf_model::WorkspaceStrategy::AdapterManaged => "the agent's own",
        wharf_model::WorkspaceStrategy::CloudSandbox => "sandbox",
    };
    let last_run = item.last_run_number.map(|n| {
        let status = item.last_run_status.map(|s| s.as_str().replace('_', " ")).unwrap_or_default();
        format!("{} {status}", Kind::Run.number(n)).trim_end().to_owned()
    });
    WorkspaceLine {
        id: row.id,
        mode: mode.to_owned(),
        last_run,
        number: row.number,
        version: row.version,
        class,
        word: word.to_owned(),
        live: row.status != WorkspaceStatus::Archived,
        issue: item.issue.clone(),
        branch: row.branch_name.clone(),
        base,
        path: row.cwd.clone().unwrap_or_default(),
        dirty: None,
        untracked: None,
        ahead: None,
        behind: None,
        size_bytes: None,
        created_at: row.created_at,
        used_at: Some(row.last_used_at),
        holder: item.last_run_number.filter(|_| used).map(|n| Kind::Run.number(n)),
        environment: item.environment.clone(),
        facts: vec![FactBlock { facts: about }],
    }
}

/// What a filter compares of a workspace.
pub fn workspace_facts(item: &view::WorkspaceItem, now: UnixMillis) -> Facts {
    let row = &item.workspace;
    let own = match row.status {
        WorkspaceStatus::Realising => Status::Starting,
        WorkspaceStatus::Active | WorkspaceStatus::InReview => Status::Active,
        WorkspaceStatus::Idle => Status::Idle,
        WorkspaceStatus::Archiving => Status::Stopping,
        WorkspaceStatus::Archived => Status::Archived,
        WorkspaceStatus::CleanupFailed | WorkspaceStatus::Failed => Status::Failed,
        WorkspaceStatus::Missing => Status::Missing,
    };
    let group = if row.status == WorkspaceStatus::Archived { Status::Ended } else { Status::Live };
    let names = [
        (Field::Workspace, Some(Kind::Workspace.number(row.number))),
        (Field::Issue, item.issue.clone()),
        (Field::Environment, item.environment.clone()),
        (Field::Run, item.last_run_number.map(|n| Kind::Run.number(n))),
        (Field::Kind, Some(row.mode.to_string())),
    ];
    let words = [Some(row.name.clone()), row.branch_name.clone(), row.cwd.clone(), item.issue.clone()];
    Facts {
        statuses: vec![own, group],
        fields: names.into_iter().filter_map(|(f, v)| Some((f, v?))).collect(),
        began: Some(row.created_at),
        took_ms: Some(row.created_at.until(row.closed_at.unwrap_or(now))),
        exit: None,
        cost: None,
        words: words.into_iter().flatten().collect(),
    }
}

/// What an operation does, in words.
pub const fn phase_words(phase: OperationPhase) -> &'static str {
    match phase {
        OperationPhase::WorktreePrepare => "make the worktree",
        OperationPhase::WorkspaceProvision => "provision",
        OperationPhase::WorkspaceTeardown => "tear down",
        OperationPhase::WorktreeCleanup => "remove the worktree",
    }
}

/// An operation.
pub fn operation(item: &view::OperationItem) -> OperationLine {
    let row = &item.operation;
    let (class, word) = match row.status {
        OperationStatus::Running => (Class::Alive, "running"),
        OperationStatus::Succeeded => (Class::Good, "done"),
        OperationStatus::Failed => (Class::Bad, "failed"),
        OperationStatus::Lost => (Class::Bad, "lost"),
        OperationStatus::Skipped => (Class::Chosen, "skipped"),
    };
    OperationLine {
        id: row.id,
        number: row.number,
        phase: phase_words(row.phase).to_owned(),
        class,
        word: word.to_owned(),
        command: row.command.clone().unwrap_or_default(),
        started_at: Some(row.started_at),
        finished_at: row.finished_at,
        exit_code: row.exit_code,
        error: row.error.clone(),
    }
}

/// Who acted, in words.
pub fn who(row: &ActivityRow) -> String {
    match row.actor_type {
        ActorType::Operator => row.actor_id.clone(),
        ActorType::Agent => format!("agent {}", row.actor_id.get(..8).unwrap_or(&row.actor_id)),
        ActorType::System => "wharf".to_owned(),
    }
}

/// An entry of the audit trail.
pub fn activity(position: i64, row: &ActivityRow) -> ActivityLine {
    ActivityLine {
        number: position,
        at: row.created_at,
        who: who(row),
        action: row.action.clone(),
        entity: row.entity_number.clone().unwrap_or_else(|| row.entity_type.clone()),
        details: row.details.as_ref().map(details).unwrap_or_default(),
    }
}

/// Keys whose values say most, in the order in which they are told.
const TOLD_FIRST: &[&str] =
    &["error", "status", "from", "to", "reason", "exit_code", "signal", "name", "branch", "path", "command"];

/// Details of an entry in one line of words: `reason operator, grace 15s`. Ids that mean nothing to a
/// person are left out, and hashes cut as git cuts them.
pub fn details(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(map) => {
            let rank = |key: &str| TOLD_FIRST.iter().position(|k| *k == key).unwrap_or(TOLD_FIRST.len());
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| rank(key));
            let parts = pairs.into_iter().filter_map(|(key, value)| pair(key, value));
            parts.collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => {
            let parts = items.iter().map(details).filter(|words| !words.is_empty());
            parts.collect::<Vec<_>>().join(", ")
        }
        Value::String(words) if is_uuid(words) => String::new(),
        Value::String(words) if is_hash(words) => words[..7].to_owned(),
        Value::String(words) => words.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
    }
}

/// A key and its value; none where the value says nothing.
fn pair(key: &str, value: &Value) -> Option<String> {
    let (name, words) = match (key.strip_suffix("_ms"), value.as_i64()) {
        (Some(name), Some(ms)) => (name, format::duration(ms)),
        _ => (key, details(value)),
    };
    (!words.is_empty()).then(|| format!("{} {words}", name.replace('_', " ")))
}

fn is_uuid(words: &str) -> bool {
    let hex = words.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = words.bytes().filter(|b| *b == b'-').count();
    hex == 32 && (dashes == 0 || dashes == 4) && hex + dashes == words.len()
}

fn is_hash(words: &str) -> bool {
    matches!(words.len(), 40 | 64) && words.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What a filter compares of an entry of the audit trail.
pub fn activity_facts(row: &ActivityRow) -> Facts {
    let line = activity(0, row);
    let mut fields = vec![(Field::By, line.who.clone()), (Field::Kind, row.action.clone())];
    for (field, letter) in [(Field::Run, "R-"), (Field::Lease, "L-"), (Field::Service, "S-"), (Field::Workspace, "W-")]
    {
        if line.entity.starts_with(letter) {
            fields.push((field, line.entity.clone()));
        }
    }
    if row.entity_type == "issue" {
        fields.push((Field::Issue, line.entity.clone()));
    }
    Facts {
        statuses: Vec::new(),
        fields,
        began: Some(row.created_at),
        took_ms: None,
        exit: None,
        cost: None,
        words: vec![line.who, line.action, line.entity, line.details],
    }
}

/// A step's title.
pub const fn step_words(step: Step) -> &'static str {
    match step {
        Step::Resolve => "resolve the environment",
        Step::Check => "check the environment",
        Step::Acquire => "acquire the lease",
        Step::Realise => "realise the workspace",
        Step::Target => "start services",
        Step::Execute => "run the agent",
        Step::Finish => "finish",
    }
}

/// Whether a step ended badly.
pub const fn step_failed(status: StepStatus) -> bool {
    matches!(status, StepStatus::Failed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_words_with_what_matters_first() {
        let id = "0199aa00-1111-7222-8333-444455556666";
        let table = [
            (json!({ "grace_ms": 15_000, "reason": "operator", "run_id": id }), "reason operator, grace 15s"),
            (json!({ "branch": "b", "error": "no room", "also": null }), "error no room, branch b"),
            (
                json!({ "changes": ["agent.a.command", id], "hash": "ab".repeat(32) }),
                "changes agent.a.command, hash abababa",
            ),
            (json!({ "oom": true, "exit_code": 3 }), "exit code 3, oom yes"),
            (json!({ "ids": [id] }), ""),
            (json!("plain"), "plain"),
        ];
        for (value, words) in table {
            assert_eq!(details(&value), words, "{value}");
        }
    }
}

//! The rows of documents. Every key is always there; moments are RFC 3339 in UTC.

mod lease;
mod workspace;

use serde::Serialize;
use serde_json::Value;
use wharf_model::*;
use wharf_store::view::{AgentItem, IssueItem, ServiceItem};
use wharf_ui::glyph::Class;

pub use self::lease::{LeaseDoc, lease_state};
pub use self::workspace::{OperationDoc, SnapshotDoc, WorkspaceDoc, workspace_state};
use super::run_doc::{class_word, time};

/// A state in the words of the screens.
pub type State = (Class, &'static str);

/// State of a service.
pub fn service_state(service: &ServiceRow) -> State {
    match service.status {
        ServiceStatus::Starting => (Class::Waits, "starting"),
        ServiceStatus::Running if service.health == Health::Unhealthy => (Class::Doubtful, "running"),
        ServiceStatus::Running => (Class::Alive, "running"),
        ServiceStatus::Stopping => (Class::Ending, "stopping"),
        ServiceStatus::Backoff => (Class::Clock, "waits to retry"),
        ServiceStatus::Stopped => (Class::Chosen, "stopped"),
        ServiceStatus::Failed => (Class::Bad, "failed"),
    }
}

/// State of an agent.
pub fn agent_state(item: &AgentItem) -> State {
    match item.agent.status {
        AgentStatus::Active | AgentStatus::Idle | AgentStatus::Running | AgentStatus::Error if item.running > 0 => {
            (Class::Alive, "running")
        }
        AgentStatus::Active | AgentStatus::Idle | AgentStatus::Running => (Class::Waits, "idle"),
        AgentStatus::Error => (Class::Bad, "error"),
        AgentStatus::Paused => (Class::Chosen, "paused"),
        AgentStatus::PendingApproval => (Class::NeedsPerson, "not accepted"),
        AgentStatus::Terminated => (Class::Chosen, "terminated"),
        AgentStatus::Archived => (Class::Chosen, "archived"),
    }
}

/// State of an issue.
pub fn issue_state(item: &IssueItem) -> State {
    let worked_on = item.last_run_status.is_some_and(|s| s == RunStatus::Running);
    match item.issue.status {
        IssueStatus::Backlog => (Class::Waits, "backlog"),
        IssueStatus::Todo => (Class::Waits, "todo"),
        IssueStatus::InProgress if worked_on => (Class::Alive, "in progress"),
        IssueStatus::InProgress => (Class::Waits, "in progress"),
        IssueStatus::InReview => (Class::NeedsPerson, "in review"),
        IssueStatus::Done => (Class::Good, "done"),
        IssueStatus::Blocked => (Class::Bad, "blocked"),
        IssueStatus::Cancelled => (Class::Chosen, "cancelled"),
    }
}

/// A service in a document.
#[derive(Debug, Serialize)]
pub struct ServiceDoc {
    id: String,
    number: String,
    name: String,
    status: String,
    class: &'static str,
    since: Option<String>,
    until: Option<String>,
    health: String,
    desired: String,
    project: String,
    workspace: Option<String>,
    scope: String,
    lifecycle: String,
    generation: u32,
    command: String,
    cwd: String,
    port: Option<i64>,
    url: Option<String>,
    process_pid: Option<i32>,
    users: Vec<String>,
    stop_policy: String,
    idle_ms: Option<i64>,
    started_at: Option<String>,
    ready_at: Option<String>,
    stopped_at: Option<String>,
    exit_code: Option<i32>,
    signal: Option<String>,
    stop_reason: Option<String>,
    error_code: Option<String>,
    error: Option<String>,
    version: i64,
}

impl ServiceDoc {
    /// The document of a service.
    pub fn new(item: &ServiceItem) -> Self {
        let s = &item.service;
        Self {
            id: s.id.text(),
            number: Kind::Service.number(s.number),
            name: s.name.clone(),
            status: s.status.to_string(),
            class: class_word(service_state(s).0),
            since: time(s.stopped_at.filter(|_| !s.status.is_live()).or(s.ready_at).or(s.started_at)),
            until: time(s.idle_deadline_at.or(s.deadline_at)),
            health: s.health.to_string(),
            desired: s.desired.to_string(),
            project: item.project.clone(),
            workspace: item.workspace_number.map(|n| Kind::Workspace.number(n)),
            scope: s.scope_type.to_string(),
            lifecycle: s.lifecycle.to_string(),
            generation: s.generation,
            command: s.command.clone(),
            cwd: s.cwd.clone(),
            port: s.port,
            url: s.url.clone(),
            process_pid: s.process_pid,
            users: item.users.iter().map(|u| Kind::Run.number(u.run_number)).collect(),
            stop_policy: s.stop_policy.to_string(),
            idle_ms: s.idle_ms,
            started_at: time(s.started_at),
            ready_at: time(s.ready_at),
            stopped_at: time(s.stopped_at),
            exit_code: s.exit_code,
            signal: s.signal.clone(),
            stop_reason: s.stop_reason.clone(),
            error_code: s.error_code.clone(),
            error: s.error.clone(),
            version: s.version,
        }
    }
}

/// An issue in a document.
#[derive(Debug, Serialize)]
pub struct IssueDoc {
    id: String,
    number: String,
    title: String,
    description: Option<String>,
    status: String,
    class: &'static str,
    since: Option<String>,
    until: Option<String>,
    priority: String,
    assignee: Option<String>,
    last_run: Option<String>,
    last_run_status: Option<String>,
    last_run_liveness: Option<String>,
    comments: i64,
    created_at: Option<String>,
    version: i64,
}

impl IssueDoc {
    /// The document of an issue.
    pub fn new(item: &IssueItem) -> Self {
        let i = &item.issue;
        Self {
            id: i.id.text(),
            number: i.identifier.clone(),
            title: i.title.clone(),
            description: i.description.clone(),
            status: i.status.to_string(),
            class: class_word(issue_state(item).0),
            since: time(i.completed_at.or(i.cancelled_at).or(i.started_at).or(Some(i.created_at))),
            until: None,
            priority: i.priority.to_string(),
            assignee: item.assignee.clone(),
            last_run: item.last_run_number.map(|n| Kind::Run.number(n)),
            last_run_status: item.last_run_status.map(|s| s.to_string()),
            last_run_liveness: item.last_run_liveness.map(|s| s.to_string()),
            comments: item.comments,
            created_at: time(Some(i.created_at)),
            version: i.version,
        }
    }
}

/// An agent in a document.
#[derive(Debug, Serialize)]
pub struct AgentDoc {
    id: String,
    number: Option<String>,
    name: String,
    project: Option<String>,
    status: String,
    status_reason: Option<String>,
    class: &'static str,
    since: Option<String>,
    until: Option<String>,
    adapter: String,
    origin: String,
    default_environment: Option<String>,
    concurrent_runs: i64,
    running: i64,
    queued: i64,
    last_run: Option<String>,
    last_run_status: Option<String>,
    last_run_at: Option<String>,
    version: i64,
}

impl AgentDoc {
    /// The document of an agent; agents have names and no numbers.
    pub fn new(item: &AgentItem) -> Self {
        let a = &item.agent;
        Self {
            id: a.id.text(),
            number: None,
            name: a.name.clone(),
            project: item.project.clone(),
            status: a.status.to_string(),
            status_reason: a.status_reason.clone(),
            class: class_word(agent_state(item).0),
            since: time(a.last_run_at),
            until: None,
            adapter: a.adapter_type.clone(),
            origin: a.origin.to_string(),
            default_environment: a.default_environment.clone(),
            concurrent_runs: a.concurrent_runs,
            running: item.running,
            queued: item.queued,
            last_run: item.last_run_number.map(|n| Kind::Run.number(n)),
            last_run_status: item.last_run_status.map(|s| s.to_string()),
            last_run_at: time(a.last_run_at),
            version: a.version,
        }
    }
}

/// A project in a document.
#[derive(Debug, Serialize)]
pub struct ProjectDoc {
    id: String,
    number: String,
    key: String,
    name: String,
    path: String,
    status: &'static str,
    class: &'static str,
    since: Option<String>,
    until: Option<String>,
    issues: i64,
    default_environment: Option<String>,
    accepted_by: Option<String>,
    accepted_at: Option<String>,
    config_hash: Option<String>,
    version: i64,
}

/// State of a project: whether its config is in force.
pub fn project_state(project: &ProjectRow) -> State {
    if project.accepted_executable_hash.is_none() {
        (Class::NeedsPerson, "not accepted")
    } else if project.pending_executable_hash.is_some() {
        (Class::NeedsPerson, "change waits")
    } else {
        (Class::Alive, "in force")
    }
}

impl ProjectDoc {
    /// The document of a project.
    pub fn new(p: &ProjectRow) -> Self {
        let (class, word) = project_state(p);
        Self {
            id: p.id.text(),
            number: p.key.clone(),
            key: p.key.clone(),
            name: p.name.clone(),
            path: p.path.clone(),
            status: word,
            class: class_word(class),
            since: time(p.accepted_at.or(Some(p.created_at))),
            until: None,
            issues: p.issue_counter,
            default_environment: p.default_environment.clone(),
            accepted_by: p.accepted_by.clone(),
            accepted_at: time(p.accepted_at),
            config_hash: p.config_hash.clone(),
            version: p.version,
        }
    }
}

/// A row of the audit trail in a document.
#[derive(Debug, Serialize)]
pub struct ActivityDoc {
    id: String,
    number: Option<String>,
    at: String,
    actor_type: String,
    actor: String,
    action: String,
    entity_type: String,
    entity_id: String,
    run_id: Option<String>,
    details: Option<Value>,
}

impl ActivityDoc {
    /// The document of a row; `number` is that of the entity it is about.
    pub fn new(a: &ActivityRow) -> Self {
        Self {
            id: a.id.text(),
            number: a.entity_number.clone(),
            at: a.created_at.rfc3339(),
            actor_type: a.actor_type.to_string(),
            actor: a.actor_id.clone(),
            action: a.action.clone(),
            entity_type: a.entity_type.clone(),
            entity_id: a.entity_id.clone(),
            run_id: a.run_id.map(RunId::text),
            details: a.details.clone(),
        }
    }
}

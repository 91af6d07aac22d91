//! `wharf leases`, `services`, `workspaces`, `issues`, `agents`, `activity` and `projects`.

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;
use wharf_ui::format;

use super::context::Context;
use super::docs::*;
use super::error::Result;
use super::filter::{self, Knows, Row};
use super::list::{self, ListArgs, Listed, collect};
use super::table::{Cell, Table};
use crate::clock;

fn number(kind: Kind, n: Option<i64>) -> Vec<String> {
    n.map(|n| kind.number(n)).into_iter().collect()
}

fn some(value: Option<&String>) -> Vec<String> {
    value.cloned().into_iter().collect()
}

fn duration(ms: Option<i64>) -> Cell {
    Cell::figure(ms.map(format::duration))
}

/// The words of a policy for people.
fn policy_words(policy: LeasePolicy) -> &'static str {
    match policy {
        LeasePolicy::Ephemeral => "ephemeral",
        LeasePolicy::ReuseByEnvironment => "reuse by environment",
        LeasePolicy::ReuseByExecutionWorkspace => "reuse by workspace",
        LeasePolicy::RetainOnFailure => "keep on failure",
    }
}

/// What the list can be asked for.
pub const LEASES: Knows = Knows {
    rows: "leases",
    statuses: &[
        Status::Live,
        Status::Ended,
        Status::Waiting,
        Status::Active,
        Status::Releasing,
        Status::Released,
        Status::Retained,
        Status::Cleanup,
        Status::Expired,
        Status::Failed,
    ],
    fields: &[Field::Agent, Field::Issue, Field::Environment, Field::Run, Field::Lease, Field::Workspace, Field::Kind],
    figures: false,
};

impl Row for LeaseItem {
    fn is(&self, status: Status) -> bool {
        let is = self.lease.status;
        match status {
            Status::Live => !is.is_terminal(),
            Status::Ended => is.is_terminal(),
            Status::Waiting => matches!(is, LeaseStatus::Waiting | LeaseStatus::Acquiring),
            Status::Active => is == LeaseStatus::Active,
            Status::Releasing => is == LeaseStatus::Releasing,
            Status::Released => is == LeaseStatus::Released,
            Status::Retained => is == LeaseStatus::Retained,
            Status::Cleanup => is == LeaseStatus::PendingCleanup,
            Status::Expired => is == LeaseStatus::Expired,
            Status::Failed => is == LeaseStatus::Failed,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Agent => some(self.agent.as_ref()),
            Field::Issue => some(self.issue.as_ref()),
            Field::Environment => vec![self.environment.clone()],
            Field::Run => number(Kind::Run, self.run_number),
            Field::Lease => number(Kind::Lease, Some(self.lease.number)),
            Field::Workspace => number(Kind::Workspace, self.workspace_number),
            Field::Kind => vec![self.lease.provider.clone()],
            Field::Service | Field::By | Field::Error => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.lease.created_at
    }
    fn words(&self) -> Vec<String> {
        [Field::Lease, Field::Run, Field::Agent, Field::Issue, Field::Environment, Field::Workspace]
            .into_iter()
            .flat_map(|f| self.field(f))
            .chain(self.lease.failure_reason.clone())
            .collect()
    }
}

/// Lists leases, newest first.
pub fn leases(context: &Context, args: &ListArgs, held: bool) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &LEASES)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => {
            let query = LeaseQuery::default();
            let page = |at: Option<i64>, n: usize| Ok(reader.leases(&query, at, n)?);
            let passes = |row: &LeaseItem| (!held || row.is(Status::Live)) && ready.passes(row);
            collect(below, args.limit(), |c| c.to_string(), page, passes)?
        }
    };
    let now = clock::now();
    list::print(
        context,
        args,
        "leases",
        if held && args.filter.is_empty() { "--held" } else { "the filter" },
        &listed,
        LeaseDoc::new,
        |rows| {
            let header = ["LEASE", "STATUS", "ENV", "POLICY", "HOLDER", "HOLDER IS", "USED", "EXPIRES IN"];
            let mut table = Table::new(&header);
            for row in rows {
                let (class, word) = lease_state(row);
                let l = &row.lease;
                let holder = [row.run_number.map(|n| Kind::Run.number(n)), row.agent.clone(), row.issue.clone()];
                let holder: Vec<String> = holder.into_iter().flatten().collect();
                let left = l.expires_at.filter(|_| !l.status.is_terminal()).map(|at| now.until(at));
                table.row(vec![
                    Cell::text(Kind::Lease.number(l.number)),
                    Cell::state(class, word),
                    Cell::text(row.environment.clone()),
                    Cell::text(policy_words(l.lease_policy)),
                    Cell::maybe((!holder.is_empty()).then(|| holder.join(" "))),
                    Cell::maybe(holder_is(row)),
                    duration(l.last_used_at.map(|at| at.until(now))),
                    Cell::figure(left.map(|ms| if ms < 0 { "overdue".to_owned() } else { format::left(ms) })),
                ]);
            }
            table
        },
    )
}

/// What the list can be asked for.
pub const SERVICES: Knows = Knows {
    rows: "services",
    statuses: &[
        Status::Live,
        Status::Ended,
        Status::Starting,
        Status::Running,
        Status::Unhealthy,
        Status::Stopping,
        Status::Backoff,
        Status::Stopped,
        Status::Failed,
    ],
    fields: &[Field::Run, Field::Agent, Field::Workspace, Field::Service, Field::Error],
    figures: false,
};

impl Row for ServiceItem {
    fn is(&self, status: Status) -> bool {
        let is = self.service.status;
        match status {
            Status::Live => is.is_live(),
            Status::Ended => !is.is_live(),
            Status::Starting => is == ServiceStatus::Starting,
            Status::Running => is == ServiceStatus::Running,
            Status::Unhealthy => self.service.health == Health::Unhealthy,
            Status::Stopping => is == ServiceStatus::Stopping,
            Status::Backoff => is == ServiceStatus::Backoff,
            Status::Stopped => is == ServiceStatus::Stopped,
            Status::Failed => is == ServiceStatus::Failed,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Run => self.users.iter().map(|u| Kind::Run.number(u.run_number)).collect(),
            Field::Agent => self.users.iter().filter_map(|u| u.agent.clone()).collect(),
            Field::Workspace => number(Kind::Workspace, self.workspace_number),
            Field::Service => vec![Kind::Service.number(self.service.number), self.service.name.clone()],
            Field::Error => some(self.service.error_code.as_ref()),
            Field::Issue | Field::Environment | Field::Lease | Field::By | Field::Kind => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.service.started_at.unwrap_or(self.service.created_at)
    }
    fn words(&self) -> Vec<String> {
        let s = &self.service;
        let more = [Some(s.command.clone()), s.url.clone(), s.error.clone(), Some(self.project.clone())];
        self.field(Field::Service).into_iter().chain(more.into_iter().flatten()).collect()
    }
}

/// How a service stops when nobody uses it.
fn stops(service: &ServiceRow) -> String {
    match super::lease::after(service) {
        rules::release::AfterLastUser::Stop => "with the run".to_owned(),
        rules::release::AfterLastUser::Idle(ms) => format!("idle {}", format::duration(ms)),
        rules::release::AfterLastUser::Keep => "by hand".to_owned(),
    }
}

/// Lists services, newest first.
pub fn services(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &SERVICES)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => {
            let query = ServiceQuery::default();
            let page = |at: Option<i64>, n: usize| Ok(reader.services(&query, at, n)?);
            collect(below, args.limit(), |c| c.to_string(), page, |row| ready.passes(row))?
        }
    };
    let now = clock::now();
    list::print(context, args, "services", "the filter", &listed, ServiceDoc::new, |rows| {
        let mut table = Table::new(&["SVC", "NAME", "STATUS", "HEALTH", "PORT", "URL", "UP", "USED BY", "STOPS"]);
        for row in rows {
            let s = &row.service;
            let (class, word) = service_state(s);
            let health = match s.health {
                _ if !s.status.is_live() => s.exit_code.map_or_else(|| "–".to_owned(), |c| format!("exit {c}")),
                Health::Healthy => "✓ healthy".to_owned(),
                Health::Unhealthy => "✗ unhealthy".to_owned(),
                Health::Unknown => "◌ waiting".to_owned(),
            };
            table.row(vec![
                Cell::text(Kind::Service.number(s.number)),
                Cell::text(s.name.clone()),
                Cell::state(class, word),
                Cell::text(health),
                Cell::figure(s.port.map(|p| p.to_string())),
                Cell::maybe(s.url.clone()),
                duration(s.started_at.filter(|_| s.status.is_live()).map(|at| at.until(now))),
                Cell::figure(Some(format::plural(row.users.len() as u64, "run"))),
                Cell::text(stops(s)),
            ]);
        }
        table
    })
}

/// What the list can be asked for.
pub const WORKSPACES: Knows = Knows {
    rows: "workspaces",
    statuses: &[Status::Live, Status::Active, Status::Idle, Status::Archived, Status::Failed, Status::Missing],
    fields: &[Field::Issue, Field::Environment, Field::Workspace, Field::Kind],
    figures: false,
};

impl Row for WorkspaceItem {
    fn is(&self, status: Status) -> bool {
        let is = self.workspace.status;
        match status {
            Status::Live => is != WorkspaceStatus::Archived,
            Status::Active => is == WorkspaceStatus::Active,
            Status::Idle => is == WorkspaceStatus::Idle,
            Status::Archived => is == WorkspaceStatus::Archived,
            Status::Failed => matches!(is, WorkspaceStatus::Failed | WorkspaceStatus::CleanupFailed),
            Status::Missing => is == WorkspaceStatus::Missing,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Issue => some(self.issue.as_ref()),
            Field::Environment => some(self.environment.as_ref()),
            Field::Workspace => vec![Kind::Workspace.number(self.workspace.number), self.workspace.name.clone()],
            Field::Kind => vec![self.workspace.mode.to_string()],
            Field::Agent | Field::Run | Field::Lease | Field::Service | Field::By | Field::Error => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.workspace.created_at
    }
    fn words(&self) -> Vec<String> {
        let w = &self.workspace;
        let more = [w.branch_name.clone(), w.cwd.clone(), self.issue.clone(), w.failure_reason.clone()];
        self.field(Field::Workspace).into_iter().chain(more.into_iter().flatten()).collect()
    }
}

/// Lists workspaces, newest first.
pub fn workspaces(context: &Context, args: &ListArgs, archived: bool) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &WORKSPACES)?;
    let below = args.below()?;
    let wanted =
        archived || ready.terms().any(|(t, _)| matches!(t, filter::Test::Status(s) if s.contains(&Status::Archived)));
    let hidden_by = match (wanted, args.filter.is_empty()) {
        (true, _) => "the filter",
        (false, true) => "being archived (--archived shows them)",
        (false, false) => "the filter or being archived (--archived shows those)",
    };
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => {
            let query = WorkspaceQuery { archived: true, ..WorkspaceQuery::default() };
            let page = |at: Option<i64>, n: usize| Ok(reader.workspaces(&query, at, n)?);
            let passes = |row: &WorkspaceItem| (wanted || row.is(Status::Live)) && ready.passes(row);
            collect(below, args.limit(), |c| c.to_string(), page, passes)?
        }
    };
    let now = clock::now();
    list::print(context, args, "workspaces", hidden_by, &listed, WorkspaceDoc::new, |rows| {
        let mut table =
            Table::new(&["WS", "BRANCH", "BASE", "STATUS", "USED", "ISSUE", "ENV", "LAST RUN", "OWNER", "PATH"]);
        for row in rows {
            let w = &row.workspace;
            let (class, word) = workspace_state(w);
            table.row(vec![
                Cell::text(Kind::Workspace.number(w.number)),
                Cell::text(w.branch_name.clone().unwrap_or_else(|| w.name.clone())),
                Cell::maybe(w.base_ref.clone()),
                Cell::state(class, word),
                duration(Some(w.last_used_at.until(now))),
                Cell::maybe(row.issue.clone()),
                Cell::maybe(row.environment.clone()),
                Cell::maybe(row.last_run_number.map(|n| Kind::Run.number(n))),
                Cell::text(if w.created_by_runtime { "ours" } else { "yours" }),
                Cell::maybe(w.cwd.clone()),
            ]);
        }
        table
    })
}

/// What the list can be asked for.
pub const ISSUES: Knows = Knows {
    rows: "issues",
    statuses: &[Status::Live, Status::Ended, Status::Done, Status::Cancelled, Status::Running],
    fields: &[Field::Agent, Field::Issue, Field::Run],
    figures: false,
};

impl Row for IssueItem {
    fn is(&self, status: Status) -> bool {
        let is = self.issue.status;
        match status {
            Status::Live => !matches!(is, IssueStatus::Done | IssueStatus::Cancelled),
            Status::Ended => matches!(is, IssueStatus::Done | IssueStatus::Cancelled),
            Status::Done => is == IssueStatus::Done,
            Status::Cancelled => is == IssueStatus::Cancelled,
            Status::Running => self.last_run_status == Some(RunStatus::Running),
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Agent => some(self.assignee.as_ref()),
            Field::Issue => vec![self.issue.identifier.clone()],
            Field::Run => number(Kind::Run, self.last_run_number),
            _ => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.issue.created_at
    }
    fn words(&self) -> Vec<String> {
        let i = &self.issue;
        [Some(i.identifier.clone()), Some(i.title.clone()), i.description.clone()].into_iter().flatten().collect()
    }
}

/// Lists issues, newest first.
pub fn issues(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &ISSUES)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => {
            let query = IssueQuery::default();
            let page = |at: Option<i64>, n: usize| Ok(reader.issues(&query, at, n)?);
            collect(below, args.limit(), |c| c.to_string(), page, |row| ready.passes(row))?
        }
    };
    list::print(context, args, "issues", "the filter", &listed, IssueDoc::new, |rows| {
        let mut table = Table::new(&["ISSUE", "STATUS", "PRIO", "AGENT", "LAST RUN", "TITLE"]);
        for row in rows {
            let (class, word) = issue_state(row);
            let last = row.last_run_number.map(|n| {
                let status = row.last_run_status.map(|s| format!(" {}", s.as_str().replace('_', " ")));
                format!("{}{}", Kind::Run.number(n), status.unwrap_or_default())
            });
            table.row(vec![
                Cell::text(row.issue.identifier.clone()),
                Cell::state(class, word),
                Cell::text(row.issue.priority.as_str()),
                Cell::maybe(row.assignee.clone()),
                Cell::maybe(last),
                Cell::text(row.issue.title.clone()),
            ]);
        }
        table
    })
}

/// What the list can be asked for.
pub const AGENTS: Knows = Knows {
    rows: "agents",
    statuses: &[Status::Running, Status::Idle, Status::Failed],
    fields: &[Field::Agent, Field::Environment, Field::Run, Field::Kind],
    figures: false,
};

impl Row for AgentItem {
    fn is(&self, status: Status) -> bool {
        match status {
            Status::Running => self.running > 0,
            // As the table shows it: one that is in error is not idle, though it may be started.
            Status::Idle => {
                self.agent.status != AgentStatus::Error && self.running == 0 && self.agent.status.is_invokable()
            }
            Status::Failed => self.agent.status == AgentStatus::Error && self.running == 0,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Agent => vec![self.agent.name.clone()],
            Field::Environment => some(self.agent.default_environment.as_ref()),
            Field::Run => number(Kind::Run, self.last_run_number),
            Field::Kind => vec![self.agent.adapter_type.clone()],
            _ => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.agent.created_at
    }
    fn words(&self) -> Vec<String> {
        [Some(self.agent.name.clone()), self.project.clone(), self.agent.status_reason.clone()]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Lists agents by project and name.
pub fn agents(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &AGENTS)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => whole(reader.agents(None)?, args, below, |row| ready.passes(row)),
    };
    let now = clock::now();
    list::print(context, args, "agents", "the filter", &listed, AgentDoc::new, |rows| {
        let mut table = Table::new(&["AGENT", "STATUS", "PROJECT", "ADAPTER", "SLOTS", "QUEUED", "LAST RUN", "WHEN"]);
        for row in rows {
            let (class, word) = agent_state(row);
            let slots = format!("{} of {}", row.running, row.agent.concurrent_runs);
            table.row(vec![
                Cell::text(row.agent.name.clone()),
                Cell::state(class, word),
                Cell::maybe(row.project.clone()),
                Cell::text(row.agent.adapter_type.clone()),
                Cell::figure(Some(slots)),
                Cell::figure(Some(row.queued.to_string())),
                Cell::maybe(row.last_run_number.map(|n| Kind::Run.number(n))),
                duration(row.agent.last_run_at.map(|at| at.until(now))),
            ]);
        }
        table
    })
}

/// A list that the store gives as a whole; its cursor is how many rows were given before.
fn whole<T>(rows: Vec<T>, args: &ListArgs, given: Option<i64>, passes: impl Fn(&T) -> bool) -> Listed<T> {
    let skip = usize::try_from(given.unwrap_or(0)).unwrap_or(0);
    let before = rows.len();
    let mut kept: Vec<T> = rows.into_iter().filter(|row| passes(row)).collect();
    let hidden = (before - kept.len()) as i64;
    let mut kept: Vec<T> = kept.drain(skip.min(kept.len())..).collect();
    let more = kept.len() > args.limit();
    kept.truncate(args.limit());
    let next = more.then(|| (skip + kept.len()).to_string());
    // As in lists that are read page by page.
    let hidden = (skip == 0 && next.is_none()).then_some(hidden);
    Listed { rows: kept, next, hidden }
}

/// What the list can be asked for.
pub const PROJECTS: Knows = Knows { rows: "projects", statuses: &[], fields: &[], figures: false };

impl Row for ProjectRow {
    fn is(&self, _status: Status) -> bool {
        false
    }
    fn field(&self, _field: Field) -> Vec<String> {
        Vec::new()
    }
    fn began(&self) -> UnixMillis {
        self.created_at
    }
    fn words(&self) -> Vec<String> {
        vec![self.key.clone(), self.name.clone(), self.path.clone()]
    }
}

/// Lists projects by key.
pub fn projects(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &PROJECTS)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => whole(reader.projects(None)?, args, below, |row| ready.passes(row)),
    };
    list::print(context, args, "projects", "the filter", &listed, ProjectDoc::new, |rows| {
        let mut table = Table::new(&["KEY", "NAME", "CONFIG", "ISSUES", "PATH"]);
        for row in rows {
            let (class, word) = project_state(row);
            table.row(vec![
                Cell::text(row.key.clone()),
                Cell::text(row.name.clone()),
                Cell::state(class, word),
                Cell::figure(Some(row.issue_counter.to_string())),
                Cell::text(row.path.clone()),
            ]);
        }
        table
    })
}

/// What the list can be asked for.
pub const ACTIVITY: Knows = Knows {
    rows: "activity",
    statuses: &[],
    fields: &[Field::Run, Field::Lease, Field::Workspace, Field::Service, Field::Issue, Field::By, Field::Kind],
    figures: false,
};

impl Row for ActivityRow {
    fn is(&self, _status: Status) -> bool {
        false
    }
    fn field(&self, field: Field) -> Vec<String> {
        let of = |kind: &str| self.entity_number.clone().filter(|_| self.entity_type == kind).into_iter().collect();
        match field {
            Field::Run => of("run"),
            Field::Lease => of("lease"),
            Field::Workspace => of("workspace"),
            Field::Service => of("service"),
            Field::Issue => of("issue"),
            Field::By => vec![self.actor_id.clone(), self.actor_type.to_string()],
            Field::Kind => vec![self.action.clone()],
            Field::Agent | Field::Environment | Field::Error => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.created_at
    }
    fn words(&self) -> Vec<String> {
        let details = self.details.as_ref().map(ToString::to_string);
        let more = [self.entity_number.clone(), details].into_iter().flatten();
        [self.action.clone(), self.actor_id.clone(), self.entity_type.clone()].into_iter().chain(more).collect()
    }
}

/// Lists the audit trail, newest first.
pub fn activity(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &ACTIVITY)?;
    let below = args.below()?;
    let listed = match context.reader()? {
        None => Listed::none(),
        Some(reader) => {
            let query = activity_query(&ready);
            let page = |at: Option<i64>, n: usize| Ok(reader.activity(&query, at, n)?);
            let mut listed = collect(below, args.limit(), |c| c.to_string(), page, |row| ready.passes(row))?;
            if query.since.is_some() || query.until.is_some() {
                // What lies outside of that time was not even read.
                listed.hidden = None;
            }
            listed
        }
    };
    let (now, zone) = (clock::now(), context.zone());
    list::print(context, args, "activity", "the filter", &listed, ActivityDoc::new, |rows| {
        let mut table = Table::new(&["TIME", "WHO", "WHAT", "ENTITY", "DETAILS"]);
        for row in rows {
            table.row(vec![
                Cell::text(format::moment(row.created_at, now, zone)),
                Cell::text(row.actor_id.clone()),
                Cell::text(row.action.clone()),
                Cell::text(row.entity_number.clone().unwrap_or_else(|| row.entity_type.clone())),
                Cell::text(row.details.as_ref().map_or_else(String::new, details)),
            ]);
        }
        table
    })
}

/// Times are answered from an index; the rest is judged row by row.
fn activity_query(ready: &filter::Ready) -> ActivityQuery {
    let mut query = ActivityQuery::default();
    for (test, exclude) in ready.terms() {
        match test {
            filter::Test::Since(when) if !exclude => query.since = query.since.max(Some(ready.moment(*when))),
            filter::Test::Until(when) if !exclude => {
                let until = ready.moment(*when);
                query.until = Some(query.until.map_or(until, |u| u.min(until)));
            }
            _ => {}
        }
    }
    query
}

/// Details in one line: names and values that are there.
fn details(value: &serde_json::Value) -> String {
    let serde_json::Value::Object(map) = value else { return value.to_string() };
    let shown = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| format!("{k} {}", shown(v))).collect::<Vec<_>>().join(", ")
}

//! Projects, agents and services that a simulation begins with.

use serde_json::{Value, json};
use wharf_model::Desired;
use wharf_model::config::{
    AdapterConfig, AgentConfig, CommandLine, Concurrency, Driver, EnvironmentConfig, JobConfig, LeasePolicy, Lifecycle,
    Live, LiveCheck, ProcessConfig, ProjectConfig, ProjectSection, RestartConfig, RestartPolicy, Reuse, ServiceConfig,
    Stdin, StopPolicy, WorkspaceConfig, WorkspaceMode,
};
use wharf_model::{ActorType, ProjectId, RequestId, RequestOrigin, RequestRow, RequestStatus, UnixMillis};

use crate::dispatch::input::{ConfigRead, Prepared};

fn agent(name: &str, concurrent_runs: u32, timeout_ms: Option<u64>) -> AgentConfig {
    let process =
        ProcessConfig { command: "agent".into(), args: vec![], shell: false, cwd: ".".into(), stdin: Stdin::None };
    let mut agent = AgentConfig::new(name.into(), AdapterConfig::Process(process));
    agent.concurrent_runs = concurrent_runs;
    agent.timeout_ms = timeout_ms;
    agent.grace_ms = 3_000;
    let services: &[&str] = match name {
        "fixer" => &["web", "once", "tmp"],
        "tester" => &["web", "db", "own"],
        "builder" => &["api", "flaky"],
        _ => &[],
    };
    agent.services = services.iter().map(|s| (*s).to_owned()).collect();
    agent
}

fn service(name: &str, lifecycle: Lifecycle, reuse: Reuse, policy: StopPolicy) -> ServiceConfig {
    let mut service = ServiceConfig::new(name.into(), CommandLine::Shell(name.into()));
    service.lifecycle = lifecycle;
    service.reuse = reuse;
    service.stop.policy = policy;
    service.stop.idle_ms = 20_000;
    service.stop.grace_ms = 2_000;
    service.ready.timeout_ms = 10_000;
    service
}

/// Services that need others, are restarted, or are meant to run.
fn chained() -> Vec<ServiceConfig> {
    let restart = |policy| RestartConfig { policy, backoff_ms: 500, max: 3, within_ms: 60_000 };
    let mut api = service("api", Lifecycle::Shared, Reuse::ProjectWorkspace, StopPolicy::IdleTimeout);
    api.depends_on = vec!["cache".into(), "db".into()];
    api.restart = restart(RestartPolicy::OnFailure);
    api.live = Some(Live::new(LiveCheck::Tcp("127.0.0.1:4100".into())));
    let mut cache = service("cache", Lifecycle::Shared, Reuse::ProjectWorkspace, StopPolicy::OnRunFinish);
    cache.depends_on = vec!["base".into()];
    cache.live = Some(Live::new(LiveCheck::Tcp("127.0.0.1:4102".into())));
    cache.restart = restart(RestartPolicy::Always);
    let base = service("base", Lifecycle::Shared, Reuse::ProjectWorkspace, StopPolicy::IdleTimeout);
    let mut flaky = service("flaky", Lifecycle::Shared, Reuse::ExecutionWorkspace, StopPolicy::OnRunFinish);
    flaky.restart = restart(RestartPolicy::Always);
    flaky.live = Some(Live::new(LiveCheck::Tcp("127.0.0.1:4101".into())));
    let mut kept = service("kept", Lifecycle::Shared, Reuse::ProjectWorkspace, StopPolicy::Manual);
    kept.depends_on = vec!["base".into()];
    kept.restart = RestartConfig { max: 3, within_ms: 60_000, ..restart(RestartPolicy::Never) };
    vec![api, cache, base, flaky, kept]
}

/// Environments beside this machine: few slots, so that runs wait, and policies that keep what was held.
fn environments() -> Vec<EnvironmentConfig> {
    let of = |name: &str, driver, lease_policy, slots, config: Value| EnvironmentConfig {
        name: name.into(),
        driver,
        lease_policy,
        slots: Some(slots),
        ttl_ms: 60_000,
        keep_ms: 60_000,
        config: serde_json::from_value(config).unwrap_or_default(),
    };
    vec![
        of("far", Driver::Ssh, LeasePolicy::RetainOnFailure, 1, json!({ "host": "box" })),
        of("pond", Driver::Plugin, LeasePolicy::ReuseByEnvironment, 2, json!({ "command": "pool", "driver": "pool" })),
    ]
}

/// A project's config as it was read from its file.
pub fn config(key: &str) -> ConfigRead {
    let mut workspace = WorkspaceConfig { mode: Some(WorkspaceMode::Isolated), ..WorkspaceConfig::default() };
    let mut services = Vec::new();
    let agents = match key {
        "SOLO" => {
            services.push(service("web", Lifecycle::Shared, Reuse::ProjectWorkspace, StopPolicy::IdleTimeout));
            services.push(service("db", Lifecycle::Shared, Reuse::ProjectWorkspace, StopPolicy::Manual));
            services.push(service("once", Lifecycle::Shared, Reuse::ProjectWorkspace, StopPolicy::OnRunFinish));
            services.push(service("own", Lifecycle::Shared, Reuse::Agent, StopPolicy::IdleTimeout));
            services.push(service("tmp", Lifecycle::Ephemeral, Reuse::Run, StopPolicy::Manual));
            let mut astray = agent("astray", 1, None);
            astray.environment = Some("nowhere".into());
            let mut remote = agent("remote", 4, None);
            remote.environment = Some("far".into());
            let mut pooled = agent("pooled", 3, Some(50_000));
            pooled.environment = Some("pond".into());
            let tester = agent("tester", 1, Some(40_000));
            services.extend(chained());
            let builder = agent("builder", 2, Some(60_000));
            vec![agent("fixer", 2, None), tester, agent("plain", 3, None), astray, remote, pooled, builder]
        }
        "SHARE" => {
            workspace.mode = Some(WorkspaceMode::Shared);
            vec![agent("writer", 3, Some(60_000))]
        }
        _ => {
            workspace.mode = Some(WorkspaceMode::Shared);
            workspace.concurrency = Concurrency::Allow;
            vec![agent("crowd", 4, None)]
        }
    };
    let number = key.bytes().fold(0u128, |n, b| n * 256 + u128::from(b));
    ConfigRead {
        path: format!("/p/{key}"),
        project_uuid: ProjectId(uuid::Uuid::from_u128(number)),
        git_common_dir: Some(format!("/p/{key}/.git")),
        repo_url: None,
        also_at: None,
        gone: Vec::new(),
        mode: workspace.mode.unwrap_or(WorkspaceMode::Isolated),
        config: ProjectConfig {
            project: ProjectSection {
                key: key.into(),
                name: key.to_lowercase(),
                company: "default".into(),
                default_environment: None,
            },
            workspace,
            agents,
            environments: if key == "SOLO" { environments() } else { Vec::new() },
            services,
            jobs: vec![JobConfig {
                name: "migrate".into(),
                command: CommandLine::Shell("./migrate".into()),
                cwd: ".".into(),
                env: std::collections::BTreeMap::new(),
                timeout_ms: Some(super::workspaces::JOB_MS),
            }],
            secrets: std::collections::BTreeMap::new(),
        },
    }
}

/// The same with a service that is meant to run, so that it is never quiet.
pub fn lively(key: &str) -> ConfigRead {
    let mut read = config(key);
    for service in read.config.services.iter_mut().filter(|s| s.name == "kept") {
        service.desired = Desired::Running;
    }
    read
}

/// Keys of the projects.
pub const PROJECTS: &[&str] = &["SOLO", "SHARE", "CROWD"];

/// How often a file changes in a history, in ways that differ.
pub const VARIANTS: u64 = 16;

/// The first project's config after its file was changed, in one of the [`VARIANTS`].
pub fn changed(variant: u64) -> ConfigRead {
    let mut read = lively("SOLO");
    let has = |bit: u64| variant & (1 << bit) != 0;
    for service in &mut read.config.services {
        match service.name.as_str() {
            "web" if has(0) => service.stop.policy = StopPolicy::Manual,
            "db" if has(1) => service.stop.policy = StopPolicy::IdleTimeout,
            "once" if has(2) => service.disabled = Some("switched off".into()),
            "own" if has(3) => service.command = CommandLine::Shell("other".into()),
            "kept" if has(0) => service.desired = Desired::Stopped,
            "base" if has(3) => service.desired = Desired::Running,
            _ => {}
        }
    }
    if has(1) && has(2) {
        read.config.services.retain(|s| s.name != "db");
        for service in &mut read.config.services {
            service.depends_on.retain(|name| name != "db");
        }
    }
    read
}

/// What comes with a request.
pub fn prepared_for(row: &RequestRow) -> Prepared {
    match row.args["variant"].as_u64() {
        Some(variant) if row.kind == "config.accept" => Prepared::Config(Box::new(changed(variant))),
        _ => Prepared::Nothing,
    }
}

/// A request as its sender inserts it.
pub fn request(id: RequestId, number: i64, kind: &str, now: UnixMillis) -> RequestRow {
    RequestRow {
        id,
        number,
        kind: kind.into(),
        target_type: None,
        target_id: None,
        args: json!({}),
        expect: None,
        actor_type: ActorType::Operator,
        actor_id: "mo".into(),
        origin: RequestOrigin::Cli,
        idempotency_key: None,
        status: RequestStatus::Pending,
        expires_at: now.plus(30_000),
        answered_at: None,
        finished_at: None,
        result: None,
        error_code: None,
        error: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

/// The config that comes with a request.
pub fn prepared(key: &str) -> Prepared {
    Prepared::Config(Box::new(config(key)))
}

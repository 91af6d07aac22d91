//! What a project's `wharf.toml` says, typed and validated (contracts 8).
//!
//! Plain data: no file is read here. Its JSON form mirrors the file, so that a stored row, a shown
//! difference and the file itself use the same words. Durations are milliseconds, sizes bytes;
//! where the file writes `0s` for "none", the value here is `None`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::shim::OnQuota;
use crate::words;

mod flat;

pub use flat::{flatten, show_bytes, show_duration};

pub use crate::{Desired, Driver, LeasePolicy, Lifecycle, ReuseScope as Reuse, StopPolicy};

/// Name of the environment that is always there: this machine.
pub const LOCAL_ENVIRONMENT: &str = "Local";

words! {
    /// What turns an agent of the config into a process or a call.
    pub enum Adapter {
        Process = "process", Http = "http", Claude = "claude", Codex = "codex", Gemini = "gemini",
        Opencode = "opencode", Cursor = "cursor", Pi = "pi", Acp = "acp", Fake = "fake",
    }
}

words! {
    /// Where a run's files live.
    pub enum WorkspaceMode {
        Isolated = "isolated_workspace", Shared = "shared_workspace",
        OperatorBranch = "operator_branch", AgentDefault = "agent_default",
    }
}

words! {
    /// How an execution workspace is made.
    pub enum WorkspaceStrategy { GitWorktree = "git_worktree", ProjectPrimary = "project_primary" }
}

words! {
    /// What happens when a second run wants a shared workspace.
    pub enum Concurrency { Serialise = "serialise", Refuse = "refuse", Allow = "allow" }
}

words! {
    /// When a service that exited is started again.
    pub enum RestartPolicy { Never = "never", OnFailure = "on_failure", Always = "always" }
}

/// The whole of a project's config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectConfig {
    /// `[project]`.
    pub project: ProjectSection,
    /// `[workspace]`.
    pub workspace: WorkspaceConfig,
    /// `[[agent]]`, in the file's order; names are unique.
    pub agents: Vec<AgentConfig>,
    /// `[[environment]]`; names are unique and never `Local`.
    pub environments: Vec<EnvironmentConfig>,
    /// `[[service]]`; names are unique.
    pub services: Vec<ServiceConfig>,
    /// `[[job]]`; names are unique.
    pub jobs: Vec<JobConfig>,
    /// `[secret.<name>]`: where values come from, never the values.
    pub secrets: BTreeMap<String, SecretConfig>,
}

/// `[project]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectSection {
    /// Key of its issues: `[A-Z][A-Z0-9]{1,9}`.
    pub key: String,
    /// Name shown.
    pub name: String,
    /// Company it belongs to.
    pub company: String,
    /// Environment of runs that name none; unset = the agent's, then the company's.
    pub default_environment: Option<String>,
}

/// `[limits]` of the user's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Runs of this machine at once; unset = four for each core.
    pub concurrent_runs: Option<u32>,
    /// Bytes a run's log may reach.
    pub run_log_quota_bytes: u64,
    /// What happens then.
    pub on_quota: OnQuota,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrent_runs: None, run_log_quota_bytes: 10 << 30, on_quota: OnQuota::Block }
    }
}

impl Limits {
    /// The number of runs at once on a machine of `cores` cores.
    pub fn concurrent_runs_on(&self, cores: u32) -> u32 {
        self.concurrent_runs.unwrap_or_else(|| cores.max(1).saturating_mul(4))
    }
}

/// `[retention]` of the user's file; `None` keeps for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How long the logs of ended runs are kept.
    pub run_logs_ms: Option<u64>,
    /// How long snapshots are kept.
    pub snapshots_ms: Option<u64>,
    /// How long the bytes of an archived workspace are kept.
    pub workspaces_after_close_ms: Option<u64>,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Default for Retention {
    fn default() -> Self {
        Self {
            run_logs_ms: Some(30 * DAY_MS),
            snapshots_ms: Some(30 * DAY_MS),
            workspaces_after_close_ms: Some(7 * DAY_MS),
        }
    }
}

/// `[workspace]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceConfig {
    /// Unset = isolated in a git repository that has a commit, else shared.
    pub mode: Option<WorkspaceMode>,
    /// Unset = a git worktree for isolated workspaces, the project's own directory for shared ones.
    pub strategy: Option<WorkspaceStrategy>,
    /// Template of the branch's name.
    pub branch: String,
    /// Directory of the worktrees, relative to the project.
    pub parent: String,
    /// Where branches begin; unset = repo ref, origin/HEAD, origin/main, origin/master, HEAD.
    pub base_ref: Option<String>,
    /// For shared workspaces.
    pub concurrency: Concurrency,
    /// Runs once in a new workspace.
    pub provision: Option<CommandLine>,
    /// Runs last before a workspace is archived.
    pub teardown: Option<CommandLine>,
    /// Runs when a workspace is archived.
    pub cleanup: Option<CommandLine>,
    /// Time each of these commands may take; `None` = no limit.
    pub timeout_ms: Option<u64>,
    /// Repository of a project without a local checkout.
    pub repo_url: Option<String>,
}

impl Default for WorkspaceConfig {
    fn default() -> Self {
        Self {
            mode: None,
            strategy: None,
            branch: "{{issue.identifier}}-{{slug}}".into(),
            parent: ".wharf/worktrees".into(),
            base_ref: None,
            concurrency: Concurrency::Serialise,
            provision: None,
            teardown: None,
            cleanup: None,
            timeout_ms: Some(10 * 60_000),
            repo_url: None,
        }
    }
}

/// A command: a string is one line for `$SHELL -c`, a list is a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    /// One line for a shell.
    Shell(String),
    /// Program and arguments; never empty.
    Argv(Vec<String>),
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// Stands in the file.
    Text(String),
    /// Is looked up at each start.
    Secret {
        /// Name of a `[secret.<name>]`.
        #[serde(rename = "secret")]
        name: String,
    },
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prompt {
    /// Path of its file, relative to `wharf.toml`.
    File(String),
    /// Stands in the config itself.
    Text {
        /// The prompt.
        text: String,
    },
}

/// `[[agent]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// Name, unique in the project.
    pub name: String,
    /// Its adapter, with the settings of `[agent.config]`.
    #[serde(flatten)]
    pub adapter: AdapterConfig,
    /// Environment it runs in; unset = the company's.
    pub environment: Option<String>,
    /// Runs of it at once, 1 to 50.
    pub concurrent_runs: u32,
    /// Time a run may take; `None` = no limit.
    pub timeout_ms: Option<u64>,
    /// Time between SIGTERM and SIGKILL.
    pub grace_ms: u64,
    /// Silence after which a run is called silent; `None` = never.
    pub silence_ms: Option<u64>,
    /// Give it a terminal.
    pub tty: bool,
    /// What it is told at each start.
    pub prompt: Option<Prompt>,
    /// What it is told at its first start.
    pub bootstrap: Option<Prompt>,
    /// Time between wakeups by the clock; `None` = none.
    pub timer_ms: Option<u64>,
    /// Whether assignments and comments wake it.
    pub wake_on_demand: bool,
    /// Whether a run that was lost is tried again.
    pub retry_lost: bool,
    /// What it may use.
    pub budget: Option<Budget>,
    /// Hand it `SSH_AUTH_SOCK`.
    pub pass_ssh_agent: bool,
    /// Command names of processes that may outlive a run.
    pub keep: Vec<String>,
    /// Services its runs use, by name: each is ready before a run starts. Absent in configs that
    /// were accepted before there was this key.
    #[serde(default)]
    pub services: Vec<String>,
    /// Caps of one run. Left out where there are none, so that a config accepted before there was
    /// this key stays the same.
    #[serde(default, skip_serializing_if = "RunLimits::is_empty")]
    pub limits: RunLimits,
    /// Its environment variables.
    pub env: BTreeMap<String, EnvValue>,
}

/// `limits` of an agent: what one run of it may have at once; `None` = no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunLimits {
    /// Processes, threads counted.
    pub processes: Option<u64>,
    /// Memory of all its processes together.
    pub memory_bytes: Option<u64>,
}

impl RunLimits {
    /// Whether nothing is capped.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AgentConfig {
    /// An agent with every default of contracts 8.
    pub fn new(name: String, adapter: AdapterConfig) -> Self {
        Self {
            name,
            adapter,
            environment: None,
            concurrent_runs: 20,
            timeout_ms: None,
            grace_ms: 15_000,
            silence_ms: Some(60 * 60_000),
            tty: false,
            prompt: None,
            bootstrap: None,
            timer_ms: None,
            wake_on_demand: true,
            retry_lost: true,
            budget: None,
            pass_ssh_agent: false,
            keep: Vec::new(),
            services: Vec::new(),
            limits: RunLimits::default(),
            env: BTreeMap::new(),
        }
    }

    /// Why a run of it is sent no prompt; `None` when it is sent one.
    pub const fn takes_no_prompt(&self) -> Option<NoPrompt> {
        let AdapterConfig::Process(process) = &self.adapter;
        match &process.stdin {
            _ if self.tty => Some(NoPrompt::Terminal),
            Stdin::None => Some(NoPrompt::NoInput),
            Stdin::Text(_) => Some(NoPrompt::OwnText),
            Stdin::Prompt => None,
        }
    }
}

/// Why a run is sent no prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPrompt {
    /// It has a terminal: programs drop what was typed before they were ready to read it.
    Terminal,
    /// Its standard input is empty.
    NoInput,
    /// Its standard input holds a text of its own.
    OwnText,
}

impl NoPrompt {
    /// What stands in the way, after the agent's name and "takes no prompt:".
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Terminal => "it has a terminal (tty = true)",
            Self::NoInput => "its stdin is \"none\"",
            Self::OwnText => "its stdin holds a text of its own",
        }
    }

    /// What to do instead.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Terminal => "start it without one and type it with wharf attach",
            Self::NoInput | Self::OwnText => "start it without one, or set stdin = \"prompt\" in its [agent.config]",
        }
    }
}

/// An agent's adapter and what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "adapter", content = "config", rename_all = "snake_case")]
pub enum AdapterConfig {
    /// Starts a program.
    Process(ProcessConfig),
}

impl AdapterConfig {
    /// The adapter's word.
    pub const fn adapter(&self) -> Adapter {
        match self {
            Self::Process(_) => Adapter::Process,
        }
    }
}

/// `[agent.config]` of the adapter `process`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// Program, or with `shell` one line for `$SHELL -c`.
    pub command: String,
    /// Its arguments; empty with `shell`.
    pub args: Vec<String>,
    /// Run `command` through `$SHELL -c`.
    pub shell: bool,
    /// Directory it starts in, inside the workspace.
    pub cwd: String,
    /// What its standard input holds.
    pub stdin: Stdin,
}

/// What a process finds on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// Nothing.
    None,
    /// The run's prompt.
    Prompt,
    /// This text.
    Text(String),
}

/// What an agent may use; `None` = no limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Tokens a day.
    pub tokens_per_day: Option<u64>,
    /// Millionths of a dollar a month.
    pub microusd_per_month: Option<u64>,
}

/// `[[environment]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentConfig {
    /// Name, unique in the project.
    pub name: String,
    /// How it is reached.
    pub driver: Driver,
    /// How long what a lease holds is kept.
    pub lease_policy: LeasePolicy,
    /// Leases at once; `None` = no limit.
    pub slots: Option<u32>,
    /// Life of a lease that nobody renews.
    pub ttl_ms: u64,
    /// Settings of the driver; empty for `local`.
    pub config: BTreeMap<String, Value>,
}

/// `[[service]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceConfig {
    /// Name, unique in the project.
    pub name: String,
    /// What runs.
    pub command: CommandLine,
    /// Directory it starts in, inside the workspace.
    pub cwd: String,
    /// Its environment variables.
    pub env: BTreeMap<String, EnvValue>,
    /// Its port.
    pub port: Port,
    /// How long it outlives its users.
    pub lifecycle: Lifecycle,
    /// What its users have in common.
    pub reuse: Reuse,
    /// When it is ready.
    pub ready: Ready,
    /// When it is healthy, once running.
    pub live: Option<Live>,
    /// Where people and agents reach it; a template with `{{port}}`.
    pub url: Option<String>,
    /// What ends it, and how.
    pub stop: StopConfig,
    /// When it is started again.
    pub restart: RestartConfig,
    /// Services that must be ready first.
    pub depends_on: Vec<String>,
    /// The state it is meant to be in.
    pub desired: Desired,
    /// Why it is switched off; `None` = it is not.
    pub disabled: Option<String>,
}

impl ServiceConfig {
    /// A service with every default of contracts 8.
    pub fn new(name: String, command: CommandLine) -> Self {
        Self {
            name,
            command,
            cwd: ".".into(),
            env: BTreeMap::new(),
            port: Port::None,
            lifecycle: Lifecycle::Shared,
            reuse: Reuse::ProjectWorkspace,
            ready: Ready::default(),
            live: None,
            url: None,
            stop: StopConfig::default(),
            restart: RestartConfig::default(),
            depends_on: Vec::new(),
            desired: Desired::Manual,
            disabled: None,
        }
    }
}

/// The port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Port {
    /// It has none.
    None,
    /// A free one is chosen.
    Auto {
        /// Variable that tells the service.
        env: String,
    },
    /// Always this one.
    Fixed {
        /// The port, never 0.
        port: u16,
        /// Variable that tells the service.
        env: String,
    },
}

/// When a service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// What is looked at.
    pub check: ReadyCheck,
    /// Time it may take from the start.
    pub timeout_ms: u64,
    /// Time between two looks.
    pub interval_ms: u64,
}

impl Default for Ready {
    fn default() -> Self {
        Self { check: ReadyCheck::None, timeout_ms: 30_000, interval_ms: 500 }
    }
}

/// What tells that a service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyCheck {
    /// It runs.
    None,
    /// This address answers; a template with `{{port}}`.
    Http(String),
    /// This `host:port` accepts a connection; a template with `{{port}}`.
    Tcp(String),
    /// This command ends with 0.
    Command(CommandLine),
    /// A line of its output contains this.
    LogLine(String),
}

/// When a running service is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Address that answers while it is; a template with `{{port}}`.
    pub http: String,
    /// Time between two looks.
    pub interval_ms: u64,
    /// Failed looks in a row after which it is unhealthy.
    pub failures: u32,
}

/// What ends a service, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopConfig {
    /// What ends it.
    pub policy: StopPolicy,
    /// Time without a user before an idle one is stopped.
    pub idle_ms: u64,
    /// First signal.
    pub signal: String,
    /// Time between that and SIGKILL.
    pub grace_ms: u64,
}

impl Default for StopConfig {
    fn default() -> Self {
        Self { policy: StopPolicy::Manual, idle_ms: 30 * 60_000, signal: "SIGTERM".into(), grace_ms: 10_000 }
    }
}

/// When a service that exited is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartConfig {
    /// When.
    pub policy: RestartPolicy,
    /// First pause; it doubles.
    pub backoff_ms: u64,
    /// Restarts within `within_ms` after which it is parked.
    pub max: u32,
    /// The time over which restarts are counted.
    pub within_ms: u64,
}

impl Default for RestartConfig {
    fn default() -> Self {
        Self { policy: RestartPolicy::Never, backoff_ms: 1000, max: 5, within_ms: 600_000 }
    }
}

/// `[[job]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobConfig {
    /// Name, unique in the project.
    pub name: String,
    /// What runs.
    pub command: CommandLine,
    /// Time it may take; `None` = no limit.
    pub timeout_ms: Option<u64>,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretConfig {
    /// This variable of the operator's environment.
    Env(String),
    /// This file, relative to `wharf.toml`.
    File(String),
    /// What this program writes to its standard output.
    Command(Vec<String>),
}

/// One difference between two configs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where, in the file's words: `agent.fixer.config.command`.
    pub path: String,
    /// The value in force; absent when it is new.
    pub old: Option<String>,
    /// The value of the file; absent when it was removed.
    pub new: Option<String>,
}

impl ProjectConfig {
    /// SHA-256, in hex, of every value: the same for two files that differ in comments, in order of
    /// keys or in spelling of a value.
    pub fn content_hash(&self) -> String {
        hash(&self.tree(|_| true))
    }

    /// SHA-256, in hex, of what can execute something, choose where it executes, or carry a secret.
    /// Only when this differs does a changed file need the operator's acceptance.
    pub fn executable_hash(&self) -> String {
        hash(&self.executable())
    }

    /// All values by their place in the file, for showing: `agent.fixer.grace` = `15s`.
    pub fn values(&self) -> BTreeMap<String, String> {
        flatten(&self.tree(|_| true))
    }

    fn executable(&self) -> Value {
        // Named are the harmless keys, so that a key added later asks for acceptance by default.
        const HARMLESS: &[&str] =
            &["concurrent_runs", "timeout_ms", "grace_ms", "silence_ms", "wake_on_demand", "retry_lost", "budget"];
        let mut tree = self.tree(|key| !HARMLESS.contains(&key));
        if let Some(Value::Object(project)) = tree.get_mut("project") {
            project.retain(|key, _| key == "default_environment");
        }
        tree
    }

    /// The config as JSON with named things in maps, so that their order has no meaning.
    /// `keep` chooses among the keys of agents.
    fn tree(&self, keep: impl Fn(&str) -> bool) -> Value {
        let agents = named(&self.agents, |a| &a.name, keep);
        let mut root = Map::new();
        root.insert("project".into(), json(&self.project));
        root.insert("workspace".into(), json(&self.workspace));
        root.insert("agent".into(), agents);
        root.insert("environment".into(), named(&self.environments, |e| &e.name, |_| true));
        root.insert("service".into(), named(&self.services, |s| &s.name, |_| true));
        root.insert("job".into(), named(&self.jobs, |j| &j.name, |_| true));
        root.insert("secret".into(), json(&self.secrets));
        Value::Object(root)
    }
}

/// What differs between two configs among the values that need acceptance, sorted by place.
/// Values of secrets are never in a config, so none can be shown.
pub fn executable_difference(old: &ProjectConfig, new: &ProjectConfig) -> Vec<Change> {
    let (old, new) = (flatten(&old.executable()), flatten(&new.executable()));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| old.get(*path) != new.get(*path))
        .map(|path| Change { path: path.clone(), old: old.get(path).cloned(), new: new.get(path).cloned() })
        .collect()
}

fn named<T: Serialize>(items: &[T], name: impl Fn(&T) -> &String, keep: impl Fn(&str) -> bool) -> Value {
    let mut all = Map::new();
    for item in items {
        let mut value = json(item);
        if let Value::Object(fields) = &mut value {
            fields.retain(|key, _| key != "name" && keep(key));
        }
        all.insert(name(item).clone(), value);
    }
    Value::Object(all)
}

fn json<T: Serialize>(value: &T) -> Value {
    // Config types hold strings, numbers and maps with string keys: nothing JSON cannot hold.
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn hash(tree: &Value) -> String {
    // serde_json keeps objects sorted by key, so equal trees have equal text.
    let digest = Sha256::digest(tree.to_string().as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

#[cfg(test)]
mod tests;

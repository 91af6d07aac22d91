//! What a project's `wharf.toml` says, typed and validated (contracts 8).
//!
//! Plain data: no file is read here. Its JSON form mirrors the file, so that a stored row, a shown
//! difference and the file itself use the same words. Durations are milliseconds, sizes bytes;
//! where the file writes `0s` for "none", the value here is `None`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod accept;
mod agent;
pub mod driver;
mod flat;
mod machine;
pub mod secret;
mod service;
mod workspace;

pub use accept::{Change, executable_difference};
pub use agent::{Adapter, AdapterConfig, AgentConfig, Budget, NoPrompt, ProcessConfig, Prompt, RunLimits, Stdin};
pub use flat::{flatten, show_bytes, show_duration};
pub use machine::{Limits, Retention};
pub use service::{Live, Port, Ready, ReadyCheck, RestartConfig, RestartPolicy, ServiceConfig, StopConfig};
pub use workspace::{Concurrency, WorkspaceConfig, WorkspaceMode, WorkspaceStrategy};

pub use crate::{Desired, Driver, LeasePolicy, Lifecycle, ReuseScope as Reuse, StopPolicy};

/// Name of the environment that is always there: this machine.
pub const LOCAL_ENVIRONMENT: &str = "Local";

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
    /// How long what a lease held is kept after its run, by the policies that keep it.
    pub keep_ms: u64,
    /// Settings of the driver, as [`driver::DriverConfig::read`] reads them; empty for `local`.
    pub config: BTreeMap<String, Value>,
}

/// `[[job]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobConfig {
    /// Name, unique in the project.
    pub name: String,
    /// What runs.
    pub command: CommandLine,
    /// Where, inside the workspace.
    #[serde(default = "here", skip_serializing_if = "is_here")]
    pub cwd: String,
    /// Its own variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// Time it may take; `None` = no limit.
    pub timeout_ms: Option<u64>,
}

fn here() -> String {
    ".".to_owned()
}

fn is_here(cwd: &str) -> bool {
    cwd == "."
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

#[cfg(test)]
mod tests;

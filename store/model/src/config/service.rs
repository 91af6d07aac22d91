//! `[[service]]`: what runs share.

use super::{CommandLine, Desired, EnvValue, Lifecycle, Reuse, StopPolicy};
use crate::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

words! {
    /// When a service that exited is started again.
    pub enum RestartPolicy { Never = "never", OnFailure = "on_failure", Always = "always" }
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
    /// What is looked at.
    pub check: LiveCheck,
    /// Time between two looks.
    pub interval_ms: u64,
    /// Failed looks in a row after which it is unhealthy.
    pub failures: u32,
    /// Time that one look may take.
    pub timeout_ms: u64,
}

impl Live {
    /// A check with every default.
    pub fn new(check: LiveCheck) -> Self {
        Self { check, interval_ms: 10_000, failures: 3, timeout_ms: 2_000 }
    }
}

/// What tells that a running service is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveCheck {
    /// This address answers; a template with `{{port}}`.
    Http(String),
    /// This `host:port` accepts a connection; a template with `{{port}}`.
    Tcp(String),
    /// This command ends with 0.
    Command(CommandLine),
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

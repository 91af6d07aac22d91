//! What `[environment.config]` says, typed by its driver and validated as strictly as the rest.

mod read;

use std::collections::BTreeMap;

use serde_json::Value;

use super::SecretConfig;
use crate::{Driver, LeasePolicy, words};

/// Where a value stands in a config, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}; {expected}")]
pub struct Invalid {
    /// Keys from `config` on, joined by dots; empty for the config itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: String,
}

/// The settings of one driver.
#[derive(Debug, Clone, PartialEq)]
pub enum DriverConfig {
    /// This machine; it has no settings.
    Local,
    /// A host that OpenSSH reaches.
    Ssh(SshConfig),
    /// A sandbox on this machine.
    Sandbox(SandboxConfig),
    /// A program that speaks the plugin protocol.
    Plugin(PluginConfig),
}

/// `driver = "ssh"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshConfig {
    /// Host, or an alias of the operator's own ssh config.
    pub host: String,
    /// Unset = what ssh's config says.
    pub port: Option<u16>,
    /// Unset = what ssh's config says.
    pub user: Option<String>,
    /// Directory on the host below which everything of ours lies; absolute, or `~/…` there.
    pub path: String,
    /// `-o Name=value` for ssh, on top of its own config.
    pub options: BTreeMap<String, String>,
}

words! {
    /// Who keeps a sandbox.
    pub enum SandboxProvider { Bubblewrap = "bubblewrap", Podman = "podman", Docker = "docker" }
}

impl SandboxProvider {
    /// Whether its sandboxes are containers made from images.
    pub const fn is_container(self) -> bool {
        matches!(self, Self::Podman | Self::Docker)
    }
}

/// `driver = "sandbox"`.
#[derive(Debug, Clone, PartialEq)]
pub struct SandboxConfig {
    /// Who keeps it.
    pub provider: SandboxProvider,
    /// Image of a container.
    pub image: Option<String>,
    /// Directories of this machine that are seen inside.
    pub mounts: Vec<Mount>,
    /// Whether it reaches the network.
    pub network: Network,
    /// User inside a container, as `name`, `uid` or `uid:gid`.
    pub user: Option<String>,
    /// What it may use.
    pub limits: SandboxLimits,
    /// Variables that are set inside, over those of the agent's allow-list and under those of the agent.
    pub env: BTreeMap<String, String>,
}

/// A directory of this machine that is seen inside a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Here; absolute, `~/…` or relative to the project.
    pub source: String,
    /// There; absolute. The same as here when it was not written.
    pub target: String,
    /// Whether it may be written; not unless it says so.
    pub writable: bool,
}

words! {
    /// What of the network a sandbox sees.
    pub enum Network { None = "none", Host = "host", Private = "private" }
}

/// Caps of one sandbox; `None` = none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SandboxLimits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processes at once.
    pub processes: Option<u64>,
    /// Processors; a fraction counts.
    pub cpus: Option<f64>,
}

/// `driver = "plugin"`.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConfig {
    /// Program and its arguments; a program with a slash is relative to the project.
    pub command: Vec<String>,
    /// Which of the plugin's drivers.
    pub driver: String,
    /// What the plugin is told; its values may be secret references, `{ env | file | command }`.
    pub config: Value,
    /// Time that one call may take, milliseconds.
    pub timeout_ms: u64,
}

impl DriverConfig {
    /// Reads the settings of a driver; every mistake is reported with its place.
    ///
    /// `config` is the table as JSON: durations and sizes are still the words of the file.
    pub fn read(driver: Driver, config: &Value) -> Result<Self, Vec<Invalid>> {
        read::read(driver, config)
    }

    /// Which driver's these are.
    pub const fn driver(&self) -> Driver {
        match self {
            Self::Local => Driver::Local,
            Self::Ssh(_) => Driver::Ssh,
            Self::Sandbox(_) => Driver::Sandbox,
            Self::Plugin(_) => Driver::Plugin,
        }
    }

    /// Who provides what a lease holds, in a word: `local`, `ssh`, `bubblewrap`, `podman`, `docker`, `plugin:<driver>`.
    pub fn provider(&self) -> String {
        match self {
            Self::Local | Self::Ssh(_) => self.driver().as_str().to_owned(),
            Self::Sandbox(sandbox) => sandbox.provider.as_str().to_owned(),
            Self::Plugin(plugin) => format!("plugin:{}", plugin.driver),
        }
    }
}

/// Why an environment of a driver cannot have a policy; none when it can.
pub fn unfit(driver: Driver, policy: LeasePolicy) -> Option<String> {
    (driver == Driver::Local && policy != LeasePolicy::Ephemeral)
        .then(|| format!("driver local keeps nothing that a later lease could use, so its policy cannot be {policy}"))
}

/// A reference to a secret inside a driver's config, when the value is one.
pub fn secret_reference(value: &Value) -> Option<SecretConfig> {
    let table = value.as_object().filter(|table| table.len() == 1)?;
    ["env", "file", "command"].iter().any(|key| table.contains_key(*key)).then_some(())?;
    serde_json::from_value(value.clone()).ok()
}

//! `[[agent]]`: what is started, and with what.

use super::{AgentWorkspace, EnvValue};
use crate::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

words! {
    /// What turns an agent of the config into a process or a call.
    pub enum Adapter {
        Process = "process", Http = "http", Claude = "claude", Codex = "codex", Gemini = "gemini",
        Opencode = "opencode", Cursor = "cursor", Pi = "pi", Acp = "acp", Fake = "fake",
    }
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
    /// Where its runs work, as far as neither issue nor project says. Left out where it says nothing, like `limits`.
    #[serde(default, skip_serializing_if = "AgentWorkspace::is_empty")]
    pub workspace: AgentWorkspace,
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
            workspace: AgentWorkspace::default(),
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

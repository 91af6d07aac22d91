//! The adapter `process`: an agent that is a program. Turns its config and the facts of one run
//! into what a shim is told.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use wharf_model::config::{AdapterConfig, AgentConfig, NoPrompt, ProcessConfig, Prompt, RunLimits, Stdin};
use wharf_model::shim::{LogSpec, ShimKind, Spec, StartMessage, StdinMode, TtySize, limit};

use super::elsewhere;
use super::secret::REDACTED_FROM_BYTES;
use super::small_file;
use crate::environment::target::{Inside, Target};

/// Largest prompt, in bytes.
pub const PROMPT_MAX_BYTES: u64 = 1 << 20;
/// Longest single argument or variable the kernel takes, its end included.
const STRING_MAX_BYTES: usize = 128 * 1024;
/// Most bytes of all arguments and variables together; the kernel's own limit is never below this.
const STRINGS_MAX_BYTES: usize = 1024 * 1024;
const SPEC_VERSION: u32 = 1;

/// Why a run of an agent cannot be started. The message names the agent's setting and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The directory is not there, or no directory.
    #[error("cwd {cwd:?} of agent {agent:?} is no directory of the workspace {}: {source}", workspace.display())]
    CwdMissing {
        /// The agent.
        agent: String,
        /// As configured.
        cwd: String,
        /// The workspace.
        workspace: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory lies outside, by its words or by a link.
    #[error("cwd {cwd:?} of agent {agent:?} leads out of the workspace {} to {}", workspace.display(), place.display())]
    CwdOutside {
        /// The agent.
        agent: String,
        /// As configured.
        cwd: String,
        /// The workspace.
        workspace: PathBuf,
        /// Where it leads.
        place: PathBuf,
    },
    /// The prompt's file cannot be read.
    #[error("the prompt of agent {agent:?} cannot be read from {}: {source}", path.display())]
    Prompt {
        /// The agent.
        agent: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A secret's value stands among the arguments, where every user of the machine could read it.
    #[error("argument {number} of agent {agent:?} holds the value of a secret; pass it in env instead")]
    SecretInArguments {
        /// The agent.
        agent: String,
        /// Which one; 0 is the command.
        number: usize,
    },
    /// Something is longer than a process can be given.
    #[error("{what} of agent {agent:?} has {bytes} bytes, more than the {max} a process can be given")]
    TooLong {
        /// The agent.
        agent: String,
        /// Which argument or variable, or all together.
        what: String,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A prompt that it would never read.
    #[error("agent {agent} takes no prompt: {}; {}", why.cause(), why.advice())]
    NoPrompt {
        /// The agent.
        agent: String,
        /// What stands in the way.
        why: NoPrompt,
    },
    /// Its terminal would be typed what only the way to its place may know.
    #[error("agent {agent:?} has a terminal, and its environment passes variables by standard input; set tty = false")]
    NoTerminal {
        /// The agent.
        agent: String,
    },
    /// Something cannot be told to a process at all.
    #[error("{what} of agent {agent:?} {cause}")]
    Unusable {
        /// The agent.
        agent: String,
        /// What it is.
        what: String,
        /// Why.
        cause: &'static str,
    },
}

impl AdapterError {
    /// The error code of the run that fails with it (contracts 10).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CwdMissing { .. } => "cwd_missing",
            Self::NoTerminal { .. } => "unsupported_adapter_environment",
            Self::CwdOutside { .. }
            | Self::Prompt { .. }
            | Self::SecretInArguments { .. }
            | Self::TooLong { .. }
            | Self::NoPrompt { .. }
            | Self::Unusable { .. } => "adapter_failed",
        }
    }
}

/// The facts of one attempt of a run.
#[derive(Clone)]
pub struct ProcessStart<'a> {
    /// The run's id in its stored form.
    pub run_id: String,
    /// Which attempt.
    pub attempt: u32,
    /// Epoch of the orchestrator that starts it.
    pub epoch: i64,
    /// Value of `WHARF_TAG`.
    pub tag: String,
    /// The agent.
    pub agent: &'a AgentConfig,
    /// Where it starts: an answer of [`directory`], or what that is called in its place.
    pub cwd: &'a Path,
    /// How it is started where it is to run.
    pub target: &'a Target,
    /// Directory of this machine for whatever leads to another place.
    pub here: &'a str,
    /// What it is told, if anything.
    pub prompt: Option<&'a str>,
    /// What it gets of the operator's environment.
    pub allowed: BTreeMap<String, String>,
    /// What else it gets, secrets included.
    pub own: BTreeMap<String, String>,
    /// The values that must not appear in output.
    pub redact: Vec<String>,
    /// Token for the agent socket.
    pub token: Option<String>,
    /// How output is kept.
    pub log: LogSpec,
}

/// The directory an agent starts in, with every link resolved; refused when it is not inside the
/// workspace. Looks at the disk.
pub fn directory(agent: &AgentConfig, workspace: &Path) -> Result<PathBuf, AdapterError> {
    let AdapterConfig::Process(ProcessConfig { cwd, .. }) = &agent.adapter;
    let missing = |source| AdapterError::CwdMissing {
        agent: agent.name.clone(),
        cwd: cwd.clone(),
        workspace: workspace.to_owned(),
        source,
    };
    let root = workspace.canonicalize().map_err(missing)?;
    let place = root.join(cwd).canonicalize().map_err(missing)?;
    if !place.starts_with(&root) {
        return Err(AdapterError::CwdOutside {
            agent: agent.name.clone(),
            cwd: cwd.clone(),
            workspace: workspace.to_owned(),
            place,
        });
    }
    if !place.is_dir() {
        return Err(missing(std::io::Error::from(std::io::ErrorKind::NotADirectory)));
    }
    Ok(place)
}

/// The directory an agent starts in, relative to the workspace, by its words alone: for a place whose disk this
/// machine does not see.
pub fn directory_there(agent: &AgentConfig, workspace: &Path) -> Result<PathBuf, AdapterError> {
    let AdapterConfig::Process(ProcessConfig { cwd, .. }) = &agent.adapter;
    let outside = || AdapterError::CwdOutside {
        agent: agent.name.clone(),
        cwd: cwd.clone(),
        workspace: workspace.to_owned(),
        place: workspace.join(cwd),
    };
    let mut inside = PathBuf::new();
    for part in Path::new(cwd).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            Component::ParentDir if inside.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(inside)
}

/// The text of an agent's prompt; `project` is the directory of its `wharf.toml`. Reads the disk.
pub fn prompt(agent: &AgentConfig, project: &Path) -> Result<Option<String>, AdapterError> {
    match &agent.prompt {
        None => Ok(None),
        Some(Prompt::Text { text }) => Ok(Some(text.clone())),
        Some(Prompt::File(file)) => {
            let path = project.join(file);
            let text = small_file::read(&path, PROMPT_MAX_BYTES);
            text.map(|(text, _)| Some(text)).map_err(|source| AdapterError::Prompt {
                agent: agent.name.clone(),
                path,
                source,
            })
        }
    }
}

/// What the shim of this attempt is told. The spec holds no secret; the start message does.
pub fn start(start: ProcessStart<'_>) -> Result<(Spec, StartMessage), AdapterError> {
    let agent = start.agent;
    let AdapterConfig::Process(process) = &agent.adapter;
    let target = start.target;
    // The shim knows the shell of this machine only.
    let by_shim = process.shell && target.is_here();
    let argv = match (process.shell, by_shim) {
        (true, true) => vec![process.command.clone()],
        (true, false) => vec![shell_there(&start), "-c".into(), process.command.clone()],
        (false, _) => std::iter::once(&process.command).chain(&process.args).cloned().collect(),
    };
    let mut all = start.allowed.clone();
    all.extend(start.own.clone());
    check(agent, &argv, &all, &start.redact)?;
    let cwd = start.cwd.to_str().ok_or_else(|| AdapterError::Unusable {
        agent: agent.name.clone(),
        what: format!("the directory {}", start.cwd.display()),
        cause: "is no UTF-8; rename it",
    })?;
    if let (Some(_), Some(why)) = (start.prompt, agent.takes_no_prompt()) {
        return Err(AdapterError::NoPrompt { agent: agent.name.clone(), why });
    }
    let inside =
        Inside { argv: &argv, cwd, allowed: &start.allowed, own: &start.own, tty: agent.tty, here: start.here };
    let wrapped = elsewhere::wrap(target, &inside, &start.tag, agent.grace_ms);
    if agent.tty && wrapped.first_line.is_some() {
        // It would be typed into the terminal, and shown.
        return Err(AdapterError::NoTerminal { agent: agent.name.clone() });
    }
    check(agent, &wrapped.argv, &wrapped.env, &start.redact)?;
    let stdin = match &process.stdin {
        Stdin::Text(_) if agent.tty => {
            return Err(AdapterError::Unusable {
                agent: agent.name.clone(),
                what: "the stdin".into(),
                cause: "cannot be sent to a terminal; set it to \"none\"",
            });
        }
        Stdin::None => None,
        Stdin::Prompt => start.prompt.map(str::to_owned),
        Stdin::Text(text) => Some(text.clone()),
    };
    // What the command of this machine must know comes before what the agent reads.
    let stdin = match wrapped.first_line {
        Some(line) => Some(line + &stdin.unwrap_or_default()),
        None => stdin,
    };
    let mut redact = start.redact;
    redact.extend(target.redact.iter().cloned());
    redact.extend(start.token.clone());
    let spec = Spec {
        v: SPEC_VERSION,
        kind: ShimKind::Run,
        id: start.run_id,
        attempt: start.attempt,
        epoch: start.epoch,
        argv: wrapped.argv,
        cwd: wrapped.cwd,
        env_names: wrapped.env.keys().cloned().collect(),
        shell: by_shim,
        tty: agent.tty.then_some(TtySize { rows: 24, cols: 80 }),
        stdin: if stdin.is_some() { StdinMode::Sent } else { StdinMode::None },
        timeout_ms: agent.timeout_ms,
        grace_ms: elsewhere::shim_grace(target, agent.grace_ms),
        log: start.log,
        limits: caps(&agent.limits),
        tag: start.tag,
        redact_count: redact.len() as u32,
        stop_signal: None,
        keep: agent.keep.clone(),
        boot_id: None,
    };
    Ok((spec, StartMessage { env: wrapped.env, stdin, redact, token: start.token }))
}

/// The shell of the place a command line is to run in.
fn shell_there(start: &ProcessStart<'_>) -> String {
    let operators = start.allowed.get("SHELL").filter(|_| start.target.keeps_identity);
    let shell = start.own.get("SHELL").or(operators).filter(|s| s.starts_with('/'));
    shell.map_or_else(|| "/bin/sh".to_owned(), Clone::clone)
}

/// The caps of an agent as a shim is told them.
fn caps(limits: &RunLimits) -> BTreeMap<String, u64> {
    [(limit::PROCESSES, limits.processes), (limit::MEMORY, limits.memory_bytes)]
        .into_iter()
        .filter_map(|(name, n)| Some((name.to_owned(), n?)))
        .collect()
}

/// Refuses what the kernel would refuse without a word of help, and secrets in plain sight.
fn check(
    agent: &AgentConfig,
    argv: &[String],
    env: &BTreeMap<String, String>,
    redact: &[String],
) -> Result<(), AdapterError> {
    let name = || agent.name.clone();
    let unusable = |what: String, cause| AdapterError::Unusable { agent: name(), what, cause };
    let too_long = |what: String, bytes, max| AdapterError::TooLong { agent: name(), what, bytes, max };
    if argv.first().is_none_or(String::is_empty) {
        return Err(unusable("the command".into(), "is empty"));
    }
    let mut total = 0_usize;
    for (number, argument) in argv.iter().enumerate() {
        let is_secret = |value: &&String| value.len() >= REDACTED_FROM_BYTES && argument.contains(value.as_str());
        if redact.iter().any(|value| is_secret(&value)) {
            return Err(AdapterError::SecretInArguments { agent: name(), number });
        }
        if argument.contains('\0') {
            return Err(unusable(format!("argument {number}"), "holds a NUL"));
        }
        if argument.len() >= STRING_MAX_BYTES {
            return Err(too_long(format!("argument {number}"), argument.len(), STRING_MAX_BYTES - 1));
        }
        total = total.saturating_add(argument.len() + 1);
    }
    for (variable, value) in env {
        if variable.is_empty() || variable.contains(['=', '\0']) {
            return Err(unusable(format!("the variable {variable:?}"), "has no name that an environment can carry"));
        }
        if value.contains('\0') {
            return Err(unusable(format!("the variable {variable}"), "holds a NUL"));
        }
        let bytes = variable.len() + 1 + value.len();
        if bytes >= STRING_MAX_BYTES {
            return Err(too_long(format!("the variable {variable}"), bytes, STRING_MAX_BYTES - 1));
        }
        total = total.saturating_add(bytes + 1);
    }
    if total > STRINGS_MAX_BYTES {
        return Err(too_long("all arguments and variables".into(), total, STRINGS_MAX_BYTES));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

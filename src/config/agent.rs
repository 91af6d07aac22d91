//! `[[agent]]` and its adapter's settings.

use wharf_model::config::{Adapter, AdapterConfig, AgentConfig, Budget, NoPrompt, ProcessConfig, RunLimits, Stdin};

use super::parts::{directory, env, only_text, prompt};
use super::project::References;
use super::reader::{Reader, Section, filled, integer, strings};
use super::text;
use super::workspace::agent_workspace;

/// Reads one agent. `None` when it lacks what an agent cannot be without; that is a problem then.
pub(super) fn agent<'t>(
    reader: &mut Reader<'t>,
    name: String,
    mut section: Section<'_, 't>,
    references: &mut References,
) -> Option<AgentConfig> {
    let s = &mut section;
    let kind = reader.word(s, "adapter", Adapter::ALL, Adapter::as_str);
    if !s.has("adapter") {
        reader.need(s, "adapter", "\"process\"");
    }
    let process = if kind != Some(Adapter::Process) {
        // Settings belong to an adapter: without one that is known, none can be judged.
        reader.take(s, "config");
        None
    } else if s.has("config") {
        reader.table(s, "config", "agent.config").and_then(|config| process(reader, config))
    } else {
        let message = format!("agent {name:?} has no [agent.config]");
        reader.missing(s.span(), message, "expected [agent.config] with a command below it");
        None
    };
    let placeholder =
        ProcessConfig { command: String::new(), args: Vec::new(), shell: false, cwd: ".".into(), stdin: Stdin::Prompt };
    let is_whole = process.is_some();
    let mut agent = AgentConfig::new(name, AdapterConfig::Process(process.unwrap_or(placeholder)));
    if let Some(value) = reader.take(s, "environment") {
        agent.environment = reader.convert(s, "environment", value, "a name", "the name of an environment", filled);
        if let Some(name) = &agent.environment {
            references.environments.push((name.clone(), value.span()));
        }
    }
    if let Some(runs) = reader.number(s, "concurrent_runs", 1, 50) {
        agent.concurrent_runs = runs as u32;
    }
    reader.limit(s, "timeout", &mut agent.timeout_ms);
    agent.grace_ms = reader.duration(s, "grace").unwrap_or(agent.grace_ms);
    reader.limit(s, "silence", &mut agent.silence_ms);
    agent.tty = reader.boolean(s, "tty").unwrap_or(agent.tty);
    agent.prompt = prompt(reader, s, "prompt");
    without_input(reader, s, &agent);
    agent.bootstrap = prompt(reader, s, "bootstrap");
    reader.limit(s, "timer", &mut agent.timer_ms);
    agent.wake_on_demand = reader.boolean(s, "wake_on_demand").unwrap_or(agent.wake_on_demand);
    agent.retry_lost = reader.boolean(s, "retry_lost").unwrap_or(agent.retry_lost);
    agent.budget = reader.table(s, "budget", "agent.budget").map(|section| budget(reader, section));
    agent.pass_ssh_agent = reader.boolean(s, "pass_ssh_agent").unwrap_or(agent.pass_ssh_agent);
    agent.keep = reader.strings(s, "keep").unwrap_or_default();
    agent.services = services(reader, s, references);
    if let Some(section) = reader.table(s, "limits", "agent.limits") {
        agent.limits = limits(reader, section);
    }
    if let Some(section) = reader.table(s, "workspace", "agent.workspace") {
        agent.workspace = agent_workspace(reader, section);
    }
    agent.env = env(reader, s, references);
    reader.close(section);
    is_whole.then_some(agent)
}

/// What is sent nothing must not be promised anything: a prompt that nobody reads is a mistake. A terminal
/// is typed into; nothing is sent to it from the config.
fn without_input<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>, agent: &AgentConfig) {
    let Some(why) = agent.takes_no_prompt() else { return };
    if let Some(value) = reader.take(section, "prompt") {
        let (message, expected) = match why {
            NoPrompt::Terminal => (
                "an agent with a terminal is sent no prompt",
                "expected no prompt beside tty = true; whoever attaches types it, or the command carries it",
            ),
            NoPrompt::NoInput => (
                "an agent with stdin = \"none\" is sent no prompt",
                "expected stdin = \"prompt\" in [agent.config], or no prompt",
            ),
            NoPrompt::OwnText => (
                "an agent whose stdin holds a text of its own is sent no prompt",
                "expected stdin = \"prompt\" in [agent.config], or no prompt",
            ),
        };
        reader.wrong(value.span(), message, expected);
        return;
    }
    let AdapterConfig::Process(process) = &agent.adapter;
    if agent.tty
        && matches!(process.stdin, Stdin::Text(_))
        && let Some(value) = reader.take(section, "tty")
    {
        let message = "stdin = { text = … } cannot stand beside tty = true";
        reader.wrong(value.span(), message, "expected stdin = \"none\", or no terminal");
    }
}

/// Services that its runs use; whether there are such is judged once the whole file is read.
fn services<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>, references: &mut References) -> Vec<String> {
    let Some(value) = reader.take(section, "services") else { return Vec::new() };
    let expected = "names of services in brackets, as in [\"web\"]";
    let names = reader.convert(section, "services", value, "a list of services", expected, strings);
    let items = value.get_ref().as_array().into_iter().flat_map(|items| items.iter());
    let mut known: Vec<String> = Vec::new();
    for item in items {
        let Some(name) = item.get_ref().as_str() else { continue };
        if known.iter().any(|earlier| earlier == name) {
            let message = format!("service {name:?} is named twice");
            reader.wrong(item.span(), message, "expected each service once");
        } else {
            known.push(name.to_owned());
            references.used_services.push((name.to_owned(), item.span()));
        }
    }
    names.unwrap_or_default()
}

fn process<'t>(reader: &mut Reader<'t>, mut section: Section<'_, 't>) -> Option<ProcessConfig> {
    let s = &mut section;
    let command = if s.has("command") {
        reader.string(s, "command")
    } else {
        reader.need(s, "command", "\"…\"");
        None
    };
    let args = reader.strings(s, "args").unwrap_or_default();
    let shell = reader.boolean(s, "shell").unwrap_or(false);
    if shell
        && !args.is_empty()
        && let Some(value) = reader.take(s, "args")
    {
        reader.wrong(value.span(), "args cannot stand beside shell = true", "expected the whole line in command");
    }
    let cwd = directory(reader, s, "cwd").unwrap_or_else(|| ".".into());
    let stdin = reader.read(s, "stdin", "an input", "\"none\", \"prompt\" or { text = \"…\" }", |value| match value
        .as_str()
    {
        Some("none") => Some(Stdin::None),
        Some("prompt") => Some(Stdin::Prompt),
        Some(_) => None,
        None => only_text(value).map(Stdin::Text),
    });
    reader.close(section);
    Some(ProcessConfig { command: command?, args, shell, cwd, stdin: stdin.unwrap_or(Stdin::Prompt) })
}

/// Most processes and threads that the kernel can number.
const PROCESSES_MAX: u64 = 4_194_304;

/// Least memory with which a program can be started at all.
const MEMORY_MIN_BYTES: u64 = 4 << 20;

fn limits<'t>(reader: &mut Reader<'t>, mut section: Section<'_, 't>) -> RunLimits {
    let s = &mut section;
    let processes = reader.number(s, "processes", 1, PROCESSES_MAX);
    let expected = "at least \"4MiB\", with KiB, MiB or GiB";
    let memory_bytes = reader.read(s, "memory", "a size of memory", expected, |value| {
        // Above it no kernel counts.
        value.as_str().and_then(text::size).filter(|n| (MEMORY_MIN_BYTES..1 << 62).contains(n))
    });
    if !s.has("processes") && !s.has("memory") {
        let expected = "expected processes = 64, memory = \"512MiB\", or no limits at all";
        reader.wrong(s.span(), "limits caps nothing", expected);
    }
    reader.close(section);
    RunLimits { processes, memory_bytes }
}

fn budget<'t>(reader: &mut Reader<'t>, mut section: Section<'_, 't>) -> Budget {
    let tokens_per_day = reader.number(&mut section, "tokens_per_day", 1, i64::MAX as u64);
    let dollars = reader.read(&mut section, "usd_per_month", "an amount", "a number above 0, as in 50.0", |value| {
        let amount = match value.as_float() {
            Some(float) => float.as_str().parse::<f64>().ok()?,
            None => integer(value)? as f64,
        };
        // A million dollars a month: above it somebody slipped.
        (amount > 0.0 && amount <= 1e6).then_some(amount)
    });
    reader.close(section);
    Budget { tokens_per_day, microusd_per_month: dollars.map(|dollars| (dollars * 1e6).round() as u64) }
}

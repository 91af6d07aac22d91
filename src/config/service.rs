//! `[[service]]`.

use toml::de::DeValue;
use wharf_model::config::{
    Desired, Lifecycle, Live, Port, Ready, ReadyCheck, RestartConfig, RestartPolicy, Reuse, ServiceConfig, StopConfig,
    StopPolicy,
};

use super::parts::{command, directory, env, needed_command, signal, template};
use super::project::References;
use super::reader::{Reader, Section, integer, listed};
use super::text;

/// Variable that tells a service its port when the config names none.
const PORT_VARIABLE: &str = "PORT";

/// Reads one service. `None` when it has no command; that is a problem then.
pub(super) fn service<'t>(
    reader: &mut Reader<'t>,
    name: String,
    mut section: Section<'_, 't>,
    references: &mut References,
) -> Option<ServiceConfig> {
    let s = &mut section;
    let command = needed_command(reader, s, "command");
    let is_whole = command.is_some();
    let placeholder = wharf_model::config::CommandLine::Argv(Vec::new());
    let mut service = ServiceConfig::new(name, command.unwrap_or(placeholder));
    service.cwd = directory(reader, s, "cwd").unwrap_or(service.cwd);
    service.env = env(reader, s, references);
    service.port = port(reader, s);
    let known: &[&str] = if s.has("port") { &["port"] } else { &[] };
    service.lifecycle = reader.word(s, "lifecycle", Lifecycle::ALL, Lifecycle::as_str).unwrap_or(service.lifecycle);
    service.reuse = reader.word(s, "reuse", Reuse::ALL, Reuse::as_str).unwrap_or(service.reuse);
    service.ready = ready(reader, s, known);
    service.live = reader.table(s, "live", "service.live").and_then(|live| self::live(reader, live, known));
    service.url = template(reader, s, "url", known);
    if service.lifecycle == Lifecycle::Ephemeral {
        service.stop.policy = StopPolicy::OnRunFinish;
    }
    if let Some(table) = reader.table(s, "stop", "service.stop") {
        service.stop = stop(reader, table, service.stop);
    }
    if let Some(table) = reader.table(s, "restart", "service.restart") {
        service.restart = restart(reader, table);
    }
    if let Some(value) = reader.take(s, "depends_on") {
        let expected = "names of services in brackets, as in [\"db\"]";
        let names = reader.convert(s, "depends_on", value, "a list of services", expected, super::reader::strings);
        service.depends_on = names.unwrap_or_default();
        for item in value.get_ref().as_array().into_iter().flat_map(|items| items.iter()) {
            if let Some(name) = item.get_ref().as_str() {
                references.services.push((service.name.clone(), name.to_owned(), item.span()));
            }
        }
    }
    service.desired = reader.word(s, "desired", Desired::ALL, Desired::as_str).unwrap_or(service.desired);
    let reason = reader.read(s, "disabled", "a reason", "a text in quotes; empty = not disabled", |value| {
        value.as_str().map(str::to_owned)
    });
    service.disabled = reason.filter(|reason| !reason.is_empty());
    reader.close(section);
    is_whole.then_some(service)
}

fn port<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>) -> Port {
    let Some(value) = reader.take(section, "port") else { return Port::None };
    let number = |value: &DeValue<'_>| integer(value).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
    match value.get_ref() {
        DeValue::Table(_) => {
            let place = section.place("port");
            let Some(mut table) = reader.as_table("port", value, "service.port", place) else { return Port::None };
            let auto = reader.boolean(&mut table, "auto");
            let fixed = reader.read(&mut table, "number", "a port", "1 to 65535, without quotes", number);
            let env = reader.read(&mut table, "env", "a variable", "letters, digits and \"_\"", |value| {
                value.as_str().filter(|name| text::is_variable(name)).map(str::to_owned)
            });
            let env = env.unwrap_or_else(|| PORT_VARIABLE.into());
            // Stored in another shape than written: both parts were written here.
            for part in ["auto", "fixed"] {
                reader.remember(format!("{}.{part}", table.path), value.span().start);
            }
            reader.close(table);
            match (auto, fixed) {
                (Some(true), None) => Port::Auto { env },
                (None | Some(false), Some(port)) => Port::Fixed { port, env },
                _ => {
                    reader.wrong(
                        value.span(),
                        "port has to be either chosen or given",
                        "expected auto = true or number = 4173",
                    );
                    Port::None
                }
            }
        }
        DeValue::String(word) if word == "auto" => Port::Auto { env: PORT_VARIABLE.into() },
        other => {
            if let Some(port) = number(other) {
                return Port::Fixed { port, env: PORT_VARIABLE.into() };
            }
            reader.mistyped("port", value, "a port", "\"auto\", 1 to 65535, or { auto = true, env = \"PORT\" }");
            Port::None
        }
    }
}

fn ready<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>, known: &[&str]) -> Ready {
    let mut ready = Ready::default();
    let Some(value) = reader.take(section, "ready") else { return ready };
    // Stored in another shape than written.
    reader.remember(format!("{}.check", section.place("ready")), value.span().start);
    if value.get_ref().as_str() == Some("none") {
        return ready;
    }
    if !value.get_ref().is_table() {
        reader.mistyped("ready", value, "a check", "\"none\" or { http = \"http://127.0.0.1:{{port}}/\" }");
        return ready;
    }
    let place = section.place("ready");
    let Some(mut table) = reader.as_table("ready", value, "service.ready", place) else { return ready };
    let kinds = ["http", "tcp", "command", "log_line"];
    if kinds.iter().filter(|kind| table.has(kind)).count() != 1 {
        let message =
            format!("ready names {} check", if kinds.iter().any(|k| table.has(k)) { "more than one" } else { "no" });
        reader.wrong(value.span(), message, format!("expected one of {}", listed(&kinds)));
    }
    if let Some(url) = address(reader, &mut table, "http", known) {
        ready.check = ReadyCheck::Http(url);
    } else if let Some(tcp) = template(reader, &mut table, "tcp", known) {
        ready.check = ReadyCheck::Tcp(tcp);
    } else if let Some(command) = command(reader, &mut table, "command") {
        ready.check = ReadyCheck::Command(command);
    } else if let Some(line) = reader.string(&mut table, "log_line") {
        ready.check = ReadyCheck::LogLine(line);
    }
    ready.timeout_ms = reader.positive(&mut table, "timeout").unwrap_or(ready.timeout_ms);
    ready.interval_ms = reader.positive(&mut table, "interval").unwrap_or(ready.interval_ms);
    reader.close(table);
    ready
}

/// An address to look at: a template that begins with `http://` or `https://`.
fn address<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'_, 't>,
    key: &'static str,
    known: &[&str],
) -> Option<String> {
    let url = template(reader, section, key, known)?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let value = reader.take(section, key)?;
        reader.mistyped(key, value, "an address", "http://… or https://…");
    }
    Some(url)
}

fn live<'t>(reader: &mut Reader<'t>, mut table: Section<'_, 't>, known: &[&str]) -> Option<Live> {
    if !table.has("http") {
        reader.need(&mut table, "http", "\"http://…\"");
    }
    let http = address(reader, &mut table, "http", known);
    let interval_ms = reader.positive(&mut table, "interval").unwrap_or(10_000);
    let failures = reader.number(&mut table, "failures", 1, 1000).unwrap_or(3) as u32;
    reader.close(table);
    http.map(|http| Live { http, interval_ms, failures })
}

fn stop<'t>(reader: &mut Reader<'t>, mut table: Section<'_, 't>, mut stop: StopConfig) -> StopConfig {
    let given = reader.word(&mut table, "policy", StopPolicy::ALL, StopPolicy::as_str);
    stop.policy = given.unwrap_or(stop.policy);
    if given.is_some_and(|policy| policy != StopPolicy::IdleTimeout)
        && let Some(value) = reader.take(&mut table, "idle")
    {
        reader.wrong(
            value.span(),
            "idle has a meaning only with policy = \"idle_timeout\"",
            "remove it, or change policy",
        );
    }
    stop.idle_ms = reader.positive(&mut table, "idle").unwrap_or(stop.idle_ms);
    stop.signal = signal(reader, &mut table, "signal").unwrap_or(stop.signal);
    stop.grace_ms = reader.duration(&mut table, "grace").unwrap_or(stop.grace_ms);
    reader.close(table);
    stop
}

fn restart<'t>(reader: &mut Reader<'t>, mut table: Section<'_, 't>) -> RestartConfig {
    let mut restart = RestartConfig::default();
    let policy = reader.word(&mut table, "policy", RestartPolicy::ALL, RestartPolicy::as_str);
    restart.policy = policy.unwrap_or(restart.policy);
    restart.backoff_ms = reader.positive(&mut table, "backoff").unwrap_or(restart.backoff_ms);
    if let Some(max) = reader.number(&mut table, "max", 1, 1000) {
        restart.max = max as u32;
    }
    restart.within_ms = reader.positive(&mut table, "within").unwrap_or(restart.within_ms);
    reader.close(table);
    restart
}

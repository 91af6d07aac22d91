//! `[[service]]`.

mod check;
mod sense;

use toml::de::DeValue;
use wharf_model::config::{
    Desired, Lifecycle, Port, RestartConfig, RestartPolicy, Reuse, ServiceConfig, StopConfig, StopPolicy,
};

use self::check::{live, ready};
pub(super) use self::sense::{Taken, check_all};
use super::parts::{directory, env, needed_command, signal, template};
use super::project::References;
use super::reader::{Reader, Section, integer};
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
    service.live = live(reader, s, known);
    service.url = url(reader, s, known);
    service.stop.policy = sense::stop_policy(&service);
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
    sense::check(reader, &section, &service);
    references.taken.push(sense::taken(&section, &service));
    reader.close(section);
    is_whole.then_some(service)
}

/// Where people and agents reach it.
fn url<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>, known: &[&str]) -> Option<String> {
    let url = template(reader, section, "url", known)?;
    if let (Err(fault), Some(value)) = (sense::is_address(&url, &["http://", "https://"]), section.value("url")) {
        reader.wrong(value.span(), format!("url {fault}"), "expected an address, as in \"http://127.0.0.1:{{port}}/\"");
    }
    Some(url)
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
            if let (Some(env), Some(value)) = (env.as_ref().filter(|env| sense::is_reserved(env)), table.value("env")) {
                let message = format!("{env} means something else to every process");
                reader.wrong(value.span(), message, "expected another name, as in \"PORT\", not beginning with WHARF_");
            }
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

#[cfg(test)]
mod tests;

//! `ready` and `live`: what tells that a service can be used, and that it still can.

use std::ops::Range;

use toml::de::DeValue;
use wharf_model::config::{CommandLine, Live, LiveCheck, Ready, ReadyCheck};

use crate::config::parts::{command, template};
use crate::config::reader::{Reader, Section, listed};
use crate::config::text;

/// Longest time that one look at a running service may take, milliseconds.
const MAX_LOOK_MS: u64 = 60_000;

/// One check, whichever it is.
enum Check {
    Http(String),
    Tcp(String),
    Command(CommandLine),
    LogLine(String),
}

/// When it is ready.
pub(super) fn ready<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>, known: &[&str]) -> Ready {
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
    let kinds = &["http", "tcp", "command", "log_line"];
    ready.check = match check(reader, &mut table, "ready", value.span(), kinds, known) {
        Some(Check::Http(url)) => ReadyCheck::Http(url),
        Some(Check::Tcp(address)) => ReadyCheck::Tcp(address),
        Some(Check::Command(command)) => ReadyCheck::Command(command),
        Some(Check::LogLine(text)) => ReadyCheck::LogLine(text),
        None => ReadyCheck::None,
    };
    ready.timeout_ms = reader.positive(&mut table, "timeout").unwrap_or(ready.timeout_ms);
    ready.interval_ms = reader.positive(&mut table, "interval").unwrap_or(ready.interval_ms);
    reader.close(table);
    ready
}

/// When it is healthy, once it runs.
pub(super) fn live<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>, known: &[&str]) -> Option<Live> {
    let value = reader.take(section, "live")?;
    // Stored in another shape than written.
    reader.remember(format!("{}.check", section.place("live")), value.span().start);
    if !value.get_ref().is_table() {
        reader.mistyped("live", value, "a check", "{ http = \"http://127.0.0.1:{{port}}/\" }");
        return None;
    }
    let place = section.place("live");
    let mut table = reader.as_table("live", value, "service.live", place)?;
    let check = match check(reader, &mut table, "live", value.span(), &["http", "tcp", "command"], known) {
        Some(Check::Http(url)) => Some(LiveCheck::Http(url)),
        Some(Check::Tcp(address)) => Some(LiveCheck::Tcp(address)),
        Some(Check::Command(command)) => Some(LiveCheck::Command(command)),
        Some(Check::LogLine(_)) | None => None,
    };
    let mut live = Live::new(check.clone().unwrap_or(LiveCheck::Tcp(String::new())));
    live.interval_ms = reader.positive(&mut table, "interval").unwrap_or(live.interval_ms);
    live.failures = reader.number(&mut table, "failures", 1, 1000).map_or(live.failures, |n| n as u32);
    let look = reader.read(&mut table, "timeout", "a time for one look", "more than 0s, at most 1m", |value| {
        value.as_str().and_then(text::duration).filter(|ms| (1..=MAX_LOOK_MS).contains(ms))
    });
    live.timeout_ms = look.unwrap_or(live.timeout_ms);
    reader.close(table);
    check.map(|_| live)
}

fn check<'t>(
    reader: &mut Reader<'t>,
    table: &mut Section<'_, 't>,
    what: &str,
    span: Range<usize>,
    kinds: &[&'static str],
    known: &[&str],
) -> Option<Check> {
    let named = kinds.iter().filter(|kind| table.has(kind)).count();
    if named != 1 {
        let message = format!("{what} names {} check", if named == 0 { "no" } else { "more than one" });
        reader.wrong(span, message, format!("expected one of {}", listed(kinds)));
    }
    // Each is asked for, so that its own mistakes are told and it is known here.
    let http = address(reader, table, known).map(Check::Http);
    let tcp = host_and_port(reader, table, known).map(Check::Tcp);
    let command = rendered_command(reader, table, known).map(Check::Command);
    let line = if kinds.contains(&"log_line") { log_line(reader, table).map(Check::LogLine) } else { None };
    http.or(tcp).or(command).or(line)
}

/// An address to look at: a template that begins with `http://`. What is encrypted is not looked at: nobody could
/// say whose certificate is right on this machine.
fn address<'t>(reader: &mut Reader<'t>, table: &mut Section<'_, 't>, known: &[&str]) -> Option<String> {
    let url = template(reader, table, "http", known)?;
    if !url.starts_with("http://") {
        let value = reader.take(table, "http")?;
        reader.mistyped("http", value, "an address", "http://127.0.0.1:…; for https use tcp or a command");
    } else if let (Err(fault), Some(value)) = (super::sense::is_address(&url, &["http://"]), table.value("http")) {
        reader.wrong(
            value.span(),
            format!("http {fault}"),
            "expected an address, as in \"http://127.0.0.1:{{port}}/\"",
        );
    }
    Some(url)
}

/// `host:port`, a template.
fn host_and_port<'t>(reader: &mut Reader<'t>, table: &mut Section<'_, 't>, known: &[&str]) -> Option<String> {
    let address = template(reader, table, "tcp", known)?;
    let whole = |host: &str| match host.strip_prefix('[') {
        Some(v6) => v6.len() > 1 && v6.ends_with(']'),
        // Of an address with colons nobody could tell its last part from a port.
        None => !host.is_empty() && !host.contains([':', '/', ' ', '@']),
    };
    let port = address.rsplit_once(':').filter(|(host, _)| whole(host)).map(|(_, port)| port);
    let is_port = |port: &str| port.contains("{{") || port.parse::<u16>().is_ok_and(|port| port != 0);
    if !port.is_some_and(is_port) {
        let value = reader.take(table, "tcp")?;
        reader.mistyped("tcp", value, "a host and a port", "\"127.0.0.1:{{port}}\"");
    }
    Some(address)
}

fn rendered_command<'t>(reader: &mut Reader<'t>, table: &mut Section<'_, 't>, known: &[&str]) -> Option<CommandLine> {
    let command = command(reader, table, "command")?;
    let words = match &command {
        CommandLine::Shell(line) => std::slice::from_ref(line),
        CommandLine::Argv(words) => words,
    };
    let fault = words.iter().find_map(|word| text::template(word, known).err());
    if let (Some(fault), Some(value)) = (fault, reader.take(table, "command")) {
        reader.wrong(value.span(), format!("command {fault}"), "expected {{port}}, where the service has a port");
    }
    Some(command)
}

/// A text within a line.
fn log_line<'t>(reader: &mut Reader<'t>, table: &mut Section<'_, 't>) -> Option<String> {
    let part = |value: &DeValue<'t>| {
        value.as_str().filter(|text| !text.is_empty() && !text.contains(char::is_control)).map(str::to_owned)
    };
    reader.read(table, "log_line", "a part of a line", "a text in quotes, without line ends or colours", part)
}

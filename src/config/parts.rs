//! Shapes that several sections share: commands, prompts, environment variables, directories.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use toml::de::DeValue;
use wharf_model::config::{CommandLine, EnvValue, Prompt};

use super::project::References;
use super::reader::{Reader, Section, filled, place_in, strings};
use super::text;

/// Signals that a config may name.
const SIGNALS: &[&str] = &["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"];

/// A string for a shell, or a list without one.
pub(super) fn command<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'_, 't>,
    key: &'static str,
) -> Option<CommandLine> {
    reader.read(section, key, "a command", "a text for $SHELL -c, or a list as in [\"npm\", \"ci\"]", command_line)
}

/// As `command`, and reports when there is none.
pub(super) fn needed_command<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'_, 't>,
    key: &'static str,
) -> Option<CommandLine> {
    if section.has(key) {
        return command(reader, section, key);
    }
    reader.need(section, key, "\"…\"");
    None
}

fn command_line(value: &DeValue<'_>) -> Option<CommandLine> {
    filled(value)
        .map(CommandLine::Shell)
        .or_else(|| strings(value).filter(|argv| argv.first().is_some_and(|p| !p.is_empty())).map(CommandLine::Argv))
}

/// A path, or `{ text = "…" }`.
pub(super) fn prompt<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>, key: &'static str) -> Option<Prompt> {
    reader.read(section, key, "a prompt", "a path in quotes, or { text = \"…\" }", |value| {
        filled(value).map(Prompt::File).or_else(|| only_text(value).map(|text| Prompt::Text { text }))
    })
}

/// The text of `{ text = "…" }`.
pub(super) fn only_text(value: &DeValue<'_>) -> Option<String> {
    let table = value.as_table().filter(|table| table.len() == 1)?;
    let (key, text) = table.iter().next()?;
    filled(text.get_ref()).filter(|_| key.get_ref() == "text")
}

/// A directory below the workspace, judged by its words; links are judged at each start.
pub(super) fn directory<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'_, 't>,
    key: &'static str,
) -> Option<String> {
    reader.read(section, key, "a directory inside the workspace", "a relative path that stays below it", |value| {
        filled(value).filter(|path| stays_below(path))
    })
}

/// Whether a relative path leads to something below where it begins, by its words.
pub(super) fn stays_below(path: &str) -> bool {
    let mut depth = 0_i32;
    for component in Path::new(path).components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth -= 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

/// `env = { NAME = "text", OTHER = { secret = "name" } }`.
pub(super) fn env<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'_, 't>,
    references: &mut References,
) -> BTreeMap<String, EnvValue> {
    let mut all = BTreeMap::new();
    let Some(table) = reader.table(section, "env", "env") else { return all };
    let path = table.path.clone();
    for (name, value) in table.entries() {
        let key = name.get_ref().as_ref();
        if !text::is_variable(key) {
            let message = format!("{key:?} cannot name an environment variable");
            reader.wrong(name.span(), message, "expected letters, digits and \"_\", no digit first");
            continue;
        }
        if key.starts_with("WHARF_") {
            let message = format!("{key} is one of the variables that wharf itself sets");
            reader.wrong(name.span(), message, "expected a name that does not begin with WHARF_");
            continue;
        }
        reader.remember(place_in(&path, key), name.span().start);
        let Some(found) = env_value(value.get_ref()) else {
            // What stands here may be a secret that was pasted.
            let message = format!("{path}.{key} is not a value for an environment variable");
            reader.wrong_hidden(value.span(), message, "expected a text in quotes, or { secret = \"name\" }");
            continue;
        };
        if let EnvValue::Secret { name } = &found {
            references.secrets.push((name.clone(), value.span()));
        }
        all.insert(key.to_owned(), found);
    }
    all
}

fn env_value(value: &DeValue<'_>) -> Option<EnvValue> {
    if let Some(text) = value.as_str() {
        return (!text.contains('\0')).then(|| EnvValue::Text(text.to_owned()));
    }
    let table = value.as_table().filter(|table| table.len() == 1)?;
    let (key, name) = table.iter().next()?;
    let name = filled(name.get_ref()).filter(|_| key.get_ref() == "secret")?;
    Some(EnvValue::Secret { name })
}

/// Name of a signal.
pub(super) fn signal<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>, key: &'static str) -> Option<String> {
    reader.word(section, key, SIGNALS, |signal| signal).map(str::to_owned)
}

/// A template over these names.
pub(super) fn template<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'_, 't>,
    key: &'static str,
    known: &[&str],
) -> Option<String> {
    let value = reader.take(section, key)?;
    let text = reader.convert(section, key, value, "a text", "a text in quotes, not empty", filled)?;
    if let Err(fault) = text::template(&text, known) {
        let braced: Vec<String> = known.iter().map(|name| format!("{{{{{name}}}}}")).collect();
        let expected = if braced.is_empty() { "no template".to_owned() } else { braced.join(" or ") };
        reader.wrong(value.span(), format!("{key} {fault}"), format!("expected {expected}"));
    }
    Some(text)
}

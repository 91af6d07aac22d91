//! The project's `wharf.toml` as a whole, and the names in it that point at other parts of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use wharf_model::config::{JobConfig, LOCAL_ENVIRONMENT, ProjectConfig, ProjectSection, SecretConfig, WorkspaceConfig};

use super::agent::agent;
use super::environment::environment;
use super::parts::{directory, env, needed_command};
use super::reader::{Reader, Section, filled, strings};
use super::service::service;
use super::text;
use super::workspace::workspace_section;

/// Names that were used somewhere, to be looked up once the whole file is read.
#[derive(Default)]
pub(super) struct References {
    pub secrets: Vec<(String, Range<usize>)>,
    pub environments: Vec<(String, Range<usize>)>,
    /// Service, the service it needs, place.
    pub services: Vec<(String, String, Range<usize>)>,
    /// What services take for themselves.
    pub taken: Vec<super::service::Taken>,
    /// Services that agents use, place.
    pub used_services: Vec<(String, Range<usize>)>,
}

/// Reads a whole file; the result is to be trusted only when no problem was found.
pub(super) fn project<'t>(reader: &mut Reader<'t>, directory: &str, mut root: Section<'_, 't>) -> ProjectConfig {
    let r = &mut root;
    let mut references = References::default();
    let mut section = ProjectSection {
        key: text::key_from(directory),
        name: if directory.is_empty() { "project".into() } else { directory.to_owned() },
        company: "default".into(),
        default_environment: None,
    };
    if let Some(table) = reader.table(r, "project", "project") {
        project_section(reader, table, &mut section, Some(&mut references));
    }
    let mut workspace = WorkspaceConfig::default();
    if let Some(table) = reader.table(r, "workspace", "workspace") {
        workspace_section(reader, table, &mut workspace);
    }
    let agents = reader.named_tables(r, "agent");
    let agents = agents.into_iter().filter_map(|(name, s)| agent(reader, name, s, &mut references)).collect();
    let environments = reader.named_tables(r, "environment");
    let environments: Vec<_> =
        environments.into_iter().map(|(name, s)| environment(reader, name, s, &mut references)).collect();
    let services = reader.named_tables(r, "service");
    let services: Vec<_> =
        services.into_iter().filter_map(|(name, s)| service(reader, name, s, &mut references)).collect();
    let jobs = reader.named_tables(r, "job");
    let jobs = jobs.into_iter().filter_map(|(name, s)| job(reader, name, s, &mut references)).collect();
    let secrets = secrets(reader, r);
    for key in ["limits", "retention", "ui", "keys", "notify"] {
        if r.has(key)
            && let Some(value) = reader.take(r, key)
        {
            let message = format!("[{key}] belongs to the user, not to a project");
            reader.wrong(value.span(), message, "move it to $XDG_CONFIG_HOME/wharf/config.toml");
        }
    }
    reader.close(root);
    let config = ProjectConfig { project: section, workspace, agents, environments, services, jobs, secrets };
    look_up(reader, &config, &references);
    config
}

pub(super) fn project_section<'t>(
    reader: &mut Reader<'t>,
    mut table: Section<'_, 't>,
    project: &mut ProjectSection,
    references: Option<&mut References>,
) {
    let t = &mut table;
    let key = reader.read(t, "key", "a project key", "2 to 10 capital letters and digits, a letter first", |value| {
        value.as_str().filter(|key| text::is_key(key)).map(str::to_owned)
    });
    project.key = key.unwrap_or_else(|| project.key.clone());
    project.name = reader.string(t, "name").unwrap_or_else(|| project.name.clone());
    let company = reader.read(t, "company", "a name", "1 to 64 letters, digits, \"-\", \"_\" or \".\"", |value| {
        value.as_str().filter(|name| text::is_name(name)).map(str::to_owned)
    });
    project.company = company.unwrap_or_else(|| project.company.clone());
    if let Some(value) = reader.take(t, "default_environment") {
        let expected = "the name of an environment";
        let name = reader.convert(t, "default_environment", value, "a name", expected, filled);
        if let (Some(name), Some(references)) = (&name, references) {
            references.environments.push((name.clone(), value.span()));
        }
        project.default_environment = name.or(project.default_environment.take());
    }
    reader.close(table);
}

fn job<'t>(
    reader: &mut Reader<'t>,
    name: String,
    mut table: Section<'_, 't>,
    references: &mut References,
) -> Option<JobConfig> {
    let command = needed_command(reader, &mut table, "command");
    let cwd = directory(reader, &mut table, "cwd").unwrap_or_else(|| ".".to_owned());
    let env = env(reader, &mut table, references);
    let mut timeout_ms = Some(300_000);
    reader.limit(&mut table, "timeout", &mut timeout_ms);
    reader.close(table);
    command.map(|command| JobConfig { name, command, cwd, env, timeout_ms })
}

fn secrets<'t>(reader: &mut Reader<'t>, root: &mut Section<'_, 't>) -> BTreeMap<String, SecretConfig> {
    let mut all = BTreeMap::new();
    let Some(tables) = reader.table(root, "secret", "secret") else { return all };
    for (name, value) in tables.entries() {
        let key = name.get_ref().as_ref();
        if !text::is_name(key) {
            let message = format!("{key:?} cannot name a secret");
            reader.wrong(name.span(), message, "expected 1 to 64 letters, digits, \"-\", \"_\" or \".\"");
            continue;
        }
        let place = super::reader::place_in("secret", key);
        if !value.get_ref().is_table() {
            // Somebody may have put the secret itself here: it is not repeated in the message.
            let message = format!("{place} does not say where the secret comes from");
            reader.wrong_hidden(
                value.span(),
                message,
                "expected { env = \"…\" }, { file = \"…\" } or { command = […] }",
            );
            continue;
        }
        let Some(mut table) = reader.as_table(key, value, "secret", place.clone()) else { continue };
        reader.remember(place.clone(), name.span().start);
        let env = reader.read(&mut table, "env", "a variable", "letters, digits and \"_\"", |value| {
            value.as_str().filter(|name| text::is_variable(name)).map(|name| SecretConfig::Env(name.to_owned()))
        });
        let file = reader.string(&mut table, "file").map(SecretConfig::File);
        let expected = "a list as in [\"pass\", \"show\", \"shop\"]";
        let command = reader.read(&mut table, "command", "a command", expected, |value| {
            strings(value).filter(|argv| argv.first().is_some_and(|p| !p.is_empty())).map(SecretConfig::Command)
        });
        if ["env", "file", "command"].iter().filter(|source| table.has(source)).count() != 1 {
            let message = format!("{place} needs exactly one place where it comes from");
            reader.wrong(name.span(), message, "expected one of env, file and command");
        }
        reader.close(table);
        if let Some(found) = env.or(file).or(command) {
            all.insert(key.to_owned(), found);
        }
    }
    all
}

/// Reports every name that nothing has, and services that need each other in a ring.
pub(super) fn look_up(reader: &mut Reader<'_>, config: &ProjectConfig, references: &References) {
    for (name, span) in &references.secrets {
        if !config.secrets.contains_key(name) {
            let message = format!("no secret is called {name:?}");
            reader.dangling(span.clone(), message, name, config.secrets.keys().map(String::as_str));
        }
    }
    let environments: BTreeSet<&str> =
        config.environments.iter().map(|e| e.name.as_str()).chain([LOCAL_ENVIRONMENT]).collect();
    for (name, span) in &references.environments {
        if !environments.contains(name.as_str()) {
            let message = format!("no environment is called {name:?}");
            reader.dangling(span.clone(), message, name, environments.iter().copied());
        }
    }
    let services: BTreeSet<&str> = config.services.iter().map(|s| s.name.as_str()).collect();
    for (name, span) in &references.used_services {
        if !services.contains(name.as_str()) {
            reader.dangling(span.clone(), format!("no service is called {name:?}"), name, services.iter().copied());
        }
    }
    super::service::check_all(reader, &references.taken);
    for (service, needed, span) in &references.services {
        if !services.contains(needed.as_str()) {
            let others = services.iter().copied().filter(|other| other != service);
            reader.dangling(span.clone(), format!("no service is called {needed:?}"), needed, others);
        } else if reaches(references, needed, service) {
            let message = format!("service {service:?} needs {needed:?}, which needs {service:?} again");
            reader.wrong(span.clone(), message, "expected an order without a ring");
        }
    }
}

/// Whether following `depends_on` leads from one service to another; each is visited once.
fn reaches(references: &References, from: &str, to: &str) -> bool {
    let mut open = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(service) = open.pop() {
        if service == to {
            return true;
        }
        if seen.insert(service) {
            open.extend(
                references.services.iter().filter(|(s, ..)| s == service).map(|(_, needed, _)| needed.as_str()),
            );
        }
    }
    false
}

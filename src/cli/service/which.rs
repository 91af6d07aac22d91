//! Which service a name means.

use wharf_model::config::ServiceConfig;
use wharf_model::rules::service_desired::is_reported;
use wharf_model::{Kind, Lifecycle, ReuseScope, ServiceId};
use wharf_store::Reader;
use wharf_store::view::{EntityKind, ServiceItem, ServiceQuery};

use super::super::context::Context;
use super::super::error::{CliError, Result, exit};
use super::super::logs::named_one;
use super::super::project::{find_here, here};
use super::LOOKED_THROUGH;
use crate::dispatch::decide::is_configured;

/// What a start is asked of.
pub enum Start {
    /// This row.
    Row(ServiceId),
    /// What the config of the project in this directory has by that name.
    Configured(String),
}

/// Whether the text is a number or id rather than a name.
fn is_id(text: &str) -> bool {
    matches!(text.parse(), Ok(wharf_model::Named::Number(..) | wharf_model::Named::Whole(_)))
}

/// The service that was named: by number or id, by its name in the current project, or by a part of its id.
///
/// # Errors
/// There is none, or the name means several: then each is told with who shares it and where it is in its life.
pub fn named(context: &Context, reader: &Reader, text: &str) -> Result<ServiceItem> {
    if is_id(text) {
        return by_id(reader, text);
    }
    let all = of_project(context, reader)?;
    if let Some(found) = choose(all.iter().filter(|i| i.service.name == text).cloned().collect()) {
        return found;
    }
    let config = here(context).ok().and_then(|h| h.loaded.config.services.into_iter().find(|s| s.name == text));
    let error = match &config {
        Some(config) => not_there(config),
        None => unknown(context, text, all.into_iter().map(|i| i.service.name).collect())?,
    };
    match by_id(reader, text) {
        // What is no id at all was meant for a name.
        Err(by_id) if matches!(by_id.code.as_str(), "id_unknown" | "id_malformed") => Err(error),
        found => found,
    }
}

/// What a start of the service that was named is asked of. What is live in the form that is in force is taken as it
/// is, and the project's own as the config has it now.
pub fn to_start(context: &Context, text: &str) -> Result<Start> {
    if is_id(text) {
        return Ok(Start::Row(named(context, &context.reader_for(text)?, text)?.service.id));
    }
    // Its first start makes the store.
    let rows = match Reader::open(&context.data) {
        Ok(reader) => of_project(context, &reader)?,
        Err(wharf_store::StoreError::Missing { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let found = choose(rows.into_iter().filter(|i| i.service.name == text).collect());
    let here = match here(context) {
        Ok(here) => here,
        // What wharf knows can be started whatever has become of the file.
        Err(error) => return found.map_or(Err(error), |item| item.map(|item| Start::Row(item.service.id))),
    };
    let config = here.loaded.config.services.iter().find(|s| s.name == text);
    match (found.transpose()?, config) {
        (Some(item), _) if item.service.status.is_open() && is_configured(&item.service) => {
            Ok(Start::Row(item.service.id))
        }
        (found, Some(config))
            if is_the_projects(config) && (config.lifecycle == Lifecycle::Shared || found.is_none()) =>
        {
            Ok(Start::Configured(here.path()))
        }
        (Some(item), Some(_)) if !item.is_of_the_past() => Ok(Start::Row(item.service.id)),
        (_, Some(config)) => Err(not_there(config)),
        (Some(item), None) => Ok(Start::Row(item.service.id)),
        (None, None) => {
            let names: Vec<&str> = here.loaded.config.services.iter().map(|s| s.name.as_str()).collect();
            let cause = if names.is_empty() {
                "its wharf.toml has no [[service]]".into()
            } else {
                format!("it has {}", names.join(", "))
            };
            let message = format!("no service of this project is called {text}");
            Err(CliError::new(exit::NOT_FOUND, "id_unknown", message)
                .cause(cause)
                .next("add it to wharf.toml, then wharf config check")
                .entity(text))
        }
    }
}

fn by_id(reader: &Reader, text: &str) -> Result<ServiceItem> {
    let found = named_one(reader, text, EntityKind::Service)?;
    let item = reader.service(ServiceId(found.id))?;
    item.ok_or_else(|| CliError::internal(format!("{} is not in the store any more", found.label)))
}

/// The rows of the current project's services, the newest first.
fn of_project(context: &Context, reader: &Reader) -> Result<Vec<ServiceItem>> {
    let path = find_here(context)?.root.display().to_string();
    let Some(project) = reader.project_at(&path)?.map(|p| p.id) else { return Ok(Vec::new()) };
    let query = ServiceQuery { project: Some(project), ..ServiceQuery::default() };
    Ok(reader.services(&query, None, LOOKED_THROUGH)?.rows)
}

/// The one that the name of all of these means: what is live, else what can still be started, else the newest.
/// None where there is none.
fn choose(rows: Vec<ServiceItem>) -> Option<Result<ServiceItem>> {
    let live = narrowed(&rows, |i| i.service.status.is_open());
    let able = narrowed(&live, |i| !i.is_of_the_past());
    // One of ours goes before what an adapter reports; a row in the form that is in force before one that was replaced.
    let ours = narrowed(&able, |i| !is_reported(&i.service));
    let is_live = ours.iter().any(|i| i.service.status.is_open());
    let meant = if is_live { ours } else { narrowed(&ours, |i| is_configured(&i.service)) };
    let past = meant.iter().all(ServiceItem::is_of_the_past);
    match meant.as_slice() {
        [] => None,
        [one] => Some(Ok(one.clone())),
        several if past => several.iter().max_by_key(|i| i.service.number).cloned().map(Ok),
        several => Some(Err(ambiguous(several))),
    }
}

/// Those that it holds for, where it holds for one at least; else all.
fn narrowed(rows: &[ServiceItem], holds: impl Fn(&ServiceItem) -> bool) -> Vec<ServiceItem> {
    let those: Vec<ServiceItem> = rows.iter().filter(|i| holds(i)).cloned().collect();
    if those.is_empty() { rows.to_vec() } else { those }
}

fn ambiguous(several: &[ServiceItem]) -> CliError {
    let name = several.first().map_or("", |i| i.service.name.as_str());
    let number = |i: &ServiceItem| Kind::Service.number(i.service.number);
    let each = |i: &ServiceItem| format!("{} ({}, {})", number(i), i.scope_words(), i.service.status);
    let list: Vec<String> = several.iter().map(each).collect();
    let example = several.first().map(number).unwrap_or_default();
    CliError::new(exit::NOT_FOUND, "id_ambiguous", format!("{} services are called {name}", several.len()))
        .cause(format!("it could be {}", list.join(", ")))
        .next(format!("give its number, such as {example}"))
        .entity(name)
}

/// Whether it is there once for the project, so that its name says enough to start it.
const fn is_the_projects(config: &ServiceConfig) -> bool {
    matches!(config.reuse, ReuseScope::ProjectWorkspace)
}

/// One that is configured, and that nobody has been given yet.
fn not_there(config: &ServiceConfig) -> CliError {
    let name = &config.name;
    let (kept, next) = match config.reuse {
        _ if config.lifecycle == Lifecycle::Ephemeral => {
            ("each run has its own, which starts with it".to_owned(), "wharf runs    wharf run AGENT".to_owned())
        }
        ReuseScope::ProjectWorkspace => {
            ("nothing has started it yet".to_owned(), format!("wharf service start {name}"))
        }
        ReuseScope::ExecutionWorkspace => {
            ("it is kept for each workspace".to_owned(), format!("wharf service start {name} --workspace W-1"))
        }
        ReuseScope::Agent => (
            "it is kept for each agent, and starts with a run of one that names it".to_owned(),
            "wharf run AGENT".to_owned(),
        ),
        ReuseScope::Run => (
            "it is kept for each run, and starts with one whose agent names it".to_owned(),
            "wharf run AGENT".to_owned(),
        ),
    };
    CliError::new(exit::NOT_FOUND, "id_unknown", format!("{name} is configured, and there is none that could be meant"))
        .cause(kept)
        .next(next)
        .entity(name.clone())
}

fn unknown(context: &Context, text: &str, mut known: Vec<String>) -> Result<CliError> {
    known.sort_unstable();
    known.dedup();
    let cause = if known.is_empty() {
        format!("the project in {} has no service yet", find_here(context)?.root.display())
    } else {
        format!("this project has {}", known.join(", "))
    };
    Ok(CliError::new(exit::NOT_FOUND, "id_unknown", format!("no service is called {text}"))
        .cause(cause)
        .next("wharf services")
        .entity(text))
}

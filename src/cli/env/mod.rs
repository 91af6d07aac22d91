//! `wharf env …`: environments of the current project's company.

mod change;
mod doc;
mod edit;
mod look;
mod preview;
mod settings;
mod show;

use clap::{Args, Subcommand};
use wharf_model::{CompanyRow, EnvironmentId, Kind, Named};
use wharf_store::Reader;
use wharf_store::view::EnvironmentItem;

pub use doc::{EnvironmentDoc, environment_state, probe_words, summary};
pub use show::print_one;

use super::context::Context;
use super::error::{CliError, Result, exit};
use super::list::ListArgs;
use super::project::{find_here, nearest};
use crate::config::{Overrides, load_project};

/// Company of a directory that is no project.
const COMPANY: &str = "default";
/// Names told to somebody who gave another.
const NAMES: usize = 20;

/// `wharf env …`
#[derive(Debug, Clone, Subcommand)]
pub enum EnvCommand {
    /// List the environments of the company
    #[command(after_help = super::lists::ENVIRONMENTS.help("wharf env list kind:ssh"))]
    List(ListArgs),
    /// Show an environment with its settings, its last probe and who names it
    #[command(after_help = "Example:\n  wharf env show box-1")]
    Show(EnvArgs),
    /// Make an environment by hand, beside those of wharf.toml
    #[command(after_help = edit::HELP_ADD)]
    Add(edit::AddArgs),
    /// Change an environment that was made by hand
    #[command(after_help = edit::HELP_EDIT)]
    Edit(edit::EditArgs),
    /// Give no new leases of an environment; what runs there goes on
    #[command(after_help = "Example:\n  wharf env archive box-1 --dry-run")]
    Archive(change::ChangeArgs),
    /// Take an archived environment back into use
    #[command(after_help = "Example:\n  wharf env restore box-1")]
    Restore(EnvArgs),
    /// Delete an environment; its runs and leases stay in the history
    #[command(after_help = "Example:\n  wharf env delete box-1 --cleanup")]
    Delete(change::DeleteArgs),
    /// Look whether an environment can be used now; or one that is not saved
    #[command(after_help = look::HELP_PROBE)]
    Probe(look::ProbeArgs),
    /// Try an agent in a place that is acquired for it and given back
    #[command(after_help = "Example:\n  wharf env test box-1 --agent fixer")]
    Test(look::TestArgs),
}

/// Which environment.
#[derive(Debug, Clone, Args)]
pub struct EnvArgs {
    /// Its name in the company, E-2, its id or a part of it
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
}

/// Carries out one of them.
pub fn env(context: &Context, command: &EnvCommand) -> Result<u8> {
    match command {
        EnvCommand::List(args) => super::lists::environments(context, args),
        EnvCommand::Show(args) => show::show(context, &args.environment),
        EnvCommand::Add(args) => edit::add(context, args),
        EnvCommand::Edit(args) => edit::edit(context, args),
        EnvCommand::Archive(args) => change::archive(context, args),
        EnvCommand::Restore(args) => change::restore(context, &args.environment),
        EnvCommand::Delete(args) => change::delete(context, args),
        EnvCommand::Probe(args) => look::probe(context, args),
        EnvCommand::Test(args) => look::test(context, args),
    }
}

/// The company whose environments are meant: that of the current project.
pub fn company(context: &Context, reader: Option<&Reader>) -> Result<String> {
    let found = match find_here(context) {
        Ok(found) => found,
        // A project that was named must be one.
        Err(error) if context.global.project.is_some() => return Err(error),
        Err(_) => return Ok(COMPANY.to_owned()),
    };
    let known = match reader {
        Some(reader) => reader.project_at(&found.root.display().to_string())?.map(|p| p.company_id),
        None => None,
    };
    if let (Some(reader), Some(id)) = (reader, known)
        && let Some(row) = reader.companies()?.into_iter().find(|c| c.id == id)
    {
        return Ok(row.name);
    }
    let loaded = found.has_config.then(|| load_project(&found.config_path(), &Overrides::default()).ok()).flatten();
    Ok(loaded.map_or_else(|| COMPANY.to_owned(), |l| l.config.project.company))
}

/// The row of a company; none where it has none yet.
pub fn company_row(reader: &Reader, name: &str) -> Result<Option<CompanyRow>> {
    Ok(reader.companies()?.into_iter().find(|c| c.name == name))
}

/// The environments of the company that is meant.
pub fn all(context: &Context, reader: &Reader) -> Result<(String, Vec<EnvironmentItem>)> {
    let company = company(context, Some(reader))?;
    let items = match company_row(reader, &company)? {
        Some(row) => reader.environments(Some(row.id))?,
        None => Vec::new(),
    };
    Ok((company, items))
}

/// The environment that was named, in the company that is meant: another company's is not found.
pub fn named(context: &Context, reader: &Reader, text: &str) -> Result<(String, EnvironmentItem)> {
    let (company, mut items) = all(context, reader)?;
    let is_it = |item: &EnvironmentItem| match text.parse::<Named>() {
        Ok(Named::Number(Kind::Environment, n)) => item.environment.number == n,
        Ok(Named::Whole(id)) => item.environment.id == EnvironmentId(id),
        _ => item.environment.name == text,
    };
    let mut found: Vec<usize> = (0..items.len()).filter(|at| is_it(&items[*at])).collect();
    if let (true, Ok(Named::Part(part))) = (found.is_empty(), text.parse::<Named>()) {
        let part_of = |id: String| id.starts_with(&part) || id.ends_with(&part);
        found = (0..items.len()).filter(|at| part_of(items[*at].environment.id.text())).collect();
    }
    match found.as_slice() {
        [one] => Ok((company, items.swap_remove(*one))),
        [] => Err(not_found(&company, &items, text)),
        _ => {
            let label = |at: &usize| Kind::Environment.number(items[*at].environment.number);
            let list: Vec<String> = found.iter().map(label).collect();
            Err(CliError::new(exit::NOT_FOUND, "id_ambiguous", format!("{text} names {} environments", list.len()))
                .cause(format!("it could be {}", list.join(", ")))
                .next("give a number, or more characters of the id")
                .entity(text))
        }
    }
}

fn not_found(company: &str, items: &[EnvironmentItem], text: &str) -> CliError {
    let names: Vec<&str> = items.iter().map(|i| i.environment.name.as_str()).collect();
    let shown = crate::config::shortened(text, 80);
    let error = CliError::new(
        exit::NOT_FOUND,
        "environment_not_found",
        format!("company {company} has no environment {shown:?}"),
    )
    .entity(text);
    if text == "Local" {
        return error.cause("nothing has run here yet").next("wharf env probe Local");
    }
    let known: Vec<&str> = names.iter().take(NAMES).copied().collect();
    let error = if known.is_empty() { error } else { error.cause(format!("it has {}", known.join(", "))) };
    match nearest(text, names.into_iter()) {
        Some(near) => error.next(format!("wharf env show {near}")),
        None => error.next("wharf env list"),
    }
}

/// The document of an environment as it stands now.
pub fn current(reader: &Reader, id: EnvironmentId) -> Result<EnvironmentItem> {
    reader.environment(id)?.ok_or_else(|| CliError::internal("the environment is not in the store any more"))
}

/// The id that an answer names.
fn answered(row: &wharf_model::RequestRow) -> Result<EnvironmentId> {
    let id = row.result.as_ref().and_then(|r| r["environment_id"].as_str()).and_then(|t| t.parse().ok());
    id.ok_or_else(|| CliError::internal(format!("the answer to {} names no environment", row.kind)))
}

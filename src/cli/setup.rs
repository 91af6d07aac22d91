//! `wharf init`, `project add`, `config check|show|accept`, and `issue new`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use wharf_model::config::{ProjectConfig, executable_difference};
use wharf_store::Reader;
use wharf_ui::format;

use super::context::{Context, print};
use super::desk::{Ask, Desk};
use super::error::{CliError, Result, exit};
use super::project::{find_here, here, user};
use super::table::{Cell, Table};
use crate::config::init::{InitError, RepoFacts, write_init};

/// `wharf project …`
#[derive(Debug, Clone, Subcommand)]
pub enum ProjectCommand {
    /// Make a project known; nothing of its config runs before somebody accepts it
    #[command(after_help = "Example:\n  wharf project add ~/src/shop")]
    Add(AddArgs),
}

/// Options of `wharf project add`.
#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// A directory of the project; else the current one
    pub directory: Option<PathBuf>,
}

/// `wharf config …`
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the project's wharf.toml is right, and what is wrong with it
    #[command(after_help = "Example:\n  wharf config check")]
    Check,
    /// Show every value in force and where it comes from
    #[command(after_help = "Example:\n  wharf config show")]
    Show,
    /// Accept the project's wharf.toml as it stands: what it says may be executed
    #[command(after_help = "Example:\n  wharf config accept")]
    Accept,
}

/// `wharf issue …`
#[derive(Debug, Clone, Subcommand)]
pub enum IssueCommand {
    /// Make an issue in the current project
    #[command(after_help = "Example:\n  wharf issue new 'Fix the flaky checkout test' --priority high")]
    New(NewIssueArgs),
    /// Say something about an issue
    #[command(after_help = "Example:\n  wharf issue comment SHOP-17 'It fails one time in ten'")]
    Comment(IssueCommentArgs),
    /// Change an issue, and where its runs work
    #[command(after_help = "Example:\n  wharf issue set SHOP-17 --environment box-1 --status in_review\n\n\
        A setting given as none is taken away. What its workspace keeps follows.")]
    Set(Box<super::issue::SetArgs>),
    /// Close an issue: done, or cancelled
    #[command(after_help = "Example:\n  wharf issue close SHOP-17")]
    Close(super::issue::CloseArgs),
}

/// Options of `wharf issue comment`.
#[derive(Debug, Clone, Args)]
pub struct IssueCommentArgs {
    /// The issue
    #[arg(value_name = "ISSUE")]
    pub issue: String,
    /// What is to be said
    #[arg(value_name = "TEXT")]
    pub text: String,
}

/// Options of `wharf issue new`.
#[derive(Debug, Clone, Args)]
pub struct NewIssueArgs {
    /// What is to be done, in one line
    pub title: String,
    /// More about it
    #[arg(long, short, value_name = "TEXT")]
    pub description: Option<String>,
    /// How urgent it is
    #[arg(long, value_name = "PRIORITY", value_parser = ["critical", "high", "medium", "low"])]
    pub priority: Option<String>,
}

/// Writes a first config.
pub fn init(context: &Context) -> Result<u8> {
    let found = find_here(context)?;
    let name = found.root.file_name().map_or_else(|| "project".to_owned(), |n| n.to_string_lossy().into_owned());
    let has_commit = found.repository.as_ref().is_some_and(|r| r.has_commit);
    let base_ref = crate::workspace::inspect::checkout(&found.root)
        .ok()
        .and_then(|repository| repository.head.branch().map(str::to_owned));
    let path = write_init(&found.root, &RepoFacts { name, has_commit, base_ref }).map_err(|e| match e {
        InitError::Exists { ref path } => CliError::new(exit::REFUSED, "illegal_state", e.to_string())
            .entity(path.display().to_string())
            .next("wharf config check"),
        InitError::Write { ref path, .. } => {
            CliError::new(exit::REFUSED, "permission_denied", e.to_string()).entity(path.display().to_string())
        }
    })?;
    if context.global.json {
        context.document(&json!({ "schema": "wharf.init/1", "path": path.display().to_string() }))?;
    } else {
        print(format!("{}\n", path.display()).as_bytes())?;
    }
    let agent = here(context).ok().and_then(|h| h.loaded.config.agents.first().map(|a| a.name.clone()));
    let run = agent.map_or_else(|| "wharf run AGENT".to_owned(), |a| format!("wharf run {a} --follow"));
    context.remark(&format!("next:\n  {run}\n  wharf config show"));
    Ok(exit::DONE)
}

/// Makes a project known.
pub fn add(context: &Context, args: &AddArgs) -> Result<u8> {
    let context = match &args.directory {
        Some(directory) => {
            let mut context = context.clone();
            context.global.project = Some(directory.clone());
            context
        }
        None => context.clone(),
    };
    let here = here(&context)?;
    let row = ask(&context, "project.add", "project", None, json!({ "path": here.path() }))?;
    let result = row.result.unwrap_or_default();
    let key = result["key"].as_str().unwrap_or_default();
    let pending = result["pending"].as_bool().unwrap_or(false);
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.project_added/1", "id": result["project_id"], "key": key, "path": here.path(), "pending": pending,
        }))?;
    } else {
        print(format!("{key}\n").as_bytes())?;
    }
    if pending {
        context.remark(&format!("{key} is known; nothing of its config runs before\n  wharf config accept"));
    }
    Ok(exit::DONE)
}

fn ask(
    context: &Context,
    kind: &'static str,
    target_type: &'static str,
    target_id: Option<String>,
    args: serde_json::Value,
) -> Result<wharf_model::RequestRow> {
    let mut desk = Desk::open(context)?;
    let result = desk.ask(Ask { kind, target_type, target_id, args, expect: None });
    desk.close();
    result
}

/// Carries out `wharf config …`.
pub fn config(context: &Context, command: &ConfigCommand) -> Result<u8> {
    match command {
        ConfigCommand::Check => check(context),
        ConfigCommand::Show => show(context),
        ConfigCommand::Accept => accept(context),
    }
}

fn check(context: &Context) -> Result<u8> {
    let here = here(context)?;
    // It is in force with the project's.
    user()?;
    let config = &here.loaded.config;
    // Whether it is in force is known where there is a store already.
    let stored = stored(context, &here.path())?;
    let changes = stored.as_ref().map(|old| difference(old, config)).unwrap_or_default();
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.config_check/1",
            "path": here.loaded.path.display().to_string(),
            "content_hash": here.loaded.content_hash,
            "executable_hash": here.executable_hash(),
            "accepted": stored.is_some() && changes.is_empty(),
            "changes": changes,
        }))?;
        return Ok(exit::DONE);
    }
    let line = format!(
        "{} is right: {}, {}, {}\n",
        here.loaded.path.display(),
        format::plural(config.agents.len() as u64, "agent"),
        format::plural(config.environments.len() as u64, "environment"),
        format::plural(config.services.len() as u64, "service")
    );
    print(line.as_bytes())?;
    if !changes.is_empty() {
        tell(context, &changes);
        context.remark("these changes wait to be accepted; next:\n  wharf config accept");
    }
    Ok(exit::DONE)
}

/// A value that differs from what was accepted.
#[derive(Debug, Clone, Serialize)]
struct Changed {
    key: String,
    old: Option<String>,
    new: Option<String>,
}

fn difference(old: &ProjectConfig, new: &ProjectConfig) -> Vec<Changed> {
    // The mode that stands in for none depends on the repository and is not a change of the file.
    let mut new = new.clone();
    new.workspace.mode = new.workspace.mode.or(old.workspace.mode);
    executable_difference(old, &new).into_iter().map(|c| Changed { key: c.path, old: c.old, new: c.new }).collect()
}

fn tell(context: &Context, changes: &[Changed]) {
    for change in changes {
        let value = |v: &Option<String>| v.clone().unwrap_or_else(|| "nothing".to_owned());
        let line = format!("  {}: {} → {}", change.key, value(&change.old), value(&change.new));
        context.remark(&super::table::tidy(&line, context.global.ascii));
    }
}

/// The config that is in force for the project at a path.
fn stored(context: &Context, path: &str) -> Result<Option<ProjectConfig>> {
    let Ok(reader) = Reader::open(&context.data) else { return Ok(None) };
    let project = reader.project_at(path)?;
    Ok(project.and_then(|p| p.config).and_then(|c| serde_json::from_value(c).ok()))
}

#[derive(Serialize)]
struct Value {
    key: String,
    value: String,
    from: String,
}

fn show(context: &Context) -> Result<u8> {
    let here = here(context)?;
    let values: Vec<Value> = here
        .loaded
        .effective()
        .into_iter()
        .chain(user()?.effective())
        .map(|(key, value, origin)| Value { key, value, from: origin.to_string() })
        .collect();
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.config/1", "path": here.loaded.path.display().to_string(), "values": values,
        }))?;
        return Ok(exit::DONE);
    }
    let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
    for value in values {
        table.row(vec![Cell::text(value.key), Cell::text(value.value), Cell::text(value.from)]);
    }
    table.print(context, true)?;
    Ok(exit::DONE)
}

fn accept(context: &Context) -> Result<u8> {
    let here = here(context)?;
    let changes = stored(context, &here.path())?.map(|old| difference(&old, &here.loaded.config)).unwrap_or_default();
    // What was read here is accepted, and nothing that is written meanwhile.
    let hash = here.executable_hash();
    let row = ask(context, "config.accept", "project", None, json!({ "path": here.path(), "executable_hash": hash }))
        .map_err(|e| if e.code == "changed_since_preview" { e.next("wharf config check") } else { e })?;
    let changed = row.result.as_ref().and_then(|r| r["changed"].as_bool()).unwrap_or(false);
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.config_accepted/1",
            "path": here.loaded.path.display().to_string(),
            "changed": changed,
            "changes": changes,
            "executable_hash": hash,
        }))?;
        return Ok(exit::DONE);
    }
    tell(context, &changes);
    context.remark(if changed { "accepted" } else { "it was accepted before" });
    Ok(exit::DONE)
}

/// Makes an issue.
pub fn new_issue(context: &Context, args: &NewIssueArgs) -> Result<u8> {
    let found = find_here(context)?;
    let path = found.root.display().to_string();
    let known = match Reader::open(&context.data) {
        Ok(reader) => reader.project_at(&path)?.map(|p| p.id),
        Err(_) => None,
    };
    let project = match known {
        Some(id) => id.text(),
        None => {
            let here = here(context)?;
            let row = ask(context, "project.add", "project", None, json!({ "path": here.path() }))?;
            let id = row.result.as_ref().and_then(|r| r["project_id"].as_str()).map(str::to_owned);
            id.ok_or_else(|| CliError::internal("the answer to project.add names no project"))?
        }
    };
    let asked = json!({ "title": args.title, "description": args.description, "priority": args.priority });
    let row = ask(context, "issue.create", "project", Some(project), asked)?;
    let result = row.result.unwrap_or_default();
    let number = result["issue"].as_str().unwrap_or_default();
    if context.global.json {
        context.document(&json!({ "schema": "wharf.issue_created/1", "id": result["issue_id"], "number": number }))?;
    } else {
        print(format!("{number}\n").as_bytes())?;
    }
    context.remark(&format!("next:\n  wharf run AGENT --issue {number}"));
    Ok(exit::DONE)
}

/// Comments on an issue.
pub fn comment(context: &Context, args: &IssueCommentArgs) -> Result<u8> {
    let reader = context.reader_for(&args.issue)?;
    let found = super::logs::named_one(&reader, &args.issue, wharf_store::view::EntityKind::Issue)?;
    drop(reader);
    let row = ask(context, "issue.comment", "issue", Some(found.id.to_string()), json!({ "body": args.text }))?;
    if context.global.json {
        let id = row.result.as_ref().map(|r| r["comment_id"].clone()).unwrap_or_default();
        context.document(&json!({ "schema": "wharf.comment_created/1", "id": id, "issue": args.issue }))?;
    }
    Ok(exit::DONE)
}

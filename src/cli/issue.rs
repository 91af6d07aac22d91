//! `wharf issue set` and `wharf issue close`: the operator's word on an issue and on where its runs work.

use clap::Args;
use serde_json::{Map, Value, json};

use super::context::{Context, print};
use super::desk::{Ask, Desk};
use super::error::{CliError, Result, exit};

/// What takes a setting away on the command line.
const NONE: &str = "none";

/// Options of `wharf issue set`. A setting given as `none` is taken away.
#[derive(Debug, Clone, Args)]
pub struct SetArgs {
    /// The issue
    #[arg(value_name = "ISSUE")]
    pub issue: String,
    /// What is to be done, in one line
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Where it stands
    #[arg(long, value_name = "STATUS", value_parser = ["backlog", "todo", "in_progress", "in_review", "blocked", "done", "cancelled"])]
    pub status: Option<String>,
    /// How urgent it is
    #[arg(long, value_name = "PRIORITY", value_parser = ["critical", "high", "medium", "low"])]
    pub priority: Option<String>,
    /// Environment of its runs; or none
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// Where its runs' files live, a mode as in `[workspace]`; or none
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Whether it goes on in the workspace it has: `reuse_existing`, `inherit`; or none
    #[arg(long, value_name = "WORD")]
    pub preference: Option<String>,
    /// How its workspace is made: `git_worktree`, `project_primary`; or none
    #[arg(long, value_name = "WORD")]
    pub strategy: Option<String>,
    /// Branch of its workspace, a template as in `[workspace]`; or none
    #[arg(long, value_name = "TEMPLATE")]
    pub branch: Option<String>,
    /// Where that branch begins; or none
    #[arg(long, value_name = "REF")]
    pub base_ref: Option<String>,
    /// Makes its workspace ready, in place of the project's command; or none
    #[arg(long, value_name = "COMMAND")]
    pub provision: Option<String>,
    /// Runs last before its workspace is archived, in place of the project's; or none
    #[arg(long, value_name = "COMMAND")]
    pub teardown: Option<String>,
    /// Runs when its workspace is archived, in place of the project's; or none
    #[arg(long, value_name = "COMMAND")]
    pub cleanup: Option<String>,
}

/// Options of `wharf issue close`.
#[derive(Debug, Clone, Args)]
pub struct CloseArgs {
    /// The issue
    #[arg(value_name = "ISSUE")]
    pub issue: String,
    /// It will not be done
    #[arg(long)]
    pub cancelled: bool,
}

/// Changes an issue.
pub fn set(context: &Context, args: &SetArgs) -> Result<u8> {
    let mut asked = Map::new();
    for (key, value) in [("title", &args.title), ("status", &args.status), ("priority", &args.priority)] {
        if let Some(value) = value {
            asked.insert(key.to_owned(), json!(value));
        }
    }
    let settings: Map<String, Value> = [
        ("environment", &args.environment),
        ("mode", &args.mode),
        ("preference", &args.preference),
        ("strategy", &args.strategy),
        ("branch", &args.branch),
        ("base_ref", &args.base_ref),
        ("provision", &args.provision),
        ("teardown", &args.teardown),
        ("cleanup", &args.cleanup),
    ]
    .into_iter()
    .filter_map(|(key, value)| {
        let value = value.as_ref()?;
        Some((key.to_owned(), if value == NONE { Value::Null } else { json!(value) }))
    })
    .collect();
    if !settings.is_empty() {
        asked.insert("settings".to_owned(), Value::Object(settings));
    }
    if asked.is_empty() {
        return Err(CliError::usage("nothing is to be changed").next("wharf issue set --help"));
    }
    change(context, &args.issue, asked)
}

/// Closes an issue.
pub fn close(context: &Context, args: &CloseArgs) -> Result<u8> {
    let status = if args.cancelled { "cancelled" } else { "done" };
    change(context, &args.issue, Map::from_iter([("status".to_owned(), json!(status))]))
}

fn change(context: &Context, issue: &str, args: Map<String, Value>) -> Result<u8> {
    let reader = context.reader_for(issue)?;
    let found = super::logs::named_one(&reader, issue, wharf_store::view::EntityKind::Issue)?;
    drop(reader);
    let mut desk = Desk::open(context)?;
    let answered = desk.ask(Ask {
        kind: "issue.update",
        target_type: "issue",
        target_id: Some(found.id.to_string()),
        args: Value::Object(args),
        expect: None,
    });
    desk.close();
    let result = answered?.result.unwrap_or_default();
    let number = result["issue"].as_str().unwrap_or(&found.label).to_owned();
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.issue_changed/1", "id": result["issue_id"], "number": number, "status": result["status"],
            "changed": result["changed"], "workspace": result["workspace"],
        }))?;
        return Ok(exit::DONE);
    }
    print(format!("{number}\n").as_bytes())?;
    let changed = result["changed"].as_object();
    let reader = context.reader()?;
    for (key, change) in changed.into_iter().flatten() {
        let shown = |v: &Value| {
            let Some(text) = v.as_str() else { return "none".to_owned() };
            let environment = text.parse().ok().filter(|_| key.starts_with("environment"));
            let named = environment.and_then(|id| reader.as_ref()?.environment(id).ok()?);
            named.map_or_else(|| text.to_owned(), |e| e.environment.name)
        };
        context.remark(&super::table::tidy(
            &format!("  {key}: {} → {}", shown(&change["from"]), shown(&change["to"])),
            context.global.ascii,
        ));
    }
    if changed.is_none_or(Map::is_empty) {
        context.remark("it is so already");
    }
    if let Some(workspace) = result["workspace"].as_str() {
        context.remark(&format!("{workspace} follows"));
    }
    Ok(exit::DONE)
}

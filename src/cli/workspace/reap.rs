//! `wharf workspaces --reap`: workspaces of finished issues, judged one by one, and archived where they are clean.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use wharf_model::rules::close_check::CloseItem;
use wharf_model::rules::release::Judged;
use wharf_model::{CompanyId, UnixMillis};
use wharf_store::Reader;
use wharf_ui::format;

use super::confirm;
use crate::cli::context::{Context, print};
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};
use crate::cli::project::find_here;
use crate::clock;
use crate::console::workspace_preview::reap_preview;
use crate::dispatch::closing::Reapable;

/// How long archiving all of them is waited for.
const LIMIT: Duration = Duration::from_hours(1);

/// What of `wharf workspaces` is about reaping.
#[derive(Debug, Clone, Args)]
pub struct ReapArgs {
    /// Archive those of finished issues, where they are clean: of the current project's company, or all outside one
    #[arg(long, conflicts_with_all = ["filter", "limit", "after", "no_header", "archived"])]
    pub reap: bool,
    /// With --reap: only say which would go, and why the others stay
    #[arg(long, requires = "reap")]
    pub dry_run: bool,
    /// With --reap: do it without asking
    #[arg(long, short, requires = "reap", conflicts_with = "dry_run")]
    pub yes: bool,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    dry_run: bool,
    confirmed: bool,
    workspaces: Vec<One>,
}

#[derive(Serialize)]
struct One {
    workspace: String,
    id: String,
    name: String,
    issue: Option<String>,
    closed_at: Option<String>,
    /// From when on it may go; null where that is never.
    eligible_at: Option<String>,
    /// Whether it goes, or went.
    goes: bool,
    /// Why it stays.
    reason: Option<String>,
    /// What git ignores in it, where it goes: no snapshot has that.
    ignored: Option<String>,
}

/// Judges all, asks, and archives those that are due.
pub fn reap(context: &Context, args: &ReapArgs) -> Result<u8> {
    let reader = context.store()?;
    let judged = reap_preview(&reader, company(context, &reader)?)?.map_err(|why| {
        CliError::new(exit::CONFIG, "config_invalid", "the user's own file cannot be used, so nothing is archived")
            .text(why)
            .next("fix it, then wharf workspaces --reap --dry-run")
    })?;
    let due = judged.iter().filter(|r| r.stays.is_none()).count();
    if args.dry_run || due == 0 {
        show(context, &judged, args, None)?;
        return Ok(exit::DONE);
    }
    if !args.yes {
        show(context, &judged, args, None)?;
        let all = format::plural(due as u64, "workspace");
        confirm(context, &format!("Archive {all}?"), &all, "wharf workspaces --reap --yes")?;
    }
    let expect: Vec<Judged> = judged
        .iter()
        .filter(|r| r.stays.is_none())
        .map(|r| Judged { id: r.rows.workspace.id.text(), version: r.rows.workspace.version })
        .collect();
    let mut desk = Desk::open_to_start(context)?;
    let result = (|| {
        let row = desk.ask(Ask {
            kind: "workspace.reap",
            target_type: "workspace",
            target_id: None,
            args: json!({}),
            expect: serde_json::to_value(&expect).ok(),
        })?;
        desk.finished(&row, LIMIT)?
            .ok_or_else(|| CliError::new(exit::NO_ANSWER, "timeout", "not all of them are archived yet"))
    })();
    desk.close();
    let answer = result?.result.unwrap_or_default();
    show(context, &judged, args, Some(&answer))?;
    Ok(code(&expect, &answer))
}

/// The company of the current project, as the console shows it: what is another's is nothing to be reaped from here.
fn company(context: &Context, reader: &Reader) -> Result<Option<CompanyId>> {
    match find_here(context) {
        Ok(found) => Ok(reader.project_at(&found.root.display().to_string())?.map(|p| p.company_id)),
        // A project that was named must be one.
        Err(error) if context.global.project.is_some() => Err(error),
        Err(_) => Ok(None),
    }
}

/// All that was confirmed has gone, some of it, or none.
fn code(expect: &[Judged], answer: &Value) -> u8 {
    let archived = answer["archived"].as_array().map_or(0, Vec::len);
    match archived {
        0 => exit::REFUSED,
        n if n < expect.len() => exit::THING_FAILED,
        _ => exit::DONE,
    }
}

fn show(context: &Context, judged: &[Reapable], args: &ReapArgs, answer: Option<&Value>) -> Result<()> {
    let all: Vec<One> = judged.iter().map(|r| one(r, answer)).collect();
    if context.global.json {
        let confirmed = answer.is_some();
        return context.document(&Document {
            schema: "wharf.workspace_reap/1",
            dry_run: args.dry_run,
            confirmed,
            workspaces: all,
        });
    }
    let (now, zone) = (clock::now(), context.zone());
    let verb = if answer.is_some() { "archived" } else { "goes" };
    let mut out = String::new();
    for (row, reapable) in all.iter().zip(judged) {
        let word = if row.goes { verb } else { "stays" };
        let mut line = format!("{:<6} {:<9} {}", row.workspace, word, row.name);
        if let Some(reason) = &row.reason {
            line.push_str(&format!("  {reason}"));
        }
        if let Some(ignored) = &row.ignored {
            line.push_str(&format!("  {ignored}, which no snapshot has"));
        }
        if let Some(at) = reapable.eligible_at.filter(|at| *at > now) {
            line.push_str(&format!("; goes from {} on", until(at, now, zone)));
        }
        out.push_str(&crate::cli::table::tidy(line.trim_end(), context.global.ascii));
        out.push('\n');
    }
    let goes = all.iter().filter(|r| r.goes).count() as u64;
    let word = if answer.is_some() { "archived" } else { "would be archived" };
    out.push_str(&format!("{} {word}, {} stay\n", format::plural(goes, "workspace"), all.len() as u64 - goes));
    print(out.as_bytes())
}

fn until(at: UnixMillis, now: UnixMillis, zone: format::Zone) -> String {
    format::moment(at, now, zone)
}

fn one(reapable: &Reapable, answer: Option<&Value>) -> One {
    let rows = &reapable.rows;
    let id = rows.workspace.id.text();
    let named = |list: &str| {
        let all = answer.and_then(|a| a[list].as_array()).into_iter().flatten();
        all.into_iter().find(|w| w["id"].as_str() == Some(&*id)).cloned()
    };
    // What has changed between the look and the answer is told as it is now.
    let (goes, reason) = match (answer, named("stays")) {
        (None, _) => (reapable.stays.is_none(), reapable.stays.clone()),
        (Some(_), Some(stays)) => (false, stays["reason"].as_str().map(str::to_owned)),
        (Some(_), None) => (named("archived").is_some(), reapable.stays.clone()),
    };
    let items = reapable.check.iter().flat_map(|check| &check.items);
    let ignored = items.filter(|item| goes && item.code == "ignored").map(CloseItem::line).next();
    One {
        workspace: rows.number(),
        id,
        name: rows.workspace.name.clone(),
        issue: rows.issues.first().map(|i| i.identifier.clone()),
        closed_at: reapable.closed_at.map(UnixMillis::rfc3339),
        eligible_at: reapable.eligible_at.map(UnixMillis::rfc3339),
        goes,
        reason,
        ignored,
    }
}

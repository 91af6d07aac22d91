//! `wharf workspace archive`: the close check, a question, and then exactly that.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use wharf_model::WorkspaceId;
use wharf_store::Reader;
use wharf_ui::format;

use super::check::{CheckDoc, lines};
use super::{Asked, confirm, named, tell};
use crate::cli::context::{Context, print, say};
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};
use crate::clock;
use crate::console::workspace_preview::{ArchivePreview, archive_preview};

/// How long archiving is waited for beyond the limits of its commands.
const LIMIT: Duration = Duration::from_mins(20);

/// Options of `wharf workspace archive`.
#[derive(Debug, Clone, Args)]
pub struct ArchiveArgs {
    /// The workspaces: W-7, their ids or parts of them
    #[arg(required = true, value_name = "WORKSPACE")]
    pub workspaces: Vec<String>,
    #[command(flatten)]
    pub asked: Asked,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    confirmed: bool,
    workspaces: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    workspace: &'a str,
    id: String,
    name: &'a str,
    refused: Option<&'a str>,
    check: Option<CheckDoc<'a>>,
    archived: bool,
    result: Option<&'a Value>,
    error: Option<Value>,
}

/// Archives all that were named, after one question.
pub fn archive(context: &Context, args: &ArchiveArgs) -> Result<u8> {
    let reader = context.reader_for(args.workspaces.first().map_or("", String::as_str))?;
    let mut ids: Vec<WorkspaceId> = Vec::new();
    for text in &args.workspaces {
        let id = named(&reader, text)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let previews = ids.iter().map(|id| preview(context, &reader, *id)).collect::<Result<Vec<_>>>()?;
    if args.asked.dry_run {
        show(context, &previews, false, &[])?;
        return Ok(exit::DONE);
    }
    if let Some(blocked) = previews.iter().find(|p| p.refused.is_some()) {
        show(context, &previews, false, &[])?;
        return Err(refused(blocked));
    }
    if !args.asked.yes {
        show(context, &previews, false, &[])?;
        let numbers: Vec<&str> = previews.iter().map(|p| p.number.as_str()).collect();
        let all = numbers.join(" ");
        confirm(context, &format!("Archive {all}?"), &all, &format!("wharf workspace archive {all} --yes"))?;
    }
    let mut desk = Desk::open_to_start(context)?;
    let mut asked = Vec::new();
    for preview in &previews {
        asked.push(desk.ask(ask(preview)));
    }
    let results: Vec<Result<Value>> = asked
        .into_iter()
        .zip(&previews)
        .map(|(row, preview)| {
            desk.finished(&row?, LIMIT)?.map(|row| row.result.unwrap_or_default()).ok_or_else(|| late(preview))
        })
        .collect();
    desk.close();
    if context.global.json {
        show(context, &previews, true, &results)?;
    }
    told(context, &previews, results)
}

fn preview(context: &Context, reader: &Reader, id: WorkspaceId) -> Result<ArchivePreview> {
    archive_preview(reader, &context.data, id)?
        .ok_or_else(|| CliError::new(exit::NOT_FOUND, "id_unknown", "it is not in the store any more"))
}

fn ask(preview: &ArchivePreview) -> Ask {
    Ask {
        kind: "workspace.archive",
        target_type: "workspace",
        target_id: Some(preview.workspace.id.text()),
        args: preview.args(),
        expect: serde_json::to_value(&preview.expect).ok(),
    }
}

fn refused(preview: &ArchivePreview) -> CliError {
    let why = preview.refused.clone().unwrap_or_default();
    CliError::new(exit::REFUSED, "illegal_state", format!("{} is not archived", preview.number))
        .cause(why)
        .entity(preview.number.clone())
}

fn late(preview: &ArchivePreview) -> CliError {
    CliError::new(exit::NO_ANSWER, "timeout", format!("{} is not archived yet", preview.number))
        .cause("its commands or its files take longer; it goes on")
        .next(format!("wharf show {}", preview.number))
        .entity(preview.number.clone())
}

/// Shows previews as they are, or as data with what became of them.
fn show(context: &Context, previews: &[ArchivePreview], confirmed: bool, results: &[Result<Value>]) -> Result<()> {
    if context.global.json {
        let workspaces = previews
            .iter()
            .enumerate()
            .map(|(i, p)| One {
                workspace: &p.number,
                id: p.workspace.id.text(),
                name: &p.workspace.name,
                refused: p.refused.as_deref(),
                check: p.check.as_ref().map(CheckDoc::new),
                archived: results.get(i).is_some_and(Result::is_ok),
                result: results.get(i).and_then(|r| r.as_ref().ok()),
                error: results.get(i).and_then(|r| r.as_ref().err()).map(|e| e.json()["error"].clone()),
            })
            .collect();
        return context.document(&Document { schema: "wharf.workspace_archive/1", confirmed, workspaces });
    }
    let (now, zone) = (clock::now(), context.zone());
    for preview in previews {
        let mut text = Vec::new();
        let name = format!("{} {}", preview.number, preview.workspace.name);
        match &preview.check {
            Some(check) => {
                let at = format::clock(preview.at, zone);
                text.push(format!("{name}: the close check says: {} (checked {at})", check.verdict.as_str()));
                text.push(String::new());
                text.extend(lines(check, now, zone));
                if preview.refused.is_none() {
                    text.push(String::new());
                    let how = format!("`wharf workspace restore {}`", preview.number);
                    text.push(check.way_back().words(&how));
                }
            }
            None => text.push(format!("{name}: {}", preview.refused.as_deref().unwrap_or_default())),
        }
        let text = text.join("\n");
        if confirmed { tell(context, &text) } else { shown(context, &text)? }
    }
    Ok(())
}

fn shown(context: &Context, text: &str) -> Result<()> {
    let lines: String = text.lines().map(|l| crate::cli::table::tidy(l, context.global.ascii) + "\n").collect();
    print(lines.as_bytes())
}

/// Says what became of each; the error of the only one is the command's own.
fn told(context: &Context, previews: &[ArchivePreview], results: Vec<Result<Value>>) -> Result<u8> {
    let all = results.len();
    let mut code = exit::DONE;
    for (preview, result) in previews.iter().zip(results) {
        match result {
            Ok(done) => {
                let place = done["trash_path"].as_str().map_or_else(String::new, |p| format!("; its files are in {p}"));
                context.remark(&format!("archived {}{place}", preview.number));
                for note in done["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    context.remark(&format!("  {note}"));
                }
            }
            Err(error) if all == 1 => return Err(error.entity(preview.number.clone())),
            Err(error) => {
                if !context.global.json {
                    say(&error.human());
                }
                code = exit::THING_FAILED;
            }
        }
    }
    Ok(code)
}

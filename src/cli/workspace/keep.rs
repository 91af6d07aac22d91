//! `wharf workspace snapshot` and `restore`.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use wharf_model::{Kind, WorkspaceId, WorkspaceStatus};
use wharf_ui::format;
use wharf_ui::rows::Preview;

use super::{Asked, confirm, named, named_snapshot};
use crate::cli::context::{Context, print};
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};
use crate::clock;
use crate::console::workspace_facts::{Known, RestoreFrom, restore_preview};

/// How long keeping or bringing back is waited for.
const LIMIT: Duration = Duration::from_mins(20);

/// Options of `wharf workspace snapshot`.
#[derive(Debug, Clone, Args)]
pub struct SnapshotArgs {
    /// The workspace: W-7, its id or a part of it
    pub workspace: String,
    /// Why, for whoever finds it later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Options of `wharf workspace restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The archived workspace: W-7; or a snapshot: W-7.2
    pub workspace: String,
    /// A directory of it in the trash, by its name or a part of it: wharf workspace show names them
    #[arg(long, value_name = "NAME")]
    pub trash: Option<String>,
    #[command(flatten)]
    pub asked: Asked,
}

#[derive(Serialize)]
struct SnapshotDocument<'a> {
    schema: &'static str,
    workspace_id: &'a str,
    snapshot_id: &'a str,
    /// `W-7.2`.
    snapshot: &'a str,
    files: u64,
    bytes: u64,
    commit: Option<&'a str>,
    #[serde(rename = "ref")]
    ref_name: Option<&'a str>,
    /// Paths that git ignores or cannot keep.
    left_out: LeftOut<'a>,
}

#[derive(Serialize)]
struct LeftOut<'a> {
    count: u64,
    names: Vec<&'a str>,
}

#[derive(Serialize)]
struct RestoreDocument<'a> {
    schema: &'static str,
    dry_run: bool,
    confirmed: bool,
    workspace: &'a str,
    workspace_id: String,
    /// What it was brought back from; none for its directory in the trash.
    snapshot: Option<&'a str>,
    path: Option<&'a str>,
    branch: Option<&'a str>,
    notes: Vec<&'a str>,
    /// Why it cannot be brought back.
    refused: Option<&'a str>,
    /// What would happen, where it was looked at before.
    would: Vec<Would<'a>>,
}

#[derive(Serialize)]
struct Would<'a> {
    verb: &'static str,
    what: &'a str,
    how: &'a str,
}

/// Keeps the state of a workspace.
pub fn snapshot(context: &Context, args: &SnapshotArgs) -> Result<u8> {
    let reader = context.reader_for(&args.workspace)?;
    let id = named(&reader, &args.workspace)?;
    let ask = Ask {
        kind: "workspace.snapshot",
        target_type: "workspace",
        target_id: Some(id.text()),
        args: json!({ "reason": args.reason }),
        expect: None,
    };
    let result = carried_out(context, ask, &args.workspace, "kept")?;
    if context.global.json {
        let text = |key: &str| result[key].as_str();
        let left = &result["left_out"];
        context.document(&SnapshotDocument {
            schema: "wharf.workspace_snapshot/1",
            workspace_id: text("workspace_id").unwrap_or_default(),
            snapshot_id: text("snapshot_id").unwrap_or_default(),
            snapshot: text("snapshot").unwrap_or_default(),
            files: result["files"].as_u64().unwrap_or(0),
            bytes: result["bytes"].as_u64().unwrap_or(0),
            commit: text("commit"),
            ref_name: text("ref"),
            left_out: LeftOut { count: left["count"].as_u64().unwrap_or(0), names: texts(&left["names"]) },
        })?;
        return Ok(exit::DONE);
    }
    let files = format::plural(result["files"].as_u64().unwrap_or(0), "file");
    let bytes = format::size(result["bytes"].as_u64().unwrap_or(0));
    let name = result["snapshot"].as_str().unwrap_or_default();
    print(format!("{name}  {files}  {bytes}\n").as_bytes())?;
    let left = &result["left_out"];
    if let Some(count) = left["count"].as_u64().filter(|n| *n > 0) {
        context.remark(&format!("not in it, as git ignores it or cannot keep it: {}", format::plural(count, "path")));
    }
    Ok(exit::DONE)
}

/// Brings a workspace back, or puts a snapshot into it.
pub fn restore(context: &Context, args: &RestoreArgs) -> Result<u8> {
    let reader = context.reader_for(&args.workspace)?;
    let (id, snapshot) = named_snapshot(&reader, &args.workspace)?;
    let (at, zone) = (clock::now(), context.zone());
    let from = RestoreFrom { snapshot: snapshot.as_ref().map(|s| s.id), trash: args.trash.as_deref() };
    let preview = restore_preview(&reader, id, from, &Known::default(), at, zone)?;
    let row = reader.workspace(id)?.map(|w| w.workspace);
    let number = row.as_ref().map_or_else(|| args.workspace.clone(), |w| Kind::Workspace.number(w.number));
    // What is there becomes something else; what is away only comes back.
    let replaces = snapshot.is_some()
        && row.is_some_and(|w| !matches!(w.status, WorkspaceStatus::Archived | WorkspaceStatus::Missing));
    if args.asked.dry_run {
        show(context, args, (&number, id), Some(&preview), None)?;
        return Ok(exit::DONE);
    }
    if replaces && preview.refused.is_none() && !args.asked.yes {
        if !context.global.json {
            show(context, args, (&number, id), Some(&preview), None)?;
        }
        let text = &args.workspace;
        let question = format!("Restore {text}, over what is there now?");
        confirm(context, &question, &number, &format!("wharf workspace restore {text} --yes"))?;
    }
    let expect = if replaces && preview.refused.is_none() { serde_json::to_value(&preview.expect).ok() } else { None };
    let ask = Ask {
        kind: "workspace.restore",
        target_type: "workspace",
        target_id: Some(id.text()),
        args: json!({ "snapshot": snapshot.map(|s| s.id.text()), "trash": args.trash }),
        expect,
    };
    let result = carried_out(context, ask, &args.workspace, "restored")?;
    if context.global.json {
        show(context, args, (&number, id), replaces.then_some(&preview), Some(&result))?;
        return Ok(exit::DONE);
    }
    let text = |key: &str| result[key].as_str().unwrap_or_default();
    print(format!("{}  {}\n", text("workspace"), text("path")).as_bytes())?;
    for note in result["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        context.remark(note);
    }
    Ok(exit::DONE)
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Says what would happen, or as data also what has.
fn show(
    context: &Context,
    args: &RestoreArgs,
    (number, id): (&str, WorkspaceId),
    preview: Option<&Preview>,
    result: Option<&Value>,
) -> Result<()> {
    let refused = preview.and_then(|p| p.refused.as_deref());
    let lines = preview.into_iter().flat_map(|p| &p.lines);
    if context.global.json {
        let text = |key: &str| result.and_then(|r| r[key].as_str());
        return context.document(&RestoreDocument {
            schema: "wharf.workspace_restore/1",
            dry_run: args.asked.dry_run,
            confirmed: result.is_some(),
            workspace: number,
            workspace_id: id.text(),
            snapshot: text("snapshot"),
            path: text("path"),
            branch: text("branch"),
            notes: result.map_or_else(Vec::new, |r| texts(&r["notes"])),
            refused,
            would: lines.map(|l| Would { verb: l.verb.word(), what: &l.what, how: &l.how }).collect(),
        });
    }
    let mut out = String::new();
    let mut add = |line: String| {
        out.push_str(&crate::cli::table::tidy(line.trim_end(), context.global.ascii));
        out.push('\n');
    };
    for line in lines {
        add(format!("{:<9} {}  {}", line.verb.word(), line.what, line.how));
    }
    if let Some(why) = refused {
        add(format!("{number} is not restored: {why}"));
    } else if let Some(note) = preview.map(|p| p.note.as_str()).filter(|n| !n.is_empty()) {
        // The key of the screen is no word of the command line.
        if !note.starts_with("R on ") {
            add(note.to_owned());
        }
    }
    print(out.as_bytes())
}

/// Asks, and waits for what comes of it.
fn carried_out(context: &Context, ask: Ask, text: &str, past: &str) -> Result<Value> {
    let mut desk = Desk::open_to_start(context)?;
    let result = (|| {
        let row = desk.ask(ask)?;
        let finished = desk.finished(&row, LIMIT)?.ok_or_else(|| {
            CliError::new(exit::NO_ANSWER, "timeout", format!("{text} is not {past} yet"))
                .cause("its files take longer; it goes on")
                .next(format!("wharf show {text}"))
        })?;
        Ok(finished.result.unwrap_or_default())
    })();
    desk.close();
    result.map_err(|error: CliError| error.entity(text))
}

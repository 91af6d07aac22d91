//! `wharf workspace snapshot` and `restore`.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use wharf_ui::format;

use super::{named, named_snapshot};
use crate::cli::context::{Context, print};
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};

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
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    result: &'a Value,
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
        context.document(&Document { schema: "wharf.workspace_snapshot/1", result: &result })?;
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
    let ask = Ask {
        kind: "workspace.restore",
        target_type: "workspace",
        target_id: Some(id.text()),
        args: json!({ "snapshot": snapshot.map(|s| s.id.text()) }),
        expect: None,
    };
    let result = carried_out(context, ask, &args.workspace, "restored")?;
    if context.global.json {
        context.document(&Document { schema: "wharf.workspace_restore/1", result: &result })?;
        return Ok(exit::DONE);
    }
    let text = |key: &str| result[key].as_str().unwrap_or_default();
    print(format!("{}  {}\n", text("workspace"), text("path")).as_bytes())?;
    for note in result["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        context.remark(note);
    }
    Ok(exit::DONE)
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

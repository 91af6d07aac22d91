//! `wharf gc`: what is kept no longer, told or removed.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use wharf_ui::format;

use super::context::{Context, print};
use super::desk::{Ask, Desk};
use super::doctor::holder_pid;
use super::error::{CliError, Result, exit};
use crate::clock;
use crate::dispatch::input::{GcPlan, KeptOf};
use crate::dispatch::prepare;
use crate::gc::plan;
use crate::process::cgroup;

/// How long one pass may take.
const LIMIT: Duration = Duration::from_mins(10);
/// Passes of one command; each takes what one transaction may.
const PASSES: usize = 1_000;

/// Options of `wharf gc`.
#[derive(Debug, Clone, Args)]
pub struct GcArgs {
    /// Only list what would be removed now
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct GcDoc {
    schema: &'static str,
    dry_run: bool,
    /// How long logs are kept; null = for ever.
    keep_ms: Option<u64>,
    logs: Vec<LogDoc>,
    /// Directories of archived workspaces, and snapshots of workspaces, whose time is over.
    kept: Vec<KeptDoc>,
    /// Bytes of the logs.
    bytes: u64,
    cache: Vec<String>,
    orphans: Vec<String>,
    /// Empty control groups that ended runs left behind.
    groups: Vec<String>,
    /// More is due than is listed here.
    more: bool,
}

#[derive(Serialize)]
struct KeptDoc {
    id: String,
    /// `W-7`, or `W-7.2` for a snapshot.
    number: String,
    /// `trash` or `snapshot`.
    entity: String,
    /// Directory in the trash, or the snapshot's ref.
    place: String,
    /// Null where they were not counted.
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct LogDoc {
    id: String,
    number: String,
    /// `run`, `operation` or `service`.
    entity: String,
    /// Which start of a service it is of.
    start: Option<u32>,
    bytes: u64,
}

/// Removes, or lists, what is kept no longer.
pub fn gc(context: &Context, args: &GcArgs) -> Result<u8> {
    let done = if args.dry_run { listed(context)? } else { removed(context)? };
    if context.global.json {
        context.document(&done)?;
        return Ok(exit::DONE);
    }
    print(words(&done).as_bytes())?;
    Ok(exit::DONE)
}

/// What a pass would do, by the rule that it would go by.
fn listed(context: &Context) -> Result<GcDoc> {
    let reader = context.store()?;
    let retention = prepare::retention().map_err(wrong_config)?;
    let GcPlan { keep_ms, logs, kept, cache, orphans, more, .. } =
        plan::plan(&context.data, &reader, clock::now(), retention.run_logs_ms)?;
    let bytes = logs.iter().map(|l| l.bytes).sum();
    let logs = logs
        .into_iter()
        .map(|l| LogDoc {
            id: l.owner.id(),
            entity: l.owner.entity().to_owned(),
            start: l.owner.start(),
            number: l.number,
            bytes: l.bytes,
        })
        .collect();
    let kept = kept
        .into_iter()
        .map(|k| {
            let (entity, id) = match k.of {
                KeptOf::Trash(id) => ("trash", id.text()),
                KeptOf::Snapshot(id) => ("snapshot", id.text()),
            };
            KeptDoc { id, number: k.number, entity: entity.to_owned(), place: k.place, bytes: k.bytes }
        })
        .collect();
    let left = cgroup::leftovers(holder_pid(&context.data), &context.data.join("live"));
    let empty = left.iter().filter(|group| group.processes == Some(0));
    let groups = empty.map(|group| group.dir.display().to_string()).collect();
    Ok(GcDoc { schema: "wharf.gc/1", dry_run: true, keep_ms, logs, kept, bytes, cache, orphans, groups, more })
}

fn wrong_config(message: String) -> CliError {
    CliError::new(exit::CONFIG, "config_invalid", "the user's own file cannot be used, so nothing is removed")
        .text(message)
        .next("fix it, then wharf gc --dry-run")
}

/// Asks for passes until nothing is left to remove.
fn removed(context: &Context) -> Result<GcDoc> {
    // There is nothing to remove where there is no store; asking for it would make an empty one.
    context.store()?;
    prepare::retention().map_err(wrong_config)?;
    let mut desk = Desk::open(context)?;
    let done = passes(&mut desk);
    desk.close();
    let mut all = done?;
    // No rows know of them: what a run's shim could not remove, whoever may remove it now does.
    all.groups = cgroup::remove_leftovers(holder_pid(&context.data), &context.data.join("live"));
    Ok(all)
}

fn passes(desk: &mut Desk) -> Result<GcDoc> {
    let mut all = nothing_yet();
    for _ in 0..PASSES {
        let ask = Ask { kind: "gc.run", target_type: "store", target_id: None, args: json!({}), expect: None };
        let accepted = desk.ask(ask)?;
        let Some(row) = desk.finished(&accepted, LIMIT)? else {
            return Err(CliError::new(exit::NO_ANSWER, "orchestrator_absent", "removing takes longer than 10 minutes")
                .next("it goes on; wharf activity kind:store.collected tells of it"));
        };
        let result = row.result.unwrap_or_default();
        take(&mut all, &result);
        if !all.more {
            break;
        }
    }
    Ok(all)
}

/// What is added to.
const fn nothing_yet() -> GcDoc {
    GcDoc {
        schema: "wharf.gc/1",
        dry_run: false,
        keep_ms: None,
        logs: Vec::new(),
        kept: Vec::new(),
        bytes: 0,
        cache: Vec::new(),
        orphans: Vec::new(),
        groups: Vec::new(),
        more: true,
    }
}

/// Adds what one pass did.
fn take(all: &mut GcDoc, result: &Value) {
    let texts = |what: &str| {
        let list = result[what].as_array();
        list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let text = |v: &Value, what: &str| v[what].as_str().unwrap_or_default().to_owned();
    for log in result["logs"].as_array().into_iter().flatten() {
        let bytes = log["bytes"].as_u64().unwrap_or(0);
        all.logs.push(LogDoc {
            id: text(log, "id"),
            number: text(log, "number"),
            entity: text(log, "entity"),
            start: log["start"].as_u64().and_then(|n| u32::try_from(n).ok()),
            bytes,
        });
        all.bytes += bytes;
    }
    for kept in result["kept"].as_array().into_iter().flatten() {
        all.kept.push(KeptDoc {
            id: text(kept, "id"),
            number: text(kept, "number"),
            entity: text(kept, "entity"),
            place: text(kept, "place"),
            bytes: kept["bytes"].as_u64(),
        });
    }
    all.keep_ms = result["keep_ms"].as_u64();
    all.cache.extend(texts("cache"));
    all.orphans = texts("orphans");
    all.more = result["more"].as_bool().unwrap_or(false);
}

fn words(done: &GcDoc) -> String {
    let verb = if done.dry_run { "would be removed" } else { "removed" };
    let mut out = String::new();
    for log in &done.logs {
        let which = log.start.map_or_else(String::new, |start| format!(" start {start}"));
        out.push_str(&format!("{:<14} {:>9}  {verb}\n", format!("{}{which}", log.number), format::size(log.bytes)));
    }
    for kept in &done.kept {
        let size = kept.bytes.map_or_else(|| "–".to_owned(), format::size);
        let what = if kept.entity == "trash" { "what its trash has" } else { "a snapshot" };
        out.push_str(&format!("{:<14} {size:>9}  {verb}: {what}, kept long enough\n", kept.number));
    }
    for file in &done.cache {
        out.push_str(&format!("{file}  {verb}: its log is not there\n"));
    }
    for dir in &done.orphans {
        out.push_str(&format!("{dir}  stays: no row knows it; look into it, then remove it by hand\n"));
    }
    for group in &done.groups {
        out.push_str(&format!("{group}  {verb}: its run has ended and nothing is in it\n"));
    }
    let kept = done.keep_ms.map_or_else(
        || "logs are kept for ever".to_owned(),
        |ms| format!("logs are kept {}", format::duration(i64::try_from(ms).unwrap_or(i64::MAX))),
    );
    let logs = format::plural(done.logs.len() as u64, "log");
    let more = if done.more { ", and more are due" } else { "" };
    out.push_str(&format!("{logs}, {} {verb}{more}; {kept}\n", format::size(done.bytes)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_add_up() {
        let mut all = nothing_yet();
        let pass = |n: u64, more| {
            json!({
                "logs": [{ "id": "x", "number": format!("S-{n}"), "entity": "service", "start": 3, "bytes": n }], "cache": ["cache/a.lines"],
                "orphans": ["runs/aa/b"], "more": more, "keep_ms": 86_400_000_u64,
            })
        };
        take(&mut all, &pass(1, true));
        assert!(all.more);
        take(&mut all, &pass(2, false));
        assert_eq!((all.bytes, all.logs.len(), all.cache.len(), all.orphans.len(), all.more), (3, 2, 2, 1, false));
        let words = words(&all);
        assert!(words.contains("S-2 start 3") && words.contains("2 logs, 3 B removed; logs are kept 1d"), "{words}");
    }
}

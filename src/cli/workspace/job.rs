//! `wharf workspace job`: a command of the project's config, followed to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use wharf_model::rules::running_job;
use wharf_model::{OperationId, OperationRow, OperationStatus, WorkspaceId};
use wharf_store::view::OperationQuery;

use super::named;
use crate::cli::cancel::duration;
use crate::cli::context::Context;
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};
use crate::cli::run::follow;
use crate::dispatch::perform::shim_dir;
use crate::process::signal;

/// Exit codes of commands that ended otherwise than by themselves (contracts 9).
mod code {
    pub const CANCELLED: u8 = 130;
    pub const TIMED_OUT: u8 = 124;
    pub const NOT_RUN: u8 = 125;
    pub const SIGNAL: u8 = 128;
}

/// Operations looked through for a job that runs: the newest ones.
const LOOKED_THROUGH: usize = 1_000;
/// Time beyond the grace in which a stopped job must have ended: its shim is killed in it where it does not listen.
const STOP_MARGIN: Duration = Duration::from_secs(45);

/// Options of `wharf workspace job`.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// The workspace: W-7, its id or a part of it
    pub workspace: String,
    /// Name of the job in wharf.toml
    pub job: String,
    /// Only begin it, or only ask it to stop
    #[arg(long)]
    pub detach: bool,
    /// Stop it where it runs: SIGTERM to all of it, SIGKILL to what is left after the grace
    #[arg(long)]
    pub stop: bool,
    /// Time between SIGTERM and SIGKILL, such as 20s; else 5s
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "stop")]
    pub grace: Option<i64>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    workspace: &'a str,
    job: &'a str,
    operation: &'a str,
    id: String,
    status: &'static str,
    exit_code: Option<i32>,
    signal: Option<String>,
    error: Option<String>,
}

/// Runs a job and prints what it prints.
pub fn job(context: &Context, args: &JobArgs) -> Result<u8> {
    let reader = context.reader_for(&args.workspace)?;
    let id = named(&reader, &args.workspace)?;
    let mut desk = if args.stop { Desk::open(context)? } else { Desk::open_to_start(context)? };
    let done = if args.stop { stop(context, &mut desk, args, id) } else { carried_out(context, &mut desk, args, id) };
    desk.close();
    done
}

fn carried_out(context: &Context, desk: &mut Desk, args: &JobArgs, id: WorkspaceId) -> Result<u8> {
    let row = desk.ask(Ask {
        kind: "workspace.run_job",
        target_type: "workspace",
        target_id: Some(id.text()),
        args: json!({ "job": args.job }),
        expect: None,
    })?;
    let answer = row.result.clone().unwrap_or_default();
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let (number, workspace) = (text("operation"), text("workspace"));
    let operation: OperationId =
        text("operation_id").parse().map_err(|_| CliError::internal("the answer names no operation"))?;
    let ended = if args.detach { None } else { Some(followed(context, desk, operation)?) };
    let now = match ended {
        Some(row) => row,
        None => found(desk, operation)?,
    };
    document(context, &workspace, &number, &now, &args.job)?;
    if args.detach {
        context.remark(&format!("{number} runs {} in {workspace}; wharf logs {number} -f", args.job));
        return Ok(exit::DONE);
    }
    if let Some(error) = now.error.as_deref().filter(|_| now.status != OperationStatus::Succeeded) {
        context.remark(&format!("{number} {} in {workspace}: {error}", args.job));
    }
    Ok(exit_code(&now))
}

fn document(context: &Context, workspace: &str, operation: &str, row: &OperationRow, job: &str) -> Result<()> {
    if !context.global.json {
        return Ok(());
    }
    context.document(&Document {
        schema: "wharf.workspace_job/1",
        workspace,
        job,
        operation,
        id: row.id.text(),
        status: row.status.as_str(),
        exit_code: row.exit_code,
        signal: row.signal.clone(),
        error: row.error.clone(),
    })
}

/// Stops a job that runs, as it was seen to run, and waits until nothing of it is left.
fn stop(context: &Context, desk: &mut Desk, args: &JobArgs, id: WorkspaceId) -> Result<u8> {
    let query = OperationQuery { workspace: Some(id), run: None };
    let newest = desk.reader.operations(&query, None, LOOKED_THROUGH)?.rows;
    let newest: Vec<OperationRow> = newest.into_iter().map(|item| item.operation).collect();
    let running = running_job::running(&newest, id).find(|o| running_job::name(o) == Some(&args.job));
    let expect = running.map(|o| json!([running_job::judged(o)]));
    let row = desk.ask(Ask {
        kind: "workspace.stop_job",
        target_type: "workspace",
        target_id: Some(id.text()),
        args: json!({ "job": args.job, "operation": running.map(|o| o.id.text()), "grace_ms": args.grace }),
        expect,
    })?;
    let answer = row.result.clone().unwrap_or_default();
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let (number, workspace) = (text("operation"), text("workspace"));
    let operation: OperationId =
        text("operation_id").parse().map_err(|_| CliError::internal("the answer names no operation"))?;
    if args.detach {
        document(context, &workspace, &number, &found(desk, operation)?, &args.job)?;
        context.remark(&format!("{number} {} in {workspace} is asked to stop; wharf show {number}", args.job));
        return Ok(exit::DONE);
    }
    let grace = answer["grace_ms"].as_u64().unwrap_or(0);
    if found(desk, operation)?.status == OperationStatus::Running {
        let grace = wharf_ui::format::duration(i64::try_from(grace).unwrap_or(i64::MAX));
        context.remark(&format!("stopping {number} {} in {workspace}, at most {grace}", args.job));
    }
    if desk.finished(&row, Duration::from_millis(grace) + STOP_MARGIN)?.is_none() {
        return Err(CliError::new(exit::NO_ANSWER, "timeout", format!("{number} has not ended yet"))
            .cause("it was asked to stop, and that goes on")
            .next(format!("wharf show {number}"))
            .entity(number));
    }
    let now = found(desk, operation)?;
    document(context, &workspace, &number, &now, &args.job)?;
    let how = now.error.clone().unwrap_or_else(|| now.status.to_string());
    context.remark(&format!("{number} {} in {workspace}: {how}", args.job));
    Ok(exit::DONE)
}

fn found(desk: &Desk, id: OperationId) -> Result<OperationRow> {
    let item = desk.reader.operation(id)?;
    item.map(|o| o.operation).ok_or_else(|| CliError::internal("the operation is not in the store"))
}

/// Prints its output until it has ended; gives its row then.
fn followed(context: &Context, desk: &mut Desk, id: OperationId) -> Result<OperationRow> {
    let stop = Arc::new(AtomicBool::new(false));
    let thread = match shim_dir("operation", &id.text(), 1).filter(|_| !context.global.json) {
        None => None,
        Some(dir) => {
            let (dir, seen, quiet) = (context.data.join(dir), Arc::clone(&stop), context.global.quiet);
            let spawned =
                std::thread::Builder::new().name("follow".into()).spawn(move || follow(dir, &seen, quiet, || None));
            Some(spawned.map_err(|e| CliError::internal("no thread can be started").cause(e.to_string()))?)
        }
    };
    let ended = desk.wait(None, |reader, _| {
        let row = reader.operation(id)?.map(|o| o.operation);
        Ok(row.filter(|o| o.status != OperationStatus::Running))
    });
    stop.store(true, Ordering::Release);
    let printed = thread.map_or(Ok(()), |t| {
        t.join().unwrap_or_else(|_| Err(CliError::internal("the thread that prints ended by a panic")))
    });
    let row = ended?.ok_or_else(|| CliError::internal("its end was not waited for"))?;
    printed?;
    Ok(row)
}

/// The exit code of an ended job.
fn exit_code(row: &OperationRow) -> u8 {
    if row.status == OperationStatus::Succeeded {
        return exit::DONE;
    }
    if row.error.as_deref().is_some_and(|e| e.starts_with("stopped by ")) {
        return code::CANCELLED;
    }
    if row.error.as_deref().is_some_and(|e| e.starts_with("it took longer than")) {
        return code::TIMED_OUT;
    }
    if let Some(signal) = row.signal.as_deref().and_then(signal::parse) {
        return code::SIGNAL.saturating_add(u8::try_from(signal.as_raw()).unwrap_or(0));
    }
    match row.exit_code.and_then(|c| u8::try_from(c).ok()) {
        Some(own) if own != 0 => own,
        Some(_) => exit::THING_FAILED,
        None => code::NOT_RUN,
    }
}

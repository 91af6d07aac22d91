//! `wharf workspace job`: a command of the project's config, followed to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use wharf_model::{OperationId, OperationRow, OperationStatus};

use super::named;
use crate::cli::context::Context;
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};
use crate::cli::run::follow;
use crate::dispatch::perform::shim_dir;
use crate::process::signal;

/// Exit codes of commands that ended otherwise than by themselves (contracts 9).
mod code {
    pub const TIMED_OUT: u8 = 124;
    pub const NOT_RUN: u8 = 125;
    pub const SIGNAL: u8 = 128;
}

/// Options of `wharf workspace job`.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// The workspace: W-7, its id or a part of it
    pub workspace: String,
    /// Name of the job in wharf.toml
    pub job: String,
    /// Only begin it
    #[arg(long)]
    pub detach: bool,
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
    let mut desk = Desk::open_to_start(context)?;
    let done = carried_out(context, &mut desk, args, id);
    desk.close();
    done
}

fn carried_out(context: &Context, desk: &mut Desk, args: &JobArgs, id: wharf_model::WorkspaceId) -> Result<u8> {
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
    if context.global.json {
        context.document(&Document {
            schema: "wharf.workspace_job/1",
            workspace: &workspace,
            job: &args.job,
            operation: &number,
            id: operation.text(),
            status: now.status.as_str(),
            exit_code: now.exit_code,
            signal: now.signal.clone(),
            error: now.error.clone(),
        })?;
    }
    if args.detach {
        context.remark(&format!("{number} runs {} in {workspace}; wharf logs {number} -f", args.job));
        return Ok(exit::DONE);
    }
    if let Some(error) = now.error.as_deref().filter(|_| now.status != OperationStatus::Succeeded) {
        context.remark(&format!("{number} {} in {workspace}: {error}", args.job));
    }
    Ok(exit_code(&now))
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

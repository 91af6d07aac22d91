//! `wharf cancel`: stops a run and waits until nothing of it is left.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use wharf_model::filter::duration_ms;
use wharf_model::{Kind, RunId};
use wharf_ui::format;

use super::context::Context;
use super::desk::{Ask, Desk};
use super::error::{CliError, Result, exit};
use super::logs::named_run;
use super::run_doc::RunDocument;
use crate::clock;

/// Time beyond the grace in which the run must have ended.
const MARGIN: Duration = Duration::from_secs(30);

/// Options of `wharf cancel`.
#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    /// The run: R-12, its id or a part of it
    pub run: String,
    /// Time between SIGTERM and SIGKILL, such as 5s; else the agent's
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub grace: Option<i64>,
}

/// Reads a duration of the command line.
pub fn duration(text: &str) -> std::result::Result<i64, String> {
    duration_ms(text).ok_or_else(|| format!("{text:?} is no duration; write a figure with s, m or h, as in 5s"))
}

/// Cancels a run.
pub fn cancel(context: &Context, args: &CancelArgs) -> Result<u8> {
    let reader = context.reader_for(&args.run)?;
    let id = named_run(&reader, &args.run)?;
    let mut desk = Desk::open(context)?;
    let result = stop(context, args, id, &mut desk);
    desk.close();
    result
}

fn stop(context: &Context, args: &CancelArgs, id: RunId, desk: &mut Desk) -> Result<u8> {
    let row = desk.ask(Ask {
        kind: "run.cancel",
        target_type: "run",
        target_id: Some(id.text()),
        args: json!({ "grace_ms": args.grace }),
        expect: None,
    })?;
    let Some(detail) = desk.reader.run_detail(id)? else {
        return Err(CliError::internal("the run is not in the store any more"));
    };
    let number = Kind::Run.number(detail.run.number);
    let grace = args.grace.unwrap_or(detail.run.grace_ms).max(0);
    if !detail.run.status.is_terminal() {
        context.remark(&format!("stopping {number}, at most {}", format::duration(grace)));
    }
    let finished = desk.finished(&row, Duration::from_millis(grace.unsigned_abs()) + MARGIN)?;
    if finished.is_none() {
        return Err(CliError::new(exit::NO_ANSWER, "timeout", format!("{number} has not ended yet"))
            .cause("it was asked to stop, and that goes on")
            .next(format!("wharf show {number}"))
            .entity(number));
    }
    super::run::finish(desk, id)?;
    let line = desk.reader.run_line(id)?.ok_or_else(|| CliError::internal("the run is not in the store any more"))?;
    if context.global.json {
        context.document(&RunDocument::new(&context.data, &line, clock::now()))?;
    }
    context.remark(&format!("{number} is {}", line.status.as_str().replace('_', " ")));
    Ok(exit::DONE)
}

//! `wharf resolve`: the operator decides about a run that wharf cannot judge.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;
use wharf_model::Kind;

use super::context::Context;
use super::desk::{Ask, Desk};
use super::error::{CliError, Result, exit};
use super::logs::named_run;
use super::run_doc::RunDocument;
use crate::clock;

/// Time in which what was decided must be carried out.
const LIMIT: Duration = Duration::from_secs(30);

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verdict {
    /// It is over: recorded as lost, and whatever of it lives is stopped
    Lost,
    /// It may live: left as it is, and asked about again in a day
    Keep,
}

/// Options of `wharf resolve`.
#[derive(Debug, Clone, Args)]
pub struct ResolveArgs {
    /// The run: R-12, its id or a part of it
    pub run: String,
    /// What it is
    pub verdict: Verdict,
}

/// Decides.
pub fn resolve(context: &Context, args: &ResolveArgs) -> Result<u8> {
    let reader = context.reader_for(&args.run)?;
    let id = named_run(&reader, &args.run)?;
    drop(reader);
    let mut desk = Desk::open(context)?;
    let verdict = match args.verdict {
        Verdict::Lost => "lost",
        Verdict::Keep => "keep",
    };
    let asked = desk.ask(Ask {
        kind: "run.resolve",
        target_type: "run",
        target_id: Some(id.text()),
        args: json!({ "verdict": verdict }),
        expect: None,
    });
    let result = asked.and_then(|row| {
        desk.finished(&row, LIMIT)?;
        desk.reader.run_line(id)?.ok_or_else(|| CliError::internal("the run is not in the store any more"))
    });
    desk.close();
    let line = result?;
    if context.global.json {
        context.document(&RunDocument::new(&context.data, &line, clock::now()))?;
    }
    let number = Kind::Run.number(line.number);
    context.remark(&match args.verdict {
        Verdict::Lost => format!("{number} is {}", line.status.as_str().replace('_', " ")),
        Verdict::Keep => format!("{number} is kept"),
    });
    Ok(exit::DONE)
}

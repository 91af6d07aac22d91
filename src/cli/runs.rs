//! `wharf runs`: the ledger as a list.

use clap::Args;
use wharf_model::Kind;
use wharf_store::view::{RunCursor, RunQuery};
use wharf_ui::format;

use super::context::Context;
use super::error::{CliError, Result};
use super::run_doc::{RunsDocument, shown};
use super::table::{Cell, Table};
use crate::clock;

/// Rows of a list when nothing else is asked.
const LIMIT: usize = 100;

/// Options of `wharf runs`.
#[derive(Debug, Clone, Args)]
pub struct RunsArgs {
    /// Leave out the header
    #[arg(long)]
    pub no_header: bool,
    /// Most rows
    #[arg(long, default_value_t = LIMIT, value_name = "N")]
    pub limit: usize,
    /// Go on where another page ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
}

/// Lists runs: the open ones first, then the ended ones, each newest first.
pub fn runs(context: &Context, args: &RunsArgs) -> Result<u8> {
    let query = RunQuery::default();
    let after = args.after.as_deref().map(cursor).transpose()?;
    let now = clock::now();
    let (page, hidden) = match context.reader()? {
        Some(reader) => {
            let page = reader.runs(&query, after, args.limit.max(1))?;
            let counts = reader.run_counts(&query)?;
            (Some(page), counts.hidden)
        }
        None => (None, 0),
    };
    let next = page.as_ref().and_then(|p| p.next).map(cursor_text);
    let rows = page.map(|p| p.rows).unwrap_or_default();
    if context.global.json {
        context.document(&RunsDocument::new(&rows, next, hidden, now))?;
        return Ok(0);
    }
    let mut table = Table::new(&["RUN", "STATUS", "AGENT", "ISSUE", "ENV", "OUTCOME", "TOOK", "ENDED"]);
    for row in &rows {
        let line = shown(row);
        let (class, word) = line.state();
        let outcome = if line.is_live() { line.now_words(now, context.zone()) } else { line.outcome_words().0 };
        let took = line.started_at.map(|s| format::took(s.until(line.finished_at.unwrap_or(now))));
        table.row(vec![
            Cell::text(Kind::Run.number(row.number)),
            Cell::state(class, word),
            Cell::maybe(row.agent.clone()),
            Cell::maybe(row.issue.clone()),
            Cell::maybe(row.environment.clone()),
            Cell::text(outcome),
            Cell::figure(took),
            Cell::figure(row.finished_at.map(|at| format::duration(at.until(now)))),
        ]);
    }
    table.print(context, !args.no_header)?;
    if let Some(next) = next {
        context.remark(&format!("more runs follow: wharf runs --after {next}"));
    }
    Ok(0)
}

fn cursor_text(cursor: RunCursor) -> String {
    format!("{}{}", if cursor.open { 'o' } else { 'e' }, cursor.below)
}

fn cursor(text: &str) -> Result<RunCursor> {
    let wrong = || {
        CliError::usage(format!("{text:?} is no place in the list of runs"))
            .next("give what `next` said in the page before")
    };
    let open = match text.get(..1) {
        Some("o") => true,
        Some("e") => false,
        _ => return Err(wrong()),
    };
    let below = text[1..].parse().map_err(|_| wrong())?;
    Ok(RunCursor { open, below })
}

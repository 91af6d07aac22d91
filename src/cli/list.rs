//! What all lists have in common: options, pages, the line that says what was not shown.

use clap::Args;
use clap::builder::{RangedU64ValueParser, TypedValueParser};
use serde::Serialize;
use serde_json::{Map, Value};
use wharf_store::view::{PAGE_LIMIT, Page};
use wharf_ui::format::count;

use super::context::Context;
use super::error::{CliError, Result};
use super::table::Table;

/// Rows of a list when nothing else is asked.
const LIMIT: usize = 100;
/// Rows read for one page before the filter, at least and altogether at most.
const READ_AT_ONCE: usize = 200;
const READ_MAX: usize = 50_000;

/// Options of a list.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Filter: status:failed agent:fixer since:2h "a text"; after a `--`, one with a leading - excludes
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Leave out the header
    #[arg(long)]
    pub no_header: bool,
    /// Most rows
    #[arg(long, short = 'n', default_value_t = LIMIT, value_name = "N", value_parser = at_least_one())]
    pub limit: usize,
    /// Go on where another page ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
}

impl ListArgs {
    /// Rows wanted.
    pub fn limit(&self) -> usize {
        self.limit.clamp(1, READ_MAX)
    }

    /// The cursor of a list whose cursors are figures.
    pub fn below(&self) -> Result<Option<i64>> {
        let Some(text) = &self.after else { return Ok(None) };
        text.parse().ok().filter(|n: &i64| *n >= 0).map(Some).ok_or_else(|| wrong_cursor(text))
    }
}

fn at_least_one() -> impl TypedValueParser<Value = usize> {
    RangedU64ValueParser::<usize>::new().range(1..)
}

/// A cursor that no list gave.
pub fn wrong_cursor(text: &str) -> CliError {
    CliError::usage(format!("{text:?} is no place in this list")).next("give what `next` said in the page before")
}

/// Rows that passed, and what is known of the rest.
pub struct Listed<T> {
    /// Rows.
    pub rows: Vec<T>,
    /// Where to go on.
    pub next: Option<String>,
    /// Rows that the filter kept out; none where the list was not read from its start to its end.
    pub hidden: Option<i64>,
}

impl<T> Listed<T> {
    /// A list without rows.
    pub fn none() -> Self {
        Self { rows: Vec::new(), next: None, hidden: Some(0) }
    }
}

/// Reads pages until enough rows have passed, or the list ends.
pub fn collect<T, C: Copy>(
    first: Option<C>,
    limit: usize,
    text: impl Fn(C) -> String,
    mut page: impl FnMut(Option<C>, usize) -> Result<Page<T, C>>,
    passes: impl Fn(&T) -> bool,
) -> Result<Listed<T>> {
    let mut listed = Listed::none();
    let mut at = first;
    let mut read = 0;
    let mut hidden = 0;
    // What a page in the midst kept out says nothing of the list.
    listed.hidden = None;
    loop {
        let want = limit.clamp(READ_AT_ONCE, PAGE_LIMIT);
        let Page { rows, next } = page(at, want)?;
        read += rows.len();
        for (taken, row) in rows.into_iter().enumerate() {
            if listed.rows.len() == limit {
                // The place behind the last row taken is that of a page which ends there.
                let next = page(at, taken)?.next;
                listed.next = next.map(&text);
                return Ok(listed);
            }
            if passes(&row) {
                listed.rows.push(row);
            } else {
                hidden += 1;
            }
        }
        match next {
            None => {
                listed.hidden = first.is_none().then_some(hidden);
                return Ok(listed);
            }
            Some(next) if read >= READ_MAX => {
                listed.next = Some(text(next));
                return Ok(listed);
            }
            Some(next) => at = Some(next),
        }
    }
}

/// A list that the store gives as a whole; its cursor is how many rows were given before.
pub fn whole<T>(rows: Vec<T>, args: &ListArgs, given: Option<i64>, passes: impl Fn(&T) -> bool) -> Listed<T> {
    let skip = usize::try_from(given.unwrap_or(0)).unwrap_or(0);
    let before = rows.len();
    let mut kept: Vec<T> = rows.into_iter().filter(|row| passes(row)).collect();
    let hidden = (before - kept.len()) as i64;
    let mut kept: Vec<T> = kept.drain(skip.min(kept.len())..).collect();
    let more = kept.len() > args.limit();
    kept.truncate(args.limit());
    let next = more.then(|| (skip + kept.len()).to_string());
    // As in lists that are read page by page.
    let hidden = (skip == 0 && next.is_none()).then_some(hidden);
    Listed { rows: kept, next, hidden }
}

/// Prints a list: as a document, or as a table with the line that says what it does not show.
pub fn print<T, D: Serialize>(
    context: &Context,
    args: &ListArgs,
    word: &'static str,
    hidden_by: &str,
    listed: &Listed<T>,
    doc: impl Fn(&T) -> D,
    table: impl FnOnce(&[T]) -> Table,
) -> Result<u8> {
    if context.global.json {
        let mut document = Document { schema: format!("wharf.{word}/1"), rest: Map::new() };
        let rows: serde_json::Result<Vec<Value>> =
            listed.rows.iter().map(|row| serde_json::to_value(doc(row))).collect();
        let rows = rows.map_err(|e| CliError::internal("a document cannot be written").cause(e.to_string()))?;
        document.rest.insert(word.to_owned(), Value::Array(rows));
        document.rest.insert("next".into(), listed.next.clone().map_or(Value::Null, Value::String));
        document.rest.insert("hidden".into(), listed.hidden.map_or(Value::Null, Value::from));
        context.document(&document)?;
        return Ok(0);
    }
    table(&listed.rows).print(context, !args.no_header)?;
    let shown = listed.rows.len();
    if let Some(hidden) = listed.hidden.filter(|hidden| *hidden > 0) {
        let all = hidden + shown as i64;
        let plain = |n: i64| count(n.unsigned_abs());
        context.remark(&format!(
            "{} of {} {word}; {} hidden by {hidden_by}",
            plain(shown as i64),
            plain(all),
            plain(hidden)
        ));
    } else if shown == 0 && listed.next.is_none() && args.filter.is_empty() {
        let no = if args.after.is_some() { format!("no {word} behind that") } else { format!("no {word} yet") };
        context.remark(&no);
    }
    if let Some(next) = &listed.next {
        context.remark(&format!("more {word} follow: --after {next}"));
    }
    Ok(0)
}

#[derive(Serialize)]
struct Document {
    schema: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of the numbers 10 to 1, whose cursor is the last number given.
    fn numbers(below: Option<i64>, limit: usize) -> Page<i64, i64> {
        let all: Vec<i64> = (1..=10).rev().filter(|n| below.is_none_or(|b| *n < b)).collect();
        let more = all.len() > limit;
        let rows: Vec<i64> = all.into_iter().take(limit).collect();
        let next = more.then(|| *rows.last().unwrap());
        Page { rows, next }
    }

    #[test]
    fn pages_meet_without_a_gap_or_a_repetition() {
        for limit in 1..=11 {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let listed =
                    collect(after, limit, |c: i64| c.to_string(), |at, n| Ok(numbers(at, n)), |n| n % 3 != 0).unwrap();
                assert!(listed.rows.len() <= limit);
                seen.extend(listed.rows);
                match listed.next {
                    Some(next) => after = Some(next.parse().unwrap()),
                    None => break,
                }
            }
            assert_eq!(seen, [10, 8, 7, 5, 4, 2, 1], "{limit}");
        }
    }

    #[test]
    fn what_is_hidden_is_told_of_a_whole_list_only() {
        let list = |after, limit| {
            let page = |at, n| Ok(numbers(at, n));
            collect(after, limit, |c: i64| c.to_string(), page, |n| n % 3 != 0).unwrap()
        };
        assert_eq!(list(None, 7).hidden, Some(3));
        assert_eq!((list(None, 2).hidden, list(None, 2).next.as_deref()), (None, Some("8")));
        assert_eq!((list(Some(2), 7).hidden, list(Some(2), 7).rows), (None, vec![1]));
    }
}

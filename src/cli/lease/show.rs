//! Previews as documents and as questions.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::Value;

use super::super::context::{Context, print, say};
use super::super::error::{CliError, Result, exit};
use super::super::table::tidy;
use super::preview::{self, Judged, Line};
use super::{Asks, Doing};

#[derive(Serialize)]
struct Release<'a> {
    schema: &'static str,
    lease: &'a str,
    confirmed: bool,
    released: bool,
    lines: Vec<Line>,
    effect: &'a Value,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    verb: &'static str,
    confirmed: bool,
    leases: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    lease: &'a str,
    environment: &'a str,
    refused: Option<&'a str>,
    lines: Vec<Line>,
    note: &'a str,
    effect: &'a Value,
    done: bool,
    error: Option<Value>,
}

/// Shows previews as they are, or as data with what became of them.
pub fn show(context: &Context, judged: &[Judged], doing: Doing, confirmed: bool, results: &[Result<()>]) -> Result<()> {
    if !context.global.json {
        return print(tidy_lines(context, &preview::text(judged, doing)).as_bytes());
    }
    if let ([one], "lease.release") = (judged, doing.kind) {
        return context.document(&Release {
            schema: "wharf.release/1",
            lease: &one.number,
            confirmed,
            released: results.iter().any(Result::is_ok),
            lines: one.lines(),
            effect: &one.judgement.effect,
        });
    }
    let leases = judged
        .iter()
        .enumerate()
        .map(|(i, one)| One {
            lease: &one.number,
            environment: &one.judgement.environment,
            refused: one.refused(),
            lines: one.lines(),
            note: &one.judgement.preview.note,
            effect: &one.judgement.effect,
            done: results.get(i).is_some_and(Result::is_ok),
            error: results.get(i).and_then(|r| r.as_ref().err()).map(|e| e.json()["error"].clone()),
        })
        .collect();
    context.document(&Document { schema: "wharf.lease_verb/1", verb: doing.name, confirmed, leases })
}

fn tidy_lines(context: &Context, text: &str) -> String {
    text.lines().map(|line| tidy(line, context.global.ascii) + "\n").collect()
}

/// Asks on a terminal; elsewhere says that `--yes` is needed.
pub fn confirm(context: &Context, judged: &[Judged], doing: Doing) -> Result<()> {
    let numbers: Vec<&str> = judged.iter().map(|one| one.number.as_str()).collect();
    let (all, are) = match numbers.as_slice() {
        [one] => ((*one).to_owned(), "is"),
        many => (format!("{} leases", many.len()), "are"),
    };
    let error = |message: &str| {
        CliError::new(exit::NOT_CONFIRMED, "not_confirmed", format!("{all} {message}"))
            .entity(numbers.join(" "))
            .next(format!("wharf lease {} {} --yes", doing.name, numbers.join(" ")))
    };
    let not_done = format!("{are} not {}", doing.past);
    if context.global.json {
        show(context, judged, doing, false, &[])?;
        return Err(error(&not_done).cause("it stops or removes things, and nobody confirmed it"));
    }
    say(tidy_lines(context, &preview::text(judged, doing)).trim_end());
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(error(&not_done).cause("there is no terminal to ask on"));
    }
    // What cannot be brought back wants more than a key that may have been pressed by mistake.
    let wanted = match (doing.asks, numbers.as_slice()) {
        (Asks::Number, [one]) => Some((*one).to_owned()),
        (Asks::Number, many) => Some(many.len().to_string()),
        _ => None,
    };
    let question = match &wanted {
        Some(word) => format!("Type {word} to {} {all}: ", doing.name),
        None => format!("{} {all}? [y/N] ", doing.capital),
    };
    let mut err = std::io::stderr().lock();
    // A question that cannot be shown is answered with no.
    let asked = write!(err, "{question}").and_then(|()| err.flush());
    drop(err);
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    let yes = match &wanted {
        Some(word) => answer.trim().eq_ignore_ascii_case(word),
        None => matches!(answer.trim(), "y" | "Y" | "yes"),
    };
    if read.is_ok() && yes {
        return Ok(());
    }
    Err(error(&format!(
        "{} as {}",
        if are == "is" { "stays" } else { "stay" },
        if are == "is" { "it is" } else { "they are" }
    ))
    .cause("the answer was no"))
}

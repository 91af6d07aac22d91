//! From a preview to the end of what it promised: the question, the requests, their answers.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use wharf_model::RequestRow;
use wharf_ui::format;

use super::super::context::{Context, print, say};
use super::super::desk::{Ask, Desk};
use super::super::error::{CliError, Result, exit};
use super::super::table::tidy;
use super::preview::{self, Judged, Line};
use super::{Asks, Doing, Which};

/// Time beyond the holder's grace in which a verb must be done.
const MARGIN: Duration = Duration::from_secs(150);
/// Previews that may change under the operator before this gives up.
const PREVIEWS: usize = 5;

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

/// Does it to all that were named, after one preview.
pub fn out(context: &Context, which: &Which, doing: Doing) -> Result<u8> {
    let reader = context.reader_for(which.leases.first().map_or("", String::as_str))?;
    let mut found = Vec::new();
    for text in &which.leases {
        let named = preview::named(&reader, text)?;
        if !found.contains(&named) {
            found.push(named);
        }
    }
    let mut judged = Vec::new();
    for named in found {
        judged.push(preview::judge(context, &reader, named, doing)?);
    }
    if judged.iter().all(|one| one.refused().is_some()) {
        return Err(nothing(&judged, doing));
    }
    if which.dry_run {
        return show(context, &judged, doing, false, &[]).map(|()| exit::DONE);
    }
    if !which.yes && doing.asks != Asks::Nothing {
        confirm(context, &judged, doing)?;
    }
    let mut desk = Desk::open(context)?;
    let results: Vec<Result<()>> = judged
        .iter_mut()
        .map(|one| {
            if one.refused().is_some() { Err(refused(one, doing)) } else { each(context, &mut desk, one, which, doing) }
        })
        .collect();
    desk.close();
    if context.global.json && (judged.len() > 1 || results.iter().all(Result::is_ok)) {
        show(context, &judged, doing, true, &results)?;
    }
    let failed = results.iter().filter(|r| r.is_err()).count();
    let all = results.len();
    for (one, result) in judged.iter().zip(results) {
        match result {
            Ok(()) => {
                let run = one.judgement.stops.as_ref().map(|run| format!("     {run} cancelled by operator"));
                context.remark(&format!("{} {}{}", doing.past, one.number, run.unwrap_or_default()));
            }
            Err(error) if all == 1 => return Err(error),
            Err(error) => {
                if !context.global.json {
                    say(&error.human());
                }
                if failed == all {
                    return Err(error);
                }
            }
        }
    }
    Ok(if failed == 0 { exit::DONE } else { exit::THING_FAILED })
}

fn refused(one: &Judged, doing: Doing) -> CliError {
    let words = one.refused().unwrap_or_default().to_owned();
    let next = if doing.kind == "lease.release" && words.contains("nothing to release") {
        "wharf leases --held".to_owned()
    } else {
        format!("wharf show {}", one.number)
    };
    CliError::new(exit::REFUSED, "illegal_state", words).entity(one.number.clone()).next(next)
}

/// None of them can be done.
fn nothing(judged: &[Judged], doing: Doing) -> CliError {
    let Some((first, rest)) = judged.split_first() else { return CliError::usage("no lease was named") };
    let error = refused(first, doing);
    if rest.is_empty() {
        return error;
    }
    let why: Vec<&str> = rest.iter().filter_map(Judged::refused).collect();
    error.cause(why.join("; "))
}

/// Asks for one of them and waits for its end.
fn each(context: &Context, desk: &mut Desk, one: &mut Judged, which: &Which, doing: Doing) -> Result<()> {
    for _ in 0..PREVIEWS {
        let asked = desk.ask(Ask {
            kind: doing.kind,
            target_type: "lease",
            target_id: Some(one.id.text()),
            args: doing.args(),
            expect: serde_json::to_value(one.expect()).ok(),
        });
        let row = match asked {
            Err(error) if error.code == "changed_since_preview" => {
                let fresh = preview::judge(context, &desk.reader, (one.id, one.number.clone()), doing)?;
                let same = fresh.does_the_same(one);
                *one = fresh;
                if one.refused().is_some() {
                    return Err(refused(one, doing));
                }
                if same || doing.asks == Asks::Nothing {
                    continue;
                }
                if which.yes {
                    let now = preview::text(std::slice::from_ref(one), doing);
                    return Err(error
                        .cause(format!("it would now do this:\n{}", now.trim_end()))
                        .next(format!("wharf lease {} {}", doing.name, one.number)));
                }
                context.remark("something has changed meanwhile");
                confirm(context, std::slice::from_ref(one), doing)?;
                continue;
            }
            other => other?,
        };
        return finish(context, desk, one, &row, doing);
    }
    let message = format!("{} changes faster than it can be previewed", one.number);
    Err(CliError::new(exit::REFUSED, "changed_since_preview", message).next(format!("wharf show {}", one.number)))
}

fn finish(context: &Context, desk: &mut Desk, one: &Judged, row: &RequestRow, doing: Doing) -> Result<()> {
    let patience = one.judgement.patience_ms;
    if let Some(run) = &one.judgement.stops {
        context.remark(&format!("stopping {run}, at most {}", format::duration(patience)));
    }
    match desk.finished(row, Duration::from_millis(patience.unsigned_abs()) + MARGIN)? {
        Some(_) => Ok(()),
        None => Err(CliError::new(exit::NO_ANSWER, "timeout", format!("{} is not {} yet", one.number, doing.past))
            .cause("the orchestrator goes on with it")
            .next(format!("wharf show {}", one.number))),
    }
}

/// Shows previews as they are, or as data with what became of them.
fn show(context: &Context, judged: &[Judged], doing: Doing, confirmed: bool, results: &[Result<()>]) -> Result<()> {
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
fn confirm(context: &Context, judged: &[Judged], doing: Doing) -> Result<()> {
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

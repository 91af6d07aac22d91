//! From a preview to the end of what it promised: the question, the requests, their answers.

use std::time::Duration;

use wharf_model::RequestRow;
use wharf_ui::format;

use super::super::context::{Context, say};
use super::super::desk::{Ask, Desk};
use super::super::error::{CliError, Result, exit};
use super::preview::{self, Judged};
use super::show::{confirm, show};
use super::{Asks, Doing, Which};

/// Time beyond the holder's grace in which a verb must be done.
const MARGIN: Duration = Duration::from_secs(150);
/// Previews that may change under the operator before this gives up.
const PREVIEWS: usize = 5;

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

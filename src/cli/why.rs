//! `wharf why`: why a run stands as it does, in the blocks of the console's tab.

use clap::Args;
use serde_json::{Value, json};
use wharf_model::Kind;
use wharf_model::rules::environment_choice::Explanation;
use wharf_ui::format;

use super::context::{Context, print};
use super::error::{CliError, Result, exit};
use super::logs::named_run;
use super::table::tidy;
use crate::clock;
use crate::why::{self, Line, Why};

/// Options of `wharf why`.
#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// The run: R-12, its id or a part of it
    pub run: String,
}

/// Explains.
pub fn why(context: &Context, args: &WhyArgs) -> Result<u8> {
    let reader = context.reader_for(&args.run)?;
    let id = named_run(&reader, &args.run)?;
    let detail = reader.run_detail(id)?.ok_or_else(|| CliError::internal("the run is not in the store any more"))?;
    let now = clock::now();
    let why = why::of(&reader, &context.data, &why::Trees::default(), &detail)?;
    if context.global.json {
        let run = json!({
            "id": id.text(), "number": Kind::Run.number(detail.run.number), "status": detail.run.status.as_str(),
            "step": detail.run.step.map(wharf_model::Step::as_str),
        });
        context.document(&document(&why, &run))?;
        return Ok(exit::DONE);
    }
    let zone = context.zone();
    let moment = |at| format!("{} ({})", format::moment(at, now, zone), relative(now.0 - at.0));
    let mut out = format!("{}\n\nRULE\n  {}\n", why.verdict, why.rule);
    if let Some(at) = why.since {
        out.push_str(&format!("\nSINCE\n  {}\n", moment(at)));
    }
    if let Some((at, what)) = &why.until {
        out.push_str(&format!("\nUNTIL\n  {}, {what}\n", moment(*at)));
    }
    for (title, lines) in [
        ("EVIDENCE", &why.evidence),
        ("NOT THE CAUSE", &why.not_the_cause),
        ("WHERE", &why.workspace),
        ("ENVIRONMENT", &why.environment),
        ("WHAT YOU CAN DO", &why.can_do),
    ] {
        block(&mut out, title, lines);
    }
    let lines: String = out.lines().map(|line| tidy(line, context.global.ascii) + "\n").collect();
    print(lines.as_bytes())?;
    Ok(exit::DONE)
}

fn relative(ms: i64) -> String {
    if ms >= 0 { format!("{} ago", format::duration(ms)) } else { format!("in {}", format::duration(-ms)) }
}

fn block(out: &mut String, title: &str, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    out.push_str(&format!("\n{title}\n"));
    let flat = |text: &str| text.replace(['\n', '\r'], " ");
    let label = |line: &Line| if line.label == title { "chosen".to_owned() } else { line.label.clone() };
    let widest = lines.iter().map(|l| label(l).chars().count()).max().unwrap_or(0);
    for line in lines {
        let remark = if line.remark.is_empty() { String::new() } else { format!("   {}", flat(&line.remark)) };
        out.push_str(format!("  {:<widest$}  {}{remark}", label(line), flat(&line.value)).trim_end());
        out.push('\n');
    }
}

fn document(why: &Why, run: &Value) -> Value {
    json!({
        "schema": "wharf.why/1",
        "run": run,
        "verdict": why.verdict,
        "rule": why.rule,
        "since": why.since.map(wharf_model::UnixMillis::rfc3339),
        "until": why.until.as_ref().map(|(at, _)| at.rfc3339()),
        "then": why.until.as_ref().map(|(_, what)| what),
        "evidence": why.evidence,
        "not_the_cause": why.not_the_cause,
        "can_do": why.can_do,
        "environment": why.choice.as_ref().map(chosen),
        "workspace": why.workspace,
    })
}

fn chosen(choice: &Explanation) -> Value {
    let looked: Vec<Value> = choice
        .looked_at
        .iter()
        .zip(choice.lines())
        .map(|(looked, (_, said, words))| {
            json!({ "rule": looked.candidate.rule.as_str(), "from": looked.candidate.from, "said": said,
                    "verdict": looked.verdict.as_str(), "words": words })
        })
        .collect();
    json!({ "rule": choice.rule.as_str(), "environment": choice.environment, "looked_at": looked })
}

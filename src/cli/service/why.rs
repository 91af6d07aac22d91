//! `wharf service why`: the rule, since when and until when, the evidence, and what can be done.

use serde_json::json;
use wharf_model::rules::service_why::Until;
use wharf_model::{Kind, UnixMillis};
use wharf_ui::format;

use super::super::context::{Context, print};
use super::super::error::{CliError, Result, exit};
use super::named;
use crate::clock;
use crate::service::why::page;

/// Explains a service, by the rule that the console explains it by.
pub fn why(context: &Context, text: &str) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let id = named(context, &reader, text)?.service.id;
    let gone = || CliError::internal(format!("{text} is not in the store any more"));
    let detail = reader.service_detail(id)?.ok_or_else(gone)?;
    let now = clock::now();
    let why = page(&detail, None, now);
    let number = Kind::Service.number(detail.item.service.number);
    let until = match &why.until {
        Until::At(at, then) => (Some(*at), then.clone()),
        Until::When(what) => (None, what.clone()),
        Until::YouAct => (None, "you act".to_owned()),
    };
    if context.global.json {
        let evidence: Vec<_> = why.evidence.iter().map(|(name, seen)| json!({ "name": name, "seen": seen })).collect();
        let actions: Vec<_> = why
            .actions
            .iter()
            .map(|a| json!({ "does": a.does, "remark": a.remark, "command": some(&a.command) }))
            .collect();
        context.document(&json!({
            "schema": "wharf.service_why/1", "number": number, "name": detail.item.service.name,
            "verdict": why.verdict, "trouble": why.case.is_trouble(), "rule": why.rule,
            "since": why.since.map(UnixMillis::rfc3339), "until": until.0.map(UnixMillis::rfc3339),
            "until_words": until.1, "evidence": evidence, "fine": why.fine, "actions": actions,
        }))?;
        return Ok(exit::DONE);
    }
    let mut out = format!("{}\n\n", why.verdict);
    for (n, rule) in why.rule.iter().enumerate() {
        out.push_str(&format!("{:<10}{rule}\n", if n == 0 { "RULE" } else { "" }));
    }
    if let Some(since) = why.since {
        out.push_str(&format!("{:<10}{} ago\n", "SINCE", format::duration(since.until(now).max(0))));
    }
    match until {
        (Some(at), then) => {
            out.push_str(&format!("{:<10}in {}: {then}\n", "UNTIL", format::duration(now.until(at).max(0))));
        }
        (None, words) => out.push_str(&format!("{:<10}{words}\n", "UNTIL")),
    }
    if !why.evidence.is_empty() || !why.fine.is_empty() {
        out.push_str("EVIDENCE\n");
    }
    for (name, seen) in &why.evidence {
        out.push_str(&format!("  {name:<14}{seen}\n"));
    }
    for fine in &why.fine {
        out.push_str(&format!("  {:<14}{fine}\n", "is well"));
    }
    let actions: Vec<_> = why.actions.iter().filter(|a| !a.command.is_empty()).collect();
    if !actions.is_empty() {
        out.push_str("ACTIONS\n");
    }
    for action in actions {
        let what =
            if action.remark.is_empty() { action.does.clone() } else { format!("{}: {}", action.does, action.remark) };
        out.push_str(&format!("  {:<30}{what}\n", action.command));
    }
    for line in out.lines() {
        print(format!("{}\n", super::super::table::tidy(line, context.global.ascii)).as_bytes())?;
    }
    Ok(exit::DONE)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

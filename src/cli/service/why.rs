//! `wharf service why`: the rule, since when and until when, the evidence, and what can be done.

use serde_json::json;
use wharf_model::rules::service_why::Until;
use wharf_model::{Kind, UnixMillis};
use wharf_ui::pane::why::{By, text};

use super::super::context::{Context, print};
use super::super::error::{CliError, Result, exit};
use super::super::lists::nobody_looks;
use super::named;
use crate::clock;
use crate::service::board;
use crate::service::why::page;

/// Columns that the page is laid out for.
const COLUMNS: usize = 120;

/// Explains a service, by the rule that the console explains it by.
pub fn why(context: &Context, service: &str) -> Result<u8> {
    let reader = context.reader_for(service)?;
    let id = named(context, &reader, service)?.service.id;
    let gone = || CliError::internal(format!("{service} is not in the store any more"));
    let detail = reader.service_detail(id)?.ok_or_else(gone)?;
    let now = clock::now();
    let stranger = board::stranger_of(&context.data, &reader, detail.item.service.number, now)?;
    let why = page(&detail, stranger, now);
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
            "verdict": why.verdict, "case": why.case.as_str(), "trouble": why.case.is_trouble(), "rule": why.rule,
            "since": why.since.map(UnixMillis::rfc3339), "until": until.0.map(UnixMillis::rfc3339),
            "until_words": until.1, "evidence": evidence, "fine": why.fine, "actions": actions,
        }))?;
        return Ok(exit::DONE);
    }
    if detail.item.service.status.is_open() {
        nobody_looks(context)?;
    }
    let out = text(&why, now, context.zone(), COLUMNS, By::Commands);
    for line in out.lines() {
        print(format!("{}\n", super::super::table::tidy(line, context.global.ascii)).as_bytes())?;
    }
    Ok(exit::DONE)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

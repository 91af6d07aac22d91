//! `wharf service why`: the page that the console shows, from the same rule.

use std::collections::BTreeMap;

use serde::Serialize;
use wharf_model::rules::service_why::{Until, Why};
use wharf_model::{Kind, UnixMillis};
use wharf_ui::glyph::Class;
use wharf_ui::pane::why::{By, text};

use super::super::context::{Context, print};
use super::super::docs::service_state;
use super::super::error::{CliError, Result, exit};
use super::super::run_doc::{class_word, time};
use super::named;
use crate::clock;
use crate::service::{board, why as about};

/// Columns that the page is laid out for where nobody says how wide it may be.
const COLUMNS: usize = 120;

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    number: String,
    name: String,
    status: String,
    class: &'static str,
    case: String,
    verdict: String,
    rule: Vec<String>,
    since: Option<String>,
    until: Option<String>,
    until_words: String,
    evidence: Vec<BTreeMap<&'static str, String>>,
    not_the_cause: Vec<String>,
    actions: Vec<BTreeMap<&'static str, String>>,
}

/// Explains a service.
pub fn why(context: &Context, service: &str) -> Result<u8> {
    let reader = context.reader_for(service)?;
    let item = named(context, &reader, service)?;
    let detail = reader
        .service_detail(item.service.id)?
        .ok_or_else(|| CliError::internal(format!("{service} is not in the store any more")))?;
    let now = clock::now();
    let page = about::page(&detail, board::stranger_of(&context.data, &reader, item.service.number, now)?, now);
    if context.global.json {
        let (class, _) = service_state(&item.service);
        context.document(&document(&item.service, class, &page))?;
        return Ok(exit::DONE);
    }
    let told = text(&page, now, context.zone(), COLUMNS, By::Commands);
    for line in told.lines() {
        print(format!("{}\n", super::super::table::tidy(line, context.global.ascii)).as_bytes())?;
    }
    Ok(exit::DONE)
}

fn document(service: &wharf_model::ServiceRow, class: Class, page: &Why) -> Document {
    let pair = |a: (&'static str, &str), b: (&'static str, &str)| -> BTreeMap<&'static str, String> {
        [(a.0, a.1.to_owned()), (b.0, b.1.to_owned())].into()
    };
    let (until, until_words): (Option<UnixMillis>, String) = match &page.until {
        Until::At(at, what) => (Some(*at), what.clone()),
        Until::When(what) => (None, what.clone()),
        Until::YouAct => (None, "you act".to_owned()),
    };
    Document {
        schema: "wharf.service_why/1",
        number: Kind::Service.number(service.number),
        name: service.name.clone(),
        status: service.status.to_string(),
        class: class_word(class),
        case: page.case.as_str().to_owned(),
        verdict: page.verdict.clone(),
        rule: page.rule.clone(),
        since: time(page.since),
        until: time(until),
        until_words,
        evidence: page.evidence.iter().map(|(what, told)| pair(("what", what), ("told", told))).collect(),
        not_the_cause: page.fine.clone(),
        actions: page
            .actions
            .iter()
            .map(|a| {
                let mut action = pair(("does", &a.does), ("command", &a.command));
                action.insert("remark", a.remark.clone());
                action
            })
            .collect(),
    }
}

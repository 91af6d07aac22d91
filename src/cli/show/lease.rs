//! `wharf show L-12`: who holds it, what was realised under it, what happened to it.

use serde::Serialize;
use serde_json::Value;
use wharf_model::{Kind, LeaseId, LeaseRow, LeaseStatus};
use wharf_store::Reader;
use wharf_store::view::{EnvironmentItem, LeaseTrail};
use wharf_ui::format;
use wharf_ui::rows::FactBlock;

use super::{one_line, print_tidy};
use crate::cli::context::Context;
use crate::cli::docs::{ActivityDoc, LeaseDoc, lease_state};
use crate::cli::error::{CliError, Result, exit};
use crate::clock;
use crate::console::lease_facts::{lease, lease_detail, realisation, without_secrets};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    lease: LeaseDoc,
    /// As one text: what stands in it is the driver's.
    realisation: Option<String>,
    settings: Option<String>,
    history: Vec<ActivityDoc>,
}

/// Shows a lease.
pub fn show(context: &Context, reader: &Reader, id: LeaseId, number: &str) -> Result<u8> {
    let gone = || CliError::internal(format!("{number} is not in the store any more"));
    let trail = reader.lease_trail(id)?.ok_or_else(gone)?;
    let environment = reader.environment(trail.lease.lease.environment_id)?;
    let settings = settings(&trail.lease.lease, environment.as_ref());
    if context.global.json {
        let text = |value: &Value| value.to_string();
        context.document(&Document {
            schema: "wharf.lease/1",
            lease: LeaseDoc::new(&trail.lease),
            realisation: trail.lease.lease.realisation.as_ref().map(text),
            settings: settings.as_ref().map(text),
            history: trail.activity.iter().rev().map(ActivityDoc::new).collect(),
        })?;
        return Ok(exit::DONE);
    }
    print_tidy(context, &text(context, &trail, settings.as_ref()))
}

/// The settings that it was acquired with, else those of now; secrets as their references.
fn settings(lease: &LeaseRow, environment: Option<&EnvironmentItem>) -> Option<Value> {
    let config = lease.config.clone().or_else(|| environment.map(|e| e.environment.driver_config()))?;
    Some(without_secrets(&config)).filter(|c| c.as_object().is_none_or(|map| !map.is_empty()))
}

fn text(context: &Context, trail: &LeaseTrail, settings: Option<&Value>) -> String {
    let (now, zone) = (clock::now(), context.zone());
    let (class, word) = lease_state(&trail.lease);
    let number = Kind::Lease.number(trail.lease.lease.number);
    let line = lease(&trail.lease);
    let mut out = format!("{number}  {} {word} on {}\n\n", class.glyph(), trail.lease.environment);
    let mut blocks = line.facts.clone();
    let mut more = Vec::new();
    let row = &trail.lease.lease;
    let mut add = |label: &str, at: Option<wharf_model::UnixMillis>| {
        if let Some(at) = at {
            more.push(wharf_ui::screen::browse::fact(label, format::full(at, zone), ""));
        }
    };
    add("acquired", row.acquired_at);
    add("last used", row.last_used_at);
    add("expires", row.expires_at.filter(|_| !row.status.is_terminal()));
    add("renewed", row.renew_at.filter(|_| row.status == LeaseStatus::Active));
    add("kept until", row.retain_until.filter(|_| row.status == LeaseStatus::Retained));
    add("released", row.released_at);
    if let Some(waits) = &line.waits {
        more.push(wharf_ui::screen::browse::fact("waits", waits.clone(), ""));
    }
    blocks.insert(1.min(blocks.len()), FactBlock { facts: more });
    facts(&mut out, &blocks);
    let detail = lease_detail(trail, now, zone);
    section(&mut out, "realisation", &detail.realisation);
    section(&mut out, "settings", &settings.map(realisation).unwrap_or_default());
    section(&mut out, "clean-up", &detail.cleanup);
    if !detail.waiting.is_empty() {
        out.push_str(&format!("\nwaiting for a slot ({})\n", detail.slots));
        for w in &detail.waiting {
            let since = format::duration(w.since.until(now));
            out.push_str(&format!("  {}. {}  {since}  {}\n", w.position, one_line(&w.who), w.remark));
        }
    }
    if !detail.history.is_empty() {
        out.push_str("\nhistory\n");
        for entry in &detail.history {
            let at = format::moment(entry.at, now, zone);
            out.push_str(&format!("  {at}  {}  {}  {}\n", entry.who, entry.action, one_line(&entry.details)));
        }
    }
    let mut next = match row.status {
        LeaseStatus::Active => vec!["release", "extend --by 30m", "retain --for 2h"],
        LeaseStatus::Retained => vec!["release", "destroy", "retain --for 1d"],
        LeaseStatus::PendingCleanup => vec!["retry-cleanup", "destroy"],
        LeaseStatus::Waiting | LeaseStatus::Acquiring => vec!["release"],
        LeaseStatus::Releasing | LeaseStatus::Released | LeaseStatus::Expired | LeaseStatus::Failed => Vec::new(),
    }
    .into_iter()
    .map(|verb| match verb.split_once(' ') {
        Some((verb, rest)) => format!("wharf lease {verb} {number} {rest}"),
        None => format!("wharf lease {verb} {number}"),
    })
    .collect::<Vec<_>>();
    if matches!(row.status, LeaseStatus::Active | LeaseStatus::Retained) {
        next.push(format!("wharf shell {number}"));
    }
    if !next.is_empty() {
        out.push_str(&format!("\nnext  {}\n", next.join("    ")));
    }
    out
}

fn section(out: &mut String, title: &str, blocks: &[FactBlock]) {
    if blocks.iter().any(|b| !b.facts.is_empty()) {
        out.push_str(&format!("\n{title}\n"));
        facts(out, blocks);
    }
}

/// Facts one below the other, blocks apart.
pub(super) fn facts(out: &mut String, blocks: &[FactBlock]) {
    for block in blocks.iter().filter(|b| !b.facts.is_empty()) {
        for fact in &block.facts {
            let words = format!("{:<12}  {}", fact.label.to_lowercase(), one_line(&fact.value));
            out.push_str(format!("{words}  {}", one_line(&fact.remark)).trim_end());
            out.push('\n');
        }
    }
}

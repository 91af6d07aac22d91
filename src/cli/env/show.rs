//! `wharf env show`: an environment with what is around it.

use serde_json::json;
use wharf_model::config::flatten;
use wharf_model::rules::environment_change::EnvironmentFacts;
use wharf_model::{EnvironmentStatus, Kind, Origin, UnixMillis};
use wharf_store::Reader;
use wharf_store::view::EnvironmentItem;
use wharf_ui::format;

use super::doc::{EnvironmentDoc, environment_state, file, provider};
use super::look::print_checks;
use super::named;
use crate::cli::context::{Context, print};
use crate::cli::error::{Result, exit};
use crate::cli::table::tidy;
use crate::clock;

/// Shows the environment that was named, in the company that is meant.
pub fn show(context: &Context, text: &str) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let (_, item) = named(context, &reader, text)?;
    print_one(context, &reader, &item)
}

/// Shows an environment.
pub fn print_one(context: &Context, reader: &Reader, item: &EnvironmentItem) -> Result<u8> {
    if context.global.json {
        context.document(&json!({ "schema": "wharf.environment/1", "environment": EnvironmentDoc::new(item) }))?;
        return Ok(exit::DONE);
    }
    let e = &item.environment;
    let facts = reader.environment_facts(e.id)?;
    let (now, zone) = (clock::now(), context.zone());
    let number = Kind::Environment.number(e.number);
    let (class, word) = environment_state(e);
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: String| rows.push((key.to_owned(), value.replace(['\n', '\r'], " ")));
    if let Some(description) = &e.description {
        add("description", description.clone());
    }
    let provider = Some(provider(e)).filter(|p| p != e.driver.as_str()).map_or_else(String::new, |p| format!(", {p}"));
    add("driver", format!("{}{provider}", e.driver));
    let by_hand = || {
        e.config["base"].as_str().map_or_else(|| "made by hand".to_owned(), |base| format!("made by hand, in {base}"))
    };
    add("from", file(e).unwrap_or_else(by_hand));
    add("policy", wharf_ui::rows::policy_words(e.lease_policy).to_owned());
    let slots = e.slots.map_or_else(|| "no limit".to_owned(), |n| n.to_string());
    add("slots", format!("{} held of {slots}, {} waiting", item.held, item.waiting));
    add("leases", format!("live {} unrenewed, kept {}", format::duration(e.ttl_ms), format::duration(e.keep_ms)));
    for (key, value) in flatten(&e.driver_config()) {
        add(&format!("config {key}"), value);
    }
    if item.retained + item.to_clean > 0 {
        add("left", format!("{} retained, {} to be cleaned up", item.retained, item.to_clean));
    }
    if let Some(names) = facts.as_ref().and_then(|f| named_by(f, &e.name)) {
        add("named by", names);
    }
    let widest = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let mut out = format!("{number} {}  {} {word}\n\n", e.name, class.glyph());
    for (key, value) in &rows {
        out.push_str(&format!("{key:<widest$}  {value}\n"));
    }
    print_tidy(context, &out)?;
    if let Some(probe) = &e.probe {
        let at = probe["at"].as_i64().map_or_else(String::new, |at| format::moment(UnixMillis(at), now, zone));
        print(b"\n")?;
        print_checks(context, &format!("last probe, {at}"), probe)?;
    }
    let change = match (e.status, e.origin) {
        (EnvironmentStatus::Deleted, _) => return Ok(exit::DONE),
        (_, Origin::Config) => "wharf config show".to_owned(),
        (EnvironmentStatus::Archived, Origin::Manual) => format!("wharf env restore {number}"),
        (EnvironmentStatus::Active, Origin::Manual) => format!("wharf env edit {number} --help"),
    };
    let next = format!("\nnext  wharf env probe {number}    wharf leases --held env:{}    {change}\n", e.name);
    print_tidy(context, &next)?;
    Ok(exit::DONE)
}

/// Who names an environment.
fn named_by(facts: &EnvironmentFacts, name: &str) -> Option<String> {
    let is_it = |default: &Option<String>| default.as_deref() == Some(name);
    let agents = facts.agents.iter().filter(|a| is_it(&a.default_environment)).map(|a| a.name.clone());
    let projects =
        facts.projects.iter().filter(|p| is_it(&p.default_environment)).map(|p| format!("project {}", p.key));
    let all: Vec<String> = agents.chain(projects).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn print_tidy(context: &Context, text: &str) -> Result<()> {
    let lines: String = text.lines().map(|line| tidy(line, context.global.ascii) + "\n").collect();
    print(lines.as_bytes())
}

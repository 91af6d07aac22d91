//! The operator's verbs on environments.

mod edit;
mod look;
mod remove;

use serde_json::{Value, json};
use wharf_model::rules::environment_change::file_of;
use wharf_model::rules::release::Judged;
use wharf_model::{
    CompanyId, Driver, EnvironmentId, EnvironmentRow, EnvironmentStatus, Kind, Origin, RequestKind, RequestRow,
    RequestStatus,
};

use super::{Deciding, config, lease};
use crate::dispatch::input::{Actor, Prepared, Refusal};

pub(crate) use look::{due_at, probed, tested, try_out};
pub(crate) use remove::archive_row;

/// Company of a request that names none.
const COMPANY: &str = "default";

/// Carries out a verb, or says why not.
pub(crate) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    kind: RequestKind,
    _prepared: &Prepared,
    actor: &Actor,
) -> Result<Value, Refusal> {
    match kind {
        RequestKind::EnvironmentCreate => edit::create(d, row, actor),
        RequestKind::EnvironmentUpdate => edit::update(d, row, actor),
        RequestKind::EnvironmentArchive => remove::archive(d, row, actor),
        RequestKind::EnvironmentRestore => remove::restore(d, row, actor),
        RequestKind::EnvironmentDelete => remove::delete(d, row, actor),
        RequestKind::EnvironmentProbe => look::probe(d, row),
        RequestKind::EnvironmentTest => look::test(d, row),
        _ => Err(Refusal::new("illegal_state", format!("{} is no verb on environments", row.kind))),
    }
}

/// Goes on with what was accepted: deletions that wait for clean-up, probes and tests that have ended.
pub(crate) fn settle(d: &mut Deciding<'_, '_>) {
    remove::finish_deletions(d);
    let accepted = d.state().requests.values().filter(|r| r.status == RequestStatus::Accepted);
    let open: Vec<RequestRow> = accepted.filter(|r| r.kind.starts_with("environment.")).cloned().collect();
    for row in open {
        match RequestKind::parse(&row.kind) {
            Some(RequestKind::EnvironmentDelete) => remove::settle(d, &row),
            Some(RequestKind::EnvironmentProbe) => look::settle_probe(d, &row),
            Some(RequestKind::EnvironmentTest) => look::settle_test(d, &row),
            _ => {}
        }
    }
}

/// Whether [`settle`] ends requests of this kind.
pub(crate) const fn settles(kind: RequestKind) -> bool {
    matches!(kind, RequestKind::EnvironmentDelete | RequestKind::EnvironmentProbe | RequestKind::EnvironmentTest)
}

/// What a refused request would have set up may hold a secret that somebody pasted: it is not kept.
pub(crate) fn forget_settings(row: &mut RequestRow) {
    if let (true, Some(args)) = (row.kind.starts_with("environment."), row.args.as_object_mut()) {
        args.remove("config");
    }
}

/// Ends an accepted request: done, or failed with a code and words.
fn finish(d: &mut Deciding<'_, '_>, request: &RequestRow, result: Option<Value>, failed: Option<(String, String)>) {
    let now = d.now();
    d.tx.update::<RequestRow>(request.id, |r| {
        if r.status != RequestStatus::Accepted {
            return;
        }
        r.status = if failed.is_some() { RequestStatus::Failed } else { RequestStatus::Done };
        r.finished_at = Some(now);
        if result.is_some() {
            r.result = result;
        }
        if let Some((code, message)) = failed {
            r.error_code = Some(code);
            r.error = Some(message);
        }
    });
}

/// The environment of a name that is in use in a company.
pub(crate) fn by_name(d: &Deciding<'_, '_>, company: CompanyId, name: &str) -> Option<EnvironmentRow> {
    let all = d.state().environments.values();
    all.into_iter()
        .find(|e| e.company_id == company && e.name == name && e.status != EnvironmentStatus::Deleted)
        .cloned()
}

/// The company that a request speaks of; made where it is to be, as with its first project.
fn company(d: &mut Deciding<'_, '_>, row: &RequestRow) -> CompanyId {
    let name = row.args.get("company").and_then(Value::as_str).unwrap_or(COMPANY).to_owned();
    config::ensure_company(d, &name)
}

/// The environment that a request is about: by id, or by name or number in the company it speaks of. Another
/// company's is not found.
fn named(d: &mut Deciding<'_, '_>, row: &RequestRow) -> Result<EnvironmentRow, Refusal> {
    let text = row.args.get("environment").and_then(Value::as_str).or(row.target_id.as_deref()).unwrap_or_default();
    let text = text.to_owned();
    let mut scope = None;
    if row.args.get("company").is_some() || text.parse::<EnvironmentId>().is_err() {
        let of = row.args.get("company").and_then(Value::as_str).unwrap_or(COMPANY);
        scope = Some(d.state().companies.values().find(|c| c.name == of).map(|c| c.id));
    }
    if text == "Local" {
        let company = company(d, row);
        return Ok(lease::ensure_local(d, company));
    }
    let is_it = |e: &&EnvironmentRow| {
        scope.is_none_or(|company| company == Some(e.company_id))
            && e.status != EnvironmentStatus::Deleted
            && (e.id.text() == text || e.name == text || Kind::Environment.number(e.number) == text)
    };
    let found = d.state().environments.values().find(is_it).cloned();
    found.ok_or_else(|| Refusal::new("environment_not_found", format!("this company has no environment {text:?}")))
}

/// Refuses to change by hand what a file says.
fn by_hand(d: &Deciding<'_, '_>, row: &EnvironmentRow, what: &str) -> Result<(), Refusal> {
    if row.origin != Origin::Config {
        return Ok(());
    }
    let number = Kind::Environment.number(row.number);
    let message = match file_of(row, d.state().projects.values()) {
        Some(file) => format!("{number} {} stands in {file}, which is its truth; {what} it there", row.name),
        None => {
            let file = row.config["base"].as_str().map_or_else(|| "a file".to_owned(), |b| format!("{b}/wharf.toml"));
            format!("{number} {} came from {file}, which has it no more; put it back there, or make another", row.name)
        }
    };
    Err(Refusal::new("illegal_state", message))
}

/// The row as a preview judges it.
fn judged(row: &EnvironmentRow) -> [Judged; 1] {
    [Judged { id: row.id.text(), version: row.version }]
}

/// Takes the mark of a deletion away: it stays.
pub(crate) fn keep_it(row: &mut EnvironmentRow) {
    if let Some(Value::Object(facts)) = &mut row.metadata {
        facts.remove("deleting");
        if facts.is_empty() {
            row.metadata = None;
        }
    }
}

/// The keys in which two forms of an environment differ, as they are written; never a value.
pub(crate) fn changed_keys(old: &EnvironmentRow, new: &EnvironmentRow) -> Vec<String> {
    let fields = [
        ("description", old.description != new.description),
        ("driver", old.driver != new.driver),
        ("lease_policy", old.lease_policy != new.lease_policy),
        ("slots", old.slots != new.slots),
        ("ttl", old.ttl_ms != new.ttl_ms),
        ("keep", old.keep_ms != new.keep_ms),
    ];
    let mut changed: Vec<String> =
        fields.iter().filter(|(_, differs)| *differs).map(|(key, _)| (*key).to_owned()).collect();
    let (old, new) = (old.driver_config(), new.driver_config());
    let empty = serde_json::Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).collect();
    keys.sort_unstable();
    keys.dedup();
    changed.extend(keys.into_iter().map(|key| format!("config.{key}")));
    changed
}

/// What an answer says of an environment.
fn answer(row: &EnvironmentRow) -> Value {
    json!({ "environment_id": row.id.text(), "environment": Kind::Environment.number(row.number), "name": row.name })
}

/// Whether the company's own environment is meant.
fn is_local(row: &EnvironmentRow) -> bool {
    row.driver == Driver::Local
}

#[cfg(test)]
mod tests;

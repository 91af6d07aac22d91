//! `issue.update`: the operator's word on an issue, and on where its runs work.

use serde_json::{Map, Value, json};
use wharf_model::rules::issue_settings::{IssueSettings, Preference};
use wharf_model::rules::release::Judged;
use wharf_model::{
    EnvironmentStatus, IssueId, IssueRow, IssueStatus, Kind, Priority, RequestRow, WorkspaceId, WorkspaceRow,
    WorkspaceStatus, WorkspaceStrategy,
};

use super::{Deciding, about, environment, lease, release};
use crate::dispatch::input::{Actor, Prepared, Refusal};

/// Longest title, in bytes.
const TITLE_MAX_BYTES: usize = 500;

/// Accepts the request; args: title, status, priority, settings (a table, each key with a value or null).
pub(crate) fn update(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    id: IssueId,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<Value, Refusal> {
    // A closed one is not in memory, and nobody but this changes it.
    if let (None, Prepared::Issue(stored)) = (d.tx.get::<IssueRow>(id), prepared)
        && stored.id == id
    {
        d.tx.adopt((**stored).clone());
    }
    let Some(before) = d.tx.get::<IssueRow>(id).cloned() else {
        return Err(Refusal::new("issue_not_found", "there is no such issue"));
    };
    release::check_unchanged(row, &[Judged { id: id.text(), version: before.version }])?;
    let known = ["title", "status", "priority", "settings"];
    if let Some(other) = row.args.as_object().and_then(|args| args.keys().find(|k| !known.contains(&k.as_str()))) {
        let message = format!("an issue has no {other:?} to be changed; there are {}", known.join(", "));
        return Err(Refusal::new("illegal_state", message));
    }
    let mut after = before.clone();
    if let Some(title) = text(row, "title")? {
        after.title = title_of(&title)?;
    }
    if let Some(word) = text(row, "priority")? {
        after.priority = Priority::parse(&word).ok_or_else(|| unknown("priority", &word, Priority::ALL))?;
    }
    if let Some(word) = text(row, "status")? {
        after.status = IssueStatus::parse(&word).ok_or_else(|| unknown("status", &word, IssueStatus::ALL))?;
    }
    let patch = match row.args.get("settings") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(patch)) => patch.clone(),
        Some(_) => return Err(Refusal::new("illegal_state", "settings is no table of settings")),
    };
    let old = IssueSettings::of(before.execution_workspace_settings.as_ref());
    let mut settings = set(d, &before, &old, &patch)?;
    let own = workspaces(d, &before);
    let has_worktree = before.execution_workspace_id.is_some_and(|w| own.contains(&w));
    // Its branch may be named by its title: the work that was begun goes on where it is.
    if after.title != before.title && has_worktree && settings.preference.is_none() {
        settings.preference = Some(Preference::ReuseExisting);
    }
    after.execution_workspace_settings = settings.stored();
    stamp(d, &before, &mut after);
    let changed = changes(&before, &after, &old, &settings);
    d.tx.put(after.clone());
    let followed = follow(d, &before, &patch, &settings);
    close(d, &before, &after, &own);
    if !changed.is_empty() {
        let details = json!({ "changed": changed, "workspace": followed });
        d.activity(actor, "issue.updated", &about::issue(&after), Some(details));
    }
    Ok(json!({
        "issue_id": id.text(), "issue": after.identifier, "status": after.status.as_str(),
        "changed": changed, "workspace": followed,
    }))
}

fn text(row: &RequestRow, key: &str) -> Result<Option<String>, Refusal> {
    match row.args.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(_) => Err(Refusal::new("illegal_state", format!("{key} is no text"))),
    }
}

fn unknown<T: std::fmt::Display>(what: &str, word: &str, all: &[T]) -> Refusal {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    Refusal::new("illegal_state", format!("{word:?} is no {what} of an issue; there are {}", all.join(", ")))
}

/// A title as it may be.
pub(crate) fn title_of(title: &str) -> Result<String, Refusal> {
    let title = title.trim();
    if title.is_empty() || title.len() > TITLE_MAX_BYTES {
        let message = format!("an issue needs a title of 1 to {TITLE_MAX_BYTES} bytes");
        return Err(Refusal::new("illegal_state", message));
    }
    if title.contains(char::is_control) {
        return Err(Refusal::new(
            "illegal_state",
            "an issue's title is one line without control characters; put the rest into its description",
        ));
    }
    Ok(title.to_owned())
}

/// The settings as they will be; an environment stands in them by its id.
fn set(
    d: &mut Deciding<'_, '_>,
    issue: &IssueRow,
    old: &IssueSettings,
    patch: &Map<String, Value>,
) -> Result<IssueSettings, Refusal> {
    let mut new =
        old.change(patch).map_err(|why| Refusal::new("illegal_state", format!("{}: {why}", issue.identifier)))?;
    let Some(named) = new.environment.clone().filter(|_| patch.contains_key("environment")) else { return Ok(new) };
    let found = d.state().environments.values().find(|e| {
        e.company_id == issue.company_id
            && e.status != EnvironmentStatus::Deleted
            && (e.id.text() == named || Kind::Environment.number(e.number).eq_ignore_ascii_case(&named))
    });
    let found = match found.cloned().or_else(|| environment::by_name(d, issue.company_id, &named)) {
        Some(found) => found,
        None if named == "Local" => lease::ensure_local(d, issue.company_id),
        None => {
            return Err(Refusal::new("environment_not_found", format!("this company has no environment {named}")));
        }
    };
    if found.status != EnvironmentStatus::Active {
        let message = format!("environment {} is {}; restore it, or choose another", found.name, found.status);
        return Err(Refusal::new("environment_inactive", message));
    }
    new.environment = Some(found.id.text());
    Ok(new)
}

/// Worktrees that are the issue's own and still there.
fn workspaces(d: &Deciding<'_, '_>, issue: &IssueRow) -> Vec<WorkspaceId> {
    let of_issue =
        |w: &&WorkspaceRow| w.source_issue_id == Some(issue.id) || issue.execution_workspace_id == Some(w.id);
    let own = d.state().workspaces.values().filter(of_issue);
    own.filter(|w| w.strategy_type == WorkspaceStrategy::GitWorktree && w.status != WorkspaceStatus::Archived)
        .map(|w| w.id)
        .collect()
}

/// Moments that go with a status.
fn stamp(d: &Deciding<'_, '_>, before: &IssueRow, after: &mut IssueRow) {
    if before.status == after.status {
        return;
    }
    let now = d.now();
    after.completed_at = (after.status == IssueStatus::Done).then_some(now);
    after.cancelled_at = (after.status == IssueStatus::Cancelled).then_some(now);
    if after.status == IssueStatus::InProgress {
        after.started_at.get_or_insert(now);
    }
}

const fn is_closed(issue: &IssueRow) -> bool {
    matches!(issue.status, IssueStatus::Done | IssueStatus::Cancelled)
}

/// Closing an issue makes its worktrees fit for removal; opening it again takes that back.
fn close(d: &mut Deciding<'_, '_>, before: &IssueRow, after: &IssueRow, own: &[WorkspaceId]) {
    let (was, is) = (is_closed(before), is_closed(after));
    if was == is {
        return;
    }
    let now = d.now();
    for id in own {
        d.tx.update::<WorkspaceRow>(*id, |w| w.cleanup_eligible_at = is.then_some(now));
    }
}

/// What its workspace keeps follows the settings that were changed; says which workspace did.
fn follow(
    d: &mut Deciding<'_, '_>,
    issue: &IssueRow,
    patch: &Map<String, Value>,
    settings: &IssueSettings,
) -> Option<String> {
    let id = issue.execution_workspace_id?;
    let workspace = d.tx.get::<WorkspaceRow>(id).filter(|w| w.company_id == issue.company_id)?.clone();
    let texts = [
        ("environment", "environment_id", &settings.environment),
        ("provision", "provision", &settings.provision),
        ("teardown", "teardown", &settings.teardown),
        ("cleanup", "cleanup", &settings.cleanup),
    ];
    let mut config = workspace.config.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, kept, value) in texts.into_iter().filter(|(key, ..)| patch.contains_key(*key)) {
        match (key, value) {
            // Nobody keeps it in one any more: the next run chooses anew, and it stays there then.
            ("environment", None) => drop(config.remove(kept)),
            (_, value) => drop(config.insert(kept.to_owned(), json!(value))),
        }
    }
    let config = Some(Value::Object(config)).filter(|c| c.as_object().is_some_and(|c| !c.is_empty()));
    if config == workspace.config {
        return None;
    }
    d.tx.update::<WorkspaceRow>(id, |w| w.config = config);
    Some(Kind::Workspace.number(workspace.number))
}

/// What is different, for the audit trail: old and new of each.
fn changes(before: &IssueRow, after: &IssueRow, old: &IssueSettings, new: &IssueSettings) -> Map<String, Value> {
    let mut out = Map::new();
    let mut say = |key: &str, old: Value, new: Value| {
        if old != new {
            out.insert(key.to_owned(), json!({ "from": old, "to": new }));
        }
    };
    say("title", json!(before.title), json!(after.title));
    say("status", json!(before.status.as_str()), json!(after.status.as_str()));
    say("priority", json!(before.priority.as_str()), json!(after.priority.as_str()));
    let table =
        |s: &IssueSettings| serde_json::to_value(s).ok().and_then(|v| v.as_object().cloned()).unwrap_or_default();
    let (old, new) = (table(old), table(new));
    for key in old.keys().chain(new.keys()) {
        let of = |table: &Map<String, Value>| table.get(key).cloned().unwrap_or_default();
        say(key, of(&old), of(&new));
    }
    out
}

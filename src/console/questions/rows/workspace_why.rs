//! Why a workspace is as it is: the rule that holds, and what was seen.

use wharf_model::rules::reap::NotDue;
use wharf_model::{Kind, RunStatus, UnixMillis, WorkspaceSource, WorkspaceStatus};
use wharf_store::view;
use wharf_ui::format::{self, Zone};
use wharf_ui::rows::Fact;

use super::fact;
use crate::console::checkouts::Known;

/// From when on a workspace may be archived by itself, or why it may not; the user's config may stand in the way.
pub type Reaping = Result<Result<UnixMillis, NotDue>, String>;

/// What explains the state of one workspace.
pub struct Explained<'a> {
    /// The workspace.
    pub item: &'a view::WorkspaceItem,
    /// Its newest runs.
    pub runs: &'a [view::RunLine],
    /// Whether it goes by itself; none where that is no question.
    pub reaping: Option<&'a Reaping>,
    /// What was found in its directory.
    pub known: &'a Known,
    /// The present.
    pub now: UnixMillis,
    /// Where moments are shown.
    pub zone: Zone,
}

fn bad(label: &str, value: impl Into<String>, remark: impl Into<String>) -> Fact {
    Fact { bad: true, ..fact(label, value, remark) }
}

/// Why it is as it is, in rows.
pub fn why(of: &Explained<'_>) -> Vec<Fact> {
    let row = &of.item.workspace;
    let mut all = Vec::new();
    let ago = |at: UnixMillis| format!("{} ago", format::duration(at.until(of.now)));
    let moment = |at: UnixMillis| format::full(at, of.zone);
    let failure = row.failure_reason.clone();
    match row.status {
        WorkspaceStatus::Realising => all.push(fact("rule", "it is being made, or brought back", "")),
        WorkspaceStatus::Active => all.push(working(of)),
        WorkspaceStatus::Idle | WorkspaceStatus::InReview => {
            all.push(fact("rule", "no run works in it", last(of)));
        }
        WorkspaceStatus::Failed => all.push(bad("failed", failure.clone().unwrap_or_else(|| "unknown".into()), "")),
        WorkspaceStatus::Archiving => {
            let until = row.deadline_at.map_or_else(String::new, |at| format!("until {} at most", moment(at)));
            all.push(fact("rule", "its directory is being kept and moved away", until));
        }
        WorkspaceStatus::Archived => {
            let when = row.closed_at.map_or_else(String::new, ago);
            all.push(fact("rule", "it was archived", when));
            all.push(match (&row.trash_path, row.trash_until) {
                (Some(_), Some(at)) => fact("kept until", moment(at), "all of it, R brings it back"),
                (Some(_), None) => fact("kept", "for ever: all of it is in the trash", "R brings it back"),
                (None, _) if of.item.snapshots_kept > 0 => {
                    let n = u64::try_from(of.item.snapshots_kept).unwrap_or(0);
                    let from = format!("{}; ignored files are gone", format::plural(n, "snapshot"));
                    fact("kept", from, "R makes it anew from the newest")
                }
                (None, _) => fact("kept", "nothing: neither its directory nor a snapshot", ""),
            });
            if let Some(path) = &row.trash_path {
                all.push(fact("trash", path.clone(), ""));
            }
        }
        WorkspaceStatus::CleanupFailed => {
            let words = failure.clone().unwrap_or_else(|| "its directory could not be moved away".into());
            all.push(bad("failed", words, ""));
            all.push(fact("", "Nothing of it is lost; x goes on where it stopped.", ""));
        }
        WorkspaceStatus::Missing => {
            all.push(bad("seen", failure.clone().unwrap_or_else(|| "its directory is not there".into()), ""));
            let n = of.item.snapshots_kept;
            let words = if n > 0 { "R makes it anew from its newest snapshot." } else { "No snapshot of it is kept." };
            all.push(fact("", words, ""));
        }
    }
    // What went wrong last is told where nothing above has told it.
    let told =
        matches!(row.status, WorkspaceStatus::Failed | WorkspaceStatus::CleanupFailed | WorkspaceStatus::Missing);
    if let Some(words) = failure.filter(|_| !told) {
        all.push(bad("last error", words, ""));
    }
    all.extend(of.reaping.map(|reaping| goes(reaping, of)));
    all.extend(seen(of));
    all.extend(stands_in(row.source));
    all
}

/// Who works in it.
fn working(of: &Explained<'_>) -> Fact {
    let live = of.runs.iter().filter(|r| r.status == RunStatus::Running);
    let names: Vec<String> = live.map(|r| Kind::Run.number(r.number)).collect();
    if names.is_empty() {
        return fact("rule", "it was last used by a run that has not let go of it", last(of));
    }
    fact("rule", format!("{} works in it", names.join(", ")), "")
}

/// `R-1033 ended 2h15 ago`.
fn last(of: &Explained<'_>) -> String {
    let Some(run) = of.runs.iter().find(|r| r.status.is_terminal()) else { return "none has yet".to_owned() };
    let name = Kind::Run.number(run.number);
    match run.finished_at {
        Some(at) => format!("the last one, {name}, ended {} ago", format::duration(at.until(of.now))),
        None => format!("the last one was {name}"),
    }
}

/// Whether it goes by itself.
fn goes(reaping: &Reaping, of: &Explained<'_>) -> Fact {
    match reaping {
        Err(why) => fact("goes", "unknown", format!("the user's config cannot be used: {why}")),
        Ok(Ok(at)) => {
            let since = format::full(*at, of.zone);
            fact("goes", "by itself when it is clean", format!("since {since}; A lists which"))
        }
        Ok(Err(NotDue::CoolsDown(at))) => {
            fact("kept until", format::full(*at, of.zone), "its issue is closed; then it goes by itself when clean")
        }
        Ok(Err(why)) => fact("goes", "not by itself", why.to_string()),
    }
}

/// What was found in its directory, where that says more than its figures.
fn seen(of: &Explained<'_>) -> Vec<Fact> {
    let Some((stock, ago)) = &of.known.stock else { return Vec::new() };
    let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    let looked = format!("looked {} ago", format::duration(ago));
    let mut all = Vec::new();
    match of.known.trouble() {
        Some((true, why)) => all.push(bad("seen", why, looked.clone())),
        Some((false, why)) => all.push(fact("unknown", why, looked.clone())),
        None => {}
    }
    if let wharf_model::rules::close_check::Place::NotOurs(why) = &stock.place {
        all.push(fact("never goes", why.clone(), ""));
    }
    all.extend(stock.unknown.iter().map(|what| fact("not known", what.clone(), looked.clone())));
    all
}

/// What the directory stands in for.
fn stands_in(source: Option<WorkspaceSource>) -> Option<Fact> {
    let words = match source? {
        WorkspaceSource::ProjectWorkspace => return None,
        WorkspaceSource::ManagedClone => "a clone that wharf made of the project's repository",
        WorkspaceSource::TaskSession => "the directory of the agent's last session",
        WorkspaceSource::AgentHome => "the agent's own home",
    };
    Some(fact("stands in", words, "for a checkout of the project"))
}

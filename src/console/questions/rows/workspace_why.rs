//! Why a workspace is as it is: the rule that holds, and what was seen.

use wharf_model::rules::reap::NotDue;
use wharf_model::rules::trash::{self, TrashKind};
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
    // Nothing here counts time: it is asked for again only when something changes.
    let short = |at: UnixMillis| format::moment(at, of.now, of.zone);
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
            let when = row.closed_at.map_or_else(String::new, short);
            all.push(fact("rule", "it was archived", when));
            all.push(match (&row.trash_path, row.trash_until) {
                (Some(_), Some(at)) if at <= of.now => {
                    bad("kept until", format!("{}: its time is over", moment(at)), "it is being removed")
                }
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
            let notes = row.metadata.as_ref().and_then(|m| m["archive_notes"].as_array()).into_iter().flatten();
            all.extend(notes.filter_map(|n| n.as_str()).map(|note| fact("note", note, "")));
        }
        WorkspaceStatus::CleanupFailed => {
            let words = failure.clone().unwrap_or_else(|| "its directory could not be moved away".into());
            all.push(bad("failed", words, ""));
            all.push(fact("", "wharf has removed nothing of it; x goes on where it stopped.", ""));
        }
        WorkspaceStatus::Missing => {
            all.push(bad("seen", failure.clone().unwrap_or_else(|| "its directory is not there".into()), ""));
            let n = of.item.snapshots_kept;
            let words = if n > 0 { "R makes it anew from its newest snapshot." } else { "No snapshot of it is kept." };
            all.push(fact("", words, ""));
        }
    }
    let more = trash::items(row).into_iter().filter(|i| Some(&i.place) != row.trash_path.as_ref());
    let more = more.filter(|i| i.kind == TrashKind::Directory).count();
    if more > 0 {
        let what = if more == 1 { "1 directory of before".to_owned() } else { format!("{more} directories of before") };
        all.push(fact("in the trash", what, "wharf workspace show names them"));
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
    all.extend(undo(of));
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

/// `the last one, R-1033, ended 09:53:20`.
fn last(of: &Explained<'_>) -> String {
    let Some(run) = of.runs.iter().find(|r| r.status.is_terminal()) else { return "none has yet".to_owned() };
    let name = Kind::Run.number(run.number);
    match run.finished_at {
        Some(at) => format!("the last one, {name}, ended {}", format::moment(at, of.now, of.zone)),
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
    let looked = format!("looked {}", format::moment(of.now.plus(-ago), of.now, of.zone));
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

/// How runs are sent home that work here because of their agent's session.
fn undo(of: &Explained<'_>) -> Option<Fact> {
    let agent = of.runs.iter().find_map(|r| r.agent.as_deref())?;
    (of.item.workspace.source == Some(WorkspaceSource::TaskSession)).then(|| {
        fact("to undo", format!("wharf agent reset-session {agent}"), "the next run works in the agent's home")
    })
}

/// What the directory stands in for.
fn stands_in(source: Option<WorkspaceSource>) -> Option<Fact> {
    let words = match source? {
        WorkspaceSource::ProjectWorkspace => return None,
        WorkspaceSource::ManagedClone => "a clone that wharf made of the project's repository",
        WorkspaceSource::TaskSession => "the directory of the agent's last session",
        WorkspaceSource::AgentHome => "the agent's own home",
    };
    Some(fact("place", words, "not a checkout of the project that was there"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use wharf_model::rules::close_check::Place;
    use wharf_model::{WorkspaceMode, WorkspaceRow, WorkspaceStrategy};

    use super::*;
    use crate::workspace::inventory::Stock;

    const NOW: UnixMillis = UnixMillis(1_797_807_600_000);

    fn item(status: WorkspaceStatus) -> view::WorkspaceItem {
        let workspace = WorkspaceRow {
            id: wharf_model::WorkspaceId::NIL,
            number: 7,
            company_id: wharf_model::CompanyId::NIL,
            project_id: wharf_model::ProjectId::NIL,
            project_workspace_id: None,
            source_issue_id: None,
            derived_from_execution_workspace_id: None,
            mode: WorkspaceMode::IsolatedWorkspace,
            strategy_type: WorkspaceStrategy::GitWorktree,
            name: "tree".into(),
            status,
            cwd: Some("/trees/7".into()),
            repo_root: None,
            repo_url: None,
            base_ref: None,
            base_commit: Some("1d20e77".into()),
            branch_name: Some("SHOP-16".into()),
            provider_type: "git".into(),
            provider_ref: None,
            created_by_runtime: true,
            branch_created_by_runtime: true,
            environment_id: None,
            last_used_at: NOW,
            deadline_at: None,
            closed_at: Some(NOW.plus(-7_200_000)),
            cleanup_eligible_at: None,
            failure_reason: None,
            metadata: None,
            config: None,
            source: None,
            trash_path: None,
            trash_until: None,
            trash_bytes: None,
            trash_more: None,
            version: 2,
            created_at: NOW,
            updated_at: NOW,
        };
        view::WorkspaceItem {
            workspace,
            project: None,
            issue: None,
            issue_title: None,
            issue_status: None,
            environment: None,
            last_run_number: None,
            last_run_status: None,
            operations_running: 0,
            live_run_number: None,
            snapshots_kept: 0,
        }
    }

    fn stock(place: Place) -> Stock {
        Stock {
            place,
            owner: None,
            branch: None,
            head: Some("feed".into()),
            bytes: Some(9),
            last_change: None,
            changed: Some(0),
            untracked: Some(0),
            ahead: Some(0),
            behind: Some(3),
            merged: Some(true),
            unknown: Vec::new(),
        }
    }

    fn known(place: Place) -> Known {
        Known { stock: Some((stock(place), Duration::from_secs(3))), ..Known::default() }
    }

    #[test]
    fn a_sessions_directory_says_how_its_agent_is_sent_home() {
        let mut session = item(WorkspaceStatus::Idle);
        session.workspace.source = Some(WorkspaceSource::TaskSession);
        let run = crate::cli::testing::run_line();
        let known = Known::default();
        let of = |item| Explained {
            item,
            runs: std::slice::from_ref(&run),
            reaping: None,
            known: &known,
            now: NOW,
            zone: Zone::UTC,
        };
        let has = |item| why(&of(item)).iter().any(|f| f.value == "wharf agent reset-session fixer");
        assert!(has(&session));
        assert!(!has(&item(WorkspaceStatus::Idle)));
    }

    fn told(item: &view::WorkspaceItem, reaping: Option<&Reaping>, known: &Known) -> String {
        let of = Explained { item, runs: &[], reaping, known, now: NOW, zone: Zone::UTC };
        why(&of).iter().map(|f| format!("{}|{}|{}|{}\n", f.label, f.value, f.remark, f.bad)).collect()
    }

    #[test]
    fn each_state_says_the_rule_and_what_is_left_to_do() {
        let mut archived = item(WorkspaceStatus::Archived);
        archived.workspace.trash_path = Some("/trees/.trash/7".into());
        archived.workspace.trash_until = Some(NOW.plus(3_600_000));
        archived.workspace.metadata = Some(json!({ "archive_notes": ["teardown ended with exit 2"] }));
        let words = told(&archived, None, &Known::default());
        for part in ["it was archived|21:00:00Z", "kept until|", "R brings it back", "note|teardown ended with exit 2"]
        {
            assert!(words.contains(part), "{part}: {words}");
        }
        let mut gone = item(WorkspaceStatus::Archived);
        assert!(told(&gone, None, &Known::default()).contains("nothing: neither its directory nor a snapshot"));
        gone.snapshots_kept = 2;
        assert!(told(&gone, None, &Known::default()).contains("2 snapshots; ignored files are gone|R makes it anew"));
        let mut failed = item(WorkspaceStatus::CleanupFailed);
        failed.workspace.failure_reason = Some("Device or resource busy".into());
        let words = told(&failed, None, &Known::default());
        assert!(words.starts_with("failed|Device or resource busy||true\n"), "{words}");
        assert_eq!(words.matches("Device or resource busy").count(), 1, "told once: {words}");
    }

    #[test]
    fn one_that_rests_says_whether_it_goes_by_itself() {
        let idle = item(WorkspaceStatus::Idle);
        let nothing = Known::default();
        let table: [(Reaping, &str); 4] = [
            (Ok(Ok(NOW)), "goes|by itself when it is clean|since "),
            (Ok(Err(NotDue::IssueOpen)), "goes|not by itself|its issue is open"),
            (Ok(Err(NotDue::CoolsDown(NOW.plus(1_000)))), "kept until|"),
            (Err("line 3".to_owned()), "goes|unknown|the user's config cannot be used: line 3"),
        ];
        for (reaping, words) in &table {
            let told = told(&idle, Some(reaping), &nothing);
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn what_was_seen_of_the_directory_comes_before_what_its_row_says() {
        use crate::console::questions::rows::workspace;
        let idle = item(WorkspaceStatus::Idle);
        let word = |item: &view::WorkspaceItem, known: &Known| workspace(item, known).word;
        assert_eq!(word(&idle, &Known::default()), "idle");
        assert_eq!(word(&idle, &known(Place::Ours)), "merged");
        assert_eq!(word(&idle, &known(Place::Gone)), "missing");
        assert!(
            told(&idle, None, &known(Place::Gone)).contains("seen|its directory is not there|looked 22:59:57Z|true")
        );
        let barred = known(Place::Unknown("permission denied".into()));
        assert_eq!(word(&idle, &barred), "unknown");
        assert!(told(&idle, None, &barred).contains("unknown|permission denied|looked 22:59:57Z|false"));
        // Nothing was done in it, or something in it is loose: then nothing was merged.
        let mut fresh = known(Place::Ours);
        fresh.stock.as_mut().unwrap().0.head = Some("1d20e77".into());
        assert_eq!(word(&idle, &fresh), "idle");
        let mut loose = known(Place::Ours);
        loose.stock.as_mut().unwrap().0.untracked = Some(1);
        assert_eq!(word(&idle, &loose), "idle");
        let mut used = item(WorkspaceStatus::Active);
        used.live_run_number = Some(3);
        assert_eq!(word(&used, &known(Place::Ours)), "in use");
        let mut shared = item(WorkspaceStatus::Active);
        shared.workspace.mode = WorkspaceMode::SharedWorkspace;
        assert_eq!(word(&shared, &known(Place::NotOurs("it is the project's checkout".into()))), "shared");
        assert_eq!(word(&item(WorkspaceStatus::Archived), &known(Place::Gone)), "archived");
    }
}

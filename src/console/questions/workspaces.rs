//! Workspaces: their page, what is known of one, and what archiving, bringing back and reaping would do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::filter::{Field, Filter, Status, Test};
use wharf_model::rules::close_check::{CloseRows, root};
use wharf_model::rules::{reap, trash};
use wharf_model::{
    IssueStatus, Kind, RunStatus, SnapshotId, UnixMillis, WorkspaceId, WorkspaceMode, WorkspaceRow, WorkspaceStatus,
};
use wharf_store::view::{RunFilter, RunQuery, WorkspaceQuery};
use wharf_store::{Reader, StoreError};
use wharf_ui::format::{self, Zone};
use wharf_ui::rows::{CloseCheck, Expect, Page, Preview, PreviewLine, PreviewVerb, WorkspaceDetail, WorkspaceLine};

use super::lists::{LOOK, finish};
use super::preview::workspace::{archive_preview, reap_preview};
use super::{Asking, rows};
use crate::console::checkouts::{Checkout, Known};
use crate::dispatch::closing::{self, Reapable};
use crate::dispatch::prepare;
use crate::workspace::inventory::{self, Stock};
use crate::workspace::presence;

/// Newest runs that are told of a workspace.
const RUNS: usize = 4;

/// Whether a filter asks for archived ones: by that word, or by the number of one.
fn wants_archived(filter: &Filter) -> bool {
    let asks = |test: &Test| match test {
        Test::Status(wanted) => wanted.iter().any(|w| matches!(w, Status::Archived | Status::Ended)),
        Test::Field(Field::Workspace, _) => true,
        _ => false,
    };
    filter.terms.iter().any(|term| !term.exclude && asks(&term.test))
}

fn checkout(row: &WorkspaceRow) -> Option<Checkout> {
    let path = PathBuf::from(row.cwd.clone()?);
    Some(Checkout {
        project: row.project_id,
        workspace: row.id,
        root: root(row).map_or_else(|| path.clone(), PathBuf::from),
        path,
        base: row.base_ref.clone().or_else(|| row.base_commit.clone()),
    })
}

/// What is known of a workspace beside its row; none when there is no such workspace.
///
/// # Errors
/// The store cannot be read.
pub fn detail(
    reader: &Reader,
    id: WorkspaceId,
    known: &Known,
    now: UnixMillis,
    zone: Zone,
) -> Result<Option<WorkspaceDetail>, StoreError> {
    let Some(item) = reader.workspace(id)? else { return Ok(None) };
    let Some(around) = reader.close_rows(id)? else { return Ok(None) };
    let filter = RunFilter { workspace: Some(id), ..RunFilter::default() };
    let runs = reader.runs(&RunQuery { company: None, project: None, filter }, None, RUNS)?.rows;
    let reaping = reaping(&around, now);
    let explained = rows::Explained { item: &item, runs: &runs, reaping: reaping.as_ref(), known, now, zone };
    Ok(Some(WorkspaceDetail {
        why: rows::why(&explained),
        issues: around
            .issues
            .iter()
            .map(|i| format!("{} {}, {}", i.identifier, i.title, i.status.as_str().replace('_', " ")))
            .collect(),
        runs: runs.iter().map(run_words).collect(),
        services: around.own_services().map(|s| format!("{} {}", Kind::Service.number(s.number), s.name)).collect(),
    }))
}

/// `R-1033 ✓ plan only`.
fn run_words(run: &wharf_store::view::RunLine) -> String {
    let line = rows::run(run);
    let (class, word) = line.state();
    let word = line.outcome.as_deref().filter(|_| run.status == RunStatus::Succeeded).unwrap_or(word);
    format!("{} {} {word}", Kind::Run.number(run.number), class.glyph())
}

/// Whether one that rests goes by itself.
fn reaping(around: &CloseRows, now: UnixMillis) -> Option<rows::Reaping> {
    let row = &around.workspace;
    let rests = matches!(row.status, WorkspaceStatus::Idle | WorkspaceStatus::InReview | WorkspaceStatus::Failed);
    if !rests || row.mode == WorkspaceMode::SharedWorkspace {
        return None;
    }
    Some(prepare::retention().map(|retention| reap::due(&closing::candidate(around, &retention), now)))
}

/// What the directory of a workspace holds; none for one that has none, or was archived. Takes this long at most.
///
/// # Errors
/// The store cannot be read.
pub fn stock(reader: &Reader, row: &WorkspaceRow, time: Duration) -> Result<Option<Stock>, StoreError> {
    let Some(checkout) = checkout(row).filter(|_| row.status != WorkspaceStatus::Archived) else { return Ok(None) };
    Ok(Some(inventory::stock(&checkout.ask(closing::never(reader)?, time))))
}

/// What a workspace is to be brought back from, where that was named.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreFrom<'a> {
    /// A snapshot.
    pub snapshot: Option<SnapshotId>,
    /// A directory in the trash, by its name or a part of it.
    pub trash: Option<&'a str>,
}

/// What bringing a workspace back would do, as the acceptance decides it.
///
/// # Errors
/// The store cannot be read.
pub fn restore_preview(
    reader: &Reader,
    id: WorkspaceId,
    from: RestoreFrom<'_>,
    known: &Known,
    at: UnixMillis,
    zone: Zone,
) -> Result<Preview, StoreError> {
    let refused = |why: String| Ok(Preview { refused: Some(why), at, ..Preview::default() });
    let Some(item) = reader.workspace(id)? else {
        return refused("there is no such workspace any more".to_owned());
    };
    let row = &item.workspace;
    let number = Kind::Workspace.number(row.number);
    let all = reader.snapshots(id, 200)?;
    let kept = || all.iter().filter(|s| s.snapshot.status == wharf_model::SnapshotStatus::Kept);
    let asked = match from.snapshot {
        None => None,
        Some(wanted) => match kept().find(|s| s.snapshot.id == wanted) {
            Some(found) => Some(found),
            None => return refused(format!("{number} has no such snapshot, or it is kept no longer")),
        },
    };
    let mut words = Restored { lines: Vec::new(), note: String::new() };
    let trash = match from.trash {
        None => row.trash_path.clone().filter(|_| asked.is_none()),
        Some(_) if asked.is_some() => {
            return refused("name a snapshot or a directory in the trash, not both".to_owned());
        }
        Some(text) => match trash::named(row, text) {
            Some(item) => Some(item.place),
            None => return refused(format!("{text:?} names no directory in the trash of {number}")),
        },
    };
    match (row.status, asked, &trash) {
        (WorkspaceStatus::Archived, None, Some(trash)) => words.out_of_trash(row, trash),
        (status, None, Some(_)) if from.trash.is_some() => {
            let status = status.as_str().replace('_', " ");
            return refused(format!("{number} is {status}: `wharf workspace archive {number}` first"));
        }
        (WorkspaceStatus::Archived | WorkspaceStatus::Missing, asked, _) => {
            let Some(from) = asked.or_else(|| kept().next()) else {
                return refused("nothing of it is kept any more: neither its directory nor a snapshot".to_owned());
            };
            words.anew(row, &from.number(), from.snapshot.files);
            if let Some(trash) = &row.trash_path {
                words.add(PreviewVerb::Leaves, "its directory in the trash", trash.clone());
            }
        }
        (WorkspaceStatus::Idle | WorkspaceStatus::InReview | WorkspaceStatus::Failed, Some(s), _) => {
            let around = reader.close_rows(id)?.map(|rows| rows.around()).unwrap_or_default();
            let busy: Vec<String> = around.live_runs.into_iter().chain(around.operations).collect();
            if !busy.is_empty() {
                return refused(format!("it is in use: {}", busy.join(", ")));
            }
            let next = all.first().map_or(1, |newest| newest.snapshot.ordinal + 1);
            let figures = known.figures.unwrap_or_default();
            let now = [
                figures.dirty.map(|n| format::plural(n, "changed file")),
                figures.untracked.map(|n| format!("{} untracked", format::count(n))),
            ];
            let some = now.into_iter().flatten().filter(|words| !words.starts_with("0 "));
            let now = some.collect::<Vec<_>>().join(", ");
            words.over_what_is_there(&format!("{number}.{next}"), now, s, (at, zone));
        }
        (status, ..) => return refused(format!("it is {}", status.as_str().replace('_', " "))),
    }
    Ok(Preview {
        lines: words.lines,
        note: words.note,
        expect: vec![Expect { id: row.id.text(), version: row.version }],
        at,
        refused: None,
        args: Vec::new(),
    })
}

impl Asking<'_> {
    /// Those that are kept; archived ones when they are asked for, else only how many there are.
    pub(super) fn workspaces(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<WorkspaceLine>, StoreError> {
        let company = self.company()?;
        let archived = wants_archived(filter);
        let query = |live: bool| WorkspaceQuery { company, archived: !live, ..WorkspaceQuery::default() };
        let mut gathered = self.gather(
            filter,
            after,
            limit,
            |below, live| match (live, archived) {
                (false, false) => Ok((Vec::new(), None)),
                _ => self.reader.workspaces(&query(live), below, LOOK).map(|p| (p.rows, p.next)),
            },
            |item| item.workspace.status != WorkspaceStatus::Archived,
            |item| rows::workspace_facts(item, self.now),
        )?;
        if !archived {
            gathered.hidden += u64::try_from(self.reader.archived_workspaces(company)?).unwrap_or(0);
        }
        let known = if after.is_none() {
            let live = gathered.rows.iter().map(|item| &item.workspace);
            let shown: Vec<Checkout> =
                live.filter(|row| row.status != WorkspaceStatus::Archived).filter_map(checkout).collect();
            let never = closing::never(self.reader)?;
            let ids: Vec<WorkspaceId> = shown.iter().map(|c| c.workspace).collect();
            ids.into_iter().zip(self.scope.checkouts.show(&shown, never)).collect()
        } else {
            HashMap::new()
        };
        let none = Known::default();
        Ok(finish(gathered, |item| rows::workspace(item, known.get(&item.workspace.id).unwrap_or(&none))))
    }

    /// What is known of one beside its line.
    pub(super) fn workspace_detail(&self, id: WorkspaceId) -> Result<Option<WorkspaceDetail>, StoreError> {
        detail(self.reader, id, &self.scope.checkouts.of(id), self.now, self.scope.zone)
    }

    /// The close check, and what archiving would do: looks into the directory.
    pub(super) fn close_check(&self, id: WorkspaceId) -> Result<CloseCheck, StoreError> {
        Ok(match archive_preview(self.reader, &self.scope.data, id)? {
            Some(preview) => rows::close_check(&preview, self.scope.zone),
            None => rows::blocked("there is no such workspace any more".to_owned(), self.now),
        })
    }

    /// What bringing it back would do, as the acceptance decides it.
    pub(super) fn restore_preview(&self, id: WorkspaceId, snapshot: Option<SnapshotId>) -> Result<Preview, StoreError> {
        let from = RestoreFrom { snapshot, trash: None };
        restore_preview(self.reader, id, from, &self.scope.checkouts.of(id), self.now, self.scope.zone)
    }

    /// Which of finished issues would go, and why the others stay: looks into the directories of those that are due.
    pub(super) fn reap_preview(&self) -> Result<Preview, StoreError> {
        let all = match reap_preview(self.reader, self.company()?)? {
            Ok(all) => all,
            Err(why) => {
                let refused = Some(format!("the user's config cannot be used: {why}"));
                return Ok(Preview { refused, at: self.now, ..Preview::default() });
            }
        };
        let (go, stay): (Vec<&Reapable>, Vec<&Reapable>) = all.iter().partition(|r| r.stays.is_none());
        let refused = go.is_empty().then(|| "Nothing is to be reaped.".to_owned());
        let removes = go.iter().map(|r| self.reap_line(r, PreviewVerb::Removes));
        let keeps = stay.iter().map(|r| self.reap_line(r, PreviewVerb::Keeps));
        Ok(Preview {
            lines: removes.chain(keeps).collect(),
            note: "Each is kept as a snapshot and in the trash; R brings it back.".to_owned(),
            expect: go
                .iter()
                .map(|r| Expect { id: r.rows.workspace.id.text(), version: r.rows.workspace.version })
                .collect(),
            at: self.now,
            refused,
            args: Vec::new(),
        })
    }

    /// `removes  W-6 SHOP-13-remember-the-filter  clean, SHOP-13 closed 3h10 ago`.
    fn reap_line(&self, reapable: &Reapable, verb: PreviewVerb) -> PreviewLine {
        let row = &reapable.rows.workspace;
        let name = row.branch_name.as_deref().unwrap_or(&row.name);
        let issues: Vec<&str> = reapable
            .rows
            .issues
            .iter()
            .filter(|i| matches!(i.status, IssueStatus::Done | IssueStatus::Cancelled))
            .map(|i| i.identifier.as_str())
            .collect();
        let how = match (&reapable.stays, reapable.closed_at) {
            (Some(why), _) => match reapable.eligible_at.filter(|at| *at > self.now) {
                Some(at) => format!("{why}; from {}", format::moment(at, self.now, self.scope.zone)),
                None => why.clone(),
            },
            (None, Some(at)) => {
                format!("clean, {} closed {} ago", issues.join(", "), format::duration(at.until(self.now)))
            }
            (None, None) => "clean".to_owned(),
        };
        PreviewLine { verb, what: format!("{} {name}", Kind::Workspace.number(row.number)), how }
    }
}

/// What bringing something back is told with.
struct Restored {
    lines: Vec<PreviewLine>,
    note: String,
}

impl Restored {
    fn add(&mut self, verb: PreviewVerb, what: impl Into<String>, how: impl Into<String>) {
        self.lines.push(PreviewLine { verb, what: what.into(), how: how.into() });
    }

    /// Its directory goes back to where it was, whole.
    fn out_of_trash(&mut self, row: &WorkspaceRow, place: &str) {
        let path = root(row).unwrap_or_default();
        let items = trash::items(row);
        let bytes = items.iter().find(|item| item.place == place).and_then(|item| item.bytes);
        let size = bytes.and_then(|n| u64::try_from(n).ok()).map(format::size).unwrap_or_default();
        self.add(PreviewVerb::Restores, "its directory, all of it", size);
        self.add(PreviewVerb::More, "from", place);
        self.add(PreviewVerb::More, "to", path);
        if presence::is_there(Path::new(place), row.repo_root.as_deref().map(Path::new)) == Some(false) {
            self.add(PreviewVerb::Tries, "nothing that helps", "somebody removed it from the trash");
            "Its directory in the trash is gone; a snapshot of it can be restored by its name instead."
                .clone_into(&mut self.note);
        // A link that leads nowhere is in the way as well.
        } else if Path::new(path).symlink_metadata().is_ok() {
            self.add(PreviewVerb::Tries, "again when the place is free", "something stands there now");
            "It stays in the trash while something stands where it was; move that away first."
                .clone_into(&mut self.note);
        } else {
            "Worktree, branch and mark are as they were. Nothing else is touched.".clone_into(&mut self.note);
        }
    }

    /// A new worktree is made of a snapshot.
    fn anew(&mut self, row: &WorkspaceRow, snapshot: &str, files: i64) {
        let files = format::plural(u64::try_from(files).unwrap_or(0), "file");
        self.add(PreviewVerb::Restores, format!("snapshot {snapshot} as a new worktree"), files);
        self.add(PreviewVerb::More, "to", root(row).unwrap_or_default());
        self.add(PreviewVerb::Leaves, "ignored files", "no snapshot has them");
        "Its branch is made anew when it is gone.".clone_into(&mut self.note);
    }

    /// What is there is kept first, then becomes what the snapshot has.
    fn over_what_is_there(
        &mut self,
        before: &str,
        now: String,
        snapshot: &wharf_store::view::SnapshotItem,
        (at, zone): (UnixMillis, Zone),
    ) {
        let row = &snapshot.snapshot;
        self.add(PreviewVerb::Keeps, format!("what is there now as snapshot {before}"), now);
        let files = format::plural(u64::try_from(row.files).unwrap_or(0), "file");
        let size = format::size(u64::try_from(row.bytes).unwrap_or(0));
        let made = format::moment(row.created_at, at, zone);
        self.add(
            PreviewVerb::Restores,
            format!("{files} of snapshot {}", snapshot.number()),
            format!("{size}, made {made}"),
        );
        self.add(PreviewVerb::Keeps, "ignored files and commits", "they stay as they are");
        self.note = format!("R on {before} brings back what is there now.");
    }
}

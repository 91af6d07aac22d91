//! What of a row is compared with what: a workspace with its base, a run with what it began with, two runs with each
//! other. What is not recorded is said, never guessed.

use std::path::{Path, PathBuf};

use git2::{BranchType, Repository};
use wharf_model::{Driver, Kind, RunId, WorkspaceId, WorkspaceRow, WorkspaceStatus};
use wharf_store::Reader;
use wharf_store::view::{RunGround, WorkspaceGround};

use super::{Base, Comparison, End, Limits, compare, head};

/// A comparison that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What it shows: `R-12`, `W-7 as it is now`, `R-12 beside R-11`.
    pub title: String,
    /// A directory in the repository.
    pub directory: PathBuf,
    /// Compared with this.
    pub base: Base,
    /// This.
    pub end: End,
    /// What has to be known to read it right, before what the comparison itself has to say.
    pub remarks: Vec<String>,
}

impl Subject {
    /// Makes it; its remarks are the first of the listing's.
    ///
    /// # Errors
    /// In words.
    pub fn compare(&self, limits: Limits) -> Result<Comparison, String> {
        let mut made = compare(&self.directory, &self.base, &self.end, limits).map_err(|e| e.to_string())?;
        made.listing.remarks.splice(0..0, self.remarks.iter().cloned());
        Ok(made)
    }

    /// The directory whose files can be opened: the worktree, when that is what is shown.
    pub fn worktree(&self) -> Option<PathBuf> {
        if matches!(self.end, End::Commit { .. }) {
            return None;
        }
        super::inspect::open_above(&self.directory).ok().and_then(|r| r.workdir().map(Path::to_owned))
    }
}

/// The end state of something: where, and as what.
struct Stands {
    directory: PathBuf,
    end: End,
    remarks: Vec<String>,
}

/// Whose changes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// A workspace's.
    Workspace(WorkspaceId),
    /// A run's.
    Run(RunId),
    /// How the second run's end differs from the first's.
    Runs(RunId, RunId),
}

/// Looks up what is to be compared.
///
/// # Errors
/// It cannot be, in words.
pub fn find(reader: &Reader, asked: Asked) -> Result<Subject, String> {
    let run = |id| {
        let found = reader.run_ground(id).map_err(|e| e.to_string())?;
        found.ok_or_else(|| "the run is not in the store any more".to_owned())
    };
    match asked {
        Asked::Workspace(id) => {
            let found = reader.workspace_ground(id).map_err(|e| e.to_string())?;
            of_workspace(&found.ok_or_else(|| "the workspace is not in the store any more".to_owned())?)
        }
        Asked::Run(id) => {
            let ground = run(id)?;
            let mut subject = of_run(&ground)?;
            subject.remarks.splice(0..0, elsewhere(reader, &ground));
            Ok(subject)
        }
        Asked::Runs(first, second) => {
            let (first, second) = (run(first)?, run(second)?);
            let mut subject = of_two(&first, &second)?;
            subject.remarks.splice(0..0, elsewhere(reader, &first).into_iter().chain(elsewhere(reader, &second)));
            Ok(subject)
        }
    }
}

/// What a run changes in a place that shares no files comes back when it has ended; until then it is not here.
fn elsewhere(reader: &Reader, ground: &RunGround) -> Option<String> {
    let environment = ground.line.environment_id.filter(|_| !ground.line.status.is_terminal())?;
    let driver = reader.environment(environment).ok()??.environment.driver;
    let place = ground.line.environment.as_deref().unwrap_or("another place");
    matches!(driver, Driver::Ssh | Driver::Plugin)
        .then(|| format!("{} works in {place}: what it changes there is brought back when it ends", name(ground)))
}

/// What a workspace has changed against its base.
///
/// # Errors
/// Nothing of it is left, in words.
pub fn of_workspace(ground: &WorkspaceGround) -> Result<Subject, String> {
    let row = &ground.workspace;
    let name = Kind::Workspace.number(row.number);
    let Stands { directory, end, mut remarks } = stands(ground)?;
    let base = match &row.base_commit {
        Some(commit) => Base::Of { commit: commit.clone(), name: row.base_ref.clone() },
        None => {
            remarks.push(format!("no base of {name} is recorded: what is not committed is shown"));
            Base::Head
        }
    };
    Ok(Subject { title: format!("{name} as it is now"), directory, base, end, remarks })
}

/// What a run has changed since it began.
///
/// # Errors
/// It has no workspace yet, or nothing of it is left, in words.
pub fn of_run(ground: &RunGround) -> Result<Subject, String> {
    let (name, place) = (name(ground), place(ground)?);
    let workspace = Kind::Workspace.number(place.workspace.number);
    let Some(began) = &ground.began else {
        let mut subject = of_workspace(place)?;
        let earlier = ground.earlier.map_or("", |_| "; earlier runs are in it");
        let words = format!("where {name} began was not recorded: this is {workspace} as it is now{earlier}");
        subject.remarks.insert(0, words);
        return Ok(subject);
    };
    let base = match began {
        Some(commit) => Base::Exactly { commit: commit.clone(), what: format!("{name} began at") },
        None => Base::Nothing,
    };
    let Stands { directory, end, mut remarks } = run_stands(ground, place)?;
    if let (Some(earlier), false) = (ground.earlier, matches!(end, End::Commit { .. })) {
        let earlier = Kind::Run.number(earlier);
        remarks.push(format!("what {earlier} and others before had not committed in {workspace} is in it"));
    }
    Ok(Subject { title: name, directory, base, end, remarks })
}

/// How the second run's end differs from the first's.
///
/// # Errors
/// They belong to different projects, or how one of them ended is not known, in words.
pub fn of_two(first: &RunGround, second: &RunGround) -> Result<Subject, String> {
    let (a, b) = (name(first), name(second));
    if first.line.id == second.line.id {
        return Err(format!("{a} is one run; mark another one beside it"));
    }
    if first.line.project_id != second.line.project_id {
        return Err(format!("{a} and {b} are of different projects: what they changed cannot be compared"));
    }
    let (place_a, place_b) = (place(first)?, place(second)?);
    let from = run_stands(first, place_a)?;
    let to = run_stands(second, place_b)?;
    let what =
        |place: &WorkspaceGround, name: &str| format!("{name} in {}", Kind::Workspace.number(place.workspace.number));
    let base = match from.end {
        End::Commit { commit, what, .. } => Base::Exactly { commit, what },
        End::Worktree | End::Named(_) => Base::Worktree { directory: from.directory, what: what(place_a, &a) },
    };
    let end = match to.end {
        End::Worktree | End::Named(_) => End::Named(what(place_b, &b)),
        end @ End::Commit { .. } => end,
    };
    let mut remarks = from.remarks;
    remarks.extend(to.remarks);
    remarks.dedup();
    Ok(Subject { title: format!("{b} beside {a}"), directory: to.directory, base, end, remarks })
}

fn name(ground: &RunGround) -> String {
    Kind::Run.number(ground.line.number)
}

fn place(ground: &RunGround) -> Result<&WorkspaceGround, String> {
    ground.place.as_ref().ok_or_else(|| {
        let why = if ground.line.status.is_terminal() { "it ended before it had one" } else { "it has not begun" };
        format!("{} has no workspace: {why}", name(ground))
    })
}

/// How a run left its workspace; while nobody else has worked there, that is how it stands now.
fn run_stands(ground: &RunGround, place: &WorkspaceGround) -> Result<Stands, String> {
    let (run, workspace) = (name(ground), Kind::Workspace.number(place.workspace.number));
    let over = ground.line.status.is_terminal();
    let now = stands(place);
    let moved = match (&now, &ground.ended) {
        // Somebody committed, or went elsewhere, since it ended.
        (Ok(now), Some(ended)) if !matches!(now.end, End::Commit { .. }) => {
            head(&now.directory).is_ok_and(|head| head != *ended)
        }
        _ => false,
    };
    let gone = !matches!(&now, Ok(Stands { end: End::Worktree, .. }));
    let later = ground.later.map(|n| Kind::Run.number(n));
    match (&ground.ended, &later) {
        (Some(Some(commit)), _) if over && (later.is_some() || moved || gone) => {
            // A snapshot that nobody has worked on since holds more than the commits.
            if let (Ok(now), None) = (now, &later)
                && gone
            {
                return Ok(now);
            }
            let since = match &later {
                Some(later) => format!("{later} has worked in {workspace} since"),
                None => format!("{workspace} has been changed since"),
            };
            let directory = repository(&place.workspace)
                .ok_or_else(|| format!("the repository of {workspace} is not there any more"))?;
            let end = End::Commit { commit: commit.clone(), what: format!("{run} ended at"), head: None };
            let words =
                format!("the commits of {run} only: {since}, and what {run} had not committed is not told apart");
            Ok(Stands { directory, end, remarks: vec![words] })
        }
        (_, Some(later)) if over => Err(format!(
            "how {run} ended was not recorded, and {later} has worked in {workspace} since; wharf diff {workspace} shows what is there now"
        )),
        _ => {
            let mut now = now?;
            if ground.line.status.is_terminal() && ground.ended.is_none() {
                now.remarks.push(format!("how {run} ended was not recorded: this is {workspace} as it is now"));
            }
            Ok(now)
        }
    }
}

/// Where the commits of a workspace are, whether or not its directory is.
fn repository(row: &WorkspaceRow) -> Option<PathBuf> {
    [&row.provider_ref, &row.cwd, &row.repo_root]
        .into_iter()
        .flatten()
        .map(PathBuf::from)
        .find(|p| super::inspect::open_above(p).is_ok())
}

/// How a workspace stands: its directory, else its newest snapshot, else its branch.
fn stands(ground: &WorkspaceGround) -> Result<Stands, String> {
    let row = &ground.workspace;
    let name = Kind::Workspace.number(row.number);
    let directory = row.provider_ref.as_ref().or(row.cwd.as_ref()).map(PathBuf::from);
    let there = directory.as_ref().is_some_and(|d| d.is_dir()) && row.status != WorkspaceStatus::Archived;
    if let (true, Some(directory)) = (there, directory) {
        if super::inspect::is_outside_git(&directory) {
            let shown = directory.display();
            return Err(format!("{name} is {shown}, which is no checkout of git's: what changed there is not known"));
        }
        return Ok(Stands { directory, end: End::Worktree, remarks: Vec::new() });
    }
    let Some(root) = row.repo_root.as_ref().map(PathBuf::from).filter(|r| r.is_dir()) else {
        return Err(format!("the directory of {name} is gone, and no repository of it is known"));
    };
    if let Some(snapshot) = &ground.snapshot {
        let what = format!("snapshot {name}.{}", snapshot.ordinal);
        let remarks = vec![format!("the directory of {name} is gone: this is its {what}")];
        return Ok(Stands {
            directory: root,
            end: End::Commit { commit: snapshot.commit_id.clone(), what, head: snapshot.head_commit.clone() },
            remarks,
        });
    }
    let branch = row.branch_name.as_deref().and_then(|b| Some((b, tip(&root, b)?)));
    let Some((branch, commit)) = branch else {
        return Err(format!("the directory of {name} is gone, and neither a snapshot nor its branch is left"));
    };
    let what = format!("branch {branch}");
    let remarks = vec![format!("the directory of {name} is gone and no snapshot of it is kept: this is its {what}")];
    Ok(Stands { directory: root, end: End::Commit { commit, what, head: None }, remarks })
}

fn tip(root: &Path, branch: &str) -> Option<String> {
    let repo: Repository = super::inspect::open_above(root).ok()?;
    let found = repo.find_branch(branch, BranchType::Local).ok()?.get().peel_to_commit().ok()?;
    Some(found.id().to_string())
}

//! The close check's look at a directory: what stands in the way of removing it, and what removing it would do.
//!
//! Only reads, within bounds, and runs nothing of the repository's own: no hook, filter or monitor. What cannot be
//! looked at is said to be unknown, never to be empty.

pub(crate) mod commits;
mod inside;
pub(crate) mod open_files;
pub(crate) mod place;
pub(crate) mod repository;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::{Oid, Repository};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use wharf_model::rules::close_check::{Found, Listed, Place, is_made_again};
use wharf_model::{ProjectId, WorkspaceId};

use super::mark::PLAIN_FILE;
use super::opening;
use super::survey::{Bounds, Class, Survey, Tracked, shown, survey};
use commits::is_merged;
use place::{Layout, Ours};

/// What to look at, and for whom.
#[derive(Debug, Clone)]
pub struct LookAsk {
    /// The project that the directory was made for.
    pub project: ProjectId,
    /// The workspace that it was made for.
    pub workspace: WorkspaceId,
    /// Root of the worktree, or of the plain directory: a row's `provider_ref`, else its `cwd`.
    pub path: PathBuf,
    /// What the work is measured against: a commit id or a ref name (`base_ref`, else `base_commit`).
    pub base: Option<String>,
    /// Directories that must never be removed: the checkout of every project.
    pub never: Vec<PathBuf>,
    /// Bounds of the look.
    pub limits: Limits,
}

/// Bounds of one look. Where one is reached, what lies beyond is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time.
    pub time: Duration,
    /// Most entries of the directory that are looked at.
    pub entries: usize,
    /// Most commits that are counted on one side.
    pub commits: usize,
    /// Most repositories inside (nested ones and submodules) that are opened.
    pub repositories: usize,
    /// Most open files of other processes that are looked at.
    pub descriptors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(20),
            entries: 1_000_000,
            commits: 10_000,
            repositories: 200,
            descriptors: 200_000,
        }
    }
}

/// Looks at a workspace's directory and at its repository. Never fails: what could not be looked at is in
/// [`Found::unknown`]. Blocks the thread, so not for async tasks.
pub fn look(ask: &LookAsk) -> Found {
    let until = Instant::now() + ask.limits.time;
    let mut found = nothing(Place::Ours);
    match place::removable(&ask.path, ask.project, ask.workspace, &ask.never) {
        Ok(ours) => {
            let survey = look_inside(ask, &ours, until, &mut found);
            found.fingerprint = fingerprint(&found, Some(&survey));
        }
        Err(place) => {
            found.place = *place;
            found.fingerprint = fingerprint(&found, None);
        }
    }
    found
}

fn nothing(place: Place) -> Found {
    Found {
        place,
        head: None,
        branch: None,
        under_way: None,
        changed: Listed::default(),
        conflicted: Listed::default(),
        untracked: Listed::default(),
        ignored: Listed::default(),
        ignored_own: Listed::default(),
        stashed: Listed::default(),
        unpushed: Listed::default(),
        unmerged: None,
        nested: Listed::default(),
        submodules: Listed::default(),
        links_out: Listed::default(),
        open: Listed::default(),
        bytes: None,
        branch_merged: None,
        unknown: Vec::new(),
        fingerprint: String::new(),
    }
}

fn look_inside(ask: &LookAsk, ours: &Ours, until: Instant, found: &mut Found) -> Survey {
    let bounds = Bounds { entries: ask.limits.entries, until };
    let mut tracked = Tracked::default();
    let mut opened = None;
    if ours.git.is_some() {
        match opening::open_here(&ours.path) {
            Ok(repo) => opened = Some(repo),
            Err(e) => found.unknown.push(format!("the repository: {}", opening::said(&e))),
        }
    }
    let mut indexed = opened.is_some();
    if let Some(repo) = &opened {
        match Tracked::read(repo, ask.limits.entries) {
            Ok(read) => tracked = read,
            Err(e) => {
                indexed = false;
                found.unknown.push(e.to_string());
            }
        }
    }
    let survey = survey(&ours.path, opened.as_ref(), &tracked, bounds);
    found.unknown.extend(survey.troubles.iter().chain(&survey.unseen).cloned());
    let complete = survey.troubles.is_empty() && survey.unseen.is_empty();
    found.bytes = complete.then_some(survey.bytes);
    found.links_out = Listed::of(survey.links_out.iter().cloned());
    let ignored: Vec<String> = survey.ignored_at_most_once().iter().map(|p| shown(p)).collect();
    found.ignored_own = Listed::of(ignored.iter().filter(|path| !is_made_again(path)).cloned());
    found.ignored = Listed::of(ignored);
    let own_mark = |path: &[u8]| ours.git.is_none() && path == PLAIN_FILE.as_bytes();
    // Without an index it is not known what is tracked.
    if indexed || ours.git.is_none() {
        let new = survey.items.iter().filter(|i| i.class == Class::Untracked && !own_mark(&i.path));
        let mut new: Vec<&[u8]> = new.map(|i| i.path.as_slice()).collect();
        new.extend(survey.special.iter().map(|(path, _)| path.as_slice()));
        new.sort_unstable();
        found.untracked = Listed::of(new.into_iter().map(shown));
    }
    found.unknown.extend(unreadable(ours, &survey));
    let mut budget = ask.limits.repositories;
    look_at_nested(ask, ours, &survey, until, &mut budget, found);
    if let (Some(mut repo), Some(layout)) = (opened, &ours.git) {
        look_at_submodules(ask, ours, (&survey, &tracked), until, &mut budget, found);
        look_at_git(ask, ours, &mut repo, layout, found);
        if !indexed || !complete {
            found.unknown.push("changes of tracked files".to_owned());
        } else {
            match repository::changes(&repo, &tracked, &survey) {
                Ok((changed, conflicted)) => (found.changed, found.conflicted) = (changed, conflicted),
                Err(e) => found.unknown.push(format!("changes of tracked files: {}", e.message())),
            }
        }
    }
    let open = open_files::look(&ours.path, ask.limits.descriptors, until.max(Instant::now() + OPEN_FILES_TIME));
    found.open = open.listed;
    found.unknown.extend(open.unknown);
    survey
}

/// Files that this user may not read: no snapshot can be made with them.
fn unreadable(ours: &Ours, survey: &Survey) -> Option<String> {
    // What everybody may read needs no question.
    let doubtful = survey.items.iter().filter(|i| ours.git.is_some() && !i.link && i.stat.st_mode & 0o444 != 0o444);
    let is_closed = |path: &Path| matches!(access(path, Access::READ_OK), Err(Errno::ACCESS | Errno::PERM));
    let closed = doubtful.filter(|i| is_closed(&ours.path.join(OsStr::from_bytes(&i.path))));
    let closed = Listed::of(closed.map(|i| shown(&i.path)));
    let words = match closed.count {
        0 => return None,
        1 => "1 file cannot be read".to_owned(),
        n => format!("{n} files cannot be read"),
    };
    Some(format!("{words}, so no snapshot can be made: {}", closed.names.join(", ")))
}

/// Looking at open files gets this much, however long the rest took.
const OPEN_FILES_TIME: Duration = Duration::from_secs(2);

fn look_at_nested(ask: &LookAsk, ours: &Ours, survey: &Survey, until: Instant, budget: &mut usize, found: &mut Found) {
    for path in &survey.nested {
        let name = shown(path);
        if *budget == 0 || Instant::now() > until {
            found.unknown.push(format!("{name} and repositories after it: there are too many to look at"));
            found.nested.count += 1;
            continue;
        }
        *budget -= 1;
        match inside::look(&ours.path.join(OsStr::from_bytes(path)), ask.limits.commits) {
            Ok(alone) => found.nested.add(format!("{name}: {}", alone.text())),
            Err(e) => {
                found.nested.add(format!("{name}: cannot be looked at"));
                found.unknown.push(format!("repository {name}: {e}"));
            }
        }
    }
}

fn look_at_submodules(
    ask: &LookAsk,
    ours: &Ours,
    (survey, tracked): (&Survey, &Tracked),
    until: Instant,
    budget: &mut usize,
    found: &mut Found,
) {
    for path in &survey.submodules {
        let name = shown(path);
        if *budget == 0 || Instant::now() > until {
            found.unknown.push(format!("{name} and submodules after it: there are too many to look at"));
            break;
        }
        *budget -= 1;
        match inside::look(&ours.path.join(OsStr::from_bytes(path)), ask.limits.commits) {
            Ok(alone) => {
                let moved = tracked.plain(path).is_some_and(|entry| Some(entry.id) != alone.head);
                let text = match (moved, alone.is_none()) {
                    (false, true) => continue,
                    (true, true) => "at another commit".to_owned(),
                    (true, false) => format!("at another commit, {}", alone.text()),
                    (false, false) => alone.text(),
                };
                found.submodules.add(format!("{name}: {text}"));
            }
            Err(e) => {
                found.submodules.add(format!("{name}: cannot be looked at"));
                found.unknown.push(format!("submodule {name}: {e}"));
            }
        }
    }
}

fn look_at_git(ask: &LookAsk, ours: &Ours, repo: &mut Repository, layout: &Layout, found: &mut Found) {
    let mut unknown = |what: &str, e: git2::Error| found.unknown.push(format!("{what}: {}", e.message()));
    found.under_way = repository::under_way(repo).map(str::to_owned);
    let head = match repository::head(repo) {
        Ok((head, branch)) => {
            found.head = head.map(|h| h.to_string());
            found.branch = branch;
            head
        }
        Err(e) => return unknown("HEAD, and so every commit", e),
    };
    match repository::stashes(repo, found.branch.as_deref()) {
        Ok(stashed) => found.stashed = stashed,
        Err(e) => unknown("stashes", e),
    }
    let common = match opening::open(&layout.common_dir) {
        Ok(common) => common,
        Err(e) => return unknown("unpushed and unmerged commits", e),
    };
    let base = ask.base.as_deref().and_then(|name| commits::base(&common, name));
    let most = ask.limits.commits;
    if let Some(head) = head {
        match unpushed(repo, head, base, most) {
            Ok(commits) => {
                if !commits.complete {
                    found.unknown.push(format!("unpushed commits beyond {most}"));
                }
                found.unpushed = commits.listed;
            }
            Err(e) => unknown("unpushed commits", e),
        }
    }
    if let (Some(head), Some(base)) = (head, base) {
        match commits::only_in(repo, &[head], &[base], most) {
            Ok(commits) => {
                if !commits.complete {
                    found.unknown.push(format!("unmerged commits beyond {most}"));
                }
                found.unmerged = Some(commits.listed);
            }
            Err(e) => found.unknown.push(format!("unmerged commits: {}", e.message())),
        }
    }
    // While git is in the middle of something, HEAD is off the branch that this is about.
    let branch = found.branch.clone().or_else(|| ours.mark.branch.clone());
    if let Some(branch) = branch {
        match is_merged(&common, &branch, base.as_slice()) {
            Ok(merged) => found.branch_merged = Some(merged),
            // It has no commit yet, or is gone.
            Err(e) if e.code() == git2::ErrorCode::NotFound => {}
            Err(e) => found.unknown.push(format!("whether {branch} is merged: {}", e.message())),
        }
    }
}

fn unpushed(repo: &Repository, head: Oid, base: Option<Oid>, most: usize) -> Result<commits::Commits, git2::Error> {
    match commits::on_remotes(repo)? {
        Some(remotes) => commits::only_in(repo, &[head], &remotes, most),
        None => commits::only_in(repo, &[head], base.as_slice(), most),
    }
}

/// Over all that was judged, and over size and time of every file that git does not ignore: an edit between the look
/// and the decision shows, also where it changes no list. The size of the whole is not judged.
fn fingerprint(found: &Found, survey: Option<&Survey>) -> String {
    let mut hash = Sha256::new();
    let judged = Found { bytes: None, fingerprint: String::new(), ..found.clone() };
    hash.update(serde_json::to_vec(&judged).unwrap_or_default());
    for item in survey.iter().flat_map(|s| &s.items) {
        hash.update(&item.path);
        let s = &item.stat;
        hash.update(format!("\0{:o} {} {}.{} {}\0", s.st_mode, s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ino));
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

//! A workspace for lists and for the reaper: how large, how old, how dirty, how far from its base, whose.

use std::path::{Path, PathBuf};
use std::time::Instant;

use git2::{Oid, Repository};
use serde::{Deserialize, Serialize};
use wharf_model::rules::close_check::Place;
use wharf_model::{ProjectId, UnixMillis, WorkspaceId};

use super::close::{Limits, commits, place, repository};
use super::mark::{self, WORKTREE_FILE};
use super::opening;
use super::survey::{Bounds, Class, Tracked, survey};

/// Which directory.
#[derive(Debug, Clone)]
pub struct StockAsk {
    /// The project that the row says it was made for.
    pub project: ProjectId,
    /// The workspace that the row says it was made for.
    pub workspace: WorkspaceId,
    /// Root of the worktree, or of the plain directory.
    pub path: PathBuf,
    /// What the work is measured against.
    pub base: Option<String>,
    /// Directories that must never be removed: the checkout of every project.
    pub never: Vec<PathBuf>,
    /// Bounds.
    pub limits: Limits,
}

/// A directory in numbers. `None` is unknown, never zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Whether it is there and ours.
    pub place: Place,
    /// Whose mark it carries.
    pub owner: Option<WorkspaceId>,
    /// Branch that is checked out.
    pub branch: Option<String>,
    /// Commit that HEAD is at.
    pub head: Option<String>,
    /// Bytes on the disk, ignored files included.
    pub bytes: Option<u64>,
    /// Newest change of any file in it, or of its HEAD.
    pub last_change: Option<UnixMillis>,
    /// Tracked paths that differ from HEAD.
    pub changed: Option<u64>,
    /// Paths that git does not know and does not ignore.
    pub untracked: Option<u64>,
    /// Commits of HEAD that the base lacks.
    pub ahead: Option<u64>,
    /// Commits of the base that HEAD lacks.
    pub behind: Option<u64>,
    /// Whether everything of HEAD is in the base.
    pub merged: Option<bool>,
    /// What could not be looked at, in words.
    pub unknown: Vec<String>,
}

/// Takes stock of one directory. Never fails. Blocks the thread, so not for async tasks.
pub fn stock(ask: &StockAsk) -> Stock {
    let mut stock = Stock {
        place: Place::Ours,
        owner: None,
        branch: None,
        head: None,
        bytes: None,
        last_change: None,
        changed: None,
        untracked: None,
        ahead: None,
        behind: None,
        merged: None,
        unknown: Vec::new(),
    };
    let ours = match place::judge(&ask.path, ask.project, ask.workspace, &ask.never) {
        Ok(ours) => ours,
        Err(place) => {
            stock.place = *place;
            stock.owner = owner(&ask.path);
            return stock;
        }
    };
    stock.owner = Some(ours.mark.workspace);
    let until = Instant::now() + ask.limits.time;
    let mut repo = None;
    if ours.git.is_some() {
        match opening::open_here(&ours.path) {
            Ok(opened) => repo = Some(opened),
            Err(e) => stock.unknown.push(format!("the repository: {}", opening::said(&e))),
        }
    }
    let tracked = repo.as_ref().map(|repo| Tracked::read(repo, ask.limits.entries));
    let tracked = tracked.transpose().unwrap_or_else(|e| {
        stock.unknown.push(e.to_string());
        None
    });
    let known = tracked.is_some();
    let tracked = tracked.unwrap_or_default();
    let found = survey(&ours.path, repo.as_ref(), &tracked, Bounds { entries: ask.limits.entries, until });
    let complete = found.troubles.is_empty() && found.unseen.is_empty();
    stock.unknown.extend(found.troubles.iter().chain(&found.unseen).cloned());
    stock.bytes = complete.then_some(found.bytes);
    stock.last_change = found.newest.map(UnixMillis);
    let new = found.items.iter().filter(|i| i.class == Class::Untracked && i.path != mark::PLAIN_FILE.as_bytes());
    stock.untracked = (complete && (known || ours.git.is_none())).then(|| new.count() as u64);
    if let (Some(repo), Some(layout)) = (&repo, &ours.git) {
        if known && complete {
            match repository::changes(repo, &tracked, &found) {
                Ok((changed, _)) => stock.changed = Some(changed.count),
                Err(e) => stock.unknown.push(format!("changes of tracked files: {}", e.message())),
            }
        }
        if let Err(e) = distances(ask, repo, &layout.common_dir, &mut stock) {
            stock.unknown.push(format!("commits: {}", e.message()));
        }
    }
    stock
}

/// HEAD, and how far it is from the base.
fn distances(ask: &StockAsk, repo: &Repository, common_dir: &Path, stock: &mut Stock) -> Result<(), git2::Error> {
    let (head, branch) = repository::head(repo)?;
    stock.branch = branch;
    stock.head = head.map(|h| h.to_string());
    let Some(head) = head else { return Ok(()) };
    let time = repo.find_commit(head)?.time().seconds().saturating_mul(1000);
    stock.last_change = stock.last_change.max(Some(UnixMillis(time)));
    let common = opening::open(common_dir)?;
    let Some(base) = ask.base.as_deref().and_then(|name| commits::base(&common, name)) else { return Ok(()) };
    let count = |tip: Oid, without: Oid| -> Result<Option<u64>, git2::Error> {
        let counted = commits::only_in(repo, &[tip], &[without], ask.limits.commits)?;
        Ok(counted.complete.then_some(counted.listed.count))
    };
    stock.ahead = count(head, base)?;
    stock.behind = count(base, head)?;
    stock.merged = Some(head == base || common.graph_descendant_of(base, head)?);
    Ok(())
}

/// Whose mark a directory carries, whatever else it is.
fn owner(path: &Path) -> Option<WorkspaceId> {
    let worktree = opening::open_here(path).ok();
    let file = match worktree.filter(Repository::is_worktree) {
        Some(repo) => repo.path().join(WORKTREE_FILE),
        None => mark::plain_file(path),
    };
    mark::read(&file).ok().flatten().map(|mark| mark.workspace)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use uuid::Uuid;

    use super::super::scratch::Scratch;
    use super::*;

    fn ask(s: &Scratch, path: &Path) -> StockAsk {
        StockAsk {
            project: s.project,
            workspace: s.workspace,
            path: path.to_owned(),
            base: Some("main".into()),
            never: vec![s.repo.clone()],
            limits: Limits::default(),
        }
    }

    #[test]
    fn a_worktree_in_numbers() {
        let s = Scratch::new();
        let made = s.realise(&s.wanted("b"));
        let clean = stock(&ask(&s, &made.path));
        assert_eq!((&clean.place, clean.owner), (&Place::Ours, Some(s.workspace)));
        assert_eq!((clean.changed, clean.untracked, clean.ahead, clean.behind), (Some(0), Some(0), Some(0), Some(0)));
        assert_eq!((clean.merged, clean.unknown.len()), (Some(true), 0));
        fs::write(made.path.join("new"), "12345").unwrap();
        fs::write(made.path.join("a.txt"), "changed").unwrap();
        s.git(&made.path, &["commit", "-q", "--allow-empty", "-m", "ahead"]);
        for n in ["1", "2"] {
            s.git(&s.repo, &["commit", "-q", "--allow-empty", "-m", n]);
        }
        let dirty = stock(&ask(&s, &made.path));
        assert_eq!((dirty.changed, dirty.untracked, dirty.ahead, dirty.behind), (Some(1), Some(1), Some(1), Some(2)));
        assert_eq!((dirty.merged, dirty.branch.as_deref()), (Some(false), Some("b")));
        assert_eq!(dirty.bytes, Some(clean.bytes.unwrap() + 5 + 5));
        assert!(dirty.last_change >= clean.last_change && dirty.last_change.is_some());
    }

    #[test]
    fn what_is_unknown_is_no_zero() {
        let s = Scratch::new();
        let made = s.realise(&s.wanted("b"));
        let few = Limits { entries: 1, ..Limits::default() };
        let bounded = stock(&StockAsk { limits: few, ..ask(&s, &made.path) });
        assert_eq!((bounded.bytes, bounded.changed, bounded.untracked), (None, None, None));
        assert!(!bounded.unknown.is_empty());
        let no_base = stock(&StockAsk { base: Some("nowhere".into()), ..ask(&s, &made.path) });
        assert_eq!((no_base.ahead, no_base.behind, no_base.merged), (None, None, None));
        let other = stock(&StockAsk { workspace: WorkspaceId(Uuid::now_v7()), ..ask(&s, &made.path) });
        assert!(matches!(other.place, Place::NotOurs(_)));
        assert_eq!((other.owner, other.bytes), (Some(s.workspace), None));
        assert_eq!(stock(&ask(&s, &s.root.join("gone"))).place, Place::Gone);
    }
}

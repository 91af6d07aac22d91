//! How a checkout stands: changes, untracked files, distance from its base.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use git2::{Oid, Repository, Status, StatusOptions, StatusShow};

use super::survey::SKIP_WORKTREE;
use super::{WorkspaceError, inspect, opening};

/// Most commits that are counted on either side; more are shown as "at least".
pub const MAX_DISTANCE: usize = 10_000;
/// Most changed paths that are listed by name.
pub const MAX_LISTED: usize = 100;

/// A count that may have been cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded {
    /// What was counted.
    pub count: usize,
    /// False when there are more.
    pub complete: bool,
}

/// The state of a checkout at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutFacts {
    /// HEAD's commit; `None` before the first one.
    pub head: Option<String>,
    /// HEAD's branch.
    pub branch: Option<String>,
    /// Tracked paths that differ from HEAD, staged or not, conflicts included.
    pub changed: usize,
    /// Paths git does not know and does not ignore; a whole new directory counts once.
    pub untracked: usize,
    /// Paths with conflicts.
    pub conflicted: usize,
    /// The first of these paths, at most [`MAX_LISTED`].
    pub listed: Vec<String>,
    /// Commits of HEAD the base lacks; `None` when no base was given.
    pub ahead: Option<Bounded>,
    /// Commits of the base HEAD lacks.
    pub behind: Option<Bounded>,
}

impl CheckoutFacts {
    /// Whether removing the checkout would lose something no commit holds.
    pub fn is_dirty(&self) -> bool {
        self.changed > 0 || self.untracked > 0
    }
}

/// Reads the state of the checkout that `path` lies in; `base` is a commit id or the name of a ref.
/// Submodules are left out, and renames count as two changes.
pub fn observe(path: &Path, base: Option<&str>) -> Result<CheckoutFacts, WorkspaceError> {
    let git = inspect::open_above(path)?;
    let fail = |what| WorkspaceError::git(what, path);
    let head = git.head().ok();
    let commit = head.as_ref().and_then(|h| h.peel_to_commit().ok()).map(|c| c.id());
    let branch =
        head.as_ref().and_then(|h| h.name().ok()).and_then(|n| n.strip_prefix("refs/heads/")).map(str::to_owned);

    let index = opening::index(&git)?;
    let mut options = StatusOptions::new();
    options
        .show(StatusShow::IndexAndWorkdir)
        .include_untracked(true)
        .recurse_untracked_dirs(false)
        .include_ignored(false)
        .exclude_submodules(true)
        .update_index(false);
    let statuses = git.statuses(Some(&mut options)).map_err(fail("read the status"))?;
    let mut facts = CheckoutFacts {
        head: commit.map(|c| c.to_string()),
        branch,
        changed: 0,
        untracked: 0,
        conflicted: 0,
        listed: Vec::new(),
        ahead: None,
        behind: None,
    };
    let left_out = |path: &[u8]| {
        let entry = index.get_path(Path::new(OsStr::from_bytes(path)), 0);
        entry.is_some_and(|e| e.flags_extended & SKIP_WORKTREE != 0)
    };
    for entry in statuses.iter() {
        let status = entry.status();
        // What a sparse checkout leaves out is not there, and not deleted.
        if status == Status::WT_DELETED && left_out(entry.path_bytes()) {
            continue;
        }
        if status == Status::WT_NEW {
            facts.untracked += 1;
        } else {
            facts.changed += 1;
            facts.conflicted += usize::from(status.is_conflicted());
        }
        if facts.listed.len() < MAX_LISTED {
            facts.listed.push(String::from_utf8_lossy(entry.path_bytes()).into_owned());
        }
    }
    if let (Some(base), Some(head)) = (base, commit) {
        let all = inspect::history(&git).map_err(fail("open the repository"))?;
        // HEAD as a base is that of the main checkout.
        let object = all.revparse_single(base).and_then(|o| o.peel_to_commit());
        let base = object.map_err(fail("find the base commit"))?.id();
        facts.ahead = Some(distance(&all, head, base).map_err(fail("count commits"))?);
        facts.behind = Some(distance(&all, base, head).map_err(fail("count commits"))?);
    }
    Ok(facts)
}

fn distance(git: &Repository, tip: Oid, without: Oid) -> Result<Bounded, git2::Error> {
    if tip == without {
        return Ok(Bounded { count: 0, complete: true });
    }
    let mut walk = git.revwalk()?;
    walk.push(tip)?;
    walk.hide(without)?;
    let mut count = 0;
    for commit in walk.take(MAX_DISTANCE + 1) {
        commit?;
        count += 1;
    }
    Ok(Bounded { count: count.min(MAX_DISTANCE), complete: count <= MAX_DISTANCE })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::scratch::Scratch;

    #[test]
    fn what_a_sparse_checkout_leaves_out_is_no_change() {
        let s = Scratch::new();
        for dir in ["in", "out"] {
            std::fs::create_dir(s.repo.join(dir)).unwrap();
            std::fs::write(s.repo.join(dir).join("f"), dir).unwrap();
        }
        s.git(&s.repo, &["add", "-A"]);
        s.git(&s.repo, &["commit", "-q", "-m", "two"]);
        s.git(&s.repo, &["sparse-checkout", "set", "in"]);
        assert!(!s.repo.join("out/f").exists());
        assert_eq!(observe(&s.repo, None).unwrap().changed, 0);
        std::fs::remove_file(s.repo.join("in/f")).unwrap();
        assert_eq!(observe(&s.repo, None).unwrap().listed, ["in/f"]);
    }

    #[test]
    fn a_worktree_of_a_shallow_clone_is_counted_from_where_the_clone_was_cut() {
        let s = Scratch::new();
        for n in 0..3 {
            std::fs::write(s.repo.join("n"), n.to_string()).unwrap();
            s.git(&s.repo, &["add", "-A"]);
            s.git(&s.repo, &["commit", "-q", "-m", "more"]);
        }
        let url = format!("file://{}", s.repo.display());
        s.git(&s.root, &["clone", "-q", "--depth", "1", &url, "cut"]);
        let (cut, tree) = (s.root.join("cut"), s.root.join("tree"));
        s.git(&cut, &["worktree", "add", "-q", "-b", "b", tree.to_str().unwrap()]);
        std::fs::write(tree.join("n"), "mine").unwrap();
        s.git(&tree, &["commit", "-q", "-a", "-m", "mine"]);
        let facts = observe(&tree, Some("HEAD")).unwrap();
        let counted = |count| Some(Bounded { count, complete: true });
        assert_eq!((facts.ahead, facts.behind), (counted(1), counted(0)), "HEAD as a base is the main checkout's");
        s.git(&cut, &["commit", "-q", "--allow-empty", "-m", "on"]);
        assert_eq!(observe(&tree, Some("HEAD")).unwrap().behind, counted(1));
    }
}

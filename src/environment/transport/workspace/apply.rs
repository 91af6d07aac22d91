//! Changing the local checkout by what came back: all of it, or nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::local::LocalGit;
use super::merge::{self, Merged};
use super::snapshot;
use crate::environment::transport::Trouble;
use crate::workspace::lock::WorktreeLock;

/// Time that another change of the same repository may take.
const LOCK_LIMIT: Duration = Duration::from_mins(1);

/// What came back, and what it began with.
#[derive(Debug, Clone)]
pub(super) struct Results<'a> {
    /// Commit of the state that was sent.
    pub sent: &'a str,
    /// Commit of the state that came back.
    pub came: &'a str,
    /// Its head; none where nothing was ever committed.
    pub head: Option<&'a str>,
    /// Branch of the checkout; none when its head is detached.
    pub branch: Option<&'a str>,
    /// The directory has no history: every file of it counts.
    pub plain: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is here; how many files of the working tree were changed.
    Done(usize),
    /// Nothing was changed, and why.
    Kept(String),
}

/// Takes the repository's lock, off the async threads.
pub(super) async fn lock(common_dir: &Path, holder: String) -> Result<WorktreeLock, Trouble> {
    let dir = common_dir.to_owned();
    tokio::task::spawn_blocking(move || WorktreeLock::acquire(&dir, LOCK_LIMIT, &holder))
        .await
        .map_err(|e| Trouble::Unknown(e.to_string()))?
        .map_err(|e| Trouble::Unknown(e.to_string()))
}

/// Applies it. Repeated after a crash at any point it goes on where it was: files first, then the index, then the
/// branch.
pub(super) async fn apply(git: &LocalGit, scratch: &Path, result: &Results<'_>) -> Result<Applied, Trouble> {
    let ours = snapshot::take(git, scratch, result.plain).await?;
    let head = ours.head.as_deref();
    if !result.plain
        && let Some(why) = moved_away(git, result.branch).await?
    {
        return Ok(Applied::Kept(why));
    }
    let to = match (head, result.head) {
        (Some(here), None) => return Ok(Applied::Kept(format!("it has no commit, and here is {here}"))),
        (None, to) => to,
        (Some(here), Some(there)) if git.is_ancestor(there, here).await? => None,
        (Some(here), Some(there)) if git.is_ancestor(here, there).await? => Some(there),
        (Some(here), Some(there)) => {
            return Ok(Applied::Kept(format!("both sides have commits of their own: {here} here, {there} there")));
        }
    };
    let empty = git.run(&["hash-object", "-t", "tree", "--stdin"]).await?.text();
    let from = head.unwrap_or(&empty);
    if let Some(to) = to {
        // What is staged here must not stand in the way.
        let args = ["read-tree", "-n", "-i", "-m", from, to];
        let tried = git.ask(&args, b"").await?;
        if tried.passes() {
            return Err(git.trouble(&args, &tried));
        }
        if tried.code != 0 {
            return Ok(Applied::Kept("staged changes here are to files that were committed there".into()));
        }
    }
    let tree = |commit: &str| format!("{commit}^{{tree}}");
    let (began, came) = (git.run(&["rev-parse", &tree(result.sent)]).await?.text(), tree(result.came));
    let came = git.run(&["rev-parse", &came]).await?.text();
    let merged = match merge::trees(git, scratch, &began, &ours.tree, &came).await? {
        Merged::Tree(merged) => merged,
        Merged::Conflict(names) => {
            return Ok(Applied::Kept(format!("both sides changed {}", names.join(", "))));
        }
    };
    let mut files = 0;
    if merged != ours.tree {
        let own = git.with_index(&ours.index);
        if let Some(path) = in_the_way(git, &ours.tree, &merged).await? {
            return Ok(Applied::Kept(format!("{} is here and is not tracked", path.display())));
        }
        files = git.run(&["diff-tree", "-r", "-z", "--name-only", &ours.tree, &merged]).await?.names().len();
        // git looks at everything before it writes anything: a file that changed since is left alone.
        let args = ["read-tree", "-m", "-u", &ours.tree, &merged];
        let written = own.ask(&args, b"").await?;
        if written.passes() {
            return Err(own.trouble(&args, &written));
        }
        if written.code != 0 {
            let why = written.err.lines().next().unwrap_or_default().to_owned();
            return Ok(Applied::Kept(format!("files here changed meanwhile: {why}")));
        }
    }
    if let Some(to) = to {
        git.run(&["read-tree", "-i", "-m", from, to]).await?;
        // It says with its code that files differ, which they may.
        let _differs = git.ask(&["update-index", "-q", "--refresh"], b"").await?;
        let name = result.branch.map_or_else(|| "HEAD".to_owned(), |branch| format!("refs/heads/{branch}"));
        let mut args = vec!["update-ref", "-m", "wharf: results brought back"];
        if result.branch.is_none() {
            args.push("--no-deref");
        }
        let none = "0".repeat(to.len());
        args.extend([name.as_str(), to, head.unwrap_or(&none)]);
        git.run(&args).await?;
    }
    Ok(Applied::Done(files))
}

/// Whether the checkout is on another branch now, in words.
async fn moved_away(git: &LocalGit, branch: Option<&str>) -> Result<Option<String>, Trouble> {
    let said = git.ask(&["symbolic-ref", "-q", "HEAD"], b"").await?;
    let now = said.text().strip_prefix("refs/heads/").map(str::to_owned).filter(|_| said.code == 0);
    Ok((now.as_deref() != branch).then(|| {
        let name = |branch: Option<&str>| branch.map_or_else(|| "no branch".to_owned(), str::to_owned);
        format!("the checkout is on {} now and was on {}", name(now.as_deref()), name(branch))
    }))
}

/// A file that a change of trees would add where something lies already that git does not know.
async fn in_the_way(git: &LocalGit, from: &str, to: &str) -> Result<Option<PathBuf>, Trouble> {
    let changed = |filter: &'static str| git_diff(git, from, to, filter);
    let gone: BTreeSet<PathBuf> = changed("D").await?.into_iter().collect();
    for path in changed("A").await? {
        match std::fs::symlink_metadata(git.root().join(&path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // A part of its path is a file; one that goes with the same change makes room.
            Err(_) if path.ancestors().any(|part| gone.contains(part)) => {}
            // An empty one is no one's: a repository of its own that came back before leaves one.
            Ok(meta) if meta.is_dir() && is_empty(&git.root().join(&path)) => {}
            // A directory whose files go makes room as well.
            Ok(meta) if meta.is_dir() && gone.iter().any(|file| file.starts_with(&path)) => {}
            _ => return Ok(Some(path)),
        }
    }
    Ok(None)
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

async fn git_diff(git: &LocalGit, from: &str, to: &str, filter: &str) -> Result<Vec<PathBuf>, Trouble> {
    let filter = format!("--diff-filter={filter}");
    Ok(git.run(&["diff-tree", "-r", "-z", "--name-only", "--no-renames", &filter, from, to]).await?.names())
}

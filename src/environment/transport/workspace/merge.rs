//! What was sent, what is here now and what came back, made one; nothing is written to the working tree.

use std::path::Path;

use super::local::LocalGit;
use crate::environment::transport::Trouble;

/// What came of a merge of three trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Merged {
    /// One tree that has the changes of both sides.
    Tree(String),
    /// Both sides changed these; at most a few are named.
    Conflict(Vec<String>),
}

/// Names of conflicting files that are told.
const NAMED: usize = 8;

/// Merges trees: what both began with, ours, theirs. The index lies in `scratch`.
pub(super) async fn trees(
    git: &LocalGit,
    scratch: &Path,
    began: &str,
    ours: &str,
    theirs: &str,
) -> Result<Merged, Trouble> {
    if theirs == began || theirs == ours {
        return Ok(Merged::Tree(ours.to_owned()));
    }
    if ours == began {
        return Ok(Merged::Tree(theirs.to_owned()));
    }
    let own = git.with_index(&scratch.join("merge-index"));
    own.run(&["read-tree", "-i", "-m", "--aggressive", began, ours, theirs]).await?;
    let unmerged = own.run(&["ls-files", "-u", "-z"]).await?;
    if unmerged.out.is_empty() {
        return Ok(Merged::Tree(own.run(&["write-tree"]).await?.text()));
    }
    // The same files on both sides: their lines may go together. Commits, since git looks for what both began with.
    let parent = git.run(&["commit-tree", began, "-m", "wharf: sent"]).await?.text();
    let side = async |tree: &str| -> Result<String, Trouble> {
        Ok(git.run(&["commit-tree", tree, "-p", &parent, "-m", "wharf: side"]).await?.text())
    };
    let (ours, theirs) = (side(ours).await?, side(theirs).await?);
    let lines = git.ask(&["merge-tree", "--write-tree", &ours, &theirs], b"").await?;
    if lines.code == 0 {
        return Ok(Merged::Tree(lines.text().lines().next().unwrap_or_default().to_owned()));
    }
    let mut names: Vec<String> = unmerged
        .out
        .split(|b| *b == 0)
        .filter_map(|entry| String::from_utf8_lossy(entry).split_once('\t').map(|(_, name)| name.to_owned()))
        .collect();
    names.dedup();
    names.truncate(NAMED);
    Ok(Merged::Conflict(names))
}

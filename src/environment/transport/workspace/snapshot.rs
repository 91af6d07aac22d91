//! The state of a working tree as a commit, without touching its index.

use std::path::{Path, PathBuf};

use super::local::LocalGit;
use crate::environment::transport::Trouble;

/// A working tree as it was.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Commit of all of it; its parent is the head. The same state gives the same commit.
    pub commit: String,
    /// Its tree.
    pub tree: String,
    /// Head of the checkout.
    pub head: Option<String>,
    /// The index it was made with: it knows the files of the working tree as they were.
    pub index: PathBuf,
}

/// Takes one. Ignored files are left out unless they are tracked; `all` takes them in. The index lies in `scratch`.
pub(super) async fn take(git: &LocalGit, scratch: &Path, all: bool) -> Result<Snapshot, Trouble> {
    let index = scratch.join("index");
    // Of an earlier one in the same place.
    let _none = std::fs::remove_file(&index);
    if !all {
        let real = git.run(&["rev-parse", "--git-path", "index"]).await?.text();
        match std::fs::copy(git.root().join(real), &index) {
            Ok(_) => {}
            // Nothing was ever added.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Trouble::Unknown(format!("the index of {}: {error}", git.root().display())));
            }
        }
    }
    let head = if all { None } else { git.commit("HEAD").await? };
    let own = git.with_index(&index);
    own.run(if all { &["add", "-A", "-f", "--", "."] } else { &["add", "-A"] }).await?;
    let tree = own.run(&["write-tree"]).await?.text();
    let mut args = vec!["commit-tree", tree.as_str()];
    if let Some(head) = &head {
        args.extend(["-p", head]);
    }
    args.extend(["-m", "wharf: working tree"]);
    let commit = own.run(&args).await?.text();
    Ok(Snapshot { commit, tree, head, index })
}

/// Repositories inside of a tree, whose files no commit of it holds.
pub(super) async fn nested(git: &LocalGit, commit: &str) -> Result<Vec<String>, Trouble> {
    let listed = git.run(&["ls-tree", "-r", "-z", commit]).await?;
    Ok(listed
        .out
        .split(|b| *b == 0)
        .filter(|entry| entry.starts_with(b"160000 "))
        .map(|entry| String::from_utf8_lossy(entry).split('\t').nth(1).unwrap_or_default().to_owned())
        .collect())
}

/// Names of a list for people, not more of them than can be read.
pub(super) fn few(names: &[String]) -> String {
    const MOST: usize = 8;
    let more = names.len().saturating_sub(MOST);
    let said = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { said } else { format!("{said} and {more} more") }
}

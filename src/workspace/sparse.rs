//! Which part of the tree a checkout has: kept with a snapshot, told to git again where it becomes a new worktree.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use git2::Repository;

use super::git_run;
use super::keep_error::KeepError;
use super::worktree::Git;

/// First lines of what is kept: how git reads the patterns after it.
const CONE: &[u8] = b"cone\n";
const PATTERNS: &[u8] = b"patterns\n";

fn file(repo: &Repository) -> PathBuf {
    repo.path().join("info/sparse-checkout")
}

/// What git was told; nothing for a checkout of the whole tree.
pub(super) fn told(repo: &Repository) -> Result<Vec<u8>, KeepError> {
    let config = repo.config().map_err(KeepError::git("read the config", repo.path()))?;
    if !config.get_bool("core.sparseCheckout").unwrap_or(false) {
        return Ok(Vec::new());
    }
    let path = file(repo);
    match fs::read(&path) {
        Ok(patterns) => {
            let cone = config.get_bool("core.sparseCheckoutCone").unwrap_or(false);
            Ok([if cone { CONE } else { PATTERNS }, &patterns].concat())
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(KeepError::io("read", &path)(e)),
    }
}

/// Tells git the same of a new worktree, whose index may have no entry yet. Can be repeated.
pub(super) fn tell(repo: &Repository, at: &Path, kept: &[u8], git: &Git) -> Result<(), KeepError> {
    let (cone, patterns) = match (kept.strip_prefix(CONE), kept.strip_prefix(PATTERNS)) {
        (Some(patterns), _) => (true, patterns),
        (None, Some(patterns)) => (false, patterns),
        (None, None) => return Ok(()),
    };
    if told(repo)? == kept {
        return Ok(());
    }
    let path = file(repo);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(KeepError::io("make", dir))?;
    }
    fs::write(&path, patterns).map_err(KeepError::io("write", &path))?;
    // What is there it takes for its own, and writes the settings of this worktree alone.
    git_run::run(&git.sparse(at, cone))
}

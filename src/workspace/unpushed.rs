//! How many commits of a checkout no remote has.

use std::path::Path;

use super::close::commits::{on_remotes, only_in};
use super::inspect;

/// Commits of HEAD that no branch of a remote has, at most `most`; none when there is no remote, or it cannot be told.
/// Blocks the thread, so not for async tasks.
pub fn unpushed(path: &Path, most: usize) -> Option<u64> {
    let repo = inspect::open_above(path).ok()?;
    let head = repo.head().ok()?.peel_to_commit().ok()?.id();
    let remotes = on_remotes(&repo).ok()??;
    Some(only_in(&repo, &[head], &remotes, most).ok()?.listed.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::scratch::*;

    #[test]
    fn without_a_remote_nothing_is_unpushed_and_with_one_what_it_lacks() {
        let scratch = Scratch::new();
        let repo = scratch.repo.as_path();
        assert_eq!(unpushed(repo, 100), None);
        assert_eq!(unpushed(&scratch.root, 100), None, "no repository");
        let remote = scratch.root.join("remote").display().to_string();
        scratch.git(&scratch.root, &["clone", "-q", "--bare", &repo.display().to_string(), &remote]);
        scratch.git(repo, &["remote", "add", "origin", &remote]);
        scratch.git(repo, &["fetch", "-q", "origin"]);
        assert_eq!(unpushed(repo, 100), Some(0));
        for name in ["one", "two", "three"] {
            std::fs::write(repo.join(name), name).unwrap();
            scratch.git(repo, &["add", "."]);
            scratch.git(repo, &["commit", "-q", "-m", name]);
        }
        assert_eq!(unpushed(repo, 100), Some(3));
        assert_eq!(unpushed(repo, 2), Some(2), "no more are counted");
    }
}

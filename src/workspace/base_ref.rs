//! What a new branch starts from.

use git2::{ErrorCode, Repository};

use super::WorkspaceError;
use super::inspect::{self, RepositoryFacts};

/// The commit a new branch starts from, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseRef {
    /// As written or found: `main`, `origin/main`, `HEAD`.
    pub name: String,
    /// Commit id, 40 hex digits. Commands use this, so a ref that moves meanwhile changes nothing.
    pub commit: String,
    /// Which rule chose it.
    pub from: &'static str,
}

/// `base_ref` of the config.
pub const FROM_CONFIG: &str = "`base_ref` in [workspace] or of the issue";
/// The project's own ref.
pub const FROM_REPO_REF: &str = "the project's repository ref";

/// Chooses the base: the configured one, the project's ref, `origin/HEAD`, `origin/main`,
/// `origin/master`, HEAD. A ref somebody wrote must exist; only the found ones are tried in turn.
pub fn choose(
    repo: &RepositoryFacts,
    configured: Option<&str>,
    repo_ref: Option<&str>,
) -> Result<BaseRef, WorkspaceError> {
    let root = repo.top_level.as_deref().unwrap_or(&repo.common_dir);
    let git = inspect::open(root)?;
    for (written, from) in [(configured, FROM_CONFIG), (repo_ref, FROM_REPO_REF)] {
        if let Some(name) = written.map(str::trim).filter(|n| !n.is_empty()) {
            let commit = commit_of(&git, name).ok_or_else(|| WorkspaceError::UnknownBase {
                name: name.to_owned(),
                from,
                repo: root.to_owned(),
            })?;
            return Ok(BaseRef { name: name.to_owned(), commit, from });
        }
    }
    let found = [
        ("refs/remotes/origin/HEAD", "origin/HEAD", "the remote's default branch"),
        ("refs/remotes/origin/main", "origin/main", "the remote's main"),
        ("refs/remotes/origin/master", "origin/master", "the remote's master"),
        ("HEAD", "HEAD", "the checkout's HEAD"),
    ];
    for (reference, name, from) in found {
        match git.find_reference(reference).and_then(|r| r.peel_to_commit()) {
            Ok(commit) => return Ok(BaseRef { name: name.to_owned(), commit: commit.id().to_string(), from }),
            // Absent, or a symbolic ref to a branch that is gone.
            Err(e) if matches!(e.code(), ErrorCode::NotFound | ErrorCode::UnbornBranch) => {}
            Err(e) => return Err(WorkspaceError::git("read the base ref", root)(e)),
        }
    }
    Err(WorkspaceError::NoCommit { path: root.to_owned(), branch: repo.head.branch().unwrap_or("HEAD").to_owned() })
}

/// The commit a written name means. Search expressions (`:/text`, `@{…}`) are no names.
fn commit_of(git: &Repository, name: &str) -> Option<String> {
    if name.starts_with(['-', ':']) || name.contains(['{', '\0']) {
        return None;
    }
    let commit = git.revparse_single(name).ok()?.peel_to_commit().ok()?;
    Some(commit.id().to_string())
}

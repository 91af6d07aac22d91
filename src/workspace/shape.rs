//! What of a repository a new worktree does not bring by itself: submodules, large files kept elsewhere, a part of the
//! history or of the tree.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::WorkspaceError;
use super::inspect::{self, RepositoryFacts};
use super::opening;

/// Largest file of git's own settings in a tree that is read, in bytes.
const FILE_MAX_BYTES: usize = 1 << 20;

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Submodules that the commit names.
    pub submodules: usize,
    /// Files that are kept by git-lfs.
    pub lfs: bool,
    /// Only the last commits are here.
    pub shallow: bool,
    /// Only a part of the tree is checked out.
    pub sparse: bool,
}

/// Looks at a repository and a commit of it.
pub fn look(repo: &RepositoryFacts, commit: Option<&str>) -> Result<Shape, WorkspaceError> {
    let root = repo.top_level.as_deref().unwrap_or(&repo.common_dir);
    let git = inspect::open(root)?;
    let config = git.config().map_err(WorkspaceError::git("read the config", root))?;
    let mut shape = Shape {
        shallow: git.is_shallow(),
        sparse: config.get_bool("core.sparseCheckout").unwrap_or(false),
        ..Shape::default()
    };
    let tree = commit.and_then(|c| opening::id(c).ok()).and_then(|id| git.find_commit(id).ok()?.tree().ok());
    let Some(tree) = tree else { return Ok(shape) };
    let file = |name: &str| -> Option<String> {
        let blob = git.find_blob(tree.get_name(name)?.id()).ok().filter(|b| b.size() <= FILE_MAX_BYTES)?;
        Some(String::from_utf8_lossy(blob.content()).into_owned())
    };
    shape.submodules = file(".gitmodules").map_or(0, |text| text.matches("[submodule ").count());
    shape.lfs = file(".gitattributes").is_some_and(|text| text.contains("filter=lfs"));
    Ok(shape)
}

/// Whether `git-lfs` can be found where git looks for it.
pub fn has_lfs(operator: &BTreeMap<String, String>) -> bool {
    let beside_git = ["/usr/lib/git-core", "/usr/libexec/git-core"].map(PathBuf::from);
    let path = operator.get("PATH").map(String::as_str).unwrap_or_default();
    let runs = |dir: &Path| {
        let meta = dir.join("git-lfs").metadata();
        meta.is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    path.split(':')
        .filter(|d| d.starts_with('/'))
        .map(Path::new)
        .chain(beside_git.iter().map(PathBuf::as_path))
        .any(runs)
}

/// Words before git's command that leave the pointers of large files as they are: without `git-lfs` the checkout would
/// fail at the first of them.
pub fn without_lfs() -> impl Iterator<Item = OsString> {
    ["filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.clean=", "filter.lfs.required=false"]
        .into_iter()
        .flat_map(|setting| [OsString::from("-c"), setting.into()])
}

impl Shape {
    /// What a run will miss, each for people.
    pub fn remarks(&self, has_lfs: bool) -> Vec<String> {
        let mut out = Vec::new();
        if self.submodules > 0 {
            let words = if self.submodules == 1 { "its submodule is" } else { "its submodules are" };
            out.push(format!(
                "{words} not checked out ({}); `provision = \"git submodule update --init\"` in [workspace] does that",
                self.submodules
            ));
        }
        if self.lfs && !has_lfs {
            out.push("git-lfs is not installed, so large files are the pointers to them".to_owned());
        }
        if self.shallow {
            out.push("the repository is shallow: history ends early".to_owned());
        }
        if self.sparse {
            out.push("a sparse checkout, like the one it was made from".to_owned());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_name_what_is_missing() {
        assert!(Shape::default().remarks(true).is_empty());
        let all = Shape { submodules: 2, lfs: true, shallow: true, sparse: true };
        assert_eq!(all.remarks(false).len(), 4);
        assert_eq!(all.remarks(true).len(), 3);
        assert!(Shape { submodules: 1, ..Shape::default() }.remarks(true)[0].starts_with("its submodule is not"));
    }

    #[test]
    fn lfs_is_found_by_its_rights() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("git-lfs");
        std::fs::write(&program, "").unwrap();
        let path = BTreeMap::from([("PATH".to_owned(), format!("relative:{}", dir.path().display()))]);
        let elsewhere = has_lfs(&BTreeMap::new());
        assert_eq!(has_lfs(&path), elsewhere);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(has_lfs(&path));
    }
}

//! Which directory a project is rooted at, seen from somewhere inside it.

use std::path::{Path, PathBuf};

use super::PROJECT_FILE;
use crate::workspace::opening;

/// Most parents looked at; paths end at 4096 bytes, so none can have more.
const PARENTS_MAX: usize = 2048;

/// The root of a project and how it was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The directory; of a repository always the main checkout.
    pub root: PathBuf,
    /// Whether it holds a `wharf.toml`.
    pub has_config: bool,
    /// The repository it belongs to, if any.
    pub repository: Option<Repository>,
}

impl Found {
    /// Where the config is or would be.
    pub fn config_path(&self) -> PathBuf {
        self.root.join(PROJECT_FILE)
    }
}

/// A git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Top of the main checkout.
    pub top: PathBuf,
    /// What all its worktrees share.
    pub common_dir: PathBuf,
    /// Whether anything was ever committed on its current branch.
    pub has_commit: bool,
}

/// Why no project root could be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The directory cannot be entered.
    #[error("{} cannot be used as a directory: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A repository without a checkout.
    #[error("{} is a bare repository, in which nothing can work; use a clone of it that has its files", .0.display())]
    Bare(PathBuf),
    /// A path that no row, variable or argument of wharf can hold.
    #[error("{} has a name that is no UTF-8, which wharf cannot keep; rename it, or work in another directory", .0.display())]
    NotText(PathBuf),
    /// A repository in a format that cannot be read.
    #[error("the repository of {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// The format, and what to do.
        why: String,
    },
}

/// Finds the project of a directory: the nearest one at or above it that has a `wharf.toml`, else
/// the top of its repository, else the directory itself. Inside a linked worktree the answer lies
/// in the main checkout, because a worktree's config is an agent's to write and never read.
pub fn find(directory: &Path) -> Result<Found, FindError> {
    let fail = |source| FindError::Directory { path: directory.to_owned(), source };
    let mut directory = directory.canonicalize().map_err(fail)?;
    if !directory.is_dir() {
        return Err(fail(std::io::Error::from(std::io::ErrorKind::NotADirectory)));
    }
    let mut repository = None;
    if directory.to_str().is_none() {
        return Err(FindError::NotText(directory));
    }
    let opened = opening::discover(&directory);
    if let Some(error) = opened.as_ref().err().filter(|e| opening::is_unsupported(e)) {
        // Taken for none it would have its runs work in the operator's own files.
        return Err(FindError::Unreadable { path: directory, why: opening::said(error) });
    }
    if let Ok(git) = opened {
        if git.is_bare() && !git.is_worktree() {
            return Err(FindError::Bare(git.path().to_owned()));
        }
        let top = main_top(&git);
        // A file in a worktree stands for the same file of the main checkout.
        if git.is_worktree()
            && let (Some(top), Some(here)) = (&top, git.workdir().and_then(|dir| dir.canonicalize().ok()))
        {
            let inside = directory.strip_prefix(&here).map(|rest| top.join(rest));
            directory = inside.ok().filter(|dir| dir.is_dir()).unwrap_or_else(|| top.clone());
        }
        repository = top.map(|top| Repository {
            has_commit: opening::open(&top).is_ok_and(|main| main.head().is_ok()),
            common_dir: git.commondir().canonicalize().unwrap_or_else(|_| git.commondir().to_owned()),
            top,
        });
    }
    let top = repository.as_ref().map(|repository| repository.top.clone());
    for parent in directory.ancestors().take(PARENTS_MAX) {
        if parent.join(PROJECT_FILE).is_file() {
            return Ok(Found { root: parent.to_owned(), has_config: true, repository });
        }
        // A config above a repository is another project's.
        if top.as_deref() == Some(parent) {
            break;
        }
    }
    Ok(Found { root: top.unwrap_or(directory), has_config: false, repository })
}

/// Top of the main checkout; `None` for a bare repository.
fn main_top(git: &git2::Repository) -> Option<PathBuf> {
    if !git.is_worktree() {
        return git.workdir()?.canonicalize().ok();
    }
    let main = opening::open(git.commondir()).ok()?;
    main.workdir()?.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(git: &git2::Repository) {
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let tree = git.find_tree(git.index().unwrap().write_tree().unwrap()).unwrap();
        git.commit(Some("HEAD"), &who, &who, "first", &tree, &[]).unwrap();
    }

    #[test]
    fn outside_of_git_the_nearest_config_else_the_directory_itself() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let deep = top.join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        let found = find(&deep).unwrap();
        assert_eq!((found.root, found.has_config, found.repository), (deep.clone(), false, None));
        std::fs::write(top.join(PROJECT_FILE), "").unwrap();
        let found = find(&deep).unwrap();
        assert_eq!((found.config_path(), found.has_config), (top.join(PROJECT_FILE), true));
    }

    #[test]
    fn in_a_repository_its_top_and_no_config_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let above = dir.path().canonicalize().unwrap();
        std::fs::write(above.join(PROJECT_FILE), "").unwrap();
        let top = above.join("repo");
        let git = git2::Repository::init(&top).unwrap();
        std::fs::create_dir(top.join("sub")).unwrap();
        let found = find(&top.join("sub")).unwrap();
        assert_eq!((&found.root, found.has_config), (&top, false));
        assert!(!found.repository.as_ref().unwrap().has_commit);
        commit(&git);
        let repository = find(&top).unwrap().repository.unwrap();
        assert_eq!(repository, Repository { common_dir: top.join(".git"), has_commit: true, top });
    }

    #[test]
    fn a_worktree_stands_for_the_main_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap().join("repo");
        let git = git2::Repository::init(&top).unwrap();
        commit(&git);
        let tree = dir.path().canonicalize().unwrap().join("tree");
        git.worktree("tree", &tree, None).unwrap();
        std::fs::create_dir(tree.join("only-here")).unwrap();
        std::fs::write(tree.join(PROJECT_FILE), "# an agent's").unwrap();
        for inside in [tree.clone(), tree.join("only-here")] {
            let found = find(&inside).unwrap();
            assert_eq!((&found.root, found.has_config), (&top, false));
            assert_eq!(found.repository.unwrap().common_dir, top.join(".git"));
        }
    }

    #[test]
    fn where_nothing_can_work_is_no_project() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("bare.git");
        git2::Repository::init_bare(&bare).unwrap();
        for inside in [bare.clone(), bare.join("refs")] {
            assert!(matches!(find(&inside), Err(FindError::Bare(_))), "{inside:?}");
        }
        let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"a\xffb"));
        std::fs::create_dir(&odd).unwrap();
        assert!(matches!(find(&odd), Err(FindError::NotText(_))));
    }

    #[test]
    fn a_directory_that_is_none_is_named() {
        let error = find(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"));
    }
}

//! Clones that wharf makes of a project's `repo_url`, for projects without a checkout.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::WorkspaceError;
use super::inspect::{self, AtPath};
use crate::environment::sandbox::tree;

/// What stands where a project's clone belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it is to be made.
    Nothing,
    /// The clone.
    Clone,
    /// Files that somebody put there, without a repository.
    Files,
}

/// The url to be cloned: a path is one below the project's directory, unless it is absolute or below `~`.
pub fn located(url: &str, project: &Path, home: Option<&str>) -> String {
    let is_path = !url.contains("://") && !url.split('/').next().is_some_and(|first| first.contains(':'));
    match (url.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest).display().to_string(),
        (None, _) if is_path && !url.starts_with('/') => project.join(url).display().to_string(),
        _ => url.to_owned(),
    }
}

/// A url without user and password; over ssh the user is no secret and stays.
pub fn without_secret(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Some((user, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    let name = user.split(':').next().filter(|n| scheme.contains("ssh") && !n.is_empty());
    let name = name.map_or_else(String::new, |name| format!("{name}@"));
    format!("{scheme}://{name}{host}{path}")
}

/// Looks at the place of a clone, and that it is one of this url.
///
/// # Errors
/// Something else is there, in words.
pub fn standing(target: &Path, url: &str) -> Result<Standing, String> {
    let refused = |what: &str| {
        Err(format!("{} is where the clone of {url} belongs, and there is {what}; move it away", target.display()))
    };
    match inspect::at_path(target).map_err(|e| e.to_string())? {
        AtPath::Free | AtPath::EmptyDirectory => Ok(Standing::Nothing),
        AtPath::NotADirectory(what) => refused(what),
        AtPath::OtherDirectory => Ok(Standing::Files),
        AtPath::BrokenCheckout(why) => refused(&format!("a checkout that git cannot open ({why})")),
        AtPath::Checkout { .. } => {
            let origin = match inspect::inspect(target).map_err(|e| e.to_string())? {
                inspect::Place::Repository(repo) => repo.origin_url,
                inspect::Place::Plain(_) => None,
            };
            match origin {
                Some(found) if found == url => Ok(Standing::Clone),
                Some(found) => refused(&format!("a clone of {}", without_secret(&found))),
                None => refused("a repository that is a clone of nothing"),
            }
        }
    }
}

/// Puts a clone that was made aside in its place; what was tried aside before goes.
///
/// # Errors
/// The file system refused.
pub fn put(made: &Path, target: &Path) -> Result<(), WorkspaceError> {
    // An empty directory may be there; rename replaces that and nothing else.
    fs::rename(made, target).map_err(WorkspaceError::io("put the clone to", target))
}

/// Removes what earlier tries have left in the directory where clones are made; the lock's own directory stays.
pub fn clear(aside: &Path) -> Result<(), WorkspaceError> {
    let entries = match fs::read_dir(aside) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(WorkspaceError::io("list", aside)(e)),
    };
    for entry in entries.flatten().filter(|e| e.file_name().to_str().is_some_and(|n| n.starts_with("try-"))) {
        let path = entry.path();
        tree::remove_tree(&path).map_err(WorkspaceError::io("remove", &path))?;
    }
    Ok(())
}

/// Where a try is made.
pub fn aside(aside: &Path, run: &str, attempt: u32) -> PathBuf {
    aside.join(format!("try-{run}-{attempt}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths() {
        let table = [
            ("ssh://git@box/shop.git", "ssh://git@box/shop.git"),
            ("git@box:shop.git", "git@box:shop.git"),
            ("/srv/shop.git", "/srv/shop.git"),
            ("../shop.git", "/p/../shop.git"),
            ("file:///srv/x", "file:///srv/x"),
            ("~/shop.git", "/h/shop.git"),
        ];
        for (url, expected) in table {
            assert_eq!(located(url, Path::new("/p"), Some("/h")), expected);
        }
    }

    #[test]
    fn secrets_do_not_leave_urls() {
        let table = [
            ("https://me:tok@git.example/a/b@c", "https://git.example/a/b@c"),
            ("https://tok@git.example", "https://git.example"),
            ("ssh://git:pw@box/x", "ssh://git@box/x"),
            ("ssh://git@box:22/x", "ssh://git@box:22/x"),
            ("git@box:x", "git@box:x"),
            ("/a/b", "/a/b"),
        ];
        for (url, expected) in table {
            assert_eq!(without_secret(url), expected);
        }
    }

    #[test]
    fn what_stands_there_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("c");
        assert_eq!(standing(&target, "u"), Ok(Standing::Nothing));
        fs::create_dir(&target).unwrap();
        assert_eq!(standing(&target, "u"), Ok(Standing::Nothing));
        fs::write(target.join("f"), "").unwrap();
        assert_eq!(standing(&target, "u"), Ok(Standing::Files));
        let repo = git2::Repository::init(&target).unwrap();
        assert!(standing(&target, "u").unwrap_err().contains("a clone of nothing"));
        repo.remote("origin", "https://me:secret@host/x").unwrap();
        let other = standing(&target, "u").unwrap_err();
        assert!(other.contains("https://host/x") && !other.contains("secret"), "{other}");
        assert_eq!(standing(&target, "https://me:secret@host/x"), Ok(Standing::Clone));
    }
}

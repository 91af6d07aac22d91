//! One thing of this machine that is seen inside.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Whether it may be changed from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It may only be read.
    Read,
    /// It may be written.
    Write,
}

/// A file or directory of this machine, and where it is seen. Later ones lie over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Here.
    pub source: PathBuf,
    /// There.
    pub target: PathBuf,
    /// What may be done with it.
    pub access: Access,
}

impl Bind {
    /// Something that has the same name inside.
    pub fn same(path: &Path, access: Access) -> Self {
        Self { source: path.to_owned(), target: path.to_owned(), access }
    }
}

/// A path as a word of a command line.
///
/// # Errors
/// In words, when it is no UTF-8 or holds what an engine's own syntax would take apart.
pub fn word(path: &Path) -> Result<String, String> {
    match path.to_str() {
        Some(text) if !text.contains([',', '"', '\n', '\0']) => Ok(text.to_owned()),
        Some(text) => Err(format!("{text:?} holds a comma, a quote or a line end, and cannot be mounted; rename it")),
        None => Err(format!("{} is no UTF-8, and cannot be mounted; rename it", path.display())),
    }
}

/// A link in the way to a place that someone inside may have put there, if there is one: mounting over it would
/// follow it. Looks at the parts of `target` below `top`, as they are in `real` here.
pub fn link_on_the_way(real: &Path, top: &Path, target: &Path) -> Option<PathBuf> {
    let rest = target.strip_prefix(top).ok()?;
    let mut here = real.to_owned();
    for part in rest.components() {
        here.push(part);
        if here.symlink_metadata().is_ok_and(|meta| meta.file_type().is_symlink()) {
            return Some(here);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_below_the_top_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("a/c")).unwrap();
        let top = Path::new("/home/me");
        let found = |target: &str| link_on_the_way(dir.path(), top, Path::new(target));
        assert_eq!(found("/home/me/a/b/x/y"), None);
        assert_eq!(found("/home/me/a/c/x"), Some(dir.path().join("a/c")));
        assert_eq!(found("/elsewhere/a/c"), None);
        assert!(word(Path::new("/a,b")).is_err());
        assert_eq!(word(Path::new("/a b:c")).as_deref(), Ok("/a b:c"));
    }
}

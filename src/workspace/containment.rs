//! Whether a path stays in a directory once symbolic links are followed.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::WorkspaceError;

/// Follows all links of a path whose end need not exist yet. The part that exists is resolved by
/// the system; a missing tail may hold plain names only, since `..` after a missing directory has
/// no certain meaning. Relative paths and dangling links are errors.
pub fn resolve(path: &Path) -> Result<PathBuf, WorkspaceError> {
    let unresolvable = |why| WorkspaceError::Unresolvable { path: path.to_owned(), why };
    if !path.is_absolute() {
        return Err(unresolvable("it is not absolute"));
    }
    let mut tail: Vec<OsString> = Vec::new();
    let mut head = path;
    loop {
        match head.canonicalize() {
            Ok(mut real) => {
                real.extend(tail.iter().rev());
                return Ok(real);
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if head.symlink_metadata().is_ok() {
                    return Err(unresolvable("it goes through a symbolic link that leads nowhere"));
                }
                match head.components().next_back() {
                    Some(Component::Normal(name)) => tail.push(name.to_owned()),
                    _ => return Err(unresolvable("it goes up from a directory that does not exist")),
                }
                head = head.parent().ok_or_else(|| unresolvable("it has no existing parent"))?;
            }
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                return Err(unresolvable("one of its parents is not a directory"));
            }
            Err(e) => return Err(WorkspaceError::io("resolve", path)(e)),
        }
    }
}

/// Resolves `path` and answers it when it is below (or equal to) `parent`, itself resolved.
pub fn contained(parent: &Path, path: &Path) -> Result<PathBuf, WorkspaceError> {
    let parent = resolve(parent)?;
    let path = resolve(path)?;
    if path.starts_with(&parent) { Ok(path) } else { Err(WorkspaceError::Outside { path, parent }) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn containment_table() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("in/side")).unwrap();
        fs::create_dir(root.join("out")).unwrap();
        fs::write(root.join("in/file"), "").unwrap();
        symlink(root.join("out"), root.join("in/leads-out")).unwrap();
        symlink("side", root.join("in/leads-in")).unwrap();
        symlink("nowhere", root.join("in/dangling")).unwrap();
        symlink("loop", root.join("in/loop")).unwrap();
        let parent = root.join("in");
        let good = [
            (".", "in"),
            ("side", "in/side"),
            ("new/deeper/tail", "in/new/deeper/tail"),
            ("leads-in/new", "in/side/new"),
            ("side/../new", "in/new"),
        ];
        for (path, expected) in good {
            assert_eq!(contained(&parent, &parent.join(path)).unwrap(), root.join(expected), "{path}");
        }
        let outside = ["..", "../out", "../in-not", "leads-out", "leads-out/new", "side/../../out/x"];
        for path in outside {
            let answer = contained(&parent, &parent.join(path));
            assert!(matches!(answer, Err(WorkspaceError::Outside { .. })), "{path}: {answer:?}");
        }
        let unclear = ["dangling", "dangling/x", "new/../../out", "file/x"];
        for path in unclear {
            let answer = contained(&parent, &parent.join(path));
            assert!(matches!(answer, Err(WorkspaceError::Unresolvable { .. })), "{path}: {answer:?}");
        }
        assert!(matches!(contained(&parent, &parent.join("loop")), Err(WorkspaceError::Io { .. })));
        assert!(matches!(resolve(Path::new("relative")), Err(WorkspaceError::Unresolvable { .. })));
    }
}

//! Removing what the rows already say is gone.

use std::io;
use std::path::{Component, Path};

use wharf_model::ActionId;

use crate::dispatch::input::Fact;
use crate::environment::sandbox::tree;
use crate::process::kill_point::kill_point;

/// Removes directories of what has ended and files of the cache, all below the data directory. What is
/// gone already is as good as removed, so that a pass can be repeated.
pub fn remove(data: &Path, action: ActionId, dirs: &[String], files: &[String]) -> Fact {
    let mut failed = None;
    for dir in dirs {
        let removed = inside(data, dir).and_then(|path| tree::remove_tree(&path));
        kill_point("gc.log_removed");
        if let Err(error) = removed {
            failed.get_or_insert_with(|| format!("{dir}: {error}"));
        }
    }
    for file in files {
        let removed = inside(data, file).and_then(|path| match std::fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        });
        if let Err(error) = removed {
            failed.get_or_insert_with(|| format!("{file}: {error}"));
        }
    }
    match failed {
        None => Fact::ActionDone { action },
        Some(error) => Fact::ActionFailed { action, error },
    }
}

/// A path that leaves the data directory is refused, whoever wrote it into the action.
fn inside(data: &Path, relative: &str) -> io::Result<std::path::PathBuf> {
    let path = Path::new(relative);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if !plain || path.components().count() < 2 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no place below the data directory"));
    }
    Ok(data.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_removes_what_it_is_told_once_and_again_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let place = |p: &str| data.path().join(p);
        std::fs::create_dir_all(place("runs/a1/x/a1")).unwrap();
        std::fs::create_dir_all(place("runs/a1/y/a1")).unwrap();
        std::fs::create_dir_all(place("cache")).unwrap();
        std::fs::write(place("runs/a1/x/a1/out.000001.wlog"), "x").unwrap();
        std::fs::write(place("cache/x.lines"), "x").unwrap();
        // A link is removed, not what it points to.
        std::os::unix::fs::symlink(place("runs/a1/y"), place("runs/a1/x/link")).unwrap();
        let (dirs, files) = (["runs/a1/x".to_owned()], ["cache/x.lines".to_owned()]);
        for _ in 0..2 {
            let done = remove(data.path(), ActionId::NIL, &dirs, &files);
            assert_eq!(done, Fact::ActionDone { action: ActionId::NIL });
        }
        assert!(!place("runs/a1/x").exists() && !place("cache/x.lines").exists() && place("runs/a1/y/a1").exists());
        for outside in ["../x", "/etc/x", "runs", "", "runs/../../x"] {
            let refused = remove(data.path(), ActionId::NIL, &[outside.to_owned()], &[]);
            assert!(matches!(refused, Fact::ActionFailed { .. }), "{outside}");
        }
        assert!(place("runs").exists());
    }
}

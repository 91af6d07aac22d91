//! The identity of a project, kept beside its history so that it survives a move.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;
use wharf_model::ProjectId;

use super::WorkspaceError;
use super::inspect::Place;
use super::lock::{OUR_DIR, our_dir};

/// Where the identity of a place lies: shared by all worktrees of a repository, and not copied by
/// a clone.
pub fn file(place: &Place) -> PathBuf {
    match place {
        Place::Plain(path) => path.join(".wharf/project"),
        Place::Repository(repo) => repo.common_dir.join(OUR_DIR).join("project"),
    }
}

/// Reads the identity; `None` when the place has none yet.
pub fn read(place: &Place) -> Result<Option<ProjectId>, WorkspaceError> {
    let path = file(place);
    let opened = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path) {
        Ok(opened) => opened,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(WorkspaceError::io("open", &path)(e)),
    };
    let mut bytes = Vec::new();
    opened.take(128).read_to_end(&mut bytes).map_err(WorkspaceError::io("read", &path))?;
    let text = String::from_utf8_lossy(&bytes);
    match Uuid::parse_str(text.trim()) {
        // Only the stored form counts: what else a UUID may look like is no file of ours.
        Ok(id) if id.hyphenated().to_string() == text.trim() && !id.is_nil() => Ok(Some(ProjectId(id))),
        _ => Err(WorkspaceError::BadProjectFile { path, found: text.trim().chars().take(60).collect() }),
    }
}

/// Reads the identity, or gives the place a new one (file mode 0600). Of several that try at once
/// one wins, and all answer its id. The flag tells whether it was made now.
pub fn ensure(place: &Place) -> Result<(ProjectId, bool), WorkspaceError> {
    if let Some(id) = read(place)? {
        return Ok((id, false));
    }
    let path = file(place);
    let directory = match place {
        Place::Repository(repo) => our_dir(&repo.common_dir)?,
        Place::Plain(top) => plain_dir(top)?,
    };
    let id = ProjectId(Uuid::now_v7());
    let partial = directory.join(format!(".project.{}", Uuid::now_v7().simple()));
    // A link is made as a whole and only when the name is free, so nobody reads half an id.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut f| writeln!(f, "{id}").and_then(|()| f.sync_all()))
        .and_then(|()| fs::hard_link(&partial, &path));
    let _ = fs::remove_file(&partial);
    match made {
        Ok(()) => Ok((id, true)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let winner = read(place)?;
            winner.map(|id| (id, false)).ok_or_else(|| WorkspaceError::io("read", &path)(ErrorKind::NotFound.into()))
        }
        Err(e) => Err(WorkspaceError::io("write", &path)(e)),
    }
}

fn plain_dir(top: &Path) -> Result<PathBuf, WorkspaceError> {
    let directory = top.join(".wharf");
    match DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) => Ok(directory),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => super::containment::contained(top, &directory),
        Err(e) => Err(WorkspaceError::io("make", &directory)(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    #[test]
    fn made_once_even_by_many_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Plain(dir.path().to_owned());
        assert_eq!(read(&place).unwrap(), None);
        let answers: Vec<_> = thread::scope(|s| {
            let all: Vec<_> = (0..8).map(|_| s.spawn(|| ensure(&place).unwrap())).collect();
            all.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|(_, made)| *made).count(), 1);
        assert!(answers.iter().all(|(id, _)| *id == answers[0].0));
        assert_eq!(read(&place).unwrap(), Some(answers[0].0));
        let file = file(&place);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn malformed_files_are_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Plain(dir.path().to_owned());
        fs::create_dir(dir.path().join(".wharf")).unwrap();
        let nil = Uuid::nil().to_string();
        let long = "a".repeat(5000);
        for bad in ["", "shop", "019A3E0C-1111-7222-8333-444455556666", nil.as_str(), long.as_str()] {
            fs::write(file(&place), bad).unwrap();
            let error = ensure(&place).unwrap_err();
            assert!(matches!(error, WorkspaceError::BadProjectFile { .. }), "{bad}: {error}");
            assert_eq!(fs::read_to_string(file(&place)).unwrap(), bad);
        }
    }

    #[test]
    fn a_linked_away_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        std::os::unix::fs::symlink(dir.path(), top.join(".wharf")).unwrap();
        assert!(matches!(ensure(&Place::Plain(top)), Err(WorkspaceError::Outside { .. })));
    }
}

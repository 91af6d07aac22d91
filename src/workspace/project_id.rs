//! The identity of a project, kept beside its history so that it survives a move.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use uuid::Uuid;
use wharf_model::ProjectId;

use super::WorkspaceError;
use super::inspect::{self, Place, RepositoryFacts};
use super::lock::{OUR_DIR, our_dir};

/// Where the identity of a place lies: shared by all worktrees of a repository, and not copied by
/// a clone. Several projects of one repository have one each, by their directory in it.
pub fn file(place: &Place) -> PathBuf {
    match place {
        Place::Plain(path) => path.join(".wharf/project"),
        Place::Repository(repo) if repo.prefix.as_os_str().is_empty() => top_file(repo),
        Place::Repository(repo) => {
            let digest = Sha256::digest(repo.prefix.as_os_str().as_bytes());
            let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            repo.common_dir.join(OUR_DIR).join(format!("project.{name}"))
        }
    }
}

/// Where the identity of the project at a repository's top lies.
fn top_file(repo: &RepositoryFacts) -> PathBuf {
    repo.common_dir.join(OUR_DIR).join("project")
}

/// Gives a project below the top of its repository the identity that was kept for it in the place of the top's:
/// earlier versions had one for the whole repository. `stood_at` tells where a project was last seen.
pub fn keep_apart<'k>(place: &Place, stood_at: impl Fn(ProjectId) -> Option<&'k Path>) -> Result<(), WorkspaceError> {
    let Place::Repository(repo) = place else { return Ok(()) };
    let Some(id) = read_file(&top_file(repo))? else { return Ok(()) };
    let own = |repo: &RepositoryFacts| !repo.prefix.as_os_str().is_empty();
    let config = |dir: &Path| dir.join(crate::config::PROJECT_FILE).is_file();
    let here = repo.top_level.as_ref().map(|top| top.join(&repo.prefix));
    let before = stood_at(id);
    let target = if own(repo) {
        let top_is_free = repo.top_level.as_ref().is_some_and(|top| !config(top));
        // Known here, or moved together with its repository, whose top is no project.
        (before == here.as_deref() || top_is_free).then(|| file(place))
    } else {
        before.filter(|at| config(at)).and_then(|at| inspect::inspect(at).ok()).and_then(|there| match &there {
            Place::Repository(other) if own(other) && other.common_dir == repo.common_dir => Some(file(&there)),
            _ => None,
        })
    };
    match target {
        Some(target) if !target.exists() => {
            fs::rename(top_file(repo), &target).map_err(WorkspaceError::io("rename", &target))
        }
        _ => Ok(()),
    }
}

/// Whether a project with this identity stands at a path; none when that cannot be told.
pub fn stands(path: &Path, id: ProjectId) -> Option<bool> {
    match inspect::inspect(path) {
        Ok(place) => read(&place).ok().map(|found| found == Some(id)),
        Err(WorkspaceError::Missing { .. }) => Some(false),
        Err(_) => None,
    }
}

/// Reads the identity; `None` when the place has none yet.
pub fn read(place: &Place) -> Result<Option<ProjectId>, WorkspaceError> {
    read_file(&file(place))
}

fn read_file(path: &Path) -> Result<Option<ProjectId>, WorkspaceError> {
    let path = path.to_owned();
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

/// Reads the identity, or gives the place the one that it had `before`, else a new one (file mode 0600). Of
/// several that try at once one wins, and all answer its id. The flag tells whether it was made now.
pub fn ensure(place: &Place, before: Option<ProjectId>) -> Result<(ProjectId, bool), WorkspaceError> {
    if let Some(id) = read(place)? {
        return Ok((id, false));
    }
    let path = file(place);
    let directory = match place {
        Place::Repository(repo) => our_dir(&repo.common_dir)?,
        Place::Plain(top) => plain_dir(top)?,
    };
    let id = before.unwrap_or_else(|| ProjectId(Uuid::now_v7()));
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
            let all: Vec<_> = (0..8).map(|_| s.spawn(|| ensure(&place, None).unwrap())).collect();
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
            let error = ensure(&place, None).unwrap_err();
            assert!(matches!(error, WorkspaceError::BadProjectFile { .. }), "{bad}: {error}");
            assert_eq!(fs::read_to_string(file(&place)).unwrap(), bad);
        }
    }

    /// A repository with these files.
    fn repository(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap().join("repo");
        git2::Repository::init(&top).unwrap();
        for file in files {
            let path = top.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        (dir, top)
    }

    fn place(path: &Path) -> Place {
        inspect::inspect(path).unwrap()
    }

    #[test]
    fn projects_of_one_repository_have_an_identity_each() {
        let (_dir, top) = repository(&["wharf.toml", "a/wharf.toml", "b/c/wharf.toml"]);
        let dirs = [top.clone(), top.join("a"), top.join("b/c")];
        let ids: Vec<_> = dirs.iter().map(|d| ensure(&place(d), None).unwrap().0).collect();
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
        for (dir, id) in dirs.iter().zip(&ids) {
            assert_eq!(ensure(&place(dir), None).unwrap(), (*id, false));
            assert_eq!((stands(dir, *id), stands(dir, ProjectId::NIL)), (Some(true), Some(false)));
        }
        assert_eq!(file(&place(&top)), top.join(".git/wharf/project"), "where it always was");
        assert_eq!(stands(&top.join("gone"), ids[0]), Some(false));
    }

    #[test]
    fn a_place_goes_on_as_the_project_it_was() {
        let before = ProjectId(Uuid::now_v7());
        let (_dir, top) = repository(&["wharf.toml"]);
        assert_eq!(ensure(&place(&top), Some(before)).unwrap(), (before, true));
        let other = ProjectId(Uuid::now_v7());
        assert_eq!(ensure(&place(&top), Some(other)).unwrap(), (before, false), "what is there counts");
    }

    #[test]
    fn an_identity_kept_at_the_top_follows_its_project() {
        // Files, where the id was last seen, who is looked at; then who has it.
        let table = [
            (&["a/wharf.toml"][..], Some("a"), "a", "a"),
            (&["a/wharf.toml", "wharf.toml"], Some("a"), "a", "a"),
            (&["a/wharf.toml", "wharf.toml"], Some("a"), "", "a"),
            // Moved together with its repository.
            (&["a/wharf.toml"], Some("../elsewhere/a"), "a", "a"),
            // The top's own.
            (&["a/wharf.toml", "wharf.toml"], Some(""), "a", ""),
            (&["a/wharf.toml", "wharf.toml"], Some(""), "", ""),
            (&["a/wharf.toml", "wharf.toml"], None, "a", ""),
            (&["wharf.toml"], Some("a"), "", ""),
        ];
        for (files, stood, looked, has) in table {
            let (_dir, top) = repository(files);
            let id = ensure(&place(&top), None).unwrap().0;
            let at = |dir: &str| if dir.is_empty() { top.clone() } else { top.join(dir) };
            let stood = stood.map(at);
            keep_apart(&place(&at(looked)), |known| stood.as_deref().filter(|_| known == id)).unwrap();
            assert_eq!(read(&place(&at(has))).unwrap(), Some(id), "{files:?} {stood:?} {looked:?}");
            if !has.is_empty() {
                assert_eq!(read(&place(&top)).unwrap(), None, "{files:?} {stood:?} {looked:?}");
            }
        }
    }

    #[test]
    fn a_linked_away_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        std::os::unix::fs::symlink(dir.path(), top.join(".wharf")).unwrap();
        assert!(matches!(ensure(&Place::Plain(top), None), Err(WorkspaceError::Outside { .. })));
    }
}

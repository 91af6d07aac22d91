//! The directory of a sandbox on this machine: `<data>/environments/<environment>/<place>`.
//!
//! `owner.json` in it is our mark; what is seen inside lies in `tmp`, `home` and `run` beside it. It is made
//! under another name and renamed, so one without its mark is not ours and is never removed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wharf_model::{EnvironmentId, LeaseId};

use super::tree::remove_tree;

const MARK: &str = "owner.json";
/// Parts of it that are seen inside.
const PARTS: [&str; 3] = ["tmp", "home", "run"];
/// Whether something was made for it at a provider.
const MADE: &str = "made";
const MARK_MAX: u64 = 64 * 1024;

/// Removals so far.
static REMOVALS: AtomicU64 = AtomicU64::new(0);
/// One at a time makes a place or takes one away: a call that was dropped goes on in its thread.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Content of the mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    version: u32,
    environment: EnvironmentId,
    place: Uuid,
}

/// One such directory, whether it is there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    environment: EnvironmentId,
    id: Uuid,
    data: PathBuf,
}

impl Place {
    /// The one of a lease that obtains it.
    pub fn of_lease(data: &Path, environment: EnvironmentId, lease: LeaseId) -> Self {
        Self { environment, id: lease.0, data: data.to_owned() }
    }

    /// The one that a provider lease id `<provider>:<prefix><uuid>` names; `None` when it is none of ours.
    pub fn of_provider_id(data: &Path, environment: EnvironmentId, prefix: &str, id: &str) -> Option<Self> {
        let text = id.strip_prefix(prefix)?;
        let id = Uuid::parse_str(text).ok().filter(|id| id.to_string() == text)?;
        Some(Self { environment, id, data: data.to_owned() })
    }

    /// Its name: the lease that obtained it first.
    pub fn id(&self) -> Uuid {
        self.id
    }

    fn parent(&self) -> PathBuf {
        self.data.join("environments").join(self.environment.to_string())
    }

    /// Where it is.
    pub fn dir(&self) -> PathBuf {
        self.parent().join(self.id.to_string())
    }

    /// One of `tmp`, `home` and `run` in it.
    pub fn part(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    fn unfinished(&self) -> PathBuf {
        self.parent().join(format!(".{}.new", self.id))
    }

    /// A name for it while it is being removed, which no other removal has.
    fn leaving(&self) -> PathBuf {
        let n = REMOVALS.fetch_add(1, Ordering::Relaxed);
        self.parent().join(format!(".{}.{}-{n}.old", self.id, std::process::id()))
    }

    /// What removals of it have not removed yet.
    fn left(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.parent()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let begins = format!(".{}.", self.id);
        let mut left = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(&begins) && name.strip_suffix(".old").is_some()) {
                left.push(entry.path());
            }
        }
        Ok(left)
    }

    /// Makes it, unless it is there.
    ///
    /// # Errors
    /// What the system says, and a directory of this name that is not ours.
    pub fn make(&self) -> io::Result<()> {
        let _turn = turn();
        if self.is_there()? {
            return Ok(());
        }
        DirBuilder::new().mode(0o700).recursive(true).create(&self.data)?;
        for dir in [self.data.join("environments"), self.parent()] {
            private(&dir)?;
        }
        let new = self.unfinished();
        remove_tree(&new)?;
        private(&new)?;
        for part in PARTS {
            private(&new.join(part))?;
        }
        let mark = Mark { version: 1, environment: self.environment, place: self.id };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new.join(MARK))?;
        file.write_all(&serde_json::to_vec(&mark)?)?;
        file.sync_all()?;
        fs::rename(&new, self.dir())?;
        fs::File::open(self.parent())?.sync_all()
    }

    /// Whether it is there, with our mark.
    ///
    /// # Errors
    /// What the system says, and a directory of this name that is not ours: it is then unknown what it is.
    pub fn is_there(&self) -> io::Result<bool> {
        let dir = self.dir();
        match dir.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
            Ok(meta) if !meta.is_dir() => return Err(not_ours(&dir, "it is no directory")),
            Ok(meta) if meta.uid() != rustix::process::geteuid().as_raw() => {
                return Err(not_ours(&dir, "it is another user's"));
            }
            Ok(_) => {}
        }
        let file = dir.join(MARK);
        let meta = file.symlink_metadata().map_err(|e| not_ours(&dir, &format!("its mark cannot be read: {e}")))?;
        if !meta.is_file() || meta.len() > MARK_MAX {
            return Err(not_ours(&dir, "its mark is no file of ours"));
        }
        let mark: Mark = serde_json::from_slice(&fs::read(&file)?)
            .map_err(|e| not_ours(&dir, &format!("its mark cannot be understood: {e}")))?;
        if mark.place != self.id || mark.environment != self.environment {
            return Err(not_ours(&dir, "its mark names another place"));
        }
        Ok(true)
    }

    /// Removes it and everything in it, without following a link; one that is not there is removed.
    ///
    /// # Errors
    /// What the system says, and a directory of this name that is not ours.
    pub fn remove(&self) -> io::Result<()> {
        {
            // A call that was dropped may still be at it beside this one.
            let _turn = turn();
            remove_tree(&self.unfinished())?;
            if self.is_there()? {
                // At once and as a whole: nobody ever sees it without its mark.
                fs::rename(self.dir(), self.leaving())?;
            }
        }
        for left in self.left()? {
            match remove_tree(&left) {
                Err(error) if error.kind() == ErrorKind::NotFound && !left.exists() => {}
                other => other?,
            }
        }
        // Only when it is empty: another place of the environment may be in it.
        let _ = fs::remove_dir(self.parent());
        Ok(())
    }

    /// The environment it belongs to.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// Whether a place of this name exists, in whichever environment.
    ///
    /// # Errors
    /// What the system says: it is then unknown. Only what is said not to be there is absent.
    pub fn exists(data: &Path, id: Uuid) -> io::Result<bool> {
        Ok(!Self::of_name(data, id)?.is_empty())
    }

    /// Whether one of this name exists, in whichever environment, for which nothing was made yet.
    ///
    /// # Errors
    /// What the system says: it is then unknown.
    pub fn waits(data: &Path, id: Uuid) -> io::Result<bool> {
        for dir in Self::of_name(data, id)? {
            if found(&dir.join(MARK))? && !found(&dir.join(MADE))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Directories of this name.
    fn of_name(data: &Path, id: Uuid) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(data.join("environments")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let dir = entry?.path().join(id.to_string());
            match dir.symlink_metadata() {
                Ok(meta) if meta.is_dir() => all.push(dir),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Lets the users of what is made for it at a provider, who are others than ours, see its `run`.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_run(&self) -> io::Result<()> {
        // Nobody outside passes the directory above it.
        fs::set_permissions(self.part("run"), fs::Permissions::from_mode(0o755))
    }

    /// Notes that something was made for it at a provider: when it is not there any more, it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn note_made(&self) -> io::Result<()> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.dir().join(MADE)).map(drop)
    }

    /// Takes that note away, before what was made is removed to be made anew.
    ///
    /// # Errors
    /// What the system says.
    pub fn forget_made(&self) -> io::Result<()> {
        match fs::remove_file(self.dir().join(MADE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Whether that was noted.
    ///
    /// # Errors
    /// What the system says: it is then unknown.
    pub fn was_made(&self) -> io::Result<bool> {
        found(&self.dir().join(MADE))
    }
}

fn found(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn not_ours(dir: &Path, why: &str) -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, format!("{} is not a sandbox of wharf's: {why}", dir.display()))
}

/// Makes a directory that nobody else may look into; one that is there is left as it is.
fn private(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.symlink_metadata()?.is_dir() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn place(data: &Path) -> Place {
        Place::of_lease(data, EnvironmentId(Uuid::now_v7()), LeaseId(Uuid::now_v7()))
    }

    #[test]
    fn it_is_made_once_and_removed_with_what_is_in_it_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new/data");
        fs::write(dir.path().join("outside"), "stays").unwrap();
        let place = place(&data);
        assert!(!place.is_there().unwrap());
        place.make().unwrap();
        fs::write(place.part("home").join("file"), "1").unwrap();
        place.make().unwrap();
        assert!(place.part("home").join("file").exists(), "made again it is the same");
        assert_eq!(fs::metadata(place.dir()).unwrap().permissions().mode() & 0o777, 0o700);

        symlink(dir.path(), place.part("tmp").join("out")).unwrap();
        fs::create_dir_all(place.part("tmp").join("mod/in")).unwrap();
        fs::write(place.part("tmp").join("mod/in/file"), "1").unwrap();
        for part in ["mod/in", "mod"] {
            fs::set_permissions(place.part("tmp").join(part), fs::Permissions::from_mode(0o500)).unwrap();
        }
        place.remove().unwrap();
        place.remove().unwrap();
        assert!(!place.dir().exists());
        assert_eq!(fs::read_to_string(dir.path().join("outside")).unwrap(), "stays");
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        fs::create_dir_all(place.dir().join("home")).unwrap();
        assert!(place.remove().is_err() && place.make().is_err());
        assert!(place.dir().join("home").exists());
        fs::remove_dir_all(place.dir()).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, place.dir()).unwrap();
        assert!(place.remove().is_err() && elsewhere.exists());
    }

    #[test]
    fn only_what_is_said_not_to_be_there_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        let waits = || Place::waits(dir.path(), place.id());
        assert!(!waits().unwrap() && !Place::exists(dir.path(), place.id()).unwrap());
        place.make().unwrap();
        fs::write(dir.path().join("environments/file"), "").unwrap();
        assert!(waits().unwrap() && Place::exists(dir.path(), place.id()).unwrap());
        place.note_made().unwrap();
        assert!(!waits().unwrap() && place.was_made().unwrap());
        place.forget_made().unwrap();
        place.forget_made().unwrap();
        assert!(waits().unwrap());
        // Neither read nor said not to be there.
        place.remove().unwrap();
        fs::remove_dir_all(dir.path().join("environments")).unwrap();
        symlink("environments", dir.path().join("environments")).unwrap();
        assert!(waits().is_err() && Place::exists(dir.path(), place.id()).is_err());
    }

    #[test]
    fn ids_are_read_back_and_others_are_not() {
        let (env, lease) = (EnvironmentId(Uuid::now_v7()), LeaseId(Uuid::now_v7()));
        let data = Path::new("/data");
        let read = |id: &str| Place::of_provider_id(data, env, "bubblewrap:", id);
        assert_eq!(read(&format!("bubblewrap:{lease}")), Some(Place::of_lease(data, env, lease)));
        for other in
            ["bubblewrap:..", "bubblewrap:", "podman:x", &format!("bubblewrap:{}", lease.to_string().to_uppercase())]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}

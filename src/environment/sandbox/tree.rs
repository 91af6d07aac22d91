//! Removal of what someone else filled. It never crosses a mount point: what is mounted somewhere is somebody's own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, chmodat, fchmod, fstat, renameat, unlinkat};

use super::walk::{self, open_here};

/// Levels that are held open at once; what lies deeper is moved to the top first.
const LEVELS_MAX: usize = 64;

/// A directory on the way down.
struct Level {
    fd: OwnedFd,
    name: OsString,
    rest: Vec<OsString>,
}

/// Removes a tree without following links, however deep it is, also where directories in it were made unwritable.
/// What went meanwhile is removed. What is mounted in it, by whatever kind of mount, is left as it is.
///
/// # Errors
/// What the system says; a mount point on the way, by name.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    remove_tree_while(path, &mut || true).map(drop)
}

/// The same for as long as `go_on` says so, asked before each entry; false when something is left for another call.
///
/// # Errors
/// What the system says.
pub fn remove_tree_while(path: &Path, go_on: &mut dyn FnMut() -> bool) -> io::Result<bool> {
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    if !meta.is_dir() {
        return gone(fs::remove_file(path)).map(|()| true);
    }
    // The way to it may lead through mounts; it itself must be none.
    let (parent, top) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => (OsStr::new("."), name),
        (Some(parent), Some(name)) => (parent.as_os_str(), name),
        _ => return Err(io::Error::new(ErrorKind::InvalidInput, format!("{} has no name", path.display()))),
    };
    let at = |levels: &[Level], name: &OsStr| -> PathBuf {
        levels.iter().skip(1).map(|l| l.name.as_os_str()).chain([name]).fold(path.to_owned(), |at, name| at.join(name))
    };
    let above = walk::open_dir(parent)?;
    let fd = match enter(&above, top) {
        Ok(Some(fd)) => fd,
        Ok(None) => return Ok(true),
        Err(error) => return Err(mounted(error, path)),
    };
    let Some(rest) = clear(&fd, go_on)? else { return Ok(false) };
    let mut levels = vec![Level { rest, name: OsString::new(), fd }];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.rest.pop() else {
            let done = levels.pop();
            if let (Some(above), Some(done)) = (levels.last(), done) {
                gone(unlinkat(&above.fd, &done.name, AtFlags::REMOVEDIR).map_err(io::Error::from))?;
            }
            continue;
        };
        let entered = enter(&level.fd, &name);
        let fd = match entered {
            Ok(Some(fd)) => fd,
            Ok(None) => continue,
            Err(error) => return Err(mounted(error, &at(&levels, &name))),
        };
        if levels.len() < LEVELS_MAX {
            let Some(rest) = clear(&fd, go_on)? else { return Ok(false) };
            levels.push(Level { fd, name, rest });
            continue;
        }
        let aside = OsString::from(format!(".{}", uuid::Uuid::now_v7()));
        let deepest = &levels[levels.len() - 1];
        match renameat(&deepest.fd, &name, &levels[0].fd, &aside) {
            Ok(()) => levels[0].rest.push(aside),
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    gone(fs::remove_dir(path)).map(|()| true)
}

/// Names the mount point that stands in the way.
fn mounted(error: io::Error, at: &Path) -> io::Error {
    if error.kind() != ErrorKind::CrossesDevices {
        return error;
    }
    io::Error::new(ErrorKind::ResourceBusy, format!("something is mounted at {}: unmount it first", at.display()))
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Opens a directory and makes it one that its owner can empty; none when it went, or is something else, which is
/// removed.
fn enter(at: impl rustix::fd::AsFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut opened = open_here(&at, name, read);
    if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(dir) = open_here(&at, name, flags) {
            // A descriptor that was opened for its path alone cannot be changed; its entry in /proc leads to nothing
            // else.
            let own = format!("/proc/self/fd/{}", dir.as_raw_fd());
            chmodat(CWD, own.as_str(), Mode::RWXU, AtFlags::empty())?;
        }
        opened = open_here(&at, name, read);
    }
    match opened {
        Ok(fd) => {
            if !Mode::from_raw_mode(fstat(&fd)?.st_mode).contains(Mode::RWXU) {
                fchmod(&fd, Mode::RWXU)?;
            }
            Ok(Some(fd))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            gone(unlinkat(&at, name, AtFlags::empty()).map_err(io::Error::from)).map(|()| None)
        }
        Err(error) => Err(error),
    }
}

/// Removes everything in a directory but other directories, which it names; none when it is not to go on.
///
/// In the order in which they lie on the disk: a directory names them in the order of hashes, and each removal would
/// then touch another block of the table of inodes.
fn clear(dir: &OwnedFd, go_on: &mut dyn FnMut() -> bool) -> io::Result<Option<Vec<OsString>>> {
    let mut rest = Vec::new();
    for (name, kind) in walk::entries_in_order(dir)? {
        if !go_on() {
            return Ok(None);
        }
        if kind == FileType::Directory {
            rest.push(name);
        } else {
            gone(unlinkat(dir, &name, AtFlags::empty()).map_err(io::Error::from))?;
        }
    }
    Ok(Some(rest))
}

#[cfg(test)]
mod tests {
    use rustix::fs::mkdirat;

    use super::super::mounted::testing::Mounted;
    use super::*;

    #[test]
    fn a_tree_deeper_than_descriptors_reach_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        fs::write(dir.path().join("outside"), "stays").unwrap();
        let mut here = walk::open(CWD, top.as_os_str()).unwrap();
        for level in 0..2_000 {
            mkdirat(&here, "d", Mode::RWXU).unwrap();
            let next = walk::open(&here, OsStr::new("d")).unwrap();
            rustix::fs::symlinkat("/", &next, "link").unwrap();
            if level % 50 == 0 {
                fchmod(&here, Mode::RUSR | Mode::XUSR).unwrap();
            }
            here = next;
        }
        remove_tree(&top).unwrap();
        remove_tree(&top).unwrap();
        assert!(!top.exists() && dir.path().join("outside").exists());
    }

    #[test]
    fn what_is_mounted_in_a_tree_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let precious = root.join("precious");
        fs::create_dir_all(precious.join("deep")).unwrap();
        fs::write(precious.join("gold"), "gold").unwrap();
        let top = root.join("top");
        fs::create_dir_all(top.join("a/mnt")).unwrap();
        fs::create_dir_all(top.join("itself")).unwrap();
        let Some(_bound) = Mounted::bind(&precious, &top.join("a/mnt")) else { return };
        let Some(_own) = Mounted::bind(&precious, &top.join("itself")) else { return };
        for tree in [top.clone(), top.join("a"), top.join("itself")] {
            let error = remove_tree(&tree).unwrap_err().to_string();
            assert!(error.contains("something is mounted at") && error.contains("unmount it first"), "{error}");
            assert_eq!(fs::read_to_string(precious.join("gold")).unwrap(), "gold", "{}", tree.display());
            assert!(precious.join("deep").exists());
        }
        // What lies inside of the mount is a tree like every other.
        remove_tree(&top.join("a/mnt/deep")).unwrap();
        assert!(!precious.join("deep").exists() && precious.join("gold").exists());
    }
}

//! Removal of what someone else filled.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, chmodat, fchmod, fstat, openat, renameat, unlinkat};

use super::walk;

/// Levels that are held open at once; what lies deeper is moved to the top first.
const LEVELS_MAX: usize = 64;

/// A directory on the way down.
struct Level {
    fd: OwnedFd,
    name: OsString,
    rest: Vec<OsString>,
}

/// Removes a tree without following links, however deep it is, also where directories in it were made unwritable.
/// What went meanwhile is removed.
///
/// # Errors
/// What the system says.
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
    let Some(fd) = enter(CWD, path.as_os_str())? else { return Ok(true) };
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
        let Some(fd) = enter(&level.fd, &name)? else { continue };
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

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Opens a directory and makes it one that its owner can empty; none when it went, or is something else, which is
/// removed.
fn enter(at: impl rustix::fd::AsFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let mut opened = walk::open(&at, name);
    if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(dir) = openat(&at, name, flags, Mode::empty()) {
            // A descriptor that was opened for its path alone cannot be changed; its entry in /proc leads to nothing
            // else.
            let own = format!("/proc/self/fd/{}", dir.as_raw_fd());
            chmodat(CWD, own.as_str(), Mode::RWXU, AtFlags::empty())?;
        }
        opened = walk::open(&at, name);
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
}

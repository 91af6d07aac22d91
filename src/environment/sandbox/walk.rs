//! Looking through a tree that someone else filled: by descriptors and never through a link, within bounds.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::Errno;

/// Directories that are looked through, at most.
const DIRECTORIES_MAX: usize = 200_000;
/// Directories that are opened for it, at most: each is opened from the top.
const STEPS_MAX: usize = 4_000_000;
/// Longest path below the top, in bytes: what lies deeper no program can name.
const PATH_MAX: usize = 4096;

/// One directory of a tree.
#[derive(Debug)]
pub struct Seen {
    /// Where it is below the top; empty for the top itself.
    pub path: PathBuf,
    /// It, opened.
    pub fd: OwnedFd,
    /// What is in it.
    pub entries: Vec<(OsString, FileType)>,
}

/// Shows every directory of a tree, parents first; `visit` takes those entries out that must not be entered. Says
/// in words what could not be looked through. A tree that is not there has nothing in it.
pub fn through(top: &Path, mut visit: impl FnMut(&mut Seen)) -> Vec<String> {
    let mut troubles = Vec::new();
    let first = match open(CWD, top.as_os_str()) {
        Ok(first) => first,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return troubles,
        Err(error) => return vec![format!("{} cannot be looked through: {error}", top.display())],
    };
    let (mut todo, mut seen, mut steps) = (vec![PathBuf::new()], 0, 0);
    while let Some(path) = todo.pop() {
        seen += 1;
        steps += path.components().count();
        if seen > DIRECTORIES_MAX || steps > STEPS_MAX {
            troubles.push(format!("{} has too many directories to be looked through", top.display()));
            break;
        }
        let read = below(&first, &path).and_then(|fd| entries(&fd).map(|entries| (fd, entries)));
        let (fd, entries) = match read {
            Ok(read) => read,
            // It went meanwhile, or is no directory any more.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => {
                troubles.push(format!("{} cannot be looked through: {error}", top.join(&path).display()));
                continue;
            }
        };
        let mut dir = Seen { path, fd, entries };
        visit(&mut dir);
        for (name, kind) in &dir.entries {
            if *kind == FileType::Directory {
                let path = dir.path.join(name);
                if path.as_os_str().len() <= PATH_MAX {
                    todo.push(path);
                }
            }
        }
    }
    troubles
}

/// Opens a directory below another, without following a link on the way.
///
/// # Errors
/// What the system says; a link on the way is no directory.
pub fn below(top: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut here = open(top, OsStr::new("."))?;
    for part in path {
        here = open(&here, part)?;
    }
    Ok(here)
}

/// Opens a directory that is no link.
///
/// # Errors
/// What the system says.
pub fn open(at: impl rustix::fd::AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

/// Opens a directory by its path, links on the way followed.
///
/// # Errors
/// What the system says.
pub fn open_dir(path: &OsStr) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens an entry of a directory that lies in the same mount as the directory itself: a bind mount of the same file
/// system is another one too.
///
/// # Errors
/// [`io::ErrorKind::CrossesDevices`] for a mount point; else what the system says.
pub fn open_here(at: impl AsFd, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    match openat2(&at, name, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
        // A kernel before 5.6, or a filter of calls that does not know this one.
        Err(Errno::NOSYS | Errno::PERM) => {
            let fd = openat(&at, name, flags, Mode::empty())?;
            if mount_id(&fd)? == mount_id(&at)? { Ok(fd) } else { Err(Errno::XDEV.into()) }
        }
        other => Ok(other?),
    }
}

/// The number of the mount that a descriptor is in.
fn mount_id(fd: impl AsFd) -> io::Result<u64> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
    let id = info.lines().find_map(|l| l.strip_prefix("mnt_id:")).and_then(|id| id.trim().parse().ok());
    id.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "the system does not say in which mount a file is"))
}

/// What is in a directory, and of which kind.
///
/// # Errors
/// What the system says.
pub fn entries(dir: &OwnedFd) -> io::Result<Vec<(OsString, FileType)>> {
    Ok(numbered(dir)?.into_iter().map(|(_, name, kind)| (name, kind)).collect())
}

/// The same, in the order of their numbers in the file system: so they mostly lie on the disk.
///
/// # Errors
/// What the system says.
pub fn entries_in_order(dir: &OwnedFd) -> io::Result<Vec<(OsString, FileType)>> {
    let mut all = numbered(dir)?;
    all.sort_unstable_by_key(|(number, ..)| *number);
    Ok(all.into_iter().map(|(_, name, kind)| (name, kind)).collect())
}

fn numbered(dir: &OwnedFd) -> io::Result<Vec<(u64, OsString, FileType)>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(_) => continue,
            },
            known => known,
        };
        all.push((entry.ino(), OsStr::from_bytes(name.to_bytes()).to_owned(), kind));
    }
    Ok(all)
}

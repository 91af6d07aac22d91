//! Removal of what someone else filled.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Removes a tree without following links, also where directories in it were made unwritable.
///
/// # Errors
/// What the system says.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !meta.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up(&open_dir(rustix::fs::CWD, path)?)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn open_dir(at: impl rustix::fd::AsFd, path: impl rustix::path::Arg) -> io::Result<rustix::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::openat(
        at,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Makes the directories of a tree writable for their owner.
fn open_up(dir: &rustix::fd::OwnedFd) -> io::Result<()> {
    use rustix::fs::{AtFlags, FileType, Mode, OFlags};
    use std::os::fd::AsRawFd;
    // A descriptor that was opened for its path alone cannot be changed; its entry in /proc leads to nothing else.
    let own = format!("/proc/self/fd/{}", dir.as_raw_fd());
    rustix::fs::chmodat(rustix::fs::CWD, own.as_str(), Mode::RWXU, AtFlags::empty())?;
    let readable = rustix::fs::openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            open_up(&open_dir(&readable, name)?)?;
        }
    }
    Ok(())
}

//! Locks that say "this process lives": OFD locks on close-on-exec files.
//!
//! An OFD lock belongs to the open file, not to the process: it ends with the last descriptor,
//! whatever killed the holder, and no other open or close of the same file drops it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// State of a lock, seen without taking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// Nobody holds it.
    Free,
    /// Some process holds it.
    Held,
}

/// Takes the write lock on the whole file, or says that another open file holds it. Never waits.
///
/// # Errors
/// What the kernel says, for example on a file system without locks.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match fcntl(file, libc::F_OFD_SETLK).map(drop) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Says whether a process holds the lock of the file at `path`, without taking it; `None` when
/// there is no such file.
///
/// Taking it to try could make a starting holder give up, so this only asks.
///
/// # Errors
/// What the kernel says: the state is then unknown.
pub fn probe(path: &Path) -> io::Result<Option<LockState>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(io::Error::new(error.kind(), format!("cannot open the lock {}: {error}", path.display())));
        }
    };
    let answer = fcntl(&file, libc::F_OFD_GETLK)?;
    let free = i32::from(answer.l_type) == libc::F_UNLCK;
    Ok(Some(if free { LockState::Free } else { LockState::Held }))
}

#[expect(unsafe_code, reason = "neither std nor rustix offers open-file-description locks")]
fn fcntl(file: &File, command: libc::c_int) -> io::Result<libc::flock> {
    // SAFETY: all-zero is a valid `flock`; OFD commands require `l_pid` to be zero.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    loop {
        // SAFETY: the descriptor is open for the call and `lock` outlives it.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } == 0 {
            return Ok(lock);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_takes_nothing_and_a_drop_frees() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(probe(&path).unwrap(), None);
        let holder = File::create(&path).unwrap();
        assert_eq!(probe(&path).unwrap(), Some(LockState::Free));
        assert!(try_lock(&holder).unwrap());
        assert_eq!(probe(&path).unwrap(), Some(LockState::Held));
        let second = File::options().write(true).open(&path).unwrap();
        assert!(!try_lock(&second).unwrap());
        // Opening and closing the file elsewhere would drop a classic POSIX lock.
        drop(File::open(&path).unwrap());
        assert!(!try_lock(&second).unwrap());
        drop(holder);
        assert_eq!(probe(&path).unwrap(), Some(LockState::Free));
        assert!(try_lock(&second).unwrap());
    }
}

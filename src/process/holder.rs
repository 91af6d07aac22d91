//! Another process of ours, named by a file: what it does now, whether it is the one meant, and its end.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use wharf_model::shim::ProcessRef;

use super::{identity, stat};

/// What the kernel says that a process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// It runs or sleeps, as processes do.
    Lives,
    /// It is stopped (`T`) or held by a debugger (`t`): it does nothing and keeps its locks.
    Stopped(char),
    /// It waits in the kernel and cannot be ended meanwhile (`D`).
    Stuck,
    /// There is no such process any more.
    Gone,
    /// It cannot be told, and why.
    Unknown(String),
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lives => f.write_str("runs"),
            Self::Stopped('t') => f.write_str("is held by a debugger (t)"),
            Self::Stopped(letter) => write!(f, "is stopped ({letter})"),
            Self::Stuck => f.write_str("waits in the kernel (D)"),
            Self::Gone => f.write_str("is gone"),
            Self::Unknown(why) => write!(f, "cannot be looked at: {why}"),
        }
    }
}

/// What exactly this process does now. Never waits.
pub fn doing(process: ProcessRef) -> Doing {
    match stat::read(process.pid) {
        Ok(Some(it)) if it.id == process => match it.state {
            'T' | 't' => Doing::Stopped(it.state),
            'D' => Doing::Stuck,
            'Z' | 'X' | 'x' => Doing::Gone,
            _ => Doing::Lives,
        },
        Ok(_) => Doing::Gone,
        Err(error) => Doing::Unknown(error.to_string()),
    }
}

/// One instance of a process: what is done with it never reaches a later one with its number.
#[derive(Debug)]
pub struct Handle {
    fd: OwnedFd,
    process: ProcessRef,
}

impl Handle {
    /// Takes hold of exactly this process; `None` when it is gone.
    ///
    /// # Errors
    /// What the kernel says, such as missing support.
    pub fn open(process: ProcessRef) -> io::Result<Option<Self>> {
        let Some(pid) = Some(process.pid).filter(|p| *p > 0).and_then(Pid::from_raw) else { return Ok(None) };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The descriptor first, the start time after: a number that was reused in between is seen.
        Ok((identity::process(process.pid)? == Some(process)).then_some(Self { fd, process }))
    }

    /// Whether it has this file open, by device and inode; a file that was deleted meanwhile is another.
    ///
    /// # Errors
    /// Its descriptors cannot be looked at: then it is not known.
    pub fn has_open(&self, file: &File) -> io::Result<bool> {
        let wanted = file.metadata()?;
        for entry in std::fs::read_dir(format!("/proc/{}/fd", self.process.pid))? {
            match std::fs::metadata(entry?.path()) {
                Ok(it) if it.dev() == wanted.dev() && it.ino() == wanted.ino() => return Ok(true),
                Ok(_) => {}
                // Closed meanwhile, or something that is no file.
                Err(error) if stat::is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Sends SIGKILL; it may have ended before.
    ///
    /// # Errors
    /// What the kernel says, such as a process of another user.
    pub fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for its end beside everything else, for as long as it takes.
    ///
    /// # Errors
    /// What the kernel says.
    #[expect(unsafe_code, reason = "tokio asks for the promise that a descriptor stays the same one")]
    pub async fn ended(self) -> io::Result<()> {
        // SAFETY: an `OwnedFd` is one open descriptor for its whole life, and is moved into the registration.
        let fd = unsafe { AsyncFd::register(self.fd) }.map_err(io::Error::from)?;
        // The descriptor of a process is readable once that has ended.
        fd.readable().await.map(|_ended| ())
    }

    /// Waits for its end; says whether it has come within `limit`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait_end(&self, limit: Duration) -> io::Result<bool> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let wait = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut fds, Some(&wait)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::signal;

    #[test]
    fn a_process_is_seen_stopped_held_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = File::create(&path).unwrap();
        let mut child = Command::new("sleep").arg("60").stdin(File::open(&path).unwrap()).spawn().unwrap();
        let it = identity::process(child.id() as i32).unwrap().unwrap();
        let handle = Handle::open(it).unwrap().unwrap();
        assert!(handle.has_open(&file).unwrap());
        assert!(!handle.has_open(&File::create(dir.path().join("other")).unwrap()).unwrap());
        signal::send(it, Signal::STOP).unwrap();
        while doing(it) != Doing::Stopped('T') {
            std::thread::yield_now();
        }
        assert!(!handle.wait_end(Duration::ZERO).unwrap());
        handle.kill().unwrap();
        assert!(handle.wait_end(Duration::from_secs(20)).unwrap());
        assert_eq!(doing(it), Doing::Gone, "a zombie does nothing any more");
        child.wait().unwrap();
        assert_eq!(doing(it), Doing::Gone);
        let stranger = ProcessRef { start_ticks: it.start_ticks + 1, ..identity::this_process().unwrap() };
        assert!(Handle::open(stranger).unwrap().is_none());
    }
}

//! Starting a shim: the running program again, without fork, with one message on its input.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wharf_model::shim::StartMessage;

use super::kill_point::{self, kill_point};
use super::shim_dir::names;

/// Time in which a new shim must have taken its start message.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);

/// A shim started from here. It outlives this value and this process; whoever holds the value
/// should wait for it in the end, so that no zombie stays.
#[derive(Debug)]
pub struct SpawnedShim {
    child: Child,
    /// Held by the shim until it can be reached.
    until_ready: Option<ChildStdout>,
}

impl SpawnedShim {
    /// Process number.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for at most `limit` until the shim can be reached on its sockets, or has ended. Nothing
    /// is proven by that: its directory tells which. Saves its keeper from asking again and again.
    pub fn wait_until_ready(&mut self, limit: Duration) {
        if let Some(pipe) = self.until_ready.take() {
            // The shim writes nothing; the only news is that it has let go. A failed wait only costs time.
            let _ = wait_ready(&pipe, PollFlags::IN, limit);
        }
    }

    /// Its exit status; `None` while it runs. Reaps it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end for at most `limit`; `None` when it still runs then.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait_for(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let Some(pid) = Pid::from_raw(self.pid()) else { return Ok(None) };
            // Our own unreaped child: the number cannot mean anyone else.
            let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
            wait_ready(&pidfd, PollFlags::IN, left)?;
        }
    }
}

/// Starts a shim for a directory made by [`super::shim_dir::write_shim_dir`] and hands it the
/// start message. Returns once the message is handed over; that the child runs is said by the
/// control socket and the log.
///
/// # Errors
/// What the kernel says; no shim runs then. A shim that finds its directory used exits with
/// [`wharf_model::shim::EXIT_DIRECTORY_USED`].
pub fn spawn_shim(dir: &Path, message: &StartMessage) -> io::Result<SpawnedShim> {
    // The path of the running program may have been replaced or deleted by an upgrade.
    spawn_shim_from(Path::new("/proc/self/exe"), dir, message)
}

/// [`spawn_shim`] with the program named: for tests, whose own executable is not `wharf`.
///
/// # Errors
/// As [`spawn_shim`].
pub fn spawn_shim_from(program: &Path, dir: &Path, message: &StartMessage) -> io::Result<SpawnedShim> {
    let words = |what: &str, e: io::Error| {
        io::Error::new(e.kind(), format!("cannot {what} the shim of {}: {e}", dir.display()))
    };
    let json = serde_json::to_vec(message)?;
    let errors = std::fs::File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.join(names::ERRORS))
        .map_err(|e| words("open the error file of", e))?;
    let mut command = Command::new(program);
    command.arg0("wharf").arg("shim").arg(dir).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
    if cfg!(debug_assertions)
        && let Some(point) = std::env::var_os(kill_point::VARIABLE)
    {
        command.env(kill_point::VARIABLE, point);
    }
    let mut child = command.spawn().map_err(|e| words("start", e))?;
    kill_point("run.shim_spawned");
    let handed_over = match child.stdin.take() {
        Some(stdin) => hand_over(stdin, &json),
        None => Err(io::Error::other("its input is no pipe")),
    };
    if let Err(error) = handed_over {
        // Without a whole message it would leave by itself; this only makes it quick. The kill
        // finds our own unreaped child or nothing.
        let _ = child.kill();
        let _ = child.wait();
        return Err(words("hand the start message to", error));
    }
    let until_ready = child.stdout.take();
    Ok(SpawnedShim { child, until_ready })
}

fn hand_over(stdin: std::process::ChildStdin, mut message: &[u8]) -> io::Result<()> {
    let end = Instant::now() + MESSAGE_LIMIT;
    rustix::io::ioctl_fionbio(&stdin, true)?;
    let mut stdin = stdin;
    while !message.is_empty() {
        match stdin.write(message) {
            Ok(n) => message = &message[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, format!("not taken within {MESSAGE_LIMIT:?}")));
                }
                wait_ready(&stdin, PollFlags::OUT, left)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until a descriptor is ready or `limit` has passed; interruptions count as ready.
pub(crate) fn wait_ready(fd: &impl AsFd, flags: PollFlags, limit: Duration) -> io::Result<()> {
    let wait = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    match poll(&mut [PollFd::new(fd, flags)], Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

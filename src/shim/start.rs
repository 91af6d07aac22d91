//! From an empty process to the keeper of a directory: message, session, lock, identity.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use wharf_model::shim::{
    ChildRef, EXIT_DIRECTORY_USED, IdFile, PROTOCOL, ProcessRef, SpawnError, Spec, StartMessage, Stopped,
};

use super::{clock, exit_record};
use crate::process::kill_point::kill_point;
use crate::process::shim_dir::{names, replace_file};
use crate::process::signal::SignalFile;
use crate::process::{exec, identity, lock};

/// Exit status when a spec or the surroundings made a start impossible; nothing was left behind.
/// Not 101, which is what a panic gives.
pub const EXIT_REFUSED: i32 = 103;
/// Exit status when the end could not be recorded.
pub const EXIT_UNRECORDED: i32 = 102;

/// Longest start message. Prompts are the large part of it.
const MESSAGE_MAX_BYTES: u64 = 64 << 20;
/// Nice value of the scheduling group of a shim and all it keeps: a third of a share beside a console.
const GROUP_NICE: &str = "5";
/// Longest spec.
const SPEC_MAX_BYTES: u64 = 4 << 20;
/// Time in which the start message must come.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);

/// Why this process does not become a shim.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The start message did not come whole: whoever started this is gone.
    #[error("the start message did not come whole")]
    NoMessage,
    /// The directory was used before.
    #[error("{0} was used before; a directory is used once")]
    Used(PathBuf),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

impl Refusal {
    /// Exit status of the process.
    pub fn exit_status(&self) -> i32 {
        match self {
            Self::NoMessage => 0,
            Self::Used(_) => EXIT_DIRECTORY_USED,
            Self::Other(_) => EXIT_REFUSED,
        }
    }
}

/// The directory, reached by descriptor: it may be moved while the shim lives, and a path through
/// the descriptor is short enough for a socket address.
#[derive(Debug)]
pub struct ShimDir {
    _fd: OwnedFd,
    path: PathBuf,
}

impl ShimDir {
    fn open(dir: &Path) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        Ok(Self { _fd: fd, path })
    }

    /// Path of the directory, for this process only.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A process that keeps a directory and has started nothing yet.
#[derive(Debug)]
pub struct Keeper {
    /// The directory.
    pub dir: ShimDir,
    /// What to run.
    pub spec: Spec,
    /// Secrets and input.
    pub message: StartMessage,
    /// Signals as a file.
    pub signals: SignalFile,
    /// Held for life.
    pub lock: File,
    /// This process.
    pub me: ProcessRef,
    /// Control groups of the child, named before they are made.
    pub cgroups: Vec<String>,
    boot_id: String,
}

/// Becomes the keeper of `dir`.
///
/// # Errors
/// [`Refusal`]; except for [`Refusal::Used`] nothing was left in the directory but, where the lock was taken
/// already, a record that nothing was started.
pub fn begin(dir: &Path) -> Result<Keeper, Refusal> {
    let other = |what: &str| {
        let what = what.to_owned();
        move |e: io::Error| Refusal::Other(format!("cannot {what}: {e}"))
    };
    exec::close_inherited();
    let open = ShimDir::open(dir).map_err(other(&format!("open the directory {}", dir.display())))?;
    // Leaves the terminal's session: no Ctrl-C, no hang-up, no stop from there.
    rustix::process::setsid().map_err(|e| other("leave the session")(e.into()))?;
    // A session of its own is also a scheduling group of its own. The operator's keys go before what
    // floods; where there are no such groups, or their number was changed just now, it stays as it is.
    let _ = std::fs::write("/proc/self/autogroup", GROUP_NICE);
    // Orphaned descendants become our children instead of leaving the tree.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|e| other("become the reaper of descendants")(e.into()))?;
    let _ = rustix::thread::set_name(c"wharf-shim");
    let signals = SignalFile::install().map_err(other("receive signals"))?;
    // No directory of someone else's is kept busy by this process.
    std::env::set_current_dir("/").map_err(other("leave the current directory"))?;

    let message = read_message()?;
    let spec = read_spec(open.path())?;
    let me = identity::this_process().map_err(other("identify itself"))?;
    let boot_id = identity::boot_id().map_err(other("read the boot id"))?;
    let lock = take_lock(open.path(), me)
        .map_err(other(&format!("lock {}", dir.display())))?
        .ok_or_else(|| Refusal::Used(dir.to_owned()))?;
    kill_point("shim.locked");
    let keeper = Keeper { dir: open, spec, message, signals, lock, me, cgroups: Vec::new(), boot_id };
    if let Err(error) = keeper.write_id(None, None) {
        return Err(keeper.give_back(&error));
    }
    kill_point("shim.id_written");
    Ok(keeper)
}

impl Keeper {
    /// Ends the keeping before it began, so that nobody takes a free lock for that of a shim that died: the end is
    /// recorded, and where there is no room for that either, the lock goes.
    fn give_back(self, error: &io::Error) -> Refusal {
        let words = format!("cannot write the identity: {error}");
        let code = if error.kind() == io::ErrorKind::StorageFull { "disk_full" } else { "exec_failed" };
        let spawn_error =
            SpawnError { code: code.to_owned(), message: format!("the shim {words}"), errno: error.raw_os_error() };
        if !exit_record::write_copy_only(self.dir.path(), spawn_error) {
            // Its holder ends now, and has run nothing.
            let _ = std::fs::remove_file(self.dir.path().join(names::LOCK));
        }
        Refusal::Other(words)
    }

    /// Writes `id.json`: without the child before it is spawned, with it after, and with its halt while
    /// it is stopped.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_id(&self, child: Option<ChildRef>, stopped: Option<Stopped>) -> io::Result<()> {
        let id = IdFile {
            v: 1,
            shim: self.me,
            boot_id: self.boot_id.clone(),
            child,
            cgroups: self.cgroups.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            stopped,
        };
        replace_file(self.dir.path(), names::ID, &serde_json::to_vec(&id)?, false)
    }
}

/// Closes the pipe on which whoever started this waits until it can be reached.
pub fn let_go_of_starter() {
    // Best effort: it looks by itself after a while.
    if let Ok(null) = exec::null_input() {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// Creates the lock file, already locked, under its name; `None` when the name exists.
///
/// It is made and locked under another name and linked into place, which fails like an exclusive
/// creation when the name exists. So nobody ever sees the file without its lock, which would
/// look like a shim that died.
fn take_lock(dir: &Path, me: ProcessRef) -> io::Result<Option<File>> {
    let fresh = dir.join(format!(".{}.{}-{}", names::LOCK, me.pid, me.start_ticks));
    let file = File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let linked = match lock::try_lock(&file) {
        Ok(true) => std::fs::hard_link(&fresh, dir.join(names::LOCK)),
        Ok(false) => Err(io::Error::other("a file just made is locked by another process")),
        Err(error) => Err(error),
    };
    std::fs::remove_file(&fresh)?;
    match linked {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_message() -> Result<StartMessage, Refusal> {
    let stdin = io::stdin();
    let end = clock::awake_ns() + MESSAGE_LIMIT.as_nanos() as u64;
    // Not through std's buffered handle, which would keep a copy of the secrets.
    let mut file = File::from(
        stdin.as_fd().try_clone_to_owned().map_err(|e| Refusal::Other(format!("cannot read its input: {e}")))?,
    );
    let mut bytes = Vec::new();
    let mut chunk = vec![0u8; 16 * 1024];
    loop {
        let left = end.saturating_sub(clock::awake_ns());
        let wait = Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as i64 };
        match poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Err(Refusal::NoMessage),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Err(Refusal::NoMessage),
        }
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) if bytes.len() as u64 + n as u64 > MESSAGE_MAX_BYTES => {
                return Err(Refusal::Other(format!("the start message is longer than {MESSAGE_MAX_BYTES} bytes")));
            }
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => return Err(Refusal::NoMessage),
        }
    }
    // From here on descriptor 0 is nobody's pipe.
    let null = exec::null_input().map_err(|e| Refusal::Other(format!("cannot open /dev/null: {e}")))?;
    rustix::stdio::dup2_stdin(&null).map_err(|e| Refusal::Other(format!("cannot close its input: {e}")))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        if bytes.is_empty() || error.is_eof() {
            Refusal::NoMessage
        } else {
            // serde_json's words may quote the text; only the place is said.
            Refusal::Other(format!(
                "the start message does not read at line {} column {}",
                error.line(),
                error.column()
            ))
        }
    })
}

fn read_spec(dir: &Path) -> Result<Spec, Refusal> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(dir.join(names::SPEC))?.take(SPEC_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|e| Refusal::Other(format!("cannot read {}: {e}", names::SPEC)))?;
    if bytes.len() as u64 > SPEC_MAX_BYTES {
        return Err(Refusal::Other(format!("{} is longer than {SPEC_MAX_BYTES} bytes", names::SPEC)));
    }
    let spec: Spec =
        serde_json::from_slice(&bytes).map_err(|e| Refusal::Other(format!("{} does not read: {e}", names::SPEC)))?;
    if spec.v != 1 {
        return Err(Refusal::Other(format!("{} has version {}; this program reads 1", names::SPEC, spec.v)));
    }
    Ok(spec)
}

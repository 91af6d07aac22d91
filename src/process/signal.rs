//! Signals: their names, sending one to exactly the process meant, receiving them as a file.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};

pub use rustix::process::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use wharf_model::shim::ProcessRef;

use super::identity;

/// Every signal that may be named, with its number on Linux.
const NAMES: &[(&str, i32)] = &[
    ("SIGHUP", libc::SIGHUP),
    ("SIGINT", libc::SIGINT),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGILL", libc::SIGILL),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGABRT", libc::SIGABRT),
    ("SIGBUS", libc::SIGBUS),
    ("SIGFPE", libc::SIGFPE),
    ("SIGKILL", libc::SIGKILL),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGSEGV", libc::SIGSEGV),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGPIPE", libc::SIGPIPE),
    ("SIGALRM", libc::SIGALRM),
    ("SIGTERM", libc::SIGTERM),
    ("SIGSTKFLT", 16),
    ("SIGCHLD", libc::SIGCHLD),
    ("SIGCONT", libc::SIGCONT),
    ("SIGSTOP", libc::SIGSTOP),
    ("SIGTSTP", libc::SIGTSTP),
    ("SIGTTIN", libc::SIGTTIN),
    ("SIGTTOU", libc::SIGTTOU),
    ("SIGURG", libc::SIGURG),
    ("SIGXCPU", libc::SIGXCPU),
    ("SIGXFSZ", libc::SIGXFSZ),
    ("SIGVTALRM", libc::SIGVTALRM),
    ("SIGPROF", libc::SIGPROF),
    ("SIGWINCH", libc::SIGWINCH),
    ("SIGIO", libc::SIGIO),
    ("SIGPWR", libc::SIGPWR),
    ("SIGSYS", libc::SIGSYS),
];

/// Name of a signal by number, such as `SIGKILL`; a real-time signal is `SIG` with its number.
pub fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, n)| *n == number) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("SIG{number}"),
    }
}

/// Signal by name; the `SIG` may be left out, case does not matter.
pub fn parse(name: &str) -> Option<Signal> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (_, number) = NAMES.iter().find(|(known, _)| known.get(3..) == Some(bare))?;
    Signal::from_named_raw(*number)
}

/// Sends a signal to exactly this process; says `false` when it is gone.
///
/// The descriptor is opened first and the start time compared after, so that a later process
/// with the same number is never hit.
///
/// # Errors
/// What the kernel says, such as a process of another user.
pub fn send(process: ProcessRef, signal: Signal) -> io::Result<bool> {
    if process.pid <= 0 {
        return Ok(false);
    }
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(false) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if identity::process(process.pid)? != Some(process) {
        return Ok(false);
    }
    match pidfd_send_signal(&pidfd, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Sends a signal to a whole process group; says `false` when it has no members.
///
/// Only for the parent of the group's leader while the leader is not reaped: an unreaped leader
/// keeps the number from being given to anyone else.
///
/// # Errors
/// What the kernel says.
pub fn send_group(pgid: i32, signal: Signal) -> io::Result<bool> {
    // Group 1 and 0 mean something else to kill(2).
    if pgid <= 1 {
        return Ok(false);
    }
    let Some(group) = Pid::from_raw(pgid) else { return Ok(false) };
    match rustix::process::kill_process_group(group, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Ends this process by a signal, as if it had come from outside, and leaves no core behind. For one that stands
/// in for another which ended so. Returns the exit code that says the same where the signal ends nothing.
#[expect(unsafe_code, reason = "signal dispositions and masks have no safe wrapper here")]
pub fn end_by(number: i32) -> u8 {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _unlimited = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // SAFETY: zeroed `sigaction` and `sigset_t` are valid, and every pointer outlives its call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(number, &raw const action, std::ptr::null_mut());
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, number);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(number);
    }
    u8::try_from(128 + number).unwrap_or(u8::MAX)
}

/// Lets a write beyond a limit on file sizes fail instead of ending the process: an orchestrator refuses what it
/// cannot write, and goes on. Caught, not ignored, so that programs started from here know nothing of it.
#[expect(unsafe_code, reason = "signal dispositions have no safe wrapper here")]
pub fn outlive_limits() {
    extern "C" fn pass(_: libc::c_int) {}
    // SAFETY: a zeroed `sigaction` is valid, the handler does nothing, and the pointers outlive the call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = pass as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGXFSZ, &raw const action, std::ptr::null_mut());
    }
}

/// Signals of this process as a readable file.
#[derive(Debug)]
pub struct SignalFile(File);

impl SignalFile {
    /// Gives every signal its default action, lets SIGHUP, SIGPIPE and SIGXFSZ (a file that would grow
    /// beyond a limit: the write then fails) pass without effect and turns SIGCHLD, SIGTERM and SIGINT into reads of the returned file.
    ///
    /// These are caught by an empty handler instead of being ignored: an ignored signal stays
    /// ignored in every program started from here, a caught one does not.
    ///
    /// For a process with one thread: a mask belongs to its thread.
    ///
    /// # Errors
    /// What the kernel says.
    #[expect(unsafe_code, reason = "signal dispositions, masks and signalfd have no safe wrapper here")]
    pub fn install() -> io::Result<Self> {
        extern "C" fn pass(_: libc::c_int) {}
        // SAFETY: zeroed `sigaction` and `sigset_t` are valid; the handler does nothing and so is
        // async-signal-safe; every pointer outlives its call; the descriptor is ours alone.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            for number in 1..=64 {
                // The two that cannot be changed and the two libc keeps for itself answer EINVAL.
                libc::sigaction(number, &raw const action, std::ptr::null_mut());
            }
            action.sa_sigaction = pass as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            for number in [libc::SIGHUP, libc::SIGPIPE, libc::SIGXFSZ] {
                if libc::sigaction(number, &raw const action, std::ptr::null_mut()) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for number in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT] {
                libc::sigaddset(&raw mut set, number);
            }
            let code = libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
            if code != 0 {
                return Err(io::Error::from_raw_os_error(code));
            }
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(File::from_raw_fd(fd)))
        }
    }

    /// Takes what has arrived; never waits.
    pub fn take(&mut self) -> Arrived {
        let mut arrived = Arrived::default();
        let mut record = [0u8; std::mem::size_of::<libc::signalfd_siginfo>()];
        // Standard signals do not queue: at most one of each of the three is there.
        for _ in 0..8 {
            match self.0.read(&mut record) {
                Ok(n) if n == record.len() => {
                    let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
                    match number as i32 {
                        libc::SIGCHLD => arrived.child = true,
                        libc::SIGTERM | libc::SIGINT => arrived.terminate = true,
                        _ => {}
                    }
                }
                _ => break,
            }
        }
        arrived
    }
}

impl AsFd for SignalFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Signals that came since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrived {
    /// A child changed its state.
    pub child: bool,
    /// This process was asked to end.
    pub terminate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_match_both_ways() {
        for (known, number) in NAMES {
            assert_eq!(name(*number), *known);
            assert_eq!(parse(known).unwrap().as_raw(), *number, "{known}");
        }
        assert_eq!(parse("term").unwrap(), Signal::TERM);
        assert_eq!(parse("SIGNOPE"), None);
        assert_eq!(parse(""), None);
        assert_eq!(name(40), "SIG40");
    }

    #[test]
    fn a_stranger_with_the_same_number_is_never_hit() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let it = identity::process(child.id() as i32).unwrap().unwrap();
        let stranger = ProcessRef { start_ticks: it.start_ticks.wrapping_sub(1), ..it };
        assert!(!send(stranger, Signal::KILL).unwrap());
        assert!(identity::is_alive(it).unwrap());
        assert!(send(it, Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!send(it, Signal::KILL).unwrap());
    }

    #[test]
    fn groups_zero_and_one_are_refused() {
        assert!(!send_group(0, Signal::CONT).unwrap());
        assert!(!send_group(1, Signal::CONT).unwrap());
        assert!(!send_group(-5, Signal::CONT).unwrap());
    }
}

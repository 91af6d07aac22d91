//! Having the terminal: the process group whose keys it sends and whose output it takes.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::tcsetpgrp;

/// Makes this process's group the terminal's foreground group again, after a child that took it
/// for a group of its own has ended or was killed.
///
/// # Errors
/// What the kernel says: it is no terminal, or not ours.
pub fn take(terminal: impl AsFd) -> io::Result<()> {
    let before = block()?;
    let taken = tcsetpgrp(terminal, rustix::process::getpgrp());
    restore(&before);
    taken.map_err(Into::into)
}

/// Keeps the kernel from stopping this thread for touching a terminal that it does not have.
#[expect(unsafe_code, reason = "rustix offers no signal mask of a thread")]
fn block() -> io::Result<libc::sigset_t> {
    // SAFETY: all-zero is a valid set; the calls only write the sets that are passed, which outlive them.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTTOU);
        match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) {
            0 => Ok(before),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

#[expect(unsafe_code, reason = "rustix offers no signal mask of a thread")]
fn restore(before: &libc::sigset_t) {
    // SAFETY: the set was filled by the kernel and outlives the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
}

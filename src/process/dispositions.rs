//! What happens to this process on a signal: what a program that is executed next inherits.

use std::io;

use super::signal::Signal;

/// Signals that ask a program to end or to do something, sent to a whole group: a program that only stands
/// between must not end by them before the one behind it has.
pub const ASKING: [Signal; 6] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];

/// Ignores the asking signals, also in the program that is executed next.
///
/// # Errors
/// What the kernel says.
pub fn ignore_asking() -> io::Result<()> {
    set(libc::SIG_IGN)
}

/// Gives the asking signals back the effect that they have by themselves.
///
/// # Errors
/// What the kernel says.
pub fn restore_asking() -> io::Result<()> {
    set(libc::SIG_DFL)
}

#[expect(unsafe_code, reason = "the standard library has no way to ignore a signal")]
fn set(disposition: libc::sighandler_t) -> io::Result<()> {
    for signal in ASKING {
        // SAFETY: neither disposition is a function of this process.
        if unsafe { libc::signal(signal.as_raw(), disposition) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

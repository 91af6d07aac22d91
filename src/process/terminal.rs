//! Pseudo-terminals: a pair for a child, their size and modes; and the modes of the operator's own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    ControlModes, LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use wharf_model::shim::TtySize;

/// Makes a pair of this size: the end that is kept (never blocking) and the child's.
///
/// # Errors
/// What the kernel says.
pub fn open_pair(size: TtySize) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let keeper = openpt(flags)?;
    grantpt(&keeper)?;
    unlockpt(&keeper)?;
    // By the descriptor, not by a name: another file system may be mounted there.
    let child = ioctl_tiocgptpeer(&keeper, flags)?;
    resize(&keeper, size)?;
    rustix::io::ioctl_fionbio(&keeper, true)?;
    Ok((keeper, child))
}

/// Sets the size; the foreground group of the terminal is told with SIGWINCH when it is another.
///
/// # Errors
/// What the kernel says.
pub fn resize(terminal: impl AsFd, size: TtySize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).map_err(Into::into)
}

/// The size; `None` when it is no terminal or reports none.
pub fn size(terminal: impl AsFd) -> Option<TtySize> {
    let size = tcgetwinsize(terminal).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(TtySize { rows: size.ws_row, cols: size.ws_col })
}

/// Whether the terminal does not show what is typed, as for a password. A program that reads key by key
/// and draws by itself cannot be told from one that asks for a password so.
pub fn hides_typing(terminal: impl AsFd) -> bool {
    tcgetattr(terminal).is_ok_and(|t| !t.local_modes.contains(LocalModes::ECHO))
}

/// Passes every key of the operator's terminal on as it is; gives the modes of before for [`restore`].
///
/// # Errors
/// It is no terminal.
pub fn make_raw(terminal: impl AsFd) -> io::Result<Termios> {
    let before = tcgetattr(terminal.as_fd())?;
    let mut raw = before.clone();
    raw.make_raw();
    raw.control_modes |= ControlModes::CS8;
    tcsetattr(terminal, OptionalActions::Now, &raw)?;
    Ok(before)
}

/// Puts the modes back.
///
/// # Errors
/// The terminal is gone.
pub fn restore(terminal: impl AsFd, before: &Termios) -> io::Result<()> {
    tcsetattr(terminal, OptionalActions::Now, before).map_err(Into::into)
}

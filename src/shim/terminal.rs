//! The child's terminal as its keeper sees it: what is typed into it, its size, when it is in use again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wharf_model::shim::TtySize;

use super::clock;
use crate::process::terminal;

/// Most typed bytes that wait for a child which does not read.
pub const INPUT_MAX_BYTES: usize = 64 * 1024;
/// Most rows or columns.
const SIDE_MAX: u16 = 4_096;
/// Time between two looks whether a terminal that nobody had open is in use again.
const LOOK_NS: u64 = clock::ms(100);

/// Why something typed was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// The child has not read this many bytes of what came before.
    Waiting(usize),
}

/// The keeper's end. While it is open the child's terminal is there; closing it hangs up.
#[derive(Debug)]
pub struct Terminal {
    keeper: File,
    waiting: Vec<u8>,
    size: TtySize,
    next_look: u64,
}

impl Terminal {
    /// Keeps a terminal of this size.
    pub fn new(keeper: OwnedFd, size: TtySize) -> Self {
        Self { keeper: keeper.into(), waiting: Vec::new(), size, next_look: 0 }
    }

    /// Types: whole or not at all. Never waits.
    ///
    /// # Errors
    /// Too much waits already.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(), NotTaken> {
        if self.waiting.len() + bytes.len() > INPUT_MAX_BYTES {
            return Err(NotTaken::Waiting(self.waiting.len()));
        }
        self.waiting.extend_from_slice(bytes);
        self.write();
        Ok(())
    }

    /// Passes on what the terminal takes. One that is hung up takes nothing more, and what waits is dropped.
    pub fn write(&mut self) {
        while !self.waiting.is_empty() {
            match self.keeper.write(&self.waiting) {
                Ok(0) => return,
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.waiting.clear(),
            }
        }
    }

    /// Drops what waits: nobody has the terminal open, so nobody will read it.
    pub fn drop_waiting(&mut self) {
        self.waiting.clear();
    }

    /// Whether what is typed is not shown by the terminal, as for a password.
    pub fn is_hidden(&self) -> bool {
        terminal::hides_typing(&self.keeper)
    }

    /// Whether something waits for the terminal to take it.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sets the size; says whether it is another than before.
    ///
    /// # Errors
    /// The size is none, or what the kernel says.
    pub fn resize(&mut self, size: TtySize) -> Result<bool, String> {
        let sides = 1..=SIDE_MAX;
        if !sides.contains(&size.rows) || !sides.contains(&size.cols) {
            return Err(format!("a terminal has 1 to {SIDE_MAX} rows and columns, not {}×{}", size.cols, size.rows));
        }
        terminal::resize(&self.keeper, size).map_err(|e| format!("the terminal cannot be resized: {e}"))?;
        Ok(std::mem::replace(&mut self.size, size) != size)
    }

    /// One more descriptor of it, for reading, when somebody has it open again after nobody had.
    pub fn opened_again(&mut self, now: u64) -> Option<OwnedFd> {
        if now < self.next_look {
            return None;
        }
        self.next_look = now + LOOK_NS;
        let mut fds = [PollFd::new(&self.keeper, PollFlags::IN)];
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&nothing)).ok()?;
        let ready = fds[0].revents();
        if ready.contains(PollFlags::HUP) && !ready.contains(PollFlags::IN) {
            return None;
        }
        self.keeper.as_fd().try_clone_to_owned().ok()
    }

    /// Has the next look happen at once: nobody of the child's own will open it any more.
    pub fn look_now(&mut self) {
        self.next_look = 0;
    }

    /// When [`Terminal::opened_again`] looks next.
    pub fn next_look(&self) -> u64 {
        self.next_look
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.keeper.as_fd()
    }
}

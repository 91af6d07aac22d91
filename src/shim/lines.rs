//! A listening socket and its connections: one JSON object a line, every buffer bounded.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::event::PollFlags;
use rustix::fs::Mode;
use serde::Serialize;
use wharf_model::shim::LINE_MAX_BYTES;

use super::clock;

/// Most connections of one socket.
const CONNECTIONS_MAX: usize = 16;
/// Most bytes that wait for one reader; whoever is slower is dropped, never waited for.
const OUTBOX_MAX_BYTES: usize = 4 * LINE_MAX_BYTES;
/// Time in which a connection must have said something.
const FIRST_LINE_NS: u64 = clock::ms(10_000);

/// One peer.
#[derive(Debug)]
pub struct Connection<S> {
    stream: UnixStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Nothing more is read; it goes once its outbox is empty.
    closing: bool,
    gone: bool,
    silent_until: Option<u64>,
    /// What the protocol knows about it.
    pub state: S,
}

impl<S> Connection<S> {
    /// Queues one line.
    pub fn say(&mut self, message: &impl Serialize) {
        // A message with string keys always serialises.
        let Ok(line) = serde_json::to_vec(message) else { return };
        if self.outbox.len() + line.len() >= OUTBOX_MAX_BYTES {
            self.gone = true;
            return;
        }
        self.outbox.extend_from_slice(&line);
        self.outbox.push(b'\n');
        self.write();
    }

    /// Ends the connection once what was said is written. What came and was not taken yet is dropped.
    pub fn close(&mut self) {
        self.closing = true;
        self.inbox = Vec::new();
    }

    /// Whether [`Connection::next_line`] has something to give.
    fn has_line(&self) -> bool {
        !self.gone && (self.inbox.contains(&b'\n') || self.inbox.len() > LINE_MAX_BYTES)
    }

    fn write(&mut self) {
        while !self.outbox.is_empty() && !self.gone {
            match self.stream.write(&self.outbox) {
                Ok(0) => self.gone = true,
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.gone = true,
            }
        }
    }

    fn read(&mut self) {
        let mut chunk = [0u8; 4096];
        // One longest line at a time: a peer that floods waits for its turn like everyone.
        while self.inbox.len() <= LINE_MAX_BYTES && !self.gone {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    // Half-closed peers still get their answers; nothing more comes from them.
                    self.closing = true;
                    return;
                }
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.gone = true,
            }
        }
    }

    fn next_line(&mut self) -> Option<Line> {
        if let Some(end) = self.inbox.iter().position(|&b| b == b'\n') {
            let rest = self.inbox.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.inbox, rest);
            line.truncate(end);
            self.silent_until = None;
            return Some(if line.len() <= LINE_MAX_BYTES { Line::Whole(line) } else { Line::TooLong });
        }
        if self.inbox.len() > LINE_MAX_BYTES {
            self.inbox = Vec::new();
            return Some(Line::TooLong);
        }
        None
    }
}

/// What a peer sent.
#[derive(Debug)]
pub enum Line {
    /// One line without its end.
    Whole(Vec<u8>),
    /// A line above the limit.
    TooLong,
}

/// A socket in the shim's directory.
#[derive(Debug)]
pub struct Server<S> {
    listener: UnixListener,
    connections: Vec<Connection<S>>,
}

impl<S: Default> Server<S> {
    /// Listens at `path`, for this user only.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen(path: &Path) -> io::Result<Self> {
        // The mode is decided when the name appears, so the mask must be right before.
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = bound?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, connections: Vec::new() })
    }

    /// Descriptors to poll: the listener, then each connection in order.
    pub fn poll_set(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let connections = self.connections.iter().map(|c| {
            let mut flags = if c.closing { PollFlags::empty() } else { PollFlags::IN };
            flags.set(PollFlags::OUT, !c.outbox.is_empty());
            (c.stream.as_fd(), flags)
        });
        std::iter::once((self.listener.as_fd(), PollFlags::IN)).chain(connections)
    }

    /// Takes what is ready, by the answers to [`Server::poll_set`] in its order.
    pub fn serve(&mut self, ready: &[PollFlags]) {
        for (connection, flags) in self.connections.iter_mut().zip(ready.iter().skip(1)) {
            if flags.intersects(PollFlags::OUT) {
                connection.write();
            }
            if flags.intersects(PollFlags::IN) && !connection.closing {
                connection.read();
            } else if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
                connection.gone = true;
            }
        }
        if ready.first().is_some_and(|flags| flags.intersects(PollFlags::IN)) {
            self.accept();
        }
    }

    fn accept(&mut self) {
        // Bounded, so that a flood of connections cannot hold up the pump.
        for _ in 0..CONNECTIONS_MAX {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if stream.set_nonblocking(true).is_err() || !is_same_user(&stream) {
                continue;
            }
            let mut connection = Connection {
                stream,
                inbox: Vec::new(),
                outbox: Vec::new(),
                closing: false,
                gone: false,
                silent_until: Some(clock::awake_ns() + FIRST_LINE_NS),
                state: S::default(),
            };
            if self.connections.len() < CONNECTIONS_MAX {
                self.connections.push(connection);
            } else {
                connection.say(&serde_json::json!({
                    "t": "error", "code": "busy",
                    "message": format!("{CONNECTIONS_MAX} connections are open; close one and try again"),
                }));
            }
        }
    }

    /// Next whole line of any peer with its connection's index; `None` when there is none.
    pub fn next_line(&mut self) -> Option<(usize, Line)> {
        self.connections
            .iter_mut()
            .enumerate()
            .filter(|(_, c)| !c.gone)
            .find_map(|(index, c)| Some((index, c.next_line()?)))
    }

    /// A connection by its index; indexes hold until [`Server::sweep`].
    pub fn connection(&mut self, index: usize) -> Option<&mut Connection<S>> {
        self.connections.get_mut(index)
    }

    /// All connections.
    pub fn connections(&mut self) -> impl Iterator<Item = &mut Connection<S>> {
        self.connections.iter_mut()
    }

    /// Removes connections that ended or never spoke.
    pub fn sweep(&mut self, now: u64) {
        self.connections.retain(|c| {
            let silent = c.silent_until.is_some_and(|until| now >= until);
            !(c.gone || silent || (c.closing && c.outbox.is_empty() && !c.has_line()))
        });
    }

    /// When [`Server::sweep`] or [`Server::next_line`] have something to do next: at once where a whole line is left.
    pub fn next_due(&self) -> Option<u64> {
        if self.connections.iter().any(Connection::has_line) {
            return Some(0);
        }
        self.connections.iter().filter_map(|c| c.silent_until).min()
    }

    /// Whether something said is not written yet.
    pub fn is_talking(&self) -> bool {
        self.connections.iter().any(|c| !c.gone && !c.outbox.is_empty())
    }
}

fn is_same_user(stream: &UnixStream) -> bool {
    let me = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == me || peer.uid.is_root())
}

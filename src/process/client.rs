//! Talking to a shim from outside: the control socket for orchestrators, the agent socket for a
//! `wharf` inside a run. Blocking, each wait with a limit.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::Serialize;
use serde_json::Value;
use wharf_model::shim::{AgentMessage, Control, ControlReply, LINE_MAX_BYTES, PROTOCOL};

use super::shim_dir::names;
use super::spawn::wait_ready;

/// Longest answer taken; an exit frame with names of survivors stays far below.
const ANSWER_MAX_BYTES: usize = 4 * LINE_MAX_BYTES;

/// Why a shim did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket could not be reached: its shim has ended or is just starting.
    #[error("cannot reach the shim at {path}: {source}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// No answer in time: the shim is stopped or very busy. What it did is unknown.
    #[error("the shim gave no answer within {0:?}")]
    NoAnswer(Duration),
    /// The shim went away in the middle.
    #[error("the shim closed the connection")]
    Closed,
    /// The shim refused.
    #[error("the shim refused ({code}): {message}")]
    Refused {
        /// `stale_epoch`, `bad_request`, `not_allowed`, `busy` …
        code: String,
        /// In words.
        message: String,
    },
    /// Something that is no answer.
    #[error("the shim's answer is not understood: {0}")]
    Garbled(String),
    /// The connection failed.
    #[error("the connection to the shim failed: {0}")]
    Io(#[from] io::Error),
}

/// A connection to the control socket.
#[derive(Debug)]
pub struct ControlClient {
    lines: LineSocket,
    welcome: ControlReply,
    pushes: VecDeque<ControlReply>,
    timeout: Duration,
}

impl ControlClient {
    /// Connects to the shim of `dir` and says hello with this orchestrator's epoch. `timeout` is
    /// the limit of this and of each later answer.
    ///
    /// # Errors
    /// [`ClientError`]; a lower epoch than the shim has seen is `Refused` with `stale_epoch`.
    pub fn connect(dir: &Path, epoch: i64, timeout: Duration) -> Result<Self, ClientError> {
        let lines = LineSocket::connect(&dir.join(names::CONTROL), timeout)?;
        let welcome = ControlReply::Ok;
        let mut client = Self { lines, welcome, pushes: VecDeque::new(), timeout };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        client.welcome = client.ask(&Control::Hello { v: PROTOCOL, epoch, version })?;
        Ok(client)
    }

    /// What the shim said at the beginning: [`ControlReply::Welcome`].
    pub fn welcome(&self) -> &ControlReply {
        &self.welcome
    }

    /// Sends one request and returns its answer; news that come in between are kept for
    /// [`ControlClient::next_push`].
    ///
    /// # Errors
    /// [`ClientError`]; after `NoAnswer` the connection should be given up.
    pub fn ask(&mut self, request: &Control) -> Result<ControlReply, ClientError> {
        let end = Instant::now() + self.timeout;
        self.lines.send(request, end).map_err(|e| self.in_time(e))?;
        loop {
            let line = self.lines.next(end)?.ok_or(ClientError::NoAnswer(self.timeout))?;
            match parse(&line)? {
                ControlReply::Error { code, message } => return Err(ClientError::Refused { code, message }),
                push if is_push(&push) => self.pushes.push_back(push),
                answer => return Ok(answer),
            }
        }
    }

    /// Next piece of news after [`Control::Watch`]; `None` when none came within `limit`.
    ///
    /// # Errors
    /// [`ClientError`], `Closed` when the shim has gone.
    pub fn next_push(&mut self, limit: Duration) -> Result<Option<ControlReply>, ClientError> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(Some(push));
        }
        let end = Instant::now() + limit;
        while let Some(line) = self.lines.next(end)? {
            let push = parse(&line)?;
            if is_push(&push) {
                return Ok(Some(push));
            }
        }
        Ok(None)
    }

    fn in_time(&self, error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::TimedOut => ClientError::NoAnswer(self.timeout),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ClientError::Closed,
            _ => ClientError::Io(error),
        }
    }
}

impl AsFd for ControlClient {
    /// For waiting on several shims at once: readable when news have come. What is buffered
    /// already does not show here, so take all news with a zero limit first.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lines.stream.as_fd()
    }
}

fn is_push(reply: &ControlReply) -> bool {
    use ControlReply::{DiskFull, DiskOk, Exited, Leaky, Message, Started};
    matches!(reply, Started { .. } | DiskFull | DiskOk | Leaky | Message { .. } | Exited { .. })
}

fn parse(line: &[u8]) -> Result<ControlReply, ClientError> {
    serde_json::from_slice(line).map_err(|e| ClientError::Garbled(e.to_string()))
}

/// A connection of a `wharf` inside a run to its shim's agent socket.
#[derive(Debug)]
pub struct AgentClient {
    lines: LineSocket,
    timeout: Duration,
}

impl AgentClient {
    /// Connects to the socket that `WHARF_AGENT_SOCKET` names.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub fn connect(socket: &Path, timeout: Duration) -> Result<Self, ClientError> {
        Ok(Self { lines: LineSocket::connect(socket, timeout)?, timeout })
    }

    /// Sends a message and returns once the shim has stored it. A repeated send with the same id
    /// is stored again and taken once.
    ///
    /// # Errors
    /// [`ClientError`]; `Refused` with `disk_full` may be tried again later.
    pub fn send(&mut self, message: &AgentMessage) -> Result<(), ClientError> {
        let end = Instant::now() + self.timeout;
        self.lines.send(message, end)?;
        loop {
            let answer = self.next(end)?.ok_or(ClientError::NoAnswer(self.timeout))?;
            match answer["t"].as_str() {
                Some("stored") if answer["message_id"] == message.message_id.as_str() => return Ok(()),
                Some("error") => {
                    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
                    return Err(ClientError::Refused { code: text("code"), message: text("message") });
                }
                _ => {}
            }
        }
    }

    /// Waits for the answer to a message that was sent on this connection; `None` when none came
    /// within `limit`.
    ///
    /// # Errors
    /// [`ClientError`], `Closed` when the run has ended.
    pub fn wait_for_reply(&mut self, message_id: &str, limit: Duration) -> Result<Option<Value>, ClientError> {
        let end = Instant::now() + limit;
        while let Some(mut answer) = self.next(end)? {
            if answer["t"] == "reply" && answer["message_id"] == message_id {
                return Ok(Some(answer["body"].take()));
            }
        }
        Ok(None)
    }

    fn next(&mut self, end: Instant) -> Result<Option<Value>, ClientError> {
        let Some(line) = self.lines.next(end)? else { return Ok(None) };
        serde_json::from_slice(&line).map(Some).map_err(|e| ClientError::Garbled(e.to_string()))
    }
}

/// A socket that carries lines, with limits for waiting and length.
#[derive(Debug)]
struct LineSocket {
    stream: UnixStream,
    inbox: Vec<u8>,
}

impl LineSocket {
    fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let unreachable = |source: io::Error| ClientError::Unreachable { path: path.to_owned(), source };
        let end = Instant::now() + timeout;
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(unreachable(io::ErrorKind::NotFound.into()));
        };
        // A socket address ends at 107 bytes; through a descriptor any directory is near.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let dir = File::open(dir).map_err(unreachable)?;
        let near = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
        let address = SocketAddrUnix::new(&near).map_err(|e| unreachable(e.into()))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|e| unreachable(e.into()))?;
        loop {
            match rustix::net::connect(&socket, &address) {
                Ok(()) => return Ok(Self { stream: UnixStream::from(socket), inbox: Vec::new() }),
                // The queue of a shim that is stopped is full; nothing tells when it moves on.
                Err(rustix::io::Errno::AGAIN) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(rustix::io::Errno::AGAIN) => return Err(ClientError::NoAnswer(timeout)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(unreachable(error.into())),
            }
        }
    }

    fn send(&mut self, message: &impl Serialize, end: Instant) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        if line.len() > LINE_MAX_BYTES {
            let words = format!("a message of {} bytes is above the limit of {LINE_MAX_BYTES}", line.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        line.push(b'\n');
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    wait_ready(&self.stream, PollFlags::OUT, left)?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Next line without its end; `None` when none is whole by `end`.
    fn next(&mut self, end: Instant) -> Result<Option<Vec<u8>>, ClientError> {
        let mut chunk = [0u8; 8192];
        loop {
            if let Some(at) = self.inbox.iter().position(|&b| b == b'\n') {
                let rest = self.inbox.split_off(at + 1);
                let mut line = std::mem::replace(&mut self.inbox, rest);
                line.truncate(at);
                return Ok(Some(line));
            }
            if self.inbox.len() > ANSWER_MAX_BYTES {
                return Err(ClientError::Garbled(format!("a line is longer than {ANSWER_MAX_BYTES} bytes")));
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    wait_ready(&self.stream, PollFlags::IN, left)?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Err(ClientError::Closed),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

//! What the reading script says: frames of two streams, signs of life, the end.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::ChildStdout;

/// Silence after which a connection is taken for dead; the script gives a sign every few seconds.
const SILENCE: Duration = Duration::from_secs(20);
/// Largest frame that is taken.
const FRAME_MAX: u64 = 4 << 20;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this code.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

/// Something that was said.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of standard output.
    Out(Vec<u8>),
    /// Bytes of standard error.
    Err(Vec<u8>),
    /// Nothing new.
    Alive,
    /// It ended, and everything was sent.
    Ended(End),
    /// It is over, everything was sent, and nobody saw how it ended.
    Lost(String),
}

/// Frames of one connection.
#[derive(Debug)]
pub struct Frames(BufReader<ChildStdout>);

impl Frames {
    /// Reads behind the begin of the script.
    pub fn new(stdout: ChildStdout) -> Self {
        Self(BufReader::with_capacity(256 << 10, stdout))
    }

    /// The next one, whole.
    ///
    /// # Errors
    /// The stream ends, is silent for too long, or says what cannot be understood: the connection is of no use.
    pub async fn next(&mut self) -> io::Result<Frame> {
        let line = self.line().await?;
        let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match kind {
            "o" => Ok(Frame::Out(self.payload(rest).await?)),
            "e" => Ok(Frame::Err(self.payload(rest).await?)),
            "h" => Ok(Frame::Alive),
            "l" => Ok(Frame::Lost(rest.to_owned())),
            "x" => match rest.split_once(' ').map(|(how, n)| (how, n.parse::<i32>())) {
                Some(("code", Ok(code))) => Ok(Frame::Ended(End::Code(u8::try_from(code & 0xff).unwrap_or(255)))),
                Some(("signal", Ok(signal))) => Ok(Frame::Ended(End::Signal(signal))),
                _ => Err(garbled(&line)),
            },
            _ => Err(garbled(&line)),
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        within((&mut self.0).take(4096).read_until(b'\n', &mut line)).await?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// The bytes of a frame; only those that came whole.
    async fn payload(&mut self, length: &str) -> io::Result<Vec<u8>> {
        let size = length.parse::<u64>().ok().filter(|n| *n <= FRAME_MAX).ok_or_else(|| garbled(length))?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut at = 0;
        while at < bytes.len() {
            match within(self.0.read(&mut bytes[at..])).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => at += n,
            }
        }
        if self.line().await?.is_empty() && self.line().await? == format!(".{length}") {
            Ok(bytes)
        } else {
            Err(garbled("a frame that does not end where it should"))
        }
    }
}

fn garbled(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not understood: {what}"))
}

async fn within<T>(read: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(SILENCE, read).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

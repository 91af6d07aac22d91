//! A connection to a shim's control socket.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use wharf_model::shim::{Control, ControlReply, LINE_MAX_BYTES, PROTOCOL};

use crate::process::shim_dir;

/// Time a shim has to answer one message.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Time a shim has to greet: one that is stopped accepts and says nothing.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// The highest version that both ends speak. A shim of the first version may list none.
pub(super) fn common_version(theirs: &[u32]) -> Option<u32> {
    if theirs.is_empty() {
        return Some(1);
    }
    theirs.iter().copied().filter(|v| (1..=PROTOCOL).contains(v)).max()
}

/// A connection to a shim's control socket.
pub(super) struct Link {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    line: Vec<u8>,
}

impl Link {
    pub(super) async fn open(path: &Path, epoch: i64) -> Result<(Self, ControlReply), String> {
        // Socket addresses end at 107 bytes: the directory is reached through its descriptor.
        let dir = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let address = format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), shim_dir::names::CONTROL);
        let stream = tokio::time::timeout(ANSWER_LIMIT, UnixStream::connect(&address))
            .await
            .map_err(|_| "its control socket does not accept".to_owned())?
            .map_err(|e| format!("its control socket: {e}"))?;
        drop(dir);
        let (reader, writer) = stream.into_split();
        let mut link = Self { reader: BufReader::new(reader), writer, line: Vec::new() };
        let hello = Control::Hello { v: PROTOCOL, epoch, version: env!("CARGO_PKG_VERSION").to_owned() };
        link.send(&hello).await?;
        let welcome = tokio::time::timeout(GREETING_LIMIT, link.next())
            .await
            .map_err(|_| "its control socket does not answer".to_owned())??
            .ok_or_else(|| "its control socket closed".to_owned())?;
        match &welcome {
            ControlReply::Welcome { versions, .. } => match common_version(versions) {
                Some(_) => Ok((link, welcome)),
                None => Err(format!(
                    "its shim speaks protocol {versions:?} and this wharf up to {PROTOCOL}; use the wharf that started it"
                )),
            },
            ControlReply::Error { code, message } => Err(format!("{code}: {message}")),
            _ => Err(format!("it greeted with {welcome:?}")),
        }
    }

    pub(super) async fn send(&mut self, message: &Control) -> Result<(), String> {
        let mut line = serde_json::to_vec(message).map_err(|e| e.to_string())?;
        line.push(b'\n');
        self.writer.write_all(&line).await.map_err(|e| e.to_string())
    }

    /// The next message; none when the other side has closed.
    pub(super) async fn next(&mut self) -> Result<Option<ControlReply>, String> {
        self.line.clear();
        let limit = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX) + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line).await.map_err(|e| e.to_string())?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.len() > LINE_MAX_BYTES {
            return Err("its control socket sent a line over 64 KiB".into());
        }
        serde_json::from_slice(&self.line).map(Some).map_err(|e| format!("its control socket sent no message: {e}"))
    }
}

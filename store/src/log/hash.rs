//! SHA-256 of the streams and of the files, for the sealing job.

use sha2::{Digest, Sha256};

use super::frame::{FLAG_GAP, Stream};
use super::item::{Item, StreamSet};
use super::read::LogReader;
use super::segments::LogError;

const CHUNK: usize = 256 * 1024;

/// Digests of a log, as lower-case hexadecimal digits, and the bytes they are over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHashes {
    /// Over the bytes of standard output.
    pub stdout_sha256: String,
    /// Over the bytes of standard error.
    pub stderr_sha256: String,
    /// Over the segment files, one after the other.
    pub log_sha256: String,
    /// Bytes of standard output.
    pub stdout_bytes: u64,
    /// Bytes of standard error.
    pub stderr_bytes: u64,
    /// Bytes of the files.
    pub log_bytes: u64,
    /// Damaged places met; with any, the stream digests are over what is left.
    pub damaged: u64,
}

impl LogReader {
    /// Computes all digests, in constant memory. `go_on` is asked after each 256 KiB or so with
    /// the bytes of the files read so far (each byte is read twice); `false` gives `None`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn hashes(&mut self, mut go_on: impl FnMut(u64) -> bool) -> Result<Option<LogHashes>, LogError> {
        self.refresh()?;
        let mut file = Sha256::new();
        let (mut stdout, mut stderr) = (Sha256::new(), Sha256::new());
        let (mut log_bytes, mut stdout_bytes, mut stderr_bytes, mut damaged) = (0u64, 0, 0, 0);
        let mut chunk = vec![0; CHUNK];
        for ix in 0..self.segments.count() {
            let segment = self.segments.get(ix);
            let mut at = 0;
            while at < segment.len {
                let part = (segment.len - at).min(CHUNK as u64) as usize;
                let read = self.segments.read_at(segment.number, at, &mut chunk[..part])?;
                if read == 0 {
                    break;
                }
                file.update(&chunk[..read]);
                at += read as u64;
                log_bytes += read as u64;
                if !go_on(log_bytes) {
                    return Ok(None);
                }
            }
        }
        let mut pos = self.start();
        let mut asked = 0;
        loop {
            match self.next_of(&mut pos, StreamSet::of(&[Stream::Stdout, Stream::Stderr, Stream::Terminal]))? {
                Item::End(_) => break,
                Item::Damage(_) => damaged += 1,
                Item::Frame(f) if f.head.flags & FLAG_GAP != 0 => {}
                Item::Frame(f) if f.stream != Stream::Stderr => {
                    stdout.update(f.payload);
                    stdout_bytes += f.payload.len() as u64;
                }
                Item::Frame(f) => {
                    stderr.update(f.payload);
                    stderr_bytes += f.payload.len() as u64;
                }
            }
            let done = log_bytes + stdout_bytes + stderr_bytes;
            if done - asked >= CHUNK as u64 {
                asked = done;
                if !go_on(done) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(LogHashes {
            stdout_sha256: hex(stdout),
            stderr_sha256: hex(stderr),
            log_sha256: hex(file),
            stdout_bytes,
            stderr_bytes,
            log_bytes,
            damaged,
        }))
    }
}

fn hex(digest: Sha256) -> String {
    format!("{:x}", digest.finalize())
}

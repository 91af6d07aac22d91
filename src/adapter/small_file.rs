//! Reads files that hold a prompt or a secret: regular, small, and never waited for.

use std::fs::{Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The text of a file of at most `max` bytes, with what is known about the file that was read.
pub(super) fn read(path: &Path, max: u64) -> Result<(String, Metadata)> {
    // Non-blocking, so that a named pipe in its place cannot hold up the start of a run.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {max} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is no UTF-8 text"))?;
    Ok((text, metadata))
}

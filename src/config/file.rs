//! Reads a config file as text, without ever waiting for it or taking more than a config can be.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::problem::ConfigErrors;

/// Largest config file, in bytes.
pub const FILE_MAX_BYTES: u64 = 1 << 20;

/// Name of a config file in messages.
pub(super) fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The text of a config file. `shown` is its name in messages.
pub(super) fn read_text(path: &Path, shown: &str) -> Result<String, ConfigErrors> {
    let unreadable =
        |cause: String, next: &str| ConfigErrors::Unreadable { file: shown.to_owned(), cause, next: next.to_owned() };
    let io = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => ConfigErrors::Missing { file: shown.to_owned() },
        ErrorKind::PermissionDenied => unreadable(error.to_string(), "give yourself the right to read it"),
        _ => unreadable(error.to_string(), "check the file and the disk it is on"),
    };
    // Non-blocking, so that a named pipe in its place cannot hold up whoever reads the config.
    let open = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let file = open.map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(unreadable("it is no regular file".into(), "put a text file in its place"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(unreadable("it has more than 1 MiB".into(), "a config is small; is this the right file?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].split(|b| *b == b'\n').count();
        unreadable(format!("line {line} holds bytes that are no UTF-8"), "save the file as UTF-8")
    })
}

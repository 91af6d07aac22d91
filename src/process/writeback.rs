//! Asking the kernel to begin writing a part of a file to the disk, without waiting for it.

use std::os::fd::{AsFd, AsRawFd};

/// Begins to write `bytes` bytes from `from` on. A later sync finds most of them written and waits
/// for less; it alone makes them durable. Best effort: where the kernel refuses, nothing is lost.
#[expect(unsafe_code, reason = "neither std nor rustix offers sync_file_range")]
pub fn begin(file: impl AsFd, from: u64, bytes: u64) {
    let (from, bytes) = (i64::try_from(from).unwrap_or(i64::MAX), i64::try_from(bytes).unwrap_or(0));
    // SAFETY: a plain system call on a descriptor that is open for the call.
    unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), from, bytes, libc::SYNC_FILE_RANGE_WRITE) };
}

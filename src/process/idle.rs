//! Work that waits for everything else.

/// Gives the calling thread the lowest priority there is, for good: an ordinary user cannot raise it
/// again, so this is for threads of their own.
pub fn stand_back() {
    // On Linux, 0 names the calling thread and no other.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "this thread keeps its priority");
    }
}

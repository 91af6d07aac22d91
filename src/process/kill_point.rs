//! Places between two durable steps where a test may end the process, as a crash would.

/// Dies by SIGKILL here when `WHARF_KILL_POINT` is `name`, or `name:n` on the n-th pass.
///
/// Only debug builds look; a release build compiles this to nothing.
#[cfg(debug_assertions)]
pub fn kill_point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static HITS: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var(VARIABLE) else { return };
    let (point, nth) = match wanted.split_once(':') {
        Some((point, nth)) => (point, nth.parse().unwrap_or(1)),
        None => (wanted.as_str(), 1),
    };
    if point == name && HITS.fetch_add(1, Ordering::Relaxed) + 1 == nth {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Compiles to nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn kill_point(_name: &str) {}

/// Variable that names the point.
pub const VARIABLE: &str = "WHARF_KILL_POINT";

//! Places between two durable steps where a test may end the process, as a crash would.

/// Dies by SIGKILL here when `WHARF_KILL_POINT` is `name`, or `name:n` on the n-th pass. Notes the
/// pass in the file that `WHARF_KILL_POINT_LOG` names, so that a test can learn which points there are.
///
/// Only debug builds look; a release build compiles this to nothing.
#[cfg(debug_assertions)]
pub fn kill_point(name: &str) {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU32, Ordering};
    static HITS: AtomicU32 = AtomicU32::new(0);
    if let Some(path) = std::env::var_os(LOG_VARIABLE)
        && let Ok(mut log) = std::fs::File::options().append(true).create(true).open(path)
    {
        // One write, so that lines of several threads stay whole.
        let _ = log.write_all(format!("{name}\n").as_bytes());
    }
    let Ok(wanted) = std::env::var(VARIABLE) else { return };
    let (point, nth) = match wanted.split_once(':') {
        Some((point, nth)) => (point, nth.parse().unwrap_or(1)),
        None => (wanted.as_str(), 1),
    };
    if point == name && HITS.fetch_add(1, Ordering::Relaxed) + 1 == nth {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// See the debug build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn kill_point(_name: &str) {}

/// Variable that names the point, handed on to shims in debug builds.
pub const VARIABLE: &str = "WHARF_KILL_POINT";
/// Variable that names the file in which every pass is noted.
pub const LOG_VARIABLE: &str = "WHARF_KILL_POINT_LOG";

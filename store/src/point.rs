//! Places between two durable steps, for tests that end the process there as a crash would.

use std::sync::OnceLock;

static HOOK: OnceLock<fn(&'static str)> = OnceLock::new();

/// Tells `hook` of every such place that is passed from now on (contracts 10, `store.*`). The first one stays.
/// Only debug builds ever call it.
pub fn on_point(hook: fn(&'static str)) {
    let _first_stays = HOOK.set(hook);
}

/// Variable that names a file: while it is there, commits of debug builds fail as if their sync had.
pub const LOST_SYNC: &str = "WHARF_FAULT_LOST_SYNC";

/// Fails as a disk would that does not keep what it is given, where a test asks for that. Debug builds only.
pub(crate) fn lost_sync() -> rusqlite::Result<()> {
    if cfg!(debug_assertions)
        && let Some(flag) = std::env::var_os(LOST_SYNC)
        && std::path::Path::new(&flag).exists()
    {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        return Err(rusqlite::Error::SqliteFailure(error, Some("a test asked for it".to_owned())));
    }
    Ok(())
}

/// Passes a place.
pub(crate) fn pass(name: &'static str) {
    if cfg!(debug_assertions)
        && let Some(hook) = HOOK.get()
    {
        hook(name);
    }
}

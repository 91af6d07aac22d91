//! Hashes of a run's log, once it has ended.

use std::path::Path;

use wharf_model::{ActionId, RunId};
use wharf_store::log::{LogError, LogReader};

use crate::dispatch::input::Fact;
use crate::process::shim_dir::names;

/// Computes the hashes of the log in `dir`, beside everything else.
pub fn seal(data: &Path, action: ActionId, run: RunId, dir: &str) -> Fact {
    let path = data.join(dir);
    if !path.exists() {
        return Fact::ActionDone { action };
    }
    let hashed = LogReader::open(&path).and_then(|mut log| {
        log.set_live(false);
        log.hashes(|_| true)
    });
    match hashed {
        Ok(Some(hashes)) => {
            tidy(&path);
            Fact::LogSealed {
                action,
                run,
                log_sha256: hashes.log_sha256,
                stdout_sha256: hashes.stdout_sha256,
                stderr_sha256: hashes.stderr_sha256,
                log_bytes: i64::try_from(hashes.log_bytes).unwrap_or(i64::MAX),
            }
        }
        Ok(None) => Fact::ActionFailed { action, error: "hashing was interrupted".into() },
        // Its shim died before it began one: there is nothing to hash, now or later.
        Err(LogError::Missing { .. }) => {
            tidy(&path);
            Fact::ActionDone { action }
        }
        Err(error) => Fact::ActionFailed { action, error: error.to_string() },
    }
}

/// Leaves only the log: all else that a shim kept here is in the run's row by now.
fn tidy(path: &Path) {
    for name in [names::CONTROL, names::AGENT, names::ID, names::EXIT, names::RESERVE, names::ERRORS, names::SPEC] {
        match std::fs::remove_file(path.join(name)) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, name, dir = %path.display(), "a file of an ended run stays"),
        }
    }
}

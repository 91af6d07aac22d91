//! A log once its process has ended: the hashes of a run's, then its compressed form in place of the segments.
//!
//! Of a run's log three actions follow one another, each of which can be repeated: hashes; sealed segments
//! beside the old ones; and, once the row says that they are there, the end of the old ones. Of a service's
//! start and of an operation no row speaks of the bytes: one action does it all.

use std::path::Path;

use wharf_model::{ActionId, RunId};
use wharf_store::log::{LogError, LogReader, SealPoint, remove_unsealed, seal};

use crate::dispatch::decide::seal::COMPRESS_FROM_BYTES;
use crate::dispatch::input::Fact;
use crate::dispatch::perform::SealPart;
use crate::process::kill_point::kill_point;
use crate::process::lock::{self, LockState};
use crate::process::shim_dir::names;

/// Does one part of it for the log in `dir`, beside everything else.
pub fn perform(data: &Path, action: ActionId, run: RunId, dir: &str, part: SealPart) -> Fact {
    let path = data.join(dir);
    if !path.exists() {
        return Fact::ActionDone { action };
    }
    let done = match part {
        SealPart::Hash => hash(&path, action, run),
        SealPart::Compress => compress(&path, action, run),
        SealPart::RemoveOld => remove_unsealed(&path).map(|()| {
            kill_point("seal.old_removed");
            Fact::ActionDone { action }
        }),
    };
    match done {
        Ok(fact) => fact,
        // Its shim died before it began one: there is nothing to do, now or later.
        Err(LogError::Missing { .. }) => {
            tidy(&path);
            Fact::ActionDone { action }
        }
        Err(error) => Fact::ActionFailed { action, error: error.to_string() },
    }
}

/// Leaves of the directory of a service's start or of an operation nothing but its log, compressed where
/// that saves something. A shim that still lives is left alone, and it is tried again.
pub fn pack(data: &Path, action: ActionId, dir: &str) -> Fact {
    let path = data.join(dir);
    if !path.exists() {
        return Fact::ActionDone { action };
    }
    match lock::probe(&path.join(names::LOCK)) {
        Ok(None | Some(LockState::Free)) => {}
        Ok(Some(LockState::Held)) => {
            return Fact::ActionFailed { action, error: format!("the shim of {dir} has not ended") };
        }
        Err(error) => return Fact::ActionFailed { action, error: error.to_string() },
    }
    tidy(&path);
    match packed(&path) {
        Ok(()) | Err(LogError::Missing { .. }) => Fact::ActionDone { action },
        Err(error) => Fact::ActionFailed { action, error: error.to_string() },
    }
}

fn packed(path: &Path) -> Result<(), LogError> {
    let bytes = LogReader::open(path)?.total_bytes();
    if i64::try_from(bytes).unwrap_or(i64::MAX) >= COMPRESS_FROM_BYTES {
        compressed(path)?;
        remove_unsealed(path)?;
        kill_point("seal.old_removed");
    }
    Ok(())
}

fn hash(path: &Path, action: ActionId, run: RunId) -> Result<Fact, LogError> {
    let mut log = LogReader::open(path)?;
    log.set_live(false);
    let Some(hashes) = log.hashes(|_| true)? else {
        return Ok(Fact::ActionFailed { action, error: "hashing was interrupted".into() });
    };
    tidy(path);
    Ok(Fact::LogSealed {
        action,
        run,
        log_sha256: hashes.log_sha256,
        stdout_sha256: hashes.stdout_sha256,
        stderr_sha256: hashes.stderr_sha256,
        log_bytes: i64::try_from(hashes.log_bytes).unwrap_or(i64::MAX),
    })
}

fn compress(path: &Path, action: ActionId, run: RunId) -> Result<Fact, LogError> {
    compressed(path)?;
    Ok(Fact::LogCompressed { action, run })
}

fn compressed(path: &Path) -> Result<(), LogError> {
    let bytes = seal(path, |point| {
        kill_point(match point {
            SealPoint::Compressed => "seal.compressed",
            SealPoint::Verified => "seal.verified",
            SealPoint::Renamed => "seal.renamed",
        });
    })?;
    tracing::info!(dir = %path.display(), from = bytes.from, to = bytes.to, "a log is compressed");
    Ok(())
}

/// Leaves only the log: all else that a shim kept here is in a row by now, or in the log.
fn tidy(path: &Path) {
    for name in [names::CONTROL, names::AGENT, names::ID, names::EXIT, names::RESERVE, names::ERRORS, names::SPEC] {
        match std::fs::remove_file(path.join(name)) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, name, dir = %path.display(), "a file of an ended shim stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use wharf_store::log::{LogOwner, LogWriter, Stream};

    use super::*;

    /// The directory of a service's start that has printed so much.
    fn printed(data: &Path, bytes: usize) -> String {
        let dir = "services/a1/x/g1".to_owned();
        let path = data.join(&dir);
        std::fs::create_dir_all(&path).unwrap();
        let mut log = LogWriter::create(&path, LogOwner { uuid: [1; 16], attempt: 1 }, 0, 1 << 20).unwrap();
        log.append(Stream::Stdout, 0, &vec![b'x'; bytes], 1).unwrap();
        for name in [names::LOCK, names::ID, names::SPEC, names::EXIT] {
            std::fs::write(path.join(name), "{}").unwrap();
        }
        dir
    }

    fn left(path: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_has_ended_leaves_its_log_and_what_lives_is_left_alone() {
        for (bytes, log) in [(100, "out.000001.wlog"), (200_000, "out.000001.wlog.zst")] {
            let data = tempfile::tempdir().unwrap();
            let dir = printed(data.path(), bytes);
            let path = data.path().join(&dir);
            let before = left(&path);
            let held = std::fs::File::options().write(true).open(path.join(names::LOCK)).unwrap();
            assert!(lock::try_lock(&held).unwrap());
            let refused = pack(data.path(), ActionId::NIL, &dir);
            assert!(matches!(refused, Fact::ActionFailed { .. }), "{refused:?}");
            assert_eq!(left(&path), before, "its shim lives");
            drop(held);
            // As often as it is asked for.
            for _ in 0..2 {
                assert_eq!(pack(data.path(), ActionId::NIL, &dir), Fact::ActionDone { action: ActionId::NIL });
                assert_eq!(left(&path), [log, names::LOCK]);
            }
            let end = LogReader::open(&path).unwrap().end().unwrap();
            assert_eq!(end.offset(Stream::Stdout), Some(bytes as u64));
        }
        let data = tempfile::tempdir().unwrap();
        let gone = pack(data.path(), ActionId::NIL, "services/a1/x/g1");
        assert_eq!(gone, Fact::ActionDone { action: ActionId::NIL });
    }
}

//! What became of a shim, judged from its directory alone (contracts 6.5).

use std::io;
use std::path::{Path, PathBuf};

use wharf_model::shim::{ExitFrame, IdFile, Spec};
use wharf_store::log::{LogError, last_exit_frame};

use super::identity;
use super::lock::{self, LockState};
use super::shim_dir::names;

/// The verdict about one directory.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A shim keeps it: connect and adopt. The identity is absent for the moment between the
    /// shim's lock and its first `id.json`; look again.
    Live(Option<Box<IdFile>>),
    /// The child's end is recorded: finish from the frame, with its times.
    Ended(Box<ExitFrame>),
    /// No shim ever kept it: the start may be performed again.
    NeverStarted,
    /// A shim kept it and is gone without a record: find the tagged processes, stop them by
    /// policy, and call it lost.
    ShimLost {
        /// What the shim had written about itself and the child.
        id: Option<Box<IdFile>>,
    },
    /// It belongs to another boot and has no record: lost, and nothing may be signalled.
    OtherBoot,
}

/// Why a directory could not be judged. Its state is then unknown, which is not "lost".
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The directory is not there.
    #[error("there is no shim directory {0}")]
    NoDirectory(PathBuf),
    /// Something could not be read.
    #[error("cannot judge the shim directory {dir}: {what}")]
    Unknown {
        /// The directory.
        dir: PathBuf,
        /// What failed, and why.
        what: String,
    },
}

/// Judges a directory. Changes nothing and may be repeated.
///
/// The lock is looked at first: a shim that ends meanwhile has written its frame before it let
/// the lock go, so "free" makes whatever is read after it final.
///
/// # Errors
/// [`AdoptError`]: the state is unknown and the caller should try again or show it.
pub fn judge(dir: &Path) -> Result<Verdict, AdoptError> {
    let boot = identity::boot_id().map_err(|e| unknown(dir, "the boot id cannot be read", e))?;
    judge_at_boot(dir, &boot)
}

/// [`judge`] under a given boot id.
///
/// # Errors
/// As [`judge`].
pub fn judge_at_boot(dir: &Path, boot: &str) -> Result<Verdict, AdoptError> {
    match std::fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(AdoptError::NoDirectory(dir.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(AdoptError::NoDirectory(dir.to_owned())),
        Err(e) => return Err(unknown(dir, "it cannot be read", e)),
    }
    let probe = || lock::probe(&dir.join(names::LOCK)).map_err(|e| unknown(dir, "its lock cannot be probed", e));
    let mut lock = probe()?;
    let before_lock = if lock.is_none() { read_id(dir)? } else { None };
    if before_lock.is_some() {
        // A shim takes its lock before it writes anything: it came between the two looks.
        lock = probe()?;
    }
    if lock == Some(LockState::Held) {
        return Ok(Verdict::Live(read_id(dir)?.map(Box::new)));
    }
    if let Some(frame) = read_end(dir)? {
        if lock.is_none() && probe()? == Some(LockState::Held) {
            // It came after the look at its lock and has written its end; that is proven once it lets go.
            return Ok(Verdict::Live(read_id(dir)?.map(Box::new)));
        }
        return Ok(Verdict::Ended(Box::new(frame)));
    }
    // Without a lock only what stood there before the last look counts: a shim may come just now.
    let id = if lock.is_some() { read_id(dir)? } else { before_lock };
    let made_at = id.as_ref().map(|id| id.boot_id.clone()).or(spec_boot(dir)?);
    if made_at.is_some_and(|made_at| made_at != boot) {
        return Ok(Verdict::OtherBoot);
    }
    if lock.is_none() && id.is_none() {
        return Ok(Verdict::NeverStarted);
    }
    Ok(Verdict::ShimLost { id: id.map(Box::new) })
}

/// The exit frame of the log; where the log has none or cannot be read, the copy beside it, which
/// is written only once the frame is durable.
fn read_end(dir: &Path) -> Result<Option<ExitFrame>, AdoptError> {
    let from_log = last_exit_frame(dir);
    if let Ok(Some(frame)) = from_log {
        return Ok(Some(frame));
    }
    if let Some(copy) = read_json::<ExitFrame>(dir, names::EXIT)? {
        return Ok(Some(copy));
    }
    match from_log {
        Ok(_) | Err(LogError::Missing { .. }) => Ok(None),
        Err(e) => Err(unknown(dir, "its log cannot be read", e)),
    }
}

fn read_id(dir: &Path) -> Result<Option<IdFile>, AdoptError> {
    read_json(dir, names::ID)
}

fn spec_boot(dir: &Path) -> Result<Option<String>, AdoptError> {
    Ok(read_json::<Spec>(dir, names::SPEC)?.and_then(|spec| spec.boot_id))
}

/// Reads a file of the directory. One that does not parse counts as absent: these files are
/// replaced as a whole, so a part of one is what an unclean reboot leaves.
fn read_json<T: serde::de::DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>, AdoptError> {
    match std::fs::read(dir.join(name)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unknown(dir, &format!("its {name} cannot be read"), e)),
    }
}

fn unknown(dir: &Path, what: &str, why: impl std::fmt::Display) -> AdoptError {
    AdoptError::Unknown { dir: dir.to_owned(), what: format!("{what}: {why}") }
}

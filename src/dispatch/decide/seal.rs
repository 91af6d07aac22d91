//! What follows the end of a log: of a run's its hashes, then its compressed form; of a service's start
//! or an operation's the compressed form alone, since no row of theirs speaks of the bytes.

use serde_json::json;
use wharf_model::{ActionId, ActionKind, ActionStatus, RunId, RunRow};

use super::Deciding;
use crate::dispatch::perform::SealPart;

/// Logs below this stay as they are: what one compressed frame would save is less than a disk block or
/// two, and most runs print less.
pub(crate) const COMPRESS_FROM_BYTES: i64 = 64 * 1024;

/// Digests of a log, and its length.
pub(crate) struct Hashes<'a> {
    pub log: &'a str,
    pub stdout: &'a str,
    pub stderr: &'a str,
    pub bytes: i64,
}

/// The log's hashes are known: it may be compressed now.
pub(crate) fn hashed(d: &mut Deciding<'_, '_>, action: ActionId, run: RunId, hashes: &Hashes<'_>) {
    let first = d.end_action(action, ActionStatus::Done, None);
    d.tx.update::<RunRow>(run, |r| {
        r.log_sha256 = Some(hashes.log.to_owned());
        r.stdout_sha256 = Some(hashes.stdout.to_owned());
        r.stderr_sha256 = Some(hashes.stderr.to_owned());
        r.log_bytes = Some(hashes.bytes);
    });
    if first && hashes.bytes >= COMPRESS_FROM_BYTES {
        next(d, run, SealPart::Compress);
    }
}

/// All segments are there in their compressed form: the old ones may go once this is durable.
pub(crate) fn compressed(d: &mut Deciding<'_, '_>, action: ActionId, run: RunId) {
    if d.end_action(action, ActionStatus::Done, None) {
        d.tx.update::<RunRow>(run, |r| r.log_compressed = true);
        next(d, run, SealPart::RemoveOld);
    }
}

/// A process that has no hashes has ended, and whoever kept it has said so: its log may be compressed.
pub(crate) fn ended(d: &mut Deciding<'_, '_>, entity: &str, id: &str, attempt: u32) {
    let args = json!({ "part": SealPart::Compress.as_str() });
    d.intend(ActionKind::SealLog, entity, id, attempt, None, Some(args));
}

fn next(d: &mut Deciding<'_, '_>, run: RunId, part: SealPart) {
    let Some(attempt) = d.tx.get::<RunRow>(run).map(|r| r.attempt) else { return };
    let args = json!({ "part": part.as_str() });
    d.intend(ActionKind::SealLog, "run", &run.text(), attempt, None, Some(args));
}

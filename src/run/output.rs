//! What is known of a log at its end, read from its last pages only.

use std::path::Path;

use wharf_model::UnixMillis;
use wharf_model::shim::ExitFrame;
use wharf_store::log::frame::Stream;
use wharf_store::log::read::{Item, LogReader, StreamSet};

use crate::dispatch::input::RunOutput;

/// Bytes of each stream that are kept beside the row.
const EXCERPT_BYTES: u64 = 32 * 1024;

/// Gathers bytes, excerpts and the last moment of output. A log that cannot be read gives what the
/// exit frame says.
pub fn gather(data: &Path, dir: &str, exit: Option<&ExitFrame>) -> RunOutput {
    let bytes = |name: &str| {
        exit.and_then(|e| e.streams.get(name)).map_or(0, |s| i64::try_from(s.bytes).unwrap_or(i64::MAX))
    };
    let mut output = RunOutput {
        log_ref: Some(dir.to_owned()),
        stdout_bytes: bytes("stdout"),
        stderr_bytes: bytes("stderr"),
        ..RunOutput::default()
    };
    if let Err(error) = read(data, dir, &mut output) {
        tracing::warn!(%error, dir, "the end of a log cannot be read");
    }
    output
}

fn read(data: &Path, dir: &str, output: &mut RunOutput) -> Result<(), wharf_store::log::segments::LogError> {
    let path = data.join(dir);
    if !path.exists() {
        output.log_ref = None;
        return Ok(());
    }
    let mut log = LogReader::open(&path)?;
    let end = log.end()?;
    output.last_seq = i64::try_from(end.seq().saturating_sub(1)).unwrap_or(i64::MAX);
    let started = log.wall_ms_at_start();
    for (stream, bytes, excerpt) in [
        (Stream::Stdout, &mut output.stdout_bytes, &mut output.stdout_excerpt),
        (Stream::Stderr, &mut output.stderr_bytes, &mut output.stderr_excerpt),
    ] {
        let total = end.offset(stream).unwrap_or(u64::try_from(*bytes).unwrap_or(0));
        *bytes = i64::try_from(total).unwrap_or(i64::MAX);
        if total == 0 {
            continue;
        }
        let from = total.saturating_sub(EXCERPT_BYTES);
        let mut at = log.at_offset(stream, from)?;
        let mut kept = Vec::new();
        loop {
            match log.next_of(&mut at, StreamSet::of(&[stream]))? {
                Item::Frame(frame) => {
                    let skip = from.saturating_sub(frame.header.offset).min(frame.payload.len() as u64);
                    kept.extend_from_slice(&frame.payload[usize::try_from(skip).unwrap_or(0)..]);
                    if let Some(started) = started {
                        let at = UnixMillis(started + i64::try_from(frame.header.ns / 1_000_000).unwrap_or(0));
                        output.last_output_at = output.last_output_at.max(Some(at));
                    }
                    if kept.len() as u64 > EXCERPT_BYTES * 2 {
                        let cut = kept.len() - usize::try_from(EXCERPT_BYTES).unwrap_or(0);
                        kept.drain(..cut);
                    }
                }
                Item::End(_) => break,
                _ => {}
            }
        }
        *excerpt = Some(String::from_utf8_lossy(&kept).into_owned());
    }
    Ok(())
}

//! What is known of a log at its end, read from its last pages only.

use std::path::Path;

use wharf_model::UnixMillis;
use wharf_model::shim::ExitFrame;
use wharf_store::log::{FLAG_GAP, Gap, Item, LogError, LogReader, Stream, StreamSet};

use crate::dispatch::input::RunOutput;

/// Bytes of each stream that are kept beside the row.
const EXCERPT_BYTES: u64 = 32 * 1024;

/// Gathers bytes, excerpts and the last moment of output. A log that cannot be read gives what the
/// exit frame says.
pub fn gather(data: &Path, dir: &str, exit: Option<&ExitFrame>) -> RunOutput {
    let bytes =
        |name: &str| exit.and_then(|e| e.streams.get(name)).map_or(0, |s| i64::try_from(s.bytes).unwrap_or(i64::MAX));
    let mut output = RunOutput {
        log_ref: Some(dir.to_owned()),
        // A terminal has one stream; the row counts it as standard output.
        stdout_bytes: bytes("stdout").saturating_add(bytes("terminal")),
        stderr_bytes: bytes("stderr"),
        ..RunOutput::default()
    };
    let path = data.join(dir);
    if !path.exists() {
        output.log_ref = None;
        return output;
    }
    match read(&path, &mut output) {
        Ok(()) => {}
        // Its shim died before it began one.
        Err(LogError::Missing { .. }) => output.log_ref = None,
        Err(error) => tracing::warn!(%error, dir, "the end of a log cannot be read"),
    }
    output
}

fn read(path: &Path, output: &mut RunOutput) -> Result<(), LogError> {
    let mut log = LogReader::open(path)?;
    let end = log.end()?;
    output.last_seq = i64::try_from(end.seq().saturating_sub(1)).unwrap_or(i64::MAX);
    let started = log.wall_ms_at_start();
    let has_terminal = end.offset(Stream::Terminal).is_some_and(|bytes| bytes > 0);
    let first = if has_terminal { Stream::Terminal } else { Stream::Stdout };
    for stream in [first, Stream::Stderr] {
        let (bytes, excerpt) = match stream {
            Stream::Stdout | Stream::Terminal => (&mut output.stdout_bytes, &mut output.stdout_excerpt),
            _ => (&mut output.stderr_bytes, &mut output.stderr_excerpt),
        };
        let total = end.offset(stream).unwrap_or_else(|| u64::try_from(*bytes).unwrap_or(0));
        *bytes = i64::try_from(total).unwrap_or(i64::MAX);
        if total == 0 {
            continue;
        }
        let (kept, last_ns) = tail(&mut log, stream, total.saturating_sub(EXCERPT_BYTES))?;
        if let (Some(started), Some(ns)) = (started, last_ns) {
            let at = UnixMillis(started.saturating_add(i64::try_from(ns / 1_000_000).unwrap_or(0)));
            output.last_output_at = output.last_output_at.max(Some(at));
        }
        *excerpt = Some(String::from_utf8_lossy(&kept).into_owned());
    }
    Ok(())
}

/// Bytes of a stream from an offset on (at most the excerpt), and when the last of them came.
pub fn tail(log: &mut LogReader, stream: Stream, from: u64) -> Result<(Vec<u8>, Option<u64>), LogError> {
    let mut at = log.at_offset(stream, from)?;
    let (mut kept, mut last) = (Vec::new(), None);
    let most = usize::try_from(EXCERPT_BYTES).unwrap_or(32 * 1024);
    // Each frame has at least one byte, so an excerpt never needs more frames than this.
    for _ in 0..EXCERPT_BYTES * 2 {
        match log.next_of(&mut at, StreamSet::of(&[stream]))? {
            // What is missing there is said in place of it.
            Item::Frame(frame) if frame.head.flags & FLAG_GAP != 0 => {
                if let Gap::Declared { bytes, reason, .. } = frame.gap() {
                    let bytes = bytes.map_or_else(|| "some".to_owned(), |n| n.to_string());
                    kept.extend_from_slice(format!("\n[{bytes} bytes are missing: {reason}]\n").as_bytes());
                }
            }
            Item::Frame(frame) => {
                let skip = from.saturating_sub(frame.head.offset).min(frame.payload.len() as u64);
                kept.extend_from_slice(&frame.payload[usize::try_from(skip).unwrap_or(0)..]);
                last = Some(frame.head.ns);
                if kept.len() > most {
                    kept.drain(..kept.len() - most);
                }
            }
            Item::Damage(_) => {}
            Item::End(_) => break,
        }
    }
    Ok((kept, last))
}

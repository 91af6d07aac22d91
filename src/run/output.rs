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
    match read(&path, exit.is_some(), &mut output) {
        Ok(()) => {}
        // Its shim died before it began one.
        Err(LogError::Missing { .. }) => output.log_ref = None,
        Err(error) => tracing::warn!(%error, dir, "the end of a log cannot be read"),
    }
    output
}

/// Fills in what the log says. Where the end was `recorded`, the bytes that are kept stand in its record: a log
/// of head and tail tells by its offsets how many were written.
fn read(path: &Path, recorded: bool, output: &mut RunOutput) -> Result<(), LogError> {
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
        let total = match end.offset(stream) {
            Some(total) => total,
            // The last segment has nothing of it.
            None => log.at_offset(stream, u64::MAX)?.offset(stream).unwrap_or(0),
        };
        if !recorded {
            *bytes = i64::try_from(total).unwrap_or(i64::MAX);
        }
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

#[cfg(test)]
mod tests {
    use wharf_store::log::{LogOwner, LogWriter};

    use super::*;

    fn log(data: &Path, head_tail: bool) {
        std::fs::create_dir(data.join("a1")).unwrap();
        let owner = LogOwner { uuid: [1; 16], attempt: 1 };
        let mut log = LogWriter::create(&data.join("a1"), owner, 0, 4_096).unwrap();
        log.append(Stream::Stderr, 0, b"warned", 1).unwrap();
        for n in 0..20 {
            if head_tail && n == 5 {
                log.keep_newest(4_096, 8_192);
            }
            log.append(Stream::Stdout, 0, &[b'x'; 1_000], 2).unwrap();
        }
        assert_eq!(log.dropped()[1] > 0, head_tail);
        assert!(log.segment() > 3);
    }

    #[test]
    fn a_stream_that_fell_silent_early_counts_although_nobody_recorded_the_end() {
        let data = tempfile::tempdir().unwrap();
        log(data.path(), false);
        let output = gather(data.path(), "a1", None);
        assert_eq!((output.stdout_bytes, output.stderr_bytes), (20_000, 6));
        assert_eq!(output.stderr_excerpt.as_deref(), Some("warned"));
    }

    #[test]
    fn bytes_are_those_that_are_kept() {
        let data = tempfile::tempdir().unwrap();
        log(data.path(), true);
        let exit: ExitFrame = serde_json::from_value(serde_json::json!({
            "t": "exit", "v": 1, "code": 0, "signal": null, "core": false, "by": "self", "stop": null,
            "streams": { "stdout": { "bytes": 11_000, "closed": true }, "stderr": { "bytes": 6, "closed": true } },
            "leaky": false, "started_ms": 1, "ended_ms": 2, "rusage": { "user_us": 1, "sys_us": 1, "maxrss_kib": 1 },
            "oom": false,
        }))
        .unwrap();
        let output = gather(data.path(), "a1", Some(&exit));
        assert_eq!((output.stdout_bytes, output.stderr_bytes), (11_000, 6));
        let excerpt = output.stdout_excerpt.unwrap();
        assert!(excerpt.ends_with("xxx") && excerpt.contains("bytes are missing: quota"), "{excerpt}");
    }
}

//! Lines that write over themselves with carriage returns, as progress bars do: what stands there last.

use super::index::text_index;
use super::item::StreamSet;
use super::line::{Line, Window};
use super::raw::copy_from_offset;
use super::segments::LogError;
use super::window::LogLines;

/// Bytes at the end of a line in which the beginning of its last state is looked for.
const LOOKED_BACK: u64 = 1 << 20;

impl LogLines {
    /// Gives the lines of a window that are cut and that write over themselves their last state in place of
    /// their first bytes; `cut` then says whether that is whole. Where the end of a line is not known, or its
    /// last state begins too far back, its first bytes stay, and it stays cut.
    ///
    /// # Errors
    /// What the file system says.
    pub fn show_last_states(&mut self, window: &mut Window) -> Result<(), LogError> {
        for line in &mut window.lines {
            if !line.cut || line.headless || !line.bytes.contains(&b'\r') {
                continue;
            }
            if let Some(state) = self.last_state(line)? {
                let kept = state.len().min(self.cap);
                line.cut = state.len() > kept;
                line.bytes.clear();
                line.bytes.extend_from_slice(&state[..kept]);
            }
        }
        Ok(())
    }

    /// What stands at the end of a line behind its last carriage return that something follows.
    fn last_state(&mut self, line: &Line) -> Result<Option<Vec<u8>>, LogError> {
        let Some(end) = self.end_of(line)? else { return Ok(None) };
        let from = line.offset.max(end.saturating_sub(LOOKED_BACK));
        let mut tail = Vec::new();
        copy_from_offset(&mut self.reader, &mut tail, line.stream, from, end - from)?;
        tail.truncate(usize::try_from(end - from).unwrap_or(usize::MAX));
        let is_whole = from == line.offset;
        let mut states = tail.rsplit(|b| *b == b'\r').enumerate().filter(|(_, state)| !state.is_empty());
        let Some((back, state)) = states.next() else { return Ok(None) };
        // The first part begins where the looking did, unless that is where the line does.
        let parts = memchr::memchr_iter(b'\r', &tail).count();
        Ok((is_whole || back < parts).then(|| state.to_vec()))
    }

    /// Offset behind the last byte of a line; of one that goes on, where it stands now. `None` where neither
    /// was the line read to its end nor lines are counted up to there.
    fn end_of(&mut self, line: &Line) -> Result<Option<u64>, LogError> {
        if line.len_known {
            return Ok(Some(line.offset + line.len));
        }
        if let Some(len) = self.measure(line)? {
            return Ok(Some(line.offset + len));
        }
        let own = StreamSet::of(&[line.stream]);
        let number = self.number_of(line.key, own)?;
        let head = *self.index.head();
        let goes_on = text_index(line.stream.number()).is_some_and(|t| head.open[t]);
        let is_last = number.is_some_and(|n| n + 1 == head.lines(own));
        Ok(head.pos.offset(line.stream).filter(|_| goes_on && is_last))
    }
}

#[cfg(test)]
mod tests {
    use super::super::append::{LogOwner, LogWriter};
    use super::super::frame::Stream;
    use super::super::line::Anchor;
    use super::*;

    const CAP: usize = 100;

    /// Lines of a log of these frames of standard output, with everything counted or else only the first.
    fn shown(frames: &[&[u8]], counted: bool) -> Vec<(String, bool)> {
        let dir = tempfile::tempdir().unwrap();
        let owner = LogOwner { uuid: [3; 16], attempt: 1 };
        let mut log = LogWriter::create(dir.path(), owner, 0, 1 << 22).unwrap();
        for (at, frame) in frames.iter().enumerate() {
            log.append(Stream::Stdout, 0, frame, at as u64).unwrap();
        }
        let mut lines = LogLines::open(dir.path(), CAP, None).unwrap();
        if counted {
            lines.count(u64::MAX).unwrap();
        }
        let n = if counted { 50 } else { 1 };
        let mut window = lines.window(Anchor::Start, n, StreamSet::OUTPUT).unwrap();
        lines.show_last_states(&mut window).unwrap();
        window.lines.iter().map(|l| (String::from_utf8_lossy(&l.bytes).into_owned(), l.cut)).collect()
    }

    /// A progress bar of so many updates.
    fn bar(updates: usize) -> Vec<u8> {
        (1..=updates).flat_map(|n| format!("\r{n} of {updates}").into_bytes()).collect()
    }

    #[test]
    fn the_last_state_of_a_long_bar_is_shown_whatever_its_length() {
        for updates in [10, 1_000, 200_000] {
            let bar = bar(updates);
            let mut frames: Vec<&[u8]> = bar.chunks(70_000).collect();
            frames.extend([&b"\r\n"[..], b"next\n"]);
            let last = format!("{updates} of {updates}");
            let found = shown(&frames, true);
            assert_eq!(found.len(), 2, "{updates}");
            assert!(found[0].0.trim_matches('\r').ends_with(&last), "{:?}", found[0]);
            assert!(!found[0].1 && found[0].0.len() <= CAP && found[1] == ("next".into(), false), "{found:?}");
            // One that goes on: as far as it has come.
            let found = shown(&frames[..frames.len() - 2], true);
            assert!(found.len() == 1 && found[0].0.ends_with(&last) && !found[0].1, "{found:?}");
        }
    }

    #[test]
    fn what_is_not_known_or_too_long_stays_cut() {
        let bar = bar(400_000);
        let frames: Vec<&[u8]> = bar.chunks(70_000).collect();
        // Its end lies further behind than is read, and nobody has counted up to it.
        let found = shown(&frames, false);
        assert!(found[0].1 && found[0].0.starts_with("\r1 of 400000"), "{found:?}");
        // A state that is longer than a line may be.
        let long = [b"first\r".as_slice(), &[b'x'; 300], b"\n"].concat();
        assert_eq!(shown(&[&long], true), [("x".repeat(CAP), true)]);
        // One that begins further back than is looked.
        let far = [b"first\r".as_slice(), &vec![b'x'; (1 << 20) + 10], b"\n"].concat();
        let frames: Vec<&[u8]> = far.chunks(70_000).collect();
        let found = shown(&frames, true);
        assert!(found[0].1 && found[0].0.starts_with("first\rx"), "{found:?}");
        // A line that does not write over itself is none of this.
        let plain = [&[b'y'; 300][..], b"\n"].concat();
        assert_eq!(shown(&[&plain], true), [("y".repeat(CAP), true)]);
    }
}

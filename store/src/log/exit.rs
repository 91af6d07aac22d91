//! The JSON frames of a log: what the shim noted, what an agent sent, and above all the exit.
//!
//! Frames are found by walking headers from the start of a segment, or from a place that the index of a
//! sealed one names, never by looking for a magic from the end: output that happens to contain an exit
//! frame must not end a run.

use std::path::Path;

use serde_json::Value;
use wharf_model::shim::ExitFrame;

use super::frame::Stream;
use super::item::{Position, Step};
use super::read::LogReader;
use super::segments::LogError;

/// Segments searched from the end for an exit frame: the last may hold nothing but its header.
const SEGMENTS_SEARCHED: usize = 3;
/// Control frames remembered while walking to the end of a segment.
const LAST_KEPT: usize = 64;

/// One frame with a JSON payload.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonFrame {
    /// Its number.
    pub seq: u64,
    /// Nanoseconds since the shim's start.
    pub ns: u64,
    /// The payload; `Err` says why it is no JSON.
    pub body: Result<Value, String>,
}

impl JsonFrame {
    /// The member `t` of a control record.
    pub fn t(&self) -> Option<&str> {
        self.body.as_ref().ok()?.get("t")?.as_str()
    }
}

/// Records from one position on, and where to go on.
#[derive(Debug)]
pub struct JsonFrames {
    /// In order.
    pub frames: Vec<JsonFrame>,
    /// Where to go on.
    pub next: Position,
    /// Nothing more at the moment.
    pub at_end: bool,
}

/// The exit frame of the log in `dir`; `None` when there is none (yet), also when its bytes are damaged.
///
/// # Errors
/// No log, a failed read, or an exit frame of an unknown form: [`LogError::Record`].
pub fn last_exit_frame(dir: &Path) -> Result<Option<ExitFrame>, LogError> {
    let mut reader = LogReader::open(dir)?;
    let count = reader.segments.count();
    for back in 1..=SEGMENTS_SEARCHED.min(count) {
        let ix = count - back;
        let near_end = reader.segments.sealed_mark(ix, |_| true)?;
        for start in near_end.into_iter().chain([reader.start_of_segment(ix)]) {
            if let Some(frame) = exit_behind(&mut reader, ix, start)?
                && let Ok(body) = frame.body
            {
                return serde_json::from_value(body).map(Some).map_err(|e| LogError::Record {
                    dir: dir.to_owned(),
                    seq: frame.seq,
                    message: format!("the exit frame has an unknown form: {e}"),
                });
            }
        }
    }
    Ok(None)
}

/// The last exit frame of a segment at or behind `pos`.
fn exit_behind(reader: &mut LogReader, ix: usize, mut pos: Position) -> Result<Option<JsonFrame>, LogError> {
    let mut places = std::collections::VecDeque::new();
    let is_last = reader.segments.is_last(ix);
    loop {
        let before = pos;
        match reader.step(&mut pos, false)? {
            Step::Frame(_) if reader.segments.index_of(pos.segment) != Some(ix) && !is_last => break,
            Step::Frame(head) if head.stream == Stream::Control.number() => {
                if places.len() == LAST_KEPT {
                    places.pop_front();
                }
                places.push_back(before);
            }
            Step::Frame(_) | Step::Damage(_) => {}
            Step::End(_) => break,
        }
    }
    while let Some(place) = places.pop_back() {
        if let Some(frame) = reader.json_at(place)?
            && frame.t() == Some("exit")
            && frame.body.is_ok()
        {
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

impl LogReader {
    /// Control records from `from` on, at most `max` of them.
    ///
    /// # Errors
    /// What the file system says.
    pub fn control_frames(&mut self, from: Position, max: usize) -> Result<JsonFrames, LogError> {
        self.json_frames(Stream::Control, from, max)
    }

    /// Messages of an agent from frame `from_seq` on, at most `max` of them.
    ///
    /// # Errors
    /// What the file system says.
    pub fn agent_messages(&mut self, from_seq: u64, max: usize) -> Result<JsonFrames, LogError> {
        let from = self.at_seq(from_seq)?;
        self.json_frames(Stream::Agent, from, max)
    }

    fn json_frames(&mut self, stream: Stream, from: Position, max: usize) -> Result<JsonFrames, LogError> {
        let mut all = JsonFrames { frames: Vec::new(), next: from, at_end: false };
        while all.frames.len() < max {
            let before = all.next;
            match self.step(&mut all.next, false)? {
                Step::Frame(head) if head.stream == stream.number() => all.frames.extend(self.json_at(before)?),
                Step::Frame(_) | Step::Damage(_) => {}
                Step::End(_) => {
                    all.at_end = true;
                    break;
                }
            }
        }
        Ok(all)
    }

    /// The frame behind `pos`, now with its checksum looked at; `None` when that does not hold.
    fn json_at(&mut self, mut pos: Position) -> Result<Option<JsonFrame>, LogError> {
        match self.step(&mut pos, true)? {
            Step::Frame(head) => {
                let body = serde_json::from_slice(self.payload()).map_err(|e| e.to_string());
                Ok(Some(JsonFrame { seq: head.seq, ns: head.ns, body }))
            }
            Step::Damage(_) | Step::End(_) => Ok(None),
        }
    }
}

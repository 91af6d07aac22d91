//! What must hold of every decoder for any bytes at all; used by the fuzz targets and by `tests/decoders.rs`.

#![allow(dead_code, reason = "each target uses its own part")]

use wharf_model::shim::{AgentMessage, Control, ControlReply, ExitFrame, IdFile, Spec};
use wharf_store::log::frame::{FRAME_HEADER, FrameHeader, SEGMENT_HEADER, SegmentHeader};
use wharf_store::log::{Item, LogReader, PAYLOAD_MAX, last_exit_frame};

/// The bytes of a log behind a sound segment header: reading ends, numbers rise, nothing is invented.
pub fn log(data: &[u8]) {
    headers(data);
    let dir = tempfile::tempdir().expect("a directory for a log");
    let header = SegmentHeader {
        header_len: SEGMENT_HEADER as u16,
        flags: 0,
        uuid: [7; 16],
        attempt: 1,
        number: 1,
        first_seq: 1,
        through: 0,
        wall_ms: 0,
    };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(data);
    std::fs::write(dir.path().join("out.000001.wlog"), &bytes).expect("a log");
    for live in [true, false] {
        let mut reader = LogReader::open(dir.path()).expect("a log with a sound header opens");
        reader.set_live(live);
        let mut position = reader.start();
        let (mut seq, mut read, mut ended) = (0, 0, false);
        // Every step passes a frame, a gap, or the end.
        for _ in 0..=2 * data.len() / FRAME_HEADER + 4 {
            match reader.next(&mut position).expect("what was opened can be read") {
                Item::Frame(frame) => {
                    assert!(frame.head.seq > seq, "frame {} comes after {seq}", frame.head.seq);
                    assert!(frame.payload.len() <= PAYLOAD_MAX && frame.head.verify(frame.payload));
                    seq = frame.head.seq;
                    read += FRAME_HEADER + frame.payload.len();
                }
                Item::Damage(_) => {}
                Item::End(_) => {
                    ended = true;
                    break;
                }
            }
        }
        assert!(ended, "reading {} bytes did not end", data.len());
        assert!(read <= data.len(), "{read} bytes of frames in {}", data.len());
    }
    // Anything is an answer, but a panic.
    let _any = last_exit_frame(dir.path());
}

/// Headers alone: what is decoded encodes to the same bytes.
fn headers(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<FRAME_HEADER>()
        && let Some(head) = FrameHeader::decode(bytes)
        && head.verify(&data[FRAME_HEADER..])
    {
        assert_eq!(head.encode(&data[FRAME_HEADER..]), *bytes);
    }
    if let Ok(head) = SegmentHeader::decode(data)
        && usize::from(head.header_len) == SEGMENT_HEADER
    {
        assert_eq!(SegmentHeader::decode(&head.encode()).ok(), Some(head));
    }
}

/// A printed line: nothing that a terminal would obey survives, and styles lie within the text.
pub fn escape(data: &[u8]) {
    let printed = wharf_ui::ansi::printed(data);
    let plain = wharf_ui::ansi::plain(data);
    for text in [&printed.text, &plain] {
        let order = text.chars().find(|c| c.is_control());
        assert_eq!(order, None, "{text:?}");
        // Three bytes for a replacement, at most eight blanks for a tab.
        assert!(text.len() <= 8 * data.len(), "{} bytes became {}", data.len(), text.len());
    }
    let mut from = 0;
    for (range, _) in &printed.spans {
        assert!(range.start >= from && range.end <= printed.text.len() && !range.is_empty(), "{range:?}");
        assert!(printed.text.is_char_boundary(range.start) && printed.text.is_char_boundary(range.end));
        from = range.end;
    }
    assert_eq!(wharf_ui::ansi::printed(printed.text.as_bytes()).text, printed.text, "once is enough");
}

/// A line of the control or agent socket, and the small files: read or refused, and what is read is written alike.
pub fn control(data: &[u8]) {
    fn again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
        if let Ok(first) = serde_json::from_slice::<T>(data) {
            let text = serde_json::to_vec(&first).expect("what was read can be written");
            let second: T = serde_json::from_slice(&text).expect("what was written can be read");
            assert_eq!(first, second);
        }
    }
    again::<Control>(data);
    again::<ControlReply>(data);
    again::<AgentMessage>(data);
    again::<ExitFrame>(data);
    again::<IdFile>(data);
    again::<Spec>(data);
}

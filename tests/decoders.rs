//! Decoders against any bytes: the kept corpus of `tests/fuzz`, and a bounded search beside it.
//!
//! `WHARF_TEST_EXHAUSTIVE` searches a hundred times as long; what is found is kept in
//! `tests/decoders.proptest-regressions` and belongs into the corpus.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "fuzz/decoders.rs"]
mod decoders;

use std::path::Path;

use proptest::prelude::*;
use wharf_store::log::frame::FrameHeader;

fn cases(ordinary: u32) -> ProptestConfig {
    let factor = if std::env::var_os("WHARF_TEST_EXHAUSTIVE").is_some() { 100 } else { 1 };
    ProptestConfig { cases: ordinary * factor, ..ProptestConfig::default() }
}

/// Pieces that mean something to a terminal, between bytes that mean nothing.
fn printed() -> impl Strategy<Value = Vec<u8>> {
    let order = prop_oneof![
        Just(b"\x1b[".to_vec()),
        Just(b"\x1b]".to_vec()),
        Just(b"\x1b]52;c;".to_vec()),
        Just(b"\x1b]8;;".to_vec()),
        Just(b"\x1bP".to_vec()),
        Just(b"\x1b_".to_vec()),
        Just(b"\x1bc".to_vec()),
        Just(b"\x1b\\".to_vec()),
        Just(b"\x07".to_vec()),
        Just(b"\x9b".to_vec()),
        Just(b"\xc2\x9b".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\t".to_vec()),
        Just(b"\x08".to_vec()),
        "[0-9;:?]{0,12}[A-Za-z]?".prop_map(String::into_bytes),
        "(38|48);(2|5);[0-9;]{0,12}m".prop_map(String::into_bytes),
        "\\PC{0,6}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(order, 0..24).prop_map(|parts| parts.concat())
}

/// Frames, some of them damaged, with rubbish between them.
fn logged() -> impl Strategy<Value = Vec<u8>> {
    let frame = (0u8..8, 0u8..4, 0u64..5, 0u64..4, prop::collection::vec(any::<u8>(), 0..60), any::<bool>());
    let part = prop_oneof![
        4 => frame.prop_map(|(stream, flags, skip, ns, payload, sound)| (skip, Some((stream, flags, ns, payload, sound)))),
        1 => Just((0, None)),
    ];
    (prop::collection::vec(part, 0..12), prop::collection::vec(any::<u8>(), 0..90)).prop_map(|(parts, rubbish)| {
        let (mut bytes, mut seq) = (Vec::new(), 0);
        for (skip, frame) in parts {
            let Some((stream, flags, ns, payload, sound)) = frame else {
                bytes.extend_from_slice(&rubbish);
                continue;
            };
            // Mostly the next number, now and then one that was passed or that is missing.
            seq = if skip == 0 { seq } else { seq + skip.saturating_sub(2).max(1) };
            let len = payload.len() as u32;
            let head = FrameHeader { stream, flags, len, seq, ns, offset: seq * 7, crc: 0 };
            let mut head = head.encode(&payload);
            if !sound {
                head[(seq % 40) as usize] ^= 1 << (ns % 8);
            }
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(&payload);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn f24_no_order_survives_the_line(data in printed()) {
        decoders::escape(&data);
    }

    #[test]
    fn f23_any_bytes_are_a_line(data in prop::collection::vec(any::<u8>(), 0..400)) {
        decoders::escape(&data);
    }

    #[test]
    fn any_line_of_a_socket_is_read_or_refused(data in "\\{(\"[a-z_]{1,8}\":(\"[a-z]{0,5}\"|-?[0-9]{1,20}|null|\\{\\}),?){0,6}\\}?") {
        decoders::control(data.as_bytes());
    }
}

proptest! {
    #![proptest_config(cases(30))]

    #[test]
    fn any_log_is_read_to_its_end(data in logged()) {
        decoders::log(&data);
    }

    #[test]
    fn any_bytes_behind_a_header_are_a_log(data in prop::collection::vec(any::<u8>(), 0..300)) {
        decoders::log(&data);
    }
}

#[test]
fn the_kept_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let targets: [(&str, fn(&[u8])); 3] =
        [("log", decoders::log), ("escape", decoders::escape), ("control", decoders::control)];
    for (name, target) in targets {
        let mut played = 0;
        for entry in std::fs::read_dir(corpus.join(name)).unwrap().flatten() {
            target(&std::fs::read(entry.path()).unwrap());
            played += 1;
        }
        assert!(played >= 3, "{name} has a corpus");
    }
}

#[test]
fn an_order_of_ten_megabytes_costs_little() {
    // What a line may cost is bounded by what is looked at of it, whatever it is.
    for begin in [&b"\x1b]0;"[..], b"\x1b[", b"\x1bP"] {
        let mut line = begin.to_vec();
        line.resize(10_000_000, b'1');
        let began = std::time::Instant::now();
        decoders::escape(&line[..line.len()]);
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

//! What showing a place of a large log costs, and what is known of it meanwhile.

use wharf_store::log::{LogOwner, LogWriter, PAYLOAD_MAX};

use super::super::events::mailbox;
use super::*;

/// Frames of 256 KiB, each of lines of 128 bytes.
const FRAMES: u64 = 200;
const LINES_EACH: u64 = (PAYLOAD_MAX / 128) as u64;
/// Bytes that showing one place may read.
const READ_MAX: u64 = 4 << 20;
const OWNER: Owner = Owner::Run(wharf_model::RunId::NIL);

struct Bench {
    _data: tempfile::TempDir,
    desk: Desk,
    place: Place,
}

impl Bench {
    /// A log of 50 MiB in four segments.
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join("a1");
        std::fs::create_dir(&dir).unwrap();
        let mut w = LogWriter::create(&dir, LogOwner { uuid: [1; 16], attempt: 1 }, 1_000, 13 << 20).unwrap();
        let mut payload = vec![b'.'; PAYLOAD_MAX];
        payload.chunks_exact_mut(128).for_each(|line| line[127] = b'\n');
        for frame in 0..FRAMES {
            let text = format!("frame {frame:06} ");
            payload[..text.len()].copy_from_slice(text.as_bytes());
            w.append(wharf_store::log::Stream::Stdout, 0, &payload, frame * 1_000_000_000).unwrap();
        }
        let (sender, _mailbox) = mailbox();
        let outputs = Outputs { data: data.path().to_owned(), growth: Growth::start(sender).unwrap() };
        let ended = OutputState::Ended { at: UnixMillis(9), how: "exit 0".into() };
        let place =
            Place { dir, name: "R-1".into(), live: false, state: ended, started_at: None, generation: 0, remark: None };
        Self { _data: data, desk: outputs.reader(), place }
    }

    fn ask(&mut self, from: Position) -> OutputLines {
        self.desk.output(OWNER, self.place.clone(), Streams::Both, from, 600).unwrap()
    }

    fn cost(&mut self) -> u64 {
        self.desk.open[0].lines.reader().bytes_read()
    }

    fn count(&mut self, at: LinePlace) -> Counted {
        self.desk.count(OWNER, &self.place.clone(), Streams::Both, at).unwrap()
    }
}

#[test]
fn a_large_log_is_shown_before_it_is_read() {
    let mut bench = Bench::new();
    let end = bench.ask(Position::End);
    assert!(bench.cost() < READ_MAX, "{} bytes for its end", bench.cost());
    assert_eq!((end.lines.len(), end.first, end.last), (600, false, true));
    assert!(end.counted.percent < 5, "{:?}", end.counted);
    assert!(end.lines.iter().all(|l| l.number.is_none()));

    for (from, frame) in [(Position::Percent(50), 100), (Position::Time(UnixMillis(151_000)), 150)] {
        let before = bench.cost();
        let there = bench.ask(from);
        let cost = bench.cost() - before;
        assert!(cost < READ_MAX, "{cost} bytes for {from:?}");
        assert!(there.lines[0].place.seq.abs_diff(frame) <= 2, "{:?}", there.lines[0].place);
    }
    // What stands around a place that is shown, in both directions.
    let at = end.lines[0].place;
    let above = bench.ask(Position::Before(at));
    assert!(above.lines.last().unwrap().place < at && !above.first);
    let again = bench.ask(Position::From(above.lines[599].place));
    assert_eq!(again.lines[1].place, at, "no line between them is left out");

    // Numbers come in pieces, each a short while, and then they are those of the lines.
    let before = bench.cost();
    let part = bench.count(at);
    assert!(part.percent < 100 && part.number.is_none() && bench.cost() > before);
    let line = bench.ask(Position::Line(LINES_EACH * 40 + 3));
    let known = line.lines.first().map(|l| (l.number, l.place));
    let expected = (Some(LINES_EACH * 40 + 3), LinePlace { seq: 41, index: 3 * 128 });
    assert!(known.is_none_or(|k| k == expected), "{known:?}");
    let mut counted = part;
    for _ in 0..FRAMES {
        if counted.percent == 100 {
            break;
        }
        counted = bench.count(at);
    }
    assert_eq!(counted, Counted { lines: FRAMES * LINES_EACH, percent: 100, number: Some(FRAMES * LINES_EACH - 600) });
    let line = bench.ask(Position::Line(LINES_EACH * 40 + 3));
    assert_eq!(line.lines.first().map(|l| (l.number, l.place)), Some(expected));
    assert_eq!(bench.ask(Position::Line(u64::MAX)).lines.len(), 1, "behind the end stands the last line");
    // They are kept for the next time.
    bench.desk.open.clear();
    assert_eq!(bench.ask(Position::End).lines[0].number, counted.number);
}

#[test]
fn a_search_needs_no_counts_and_gives_places() {
    let mut bench = Bench::new();
    let place = bench.place.clone();
    let hits = bench.desk.search(OWNER, &place, Streams::Both, "frame 0001[0-9]{2} ", 50).unwrap();
    assert!(bench.desk.open[0].lines.percent_counted() == 0);
    if hits.percent == 100 {
        assert_eq!(hits.total, 100);
    }
    let first = hits.lines.first().copied();
    assert!(first.is_none_or(|f| f == LinePlace { seq: 101, index: 0 }), "{first:?}");
    assert!(hits.lines.len() <= 50);
}

#[test]
fn a_time_behind_the_end_shows_the_last_line() {
    let mut bench = Bench::new();
    let last = bench.ask(Position::Time(UnixMillis(1_000_000)));
    assert_eq!((last.lines.len(), last.last), (1, true));
    let none = bench.ask(Position::Before(LinePlace::default()));
    assert!(none.lines.is_empty() && none.first);
}

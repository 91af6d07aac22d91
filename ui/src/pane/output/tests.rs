//! Follow, jump, search and the window of lines, against a log that answers.

use proptest::prelude::*;
use wharf_model::RunId;

use super::*;
use crate::effect::Effect;
use crate::testing::{NOW, settings};

const AREA: Rect = Rect::new(0, 0, 80, 15);

/// A log that answers as a reader would.
struct Log {
    lines: Vec<OutputLine>,
    generation: u32,
    /// Lines that are counted so far, and how many more each question counts.
    counted: usize,
    pace: usize,
}

fn place(seq: u64) -> LinePlace {
    LinePlace { seq, index: 0 }
}

impl Log {
    fn new(n: u64) -> Self {
        let line = |number: u64| OutputLine {
            place: place(number),
            number: None,
            stream: if number % 7 == 3 { Stream::Stderr } else { Stream::Stdout },
            at: NOW.plus(number as i64 * 10),
            bytes: format!("line {number} {}", "x".repeat((number * 37 % 150) as usize)).into_bytes(),
            cut: false,
        };
        Self { lines: (0..n).map(line).collect(), generation: 0, counted: n as usize, pace: 0 }
    }

    /// One of which nothing is counted at first.
    fn uncounted(n: u64, pace: usize) -> Self {
        Self { counted: 0, pace, ..Self::new(n) }
    }

    fn chosen(&self, streams: Streams) -> Vec<OutputLine> {
        self.lines
            .iter()
            .filter(|l| match streams {
                Streams::Both => true,
                Streams::Stdout => l.stream == Stream::Stdout,
                Streams::Stderr => l.stream == Stream::Stderr,
            })
            .cloned()
            .enumerate()
            .map(|(i, l)| OutputLine { number: (i < self.counted).then_some(i as u64), ..l })
            .collect()
    }

    fn how_many(&self, chosen: &[OutputLine]) -> Counted {
        let lines = self.counted.min(chosen.len());
        let percent = if lines == chosen.len() { 100 } else { (lines * 100 / chosen.len()).min(99) as u8 };
        Counted { lines: lines as u64, percent, number: None }
    }

    fn answer(&self, question: &Question) -> OutputLines {
        let Question::Output { streams, from, lines, .. } = question else { panic!("{question:?}") };
        let chosen = self.chosen(*streams);
        let mut n = *lines as usize;
        let behind = |at: LinePlace| chosen.partition_point(|l| l.place < at);
        let counted = self.how_many(&chosen);
        let at = match from {
            Position::Start => 0,
            Position::From(at) => behind(*at),
            Position::Before(at) => {
                let end = behind(*at);
                n = n.min(end);
                end - n
            }
            Position::Line(at) if counted.lines <= *at && counted.percent < 100 => chosen.len() + 1,
            Position::Line(at) => (*at as usize).min(chosen.len().saturating_sub(1)),
            Position::End => chosen.len().saturating_sub(n),
            Position::Time(at) => chosen.iter().position(|l| l.at >= *at).unwrap_or(chosen.len().saturating_sub(1)),
            Position::Percent(p) => chosen.len() * usize::from(*p) / 100,
        };
        OutputLines {
            lines: chosen.iter().skip(at).take(n).cloned().collect(),
            first: at == 0,
            last: at <= chosen.len() && at + n >= chosen.len(),
            counted,
            total_bytes: 1,
            state: OutputState::Live,
            generation: self.generation,
            ..OutputLines::default()
        }
    }
}

struct Bench {
    pane: OutputPane,
    log: Log,
    env: Env,
    out: Outbox,
}

impl Bench {
    fn new(lines: u64) -> Self {
        let mut bench = Self::of(Log::new(lines));
        bench.settle();
        bench
    }

    fn of(log: Log) -> Self {
        let env = crate::App::new(settings(80, 24)).env;
        let pane = OutputPane::new(Owner::Run(RunId::NIL));
        Self { pane, log, env, out: Outbox::default() }
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            self.pane.settle(&self.env, &mut self.out, AREA);
            let effects = self.out.take();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                let Effect::Ask(question) = effect else { continue };
                if let Question::Count { streams, at, .. } = &question {
                    self.log.counted = (self.log.counted + self.log.pace).min(self.log.lines.len());
                    let chosen = self.log.chosen(*streams);
                    let number = chosen.iter().find(|l| l.place == *at).and_then(|l| l.number);
                    self.pane.counted(&question, Ok(Counted { number, ..self.log.how_many(&chosen) }));
                } else {
                    self.pane.answer(&question, Ok(&self.log.answer(&question)));
                }
                self.out.answered(&question);
            }
        }
        panic!("questions do not come to an end");
    }

    fn first(&self) -> String {
        let rows = self.pane.visible(80, 14);
        let row = rows.first().expect("something is shown");
        ansi::plain(&self.pane.get(row.line).expect("its line is known").bytes)
            .split(" x")
            .next()
            .unwrap_or("")
            .trim_end()
            .to_owned()
    }

    fn screen(&self) -> String {
        let mut buffer = ratatui::buffer::Buffer::empty(AREA);
        let mut canvas = crate::draw::Canvas::new(&mut buffer, self.env.theme, self.env.ascii);
        self.pane.view(&self.env, &mut canvas, AREA);
        buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect()
    }

    fn last_line(&self) -> u64 {
        self.pane.visible(80, 14).last().expect("something is shown").line.seq
    }
}

#[test]
fn follows_until_let_go_and_again() {
    let mut bench = Bench::new(5000);
    assert_eq!(bench.last_line(), 4999);
    bench.log = Log::new(5100);
    bench.pane.grew(&mut bench.out);
    bench.settle();
    assert_eq!(bench.last_line(), 5099);
    bench.pane.scroll(-5, AREA);
    let first = bench.first();
    bench.log = Log::new(5200);
    bench.pane.grew(&mut bench.out);
    bench.settle();
    assert_eq!(bench.first(), first, "the view stays on its lines however much arrives");
    bench.pane.follow();
    bench.settle();
    assert_eq!(bench.last_line(), 5199);
}

#[test]
fn jumps_and_keeps_the_other_switches() {
    let mut bench = Bench::new(20_000);
    for (words, first) in
        [("line 12,001", "line 12000"), ("50 %", "line 10000"), ("+30s", "line 3000"), ("line 1", "line 0")]
    {
        bench.pane.started_at = Some(NOW);
        bench.pane.jump(words, &bench.env, &mut bench.out).unwrap();
        bench.settle();
        assert_eq!(bench.first(), first, "{words}");
    }
    assert!(bench.pane.jump("soon", &bench.env, &mut bench.out).is_err());
    bench.pane.toggle_wrap();
    bench.pane.cycle_times();
    bench.pane.cycle_streams(&bench.env, &mut bench.out);
    bench.settle();
    assert_eq!((bench.pane.streams, bench.pane.wrap, bench.pane.times), (Streams::Stdout, false, Times::SinceStart));
    assert!(bench.pane.lines.iter().all(|l| l.stream == Stream::Stdout));
}

#[test]
fn a_log_that_is_not_counted_is_shown_at_once_and_numbered_later() {
    let mut bench = Bench::of(Log::uncounted(20_000, 0));
    bench.pane.settle(&bench.env, &mut bench.out, AREA);
    let question =
        Question::Output { owner: bench.pane.owner(), streams: Streams::Both, from: Position::End, lines: CHUNK };
    assert_eq!(bench.out.take(), [Effect::Ask(question.clone())]);
    bench.pane.answer(&question, Ok(&bench.log.answer(&question)));
    assert_eq!(bench.last_line(), 19_999);
    let shown = bench.screen();
    assert!(shown.contains("0+ lines, 0 % counted"), "{shown}");
    // Everything but a line's number works meanwhile.
    bench.pane.jump("50 %", &bench.env, &mut bench.out).unwrap();
    for effect in bench.out.take() {
        let Effect::Ask(question) = effect else { continue };
        bench.pane.answer(&question, Ok(&bench.log.answer(&question)));
        bench.out.answered(&question);
    }
    assert_eq!(bench.first(), "line 10000");
    assert!(bench.pane.right_words(&bench.env, AREA).starts_with("stopped at "));
    assert!(!bench.pane.right_words(&bench.env, AREA).contains("below"), "not known yet");
    // A line that is not counted yet is shown as soon as it is.
    bench.pane.jump("line 5,001", &bench.env, &mut bench.out).unwrap();
    assert!(bench.screen().contains("counting to line 5,001"), "{}", bench.screen());
    bench.log.pace = 700;
    bench.settle();
    assert_eq!(bench.first(), "line 5000");
    assert_eq!(bench.pane.counted, Counted { number: bench.pane.counted.number, ..Counted::all(20_000) });
    let below = bench.pane.right_words(&bench.env, AREA);
    assert!(below.contains(" lines below"), "{below}");
}

#[test]
fn a_search_goes_from_match_to_match_and_round() {
    let mut bench = Bench::new(5000);
    bench.pane.start_search("line 2", &mut bench.out);
    let question = bench.out.take().into_iter().find_map(|e| match e {
        Effect::Ask(q @ Question::Search { .. }) => Some(q),
        _ => None,
    });
    let hits = SearchHits { lines: [100, 2000, 4990].map(place).to_vec(), total: 3, percent: 100 };
    bench.pane.found(&question.unwrap(), &hits, &mut bench.out, AREA);
    bench.settle();
    for (back, line, words) in
        [(true, 2000, "2 of 3"), (true, 100, "1 of 3"), (true, 4990, "wrapped"), (false, 100, "wrapped")]
    {
        bench.pane.next_hit(back, &mut bench.out, AREA);
        bench.settle();
        assert!(bench.pane.visible(80, 14).iter().any(|r| r.line == place(line)), "{line} is in view");
        assert!(
            bench.pane.right_words(&bench.env, AREA).contains(words),
            "{}",
            bench.pane.right_words(&bench.env, AREA)
        );
    }
    assert_eq!(smart_case("Abc").unwrap().0, "Abc");
    assert_eq!(smart_case("abc").unwrap().0, "(?i)abc");
    assert!(smart_case("a(").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn the_window_has_no_holes_whatever_one_does(lines in 0u64..3000, pace in 100usize..2000, steps in proptest::collection::vec((0u8..9, -90i64..90), 0..40)) {
        let mut bench = Bench::of(Log::uncounted(lines, pace));
        for (what, by) in steps {
            match what {
                0..=3 => bench.pane.scroll(by, AREA),
                4 => { let _ = bench.pane.jump(&format!("line {}", by.unsigned_abs() * 40), &bench.env, &mut bench.out); }
                5 => { let _ = bench.pane.jump(&format!("{} %", by.unsigned_abs()), &bench.env, &mut bench.out); }
                6 => bench.pane.cycle_streams(&bench.env, &mut bench.out),
                7 => { bench.log = Log { counted: bench.log.counted, ..Log::uncounted(bench.log.lines.len() as u64 + by.unsigned_abs() * 20, pace) }; bench.pane.grew(&mut bench.out); }
                _ => bench.pane.follow(),
            }
            bench.settle();
            let numbers: Vec<u64> = bench.pane.lines.iter().filter_map(|l| l.number).collect();
            prop_assert_eq!(numbers.len(), bench.pane.lines.len());
            let chosen = bench.log.chosen(bench.pane.streams);
            prop_assert!(bench.pane.lines.iter().all(|l| chosen.get(l.number.unwrap() as usize).is_some_and(|c| c.place == l.place)));
            prop_assert!(numbers.windows(2).all(|w| w[0] + 1 == w[1]), "{:?}", numbers);
            prop_assert!(numbers.len() <= WINDOW_MAX);
            if !chosen.is_empty() {
                prop_assert!(!bench.pane.visible(80, 14).is_empty(), "follow {} top {:?} window {:?}", bench.pane.follow, bench.pane.top, (numbers.first(), numbers.last()));
            }
        }
    }
}

#[test]
fn lines_of_two_starts_never_stand_together() {
    let mut bench = Bench::new(40);
    assert_eq!(bench.last_line(), 39);
    bench.log = Log::new(3);
    bench.log.generation = 1;
    bench.pane.grew(&mut bench.out);
    bench.settle();
    assert_eq!((bench.first(), bench.last_line()), ("line 0".to_owned(), 2));
    // An answer that was under way when it was started again.
    let question =
        Question::Output { owner: bench.pane.owner(), streams: Streams::Both, from: Position::End, lines: 9 };
    bench.log.generation = 0;
    bench.pane.answer(&question, Ok(&bench.log.answer(&question)));
    bench.log.generation = 2;
    bench.log.lines.clear();
    bench.pane.answer(&question, Ok(&bench.log.answer(&question)));
    assert!(bench.pane.visible(80, 14).is_empty(), "nothing of the start before is left");
}

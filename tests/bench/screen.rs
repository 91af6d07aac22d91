//! Frames of the screens, and the program's size.

use std::io::Write;

use ratatui::Terminal;
use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table};
use wharf_model::{RunId, UnixMillis};
use wharf_ui::effect::{LinePlace, Owner, Question};
use wharf_ui::format::Zone;
use wharf_ui::msg::Answer;
use wharf_ui::rows::{Counted, Header, OutputLine, OutputLines, OutputState, Page, RunLine, RunStatus, Stream};
use wharf_ui::theme::{Depth, Theme, Variant};
use wharf_ui::{App, Effect, Msg, Settings};

use crate::limits;
use crate::measure::{self, Target};
use crate::place::WHARF;

const NOW: UnixMillis = UnixMillis(1_795_259_322_000);

/// P13: a frame of the ledger whose output pane has scrolled, against ratatui's own widgets with as much text.
pub fn frames() {
    for (columns, rows) in [(200, 50), (400, 100)] {
        let mut app = Fed::new(columns, rows);
        let mut sink = std::io::BufWriter::with_capacity(64 * 1024, std::fs::File::create("/dev/null").unwrap());
        let area = Rect::new(0, 0, columns, rows);
        let mut shown = Buffer::empty(area);
        let product = || {
            limits::per_second(|| {
                app.grow();
                let mut next = Buffer::empty(area);
                app.app.draw(&mut next);
                let changes = shown.diff(&next);
                assert!(!changes.is_empty(), "the frame stood still");
                let mut out = Vec::with_capacity(16 * 1024);
                ratatui::backend::Backend::draw(&mut CrosstermBackend::new(&mut out), changes.into_iter()).unwrap();
                sink.write_all(&out).unwrap();
                sink.flush().unwrap();
                shown = next;
            })
        };
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut frame = 0;
        let limit = || {
            limits::per_second(|| {
                frame += 1;
                terminal.draw(|f| plain(f, frame)).unwrap();
            })
        };
        let what = format!("frame {columns}x{rows}, rows taken, drawn, written / plain widgets in a TestBackend");
        // A frame may cost 1.5 times as much: two thirds of the rate.
        measure::rate("P13", &what, "frames/s", Target::Least(1.0 / 1.5), limit, product);
    }
}

/// A list, a table and two scrolling panes as ratatui offers them.
fn plain(f: &mut ratatui::Frame<'_>, n: usize) {
    let [left, right] = Layout::horizontal([Constraint::Percentage(50); 2]).areas(f.area());
    let rows = (0..left.height).map(|i| {
        let name = format!("R-{}", 1042 - i);
        Row::new([name, "running".into(), "fixer".into(), format!("{}s", n + usize::from(i)), "3s".into()])
    });
    f.render_widget(Table::new(rows, [Constraint::Ratio(1, 5); 5]).block(Block::new().borders(Borders::ALL)), left);
    for pane in Layout::vertical([Constraint::Percentage(50); 2]).split(right).iter() {
        let lines: Vec<Line<'_>> = (0..pane.height).map(|i| Line::from(words(n as u64 + u64::from(i)))).collect();
        f.render_widget(Paragraph::new(lines).block(Block::new().borders(Borders::ALL)), *pane);
    }
}

fn words(n: u64) -> String {
    format!("line {n} of a run: compiling crate number {} of many, nothing unusual to be seen here", n * 7919 % 977)
}

/// The screens with everything they ask answered.
struct Fed {
    app: App,
    owner: Option<Owner>,
    lines: u64,
}

impl Fed {
    fn new(columns: u16, rows: u16) -> Self {
        let app = App::new(Settings {
            now: NOW,
            size: (columns, rows),
            zone: Zone { east_seconds: 3600, utc: false },
            theme: Theme { variant: Variant::Dark, depth: Depth::True },
            ascii: false,
            keys: Vec::new(),
            project: "bench".into(),
        });
        let mut fed = Self { app, owner: None, lines: 1_000 };
        fed.send(Msg::StoreChanged);
        assert!(fed.owner.is_some(), "the ledger shows the output of the first run");
        fed
    }

    fn grow(&mut self) {
        self.lines += 1;
        if let Some(owner) = self.owner {
            self.send(Msg::OutputGrew(owner));
        }
    }

    fn send(&mut self, msg: Msg) {
        let mut waiting = self.app.update(msg);
        for _ in 0..50 {
            let mut next = Vec::new();
            for effect in waiting {
                if let Effect::Ask(question) = effect {
                    let answer = self.answer(&question);
                    next.extend(self.app.update(Msg::Rows { question, answer }));
                }
            }
            if next.is_empty() {
                return;
            }
            waiting = next;
        }
        panic!("questions do not come to an end");
    }

    fn answer(&mut self, question: &Question) -> Result<Answer, String> {
        Ok(match question {
            Question::Runs { after: None, .. } => {
                Answer::Runs(Page { rows: (1..60).rev().map(run).collect(), total: 60, hidden: 0, more: false })
            }
            Question::Header => Answer::Header(Header { project: "bench".into(), running: 8, ..Header::default() }),
            Question::Output { owner, lines, .. } => {
                self.owner = Some(*owner);
                let from = self.lines.saturating_sub(u64::from(*lines));
                let line = |number| OutputLine {
                    place: LinePlace { seq: number, index: 0 },
                    number: Some(number),
                    stream: Stream::Stdout,
                    at: NOW.plus(-1_000),
                    bytes: words(number).into_bytes(),
                    cut: false,
                };
                Answer::Output(OutputLines {
                    lines: (from..self.lines).map(line).collect(),
                    counted: Counted::all(self.lines),
                    last: true,
                    total_bytes: self.lines * 80,
                    state: OutputState::Live,
                    started_at: Some(NOW.plus(-60_000)),
                    ..OutputLines::default()
                })
            }
            Question::RunDetail(_) => Answer::RunDetail(None),
            other => return Err(format!("nothing is known of {other:?}")),
        })
    }
}

fn run(number: i64) -> RunLine {
    let live = number > 51;
    RunLine {
        id: RunId(uuid::Uuid::from_u128(number as u128)),
        number,
        version: 1,
        status: if live { RunStatus::Running } else { RunStatus::Succeeded },
        step: live.then(|| "execute".into()),
        agent: "fixer".into(),
        issue: None,
        environment: Some("Local".into()),
        queued_at: NOW.plus(-100_000),
        started_at: Some(NOW.plus(-99_000)),
        finished_at: (!live).then(|| NOW.plus(-1_000)),
        last_output_at: Some(NOW.plus(-500)),
        liveness: None,
        halted: None,
        terminal: false,
        question: None,
        doing: None,
        waits_for: None,
        due_at: None,
        stop_requested_at: None,
        stop_deadline_at: None,
        stop_reason: None,
        limit_ms: None,
        exit_code: (!live).then_some(0),
        signal: None,
        error_code: None,
        outcome: (!live).then(|| "completed".into()),
        unknown: false,
        lease: None,
        workspace: None,
        services: Vec::new(),
        cost_microusd: None,
    }
}

/// T14.
pub fn size() {
    let bytes = std::fs::metadata(WHARF).unwrap().len();
    measure::one("T14", "size of the stripped release program", "MB", Target::Most(20.0), bytes as f64 / 1e6);
}

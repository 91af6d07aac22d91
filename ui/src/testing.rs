//! Fixtures and a renderer for tests of screens.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use wharf_model::{RunId, UnixMillis};

use crate::app::{App, Settings};
use crate::effect::{Effect, LinePlace, Question};
use crate::format::Zone;
use crate::msg::{Answer, Msg};
use crate::rows::*;
use crate::theme::{Depth, Theme, Variant};

/// 2026-11-21 12:08:42 at +01:00.
pub const NOW: UnixMillis = UnixMillis(1_795_259_322_000);

/// Status, number, agent, issue, environment, now or outcome, age or took, silent or ended.
type Drawn = (&'static str, i64, &'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const RUNS: &[Drawn] = &[
    ("queued", 1046, "fixer", "24", "Local", "agent busy", "12s", ""),
    ("queued", 1045, "fixer", "23", "box-1", "agent busy", "38s", ""),
    ("queued", 1044, "docs", "15", "box-1", "after R-1041", "55s", ""),
    ("parked", 1043, "review", "12", "Local", "quota to 14:20", "1m02", ""),
    ("running", 1042, "fixer", "17", "Local", "execute", "4m12", "3s"),
    ("running", 1041, "docs", "15", "box-1", "provision", "41s", "9s"),
    ("needs you", 1040, "porter", "21", "Local", "may it run rm?", "9m30", "2m03"),
    ("silent", 1039, "fixer", "19", "box-1", "npm run build", "18m", "6m41"),
    ("done", 1038, "fixer", "12", "Local", "advanced", "2m03", "31m"),
    ("failed", 1037, "fixer", "17", "Local", "exit 101", "0m04", "44m"),
    ("cancelled", 1036, "docs", "09", "box-1", "by operator", "1m17", "52m"),
    ("done", 1035, "review", "17", "Local", "completed", "3m40", "1h08"),
    ("timed out", 1034, "porter", "21", "Local", "30m limit", "30m", "1h40"),
    ("done", 1033, "fixer", "16", "Local", "plan only", "0m52", "2h15"),
    ("lost", 1032, "fixer", "16", "box-1", "shim killed", "6m11", "2h24"),
    ("done", 1031, "docs", "14", "Local", "completed", "5m02", "2h51"),
    ("done", 1030, "fixer", "13", "Local", "completed", "7m19", "3h10"),
    ("failed", 1029, "fixer", "13", "Local", "quota", "0m31", "3h18"),
    ("done", 1028, "review", "13", "Local", "advanced", "1m56", "3h30"),
    ("unknown", 1027, "porter", "11", "pool", "pool away", "12m", "4h02"),
    ("done", 1026, "fixer", "11", "Local", "completed", "4m44", "4h20"),
    ("failed", 1025, "docs", "10", "box-1", "SIGKILL, oom", "8m03", "5h"),
    ("done", 1024, "fixer", "10", "Local", "completed", "2m37", "5h"),
    ("done", 1023, "fixer", "10", "Local", "needs followup", "3m29", "6h"),
    ("done", 1022, "review", "08", "Local", "completed", "1m12", "6h"),
    ("cancelled", 1021, "fixer", "08", "Local", "agent paused", "0m09", "6h"),
    ("done", 1020, "fixer", "08", "Local", "advanced", "6m50", "7h"),
    ("done", 1019, "docs", "07", "Local", "completed", "2m22", "8h"),
    ("failed", 1018, "fixer", "07", "Local", "exit 1", "0m18", "8h"),
    ("done", 1017, "fixer", "07", "Local", "completed", "9m05", "9h"),
    ("done", 1016, "porter", "06", "Local", "completed", "14m", "9h"),
    ("done", 1015, "fixer", "06", "Local", "blocked", "1m40", "9h"),
    ("done", 1014, "review", "05", "Local", "completed", "2m08", "10h"),
    ("done", 1013, "fixer", "05", "Local", "completed", "5m31", "10h"),
    ("failed", 1012, "fixer", "05", "Local", "exit 2", "0m22", "11h"),
    ("done", 1011, "docs", "04", "Local", "completed", "3m14", "11h"),
    ("done", 1010, "fixer", "04", "Local", "completed", "4m47", "12h"),
    ("done", 1009, "fixer", "03", "Local", "empty response", "0m41", "12h"),
    ("done", 1008, "review", "03", "Local", "completed", "1m33", "12h"),
    ("done", 1007, "fixer", "02", "Local", "completed", "8m20", "13h"),
];

const OUTPUT: &[(&str, &str, &str)] = &[
    ("12:04:34.390", "err", "  --> src/checkout/price.rs:118:9"),
    ("12:04:34.391", "err", "    |"),
    ("12:04:34.391", "err", "118 |     let basket = Basket::from(&order);"),
    ("12:04:34.391", "err", "    |         ^^^^^^ help: prefix it with an underscore: `_basket`"),
    ("12:04:36.517", "out", "......................................................F................."),
    ("12:04:37.044", "out", "failures:"),
    ("12:04:37.044", "out", ""),
    ("12:04:37.044", "out", "---- checkout::retry_keeps_the_basket stdout ----"),
    ("12:04:37.045", "out", "thread 'checkout::retry_keeps_the_basket' panicked at src/checkout/retry.rs:77:9:"),
    ("12:04:37.045", "out", "assertion `left == right` failed: basket lost between attempts"),
    ("12:04:37.045", "out", "  left: 0"),
    ("12:04:37.045", "out", " right: 3"),
    ("12:04:37.046", "out", ""),
    ("12:04:37.046", "out", "test result: FAILED. 213 passed; 1 failed; finished in 3.17s"),
    (
        "12:04:41.902",
        "out",
        "I can see it: the retry builds a new session before the old basket is written. I will move the write in front and add a test for two retries.",
    ),
    ("12:04:58.310", "out", "edit src/checkout/retry.rs  +14 −3"),
    ("12:05:02.774", "out", "edit tests/checkout.rs      +31 −0"),
    ("12:05:03.118", "out", "$ cargo test -q checkout"),
    ("12:05:44.020", "out", "running 19 tests"),
    ("12:05:44.951", "out", "..................."),
    ("12:05:44.952", "out", "test result: ok. 19 passed; 0 failed; finished in 0.93s"),
    ("12:06:10.400", "out", "Now fifty times in a row, because it was flaky and not simply broken."),
    ("12:06:10.733", "out", "$ for i in $(seq 50); do cargo test -q checkout::retry || break; done"),
    ("12:06:14.080", "out", "1/50 ok"),
    ("12:06:17.402", "out", "2/50 ok"),
    ("12:06:20.761", "out", "3/50 ok"),
    ("12:06:24.118", "out", "4/50 ok"),
    ("12:06:27.480", "out", "5/50 ok"),
    ("", "note", "mark 1 · 12:06:30 by operator"),
    ("12:06:30.834", "out", "6/50 ok"),
    ("12:06:34.190", "out", "7/50 ok"),
    ("12:06:37.544", "out", "8/50 ok"),
    ("12:08:39.118", "out", "45/50 ok"),
];

/// Reads a duration as lists show it, back into milliseconds.
fn ms(words: &str) -> i64 {
    let mut total = 0;
    let mut figure = 0;
    let mut unit = 1;
    for c in words.chars() {
        match c {
            '0'..='9' => figure = figure * 10 + i64::from(c as u8 - b'0'),
            'h' => (total, figure, unit) = (total + figure * 3_600_000, 0, 60_000),
            'm' => (total, figure, unit) = (total + figure * 60_000, 0, 1000),
            's' => (total, figure, unit) = (total + figure * 1000, 0, 1),
            other => panic!("{other} in a duration"),
        }
    }
    total + figure * unit
}

/// Id of the run with this number.
pub fn run_id(number: i64) -> RunId {
    RunId(uuid_of(1, number))
}

/// An id for tests, made of a kind and a number.
pub fn uuid_of(kind: u128, number: i64) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x019a_2c41_7be0_7c11_0000_0000_0000_0000 | kind << 48 | number as u128)
}

/// A run that waits, to be changed by a test.
pub fn run(number: i64) -> RunLine {
    RunLine {
        id: run_id(number),
        number,
        version: 1,
        status: RunStatus::Queued,
        step: None,
        agent: "fixer".into(),
        issue: None,
        environment: Some("Local".into()),
        queued_at: NOW,
        started_at: None,
        finished_at: None,
        last_output_at: None,
        liveness: None,
        question: None,
        doing: None,
        waits_for: None,
        due_at: None,
        stop_requested_at: None,
        stop_deadline_at: None,
        stop_reason: None,
        limit_ms: None,
        exit_code: None,
        signal: None,
        error_code: None,
        outcome: None,
        unknown: false,
        lease: None,
        services: Vec::new(),
        workspace: None,
        cost_microusd: None,
    }
}

fn drawn((word, number, agent, issue, environment, now, age, silent): &Drawn) -> RunLine {
    let mut r = run(*number);
    r.agent = (*agent).into();
    let title = if *number == 1042 { "Fix flaky checkout test" } else { "An issue" };
    r.issue = Some(IssueName { identifier: format!("SHOP-{issue}"), title: title.into() });
    r.environment = Some((*environment).into());
    if *number == 1042 {
        r.lease = Some(LeaseName { id: crate::fixtures::lease_id(88), number: 88, version: 3 });
        r.services = vec!["S-12 web".into(), "S-14 db".into()];
        r.workspace = Some("W-9".into());
    }
    let text = Some((*now).to_owned());
    let live = *number >= 1039;
    if live {
        r.queued_at = NOW.plus(-ms(age));
        if !silent.is_empty() {
            r.started_at = Some(NOW.plus(-ms(age)));
            r.last_output_at = Some(NOW.plus(-ms(silent)));
            r.status = RunStatus::Running;
        }
    } else {
        let end = NOW.plus(-ms(silent));
        r.finished_at = Some(end);
        r.started_at = Some(end.plus(-ms(age)));
    }
    match *word {
        "queued" => r.waits_for = text,
        "parked" => {
            r.status = RunStatus::ScheduledRetry;
            r.waits_for = Some("quota".into());
            r.due_at = Some(UnixMillis(1_795_267_200_000));
        }
        "running" => r.step = text,
        "needs you" => r.question = text,
        "silent" => {
            r.doing = text;
            r.liveness = Some(Liveness::Silent);
        }
        "done" => {
            r.status = RunStatus::Succeeded;
            r.outcome = text;
        }
        "failed" => {
            r.status = RunStatus::Failed;
            match now.split_once(' ') {
                Some(("exit", code)) => r.exit_code = code.parse().ok(),
                Some((signal, code)) => {
                    r.signal = Some(signal.trim_end_matches(',').into());
                    r.error_code = Some(code.into());
                }
                None => r.error_code = text,
            }
        }
        "cancelled" => {
            r.status = RunStatus::Cancelled;
            r.stop_reason = Some(now.strip_prefix("by ").unwrap_or(now).replace(' ', "_"));
        }
        "timed out" => {
            r.status = RunStatus::TimedOut;
            r.limit_ms = Some(1_800_000);
        }
        "lost" => {
            r.status = RunStatus::Lost;
            r.error_code = Some(now.replace(' ', "_"));
        }
        "unknown" => {
            r.status = RunStatus::Lost;
            r.unknown = true;
            r.error_code = Some(now.replace(' ', "_"));
        }
        other => panic!("{other} is no word of the drawing"),
    }
    r
}

/// The runs of the drawings.
pub fn runs() -> Page<RunLine> {
    Page { rows: RUNS.iter().map(drawn).collect(), total: 1042, hidden: 0, more: true }
}

/// The output of R-1042 as drawn: its last lines of 1,204.
pub fn output() -> OutputLines {
    let day = UnixMillis(1_795_215_600_000); // midnight at +01:00
    let n = OUTPUT.iter().filter(|(_, kind, _)| *kind != "note").count() as u64;
    let mut out = OutputLines {
        counted: Counted::all(1204),
        last: true,
        total_bytes: 96_100,
        state: OutputState::Live,
        started_at: Some(NOW.plus(-249_000)),
        ..OutputLines::default()
    };
    let place = |number| LinePlace { seq: number, index: 0 };
    let mut number = 1204 - n;
    for (at, kind, words) in OUTPUT {
        if *kind == "note" {
            out.notes.push(OutputNote { before: place(number), text: (*words).into() });
            continue;
        }
        let part = |range: std::ops::Range<usize>| at[range].parse::<i64>().unwrap_or(0);
        let ms = part(0..2) * 3_600_000 + part(3..5) * 60_000 + part(6..8) * 1000 + part(9..12);
        let stream = if *kind == "out" { Stream::Stdout } else { Stream::Stderr };
        let (place, bytes) = (place(number), words.as_bytes().to_vec());
        out.lines.push(OutputLine { place, number: Some(number), stream, at: day.plus(ms), bytes, cut: false });
        number += 1;
    }
    out
}

/// Facts of a run as drawn for R-1042.
pub fn detail(line: RunLine) -> RunDetail {
    let at = |ms: i64| Some(NOW.plus(ms - 252_000));
    let step = |name: &str, title: &str, from: i64, to: Option<i64>| StepLine {
        name: name.into(),
        title: title.into(),
        status: if to.is_some() { "succeeded" } else { "running" }.into(),
        started_at: at(from),
        finished_at: to.and_then(at),
        deadline_at: None,
        error: None,
    };
    let span = |step: &str, title: &str, from: i64, to: Option<i64>| SpanLine {
        step: step.into(),
        title: title.into(),
        started_at: NOW.plus(from - 252_000),
        finished_at: to.and_then(at),
        failed: false,
    };
    let fact = |label: &str, value: &str, remark: &str| Fact {
        label: label.into(),
        value: value.into(),
        remark: remark.into(),
        bad: false,
    };
    RunDetail {
        line,
        steps: vec![
            step("resolve", "resolve environment", 0, Some(10)),
            step("check", "check adapter", 10, Some(30)),
            step("acquire", "acquire lease L-88", 30, Some(70)),
            step("realise", "realise workspace W-9", 70, Some(1_480)),
            step("target", "target and services", 1_480, Some(2_100)),
            step("execute", "execute  process 4711", 2_104, None),
            StepLine { status: "pending".into(), started_at: None, ..step("finish", "release", 0, None) },
        ],
        spans: vec![
            span("realise", "git worktree add", 80, Some(460)),
            span("realise", "provision npm ci", 470, Some(1_440)),
            span("execute", "Bash cargo test", 3_000, Some(9_210)),
            span("execute", "Bash for i in $(seq 50)", 99_000, None),
        ],
        facts: vec![
            FactBlock {
                facts: vec![
                    fact("PROCESS", "pid 4711", "started 12:04:31.104"),
                    fact("shim", "pid 4709, answers", "lock held, protocol 1"),
                ],
            },
            FactBlock {
                facts: vec![
                    fact("WORKSPACE", "W-9", "~/src/shop/.wharf/worktrees/SHOP-17-fix-flaky-checkout"),
                    fact("LEASE", "L-88", "Local, ephemeral, fence 412, live"),
                ],
            },
        ],
        deadlines: vec![DeadlineLine {
            name: "run limit".into(),
            allowed_ms: Some(1_800_000),
            at: NOW.plus(1_548_000),
            remark: String::new(),
        }],
        activity: vec![ActivityLine {
            number: 1,
            at: NOW.plus(-253_000),
            who: "operator".into(),
            action: "run.start".into(),
            entity: "R-1042".into(),
            details: "asked for the run".into(),
        }],
    }
}

/// The counters as drawn.
pub fn header() -> Header {
    Header {
        project: "shop".into(),
        needs_person: 1,
        running: 4,
        queued: 3,
        leases: 5,
        services: 3,
        live_runs: ["R-1042", "R-1041", "R-1040 (needs you)", "R-1039 (silent)"].map(str::to_owned).to_vec(),
        live_services: ["S-12 web", "S-14 db", "S-15 docs-preview"].map(str::to_owned).to_vec(),
        orchestrator: None,
        pending: None,
    }
}

/// Settings without colour, at +01:00.
pub fn settings(columns: u16, rows: u16) -> Settings {
    Settings {
        now: NOW,
        size: (columns, rows),
        zone: Zone { east_seconds: 3600, utc: false },
        theme: Theme { variant: Variant::Dark, depth: Depth::True },
        ascii: false,
        keys: Vec::new(),
        project: "shop".into(),
    }
}

/// An app, with everything it asks answered from the fixture.
pub struct Bench {
    /// The app.
    pub app: App,
    /// Effects that were not questions, in their order.
    pub effects: Vec<Effect>,
    /// How questions are answered; none leaves a question open.
    pub answers: fn(&Question) -> Option<Result<Answer, String>>,
}

/// Answers with the drawings' rows.
pub fn drawing(question: &Question) -> Option<Result<Answer, String>> {
    Some(Ok(match question {
        Question::Runs { after: None, .. } => Answer::Runs(runs()),
        Question::Runs { .. } => Answer::Runs(Page { total: 1042, ..Page::default() }),
        Question::Header => Answer::Header(header()),
        Question::Output { .. } => Answer::Output(output()),
        Question::RunDetail(id) => {
            Answer::RunDetail(runs().rows.into_iter().find(|r| r.id == *id).map(|r| Box::new(detail(r))))
        }
        Question::CancelPreview(_) => Answer::Preview(Preview {
            lines: vec![
                PreviewLine {
                    verb: PreviewVerb::Stops,
                    what: "R-1042 fixer SHOP-17".into(),
                    how: "SIGTERM, 15s, then SIGKILL".into(),
                },
                PreviewLine {
                    verb: PreviewVerb::Keeps,
                    what: "W-9 and its branch".into(),
                    how: "3 uncommitted files stay".into(),
                },
                PreviewLine { verb: PreviewVerb::Frees, what: "L-88 on Local".into(), how: "R-1046 can start".into() },
            ],
            note: "R-1042 is recorded as cancelled by operator. No new run starts in its place. This cannot be undone."
                .into(),
            expect: vec![Expect { id: run_id(1042).text(), version: 1 }],
            at: NOW,
            refused: None,
            args: Vec::new(),
        }),
        Question::FormAgents => Answer::FormAgents(FormAgents {
            agents: vec![
                FormAgent {
                    name: "docs".into(),
                    adapter: "codex 0.42.0".into(),
                    slots: (0, 1),
                    ..FormAgent::default()
                },
                FormAgent {
                    name: "fixer".into(),
                    adapter: "claude 2.1.4".into(),
                    slots: (2, 2),
                    ..FormAgent::default()
                },
            ],
            issues: vec![IssueName { identifier: "SHOP-17".into(), title: "Fix flaky checkout test".into() }],
            environments: vec!["Local".into(), "box-1".into()],
        }),
        Question::Search { .. } => {
            let lines = [1190, 1199].map(|seq| LinePlace { seq, index: 0 }).to_vec();
            Answer::Search(SearchHits { lines, total: 2, percent: 100 })
        }
        other => return crate::fixtures::answer(other),
    }))
}

/// Answers as a store without a run.
pub fn nothing(question: &Question) -> Option<Result<Answer, String>> {
    Some(Ok(match question {
        Question::Runs { .. } => Answer::Runs(Page::default()),
        Question::Leases { .. } => Answer::Leases(Page::default()),
        Question::Services { .. } => Answer::Services(Page::default()),
        Question::Workspaces { .. } => Answer::Workspaces(Page::default()),
        Question::Activity { .. } => Answer::Activity(Page::default()),
        Question::Header => Answer::Header(Header { project: "shop".into(), ..Header::default() }),
        _ => return None,
    }))
}

impl Bench {
    /// Opens the console at this size.
    pub fn open(columns: u16, rows: u16, answers: fn(&Question) -> Option<Result<Answer, String>>) -> Self {
        let mut bench = Self { app: App::new(settings(columns, rows)), effects: Vec::new(), answers };
        bench.send(Msg::StoreChanged);
        bench
    }

    /// With the fixture of the drawings, the cursor on R-1042.
    pub fn drawn(columns: u16, rows: u16) -> Self {
        let mut bench = Self::open(columns, rows, drawing);
        bench.keys("j j j j");
        bench
    }

    /// Sends a message and answers what is asked.
    pub fn send(&mut self, msg: Msg) {
        let mut waiting = self.app.update(msg);
        // Questions lead to questions; a loop of them would be a fault.
        for _ in 0..50 {
            let mut next = Vec::new();
            for effect in waiting {
                match effect {
                    Effect::Ask(question) => {
                        if let Some(answer) = (self.answers)(&question) {
                            next.extend(self.app.update(Msg::Rows { question, answer }));
                        }
                    }
                    other => self.effects.push(other),
                }
            }
            if next.is_empty() {
                return;
            }
            waiting = next;
        }
        panic!("questions do not come to an end");
    }

    /// Presses keys, written as in the keymap with blanks between.
    pub fn keys(&mut self, words: &str) {
        for word in words.split(' ') {
            self.send(Msg::Key(event(word)));
        }
    }

    /// Types a text.
    pub fn type_in(&mut self, words: &str) {
        for c in words.chars() {
            self.send(Msg::Key(crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Char(c))));
        }
    }

    /// The frame as it would be drawn.
    pub fn buffer(&self) -> Buffer {
        let (columns, rows) = self.app.env.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        self.app.draw(&mut buffer);
        buffer
    }

    /// The frame as text, one line for each row.
    pub fn text(&self) -> String {
        text_of(&self.buffer())
    }

    /// Compares a part of the frame with the same part of a drawing.
    pub fn assert_drawn(&self, drawing: &str, part: Rect) {
        let cells = |text: &str| -> Vec<String> {
            text.lines()
                .skip(usize::from(part.y))
                .take(usize::from(part.height))
                .map(|l| l.chars().skip(usize::from(part.x)).take(usize::from(part.width)).collect())
                .collect()
        };
        let (is, should) = (cells(&self.text()), cells(drawing));
        for (y, (is, should)) in is.iter().zip(&should).enumerate() {
            assert_eq!(is, should, "row {}\n{}", usize::from(part.y) + y, self.text());
        }
    }
}

/// The event of a key as the keymap writes it.
pub fn event(word: &str) -> crossterm::event::KeyEvent {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    let (modifiers, rest) = match word.split_once('-') {
        Some(("ctrl", rest)) => (KeyModifiers::CONTROL, rest),
        Some(("alt", rest)) if !rest.is_empty() => (KeyModifiers::ALT, rest),
        Some(("Shift", "Tab")) => return KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT),
        _ => (KeyModifiers::NONE, word),
    };
    let code = match rest {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Backspace" => KeyCode::Backspace,
        "space" => KeyCode::Char(' '),
        other => KeyCode::Char(other.chars().next().expect("a key has a character")),
    };
    KeyEvent::new(code, modifiers)
}

/// A buffer as text; the second cell of a wide character is left out.
pub fn text_of(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut hidden = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if hidden == 0 {
                out.push_str(symbol);
                hidden = crate::text::width(symbol).saturating_sub(1);
            } else {
                hidden -= 1;
            }
        }
        out.push('\n');
    }
    out
}

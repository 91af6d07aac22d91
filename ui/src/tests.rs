//! Whole screens, compared with their drawings, and promises that hold for any keys.

use proptest::prelude::*;
use ratatui::layout::Rect;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use serde_json::json;
use wharf_model::filter::Filter;

use crate::app::App;
use crate::effect::{Effect, Question, QuitChoice};
use crate::msg::{Answer, Msg, RequestOutcome, Tone};
use crate::overlay::Overlay;
use crate::rows::Page;
use crate::screen::browse::Browse;
use crate::testing::*;

const WIDE: &str = include_str!("../mockups/ledger-output-160.txt");
const SMALL: &str = include_str!("../mockups/ledger-output-80.txt");
const ASCII: &str = include_str!("../mockups/ledger-output-80-ascii.txt");

#[test]
fn the_ledger_is_as_drawn_at_160x45() {
    let bench = Bench::drawn(160, 45);
    bench.assert_drawn(WIDE, Rect::new(0, 1, 78, 43));
    bench.assert_drawn(WIDE, Rect::new(78, 1, 82, 1));
    bench.assert_drawn(WIDE, Rect::new(78, 3, 82, 41));
    bench.assert_drawn(WIDE, Rect::new(104, 0, 56, 1));
    bench.assert_drawn(WIDE, Rect::new(0, 0, 17, 1));
}

#[test]
fn the_ledger_is_as_drawn_at_80x24() {
    let bench = Bench::drawn(80, 24);
    bench.assert_drawn(SMALL, Rect::new(0, 0, 80, 10));
    bench.assert_drawn(SMALL, Rect::new(0, 11, 80, 12));
}

#[test]
fn ascii_maps_cell_by_cell() {
    let mut bench = Bench::drawn(80, 24);
    bench.app.env.ascii = true;
    bench.assert_drawn(ASCII, Rect::new(0, 0, 80, 10));
    bench.assert_drawn(ASCII, Rect::new(0, 11, 80, 12));
}

#[test]
fn snapshots() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = Bench::drawn(columns, rows);
        insta::assert_snapshot!(format!("ledger-{size}"), bench.text());
        bench.keys(":");
        bench.type_in("wrap");
        insta::assert_snapshot!(format!("palette-{size}"), bench.text());
        bench.keys("Esc ?");
        insta::assert_snapshot!(format!("help-{size}"), bench.text());
        bench.keys("Esc /");
        bench.type_in("agent:fixer status:fa");
        insta::assert_snapshot!(format!("filter-{size}"), bench.text());
        bench.keys("Esc");
        bench.keys("Tab /");
        bench.type_in("ok");
        bench.keys("Enter");
        insta::assert_snapshot!(format!("search-{size}"), bench.text());
        bench.keys("Esc t l");
        insta::assert_snapshot!(format!("timeline-{size}"), bench.text());
        bench.keys("t d");
        insta::assert_snapshot!(format!("detail-{size}"), bench.text());
        bench.keys("t o Esc Left x");
        insta::assert_snapshot!(format!("confirm-{size}"), bench.text());
        bench.keys("Esc n");
        bench.type_in("Run it again");
        insta::assert_snapshot!(format!("new-run-{size}"), bench.text());
        bench.keys("Esc q");
        insta::assert_snapshot!(format!("quit-{size}"), bench.text());
        insta::assert_snapshot!(format!("empty-{size}"), Bench::open(columns, rows, nothing).text());
    }
    insta::assert_snapshot!("ledger-60x20", Bench::drawn(60, 20).text());
    insta::assert_snapshot!("ledger-20x5", Bench::drawn(20, 5).text());
}

fn requests(bench: &Bench) -> Vec<(String, serde_json::Value, usize)> {
    let of = |e: &Effect| match e {
        Effect::Request(r) => Some((r.kind.clone(), r.args.clone(), r.expect.len())),
        _ => None,
    };
    bench.effects.iter().filter_map(of).collect()
}

#[test]
fn only_y_confirms_and_not_before_one_could_have_read() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("x y x Enter space");
    assert_eq!(requests(&bench), [], "a key within 150 ms, the verb again, Enter and space confirm nothing");
    bench.send(Msg::Tick(NOW.plus(200)));
    bench.keys("x Enter");
    assert_eq!(requests(&bench), []);
    bench.keys("y");
    assert_eq!(requests(&bench), [("run.cancel".to_owned(), json!({}), 1)]);
    let tag = 1;
    let outcome = RequestOutcome::Refused { code: "changed_since_preview".into(), words: "changed".into() };
    bench.send(Msg::RequestAnswered { tag, outcome });
    assert!(matches!(bench.app.overlay, Some(Overlay::Confirm(_))), "a changed world shows the preview again");
    bench.keys("y");
    assert_eq!(requests(&bench).len(), 1, "the new preview has to be read as well");
}

#[test]
fn marked_runs_are_cancelled_together() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("space space x");
    assert!(bench.text().contains("Cancel 2 marked"), "{}", bench.text());
    bench.send(Msg::Tick(NOW.plus(200)));
    bench.keys("y");
    assert_eq!(requests(&bench).len(), 2);
}

#[test]
fn the_cursor_goes_to_the_run_that_was_started_unless_a_key_was_pressed_since() {
    for (keys, at) in [("", 1039), (" j", 1041)] {
        let mut bench = Bench::drawn(160, 45);
        bench.keys(&format!("n Enter{keys}"));
        let outcome = RequestOutcome::Done { words: "R-1039 is queued".into(), run: Some(1039) };
        bench.send(Msg::RequestAnswered { tag: 1, outcome });
        assert_eq!(bench.app.ledger.run().map(|r| r.number), Some(at), "after {keys:?}");
    }
}

#[test]
fn a_new_run_is_asked_for_with_what_was_chosen() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("n Enter");
    assert_eq!(requests(&bench), [("run.start".to_owned(), json!({"agent": "fixer", "issue": "SHOP-17"}), 0)]);
    bench.keys("n");
    bench.send(Msg::Paste("two\nlines".into()));
    bench.keys("Shift-Tab Right Shift-Tab Left Shift-Tab d Tab Tab Tab Enter");
    let wanted = json!({"agent": "docs", "prompt": "two\nlines", "environment": "Local"});
    assert_eq!(requests(&bench)[1].1, wanted);
}

/// As the drawings, but R-1042 has a terminal and `docs` reads no prompt.
fn with_a_terminal(question: &Question) -> Option<Result<Answer, String>> {
    let mut answer = drawing(question)?;
    match &mut answer {
        Ok(Answer::Runs(page)) => {
            for run in page.rows.iter_mut().filter(|run| run.number == 1042) {
                run.terminal = true;
            }
        }
        Ok(Answer::FormAgents(form)) => form.agents[0].no_prompt = Some("it has a terminal (tty = true)".into()),
        _ => {}
    }
    Some(answer)
}

#[test]
fn an_agent_that_takes_no_prompt_is_said_so_before_it_fails() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let mut bench = Bench::open(columns, rows, with_a_terminal);
        bench.keys("n");
        assert!(!bench.text().contains("takes no prompt"));
        bench.type_in("do it");
        bench.keys("Shift-Tab Shift-Tab Shift-Tab d Tab Tab Tab");
        assert!(bench.text().contains("▲ docs takes no prompt: it has a terminal (tty = true)."), "{}", bench.text());
        bench.keys("Enter");
        assert_eq!(requests(&bench), [], "nothing is asked for that would be refused");
        assert!(bench.text().contains("▲ docs takes no prompt: empty it (ctrl-u)"), "{}", bench.text());
        bench.keys("ctrl-u Enter");
        assert_eq!(requests(&bench)[0].1["agent"], "docs");
        assert_eq!(requests(&bench)[0].1.get("prompt"), None);
    }
}

#[test]
fn attaching_is_hinted_where_the_selected_run_has_a_terminal() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let mut bench = Bench::open(columns, rows, with_a_terminal);
        let hints = |bench: &Bench| bench.text().lines().last().unwrap().to_owned();
        let mut seen = 0;
        for _ in 0..8 {
            let here = bench.app.ledger.run().is_some_and(|run| run.number == 1042);
            let row = hints(&bench);
            assert_eq!(row.contains("a attach"), here, "{row}");
            assert!(row.contains("n new") && row.contains("x cancel") && row.trim_end().ends_with("? help"), "{row}");
            seen += u32::from(here);
            bench.keys("j");
        }
        bench.keys("g g");
        assert!(seen > 0, "R-1042 was passed");
    }
}

#[test]
fn quitting_with_live_runs_asks_once() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("q Esc");
    assert_eq!(bench.effects, []);
    bench.keys("q s Enter l");
    assert_eq!(bench.effects, [], "stopping all wants y");
    bench.keys("y");
    assert_eq!(bench.effects, [], "and not before one could have read what it stops");
    bench.send(Msg::Tick(NOW.plus(150)));
    bench.keys("y");
    assert_eq!(bench.effects, [Effect::Quit(QuitChoice::StopAll)]);
    let mut bench = Bench::drawn(80, 24);
    bench.keys("q j Enter");
    assert_eq!(bench.effects, [Effect::Quit(QuitChoice::Background)]);
    let mut bench = Bench::drawn(80, 24);
    bench.keys("q b");
    assert_eq!(bench.effects, [Effect::Quit(QuitChoice::Background)]);
    // Where another process orchestrates there is nothing to put into the background.
    let mut bench = Bench::drawn(80, 24);
    bench.app.header.orchestrator = Some("pid 7".to_owned());
    bench.keys("q b j Enter");
    bench.send(Msg::Tick(NOW.plus(150)));
    bench.keys("y");
    assert_eq!(bench.effects, [Effect::Quit(QuitChoice::StopAll)]);
    let mut bench = Bench::open(80, 24, nothing);
    bench.keys("q");
    assert_eq!(bench.effects, [Effect::Quit(QuitChoice::Leave)]);
}

#[test]
fn a_stale_answer_changes_nothing() {
    let mut bench = Bench::drawn(80, 24);
    let before = bench.text();
    let question = Question::Runs { filter: Filter::parse("agent:docs").unwrap(), after: None, limit: 200 };
    bench.send(Msg::Rows { question, answer: Ok(Answer::Runs(Page::default())) });
    assert_eq!(bench.text(), before);
}

#[test]
fn a_question_is_open_once_and_asked_again_after_its_answer() {
    let mut app = App::new(settings(80, 24));
    let asked = |effects: Vec<Effect>| effects.into_iter().filter(|e| *e == Effect::Ask(Question::Header)).count();
    assert_eq!(asked(app.update(Msg::StoreChanged)), 1);
    assert_eq!(asked(app.update(Msg::StoreChanged)), 0);
    let answer = Msg::Rows { question: Question::Header, answer: Ok(Answer::Header(header())) };
    assert_eq!(asked(app.update(answer.clone())), 1);
    assert_eq!(asked(app.update(answer)), 0);
}

#[test]
fn a_wrong_filter_says_why_and_keeps_the_last_one() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("/");
    bench.type_in("status:fa");
    assert!(bench.text().contains("is no status"), "{}", bench.text());
    bench.keys("Tab");
    assert!(bench.text().contains("status:failed"), "{}", bench.text());
    bench.keys("Enter");
    assert!(bench.text().contains("Runs  status:failed"), "{}", bench.text());
}

#[test]
fn dragging_copies_the_text_without_gutter_or_breaks() {
    let mut bench = Bench::drawn(160, 45);
    let at = |kind, column, row| Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    // From the first row of a wrapped line into its second.
    bench.send(at(MouseEventKind::Down(MouseButton::Left), 94, 20));
    bench.send(at(MouseEventKind::Drag(MouseButton::Left), 100, 21));
    bench.send(at(MouseEventKind::Up(MouseButton::Left), 100, 22));
    let copied = bench.effects.iter().find_map(|e| match e {
        Effect::Copy(words) => Some(words.clone()),
        _ => None,
    });
    let words = copied.expect("a drag copies");
    assert!(!words.contains('▏') && !words.contains("12:0"), "{words:?}");
    assert!(words.starts_with("I can see it: the retry builds a new session before the old basket"), "{words:?}");
}

#[test]
fn the_wheel_lets_go_and_the_last_row_follows_again() {
    let mut bench = Bench::drawn(80, 24);
    let wheel = |kind| Msg::Mouse(MouseEvent { kind, column: 10, row: 15, modifiers: KeyModifiers::NONE });
    bench.send(wheel(MouseEventKind::ScrollUp));
    assert!(bench.text().contains("G follows"), "{}", bench.text());
    bench.send(wheel(MouseEventKind::ScrollDown));
    assert!(bench.text().contains("▼ following"), "{}", bench.text());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_keys_at_any_size_neither_panic_nor_steer_the_terminal(
        steps in proptest::collection::vec((0usize..80, 20u16..240, 5u16..70), 1..60),
    ) {
        const KEYS: [&str; 62] = ["j", "k", "G", "g", "e", "Tab", "/", ":", "?", "Esc", "Enter", "f", "b", "T", "W", "J", "n", "N",
            "space", "*", "z", "y", "i", "x", "t", "o", "l", "h", "d", ">", "<", "PgUp", "PgDn", "Home", "End", "ctrl-u", "ctrl-d",
            "Up", "Down", "Left", "Right", "Backspace", "a", "s", "R", "alt-+", "ctrl-w", "Q",
            "1", "2", "3", "5", "7", "8", "r", "L", "w", "[", "]", "+", "-", "c"];
        let mut bench = Bench::drawn(80, 24);
        for (key, columns, rows) in steps {
            match KEYS.get(key) {
                Some(word) => bench.keys(word),
                None if key % 2 == 0 => bench.send(Msg::Resize(columns, rows)),
                None => bench.send(Msg::Tick(bench.app.env.now.plus(1000))),
            }
            let buffer = bench.buffer();
            for cell in buffer.content() {
                prop_assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
            }
        }
    }
}

#[test]
fn toasts_lie_in_the_corner_as_drawn() {
    const DRAWN: &str = include_str!("../mockups/toasts-80.txt");
    let mut bench = Bench::drawn(80, 24);
    bench.send(Msg::Toast(Tone::Good, "R-1038 done, advanced · 2m03".into()));
    bench.send(Msg::Toast(Tone::Bad, "S-11 worker gave up after 5 restarts · w why".into()));
    bench.send(Msg::Toast(Tone::Warn, "R-1040 asks: may it run rm -rf dist? · i opens".into()));
    bench.assert_drawn(DRAWN, Rect::new(0, 11, 80, 12));
    bench.send(Msg::Tick(NOW.plus(4_000)));
    assert!(!bench.text().contains("R-1038 done"), "good news go after four seconds");
    assert!(bench.text().contains("S-11 worker"), "bad news stay");
    bench.keys("i Esc");
    assert!(!bench.text().contains("S-11 worker"), "until they are read");
}

#[test]
fn a_banner_takes_the_row_above_the_hints_and_goes_with_its_condition() {
    const DRAWN: &str = include_str!("../mockups/banner-disk-80.txt");
    let mut bench = Bench::drawn(80, 24);
    let text = "Disk full since 12:08:40. Children wait, nothing is lost.".to_owned();
    bench.send(Msg::Banner { key: "disk", tone: Tone::Bad, text, advice: "Free some space.".into() });
    bench.assert_drawn(DRAWN, Rect::new(0, 22, 80, 1));
    bench.keys("i");
    assert!(bench.text().contains("Free some space."));
    bench.keys("Esc");
    bench.send(Msg::BannerOver("disk"));
    bench.assert_drawn(SMALL, Rect::new(0, 11, 80, 12));
}

#[test]
fn a_chord_shows_its_ways_on_after_a_while_or_when_asked() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("t");
    assert!(!bench.text().contains("Timeline     "));
    bench.send(Msg::Tick(NOW.plus(400)));
    assert!(bench.text().contains("┌─ t ─"), "{}", bench.text());
    bench.keys("d");
    assert!(bench.text().contains("[Detail]"));
    bench.keys("t ?");
    assert!(bench.text().contains("┌─ t ─"));
    bench.keys("q");
    assert!(bench.app.overlay.is_none() && bench.effects.is_empty(), "an unknown key ends the chord and does nothing");
}

#[test]
fn clicks_act_as_their_keys() {
    let mut bench = Bench::drawn(160, 45);
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    bench.send(click(5, 4));
    assert_eq!(bench.app.ledger.run().unwrap().number, 1045);
    assert!(!bench.app.ledger.base().list.detail);
    bench.send(click(5, 4));
    assert!(bench.app.ledger.base().list.detail, "the second click opens");
    bench.send(click(90, 2));
    assert!(bench.text().contains("[Timeline]"), "{}", bench.text());
    let at = bench.text().lines().last().unwrap().find("palette").unwrap() as u16;
    bench.send(click(at, 44));
    assert!(matches!(bench.app.overlay, Some(Overlay::Palette(_))));
}

#[test]
fn without_colour_nothing_has_one() {
    let mut bench = Bench::drawn(160, 45);
    bench.app.env.theme.depth = crate::theme::Depth::None;
    for cell in bench.buffer().content() {
        assert_eq!(
            (cell.fg, cell.bg),
            (ratatui::style::Color::Reset, ratatui::style::Color::Reset),
            "{:?}",
            cell.symbol()
        );
    }
}

/// What a hostile child prints: escapes, strings to the terminal, wide characters at the edge.
fn hostile(question: &Question) -> Option<Result<Answer, String>> {
    let Question::Output { .. } = question else { return drawing(question) };
    let bytes: [&[u8]; 6] = [
        b"\x1b[2J\x1b[H\x1b]0;owned\x07cleared",
        b"\x1b[31mred\x1b[0m \x1b[5;6Hmoved \x1b[?1049h",
        "日本語のログ ".repeat(20).as_bytes().to_vec().leak(),
        b"\xff\xfe\x9b31m \xc2\x9b31m",
        "left \u{202e}right".as_bytes(),
        b"\x1bP1;1q\x1b",
    ];
    let mut lines = output();
    for (line, bytes) in lines.lines.iter_mut().rev().zip(bytes) {
        line.bytes = bytes.to_vec();
    }
    Some(Ok(Answer::Output(lines)))
}

#[test]
fn what_a_child_prints_never_steers_the_terminal() {
    use ratatui::backend::CrosstermBackend;
    use ratatui::{Terminal, TerminalOptions, Viewport};

    for (columns, rows) in [(80u16, 24u16), (161, 45), (77, 20)] {
        let mut bench = Bench::open(columns, rows, hostile);
        bench.keys("j j j j");
        let mut bytes = Vec::new();
        let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
        let mut terminal =
            Terminal::with_options(CrosstermBackend::new(&mut bytes), TerminalOptions { viewport }).unwrap();
        terminal.draw(|frame| bench.app.view(frame)).unwrap();
        bench.keys("k");
        terminal.draw(|frame| bench.app.view(frame)).unwrap();
        drop(terminal);
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(&bytes);
        let shown: Vec<String> = parser.screen().rows(0, columns).map(|r| r.trim_end().to_owned()).collect();
        // The emulator takes the replacement for its own mark of bad input and draws nothing for it.
        let wanted: Vec<String> =
            bench.text().lines().map(|r| r.replace('\u{FFFD}', "").trim_end().to_owned()).collect();
        assert_eq!(shown, wanted);
        assert!(!parser.screen().alternate_screen());
        assert!(wanted.iter().any(|r| r.contains("日本語")) && wanted.iter().any(|r| r.contains("red")));
    }
}

#[test]
fn a_changed_config_waits_until_it_was_shown_and_accepted() {
    use crate::msg::Msg;
    use crate::rows::{ConfigChange, Header, PendingConfig, Preview, PreviewLine, PreviewVerb};

    let mut bench = Bench::drawn(100, 30);
    bench.type_in(":");
    bench.type_in("accept");
    bench.keys("Enter");
    assert_eq!(requests(&bench), [], "nothing waits");
    bench.keys("Esc");
    let change = |place: &str, old: &str, new: &str| ConfigChange {
        place: place.to_owned(),
        old: Some(old.to_owned()),
        new: Some(new.to_owned()),
    };
    let changes = vec![change("agent.a.config.command", "one", "two"), change("service.web.command", "three", "four")];
    let pending = Some(PendingConfig { project: "p".to_owned(), changes });
    let known = |header: Header| Msg::Rows { question: Question::Header, answer: Ok(Answer::Header(header)) };
    let waits = crate::testing::header();
    bench.app.update(known(Header { pending, ..waits.clone() }));
    let shown = bench.text();
    assert!(shown.contains("wharf.toml changed: 2 commands; accepted one stays in force"), "{shown}");
    bench.keys("i");
    let shown = bench.text();
    assert!(shown.contains("service.web.command: three → four"), "{shown}");
    bench.keys("Esc");
    bench.type_in(":");
    bench.type_in("accept");
    bench.keys("Enter");
    let line =
        PreviewLine { verb: PreviewVerb::Changes, what: "agent.a.config.command".to_owned(), how: String::new() };
    let args = vec![("executable_hash", "h".to_owned())];
    let preview = Preview { lines: vec![line], at: NOW, args, ..Preview::default() };
    bench.app.update(Msg::Rows { question: Question::AcceptPreview, answer: Ok(Answer::Preview(preview)) });
    assert!(bench.text().contains("changes   agent.a.config.command"), "{}", bench.text());
    bench.app.update(Msg::Tick(bench.app.env.now.plus(1_000)));
    bench.keys("y");
    assert_eq!(requests(&bench), [("config.accept".to_owned(), json!({ "executable_hash": "h" }), 0)]);
    bench.app.update(known(waits));
    assert!(!bench.text().contains("wharf.toml changed"));
}

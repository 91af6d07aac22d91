//! Whole screens, compared with their drawings, and promises that hold for any keys.

use proptest::prelude::*;
use ratatui::layout::Rect;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use serde_json::json;
use wharf_model::filter::Filter;

use crate::app::App;
use crate::effect::{Effect, Question, QuitChoice};
use crate::msg::{Answer, Msg, RequestOutcome};
use crate::overlay::Overlay;
use crate::rows::Page;
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
fn a_new_run_is_asked_for_with_what_was_chosen() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("n Enter");
    assert_eq!(requests(&bench), [("run.start".to_owned(), json!({"agent": "fixer", "issue": "SHOP-17"}), 0)]);
    bench.keys("n");
    bench.send(Msg::Paste("two\nlines".into()));
    bench.keys("Shift-Tab Right Shift-Tab Right Shift-Tab Left Shift-Tab d Tab Tab Tab Tab Enter");
    let wanted = json!({"agent": "docs", "prompt": "two\nlines", "environment": "Local", "workspace": "W-9"});
    assert_eq!(requests(&bench)[1].1, wanted);
}

#[test]
fn quitting_with_live_runs_asks_once() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("q Esc");
    assert_eq!(bench.effects, []);
    bench.keys("q s Enter l");
    assert_eq!(bench.effects, [], "stopping all wants y");
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
        steps in proptest::collection::vec((0usize..64, 20u16..240, 5u16..70), 1..60),
    ) {
        const KEYS: [&str; 48] = ["j", "k", "G", "g", "e", "Tab", "/", ":", "?", "Esc", "Enter", "f", "b", "T", "W", "J", "n", "N",
            "space", "*", "z", "y", "i", "x", "t", "o", "l", "h", "d", ">", "<", "PgUp", "PgDn", "Home", "End", "ctrl-u", "ctrl-d",
            "Up", "Down", "Left", "Right", "Backspace", "a", "s", "R", "alt-+", "ctrl-w", "Q"];
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

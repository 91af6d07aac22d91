//! What an operator relies on without thinking of it: what is shown is current, whole, and what a key acts on.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::effect::{Effect, Question};
use crate::msg::{Answer, Msg};
use crate::rows::{FormAgents, Header, IssueName, PreviewLine, PreviewVerb};
use crate::testing::*;

#[test]
fn a_log_that_comes_back_into_view_is_asked_for_again() {
    let asked = |bench: &mut Bench, msg: Msg| {
        let effects = bench.app.update(msg);
        effects.into_iter().any(|e| matches!(e, Effect::Ask(Question::Output { .. })))
    };
    let key = |code| Msg::Key(KeyEvent::new(code, KeyModifiers::NONE));
    let mut bench = Bench::drawn(160, 45);
    bench.keys("j k");
    assert!(asked(&mut bench, key(KeyCode::Char('j'))), "it may have ended meanwhile");
    let mut bench = Bench::drawn(160, 45);
    bench.keys("t d");
    bench.send(key(KeyCode::Char('t')));
    assert!(asked(&mut bench, key(KeyCode::Char('o'))), "after another tab");
    let mut bench = Bench::drawn(160, 45);
    bench.keys("2");
    assert!(asked(&mut bench, key(KeyCode::Char('1'))), "after another screen");
    assert!(!asked(&mut bench, Msg::Tick(NOW.plus(1_000))), "and only then");
}

#[test]
fn what_is_agreed_to_is_shown_whole_however_small_the_dialog() {
    fn long(question: &Question) -> Option<Result<Answer, String>> {
        match drawing(question) {
            Some(Ok(Answer::Preview(mut preview))) => {
                let how = "a command of which every word counts ".repeat(8) + "and-this-is-its-end";
                preview.lines = vec![PreviewLine { verb: PreviewVerb::Records, what: "it".into(), how }; 3];
                Some(Ok(Answer::Preview(preview)))
            }
            other => other,
        }
    }
    let mut bench = Bench::open(80, 24, long);
    bench.keys("x");
    let first = bench.text();
    assert!(first.contains("↑↓ 1–") && first.contains("y cancel"), "{first}");
    let mut ends = 0;
    for _ in 0..60 {
        ends = ends.max(bench.text().matches("and-this-is-its-end").count());
        bench.keys("Down");
    }
    let last = bench.text();
    assert!(ends > 0 && !last.contains("↑↓ 1–"), "{last}");
    bench.keys("Up");
    assert_ne!(bench.text(), last, "the first press upwards moves it");
}

#[test]
fn a_form_keeps_what_was_chosen_while_choices_come_and_go() {
    fn more(question: &Question) -> Option<Result<Answer, String>> {
        match drawing(question) {
            Some(Ok(Answer::FormAgents(mut form))) => {
                form.issues.insert(0, IssueName { identifier: "SHOP-99".into(), title: "new".into() });
                Some(Ok(Answer::FormAgents(form)))
            }
            other => other,
        }
    }
    fn fewer(question: &Question) -> Option<Result<Answer, String>> {
        match drawing(question) {
            Some(Ok(Answer::FormAgents(form))) => {
                Some(Ok(Answer::FormAgents(FormAgents { issues: Vec::new(), ..form })))
            }
            other => other,
        }
    }
    let mut bench = Bench::drawn(80, 24);
    bench.keys("n");
    bench.answers = more;
    bench.send(Msg::StoreChanged);
    assert!(bench.text().contains("same: wharf run fixer --issue SHOP-17"), "{}", bench.text());
    bench.answers = fewer;
    bench.send(Msg::StoreChanged);
    assert!(bench.text().contains("SHOP-17 cannot be chosen any more"), "{}", bench.text());
}

#[test]
fn names_are_never_cut_and_counters_never_overwrite_the_screens() {
    fn large(question: &Question) -> Option<Result<Answer, String>> {
        match drawing(question) {
            Some(Ok(Answer::Leases(mut page))) => {
                page.rows[0].number = 123_456;
                Some(Ok(Answer::Leases(page)))
            }
            Some(Ok(Answer::Header(header))) => Some(Ok(Answer::Header(Header {
                orchestrator: Some("pid 4194301 on pts/13".into()),
                running: 1_234,
                queued: 5_678,
                leases: 1_234,
                services: 1_234,
                ..header
            }))),
            other => other,
        }
    }
    for columns in [80, 100, 130, 160, 200] {
        let mut bench = Bench::open(columns, 30, large);
        bench.keys("2");
        assert!(bench.text().contains("L-123456"), "{}", bench.text());
        let head = bench.text().lines().next().unwrap().to_owned();
        assert!(head.contains("1,234 running"), "{head}");
        assert!(columns < 130 || head.contains("8 Diagnostics"), "{head}");
        assert!(columns < 200 || head.contains("orchestrator: pid 4194301"), "{head}");
    }
}

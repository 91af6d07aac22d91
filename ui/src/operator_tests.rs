//! What an operator reads where nothing else would tell it.

use crate::effect::Question;
use crate::msg::{Answer, Msg};
use crate::rows::{Counted, OutputState, Page, RunStatus, SpanLine};
use crate::screen::ScreenId;
use crate::testing::*;

/// One run that has ended, with a short log that ends with it.
fn ended(question: &Question) -> Option<Result<Answer, String>> {
    let run = || {
        let mut run = run(7);
        run.status = RunStatus::Failed;
        run.started_at = Some(NOW.plus(-60_000));
        run.finished_at = Some(NOW.plus(-20_000));
        run.exit_code = Some(3);
        run
    };
    Some(Ok(match question {
        Question::Runs { .. } => Answer::Runs(Page { rows: vec![run()], total: 1, ..Page::default() }),
        Question::RunDetail(_) => {
            let mut detail = detail(run());
            let step = detail.steps[0].name.clone();
            let from = NOW.plus(-50_000);
            let span =
                SpanLine { step, title: "npm ci".into(), started_at: from, finished_at: Some(NOW), failed: true };
            detail.spans = vec![span];
            Answer::RunDetail(Some(Box::new(detail)))
        }
        Question::Output { .. } => {
            let mut output = output();
            output.lines.truncate(3);
            output.notes.clear();
            (output.counted, output.first) = (Counted::all(3), true);
            for (number, line) in (0..).zip(output.lines.iter_mut()) {
                line.number = Some(number);
            }
            output.state = OutputState::Ended { at: NOW.plus(-20_000), how: "exit 3".into() };
            Answer::Output(output)
        }
        other => return drawing(other),
    }))
}

#[test]
fn an_ended_run_is_told_so_on_every_tab() {
    let mut bench = Bench::open(80, 24, ended);
    for tab in ["t d", "t l", "t o"] {
        bench.keys(tab);
        let text = bench.text();
        let title = text.lines().find(|l| l.contains("R-7 · fixer")).unwrap_or_default();
        assert!(title.ends_with(" ended 12:08:22 ━") && !title.contains("live"), "{text}");
    }
}

#[test]
fn a_failed_call_is_told_without_its_colour() {
    let mut bench = Bench::open(80, 24, ended);
    bench.keys("t l");
    let row = bench.text().lines().find(|l| l.contains("npm ci")).map(str::to_owned).unwrap_or_default();
    assert!(row.starts_with('✗'), "{}", bench.text());
}

#[test]
fn a_log_that_is_wholly_in_view_is_not_let_go() {
    let mut bench = Bench::open(80, 24, ended);
    bench.keys("Tab k k ctrl-u");
    assert!(bench.text().contains("ended 12:08:22, exit 3"), "{}", bench.text());
    assert!(!bench.text().contains("stopped at"), "{}", bench.text());
}

#[test]
fn marks_that_a_filter_hides_are_counted_and_not_acted_on() {
    fn narrowed(question: &Question) -> Option<Result<Answer, String>> {
        let Some(Ok(Answer::Runs(mut page))) = drawing(question) else { return drawing(question) };
        if let Question::Runs { filter, .. } = question
            && !filter.is_empty()
        {
            page.rows.retain(|r| r.agent == "review");
        }
        Some(Ok(Answer::Runs(page)))
    }
    let mut bench = Bench::open(80, 24, narrowed);
    bench.keys("space space /");
    bench.type_in("agent:review");
    bench.keys("Enter");
    assert!(bench.text().contains("2 marked, 2 hidden"), "{}", bench.text());
    bench.keys("x");
    assert!(bench.app.overlay.is_none());
    assert!(bench.text().contains("the filter hides all that is marked"), "{}", bench.text());
    bench.keys("Esc");
    assert!(!bench.text().contains("marked,"), "{}", bench.text());
}

#[test]
fn values_are_offered_though_the_word_being_typed_matches_nothing() {
    fn typed(question: &Question) -> Option<Result<Answer, String>> {
        match question {
            Question::Runs { filter, .. } if !filter.is_empty() => Some(Ok(Answer::Runs(Page::default()))),
            other => drawing(other),
        }
    }
    let mut bench = Bench::open(80, 24, typed);
    bench.keys("/");
    bench.type_in("agent:");
    assert!(bench.text().contains("│ ▸ docs"), "{}", bench.text());
    bench.keys("Tab");
    assert!(bench.text().contains("/ agent:docs"), "{}", bench.text());
}

#[test]
fn the_answer_to_a_key_goes_by_itself_and_is_said_once() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("G x x x");
    assert_eq!(bench.text().matches("it has ended already").count(), 1, "{}", bench.text());
    bench.send(Msg::Tick(NOW.plus(4_000)));
    assert!(!bench.text().contains("it has ended already"));
}

#[test]
fn a_small_quit_dialog_still_shows_every_choice() {
    let mut bench = Bench::drawn(45, 12);
    bench.app.header.running = 40;
    bench.keys("q");
    let text = bench.text();
    for words in ["40 runs are live", "Leave them running", "Stop all, then quit", "Stay", "Esc stay"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let mut bench = Bench::drawn(160, 45);
    bench.app.header.running = 40;
    bench.app.header.queued = 1;
    bench.keys("q");
    assert!(bench.text().contains("and 36 more."), "{}", bench.text());
    assert!(bench.text().contains("1 queued run waits for the next console"), "{}", bench.text());
}

#[test]
fn what_has_no_directory_is_not_called_unselected() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("2 G !");
    assert!(bench.text().contains("it has no directory, or none any more"), "{}", bench.text());
}

#[test]
fn a_field_that_is_being_typed_empties_no_list() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("/");
    bench.type_in("age");
    assert!(bench.text().contains("R-1042") && bench.text().contains("│ ▸ agent:"), "{}", bench.text());
    bench.keys("Enter");
    assert!(bench.text().contains("━ Runs  age ━"), "as words it is taken with Enter: {}", bench.text());
}

#[test]
fn one_goes_to_a_thing_by_its_number() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("g L");
    bench.type_in("87");
    assert!(bench.text().contains("▸ Go to L-87"), "{}", bench.text());
    bench.keys("Enter");
    assert_eq!((bench.app.screen, bench.app.leases.lease().map(|l| l.number)), (ScreenId::Leases, Some(87)));
    bench.keys(":");
    bench.type_in("shop-17");
    bench.keys("Enter");
    assert_eq!(bench.app.screen, ScreenId::Ledger);
    assert!(bench.text().contains("Runs  issue:SHOP-17"), "{}", bench.text());
    bench.keys("[ [");
    assert_eq!(bench.app.screen, ScreenId::Ledger);
    bench.keys(":");
    bench.type_in("x-");
    bench.keys("Enter");
    assert!(bench.app.overlay.is_some(), "what names nothing goes nowhere");
}

//! Workspaces: as drawn, and what an operator's keys ask for there.

use ratatui::layout::Rect;
use serde_json::json;
use wharf_model::rules::close_check::CloseVerdict;

use crate::effect::{Effect, Question, Request};
use crate::fixtures::workspaces::*;
use crate::glyph::Class;
use crate::msg::{Answer, Msg, RequestOutcome};
use crate::overlay::Overlay;
use crate::rows::*;
use crate::screen::ScreenId;
use crate::testing::*;

fn requests(bench: &Bench) -> Vec<Request> {
    let of = |e: &Effect| match e {
        Effect::Request(r) => Some(r.clone()),
        _ => None,
    };
    bench.effects.iter().filter_map(of).collect()
}

/// The time in which nobody could have read a preview has passed.
fn read(bench: &mut Bench, ms: i64) {
    bench.send(Msg::Tick(NOW.plus(ms)));
}

fn at(number: i64, columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::drawn(columns, rows);
    bench.keys("5");
    while bench.app.workspaces.workspace().map(|w| w.number) != Some(number) {
        bench.keys("j");
    }
    bench
}

#[test]
fn snapshots() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = at(7, columns, rows);
        bench.keys("t s");
        insta::assert_snapshot!(format!("workspaces-snapshots-{size}"), bench.text());
        bench.keys("t c");
        insta::assert_snapshot!(format!("workspaces-close-check-{size}"), bench.text());
        bench.keys("t d x");
        insta::assert_snapshot!(format!("workspaces-archive-warnings-{size}"), bench.text());
        bench.keys("Esc t s R");
        insta::assert_snapshot!(format!("workspaces-restore-{size}"), bench.text());
        bench.keys("Esc A");
        insta::assert_snapshot!(format!("workspaces-reap-{size}"), bench.text());
        let mut bench = at(6, columns, rows);
        bench.keys("x");
        insta::assert_snapshot!(format!("workspaces-archive-clean-{size}"), bench.text());
        let mut bench = at(9, columns, rows);
        bench.keys("t c");
        insta::assert_snapshot!(format!("workspaces-close-check-blocked-{size}"), bench.text());
        bench.keys("x");
        insta::assert_snapshot!(format!("workspaces-archive-blocked-{size}"), bench.text());
        let mut bench = Bench::drawn(columns, rows);
        bench.keys("5 space j j j space space x");
        insta::assert_snapshot!(format!("workspaces-archive-marked-{size}"), bench.text());
        let mut bench = Bench::open(columns, rows, every_workspace);
        bench.keys("5");
        insta::assert_snapshot!(format!("workspaces-states-{size}"), bench.text());
    }
}

#[test]
fn the_list_is_as_drawn() {
    const WIDE: &str = include_str!("../mockups/workspaces-160.txt");
    const SMALL: &str = include_str!("../mockups/workspaces-80.txt");
    // The age of the first row has seconds, as all durations below ten minutes do.
    let bench = at(7, 160, 45);
    bench.assert_drawn(WIDE, Rect::new(0, 2, 160, 1));
    bench.assert_drawn(WIDE, Rect::new(0, 4, 160, 7));
    bench.assert_drawn(WIDE, Rect::new(0, 1, 12, 1));
    bench.assert_drawn(WIDE, Rect::new(120, 1, 40, 1));
    let bench = at(7, 80, 24);
    bench.assert_drawn(SMALL, Rect::new(0, 2, 80, 1));
    bench.assert_drawn(SMALL, Rect::new(0, 4, 80, 5));
}

#[test]
fn the_archive_dialog_is_as_drawn() {
    const SMALL: &str = include_str!("../mockups/workspaces-close-80.txt");
    let mut bench = at(7, 80, 24);
    bench.keys("x");
    let dialog = |text: &str| -> Vec<String> {
        let inside = text.lines().skip_while(|l| !l.starts_with('┌')).take_while(|l| l.starts_with(['┌', '│', '└']));
        inside.map(|l| l.replace("Y copy as text", "              ").replace("    v see the diff", "")).collect()
    };
    let lines = |rows: Vec<String>| -> Vec<String> {
        rows.into_iter().map(|l| l.trim_matches(['│', ' ']).to_owned()).filter(|l| !l.is_empty()).collect()
    };
    assert_eq!(lines(dialog(&bench.text())), lines(dialog(SMALL)));
}

#[test]
fn archiving_shows_the_close_check_and_sends_what_it_judged() {
    let mut bench = at(7, 80, 24);
    bench.keys("x");
    assert!(matches!(bench.app.overlay, Some(Overlay::Confirm(_))));
    bench.keys("y x Enter space");
    assert_eq!(requests(&bench), [], "nobody has read it, and neither Enter nor the key of the verb confirms");
    read(&mut bench, 150);
    bench.keys("y");
    let request = requests(&bench).remove(0);
    let id = workspace_id(7).text();
    assert_eq!((request.kind.as_str(), request.target), ("workspace.archive", Some(("workspace", id.clone()))));
    assert_eq!((request.args, request.expect), (json!({ "fingerprint": "f00d" }), vec![Expect { id, version: 2 }]));
    assert_eq!(request.title, "Archive W-7");
    assert!(bench.app.overlay.is_none());
}

/// The close check after somebody has written one more file.
fn changed(question: &Question) -> Option<Result<Answer, String>> {
    let Question::CloseCheck(id) = question else { return drawing(question) };
    let mut check = close_check(*id);
    check.items[2].what = "4 changed files".into();
    check.preview.args = vec![("fingerprint", "beef".into())];
    Some(Ok(Answer::CloseCheck(Box::new(check))))
}

#[test]
fn a_refusal_shows_the_check_as_it_is_by_then() {
    let mut bench = at(7, 160, 45);
    bench.keys("x");
    read(&mut bench, 150);
    bench.keys("y");
    bench.answers = changed;
    let outcome = RequestOutcome::Refused { code: "changed_since_preview".into(), words: "changed".into() };
    bench.send(Msg::RequestAnswered { tag: requests(&bench)[0].tag, outcome });
    let text = bench.text();
    assert!(text.contains("Things have changed meanwhile") && text.contains("▲ 4 changed files"), "{text}");
    bench.keys("y");
    assert_eq!(requests(&bench).len(), 1, "the new check has to be read as well");
    read(&mut bench, 400);
    bench.keys("y");
    assert_eq!(requests(&bench)[1].args, json!({ "fingerprint": "beef" }));
}

#[test]
fn what_blocks_leaves_no_yes_and_is_gone_to() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let mut bench = at(9, columns, rows);
        bench.keys("x");
        read(&mut bench, 500);
        let text = bench.text();
        assert!(text.contains("close check: blocked") && !text.contains("y archive"), "{text}");
        assert!(text.contains("Enter go to what blocks"), "{text}");
        bench.keys("y");
        assert!(bench.app.overlay.is_some() && requests(&bench).is_empty());
        bench.keys("Enter");
        assert_eq!(bench.app.screen, ScreenId::Ledger);
        assert_eq!(bench.app.ledger.run().map(|r| r.number), Some(1042));
    }
}

#[test]
fn several_are_archived_after_one_preview_and_what_blocks_is_left_out() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("5 space j j j space space x");
    let text = bench.text();
    assert!(text.contains("Archive 3 marked") && text.contains("blocked, left out"), "{text}");
    read(&mut bench, 200);
    assert!(bench.text().contains("y archive 2 of 3"), "{}", bench.text());
    bench.keys("y");
    let targets: Vec<String> = requests(&bench).into_iter().filter_map(|r| r.target).map(|t| t.1).collect();
    assert_eq!(targets, [workspace_id(7).text(), workspace_id(6).text()]);
}

#[test]
fn an_archive_is_undone_with_one_key_in_this_session() {
    let mut bench = at(7, 160, 45);
    bench.keys("u");
    let said = |bench: &Bench| bench.app.toasts.last().map(|t| t.words.clone()).unwrap_or_default();
    assert!(said(&bench).contains("nothing was archived in this session"), "{}", said(&bench));
    bench.keys("x");
    read(&mut bench, 200);
    bench.keys("y");
    let tag = requests(&bench)[0].tag;
    bench.send(Msg::RequestAnswered { tag, outcome: RequestOutcome::Done { words: "archived".into(), run: None } });
    assert_eq!(said(&bench), "Archive W-7: archived; u undoes");
    bench.keys("u");
    let undo = requests(&bench).remove(1);
    assert_eq!((undo.kind.as_str(), undo.args), ("workspace.restore", json!({})));
    assert_eq!(undo.target, Some(("workspace", workspace_id(7).text())));
    bench.keys("u");
    assert_eq!(requests(&bench).len(), 2, "an undo is done once");
    assert!(said(&bench).contains("brought back already"), "{}", said(&bench));
    // What was refused is not forgotten; what was done is.
    let refused = RequestOutcome::Refused { code: "workspace_restore_failed".into(), words: "the disk is full".into() };
    bench.send(Msg::RequestAnswered { tag: undo.tag, outcome: refused });
    bench.keys("u");
    let again = requests(&bench).remove(2);
    assert_eq!(again.target, undo.target);
    let done = RequestOutcome::Done { words: "restored".into(), run: None };
    bench.send(Msg::RequestAnswered { tag: again.tag, outcome: done });
    bench.keys("u");
    assert!(said(&bench).contains("nothing was archived"), "{}", said(&bench));
}

#[test]
fn a_look_that_nobody_asked_for_here_does_not_change_in_silence_what_is_confirmed() {
    let mut bench = at(7, 160, 45);
    bench.keys("x");
    read(&mut bench, 150);
    let question = Question::CloseCheck(workspace_id(7));
    let tell = |bench: &mut Bench, check: CloseCheck| {
        bench.send(Msg::Rows { question: question.clone(), answer: Ok(Answer::CloseCheck(Box::new(check))) });
    };
    // The same once more, at another time.
    let mut same = close_check(workspace_id(7));
    same.preview.at = NOW.plus(100);
    tell(&mut bench, same);
    assert!(!bench.text().contains("Things have changed"), "{}", bench.text());
    let Some(Ok(Answer::CloseCheck(other))) = changed(&question) else { panic!("there is a check") };
    tell(&mut bench, *other);
    let text = bench.text();
    assert!(text.contains("Things have changed meanwhile") && text.contains("▲ 4 changed files"), "{text}");
    bench.keys("y");
    assert_eq!(requests(&bench), [], "what has changed has to be read first");
    read(&mut bench, 400);
    bench.keys("y");
    assert_eq!(requests(&bench)[0].args, json!({ "fingerprint": "beef" }));
}

#[test]
fn the_diff_from_the_dialog_is_of_what_the_dialog_is_about() {
    let mut bench = at(7, 160, 45);
    // Marked, and then the cursor goes on.
    bench.keys("space g g");
    if bench.app.workspaces.workspace().map(|w| w.number) == Some(7) {
        bench.keys("j");
    }
    assert_ne!(bench.app.workspaces.workspace().map(|w| w.number), Some(7));
    bench.keys("x");
    assert!(bench.text().contains("Archive W-7"), "{}", bench.text());
    bench.keys("v");
    assert!(bench.app.overlay.is_none());
    assert_eq!(bench.app.workspaces.workspace().map(|w| w.number), Some(7));
    assert!(bench.text().contains("[Diff]"), "{}", bench.text());
}

#[test]
fn a_snapshot_is_made_at_once_and_restored_after_a_preview() {
    let mut bench = at(7, 80, 24);
    bench.keys("s");
    assert_eq!(requests(&bench)[0].kind, "workspace.snapshot");
    bench.keys("R");
    assert!(bench.text().contains("t s chooses a snapshot"), "{}", bench.text());
    bench.keys("t s R");
    assert!(bench.text().contains("Restore W-7.2"), "{}", bench.text());
    read(&mut bench, 200);
    bench.keys("y");
    let request = requests(&bench).remove(1);
    assert_eq!(
        (request.kind.as_str(), request.args),
        ("workspace.restore", json!({ "snapshot": snapshot_id(2).text() }))
    );
    bench.keys("j R");
    assert!(bench.text().contains("snapshot 1 has been removed"), "{}", bench.text());
}

#[test]
fn an_archived_one_comes_back_at_once_and_asks_where_something_stands_there() {
    let mut bench = Bench::open(160, 45, every_workspace);
    bench.keys("5 G R");
    let request = requests(&bench).remove(0);
    assert_eq!(
        (request.kind.as_str(), request.target),
        ("workspace.restore", Some(("workspace", workspace_id(4).text())))
    );
    assert_eq!(request.expect, [Expect { id: workspace_id(4).text(), version: 2 }]);
    let outcome = RequestOutcome::Refused { code: "changed_since_preview".into(), words: "taken".into() };
    bench.send(Msg::RequestAnswered { tag: request.tag, outcome });
    assert!(bench.text().contains("Restore W-4") && bench.text().contains("restores"), "{}", bench.text());
    bench.keys("Esc x");
    assert!(bench.text().contains("it is archived already"), "{}", bench.text());
    bench.keys("!");
    assert!(!bench.effects.iter().any(|e| matches!(e, Effect::Shell(_))), "there is no directory for a shell");
}

#[test]
fn reaping_wants_to_be_told_how_many_go() {
    let mut bench = at(7, 80, 24);
    bench.keys("A");
    assert!(bench.text().contains("its issue is open"), "{}", bench.text());
    read(&mut bench, 200);
    bench.keys("y Enter");
    assert_eq!(requests(&bench), []);
    bench.keys("Backspace 3 Enter");
    assert_eq!(requests(&bench), [], "two go, not three");
    bench.keys("Backspace 2 Enter");
    let request = requests(&bench).remove(0);
    assert_eq!((request.kind.as_str(), request.target), ("workspace.reap", None));
}

/// Nothing is to be reaped.
fn nothing_to_reap(question: &Question) -> Option<Result<Answer, String>> {
    let Question::ReapPreview = question else { return drawing(question) };
    let keeps =
        PreviewLine { verb: PreviewVerb::Keeps, what: "W-7 SHOP-16-search".into(), how: "its issue is open".into() };
    let refused = Some("nothing is to be reaped".to_owned());
    Some(Ok(Answer::Preview(Preview { lines: vec![keeps], refused, ..Preview::default() })))
}

#[test]
fn where_nothing_is_to_be_reaped_one_reads_why() {
    let mut bench = at(7, 80, 24);
    bench.answers = nothing_to_reap;
    bench.keys("A");
    read(&mut bench, 200);
    let text = bench.text();
    assert!(text.contains("its issue is open") && text.contains("nothing is to be reaped"), "{text}");
    bench.keys("0 Enter");
    assert_eq!(requests(&bench), []);
}

#[test]
fn the_close_check_is_looked_at_when_its_tab_opens_and_not_with_every_row_that_changes() {
    let mut bench = at(7, 160, 45);
    let asked = |bench: &mut Bench, msg: Msg| {
        let check = |e: &Effect| matches!(e, Effect::Ask(Question::CloseCheck(_)));
        bench.app.update(msg).iter().filter(|e| check(e)).count()
    };
    assert_eq!(asked(&mut bench, Msg::StoreChanged), 0);
    bench.keys("t c");
    assert!(bench.text().contains("The close check says  ▲ warnings"), "{}", bench.text());
    bench.send(Msg::StoreChanged);
    assert_eq!(asked(&mut bench, Msg::StoreChanged), 0, "a look costs");
    assert_eq!(asked(&mut bench, Msg::Tick(NOW.plus(31_000))), 1);
}

#[test]
fn everything_is_said_without_a_colour_and_at_any_size() {
    let mut bench = at(7, 160, 45);
    bench.keys("x");
    for glyph in [Class::Good, Class::NeedsPerson] {
        assert!(bench.text().contains(glyph.glyph()));
    }
    assert_eq!(CloseVerdict::Blocked.as_str(), "blocked");
    for columns in (40..180).step_by(19) {
        for rows in (10..30).step_by(3) {
            for keys in ["t d", "t h", "t s", "t c", "x", "A", "t s R"] {
                let mut bench = Bench::open(columns, rows, drawing);
                bench.keys("5 j j j j");
                bench.keys(keys);
                let buffer = bench.buffer();
                assert!(!buffer.content().iter().any(|c| c.symbol().chars().any(char::is_control)));
            }
        }
    }
}

#[test]
fn what_was_changed_in_a_workspace_is_shown_in_its_tab() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let mut bench = Bench::drawn(columns, rows);
        bench.keys("5 v");
        insta::assert_snapshot!(format!("workspaces-diff-{columns}x{rows}"), bench.text());
        bench.keys(") y");
        assert!(bench.effects.contains(&Effect::Copy("src/checkout/retry.rs".into())), "{:?}", bench.effects);
        // To the list and to another tab and back, it is where it was left.
        bench.keys("Esc t d t f");
        assert!(bench.text().contains("hunk 1 of 2"), "{}", bench.text());
    }
}

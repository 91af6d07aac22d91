//! The tab of changes, as an operator uses it.

use std::sync::Arc;

use ratatui::style::Modifier;

use crate::effect::{DiffOf, Effect, Question};
use crate::msg::{Answer, Msg};
use crate::rows::{DiffFile, DiffHunks, DiffListing};
use crate::testing::*;
use crate::theme::{Depth, Theme};

fn shown(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::drawn(columns, rows);
    bench.keys("t f");
    bench
}

#[test]
fn snapshots() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = shown(columns, rows);
        insta::assert_snapshot!(format!("ledger-diff-{size}"), bench.text());
        bench.keys(") ) l /");
        bench.type_in("basket");
        bench.keys("Enter n");
        insta::assert_snapshot!(format!("ledger-diff-search-{size}"), bench.text());
    }
}

#[test]
fn files_fold_and_hunks_are_walked() {
    let mut bench = shown(160, 45);
    assert!(bench.text().contains("▾ src/checkout/retry.rs"), "the first file is unfolded by itself");
    bench.keys(")");
    assert!(bench.text().contains(" hunk 1 of 2   "), "{}", bench.text());
    bench.keys(")");
    assert!(bench.text().lines().rev().nth(1).unwrap().contains("hunk 2 of 2"), "{}", bench.text());
    bench.keys(")");
    assert!(bench.text().contains("No hunk behind this in what is unfolded"), "{}", bench.text());
    bench.keys("( (");
    assert!(bench.text().contains("No hunk before this"), "{}", bench.text());
    // Enter among the lines folds their file, and the cursor is on it.
    bench.keys("Enter");
    assert!(bench.text().contains("▸ src/checkout/retry.rs") && !bench.text().contains("pub fn retry"));
    bench.keys("j Enter");
    assert!(bench.text().contains("▾ tests/checkout.rs") && bench.text().contains("one more line"), "{}", bench.text());
    bench.keys("Esc");
    assert!(!bench.app.places().contains(&crate::command::Place::Diff), "Esc goes back to the list");
}

#[test]
fn paths_are_copied_and_files_opened_at_the_line() {
    let mut bench = shown(160, 45);
    bench.keys("y");
    assert!(bench.effects.contains(&Effect::Copy("src/checkout/retry.rs".into())), "{:?}", bench.effects);
    bench.keys(") j j j j j o");
    let path = "/src/shop/.wharf/worktrees/SHOP-17/src/checkout/retry.rs".to_owned();
    // The removed line has no number there: the next one that is has.
    assert!(bench.effects.contains(&Effect::EditFile { path, line: 76 }), "{:?}", bench.effects);
}

#[test]
fn a_search_goes_round_and_says_so() {
    let mut bench = shown(160, 45);
    bench.keys("/");
    bench.type_in("session");
    bench.keys("Enter");
    assert!(bench.text().contains("/session · 1 of 4"), "{}", bench.text());
    bench.keys("n n n n");
    assert!(bench.text().contains("/session · 1 of 4 · wrapped round"), "{}", bench.text());
    bench.keys("N");
    assert!(bench.text().contains("/session · 4 of 4 · wrapped round"), "{}", bench.text());
    bench.keys("/ ctrl-u");
    bench.type_in("[");
    bench.keys("Enter");
    assert!(bench.text().contains("Cannot search for"), "{}", bench.text());
    bench.keys("Esc Esc");
    assert!(bench.text().contains("read 12:08:40"), "{}", bench.text());
    // Paths are searched as well.
    bench.keys("/");
    bench.type_in("flaky");
    bench.keys("Enter");
    assert!(bench.text().contains("file 3 of 3"), "{}", bench.text());
}

#[test]
fn two_marked_runs_are_compared_until_it_is_left() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("=");
    assert!(bench.text().contains("mark the two runs"), "{}", bench.text());
    bench.keys("k space space =");
    assert!(bench.text().contains("━ R-1042 beside R-1041 ━"), "{}", bench.text());
    assert!(bench.text().contains("R-1041 in W-8   R-1042 in W-9"), "{}", bench.text());
    bench.keys("Esc");
    assert!(bench.text().contains("R-1042 began at 4c1e0f2") || bench.text().contains("began at"), "{}", bench.text());
}

#[test]
fn words_are_marked_without_colour_too() {
    let mut bench = shown(160, 45);
    bench.app.env.theme = Theme { depth: Depth::None, ..Theme::default() };
    let buffer = bench.buffer();
    let marked: String = buffer
        .content
        .iter()
        .filter(|c| c.modifier.contains(Modifier::UNDERLINED | Modifier::BOLD))
        .map(ratatui::buffer::Cell::symbol)
        .collect();
    assert_eq!(marked, "basket");
}

#[test]
fn what_a_live_run_changes_is_read_again_at_its_pace() {
    let mut bench = shown(160, 45);
    let asked = |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Ask(Question::Diff(_)))).count();
    assert_eq!(asked(&bench.app.update(Msg::Tick(NOW.plus(1_000)))), 0);
    assert_eq!(asked(&bench.app.update(Msg::Tick(NOW.plus(2_000)))), 1);
    // Not once more while that is under way, and folded stays folded.
    assert_eq!(asked(&bench.app.update(Msg::Tick(NOW.plus(9_000)))), 0);
    // When it has ended it is read a last time.
    let over = |question: &Question| -> Option<Result<Answer, String>> {
        let Some(Ok(Answer::Runs(mut page))) = drawing(question) else { return None };
        for run in page.rows.iter_mut().filter(|r| r.number == 1042) {
            run.status = crate::rows::RunStatus::Succeeded;
            run.finished_at = Some(NOW);
        }
        Some(Ok(Answer::Runs(page)))
    };
    let mut ended = shown(160, 45);
    let asks = ended.app.update(Msg::StoreChanged);
    let mut reads = 0;
    for effect in asks {
        if let Effect::Ask(question @ Question::Runs { .. }) = effect
            && let Some(answer) = over(&question)
        {
            reads += asked(&ended.app.update(Msg::Rows { question, answer }));
        }
    }
    assert_eq!(reads, 1);
    bench.keys("Enter");
    let mut listing = crate::fixtures::diff::listing(DiffOf::Run(run_id(1042)));
    listing.stamp = 2;
    listing.files.insert(0, DiffFile { path: "a".into(), letter: 'A', counts: Some((1, 0)), ..DiffFile::default() });
    let question = Question::Diff(DiffOf::Run(run_id(1042)));
    bench.send(Msg::Rows { question, answer: Ok(Answer::Diff(Arc::new(listing))) });
    let text = bench.text();
    assert!(text.contains("4 files") && text.contains("▸ src/checkout/retry.rs"), "{text}");
    assert!(text.contains("file 2 of 4"), "the cursor stays on its file: {text}");
}

#[test]
fn thousands_of_files_cost_a_screen_of_them() {
    fn many(question: &Question) -> Option<Result<Answer, String>> {
        Some(Ok(match question {
            Question::Diff(_) => Answer::Diff(Arc::new(DiffListing {
                files: (0..5_000)
                    .map(|n| DiffFile {
                        path: format!("dir/file-{n}"),
                        letter: 'M',
                        counts: Some((1, 1)),
                        ..DiffFile::default()
                    })
                    .collect(),
                ..DiffListing::default()
            })),
            Question::DiffFile { file, .. } => {
                assert!(matches!(file, 0 | 4_999), "only what is unfolded is asked for");
                Answer::DiffFile(Arc::new(DiffHunks { remark: Some("it is empty".into()), ..DiffHunks::default() }))
            }
            other => return drawing(other),
        }))
    }
    let mut bench = Bench::open(160, 45, many);
    bench.keys("t f");
    assert!(bench.text().contains("5,000 files  +5,000 −5,000"), "{}", bench.text());
    bench.keys("/");
    bench.type_in("file-4999");
    bench.keys("Enter Enter");
    assert!(
        bench.text().contains("▾ dir/file-4999") && bench.text().contains("file 5,000 of 5,000"),
        "{}",
        bench.text()
    );
    bench.keys("G");
    assert!(bench.text().contains("dir/file-4999   it is empty"), "{}", bench.text());
    bench.keys("g g PgDn PgDn");
    assert!(bench.text().contains("file 67 of 5,000"), "files take the room that lines leave: {}", bench.text());
}

#[test]
fn what_cannot_be_read_is_said_where_it_would_be() {
    fn refused(question: &Question) -> Option<Result<Answer, String>> {
        match question {
            Question::Diff(_) => Some(Err("R-1042 has no workspace: it has not begun".into())),
            other => drawing(other),
        }
    }
    let mut bench = Bench::open(80, 24, refused);
    bench.keys("t f j ) Enter o /");
    assert!(bench.text().contains("✗ R-1042 has no workspace: it has not begun"), "{}", bench.text());
    for columns in (40..200).step_by(7) {
        for rows in [10, 15, 24] {
            let mut bench = shown(columns, rows);
            bench.keys(") j z");
            bench.text();
        }
    }
}

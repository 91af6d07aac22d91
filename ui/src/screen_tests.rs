//! The screens beside the Ledger: as drawn, and what their keys ask for.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;
use serde_json::json;

use crate::effect::{Effect, Owner, Question, Request};
use crate::fixtures::*;
use crate::msg::{Answer, Msg, RequestOutcome};
use crate::overlay::Overlay;
use crate::pane::output::OutputPane;
use crate::rows::{Expect, FactBlock, Page};
use crate::screen::ScreenId;
use crate::screen::browse::fact;
use crate::testing::*;

fn requests(bench: &Bench) -> Vec<Request> {
    let of = |e: &Effect| match e {
        Effect::Request(r) => Some(r.clone()),
        _ => None,
    };
    bench.effects.iter().filter_map(of).collect()
}

/// Kind, target and expectation of each request.
fn wishes(bench: &Bench) -> Vec<(String, String, Vec<Expect>)> {
    requests(bench).into_iter().map(|r| (r.kind, r.target.map(|t| t.1).unwrap_or_default(), r.expect)).collect()
}

#[test]
fn snapshots() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = Bench::drawn(columns, rows);
        bench.keys("2 j");
        insta::assert_snapshot!(format!("leases-{size}"), bench.text());
        bench.keys("r");
        insta::assert_snapshot!(format!("leases-release-{size}"), bench.text());
        bench.keys("Esc ?");
        insta::assert_snapshot!(format!("leases-help-{size}"), bench.text());
        bench.keys("Esc t h");
        insta::assert_snapshot!(format!("leases-history-{size}"), bench.text());
        bench.keys("t r");
        insta::assert_snapshot!(format!("leases-realisation-{size}"), bench.text());
        bench.keys("t o");
        insta::assert_snapshot!(format!("leases-cleanup-{size}"), bench.text());
        bench.keys("4 j");
        insta::assert_snapshot!(format!("environments-{size}"), bench.text());
        bench.keys("t l");
        insta::assert_snapshot!(format!("environments-leases-{size}"), bench.text());
        bench.keys("t c");
        insta::assert_snapshot!(format!("environments-config-{size}"), bench.text());
        bench.keys("t h");
        insta::assert_snapshot!(format!("environments-probes-{size}"), bench.text());
        bench.keys("3 j");
        insta::assert_snapshot!(format!("services-{size}"), bench.text());
        bench.keys("j j j w");
        insta::assert_snapshot!(format!("services-why-{size}"), bench.text());
        bench.keys("t d");
        insta::assert_snapshot!(format!("services-facts-{size}"), bench.text());
        bench.keys("5 j j j j");
        insta::assert_snapshot!(format!("workspaces-{size}"), bench.text());
        bench.keys("t h j");
        insta::assert_snapshot!(format!("workspaces-operations-{size}"), bench.text());
        bench.keys("7 j j j j j");
        insta::assert_snapshot!(format!("activity-{size}"), bench.text());
        let mut bench = Bench::open(columns, rows, nothing);
        for screen in ["leases", "services", "environments", "workspaces", "activity"] {
            bench.keys(match screen {
                "leases" => "2",
                "services" => "3",
                "environments" => "4",
                "workspaces" => "5",
                _ => "7",
            });
            insta::assert_snapshot!(format!("{screen}-empty-{size}"), bench.text());
        }
    }
}

#[test]
fn diagnostics_with_its_own_log() {
    // The only test that writes records: the library keeps them for the whole process.
    tui_logger::set_default_level(tui_logger::LevelFilter::Debug);
    let long = "S-15 not ready yet: connection refused, tried 6 times in a row, the next try follows in a second";
    for (level, target, words) in [
        (log::Level::Info, "wharf::dispatch", "renewed lease L-88"),
        (log::Level::Warn, "wharf::service", long),
        (log::Level::Error, "wharf::store", "a \u{1b}[31mred\u{7} line\nand another"),
        (log::Level::Debug, "wharf::store", "commit of 6 rows"),
    ] {
        tui_logger::Drain::new()
            .log(&log::Record::builder().level(level).target(target).args(format_args!("{words}")).build());
    }
    let time = regex::Regex::new(r"\d\d:\d\d:\d\d\.\d\d\d").expect("a pattern");
    for (columns, rows) in [(80, 24), (160, 45)] {
        let mut bench = Bench::drawn(columns, rows);
        bench.keys("8");
        let text = bench.text();
        // Records carry the time of the test.
        insta::assert_snapshot!(format!("diagnostics-{columns}x{rows}"), time.replace_all(&text, "00:00:00.000"));
        assert!(text.contains("commit of 6 rows"), "{text}");
        // The last target is the store; each step hides one of its levels.
        for _ in 0..6 {
            bench.keys("G j j j j");
            bench.buffer();
            bench.keys("-");
            bench.buffer();
        }
        let text = bench.text();
        assert!(!text.contains("commit of 6 rows") && text.contains("renewed lease"), "{text}");
        bench.keys("space");
        assert!(!bench.text().lines().any(|l| l.contains(":wharf::store")), "{}", bench.text());
        bench.keys("PgUp");
        bench.buffer();
        assert!(bench.text().contains("f follows"));
        bench.keys("f");
        assert!(bench.text().contains("following"));
    }
    for columns in (40..200).step_by(7) {
        for rows in 10..30 {
            let mut bench = Bench::drawn(columns, rows);
            bench.keys("8 PgUp");
            let buffer = bench.buffer();
            assert!(!buffer.content().iter().any(|c| c.symbol().chars().any(char::is_control)));
        }
    }
}

#[test]
fn leases_are_listed_as_drawn() {
    const WIDE: &str = include_str!("../mockups/leases-160.txt");
    const SMALL: &str = include_str!("../mockups/leases-80.txt");
    let mut bench = Bench::drawn(80, 24);
    bench.keys("2 j");
    // Head and the rows that the drawing has in the same order.
    bench.assert_drawn(SMALL, Rect::new(0, 2, 80, 4));
    let mut bench = Bench::drawn(160, 45);
    bench.keys("2 j");
    bench.assert_drawn(WIDE, Rect::new(0, 2, 160, 4));
}

#[test]
fn the_release_preview_is_as_drawn() {
    const SMALL: &str = include_str!("../mockups/leases-release-80.txt");
    let mut bench = Bench::drawn(80, 24);
    bench.keys("2 j r");
    // The dialog stands a row higher than drawn; what it says is the same.
    let dialog = |text: &str| -> Vec<String> {
        text.lines().skip_while(|l| !l.starts_with('┌')).take(11).map(str::to_owned).collect()
    };
    assert_eq!(dialog(&bench.text()), dialog(SMALL));
    assert!(bench.text().contains("─ previewed 12:08:42 ─┘") && bench.text().contains("y release L-88"));
}

#[test]
fn the_trail_is_as_drawn() {
    const WIDE: &str = include_str!("../mockups/activity-160.txt");
    const SMALL: &str = include_str!("../mockups/activity-80.txt");
    fn today(question: &Question) -> Option<Result<Answer, String>> {
        match drawing(question) {
            Some(Ok(Answer::Activity(mut page))) => {
                page.rows.truncate(6);
                Some(Ok(Answer::Activity(page)))
            }
            other => other,
        }
    }
    // The last column of the small drawing is one cell narrower.
    for (columns, rows, width, drawn) in [(80, 24, 55, SMALL), (160, 45, 160, WIDE)] {
        let mut bench = Bench::open(columns, rows, today);
        bench.keys("7");
        bench.assert_drawn(drawn, Rect::new(0, 2, width, 1));
        bench.assert_drawn(drawn, Rect::new(0, 4, width, 4));
    }
}

#[test]
fn the_mouse_selects_opens_and_chooses_tabs() {
    let at = |kind, column, row| Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    let click = |column, row| at(MouseEventKind::Down(MouseButton::Left), column, row);
    let mut bench = Bench::drawn(80, 45);
    bench.keys("3");
    bench.send(click(10, 6));
    assert_eq!(bench.app.services.service().map(|s| s.number), Some(12));
    assert!(bench.text().contains("━ Services"));
    bench.send(click(10, 6));
    assert!(bench.text().contains("━ S-12 web"), "a second click opens: {}", bench.text());
    bench.send(click(7, 22));
    assert!(bench.text().contains("[Facts]"), "{}", bench.text());
    bench.send(click(20, 15));
    assert!(bench.text().contains("━ Ports, all worktrees") && bench.text().contains("▸  6006"), "{}", bench.text());
    bench.send(click(1, 22));
    bench.send(at(MouseEventKind::ScrollUp, 20, 30));
    assert!(bench.text().contains("G follows"), "{}", bench.text());
    // The header's entries are screens.
    let mut bench = Bench::drawn(160, 45);
    bench.send(click(21, 0));
    assert_eq!(bench.app.screen, ScreenId::Leases);
}

#[test]
fn releasing_asks_for_the_preview_and_sends_what_it_judged() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("2 j r");
    assert!(bench.text().contains("Release L-88 on Local"), "{}", bench.text());
    bench.keys("y r Enter space");
    assert_eq!(wishes(&bench), [], "nobody has read it within 150 ms, and only y confirms");
    bench.send(Msg::Tick(NOW.plus(150)));
    bench.keys("y");
    let id = lease_id(88).text();
    let expect = vec![Expect { id: id.clone(), version: 3 }];
    assert_eq!(wishes(&bench), [("lease.release".to_owned(), id, expect)]);
    let request = &requests(&bench)[0];
    assert_eq!((request.title.as_str(), request.args.clone()), ("Release L-88", json!({})));
    let outcome = RequestOutcome::Refused { code: "changed_since_preview".into(), words: "changed".into() };
    bench.send(Msg::RequestAnswered { tag: request.tag, outcome });
    assert!(bench.text().contains("Things have changed meanwhile"), "{}", bench.text());
    bench.keys("y");
    assert_eq!(requests(&bench).len(), 1, "the new preview has to be read as well");
    bench.send(Msg::Tick(NOW.plus(400)));
    bench.keys("y");
    assert_eq!(requests(&bench).len(), 2);
}

#[test]
fn a_gone_holder_is_told_and_ended_leases_are_refused() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("2 j j j j j r");
    assert!(bench.text().contains("The holder R-1034 is gone"), "{}", bench.text());
    bench.send(Msg::Tick(NOW.plus(200)));
    bench.keys("y");
    assert_eq!(requests(&bench).len(), 1);
    bench.keys("G r");
    assert!(bench.app.overlay.is_none());
    assert!(bench.text().contains("it has been let go already"), "{}", bench.text());
}

#[test]
fn marked_leases_are_released_after_one_preview() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("2 space space G space r");
    assert!(bench.text().contains("Release 2 marked"), "the ended one is left out: {}", bench.text());
    bench.send(Msg::Tick(NOW.plus(200)));
    bench.keys("y");
    let targets: Vec<String> = wishes(&bench).into_iter().map(|w| w.1).collect();
    assert_eq!(targets, [lease_id(89).text(), lease_id(88).text()]);
}

#[test]
fn services_are_stopped_and_restarted_after_a_preview() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("3");
    assert!(bench.text().contains("─ stops in 4m10 ─"), "{}", bench.text());
    // Nobody uses S-16, and yet it is asked.
    bench.keys("R");
    assert!(matches!(bench.app.overlay, Some(Overlay::Confirm(_))));
    bench.keys("Esc");
    bench.keys("j j j x");
    assert!(matches!(bench.app.overlay, Some(Overlay::Confirm(_))));
    assert_eq!(wishes(&bench), []);
    bench.send(Msg::Tick(NOW.plus(200)));
    bench.keys("y");
    let used = service_id(12).text();
    let expect = vec![Expect { id: used.clone(), version: 5 }];
    assert_eq!(wishes(&bench), [("service.stop".to_owned(), used, expect)]);
    let outcome = RequestOutcome::Refused { code: "changed_since_preview".into(), words: "changed".into() };
    bench.send(Msg::RequestAnswered { tag: requests(&bench)[0].tag, outcome });
    assert!(bench.text().contains("Stop S-12") && bench.text().contains("Things have changed"), "{}", bench.text());
}

#[test]
fn services_start_open_and_copy() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("3 s");
    assert!(bench.text().contains("it runs already"), "{}", bench.text());
    bench.keys("o Y l j j o");
    assert_eq!(
        bench.effects,
        [Effect::OpenUrl("http://localhost:6006".into()), Effect::Copy("http://localhost:6006".into())]
    );
    assert!(bench.text().contains("it has no URL"), "{}", bench.text());
    bench.keys("G s");
    assert_eq!(wishes(&bench), [("service.start".to_owned(), service_id(10).text(), vec![])]);
}

#[test]
fn one_goes_from_a_run_to_its_lease_and_services_and_back() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("L");
    assert_eq!((bench.app.screen, bench.app.leases.lease().map(|l| l.number)), (ScreenId::Leases, Some(88)));
    bench.keys("g w");
    assert_eq!((bench.app.screen, bench.app.workspaces.workspace().map(|w| w.number)), (ScreenId::Workspaces, Some(9)));
    bench.keys("g r");
    assert_eq!(bench.app.screen, ScreenId::Ledger);
    bench.keys("[ [");
    assert_eq!(bench.app.screen, ScreenId::Leases);
    bench.keys("]");
    assert_eq!(bench.app.screen, ScreenId::Workspaces);
    bench.keys("2 Enter");
    assert_eq!((bench.app.screen, bench.app.ledger.run().map(|r| r.number)), (ScreenId::Ledger, Some(1042)));
    bench.keys("s");
    assert!(bench.text().contains("Services  service:S-12,S-14"), "{}", bench.text());
    bench.keys("1 g g g l");
    assert!(bench.text().contains("there is no lease that belongs to it"), "{}", bench.text());
}

#[test]
fn a_thing_that_is_not_among_the_known_rows_is_looked_for_with_a_filter() {
    fn only_the_first(question: &Question) -> Option<Result<Answer, String>> {
        match question {
            Question::Leases { filter, .. } if filter.is_empty() => Some(Ok(Answer::Leases(Page::default()))),
            other => drawing(other),
        }
    }
    let mut bench = Bench::open(80, 24, only_the_first);
    bench.keys("j j j j L");
    assert!(bench.text().contains("Leases  lease:L-88"), "{}", bench.text());
    assert_eq!(bench.app.screen, ScreenId::Leases);
    bench.keys("[");
    assert_eq!(bench.app.ledger.run().map(|r| r.number), Some(1042));
}

#[test]
fn a_place_is_restored_with_its_filter_and_row() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("3 j j 1 s G [");
    assert_eq!(bench.app.screen, ScreenId::Ledger);
    bench.keys("[");
    assert!(!bench.text().contains("service:"), "{}", bench.text());
    assert_eq!(bench.app.services.service().map(|s| s.number), Some(14));
}

#[test]
fn what_the_shell_knows_is_shown_once() {
    fn told(question: &Question) -> Option<Result<Answer, String>> {
        let mut answer = drawing(question);
        if let Some(Ok(Answer::Leases(page))) = &mut answer {
            let more = [
                fact("LEASE", "L-89", "its id"),
                fact("policy", "reuse by workspace", "kept for the next run in it"),
                fact("", "and a row of it", ""),
                fact("provider id", "ssh:7f0c", ""),
            ];
            page.rows[0].facts = vec![FactBlock { facts: more.to_vec() }];
        }
        answer
    }
    let mut bench = Bench::open(160, 45, told);
    bench.keys("2");
    let text = bench.text();
    assert_eq!(text.matches(" policy ").count(), 1, "{text}");
    assert!(
        text.contains("kept for the next run in it") && text.contains("ssh:7f0c") && text.contains("its id"),
        "{text}"
    );
    assert!(!text.contains("and a row of it"), "{text}");
}

#[test]
fn a_run_whose_lease_is_not_named_is_found_by_its_run() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("j L");
    assert!(bench.text().contains("Leases  run:R-1041"), "{}", bench.text());
    bench.keys("[ s");
    assert!(bench.text().contains("Services  run:R-1041"), "{}", bench.text());
}

#[test]
fn operations_show_their_logs() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("5 t h");
    let owner = |bench: &Bench| bench.app.current().stream().map(OutputPane::owner);
    assert_eq!(owner(&bench), Some(Owner::Operation(operation_id(44))));
    bench.keys("j");
    assert_eq!(owner(&bench), Some(Owner::Operation(operation_id(43))));
    // In the log, the same key scrolls.
    bench.keys("Enter k");
    assert_eq!(owner(&bench), Some(Owner::Operation(operation_id(43))));
    assert!(bench.text().contains("G follows"), "{}", bench.text());
    bench.keys("Esc k");
    assert_eq!(owner(&bench), Some(Owner::Operation(operation_id(44))));
    bench.keys("Esc !");
    assert_eq!(bench.effects, [Effect::Shell(Owner::Workspace(workspace_id(11)))]);
}

#[test]
fn activity_follows_filters_and_leads_to_its_entity() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("7");
    assert!(bench.text().contains("following"));
    bench.keys("j");
    assert!(bench.text().contains("f follows"));
    bench.keys("f");
    assert_eq!(bench.app.activity.entry().map(|a| a.number), Some(18_544));
    bench.keys("j Enter");
    assert_eq!((bench.app.screen, bench.app.leases.lease().map(|l| l.number)), (ScreenId::Leases, Some(89)));
    bench.keys("[");
    assert_eq!(bench.app.activity.entry().map(|a| a.entity.clone()), Some("L-89".to_owned()));
    bench.keys("j j j j j j Enter");
    assert!(bench.text().contains("E-2 has no screen"), "{}", bench.text());
    bench.keys("j j Enter");
    assert!(bench.text().contains("Runs  issue:SHOP-17"), "{}", bench.text());
}

#[test]
fn errors_stand_where_rows_would_be() {
    fn broken(question: &Question) -> Option<Result<Answer, String>> {
        match question {
            Question::Header => drawing(question),
            _ => Some(Err("The store cannot be read: disk full.".to_owned())),
        }
    }
    let mut bench = Bench::open(80, 24, broken);
    for key in ["2", "3", "5", "7", "8"] {
        bench.keys(key);
        assert!(bench.text().contains("disk full"), "{key}: {}", bench.text());
    }
}

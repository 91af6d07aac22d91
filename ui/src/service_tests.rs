//! The Services screen: every state, the port board, and what its keys do.

use serde_json::json;

use crate::effect::{Effect, Question, Request};
use crate::fixtures::service_id;
use crate::fixtures::services::{every_service, services};
use crate::msg::Answer;
use crate::overlay::Overlay;
use crate::rows::*;
use crate::testing::Bench;

fn requests(bench: &Bench) -> Vec<Request> {
    let of = |effect: &Effect| if let Effect::Request(request) = effect { Some(request.clone()) } else { None };
    bench.effects.iter().filter_map(of).collect()
}

fn words(bench: &Bench) -> Vec<(String, String, serde_json::Value)> {
    let target = |r: &Request| r.target.clone().map(|t| t.1).unwrap_or_default();
    requests(bench).iter().map(|r| (r.kind.clone(), target(r), r.args.clone())).collect()
}

#[test]
fn snapshots() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = Bench::drawn(columns, rows);
        bench.keys("3 j Tab j j j j");
        insta::assert_snapshot!(format!("services-stranger-{size}"), bench.text());
        bench.keys("z");
        insta::assert_snapshot!(format!("services-ports-{size}"), bench.text());
        bench.keys("z Esc t h");
        insta::assert_snapshot!(format!("services-runs-{size}"), bench.text());
        let mut bench = Bench::open(columns, rows, every_service);
        bench.keys("3 t w");
        insta::assert_snapshot!(format!("services-every-{size}"), bench.text());
    }
}

#[test]
fn the_focus_goes_from_the_list_to_the_board_to_the_detail_and_back() {
    let mut bench = Bench::drawn(160, 45);
    let focused = |bench: &Bench| -> String {
        let text = bench.text();
        let line = text.lines().find(|l| l.contains("━ ")).unwrap_or_default().to_owned();
        line[line.find('━').unwrap()..].chars().take(8).collect()
    };
    bench.keys("3");
    assert_eq!(focused(&bench), "━ Servic");
    bench.keys("Tab");
    assert_eq!(focused(&bench), "━ Ports,");
    bench.keys("Tab");
    assert_eq!(focused(&bench), "━ S-16 s");
    bench.keys("Shift-Tab");
    assert_eq!(focused(&bench), "━ Ports,");
    // Its rows lead to their services.
    bench.keys("j j j Enter");
    assert_eq!(bench.app.services.service().map(|s| s.number), Some(15));
    assert_eq!(focused(&bench), "━ Servic");
    bench.keys("Tab Tab Tab");
    assert_eq!(focused(&bench), "━ Servic");
    bench.keys("Tab Esc");
    assert_eq!(focused(&bench), "━ Servic");
}

/// On a terminal without room for three panes the board takes the place of the detail.
#[test]
fn the_board_is_reached_where_there_is_no_room_for_it() {
    for (columns, rows) in [(80, 15), (50, 24), (40, 10)] {
        let mut bench = Bench::drawn(columns, rows);
        bench.keys("3");
        assert!(!bench.text().contains("Ports"), "{}", bench.text());
        bench.keys("Tab");
        assert!(bench.text().contains("Ports"), "{columns}x{rows}\n{}", bench.text());
        bench.keys("Tab");
        assert!(!bench.text().contains("Ports"), "{columns}x{rows}\n{}", bench.text());
    }
}

#[test]
fn what_is_wanted_of_services_is_asked_by_name() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("3 j j j j");
    // One that gave up and is wanted: x wants it no more.
    bench.keys("x");
    let worker = service_id(11).text();
    assert_eq!(words(&bench), [("service.set_desired".into(), worker.clone(), json!({ "desired": "stopped" }))]);
    assert_eq!(requests(&bench)[0].expect, [Expect { id: worker.clone(), version: 5 }]);
    // o leads to the line that can mend it.
    bench.keys("o");
    let file = Effect::EditFile { path: "/home/ops/src/shop/wharf.toml".into(), line: 58 };
    assert!(bench.effects.contains(&file), "{:?}", bench.effects);
    bench.keys("j x");
    assert!(bench.text().contains("nobody wants it to"), "{}", bench.text());
    for (command, wanted) in [("want-running", "running"), ("want-manual", "manual")] {
        bench.keys(":");
        bench.type_in(&format!("service.{command}"));
        bench.keys("Enter");
        let last = words(&bench).pop().unwrap();
        assert_eq!(last, ("service.set_desired".into(), service_id(10).text(), json!({ "desired": wanted })));
    }
    // One between two starts is started at once, and stopped for good.
    let mut bench = Bench::open(160, 45, every_service);
    bench.keys("3 j j s x");
    let asked = |bench: &Bench| -> Vec<String> { requests(bench).into_iter().map(|r| r.kind).collect() };
    assert_eq!(asked(&bench), ["service.start"]);
    assert!(matches!(bench.app.overlay, Some(Overlay::Confirm(_))), "{}", bench.text());
}

#[test]
fn nothing_of_what_is_marked_is_asked_before_the_dialog_is_answered() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("3 space space space space space x");
    assert!(matches!(bench.app.overlay, Some(Overlay::Confirm(_))), "{}", bench.text());
    let text = bench.text();
    assert!(text.contains("S-11 worker wanted stopped"), "{text}");
    assert_eq!(requests(&bench), []);
    bench.keys("Esc");
    assert_eq!(requests(&bench), [], "nobody confirmed it");
    bench.keys("x");
    bench.send(crate::msg::Msg::Tick(crate::testing::NOW.plus(200)));
    bench.keys("y");
    let of = |kind: &str| requests(&bench).into_iter().filter(|r| r.kind == kind).count();
    assert_eq!(of("service.set_desired"), 1);
    assert!(of("service.stop") > 0);
}

#[test]
fn one_that_others_need_wants_a_preview_and_marked_ones_share_it() {
    fn needed(question: &Question) -> Option<Result<Answer, String>> {
        let Question::Services { .. } = question else { return crate::testing::drawing(question) };
        let mut rows = services();
        rows[0].dependents = vec!["S-15 docs-preview".into()];
        Some(Ok(Answer::Services(Page { total: 6, rows, ..Page::default() })))
    }
    let mut bench = Bench::open(80, 24, needed);
    bench.keys("3 x");
    assert!(matches!(bench.app.overlay, Some(Overlay::Confirm(_))), "{}", bench.text());
    bench.keys("Esc space space x");
    assert!(bench.text().contains("Stop 2 marked"), "{}", bench.text());
    assert!(requests(&bench).is_empty());
}

#[test]
fn parts_of_a_service_are_copied_and_so_is_the_page_that_says_why() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("3 j Y n Y u Y p Y l Y c");
    let copied = |bench: &Bench| -> Vec<String> {
        bench
            .effects
            .iter()
            .filter_map(|e| if let Effect::Copy(words) = e { Some(words.clone()) } else { None })
            .collect()
    };
    let id = service_id(15).text();
    let all = ["S-15", id.as_str(), "/home/ops/src/shop", "http://localhost:3007", "wharf show S-15"];
    assert_eq!(copied(&bench), all);
    bench.keys("w y");
    let page = copied(&bench).pop().unwrap();
    assert!(page.starts_with("S-15 is STARTING") && page.contains("wharf service logs S-15"), "{page}");
}

/// Figures are asked for what is on the screen only, and stand in the rows.
#[test]
fn what_is_on_the_screen_is_measured() {
    let mut bench = Bench::open(160, 45, |question| match question {
        Question::ServiceFigures(_) => None,
        other => crate::testing::drawing(other),
    });
    let effects = bench.app.update(crate::Msg::Key(crate::testing::event("3")));
    let listed = effects.iter().find_map(|e| match e {
        Effect::Ask(question @ Question::Services { .. }) => Some(question.clone()),
        _ => None,
    });
    let question = listed.unwrap();
    let answer = crate::testing::drawing(&question).unwrap();
    let effects = bench.app.update(crate::Msg::Rows { question, answer });
    let measured: Vec<_> = effects
        .iter()
        .filter_map(|e| if let Effect::Ask(Question::ServiceFigures(shown)) = e { Some(shown.clone()) } else { None })
        .collect();
    let live = [16, 15, 14, 12].map(|n| (service_id(n), 3)).to_vec();
    assert_eq!(measured, std::slice::from_ref(&live));
    let figures = ServiceFigures { cpu_permille: None, memory_bytes: 5_000_000_000, processes: 1 };
    let answer = Ok(Answer::ServiceFigures(vec![(service_id(12), figures)]));
    bench.send(crate::Msg::Rows { question: Question::ServiceFigures(live), answer });
    assert!(bench.text().contains("5.0 GB"), "{}", bench.text());
}

/// Nobody uses it, and yet it is asked for: one key more is cheaper than a server that is gone.
#[test]
fn what_stops_or_restarts_a_service_asks_first() {
    for (key, title) in [("x", "Stop S-21"), ("R", "Restart S-21")] {
        let mut bench = Bench::open(100, 30, every_service);
        bench.keys("3 G k");
        bench.keys(key);
        let Some(Overlay::Confirm(confirm)) = &bench.app.overlay else { panic!("{}", bench.text()) };
        assert_eq!(confirm.title, title);
        assert_eq!(requests(&bench), []);
        bench.keys("Esc");
        assert_eq!(requests(&bench), [], "nobody confirmed it");
    }
}

/// On the board a verb means the service of the port under its cursor, whatever the list above has selected or marked.
#[test]
fn on_the_port_board_verbs_act_on_the_port_under_the_cursor() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("3 space Tab j j j");
    assert_eq!(bench.app.services.service().map(|s| s.number), Some(15), "{}", bench.text());
    bench.keys("x");
    let Some(Overlay::Confirm(confirm)) = &bench.app.overlay else { panic!("{}", bench.text()) };
    assert_eq!(confirm.title, "Stop S-15");
    // What is copied there is the port itself.
    bench.keys("Esc Y n");
    assert!(bench.effects.contains(&Effect::Copy("3007".into())), "{:?}", bench.effects);
    bench.keys("o");
    assert!(bench.effects.contains(&Effect::OpenUrl("http://localhost:3007".into())), "{:?}", bench.effects);
    bench.keys("R");
    let Some(Overlay::Confirm(confirm)) = &bench.app.overlay else { panic!("{}", bench.text()) };
    assert_eq!(confirm.title, "Restart S-15");
    bench.keys("Esc :");
    bench.type_in("service.stop");
    assert!(bench.text().contains("Stop S-15"), "{}", bench.text());
    bench.keys("Esc");
    // A stopped one is started from there, and why leads to its page.
    bench.keys("j j j s");
    let start = ("service.start".to_owned(), service_id(10).text(), json!({}));
    assert_eq!(words(&bench), [start]);
    bench.keys("w");
    assert!(!bench.app.services.on_board());
    assert_eq!(bench.app.services.service().map(|s| s.number), Some(10));
}

/// Whose the port is cannot be told, so there is no verb, and none is offered.
#[test]
fn a_port_of_a_stranger_or_of_a_service_out_of_sight_has_no_verb() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("3 Tab j j j j");
    assert!(bench.text().contains("▸  5432"), "{}", bench.text());
    let hints = bench.text().lines().last().unwrap_or_default().to_owned();
    assert!(!hints.contains("stop") && !hints.contains("restart") && !hints.contains("start"), "{hints}");
    bench.keys("x R s o w");
    assert!(bench.app.overlay.is_none() && requests(&bench).is_empty(), "{}", bench.text());
    assert!(bench.text().contains("held by a stranger"), "{}", bench.text());
    // S-9 is not in the list.
    bench.keys("j x R s");
    assert!(bench.app.overlay.is_none() && requests(&bench).is_empty(), "{}", bench.text());
    assert!(bench.text().contains("S-9 is not in the list"), "{}", bench.text());
}

#[test]
fn what_is_typed_behind_a_slash_on_the_port_board_filters_and_is_no_verb() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("3 Tab /");
    bench.type_in("xRs:health");
    assert!(bench.app.overlay.is_none() && requests(&bench).is_empty(), "{}", bench.text());
    assert!(bench.text().contains("xRs:health"), "{}", bench.text());
    assert!(!bench.app.services.on_board());
}

/// A row that leaves the filter leaves the cursor on its neighbour, which no key may hit before the operator moves.
#[test]
fn after_a_row_has_left_the_filter_no_verb_hits_its_neighbour() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("3 j j");
    let filter = wharf_model::filter::Filter::default();
    let question = Question::Services { filter, after: None, limit: 200 };
    let gone = bench.app.services.service().map(|s| s.number).unwrap();
    let rows: Vec<ServiceLine> = services().into_iter().filter(|s| s.number != gone).collect();
    let answer = Ok(Answer::Services(Page { total: 5, rows, ..Page::default() }));
    bench.send(crate::Msg::Rows { question, answer });
    assert_ne!(bench.app.services.service().map(|s| s.number), Some(gone));
    bench.keys("x R s");
    assert!(bench.app.overlay.is_none() && requests(&bench).is_empty(), "{}", bench.text());
    assert!(bench.text().contains("has left the list"), "{}", bench.text());
    bench.keys("k x");
    assert!(matches!(bench.app.overlay, Some(Overlay::Confirm(_))), "{}", bench.text());
}

/// What one of the marked ones would be kept by is stopped by the same key: it is not said to be kept.
#[test]
fn a_preview_of_several_does_not_keep_what_it_stops() {
    fn both(question: &Question) -> Option<Result<Answer, String>> {
        let line = |verb, what: &str, how: &str| PreviewLine { verb, what: what.into(), how: how.into() };
        let stops = |what| line(PreviewVerb::Stops, what, "SIGTERM, 10s, then SIGKILL");
        let preview = |lines: Vec<PreviewLine>, note: &str| {
            let at = crate::testing::NOW;
            Some(Ok(Answer::Preview(Preview { lines, note: note.into(), at, ..Preview::default() })))
        };
        match question {
            Question::StopPreview(id) if *id == service_id(16) => {
                preview(vec![stops("S-16 storybook")], "No run uses it, and no service needs it.")
            }
            Question::StopPreview(_) => preview(
                vec![
                    stops("S-15 docs-preview"),
                    line(PreviewVerb::Keeps, "S-16 storybook", "running, needs it and loses it meanwhile"),
                ],
                "Services that need it go on, and see it go.",
            ),
            other => crate::testing::drawing(other),
        }
    }
    let mut bench = Bench::open(100, 30, both);
    bench.keys("3 space space x");
    let text = bench.text();
    assert!(text.contains("Stop 2 marked") && text.contains("stops     S-16 storybook"), "{text}");
    assert!(!text.contains("keeps") && !text.contains("go on, and see it go"), "{text}");
}

//! Leases in every state and environments: as drawn, and what their keys ask for.

use ratatui::style::Modifier;
use serde_json::json;

use crate::effect::{Effect, Question, Request};
use crate::fixtures::places;
use crate::msg::{Answer, Msg, RequestOutcome};
use crate::screen::ScreenId;
use crate::testing::*;

fn requests(bench: &Bench) -> Vec<Request> {
    let of = |e: &Effect| match e {
        Effect::Request(r) => Some(r.clone()),
        _ => None,
    };
    bench.effects.iter().filter_map(of).collect()
}

#[test]
fn leases_in_every_state() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = Bench::open(columns, rows, places::every_lease);
        bench.keys("2");
        insta::assert_snapshot!(format!("leases-waiting-{size}"), bench.text());
        bench.keys("j j j j j");
        insta::assert_snapshot!(format!("leases-unknown-{size}"), bench.text());
        bench.keys("j j j");
        insta::assert_snapshot!(format!("leases-pending-{size}"), bench.text());
    }
}

#[test]
fn each_verb_asks_first_and_sends_what_was_shown() {
    let by = |key: &str, down: usize| {
        let mut bench = Bench::drawn(160, 45);
        bench.keys("2");
        for _ in 0..down {
            bench.keys("j");
        }
        bench.keys(key);
        assert!(requests(&bench).is_empty(), "{key}");
        bench.send(Msg::Tick(NOW.plus(200)));
        bench.keys("y");
        requests(&bench).into_iter().map(|r| (r.kind, r.args)).next()
    };
    assert_eq!(by("e", 1), Some(("lease.extend".into(), json!({ "by_ms": 1_800_000 }))));
    let until = NOW.plus(24 * 3_600_000).0;
    assert_eq!(by("K", 1), Some(("lease.retain".into(), json!({ "until": until }))));
    assert_eq!(by("X", 1), Some(("lease.release".into(), json!({ "force": true }))));
    assert_eq!(by("c", 6), Some(("lease.retry_cleanup".into(), json!({}))));
    assert_eq!(by("c", 1), None, "there is nothing to clean up");
    assert_eq!(by("d", 1), None, "y does not destroy");
}

#[test]
fn what_cannot_be_brought_back_wants_its_number_typed() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("2 j d");
    bench.send(Msg::Tick(NOW.plus(200)));
    assert!(bench.text().contains("type L-88 and Enter to destroy"), "{}", bench.text());
    bench.keys("y n Enter");
    assert!(bench.app.overlay.is_some() && requests(&bench).is_empty());
    bench.keys("Backspace Backspace l - 8 8");
    assert!(bench.text().contains("to destroy: l-88"), "{}", bench.text());
    bench.keys("Enter");
    assert!(bench.app.overlay.is_none());
    assert_eq!(requests(&bench)[0].kind, "lease.destroy");
    // Several: how many there are.
    bench.keys("space space d");
    bench.send(Msg::Tick(NOW.plus(600)));
    bench.keys("2 Enter");
    assert_eq!(requests(&bench).len(), 3);
    bench.keys("Esc d");
    bench.send(Msg::Tick(NOW.plus(1_000)));
    bench.keys("Esc");
    assert!(bench.app.overlay.is_none());
    assert_eq!(requests(&bench).len(), 3);
}

#[test]
fn what_has_changed_meanwhile_is_bold() {
    let mut bench = Bench::drawn(80, 24);
    bench.keys("2 j r");
    let bold = |bench: &mut Bench, words: &str| {
        let text = bench.text();
        let row = text.lines().position(|l| l.contains(words)).unwrap_or_else(|| panic!("{text}"));
        let line = text.lines().nth(row).unwrap();
        let column = line[..line.find(words).unwrap()].chars().count();
        bench.buffer()[(column as u16, row as u16)].modifier.contains(Modifier::BOLD)
    };
    bench.send(Msg::Tick(NOW.plus(200)));
    bench.keys("y");
    fn changed(question: &Question) -> Option<Result<Answer, String>> {
        match drawing(question) {
            Some(Ok(Answer::Preview(mut preview))) => {
                preview.lines[2].how = "used by this run and R-1047".into();
                Some(Ok(Answer::Preview(preview)))
            }
            other => other,
        }
    }
    bench.answers = changed;
    let tag = requests(&bench)[0].tag;
    let outcome = RequestOutcome::Refused { code: "changed_since_preview".into(), words: "changed".into() };
    bench.send(Msg::RequestAnswered { tag, outcome });
    assert!(bold(&mut bench, "S-14 db"));
    assert!(!bold(&mut bench, "W-9 and its branch"));
}

#[test]
fn environments_are_probed_archived_and_deleted() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("4 j p");
    let target = Some(("environment", places::environment_id(2).text()));
    assert_eq!((requests(&bench)[0].kind.as_str(), &requests(&bench)[0].target), ("environment.probe", &target));
    bench.keys("P");
    assert_eq!(requests(&bench).len(), 5, "the archived one is left alone");
    bench.keys("a");
    let test = requests(&bench).pop().unwrap();
    assert_eq!((test.kind.as_str(), test.args), ("environment.test", json!({ "agent": "fixer" })));
    bench.keys("e");
    let path = "/home/ops/src/shop/wharf.toml".to_owned();
    assert!(bench.effects.contains(&Effect::EditFile { path, line: 20 }));
    bench.keys("x");
    assert!(bench.text().contains("Archive E-2 box-1"), "{}", bench.text());
    bench.send(Msg::Tick(NOW.plus(200)));
    bench.keys("y");
    assert_eq!(requests(&bench).pop().unwrap().kind, "environment.archive");
    bench.keys("D");
    bench.send(Msg::Tick(NOW.plus(600)));
    bench.keys("y E - 2 Enter Esc");
    assert_eq!(requests(&bench).pop().unwrap().kind, "environment.archive", "yE-2 is not E-2");
    bench.keys("D");
    bench.send(Msg::Tick(NOW.plus(1_000)));
    bench.keys("E - 2 Enter");
    assert_eq!(requests(&bench).pop().unwrap().kind, "environment.delete");
    bench.keys("G x");
    assert!(bench.text().contains("it is archived; R takes it into use again"), "{}", bench.text());
    bench.keys("R");
    assert_eq!(requests(&bench).pop().unwrap().kind, "environment.restore");
    bench.keys("Home e");
    assert!(bench.text().contains("wharf env edit E-1"), "{}", bench.text());
}

#[test]
fn one_goes_between_a_lease_and_its_environment() {
    let mut bench = Bench::drawn(160, 45);
    bench.keys("2 g v");
    let here = |bench: &Bench| (bench.app.screen, bench.app.environments.environment().map(|e| e.number));
    assert_eq!(here(&bench), (ScreenId::Environments, Some(2)));
    bench.keys("Enter");
    assert_eq!((bench.app.screen, bench.app.leases.lease().map(|l| l.number)), (ScreenId::Leases, Some(89)));
    bench.keys("g E 1 Enter");
    assert_eq!(here(&bench), (ScreenId::Environments, Some(1)));
}

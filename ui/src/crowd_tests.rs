//! More than fits: many services, long and wide names, a long reason, a full port board, hundreds of workspaces.

use wharf_model::UnixMillis;
use wharf_model::rules::port_board::{PortRow, PortState};
use wharf_model::rules::service_why::{Case, Until, Why};

use crate::effect::Question;
use crate::fixtures::services::services;
use crate::fixtures::workspaces::workspace;
use crate::fixtures::{page, service_id};
use crate::glyph::Class;
use crate::msg::{Answer, Msg};
use crate::rows::*;
use crate::testing::{Bench, drawing};

/// A reason of three hundred characters.
fn reason() -> String {
    let words =
        "the command ended 5 times within 60s and at last said: cannot connect to 数据库 at tcp://db.internal:5432 ";
    words.chars().cycle().take(297).chain("END".chars()).collect()
}

fn many_services() -> Vec<ServiceLine> {
    let template = services();
    (1..=40i64)
        .rev()
        .map(|n| {
            let mut line = template[(n as usize) % template.len()].clone();
            (line.id, line.number) = (service_id(n), n);
            line.name = match n % 4 {
                0 => format!("a-service-with-a-name-that-goes-on-and-on-{n}"),
                1 => format!("データベース-検索索引サービス-{n}"),
                2 => format!("web-{n}"),
                _ => format!("🚢-ship-and-🚢-shore-{n}"),
            };
            line.scope = "a project with quite a long key, W-1234".into();
            line.users = (0..n).map(|u| format!("R-{}", 1000 + u)).collect();
            if n == 40 {
                (line.class, line.word, line.health) = (Class::Bad, "failed".into(), "exit 101".into());
                (line.live, line.case, line.restarts) = (false, Case::Parked, (12, 12));
                line.why = Some(reason());
                let fact = Fact { label: "error".into(), value: "crash loop".into(), remark: reason(), bad: true };
                line.facts = vec![FactBlock { facts: vec![fact] }];
                line.stranger = Some(format!("pid 812 {} on port 5432", "postgres-".repeat(8)));
                line.url = Some(format!("https://{}.example/", "very-long-host-name.".repeat(5)));
            }
            line
        })
        .collect()
}

fn many_ports() -> PortBoard {
    let row = |n: u16| PortRow {
        port: 40_000 + n,
        state: [PortState::Ours, PortState::Asked, PortState::Stranger, PortState::Unknown, PortState::Free]
            [usize::from(n % 5)],
        service: format!("S-{} データベース-検索索引サービス-{n}", n + 1),
        numbers: vec![i64::from(n) + 1],
        listener: Some(format!("pid {n} a-listener-with-a-long-name")),
        by: None,
        evidence: format!("user postgres, 9d; S-{} took another one, END", n + 1),
        looked_at: None,
    };
    PortBoard { rows: (0..60).map(row).collect() }
}

fn why() -> Why {
    Why {
        case: Case::Parked,
        verdict: format!("S-40 FAILED: {}", reason()),
        rule: vec!["crash loop".into()],
        since: Some(UnixMillis(0)),
        until: Until::YouAct,
        evidence: vec![("last line".into(), reason())],
        fine: Vec::new(),
        actions: Vec::new(),
    }
}

fn crowd(question: &Question) -> Option<Result<Answer, String>> {
    Some(Ok(match question {
        Question::Services { .. } => Answer::Services(Page { total: 40, rows: many_services(), ..Page::default() }),
        Question::Ports => Answer::Ports(many_ports()),
        Question::ServiceDetail(id) if *id == service_id(40) => {
            Answer::ServiceDetail(Some(Box::new(ServiceDetail { why: why(), runs: Vec::new(), written: None })))
        }
        Question::Workspaces { after: None, .. } => {
            let rows = (1..=200).rev().map(|n| {
                let branch = match n % 3 {
                    0 => format!("SHOP-{n}-a-branch-with-a-name-that-goes-on-for-longer-than-any-column-{n}"),
                    1 => format!("SHOP-{n}-検索の同義語を直す-検索の同義語を直す-{n}"),
                    _ => format!("SHOP-{n}-short"),
                };
                workspace(n, &branch, [Some(12_345), Some(98_765), Some(1_234), Some(4_321)], n * 60_000, "idle")
            });
            Answer::Workspaces(page(rows.collect(), 0))
        }
        other => return drawing(other),
    }))
}

#[test]
fn snapshots() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = Bench::open(columns, rows, crowd);
        bench.keys("3");
        insta::assert_snapshot!(format!("crowd-services-{size}"), bench.text());
        bench.keys("t w");
        insta::assert_snapshot!(format!("crowd-services-why-{size}"), bench.text());
        bench.keys("Esc Tab End");
        insta::assert_snapshot!(format!("crowd-ports-{size}"), bench.text());
        bench.keys("Esc End");
        insta::assert_snapshot!(format!("crowd-services-end-{size}"), bench.text());
        let mut bench = Bench::open(columns, rows, crowd);
        bench.keys("5 ctrl-d ctrl-d");
        insta::assert_snapshot!(format!("crowd-workspaces-{size}"), bench.text());
    }
}

/// The last words of a reason of three hundred characters can be read, by scrolling where they do not fit.
#[test]
fn a_long_reason_can_be_read_to_its_end() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        for tab in ["t w", "t d"] {
            let mut bench = Bench::open(columns, rows, crowd);
            bench.keys("3");
            while bench.app.services.service().is_some_and(|s| s.number != 40) {
                bench.keys("j");
            }
            bench.keys(tab);
            let mut seen = bench.text().contains("END");
            for _ in 0..40 {
                bench.keys("j");
                seen |= bench.text().contains("END");
            }
            assert!(seen, "{tab} at {columns}x{rows}: {}", bench.text());
        }
    }
}

/// Every row that is drawn keeps to the columns of its head, whatever its letters are wide.
#[test]
fn figures_stand_below_their_heads_whatever_a_name_is_wide() {
    for (columns, rows) in [(80, 24), (160, 45), (200, 50)] {
        let mut bench = Bench::open(columns, rows, crowd);
        bench.keys("3");
        let text = bench.text();
        let at =
            |line: &str, word: &str| line.find(word).map(|i| crate::text::width(&line[..i]) + crate::text::width(word));
        let head = text.lines().find(|l| l.contains("USED BY")).unwrap();
        let end = at(head, "USED BY").unwrap();
        let mut rows = 0;
        for line in text.lines().filter(|l| l.contains(" runs") && l.contains("  S-")) {
            rows += usize::from(at(line, " runs").is_some_and(|found| found == end));
            assert_eq!(at(line, " runs"), Some(end), "{line}\n{text}");
        }
        assert!(rows > 2, "{text}");
    }
}

#[test]
fn among_two_hundred_workspaces_the_cursor_stays_where_it_is() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let mut bench = Bench::open(columns, rows, crowd);
        bench.keys("5 ctrl-f ctrl-f j j");
        let number = |bench: &Bench| bench.app.workspaces.workspace().map(|w| w.number);
        let at = number(&bench);
        let shown = bench.text();
        assert!(at.is_some_and(|n| n < 200) && shown.contains(&format!("▸ W-{}", at.unwrap())), "{shown}");
        // The same rows again, with new ones on top: it stays on its row, which stays on the screen.
        bench.answers = |question| match question {
            Question::Workspaces { after: None, .. } => {
                let Some(Ok(Answer::Workspaces(mut page))) = crowd(question) else { return None };
                let new = (201..=205).rev().map(|n| workspace(n, &format!("SHOP-{n}-new"), [None; 4], 0, "in use"));
                page.rows.splice(0..0, new.collect::<Vec<_>>());
                page.total += 5;
                Some(Ok(Answer::Workspaces(page)))
            }
            other => crowd(other),
        };
        bench.send(Msg::StoreChanged);
        assert_eq!(number(&bench), at);
        assert!(bench.text().contains(&format!("▸ W-{}", at.unwrap())), "{}", bench.text());
        assert!(bench.text().contains("of 205"), "{}", bench.text());
        bench.keys("End");
        assert_eq!(number(&bench), Some(1), "{}", bench.text());
        bench.keys("Home");
        assert_eq!(number(&bench), Some(205));
    }
}

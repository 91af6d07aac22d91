//! The form for an issue's workspace settings.

use serde_json::json;
use wharf_model::IssueId;
use wharf_model::config::WorkspaceMode;
use wharf_model::rules::issue_settings::IssueSettings;

use crate::effect::{Effect, Question, Request};
use crate::fixtures::ledger::uuid_of;
use crate::msg::{Answer, Msg, RequestOutcome};
use crate::overlay::Overlay;
use crate::rows::{InForce, IssueForm};
use crate::testing::{Bench, drawing};

fn form(issue: &str, version: i64, mode: WorkspaceMode) -> IssueForm {
    let now = |key, value: &str, from: &str| InForce {
        key,
        value: (!value.is_empty()).then(|| value.to_owned()),
        from: from.to_owned(),
    };
    let branch = "hot/{{issue.identifier}}-{{slug}}".to_owned();
    IssueForm {
        id: IssueId(uuid_of(17, 9)),
        identifier: issue.to_owned(),
        title: "Fix flaky checkout test that loses the basket between two attempts".into(),
        version,
        own: IssueSettings { mode: Some(mode), branch: Some(branch.clone()), ..IssueSettings::default() },
        in_force: vec![
            now("environment", "box-1", "W-9"),
            now("mode", mode.as_str(), "issue"),
            now("strategy", "", "default"),
            now("branch", &branch, "issue"),
            now("base_ref", "origin/main", "project"),
            now("preference", "the branch's worktree", "default"),
            now("provision", "npm ci --prefer-offline --no-audit --no-fund", "project"),
            now("teardown", "", "default"),
            now("cleanup", "", "default"),
        ],
        agent: Some("fixer".into()),
        environments: vec!["Local".into(), "box-1".into()],
        workspace: Some("W-9".into()),
    }
}

fn answers(question: &Question) -> Option<Result<Answer, String>> {
    match question {
        Question::IssueSettings { issue, .. } => {
            Some(Ok(Answer::IssueSettings(Some(Box::new(form(issue, 4, WorkspaceMode::Isolated))))))
        }
        other => drawing(other),
    }
}

fn requests(bench: &Bench) -> Vec<Request> {
    let of = |effect: &Effect| if let Effect::Request(request) = effect { Some(request.clone()) } else { None };
    bench.effects.iter().filter_map(of).collect()
}

fn open(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::open(columns, rows, answers);
    bench.keys("j j j j e");
    bench
}

#[test]
fn snapshots() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = open(columns, rows);
        insta::assert_snapshot!(format!("issue-settings-{size}"), bench.text());
        bench.keys("Right Tab Tab Tab ctrl-u");
        bench.type_in("x y");
        bench.keys("Home");
        bench.keys("ctrl-s");
        insta::assert_snapshot!(format!("issue-settings-wrong-{size}"), bench.text());
        bench.keys("Esc");
        assert!(bench.app.overlay.is_none() && requests(&bench).is_empty());
    }
}

#[test]
fn it_sends_what_was_changed_as_the_command_line_does() {
    let mut bench = open(160, 45);
    // box-1 by its letters, no mode, another base.
    bench.keys("b Tab Backspace Tab Tab Tab");
    bench.type_in("v1.2");
    assert!(bench.text().contains("same: wharf issue set SHOP-17 --base-ref v1.2 --environment box-1 --mode none"));
    assert!(bench.text().contains("W-9 follows"), "{}", bench.text());
    bench.keys("ctrl-s ctrl-s");
    let [request] = requests(&bench).try_into().unwrap();
    let id = IssueId(uuid_of(17, 9)).text();
    assert_eq!((request.kind.as_str(), request.target), ("issue.update", Some(("issue", id.clone()))));
    assert_eq!(request.args, json!({ "settings": { "base_ref": "v1.2", "environment": "box-1", "mode": null } }));
    assert_eq!((request.expect[0].id.clone(), request.expect[0].version), (id, 4));
    let outcome = RequestOutcome::Done { words: "SHOP-17 changed".into(), run: None };
    bench.send(Msg::RequestAnswered { tag: request.tag, outcome });
    assert!(bench.app.overlay.is_none() && bench.text().contains("Settings of SHOP-17: SHOP-17 changed"));
}

#[test]
fn what_is_wrong_is_said_at_its_field_before_anything_is_sent() {
    let mut bench = open(160, 45);
    bench.keys("ctrl-s");
    assert!(bench.text().contains("Nothing is changed"), "{}", bench.text());
    // Each by itself has a meaning; together they have none.
    bench.keys("Tab s h a r e d Tab g i t ctrl-s");
    assert!(bench.text().contains("▲ Strategy: a shared workspace is the project's own directory"), "{}", bench.text());
    // One that is left is looked at.
    bench.keys("Backspace Tab");
    bench.type_in("{{issue.titel}}");
    bench.keys("Tab");
    assert!(bench.text().contains("▲ Branch: ") && bench.text().contains("issue.titel"), "{}", bench.text());
    bench.keys("ctrl-s");
    assert!(requests(&bench).is_empty() && bench.text().contains("▲ Branch: "), "{}", bench.text());
}

#[test]
fn a_refusal_keeps_what_was_typed_and_shows_what_has_changed() {
    fn later(question: &Question) -> Option<Result<Answer, String>> {
        match question {
            Question::IssueSettings { issue, .. } => {
                Some(Ok(Answer::IssueSettings(Some(Box::new(form(issue, 5, WorkspaceMode::AgentDefault))))))
            }
            other => drawing(other),
        }
    }
    let mut bench = open(160, 45);
    bench.keys("Tab Tab Tab Tab");
    bench.type_in("v1.2");
    bench.keys("ctrl-s");
    let tag = requests(&bench)[0].tag;
    bench.answers = later;
    let refused = |code: &str, words: &str| RequestOutcome::Refused { code: code.into(), words: words.into() };
    bench.send(Msg::RequestAnswered { tag, outcome: refused("changed_since_preview", "it is another by now") });
    let text = bench.text();
    assert!(text.contains("It was changed meanwhile") && text.contains("agent_default"), "{text}");
    assert!(text.contains("v1.2"), "what was typed stays: {text}");
    bench.keys("ctrl-s");
    let second = requests(&bench).pop().unwrap();
    assert_eq!((second.args, second.expect[0].version), (json!({ "settings": { "base_ref": "v1.2" } }), 5));
    // What only the other side knows is said at its field as well.
    let words = "environment box-1 is archived; restore it, or choose another";
    bench.send(Msg::RequestAnswered { tag: second.tag, outcome: refused("environment_inactive", words) });
    assert!(bench.text().contains(&format!("▲ Environment: {words}")), "{}", bench.text());
    assert!(matches!(bench.app.overlay, Some(Overlay::IssueSettings(_))));
}

#[test]
fn it_opens_for_the_issue_of_a_workspace_and_says_where_there_is_none() {
    let mut bench = Bench::open(160, 45, answers);
    bench.keys("5 j j j j e");
    assert!(bench.text().contains("Workspace settings of SHOP-16"), "{}", bench.text());
    bench.keys("Esc G e");
    assert!(bench.app.overlay.is_none() && bench.text().contains("has no issue"), "{}", bench.text());
    for columns in (40..180).step_by(23) {
        for rows in (10..30).step_by(3) {
            let mut bench = open(columns, rows);
            bench.keys("Up x Tab Tab");
            assert!(!bench.buffer().content().iter().any(|c| c.symbol().chars().any(char::is_control)));
        }
    }
}

//! `wharf issue set` and `close`, through the real program.

#![allow(clippy::unwrap_used, reason = "a test ends with a panic")]

mod cli_common;

use cli_common::Place;

#[test]
fn an_issue_is_changed_and_its_workspace_follows() {
    let place = Place::new();
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    let changed = place
        .wharf(&[
            "issue",
            "set",
            "SHOP-1",
            "--status",
            "in_review",
            "--priority",
            "high",
            "--environment",
            "Local",
            "--json",
        ])
        .expect(0)
        .json();
    assert_eq!((&changed["schema"], &changed["status"]), (&"wharf.issue_changed/1".into(), &"in_review".into()));
    let keys: Vec<&str> = changed["changed"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["environment", "priority", "status"]);
    assert_eq!(changed["workspace"], serde_json::Value::Null);
    place.wharf(&["run", "three", "--issue", "SHOP-1", "--wait"]).expect(3);
    let told = place.wharf(&["issue", "set", "SHOP-1", "--provision", "true", "--branch", "fix/{{slug}}"]).expect(0);
    assert!(told.err.contains("W-1 follows") && told.err.contains("provision: none → true"), "{told:?}");
    // The new branch is another workspace, and the one before is idle.
    place.wharf(&["run", "three", "--issue", "SHOP-1", "--wait"]).expect(3);
    let rows = place.wharf(&["workspaces", "--json"]).expect(0).json();
    let states: Vec<(&str, &str)> = rows["workspaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| (w["number"].as_str().unwrap(), w["status"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("W-2", "idle"), ("W-1", "idle")]);
    let shown = place.wharf(&["show", "SHOP-1"]).expect(0).out;
    for words in ["workspace    W-2", "environment  Local", "branch       fix/{{slug}}", "provision    true"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let none = place.wharf(&["issue", "set", "SHOP-1", "--branch", "none"]).expect(0);
    assert!(none.err.contains("branch: fix/{{slug}} → none"), "{none:?}");
    let same = place.wharf(&["issue", "set", "SHOP-1", "--priority", "high"]).expect(0);
    assert!(same.err.contains("it is so already"), "{same:?}");
}

#[test]
fn its_own_command_makes_its_workspace_ready() {
    let place = Place::new();
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    place.wharf(&["issue", "set", "SHOP-1", "--provision", "echo not today >&2; exit 7"]).expect(0);
    let failed = place.wharf(&["run", "good", "--issue", "SHOP-1", "--wait"]);
    assert_eq!(failed.code, Some(125));
    assert!(failed.err.contains("not today"), "{failed:?}");
    place.wharf(&["issue", "set", "SHOP-1", "--provision", "none"]).expect(0);
    place.wharf(&["run", "good", "--issue", "SHOP-1", "--wait"]).expect(0);
}

#[test]
fn a_closed_issue_takes_no_run_until_it_is_opened() {
    let place = Place::new();
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    place.wharf(&["issue", "close", "SHOP-1"]).expect(0);
    place.wharf(&["run", "good", "--issue", "SHOP-1"]).expect(3);
    let trail = place.wharf(&["activity", "kind:issue.updated", "--json"]).expect(0).json();
    assert_eq!(trail["activity"].as_array().unwrap().len(), 1);
    place.wharf(&["issue", "set", "SHOP-1", "--status", "todo"]).expect(0);
    place.wharf(&["run", "good", "--issue", "SHOP-1", "--wait"]).expect(0);
    place.wharf(&["issue", "close", "SHOP-1", "--cancelled"]).expect(0);
    let row = place.wharf(&["issues", "--json"]).expect(0).json();
    assert_eq!(row["issues"][0]["status"], "cancelled");
}

#[test]
fn what_has_no_meaning_is_refused() {
    let place = Place::new();
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    place.wharf(&["issue", "set", "SHOP-1"]).expect(2);
    place.wharf(&["issue", "set", "SHOP-1", "--status", "finished"]).expect(2);
    place.wharf(&["issue", "set", "SHOP-9", "--status", "done"]).expect(3);
    for (args, words) in [
        (["--environment", "nowhere"], "no environment nowhere"),
        (["--mode", "mine"], "has no meaning"),
        (["--branch", "{{nothing}}"], "not known here"),
    ] {
        let refused = place.wharf(&[&["issue", "set", "SHOP-1"], args.as_slice()].concat());
        assert!(refused.code != Some(0) && refused.err.contains(words), "{refused:?}");
    }
}

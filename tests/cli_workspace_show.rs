//! `wharf workspace show` and the list of workspaces with what their directories hold.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use std::path::PathBuf;

use cli_common::Place;

/// A worktree of SHOP-1 with a changed file, a new one and a commit of its own; gives its directory.
fn worked(place: &Place) -> PathBuf {
    place.wharf(&["issue", "new", "Find synonyms"]).expect(0);
    place.wharf(&["run", "good", "--issue", "SHOP-1", "--wait"]).expect(0);
    let all = place.wharf(&["workspaces", "--json"]).expect(0).json();
    let one = &all["workspaces"][0];
    assert_eq!((&one["number"], &one["inventory"]), (&"W-1".into(), &serde_json::Value::Null), "nobody asked to look");
    let cwd = PathBuf::from(one["cwd"].as_str().unwrap());
    let at = cwd.display().to_string();
    std::fs::write(cwd.join("done.txt"), "done").unwrap();
    place.git(&["-C", &at, "add", "done.txt"]);
    place.git(&["-C", &at, "commit", "-q", "-m", "work"]);
    std::fs::write(cwd.join("wharf.toml"), "[project]\nkey = \"SHOP\"\n").unwrap();
    std::fs::write(cwd.join("notes.txt"), "todo").unwrap();
    cwd
}

#[test]
fn the_list_looks_into_directories_only_when_asked() {
    let place = Place::new();
    let cwd = worked(&place);
    let plain = place.wharf(&["workspaces"]).expect(0).out;
    assert!(!plain.contains("MERGED") && plain.contains("SHOP-1"), "{plain}");
    let all = place.wharf(&["workspaces", "--inventory", "--json"]).expect(0).json();
    let inventory = &all["workspaces"][0]["inventory"];
    assert_eq!(inventory["place"], "ours", "{inventory}");
    for (key, figure) in [("changed", 1), ("untracked", 1), ("ahead", 1), ("behind", 0)] {
        assert_eq!(inventory[key], figure, "{key}: {inventory}");
    }
    assert_eq!(inventory["merged"], false);
    assert!(inventory["bytes"].as_u64().unwrap() > 4, "{inventory}");
    let wide = place.wharf(&["workspaces", "--inventory"]).expect(0).out;
    assert!(wide.lines().next().unwrap().contains("DIRTY  NEW  AHEAD  BEHIND  MERGED"), "{wide}");
    // A directory that somebody has taken away is told to be gone, not to be empty.
    std::fs::rename(&cwd, cwd.with_extension("away")).unwrap();
    let all = place.wharf(&["workspaces", "--inventory", "--json"]).expect(0).json();
    let inventory = &all["workspaces"][0]["inventory"];
    assert_eq!((&inventory["place"], &inventory["changed"]), (&"gone".into(), &serde_json::Value::Null));
}

#[test]
fn one_is_shown_with_why_its_operations_and_its_snapshots() {
    let place = Place::new();
    worked(&place);
    place.wharf(&["workspace", "snapshot", "W-1", "--reason", "before the rebase"]).expect(0);
    let human = place.wharf(&["workspace", "show", "W-1"]).expect(0).out;
    assert!(human.starts_with("W-1  "), "{human}");
    for words in [
        "1 changed, 1 untracked",
        "1 ahead, 0 behind",
        "not all of it is in its base",
        "SHOP-1 Find synonyms",
        "R-1 ✓",
        "\nwhy\nrule",
        "the last one, R-1, ended ",
        "\noperations\n",
        "git worktree add",
        "\nsnapshots\n  W-1.1 ",
        "before the rebase",
        "wharf workspace restore W-1.1",
    ] {
        assert!(human.contains(words), "{words:?} is not in\n{human}");
    }
    let shown = place.wharf(&["workspace", "show", "w-1", "--json"]).expect(0).json();
    assert_eq!(shown["schema"], "wharf.workspace/1");
    assert_eq!(shown["workspace"]["inventory"]["changed"], 1);
    assert_eq!(shown["workspace"]["snapshots_kept"], 1);
    let snapshot = &shown["snapshots"][0];
    assert_eq!((&snapshot["number"], &snapshot["status"]), (&"W-1.1".into(), &"kept".into()));
    assert!(shown["operations"].as_array().unwrap().iter().any(|o| o["phase"] == "worktree_prepare"), "{shown}");
    assert_eq!(place.wharf(&["show", "W-1", "--json"]).expect(0).json()["schema"], "wharf.workspace/1");
    assert_eq!(place.wharf(&["workspace", "show", "W-9"]).expect(3).out, "");
}

#[test]
fn an_archived_one_says_until_when_it_can_be_brought_back() {
    let place = Place::new();
    let cwd = worked(&place);
    place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(0);
    assert!(!cwd.exists());
    let human = place.wharf(&["workspace", "show", "W-1"]).expect(0).out;
    assert!(human.starts_with("W-1  ⊘ archived"), "{human}");
    assert!(human.contains("kept until") && human.contains("next  wharf workspace restore W-1\n"), "{human}");
    assert_eq!(place.wharf(&["workspaces", "--json"]).expect(0).json()["workspaces"].as_array().unwrap().len(), 0);
    let all = place.wharf(&["workspaces", "status:archived", "--inventory", "--json"]).expect(0).json();
    assert_eq!(all["workspaces"][0]["inventory"], serde_json::Value::Null, "there is nothing to look at");
    assert!(all["workspaces"][0]["trash_until"].is_string(), "{all}");
    place.wharf(&["workspace", "restore", "W-1"]).expect(0);
    assert_eq!(std::fs::read(cwd.join("notes.txt")).unwrap(), b"todo");
    let human = place.wharf(&["workspace", "show", "W-1"]).expect(0).out;
    assert!(human.contains("1 changed, 1 untracked"), "{human}");
}

#[test]
fn a_trash_that_no_row_knows_is_named_and_stays() {
    let place = Place::new();
    let cwd = worked(&place);
    place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(0);
    let shown = place.wharf(&["workspace", "show", "W-1", "--json"]).expect(0).json();
    let item = &shown["workspace"]["trash"][0];
    assert_eq!((&item["kind"], &item["place"]), (&"directory".into(), &shown["workspace"]["trash_path"]));
    let name = item["name"].as_str().unwrap();
    let human = place.wharf(&["workspace", "show", "W-1"]).expect(0).out;
    assert!(human.contains("\nin the trash\n") && human.contains(name), "{human}");
    let clean = place.wharf(&["doctor"]).out;
    assert!(!clean.contains("no row knows"), "{clean}");
    // As one that somebody copied, or that an older version forgot.
    let trash = cwd.parent().unwrap().join(".trash");
    let stray = trash.join("0199aaaa-0000-7000-8000-00000000beef");
    std::fs::create_dir(&stray).unwrap();
    std::fs::write(stray.join("left"), "behind").unwrap();
    let told = place.wharf(&["doctor"]).out;
    let place_of = stray.display().to_string();
    assert!(told.contains("no row knows") && told.contains(&format!("rm -rf -- {place_of}")), "{told}");
    assert!(!told.contains(name), "what is known is not named: {told}");
    let listed = place.wharf(&["workspaces", "--inventory", "--archived"]).expect(0);
    assert!(listed.err.contains(&place_of), "{}", listed.err);
    assert!(stray.join("left").exists(), "nothing is removed");
    let wrong = place.wharf(&["workspace", "restore", "W-1", "--trash", "nowhere"]).expect(3);
    assert!(wrong.err.contains("names no directory in the trash of W-1"), "{}", wrong.err);
    let last = &name[name.len() - 8..];
    let dry = place.wharf(&["workspace", "restore", "W-1", "--trash", last, "--dry-run"]).expect(0).out;
    assert!(dry.contains("its directory, all of it") && dry.contains(name), "{dry}");
    place.wharf(&["workspace", "restore", "W-1", "--trash", last]).expect(0);
    assert_eq!(std::fs::read(cwd.join("notes.txt")).unwrap(), b"todo");
}

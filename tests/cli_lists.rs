//! Lists, `show`, filters, names, and stores that cannot be used.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use std::collections::{BTreeMap, BTreeSet};

use cli_common::{Place, chmod, is_root};
use serde_json::Value;

const LISTS: [&str; 10] =
    ["runs", "leases", "environments", "services", "ports", "workspaces", "agents", "issues", "activity", "projects"];

#[test]
fn lists_are_empty_before_there_is_a_store_and_make_none() {
    let place = Place::new();
    for list in LISTS {
        let document = place.wharf(&[list, "--json"]).expect(0).json();
        assert_eq!(document["schema"], format!("wharf.{list}/1"));
        assert_eq!(
            (&document[list], &document["next"], &document["hidden"]),
            (&Value::Array(vec![]), &Value::Null, &0.into())
        );
        let human = place.wharf(&[list]).expect(0);
        assert!(human.out.is_empty() && human.err.contains("no store in "), "{human:?}");
    }
    assert!(!place.data().exists());
    for args in [
        &["show", "R-1"][..],
        &["logs", "R-1"],
        &["cancel", "R-1"],
        &["lease", "release", "L-1"],
        &["service", "stop", "web"],
        &["issue", "comment", "SHOP-1", "x"],
        &["env", "show", "box"],
        &["env", "archive", "box"],
        &["gc"],
        &["gc", "--dry-run"],
        &["backup"],
    ] {
        let mut args = args.to_vec();
        args.push("--json");
        assert_eq!(place.wharf(&args).expect(6).error()["code"], "store_missing", "{args:?}");
        assert!(!place.data().exists(), "{args:?}");
    }
}

#[test]
fn filters_and_pages() {
    let place = Place::new();
    let serving = place.serve();
    for agent in ["good", "three", "good", "killed"] {
        place.wharf(&["run", agent, "--wait"]);
    }
    let numbers = |args: &[&str]| -> Vec<String> {
        let mut all = vec!["runs", "--json"];
        all.extend(args);
        let document = place.wharf(&all).expect(0).json();
        let shown = document["runs"].as_array().unwrap();
        assert_eq!(document["hidden"].as_i64().unwrap() + shown.len() as i64, 4, "{args:?}");
        shown.iter().map(|r| r["number"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(numbers(&[]), ["R-4", "R-3", "R-2", "R-1"]);
    assert_eq!(numbers(&["status:failed"]), ["R-4", "R-2"]);
    assert_eq!(numbers(&["status:failed", "exit:3"]), ["R-2"]);
    assert_eq!(numbers(&["agent:go*"]), ["R-3", "R-1"]);
    assert_eq!(numbers(&["--", "-agent:good"]), ["R-4", "R-2"]);
    assert_eq!(numbers(&["since:1h", "status:done", "run:R-3"]), ["R-3"]);
    assert_eq!(numbers(&["since:1h -status:done"]), ["R-4", "R-2"]);
    assert_eq!(numbers(&["until:1h"]), [""; 0]);
    assert_eq!(numbers(&["KILLED"]), ["R-4"]);
    let table = place.wharf(&["runs", "status:failed"]).expect(0);
    assert_eq!(table.err, "2 of 4 runs; 2 hidden by the filter\n");
    assert!(!table.out.contains('\u{1b}'));
    assert_eq!(table.out.lines().count(), 3);
    let ascii = place.wharf(&["runs", "--ascii", "--no-header", "--color", "always"]).expect(0).out;
    assert!(ascii.is_ascii() && ascii.contains("\u{1b}[31mx failed\u{1b}[0m"), "{ascii:?}");
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..3 {
        let mut args = vec!["runs", "--json", "--limit", "2"];
        args.extend(after.as_deref().into_iter().flat_map(|a| ["--after", a]));
        let page = place.wharf(&args).expect(0).json();
        seen.extend(page["runs"].as_array().unwrap().iter().map(|r| r["number"].as_str().unwrap().to_owned()));
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["R-4", "R-3", "R-2", "R-1"]);
    // A page in the midst of a list does not know what the filter keeps out of all of it.
    let first = place.wharf(&["runs", "agent:good", "-n", "1", "--json"]).expect(0).json();
    let next = first["next"].as_str().unwrap();
    let second = place.wharf(&["runs", "agent:good", "-n", "1", "--json", "--after", next]).expect(0).json();
    assert_eq!((&first["hidden"], &second["hidden"]), (&Value::Null, &Value::Null));
    assert_eq!((&first["runs"][0]["number"], &second["runs"][0]["number"]), (&"R-3".into(), &"R-1".into()));
    let human = place.wharf(&["runs", "agent:good", "-n", "1"]).expect(0).err;
    assert_eq!(human, format!("more runs follow: --after {next}\n"));
    let idle = place.wharf(&["agents", "status:idle", "--json"]).expect(0).json();
    let idle = idle["agents"].as_array().unwrap();
    assert!(!idle.is_empty() && idle.iter().all(|a| a["status"] == "idle" && a["class"] != "bad"), "{idle:?}");
    drop(serving);
}

#[test]
fn wrong_filters_are_marked() {
    let place = Place::new();
    let wrong = place.wharf(&["runs", "status:failed", "bogus:1"]).expect(2);
    assert!(wrong.err.contains("\n   status:failed bogus:1\n                 ^^^^^^^\n"), "{}", wrong.err);
    for (list, filter) in
        [("runs", "status:starting"), ("services", "exit:1"), ("projects", "agent:x"), ("runs", "cost:>1")]
    {
        let error = place.wharf(&[list, filter, "--json"]).expect(2).error();
        assert_eq!(error["code"], "usage", "{list} {filter}");
    }
    place.wharf(&["runs", "--after", "yesterday"]).expect(2);
    place.wharf(&["leases", "--after", "yesterday"]).expect(2);
    place.wharf(&["leases", "--after=-3"]).expect(2);
    place.wharf(&["leases", "-n", "0"]).expect(2);
    // Told are the words of the list that was asked, as its help does.
    for (word, has, has_not) in
        [("status:bogus", "waiting, active", "starting"), ("bogus:1", "env, run, lease", "service")]
    {
        let wrong = place.wharf(&["leases", word]).expect(2).err;
        assert!(wrong.contains(has) && !wrong.contains(has_not), "{wrong}");
        assert!(wrong.ends_with("\nnext:  wharf leases --help\n"), "{wrong}");
        assert!(place.wharf(&["leases", "--help"]).expect(0).out.contains(has));
    }
}

#[test]
fn names_of_rows() {
    let place = Place::new();
    place.wharf(&["issue", "new", "First"]).expect(0);
    place.wharf(&["run", "good", "--issue", "shop-1", "--wait"]).expect(0);
    let run = place.wharf(&["runs", "--json"]).expect(0).json()["runs"][0].clone();
    assert_eq!((&run["issue"], &run["class"]), (&"SHOP-1".into(), &"good".into()));
    let id = run["id"].as_str().unwrap();
    for name in ["R-1", "r-1", id, &id[..35], &id[24..]] {
        let shown = place.wharf(&["show", name, "--json"]).expect(0).json();
        assert_eq!(shown["run"], run, "{name}");
    }
    for (name, schema) in [
        ("L-1", "wharf.lease/1"),
        ("W-1", "wharf.workspace/1"),
        ("E-1", "wharf.environment/1"),
        ("Q-2", "wharf.request/1"),
        ("SHOP-1", "wharf.issue/1"),
        ("good", "wharf.agent/1"),
        ("shop", "wharf.project/1"),
    ] {
        assert_eq!(place.wharf(&["show", name, "--json"]).expect(0).json()["schema"], schema);
        let human = place.wharf(&["show", name]).expect(0);
        assert!(human.out.lines().count() > 3 && human.err.is_empty(), "{name}: {human:?}");
    }
    let human = place.wharf(&["show", "R-1"]).expect(0).out;
    assert!(human.starts_with("R-1  ✓ done, "), "{human}");
    assert!(human.contains("\n  execute  succeeded "), "{human}");
    for (name, code, exit) in [
        ("R-99", "id_unknown", 3),
        ("01abcdef", "id_unknown", 3),
        (&id[..6], "id_ambiguous", 3),
        ("zz", "id_unknown", 3),
    ] {
        let error = place.wharf(&["show", name, "--json"]).expect(exit).error();
        assert_eq!((&error["code"], &error["entity"]), (&code.into(), &name.into()));
    }
    let near = place.wharf(&["show", "godo"]).expect(3).err;
    assert!(near.contains("three") && near.ends_with("\nnext:  wharf show good\n"), "{near}");
    for (args, words) in [
        (&["logs", "W-1"][..], "W-1 is a workspace, not a run"),
        (&["cancel", "L-1"], "L-1 is a lease, not a run"),
        (&["service", "stop", "R-1"], "R-1 is a run, not a service"),
        (&["lease", "release", "E-1"], "E-1 is an environment, not a lease"),
        (&["issue", "comment", "R-1", "x"], "R-1 is a run, not an issue"),
    ] {
        let wrong = place.wharf(args).expect(3).err;
        assert!(wrong.starts_with(&format!("error: {words}\n")), "{args:?}: {wrong}");
    }
    for command in ["logs", "cancel", "shell"] {
        place.wharf(&[command, "R-99"]).expect(3);
        place.wharf(&[command, "?"]).expect(2);
    }
    let shell =
        place.wharf_with(&["shell", "R-1"], "pwd; echo $WHARF_RUN_NUMBER $WHARF_ISSUE_IDENTIFIER $WHARF_PROJECT_KEY\n");
    let cwd = place.wharf(&["show", "W-1", "--json"]).json()["workspace"]["cwd"].as_str().unwrap().to_owned();
    assert_eq!(shell.expect(0).out, format!("{cwd}\nR-1 SHOP-1 SHOP\n"));
    place.wharf(&["shell", "L-1"]).expect(4);
    place.wharf(&["shell", "E-1"]).expect(2);
}

#[test]
fn stores_that_cannot_be_used() {
    let place = Place::new();
    place.wharf(&["issue", "new", "One"]).expect(0);
    let version = place.data().join("VERSION");
    let before = std::fs::read(&version).unwrap();
    std::fs::write(&version, "99\n").unwrap();
    for args in
        [&["runs", "--json"][..], &["run", "good", "--json"], &["serve", "--json"], &["cancel", "R-1", "--json"]]
    {
        let error = place.wharf(args).expect(6).error();
        assert_eq!(error["code"], "store_newer", "{args:?}");
        assert!(error["hint"].as_str().unwrap().contains("newer wharf"), "{error}");
    }
    assert_eq!(place.wharf(&["doctor"]).expect(8).out.lines().filter(|l| l.starts_with('✗')).count(), 1);
    std::fs::write(&version, before).unwrap();
    chmod(&place.data(), 0o777);
    assert_eq!(place.wharf(&["runs", "--json"]).expect(6).error()["code"], "store_refused");
    chmod(&place.data(), 0o700);
    place.wharf(&["runs"]).expect(0);
    if !is_root() {
        chmod(&place.data(), 0o500);
        assert_eq!(place.wharf(&["run", "good", "--json"]).expect(6).error()["code"], "store_read_only");
        chmod(&place.data(), 0o700);
    }
    std::fs::write(place.project().join("file"), "").unwrap();
    for data in ["file", "file/below"] {
        for args in [&["runs"][..], &["run", "good"]] {
            let mut args = args.to_vec();
            args.extend(["--data-dir", data]);
            let refused = place.wharf(&args).expect(6).err;
            assert!(refused.contains("\nnext:  set WHARF_DATA_DIR to one\n"), "{args:?}: {refused}");
        }
    }
}

/// The keys of a document, level by level; rows of a list count as one.
fn keys(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                into.insert(name.clone());
                // What stands in `details`, `config` and the like is a row's own business.
                if !matches!(key.as_str(), "details" | "config" | "metadata" | "args" | "result" | "expect") {
                    keys(&name, value, into);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(&format!("{prefix}[]"), item, into)),
        _ => {}
    }
}

/// The documents as programs know them: a key that goes or comes is a change of the contract.
/// After a wanted one: `WHARF_BLESS=1 cargo test -p wharf --test cli_lists documents`.
#[test]
fn documents_keep_their_keys() {
    let place = Place::new();
    // So that a log has a gap.
    place.user_config("[limits]\nrun_log_quota = \"1MiB\"\non_quota = \"head_tail\"\n");
    let serving = place.serve();
    place.wharf(&["issue", "new", "One"]).expect(0);
    place.wharf(&["run", "three", "--issue", "SHOP-1", "--wait"]).expect(3);
    // So that something differs.
    let workspace = place.wharf(&["show", "W-1", "--json"]).json()["workspace"]["cwd"].clone();
    std::fs::write(std::path::Path::new(workspace.as_str().unwrap()).join("new"), "x\n").unwrap();
    place.wharf(&["service", "start", "web"]).expect(0);
    // It fails, and its port stays known.
    place.wharf(&["service", "start", "broken"]).expect(8);
    place.wharf(&["run", "slow"]).expect(0);
    place.wharf(&["run", "flood", "--wait"]).expect(0);
    place.wharf(&["env", "add", "box", "--driver", "ssh", "--set", "host=a"]).expect(0);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let lists = LISTS.iter().map(|l| vec![*l]);
    let more = [
        vec!["show", "R-1"],
        vec!["show", "L-1"],
        vec!["show", "S-1"],
        vec!["show", "W-1"],
        vec!["show", "E-1"],
        vec!["show", "Q-1"],
        vec!["show", "SHOP-1"],
        vec!["show", "good"],
        vec!["show", "SHOP"],
        vec!["diff", "R-1"],
        vec!["logs", "R-3"],
        vec!["config", "check"],
        vec!["config", "show"],
        vec!["config", "accept"],
        vec!["env", "show", "Local"],
        vec!["env", "probe", "Local"],
        vec!["env", "test", "Local", "--agent", "good"],
        vec!["env", "edit", "Local", "--slots", "9"],
        vec!["env", "archive", "box", "--dry-run"],
        vec!["project", "add"],
        vec!["issue", "new", "Two"],
        vec!["issue", "set", "SHOP-2", "--priority", "low"],
        vec!["why", "R-1"],
        vec!["agent", "reset-session", "good"],
        vec!["lease", "release", "L-2", "--dry-run"],
        vec!["lease", "retain", "L-2", "--for", "1h", "--dry-run"],
        vec!["doctor"],
        vec!["gc", "--dry-run"],
        vec!["workspace", "archive", "W-1", "--dry-run"],
        vec!["workspaces", "--reap", "--dry-run"],
        vec!["backup"],
        vec!["service", "why", "broken"],
        vec!["service", "stop", "web", "--dry-run"],
        vec!["service", "stop", "web", "--yes"],
        vec!["workspace", "snapshot", "W-1"],
        vec!["workspace", "restore", "W-1.1", "--yes"],
        vec!["workspace", "job", "W-1", "build"],
        vec!["cancel", "R-2"],
    ];
    for mut args in lists.chain(more) {
        args.push("--json");
        let document = place.wharf(&args).expect(0).json();
        let schema = document["schema"].as_str().unwrap().to_owned();
        keys("", &document, found.entry(schema).or_default());
    }
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/plugins/places.py");
    let tried = place.wharf(&["plugin", "check", plugin, "--json"]).json();
    keys("", &tried, found.entry("wharf.plugin_check/1".to_owned()).or_default());
    drop(serving);
    let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/schema/documents.json");
    if std::env::var_os("WHARF_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default()).unwrap_or_default();
    for (schema, keys) in &kept {
        assert_eq!(found.get(schema), Some(keys), "{schema}: a document's keys changed; see the comment of this test");
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
}

//! Workspaces in the real console: what keys alone keep, check, archive and bring back.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![allow(dead_code, reason = "shared by several test programs")]

#[path = "support/pty.rs"]
mod pty;

use std::path::PathBuf;

use pty::{Console, Place, config, read};
use wharf_store::Reader;
use wharf_store::view::{IssueQuery, WorkspaceQuery};

/// What an agent leaves behind: a file that git does not know.
const WORKER: &str = "echo todo > notes.txt; echo worked";

/// Directory of the only workspace.
fn directory(place: &Place) -> PathBuf {
    let reader = Reader::open(&place.data()).unwrap();
    let query = WorkspaceQuery { archived: true, ..WorkspaceQuery::default() };
    PathBuf::from(reader.workspaces(&query, None, 9).unwrap().rows[0].workspace.cwd.clone().unwrap())
}

#[test]
fn one_is_kept_checked_archived_and_brought_back_by_keys_alone() {
    let place = Place::new(Some(&config(&[("worker", WORKER)])));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    console.start_run();
    console.see("✓ done");
    console.send("5");
    console.see("[5 Workspaces]");
    console.see("◌ idle");
    // What only its directory knows comes beside the screen.
    console.see("1 untracked");
    console.see("no run works in it");
    console.send("s");
    console.see("kept as W-1.1");
    console.send("ts");
    console.see("▸ ✓ W-1.1");
    console.send("tc");
    console.see("The close check says");
    console.see("notes.txt");
    let there = directory(&place);
    assert!(there.join("notes.txt").exists());
    console.send("x");
    console.see("Archive W-1");
    console.see("as snapshot W-1.2");
    console.see("y archive W-1");
    read();
    console.send("y");
    console.see("archived; u undoes");
    console.see("1 archived hidden");
    assert!(!there.exists());
    console.send("u");
    console.see("is back");
    console.see("◌ idle");
    assert_eq!(std::fs::read(there.join("notes.txt")).unwrap(), b"todo\n");
    // Back to the first snapshot, after its preview; what is there now is kept first.
    std::fs::write(there.join("notes.txt"), "spoilt").unwrap();
    console.send("tsG");
    console.see("▸ ✓ W-1.1");
    console.send("R");
    console.see("Restore W-1.1");
    console.see("what is there now");
    read();
    console.send("y");
    console.see("is as W-1.1 was");
    assert_eq!(std::fs::read(there.join("notes.txt")).unwrap(), b"todo\n");
    console.send("A");
    console.see("Reap finished workspaces");
    console.see("Nothing is to be reaped");
    console.send("\u{1b}");
    console.gone("Reap finished workspaces");
    console.quit();
    console.assert_restored();
}

/// A command of the program in the project of a place; what it prints.
fn wharf(place: &Place, args: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wharf"));
    let home = place.path.display().to_string();
    command.args(args).current_dir(place.project()).env("WHARF_DATA_DIR", place.data()).env("HOME", home);
    let ended = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{args:?}: {out}{err}");
    out.into_owned()
}

#[test]
fn where_an_issues_runs_work_is_set_in_a_form() {
    let place = Place::new(Some(&config(&[("worker", WORKER)])));
    wharf(&place, &["issue", "new", "Fix it"]);
    wharf(&place, &["run", "worker", "--issue", "SHOP-1", "--wait"]);
    let mut console = Console::open(&place, 160, 45);
    console.see("✓ done");
    console.send("e");
    console.see("Workspace settings of SHOP-1 Fix it");
    console.see("isolated_workspace   default");
    // A branch that git does not take is refused before anything is asked for.
    console.send("\t\t\ta b\x13");
    console.see("no name that git accepts for a branch");
    console.send("\x15hot/fix\x1b[Z\x1b[Zshared\x13");
    console.see("Settings of SHOP-1");
    console.gone("Workspace settings of");
    console.send("5");
    console.see("[5 Workspaces]");
    console.see("▸ W-1");
    console.send("e");
    console.see("shared_workspace   issue");
    console.see("hot/fix   issue");
    // Somebody else's word in between is shown, and what is typed here stays.
    console.send("\x1b[Z\x1b[Z\x1b[Z\x1b[Z\x1b[Zv1");
    wharf(&place, &["issue", "set", "SHOP-1", "--mode", "isolated_workspace"]);
    console.see("It was changed meanwhile");
    console.see("isolated_workspace   issue");
    console.send("\x13");
    console.gone("Workspace settings of");
    let reader = Reader::open(&place.data()).unwrap();
    let issue = reader.issues(&IssueQuery::default(), None, 9).unwrap().rows.remove(0).issue;
    let settings = serde_json::json!({ "mode": "isolated_workspace", "branch": "hot/fix", "base_ref": "v1" });
    assert_eq!(issue.execution_workspace_settings, Some(settings));
    drop(reader);
    console.quit();
    console.assert_restored();
}

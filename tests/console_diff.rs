//! What a run changed, seen in the console: the real program, a real terminal, a real worktree.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/pty.rs"]
mod pty;

use pty::{Console, Place, config};

#[test]
fn what_a_run_changed_is_seen_while_it_works_and_afterwards() {
    // It changes one file, and another once it is told that the first was seen.
    let script = "printf 'a better project\\n' > README; i=0; while [ ! -e seen ] && [ $i -lt 600 ]; do i=$((i+1)); sleep 0.05; done; echo later > notes.txt";
    let place = Place::new(Some(&config(&[("changer", script)])));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    console.start_run();
    console.see("● running");
    console.send("tf");
    console.see("R-1 began at ");
    console.see("worktree, not committed");
    console.see("README");
    console.see("a better project");
    console.see("hunk 1 of 1");
    // What it changes next is seen without a key.
    let worktrees = place.project().join(".wharf/worktrees");
    let work = std::fs::read_dir(worktrees).unwrap().flatten().find(|e| e.path().is_dir()).unwrap().path();
    std::fs::write(work.join("seen"), "").unwrap();
    console.see("✓ done");
    console.see("notes.txt");
    console.send("5v");
    console.see("[Diff]");
    console.see("3 files");
    console.see("base ");
    console.send("/better\r");
    console.see("1 of 1");
    console.quit();
    console.assert_restored();
}

//! `wharf diff` with real runs in real worktrees: what it prints is what git applies.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use std::path::{Path, PathBuf};
use std::process::Command;

use cli_common::Place;

/// An agent that commits one change and leaves another, each told by its prompt: `WORD`.
const CONFIG: &str = r#"
[project]
key = "SHOP"

[[agent]]
name = "writes"
adapter = "process"
[agent.config]
command = "sh"
args = ["-c", "word=$(cat); echo $word >> log.txt; git add log.txt; git -c user.name=t -c user.email=t@example.org commit -qm $word; echo $word > left-$word"]
stdin = "prompt"
"#;

fn place() -> Place {
    let place = Place::bare();
    place.config(CONFIG);
    std::fs::write(place.project().join("log.txt"), "first\n").unwrap();
    place.git(&["init", "-q", "-b", "main"]);
    place.git(&["add", "-A"]);
    place.git(&["commit", "-q", "-m", "first"]);
    place
}

fn git(at: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent");
    let output = command.args(args).current_dir(at).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Directory of a workspace.
fn directory(place: &Place, workspace: &str) -> PathBuf {
    let document = place.wharf(&["show", workspace, "--json"]).expect(0).json();
    PathBuf::from(document["workspace"]["cwd"].as_str().unwrap())
}

fn paths(document: &serde_json::Value) -> Vec<String> {
    let line = |f: &serde_json::Value| {
        let figure = |key: &str| f[key].as_u64().map_or_else(|| "?".to_owned(), |n| n.to_string());
        format!(
            "{} {} +{} -{}",
            f["status"].as_str().unwrap(),
            f["path"].as_str().unwrap(),
            figure("added"),
            figure("removed")
        )
    };
    document["files"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn what_a_run_changed_is_printed_as_git_takes_it() {
    let place = place();
    place.wharf(&["run", "writes", "--prompt", "one", "--wait"]).expect(0);
    let patch = place.wharf(&["diff", "R-1"]).expect(0);
    assert!(patch.out.starts_with("diff --git a/left-one b/left-one\nnew file mode 100644\n"), "{}", patch.out);
    assert!(patch.out.contains("--- a/log.txt\n+++ b/log.txt\n@@ -1 +1,2 @@\n first\n+one\n"), "{}", patch.out);
    assert!(
        patch.err.contains("R-1: 2 files, worktree, 1 commit, 1 file not committed against R-1 began at "),
        "{}",
        patch.err
    );
    // On a fresh checkout it makes the same tree.
    let fresh = place.data().join("fresh");
    git(&place.project(), &["worktree", "add", "-q", "--detach", fresh.to_str().unwrap(), "main"]);
    let file = place.data().join("the.patch");
    std::fs::write(&file, &patch.out).unwrap();
    git(&fresh, &["apply", file.to_str().unwrap()]);
    for name in ["log.txt", "left-one"] {
        let work = directory(&place, "W-1");
        assert_eq!(std::fs::read(fresh.join(name)).unwrap(), std::fs::read(work.join(name)).unwrap());
    }

    let figures = place.wharf(&["diff", "W-1", "--stat"]).expect(0);
    let expected = " left-one | 1 +\n log.txt | 1 +\n 2 files changed, 2 insertions(+), 0 deletions(-)\n";
    assert_eq!(
        figures.out.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" "),
        expected.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" "),
        "{}",
        figures.out
    );
    assert_eq!(place.wharf(&["diff", "R-1", "--name-only"]).expect(0).out, "left-one\nlog.txt\n");
    let one = place.wharf(&["diff", "R-1", "./log.txt"]).expect(0).out;
    assert!(one.starts_with("diff --git a/log.txt") && !one.contains("left-one"), "{one}");
    assert_eq!(place.wharf(&["diff", "R-1", "nothing/here"]).expect(0).out, "");
    let painted = place.wharf(&["diff", "R-1", "log.txt", "--color", "always"]).expect(0).out;
    assert!(painted.contains("\u{1b}[32m+one\u{1b}[m\n"), "{painted:?}");

    let document = place.wharf(&["diff", "R-1", "--json"]).expect(0).json();
    assert_eq!((&document["schema"], &document["title"]), (&"wharf.diff/1".into(), &"R-1".into()));
    assert_eq!(paths(&document), ["added left-one +1 -0", "modified log.txt +1 -0"]);
    assert_eq!((&document["added"], &document["complete"]), (&2.into(), &true.into()));

    place.wharf(&["diff", "R-9"]).expect(3);
    place.wharf(&["diff", "E-1"]).expect(2);
    place.wharf(&["diff", "R-1", "--stat", "--name-only"]).expect(2);
}

#[test]
fn runs_in_one_worktree_are_told_apart_by_their_commits_and_compared() {
    let place = place();
    let serving = place.serve();
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    place.wharf(&["run", "writes", "--issue", "SHOP-1", "--prompt", "one", "--wait"]).expect(0);
    place.wharf(&["run", "writes", "--issue", "SHOP-1", "--prompt", "two", "--wait"]).expect(0);
    place.wharf(&["run", "writes", "--prompt", "three", "--wait"]).expect(0);

    // The first one's commit, and that its rest is not told apart any more.
    let first = place.wharf(&["diff", "R-1", "--json"]).expect(0).json();
    assert_eq!(first["files"].as_array().unwrap().iter().filter(|f| f["path"] == "log.txt").count(), 1, "{first}");
    assert!(first["remarks"][0].as_str().unwrap().contains("R-2 has worked in W-1 since"), "{first}");
    assert!(first["end"].as_str().unwrap().starts_with("R-1 ended at"), "{first}");
    // The second one's commit, and all that is not committed.
    let second = place.wharf(&["diff", "R-2", "--json"]).expect(0).json();
    let files = paths(&second);
    assert!(files.iter().any(|f| f == "modified log.txt +1 -0"), "{files:?}");
    assert!(second["remarks"][0].as_str().unwrap().contains("R-1 and others before"), "{second}");
    // Both in the workspace.
    let all = place.wharf(&["diff", "W-1", "--json"]).expect(0).json();
    assert!(paths(&all).contains(&"modified log.txt +2 -0".to_owned()), "{all}");

    // In one worktree, and in two.
    let one = place.wharf(&["diff", "R-1", "R-2", "log.txt"]).expect(0);
    assert!(one.out.contains("@@ -1,2 +1,3 @@\n first\n one\n+two\n"), "{}", one.out);
    let two = place.wharf(&["diff", "R-2", "R-3"]).expect(0);
    assert!(two.out.contains("-one\n-two\n+three\n"), "{}", two.out);
    assert!(
        two.out.contains("diff --git a/left-two b/left-three\n") || two.out.contains("+++ b/left-three\n"),
        "{}",
        two.out
    );
    assert!(two.err.contains("R-3 beside R-2: ") && two.err.contains("R-3 in W-2 against R-2 in W-1"), "{}", two.err);
    assert_eq!(place.wharf(&["diff", "R-2", "R-2"]).expect(4).out, "");
    // The directory is gone: its branch is shown, and said to be.
    let work = directory(&place, "W-2");
    git(&place.project(), &["worktree", "remove", "--force", "--force", work.to_str().unwrap()]);
    let gone = place.wharf(&["diff", "W-2"]).expect(0);
    assert!(gone.out.contains("+three\n") && !gone.out.contains("left-three"), "{}", gone.out);
    assert!(
        gone.err.contains("the directory of W-2 is gone and no snapshot of it is kept: this is its branch"),
        "{}",
        gone.err
    );
    // Archived, it is shown from its snapshot: the rest that was not committed is in it.
    place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(0);
    assert!(!directory(&place, "W-1").exists());
    let kept = place.wharf(&["diff", "W-1"]).expect(0);
    assert!(kept.out.contains("+one\n+two\n") && kept.out.contains("+++ b/left-two\n"), "{}", kept.out);
    assert!(kept.err.contains("the directory of W-1 is gone: this is its snapshot W-1.1"), "{}", kept.err);
    assert!(kept.err.contains("snapshot W-1.1, 2 commits against base "), "{}", kept.err);
    let last = place.wharf(&["diff", "R-2", "--name-only"]).expect(0);
    assert!(last.out.contains("left-two\n"), "{last:?}");
    drop(serving);
}

#[test]
fn runs_of_different_projects_are_not_compared() {
    let place = place();
    let other = place.data().with_file_name("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("wharf.toml"), CONFIG.replace("SHOP", "OTHER")).unwrap();
    git(&other, &["init", "-q", "-b", "main"]);
    place.wharf(&["run", "writes", "--prompt", "one", "--wait"]).expect(0);
    place.wharf(&["run", "writes", "--prompt", "two", "--wait", "--project", other.to_str().unwrap()]).expect(0);
    let refused = place.wharf(&["diff", "R-1", "R-2", "--json"]).expect(4).error();
    assert!(refused["message"].as_str().unwrap().contains("different projects"), "{refused}");
    // Where there was no commit when it began, all that is there now is its.
    let second = place.wharf(&["diff", "R-2", "--name-only"]).expect(0);
    assert!(second.out.contains("log.txt\n") && second.out.contains("wharf.toml\n"), "{second:?}");
}

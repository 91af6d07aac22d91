//! Where runs work, with real repositories of every shape: bare, shallow, linked worktrees, submodules, large files kept
//! elsewhere, sparse checkouts; clones of a URL, homes of agents, the operator's own branch.

#![allow(clippy::unwrap_used, reason = "a test ends with a panic")]

mod cli_common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cli_common::{Ended, Place};
use serde_json::Value;

/// An agent that tells where it works.
const AGENT: &str = r#"
[[agent]]
name = "tells"
adapter = "process"
[agent.config]
command = "sh"
args = ["-c", "pwd; env | grep ^WHARF_ | sort; ls -A"]
"#;

/// Runs git anywhere, with nobody's config but that of the place.
fn git(place: &Place, cwd: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(cwd)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", place.project().parent().unwrap().join("home"))
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn top(place: &Place) -> PathBuf {
    place.project().parent().unwrap().canonicalize().unwrap()
}

/// A repository beside the project with one commit of these files.
fn repository(place: &Place, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let at = top(place).join(name);
    fs::create_dir(&at).unwrap();
    git(place, &at, &["init", "-q", "-b", "main"]);
    commit(place, &at, files);
    at
}

fn commit(place: &Place, at: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = at.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    git(place, at, &["add", "-A"]);
    git(place, at, &["commit", "-q", "-m", "more"]);
}

/// The project's own repository with this `[workspace]`.
fn project(place: &Place, workspace: &str) {
    place.config(&format!("[project]\nkey = \"SHOP\"\n[workspace]\n{workspace}\n{AGENT}"));
}

fn follow(place: &Place, args: &[&str]) -> Ended {
    place.wharf(&[&["run", "tells", "--follow"], args].concat())
}

fn variable<'o>(ended: &'o Ended, name: &str) -> Option<&'o str> {
    let prefix = format!("WHARF_{name}=");
    ended.out.lines().find_map(|line| line.strip_prefix(&prefix))
}

/// The last workspace, as `wharf why` tells it: directory and the lines about it.
fn why(place: &Place, run: &str) -> Value {
    place.wharf(&["why", run, "--json"]).expect(0).json()
}

fn says(document: &Value, block: &str, label: &str) -> String {
    let lines = document[block].as_array().unwrap();
    let found = lines.iter().find(|l| l["label"] == label);
    found.map_or_else(String::new, |l| format!("{} {}", l["value"].as_str().unwrap(), l["remark"].as_str().unwrap()))
}

#[test]
fn a_url_is_cloned_once_kept_up_to_date_and_never_asked_for_by_name() {
    let place = Place::bare();
    // A bare repository, as hosts have them.
    let origin = repository(&place, "origin", &[("a.txt", "a"), ("b/c.txt", "c")]);
    git(&place, &top(&place), &["clone", "-q", "--bare", "origin", "origin.git"]);
    let url = top(&place).join("origin.git");
    project(&place, &format!("repo_url = \"{}\"", url.display()));
    let first = follow(&place, &[]).expect(0);
    let data = place.data().canonicalize().unwrap();
    let cwd = PathBuf::from(first.out.lines().next().unwrap());
    assert!(cwd.starts_with(data.join("checkouts")) && cwd.join("b/c.txt").is_file(), "{first:?}");
    assert_eq!(variable(&first, "WORKSPACE_SOURCE"), Some("managed_clone"));
    assert_eq!(variable(&first, "WORKSPACE_REPO_URL"), url.to_str());
    let base = PathBuf::from(variable(&first, "WORKSPACE_BASE_CWD").unwrap());
    assert!(base.starts_with(data.join("checkouts")) && cwd.starts_with(&base), "a worktree of the clone: {first:?}");
    assert_eq!(fs::metadata(data.join("checkouts")).unwrap().permissions().mode() & 0o777, 0o700);
    // What comes later is there for the next run, and the clone is the same one.
    commit(&place, &origin, &[("later.txt", "x")]);
    git(&place, &origin, &["push", "-q", url.to_str().unwrap(), "main"]);
    let second = follow(&place, &[]).expect(0);
    assert!(second.out.lines().any(|l| l == "later.txt"), "{second:?}");
    assert_eq!(variable(&second, "WORKSPACE_BASE_CWD"), base.to_str());
    // A host that is away keeps nobody from working, and it is said.
    fs::rename(&url, top(&place).join("away")).unwrap();
    let third = follow(&place, &[]).expect(0);
    assert!(third.err.contains("could not be brought up to date"), "said before the first line: {third:?}");
    assert!(says(&why(&place, "R-3"), "workspace", "not as usual").contains("could not be brought up to date"));
    // Another url is another repository: nothing is thrown away for it.
    project(&place, &format!("repo_url = \"{}\"", origin.display()));
    place.wharf(&["config", "accept"]).expect(0);
    let other = follow(&place, &[]).expect(125);
    assert!(other.err.contains("a clone of") && other.err.contains("move it away"), "{other:?}");
    let tmp = fs::read_dir(data.join("tmp")).unwrap().flatten().map(|e| e.path());
    for aside in tmp.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with("clone-")) {
        let left: Vec<String> =
            fs::read_dir(aside).unwrap().flatten().map(|e| e.file_name().into_string().unwrap()).collect();
        assert_eq!(left, ["wharf"], "only the lock stays");
    }
}

#[test]
fn a_clone_that_fails_says_why_and_leaves_nothing() {
    let place = Place::bare();
    let url = top(&place).join("nowhere.git");
    project(&place, &format!("repo_url = \"{}\"", url.display()));
    let failed = follow(&place, &[]).expect(125);
    assert!(failed.err.contains("does not exist") || failed.err.contains("not appear to be"), "{failed:?}");
    let data = place.data();
    assert_eq!(fs::read_dir(data.join("checkouts")).unwrap().count(), 0);
    // Made meanwhile, the next run has it.
    let origin = repository(&place, "origin", &[("a.txt", "a")]);
    git(&place, &top(&place), &["clone", "-q", "--bare", origin.to_str().unwrap(), "nowhere.git"]);
    follow(&place, &[]).expect(0);
}

#[test]
fn files_where_a_clone_belongs_are_used_as_they_are_and_said() {
    let place = Place::bare();
    let origin = repository(&place, "origin", &[("a.txt", "a")]);
    project(&place, &format!("repo_url = \"{}\"", origin.display()));
    let key = place.wharf(&["project", "add", "--json"]).expect(0).json();
    let checkout = place.data().join("checkouts").join(key["id"].as_str().unwrap());
    fs::create_dir_all(&checkout).unwrap();
    fs::write(checkout.join("mine.txt"), "m").unwrap();
    place.wharf(&["config", "accept"]).expect(0);
    let ended = follow(&place, &[]).expect(0);
    assert!(ended.out.lines().any(|l| l == "mine.txt") && ended.err.contains("used as they are"), "{ended:?}");
}

#[test]
fn an_agent_that_wants_no_project_has_a_home_of_its_own() {
    let place = Place::new();
    place.config(&format!(
        "[project]\nkey = \"SHOP\"\n{AGENT}[[agent]]\nname = \"homely\"\nadapter = \"process\"\n\
         workspace = {{ mode = \"agent_default\" }}\n[agent.config]\ncommand = \"sh\"\n\
         args = [\"-c\", \"pwd; stat -c %a .; env | grep ^WHARF_ | sort; echo x >> kept; cat kept\"]\n"
    ));
    let ended = place.wharf(&["run", "homely", "--follow"]).expect(0);
    let cwd = ended.out.lines().next().unwrap().to_owned();
    let agent = variable(&ended, "AGENT_ID").unwrap();
    assert!(cwd.ends_with(&format!("/agents/{agent}/home")), "{cwd}");
    assert_eq!(ended.out.lines().nth(1), Some("700"));
    assert_eq!(variable(&ended, "WORKSPACE_SOURCE"), Some("agent_home"));
    assert_eq!(variable(&ended, "AGENT_HOME"), Some(cwd.as_str()));
    let again = place.wharf(&["run", "homely", "--follow"]).expect(0);
    assert_eq!(again.out.lines().filter(|l| *l == "x").count(), 2, "what it kept is there");
    let rows = place.wharf(&["workspaces", "--json"]).expect(0).json();
    assert_eq!(rows["workspaces"].as_array().unwrap().len(), 1, "one row for one home");
    // The others work in the project.
    let other = follow(&place, &[]).expect(0);
    assert_eq!(variable(&other, "WORKSPACE_SOURCE"), Some("project_workspace"));
}

/// An agent without a project's checkout, which does what its prompt says.
const HOMELY: &str = r#"
[[agent]]
name = "homely"
adapter = "process"
grace = "1s"
workspace = { mode = "agent_default" }
[agent.config]
command = "sh"
args = ["-s"]
stdin = "prompt"
"#;

/// Has that agent do this.
fn homely(place: &Place, script: &str) -> Ended {
    place.wharf(&["run", "homely", "--follow", "--prompt", script])
}

#[test]
fn a_run_works_where_the_last_one_has_said_its_session_is() {
    let place = Place::new();
    place.config(&format!("[project]\nkey = \"SHOP\"\n{AGENT}{HOMELY}"));
    let notes = top(&place).join("notes");
    fs::create_dir(&notes).unwrap();
    let link = top(&place).join("link");
    std::os::unix::fs::symlink(&notes, &link).unwrap();
    let (notes_at, link_at) = (notes.to_str().unwrap(), link.to_str().unwrap());
    // Inside a run only, and nothing that is none.
    assert_eq!(place.wharf(&["session", "s-1", "--json"]).expect(4).error()["code"], "permission_denied");
    let first = homely(
        &place,
        &format!(
            "pwd; wharf session; echo $?; wharf session \"$(printf 'a\\nb')\"; echo $?; wharf session x --cwd /no/such; \
             echo $?; cd {link_at} && wharf session s-1 --json"
        ),
    )
    .expect(0);
    let lines: Vec<&str> = first.out.lines().collect();
    assert!(lines[0].ends_with("/home") && lines[1..4] == ["2", "2", "2"], "{first:?}");
    assert!(first.err.contains("control characters") && first.err.contains("/no/such"), "{first:?}");
    let said: Value = serde_json::from_str(lines[4]).unwrap();
    assert_eq!((&said["schema"], &said["kind"]), (&"wharf.said/1".into(), &"session".into()));
    // The next one is there, and it is told why and how to undo it.
    let second = homely(&place, "pwd; env | grep ^WHARF_; touch mine").expect(0);
    assert_eq!(second.out.lines().next(), Some(notes_at), "its links are resolved: {second:?}");
    assert_eq!(variable(&second, "WORKSPACE_SOURCE"), Some("task_session"));
    assert_eq!(variable(&second, "WORKSPACE_CWD"), Some(notes_at));
    assert!(!second.err.contains("session"), "as usual: {second:?}");
    let document = why(&place, "R-2");
    assert!(
        says(&document, "workspace", "WORKSPACE").contains("the directory of the agent's last session"),
        "{document}"
    );
    assert_eq!(says(&document, "workspace", "by session"), format!("s-1 in {notes_at}, said by R-1"));
    assert!(says(&document, "workspace", "to undo").starts_with("wharf agent reset-session homely "), "{document}");
    assert!(says(&why(&place, "R-1"), "workspace", "agent's session").contains(notes_at));
    // Gone: at home, and never silently.
    fs::remove_dir_all(&notes).unwrap();
    let third = homely(&place, "pwd").expect(0);
    let words = format!("the directory of the agent's last session, {notes_at}, is gone: works in its home");
    assert_eq!(third.out, first.out.lines().next().unwrap().to_owned() + "\n");
    assert!(third.err.contains(&words), "before the first line: {third:?}");
    assert_eq!(says(&why(&place, "R-3"), "workspace", "not as usual").trim(), words);
    assert!(place.wharf(&["show", "R-3"]).expect(0).out.contains(&words));
    // There again, it is forgotten by the operator.
    fs::create_dir(&notes).unwrap();
    let preview = place.wharf(&["agent", "reset-session", "homely", "--dry-run"]).expect(0);
    assert!(
        preview.err.contains("would forget session s-1, said by R-1") && preview.err.contains(notes_at),
        "{preview:?}"
    );
    assert_eq!(homely(&place, "pwd").expect(0).out.trim(), notes_at, "a preview changes nothing");
    let reset = place.wharf(&["agent", "reset-session", "homely", "--json"]).expect(0).json();
    assert_eq!((&reset["schema"], &reset["forgotten"]), (&"wharf.agent_session/1".into(), &true.into()));
    assert_eq!((&reset["session_id"], &reset["cwd"]), (&"s-1".into(), &notes_at.into()));
    let home = homely(&place, "pwd; wharf session s-2 --cwd .").expect(0);
    assert!(home.out.trim().ends_with("/home") && !home.err.contains("session"), "{home:?}");
    let trail = place.wharf(&["activity", "--json"]).expect(0).out;
    assert!(trail.contains("agent.session_reset") && trail.contains(notes_at), "{trail}");
    // Or by the agent itself.
    homely(&place, "wharf session --clear").expect(0);
    let again = place.wharf(&["agent", "reset-session", "homely", "--json"]).expect(0).json();
    assert_eq!((&again["forgotten"], &again["session_id"]), (&false.into(), &Value::Null));
    place.wharf(&["agent", "reset-session", "nobody"]).expect(3);
}

#[test]
fn a_session_in_a_worktree_makes_a_guest_of_whoever_follows_it() {
    let place = Place::new();
    place.config(&format!("[project]\nkey = \"SHOP\"\n{AGENT}{HOMELY}"));
    let serving = place.serve();
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    let worktree = follow(&place, &["--issue", "SHOP-1"]).expect(0).out.lines().next().unwrap().to_owned();
    let below = Path::new(&worktree).join("deep");
    fs::create_dir(&below).unwrap();
    let row = || place.wharf(&["show", "W-1", "--json"]).expect(0).json()["workspace"].clone();
    let before = row();
    homely(&place, &format!("wharf session s-1 --cwd {}", below.display())).expect(0);
    let ended = homely(&place, "pwd; echo \"$WHARF_WORKSPACE_WORKTREE_PATH\"").expect(0);
    assert_eq!(ended.out.lines().collect::<Vec<_>>(), [below.to_str().unwrap(), worktree.as_str()]);
    let shown = place.wharf(&["show", "R-3", "--json"]).expect(0).json();
    assert_eq!(shown["run"]["workspace"], "W-1", "{shown}");
    assert_eq!(says(&why(&place, "R-3"), "workspace", "works in").split(' ').next(), below.to_str());
    let shell = place.wharf_with(&["shell", "R-3"], "pwd\n").expect(0);
    assert!(shell.out.lines().any(|l| Some(l) == below.to_str()), "{shell:?}");
    let after = row();
    for key in ["cwd", "branch", "mode", "strategy", "base_ref", "status", "issue"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!((&after["cwd"], &after["strategy"]), (&worktree.as_str().into(), &"git_worktree".into()));
    // While somebody works there by the session, the issue's run waits, and says for whom.
    place.wharf(&["run", "homely", "--prompt", "exec sleep 60"]).expect(0);
    place.wharf(&["run", "tells", "--issue", "SHOP-1"]).expect(0);
    let document = why(&place, "R-5");
    let verdict = document["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("R-5 is QUEUED: R-4 works in the worktree of branch SHOP-1"), "{document}");
    place.wharf(&["cancel", "R-4", "--grace", "0s"]).expect(0);
    place.wharf(&["logs", "-f", "R-5"]).expect(0);
    drop(serving);
}

#[test]
fn the_operators_branch_is_worked_on_as_it_is() {
    let place = Place::new();
    project(&place, "mode = \"operator_branch\"");
    place.git(&["switch", "-q", "-c", "mine"]);
    fs::write(place.project().join("uncommitted"), "u").unwrap();
    let ended = follow(&place, &[]).expect(0);
    assert_eq!(ended.out.lines().next(), place.project().canonicalize().unwrap().to_str());
    assert_eq!(variable(&ended, "WORKSPACE_BRANCH"), Some("mine"));
    assert!(ended.out.lines().any(|l| l == "uncommitted"));
}

#[test]
fn a_project_that_is_gone_is_said_and_never_silent() {
    for (workspace, code) in [("", Some(0)), ("mode = \"shared_workspace\"", Some(125))] {
        let place = Place::new();
        place.user_config("[limits]\nconcurrent_runs = 1\n");
        let waits = "[[agent]]\nname = \"waits\"\nadapter = \"process\"\ngrace = \"1s\"\n[agent.config]\n\
                     command = \"sleep\"\nargs = [\"60\"]\n";
        place.config(&format!("[project]\nkey = \"SHOP\"\n[workspace]\n{workspace}\n{AGENT}{waits}"));
        let serving = place.serve();
        place.wharf(&["run", "waits"]).expect(0);
        place.wharf(&["run", "tells"]).expect(0);
        let away = top(&place).join("away");
        fs::rename(place.project(), &away).unwrap();
        let outside = |args: &[&str]| {
            let output = place.command(args).current_dir(top(&place)).output().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
        };
        outside(&["cancel", "R-1", "--grace", "0s"]).expect(0);
        // Its turn has come, and its project's directory is not there.
        let ended = loop {
            let ended = outside(&["show", "R-2", "--json"]).expect(0).json();
            if ended["run"]["finished_at"].is_string() {
                break ended;
            }
        };
        let why = outside(&["why", "R-2"]).expect(0).out;
        if code == Some(0) {
            assert_eq!(ended["run"]["status"], "succeeded", "{ended}");
            let logs = outside(&["logs", "R-2"]).expect(0);
            assert!(logs.err.contains("is gone: works in the agent's home"), "before the first line: {logs:?}");
            assert_eq!(variable(&logs, "WORKSPACE_SOURCE"), Some("agent_home"));
            assert!(why.contains("is gone: works in the agent's home"), "{why}");
            let shown = outside(&["show", "R-2"]).expect(0).out;
            assert!(shown.contains("is gone: works in the agent's home"), "{shown}");
        } else {
            assert_eq!(ended["run"]["error_code"], "workspace_realization_failed", "{ended}");
            assert!(why.contains("its config asks for mode shared_workspace"), "{why}");
        }
        drop(serving);
        fs::rename(&away, place.project()).unwrap();
    }
}

#[test]
fn all_of_a_workspaces_facts_reach_its_commands() {
    let place = Place::new();
    place.git(&["remote", "add", "origin", "https://me:s3cret@git.example/shop.git"]);
    project(
        &place,
        "provision = \"env | grep ^WHARF_ | sort > .git-facts\"\nbase_ref = \"main\"\n\
         branch = \"{{project.key}}/{{agent.name}}-{{issue.identifier}}-{{workspace.repoRef}}\"",
    );
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    let ended = follow(&place, &["--issue", "SHOP-1"]).expect(0);
    let cwd = PathBuf::from(ended.out.lines().next().unwrap());
    assert!(cwd.ends_with("SHOP/tells-SHOP-1-main"), "{}", cwd.display());
    let facts = fs::read_to_string(cwd.join(".git-facts")).unwrap();
    let get = |name: &str| facts.lines().find_map(|l| l.strip_prefix(&format!("WHARF_{name}="))).map(str::to_owned);
    let project = place.project().canonicalize().unwrap().display().to_string();
    let table = [
        ("WORKSPACE_CWD", Some(cwd.display().to_string())),
        ("WORKSPACE_PATH", Some(cwd.display().to_string())),
        ("WORKSPACE_WORKTREE_PATH", Some(cwd.display().to_string())),
        ("WORKSPACE_BRANCH", Some("SHOP/tells-SHOP-1-main".to_owned())),
        ("WORKSPACE_BASE_CWD", Some(project.clone())),
        ("WORKSPACE_REPO_ROOT", Some(project)),
        ("WORKSPACE_REPO_URL", Some("https://git.example/shop.git".to_owned())),
        ("WORKSPACE_REPO_REF", Some("main".to_owned())),
        ("WORKSPACE_SOURCE", Some("project_workspace".to_owned())),
        ("WORKSPACE_CREATED", Some("true".to_owned())),
        ("PROJECT_KEY", Some("SHOP".to_owned())),
        ("AGENT_NAME", Some("tells".to_owned())),
        ("ISSUE_IDENTIFIER", Some("SHOP-1".to_owned())),
        ("ISSUE_TITLE", Some("Fix it".to_owned())),
        ("RUN_NUMBER", Some("R-1".to_owned())),
    ];
    for (name, value) in table {
        assert_eq!(get(name), value, "{name}");
        let told = variable(&ended, name).map(str::to_owned);
        assert_eq!(told, value, "the run itself: {name}");
    }
    for name in ["WORKSPACE_ID", "PROJECT_ID", "PROJECT_WORKSPACE_ID", "COMPANY_ID", "AGENT_ID", "ISSUE_ID", "RUN_ID"] {
        assert!(get(name).is_some(), "{name}");
    }
    assert!(!facts.contains("s3cret") && !ended.out.contains("s3cret"));
}

#[test]
fn a_worktree_that_somebody_removed_is_made_again_with_its_branch() {
    let place = Place::new();
    project(&place, "");
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    let first = follow(&place, &["--issue", "SHOP-1"]).expect(0);
    let cwd = PathBuf::from(first.out.lines().next().unwrap());
    commit(&place, &cwd, &[("work.txt", "w")]);
    fs::remove_dir_all(&cwd).unwrap();
    // A new title would give it another branch; its work goes on where it was.
    let renamed = place.wharf(&["issue", "set", "SHOP-1", "--title", "Quite another"]).expect(0);
    assert!(renamed.err.contains("preference: none → reuse_existing"), "{renamed:?}");
    let again = follow(&place, &["--issue", "SHOP-1"]).expect(0);
    assert_eq!(again.out.lines().next(), cwd.to_str());
    assert!(again.out.lines().any(|l| l == "work.txt"), "{again:?}");
    let rows = place.wharf(&["workspaces", "--json"]).expect(0).json();
    assert_eq!(rows["workspaces"].as_array().unwrap().len(), 1);
    // Also when another parent is configured by then.
    project(&place, "parent = \"elsewhere\"");
    place.wharf(&["config", "accept"]).expect(0);
    let kept = follow(&place, &["--issue", "SHOP-1"]).expect(0);
    assert_eq!(kept.out.lines().next(), cwd.to_str());
}

#[test]
fn worktrees_lie_where_the_operator_wants_them() {
    let place = Place::new();
    let outside = top(&place).join("trees");
    for (parent, expected) in [
        (format!("parent = \"{}\"", outside.display()), outside.clone()),
        ("parent = \"~/trees\"".to_owned(), top(&place).join("home/trees")),
        ("parent = \"deep/trees\"".to_owned(), place.project().canonicalize().unwrap().join("deep/trees")),
    ] {
        project(&place, &parent);
        let _accepted = place.wharf(&["config", "accept"]);
        let ended = follow(&place, &[]).expect(0);
        assert!(Path::new(ended.out.lines().next().unwrap()).starts_with(&expected), "{ended:?}");
    }
}

#[test]
fn a_base_of_any_shape_gives_worktrees_and_says_what_they_lack() {
    // A repository whose checkouts are all worktrees.
    let place = Place::bare();
    let origin = repository(&place, "origin", &[("a.txt", "a")]);
    git(&place, &top(&place), &["clone", "-q", "--bare", "origin", "hub.git"]);
    fs::remove_dir(place.project()).unwrap();
    git(&place, &top(&place).join("hub.git"), &["worktree", "add", "-q", place.project().to_str().unwrap(), "main"]);
    project(&place, "mode = \"isolated_workspace\"");
    let ended = follow(&place, &[]).expect(0);
    let cwd = PathBuf::from(ended.out.lines().next().unwrap());
    assert!(cwd.join("a.txt").is_file() && cwd.starts_with(place.project().canonicalize().unwrap()), "{ended:?}");

    // A shallow clone, seen from a linked worktree of it.
    commit(&place, &origin, &[("b.txt", "b")]);
    let place = Place::bare();
    fs::remove_dir(place.project()).unwrap();
    let url = format!("file://{}", origin.display());
    git(&place, &top(&place), &["clone", "-q", "--depth", "1", &url, "shop"]);
    project(&place, "");
    let linked = top(&place).join("linked");
    git(&place, &place.project(), &["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    let output = place.command(&["run", "tells", "--follow"]).current_dir(&linked).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let cwd = Path::new(text.lines().next().unwrap());
    assert!(cwd.starts_with(place.project().canonicalize().unwrap()), "below the main checkout: {text}");
    let trail = place.wharf(&["activity", "--json"]).expect(0).out;
    assert!(trail.contains("the repository is shallow"), "{trail}");
    // git keeps where it was cut beside the common history, and not in the worktree's own directory.
    fs::write(cwd.join("new.txt"), "n").unwrap();
    git(&place, cwd, &["add", "-A"]);
    git(&place, cwd, &["commit", "-q", "-m", "new"]);
    let diff = place.wharf(&["diff", "W-1", "--name-only"]).expect(0);
    assert_eq!(diff.out.trim(), "new.txt", "{diff:?}");
    let stock = place.wharf(&["workspaces", "--inventory", "--json"]).expect(0).json();
    let stock = &stock["workspaces"][0]["inventory"];
    assert_eq!((&stock["ahead"], &stock["behind"]), (&1.into(), &0.into()), "{stock}");
}

#[test]
fn a_workspace_keeps_its_base_and_moves_with_its_project() {
    let place = Place::new();
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    let run =
        |at: &Path| place.command(&["run", "good", "--issue", "SHOP-1", "--wait"]).current_dir(at).output().unwrap();
    let old = place.project();
    assert!(run(&old).status.success());
    let json = |at: &Path, args: &[&str]| -> Value {
        serde_json::from_slice(&place.command(args).current_dir(at).output().unwrap().stdout).unwrap()
    };
    let row = |at: &Path, what: &str| json(at, &["show", "W-1", "--json"])["workspace"][what].clone();
    let base = row(&old, "base_ref");
    assert!(base.is_string(), "{base}");
    assert!(run(&old).status.success());
    assert_eq!(row(&old, "base_ref"), base, "what it began at is not forgotten when it is used again");
    // The whole repository is moved, as people do.
    let new = top(&place).join("elsewhere");
    fs::rename(&old, &new).unwrap();
    let tree = row(&new, "cwd").as_str().unwrap().replace(&old.display().to_string(), &new.display().to_string());
    git(&place, &new, &["worktree", "repair", &tree]);
    let again = run(&new);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(row(&new, "cwd"), tree);
    let all = json(&new, &["workspaces", "--json"]);
    assert_eq!(all["workspaces"].as_array().unwrap().len(), 1, "{all}");
}

#[test]
fn submodules_and_sparse_checkouts_are_told() {
    let place = Place::bare();
    let inner = repository(&place, "inner", &[("in.txt", "i")]);
    fs::remove_dir(place.project()).unwrap();
    let shop = repository(&place, "shop", &[("a/a.txt", "a"), ("b/b.txt", "b")]);
    git(&place, &shop, &["submodule", "add", "-q", inner.to_str().unwrap(), "sub"]);
    git(&place, &shop, &["commit", "-q", "-m", "sub"]);
    project(&place, "");
    let ended = follow(&place, &[]).expect(0);
    let cwd = PathBuf::from(ended.out.lines().next().unwrap());
    assert_eq!(fs::read_dir(cwd.join("sub")).unwrap().count(), 0, "left to whoever wants it");
    let trail = place.wharf(&["activity", "--json"]).expect(0).out;
    assert!(trail.contains("its submodule is not checked out (1)"), "{trail}");
    // The command that is named does what it says.
    project(&place, "provision = \"git -c protocol.file.allow=always submodule update --init -q\"");
    place.wharf(&["config", "accept"]).expect(0);
    let ended = follow(&place, &[]).expect(0);
    assert!(Path::new(ended.out.lines().next().unwrap()).join("sub/in.txt").is_file());
    // A part of the tree: worktrees are parts as well.
    git(&place, &shop, &["sparse-checkout", "set", "a"]);
    project(&place, "");
    place.wharf(&["config", "accept"]).expect(0);
    let ended = follow(&place, &[]).expect(0);
    let cwd = PathBuf::from(ended.out.lines().next().unwrap());
    assert!(cwd.join("a/a.txt").is_file() && !cwd.join("b").exists(), "{ended:?}");
    assert!(place.wharf(&["activity", "--json"]).expect(0).out.contains("a sparse checkout"));
}

#[test]
fn large_files_stay_pointers_where_nothing_fetches_them() {
    let place = Place::bare();
    if Command::new("git-lfs").arg("version").output().is_ok() {
        let test = std::thread::current();
        let test = test.name().unwrap_or("a test");
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: git-lfs is installed here, and this is about its absence");
        return;
    }
    fs::remove_dir(place.project()).unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let shop = repository(&place, "shop", &[("big.bin", pointer), ("a.txt", "a")]);
    commit(&place, &shop, &[(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")]);
    // As its installer writes it; the program itself is gone.
    fs::write(
        top(&place).join("home/.gitconfig"),
        "[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\tsmudge = git-lfs smudge -- %f\n\tprocess = git-lfs filter-process\n\trequired = true\n",
    )
    .unwrap();
    project(&place, "");
    let ended = follow(&place, &[]).expect(0);
    let cwd = PathBuf::from(ended.out.lines().next().unwrap());
    assert_eq!(fs::read_to_string(cwd.join("big.bin")).unwrap(), pointer);
    let trail = place.wharf(&["activity", "--json"]).expect(0).out;
    assert!(trail.contains("git-lfs is not installed"), "{trail}");
}

#[test]
fn a_second_run_in_one_checkout_is_refused_by_name() {
    let place = Place::new();
    place.config(
        "[project]\nkey = \"SHOP\"\n[workspace]\nmode = \"shared_workspace\"\nconcurrency = \"refuse\"\n[[agent]]\n\
         name = \"slow\"\nadapter = \"process\"\ngrace = \"1s\"\n[agent.config]\ncommand = \"sleep\"\nargs = [\"60\"]\n",
    );
    let serving = place.serve();
    place.wharf(&["run", "slow"]).expect(0);
    let refused = place.wharf(&["run", "slow", "--json"]).expect(4).error();
    let words = refused["message"].as_str().unwrap().to_owned() + refused["hint"].as_str().unwrap_or_default();
    assert!(words.contains("R-1 has the project's own checkout"), "{words}");
    place.wharf(&["cancel", "R-1", "--grace", "0s"]).expect(0);
    drop(serving);
}

#[test]
fn progress_stands_in_the_log_of_the_operation() {
    let place = Place::bare();
    fs::remove_dir(place.project()).unwrap();
    let files: Vec<(String, &str)> = (0..300).map(|n| (format!("d{}/f{n}", n % 10), "x")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    repository(&place, "shop", &files);
    project(&place, "");
    follow(&place, &[]).expect(0);
    let log = place.wharf(&["logs", "O-1", "--stderr"]);
    let log = if log.code == Some(0) { log } else { place.wharf(&["logs", "O-1"]) };
    assert!(format!("{}{}", log.out, log.err).contains("(300/300)"), "{log:?}");
}

/// A format of git's: how the project's repository is made, and what is said of a repository that has it.
struct Format {
    name: &'static str,
    /// Words for `git init`.
    init: &'static [&'static str],
    /// What is done in the project's repository before a worktree is made.
    project: &'static [&'static [&'static str]],
    /// What is done in the worktree before anything is looked at.
    tree: &'static [&'static [&'static str]],
    partial: bool,
}

const FORMATS: &[Format] = &[
    Format {
        name: "sparse index",
        init: &[],
        project: &[&["sparse-checkout", "set", "--cone", "--sparse-index", "a"]],
        tree: &[&["sparse-checkout", "set", "--cone", "--sparse-index", "a"]],
        partial: false,
    },
    Format {
        name: "split index",
        init: &[],
        project: &[&["config", "core.splitIndex", "true"], &["update-index", "--split-index"]],
        tree: &[&["update-index", "--split-index"]],
        partial: false,
    },
    Format { name: "partial clone", init: &[], project: &[], tree: &[], partial: true },
    Format {
        name: "sparse and partial",
        init: &[],
        project: &[&["sparse-checkout", "set", "--cone", "--sparse-index", "a"]],
        tree: &[],
        partial: true,
    },
    Format { name: "sha256", init: &["--object-format=sha256"], project: &[], tree: &[], partial: false },
];

/// Everything that an operator does with a workspace, in one format.
fn all_of_a_workspaces_life(format: &Format) {
    let place = Place::bare();
    fs::remove_dir(place.project()).unwrap();
    let top = top(&place);
    fs::create_dir(top.join("made")).unwrap();
    let made = top.join("made");
    let output = Command::new("git").args(["init", "-q", "-b", "main"]).args(format.init).current_dir(&made).output();
    let output = output.unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return cli_common::skipped(&format!("{}: git does not know it: {why}", format.name));
    }
    commit(&place, &made, &[("a/a.txt", "as it was once\n"), ("b/b.txt", "once\n")]);
    commit(&place, &made, &[("a/a.txt", "a\n"), ("b/b.txt", "b\n"), (".gitignore", "*.log\n")]);
    let shop = place.project();
    if format.partial {
        git(&place, &made, &["config", "uploadpack.allowFilter", "true"]);
        let url = format!("file://{}", made.display());
        let sparse: &[&str] = if format.project.is_empty() { &[] } else { &["--no-checkout"] };
        git(&place, &top, &[&["clone", "-q", "--filter=blob:none"], sparse, &[url.as_str(), "shop"]].concat());
    } else {
        fs::rename(&made, &shop).unwrap();
    }
    for words in format.project {
        git(&place, &shop, words);
    }
    if format.partial && !format.project.is_empty() {
        git(&place, &shop, &["checkout", "-q", "main"]);
    }
    project(&place, "");
    let name = format.name;
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    let first = follow(&place, &["--issue", "SHOP-1"]).expect(0);
    let cwd = PathBuf::from(first.out.lines().next().unwrap());
    assert!(cwd.starts_with(shop.canonicalize().unwrap().join(".wharf")), "{name}: {first:?}");
    for words in format.tree {
        git(&place, &cwd, words);
    }
    let away = !cwd.join("b").exists();
    assert_eq!(away, name.contains("sparse"), "{name}");
    let again = follow(&place, &["--issue", "SHOP-1"]).expect(0);
    assert_eq!(again.out.lines().next(), cwd.to_str(), "{name}: it is used again");

    fs::write(cwd.join("a/a.txt"), "changed\n").unwrap();
    fs::write(cwd.join("new.txt"), "new\n").unwrap();
    fs::write(cwd.join("x.log"), "ignored\n").unwrap();
    let patch = place.wharf(&["diff", "W-1"]).expect(0).out;
    let lines: Vec<&str> = patch.lines().filter(|l| l.starts_with("diff ") || l.starts_with(['+', '-'])).collect();
    assert_eq!(
        lines,
        [
            "diff --git a/a/a.txt b/a/a.txt",
            "--- a/a/a.txt",
            "+++ b/a/a.txt",
            "-a",
            "+changed",
            "diff --git a/new.txt b/new.txt",
            "--- /dev/null",
            "+++ b/new.txt",
            "+new",
        ],
        "{name}: {patch}"
    );
    let shown = place.wharf(&["workspace", "archive", "W-1", "--dry-run"]).expect(0).out;
    for line in ["▲ 1 changed file ", "▲ 1 untracked", "as snapshot W-1.1"] {
        assert!(shown.contains(line), "{name}: {line:?} is missing in\n{shown}");
    }
    assert!(!shown.contains("unknown") && !shown.contains("could not"), "{name}: {shown}");

    let done = place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(0);
    assert!(!cwd.exists() && !done.err.contains("failed"), "{name}: {done:?}");
    place.wharf(&["workspace", "restore", "W-1"]).expect(0);
    let read = |file: &str| fs::read_to_string(cwd.join(file)).unwrap();
    assert_eq!(
        (read("a/a.txt"), read("new.txt"), read("x.log")),
        ("changed\n".into(), "new\n".into(), "ignored\n".into())
    );
    assert_eq!(cwd.join("b").exists(), !away, "{name}: what was left out stays out");
    assert_eq!(git(&place, &cwd, &["status", "--porcelain"]), "M a/a.txt\n?? new.txt", "{name}");

    // The snapshot alone, into what was changed since.
    let made = place.wharf(&["workspace", "snapshot", "W-1"]).expect(0).out;
    let made = made.split_whitespace().next().unwrap().to_owned();
    fs::write(cwd.join("a/a.txt"), "changed again\n").unwrap();
    fs::remove_file(cwd.join("new.txt")).unwrap();
    place.wharf(&["workspace", "restore", &made, "--yes"]).expect(0);
    assert_eq!((read("a/a.txt"), read("new.txt")), ("changed\n".into(), "new\n".into()), "{name}");
    assert_eq!(git(&place, &cwd, &["status", "--porcelain"]), "M a/a.txt\n?? new.txt", "{name}");

    // Its directory goes, its branch stays: the next run goes on there.
    commit(&place, &cwd, &[("work.txt", "w\n")]);
    fs::remove_dir_all(&cwd).unwrap();
    let last = follow(&place, &["--issue", "SHOP-1"]).expect(0);
    assert_eq!(last.out.lines().next(), cwd.to_str(), "{name}: {last:?}");
    assert!(cwd.join("work.txt").is_file(), "{name}");
    // Merged and archived, its branch goes too.
    git(&place, &shop, &["merge", "-q", git(&place, &cwd, &["branch", "--show-current"]).as_str()]);
    place.wharf(&["issue", "set", "SHOP-1", "--status", "done"]);
    place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(0);
    assert_eq!(git(&place, &shop, &["branch", "--format=%(refname:short)"]), "main", "{name}");
    if format.partial && away {
        // What is left out goes: its content is nowhere here, and a look at it fetches nothing.
        let again = follow(&place, &[]).expect(0);
        let cwd = PathBuf::from(again.out.lines().next().unwrap());
        git(&place, &cwd, &["rm", "-q", "--sparse", "b/b.txt"]);
        // It might have been made of the other one.
        fs::write(cwd.join("c.txt"), "c\n").unwrap();
        let gone = place.wharf(&["diff", "W-2"]).expect(8);
        assert!(gone.out.contains("+++ b/c.txt") && !gone.out.contains("b/b.txt"), "{name}: {gone:?}");
        assert!(gone.err.contains("b/b.txt") && gone.err.contains("`git diff` fetches it"), "{name}: {gone:?}");
    }
    if format.partial {
        let old = git(&place, &shop, &["rev-parse", "main~2:a/a.txt"]);
        let all = git(&place, &shop, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
        assert!(!all.contains(&old), "{name}: what nobody wanted was not fetched");
    }
}

#[test]
fn a_reftable_is_said_to_be_one_with_the_way_out() {
    let place = Place::bare();
    let words = ["init", "-q", "-b", "main", "--ref-format=reftable"];
    let made = Command::new("git").args(words).current_dir(place.project()).output().unwrap();
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr).into_owned();
        return cli_common::skipped(&format!("git does not know reftables: {why}"));
    }
    commit(&place, &place.project(), &[("a.txt", "a\n")]);
    project(&place, "");
    let refused = place.wharf(&["run", "tells", "--follow"]);
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    assert!(refused.err.contains("`git clone --ref-format=files`"), "{refused:?}");
    fs::rename(place.project(), top(&place).join("table")).unwrap();
    git(&place, &top(&place), &["clone", "-q", "--ref-format=files", "table", "shop"]);
    project(&place, "");
    let ended = follow(&place, &[]).expect(0);
    assert_eq!(variable(&ended, "WORKSPACE_SOURCE"), Some("project_workspace"));
    assert!(ended.out.lines().next().unwrap().contains("/.wharf/worktrees/"), "{ended:?}");
}

#[test]
fn a_workspace_lives_in_a_sparse_index() {
    all_of_a_workspaces_life(&FORMATS[0]);
}

#[test]
fn a_workspace_lives_in_a_split_index() {
    all_of_a_workspaces_life(&FORMATS[1]);
}

#[test]
fn a_workspace_lives_in_a_partial_clone() {
    all_of_a_workspaces_life(&FORMATS[2]);
}

#[test]
fn a_workspace_lives_in_a_sparse_and_partial_clone() {
    all_of_a_workspaces_life(&FORMATS[3]);
}

#[test]
fn a_workspace_lives_with_sha256() {
    all_of_a_workspaces_life(&FORMATS[4]);
}

//! The orchestrator dies between any two steps of archiving a workspace, of bringing it back and of emptying its
//! trash: the next one finds everything again, no command runs twice, and no byte is gone that is to be kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::json;
use wharf_model::*;
use wharf_store::view::WorkspaceQuery;

use crate::orchestrator::{Site, agent, eventually};

/// Deaths side by side: they mostly wait for the disk and for other processes.
const WORKERS: usize = 4;
const ARCHIVING: &[&str] = &[
    "workspace.remove_intended",
    "workspace.commands_run",
    "workspace.snapshot_made",
    "workspace.snapshot_committed",
    "workspace.removed",
    "workspace.remove_committed",
];
const RESTORING: &[&str] = &["workspace.restore_intended", "workspace.brought_back"];
const EMPTYING: &[&str] = &[
    "workspace.empty_intended",
    "workspace.trash_emptying",
    "workspace.trash_removing:3",
    "workspace.trash_emptied",
    "workspace.trash_entry_removed",
    "workspace.trash_ref_removed",
    "workspace.emptied",
];
/// Of a restore from a snapshot that was named, while the trash has the directory.
const RESTORING_ANEW: &[&str] = &["workspace.restore_intended", "workspace.brought_back"];
/// Of the archive of one whose directory somebody removed.
const LOST: &[&str] =
    &["workspace.entry_held", "workspace.entry_parked", "workspace.parked_told", "workspace.remove_committed"];

fn config() -> String {
    config_with("echo $$ >> $ROOT/cleanups", "cat made >> $ROOT/teardowns")
}

fn config_with(cleanup: &str, teardown: &str) -> String {
    let script = "echo made > made; echo changed > tracked; mkdir -p deep/er; echo kept > deep/er/ignored.log; \
                  ln -s ../made deep/link; printf '\\000\\377' > bytes";
    let mut all = format!("[workspace]\ncleanup = '{cleanup}'\nteardown = '{teardown}'\n");
    all.push_str(
        "[[job]]\nname = \"wait\"\ncommand = \"echo $$ >> $ROOT/jobs; read line < $ROOT/gate; echo done; exit 3\"\n",
    );
    all.push_str(&agent("worker", "", script));
    all
}

/// A site whose workspace has been left by its run, with nobody reigning.
fn left() -> (Site, WorkspaceRow) {
    left_of(&config())
}

fn left_of(config: &str) -> (Site, WorkspaceRow) {
    let site = Site::git(config);
    fs::write(site.project.join("tracked"), "first\n").unwrap();
    fs::write(site.project.join(".gitignore"), "*.log\n").unwrap();
    site.commit();
    let reigning = site.start();
    let run = site.begin_run("worker");
    let row = site.settled(run);
    assert_eq!(row.status, RunStatus::Succeeded, "{:?}", row.error);
    reigning.stop();
    let row = workspace(&site);
    assert_eq!(row.status, WorkspaceStatus::Idle);
    (site, row)
}

fn workspace(site: &Site) -> WorkspaceRow {
    let query = WorkspaceQuery { archived: true, ..WorkspaceQuery::default() };
    let mut all = site.ask(|r| r.workspaces(&query, None, 10)).rows;
    assert_eq!(all.len(), 1, "one workspace, and no second one");
    all.remove(0).workspace
}

fn root(row: &WorkspaceRow) -> PathBuf {
    PathBuf::from(row.provider_ref.clone().or_else(|| row.cwd.clone()).unwrap())
}

/// Everything below a directory, but for what git keeps of a worktree itself.
fn bytes(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            if name == ".git" {
                continue;
            }
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink() {
                found.push((name, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
            } else {
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn ask(site: &Site, kind: &str, id: WorkspaceId) -> RequestId {
    site.send(kind, Some(("workspace", id.text())), json!({}))
}

/// Sends a request, dies at a point of it, and lets the next reign bring it to its end.
fn dies_at(site: &Site, point: &str, send: impl FnOnce() -> RequestId) -> RequestRow {
    let mut first = site.spawn(&[("WHARF_KILL_POINT", point)]);
    assert!(first.wait_until_reigning(), "{point}: {}", first.said());
    let request = send();
    eventually(&format!("the death at {point}"), || first.has_ended().then_some(()));
    let second = site.start();
    let row = site.wait("the end of what was asked", || {
        let row = site.request(request)?;
        (row.status.is_terminal() && site.open_rows().actions.is_empty()).then_some(row)
    });
    second.stop();
    row
}

fn archived(site: &Site, row: &WorkspaceRow, before: &[(String, Vec<u8>)], point: &str) {
    let now = workspace(site);
    assert_eq!(now.status, WorkspaceStatus::Archived, "{point}: {:?}", now.failure_reason);
    assert!(!root(row).exists(), "{point}: the directory is not where it was");
    let trash = now.trash_path.clone().unwrap_or_else(|| panic!("{point}: no trash"));
    assert_eq!(bytes(Path::new(&trash)), before, "{point}: all of it lies in the trash");
    assert_eq!(site.lines("cleanups").len(), 1, "{point}: the clean-up ran once");
    assert_eq!(site.lines("teardowns"), ["made"], "{point}: the teardown ran once, in the workspace");
    let snapshots = site.ask(|r| r.kept_snapshots(row.id));
    assert_eq!(snapshots.iter().map(|s| s.ordinal).collect::<Vec<_>>(), [1], "{point}: one snapshot");
    site.run_git(&["cat-file", "-e", &format!("{}^{{commit}}", snapshots[0].ref_name)]);
    for phase in [OperationPhase::WorktreeCleanup, OperationPhase::WorkspaceTeardown] {
        let open = site.open_rows().operations.values().any(|o| o.phase == phase);
        assert!(!open, "{point}: an operation is left open");
    }
}

fn dies_while_archiving(point: &str) {
    let (site, row) = left();
    let before = bytes(&root(&row));
    let done = dies_at(&site, point, || ask(&site, "workspace.archive", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    archived(&site, &row, &before, point);
    site.assert_nothing_open(point);
}

fn dies_while_restoring(point: &str) {
    let (site, row) = left();
    let before = bytes(&root(&row));
    let reigning = site.start();
    let done = site.finished(ask(&site, "workspace.archive", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{:?}", done.error);
    reigning.stop();
    let done = dies_at(&site, point, || ask(&site, "workspace.restore", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    let now = workspace(&site);
    assert_eq!((now.status, now.trash_path.clone()), (WorkspaceStatus::Idle, None), "{point}");
    assert_eq!(bytes(&root(&row)), before, "{point}: byte by byte");
    let cwd = root(&row).display().to_string();
    site.run_git(&["-C", &cwd, "status", "--porcelain"]);
    site.assert_nothing_open(point);
}

fn dies_while_emptying(point: &str) {
    let (site, row) = left();
    site.configure_machine("[retention]\nworkspaces_after_close = \"1s\"\n");
    let reigning = site.start();
    let done = site.finished(ask(&site, "workspace.archive", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{:?}", done.error);
    reigning.stop();
    let due = workspace(&site).trash_until.unwrap();
    eventually("the end of its time", || (wharf::clock::now() > due).then_some(()));
    let done = dies_at(&site, point, || site.send("gc.run", None, json!({})));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    let now = workspace(&site);
    assert_eq!((now.status, now.trash_path), (WorkspaceStatus::Archived, None), "{point}");
    let trash = root(&row).parent().unwrap().join(".trash");
    let left = fs::read_dir(&trash)
        .map_or(0, |entries| entries.filter(|e| e.as_ref().is_ok_and(|e| e.file_name() != ".gitignore")).count());
    assert_eq!(left, 0, "{point}: nothing is left in {}", trash.display());
    // The snapshot is kept longer: it comes back from that, without what git ignores.
    let reigning = site.start();
    let done = site.finished(ask(&site, "workspace.restore", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    let made = fs::read_to_string(root(&row).join("made")).unwrap();
    let tracked = fs::read_to_string(root(&row).join("tracked")).unwrap();
    assert_eq!((made.as_str(), tracked.as_str()), ("made\n", "changed\n"));
    assert!(!root(&row).join("deep/er/ignored.log").exists());
    reigning.stop();
}

/// Refs of the trash.
fn held(site: &Site) -> Vec<String> {
    let listed = site.git_says(&["for-each-ref", "--format=%(refname)", "refs/wharf/trash"]);
    listed.lines().map(str::to_owned).collect()
}

/// Waits until all that is in the trash is due, and empties it.
fn emptied(site: &Site, point: &str) {
    let due =
        wharf_model::rules::trash::items(&workspace(site)).into_iter().filter_map(|item| item.until).max().unwrap();
    eventually("the end of its time", || (wharf::clock::now() > due).then_some(()));
    let reigning = site.start();
    let done = site.finished(site.send("gc.run", None, json!({})));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    reigning.stop();
    assert_eq!(wharf_model::rules::trash::items(&workspace(site)), [], "{point}");
    assert_eq!(held(site), Vec::<String>::new(), "{point}: its refs went with it");
    let parked = site.project.join(".git/wharf/trash");
    assert_eq!(fs::read_dir(&parked).map_or(0, Iterator::count), 0, "{point}: nothing of git's is left");
    let query = wharf_store::view::OperationQuery { workspace: Some(workspace(site).id), run: None };
    let emptyings = site.ask(|r| r.operations(&query, None, 50)).rows;
    let emptying = emptyings.iter().map(|o| &o.operation).find(|o| o.phase == OperationPhase::TrashEmptying).unwrap();
    assert_eq!(emptying.status, OperationStatus::Succeeded, "{point}");
    assert!(emptying.stdout_excerpt.as_deref().is_some_and(|said| said.ends_with("entries removed")), "{emptying:?}");
}

fn dies_while_restoring_anew(point: &str) {
    let (site, row) = left();
    let before = bytes(&root(&row));
    site.configure_machine("[retention]\nworkspaces_after_close = \"1s\"\n");
    let reigning = site.start();
    let done = site.finished(ask(&site, "workspace.archive", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{:?}", done.error);
    reigning.stop();
    let first = workspace(&site).trash_path.unwrap();
    let snapshot = site.ask(|r| r.kept_snapshots(row.id))[0].id;
    let args = json!({ "snapshot": snapshot.text() });
    let done = dies_at(&site, point, || site.send("workspace.restore", Some(("workspace", row.id.text())), args));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    let now = workspace(&site);
    assert_eq!((now.status, now.trash_path.clone()), (WorkspaceStatus::Idle, None), "{point}");
    let known = || -> Vec<String> {
        wharf_model::rules::trash::items(&workspace(&site)).into_iter().map(|item| item.place).collect()
    };
    assert_eq!(known(), std::slice::from_ref(&first), "{point}");
    assert_eq!(bytes(Path::new(&first)), before, "{point}: all of it lies in the trash still");
    let restored = bytes(&root(&row));
    let reigning = site.start();
    let done = site.finished(ask(&site, "workspace.archive", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    let second = workspace(&site).trash_path.unwrap();
    assert_eq!(known(), [second.clone(), first.clone()], "{point}: both are known");
    // The older one comes back, byte by byte; the newer one stays.
    let name = Path::new(&first).file_name().unwrap().to_str().unwrap();
    let args = json!({ "trash": name });
    let done = site.finished(site.send("workspace.restore", Some(("workspace", row.id.text())), args));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    reigning.stop();
    assert_eq!(bytes(&root(&row)), before, "{point}");
    assert_eq!((known(), bytes(Path::new(&second))), (vec![second.clone()], restored), "{point}");
    // Its time comes while the workspace is in use.
    emptied(&site, point);
    assert!(!Path::new(&second).exists(), "{point}");
    assert_eq!(bytes(&root(&row)), before, "{point}: nothing else goes");
    site.assert_nothing_open(point);
}

fn dies_while_archiving_what_is_lost(point: &str) {
    let (site, row) = left();
    site.configure_machine("[retention]\nworkspaces_after_close = \"1s\"\n");
    fs::remove_dir_all(root(&row)).unwrap();
    let done = dies_at(&site, point, || ask(&site, "workspace.archive", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    let now = workspace(&site);
    assert_eq!((now.status, now.trash_path.clone()), (WorkspaceStatus::Archived, None), "{point}");
    let items = wharf_model::rules::trash::items(&now);
    assert_eq!(items.len(), 1, "{point}: {items:?}");
    assert!(Path::new(&items[0].place).join("HEAD").exists(), "{point}: git's entry is kept");
    assert_eq!(held(&site), [format!("refs/wharf/trash/{}", items[0].name())], "{point}");
    emptied(&site, point);
}

fn at_each(points: &[&'static str], dies: fn(&str)) {
    let queue = Mutex::new(points.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(point) = queue.lock().unwrap().next() else { return };
                    if let Err(panic) = std::panic::catch_unwind(|| dies(point)) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        failures.lock().unwrap().push(format!("{point}: {}", text.unwrap_or_default()));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} deaths:\n{}", failures.len(), points.len(), failures.join("\n"));
}

#[test]
fn archiving_survives_a_death_at_each_of_its_steps() {
    at_each(ARCHIVING, dies_while_archiving);
}

#[test]
fn restoring_survives_a_death_at_each_of_its_steps() {
    at_each(RESTORING, dies_while_restoring);
}

#[test]
fn emptying_the_trash_survives_a_death_at_each_of_its_steps() {
    at_each(EMPTYING, dies_while_emptying);
}

/// The only snapshot of a workspace.
fn only_snapshot(site: &Site, row: &WorkspaceRow, point: &str) -> SnapshotId {
    let all = site.ask(|r| r.kept_snapshots(row.id));
    assert_eq!(all.iter().map(|s| s.ordinal).collect::<Vec<_>>(), [1], "{point}: one snapshot");
    all[0].id
}

fn commands_remove_work(point: &str) {
    let (site, row) = left_of(&config_with("rm -r made deep/link; git checkout -q tracked", "rm bytes"));
    let before = bytes(&root(&row));
    let done = if point.is_empty() {
        let reigning = site.start();
        let done = site.finished(ask(&site, "workspace.archive", row.id));
        reigning.stop();
        done
    } else {
        dies_at(&site, point, || ask(&site, "workspace.archive", row.id))
    };
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    let snapshot = only_snapshot(&site, &row, point);
    let reigning = site.start();
    let done = site.finished(ask(&site, "workspace.restore", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    assert!(!root(&row).join("made").exists() && !root(&row).join("bytes").exists(), "{point}: they did");
    let named = json!({ "snapshot": snapshot.text() });
    let done = site.finished(site.send("workspace.restore", Some(("workspace", row.id.text())), named));
    assert_eq!(done.status, RequestStatus::Done, "{point}: {:?}", done.error);
    assert_eq!(bytes(&root(&row)), before, "{point}: byte by byte");
    reigning.stop();
}

#[test]
fn what_its_own_commands_remove_comes_back_from_the_snapshot() {
    at_each(
        &["", "workspace.snapshot_made", "workspace.snapshot_committed", "workspace.commands_run"],
        commands_remove_work,
    );
}

#[test]
fn a_teardown_that_removes_the_directory_leaves_what_the_snapshot_holds() {
    let (site, row) = left_of(&config_with("true", "rm -rf \"$WHARF_WORKSPACE_CWD\""));
    let reigning = site.start();
    let done = site.finished(ask(&site, "workspace.archive", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{:?}", done.error);
    let notes = done.result.unwrap()["notes"].to_string();
    assert!(notes.contains("its commands removed") && notes.contains("in its snapshot"), "{notes}");
    let now = workspace(&site);
    assert_eq!((now.status, now.trash_path.clone()), (WorkspaceStatus::Archived, None));
    only_snapshot(&site, &row, "teardown");
    let done = site.finished(ask(&site, "workspace.restore", row.id));
    assert_eq!(done.status, RequestStatus::Done, "{:?}", done.error);
    let text = |name: &str| fs::read_to_string(root(&row).join(name)).unwrap();
    assert_eq!((text("made").as_str(), text("tracked").as_str()), ("made\n", "changed\n"));
    reigning.stop();
}

#[test]
fn no_snapshot_is_written_into_a_repository_that_is_not_its_own() {
    let (site, row) = left();
    let other = site.path("other");
    fs::create_dir(&other).unwrap();
    site.run_git(&["init", "-q", &other.display().to_string()]);
    fs::write(root(&row).join(".git"), format!("gitdir: {}/.git\n", other.display())).unwrap();
    let reigning = site.start();
    let done = site.finished(ask(&site, "workspace.snapshot", row.id));
    assert_eq!(done.status, RequestStatus::Failed, "{:?}", done.result);
    assert!(done.error.as_deref().is_some_and(|e| e.contains("left alone")), "{:?}", done.error);
    assert!(!other.join(".git/refs/wharf").exists(), "nothing was written there");
    reigning.stop();
}

#[test]
fn a_snapshot_restored_beside_the_trash_survives_a_death_and_forgets_no_trash() {
    at_each(RESTORING_ANEW, dies_while_restoring_anew);
}

#[test]
fn what_git_had_of_a_lost_directory_survives_a_death_and_goes_with_time() {
    at_each(LOST, dies_while_archiving_what_is_lost);
}

#[test]
fn a_job_is_found_again_and_runs_once() {
    let (site, row) = left();
    site.gate("gate");
    let first = site.start();
    let request = site.send("workspace.run_job", Some(("workspace", row.id.text())), json!({ "job": "wait" }));
    eventually("the job", || (site.lines("jobs").len() == 1).then_some(()));
    let answer = site.request(request).unwrap().result.unwrap();
    let operation: OperationId = answer["operation_id"].as_str().unwrap().parse().unwrap();
    first.kill();
    let second = site.start();
    site.open_gate("gate");
    let done = site.finished(request);
    assert_eq!(done.status, RequestStatus::Done, "{:?}", done.error);
    let row = site.ask(|r| r.operation(operation)).unwrap().operation;
    assert_eq!((row.status, row.exit_code), (OperationStatus::Failed, Some(3)), "{:?}", row.error);
    assert_eq!(row.stdout_excerpt.as_deref(), Some("done\n"));
    assert_eq!(site.lines("jobs").len(), 1, "it ran once");
    second.stop();
    site.assert_nothing_open("a job");
}

#[test]
fn a_job_that_was_asked_to_stop_ends_whenever_its_orchestrator_dies() {
    // Before the order was given, and after the job was told to begin.
    for point in ["request.accepted", "request.inserted"] {
        let (site, row) = left();
        site.gate("gate");
        let first = site.start();
        let job = site.send("workspace.run_job", Some(("workspace", row.id.text())), json!({ "job": "wait" }));
        eventually("the job", || (site.lines("jobs").len() == 1).then_some(()));
        let answer = site.request(job).unwrap().result.unwrap();
        let operation: OperationId = answer["operation_id"].as_str().unwrap().parse().unwrap();
        let pid = site.lines("jobs")[0].clone();
        first.stop();
        let send = || site.send("workspace.stop_job", Some(("workspace", row.id.text())), json!({ "job": "wait" }));
        let stopped = dies_at(&site, point, send);
        assert_eq!(stopped.status, RequestStatus::Done, "{point}: {:?}", stopped.error);
        let row = site.ask(|r| r.operation(operation)).unwrap().operation;
        assert_eq!(row.status, OperationStatus::Failed, "{point}");
        assert_eq!(row.error.as_deref(), Some(&*format!("stopped by {}", stopped.actor_id)), "{point}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{point}: nothing of it lives");
        assert_eq!(site.lines("jobs").len(), 1, "{point}: it ran once");
        site.assert_nothing_open(point);
    }
}

#[test]
fn a_run_that_waits_for_an_archive_goes_on_whenever_its_orchestrator_dies() {
    for point in ["workspace.commands_run", "workspace.removed", "workspace.remove_committed"] {
        // Both come to the worktree of one branch.
        let slow = "echo $$ >> $ROOT/cleanups; read line < $ROOT/gate";
        let config = config().replace("echo $$ >> $ROOT/cleanups", slow);
        let config = config.replace("[workspace]\n", "[workspace]\nbranch = \"work\"\n");
        let site = Site::git(&config);
        fs::write(site.project.join("tracked"), "first\n").unwrap();
        site.commit();
        site.gate("gate");
        let reigning = site.start();
        let run = site.begin_run("worker");
        assert_eq!(site.settled(run).status, RunStatus::Succeeded);
        reigning.stop();
        let row = workspace(&site);
        let mut first = site.spawn(&[("WHARF_KILL_POINT", point)]);
        assert!(first.wait_until_reigning(), "{point}: {}", first.said());
        let archive = ask(&site, "workspace.archive", row.id);
        eventually("its clean-up", || (site.lines("cleanups").len() == 1).then_some(()));
        let waits = site.begin_run("worker");
        site.wait("the run that waits", || {
            let steps = site.ask(|r| r.run_detail(waits))?.steps;
            let detail = steps.iter().find(|s| s.step == Step::Realise)?.detail.clone()?;
            (detail["waits_for"]["workspace_id"] == row.id.text()).then_some(())
        });
        site.open_gate("gate");
        eventually(&format!("the death at {point}"), || first.has_ended().then_some(()));
        let second = site.start();
        let ended = site.settled(waits);
        assert_eq!(ended.status, RunStatus::Succeeded, "{point}: {:?}", ended.error);
        assert!(ended.workspace_id.is_some_and(|own| own != row.id), "{point}: it has one of its own");
        assert_eq!(site.finished(archive).status, RequestStatus::Done, "{point}");
        second.stop();
        site.assert_nothing_open(point);
    }
}

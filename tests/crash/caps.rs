//! Runs with limits whose shim dies: what hides from its tag ends, and no control group is left.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use wharf::dispatch::perform::shim_dir;
use wharf::process::cgroup;
use wharf::process::signal::{self, Signal};
use wharf_model::shim::{IdFile, LimitsReport, limit};
use wharf_model::*;

use crate::orchestrator::*;

/// A first process that keeps nothing of its environment, with a child that leaves its session too.
const HIDES: &str = "(exec env -i setsid -f sh -c 'trap \"\" TERM; while :; do sleep 1; done'); echo up >> $ROOT/starts; \
                     exec env -i sh -c 'trap \"\" TERM; while :; do sleep 1; done'";

fn report(site: &Site, run: RunId) -> Option<LimitsReport> {
    let detail = site.run(run);
    let step = detail.steps.iter().find(|s| s.step == Step::Execute)?;
    LimitsReport::of_step(step.detail.as_ref())
}

/// Stays when the link to its directory goes.
fn id_file(site: &Site, run: RunId) -> PathBuf {
    site.data.join(shim_dir("run", &run.text(), 1).unwrap()).join("id.json")
}

fn groups(site: &Site, run: RunId) -> Vec<PathBuf> {
    let id: IdFile = serde_json::from_slice(&std::fs::read(id_file(site, run)).unwrap()).unwrap();
    id.cgroups.into_iter().map(PathBuf::from).collect()
}

fn inside(groups: &[PathBuf]) -> usize {
    let read = |dir: &PathBuf| std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines().count();
    groups.iter().map(read).max().unwrap_or(0)
}

fn wait_until_told(site: &Site, run: RunId) -> LimitsReport {
    site.wait("how its limits are kept", || report(site, run))
}

#[test]
fn what_a_dead_shim_left_ends_by_its_group_while_somebody_reigns_and_at_the_next_start() {
    let limits = "grace = \"100ms\"\nlimits = { processes = 64, memory = \"512MiB\" }";
    let config = format!("[workspace]\nconcurrency = \"allow\"\n{}", agent("hides", limits, HIDES));
    let site = Site::plain(&config);
    let it = site.start();
    let runs = [site.begin_run("hides"), site.begin_run("hides")];
    for run in runs {
        site.started(run);
    }
    eventually("both to run", || (site.lines("starts").len() == 2).then_some(()));
    let told = wait_until_told(&site, runs[0]);
    assert_eq!(told.asked, [(limit::PROCESSES.to_owned(), 64), (limit::MEMORY.to_owned(), 512 << 20)].into());
    let event = site.events(runs[0]).into_iter().find(|e| e.event_type == "limits").unwrap();
    assert!(event.message.starts_with("limits: "), "{}", event.message);
    let dirs = runs.map(|run| groups(&site, run));
    if told.by.is_none() || dirs.iter().any(Vec::is_empty) {
        let _ = writeln!(std::io::stderr(), "SKIPPED: a control group keeps not all: {:?}", told.unenforced);
        for run in runs {
            site.finished(site.cancel(run, 100));
        }
        return;
    }
    for (run, dirs) in runs.iter().zip(&dirs) {
        let row = site.run(*run).run;
        eventually("them to hide", || (site.processes_of(&row).is_empty() && inside(dirs) >= 2).then_some(()));
    }
    // One shim dies while somebody reigns, the other with whoever did.
    assert!(signal::send(site.shim_of(runs[0]), Signal::KILL).unwrap());
    let lost = |run: RunId, dirs: &[PathBuf]| {
        let row = site.settled(run);
        assert_eq!(row.status, RunStatus::Lost, "{:?}", row.error);
        let words = row.error.unwrap_or_default();
        assert!(words.contains("found by its tag or control group and stopped"), "{words}");
        assert!(dirs.iter().all(|dir| !dir.exists()), "{dirs:?} are left");
    };
    lost(runs[0], &dirs[0]);
    assert!(inside(&dirs[1]) >= 2, "the other is none of its business");
    let shim = site.shim_of(runs[1]);
    it.kill();
    assert!(signal::send(shim, Signal::KILL).unwrap());
    let _next = site.start();
    lost(runs[1], &dirs[1]);
    site.assert_nothing_open("after both");
}

#[test]
fn a_run_that_is_adopted_keeps_its_limits_and_they_are_told_once() {
    let script = "echo up >> $ROOT/starts; read go < $ROOT/gate; exit 3";
    let site = Site::plain(&agent("waits", "limits = { processes = 64 }", script));
    site.gate("gate");
    let it = site.start();
    let run = site.begin_run("waits");
    site.started(run);
    let told = wait_until_told(&site, run);
    let dirs = groups(&site, run);
    it.kill();
    let _next = site.start();
    eventually("its start", || (site.lines("starts").len() == 1).then_some(()));
    assert_eq!(inside(&dirs) > 0, told.by.is_some());
    site.open_gate("gate");
    assert_eq!(site.settled(run).exit_code, Some(3));
    assert_eq!(report(&site, run), Some(told));
    assert_eq!(site.events(run).iter().filter(|e| e.event_type == "limits").count(), 1);
    assert!(dirs.iter().all(|dir| !dir.exists()), "{dirs:?} are left");
}

#[test]
fn a_shim_that_dies_before_its_child_is_in_its_groups_leaves_none() {
    let limits = "grace = \"100ms\"\nlimits = { processes = 64, memory = \"512MiB\" }";
    let site = Site::plain(&agent("one", limits, "exit 0"));
    let mut it = site.spawn(&[("WHARF_KILL_POINT", "shim.child_spawned")]);
    assert!(it.wait_until_reigning());
    let run = site.begin_run("one");
    let row = site.settled(run);
    assert_eq!(row.status, RunStatus::Lost, "{:?}", row.error);
    // Its directory may be at rest by now: groups are looked for by their name.
    let name = cgroup::name("run", &run.text(), 1);
    let places = cgroup::places(None, &cgroup::Cap::ALL).places;
    for dir in places.iter().map(|place| place.parent.join(&name)) {
        assert!(!dir.exists(), "{} is left", dir.display());
    }
    let words = row.error.unwrap_or_default();
    if !words.contains("was found by its tag or control group") {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no control group was made ({words})");
    }
}

#[test]
fn another_boot_and_another_run_are_left_alone() {
    // Groups of this name where runs of this process would have theirs; whoever reads of them in a file
    // of another boot, or under another run's name, does not touch them.
    let Some(parent) = cgroup::places(None, &cgroup::Cap::ALL).places.first().map(|p| p.parent.clone()) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no control group can be made here");
        return;
    };
    let site = Site::plain(&agent("one", "limits = { processes = 64 }", "echo up >> $ROOT/starts; exec sleep 600"));
    let it = site.start();
    let run = site.begin_run("one");
    site.started(run);
    eventually("its start", || (site.lines("starts").len() == 1).then_some(()));
    let foreign = parent.join(cgroup::name("run", &uuid::Uuid::now_v7().to_string(), 1));
    if std::fs::create_dir(&foreign).is_err() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no control group can be made here");
        site.finished(site.cancel(run, 100));
        return;
    }
    let _gone = Removed(foreign.clone());
    let own = groups(&site, run);
    it.kill();
    assert!(signal::send(site.shim_of(run), Signal::KILL).unwrap());
    let file = id_file(&site, run);
    let mut id: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    id["cgroups"].as_array_mut().unwrap().push(json!(foreign));
    id["cgroups"].as_array_mut().unwrap().push(json!("/tmp"));
    std::fs::write(&file, id.to_string()).unwrap();
    let _next = site.start();
    assert_eq!(site.settled(run).status, RunStatus::Lost);
    assert!(own.iter().all(|dir| !dir.exists()) && foreign.exists() && Path::new("/tmp").exists());
}

/// A group that goes with the test.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
